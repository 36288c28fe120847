/* The event loop: timers in order, watches that go away while others are served, plain files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <signal.h>
#include <cmocka.h>

#include "probes/pubsub/ps_loop.h"
#include "probes/pubsub/ps_system.h"

enum { TIMERS = 500 };

static int64_t now;
static struct ps_loop *loop;
static struct ps_timer timers[TIMERS];
static int order[2 * TIMERS], fired;

static int64_t fixed_steady_ns(void)
{
	return now;
}

static int set_up(void **state)
{
	(void)state;
	now = 1000;
	fired = 0;
	memset(timers, 0, sizeof(timers));
	ps_system.steady_ns = fixed_steady_ns;
	return ps_loop_new(&loop);
}

static int tear_down(void **state)
{
	(void)state;
	ps_loop_free(&loop);
	return 0;
}

static void note(struct ps_timer *t)
{
	order[fired++] = (int)(t - timers);
}

static void stop(struct ps_timer *t)
{
	(void)t;
	ps_loop_stop(loop, 7);
}

/* Runs the loop once over everything due. */
static int run_due(void)
{
	struct ps_timer last = {.expired = stop};

	ps_loop_arm(loop, &last, now + 1000000 - now);
	now += 1000000;
	return ps_loop_run(loop);
}

static void timers_expire_in_order_of_their_times(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < TIMERS; i++) {
		timers[i].expired = note;
		ps_loop_arm(loop, &timers[i], rand() % 100000);
	}
	assert_int_equal(run_due(), 7);
	assert_int_equal(fired, TIMERS);
	for (int i = 1; i < TIMERS; i++)
		assert_true(timers[order[i - 1]].at_ns <= timers[order[i]].at_ns);
}

static void disarmed_and_rearmed_timers_expire_as_last_told(void **state)
{
	int expected = 0;

	(void)state;
	srand(2);
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < TIMERS; i++) {
			timers[i].expired = note;
			if (rand() % 3)
				ps_loop_arm(loop, &timers[i], rand() % 100000);
			else
				ps_loop_disarm(loop, &timers[i]);
		}
	for (int i = 0; i < TIMERS; i++)
		expected += timers[i].armed;
	run_due();
	assert_int_equal(fired, expected);
	for (int i = 1; i < fired; i++)
		assert_true(timers[order[i - 1]].at_ns <= timers[order[i]].at_ns);
}

static int pipes[2][2];
static struct ps_watch watches[2];
static int served;

static void serve_and_forget_the_other(struct ps_watch *w, uint32_t events)
{
	(void)events;
	served++;
	ps_loop_unwatch(loop, &watches[w == &watches[0]]);
	ps_loop_stop(loop, 0);
}

static void a_watch_forgotten_in_the_same_round_is_not_served(void **state)
{
	(void)state;
	served = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
		watches[i] =
			(struct ps_watch){.fd = pipes[i][0], .ready = serve_and_forget_the_other};
		assert_int_equal(ps_loop_watch(loop, &watches[i], EPOLLIN), 0);
	}
	ps_loop_run(loop);
	assert_int_equal(served, 1);
	assert_int_equal(watches[0].active + watches[1].active, 1);
	for (int i = 0; i < 2; i++) {
		ps_loop_unwatch(loop, &watches[i]);
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

static void read_to_the_end(struct ps_watch *w, uint32_t events)
{
	char c;

	(void)events;
	served++;
	if (read(w->fd, &c, 1) == 1)
		return;
	ps_loop_unwatch(loop, w);
	ps_loop_stop(loop, 0);
}

static void a_plain_file_is_ready_to_its_end(void **state)
{
	char path[] = "/tmp/pubsub-loop-XXXXXX";
	struct ps_watch w = {.fd = mkstemp(path), .ready = read_to_the_end};

	(void)state;
	served = 0;
	assert_int_equal(write(w.fd, "abc", 3), 3);
	lseek(w.fd, 0, SEEK_SET);
	assert_int_equal(ps_loop_watch(loop, &w, EPOLLIN), 0);
	ps_loop_run(loop);
	assert_int_equal(served, 4);
	close(w.fd);
	unlink(path);
}

static int asked;

static void ask(void *owner)
{
	(void)owner;
	asked++;
	raise(SIGINT);
}

static void the_first_signal_asks_and_the_second_ends(void **state)
{
	(void)state;
	asked = 0;
	ps_loop_on_signal(loop, ask, NULL);
	raise(SIGTERM);
	assert_int_equal(ps_loop_run(loop), 1);
	assert_int_equal(asked, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_expire_in_order_of_their_times),
		TEST(disarmed_and_rearmed_timers_expire_as_last_told),
		TEST(a_watch_forgotten_in_the_same_round_is_not_served),
		TEST(a_plain_file_is_ready_to_its_end),
		TEST(the_first_signal_asks_and_the_second_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
