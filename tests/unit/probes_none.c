/* OUTSPAN_NO_PROBES: the same program text, and nothing of it is left. */
#define OUTSPAN_NO_PROBES 1

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "outspan/lonelypsp.h"

static int evaluated;

static const char *topic_with_work(void)
{
	evaluated++;
	return "topic";
}

static void whole_chain_runs_and_does_nothing(void **state)
{
	LONELYPSP_NOTIFY_SCOPE(op);
	struct outspan_context out;
	struct lonelypsp_notify_hashed s1 = lonelypsp_notify__start_without_hash(
		lonelypsp_notify_begin(&op), topic_with_work(), 5, 5, false);
	struct lonelypsp_notify_response_received s2 = lonelypsp_notify__sending_request(
		lonelypsp_notify__hashed(s1), "b", 1, "i", 1, &out);

	(void)state;
	lonelypsp_notify__response_notify_accepted(lonelypsp_notify__response_received(s2, 200),
						   NULL, 1);
	lonelypsp_notify_leave(&op, 5);
	assert_int_equal(evaluated, 0);
	assert_int_equal(out.valid, 0);
	assert_int_equal(sizeof(op), 1);
}

static void contexts_of_others_can_still_be_read(void **state)
{
	uint8_t wire[OUTSPAN_CONTEXT_SIZE] = {'o', 's', 'p', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
					      1,   1,	1,   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	struct outspan_context c;

	(void)state;
	outspan_context_read(&c, wire, sizeof(wire));
	assert_int_equal(c.valid, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_chain_runs_and_does_nothing),
		cmocka_unit_test(contexts_of_others_can_still_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
