/* user/base/text.c: what a terminal may be shown, hexadecimal, durations, times. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/base/text.h"

static const char *escape(const char *bytes, size_t size)
{
	static char out[256];

	osp_text_escape(out, sizeof(out), bytes, size);
	return out;
}
#define ESCAPE(literal) escape(literal, sizeof(literal) - 1)

static void printable_utf8_stays(void **state)
{
	(void)state;
	assert_string_equal(ESCAPE("foo/bär €𝄞"), "foo/bär €𝄞");
}

static void control_and_ansi_codes_are_escaped(void **state)
{
	(void)state;
	assert_string_equal(ESCAPE("a\x1b[31m\n\x7f\0z"), "a\\x1b[31m\\x0a\\x7f\\x00z");
	assert_string_equal(ESCAPE("\xc2\x9b"
				   "31m"),
			    "\\xc2\\x9b31m");
	assert_string_equal(ESCAPE("back\\slash"), "back\\\\slash");
}

static void marks_that_reorder_text_are_escaped(void **state)
{
	(void)state;
	assert_string_equal(ESCAPE("\xe2\x80\xae"
				   "x"),
			    "\\xe2\\x80\\xaex");
	assert_string_equal(ESCAPE("\xe2\x81\xa6"
				   "x"),
			    "\\xe2\\x81\\xa6x");
}

static void invalid_utf8_is_escaped_bytewise(void **state)
{
	(void)state;
	assert_string_equal(ESCAPE("\xff\xc0\xaf\xed\xa0\x80"), "\\xff\\xc0\\xaf\\xed\\xa0\\x80");
	assert_string_equal(ESCAPE("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
	assert_string_equal(ESCAPE("\xe2\x82"), "\\xe2\\x82");
}

static void output_is_cut_at_whole_escapes(void **state)
{
	char out[8];

	(void)state;
	assert_int_equal(osp_text_escape(out, sizeof(out), "\x01\x02", 2), 4);
	assert_string_equal(out, "\\x01");
	assert_int_equal(osp_text_escape(out, 0, "a", 1), 0);
}

static void utf8_is_told_from_other_bytes(void **state)
{
	(void)state;
	assert_true(osp_text_is_utf8("a\0ä", 4));
	assert_false(osp_text_is_utf8("\xe4", 1));
	assert_false(osp_text_is_utf8("\xf0\x80\x80\x80", 4));
	assert_true(osp_text_is_utf8("orders/\xc3\xa4", 9));
	assert_false(osp_text_is_utf8("orders/\xe4", 8));
	assert_false(osp_text_is_utf8("\xe4orders/12/created", 18));
	assert_false(osp_text_is_utf8("orders/12/crea\xe4ted", 18));
	assert_false(osp_text_is_utf8("orders/12\xe4/created", 18));
}

/* Whatever is odd is seen at every place of a text of every size. */
static void a_text_is_text_in_all_its_bytes(void **state)
{
	char text[33];

	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t size = 0; size <= sizeof(text); size++) {
		assert_true(osp_text_is_value(text, size));
		for (size_t i = 0; i < size; i++) {
			text[i] = 0;
			assert_false(osp_text_is_value(text, size));
			assert_true(osp_text_is_utf8(text, size));
			text[i] = (char)0x80;
			assert_false(osp_text_is_value(text, size));
			assert_false(osp_text_is_utf8(text, size));
			text[i] = 0x7f;
			assert_true(osp_text_is_value(text, size));
			text[i] = 'a';
		}
	}
	assert_true(osp_text_is_value("a caf\xc3\xa9", 7));
	assert_false(osp_text_is_value("a caf\xc3\xa9", 6));
	assert_false(osp_text_is_value("caf\xc3\xa9\0", 6));
}

static void hexadecimal_goes_both_ways(void **state)
{
	char text[7];
	uint8_t bytes[3];

	(void)state;
	osp_text_hex(text, "\x00\xfe\x1a", 3);
	assert_string_equal(text, "00fe1a");
	assert_ok(osp_text_unhex(bytes, 3, "00FE1a", 6));
	assert_memory_equal(bytes, "\x00\xfe\x1a", 3);
	assert_err(-EINVAL, osp_text_unhex(bytes, 3, "00fe1", 5));
	assert_err(-EINVAL, osp_text_unhex(bytes, 3, "00fe1g", 6));
}

static void durations_take_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {{"5", 5000000000}, {"1.5s", 1500000000}, {"250ms", 250000000},  {"7us", 7000},
		    {"9ns", 9},	       {"2m", 120000000000}, {"1h", 3600000000000}, {"0", 0}};
	static const char *const bad[] = {"",	 "s",	"-1s",	 "1 s", "1d",
					  "nan", "inf", "1e30h", "3ss"};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_ok(osp_text_parse_duration(good[i].text, &ns));
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_err(-EINVAL, osp_text_parse_duration(bad[i], &ns));
}

static void durations_are_shown_in_fitting_units(void **state)
{
	char out[24];

	(void)state;
	assert_string_equal(osp_text_duration(out, 999), "999 ns");
	assert_string_equal(osp_text_duration(out, 41250), "41.2 us");
	assert_string_equal(osp_text_duration(out, 3400000), "3.40 ms");
	assert_string_equal(osp_text_duration(out, 61250000000), "61.25 s");
}

static void times_are_rfc3339(void **state)
{
	char out[40];

	(void)state;
	assert_string_equal(osp_text_time(out, 1700000000123456789, true),
			    "2023-11-14T22:13:20.123456Z");
	assert_string_equal(osp_text_time(out, -1, true), "1969-12-31T23:59:59.999999Z");
	setenv("TZ", "XST-5:30", 1);
	tzset();
	assert_string_equal(osp_text_time(out, 1700000000123456789, false),
			    "2023-11-15T03:43:20.123456+05:30");
}

static const char *format_utf8(const char *bytes, size_t size)
{
	static char out[64];
	size_t n = osp_text_format_utf8(out, sizeof(out), bytes, size);

	assert_int_equal(n, strlen(out));
	return out;
}

static void what_is_no_text_is_escaped_to_be_kept(void **state)
{
	(void)state;
	assert_string_equal(format_utf8("b\xc3\xa4r\n\\", 6), "b\xc3\xa4r\n\\");
	assert_string_equal(format_utf8("a\xff\n", 3), "a\\xff\\x0a");
	assert_string_equal(format_utf8("a\0b", 3), "a\\x00b");
	assert_string_equal(format_utf8("", 0), "");
}

RUN_TESTS(TEST(what_is_no_text_is_escaped_to_be_kept), TEST(printable_utf8_stays),
	  TEST(control_and_ansi_codes_are_escaped), TEST(marks_that_reorder_text_are_escaped),
	  TEST(invalid_utf8_is_escaped_bytewise), TEST(output_is_cut_at_whole_escapes),
	  TEST(utf8_is_told_from_other_bytes), TEST(a_text_is_text_in_all_its_bytes),
	  TEST(hexadecimal_goes_both_ways), TEST(durations_take_units),
	  TEST(durations_are_shown_in_fitting_units), TEST(times_are_rfc3339))
