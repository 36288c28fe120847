/* Hashes for tables and for telling values apart by them alone; not cryptographic. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Mixes two words into one that is not 0, for a table. */
static inline uint64_t osp_hash_words(uint64_t a, uint64_t b)
{
	unsigned __int128 product =
		(unsigned __int128)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xd6e8feb86659fd93ull);

	return ((uint64_t)product ^ (uint64_t)(product >> 64)) | 1ull << 32;
}

/* 128 bits of the bytes: enough to take equal hashes for equal bytes. */
void osp_hash_bytes(uint64_t hash[2], const void *bytes, size_t size);
