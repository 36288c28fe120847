/* Counter to boot time, against clocks whose truth is known: 2.6 ticks a ns unless a test says so. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "user/stamp.h"

enum { MS = 1000000, SECOND = 1000000000 };

static struct osp_stamps stamps;

static uint64_t ticks(int64_t boot_ns)
{
	return 5000 + (uint64_t)boot_ns * 26 / 10;
}

/* A reading whose bounds are 40 ns around the truth, shifted by `off` within them. */
static void reading(int64_t boot_ns, int64_t off)
{
	osp_stamps_add(&stamps, ticks(boot_ns), boot_ns - 40 + off, boot_ns + 40 + off);
}

static void begin(int64_t boot_ns)
{
	osp_stamps_init(&stamps);
	reading(boot_ns - 80 * MS, 0);
	assert_false(osp_stamps_ready(&stamps));
	reading(boot_ns, 0);
	assert_true(osp_stamps_ready(&stamps));
}

static void assert_near(int64_t time, int64_t truth, int64_t most)
{
	if (time < truth - most || time > truth + most)
		fail_msg("%lld ns off", (long long)(time - truth));
}

static void times_stay_within_the_bound(void **state)
{
	(void)state;
	begin(SECOND);
	for (int64_t t = SECOND; t < 20ll * SECOND; t += 100 * MS) {
		reading(t, (t / (100 * MS) % 3 - 1) * 30);
		for (int64_t ahead = 0; ahead < 100 * MS; ahead += 10 * MS)
			assert_near(osp_stamps_time(&stamps, ticks(t + ahead)), t + ahead, 200);
		assert_in_range(stamps.error_ns, 1, 200);
	}
	assert_int_equal(stamps.jumps, 0);
}

static void old_stamps_keep_the_time_they_had(void **state)
{
	int64_t before;

	(void)state;
	begin(SECOND);
	before = osp_stamps_time(&stamps, ticks(SECOND + 50 * MS));
	for (int64_t t = SECOND + 100 * MS; t < 5ll * SECOND; t += 100 * MS)
		reading(t, t / (100 * MS) % 2 ? 39 : -39);
	assert_int_equal(osp_stamps_time(&stamps, ticks(SECOND + 50 * MS)), before);
	assert_near(osp_stamps_time(&stamps, ticks(SECOND - 300 * MS)), SECOND - 300 * MS, 1000);
}

static void order_survives_every_recalibration(void **state)
{
	int64_t last = 0, last_s = 0;

	(void)state;
	srandom(7);
	begin(SECOND);
	for (int64_t t = SECOND; t < 30ll * SECOND; t += random() % (200 * MS)) {
		reading(t, random() % 80 - 40);
		assert_true(osp_stamps_time(&stamps, ticks(t) - 1) <=
			    osp_stamps_time(&stamps, ticks(t)));
		for (int64_t s = t - 2 * MS; s < t + 2 * MS; s += 1 + random() % 50000) {
			int64_t at = osp_stamps_time(&stamps, ticks(s));
			int64_t next = osp_stamps_time(&stamps, ticks(s) + 3);

			assert_true(at <= next);
			if (s >= last_s) {
				assert_true(at >= last);
				last = at;
				last_s = s;
			}
		}
	}
}

/* adjtimex slews boot time, not the counter. */
static void a_slewed_clock_is_followed(void **state)
{
	int64_t truth = 0;

	(void)state;
	begin(SECOND);
	for (int64_t t = SECOND + 100 * MS; t < 20ll * SECOND; t += 100 * MS) {
		truth = t + (t - SECOND) / 2000;
		osp_stamps_add(&stamps, ticks(t), truth - 40, truth + 40);
		assert_near(osp_stamps_time(&stamps, ticks(t)), truth,
			    t < 4ll * SECOND ? 400000 : 2000);
	}
	assert_int_equal(stamps.jumps, 0);
	assert_near(osp_stamps_time(&stamps, ticks(20ll * SECOND)), truth + 100 * MS + 50000, 300);
}

static void a_suspended_machine_begins_a_segment(void **state)
{
	int64_t slept = 3600ll * SECOND, after = 3ll * SECOND;

	(void)state;
	begin(SECOND);
	reading(2ll * SECOND, 0);
	/* The counter stood still; boot time went on. */
	osp_stamps_add(&stamps, ticks(after), after + slept - 40, after + slept + 40);
	assert_int_equal(stamps.jumps, 1);
	assert_near(osp_stamps_time(&stamps, ticks(after + MS)), after + slept + MS, 200);
	assert_near(osp_stamps_time(&stamps, ticks(2ll * SECOND)), 2ll * SECOND, 200);
	assert_true(osp_stamps_time(&stamps, ticks(after) - 1) <
		    osp_stamps_time(&stamps, ticks(after)));
}

static void a_counter_set_back_is_no_time_travel(void **state)
{
	const int64_t back = 3ll * SECOND;

	(void)state;
	begin(SECOND);
	for (int64_t t = SECOND + 100 * MS; t < back; t += 100 * MS)
		reading(t, 0);
	/* From here on it counts from 5000 again. */
	for (int64_t t = 0; t < SECOND; t += 100 * MS)
		osp_stamps_add(&stamps, ticks(t), back + t - 40, back + t + 40);
	assert_int_equal(stamps.jumps, 1);
	for (int64_t t = 0; t < SECOND; t += 50 * MS)
		assert_near(osp_stamps_time(&stamps, ticks(t)), back + t, 300);
}

/* A record cannot be older than the step it was made by: within the bounds that moves the offset. */
static void records_limit_the_offset_from_above(void **state)
{
	(void)state;
	begin(SECOND);
	osp_stamps_check(&stamps, ticks(SECOND + MS), SECOND + MS + 300);
	assert_int_equal(stamps.contradictions, 0);
	osp_stamps_check(&stamps, ticks(SECOND + 2 * MS), SECOND + 2 * MS - 25);
	assert_int_equal(stamps.contradictions, 1);
	reading(SECOND + 100 * MS, 0);
	assert_in_range(stamps.error_ns, 25, 200);
	assert_near(osp_stamps_time(&stamps, ticks(SECOND + 600 * MS)), SECOND + 600 * MS - 25, 3);
}

/* Counters that differ by 5 us between CPUs: the bound says so, and no segment jumps for it. */
static void counters_that_differ_widen_the_bound(void **state)
{
	(void)state;
	begin(SECOND);
	osp_stamps_check(&stamps, ticks(SECOND + MS) + 13000, SECOND + MS + 100);
	reading(SECOND + 100 * MS, 0);
	assert_in_range(stamps.error_ns, 4500, 6000);
	assert_int_equal(stamps.jumps, 0);
	reading(SECOND + 200 * MS, 0);
	assert_in_range(stamps.error_ns, 1, 200);
}

static void senseless_readings_do_no_harm(void **state)
{
	(void)state;
	osp_stamps_init(&stamps);
	osp_stamps_add(&stamps, 10, 100, 90);
	osp_stamps_add(&stamps, 10, -5, 90);
	osp_stamps_add(&stamps, UINT64_MAX, INT64_MAX - 1, INT64_MAX);
	assert_false(osp_stamps_ready(&stamps));
	osp_stamps_add(&stamps, 10, 100, 110);
	osp_stamps_add(&stamps, 10, 200, 210);
	assert_false(osp_stamps_ready(&stamps));
	osp_stamps_add(&stamps, UINT64_MAX, 300, 310);
	osp_stamps_add(&stamps, 20, 400, 410);
	assert_true(osp_stamps_time(&stamps, UINT64_MAX) >= 0);
	assert_true(osp_stamps_time(&stamps, 0) >= 0);
}

/* Ten thousand readings pass through a past of fixed size. */
static void the_past_is_bounded(void **state)
{
	(void)state;
	begin(SECOND);
	for (int64_t i = 1; i <= 10000; i++)
		reading(SECOND + i * 100 * MS, 0);
	assert_near(osp_stamps_time(&stamps, ticks(1001ll * SECOND)), 1001ll * SECOND, 200);
	assert_near(osp_stamps_time(&stamps, ticks(900ll * SECOND)), 900ll * SECOND, 200);
	assert_near(osp_stamps_time(&stamps, ticks(10ll * SECOND)), 10ll * SECOND, 100000);
}

RUN_TESTS(TEST(times_stay_within_the_bound), TEST(old_stamps_keep_the_time_they_had),
	  TEST(order_survives_every_recalibration), TEST(a_slewed_clock_is_followed),
	  TEST(a_suspended_machine_begins_a_segment), TEST(a_counter_set_back_is_no_time_travel),
	  TEST(records_limit_the_offset_from_above), TEST(counters_that_differ_widen_the_bound),
	  TEST(senseless_readings_do_no_harm), TEST(the_past_is_bounded))
