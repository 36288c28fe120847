/* Training: which messages are samples, when a dictionary is due, and the program that makes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_training.h"

static struct ps_loop *loop;
static struct ps_trainer *trainer;
static struct ps_trainer_options options;
static struct ps_budget budget;
static int64_t later; /* than the clock says */
static int64_t (*real_steady_ns)(void);
static struct ps_training training;
static enum ps_mark marked;
static uint64_t marked_samples, marked_bytes;
static int trained_count;
static struct ps_dictionary *trained;

static int64_t steady_ns(void)
{
	return real_steady_ns() + later;
}

static void on_marked(struct ps_training *t, enum ps_mark mark, uint64_t samples, uint64_t bytes)
{
	(void)t;
	marked = mark;
	marked_samples = samples;
	marked_bytes = bytes;
}

static void on_trained(struct ps_training *t, struct ps_dictionary *dictionary)
{
	(void)t;
	trained_count++;
	ps_dictionary_free(&trained);
	trained = ps_dictionary_share(dictionary);
	ps_loop_stop(loop, 0);
}

static int set_up(void **state)
{
	(void)state;
	budget = (struct ps_budget){
		.message_max = 1 << 20, .memory_each = 1 << 20, .memory_max = 1 << 20};
	real_steady_ns = ps_system.steady_ns;
	ps_system.steady_ns = steady_ns;
	later = 0;
	marked = PS_MARK_NONE;
	trained_count = 0;
	ps_trainer_options_init(&options);
	training = (struct ps_training){.marked = on_marked, .trained = on_trained};
	return ps_loop_new(&loop);
}

static int tear_down(void **state)
{
	(void)state;
	ps_training_stop(&training);
	ps_trainer_free(&trainer);
	ps_loop_free(&loop);
	ps_dictionary_free(&trained);
	ps_system.steady_ns = real_steady_ns;
	return 0;
}

/* psp-train stands beside the folder of the tests. */
static void start(void)
{
	static char program[4096];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 64);

	if (!options.program) {
		assert_true(n > 0);
		program[n] = '\0';
		strcpy(strrchr(program, '/'), "/../../psp-train");
		options.program = program;
	}
	assert_ok(ps_trainer_new(&trainer, loop, &options));
	ps_training_start(&training, trainer);
}

static bool add_bytes(struct ps_training *t, const void *data, size_t size)
{
	struct ps_spool message;
	bool kept;

	ps_spool_init(&message, &budget);
	assert_ok(ps_spool_add(&message, data, size));
	kept = ps_training_add(t, &message);
	ps_spool_clear(&message);
	return kept;
}

/* A line such as sensors send; 80 bytes. */
static bool add_line(struct ps_training *t, unsigned i)
{
	char line[100];

	snprintf(
		line, sizeof(line),
		"{\"sensor\": \"%08x\", \"unit\": \"celsius\", \"value\": %8u, \"state\": \"%-7x\"}",
		i * 2654435761u, i * 7919u % 100000, i * 40503u % 0xfffffff);
	assert_int_equal(strlen(line), 80);
	return add_bytes(t, line, 80);
}

static void add_lines(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		add_line(&training, i);
}

static void samples_have_a_least_and_a_greatest_size(void **state)
{
	static const uint8_t zeros[PS_SAMPLE_MAX + 1];

	(void)state;
	start();
	assert_false(add_bytes(&training, zeros, 31));
	assert_true(add_bytes(&training, zeros, 32));
	assert_true(add_bytes(&training, zeros, 16383));
	assert_false(add_bytes(&training, zeros, 16384));
	assert_int_equal(training.kept, 2);
	assert_int_equal(training.samples.size, 2 + 32 + 2 + 16383);
	ps_training_stop(&training);
	assert_false(add_bytes(&training, zeros, 32));
}

static void the_first_dictionary_is_made_at_the_low_mark(void **state)
{
	(void)state;
	start();
	add_lines(1279); /* of 80 bytes: 102320 of 102400 */
	assert_int_equal(marked, PS_MARK_NONE);
	assert_true(add_line(&training, 1279));
	assert_int_equal(marked, PS_MARK_LOW);
	assert_int_equal(marked_samples, 1280);
	assert_int_equal(marked_bytes, 102400);
	assert_false(add_line(&training, 1280)); /* not while it is trained */
	assert_int_equal(trained_count, 0);

	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 1);
	assert_non_null(trained);
	assert_int_equal(ps_dictionary_level(trained), 3);
	assert_in_range(ps_dictionary_bytes(trained).size, 1000, 16384);
	assert_memory_equal(ps_dictionary_bytes(trained).data, "\x37\xa4\x30\xec", 4);
	assert_ok(ps_dictionary_prepare(trained));
	assert_true(add_line(&training, 1281));
	assert_int_equal(training.kept, 1281);
}

static void later_ones_are_made_at_the_high_mark_and_then_in_turn(void **state)
{
	(void)state;
	options.low = 16000;
	options.high = 160000;
	start();
	add_lines(200);
	assert_ok(ps_loop_run(loop));
	add_lines(1799);
	assert_int_equal(marked, PS_MARK_LOW);
	add_line(&training, 1);
	assert_int_equal(marked, PS_MARK_HIGH);
	assert_int_equal(marked_bytes, 160000);
	assert_ok(ps_loop_run(loop));
	assert_int_equal(ps_dictionary_level(trained), 10);
	assert_in_range(ps_dictionary_bytes(trained).size, 1000, 65536);
	assert_int_equal(training.kept, 0); /* the day's messages from now on */

	marked = PS_MARK_NONE;
	add_lines(4000);
	assert_int_equal(marked, PS_MARK_NONE);
	later += options.period_ns;
	add_line(&training, 1);
	assert_int_equal(marked, PS_MARK_HIGH);
	assert_int_equal(marked_bytes, 4001 * 80);
	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 3);

	later += options.period_ns;
	marked = PS_MARK_NONE;
	add_lines(199); /* a day of few messages waits for more */
	assert_int_equal(marked, PS_MARK_NONE);
	add_line(&training, 1);
	assert_int_equal(marked, PS_MARK_HIGH);
}

/* Of 20000 messages of 82 bytes a megabyte has room for 12787: every second one stays. */
static void more_samples_are_thinned_out_evenly(void **state)
{
	const uint8_t *at;

	(void)state;
	options.low = options.high = UINT64_MAX;
	start();
	add_lines(20000);
	assert_int_equal(training.stride, 2);
	assert_int_equal(training.kept, 10000);
	assert_int_equal(training.samples.size, 820000);
	at = training.samples.data;
	for (unsigned i = 0; i < 20000; i += 2, at += 82) {
		char sensor[9];

		snprintf(sensor, sizeof(sensor), "%08x", i * 2654435761u);
		assert_memory_equal(at, "\0\x50{\"sensor\": \"", 14);
		assert_memory_equal(at + 14, sensor, 8);
	}
	add_lines(2000000);
	assert_int_equal(training.stride, 256);
	assert_in_range(training.samples.size, PS_SAMPLES_MAX / 2 - 100, PS_SAMPLES_MAX);
}

static void samples_of_all_connections_have_a_maximum(void **state)
{
	struct ps_training other = {.marked = on_marked, .trained = on_trained};

	(void)state;
	options.memory_max = 82 * 3 + 81;
	start();
	ps_training_start(&other, trainer);
	assert_true(add_line(&training, 1));
	assert_true(add_line(&training, 2));
	assert_true(add_line(&other, 3));
	assert_false(add_line(&other, 4));
	assert_false(add_line(&training, 5));
	ps_training_stop(&training);
	assert_true(add_line(&other, 6));
	assert_true(add_line(&other, 7));
	assert_false(add_line(&other, 8));
	ps_training_stop(&other);
}

static void connections_are_trained_one_after_the_other(void **state)
{
	struct ps_training other = {.marked = on_marked, .trained = on_trained};

	(void)state;
	options.low = 40000;
	start();
	ps_training_start(&other, trainer);
	for (unsigned i = 0; i < 500; i++) {
		add_line(&training, i);
		add_line(&other, 3 * i + 7);
	}
	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 1);
	assert_false(training.waits);
	assert_true(other.waits);
	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 2);
	assert_non_null(trained);
	assert_false(other.waits);
	ps_training_stop(&other);
}

static void samples_that_give_no_dictionary_fail_and_sampling_goes_on(void **state)
{
	static const uint8_t zeros[PS_SAMPLE_MAX];

	(void)state;
	options.low = 2 * PS_SAMPLE_MAX;
	start();
	assert_true(add_bytes(&training, zeros, sizeof(zeros)));
	assert_true(add_bytes(&training, zeros, sizeof(zeros)));
	assert_int_equal(marked, PS_MARK_LOW);
	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 1);
	assert_null(trained);
	assert_true(add_bytes(&training, zeros, sizeof(zeros)));
}

static void a_program_that_is_not_there_or_fails_makes_none(void **state)
{
	static const char *const programs[] = {"/nonexistent/psp-train", "/bin/false", "/bin/true"};

	(void)state;
	options.low = 80;
	for (size_t i = 0; i < 3; i++) {
		options.program = programs[i];
		training.mark = PS_MARK_NONE;
		start();
		add_line(&training, 1);
		assert_int_equal(trained_count, (int)i);
		assert_ok(ps_loop_run(loop));
		assert_int_equal(trained_count, (int)i + 1);
		assert_null(trained);
		ps_training_stop(&training);
		ps_trainer_free(&trainer);
	}
}

static void a_program_that_does_not_end_is_killed(void **state)
{
	int64_t begin = real_steady_ns();

	(void)state;
	options.program = "/bin/sleep"; /* for as many seconds as the dictionary may have bytes */
	options.low = 80;
	options.time_ns = 20 * 1000000;
	start();
	add_line(&training, 1);
	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 1);
	assert_null(trained);
	assert_true(real_steady_ns() - begin >= 20 * 1000000);
}

static void stop_loop(struct ps_timer *t)
{
	(void)t;
	ps_loop_stop(loop, 1);
}

static void a_connection_may_end_while_it_is_trained(void **state)
{
	struct ps_timer soon = {.expired = stop_loop};
	struct ps_training other = {.marked = on_marked, .trained = on_trained};

	(void)state;
	options.low = 40000;
	start();
	add_lines(500);
	ps_training_start(&other, trainer);
	ps_loop_arm(loop, &soon, 1000000);
	assert_int_equal(ps_loop_run(loop), 1); /* it runs now, or has just */
	ps_training_stop(&training);
	trained_count = 0;
	for (unsigned i = 0; i < 500; i++)
		add_line(&other, i);
	assert_ok(ps_loop_run(loop));
	assert_int_equal(trained_count, 1);
	assert_false(other.waits);
	ps_training_stop(&other);
}

static void the_trainer_may_end_while_the_program_runs(void **state)
{
	struct ps_timer soon = {.expired = stop_loop};

	(void)state;
	options.program = "/bin/sleep";
	options.low = 80;
	start();
	add_line(&training, 1);
	ps_loop_arm(loop, &soon, 1000000);
	assert_int_equal(ps_loop_run(loop), 1);
	ps_training_stop(&training);
	ps_trainer_free(&trainer);
	assert_null(trainer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(samples_have_a_least_and_a_greatest_size),
		T(the_first_dictionary_is_made_at_the_low_mark),
		T(later_ones_are_made_at_the_high_mark_and_then_in_turn),
		T(more_samples_are_thinned_out_evenly),
		T(samples_of_all_connections_have_a_maximum),
		T(connections_are_trained_one_after_the_other),
		T(samples_that_give_no_dictionary_fail_and_sampling_goes_on),
		T(a_program_that_is_not_there_or_fails_makes_none),
		T(a_program_that_does_not_end_is_killed),
		T(a_connection_may_end_while_it_is_trained),
		T(the_trainer_may_end_while_the_program_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
