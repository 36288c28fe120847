/* The state-set engine on a small automaton made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "user/nfa.h"

/*
 *   A --begin--> B --work--> C --work--> C,  B --skip--> D,  C --done--> D,  D --close--> end,
 *   C --close--> end (another status),  anywhere --leave--> end
 */
enum { A, B, C, D };
enum { BEGIN, WORK, SKIP, DONE, CLOSE, LEAVE, POINTS };
static struct osp_point points[POINTS] = {{.number = 3}, {.number = 4}, {.number = 5},
					  {.number = 7}, {.number = 8}, {.number = 9}};
static struct osp_transition transitions[] = {
	{.from = A, .to = B, .point = &points[BEGIN], .open = -1},
	{.from = B, .to = C, .point = &points[WORK], .open = -1},
	{.from = C, .to = C, .point = &points[WORK], .open = -1},
	{.from = B, .to = D, .point = &points[SKIP], .open = -1},
	{.from = C, .to = D, .point = &points[DONE], .open = -1},
	{.from = D, .to = OSP_STATE_END, .point = &points[CLOSE], .open = -1},
	{.from = C, .to = OSP_STATE_END, .point = &points[CLOSE], .open = -1, .code = "early"},
	{.from = A, .to = OSP_STATE_END, .point = &points[LEAVE], .open = -1, .any = true},
};
static const struct osp_operation operation = {
	.state_count = 4,
	.start = A,
	.transitions = transitions,
	.transition_count = sizeof(transitions) / sizeof(transitions[0]),
};

static struct osp_nfa *nfa;
static struct osp_nfa_view view;

/* All points are attached but those named. */
static void attach_all_but(const int *hidden, size_t count)
{
	uint8_t visible[OSP_CATALOGUE_POINTS / 8];

	memset(visible, 0xff, sizeof(visible));
	for (size_t i = 0; i < count; i++)
		visible[points[hidden[i]].number / 8] &=
			(uint8_t) ~(1u << points[hidden[i]].number % 8);
	osp_nfa_init_view(nfa, visible, &view);
}

static int set_up(void **state)
{
	(void)state;
	attach_all_but(NULL, osp_nfa_new(&nfa, &operation) ? 1 : 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	osp_nfa_free(&nfa);
	return 0;
}

static uint64_t step(uint64_t live, int point, struct osp_nfa_step *s)
{
	osp_nfa_step(nfa, &view, live, &points[point], s);
	return s->live;
}

static void steps_in_order_follow_the_table(void **state)
{
	uint64_t live = osp_nfa_start(nfa, &view);
	struct osp_nfa_step s;

	(void)state;
	assert_int_equal(live, 1 << A);
	live = step(live, BEGIN, &s);
	assert_int_equal(live, 1 << B);
	live = step(live, WORK, &s);
	assert_int_equal(live, 1 << C);
	live = step(live, DONE, &s);
	assert_int_equal(live, 1 << D);
	live = step(live, CLOSE, &s);
	assert_int_equal(live, 0);
	assert_true(s.ends);
	assert_false(s.unexpected);
	assert_ptr_equal(s.taken, &transitions[5]);
}

static void a_step_out_of_order_goes_on_from_its_targets(void **state)
{
	struct osp_nfa_step s;

	(void)state;
	step(1 << A, DONE, &s);
	assert_true(s.unexpected);
	assert_false(s.ends);
	assert_int_equal(s.live, 1 << D);
}

static void what_is_not_attached_happens_silently(void **state)
{
	static const int hidden[] = {WORK, SKIP};
	struct osp_nfa_step s;

	(void)state;
	attach_all_but(hidden, 2);
	step(1 << A, BEGIN, &s);
	assert_int_equal(s.live, 1 << B | 1 << C | 1 << D);
	step(s.live, DONE, &s);
	assert_false(s.unexpected);
	assert_int_equal(s.live, 1 << D);
}

static void a_hidden_start_widens_the_start(void **state)
{
	static const int hidden[] = {BEGIN};

	(void)state;
	attach_all_but(hidden, 1);
	assert_int_equal(osp_nfa_start(nfa, &view), 1 << A | 1 << B);
	assert_true(osp_nfa_accepts(nfa, osp_nfa_start(nfa, &view), &points[WORK]));
	assert_false(osp_nfa_accepts(nfa, osp_nfa_start(nfa, &view), &points[DONE]));
}

static void leaving_is_allowed_anywhere_and_in_order_nowhere(void **state)
{
	struct osp_nfa_step s;

	(void)state;
	for (int i = A; i <= D; i++) {
		step(1ull << i, LEAVE, &s);
		assert_true(s.ends);
		assert_false(s.unexpected);
		assert_false(osp_nfa_accepts(nfa, 1ull << i, &points[LEAVE]));
	}
}

static void any_state_accepts_every_step(void **state)
{
	struct osp_nfa_step s;

	(void)state;
	assert_int_equal(osp_nfa_all(nfa), 15);
	for (int i = BEGIN; i < POINTS; i++) {
		step(osp_nfa_all(nfa), i, &s);
		assert_false(s.unexpected);
		assert_non_null(s.taken);
	}
}

static void an_end_that_is_not_certain_does_not_end(void **state)
{
	static struct osp_transition unclear[] = {
		{.from = A, .to = OSP_STATE_END, .point = &points[WORK], .open = -1},
		{.from = B, .to = C, .point = &points[WORK], .open = -1},
	};
	static const struct osp_operation o = {
		.state_count = 3, .transitions = unclear, .transition_count = 2};
	struct osp_nfa_step s;
	struct osp_nfa *n;

	(void)state;
	assert_int_equal(osp_nfa_new(&n, &o), 0);
	osp_nfa_step(n, &view, 1 << A | 1 << B, &points[WORK], &s);
	assert_false(s.ends);
	assert_ptr_equal(s.taken, &unclear[1]);
	osp_nfa_step(n, &view, 1 << A, &points[WORK], &s);
	assert_true(s.ends);
	osp_nfa_free(&n);
}

static void a_point_of_another_operation_is_no_step(void **state)
{
	static const struct osp_point stranger = {.number = 6}, beyond = {.number = 1000};
	struct osp_nfa_step s;

	(void)state;
	osp_nfa_step(nfa, &view, 15, &stranger, &s);
	assert_null(s.taken);
	osp_nfa_step(nfa, &view, 15, &beyond, &s);
	assert_null(s.taken);
	assert_false(s.ends);
}

static void sixty_four_states_fit(void **state)
{
	static struct osp_transition chain[64];
	static const struct osp_operation o = {
		.state_count = 64, .transitions = chain, .transition_count = 64};
	struct osp_nfa_step s = {.live = 1};
	struct osp_nfa *n;

	(void)state;
	for (int i = 0; i < 64; i++)
		chain[i] = (struct osp_transition){.from = (uint8_t)i,
						   .to = i < 63 ? (uint8_t)(i + 1) : OSP_STATE_END,
						   .point = &points[WORK],
						   .open = -1};
	assert_int_equal(osp_nfa_new(&n, &o), 0);
	assert_true(osp_nfa_all(n) == UINT64_MAX);
	for (int i = 0; i < 64; i++)
		osp_nfa_step(n, &view, s.live, &points[WORK], &s);
	assert_true(s.ends);
	osp_nfa_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(steps_in_order_follow_the_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_step_out_of_order_goes_on_from_its_targets,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_attached_happens_silently, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_hidden_start_widens_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leaving_is_allowed_anywhere_and_in_order_nowhere,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_state_accepts_every_step, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_end_that_is_not_certain_does_not_end, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_point_of_another_operation_is_no_step, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(sixty_four_states_fit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
