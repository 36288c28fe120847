/*
 * The stitcher's memory of closed operations (user/closed.h): a ring of their keys with a table
 * over it. Owns both; fixed in size.
 */
#include "user/closed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct osp_closed_entry {
	struct osp_chain by_key;
	uint64_t words[3];
	int64_t time_ns;
};

int osp_closed_init(struct osp_closed *c, size_t max)
{
	*c = (struct osp_closed){.max = max};
	c->entries = calloc(max, sizeof(*c->entries));
	return c->entries ? osp_chains_init(&c->by_key, max) : -ENOMEM;
}

void osp_closed_clear(struct osp_closed *c)
{
	osp_chains_clear(&c->by_key);
	free(c->entries);
	c->entries = NULL;
}

static struct osp_closed_entry *find_entry(const struct osp_closed *c,
					   const struct osp_open_key *key)
{
	struct osp_chain *n = osp_chain_find(&c->by_key, key->hash);

	for (; n; n = osp_chain_next(n)) {
		struct osp_closed_entry *e = osp_chain_entry(n, struct osp_closed_entry, by_key);

		if (!memcmp(e->words, key->words, sizeof(e->words)))
			return e;
	}
	return NULL;
}

void osp_closed_add(struct osp_closed *c, const struct osp_open_key *key, int64_t time_ns)
{
	struct osp_closed_entry *e = find_entry(c, key);

	if (!e) {
		e = &c->entries[c->next];
		c->next = (c->next + 1) % c->max;
		osp_chain_remove(&c->by_key, &e->by_key);
		memcpy(e->words, key->words, sizeof(e->words));
		osp_chain_add(&c->by_key, &e->by_key, key->hash);
	}
	e->time_ns = time_ns;
}

bool osp_closed_find(const struct osp_closed *c, const struct osp_open_key *key, int64_t *time_ns)
{
	const struct osp_closed_entry *e = find_entry(c, key);

	if (e)
		*time_ns = e->time_ns;
	return e;
}
