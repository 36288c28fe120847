/*
 * zstd dictionaries: presets, which both sides have in files, and those that a broadcaster trains
 * and sends (lonelypsp/stateful/messages/enable_zstd_custom.py). Each is digested for one level
 * and shared by whoever uses it.
 */
#pragma once

#include "probes/pubsub/ps_digest.h"

enum {
	PS_DICTIONARY_MAX = 128 << 10, /* bytes; zstd itself makes 112 KiB at most by default */
	PS_LEVEL_DEFAULT = 3,
	PS_LEVEL_MAX = 19, /* higher ones make frames that need over 8 MiB of window */
};

struct ps_dictionary; /* counted: each holder has a share */

/*
 * Copies the bytes; to be used at `level`, or PS_LEVEL_MAX if that is lower. Both kinds are taken:
 * those zstd trained, and raw content. -EINVAL for no bytes, -EFBIG over PS_DICTIONARY_MAX,
 * -ENOMEM, -EIO.
 */
int ps_dictionary_new(struct ps_dictionary **out, struct ps_bytes bytes, int64_t level);

/* Another share of it; NULL gives NULL. */
struct ps_dictionary *ps_dictionary_share(struct ps_dictionary *d);

/* Gives a share back; the last one frees it. */
void ps_dictionary_free(struct ps_dictionary **d);

/*
 * Digests it for both directions, before its first use; again it does nothing. Measured: under 1 ms
 * for a trained one of 64 KiB at level 10, 20 ms for 128 KiB of raw content at level 19.
 * -EBADMSG when zstd does not take it.
 */
int ps_dictionary_prepare(struct ps_dictionary *d);

struct ps_bytes ps_dictionary_bytes(const struct ps_dictionary *d);
struct ps_bytes ps_dictionary_digest(const struct ps_dictionary *d); /* SHA-512 of them */
int ps_dictionary_level(const struct ps_dictionary *d);

/* A level as it is used here. */
int ps_dictionary_limit_level(int64_t level);

/* zstd's ZSTD_CDict and ZSTD_DDict, borrowed; NULL before it is prepared. */
const void *ps_dictionary_compressing(const struct ps_dictionary *d);
const void *ps_dictionary_decompressing(const struct ps_dictionary *d);
