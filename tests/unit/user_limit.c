/* At most so many in a second of each value, and whole traces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/limit.h"

static const int64_t second = 1000000000;
static struct osp_limit *limit;

static int set_up(void **state)
{
	(void)state;
	return osp_limit_new(&limit, 2);
}

static int tear_down(void **state)
{
	(void)state;
	osp_limit_free(&limit);
	return 0;
}

static bool ask(uint64_t key, uint64_t trace, int64_t time_ns)
{
	const struct osp_limit_subject s = {
		.keyed = key, .traced = trace, .key = {key, 1}, .trace = {trace, 1}};

	return osp_limit_takes(limit, &s, time_ns);
}

static void so_many_are_taken_in_each_second_of_each_value(void **state)
{
	(void)state;
	assert_true(ask(7, 0, 5 * second));
	assert_true(ask(7, 0, 5 * second + 1));
	assert_false(ask(7, 0, 6 * second - 1));
	assert_true(ask(8, 0, 6 * second - 1));
	assert_true(ask(7, 0, 6 * second));
	assert_true(ask(7, 0, 6 * second));
	assert_false(ask(7, 0, 6 * second));
}

static void what_comes_late_belongs_to_the_latest_second(void **state)
{
	(void)state;
	assert_true(ask(7, 0, 6 * second));
	assert_true(ask(7, 0, 5 * second));
	assert_false(ask(7, 0, 5 * second));
	assert_false(ask(7, 0, 0));
}

static void a_trace_is_taken_or_left_as_a_whole(void **state)
{
	(void)state;
	assert_true(ask(7, 100, second));
	assert_true(ask(7, 101, second));
	assert_false(ask(7, 102, second));
	/* whatever comes of them later, and uncounted */
	assert_true(ask(7, 100, second));
	assert_true(ask(0, 101, second));
	assert_false(ask(9, 102, 2 * second));
	assert_false(ask(0, 102, 2 * second));
	assert_true(ask(9, 103, 2 * second));
	assert_true(ask(9, 104, 2 * second));
}

static void what_shows_no_value_is_taken_and_decides_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(ask(0, 200, second));
	assert_true(ask(7, 0, second));
	assert_true(ask(7, 0, second));
	assert_false(ask(7, 200, second));
}

static void a_value_without_room_is_left_and_counted(void **state)
{
	enum { VALUES = 2 * OSP_LIMIT_ROWS * OSP_LIMIT_WAYS };
	uint64_t taken = 0;

	(void)state;
	for (uint64_t key = 1; key <= VALUES; key++)
		taken += ask(key, 0, second);
	assert_in_range(taken, VALUES / 4, VALUES / 2);
	assert_int_equal(osp_limit_crowded(limit), VALUES - taken);
	/* the next second has room again */
	assert_true(ask(VALUES, 0, 2 * second));
}

static void expressions_are_read(void **state)
{
	static const char *const wrong[] = {"",	     "5",      "5/s",	"5/s:",	  "/s:a",
					    "0/s:a", "-1/s:a", "5/m:a", " 5/s:a", "4294967296/s:a",
					    "x/s:a"};
	struct osp_limit_rule rule;

	(void)state;
	assert_int_equal(osp_limit_parse("100/s:topic", &rule), 0);
	assert_int_equal(rule.most, 100);
	assert_string_equal(rule.arg, "topic");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(osp_limit_parse(wrong[i], &rule), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(so_many_are_taken_in_each_second_of_each_value,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_comes_late_belongs_to_the_latest_second,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_trace_is_taken_or_left_as_a_whole, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_shows_no_value_is_taken_and_decides_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_value_without_room_is_left_and_counted, set_up,
						tear_down),
		cmocka_unit_test(expressions_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
