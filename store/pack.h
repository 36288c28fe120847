/*
 * How operations lie in the BLOBs of a session file (store/schema.sql, tables shape and bundle):
 * entries of a fixed width, numbers big-endian, so that plain SQL can unpack them.
 *
 * A shape is what operations of one kind have in common: spans, steps and fields without their
 * times and values. A bundle is some operations of one trace: heads, times, slots, payload.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	OSP_PACK_SPAN = 20, /* number 2, parent 2, class 2, begin 3, end 3, marks 2, status 1,
			       name coding 1, code coding 1, slot of the name 3 (the code's follows) */
	OSP_PACK_STEP = 4,  /* point 2, span 2 */
	OSP_PACK_FIELD = 5, /* field 2, step 2, coding 1 */
	OSP_PACK_HEAD = 22, /* id 8, origin 4, flags 1, start 5, times 2, slots 2 */
	OSP_PACK_EDGE = 8,  /* from: operation 1, number 2; to: operation 1, number 2; kind 2 */

	/* Where the parts of an entry begin. */
	OSP_PACK_SPAN_BEGIN = 6,
	OSP_PACK_SPAN_END = 9,
	OSP_PACK_SPAN_MARKS = 12,
	OSP_PACK_SPAN_STATUS = 14,
	OSP_PACK_SPAN_NAME = 15,
	OSP_PACK_SPAN_CODE = 16,
	OSP_PACK_SPAN_SLOT = 17,
	OSP_PACK_HEAD_ORIGIN = 8,
	OSP_PACK_HEAD_FLAGS = 12,
	OSP_PACK_HEAD_START = 13,
	OSP_PACK_HEAD_TIMES = 18,
	OSP_PACK_HEAD_SLOTS = 20,

	OSP_PACK_AT_START = 0xffffff, /* begin or end: the start of the operation */
	OSP_PACK_OPERATIONS = 255,    /* of one bundle */
	OSP_PACK_CONTEXT = 25,	      /* a trace context: 16 trace id, 8 span id, 1 flags */
};

/* Flags of a head. */
enum {
	OSP_PACK_WIDTH = 3,	/* of a time: 3, 4, 5 or 8 bytes */
	OSP_PACK_WIDE = 1 << 2, /* slots of 4 bytes, not 2 */
	OSP_PACK_COMPLETE = 1 << 3,
	OSP_PACK_PARENT = 1 << 4,  /* the last slot leads to the parent's id */
	OSP_PACK_AMENDED = 1 << 5, /* table amend says more */
	OSP_PACK_MOVED = 1 << 6,   /* a patch has the say about its trace */
};

/* How a value is found by its slot. */
enum osp_pack_coding {
	OSP_PACK_NONE,	 /* there is none, nor a slot */
	OSP_PACK_SMALL,	 /* the slot is the number */
	OSP_PACK_STRING, /* the slot is a string's id */
	OSP_PACK_PLAIN,	 /* the slot is a place in the payload */
	OSP_PACK_CUT,	 /* the same; 4 bytes of true size come first */
	OSP_PACK_LOCAL, /* a context of the bundle's trace id: operation << 8 | number of its span */
};

static inline unsigned osp_pack_width(uint8_t flags)
{
	static const uint8_t widths[] = {3, 4, 5, 8};

	return widths[flags & OSP_PACK_WIDTH];
}

/* The last `bytes` bytes of v, at most 8. */
static inline uint8_t *osp_pack_put(uint8_t *p, uint64_t v, unsigned bytes)
{
	v = __builtin_bswap64(v) >> (64 - 8 * bytes) % 64;
	memcpy(p, &v, bytes);
	return p + bytes;
}

static inline uint64_t osp_pack_get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	if (bytes == 8) {
		memcpy(&v, p, 8);
		return __builtin_bswap64(v);
	}
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}
