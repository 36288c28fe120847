/* The flight recorder, driven by hand: when it forgets, when it saves, and under which name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "user/base/log.h"
#include "user/keep.h"

static struct osp_keep *keep;
static struct osp_keep_options options;
static const char *taken; /* names that exist already: a part of them */
static int save_error;
static char heard[4096]; /* what the back end was asked, a word each */

static void hear(const char *format, ...)
{
	size_t n = strlen(heard);
	va_list args;

	va_start(args, format);
	vsnprintf(heard + n, sizeof(heard) - n, format, args);
	va_end(args);
}

static int on_note(void *arg, const char *name, const char *value)
{
	assert_ptr_equal(arg, &keep);
	hear("%s=%s\n", name, value);
	return 0;
}

static int on_forget(void *arg, int64_t before_ns)
{
	assert_ptr_equal(arg, &keep);
	hear("forget %.1f\n", (double)before_ns / 1e9);
	return 0;
}

static int on_save(void *arg, const char *path)
{
	assert_ptr_equal(arg, &keep);
	if (taken && strstr(taken, path))
		return -EEXIST;
	hear("save %s\n", path);
	return save_error;
}

/* Times in s since the epoch: 2026-01-01T00:00:00Z is boot time 0. */
static const int64_t epoch_ns = 1767225600000000000ll;

static int64_t s(double seconds)
{
	return (int64_t)(seconds * 1e9);
}

static void tick(double at)
{
	assert_int_equal(osp_keep_tick(keep, s(at), epoch_ns + s(at)), 0);
}

static void start(const char *session)
{
	const struct osp_keep_back back = {&keep, on_note, on_forget, on_save};

	osp_keep_free(&keep);
	assert_int_equal(osp_keep_new(&keep, &options, &back, session), 0);
}

static int set_up(void **state)
{
	(void)state;
	osp_log_level_set(OSP_LOG_ERR);
	options = (struct osp_keep_options){.last_ns = s(60), .most = 10};
	taken = NULL;
	save_error = 0;
	*heard = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	osp_keep_free(&keep);
	return 0;
}

/* An operation of a trace: from, to in s; its second span is nested. */
static void operation(uint64_t trace, double from, double to, enum osp_span_status status,
		      enum osp_span_status nested)
{
	const struct osp_row_span spans[] = {{.kind_name = "sell",
					      .name = "sell tea",
					      .start_ns = s(from),
					      .end_ns = s(to),
					      .status = status},
					     {.number = 1,
					      .kind_name = "pay",
					      .start_ns = s(from),
					      .end_ns = s(to),
					      .status = nested}};
	const struct osp_part part = {.kind = OSP_PART_ROW,
				      .row = {.id = 0xab0000,
					      .trace = trace,
					      .complete = true,
					      .spans = spans,
					      .span_count = 2}};

	osp_keep_part(keep, &part);
}

static void good(uint64_t trace, double from, double to)
{
	operation(trace, from, to, OSP_SPAN_OK, OSP_SPAN_UNSET);
}

static void failed(uint64_t trace, double from, double to)
{
	operation(trace, from, to, OSP_SPAN_ERROR, OSP_SPAN_OK);
}

/* What was asked since the last time. */
static void assert_heard(const char *text)
{
	assert_string_equal(heard, text);
	*heard = 0;
}

static void what_ended_long_ago_is_forgotten_once_a_second(void **state)
{
	struct osp_keep_stats stats;

	(void)state;
	start("run.db");
	tick(0.2);
	tick(59.9);
	assert_heard("");
	tick(60.2);
	assert_heard("forget 0.2\nkept_since=2026-01-01T00:00:00.200000Z\n");
	tick(60.4);
	tick(61.1);
	assert_heard("");
	tick(61.2);
	assert_heard("forget 1.2\nkept_since=2026-01-01T00:00:01.200000Z\n");
	osp_keep_stats(keep, &stats);
	assert_int_equal(stats.forgotten_ns, s(1.2));
}

static void without_a_limit_nothing_is_forgotten(void **state)
{
	(void)state;
	options.last_ns = 0;
	start("run.db");
	tick(1e6);
	assert_heard("");
}

static void asking_saves_at_once_and_says_why(void **state)
{
	char out[OSP_KEEP_PATH];

	(void)state;
	start("dir/run.db");
	assert_int_equal(osp_keep_save(keep, "signal", NULL, s(7), epoch_ns + s(7), out), 0);
	assert_string_equal(out, "dir/run.saved-1.db");
	assert_heard("saved_1_why=signal\nsaved_1_at=2026-01-01T00:00:07.000000Z\n"
		     "save dir/run.saved-1.db\n");
	assert_int_equal(osp_keep_save(keep, "user 7", "/tmp/x.db", s(8), epoch_ns, out), 0);
	assert_string_equal(out, "/tmp/x.db");
	assert_heard(
		"saved_2_why=user 7\nsaved_2_at=2026-01-01T00:00:00.000000Z\nsave /tmp/x.db\n");
}

static void a_taken_name_is_passed_over(void **state)
{
	char out[OSP_KEEP_PATH];

	(void)state;
	taken = "run.saved-1.db run.saved-2.db /tmp/x.db";
	start("run");
	assert_int_equal(osp_keep_save(keep, "signal", NULL, s(7), epoch_ns, out), 0);
	assert_string_equal(out, "run.saved-3.db");
	assert_int_equal(osp_keep_save(keep, "x", "/tmp/x.db", s(8), epoch_ns, out), -EEXIST);
}

static void a_failed_trace_is_saved_when_it_has_settled(void **state)
{
	(void)state;
	options.on_error = true;
	start("run.db");
	good(1, 1, 2);
	tick(3);
	assert_heard("");
	failed(2, 2, 3.1);
	tick(3.2);
	failed(2, 2, 4); /* more of the same */
	failed(3, 3, 4); /* and another, which is in the copy, too */
	tick(4.1);
	assert_heard("");
	tick(4.2);
	assert_heard("saved_1_why=error: sell tea (span 0000000000ab0000)\n"
		     "saved_1_at=2026-01-01T00:00:04.200000Z\nsave run.saved-1.db\n");
	failed(2, 2, 5); /* a latecomer of a trace that was saved */
	tick(5);
	tick(50);
	assert_heard("");
}

static void a_nested_span_that_fails_counts_and_is_named(void **state)
{
	(void)state;
	options.on_error = true;
	start("run.db");
	operation(1, 1, 2, OSP_SPAN_OK, OSP_SPAN_ERROR);
	tick(2);
	tick(3);
	assert_heard("saved_1_why=error: pay (span 0000000000ab0001)\n"
		     "saved_1_at=2026-01-01T00:00:03.000000Z\nsave run.saved-1.db\n");
}

static void errors_are_not_asked_for_by_default(void **state)
{
	(void)state;
	start("run.db");
	failed(1, 1, 50);
	tick(51);
	tick(53);
	assert_heard("");
}

static void a_slow_trace_is_one_that_all_its_operations_make_slow(void **state)
{
	(void)state;
	options.slow_ns = s(0.5);
	start("run.db");
	good(1, 1, 1.3);
	good(1, 1.3, 1.4999);
	good(2, 1.2, 1.6); /* another trace */
	tick(2);
	tick(4);
	assert_heard("");
	good(2, 1.1, 1.2); /* it began earlier than was known */
	good(2, 1.6, 1.7);
	tick(5);
	tick(6);
	assert_heard("saved_1_why=slow, 600.00 ms: sell tea (span 0000000000ab0000)\n"
		     "saved_1_at=2026-01-01T00:00:06.000000Z\nsave run.saved-1.db\n");
}

/* The next copy comes when half of what is kept is new: what failed before is still in it. */
static void saves_are_spaced(void **state)
{
	(void)state;
	options.on_error = true;
	start("run.db");
	failed(1, 1, 2);
	tick(2);
	tick(3);
	*heard = 0;
	failed(2, 3, 4);
	tick(4);
	tick(32.9);
	assert_heard("");
	tick(33);
	assert_heard("saved_2_why=error: sell tea (span 0000000000ab0000)\n"
		     "saved_2_at=2026-01-01T00:00:33.000000Z\nsave run.saved-2.db\n");
}

static void so_many_saves_and_no_more(void **state)
{
	struct osp_keep_stats stats;
	char out[OSP_KEEP_PATH];

	(void)state;
	options.on_error = true;
	options.most = 2;
	options.last_ns = 0;
	start("run.db");
	for (int i = 1; i <= 5; i++) {
		failed((uint64_t)i, 20 * i, 20 * i + 1);
		tick(20 * i + 1);
		tick(20 * i + 2);
	}
	osp_keep_stats(keep, &stats);
	assert_int_equal(stats.saved, 2);
	assert_int_equal(stats.passed_over, 3);
	assert_int_equal(osp_keep_save(keep, "signal", NULL, s(200), epoch_ns, out), 0);
	assert_string_equal(out, "run.saved-3.db");
}

static void a_copy_that_fails_ends_nothing(void **state)
{
	struct osp_keep_stats stats;

	(void)state;
	options.on_error = true;
	save_error = -ENOSPC;
	start("run.db");
	failed(1, 1, 2);
	tick(2);
	tick(3);
	osp_keep_stats(keep, &stats);
	assert_int_equal(stats.failed, 1);
	assert_int_equal(stats.saved, 0);
	save_error = 0;
	*heard = 0;
	failed(2, 40, 41);
	tick(41);
	tick(42);
	assert_heard("saved_1_why=error: sell tea (span 0000000000ab0000)\n"
		     "saved_1_at=2026-01-01T00:00:42.000000Z\nsave run.saved-2.db\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_ended_long_ago_is_forgotten_once_a_second,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_limit_nothing_is_forgotten, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(asking_saves_at_once_and_says_why, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_taken_name_is_passed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failed_trace_is_saved_when_it_has_settled, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_nested_span_that_fails_counts_and_is_named,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors_are_not_asked_for_by_default, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_slow_trace_is_one_that_all_its_operations_make_slow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(saves_are_spaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_saves_and_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_copy_that_fails_ends_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
