/* OUTSPAN_CHECKED: what the compiler cannot forbid, a state used twice, aborts the program. */
#define OUTSPAN_CHECKED 1

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "outspan/lonelypsp.h"

/* True if the function ends in abort(). */
static bool aborts(void (*run)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		signal(SIGABRT, SIG_DFL);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void in_order(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_sending s;
	struct outspan_context out;

	for (int i = 0; i < 2; i++) {
		s = lonelypsp_notify__hashed(lonelypsp_notify__start_without_hash(
			lonelypsp_notify_begin(&op), "t", 1, 5, false));
		lonelypsp_notify__response_notify_accepted(
			lonelypsp_notify__response_received(
				lonelypsp_notify__sending_request(s, "b", 1, "i", 1, &out), 200),
			NULL, 1);
	}
}

static void state_used_twice(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_start_first s = lonelypsp_notify_begin(&op);

	(void)lonelypsp_notify__start_without_hash(s, "t", 1, 5, false).op;
	(void)lonelypsp_notify__start_without_hash(s, "t", 1, 5, false).op;
}

/* A loop that leads back to the same state: still, the old value of it is spent. */
static void state_of_the_last_round(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_retry_determined s;

	(void)lonelypsp_notify__hashed(
		lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false))
		.op;
	op.head.state = 6; /* as if the states between had been passed */
	s = lonelypsp_notify_at_retry_determined(&op);
	(void)lonelypsp_notify__waiting_to_retry(s).op;
	(void)lonelypsp_notify__retrying(s).op;
}

static void state_of_the_earlier_use_of_the_block(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_start_first s = lonelypsp_notify_begin(&op);

	lonelypsp_notify_leave(&op, 0);
	(void)lonelypsp_notify_begin(&op).op;
	(void)lonelypsp_notify__start_without_hash(s, "t", 1, 5, false).op;
}

static void end_used_twice(void)
{
	struct lonelypsp_receive op = LONELYPSP_RECEIVE_INIT;
	struct lonelypsp_receive_request_parsed s =
		lonelypsp_receive__received(lonelypsp_receive_begin(&op));

	lonelypsp_receive__abandoned(s);
	lonelypsp_receive__abandoned(s);
}

static void stored_block_in_another_state(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)lonelypsp_notify_begin(&op).op;
	(void)lonelypsp_notify_at_sending(&op).op;
}

static void stored_block_never_begun(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)lonelypsp_notify_at_start_first(&op).op;
}

static void stored_block_in_this_state(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false).op;
	(void)lonelypsp_notify_at_sending(&op).op;
	lonelypsp_notify_leave(&op, 5);
}

static void calls_in_order_do_not_abort(void **state)
{
	(void)state;
	assert_false(aborts(in_order));
	assert_false(aborts(stored_block_in_this_state));
}

static void spent_states_abort(void **state)
{
	(void)state;
	assert_true(aborts(state_used_twice));
	assert_true(aborts(state_of_the_last_round));
	assert_true(aborts(state_of_the_earlier_use_of_the_block));
	assert_true(aborts(end_used_twice));
}

static void stored_blocks_are_asked_for_their_state(void **state)
{
	(void)state;
	assert_true(aborts(stored_block_in_another_state));
	assert_true(aborts(stored_block_never_begun));
}

/* Nothing but the abort differs while points are wanted. */
static void wanted_points_are_checked_alike(void **state)
{
	(void)state;
	memset(LONELYPSP_WANTED, 1, 4096);
	assert_false(aborts(in_order));
	assert_true(aborts(state_used_twice));
	assert_true(aborts(end_used_twice));
	memset(LONELYPSP_WANTED, 0, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_in_order_do_not_abort),
		cmocka_unit_test(spent_states_abort),
		cmocka_unit_test(stored_blocks_are_asked_for_their_state),
		cmocka_unit_test(wanted_points_are_checked_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
