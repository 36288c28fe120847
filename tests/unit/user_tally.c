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
static struct osp_tally *tally;

static int set_up(void **state)
{
	(void)state;
	return osp_tally_new(&tally, &catalogue);
}

static int tear_down(void **state)
{
	(void)state;
	osp_tally_free(&tally);
	return 0;
}

/* So many times of this bucket, at this point of this process. */
static void add(uint32_t process, uint16_t point, uint32_t bucket, uint64_t count)
{
	struct osp_histogram_key key = {process, point, (uint16_t)bucket};

	assert_int_equal(osp_tally_add(tally, &key, count), 0);
}

static void expect(size_t i, uint32_t process, const struct osp_point *point, uint64_t count)
{
	const struct osp_tally_row *row = osp_tally_at(tally, i);

	assert_non_null(row);
	assert_int_equal(row->process, process);
	assert_ptr_equal(row->operation, &sell);
	assert_ptr_equal(row->point, point);
	assert_int_equal(row->count, count);
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
	const struct osp_tally_row *row;

	(void)state;
	for (uint64_t v = 1; v <= 1000; v++)
		add(4, 0, osp_histogram_bucket(v * 1000), 1);
	add(5, 0, 7, 100000);
	add(5, 0, 8, 1);
	add(6, 0, OSP_HISTOGRAM_UNTIMED, 3);
	assert_int_equal(osp_tally_stop(tally), 0);
	row = osp_tally_at(tally, 0);
	for (uint32_t permille = 1; permille <= 1000; permille++) {
		uint64_t got = osp_tally_quantile(row, permille), right = permille * 1000u;

		assert_in_range(got, right - right / 32 - 1, right + right / 32 + 1);
	}
	row = osp_tally_at(tally, 1);
	assert_int_equal(osp_tally_quantile(row, 500), 7);
	assert_int_equal(osp_tally_quantile(row, 1000), 8);
	row = osp_tally_at(tally, 2);
	assert_int_equal(row->untimed, 3);
	assert_int_equal(row->bucket_count, 0);
	assert_int_equal(osp_tally_quantile(row, 500), 0);
}

static void an_operation_comes_before_its_points(void **state)
{
	const struct osp_tally_row *row;

	(void)state;
	add(5, 1, 9, 2);
	add(4, 1, OSP_HISTOGRAM_WHOLE | 6, 3); /* two ends of one operation, in no order */
	add(4, 0, 9, 1);
	add(4, 0, OSP_HISTOGRAM_WHOLE | 5, 10);
	add(4, 0, OSP_HISTOGRAM_WHOLE | 6, 20);
	add(4, 0, OSP_HISTOGRAM_WHOLE | OSP_HISTOGRAM_UNTIMED, 7);
	add(4, 1, 2, 1);
	add(4, 0, 8, 1);
	assert_int_equal(osp_tally_stop(tally), 0);
	expect(0, 4, NULL, 40);
	expect(1, 4, &good, 2);
	expect(2, 4, &bad, 1);
	expect(3, 5, &bad, 2);
	assert_null(osp_tally_at(tally, 4));
	row = osp_tally_at(tally, 0);
	assert_int_equal(row->errors, 3);
	assert_int_equal(row->untimed, 7);
	assert_int_equal(row->bucket_count, 2);
	assert_int_equal(row->buckets[0].bucket, 5);
	assert_int_equal(row->buckets[0].count, 10);
	assert_int_equal(row->buckets[1].bucket, 6);
	assert_int_equal(row->buckets[1].count, 23);
	row = osp_tally_at(tally, 1);
	assert_int_equal(row->errors, 0);
	assert_int_equal(row->buckets[0].bucket, 8);
	assert_int_equal(row->buckets[1].bucket, 9);
}

static void what_nobody_knows_is_passed_over(void **state)
{
	(void)state;
	add(4, 2, 5, 1);
	add(4, 0, OSP_HISTOGRAM_UNTIMED + 1, 1);
	assert_int_equal(osp_tally_stop(tally), 0);
	assert_null(osp_tally_at(tally, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_are_in_order_and_at_most_a_sixteenth_wide),
		cmocka_unit_test_setup_teardown(quantiles_are_those_of_the_values, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_operation_comes_before_its_points, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_nobody_knows_is_passed_over, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
