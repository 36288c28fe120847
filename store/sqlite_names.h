/* What the SQLite driver holds of its tables of names (store/sqlite_names.c). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "user/base/map.h"

/* Tables of names that are small enough to be held whole: number -> columns and back. */
enum name_table { NAMES_CLASS, NAMES_POINT, NAMES_FIELD, NAMES_RULE, NAMES_LINK_KIND, NAMES_COUNT };

struct name {
	const char *texts[6]; /* as many as the table has; NULL = none */
	int64_t integer;      /* the one integer column, 0 where there is none */
};

enum { NAMES_RECENT = 1024, STRINGS_RECENT = 2048, KINDS_RECENT = 64 };

struct names {
	struct name **entries; /* owned; by number */
	size_t count, room;
	struct osp_map numbers; /* columns -> number + 1; of the writer only */
	/* by the addresses of two texts: certain for lasting ones, else verified before use */
	struct recent_name {
		const void *text, *other;
		int64_t integer;
		uint32_t number;
	} recent[NAMES_RECENT];
};

/* A kind of link met lately, by the addresses of texts that last; `also` is compared. */
struct recent_kind {
	const char *rule, *makes, *evidence, *grade; /* rule NULL = none */
	uint32_t number;
};

/* A string met lately; one line of the cache, where most look-ups end. */
struct recent_string {
	uint32_t id; /* 0 = none */
	uint8_t size;
	char text[59];
};
