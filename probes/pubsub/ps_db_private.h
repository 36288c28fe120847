/* What the files of the subscription database share (ps_db.c, ps_db_set.c, ps_db_missed.c). */
#pragma once

#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_sqlite.h"

enum ps_db_statement {
	PS_DB_INSERT,
	PS_DB_DELETE,
	PS_DB_NEXT,
	PS_DB_REMOVE,
	PS_DB_LIST,
	PS_DB_RECOVERY,
	PS_DB_MISSED,
	PS_DB_CLAIM,
	PS_DB_RELEASE,
	PS_DB_GIVE_UP,
	PS_DB_STATEMENTS,
};

struct ps_db {
	sqlite3 *db;
	sqlite3_stmt *statements[PS_DB_KINDS][PS_DB_STATEMENTS];
	uint64_t count, max; /* rows */
};

/* Binds text or, if there is none, NULL; the bytes stay the caller's while the statement runs. */
void ps_db_bind_text(sqlite3_stmt *s, int at, struct ps_bytes b);
void ps_db_bind_key(sqlite3_stmt *s, int at, enum ps_db_kind kind, struct ps_bytes key);

/* Runs a statement that changes at most one row; -ENOENT if it changed none. */
int ps_db_run(struct ps_db *db, sqlite3_stmt *s);

/* Columns id, url, key, recovery and, if asked for, the topic that was missed. -ENOMEM. */
int ps_db_read_row(sqlite3_stmt *s, struct ps_row *row, struct ps_bytes *topic);
