/*
 * The preset dictionaries of a process, by number: files that both sides were given
 * (lonelypsc/config/config.py, lonelypss/config/config.py: get_compression_dictionary_by_id).
 */
#pragma once

#include "probes/pubsub/ps_dictionary.h"

enum { PS_PRESET_FIRST = 2, PS_PRESET_LAST = 65535, PS_PRESETS_MAX = 64 };

struct ps_preset {
	uint64_t id;
	struct ps_dictionary *dictionary; /* owned share: for the level asked for last */
};

/* All zero is none. */
struct ps_presets {
	struct ps_preset list[PS_PRESETS_MAX];
	size_t count;
};

/*
 * Adds what an option says, `ID=FILE` or `ID:LEVEL=FILE` (a broadcaster chooses the level), and
 * digests it. -EINVAL, -EEXIST, -ENOSPC for one too many, -EFBIG, -EBADMSG, or the file's error;
 * says on stderr what is wrong.
 */
int ps_presets_add(struct ps_presets *p, const char *option);
void ps_presets_clear(struct ps_presets *p);

/* NULL if there is none of this number. */
struct ps_preset *ps_presets_find(struct ps_presets *p, uint64_t id);

/* A share of its dictionary, perhaps not yet prepared, for a level of one's own. -errno. */
int ps_preset_get(struct ps_dictionary **out, struct ps_preset *p, int64_t level);
