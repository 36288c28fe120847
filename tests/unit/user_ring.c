/* The size of a ring: it is chosen once, before anything is known of the rate. */
#include "tests/unit/test.h"

#include "user/ring.h"

static const uint64_t plenty = 1ull << 40;

static void it_grows_with_the_processors(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(1, plenty), 16 << 20);
	assert_int_equal(osp_ring_choose(2, plenty), 32 << 20);
	assert_int_equal(osp_ring_choose(3, plenty), 64 << 20);
}

static void many_processors_do_not_make_a_start_slow(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(256, plenty), 64 << 20);
}

static void little_memory_is_left_to_others(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(2, 2047ull << 20), 16 << 20);
	assert_int_equal(osp_ring_choose(2, 2048ull << 20), 32 << 20);
	assert_int_equal(osp_ring_choose(2, 1 << 20), 1 << 20);
}

static void memory_that_is_not_known_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(2, 0), 32 << 20);
}

RUN_TESTS(TEST(it_grows_with_the_processors), TEST(many_processors_do_not_make_a_start_slow),
	  TEST(little_memory_is_left_to_others), TEST(memory_that_is_not_known_does_not_count))
