/*
 * Golden tests: every tests/golden/NAME.events goes through the pipeline, and the traces that come
 * out, as a user sees them, must equal NAME.spans. GOLDEN_UPDATE=1 rewrites the .spans files: read
 * the diff. The same scripts show that the result is a function of the inputs alone (pushed again,
 * or by way of a raw capture, every part is the same), and that no name of the catalogue matters
 * (with every operation, state, point and argument renamed, nothing but names changes).
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/play.h"
#include "tests/support/rename.h"
#include "tests/support/script.h"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void equals_golden(void **state)
{
	const char *path = *state;
	char *events = script_read(path), *text, *expected, spans[512];
	struct osp_catalogue *c = script_catalogue(events);

	text = play_tree(c, path, events);
	snprintf(spans, sizeof(spans), "%.*s.spans", (int)(strlen(path) - strlen(".events")), path);
	if (getenv("GOLDEN_UPDATE"))
		write_file(spans, text);
	expected = script_read(spans);
	if (strcmp(expected, text) != 0)
		print_error("%s: this came out:\n%s", path, text);
	assert_string_equal(text, expected);
	osp_catalogue_free(&c);
	free(expected);
	free(text);
	free(events);
}

static void depends_on_inputs_alone(void **state)
{
	char *events = script_read(*state), *once, *again, *replayed;
	struct osp_catalogue *c = script_catalogue(events);

	once = play_log(c, *state, events);
	again = play_log(c, *state, events);
	replayed = play_raw_log(c, *state, events);
	assert_string_equal(once, again);
	assert_string_equal(once, replayed);
	osp_catalogue_free(&c);
	free(once);
	free(again);
	free(replayed);
	free(events);
}

static void names_do_not_matter(void **state)
{
	char *events = script_read(*state), *text, *renamed_events, *renamed;
	struct osp_catalogue *c = script_catalogue(events);
	struct rename *names;

	text = play_tree(c, *state, events);
	renamed_events = rename_events(c, events);
	names = rename_catalogue(c);
	renamed = play_tree(c, *state, renamed_events);
	assert_string_not_equal(text, renamed);
	rename_back(renamed);
	assert_string_equal(text, renamed);
	osp_catalogue_free(&c);
	rename_free(&names);
	free(renamed);
	free(renamed_events);
	free(text);
	free(events);
}

static struct CMUnitTest make_test(const char *what, CMUnitTestFunction f, char *path)
{
	char *name = NULL;

	if (asprintf(&name, "%s: %s", strrchr(path, '/') + 1, what) < 0)
		abort();
	return (struct CMUnitTest){.name = name, .test_func = f, .initial_state = path};
}

int main(void)
{
	glob_t found;
	struct CMUnitTest *tests;
	size_t count = 0;
	int failed;

	if (glob("tests/golden/*.events", 0, NULL, &found))
		return 1;
	tests = calloc(3 * found.gl_pathc, sizeof(*tests));
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *path = found.gl_pathv[i];

		tests[count++] = make_test("equals_golden", equals_golden, path);
		tests[count++] =
			make_test("depends_on_inputs_alone", depends_on_inputs_alone, path);
		tests[count++] = make_test("names_do_not_matter", names_do_not_matter, path);
	}
	failed = _cmocka_run_group_tests("golden", tests, count, NULL, NULL);
	while (count)
		free((void *)tests[--count].name);
	free(tests);
	globfree(&found);
	return failed;
}
