/*
 * What `record --aggregate` knows at its end: how many operations of each kind each process ended,
 * how many of them in an error, and how long they took. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/histogram.h"
#include "probes/catalogue.h"

/* Operations of one kind in one process; its histogram is in ticks of the CPU's counter. */
struct osp_tally_row {
	uint32_t process; /* slot */
	const struct osp_operation *operation;
	uint64_t errors; /* ended at a point that only ends in an error */
	struct osp_histogram took;
};

struct osp_tally;

/* The catalogue is borrowed. -ENOMEM. */
int osp_tally_new(struct osp_tally **out, const struct osp_catalogue *c);
void osp_tally_free(struct osp_tally **t);

/* One end point's histogram. -ENOMEM; a point that nobody knows is passed over. */
int osp_tally_add(struct osp_tally *t, const struct osp_histogram_key *key,
		  const struct osp_histogram *h);

/* In the order they were added; NULL past the last. */
const struct osp_tally_row *osp_tally_at(const struct osp_tally *t, size_t i);

/*
 * The value that `permille` of those timed do not exceed: the middle of its bucket, at most 1/32
 * off, and never above the largest value. 0 = none was timed.
 */
uint64_t osp_tally_quantile(const struct osp_histogram *h, uint32_t permille);
