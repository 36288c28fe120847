/* When the governor takes a step, and what it leaves: times and costs are made up. */
#include "tests/unit/test.h"

#include "user/governor.h"

enum { SECOND = 1000000000, CPUS = 2 };

struct clock {
	struct osp_governor g;
	int64_t now_ns, spent_ns;
};

/* A second in which so many parts of a thousand of both processors are spent. */
static enum osp_governor_verdict pass(struct clock *c, int64_t permille)
{
	c->now_ns += SECOND;
	c->spent_ns += CPUS * SECOND / 1000 * permille;
	return osp_governor_judge(&c->g, c->now_ns, c->spent_ns, CPUS);
}

static struct clock begin(void)
{
	struct clock c = {.g.limit = 0.02, .now_ns = 5 * (int64_t)SECOND, .spent_ns = 123456};

	assert_int_equal(osp_governor_judge(&c.g, c.now_ns, c.spent_ns, CPUS), OSP_GOVERNOR_STAY);
	return c;
}

static void two_seconds_in_a_row_above_the_limit_are_a_step_down(void **state)
{
	struct clock c = begin();

	(void)state;
	assert_int_equal(pass(&c, 30), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 10), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 30), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 30), OSP_GOVERNOR_DOWN);
	assert_true(c.g.share > 0.0299 && c.g.share < 0.0301);
	/* what comes next only begins the account; then it counts to two again */
	assert_int_equal(pass(&c, 900), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 30), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 30), OSP_GOVERNOR_DOWN);
}

static void it_looks_at_whole_seconds_only(void **state)
{
	struct clock c = begin();

	(void)state;
	c.spent_ns += SECOND;
	for (int i = 0; i < 9; i++) {
		c.now_ns += SECOND / 10;
		assert_int_equal(osp_governor_judge(&c.g, c.now_ns, c.spent_ns, CPUS),
				 OSP_GOVERNOR_STAY);
	}
	assert_int_equal(c.g.over, 0);
	c.now_ns += SECOND / 10;
	osp_governor_judge(&c.g, c.now_ns, c.spent_ns, CPUS);
	assert_int_equal(c.g.over, 1);
}

static void ten_calm_seconds_are_a_step_up(void **state)
{
	struct clock c = begin();

	(void)state;
	for (int i = 0; i < 9; i++)
		assert_int_equal(pass(&c, 9), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 11), OSP_GOVERNOR_STAY); /* more than half: not calm */
	for (int i = 0; i < 9; i++)
		assert_int_equal(pass(&c, 9), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 9), OSP_GOVERNOR_UP);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pass(&c, 9), OSP_GOVERNOR_STAY);
	assert_int_equal(pass(&c, 9), OSP_GOVERNOR_UP);
}

static void each_step_takes_something_away(void **state)
{
	struct osp_wanted asked = {.form = OSP_FORM_IMMEDIATE, .level = OSP_LEVEL_DEBUG}, w;
	enum osp_governor_step step = OSP_GOVERNOR_ASKED;

	(void)state;
	asked.points[3] = OSP_POINT_UP_TO + OSP_LEVEL_DEBUG;
	asked.points[4] = OSP_POINT_OFF;
	for (int i = 0; i < 3; i++)
		assert_true(osp_governor_next(&asked, true, &step));
	assert_int_equal(step, OSP_GOVERNOR_ESSENTIAL);
	assert_int_equal(osp_governor_sample(step), 1);
	for (uint32_t one_of = 2; one_of <= 64; one_of *= 2) {
		assert_true(osp_governor_next(&asked, true, &step));
		assert_int_equal(osp_governor_sample(step), one_of);
	}
	assert_false(osp_governor_next(&asked, true, &step));
	w = asked;
	osp_governor_restrain(&w, OSP_GOVERNOR_DEFAULT);
	assert_true(w.form == OSP_FORM_DEFAULT && w.level == OSP_LEVEL_DEBUG);
	w = asked;
	osp_governor_restrain(&w, OSP_GOVERNOR_LIGHT);
	assert_true(w.form == OSP_FORM_LIGHT && w.level == OSP_LEVEL_DEBUG);
	assert_int_equal(w.points[3], OSP_POINT_UP_TO + OSP_LEVEL_DEBUG);
	w = asked;
	osp_governor_restrain(&w, OSP_GOVERNOR_ESSENTIAL);
	assert_true(w.form == OSP_FORM_LIGHT && w.level == OSP_LEVEL_ESSENTIAL);
	assert_int_equal(w.points[3], OSP_POINT_UP_TO + OSP_LEVEL_ESSENTIAL);
	assert_int_equal(w.points[4], OSP_POINT_OFF);
}

static void steps_that_change_nothing_are_left_out(void **state)
{
	struct osp_wanted asked = {.form = OSP_FORM_LIGHT, .level = OSP_LEVEL_DETAIL};
	enum osp_governor_step step = OSP_GOVERNOR_ASKED;

	(void)state;
	assert_true(osp_governor_next(&asked, true, &step));
	assert_int_equal(step, OSP_GOVERNOR_ESSENTIAL);
	assert_true(osp_governor_next(&asked, false, &step));
	assert_int_equal(step, OSP_GOVERNOR_LIGHT); /* which is what was asked for */
	assert_false(osp_governor_next(&asked, false, &step));
	asked.level = OSP_LEVEL_ESSENTIAL;
	assert_true(osp_governor_next(&asked, true, &step));
	assert_int_equal(step, OSP_GOVERNOR_SAMPLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_seconds_in_a_row_above_the_limit_are_a_step_down),
		TEST(it_looks_at_whole_seconds_only),
		TEST(ten_calm_seconds_are_a_step_up),
		TEST(each_step_takes_something_away),
		TEST(steps_that_change_nothing_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
