/*
 * Which steps of an operation have come. A step may come twice, by itself and among those that its
 * block carried, and what was lost may come late: what has come once is known by its sequence. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { OSP_SEQUENCE_GAPS = 8 };

struct osp_sequence {
	uint64_t next; /* one more than the highest that has come */
	uint8_t gap_count;
	bool overflowed; /* gaps were forgotten: some steps may never be told from seen ones */
	struct {
		uint32_t from, to;
	} gaps[OSP_SEQUENCE_GAPS]; /* what has not come below `next`, ascending */
};

enum osp_sequence_place {
	OSP_SEQUENCE_NEXT,  /* the one that was due */
	OSP_SEQUENCE_AHEAD, /* those between the last one and it have not come */
	OSP_SEQUENCE_LATE,  /* it had been missing */
	OSP_SEQUENCE_SEEN,
};

/* Enters a step. When there are too many gaps the oldest is forgotten. */
enum osp_sequence_place osp_sequence_add(struct osp_sequence *s, uint32_t sequence);

/* True if steps from the given one on have not come, or may not have. */
bool osp_sequence_misses(const struct osp_sequence *s, uint32_t from);
