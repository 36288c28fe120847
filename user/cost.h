/*
 * What a recording costs: the recorder's own processor time and, estimated, how much it slows the
 * traced processes down. Estimates are hits times the cost of one hit; that is an empty hit as
 * measured at the start plus what the kernel measured of our programs from time to time. Steps
 * that are carried cost no hit and are not in it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "user/feed.h"
#include "user/loader.h"

struct osp_cost;

enum { OSP_COST_TARGETS = 32 }; /* the processes with the most hits, of which it tells */

struct osp_cost_target {
	uint32_t pid;
	uint64_t hits;
	double slow_down; /* part of its time: 0.01 = 1 % */
};

struct osp_cost_summary {
	int64_t took_ns, cpu_ns;       /* of the recording; of the recorder's processor time */
	uint64_t hits, steps, wakeups; /* traps; steps recorded; how often the recorder woke up */
	int64_t empty_ns;	       /* an empty hit; 0 = could not be measured */
	int64_t run_ns;		       /* our program in a hit; 0 = there was none to measure */
	struct osp_cost_target targets[OSP_COST_TARGETS]; /* most hits first */
	size_t target_count;
};

/* `l` is borrowed; empty_ns: what a hit costs that does nothing, 0 = not known. -ENOMEM. */
int osp_cost_new(struct osp_cost **out, struct osp_loader *l, int64_t empty_ns);
void osp_cost_free(struct osp_cost **c);

/* A process is traced from here on; and is no more. Slots out of range are left out. */
void osp_cost_begin(struct osp_cost *c, uint32_t slot, uint32_t pid, int64_t now_ns);
void osp_cost_end(struct osp_cost *c, uint32_t slot, int64_t now_ns);

/* Every wake-up of the recorder; every tick: lets the kernel measure now and then. */
void osp_cost_wake(struct osp_cost *c);
void osp_cost_tick(struct osp_cost *c);

/* Reads the counters: final after the last drain, and what is so far before. `steps` as recorded. */
void osp_cost_summarize(struct osp_cost *c, int64_t began_ns, uint64_t steps,
			struct osp_cost_summary *out);

/*
 * What the recording has cost so far, of all processors: the recorder's own time, and hits times
 * what one costs as far as that is known by now. For user/governor.h.
 */
int64_t osp_cost_spent(struct osp_cost *c);

/* Writes it into the session as settings. -errno of the feed. */
int osp_cost_tell(const struct osp_cost_summary *s, struct osp_feed *f);
