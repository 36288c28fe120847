/*
 * zstd dictionaries: the presets that both sides have in files, and those a broadcaster trains and
 * sends (lonelypsp/compat.py, lonelypsc/config/config.py). Each is digested for one level and
 * shared by whoever uses it.
 */
#pragma once

#include "probes/pubsub/ps_digest.h"

enum {
	PS_DICTIONARY_MAX = 256 << 10, /* bytes of one, from a file or from a peer */
	PS_LEVEL_MAX = 19,	       /* higher ones make frames that need over 8 MiB of window */
	PS_LEVEL_MIN = -1000,
};

struct ps_dictionary; /* counted; each holder has a share */

/*
 * Copies the bytes, for this level (taken into PS_LEVEL_MIN to PS_LEVEL_MAX). Both kinds: those
 * zstd trained, and raw content. -EINVAL for none, -EFBIG over PS_DICTIONARY_MAX, -ENOMEM, -EIO.
 */
int ps_dictionary_new(struct ps_dictionary **out, struct ps_bytes bytes, int64_t level);

/* Another share of it; NULL gives NULL. */
struct ps_dictionary *ps_dictionary_share(struct ps_dictionary *d);

/* Gives a share back; the last one frees it. */
void ps_dictionary_free(struct ps_dictionary **d);

/*
 * Digests it for both directions, once; before its first use. This takes milliseconds (README.md).
 * -EBADMSG when zstd does not take it, -ENOMEM.
 */
int ps_dictionary_prepare(struct ps_dictionary *d);

struct ps_bytes ps_dictionary_bytes(const struct ps_dictionary *d);
struct ps_bytes ps_dictionary_digest(const struct ps_dictionary *d); /* SHA-512 of them */
int ps_dictionary_level(const struct ps_dictionary *d);

/* zstd's, borrowed until the last share is gone; NULL before it is prepared. */
const void *ps_dictionary_compressing(const struct ps_dictionary *d);
const void *ps_dictionary_decompressing(const struct ps_dictionary *d);

/* ---- presets --------------------------------------------------------------------------------- */

enum { PS_PRESET_MIN = 2, PS_PRESET_MAX = 65535, PS_PRESETS_MAX = 64 };

/* One dictionary of the process, by number. */
struct ps_preset {
	uint16_t id;
	uint64_t min;			  /* bytes of the smallest message it is meant for */
	struct ps_dictionary *dictionary; /* owned: for the level asked for last */
};

/* All of them. All zero is none. */
struct ps_presets {
	struct ps_preset *list; /* owned */
	size_t count;
};

/*
 * Adds what an option says, `ID=FILE[,level=N][,min=BYTES]` (level 3, min 32), digested. -EINVAL,
 * -EEXIST, -ENOSPC for one over PS_PRESETS_MAX, -EBADMSG, the file's error; says on stderr what is wrong.
 */
int ps_presets_add(struct ps_presets *p, const char *option);
void ps_presets_clear(struct ps_presets *p);

/* NULL if there is none of this number. */
struct ps_preset *ps_presets_find(const struct ps_presets *p, uint64_t id);

/* A share of its dictionary, for a level that need not be the file's. -ENOMEM, -EIO. */
int ps_preset_get(struct ps_dictionary **out, struct ps_preset *p, int64_t level);
