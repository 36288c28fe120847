/* The times of --aggregate as text: folded by program, rounded to what buckets can tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/timetable.h"

static struct osp_timetable *table;
static char text[1 << 16];

static int set_up(void **state)
{
	(void)state;
	text[0] = 0;
	return osp_timetable_new(&table);
}

static int tear_down(void **state)
{
	(void)state;
	osp_timetable_free(&table);
	return 0;
}

/* One operation, or a point of it, of a process; buckets as JSON. */
static void add(int process, const char *comm, const char *point, const char *buckets)
{
	json_t *row =
		json_pack("{s:i, s:s, s:i, s:s, s:s?, s:i, s:i, s:o}", "process", process, "comm",
			  comm, "pid", 1000 + process, "operation", "sell", "point", point, "count",
			  4, "errors", 1, "buckets", json_loads(buckets, 0, NULL));

	assert_non_null(row);
	assert_int_equal(osp_timetable_add(table, point ? "0001.00002" : "0001", row), 0);
	json_decref(row);
}

static void take_line(void *arg, const char *line)
{
	(void)arg;
	strcat(text, line);
	strcat(text, "\n");
}

static const char *print(void)
{
	assert_int_equal(osp_timetable_print(table, take_line, NULL), 0);
	return text;
}

static void few_processes_are_shown_one_by_one(void **state)
{
	(void)state;
	add(2, "shop", "paid", "[[840000000, 4]]");
	add(2, "shop", NULL, "[[594300, 3], [8470000, 1]]");
	add(1, "shop", NULL, "[[84, 2], [1700, 2]]");
	assert_string_equal(
		print(),
		"PROGRAM, OPERATION, POINT                          COUNT  ERRORS     ~P50     ~P90     ~P99     ~MAX\n"
		"shop/1001\n"
		"  sell                                                 4       1    85 ns   1.7 us   1.7 us   1.7 us\n"
		"shop/1002\n"
		"  sell                                                 4       1   610 us   8.7 ms   8.7 ms   8.7 ms\n"
		"    paid                                               4       1   860 ms   860 ms   860 ms   860 ms\n");
}

/* 40 times of ten processes: 20 of 10 us, 16 of 1 ms, 4 of 2 s. */
static void many_processes_of_one_program_are_one(void **state)
{
	(void)state;
	for (int i = 1; i <= 10; i++)
		add(i, "job", NULL,
		    i <= 5   ? "[[10000, 4]]"
		    : i <= 9 ? "[[1000000, 4]]"
			     : "[[2000000000, 4]]");
	add(20, "shop", NULL, "[[15, 4]]");
	assert_non_null(strstr(
		print(),
		"\njob (10 processes)\n"
		"  sell                                                40      10    10 us   1.0 ms    2.0 s    2.0 s\n"
		"shop/1020\n"));
}

static void what_is_no_row_is_passed_over(void **state)
{
	json_t *odd =
		json_loads("{\"comm\": 7, \"buckets\": [3, [\"x\"], [-5, 2], [5, -2]]}", 0, NULL);
	json_t *none = json_integer(1);

	(void)state;
	assert_string_equal(print(), "");
	assert_int_equal(osp_timetable_add(table, "", none), 0);
	assert_int_equal(osp_timetable_add(table, "", odd), 0);
	assert_non_null(strstr(print(), "\n?/0\n  ?  "));
	json_decref(odd);
	json_decref(none);
}

static void there_is_a_maximum_of_lines(void **state)
{
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		char comm[16];

		snprintf(comm, sizeof(comm), "job%d", i);
		add(i, comm, NULL, "[[1, 1]]");
	}
	for (const char *p = print(); *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 201);
	assert_non_null(strstr(text, "\n... and 201 more lines: outspan ls --json has all\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(few_processes_are_shown_one_by_one, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(many_processes_of_one_program_are_one, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_row_is_passed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_is_a_maximum_of_lines, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
