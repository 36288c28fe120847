/* The broadcaster's subscriptions, with the state of what each of them missed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes/pubsub/ps_wire.h"

struct ps_db;

struct ps_db_options {
	const char *path; /* SQLite file, or NULL: in memory */
	int busy_ms;	  /* how long a write may wait for another process */
	uint64_t rows_max;
};

enum ps_db_kind { PS_DB_EXACT, PS_DB_GLOB, PS_DB_KINDS };

/* One subscription. Its bytes are owned by the row (ps_db_clear_row). */
struct ps_row {
	enum ps_db_kind kind;
	int64_t id;
	void *memory; /* owner of the three below */
	struct ps_bytes url, key, recovery;
};

/* Opens (and makes) the database; says why on stderr when it cannot. -errno. */
int ps_db_open(struct ps_db **out, const struct ps_db_options *o);
void ps_db_close(struct ps_db **db);

/* -EEXIST: already subscribed (nothing changes). -ENOSPC: full. -EBUSY and others: unavailable. */
int ps_db_subscribe(struct ps_db *db, enum ps_db_kind kind, struct ps_bytes url,
		    struct ps_bytes key, struct ps_bytes recovery);

/* -ENOENT: not subscribed. -EBUSY and others: unavailable. */
int ps_db_unsubscribe(struct ps_db *db, enum ps_db_kind kind, struct ps_bytes url,
		      struct ps_bytes key);

/* Removes a row found earlier. -ENOENT: it is gone already. */
int ps_db_remove(struct ps_db *db, const struct ps_row *row);

/* How far a fan-out got: exact subscriptions first, then globs, each in the order made. */
struct ps_cursor {
	enum ps_db_kind kind;
	int64_t id;
};

/*
 * The next subscription that matches the topic: 0 and *row; 1 at the end; -EAGAIN after a
 * portion of globs without a match (call again, after giving others their turn); other -errno:
 * unavailable. Bytes of the topic that are no UTF-8 text, or hold a NUL, match exactly only.
 */
int ps_db_next(struct ps_db *db, struct ps_bytes topic, struct ps_cursor *at, struct ps_row *row);
void ps_db_clear_row(struct ps_row *row);

/*
 * Stores that the row's subscriber missed a message on the topic: no attempt yet, the next one
 * at `retry_at_ms` (wall clock). -ENOENT: the row is gone. Other -errno: unavailable.
 */
int ps_db_upsert_missed(struct ps_db *db, const struct ps_row *row, struct ps_bytes topic,
			int64_t retry_at_ms);

uint64_t ps_db_count(const struct ps_db *db);

/* True if the glob matches the topic by the same engine and rules as ps_db_next. */
bool ps_db_glob_matches(struct ps_bytes glob, struct ps_bytes topic);

/* True for a glob that can be stored: UTF-8 without NUL, not longer than the engine's maximum. */
bool ps_db_is_glob(struct ps_bytes glob);
