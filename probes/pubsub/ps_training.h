/*
 * Dictionaries trained on the messages of one connection (what lonelypss documents and never does,
 * ws/handlers/open/collector_data.py): the first after 100 KiB of them (16 KiB, for level 3), the second
 * after 10 MiB (64 KiB, for level 10), then one a day.
 *
 * Training takes up to seconds of CPU, so a program of its own does it, psp-train, one at a time for the
 * whole process, at the lowest priority, with limits on its time and memory. Files without names carry
 * samples there and the dictionary back.
 */
#pragma once

#include "probes/pubsub/ps_dictionary.h"
#include "probes/pubsub/ps_loop.h"
#include "probes/pubsub/ps_spool.h"
#include "user/base/list.h"

enum {
	PS_SAMPLE_MIN = 32,
	PS_SAMPLE_MAX = 16383, /* bytes of a message that is kept as a sample */
	PS_SAMPLES_MAX =
		1 << 20, /* bytes kept for one connection; then every second one, fourth ... */
};

enum ps_mark { PS_MARK_LOW = 1, PS_MARK_HIGH = 2 };

/* The process's part. */
struct ps_trainer;

struct ps_trainer_options {
	const char *program; /* borrowed; NULL: psp-train in the folder of the running program */
	uint64_t memory_max; /* bytes of samples of all connections */
	uint64_t low,
		high;	   /* bytes of messages that make the first and the second dictionary due */
	int64_t period_ns; /* between all later ones */
};

/* The defaults: 64 MiB, 100 KiB, 10 MiB, a day. */
void ps_trainer_options_init(struct ps_trainer_options *o);

/* -ENOMEM. The loop outlives it. */
int ps_trainer_new(struct ps_trainer **out, struct ps_loop *l, const struct ps_trainer_options *o);

/* Ends a training that is under way. No connection may have one any more. */
void ps_trainer_free(struct ps_trainer **t);

/* A connection's part. Set the first three; the rest is private but to ps_training.c. */
struct ps_training {
	/* There are enough samples; `trained` follows, never from within. May be NULL. */
	void (*marked)(struct ps_training *t, enum ps_mark mark, uint64_t samples, uint64_t bytes);
	/* The dictionary, borrowed (share it); NULL: it could not be made. Sampling goes on. */
	void (*trained)(struct ps_training *t, struct ps_dictionary *dictionary);
	void *owner;
	struct ps_trainer *trainer; /* borrowed; NULL: stopped */
	struct osp_list node;	    /* waits for the one before it, or runs */
	bool waits;
	enum ps_mark mark;		  /* of the last one that was due; 0: none yet */
	int64_t next_ns;		  /* the next one, after the second */
	uint64_t seen, seen_bytes;	  /* messages that could be samples */
	unsigned stride;		  /* one of so many is kept */
	struct osp_buffer samples, sizes; /* bytes; u16 each */
	size_t count;
};

/* Starts sampling. */
void ps_training_start(struct ps_training *t, struct ps_trainer *trainer);

/* Ends it, with a training under way; nothing is called any more. Also twice. */
void ps_training_stop(struct ps_training *t);

/*
 * Looks at an uncompressed message that was sent or received; true if it was kept as a sample. May call
 * `marked`.
 */
bool ps_training_add(struct ps_training *t, const struct ps_spool *message);
