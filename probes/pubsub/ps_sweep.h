/*
 * The sweep for missed messages: at an interval, subscribers whose marks are due are told, a few
 * at a time, and the marks are taken away, or set to a later time.
 */
#pragma once

#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_trace.h"

struct ps_broadcaster;
struct ps_sweep;

struct ps_sweep_options {
	int64_t interval_ns;
	int64_t lock_ns; /* how long a mark is ours while we tell; then anybody's again */
	struct ps_missed_policy policy;
	bool remove_exhausted; /* after the last attempt the subscription goes, not only the mark */
};

/* MISSED to one subscriber, from its mark being due to what came of it being stored. */
struct ps_tell {
	struct lonelypsp_tell_missed op;
	struct ps_sweep *sweep;	      /* borrowed: owns this */
	struct ps_tell *next, **link; /* in the sweep's list */
	struct ps_db_missed missed;
	int64_t begin_ns;
	struct ps_call call;
	struct osp_buffer body, authorization;
	bool confirmed;	       /* or nobody wants to know: the mark goes */
	struct ps_timer later; /* ends what could not be sent */
};

struct ps_sweep {
	struct ps_broadcaster *b; /* borrowed: owns this */
	struct ps_sweep_options options;
	struct lonelypsp_sweep_missed op; /* begun when the first mark is found */
	struct ps_timer timer;
	struct ps_tell *tells; /* under way; owned */
	unsigned tell_count;
	bool sweeping, exhausted, failed;
	int64_t begin_ns;
	uint32_t found;
};

/* Sweeps from now on, each time an interval after the last sweep's end. Cannot fail. */
void ps_sweep_start(struct ps_sweep *s, struct ps_broadcaster *b, const struct ps_sweep_options *o);

/* Stops at once; marks that were claimed are given back as they were. */
void ps_sweep_stop(struct ps_sweep *s);

/*
 * Tells a subscriber (ps_tell.c); takes *m over. ps_sweep_told follows, never from within it.
 * -ENOMEM: nothing is taken.
 */
int ps_tell_start(struct ps_sweep *s, struct ps_db_missed *m);

/* Stops it without telling the sweep, gives the mark back, and frees it. */
void ps_tell_cancel(struct ps_tell *t);

/* One is over and freed. */
void ps_sweep_told(struct ps_sweep *s);
