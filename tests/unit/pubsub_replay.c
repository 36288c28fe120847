/* The table of used authorizations: once only, bounded, cleaned, kept over a restart. */
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

#include "probes/pubsub/ps_replay.h"

static const uint8_t *mac(unsigned n)
{
	static uint8_t bytes[PS_DIGEST_SIZE];

	memcpy(bytes, &n, sizeof(n));
	return bytes;
}

static struct ps_replay *open_table(const char *path, uint64_t max)
{
	struct ps_replay_options o = {path, 10, max};
	struct ps_replay *r = NULL;

	assert_int_equal(ps_replay_open(&r, &o), 0);
	return r;
}

static void the_second_use_is_refused(void **state)
{
	struct ps_replay *r = open_table(NULL, 10);

	(void)state;
	assert_int_equal(ps_replay_add(r, mac(1), 100, 280), 0);
	assert_int_equal(ps_replay_add(r, mac(2), 100, 280), 0);
	assert_int_equal(ps_replay_add(r, mac(1), 101, 281), -EEXIST);
	assert_int_equal(ps_replay_count(r), 2);
	ps_replay_close(&r);
}

static void a_full_table_refuses_and_recovers_when_rows_expire(void **state)
{
	struct ps_replay *r = open_table(NULL, 3);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ps_replay_add(r, mac(i), 100, 110 + i), 0);
	assert_int_equal(ps_replay_add(r, mac(9), 100, 280), -ENOSPC);
	assert_int_equal(ps_replay_add(r, mac(9), 112, 290), 0);
	assert_int_equal(ps_replay_count(r), 2); /* the one that expires at 112 is still there */
	ps_replay_close(&r);
}

static void cleaning_waits_ten_seconds(void **state)
{
	struct ps_replay *r = open_table(NULL, 100);

	(void)state;
	assert_int_equal(ps_replay_add(r, mac(1), 1000, 1001), 0);
	assert_int_equal(ps_replay_add(r, mac(2), 1009, 1200), 0);
	assert_int_equal(ps_replay_count(r), 2);
	assert_int_equal(ps_replay_add(r, mac(3), 1010, 1200), 0);
	assert_int_equal(ps_replay_count(r), 2);
	ps_replay_close(&r);
}

static void cleaning_goes_on_in_portions(void **state)
{
	struct ps_replay *r = open_table(NULL, 5000);

	(void)state;
	for (unsigned i = 0; i < 2500; i++)
		assert_int_equal(ps_replay_add(r, mac(i), 100, 101), 0);
	assert_int_equal(ps_replay_add(r, mac(9001), 200, 300), 0);
	assert_int_equal(ps_replay_count(r), 1501);
	assert_int_equal(ps_replay_add(r, mac(9002), 200, 300), 0);
	assert_int_equal(ps_replay_add(r, mac(9003), 200, 300), 0);
	assert_int_equal(ps_replay_count(r), 3);
	ps_replay_close(&r);
}

static void a_file_remembers_over_a_restart(void **state)
{
	char path[] = "/tmp/pubsub-replay-XXXXXX";
	struct ps_replay *r;

	(void)state;
	close(mkstemp(path));
	r = open_table(path, 10);
	assert_int_equal(ps_replay_add(r, mac(1), 100, 280), 0);
	ps_replay_close(&r);
	r = open_table(path, 10);
	assert_int_equal(ps_replay_count(r), 1);
	assert_int_equal(ps_replay_add(r, mac(1), 101, 281), -EEXIST);
	ps_replay_close(&r);
	unlink(path);
}

static void a_locked_database_is_busy(void **state)
{
	char path[] = "/tmp/pubsub-replay-XXXXXX";
	struct ps_replay *r;
	sqlite3 *other;

	(void)state;
	close(mkstemp(path));
	r = open_table(path, 10);
	assert_int_equal(sqlite3_open(path, &other), 0);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), 0);
	assert_int_equal(ps_replay_add(r, mac(1), 100, 280), -EBUSY);
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), 0);
	assert_int_equal(ps_replay_add(r, mac(1), 100, 280), 0);
	sqlite3_close(other);
	ps_replay_close(&r);
	unlink(path);
}

static void what_is_no_database_is_refused(void **state)
{
	char path[] = "/tmp/pubsub-replay-XXXXXX";
	struct ps_replay_options o = {path, 10, 10};
	struct ps_replay *r = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "this is a text of more than sixteen bytes", 41), 41);
	close(fd);
	assert_int_not_equal(ps_replay_open(&r, &o), 0);
	assert_null(r);
	o.path = "/nonexistent/directory/x.db";
	assert_int_equal(ps_replay_open(&r, &o), -ENOENT);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_use_is_refused),
		cmocka_unit_test(a_full_table_refuses_and_recovers_when_rows_expire),
		cmocka_unit_test(cleaning_waits_ten_seconds),
		cmocka_unit_test(cleaning_goes_on_in_portions),
		cmocka_unit_test(a_file_remembers_over_a_restart),
		cmocka_unit_test(a_locked_database_is_busy),
		cmocka_unit_test(what_is_no_database_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
