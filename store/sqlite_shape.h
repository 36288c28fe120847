/* Shapes and origins of a session file (store/sqlite_shape.c). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "store/span.h"
#include "user/base/buffer.h"

struct sqlite_store;

/* A shape as the file has it. */
struct sqlite_shape {
	uint32_t key;
	uint32_t field_slot; /* slot of the first field */
	size_t span_count, step_count, field_count;
	const uint8_t *spans, *steps,
		*fields; /* entries (store/pack.h), behind this in one block */
};

/* What runs of one course in one thread have in common. */
struct sqlite_origin {
	uint32_t shape, process, tid;
};

enum { SQLITE_FORM_ORIGINS = 8 };

/* The shape that rows of a form had last, with which codes, and origins that it has. */
struct sqlite_form {
	uint64_t form; /* 0 = none */
	uint32_t shape;
	struct sqlite_form_origin {
		uint32_t process, tid, key; /* 0 = none */
	} origins[SQLITE_FORM_ORIGINS];
	struct osp_buffer codes;
};

/*
 * What packing an operation found out that its shape says. All borrowed: `size` bytes from begin
 * on, with marks and statuses between.
 */
struct sqlite_codes {
	uint32_t field_slot; /* slot of the first field */
	size_t size;
	const uint32_t *begin, *end; /* of each span */
	const uint8_t *names;	     /* codings of name and code of each span */
	const uint8_t *fields;	     /* coding of each attribute */
};

/* The key of the operation's origin, new or known, as is its shape. */
int sqlite_origin_of(struct sqlite_store *s, const struct osp_row *row,
		     const struct sqlite_codes *codes, uint32_t *key);
int sqlite_shape_get(struct sqlite_store *s, uint32_t key, const struct sqlite_shape **out);
int sqlite_origin_get(struct sqlite_store *s, uint32_t key, struct sqlite_origin *o);
void sqlite_shape_clear(struct sqlite_store *s);
