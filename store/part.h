/* Parts as such: what a valid one is, its key, which of two wins, a copy of one. */
#pragma once

#include "store/span.h"
#include "user/base/buffer.h"

enum {
	OSP_PART_SPANS = 65535,		/* spans of a row */
	OSP_PART_STEPS = 65535,		/* steps of a row */
	OSP_PART_VALUE_BYTES = 1 << 20, /* one value */
	OSP_PART_ROW_BYTES = 64 << 20,	/* all values of a row */
	OSP_PART_TEXT_BYTES = 4 << 20,	/* one text (a catalogue file) */
};

/*
 * 0, or -EINVAL with what is wrong in text. known: a row of the same form was right already, so
 * that only what differs between rows of a form is looked at.
 */
int osp_part_check(const struct osp_part *p, bool known, char *text, size_t room);

/* Appends the key: byte order of keys is the order in which stores hand parts out. -ENOMEM. */
int osp_part_key(const struct osp_part *p, struct osp_buffer *out);

/* True if `next`, which came later, replaces `stored`, which has the same key. */
bool osp_part_replaces(const struct osp_part *stored, const struct osp_part *next);

/* Membership: the greatest rank wins, the later of equals. */
uint64_t osp_part_rank(const struct osp_part *p);

/* A deep copy in one block, freed with free(). NULL: no memory. */
struct osp_part *osp_part_copy(const struct osp_part *p);
