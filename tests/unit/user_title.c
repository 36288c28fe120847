/* Span names from templates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "user/title.h"

static struct osp_value text_value(const char *text)
{
	return (struct osp_value){
		.type = OSP_VALUE_STR, .data = text, .size = (uint32_t)strlen(text)};
}

static const char *format(const char *template, const struct osp_value *a,
			  const struct osp_value *b)
{
	const struct osp_value *values[OSP_TITLE_HOLES] = {a, b};
	static char out[OSP_TITLE_MAX + 1];
	struct osp_title t;
	size_t size;

	osp_title_parse(&t, template);
	size = osp_title_format(&t, values, out);
	assert_int_equal(size, strlen(out));
	return out;
}

static void holes_are_filled_in_order(void **state)
{
	struct osp_value url = text_value("http://a"), n = {.type = OSP_VALUE_U64, .u64 = 3};

	(void)state;
	assert_string_equal(format("plain", NULL, NULL), "plain");
	assert_string_equal(format("deliver {url}", &url, NULL), "deliver http://a");
	assert_string_equal(format("{n}: {url}!", &n, &url), "3: http://a!");
	assert_string_equal(format("{url}{n}", &url, &n), "http://a3");
}

static void what_is_missing_is_a_question_mark(void **state)
{
	(void)state;
	assert_string_equal(format("deliver {url}", NULL, NULL), "deliver ?");
}

static void every_type_has_a_text(void **state)
{
	const struct osp_value i = {.type = OSP_VALUE_I64, .i64 = -7};
	const struct osp_value f = {.type = OSP_VALUE_F64, .f64 = 1.5};
	const struct osp_value yes = {.type = OSP_VALUE_BOOL, .boolean = true};
	const struct osp_value bytes = {.type = OSP_VALUE_BYTES, .data = "\x01\xff", .size = 2};
	struct osp_value evil = text_value("a\x1b[2Jb\\");

	(void)state;
	assert_string_equal(format("{i} {f}", &i, &f), "-7 1.5");
	assert_string_equal(format("{yes} {bytes}", &yes, &bytes), "true 01ff");
	assert_string_equal(format("{evil}", &evil, NULL), "a\\x1b[2Jb\\\\");
}

static void names_end_at_the_maximum_between_characters(void **state)
{
	char long_text[301] = {0};
	struct osp_value v;
	const char *name;

	(void)state;
	for (int i = 0; i < 150; i++)
		memcpy(long_text + 2 * i, "\xc3\xbc", 2);
	v = text_value(long_text);
	name = format("x{v}", &v, NULL);
	assert_int_equal(strlen(name), 199);
	assert_memory_equal(name + 197, "\xc3\xbc", 2);
}

static void odd_templates_do_no_harm(void **state)
{
	struct osp_value v = text_value("v");
	struct osp_title t;

	(void)state;
	assert_string_equal(format("open {x", &v, NULL), "open {x");
	assert_string_equal(format("close }x", &v, NULL), "close }x");
	assert_string_equal(format("", NULL, NULL), "");
	osp_title_parse(&t, "{a}{b}{c}{d}{e}");
	assert_int_equal(t.hole_count, 4);
	assert_int_equal(osp_title_find(&t, "d"), 3);
	assert_int_equal(osp_title_find(&t, "e"), -1);
	assert_int_equal(osp_title_find(&t, "aa"), -1);
	assert_int_equal(osp_title_find(&t, ""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_are_filled_in_order),
		cmocka_unit_test(what_is_missing_is_a_question_mark),
		cmocka_unit_test(every_type_has_a_text),
		cmocka_unit_test(names_end_at_the_maximum_between_characters),
		cmocka_unit_test(odd_templates_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
