/*
 * The integers and length-prefixed byte strings every lonelypsp body is made of, all big-endian.
 * Reader and writer remember their first failure, so that a whole layout is read or written
 * before one check at its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "user/base/buffer.h"

/* Bytes that somebody else owns. */
struct ps_bytes {
	const void *data;
	size_t size;
};

static inline struct ps_bytes ps_bytes(const void *data, size_t size)
{
	return (struct ps_bytes){data, size};
}

/* A C string's bytes without the NUL; NULL gives none. */
static inline struct ps_bytes ps_bytes_text(const char *text)
{
	return (struct ps_bytes){text, text ? strlen(text) : 0};
}

static inline bool ps_bytes_equal(struct ps_bytes a, struct ps_bytes b)
{
	return a.size == b.size && (!a.size || !memcmp(a.data, b.data, a.size));
}

/* The order of their bytes, a shorter one before what it begins: <0, 0, >0. */
static inline int ps_bytes_compare(struct ps_bytes a, struct ps_bytes b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int d = n ? memcmp(a.data, b.data, n) : 0;

	return d ? d : (a.size > b.size) - (a.size < b.size);
}

struct ps_reader {
	const uint8_t *at; /* borrowed: the body outlives the reader and what it returned */
	size_t left;
	bool failed; /* asked for more than was left; everything after that reads as 0 */
};

static inline struct ps_reader ps_wire_reader(const void *data, size_t size)
{
	return (struct ps_reader){data, size, false};
}

uint64_t ps_wire_read_number(struct ps_reader *r, size_t width); /* 1, 2, 4 or 8 bytes */
struct ps_bytes ps_wire_read_bytes(struct ps_reader *r, size_t size);
struct ps_bytes ps_wire_read_string(struct ps_reader *r, size_t width); /* v8, v16 */

struct ps_writer {
	struct osp_buffer *out; /* borrowed */
	int error;		/* the first one, or 0 */
};

/* -EOVERFLOW is remembered when the value does not fit the width. */
void ps_wire_write_number(struct ps_writer *w, size_t width, uint64_t value);
void ps_wire_write_bytes(struct ps_writer *w, struct ps_bytes bytes);
void ps_wire_write_string(struct ps_writer *w, size_t width, struct ps_bytes bytes);
