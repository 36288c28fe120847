/*
 * All subscriptions of one url at once: read for their etag, and replaced by others. What is
 * stored and what is wanted are both in the order of their keys, so one walk along the two finds
 * what to add, what to remove and what stays. Fed by CHECK and SET at the broadcaster; one
 * transaction each, as long as the url's lists.
 */
#include <errno.h>

#include "probes/pubsub/ps_db_private.h"

enum { STORED_MAX = 64 << 20 };

static int run(struct ps_db *db, const char *sql)
{
	return ps_sqlite_errno(sqlite3_exec(db->db, sql, NULL, NULL, NULL));
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct ps_bytes column(sqlite3_stmt *s, int i)
{
	const void *data = sqlite3_column_blob(s, i);

	return ps_bytes(data, (size_t)sqlite3_column_bytes(s, i));
}

static int read_list(struct ps_db *db, enum ps_db_kind kind, struct ps_bytes url,
		     struct ps_list_builder *out)
{
	sqlite3_stmt *s = db->statements[kind][PS_DB_LIST];
	int code, r = 0;

	ps_db_bind_text(s, 1, url);
	while ((code = sqlite3_step(s)) == SQLITE_ROW && !r) {
		struct ps_entry e = {column(s, 0), column(s, 1)};

		r = ps_list_add(out, &e);
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r ? r : ps_sqlite_errno(code);
}

static int read_lists(struct ps_db *db, struct ps_bytes url, struct ps_list_builder *lists)
{
	int r = 0;

	for (int k = 0; k < PS_DB_KINDS && !r; k++) {
		lists[k] = (struct ps_list_builder){.packed.max = STORED_MAX};
		r = read_list(db, k, url, &lists[k]);
	}
	return r;
}

void ps_db_clear_lists(struct ps_list_builder lists[PS_DB_KINDS])
{
	for (int k = 0; k < PS_DB_KINDS; k++)
		osp_buffer_clear(&lists[k].packed);
}

int ps_db_lists(struct ps_db *db, struct ps_bytes url, struct ps_list_builder lists[PS_DB_KINDS])
{
	struct ps_list_builder found[PS_DB_KINDS] = {0};
	int r = run(db, "BEGIN");

	if (!r)
		r = read_lists(db, url, found);
	run(db, "ROLLBACK"); /* only read; ends the snapshot */
	if (r) {
		ps_db_clear_lists(found);
		return r;
	}
	for (int k = 0; k < PS_DB_KINDS; k++)
		lists[k] = found[k];
	return 0;
}

/* ---- setting --------------------------------------------------------------------------------- */

static void tell(struct ps_db_set *set, enum ps_db_change change, enum ps_db_kind kind,
		 const struct ps_entry *e)
{
	set->counts[change]++;
	set->each(set->owner, change, kind, e->key);
}

static int add(struct ps_db *db, struct ps_db_set *set, enum ps_db_kind kind,
	       const struct ps_entry *e)
{
	int r = ps_db_subscribe(db, kind, set->url, e->key, e->recovery);

	if (!r)
		tell(set, PS_DB_ADDED, kind, e);
	return r;
}

static int remove_entry(struct ps_db *db, struct ps_db_set *set, enum ps_db_kind kind,
			const struct ps_entry *e)
{
	int r = ps_db_unsubscribe(db, kind, set->url, e->key);

	if (!r)
		tell(set, PS_DB_REMOVED, kind, e);
	return r;
}

static int update_recovery(struct ps_db *db, struct ps_db_set *set, enum ps_db_kind kind,
			   const struct ps_entry *e)
{
	sqlite3_stmt *s = db->statements[kind][PS_DB_RECOVERY];

	ps_db_bind_key(s, 1, kind, e->key);
	ps_db_bind_text(s, 2, set->url);
	ps_db_bind_text(s, 3, e->recovery);
	set->updated++;
	return ps_db_run(db, s);
}

static int keep(struct ps_db *db, struct ps_db_set *set, enum ps_db_kind kind,
		const struct ps_entry *is, const struct ps_entry *wanted)
{
	int r = 0;

	if (!ps_bytes_equal(is->recovery, wanted->recovery))
		r = update_recovery(db, set, kind, wanted);
	if (!r)
		tell(set, PS_DB_KEPT, kind, wanted);
	return r;
}

static int apply(struct ps_db *db, struct ps_db_set *set, enum ps_db_kind kind,
		 struct ps_list stored)
{
	struct ps_list wanted = set->lists[kind];
	struct ps_entry is, want;
	bool has_is = !ps_list_next(&stored, &is), has_want = !ps_list_next(&wanted, &want);
	int r = 0;

	while (!r && (has_is || has_want)) {
		int order = !has_is ? 1 : !has_want ? -1 : ps_bytes_compare(is.key, want.key);

		if (order < 0)
			r = remove_entry(db, set, kind, &is);
		else if (order > 0)
			r = add(db, set, kind, &want);
		else
			r = keep(db, set, kind, &is, &want);
		if (order <= 0)
			has_is = !ps_list_next(&stored, &is);
		if (order >= 0)
			has_want = !ps_list_next(&wanted, &want);
	}
	return r;
}

static int apply_all(struct ps_db *db, struct ps_db_set *set)
{
	struct ps_list_builder stored[PS_DB_KINDS] = {0};
	int r = read_lists(db, set->url, stored);

	for (int k = 0; k < PS_DB_KINDS && !r; k++)
		r = apply(db, set, k, ps_list_of(&stored[k]));
	ps_db_clear_lists(stored);
	return r;
}

/* The maximum counts at the end: what is added may stand before what goes. */
static int apply_bounded(struct ps_db *db, struct ps_db_set *set)
{
	uint64_t count = db->count, max = db->max;
	int r;

	db->max = UINT64_MAX;
	r = apply_all(db, set);
	db->max = max;
	return !r && db->count > max && db->count > count ? -ENOSPC : r;
}

int ps_db_set(struct ps_db *db, struct ps_db_set *set)
{
	uint64_t count = db->count;
	int r = run(db, "BEGIN IMMEDIATE");

	if (r)
		return r;
	for (int i = 0; i < PS_DB_CHANGES; i++)
		set->counts[i] = 0;
	set->updated = 0;
	r = apply_bounded(db, set);
	if (!r)
		r = run(db, "COMMIT");
	if (r) {
		run(db, "ROLLBACK");
		db->count = count;
	}
	return r;
}
