/* The broadcaster's subscriptions, with the state of what each of them missed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes/pubsub/ps_list.h"
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

/* ---- whole sets (ps_db_set.c) ---------------------------------------------------------------- */

/*
 * All subscriptions of a url, of both kinds, as they are at one moment; ps_db_clear_lists frees
 * them. -EBUSY and others: unavailable; -ENOSPC: more than 64 MiB of one kind.
 */
int ps_db_lists(struct ps_db *db, struct ps_bytes url, struct ps_list_builder lists[PS_DB_KINDS]);
void ps_db_clear_lists(struct ps_list_builder lists[PS_DB_KINDS]);

enum ps_db_change { PS_DB_ADDED, PS_DB_REMOVED, PS_DB_KEPT, PS_DB_CHANGES };

/* What a url shall be subscribed to. The caller fills the first part. */
struct ps_db_set {
	struct ps_bytes url; /* borrowed, as the lists */
	struct ps_list lists[PS_DB_KINDS];
	/* Told of each subscription, in order, before all of it is committed. */
	void (*each)(void *owner, enum ps_db_change change, enum ps_db_kind kind,
		     struct ps_bytes key);
	void *owner;
	/* results, only valid on success */
	uint32_t counts[PS_DB_CHANGES];
	uint32_t updated; /* of those kept: their recovery url is another one now */
};

/*
 * Makes the subscriptions of the url just these, all or nothing. What stays keeps its place in a
 * fan-out and what it missed. -ENOSPC: full; -EBUSY and others: unavailable.
 */
int ps_db_set(struct ps_db *db, struct ps_db_set *set);

/* ---- what was missed (ps_db_missed.c) -------------------------------------------------------- */

/*
 * Marks that the row's subscriber missed a message on the topic, to be told at *retry_at_ms
 * (wall clock). A mark that is there keeps its attempts, and its time if that is earlier
 * (*retry_at_ms then is that one); an attempt under way loses its claim, for what it tells is
 * not all any more. -ENOENT: the row is gone. Other -errno: unavailable.
 */
int ps_db_upsert_missed(struct ps_db *db, const struct ps_row *row, struct ps_bytes topic,
			int64_t *retry_at_ms);

/* A mark that this broadcaster has claimed. Its bytes are owned by it (ps_db_clear_missed). */
struct ps_db_missed {
	struct ps_row row;
	struct ps_bytes topic; /* the last one that was missed */
	unsigned attempts;     /* that failed */
	int64_t due_ms;	       /* since when it is due, wall clock */
	uint8_t lock[16];      /* private */
};

struct ps_db_claim {
	int64_t due_ms;	 /* marks whose time is not later than this */
	int64_t now_ms;	 /* wall clock, as due_ms */
	int64_t lock_ms; /* how long the claim holds */
};

/*
 * Claims the mark that has been due for longest, of exact subscriptions first: 0 and *m; 1 if
 * there is none; -EBUSY and others: unavailable.
 */
int ps_db_claim_missed(struct ps_db *db, const struct ps_db_claim *c, struct ps_db_missed *m);
void ps_db_clear_missed(struct ps_db_missed *m);

struct ps_db_retry {
	unsigned attempts;
	int64_t at_ms; /* wall clock */
};

/*
 * Gives the claim up: the mark is set to the retry, or, without one, taken away; the
 * subscription stays. -ENOENT: the claim was lost, by a newer mark, to another broadcaster, or
 * with the row; nothing changes then. Other -errno: unavailable; the claim ends with its time.
 */
int ps_db_release_missed(struct ps_db *db, const struct ps_db_missed *m,
			 const struct ps_db_retry *retry);

/* The same, but the whole subscription goes. */
int ps_db_remove_missed(struct ps_db *db, const struct ps_db_missed *m);

uint64_t ps_db_count(const struct ps_db *db);

/* True if the glob matches the topic by the same engine and rules as ps_db_next. */
bool ps_db_glob_matches(struct ps_bytes glob, struct ps_bytes topic);

/* True for a glob that can be stored: UTF-8 without NUL, not longer than the engine's maximum. */
bool ps_db_is_glob(struct ps_bytes glob);
