/*
 * Where the kernel side counts: the layout of maps that user space reads, and adds to, shared as
 * event.h is.
 */
#pragma once

#include "bpf/event.h"

enum {
	OSP_EVENT_STRIP = 16,				       /* points of a strip */
	OSP_EVENT_STRIPS = OSP_EVENT_POINTS / OSP_EVENT_STRIP, /* of one process */
	OSP_EVENT_CHUNK = 1024,				       /* strips of one map */
	OSP_EVENT_CHUNKS = 64,				       /* in all */
};

/*
 * Counters come in strips, each of OSP_EVENT_STRIP points of one process that follow each other in
 * the catalogue. A process takes one at its first hit of any of these points, and none is given
 * back. The array map `counters` holds the first of them, as many as so many targets may need;
 * behind them strip n is element n % OSP_EVENT_CHUNK of map n / OSP_EVENT_CHUNK among `chunks`,
 * which user space adds before they are needed.
 */
struct osp_strip {
	struct osp_counter at[OSP_EVENT_STRIP];
};

/*
 * The strips of a process: the array map `strips`, by slot. Those of slot 0 are the first there are.
 * They belong to the processes without a slot, and to hits that found no strip left.
 */
struct osp_strips {
	__u32 number[OSP_EVENT_STRIPS]; /* + 1; 0 = none yet */
};
