/* Message bodies: memory, then a file, within the process's budget. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "probes/pubsub/ps_spool.h"

static struct ps_budget budget;

static int set_up(void **state)
{
	(void)state;
	budget = (struct ps_budget){.message_max = 1000,
				    .memory_each = 100,
				    .memory_max = 150,
				    .disk_max = 1200,
				    .directory = "/tmp"};
	return 0;
}

static void fill(struct ps_spool *s, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = (char)i;

		assert_int_equal(ps_spool_add(s, &c, 1), 0);
	}
}

static void assert_filled(const struct ps_spool *s, size_t size)
{
	char c[7];

	assert_int_equal(s->size, size);
	for (size_t i = 0; i < size; i += sizeof(c)) {
		ssize_t n = ps_spool_read(s, i, c, sizeof(c));

		assert_true(n > 0);
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal((unsigned char)c[k], (unsigned char)(i + (size_t)k));
	}
	assert_int_equal(ps_spool_read(s, size, c, 1), 0);
	assert_int_equal(ps_spool_read(s, UINT64_MAX, c, 1), 0);
}

static void small_messages_stay_in_memory_and_large_ones_go_to_a_file(void **state)
{
	struct ps_spool small, large;

	(void)state;
	ps_spool_init(&small, &budget);
	ps_spool_init(&large, &budget);
	fill(&small, 100);
	fill(&large, 1000);
	assert_int_equal(small.fd, -1);
	assert_true(large.fd >= 0);
	assert_filled(&small, 100);
	assert_filled(&large, 1000);
	assert_int_equal(budget.memory_used, 100);
	assert_int_equal(budget.disk_used, 1000);
	ps_spool_clear(&small);
	ps_spool_clear(&large);
	assert_int_equal(budget.memory_used, 0);
	assert_int_equal(budget.disk_used, 0);
}

static void memory_of_all_messages_is_bounded(void **state)
{
	struct ps_spool a, b;

	(void)state;
	ps_spool_init(&a, &budget);
	ps_spool_init(&b, &budget);
	fill(&a, 100);
	fill(&b, 60);
	assert_int_equal(a.fd, -1);
	assert_true(b.fd >= 0);
	assert_filled(&b, 60);
	ps_spool_clear(&a);
	ps_spool_clear(&b);
	assert_int_equal(budget.memory_used, 0);
}

static void one_message_and_all_files_are_bounded(void **state)
{
	struct ps_spool a, b;

	(void)state;
	ps_spool_init(&a, &budget);
	ps_spool_init(&b, &budget);
	fill(&a, 1000);
	assert_int_equal(ps_spool_add(&a, "x", 1), -EFBIG);
	assert_int_equal(ps_spool_add(&a, "x", SIZE_MAX), -EFBIG);
	fill(&b, 200);
	assert_int_equal(ps_spool_add(&b, "x", 1), -ENOSPC);
	assert_filled(&a, 1000);
	assert_filled(&b, 200);
	ps_spool_clear(&a);
	ps_spool_clear(&b);
}

static void a_directory_that_is_not_there_is_told(void **state)
{
	char bytes[101] = {0};
	struct ps_spool s;

	(void)state;
	budget.directory = "/nonexistent";
	ps_spool_init(&s, &budget);
	assert_int_equal(ps_spool_add(&s, bytes, sizeof(bytes)), -ENOENT);
	ps_spool_clear(&s);
}

static void a_users_file_is_read_from_where_it_stands(void **state)
{
	char path[] = "/tmp/pubsub-spool-XXXXXX", bytes[8];
	int fd = mkstemp(path);
	struct ps_spool s;

	(void)state;
	assert_int_equal(write(fd, "0123456789", 10), 10);
	lseek(fd, 4, SEEK_SET);
	ps_spool_init(&s, NULL);
	assert_int_equal(ps_spool_open(&s, fd), 0);
	assert_int_equal(s.size, 6);
	assert_int_equal(ps_spool_read(&s, 1, bytes, 3), 3);
	assert_memory_equal(bytes, "567", 3);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(ps_spool_read(&s, 2, bytes, 3), -ENODATA);
	ps_spool_clear(&s);
	unlink(path);
}

static void what_is_no_regular_file_is_refused(void **state)
{
	int pipes[2];
	struct ps_spool s;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	ps_spool_init(&s, NULL);
	assert_int_equal(ps_spool_open(&s, pipes[0]), -ESPIPE);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(small_messages_stay_in_memory_and_large_ones_go_to_a_file,
				       set_up),
		cmocka_unit_test_setup(memory_of_all_messages_is_bounded, set_up),
		cmocka_unit_test_setup(one_message_and_all_files_are_bounded, set_up),
		cmocka_unit_test_setup(a_directory_that_is_not_there_is_told, set_up),
		cmocka_unit_test_setup(a_users_file_is_read_from_where_it_stands, set_up),
		cmocka_unit_test_setup(what_is_no_regular_file_is_refused, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
