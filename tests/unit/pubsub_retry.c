/* Retry plans under fixed chance. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_system.h"

static uint32_t chance; /* of 2^32 */

static int fixed_random(void *out, size_t size)
{
	assert_int_equal(size, sizeof(chance));
	memcpy(out, &chance, size);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	ps_system.random = fixed_random;
	chance = 0;
	return 0;
}

static struct ps_broadcaster_url urls[] = {{"a", 0}, {"b", 0}, {"c", 0}};

static void one_broadcaster_is_tried_once_per_pass_with_growing_waits(void **state)
{
	static const int64_t waits[] = {0, 1500000000, 2500000000, 4500000000, 8500000000};
	struct ps_retry r;
	int64_t wait;

	(void)state;
	chance = 0x80000000; /* half a second of jitter */
	assert_int_equal(ps_retry_init(&r, urls, 1, 5), 0);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(ps_retry_next(&r, &wait), "a");
		assert_int_equal(wait, waits[i]);
	}
	assert_null(ps_retry_next(&r, &wait));
	assert_null(ps_retry_next(&r, &wait));
	ps_retry_clear(&r);
}

static void each_pass_goes_over_all_and_waits_only_between_passes(void **state)
{
	struct ps_retry r;
	int seen[2][3] = {{0}};
	int64_t wait;

	(void)state;
	assert_int_equal(ps_retry_init(&r, urls, 3, 2), 0);
	for (int i = 0; i < 6; i++) {
		seen[i / 3][*ps_retry_next(&r, &wait) - 'a']++;
		assert_int_equal(wait, i == 3 ? 1000000000 : 0);
	}
	assert_null(ps_retry_next(&r, &wait));
	for (int i = 0; i < 3; i++)
		assert_true(seen[0][i] == 1 && seen[1][i] == 1);
	ps_retry_clear(&r);
}

static void chance_shuffles_equal_priorities(void **state)
{
	struct ps_retry r;
	int64_t wait;

	(void)state;
	chance = 0; /* Fisher-Yates that always takes the first: b c a */
	assert_int_equal(ps_retry_init(&r, urls, 3, 1), 0);
	assert_string_equal(ps_retry_next(&r, &wait), "b");
	ps_retry_clear(&r);
	chance = UINT32_MAX; /* always the last: as given */
	assert_int_equal(ps_retry_init(&r, urls, 3, 1), 0);
	assert_string_equal(ps_retry_next(&r, &wait), "a");
	ps_retry_clear(&r);
}

static void lower_priorities_come_first(void **state)
{
	struct ps_broadcaster_url list[] = {{"x", 9}, {"y", 1}, {"z", 5}};
	struct ps_retry r;
	int64_t wait;

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		chance = i << 28;
		assert_int_equal(ps_retry_init(&r, list, 3, 1), 0);
		assert_string_equal(ps_retry_next(&r, &wait), "y");
		assert_string_equal(ps_retry_next(&r, &wait), "z");
		assert_string_equal(ps_retry_next(&r, &wait), "x");
		ps_retry_clear(&r);
	}
}

static void no_passes_are_one_and_no_broadcasters_are_none(void **state)
{
	struct ps_retry r;
	int64_t wait;

	(void)state;
	assert_int_equal(ps_retry_init(&r, urls, 1, 0), 0);
	assert_non_null(ps_retry_next(&r, &wait));
	assert_null(ps_retry_next(&r, &wait));
	ps_retry_clear(&r);
	assert_int_equal(ps_retry_init(&r, urls, 0, 3), 0);
	assert_null(ps_retry_next(&r, &wait));
	ps_retry_clear(&r);
}

static void missed_delays_grow_to_a_maximum_and_end(void **state)
{
	struct ps_missed_policy p = PS_MISSED_POLICY_INIT;

	(void)state;
	assert_int_equal(ps_retry_missed_delay_ns(&p, 0), 2000000000);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 3), 9000000000);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 10), 1025000000000);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 19), 1025000000000);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 20), -1);
	chance = 0x80000000;
	assert_int_equal(ps_retry_missed_delay_ns(&p, 0), 3000000000);
}

static void missed_delays_are_what_is_configured(void **state)
{
	struct ps_missed_policy p = {.factor_ns = 100, .base = 3, .exponent_max = 2, .retries = 5};

	(void)state;
	assert_int_equal(ps_retry_missed_delay_ns(&p, 0), 100);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 1), 300);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 2), 900);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 4), 900);
	assert_int_equal(ps_retry_missed_delay_ns(&p, 5), -1);
	p = (struct ps_missed_policy){.factor_ns = 1000000000,
				      .base = 1e9,
				      .exponent_max = 1000000000,
				      .retries = 2000000000};
	assert_int_equal(ps_retry_missed_delay_ns(&p, 1999999999), 365 * 86400ll * 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_broadcaster_is_tried_once_per_pass_with_growing_waits,
				       set_up),
		cmocka_unit_test_setup(each_pass_goes_over_all_and_waits_only_between_passes,
				       set_up),
		cmocka_unit_test_setup(chance_shuffles_equal_priorities, set_up),
		cmocka_unit_test_setup(lower_priorities_come_first, set_up),
		cmocka_unit_test_setup(no_passes_are_one_and_no_broadcasters_are_none, set_up),
		cmocka_unit_test_setup(missed_delays_grow_to_a_maximum_and_end, set_up),
		cmocka_unit_test_setup(missed_delays_are_what_is_configured, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
