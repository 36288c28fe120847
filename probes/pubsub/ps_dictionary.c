/*
 * Bytes of a dictionary with zstd's tables for them. Fed by presets, by ENABLE_ZSTD_CUSTOM and by
 * training; used by ps_zstd. Owns the bytes and the tables until the last share is given back.
 */
#include "probes/pubsub/ps_dictionary.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "user/base/cleanup.h"

struct ps_dictionary {
	unsigned shares;
	int level;
	ZSTD_CDict *compressing;
	ZSTD_DDict *decompressing;
	uint8_t digest[PS_DIGEST_SIZE];
	size_t size;
	uint8_t bytes[];
};

int ps_dictionary_limit_level(int64_t level)
{
	if (level > PS_LEVEL_MAX)
		return PS_LEVEL_MAX;
	return level < ZSTD_minCLevel() ? ZSTD_minCLevel() : (int)level;
}

int ps_dictionary_new(struct ps_dictionary **out, struct ps_bytes bytes, int64_t level)
{
	_cleanup_(ps_dictionary_free) struct ps_dictionary *d = NULL;
	int r;

	if (!bytes.size)
		return -EINVAL;
	if (bytes.size > PS_DICTIONARY_MAX)
		return -EFBIG;
	d = calloc(1, sizeof(*d) + bytes.size);
	if (!d)
		return -ENOMEM;
	d->shares = 1;
	d->level = ps_dictionary_limit_level(level);
	d->size = bytes.size;
	memcpy(d->bytes, bytes.data, bytes.size);
	r = ps_digest_of(bytes, d->digest);
	if (r)
		return r;
	*out = TAKE_PTR(d);
	return 0;
}

struct ps_dictionary *ps_dictionary_share(struct ps_dictionary *d)
{
	if (d)
		d->shares++;
	return d;
}

void ps_dictionary_free(struct ps_dictionary **d)
{
	struct ps_dictionary *last = TAKE_PTR(*d);

	if (!last || --last->shares)
		return;
	ZSTD_freeCDict(last->compressing);
	ZSTD_freeDDict(last->decompressing);
	free(last);
}

int ps_dictionary_prepare(struct ps_dictionary *d)
{
	if (!d->compressing)
		d->compressing = ZSTD_createCDict(d->bytes, d->size, d->level);
	if (!d->decompressing)
		d->decompressing = ZSTD_createDDict(d->bytes, d->size);
	return d->compressing && d->decompressing ? 0 : -EBADMSG;
}

struct ps_bytes ps_dictionary_bytes(const struct ps_dictionary *d)
{
	return ps_bytes(d->bytes, d->size);
}

struct ps_bytes ps_dictionary_digest(const struct ps_dictionary *d)
{
	return ps_bytes(d->digest, sizeof(d->digest));
}

int ps_dictionary_level(const struct ps_dictionary *d)
{
	return d->level;
}

const void *ps_dictionary_compressing(const struct ps_dictionary *d)
{
	return d->compressing;
}

const void *ps_dictionary_decompressing(const struct ps_dictionary *d)
{
	return d->decompressing;
}
