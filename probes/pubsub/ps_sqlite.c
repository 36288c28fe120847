/*
 * Opening databases and translating SQLite's codes, once for both users. Everything runs on the
 * loop's thread, so a statement may take only bounded time: a short busy timeout, no fsync per
 * commit (WAL with synchronous=NORMAL), portions instead of scans.
 */
#include "probes/pubsub/ps_sqlite.h"

#include <errno.h>
#include <stddef.h>

#include "user/base/log.h"

int ps_sqlite_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_TOOBIG:
		return -E2BIG;
	default:
		return -EIO;
	}
}

static int refuse(sqlite3 *db, const char *path, int code)
{
	osp_err(0, "open database %s: %s", path ? path : "in memory",
		db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
	sqlite3_close(db);
	return ps_sqlite_errno(code);
}

int ps_sqlite_open(sqlite3 **out, const char *path, int busy_ms, const char *schema)
{
	sqlite3 *db = NULL;
	int r = sqlite3_open_v2(path ? path : ":memory:", &db,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				NULL);

	if (r)
		return refuse(db, path, r);
	/* opening may wait for a predecessor that is just closing; working may not */
	sqlite3_busy_timeout(db, 5000);
	r = sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", NULL, NULL,
			 NULL);
	if (!r)
		r = sqlite3_exec(db, schema, NULL, NULL, NULL);
	if (r)
		return refuse(db, path, r);
	sqlite3_busy_timeout(db, busy_ms);
	*out = db;
	return 0;
}

int ps_sqlite_prepare(sqlite3_stmt **out, sqlite3 *db, const char *sql)
{
	int r = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	if (r)
		osp_err(0, "prepare a statement: %s - is the file a database of this program?",
			sqlite3_errmsg(db));
	return ps_sqlite_errno(r);
}

int ps_sqlite_run(sqlite3_stmt *s)
{
	int r = sqlite3_step(s);

	sqlite3_reset(s);
	return ps_sqlite_errno(r);
}

int ps_sqlite_number(sqlite3 *db, const char *sql, sqlite3_int64 *out)
{
	sqlite3_stmt *s = NULL;
	int r = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (!r)
		r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return ps_sqlite_errno(r);
}
