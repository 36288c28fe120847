/*
 * Authorizations seen, by their 64-byte MAC, so that a copied request is refused. Fed by the
 * authorization after a MAC compared equal (a stranger cannot fill it), on the loop's thread.
 * Owns its SQLite connection; with a file the memory survives a restart.
 */
#include "probes/pubsub/ps_replay.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>

#include "probes/pubsub/ps_sqlite.h"
#include "user/base/cleanup.h"

enum { CLEAN_EVERY_S = 10, CLEAN_ROWS = 1000 };

struct ps_replay {
	sqlite3 *db;
	sqlite3_stmt *insert, *clean;
	uint64_t count, max;
	int64_t cleaned_at;
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS httppubsub_hmacs("
	" code BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS httppubsub_hmacs_expires ON httppubsub_hmacs(expires_at)";

static int prepare(struct ps_replay *r)
{
	sqlite3_int64 count = 0;
	int e = ps_sqlite_prepare(&r->insert, r->db,
				  "INSERT INTO httppubsub_hmacs VALUES (?1, ?2)");

	if (!e)
		e = ps_sqlite_prepare(&r->clean, r->db,
				      "DELETE FROM httppubsub_hmacs WHERE code IN (SELECT code"
				      " FROM httppubsub_hmacs WHERE expires_at < ?1 LIMIT ?2)");
	if (!e)
		e = ps_sqlite_number(r->db, "SELECT count(*) FROM httppubsub_hmacs", &count);
	r->count = (uint64_t)count;
	return e;
}

int ps_replay_open(struct ps_replay **out, const struct ps_replay_options *o)
{
	_cleanup_(ps_replay_close) struct ps_replay *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->max = o->rows_max;
	e = ps_sqlite_open(&r->db, o->path, o->busy_ms, schema);
	if (!e)
		e = prepare(r);
	if (e)
		return e;
	*out = TAKE_PTR(r);
	return 0;
}

void ps_replay_close(struct ps_replay **r)
{
	if (!*r)
		return;
	sqlite3_finalize((*r)->insert);
	sqlite3_finalize((*r)->clean);
	sqlite3_close((*r)->db);
	free(*r);
	*r = NULL;
}

/* A portion at a time: the rest waits for the next call, not for the next 10 s. */
static void clean(struct ps_replay *r, int64_t now)
{
	int removed;

	if (now >= r->cleaned_at && now - r->cleaned_at < CLEAN_EVERY_S)
		return;
	sqlite3_bind_int64(r->clean, 1, now);
	sqlite3_bind_int(r->clean, 2, CLEAN_ROWS);
	if (ps_sqlite_run(r->clean))
		return; /* only late: expired rows refuse nothing that the clock would accept */
	removed = sqlite3_changes(r->db);
	r->count -= r->count < (uint64_t)removed ? r->count : (uint64_t)removed;
	if (removed < CLEAN_ROWS)
		r->cleaned_at = now;
}

int ps_replay_add(struct ps_replay *r, const uint8_t mac[PS_DIGEST_SIZE], int64_t now,
		  int64_t expires)
{
	int e;

	clean(r, now);
	if (r->count >= r->max)
		return -ENOSPC;
	sqlite3_bind_blob(r->insert, 1, mac, PS_DIGEST_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(r->insert, 2, expires);
	e = ps_sqlite_run(r->insert);
	sqlite3_clear_bindings(r->insert);
	if (!e)
		r->count++;
	return e;
}

uint64_t ps_replay_count(const struct ps_replay *r)
{
	return r->count;
}
