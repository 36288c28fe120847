/* Whole sets of subscriptions: what a set adds, removes and keeps, at any number, all or nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sqlite3.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_db.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

static char path[64], told[4096];
static struct ps_db *db;
static struct ps_list_builder wanted[PS_DB_KINDS];
static struct ps_db_set set;

static void open_db(uint64_t max)
{
	struct ps_db_options o = {path, 10, max};

	assert_ok(ps_db_open(&db, &o));
}

static int set_up(void **state)
{
	(void)state;
	strcpy(path, "/tmp/pubsub-db-set-XXXXXX");
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
	ps_db_clear_lists(wanted);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return 0;
}

/* "+eKEY " for an exact one added, "-gKEY " for a glob removed, "=" for kept ones. */
static void tell(void *owner, enum ps_db_change change, enum ps_db_kind kind, struct ps_bytes key)
{
	size_t n = strlen(told);

	assert_ptr_equal(owner, &set);
	snprintf(told + n, sizeof(told) - n, "%c%c%.*s ", "+-="[change], "eg"[kind], (int)key.size,
		 (const char *)key.data);
}

/* An empty set for url u. */
static void start_set(void)
{
	ps_db_clear_lists(wanted);
	*told = 0;
	for (int k = 0; k < PS_DB_KINDS; k++)
		wanted[k] = (struct ps_list_builder){.packed.max = 1 << 20};
	set = (struct ps_db_set){.url = TEXT("u"), .each = tell, .owner = &set};
}

static void want(enum ps_db_kind kind, const char *key, const char *recovery)
{
	struct ps_entry e = {ps_bytes_text(key), ps_bytes_text(recovery)};

	assert_ok(ps_list_add(&wanted[kind], &e));
}

static int apply_set(void)
{
	for (int k = 0; k < PS_DB_KINDS; k++)
		set.lists[k] = ps_list_of(&wanted[k]);
	return ps_db_set(db, &set);
}

static void assert_counts(uint32_t added, uint32_t removed, uint32_t kept, uint32_t updated)
{
	assert_int_equal(set.counts[PS_DB_ADDED], added);
	assert_int_equal(set.counts[PS_DB_REMOVED], removed);
	assert_int_equal(set.counts[PS_DB_KEPT], kept);
	assert_int_equal(set.updated, updated);
}

/* "KEY>RECOVERY " of each stored subscription of the url and kind. */
static const char *stored(const char *url, enum ps_db_kind kind)
{
	static char text[4096];
	struct ps_list_builder lists[PS_DB_KINDS];
	struct ps_entry e;
	struct ps_list list;

	*text = 0;
	assert_ok(ps_db_lists(db, ps_bytes_text(url), lists));
	list = ps_list_of(&lists[kind]);
	while (!ps_list_next(&list, &e)) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%.*s>%.*s ", (int)e.key.size,
			 (const char *)e.key.data, (int)e.recovery.size,
			 e.recovery.size ? (const char *)e.recovery.data : "");
	}
	ps_db_clear_lists(lists);
	return text;
}

static void a_set_adds_removes_and_keeps_in_the_order_of_keys(void **state)
{
	(void)state;
	start_set();
	want(PS_DB_EXACT, "b", "r");
	want(PS_DB_EXACT, "d", "r");
	want(PS_DB_GLOB, "x*", "");
	assert_ok(apply_set());
	assert_string_equal(told, "+eb +ed +gx* ");
	assert_counts(3, 0, 0, 0);

	start_set();
	want(PS_DB_EXACT, "a", "r");
	want(PS_DB_EXACT, "d", "r");
	want(PS_DB_EXACT, "dd", "r");
	want(PS_DB_GLOB, "y*", "");
	assert_ok(apply_set());
	assert_string_equal(told, "+ea -eb =ed +edd -gx* +gy* ");
	assert_counts(3, 2, 1, 0);
	assert_string_equal(stored("u", PS_DB_EXACT), "a>r d>r dd>r ");
	assert_string_equal(stored("u", PS_DB_GLOB), "y*> ");
	assert_int_equal(ps_db_count(db), 4);
}

static void the_recovery_url_of_what_stays_is_the_new_one(void **state)
{
	(void)state;
	start_set();
	want(PS_DB_EXACT, "a", "old");
	want(PS_DB_EXACT, "b", "same");
	want(PS_DB_GLOB, "c", "gone");
	assert_ok(apply_set());

	start_set();
	want(PS_DB_EXACT, "a", "new");
	want(PS_DB_EXACT, "b", "same");
	want(PS_DB_GLOB, "c", "");
	assert_ok(apply_set());
	assert_counts(0, 0, 3, 2);
	assert_string_equal(stored("u", PS_DB_EXACT), "a>new b>same ");
	assert_string_equal(stored("u", PS_DB_GLOB), "c> ");
}

static void other_urls_are_left_alone(void **state)
{
	(void)state;
	assert_ok(ps_db_subscribe(db, PS_DB_EXACT, TEXT("v"), TEXT("a"), TEXT("r")));
	start_set();
	want(PS_DB_EXACT, "a", "q");
	assert_ok(apply_set());
	start_set();
	assert_ok(apply_set());
	assert_string_equal(told, "-ea ");
	assert_string_equal(stored("u", PS_DB_EXACT), "");
	assert_string_equal(stored("v", PS_DB_EXACT), "a>r ");
}

/* upstream loses rows here: it pages by 16 and never moves its cursor */
static void any_number_of_rows_is_kept(void **state)
{
	static const uint32_t numbers[] = {0, 1, 15, 16, 17, 20, 33, 1000};
	char key[16];

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		for (uint32_t extra = 0; extra < 2; extra++) {
			uint32_t before = (uint32_t)ps_db_count(db) / 2, n = numbers[i] + extra;

			start_set();

			for (uint32_t k = 0; k < n; k++) {
				snprintf(key, sizeof(key), "%06u", k);
				want(PS_DB_EXACT, key, "r");
				want(PS_DB_GLOB, key, "r");
			}
			assert_ok(apply_set());
			assert_counts(n > before ? 2 * (n - before) : 0,
				      n < before ? 2 * (before - n) : 0,
				      2 * (n < before ? n : before), 0);
			assert_int_equal(ps_db_count(db), 2 * n);
		}
}

static void a_set_that_does_not_fit_changes_nothing(void **state)
{
	(void)state;
	ps_db_close(&db);
	open_db(2);
	start_set();
	want(PS_DB_EXACT, "a", "");
	want(PS_DB_EXACT, "b", "");
	assert_ok(apply_set());
	start_set();
	want(PS_DB_EXACT, "0", "");
	want(PS_DB_EXACT, "1", "");
	want(PS_DB_EXACT, "a", "");
	assert_err(-ENOSPC, apply_set());
	assert_string_equal(stored("u", PS_DB_EXACT), "a> b> ");
	assert_int_equal(ps_db_count(db), 2);
	/* as many as fit do, though the new ones come before what goes */
	start_set();
	want(PS_DB_EXACT, "0", "");
	want(PS_DB_EXACT, "1", "");
	assert_ok(apply_set());
	assert_string_equal(stored("u", PS_DB_EXACT), "0> 1> ");
}

static void a_locked_database_is_busy_and_unchanged(void **state)
{
	sqlite3 *other;

	(void)state;
	start_set();
	want(PS_DB_EXACT, "a", "");
	assert_ok(apply_set());
	assert_int_equal(sqlite3_open(path, &other), 0);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), 0);
	start_set();
	assert_err(-EBUSY, apply_set());
	assert_string_equal(told, "");
	assert_string_equal(stored("u", PS_DB_EXACT), "a> ");
	sqlite3_close(other);
	assert_ok(apply_set());
	assert_string_equal(stored("u", PS_DB_EXACT), "");
}

/* a UNIQUE index of somebody else's makes the second insert fail */
static void a_set_that_fails_in_the_middle_changes_nothing(void **state)
{
	sqlite3 *other;

	(void)state;
	start_set();
	want(PS_DB_EXACT, "a", "");
	assert_ok(apply_set());
	assert_int_equal(sqlite3_open(path, &other), 0);
	assert_int_equal(sqlite3_exec(other,
				      "CREATE UNIQUE INDEX bad ON subscription_exact(url)"
				      " WHERE key > x'61'",
				      NULL, NULL, NULL),
			 0);
	sqlite3_close(other);
	start_set();
	want(PS_DB_EXACT, "b", "");
	want(PS_DB_EXACT, "c", "");
	assert_true(apply_set() < 0);
	assert_string_equal(told, "-ea +eb ");
	assert_string_equal(stored("u", PS_DB_EXACT), "a> ");
	assert_int_equal(ps_db_count(db), 1);
}

static void topics_of_any_bytes_are_ordered_as_bytes(void **state)
{
	struct ps_entry keys[] = {{TEXT("a\0b"), {0}}, {TEXT("a\x01"), {0}}, {TEXT("\xff"), {0}}};

	(void)state;
	start_set();
	for (size_t i = 0; i < 3; i++)
		assert_ok(ps_list_add(&wanted[PS_DB_EXACT], &keys[i]));
	want(PS_DB_GLOB, "", "");
	want(PS_DB_GLOB, "z", "");
	want(PS_DB_GLOB, "\xc3\xa4", "");
	assert_ok(apply_set());
	assert_counts(6, 0, 0, 0);
	assert_ok(apply_set());
	assert_counts(0, 0, 6, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

RUN_TESTS(CASE(a_set_adds_removes_and_keeps_in_the_order_of_keys),
	  CASE(the_recovery_url_of_what_stays_is_the_new_one), CASE(other_urls_are_left_alone),
	  CASE(any_number_of_rows_is_kept), CASE(a_set_that_does_not_fit_changes_nothing),
	  CASE(a_locked_database_is_busy_and_unchanged),
	  CASE(a_set_that_fails_in_the_middle_changes_nothing),
	  CASE(topics_of_any_bytes_are_ordered_as_bytes))
