/*
 * What `record --aggregate` knows at its end: how many operations of each kind each process ended,
 * how many of them in an error, how long they took; and how long it was to each of their points
 * from the step before. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/histogram.h"
#include "probes/catalogue.h"

struct osp_tally_bucket {
	uint32_t bucket; /* osp_histogram_least */
	uint64_t count;
};

/* Operations of one kind in one process, or their steps at one point. */
struct osp_tally_row {
	uint32_t process; /* slot */
	const struct osp_operation *operation;
	const struct osp_point
		*point;		/* NULL: the operation as a whole, from its first step to its end */
	uint64_t count, errors; /* errors: ended at a point that only ends in an error */
	uint64_t
		untimed; /* of count: the step to count from was not at hand, they are in no bucket */
	const struct osp_tally_bucket *buckets; /* rising; ticks of the CPU's counter */
	size_t bucket_count;
};

struct osp_tally;

/* The catalogue is borrowed. -ENOMEM. */
int osp_tally_new(struct osp_tally **out, const struct osp_catalogue *c);
void osp_tally_free(struct osp_tally **t);

/* One bucket that is in use. -ENOMEM; a point or bucket that nobody knows is passed over. */
int osp_tally_add(struct osp_tally *t, const struct osp_histogram_key *key, uint64_t count);

/* Nothing is added after this: the rows are made. -ENOMEM. */
int osp_tally_stop(struct osp_tally *t);

/* By process and operation, the operation first, then its points; NULL past the last. */
const struct osp_tally_row *osp_tally_at(const struct osp_tally *t, size_t i);

/*
 * The value in ticks that `permille` of those timed do not exceed: the middle of its bucket, at
 * most 1/32 off. 0 = none was timed.
 */
uint64_t osp_tally_quantile(const struct osp_tally_row *row, uint32_t permille);
