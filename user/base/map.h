/*
 * A hash map from byte keys to pointers, with a maximum. Open addressing; keys are copied,
 * values are borrowed: the map's owner outlives them or removes them first.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct osp_map_slot {
	uint64_t hash; /* 0 = empty */
	void *value;
	uint32_t key_size;
	uint8_t key[20]; /* the key, or a pointer to it when it is longer */
};

struct osp_map {
	struct osp_map_slot *slots;
	size_t capacity; /* a power of two */
	size_t count;
	size_t max;
	uint64_t seed;
};

/* An empty map for at most `max` keys. `seed` makes collisions unpredictable to outsiders. */
void osp_map_init(struct osp_map *m, size_t max, uint64_t seed);
void osp_map_clear(struct osp_map *m);

/* Binds the key (replacing an earlier value). -ENOSPC when full, -ENOMEM. value is not NULL. */
int osp_map_add(struct osp_map *m, const void *key, size_t size, void *value);

/* The value, or NULL. */
void *osp_map_find(const struct osp_map *m, const void *key, size_t size);

/* Unbinds the key and returns its value, or NULL. Not to be called while iterating. */
void *osp_map_remove(struct osp_map *m, const void *key, size_t size);

/* Walks all values in no order: for (size_t i = 0; (v = osp_map_next(m, &i));) */
void *osp_map_next(const struct osp_map *m, size_t *at);

/* The hash the map uses, for others who need one: 64 bits, seeded, not cryptographic. */
uint64_t osp_map_hash(const void *key, size_t size, uint64_t seed);
