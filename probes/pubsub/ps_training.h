/*
 * Dictionaries trained on the messages of one connection, which lonelypss describes and never
 * makes: the first after 100 KiB of them (16 KiB, for level 3), the second after 10 MiB (64 KiB, for
 * level 10), then one a day. ps_compressors_offer_trained takes them.
 *
 * Training takes 30 to 100 ms of CPU for a megabyte of samples, and longer if somebody wants it to:
 * too long for a loop. So psp-train does it, one at a time for the whole process, at the lowest
 * priority and with an end; memory files carry the samples there and the dictionary back.
 */
#pragma once

#include "probes/pubsub/ps_dictionary.h"
#include "probes/pubsub/ps_loop.h"
#include "probes/pubsub/ps_spool.h"
#include "user/base/list.h"

enum {
	PS_SAMPLE_MIN = 32,	  /* bytes of a message that is a sample */
	PS_SAMPLE_MAX = 16383,	  /* the same */
	PS_SAMPLES_MAX = 1 << 20, /* bytes kept for a connection: then only every 2nd, 4th, ... */
};

enum ps_mark { PS_MARK_NONE, PS_MARK_LOW, PS_MARK_HIGH };

/* The process's part. */
struct ps_trainer;

struct ps_trainer_options {
	const char *program; /* borrowed; NULL: psp-train in the folder of the running program */
	uint64_t memory_max; /* bytes of samples of all connections */
	uint64_t low, high;  /* bytes of messages after which the first and the second are due */
	int64_t period_ns;   /* between any two later ones */
	int64_t time_ns;     /* one training may take */
};

/* The defaults: 64 MiB, 100 KiB, 10 MiB, a day, a minute. */
void ps_trainer_options_init(struct ps_trainer_options *o);

/* -ENOMEM. The loop outlives it. */
int ps_trainer_new(struct ps_trainer **out, struct ps_loop *l, const struct ps_trainer_options *o);

/* Ends a training that is under way. All connections have stopped theirs. */
void ps_trainer_free(struct ps_trainer **t);

/* A connection's part. Set the first three; the rest is private but to ps_training.c. */
struct ps_training {
	/* There is enough: `trained` follows. From within ps_training_add. */
	void (*marked)(struct ps_training *t, enum ps_mark mark, uint64_t samples, uint64_t bytes);
	/*
	 * The dictionary, not prepared and borrowed (share it); NULL: there is none, and why was
	 * said on stderr. From the loop. Sampling goes on behind it, and only then.
	 */
	void (*trained)(struct ps_training *t, struct ps_dictionary *dictionary);
	void *owner;
	struct ps_trainer *trainer; /* borrowed; NULL: not started */
	struct osp_list node;	    /* in the trainer's, while it waits or is trained */
	bool waits;
	enum ps_mark mark;	   /* the last one */
	int64_t next_ns;	   /* no third one before */
	uint64_t seen, seen_bytes; /* messages that were samples, kept or not */
	uint64_t stride;	   /* one of so many is kept */
	uint64_t kept;
	struct osp_buffer samples; /* each behind its size, in two bytes */
};

/* Starts sampling. */
void ps_training_start(struct ps_training *t, struct ps_trainer *trainer);

/* Ends it at once: neither callback comes any more. Also again, or never started. */
void ps_training_stop(struct ps_training *t);

/*
 * Shows it a message, not compressed, that was sent or received; true if it is kept as a sample.
 * Between `marked` and `trained` none is.
 */
bool ps_training_add(struct ps_training *t, const struct ps_spool *message);
