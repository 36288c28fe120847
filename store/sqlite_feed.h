/* New bundles on their way into their table (store/sqlite_feed.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/base/buffer.h"

struct sqlite_store;

/* Bytes of somebody else. */
struct sqlite_bytes {
	const void *data;
	size_t size;
};

enum { SQLITE_FEED_BYTES = 6 }; /* wire, heads, times, slots, payload, edges */

struct sqlite_feed_row {
	int64_t key, trace, start_ns, duration_ns;
	bool complete;			       /* else its duration is not known */
	size_t begin, ends[SQLITE_FEED_BYTES]; /* in the buffer; set when it is added */
};

struct sqlite_feed {
	struct sqlite_feed_row *rows; /* owned */
	size_t count, room;
	struct osp_buffer bytes;
};

/* Makes the feed known to this connection. */
int sqlite_feed_open(struct sqlite_store *s);

/* Copies a bundle; the next sqlite_feed_write writes it. Keys ascend. */
int sqlite_feed_add(struct sqlite_store *s, const struct sqlite_feed_row *row,
		    const struct sqlite_bytes bytes[SQLITE_FEED_BYTES]);
int sqlite_feed_write(struct sqlite_store *s);
void sqlite_feed_reset(struct sqlite_store *s);
void sqlite_feed_clear(struct sqlite_store *s);
