/*
 * The kernel side's counters as user space sees them: strips in chunks (bpf/strip.h), which grow in
 * number as processes come. Only loader.c calls this; it tells what it cannot do.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/strip.h"

struct osp_counters;

struct osp_counters_maps {
	int counters, chunks, strips; /* descriptors of the maps of these names */
	uint32_t *next;		      /* borrowed, the kernel side's: the strip to be taken next */
};

/*
 * How many chunks the map `counters` is to hold: enough for so many processes that hit everything,
 * and one for those that may come before there are more. */
uint32_t osp_counters_chunks(uint32_t points, size_t processes);

/*
 * Before anything can hit: gives slot 0 its strips. `chunks` as above. -errno, told. The descriptors
 * stay the caller's.
 */
int osp_counters_open(struct osp_counters **out, const struct osp_counters_maps *maps,
		      uint32_t points, uint32_t chunks);
void osp_counters_close(struct osp_counters **c);

/* Adds chunks until no more than half of what there is has been taken. Mostly has nothing to do. */
void osp_counters_grow(struct osp_counters *c);

/* Calls fn for each point of the slots before `slots` that was hit, until it returns non-zero. */
int osp_counters_walk(const struct osp_counters *c, uint32_t slots,
		      int (*fn)(void *arg, uint32_t slot, uint32_t point,
				const struct osp_counter *counter),
		      void *arg);
