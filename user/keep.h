/*
 * The flight recorder: `record --keep-last`. Forgets what ended too long ago, so that the session
 * stays small, and saves copies of it: when somebody asks, and when a trace failed or was slow.
 * Pure but for its back end: time arrives as data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/span.h"

enum {
	OSP_KEEP_SLOTS = 4096, /* traces whose start is remembered at a time, to find slow ones */
	OSP_KEEP_NAMES = 1000, /* names that are tried for a copy */
	OSP_KEEP_PATH = 4096,
};

struct osp_keep_options {
	int64_t last_ns; /* kept at least this long; 0 = for good */
	bool on_error;	 /* save when a span fails */
	int64_t slow_ns; /* save when a trace takes this long; 0 = never */
	uint32_t most;	 /* saves by themselves, of the whole recording */
};

/* What it does things with. Each returns 0 or -errno and has logged what failed. */
struct osp_keep_back {
	void *arg;
	/* Notes a fact in the session. */
	int (*note)(void *arg, const char *name, const char *value);
	/* Forgets what ended before this boot time. */
	int (*forget)(void *arg, int64_t before_ns);
	/* Copies the session to a new file. -EEXIST, not logged: the name is taken. */
	int (*save)(void *arg, const char *path);
};

struct osp_keep;

/* A copy of "run.db" is "run.saved-1.db". All is copied but back.arg, which is borrowed. -ENOMEM. */
int osp_keep_new(struct osp_keep **out, const struct osp_keep_options *o,
		 const struct osp_keep_back *back, const char *session);
void osp_keep_free(struct osp_keep **k);

/*
 * Looks at what goes into the session. A failed or slow trace is saved at a later tick, so that
 * what follows from it is in the copy, too.
 */
void osp_keep_part(struct osp_keep *k, const struct osp_part *part);

/* Forgets, and saves what is due. An error of the back end's `note` or `forget`; a copy that
 * cannot be written is none. */
int osp_keep_tick(struct osp_keep *k, int64_t now_ns, int64_t wall_ns);

/*
 * Saves now, into `path` or (NULL) under the next free name; `why` says who asked. The path of
 * the copy is in out. -errno, logged, also if the path is taken.
 */
int osp_keep_save(struct osp_keep *k, const char *why, const char *path, int64_t now_ns,
		  int64_t wall_ns, char out[OSP_KEEP_PATH]);

struct osp_keep_stats {
	uint32_t saved;	      /* copies written */
	uint32_t failed;      /* that could not be */
	uint64_t passed_over; /* failed or slow traces after the last save that was allowed */
	int64_t forgotten_ns; /* what ended before is gone; 0 = nothing is */
};
void osp_keep_stats(const struct osp_keep *k, struct osp_keep_stats *out);
