/* Marks of what was missed: when they are due, who has claimed them, and how a claim is given up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sqlite3.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_db.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

enum { NOW = 1700000000, LOCK = 30000 };

static char path[64];
static struct ps_db *db;

static int set_up(void **state)
{
	struct ps_db_options o = {path, 10, 100};

	(void)state;
	strcpy(path, "/tmp/pubsub-db-missed-XXXXXX");
	close(mkstemp(path));
	return ps_db_open(&db, &o);
}

static int tear_down(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[80];

	(void)state;
	ps_db_close(&db);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return 0;
}

/* A subscriber of url missed a message on topic "t", to be told at that time; when it will be. */
static int64_t miss(enum ps_db_kind kind, const char *url, int64_t at_ms)
{
	struct ps_cursor at = {kind, 0};
	struct ps_row row = {0};
	int r = ps_db_subscribe(db, kind, ps_bytes_text(url), TEXT("t"), TEXT("http://r/"));

	assert_true(!r || r == -EEXIST);
	while (!ps_db_next(db, TEXT("t"), &at, &row)) {
		if (ps_bytes_equal(row.url, ps_bytes_text(url)) && row.kind == kind)
			assert_ok(ps_db_upsert_missed(db, &row, TEXT("t"), &at_ms));
		ps_db_clear_row(&row);
	}
	return at_ms;
}

static int claim_at(struct ps_db_missed *m, int64_t now_ms)
{
	struct ps_db_claim c = {now_ms, now_ms, LOCK};

	return ps_db_claim_missed(db, &c, m);
}

/* The url of the mark claimed at that time, with its attempts: "URL 0"; "" for none. */
static const char *claimed(struct ps_db_missed *m, int64_t now_ms)
{
	static char text[64];
	int r = claim_at(m, now_ms);

	assert_true(r == 0 || r == 1);
	*text = 0;
	if (!r)
		snprintf(text, sizeof(text), "%.*s %u", (int)m->row.url.size,
			 (const char *)m->row.url.data, m->attempts);
	return text;
}

/* One number of the table, by another connection. */
static int64_t number(const char *sql)
{
	sqlite3_stmt *s;
	sqlite3 *other;
	int64_t value;

	assert_int_equal(sqlite3_open(path, &other), 0);
	assert_int_equal(sqlite3_prepare_v2(other, sql, -1, &s, NULL), 0);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	value = sqlite3_column_type(s, 0) == SQLITE_NULL ? -1 : sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(other);
	return value;
}

static void a_mark_is_due_at_its_time_and_not_before(void **state)
{
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_GLOB, "u", NOW);
	assert_int_equal(number("SELECT missed_next_retry_at FROM subscription_glob"), NOW);
	assert_int_equal(number("SELECT missed_attempts FROM subscription_glob"), 0);
	assert_string_equal(claimed(&m, NOW - 1), "");
	assert_string_equal(claimed(&m, NOW), "u 0");
	assert_int_equal(m.row.kind, PS_DB_GLOB);
	assert_true(ps_bytes_equal(m.topic, TEXT("t")));
	assert_true(ps_bytes_equal(m.row.recovery, TEXT("http://r/")));
	ps_db_clear_missed(&m);
}

static void marks_are_claimed_by_their_times_exact_ones_first(void **state)
{
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_GLOB, "g", NOW - 9);
	miss(PS_DB_EXACT, "late", NOW);
	miss(PS_DB_EXACT, "early", NOW - 1);
	miss(PS_DB_EXACT, "not yet", NOW + 1);
	assert_string_equal(claimed(&m, NOW), "early 0");
	ps_db_clear_missed(&m);
	assert_string_equal(claimed(&m, NOW), "late 0");
	ps_db_clear_missed(&m);
	assert_string_equal(claimed(&m, NOW), "g 0");
	ps_db_clear_missed(&m);
	assert_string_equal(claimed(&m, NOW), "");
}

static void a_claim_holds_for_its_time_and_no_longer(void **state)
{
	struct ps_db_missed first = {0}, second = {0};

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	assert_string_equal(claimed(&first, NOW), "u 0");
	assert_string_equal(claimed(&second, NOW + LOCK - 1), "");
	assert_string_equal(claimed(&second, NOW + LOCK), "u 0");
	/* the first one comes back from the dead */
	assert_err(-ENOENT, ps_db_release_missed(db, &first, NULL));
	assert_err(-ENOENT, ps_db_remove_missed(db, &first));
	assert_ok(ps_db_release_missed(db, &second, NULL));
	ps_db_clear_missed(&first);
	ps_db_clear_missed(&second);
}

static void a_release_takes_the_mark_away_and_keeps_the_subscription(void **state)
{
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	assert_string_equal(claimed(&m, NOW), "u 0");
	assert_ok(ps_db_release_missed(db, &m, NULL));
	assert_err(-ENOENT, ps_db_release_missed(db, &m, NULL));
	ps_db_clear_missed(&m);
	assert_string_equal(claimed(&m, NOW + 10 * LOCK), "");
	assert_int_equal(ps_db_count(db), 1);
	assert_int_equal(number("SELECT count(*) FROM subscription_exact WHERE"
				" missed_topic IS NULL AND missed_attempts IS NULL AND"
				" missed_next_retry_at IS NULL AND missed_lock_id IS NULL AND"
				" missed_lock_expires_at IS NULL"),
			 1);
	miss(PS_DB_EXACT, "u", NOW + 5);
	assert_string_equal(claimed(&m, NOW + 5), "u 0");
	ps_db_clear_missed(&m);
}

static void a_release_with_a_retry_is_due_at_the_next_time(void **state)
{
	struct ps_db_retry retry = {3, NOW + 500};
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	assert_string_equal(claimed(&m, NOW), "u 0");
	assert_ok(ps_db_release_missed(db, &m, &retry));
	ps_db_clear_missed(&m);
	assert_string_equal(claimed(&m, NOW + 499), "");
	assert_string_equal(claimed(&m, NOW + 500), "u 3");
	assert_true(ps_bytes_equal(m.topic, TEXT("t")));
	ps_db_clear_missed(&m);
}

static void a_subscription_is_removed_only_when_asked(void **state)
{
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	miss(PS_DB_EXACT, "v", NOW + 1);
	assert_string_equal(claimed(&m, NOW + 1), "u 0");
	assert_ok(ps_db_remove_missed(db, &m));
	assert_err(-ENOENT, ps_db_remove_missed(db, &m));
	ps_db_clear_missed(&m);
	assert_int_equal(ps_db_count(db), 1);
	assert_string_equal(claimed(&m, NOW + 1), "v 0");
	ps_db_clear_missed(&m);
}

static void what_is_missed_again_keeps_attempts_and_the_earlier_time(void **state)
{
	struct ps_db_retry retry = {7, NOW + 500};
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	assert_string_equal(claimed(&m, NOW), "u 0");
	assert_ok(ps_db_release_missed(db, &m, &retry));
	ps_db_clear_missed(&m);
	assert_int_equal(miss(PS_DB_EXACT, "u", NOW + 900), NOW + 500);
	assert_int_equal(number("SELECT missed_next_retry_at FROM subscription_exact"), NOW + 500);
	assert_int_equal(miss(PS_DB_EXACT, "u", NOW + 100), NOW + 100);
	assert_string_equal(claimed(&m, NOW + 100), "u 7");
	assert_int_equal(m.due_ms, NOW + 100);
	ps_db_clear_missed(&m);
}

/* the subscriber confirms a MISSED that was sent before it missed another one */
static void what_is_missed_while_an_attempt_is_under_way_is_not_lost(void **state)
{
	struct ps_db_missed m = {0};

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	assert_string_equal(claimed(&m, NOW), "u 0");
	miss(PS_DB_EXACT, "u", NOW + 100);
	assert_err(-ENOENT, ps_db_release_missed(db, &m, NULL));
	ps_db_clear_missed(&m);
	assert_string_equal(claimed(&m, NOW + 99), "");
	assert_string_equal(claimed(&m, NOW + 100), "u 0");
	ps_db_clear_missed(&m);
}

static void an_unsubscribed_row_is_told_of_on_release(void **state)
{
	struct ps_db_missed m = {0};
	int64_t at_ms = NOW;

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	assert_string_equal(claimed(&m, NOW), "u 0");
	assert_ok(ps_db_unsubscribe(db, PS_DB_EXACT, TEXT("u"), TEXT("t")));
	assert_err(-ENOENT, ps_db_release_missed(db, &m, NULL));
	assert_err(-ENOENT, ps_db_upsert_missed(db, &m.row, TEXT("t"), &at_ms));
	ps_db_clear_missed(&m);
}

static void a_locked_database_is_busy(void **state)
{
	struct ps_db_missed m = {0}, n = {0};
	sqlite3 *other;

	(void)state;
	miss(PS_DB_EXACT, "u", NOW);
	miss(PS_DB_EXACT, "v", NOW);
	assert_int_equal(claim_at(&m, NOW), 0);
	assert_int_equal(sqlite3_open(path, &other), 0);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), 0);
	assert_err(-EBUSY, claim_at(&n, NOW));
	assert_err(-EBUSY, ps_db_release_missed(db, &m, NULL));
	assert_err(-EBUSY, ps_db_remove_missed(db, &m));
	sqlite3_close(other);
	assert_ok(ps_db_release_missed(db, &m, NULL));
	ps_db_clear_missed(&m);
	assert_int_equal(claim_at(&n, NOW), 0);
	ps_db_clear_missed(&n);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

RUN_TESTS(CASE(a_mark_is_due_at_its_time_and_not_before),
	  CASE(marks_are_claimed_by_their_times_exact_ones_first),
	  CASE(a_claim_holds_for_its_time_and_no_longer),
	  CASE(a_release_takes_the_mark_away_and_keeps_the_subscription),
	  CASE(a_release_with_a_retry_is_due_at_the_next_time),
	  CASE(a_subscription_is_removed_only_when_asked),
	  CASE(what_is_missed_again_keeps_attempts_and_the_earlier_time),
	  CASE(what_is_missed_while_an_attempt_is_under_way_is_not_lost),
	  CASE(an_unsubscribed_row_is_told_of_on_release), CASE(a_locked_database_is_busy))
