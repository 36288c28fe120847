/* Reports of peers: records byte by byte, whole, cut and malformed; and the peer's clock against ours. */
#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"
#include "user/report.h"

enum { MS = 1000000 };

/* Two records and the two times, as upstream's simple tracer writes them. */
#define FIRST  "\0\x4go_a\0\x2{}\x3f\xf8\0\0\0\0\0\0"	  /* 1.5 s */
#define SECOND "\0\x1z\0\x7{\"n\":1}\x40\x04\0\0\0\0\0\0" /* 2.5 s */
#define TIMES  "\0\0\0\0\0\0\0\x1\0\0\0\0\0\0\0\x2"
#define WHOLE  "\0\0\x2" FIRST SECOND TIMES

static int start(struct osp_report_reader *r, const char *bytes, size_t size)
{
	return osp_report_start(r, bytes, size, size);
}

#define START(r, text) start(r, text, sizeof(text) - 1)

static void records_have_names_json_and_times(void **state)
{
	struct osp_report_reader r;
	struct osp_report_record record;

	(void)state;
	assert_ok(START(&r, WHOLE));
	assert_false(r.cut);
	assert_ok(osp_report_next(&r, &record));
	assert_int_equal(record.name_size, 4);
	assert_memory_equal(record.name, "go_a", 4);
	assert_int_equal(record.json_size, 2);
	assert_memory_equal(record.json, "{}", 2);
	assert_int_equal(record.time_ns, 1500 * (int64_t)MS);
	assert_ok(osp_report_next(&r, &record));
	assert_int_equal(record.name_size, 1);
	assert_memory_equal(record.json, "{\"n\":1}", 7);
	assert_int_equal(record.time_ns, 2500 * (int64_t)MS);
	assert_int_equal(osp_report_next(&r, &record), 1);
}

static void a_peer_that_left_some_out_says_so(void **state)
{
	struct osp_report_reader r;

	(void)state;
	assert_ok(START(&r, "\1\0\x1" FIRST TIMES));
	assert_true(r.cut);
}

/* Of every length that may be kept the whole records are read, and it is known that some are missing. */
static void whole_records_of_a_cut_report_are_kept(void **state)
{
	const size_t all = sizeof(WHOLE) - 1, one = 3 + sizeof(FIRST) - 1,
		     both = one + sizeof(SECOND) - 1;
	struct osp_report_reader r;
	struct osp_report_record record;

	(void)state;
	for (size_t size = 0; size < all; size++) {
		int expected = size >= both ? 2 : size >= one ? 1 : 0, n = 0;

		if (!expected) {
			assert_err(-EBADMSG, osp_report_start(&r, WHOLE, size, all));
			continue;
		}
		assert_ok(osp_report_start(&r, WHOLE, size, all));
		while (!osp_report_next(&r, &record))
			n++;
		assert_int_equal(n, expected);
		assert_int_equal(r.cut, expected < 2);
	}
}

static void what_is_no_report_is_refused(void **state)
{
	struct osp_report_reader r;

	(void)state;
	assert_err(-EBADMSG, START(&r, ""));
	assert_err(-EBADMSG, START(&r, TIMES));
	assert_err(-EBADMSG, START(&r, "\0\0\0" TIMES));	       /* tells of nothing */
	assert_err(-EBADMSG, START(&r, "\2\0\x1" FIRST TIMES));	       /* truncated: 0 or 1 */
	assert_err(-EBADMSG, START(&r, "\0\0\x2" FIRST TIMES));	       /* a record is missing */
	assert_err(-EBADMSG, START(&r, "\0\0\x1" FIRST SECOND TIMES)); /* one too many */
	assert_err(-EBADMSG,
		   START(&r, "\0\0\x1\xff\xffgo_a" TIMES TIMES)); /* a name beyond the end */
	assert_err(-EBADMSG, START(&r, "osp\1\1abcdefghijklmnopqrstuvwx"));
}

static void times_that_make_no_sense_are_told(void **state)
{
	static const char *const doubles[] = {"\x7f\xf8\0\0\0\0\0\0", "\x7f\xf0\0\0\0\0\0\0",
					      "\xbf\xf0\0\0\0\0\0\0", "\x7f\xe0\0\0\0\0\0\0"};
	char bytes[] = "\0\0\x1" FIRST TIMES;
	struct osp_report_reader r;
	struct osp_report_record record;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		memcpy(bytes + 3 + sizeof(FIRST) - 1 - 8, doubles[i], 8);
		assert_ok(START(&r, bytes));
		assert_ok(osp_report_next(&r, &record));
		assert_int_equal(record.time_ns, -1);
	}
}

/* Asked at 1000, 20 ms each way, 100 ms of work; the peer's clock is 5000 ms ahead. */
static void latency_and_offset_are_told_apart(void **state)
{
	struct osp_report_clock c;

	(void)state;
	osp_report_set_clock(&c, 1000 * (int64_t)MS, 6020ull * MS, 6120ull * MS,
			     1140 * (int64_t)MS);
	assert_int_equal(c.offset_ns, 5000 * (int64_t)MS);
	assert_int_equal(c.error_ns, 20 * MS);
	assert_int_equal(osp_report_time(&c, 6020 * (int64_t)MS), 1020 * (int64_t)MS);
	assert_int_equal(osp_report_time(&c, 6070 * (int64_t)MS), 1070 * (int64_t)MS);
	assert_int_equal(osp_report_time(&c, 6120 * (int64_t)MS), 1120 * (int64_t)MS);
}

/* 35 ms there and 5 ms back: the truth lies within the error that is told. */
static void an_asymmetric_way_stays_within_the_error(void **state)
{
	struct osp_report_clock c;
	int64_t wrong;

	(void)state;
	osp_report_set_clock(&c, 1000 * (int64_t)MS, 6035ull * MS, 6135ull * MS,
			     1140 * (int64_t)MS);
	assert_int_equal(c.offset_ns, 5015 * (int64_t)MS);
	assert_int_equal(c.error_ns, 20 * MS);
	wrong = osp_report_time(&c, 6035 * (int64_t)MS) - 1035 * (int64_t)MS;
	assert_in_range(-wrong, 0, c.error_ns);
}

/* A peer that is behind by years works the same. */
static void a_clock_may_be_far_behind(void **state)
{
	struct osp_report_clock c;

	(void)state;
	osp_report_set_clock(&c, 9000 * (int64_t)MS, 20 * MS, 30 * MS, 9050 * (int64_t)MS);
	assert_int_equal(c.offset_ns, -9000 * (int64_t)MS);
	assert_int_equal(c.error_ns, 20 * MS);
	assert_int_equal(osp_report_time(&c, 25 * MS), 9025 * (int64_t)MS);
}

static void an_odd_nanosecond_counts_as_error(void **state)
{
	struct osp_report_clock c;

	(void)state;
	osp_report_set_clock(&c, 100, 1000, 1010, 113);
	assert_int_equal(c.error_ns, 2);
	assert_int_equal(osp_report_time(&c, 1000), 101);
	assert_int_equal(osp_report_time(&c, 1010), 111);
}

static void times_never_leave_request_and_answer(void **state)
{
	struct osp_report_clock c;

	(void)state;
	osp_report_set_clock(&c, 100, 1000, 1010, 130);
	assert_int_equal(osp_report_time(&c, 0), 110);
	assert_int_equal(osp_report_time(&c, -1), 110);
	assert_int_equal(osp_report_time(&c, INT64_MIN), 110);
	assert_int_equal(osp_report_time(&c, 5000), 120);
	assert_int_equal(osp_report_time(&c, INT64_MAX), 120);
}

static void contradictions_leave_the_clock_unknown(void **state)
{
	static const struct {
		int64_t sent, received;
		uint64_t peer_received, peer_sent;
	} rows[] = {
		{100, 130, 1010, 1000},	      /* it answered before it was asked */
		{100, 130, 1000, 1031},	      /* it took longer than we waited */
		{100, 130, 0, 0},	      /* it has no clock */
		{100, 130, 1000, 1ull << 62}, /* in a far future */
		{100, 130, UINT64_MAX, UINT64_MAX},
	};
	struct osp_report_clock c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		osp_report_set_clock(&c, rows[i].sent, rows[i].peer_received, rows[i].peer_sent,
				     rows[i].received);
		assert_int_equal(c.error_ns, -1);
		for (int64_t t = 990; t < 1050; t++)
			assert_in_range(osp_report_time(&c, t), 100, 130);
	}
}

RUN_TESTS(TEST(records_have_names_json_and_times), TEST(a_peer_that_left_some_out_says_so),
	  TEST(whole_records_of_a_cut_report_are_kept), TEST(what_is_no_report_is_refused),
	  TEST(times_that_make_no_sense_are_told), TEST(latency_and_offset_are_told_apart),
	  TEST(an_asymmetric_way_stays_within_the_error), TEST(a_clock_may_be_far_behind),
	  TEST(an_odd_nanosecond_counts_as_error), TEST(times_never_leave_request_and_answer),
	  TEST(contradictions_leave_the_clock_unknown))
