/*
 * Where operations lie: for every block of 64 operations (2^22 ids: programs number theirs one
 * after the other, 2^16 apart) the first and the last bundle that holds one of them. The writer
 * knows it in memory and writes it down from time to time; a reader completes what a recording
 * that runs, or was cut off, has not written yet. Part of the SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"

enum {
	BLOCK_BITS = 22,
	OPERATION_BITS = 16,
	NEAR = 64, /* bundles: looked through in less time than a hint is worth */
};

/*
 * Where an operation lies that is not complete, and so will be opened again, if that is far from the
 * first of its block. It may be wrong: then it lies somewhere between those of its block.
 */
struct hint {
	uint64_t id;
	int64_t bundle;
};

static uint64_t bit_of(uint64_t id)
{
	return 1ull << (id >> OPERATION_BITS & 63);
}

static struct sqlite_recent_place *recent_place(struct sqlite_store *s, uint64_t block)
{
	return &s->recent_places[(block * 0x9e3779b97f4a7c15) >> 32 & (SQLITE_RECENT - 1)];
}

static struct sqlite_place *find_block(struct sqlite_store *s, uint64_t id)
{
	uint64_t block = id >> BLOCK_BITS;
	struct sqlite_recent_place *recent = recent_place(s, block);

	if (!recent->known || recent->block != block)
		*recent = (struct sqlite_recent_place){
			block, osp_map_find(&s->places, &block, sizeof(block)), true};
	return recent->place;
}

static int add_block(struct sqlite_store *s, uint64_t id, struct sqlite_place **out)
{
	uint64_t block = id >> BLOCK_BITS;
	int r;

	*out = find_block(s, id);
	if (*out)
		return 0;
	if (s->places.count == s->places.max)
		return osp_store_fail(&s->base, -ENOSPC, "%s: too many operations", s->path);
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	**out = (struct sqlite_place){.block = block, .first = INT64_MAX};
	r = osp_map_add(&s->places, &block, sizeof(block), *out);
	if (r)
		free(*out);
	else
		recent_place(s, block)->place = *out; /* find_block has just looked for it */
	return r;
}

const struct sqlite_place *sqlite_place_find(struct sqlite_store *s, uint64_t id)
{
	const struct sqlite_place *p = find_block(s, id);

	return p && p->stored & bit_of(id) ? p : NULL;
}

static void mark_dirty(struct sqlite_store *s, struct sqlite_place *p)
{
	if (p->dirty)
		return;
	p->dirty = true;
	p->next = s->dirty;
	s->dirty = p;
}

static void drop_hint(struct sqlite_store *s, uint64_t id)
{
	free(osp_map_remove(&s->hints, &id, sizeof(id)));
}

/* A bundle that cannot be remembered is searched for. */
static void add_hint(struct sqlite_store *s, uint64_t id, int64_t bundle)
{
	struct hint *h = osp_map_find(&s->hints, &id, sizeof(id));

	if (h) {
		h->bundle = bundle;
		return;
	}
	h = malloc(sizeof(*h));
	if (!h)
		return;
	*h = (struct hint){id, bundle};
	if (osp_map_add(&s->hints, &h->id, sizeof(h->id), h))
		free(h);
}

int sqlite_place_add(struct sqlite_store *s, const struct osp_row *row, int64_t bundle)
{
	struct sqlite_place *p;
	int r = add_block(s, row->id, &p);

	if (r)
		return r;
	p->stored |= bit_of(row->id);
	p->first = p->first < bundle ? p->first : bundle;
	p->last = p->last > bundle ? p->last : bundle;
	mark_dirty(s, p);
	if (!row->complete && bundle - p->first > NEAR)
		add_hint(s, row->id, bundle);
	else
		drop_hint(s, row->id);
	s->place_again |= bundle <= s->placed;
	return 0;
}

int64_t sqlite_place_hint(const struct sqlite_store *s, uint64_t id)
{
	const struct hint *h = osp_map_find(&s->hints, &id, sizeof(id));

	return h ? h->bundle : 0;
}

int sqlite_place_add_edge(struct sqlite_store *s, uint64_t id)
{
	struct sqlite_place *p;
	int r = add_block(s, id, &p);

	if (!r)
		p->edged |= bit_of(id);
	return r;
}

bool sqlite_place_has_edge(struct sqlite_store *s, uint64_t id)
{
	const struct sqlite_place *p = find_block(s, id);

	return p && p->edged & bit_of(id);
}

static int write_place(struct sqlite_store *s, struct sqlite_place *p)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_PLACE);

	if (!st)
		return sqlite_fail(s, "write");
	sqlite3_bind_int64(st, 1, (int64_t)p->block);
	sqlite3_bind_int64(st, 2, p->first);
	sqlite3_bind_int64(st, 3, p->last);
	p->dirty = false;
	return sqlite_run(s, st);
}

int sqlite_place_flush(struct sqlite_store *s)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_SET_PLACED);
	int r = 0;

	if (!st)
		return sqlite_fail(s, "write");
	for (struct sqlite_place *p; !r && (p = s->dirty);) {
		r = write_place(s, p);
		s->dirty = p->next;
	}
	sqlite3_bind_int64(st, 1, s->bundle_keys);
	r = r ? r : sqlite_run(s, st);
	if (!r) {
		s->placed = s->bundle_keys;
		s->place_again = false;
	}
	return r;
}

void sqlite_place_reload(struct sqlite_store *s)
{
	struct sqlite_place *p;

	for (size_t at = 0; (p = osp_map_next(&s->places, &at));)
		if (p->stored)
			mark_dirty(s, p);
	s->placed = 0;
}

void sqlite_place_clear(struct sqlite_store *s)
{
	struct sqlite_place *p;

	struct hint *h;

	for (size_t at = 0; (p = osp_map_next(&s->places, &at));)
		free(p);
	osp_map_clear(&s->places);
	osp_map_init(&s->places, SQLITE_PLACES, 0x706c6163);
	memset(s->recent_places, 0, sizeof(s->recent_places));
	s->dirty = NULL;
	for (size_t at = 0; (h = osp_map_next(&s->hints, &at));)
		free(h);
	osp_map_clear(&s->hints);
	osp_map_init(&s->hints, SQLITE_HINTS, 0x68696e74);
}

/* All are kept when there is no memory for fewer. */
static void forget_hints(struct sqlite_store *s, int64_t first)
{
	struct osp_map kept;
	struct hint *h;

	osp_map_init(&kept, SQLITE_HINTS, 0x68696e74);
	for (size_t at = 0; (h = osp_map_next(&s->hints, &at));)
		if (h->bundle >= first && osp_map_add(&kept, &h->id, sizeof(h->id), h)) {
			osp_map_clear(&kept);
			return;
		}
	for (size_t at = 0; (h = osp_map_next(&s->hints, &at));)
		if (h->bundle < first)
			free(h);
	osp_map_clear(&s->hints);
	s->hints = kept;
}

void sqlite_place_forget(struct sqlite_store *s, int64_t first)
{
	struct osp_map kept;
	struct sqlite_place *p;

	osp_map_init(&kept, SQLITE_PLACES, 0x706c6163);
	for (size_t at = 0; (p = osp_map_next(&s->places, &at));)
		if (p->last >= first && osp_map_add(&kept, &p->block, sizeof(p->block), p)) {
			osp_map_clear(&kept); /* no memory: all are kept */
			return;
		}
	for (size_t at = 0; (p = osp_map_next(&s->places, &at));)
		if (p->last < first)
			free(p);
	osp_map_clear(&s->places);
	memset(s->recent_places, 0, sizeof(s->recent_places));
	s->places = kept;
	forget_hints(s, first);
}

/* ---- reading ---- */

static int read_placed(struct sqlite_store *s, int64_t *placed, int64_t *last)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT coalesce((SELECT bundle FROM placed), 0), "
			       "coalesce((SELECT max(key) FROM bundle), 0)",
			       -1, &st, NULL) ||
	    sqlite3_step(st) != SQLITE_ROW)
		r = sqlite_fail(s, "read");
	*placed = sqlite3_column_int64(st, 0);
	*last = sqlite3_column_int64(st, 1);
	sqlite3_finalize(st);
	return r;
}

static int place_bundle(struct sqlite_store *s, sqlite3_stmt *from, sqlite3_stmt *to)
{
	struct sqlite_bundle b;
	int r = sqlite_decode(s, from, &b);

	for (size_t i = 0; !r && i < b.count; i++) {
		sqlite3_bind_int64(to, 1, (int64_t)(sqlite_decode_id(&b, i) >> BLOCK_BITS));
		sqlite3_bind_int64(to, 2, b.key);
		r = sqlite_run(s, to);
	}
	return r;
}

/* The few bundles at the end that the table does not know are looked at one by one. */
static int place_rest(struct sqlite_store *s, int64_t placed)
{
	sqlite3_stmt *from = NULL, *to = NULL;
	int code = SQLITE_DONE, r = 0;

	if (sqlite3_prepare_v2(s->db, "SELECT * FROM bundle WHERE key > ?1", -1, &from, NULL) ||
	    sqlite3_prepare_v2(
		    s->db,
		    "INSERT INTO temp.place VALUES(?1, ?2, ?2) ON CONFLICT DO UPDATE SET "
		    "first = min(first, ?2), last = max(last, ?2)",
		    -1, &to, NULL))
		r = sqlite_fail(s, "read");
	sqlite3_bind_int64(from, 1, placed);
	while (!r && (code = sqlite3_step(from)) == SQLITE_ROW)
		r = place_bundle(s, from, to);
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "read");
	sqlite3_finalize(from);
	sqlite3_finalize(to);
	return r;
}

int sqlite_place_read(struct sqlite_store *s)
{
	int64_t placed, last;
	int r;

	if (s->base.writable)
		return s->placed < s->bundle_keys ? sqlite_place_flush(s) : 0;
	if (s->placed_aside)
		return 0;
	s->placed_aside = true;
	r = read_placed(s, &placed, &last);
	if (r || placed >= last)
		return r;
	r = sqlite_exec(s, "CREATE TEMP TABLE place(block INTEGER PRIMARY KEY, first INTEGER, "
			   "last INTEGER);"
			   "INSERT INTO temp.place SELECT * FROM main.place;");
	return r ? r : place_rest(s, placed);
}
