/*
 * The hash map of the recorder's tables (open operations, link keys, interned strings) and of
 * the pub/sub programs. Linear probing at most two thirds full, backward-shift removal, so no
 * tombstones gather in a long recording.
 */
#include "user/base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Both halves of a product: one multiplication mixes 16 bytes. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t osp_map_hash(const void *key, size_t size, uint64_t seed)
{
	const uint8_t *p = key;
	uint64_t h = seed ^ (size * 0x9e3779b97f4a7c15ull), words[2];

	for (; size >= 16; size -= 16, p += 16) {
		memcpy(words, p, 16);
		h = fold(words[0] ^ 0xd6e8feb86659fd93ull, words[1] ^ h);
	}
	words[0] = words[1] = 0;
	if (size == 8)
		memcpy(words, p, 8);
	else if (size)
		memcpy(words, p, size);
	h = fold(words[0] ^ 0xa0761d6478bd642full, words[1] ^ h);
	h = fold(h, 0xe7037ed1a0b428dbull);
	return h ? h : 1;
}

void osp_map_init(struct osp_map *m, size_t max, uint64_t seed)
{
	*m = (struct osp_map){.max = max, .seed = seed};
}

static const void *slot_key(const struct osp_map_slot *s)
{
	const void *p = s->key;

	if (s->key_size > sizeof(s->key))
		memcpy(&p, s->key, sizeof(p));
	return p;
}

static void free_key(struct osp_map_slot *s)
{
	if (s->hash && s->key_size > sizeof(s->key))
		free((void *)slot_key(s));
}

void osp_map_clear(struct osp_map *m)
{
	for (size_t i = 0; i < m->capacity; i++)
		free_key(&m->slots[i]);
	free(m->slots);
	osp_map_init(m, m->max, m->seed);
}

/* The slot that holds the key, or the empty one where it would go. */
static struct osp_map_slot *find_slot(const struct osp_map *m, const void *key, size_t size,
				      uint64_t hash)
{
	size_t i = hash & (m->capacity - 1);

	for (;; i = (i + 1) & (m->capacity - 1)) {
		struct osp_map_slot *s = &m->slots[i];

		if (!s->hash ||
		    (s->hash == hash && s->key_size == size && !memcmp(slot_key(s), key, size)))
			return s;
	}
}

static int grow(struct osp_map *m)
{
	struct osp_map bigger = *m;

	if (m->capacity && (m->count + 1) * 3 <= m->capacity * 2)
		return 0;
	bigger.capacity = m->capacity ? m->capacity * 2 : 16;
	bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->capacity; i++) {
		struct osp_map_slot *s = &m->slots[i];

		if (s->hash)
			*find_slot(&bigger, slot_key(s), s->key_size, s->hash) = *s;
	}
	free(m->slots);
	*m = bigger;
	return 0;
}

static int set_key(struct osp_map_slot *s, const void *key, size_t size)
{
	void *copy;

	if (size <= sizeof(s->key)) {
		if (size)
			memcpy(s->key, key, size);
		return 0;
	}
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, key, size);
	memcpy(s->key, &copy, sizeof(copy));
	return 0;
}

int osp_map_add(struct osp_map *m, const void *key, size_t size, void *value)
{
	uint64_t hash = osp_map_hash(key, size, m->seed);
	struct osp_map_slot *s;
	int r = grow(m);

	if (r)
		return r;
	s = find_slot(m, key, size, hash);
	if (s->hash) {
		s->value = value;
		return 0;
	}
	if (m->count >= m->max)
		return -ENOSPC;
	r = set_key(s, key, size);
	if (r)
		return r;
	s->hash = hash;
	s->key_size = (uint32_t)size;
	s->value = value;
	m->count++;
	return 0;
}

void *osp_map_find(const struct osp_map *m, const void *key, size_t size)
{
	struct osp_map_slot *s;

	if (!m->count)
		return NULL;
	s = find_slot(m, key, size, osp_map_hash(key, size, m->seed));
	return s->hash ? s->value : NULL;
}

void *osp_map_remove(struct osp_map *m, const void *key, size_t size)
{
	struct osp_map_slot *s;
	size_t hole, i;
	void *value;

	if (!m->count)
		return NULL;
	s = find_slot(m, key, size, osp_map_hash(key, size, m->seed));
	if (!s->hash)
		return NULL;
	value = s->value;
	free_key(s);
	hole = (size_t)(s - m->slots);
	for (i = (hole + 1) & (m->capacity - 1); m->slots[i].hash;
	     i = (i + 1) & (m->capacity - 1)) {
		size_t home = m->slots[i].hash & (m->capacity - 1);

		if (((i - home) & (m->capacity - 1)) < ((i - hole) & (m->capacity - 1)))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].hash = 0;
	m->count--;
	return value;
}

void *osp_map_next(const struct osp_map *m, size_t *at)
{
	while (*at < m->capacity) {
		struct osp_map_slot *s = &m->slots[(*at)++];

		if (s->hash)
			return s->value;
	}
	return NULL;
}
