/*
 * What subscribers missed: a mark in the subscription's row with the time of the next try. A
 * broadcaster that tries claims the mark by a lock, for a time, so that others on the same
 * database leave it alone and a broadcaster that died loses it again. Fed by the fan-out (marks)
 * and the sweep (claims, releases).
 */
#include <errno.h>

#include "probes/pubsub/ps_db_private.h"
#include "probes/pubsub/ps_system.h"

static void bind_bytes(sqlite3_stmt *s, int at, struct ps_bytes b)
{
	sqlite3_bind_blob(s, at, b.size ? b.data : "", (int)b.size, SQLITE_STATIC);
}

int ps_db_upsert_missed(struct ps_db *db, const struct ps_row *row, struct ps_bytes topic,
			int64_t *retry_at_ms)
{
	sqlite3_stmt *s = db->statements[row->kind][PS_DB_MISSED];
	int64_t at_ms = *retry_at_ms;
	int code, r;

	sqlite3_bind_int64(s, 1, row->id);
	bind_bytes(s, 2, topic);
	sqlite3_bind_int64(s, 3, at_ms);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		at_ms = sqlite3_column_int64(s, 0);
	r = ps_sqlite_errno(sqlite3_reset(s));
	sqlite3_clear_bindings(s);
	if (r || code != SQLITE_ROW)
		return r ? r : -ENOENT;
	*retry_at_ms = at_ms;
	return 0;
}

static int claim(struct ps_db *db, enum ps_db_kind kind, const struct ps_db_claim *c,
		 struct ps_db_missed *m)
{
	sqlite3_stmt *s = db->statements[kind][PS_DB_CLAIM];
	int code, r;

	bind_bytes(s, 1, ps_bytes(m->lock, sizeof(m->lock)));
	sqlite3_bind_int64(s, 2, c->now_ms + c->lock_ms);
	sqlite3_bind_int64(s, 3, c->due_ms);
	sqlite3_bind_int64(s, 4, c->now_ms);
	m->row.kind = kind;
	code = sqlite3_step(s);
	r = code == SQLITE_ROW	  ? ps_db_read_row(s, &m->row, &m->topic)
	    : code == SQLITE_DONE ? 1
				  : ps_sqlite_errno(code);
	if (!r) {
		m->attempts = (unsigned)sqlite3_column_int(s, 5);
		m->due_ms = sqlite3_column_int64(s, 6);
	}
	code = sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	if (r || !code)
		return r;
	ps_db_clear_missed(m);
	return ps_sqlite_errno(code);
}

int ps_db_claim_missed(struct ps_db *db, const struct ps_db_claim *c, struct ps_db_missed *m)
{
	int r = ps_system_random(m->lock, sizeof(m->lock));

	if (!r)
		r = claim(db, PS_DB_EXACT, c, m);
	return r == 1 ? claim(db, PS_DB_GLOB, c, m) : r;
}

void ps_db_clear_missed(struct ps_db_missed *m)
{
	ps_db_clear_row(&m->row);
	m->topic = ps_bytes(NULL, 0);
}

static int release(struct ps_db *db, enum ps_db_statement which, const struct ps_db_missed *m,
		   const struct ps_db_retry *retry)
{
	sqlite3_stmt *s = db->statements[m->row.kind][which];

	sqlite3_bind_int64(s, 1, m->row.id);
	bind_bytes(s, 2, ps_bytes(m->lock, sizeof(m->lock)));
	if (retry) {
		sqlite3_bind_int64(s, 3, retry->attempts);
		sqlite3_bind_int64(s, 4, retry->at_ms);
	}
	return ps_db_run(db, s);
}

int ps_db_release_missed(struct ps_db *db, const struct ps_db_missed *m,
			 const struct ps_db_retry *retry)
{
	return release(db, PS_DB_RELEASE, m, retry);
}

int ps_db_remove_missed(struct ps_db *db, const struct ps_db_missed *m)
{
	int r = release(db, PS_DB_GIVE_UP, m, NULL);

	if (!r && db->count)
		db->count--;
	return r;
}
