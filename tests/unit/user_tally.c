/* What --aggregate shows: buckets, quantiles, and rows by process and operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/tally.h"

static struct osp_operation sell, *operations[] = {&sell};
static struct osp_point good = {.number = 0, .operations = operations, .operation_count = 1};
static struct osp_point bad = {.number = 1, .operations = operations, .operation_count = 1};
static struct osp_transition transitions[] = {
	{.from = 0, .to = OSP_STATE_END, .point = &good, .status = OSP_STATUS_OK},
	{.from = 1, .to = OSP_STATE_END, .point = &good, .status = OSP_STATUS_ERROR},
	{.from = 0, .to = OSP_STATE_END, .point = &bad, .status = OSP_STATUS_ERROR}};
static struct osp_operation sell = {
	.name = "sell", .transitions = transitions, .transition_count = 3};
static struct osp_point *points[] = {&good, &bad};
static const struct osp_catalogue catalogue = {.points = points, .point_count = 2};
static struct osp_histogram h;

static void take(uint64_t value, uint64_t times)
{
	h.count += times;
	h.buckets[osp_histogram_bucket(value)] += times;
	h.max = value > h.max ? value : h.max;
}

static void buckets_are_in_order_and_at_most_a_sixteenth_wide(void **state)
{
	(void)state;
	assert_int_equal(osp_histogram_bucket(0), 0);
	assert_int_equal(osp_histogram_bucket(15), 15);
	assert_int_equal(osp_histogram_bucket(16), 16);
	assert_int_equal(osp_histogram_bucket(31), 31);
	assert_int_equal(osp_histogram_bucket(32), 32);
	assert_int_equal(osp_histogram_bucket(33), 32);
	assert_int_equal(osp_histogram_bucket(UINT64_MAX), OSP_HISTOGRAM_BUCKETS - 1);
	for (uint32_t i = 0; i < OSP_HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(osp_histogram_bucket(osp_histogram_least(i)), i);
		if (i)
			assert_int_equal(osp_histogram_bucket(osp_histogram_least(i) - 1), i - 1);
	}
}

static void quantiles_are_those_of_the_values(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(osp_tally_quantile(&h, 500), 0);
	for (uint64_t v = 1; v <= 1000; v++)
		take(v * 1000, 1);
	for (uint32_t permille = 1; permille <= 1000; permille++) {
		uint64_t got = osp_tally_quantile(&h, permille), right = permille * 1000u;

		assert_in_range(got, right - right / 16, right + right / 16);
	}
	assert_true(osp_tally_quantile(&h, 1000) <= h.max);
	take(7, 100000);
	assert_int_equal(osp_tally_quantile(&h, 500), 7);
}

static void end_points_of_a_process_make_one_row(void **state)
{
	struct osp_histogram_key key = {.process = 4, .point = 0};
	const struct osp_tally_row *row;
	struct osp_tally *t;

	(void)state;
	memset(&h, 0, sizeof(h));
	take(5, 3);
	assert_int_equal(osp_tally_new(&t, &catalogue), 0);
	assert_int_equal(osp_tally_add(t, &key, &h), 0);
	key.point = 1;
	assert_int_equal(osp_tally_add(t, &key, &h), 0);
	key.process = 5;
	assert_int_equal(osp_tally_add(t, &key, &h), 0);
	key.point = 2; /* nobody's */
	assert_int_equal(osp_tally_add(t, &key, &h), 0);
	row = osp_tally_at(t, 0);
	assert_int_equal(row->process, 4);
	assert_ptr_equal(row->operation, &sell);
	assert_int_equal(row->took.count, 6);
	assert_int_equal(row->errors, 3);
	assert_int_equal(row->took.buckets[5], 6);
	assert_int_equal(osp_tally_at(t, 1)->errors, 3);
	assert_null(osp_tally_at(t, 2));
	osp_tally_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_are_in_order_and_at_most_a_sixteenth_wide),
		cmocka_unit_test(quantiles_are_those_of_the_values),
		cmocka_unit_test(end_points_of_a_process_make_one_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
