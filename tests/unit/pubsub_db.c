/* Subscriptions: conflicts, order of a fan-out, glob matching, bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "probes/pubsub/ps_db.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)
#define NONE	ps_bytes(NULL, 0)

static char path[64];
static struct ps_db *db;

static void open_db(uint64_t max)
{
	struct ps_db_options o = {path, 10, max};

	assert_int_equal(ps_db_open(&db, &o), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(path, "/tmp/pubsub-db-XXXXXX");
	close(mkstemp(path));
	open_db(100000);
	return 0;
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

static int subscribe(enum ps_db_kind kind, const char *url, const char *key)
{
	return ps_db_subscribe(db, kind, ps_bytes_text(url), ps_bytes_text(key), NONE);
}

/* The urls a topic goes to, in order, with a blank behind each; portions do not show. */
static const char *fan_out(struct ps_bytes topic)
{
	static char text[1024];
	struct ps_cursor at = {0};
	struct ps_row row = {0};
	int r;

	*text = 0;
	while ((r = ps_db_next(db, topic, &at, &row)) != 1) {
		if (r == -EAGAIN)
			continue;
		assert_int_equal(r, 0);
		strncat(text, row.url.data, row.url.size);
		strcat(text, " ");
		ps_db_clear_row(&row);
	}
	return text;
}

static void the_second_subscription_conflicts(void **state)
{
	(void)state;
	assert_int_equal(subscribe(PS_DB_EXACT, "u", "k"), 0);
	assert_int_equal(subscribe(PS_DB_EXACT, "u", "k"), -EEXIST);
	assert_int_equal(subscribe(PS_DB_GLOB, "u", "k"), 0);
	assert_int_equal(subscribe(PS_DB_GLOB, "u", "k"), -EEXIST);
	assert_int_equal(subscribe(PS_DB_EXACT, "v", "k"), 0);
	assert_int_equal(ps_db_count(db), 3);
}

static void unsubscribing_from_what_is_not_there_is_not_found(void **state)
{
	(void)state;
	assert_int_equal(subscribe(PS_DB_EXACT, "u", "k"), 0);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_GLOB, TEXT("u"), TEXT("k")), -ENOENT);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_EXACT, TEXT("u"), TEXT("x")), -ENOENT);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_EXACT, TEXT("u"), TEXT("k")), 0);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_EXACT, TEXT("u"), TEXT("k")), -ENOENT);
	assert_int_equal(ps_db_count(db), 0);
}

static void exact_subscribers_come_first_each_kind_in_the_order_made(void **state)
{
	(void)state;
	subscribe(PS_DB_GLOB, "g1", "foo/*");
	subscribe(PS_DB_EXACT, "e2", "foo/bar");
	subscribe(PS_DB_EXACT, "e1", "foo/bar");
	subscribe(PS_DB_EXACT, "other", "foo/baz");
	subscribe(PS_DB_GLOB, "g0", "*");
	assert_string_equal(fan_out(TEXT("foo/bar")), "e2 e1 g1 g0 ");
	assert_string_equal(fan_out(TEXT("nothing")), "g0 ");
	assert_string_equal(fan_out(TEXT("")), "g0 ");
}

static const struct {
	const char *glob, *topic;
	bool matches;
} globs[] = {
	{"foo/*", "foo/bar", true},
	{"foo/*", "foo/a/b", true},
	{"foo/*", "foo/", true},
	{"foo/*", "foo", false},
	{"*", "foo/bar", true},
	{"*", "", true},
	{"foo/?", "foo/a", true},
	{"foo/?", "foo/ab", false},
	{"foo/?", "foo/\xc3\xa4", true},
	{"[a-c]x", "bx", true},
	{"[^a-c]x", "bx", false},
	{"[^a-c]x", "dx", true},
	{"[!a-c]x", "dx", false},
	{"[", "[", false},
	{"[]]", "]", true},
	{"FOO", "foo", false},
	{"", "", true},
	{"", "a", false},
	{"a*b*c", "a-b-b-c", true},
	{"a*b*c", "a-b-b-", false},
	{"**", "x/y", true},
	{"\xc3\xa4*", "\xc3\xa4/1", true},
};

static void globs_match_alike_in_the_database_and_at_the_subscriber(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(globs) / sizeof(globs[0]); i++) {
		struct ps_bytes glob = ps_bytes_text(globs[i].glob);
		struct ps_bytes topic = ps_bytes_text(globs[i].topic);

		assert_int_equal(subscribe(PS_DB_GLOB, "u", globs[i].glob), 0);
		assert_string_equal(fan_out(topic), globs[i].matches ? "u " : "");
		assert_int_equal(ps_db_glob_matches(glob, topic), globs[i].matches);
		assert_int_equal(ps_db_unsubscribe(db, PS_DB_GLOB, TEXT("u"), glob), 0);
	}
}

static void topics_that_are_no_text_match_exactly_only(void **state)
{
	(void)state;
	subscribe(PS_DB_GLOB, "glob", "*");
	assert_int_equal(ps_db_subscribe(db, PS_DB_EXACT, TEXT("bytes"), TEXT("\xff\x00z"), NONE),
			 0);
	assert_int_equal(ps_db_subscribe(db, PS_DB_EXACT, TEXT("nul"), TEXT("a\0b"), NONE), 0);
	assert_string_equal(fan_out(TEXT("\xff\x00z")), "bytes ");
	assert_string_equal(fan_out(TEXT("a\0b")), "nul ");
	assert_string_equal(fan_out(TEXT("a")), "glob ");
	assert_false(ps_db_glob_matches(TEXT("*"), TEXT("a\0b")));
}

static void globs_that_the_engine_refuses_are_told_before(void **state)
{
	static char big[50001];

	(void)state;
	memset(big, 'a', sizeof(big));
	assert_true(ps_db_is_glob(ps_bytes(big, 50000)));
	assert_false(ps_db_is_glob(ps_bytes(big, 50001)));
	assert_false(ps_db_is_glob(TEXT("a\0b")));
	assert_false(ps_db_is_glob(TEXT("\xff")));
	assert_int_equal(ps_db_subscribe(db, PS_DB_GLOB, TEXT("u"), ps_bytes(big, 50000), NONE), 0);
	subscribe(PS_DB_GLOB, "v", "x");
	assert_string_equal(fan_out(TEXT("x")), "v ");
}

static void many_globs_are_matched_in_portions(void **state)
{
	struct ps_cursor at = {0};
	struct ps_row row = {0};
	int portions = 0, r;
	char key[16];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "no/%d", i);
		assert_int_equal(subscribe(PS_DB_GLOB, "u", key), 0);
	}
	subscribe(PS_DB_GLOB, "hit", "y*");
	while ((r = ps_db_next(db, TEXT("yes"), &at, &row)) == -EAGAIN)
		portions++;
	assert_int_equal(r, 0);
	assert_int_equal(portions, 2);
	assert_memory_equal(row.url.data, "hit", 3);
	ps_db_clear_row(&row);
	assert_int_equal(ps_db_next(db, TEXT("yes"), &at, &row), 1);
}

static void a_subscription_made_or_removed_during_a_fan_out_counts(void **state)
{
	struct ps_cursor at = {0};
	struct ps_row row = {0};

	(void)state;
	subscribe(PS_DB_EXACT, "1", "k");
	subscribe(PS_DB_EXACT, "2", "k");
	assert_int_equal(ps_db_next(db, TEXT("k"), &at, &row), 0);
	assert_int_equal(ps_db_remove(db, &row), 0);
	assert_int_equal(ps_db_remove(db, &row), -ENOENT);
	ps_db_clear_row(&row);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_EXACT, TEXT("2"), TEXT("k")), 0);
	subscribe(PS_DB_EXACT, "3", "k");
	assert_int_equal(ps_db_next(db, TEXT("k"), &at, &row), 0);
	assert_memory_equal(row.url.data, "3", 1);
	ps_db_clear_row(&row);
	assert_int_equal(ps_db_next(db, TEXT("k"), &at, &row), 1);
}

static void a_full_table_refuses(void **state)
{
	(void)state;
	ps_db_close(&db);
	open_db(2);
	assert_int_equal(subscribe(PS_DB_EXACT, "1", "k"), 0);
	assert_int_equal(subscribe(PS_DB_GLOB, "2", "k"), 0);
	assert_int_equal(subscribe(PS_DB_EXACT, "3", "k"), -ENOSPC);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_GLOB, TEXT("2"), TEXT("k")), 0);
	assert_int_equal(subscribe(PS_DB_EXACT, "3", "k"), 0);
}

static void subscriptions_survive_a_restart(void **state)
{
	(void)state;
	subscribe(PS_DB_EXACT, "e", "k");
	subscribe(PS_DB_GLOB, "g", "*");
	ps_db_close(&db);
	open_db(100);
	assert_int_equal(ps_db_count(db), 2);
	assert_string_equal(fan_out(TEXT("k")), "e g ");
}

static void a_database_locked_by_another_is_busy_but_readable(void **state)
{
	sqlite3 *other;

	(void)state;
	subscribe(PS_DB_EXACT, "e", "k");
	assert_int_equal(sqlite3_open(path, &other), 0);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), 0);
	assert_int_equal(subscribe(PS_DB_EXACT, "f", "k"), -EBUSY);
	assert_int_equal(ps_db_unsubscribe(db, PS_DB_EXACT, TEXT("e"), TEXT("k")), -EBUSY);
	assert_string_equal(fan_out(TEXT("k")), "e ");
	sqlite3_close(other);
	assert_int_equal(subscribe(PS_DB_EXACT, "f", "k"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_second_subscription_conflicts),
		TEST(unsubscribing_from_what_is_not_there_is_not_found),
		TEST(exact_subscribers_come_first_each_kind_in_the_order_made),
		TEST(globs_match_alike_in_the_database_and_at_the_subscriber),
		TEST(topics_that_are_no_text_match_exactly_only),
		TEST(globs_that_the_engine_refuses_are_told_before),
		TEST(many_globs_are_matched_in_portions),
		TEST(a_subscription_made_or_removed_during_a_fan_out_counts),
		TEST(a_full_table_refuses),
		TEST(subscriptions_survive_a_restart),
		TEST(a_database_locked_by_another_is_busy_but_readable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
