/*
 * Subscriptions in SQLite: one table for exact topics, one for globs, matched by GLOB. Fed by
 * the broadcaster's (un)subscribe and fan-out, on the loop's thread: every statement touches one
 * row or a bounded portion. Whole sets are ps_db_set.c, what was missed is ps_db_missed.c. Owns
 * the connection and its prepared statements.
 */
#include "probes/pubsub/ps_db_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/text.h"

enum { GLOB_PORTION = 1024, GLOB_MAX = 50000 };

/* The columns of a subscription; key_type is BLOB for topics and TEXT for globs. */
#define SCHEMA(table, key_type)                                                                    \
	"CREATE TABLE IF NOT EXISTS " table "("                                                    \
	" id INTEGER PRIMARY KEY AUTOINCREMENT, key " key_type " NOT NULL, url TEXT NOT NULL,"     \
	" recovery TEXT, missed_topic BLOB, missed_attempts INTEGER,"                              \
	" missed_next_retry_at INTEGER," /* a time: ms since the epoch */                          \
	" missed_lock_id BLOB, missed_lock_expires_at INTEGER, UNIQUE(key, url));"                 \
	"CREATE INDEX IF NOT EXISTS " table "_url ON " table "(url, key);"                         \
	"CREATE INDEX IF NOT EXISTS " table "_missed"                                              \
	" ON " table "(missed_next_retry_at) WHERE missed_next_retry_at IS NOT NULL;"

static const char schema[] = SCHEMA("subscription_exact", "BLOB") SCHEMA(
	"subscription_glob",
	"TEXT") "CREATE INDEX IF NOT EXISTS subscription_exact_key ON subscription_exact(key)";

/*
 * MISSED keeps the attempts and the earlier time of a mark that is there, unless an attempt is
 * under way (it has a lock): that one knows nothing of this message, so its lock is taken away.
 */
#define TEXTS(table, next)                                                                         \
	{                                                                                          \
		[PS_DB_INSERT] = "INSERT INTO " table "(key, url, recovery) VALUES (?1, ?2, ?3)",  \
		[PS_DB_DELETE] = "DELETE FROM " table " WHERE key = ?1 AND url = ?2",              \
		[PS_DB_NEXT] = next, [PS_DB_REMOVE] = "DELETE FROM " table " WHERE id = ?1",       \
		[PS_DB_LIST] = "SELECT key, recovery FROM " table " WHERE url = ?1 ORDER BY key",  \
		[PS_DB_RECOVERY] =                                                                 \
			"UPDATE " table " SET recovery = ?3 WHERE key = ?1 AND url = ?2",          \
		[PS_DB_MISSED] = "UPDATE " table " SET missed_topic = ?2,"                         \
				 " missed_attempts = coalesce(missed_attempts, 0),"                \
				 " missed_next_retry_at = CASE WHEN missed_lock_id IS NULL THEN"   \
				 " min(coalesce(missed_next_retry_at, ?3), ?3) ELSE ?3 END,"       \
				 " missed_lock_id = NULL, missed_lock_expires_at = NULL"           \
				 " WHERE id = ?1 RETURNING missed_next_retry_at",                  \
		[PS_DB_CLAIM] =                                                                    \
			"UPDATE " table " SET missed_lock_id = ?1, missed_lock_expires_at = ?2"    \
			" WHERE id = (SELECT id FROM " table " WHERE missed_next_retry_at <= ?3"   \
			" AND coalesce(missed_lock_expires_at, 0) <= ?4"                           \
			" ORDER BY missed_next_retry_at LIMIT 1)"                                  \
			" RETURNING id, url, key, recovery, missed_topic, missed_attempts,"        \
			" missed_next_retry_at",                                                   \
		[PS_DB_RELEASE] =                                                                  \
			"UPDATE " table " SET missed_attempts = ?3, missed_next_retry_at = ?4,"    \
			" missed_topic = CASE WHEN ?4 IS NULL THEN NULL ELSE missed_topic END,"    \
			" missed_lock_id = NULL, missed_lock_expires_at = NULL"                    \
			" WHERE id = ?1 AND missed_lock_id = ?2",                                  \
		[PS_DB_GIVE_UP] = "DELETE FROM " table " WHERE id = ?1 AND missed_lock_id = ?2",   \
	}

/* CAST: a topic bound as BLOB never matches GLOB where SQLite was built without that. */
static const char *const texts[PS_DB_KINDS][PS_DB_STATEMENTS] = {
	[PS_DB_EXACT] = TEXTS("subscription_exact",
			      "SELECT id, url, key, recovery, 1 FROM subscription_exact"
			      " WHERE key = ?1 AND id > ?2 ORDER BY id LIMIT 1"),
	[PS_DB_GLOB] = TEXTS("subscription_glob",
			     "SELECT id, url, key, recovery, CAST(?1 AS TEXT) GLOB key"
			     " FROM subscription_glob WHERE id > ?2 ORDER BY id"),
};

static int prepare(struct ps_db *db)
{
	sqlite3_int64 count = 0;
	int r = 0;

	for (int k = 0; k < PS_DB_KINDS; k++)
		for (int i = 0; i < PS_DB_STATEMENTS && !r; i++)
			r = ps_sqlite_prepare(&db->statements[k][i], db->db, texts[k][i]);
	if (!r)
		r = ps_sqlite_number(db->db,
				     "SELECT (SELECT count(*) FROM subscription_exact) +"
				     " (SELECT count(*) FROM subscription_glob)",
				     &count);
	db->count = (uint64_t)count;
	return r;
}

int ps_db_open(struct ps_db **out, const struct ps_db_options *o)
{
	_cleanup_(ps_db_close) struct ps_db *db = calloc(1, sizeof(*db));
	int r;

	if (!db)
		return -ENOMEM;
	db->max = o->rows_max;
	r = ps_sqlite_open(&db->db, o->path, o->busy_ms, schema);
	if (!r)
		r = prepare(db);
	if (r)
		return r;
	*out = TAKE_PTR(db);
	return 0;
}

void ps_db_close(struct ps_db **db)
{
	if (!*db)
		return;
	for (int k = 0; k < PS_DB_KINDS; k++)
		for (int i = 0; i < PS_DB_STATEMENTS; i++)
			sqlite3_finalize((*db)->statements[k][i]);
	sqlite3_close((*db)->db);
	free(*db);
	*db = NULL;
}

void ps_db_bind_text(sqlite3_stmt *s, int at, struct ps_bytes b)
{
	if (b.size)
		sqlite3_bind_text(s, at, b.data, (int)b.size, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, at);
}

void ps_db_bind_key(sqlite3_stmt *s, int at, enum ps_db_kind kind, struct ps_bytes key)
{
	if (kind == PS_DB_GLOB)
		sqlite3_bind_text(s, at, key.size ? key.data : "", (int)key.size, SQLITE_STATIC);
	else
		sqlite3_bind_blob(s, at, key.size ? key.data : "", (int)key.size, SQLITE_STATIC);
}

int ps_db_run(struct ps_db *db, sqlite3_stmt *s)
{
	int r = ps_sqlite_run(s);

	sqlite3_clear_bindings(s);
	return r ? r : sqlite3_changes(db->db) ? 0 : -ENOENT;
}

int ps_db_subscribe(struct ps_db *db, enum ps_db_kind kind, struct ps_bytes url,
		    struct ps_bytes key, struct ps_bytes recovery)
{
	sqlite3_stmt *s = db->statements[kind][PS_DB_INSERT];
	int r;

	if (db->count >= db->max)
		return -ENOSPC;
	ps_db_bind_key(s, 1, kind, key);
	ps_db_bind_text(s, 2, url);
	ps_db_bind_text(s, 3, recovery);
	r = ps_db_run(db, s);
	if (!r)
		db->count++;
	return r;
}

static int count_removed(struct ps_db *db, int r)
{
	if (!r && db->count)
		db->count--;
	return r;
}

int ps_db_unsubscribe(struct ps_db *db, enum ps_db_kind kind, struct ps_bytes url,
		      struct ps_bytes key)
{
	sqlite3_stmt *s = db->statements[kind][PS_DB_DELETE];

	ps_db_bind_key(s, 1, kind, key);
	ps_db_bind_text(s, 2, url);
	return count_removed(db, ps_db_run(db, s));
}

int ps_db_remove(struct ps_db *db, const struct ps_row *row)
{
	sqlite3_stmt *s = db->statements[row->kind][PS_DB_REMOVE];

	sqlite3_bind_int64(s, 1, row->id);
	return count_removed(db, ps_db_run(db, s));
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool is_glob_text(struct ps_bytes b)
{
	return (!b.size || !memchr(b.data, 0, b.size)) && osp_text_is_utf8(b.data, b.size);
}

bool ps_db_is_glob(struct ps_bytes glob)
{
	return is_glob_text(glob) && glob.size <= GLOB_MAX;
}

bool ps_db_glob_matches(struct ps_bytes glob, struct ps_bytes topic)
{
	_cleanup_free_ char *g = NULL, *t = NULL;

	if (!ps_db_is_glob(glob) || !is_glob_text(topic))
		return false;
	g = strndup(glob.size ? glob.data : "", glob.size);
	t = strndup(topic.size ? topic.data : "", topic.size);
	return g && t && !sqlite3_strglob(g, t);
}

static struct ps_bytes copy_column(sqlite3_stmt *s, int column, char **to)
{
	const void *data = sqlite3_column_blob(s, column);
	struct ps_bytes b = {*to, (size_t)sqlite3_column_bytes(s, column)};

	if (b.size)
		memcpy(*to, data, b.size);
	*to += b.size;
	return b;
}

int ps_db_read_row(sqlite3_stmt *s, struct ps_row *row, struct ps_bytes *topic)
{
	size_t size = 1;
	char *to;

	for (int i = 1; i <= (topic ? 4 : 3); i++)
		size += (size_t)sqlite3_column_bytes(s, i);
	row->memory = to = malloc(size);
	if (!to)
		return -ENOMEM;
	row->id = sqlite3_column_int64(s, 0);
	row->url = copy_column(s, 1, &to);
	row->key = copy_column(s, 2, &to);
	row->recovery = copy_column(s, 3, &to);
	if (topic)
		*topic = copy_column(s, 4, &to);
	return 0;
}

/* 0 with a row, 1 at the end of this kind, -EAGAIN after a portion. */
static int next_of_kind(sqlite3_stmt *s, struct ps_cursor *at, struct ps_row *row)
{
	int r, portion = 0;

	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		at->id = sqlite3_column_int64(s, 0);
		if (sqlite3_column_int(s, 4))
			return ps_db_read_row(s, row, NULL);
		if (++portion == GLOB_PORTION)
			return -EAGAIN;
	}
	return r == SQLITE_DONE ? 1 : ps_sqlite_errno(r);
}

int ps_db_next(struct ps_db *db, struct ps_bytes topic, struct ps_cursor *at, struct ps_row *row)
{
	while (at->kind < PS_DB_KINDS) {
		sqlite3_stmt *s = db->statements[at->kind][PS_DB_NEXT];
		int r = 1;

		row->kind = at->kind;
		if (at->kind == PS_DB_EXACT || is_glob_text(topic)) {
			sqlite3_bind_blob(s, 1, topic.size ? topic.data : "", (int)topic.size,
					  SQLITE_STATIC);
			sqlite3_bind_int64(s, 2, at->id);
			r = next_of_kind(s, at, row);
			sqlite3_reset(s);
			sqlite3_clear_bindings(s);
		}
		if (r != 1)
			return r;
		*at = (struct ps_cursor){at->kind + 1, 0};
	}
	return 1;
}

void ps_db_clear_row(struct ps_row *row)
{
	free(row->memory);
	*row = (struct ps_row){0};
}

uint64_t ps_db_count(const struct ps_db *db)
{
	return db->count;
}
