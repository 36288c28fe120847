/*
 * Hashes to serial numbers (user/base/recent.h): buckets of a line each. What does not fit into its
 * own goes to the next one; the bucket remembers the last number that went on like that, so that a
 * look follows only as long as one of them may be in the window.
 */
#include "user/base/recent.h"

#include <errno.h>

#include "user/base/pages.h"

enum { SLOTS = OSP_RECENT_FEW, USUAL = 4 };

struct slot {
	uint32_t tag, serial; /* half of the hash; 0 = unused */
};

struct osp_recent_bucket {
	struct slot slots[SLOTS];
	uint32_t spills;  /* some did not fit here: */
	uint32_t spilled; /* the last of them */
};

static size_t table_size(const struct osp_recent *r)
{
	return (r->mask + 1) * sizeof(*r->buckets);
}

int osp_recent_init(struct osp_recent *r, size_t max)
{
	size_t count = 4;

	while (count * USUAL < max)
		count *= 2;
	*r = (struct osp_recent){.mask = count - 1};
	r->buckets = osp_pages_alloc(table_size(r));
	return r->buckets ? 0 : -ENOMEM;
}

void osp_recent_clear(struct osp_recent *r)
{
	osp_pages_free(r->buckets, table_size(r));
	r->buckets = NULL;
}

bool osp_recent_has(const struct osp_recent *r, uint32_t serial)
{
	return r->newest - serial < r->count;
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

void osp_recent_expect(const struct osp_recent *r, uint64_t hash)
{
	__builtin_prefetch(&r->buckets[hash & r->mask], 1);
}

static struct slot *find_room(const struct osp_recent *r, struct osp_recent_bucket *b)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (!b->slots[i].tag || !osp_recent_has(r, b->slots[i].serial))
			return &b->slots[i];
	return NULL;
}

void osp_recent_add(struct osp_recent *r, uint64_t hash, uint32_t serial)
{
	struct slot *room = NULL;

	for (uint64_t i = hash;; i++) {
		struct osp_recent_bucket *b = &r->buckets[i & r->mask];

		room = find_room(r, b);
		if (room)
			break;
		b->spills = 1;
		b->spilled = serial;
	}
	*room = (struct slot){tag_of(hash), serial};
}

static inline bool goes_on(const struct osp_recent *r, const struct osp_recent_bucket *b)
{
	return b->spills && osp_recent_has(r, b->spilled);
}

bool osp_recent_crowded(const struct osp_recent *r, uint64_t hash)
{
	return goes_on(r, &r->buckets[hash & r->mask]);
}

/* The buckets of a hash: *i is the next one's number, which starts with the hash; NULL: no more. */
static inline struct osp_recent_bucket *next_bucket(const struct osp_recent *r, uint64_t hash,
						    uint64_t *i)
{
	if (*i != hash && (*i - hash > r->mask || !goes_on(r, &r->buckets[(*i - 1) & r->mask])))
		return NULL;
	return &r->buckets[(*i)++ & r->mask];
}

void osp_recent_remove(struct osp_recent *r, uint64_t hash, uint32_t serial)
{
	struct osp_recent_bucket *b;

	for (uint64_t i = hash; (b = next_bucket(r, hash, &i));)
		for (size_t k = 0; k < SLOTS; k++)
			if (b->slots[k].serial == serial && b->slots[k].tag == tag_of(hash))
				b->slots[k].tag = 0;
}

/* Puts the number among those found, newest first; the oldest may fall out. */
static size_t insert(const struct osp_recent *r, uint32_t serial, size_t count, size_t max,
		     uint32_t *out)
{
	size_t i = count < max ? count : max;

	for (; i && r->newest - out[i - 1] > r->newest - serial; i--)
		if (i < max)
			out[i] = out[i - 1];
	if (i < max)
		out[i] = serial;
	return count < max ? count + 1 : max;
}

size_t osp_recent_find(const struct osp_recent *r, uint64_t hash, size_t max, uint32_t *out)
{
	struct osp_recent_bucket *b;
	size_t count = 0;

	for (uint64_t i = hash; (b = next_bucket(r, hash, &i));)
		for (size_t k = 0; k < SLOTS; k++)
			if (b->slots[k].tag == tag_of(hash) &&
			    osp_recent_has(r, b->slots[k].serial))
				count = insert(r, b->slots[k].serial, count, max, out);
	return count;
}
