/* Hashes for tables and for telling values apart by them alone; not cryptographic. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What the hashes of this process start from. A recorder draws its own (osp_hash_seed), so that a
 * traced program cannot choose ids that all end up in one chain; without that they are constants,
 * and tests see the same tables every time. Nothing that is stored depends on it.
 */
extern uint64_t osp_hash_secret[2];

/* Draws the secret. Once, before the first table is made. -errno: the constants stay. */
int osp_hash_seed(void);

/* Mixes two words into one that is not 0. */
static inline uint64_t osp_hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return ((uint64_t)product ^ (uint64_t)(product >> 64)) | 1ull << 32;
}

/* The same for a table whose words somebody may choose. */
static inline uint64_t osp_hash_words(uint64_t a, uint64_t b)
{
	return osp_hash_mix(a ^ osp_hash_secret[0], b ^ osp_hash_secret[1]);
}

/* 128 bits of the bytes: enough to take equal hashes for equal bytes. */
void osp_hash_bytes(uint64_t hash[2], const void *bytes, size_t size);
