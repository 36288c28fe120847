/* Processes: what is attached in them, when they lost steps, when nothing is sure. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "user/roster.h"

static struct osp_point points[2] = {{.number = 0, .provider = "p", .probe = "a"},
				     {.number = 1, .provider = "p", .probe = "b"}};
static struct osp_point *point_list[] = {&points[0], &points[1]};
static struct osp_transition transitions[] = {
	{.from = 0, .to = 1, .point = &points[0], .open = -1},
	{.from = 1, .to = OSP_STATE_END, .point = &points[1], .open = -1},
};
static struct osp_operation operation = {
	.state_count = 2, .transitions = transitions, .transition_count = 2};
static struct osp_operation *operations[] = {&operation};
static const struct osp_catalogue catalogue = {
	.points = point_list, .point_count = 2, .operations = operations, .operation_count = 1};

struct seen {
	struct osp_part parts[64];
	size_t count;
};
static struct seen seen;
static struct osp_roster *roster;

static int take(void *arg, const struct osp_part *part)
{
	struct seen *s = arg;

	assert_true(s->count < 64);
	s->parts[s->count++] = *part;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	seen.count = 0;
	return osp_roster_new(&roster, &catalogue, take, &seen);
}

static int tear_down(void **state)
{
	(void)state;
	osp_roster_free(&roster);
	return 0;
}

static struct osp_tracee *step(uint32_t slot, uint64_t time_ns, uint64_t lost)
{
	struct osp_record r = {.kind = OSP_RECORD_STEP,
			       .pid = slot + 100,
			       .process = slot,
			       .time_ns = time_ns,
			       .lost = lost};
	struct osp_tracee *t;

	assert_int_equal(osp_roster_find(roster, &r, &t), 0);
	if (t)
		assert_int_equal(osp_roster_add_step(roster, t, &r, (int64_t)r.time_ns), 0);
	return t;
}

static void site(uint32_t slot, uint16_t point, bool attached, int64_t time_ns)
{
	struct osp_input in = {.kind = OSP_INPUT_SITES, .time_ns = time_ns};

	in.sites = (struct osp_input_sites){slot, point, 2, attached, attached};
	assert_int_equal(osp_roster_add_sites(roster, &in), 0);
}

static void attach(uint32_t slot, bool begins, int64_t time_ns)
{
	struct osp_input in = {.kind = OSP_INPUT_ATTACH, .time_ns = time_ns};

	in.attach = (struct osp_input_attach){slot, false, begins};
	assert_int_equal(osp_roster_add_attach(roster, &in), 0);
}

static void processes_get_keys_in_order_of_appearance(void **state)
{
	(void)state;
	assert_int_equal(step(7, 1, 0)->row.key, 1);
	assert_int_equal(step(3, 2, 0)->row.key, 2);
	assert_int_equal(step(7, 3, 0)->row.key, 1);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.parts[1].process.pid, 103);
	assert_null(step(OSP_EVENT_PROCESSES, 4, 0));
	assert_null(step(UINT32_MAX, 5, 0));
}

static void consecutive_losses_make_one_gap(void **state)
{
	(void)state;
	step(1, 100, 0);
	step(1, 200, 2);
	step(1, 300, 5);
	assert_int_equal(seen.count, 1);
	step(1, 400, 5);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.parts[1].kind, OSP_PART_GAP);
	assert_int_equal(seen.parts[1].gap.from_ns, 100);
	assert_int_equal(seen.parts[1].gap.to_ns, 300);
	assert_int_equal(seen.parts[1].gap.lost, 5);
	step(1, 500, 3); /* an older record that was overtaken */
	assert_int_equal(seen.count, 2);
	assert_int_equal(osp_roster_lost(roster), 5);
}

static void a_first_record_may_carry_losses(void **state)
{
	(void)state;
	step(1, 100, 4);
	assert_int_equal(osp_roster_flush_gaps(roster), 0);
	assert_int_equal(seen.parts[1].gap.lost, 4);
	assert_true(osp_roster_cut(roster, 100, 100));
}

static void tails_are_found_by_the_counters(void **state)
{
	struct osp_tracee *t = step(1, 100, 1);

	(void)state;
	assert_int_equal(osp_roster_add_tail(roster, t, 900, 1, "ring_full"), 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(osp_roster_add_tail(roster, t, 900, 3, "argument_fault"), 0);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.parts[2].gap.from_ns, 100);
	assert_int_equal(seen.parts[2].gap.to_ns, 900);
	assert_int_equal(seen.parts[2].gap.lost, 2);
	assert_string_equal(seen.parts[2].gap.reason, "argument_fault");
}

static void a_record_tells_why_its_process_lost_steps(void **state)
{
	struct osp_record r = {.kind = OSP_RECORD_STEP, .pid = 101, .process = 1, .time_ns = 100};
	struct osp_tracee *t = step(1, 50, 0);

	(void)state;
	r.lost = 2;
	r.flags = (OSP_LOSS_BLOCK_FULL + 1) << OSP_RECORD_REASON | OSP_RECORD_CLEARED;
	assert_int_equal(osp_roster_add_step(roster, t, &r, (int64_t)r.time_ns), 0);
	r.time_ns = 200;
	assert_int_equal(osp_roster_add_step(roster, t, &r, (int64_t)r.time_ns), 0);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.parts[1].gap.reason, "block_full");
	/* one that cannot be: an older capture, or a damaged one */
	r.lost = 3;
	r.flags = 99 << OSP_RECORD_REASON;
	assert_int_equal(osp_roster_add_step(roster, t, &r, (int64_t)r.time_ns), 0);
	assert_int_equal(osp_roster_flush_gaps(roster), 0);
	assert_string_equal(seen.parts[2].gap.reason, "ring_full");
}

/* One gap per reason and tick, whatever order the times are in; each is a cut for its partners. */
static void what_the_recorder_loses_makes_gaps_of_its_own(void **state)
{
	struct osp_tracee *t = step(1, 50, 0);

	(void)state;
	assert_int_equal(osp_roster_add_loss(roster, t, 300, OSP_LOSS_LATE, false), 0);
	assert_int_equal(osp_roster_add_loss(roster, t, 200, OSP_LOSS_LATE, false), 0);
	assert_false(osp_roster_misses(t));
	assert_int_equal(t->gap_record, 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(osp_roster_add_loss(roster, t, 400, OSP_LOSS_DECODE, true), 0);
	assert_true(osp_roster_misses(t));
	assert_int_equal(t->gap_record, 1);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.parts[1].gap.from_ns, 200);
	assert_int_equal(seen.parts[1].gap.to_ns, 300);
	assert_int_equal(seen.parts[1].gap.lost, 2);
	assert_string_equal(seen.parts[1].gap.reason, "late");
	assert_int_equal(osp_roster_flush_gaps(roster), 0);
	assert_int_equal(seen.count, 3);
	assert_string_equal(seen.parts[2].gap.reason, "decode_error");
	assert_true(osp_roster_cut(roster, 200, 200) && osp_roster_cut(roster, 400, 500));
	assert_false(osp_roster_cut(roster, 0, 199) || osp_roster_cut(roster, 301, 399));
	/* the kernel's are apart from these */
	step(1, 500, 3);
	assert_int_equal(osp_roster_flush_gaps(roster), 0);
	assert_int_equal(seen.parts[3].gap.lost, 3);
}

static void cuts_are_intervals(void **state)
{
	(void)state;
	step(1, 100, 0);
	step(1, 200, 1);
	step(1, 300, 1);
	step(1, 400, 2);
	assert_false(osp_roster_cut(roster, 0, 99));
	assert_true(osp_roster_cut(roster, 0, 100));
	assert_true(osp_roster_cut(roster, 150, 160));
	assert_false(osp_roster_cut(roster, 201, 299));
	assert_true(osp_roster_cut(roster, 201, 300));
	assert_false(osp_roster_cut(roster, 401, 1000));
}

/* Of very many the younger stay apart; of the older ones none is forgotten. */
static void the_oldest_cuts_are_joined_when_there_are_too_many(void **state)
{
	enum { CUTS = 1000000, NEAR = 30000 };
	struct osp_input in = {.kind = OSP_INPUT_ATTACH, .attach = {.slot = 1}};

	(void)state;
	for (int64_t i = 1; i <= CUTS; i++) {
		in.attach.begins = true;
		in.time_ns = 100 * i;
		assert_int_equal(osp_roster_add_attach(roster, &in), 0);
		in.attach.begins = false;
		in.time_ns += 10;
		assert_int_equal(osp_roster_add_attach(roster, &in), 0);
	}
	for (int64_t i = 1; i <= CUTS; i++) {
		int64_t from = 100 * i;

		assert_true(osp_roster_cut(roster, from, from));
		assert_true(osp_roster_cut(roster, from + 10, from + 10));
		if (i > CUTS - NEAR)
			assert_false(osp_roster_cut(roster, from + 11, from + 99));
	}
	assert_false(osp_roster_cut(roster, 0, 99));
}

static void attaching_makes_one_process_or_all_unsure(void **state)
{
	struct osp_tracee *one = step(1, 1, 0), *two = step(2, 1, 0);

	(void)state;
	attach(1, true, 100);
	assert_true(osp_roster_unsure(roster, one, 150, 150));
	assert_false(osp_roster_unsure(roster, one, 50, 99));
	assert_false(osp_roster_unsure(roster, two, 150, 150));
	assert_true(osp_roster_cut(roster, 150, 150));
	attach(1, false, 200);
	assert_true(osp_roster_unsure(roster, one, 50, 300));
	assert_true(osp_roster_unsure(roster, one, 199, 300));
	assert_false(osp_roster_unsure(roster, one, 200, 300));
	attach(UINT32_MAX, true, 500);
	assert_true(osp_roster_unsure(roster, two, 400, 500));
	attach(UINT32_MAX, false, 600);
	assert_false(osp_roster_unsure(roster, two, 600, 700));
	/* The earlier interval is still known. */
	assert_true(osp_roster_unsure(roster, one, 150, 700));
	assert_false(osp_roster_cut(roster, 700, 800));
}

static uint64_t start_of(struct osp_tracee *t, const struct osp_nfa *nfa)
{
	const struct osp_nfa_view *view;

	assert_int_equal(osp_roster_view(roster, t, nfa, &operation, &view), 0);
	return osp_nfa_start(nfa, view);
}

static void sites_decide_what_is_silent_and_children_inherit_them(void **state)
{
	struct osp_tracee *t = step(1, 1, 0), *child;
	struct osp_record fork = {.kind = OSP_RECORD_FORK, .process = 2, .site = 1, .pid = 7};
	struct osp_nfa *nfa;

	(void)state;
	assert_int_equal(osp_nfa_new(&nfa, &operation), 0);
	/* Nobody said anything: everything may be there. */
	assert_int_equal(start_of(t, nfa), 1);
	site(1, 0, false, 10);
	site(1, 1, true, 10);
	assert_int_equal(start_of(t, nfa), 3);
	assert_int_equal(osp_roster_add_fork(roster, &fork), 0);
	child = osp_roster_at(roster, 2);
	assert_int_equal(child->row.parent_key, 1);
	assert_int_equal(start_of(child, nfa), 3);
	site(1, 0, true, 20);
	assert_int_equal(start_of(t, nfa), 1);
	assert_int_equal(start_of(child, nfa), 3);
	osp_nfa_free(&nfa);
}

static void the_level_is_learnt_for_processes_that_nobody_described(void **state)
{
	struct osp_tracee *t = step(2, 1, 0);
	struct osp_nfa *nfa;

	(void)state;
	assert_int_equal(osp_nfa_new(&nfa, &operation), 0);
	assert_int_equal(start_of(t, nfa), 1);
	site(1, 0, false, 10); /* an essential point that could not be attached tells no level */
	assert_int_equal(start_of(t, nfa), 1);
	points[0].level = OSP_LEVEL_DETAIL;
	site(1, 0, false, 10);
	assert_int_equal(start_of(t, nfa), 3);
	points[0].level = OSP_LEVEL_ESSENTIAL;
	osp_nfa_free(&nfa);
}

static void what_is_switched_holds_for_processes_that_nobody_described(void **state)
{
	struct osp_tracee *t = step(2, 1, 0);
	struct osp_nfa *nfa;

	(void)state;
	assert_int_equal(osp_nfa_new(&nfa, &operation), 0);
	site(1, 0, true, 10);
	assert_int_equal(start_of(t, nfa), 1);
	site(1, 0, false, 20);
	assert_int_equal(start_of(t, nfa), 3);
	assert_false(osp_roster_wants(roster, t, &points[0], 25));
	assert_true(osp_roster_wants(roster, t, &points[1], 25));
	site(1, 0, true, 30);
	assert_int_equal(start_of(t, nfa), 1);
	points[0].level = OSP_LEVEL_DETAIL;
	site(1, 0, false, 40);
	assert_false(osp_roster_wants(roster, t, &points[0], 45));
	site(1, 0, true, 50);
	assert_true(osp_roster_wants(roster, t, &points[0], 55));
	points[0].level = OSP_LEVEL_ESSENTIAL;
	osp_nfa_free(&nfa);
}

static void steps_are_judged_as_their_point_was_when_they_were_made(void **state)
{
	struct osp_tracee *t = step(1, 1, 0);

	(void)state;
	site(1, 0, false, 5); /* never was wanted */
	site(1, 1, true, 10);
	assert_false(osp_roster_wants(roster, t, &points[0], 9));
	assert_true(osp_roster_fires(roster, t, &points[1], 11));
	site(1, 1, false, 20);
	assert_true(osp_roster_wants(roster, t, &points[1], 15)); /* on its way when it was */
	assert_true(osp_roster_fires(roster, t, &points[1], 15));
	assert_false(osp_roster_wants(roster, t, &points[1], 25));
	assert_false(osp_roster_wants(roster, t, &points[0], 15));
}

static void intervals_may_lie_within_each_other(void **state)
{
	struct osp_tracee *t = step(1, 1, 0);

	(void)state;
	attach(UINT32_MAX, true, 10);
	attach(UINT32_MAX, true, 20);
	attach(UINT32_MAX, false, 30);
	assert_true(osp_roster_unsure(roster, t, 40, 50)); /* the outer one lasts */
	attach(UINT32_MAX, false, 60);
	assert_true(osp_roster_unsure(roster, t, 50, 55));
	assert_false(osp_roster_unsure(roster, t, 61, 70));
	attach(UINT32_MAX, false, 80); /* nothing to end */
	assert_false(osp_roster_unsure(roster, t, 81, 90));
}

static void attach_rows_open_and_close(void **state)
{
	struct osp_part *p = seen.parts;

	(void)state;
	site(1, 0, true, 10);
	site(1, 1, true, 11);
	site(1, 0, true, 12); /* looked at again: nothing new to tell */
	site(1, 1, false, 20);
	assert_int_equal(osp_roster_end_attached(roster, 30), 0);
	assert_int_equal(seen.count, 4);
	assert_string_equal(p[0].attach.probe, "a");
	assert_int_equal(p[0].attach.sites, 2);
	assert_int_equal(p[0].attach.to_ns, 0);
	assert_string_equal(p[2].attach.probe, "b");
	assert_int_equal(p[2].attach.from_ns, 11);
	assert_int_equal(p[2].attach.to_ns, 20);
	assert_string_equal(p[3].attach.probe, "a");
	assert_int_equal(p[3].attach.from_ns, 10);
	assert_int_equal(p[3].attach.to_ns, 30);
}

static void points_attached_nowhere_are_known(void **state)
{
	(void)state;
	site(1, 0, true, 10);
	assert_true(osp_roster_sees(roster, &points[0]));
	assert_false(osp_roster_sees(roster, &points[1]));
	step(2, 20, 0); /* a process that nobody has described */
	assert_true(osp_roster_sees(roster, &points[1]));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(processes_get_keys_in_order_of_appearance),
		TEST(consecutive_losses_make_one_gap),
		TEST(a_first_record_may_carry_losses),
		TEST(tails_are_found_by_the_counters),
		TEST(a_record_tells_why_its_process_lost_steps),
		TEST(what_the_recorder_loses_makes_gaps_of_its_own),
		TEST(cuts_are_intervals),
		TEST(the_oldest_cuts_are_joined_when_there_are_too_many),
		TEST(attaching_makes_one_process_or_all_unsure),
		TEST(sites_decide_what_is_silent_and_children_inherit_them),
		TEST(the_level_is_learnt_for_processes_that_nobody_described),
		TEST(what_is_switched_holds_for_processes_that_nobody_described),
		TEST(steps_are_judged_as_their_point_was_when_they_were_made),
		TEST(intervals_may_lie_within_each_other),
		TEST(attach_rows_open_and_close),
		TEST(points_attached_nowhere_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
