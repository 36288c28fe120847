/* Which steps of an operation have come: in order, twice, late, and with more gaps than fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/sequence.h"

static void steps_in_order_leave_nothing_missing(void **state)
{
	struct osp_sequence s = {0};

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(osp_sequence_add(&s, i), OSP_SEQUENCE_NEXT);
	assert_false(osp_sequence_misses(&s, 0));
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(osp_sequence_add(&s, i), OSP_SEQUENCE_SEEN);
}

static void what_is_skipped_may_come_late_once(void **state)
{
	struct osp_sequence s = {0};

	(void)state;
	assert_int_equal(osp_sequence_add(&s, 0), OSP_SEQUENCE_NEXT);
	assert_int_equal(osp_sequence_add(&s, 5), OSP_SEQUENCE_AHEAD);
	assert_true(osp_sequence_misses(&s, 0));
	assert_int_equal(osp_sequence_add(&s, 3), OSP_SEQUENCE_LATE);
	assert_int_equal(osp_sequence_add(&s, 3), OSP_SEQUENCE_SEEN);
	assert_int_equal(osp_sequence_add(&s, 1), OSP_SEQUENCE_LATE);
	assert_int_equal(osp_sequence_add(&s, 2), OSP_SEQUENCE_LATE);
	assert_true(osp_sequence_misses(&s, 0));
	assert_false(osp_sequence_misses(&s, 5));
	assert_int_equal(osp_sequence_add(&s, 4), OSP_SEQUENCE_LATE);
	assert_false(osp_sequence_misses(&s, 0));
	assert_int_equal(osp_sequence_add(&s, 6), OSP_SEQUENCE_NEXT);
}

static void too_many_gaps_are_never_forgotten_silently(void **state)
{
	struct osp_sequence s = {0};

	(void)state;
	for (uint32_t i = 1; i < 200; i += 2)
		assert_int_equal(osp_sequence_add(&s, i), OSP_SEQUENCE_AHEAD);
	assert_int_equal(s.gap_count, OSP_SEQUENCE_GAPS);
	assert_int_equal(osp_sequence_add(&s, 0), OSP_SEQUENCE_SEEN); /* forgotten */
	assert_int_equal(osp_sequence_add(&s, 198), OSP_SEQUENCE_LATE);
	for (uint32_t i = 184; i < 198; i += 2)
		osp_sequence_add(&s, i);
	assert_int_equal(s.gap_count, 0);
	assert_true(osp_sequence_misses(&s, 0));
}

static void the_highest_number_harms_nothing(void **state)
{
	struct osp_sequence s = {0};

	(void)state;
	assert_int_equal(osp_sequence_add(&s, UINT32_MAX), OSP_SEQUENCE_AHEAD);
	osp_sequence_add(&s, UINT32_MAX);
	osp_sequence_add(&s, 0);
	assert_true(s.gap_count <= OSP_SEQUENCE_GAPS);
}

/* Against a plain list of what has come. */
static void random_orders_agree_with_a_list(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct osp_sequence s = {0};
		bool come[16] = {false};
		uint32_t highest = 0, missing;

		for (int i = 0; i < 24; i++) {
			uint32_t n = (uint32_t)rand_r(&seed) % 16;
			enum osp_sequence_place place = osp_sequence_add(&s, n);

			assert_int_equal(place == OSP_SEQUENCE_SEEN, come[n]);
			come[n] = true;
			highest = n + 1 > highest ? n + 1 : highest;
			missing = 0;
			for (uint32_t k = 0; k < highest; k++)
				missing += !come[k];
			assert_int_equal(osp_sequence_misses(&s, 0), missing > 0);
		}
		assert_false(s.overflowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_in_order_leave_nothing_missing),
		cmocka_unit_test(what_is_skipped_may_come_late_once),
		cmocka_unit_test(too_many_gaps_are_never_forgotten_silently),
		cmocka_unit_test(the_highest_number_harms_nothing),
		cmocka_unit_test(random_orders_agree_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
