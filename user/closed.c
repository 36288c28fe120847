/*
 * The stitcher's memory of closed operations (user/closed.h): a ring of hashes of their keys with
 * a map over it. Owns both; fixed in size.
 */
#include "user/closed.h"

#include <errno.h>
#include <stdlib.h>

struct osp_closed_entry {
	uint64_t hash[2];
	int64_t time_ns;
	bool used;
};

int osp_closed_init(struct osp_closed *c, size_t max)
{
	*c = (struct osp_closed){.max = max};
	osp_map_init(&c->map, max, 0);
	c->entries = calloc(max, sizeof(*c->entries));
	return c->entries ? 0 : -ENOMEM;
}

void osp_closed_clear(struct osp_closed *c)
{
	osp_map_clear(&c->map);
	free(c->entries);
	c->entries = NULL;
}

static void hash_key(uint64_t hash[2], const void *key, size_t size)
{
	hash[0] = osp_map_hash(key, size, 1);
	hash[1] = osp_map_hash(key, size, 2);
}

int osp_closed_add(struct osp_closed *c, const void *key, size_t size, int64_t time_ns)
{
	struct osp_closed_entry *e = &c->entries[c->next], *known;
	uint64_t hash[2];

	hash_key(hash, key, size);
	known = osp_map_find(&c->map, hash, sizeof(hash));
	if (known) {
		known->time_ns = time_ns;
		return 0;
	}
	if (e->used)
		osp_map_remove(&c->map, e->hash, sizeof(e->hash));
	*e = (struct osp_closed_entry){{hash[0], hash[1]}, time_ns, true};
	c->next = (c->next + 1) % c->max;
	return osp_map_add(&c->map, hash, sizeof(hash), e);
}

bool osp_closed_find(const struct osp_closed *c, const void *key, size_t size, int64_t *time_ns)
{
	const struct osp_closed_entry *e;
	uint64_t hash[2];

	hash_key(hash, key, size);
	e = osp_map_find(&c->map, hash, sizeof(hash));
	if (e)
		*time_ns = e->time_ns;
	return e;
}
