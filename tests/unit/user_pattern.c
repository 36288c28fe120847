/* Topic patterns: by hand, against the C library's fnmatch, and the table against the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/pattern.h"

static struct osp_patterns *patterns;
static struct osp_pattern_table table;

static int tear_down(void **state)
{
	(void)state;
	osp_pattern_free(&patterns);
	return 0;
}

static int read_all(const char *const *texts, size_t count)
{
	osp_pattern_free(&patterns);
	return osp_pattern_new(&patterns, texts, count);
}

static void compile(const char *text)
{
	assert_int_equal(read_all(&text, 1), 0);
	assert_int_equal(osp_pattern_compile(patterns, &table), 0);
}

/* What the reference says; the table must agree. */
static bool matches_bytes(const void *bytes, size_t size, bool cut)
{
	bool r = osp_pattern_match(patterns, bytes, size, cut);

	assert_int_equal(osp_pattern_run(&table, bytes, size, cut), r);
	return r;
}

static bool matches(const char *text)
{
	return matches_bytes(text, strlen(text), false);
}

static bool may_match(const char *beginning)
{
	return matches_bytes(beginning, strlen(beginning), true);
}

static void plain_bytes_match_themselves(void **state)
{
	(void)state;
	compile("foo/b\\r");
	assert_true(matches("foo/b\\r"));
	assert_false(matches("foo/b\\"));
	assert_false(matches("foo/b\\rr"));
	assert_false(matches("Foo/b\\r"));
	assert_false(matches(""));
	compile("");
	assert_true(matches(""));
	assert_false(matches("a"));
}

static void a_star_matches_slashes_and_nothing(void **state)
{
	(void)state;
	compile("foo/*");
	assert_true(matches("foo/"));
	assert_true(matches("foo/a/b"));
	assert_false(matches("foo"));
	assert_false(matches("xfoo/a"));
	compile("*/x**y");
	assert_true(matches("a/b/x--x-y"));
	assert_true(matches("/xy"));
	assert_false(matches("/xyz"));
}

static void a_question_mark_is_one_byte_not_one_character(void **state)
{
	(void)state;
	compile("a?c");
	assert_true(matches("abc"));
	assert_true(matches_bytes("a\0c", 3, false));
	assert_true(matches("a\xff"
			    "c"));
	assert_false(matches("a\xc3\xa4"
			     "c"));
	assert_false(matches("ac"));
}

static void sets_have_ranges_negation_and_brackets(void **state)
{
	(void)state;
	compile("[a-cx]");
	assert_true(matches("a") && matches("b") && matches("c") && matches("x"));
	assert_false(matches("d") || matches("-") || matches(""));
	compile("[!a-c]");
	assert_true(matches("d") && matches("-") && matches("!"));
	assert_false(matches("b"));
	compile("[^a-c]");
	assert_true(matches("d") && matches("^"));
	assert_false(matches("b"));
	compile("[]a]");
	assert_true(matches("]") && matches("a"));
	compile("[!]a]");
	assert_true(matches("b"));
	assert_false(matches("]") || matches("a"));
	compile("[a-]");
	assert_true(matches("a") && matches("-"));
	assert_false(matches("b"));
	compile("[\x80-\xff]");
	assert_true(matches("\xc3"));
	assert_false(matches("a"));
}

static void a_bracket_that_nothing_closes_is_itself(void **state)
{
	(void)state;
	compile("a[b");
	assert_true(matches("a[b"));
	assert_false(matches("ab"));
	compile("[!]");
	assert_true(matches("[!]"));
	compile("[");
	assert_true(matches("["));
}

static void an_empty_set_matches_nothing(void **state)
{
	(void)state;
	compile("a[z-a]b");
	assert_false(matches("azb") || matches("ab") || matches("a"));
	assert_false(may_match("a"));
}

static void any_of_several_patterns_matches(void **state)
{
	static const char *const texts[] = {"foo/*", "*/bar", "baz"};

	(void)state;
	assert_int_equal(read_all(texts, 3), 0);
	assert_int_equal(osp_pattern_compile(patterns, &table), 0);
	assert_true(matches("foo/x") && matches("x/bar") && matches("baz") && matches("foo/bar"));
	assert_false(matches("bar") || matches("bazz") || matches("fo/o"));
	assert_int_equal(read_all(texts, 0), 0);
	assert_int_equal(osp_pattern_compile(patterns, &table), 0);
	assert_false(matches("") || matches("a") || may_match(""));
}

/* The kept bytes of a topic that was longer than its argument: only what cannot match is out. */
static void a_cut_text_matches_unless_no_end_could(void **state)
{
	(void)state;
	compile("foo/*.log");
	assert_true(may_match("fo") && may_match("foo/abc") && may_match("foo/a.log"));
	assert_false(may_match("fx"));
	compile("abc");
	assert_true(may_match("ab"));
	assert_false(may_match("abc")); /* a byte more is there: it is too long */
	compile("abc*");
	assert_true(may_match("abc"));
}

static void states_that_decide_are_settled(void **state)
{
	(void)state;
	compile("foo/*");
	/* f, o, o, /, matched, and one for what can match no more */
	assert_int_equal(__builtin_popcountll(table.settled), 2);
	assert_int_equal(__builtin_popcountll(table.accept), 1);
	assert_int_equal(table.accept & table.settled, table.accept);
	assert_int_equal(__builtin_popcountll(table.live), 5);
}

static void states_that_no_text_tells_apart_are_one(void **state)
{
	(void)state;
	compile("*a*b*");
	assert_int_equal(__builtin_popcountll(table.live), 3);
	compile("[ab]x");
	assert_int_equal(__builtin_popcountll(table.live), 2);
}

static void what_is_too_large_is_refused(void **state)
{
	char wide[64] = "*a???????*", long_text[OSP_PATTERN_POSITIONS + 2];
	const char *text = wide;

	(void)state;
	/* which of the last 7 bytes were an "a": a set for each answer, told apart by no text */
	assert_int_equal(read_all(&text, 1), 0);
	assert_int_equal(osp_pattern_compile(patterns, &table), 0); /* found once, found for good */
	wide[strlen(wide) - 1] = 0;
	assert_int_equal(read_all(&text, 1), 0);
	assert_int_equal(osp_pattern_compile(patterns, &table), -E2BIG);
	assert_true(osp_pattern_match(patterns, "xxa1234567", 10, false));
	assert_false(osp_pattern_match(patterns, "xxa12345678", 11, false));
	memset(long_text, 'x', sizeof(long_text));
	long_text[OSP_PATTERN_POSITIONS] = 0;
	text = long_text;
	assert_int_equal(read_all(&text, 1), -E2BIG);
	long_text[OSP_PATTERN_POSITIONS - 1] = 0;
	assert_int_equal(read_all(&text, 1), 0);
	assert_true(osp_pattern_match(patterns, text, OSP_PATTERN_POSITIONS - 1, false));
	assert_int_equal(osp_pattern_compile(patterns, &table), -E2BIG);
}

static void exactly_as_many_states_as_fit_are_taken(void **state)
{
	char text[OSP_PATTERN_STATES];
	const char *t = text;

	(void)state;
	/* n bytes in a row: n + 1 states, and one for what can match no more */
	memset(text, 'x', sizeof(text));
	text[OSP_PATTERN_STATES - 2] = 0;
	compile(text);
	assert_true(matches(text));
	text[OSP_PATTERN_STATES - 2] = 'x';
	text[OSP_PATTERN_STATES - 1] = 0;
	assert_int_equal(read_all(&t, 1), 0);
	assert_int_equal(osp_pattern_compile(patterns, &table), -E2BIG);
}

/* ---- random ---- */

static void random_text(char *out, size_t most, const char *letters)
{
	size_t n = (size_t)random() % (most + 1), count = strlen(letters);

	for (size_t i = 0; i < n; i++)
		out[i] = letters[(size_t)random() % count];
	out[n] = 0;
}

/*
 * fnmatch knows more of sets than lonelypsp: "[:", "[." and "[=" begin names there. The letters
 * hold none of these, so that both mean the same.
 */
static void random_patterns_agree_with_fnmatch(void **state)
{
	size_t compiled = 0, matched = 0, all = 0;

	(void)state;
	srandom(20261121);
	for (int i = 0; i < 4000; i++) {
		char text[16];
		const char *t = text;
		bool has_table;

		random_text(text, 12, "aabb/***??[[]]!-^c\\");
		assert_int_equal(read_all(&t, 1), 0);
		has_table = osp_pattern_compile(patterns, &table) == 0;
		compiled += has_table;
		for (int k = 0; k < 60; k++) {
			char topic[12];
			bool want;

			random_text(topic, 9, "aabbc/-]![^\\");
			want = fnmatch(text, topic, FNM_NOESCAPE) == 0;
			matched += want;
			all++;
			if (osp_pattern_match(patterns, topic, strlen(topic), false) != want)
				fail_msg("\"%s\" and \"%s\": not as fnmatch says (%d)", text, topic,
					 want);
			if (has_table &&
			    osp_pattern_run(&table, topic, strlen(topic), false) != want)
				fail_msg("\"%s\" and \"%s\": the table differs", text, topic);
		}
	}
	print_message("# %zu of %zu pairs match, %zu of 4000 patterns have a table\n", matched, all,
		      compiled);
	assert_true(matched > all / 50 && compiled > 3900);
}

/* A cut text may match exactly if some text that goes on from it does. */
static void random_cut_texts_match_if_some_end_does(void **state)
{
	(void)state;
	srandom(7);
	for (int i = 0; i < 500; i++) {
		static const char letters[] = "ab/";
		const char *texts[2];
		char text[2][8], topic[8];
		bool some = false, may;
		size_t n;

		random_text(text[0], 5, "aab/*?");
		random_text(text[1], 5, "aab/*?");
		texts[0] = text[0];
		texts[1] = text[1];
		assert_int_equal(read_all(texts, 2), 0);
		assert_int_equal(osp_pattern_compile(patterns, &table), 0);
		random_text(topic, 2, letters);
		n = strlen(topic);
		may = matches_bytes(topic, n, true);
		/* ends of 1 to 5 letters: no pattern here has more that it insists on */
		for (int end = 3; end < 729 && !some; end++) {
			size_t size = n;

			for (int left = end; left >= 3; left = left / 3)
				topic[size++] = letters[left % 3];
			some = matches_bytes(topic, size, false);
		}
		if (may != some)
			fail_msg("\"%s\", \"%s\": \"%.*s...\" may %d, does %d", text[0], text[1],
				 (int)n, topic, may, some);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(plain_bytes_match_themselves, tear_down),
		cmocka_unit_test_teardown(a_star_matches_slashes_and_nothing, tear_down),
		cmocka_unit_test_teardown(a_question_mark_is_one_byte_not_one_character, tear_down),
		cmocka_unit_test_teardown(sets_have_ranges_negation_and_brackets, tear_down),
		cmocka_unit_test_teardown(a_bracket_that_nothing_closes_is_itself, tear_down),
		cmocka_unit_test_teardown(an_empty_set_matches_nothing, tear_down),
		cmocka_unit_test_teardown(any_of_several_patterns_matches, tear_down),
		cmocka_unit_test_teardown(a_cut_text_matches_unless_no_end_could, tear_down),
		cmocka_unit_test_teardown(states_that_decide_are_settled, tear_down),
		cmocka_unit_test_teardown(states_that_no_text_tells_apart_are_one, tear_down),
		cmocka_unit_test_teardown(what_is_too_large_is_refused, tear_down),
		cmocka_unit_test_teardown(exactly_as_many_states_as_fit_are_taken, tear_down),
		cmocka_unit_test_teardown(random_patterns_agree_with_fnmatch, tear_down),
		cmocka_unit_test_teardown(random_cut_texts_match_if_some_end_does, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
