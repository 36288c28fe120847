/*
 * Names of a session file: each stored once and known by a number. Four small tables (classes,
 * points, fields, kinds of link) are held whole by writer and reader; the table of strings has no
 * bound, so only a part of it is held and the rest is looked up. Part of the SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"

enum { NAMES_MAX = 65535 };

/* Columns: the number, `texts` texts, then an integer if there is one. */
static const struct table {
	const char *add, *get;
	int texts;
	bool integer;
	unsigned required; /* bits of the texts that are never NULL */
} tables[NAMES_COUNT] = {
	[NAMES_CLASS] = {"INSERT INTO class VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			 "SELECT * FROM class WHERE key >= ?1 ORDER BY 1", 6, true, 0x30},
	[NAMES_POINT] = {"INSERT INTO point VALUES(?1, ?2, ?3)",
			 "SELECT * FROM point WHERE number >= ?1 ORDER BY 1", 1, true, 0x1},
	[NAMES_FIELD] = {"INSERT INTO field VALUES(?1, ?2, ?3)",
			 "SELECT * FROM field WHERE number >= ?1 ORDER BY 1", 2, false, 0x3},
	[NAMES_RULE] = {"INSERT INTO rule VALUES(?1, ?2)",
			"SELECT * FROM rule WHERE number >= ?1 ORDER BY 1", 1, false, 0x1},
	[NAMES_LINK_KIND] = {"INSERT INTO link_kind VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
			     "SELECT * FROM link_kind WHERE key >= ?1 ORDER BY 1", 5, false, 0xf},
};

/* One block: the entry and its texts behind it. */
static struct name *copy_name(const struct table *t, const struct name *from)
{
	size_t size = sizeof(*from);
	struct name *n;
	char *at;

	for (int i = 0; i < t->texts; i++)
		size += from->texts[i] ? strlen(from->texts[i]) + 1 : 0;
	n = calloc(1, size);
	if (!n)
		return NULL;
	at = (char *)(n + 1);
	n->integer = from->integer;
	for (int i = 0; i < t->texts; i++) {
		if (!from->texts[i])
			continue;
		n->texts[i] = strcpy(at, from->texts[i]);
		at += strlen(at) + 1;
	}
	return n;
}

static int append_name(struct sqlite_store *s, enum name_table t, const struct name *columns)
{
	struct names *names = &s->names[t];
	struct name *n;

	if (names->count == NAMES_MAX)
		return osp_store_fail(&s->base, -ENOSPC, "%s: more than %d names of one kind",
				      s->path, NAMES_MAX);
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		struct name **entries = realloc(names->entries, room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		names->entries = entries;
		names->room = room;
	}
	n = copy_name(&tables[t], columns);
	if (!n)
		return -ENOMEM;
	names->entries[names->count++] = n;
	return 0;
}

static bool is_same(const struct table *t, const struct name *a, const struct name *b)
{
	if (a->integer != b->integer)
		return false;
	for (int i = 0; i < t->texts; i++)
		if (a->texts[i] != b->texts[i] &&
		    (!a->texts[i] || !b->texts[i] || strcmp(a->texts[i], b->texts[i])))
			return false;
	return true;
}

static int make_key(struct sqlite_store *s, const struct table *t, const struct name *n)
{
	int r = 0;

	osp_buffer_reset(&s->key);
	for (int i = 0; !r && i < t->texts; i++)
		r = n->texts[i] ? osp_buffer_add(&s->key, n->texts[i], strlen(n->texts[i]) + 1)
				: osp_buffer_add(&s->key, "\xff", 2);
	return r ? r : osp_buffer_add(&s->key, &n->integer, sizeof(n->integer));
}

static bool is_whole(const struct table *t, const struct name *n)
{
	for (int i = 0; i < t->texts; i++)
		if (t->required >> i & 1 && !n->texts[i])
			return false;
	return true;
}

/* Reads the entries that the table has gained. */
static int load_names(struct sqlite_store *s, enum name_table t)
{
	struct names *names = &s->names[t];
	sqlite3_stmt *st = NULL;
	int r = 0, code;

	if (sqlite3_prepare_v2(s->db, tables[t].get, -1, &st, NULL))
		return sqlite_fail(s, "read names");
	sqlite3_bind_int64(st, 1, (int64_t)names->count);
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		struct name n = {.integer = 0};

		for (int i = 0; i < tables[t].texts; i++)
			n.texts[i] = (const char *)sqlite3_column_text(st, 1 + i);
		if (tables[t].integer)
			n.integer = sqlite3_column_int64(st, 1 + tables[t].texts);
		if (sqlite3_column_int64(st, 0) != (int64_t)names->count ||
		    !is_whole(&tables[t], &n))
			r = osp_store_fail(&s->base, -EBADMSG, "%s: damaged table of names",
					   s->path);
		else
			r = append_name(s, t, &n);
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "read names");
	sqlite3_finalize(st);
	return r;
}

static int insert_name(struct sqlite_store *s, enum name_table t, const struct name *n)
{
	const struct table *table = &tables[t];
	sqlite3_stmt *st = NULL;
	int r;

	if (sqlite3_prepare_v2(s->db, table->add, -1, &st, NULL))
		return sqlite_fail(s, "add a name");
	sqlite3_bind_int64(st, 1, (int64_t)s->names[t].count);
	for (int i = 0; i < table->texts; i++)
		sqlite3_bind_text(st, 2 + i, n->texts[i], -1, SQLITE_STATIC);
	if (table->integer)
		sqlite3_bind_int64(st, 2 + table->texts, n->integer);
	r = sqlite_run(s, st);
	sqlite3_finalize(st);
	return r;
}

static int add_name(struct sqlite_store *s, enum name_table t, const struct name *columns,
		    uint32_t *number)
{
	struct names *names = &s->names[t];
	int r = make_key(s, &tables[t], columns);
	void *known;

	if (r)
		return r;
	known = osp_map_find(&names->numbers, s->key.data, s->key.size);
	if (!known) {
		r = insert_name(s, t, columns);
		r = r ? r : append_name(s, t, columns);
		known = (void *)(uintptr_t)names->count;
		r = r ? r : osp_map_add(&names->numbers, s->key.data, s->key.size, known);
		if (r)
			return r;
	}
	*number = (uint32_t)(uintptr_t)known - 1;
	return 0;
}

static size_t recent_place(struct name_hint hint, int64_t integer)
{
	return ((uintptr_t)hint.a / 2 + (uintptr_t)hint.b * 7 + (uintptr_t)integer) % NAMES_RECENT;
}

int sqlite_names_add(struct sqlite_store *s, enum name_table t, const struct name *columns,
		     struct name_hint hint, uint32_t *number)
{
	struct names *names = &s->names[t];
	struct recent_name *recent = &names->recent[recent_place(hint, columns->integer)];
	int r;

	if (recent->text == hint.a && recent->other == hint.b &&
	    recent->integer == columns->integer && recent->number < names->count &&
	    is_same(&tables[t], names->entries[recent->number], columns)) {
		*number = recent->number;
		return 0;
	}
	r = add_name(s, t, columns, number);
	if (!r)
		*recent = (struct recent_name){hint.a, hint.b, columns->integer, *number};
	return r;
}

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* Links of a rule differ in `also` at most, and in that seldom. */
static bool is_recent_kind(const struct sqlite_store *s, const struct recent_kind *k,
			   const struct osp_edge *e)
{
	const struct names *kinds = &s->names[NAMES_LINK_KIND];

	return k->rule == e->rule && k->makes == e->makes && k->evidence == e->evidence &&
	       k->grade == e->grade && is_same_text(kinds->entries[k->number]->texts[4], e->also);
}

int sqlite_names_add_kind(struct sqlite_store *s, const struct osp_edge *e, uint32_t *number)
{
	struct name n = {.texts = {e->rule, e->makes, e->evidence, e->grade, e->also}};
	struct recent_kind *recent =
		&s->recent_kinds[((uintptr_t)e->rule ^ (uintptr_t)e->grade) / 8 % KINDS_RECENT];
	int r;

	if (e->lasting && is_recent_kind(s, recent, e)) {
		*number = recent->number;
		return 0;
	}
	r = sqlite_names_add(s, NAMES_LINK_KIND, &n, (struct name_hint){e->rule, e->evidence},
			     number);
	if (!r && e->lasting)
		*recent = (struct recent_kind){e->rule, e->makes, e->evidence, e->grade, *number};
	return r;
}

int sqlite_names_get(struct sqlite_store *s, enum name_table t, int64_t number,
		     const struct name **out)
{
	struct names *names = &s->names[t];
	int r = 0;

	if (number >= (int64_t)names->count)
		r = load_names(s, t);
	if (r)
		return r;
	if (number < 0 || number >= (int64_t)names->count)
		return osp_store_fail(&s->base, -EBADMSG, "%s: damaged: no name %lld", s->path,
				      (long long)number);
	*out = names->entries[number];
	return 0;
}

/* ---- strings ---- */

static int find_string(struct sqlite_store *s, const void *text, size_t size, int64_t *id)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_FIND_STRING);
	int code;

	if (!st)
		return sqlite_fail(s, "find a string");
	sqlite3_bind_text(st, 1, text, (int)size, SQLITE_STATIC);
	code = sqlite3_step(st);
	*id = code == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : sqlite_fail(s, "find a string");
}

static int add_string(struct sqlite_store *s, const void *text, size_t size, int64_t *id)
{
	sqlite3_stmt *st;
	int r = 0;

	*id = 0;
	if (s->strings_elsewhere)
		r = find_string(s, text, size, id);
	if (r || *id)
		return r;
	st = sqlite_statement(s, STATEMENT_ADD_STRING);
	if (!st)
		return sqlite_fail(s, "add a string");
	sqlite3_bind_text(st, 1, text, (int)size, SQLITE_STATIC);
	r = sqlite_run(s, st);
	if (!r)
		*id = sqlite3_last_insert_rowid(s->db);
	return r;
}

static int intern(struct sqlite_store *s, const void *text, size_t size, int64_t *id)
{
	int r = add_string(s, text, size, id);

	return r ? r : osp_map_add(&s->strings, text, size, (void *)(uintptr_t)*id);
}

/* All of a short text decides: names often differ in the middle only. */
static uint64_t hash_text(const char *text, size_t size)
{
	uint64_t h = size, word = 0;

	for (; size >= sizeof(word); size -= sizeof(word), text += sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, text, size);
	return (h ^ word) * 0x9e3779b97f4a7c15;
}

/* The id of a string that the writer knows, or 0. */
static int64_t recall(struct sqlite_store *s, const char *text, size_t size)
{
	struct recent_string *r;
	int64_t id;

	if (size > sizeof(r->text))
		return (int64_t)(uintptr_t)osp_map_find(&s->strings, text, size);
	r = &s->recent_strings[hash_text(text, size) >> 32 & (STRINGS_RECENT - 1)];
	if (r->id && r->size == size && !memcmp(r->text, text, size))
		return r->id;
	id = (int64_t)(uintptr_t)osp_map_find(&s->strings, text, size);
	if (!id)
		return 0;
	r->id = (uint32_t)id;
	r->size = (uint8_t)size;
	memcpy(r->text, text, size);
	return id;
}

int sqlite_string_add(struct sqlite_store *s, const char *text, int64_t *id)
{
	size_t size = text ? strlen(text) : 0;

	*id = text ? recall(s, text, size) : 0;
	if (!text || *id || s->strings.count == s->strings.max)
		return 0;
	return intern(s, text, size, id);
}

int sqlite_string_add_value(struct sqlite_store *s, const void *text, size_t size, int64_t *id)
{
	*id = 0;
	if (!size || size > SQLITE_VALUE_STRING_BYTES)
		return 0;
	*id = recall(s, text, size);
	if (*id || s->value_strings == SQLITE_VALUE_STRINGS || s->strings.count == s->strings.max)
		return 0;
	s->value_strings++;
	return intern(s, text, size, id);
}

int sqlite_string_get(struct sqlite_store *s, int64_t id, struct osp_arena *arena,
		      const char **text, size_t *size)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_GET_STRING);
	int r = 0, code;

	if (!st)
		return sqlite_fail(s, "read a string");
	sqlite3_bind_int64(st, 1, id);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		const void *column = sqlite3_column_text(st, 0);

		*size = (size_t)sqlite3_column_bytes(st, 0);
		*text = column ? osp_arena_copy(arena, column, *size) : NULL;
		r = *text ? 0 : -ENOMEM;
	} else {
		r = code == SQLITE_DONE
			    ? osp_store_fail(&s->base, -EBADMSG, "%s: damaged: no string %lld",
					     s->path, (long long)id)
			    : sqlite_fail(s, "read a string");
	}
	sqlite3_reset(st);
	return r;
}

int sqlite_names_reload(struct sqlite_store *s)
{
	sqlite_names_clear(s);
	s->strings_elsewhere = true;
	for (int t = 0; t < NAMES_COUNT; t++) {
		struct names *names = &s->names[t];
		int r = load_names(s, (enum name_table)t);

		for (size_t i = 0; !r && i < names->count; i++) {
			r = make_key(s, &tables[t], names->entries[i]);
			r = r ? r
			      : osp_map_add(&names->numbers, s->key.data, s->key.size,
					    (void *)(uintptr_t)(i + 1));
		}
		if (r)
			return r;
	}
	return 0;
}

void sqlite_names_clear(struct sqlite_store *s)
{
	for (int t = 0; t < NAMES_COUNT; t++) {
		struct names *names = &s->names[t];

		for (size_t i = 0; i < names->count; i++)
			free(names->entries[i]);
		free(names->entries);
		osp_map_clear(&names->numbers);
		memset(names, 0, sizeof(*names));
		osp_map_init(&names->numbers, NAMES_MAX + 1, 0x6e616d65);
	}
	osp_map_clear(&s->strings);
	osp_map_init(&s->strings, SQLITE_STRINGS, 0x73747269);
	memset(s->recent_kinds, 0, sizeof(s->recent_kinds));
	memset(s->recent_strings, 0, sizeof(s->recent_strings));
	s->value_strings = 0;
}
