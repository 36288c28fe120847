/* The few SQLite habits that the replay table and the subscription database share. */
#pragma once

#include <sqlite3.h>

/* SQLite's result code as -errno: busy and locked give -EBUSY, constraints -EEXIST. */
int ps_sqlite_errno(int code);

/*
 * Opens `path` (NULL: in memory) for this thread, in WAL mode with a bounded wait for other
 * writers, and runs `schema`. Says on stderr what failed. -errno.
 */
int ps_sqlite_open(sqlite3 **out, const char *path, int busy_ms, const char *schema);

/* Prepares a statement that lives as long as the connection. -errno, said on stderr. */
int ps_sqlite_prepare(sqlite3_stmt **out, sqlite3 *db, const char *sql);

/* Steps a statement without rows to its end and resets it. -errno. */
int ps_sqlite_run(sqlite3_stmt *s);

/* One integer from a query without parameters. -errno. */
int ps_sqlite_number(sqlite3 *db, const char *sql, sqlite3_int64 *out);
