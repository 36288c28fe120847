/*
 * The stitcher's memory of closed operations (user/closed.h): sets of a few hashes of keys, so that
 * one look touches one piece of memory. Of a full set the oldest is forgotten.
 */
#include "user/closed.h"

#include <errno.h>

#include "user/base/hash.h"
#include "user/base/pages.h"

enum { WAYS = 4 };

struct osp_closed_set {
	struct {
		uint64_t hash; /* 0 = unused */
		int64_t time_ns;
	} ways[WAYS]; /* newest first */
};

static size_t sets_size(const struct osp_closed *c)
{
	return (c->mask + 1) * sizeof(*c->sets);
}

int osp_closed_init(struct osp_closed *c, size_t max)
{
	size_t count = 1;

	while (count * WAYS < max)
		count *= 2;
	c->mask = count - 1;
	c->sets = osp_pages_alloc(sets_size(c));
	return c->sets ? 0 : -ENOMEM;
}

void osp_closed_clear(struct osp_closed *c)
{
	osp_pages_free(c->sets, sets_size(c));
	c->sets = NULL;
}

/*
 * The set does not depend on the tables' secret: what is forgotten is the same in every replay.
 * The hash within it does: nobody can close an operation of somebody else.
 */
static struct osp_closed_set *set_of(const struct osp_closed *c, const struct osp_open_key *key)
{
	uint64_t at = osp_hash_mix(key->words[0] ^ key->words[2] ^ 0x9e3779b97f4a7c15ull,
				   key->words[1] ^ 0xd6e8feb86659fd93ull);

	return &c->sets[at & c->mask];
}

void osp_closed_expect(const struct osp_closed *c, const struct osp_open_key *key)
{
	__builtin_prefetch(set_of(c, key), 1);
}

void osp_closed_add(struct osp_closed *c, const struct osp_open_key *key, int64_t time_ns)
{
	struct osp_closed_set *s = set_of(c, key);
	int i = 0;

	while (i < WAYS - 1 && s->ways[i].hash != key->hash)
		i++;
	for (; i > 0; i--)
		s->ways[i] = s->ways[i - 1];
	s->ways[0].hash = key->hash;
	s->ways[0].time_ns = time_ns;
}

bool osp_closed_find(const struct osp_closed *c, const struct osp_open_key *key, int64_t *time_ns)
{
	const struct osp_closed_set *s = set_of(c, key);

	for (int i = 0; i < WAYS; i++)
		if (s->ways[i].hash == key->hash) {
			*time_ns = s->ways[i].time_ns;
			return true;
		}
	return false;
}
