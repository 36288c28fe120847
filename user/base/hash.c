/*
 * Hashes of bytes (user/base/hash.h): two lanes, each of which takes in every word without losing
 * any of it.
 */
#include "user/base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

uint64_t osp_hash_secret[2] = {0x9e3779b97f4a7c15ull, 0xd6e8feb86659fd93ull};

int osp_hash_seed(void)
{
	uint64_t secret[2];

	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return -errno;
	memcpy(osp_hash_secret, secret, sizeof(secret));
	return 0;
}

void osp_hash_bytes(uint64_t hash[2], const void *bytes, size_t size)
{
	uint64_t a = osp_hash_secret[0] ^ size, b = osp_hash_secret[1] + size, word;
	const uint8_t *p = bytes;

	for (size_t left = size; left; left -= left < 8 ? left : 8, p += 8) {
		word = 0;
		memcpy(&word, p, left < 8 ? left : 8);
		a = (a ^ word) * 0x9e3779b97f4a7c15ull;
		a ^= a >> 32;
		b = (b + word) * 0xd6e8feb86659fd93ull;
		b ^= b >> 29;
	}
	a *= 0xd6e8feb86659fd93ull;
	b *= 0x9e3779b97f4a7c15ull;
	hash[0] = a ^ a >> 32;
	hash[1] = b ^ b >> 32;
}
