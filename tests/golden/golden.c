/*
 * Golden tests: every tests/golden/NAME.events goes through the pipeline, and the traces that come
 * out, as a user sees them, must equal NAME.spans. GOLDEN_UPDATE=1 rewrites the .spans files: read
 * the diff.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/script.h"
#include "tests/support/tree.h"
#include "user/pipeline.h"

static int push(void *arg, const struct osp_input *in)
{
	return osp_pipeline_push(arg, in);
}

static char *play(const char *path)
{
	char *events = script_read(path), *text;
	struct osp_catalogue *c = script_catalogue(events);
	struct osp_pipeline_limits limits;
	struct tree *tree = tree_new();
	struct osp_pipeline *p;
	struct script *s;

	script_limits(events, &limits);
	assert_int_equal(osp_pipeline_new(&p, c, &limits, tree_sink, tree), 0);
	s = script_new(c, path, push, p);
	assert_int_equal(script_text(s, events), 0);
	text = tree_text(tree);
	script_free(&s);
	osp_pipeline_free(&p);
	tree_free(&tree);
	osp_catalogue_free(&c);
	free(events);
	return text;
}

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
	char spans[512], *expected, *text = play(path);

	snprintf(spans, sizeof(spans), "%.*s.spans", (int)(strlen(path) - strlen(".events")), path);
	if (getenv("GOLDEN_UPDATE"))
		write_file(spans, text);
	expected = script_read(spans);
	if (strcmp(expected, text) != 0)
		print_error("%s: this came out:\n%s", path, text);
	assert_string_equal(text, expected);
	free(expected);
	free(text);
}

int main(void)
{
	glob_t found;
	struct CMUnitTest *tests;
	int failed;

	if (glob("tests/golden/*.events", 0, NULL, &found))
		return 1;
	tests = calloc(found.gl_pathc, sizeof(*tests));
	for (size_t i = 0; i < found.gl_pathc; i++)
		tests[i] = (struct CMUnitTest){.name = strrchr(found.gl_pathv[i], '/') + 1,
					       .test_func = equals_golden,
					       .initial_state = found.gl_pathv[i]};
	failed = _cmocka_run_group_tests("golden", tests, found.gl_pathc, NULL, NULL);
	free(tests);
	globfree(&found);
	return failed;
}
