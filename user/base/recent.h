/*
 * A table from hashes to serial numbers that count up and are forgotten in that order, as the
 * places of a ring are: what is older than the window is no longer found, without being taken out.
 * A look and an addition touch one line of memory, mostly. Hashes need not differ; the upper half
 * of none is 0 (as of those of user/base/hash.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OSP_RECENT_FEW = 7 }; /* a bucket's */

struct osp_recent_bucket;

struct osp_recent {
	struct osp_recent_bucket *buckets; /* owned */
	uint64_t mask;
	uint32_t newest,
		count; /* the window: the last `count` serial numbers; the user sets them */
};

/* For at most `max` hashes in the window. -ENOMEM. */
int osp_recent_init(struct osp_recent *r, size_t max);
void osp_recent_clear(struct osp_recent *r);

/* The number is in the window. */
bool osp_recent_has(const struct osp_recent *r, uint32_t serial);

/* The hash will be looked for or added soon: memory may begin to move. */
void osp_recent_expect(const struct osp_recent *r, uint64_t hash);

/* The number is the newest, or added later than any before it with the same hash. */
void osp_recent_add(struct osp_recent *r, uint64_t hash, uint32_t serial);

/* As if it had never been added; nothing happens if it was not. */
void osp_recent_remove(struct osp_recent *r, uint64_t hash, uint32_t serial);

/* False: the window holds at most OSP_RECENT_FEW numbers with the hash. Cheaper than to find them. */
bool osp_recent_crowded(const struct osp_recent *r, uint64_t hash);

/* The newest numbers in the window that were added with the hash: at most `max`, newest first. */
size_t osp_recent_find(const struct osp_recent *r, uint64_t hash, size_t max, uint32_t *out);
