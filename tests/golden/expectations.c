/*
 * Users' rules (probes/expectation.h, user/expect.h): what they find in recordings of this folder,
 * worked out by hand from the times in them, and what a file of rules is refused for.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/checked.h"
#include "tests/support/script.h"

static char directory[] = "/tmp/outspan-rules-XXXXXX", path[64], rules_path[64];

static void write_rules(const char *text)
{
	FILE *f = fopen(rules_path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* The recording under one rule, with lines put in before its end. */
static void start_with(struct checked *c, const char *events, const char *more, const char *rule)
{
	char name[100], text[1000], *script, *whole = NULL;
	const char *end;

	snprintf(name, sizeof(name), "tests/golden/%s.events", events);
	snprintf(text, sizeof(text), "rules:\n  - {name: n, %s}\n", rule);
	write_rules(text);
	script = script_read(name);
	end = strstr(script, "counters\n");
	assert_true(asprintf(&whole, "%.*s%s%s", (int)(end - script), script, more, end) > 0);
	checked_start(c, whole, path, rules_path);
	free(whole);
	free(script);
}

static void expect(const char *events, const char *more, const char *rule, uint64_t genuine,
		   uint64_t explained, enum osp_check_cause cause)
{
	struct checked c;

	start_with(&c, events, more, rule);
	if (c.check->genuine != genuine || checked_explained(c.check) != explained)
		checked_print(c.check);
	assert_int_equal(c.check->genuine, genuine);
	assert_int_equal(checked_explained(c.check), explained);
	assert_int_equal(c.check->explained[cause], explained);
	checked_clear(&c);
}

/* Of the four rules of the example one is broken: the second handler of a subscriber fails. */
static void the_example_finds_the_handler_that_fails(void **state)
{
	char *text = script_read("tests/golden/publish.events");
	const struct osp_finding *f;
	struct checked c;

	(void)state;
	checked_start(&c, text, path, "tests/golden/rules.yaml");
	assert_int_equal(c.check->rules, 4);
	assert_int_equal(c.check->finding_count, 1);
	f = c.check->findings;
	assert_string_equal(f->rule, "handlers do not fail");
	assert_int_equal(f->kind, OSP_CONFORM_UNEXPECTED);
	assert_string_equal(f->of->name, "receive");
	assert_string_equal(f->point->name, "handler_error");
	assert_int_equal(f->time_ns, 1827);
	checked_clear(&c);
	free(text);
}

/* sending_request passes at 1200, the first auth_accepted of a subscriber at 1630. */
static void what_follows_too_late_is_missing(void **state)
{
	const char *late = "1 @9s op=z notify.start_with_hash topic=\"z\" length=1 filelike=false\n"
			   "1 op=z notify.exit cause=4\n";

	(void)state;
	expect("publish", "",
	       "after: notify/sending_request, expect: receive/auth_accepted, within: 430ns, same: {arg: topic}",
	       0, 0, 0);
	expect("publish", late,
	       "after: notify/sending_request, expect: receive/auth_accepted, within: 429ns, same: {arg: topic}",
	       1, 0, 0);
	expect("publish", late,
	       "after: notify/sending_request, expect: receive/auth_accepted, within: 429ns, same: trace",
	       1, 0, 0);
	/* the publish of z ended without an attempt: nobody received it, and the recording ends then */
	expect("publish", late, "after: notify, expect: receive, within: 1s, same: trace", 0, 1,
	       OSP_CHECK_STOPPED);
	/* nobody ever sweeps */
	expect("publish", late,
	       "after: notify/hashed, expect: sweep_missed, within: 1s, same: trace", 1, 0, 0);
}

/* The same topic in another trace counts with `arg`, not with `trace`. */
static void what_has_to_be_the_same_is_compared(void **state)
{
	const char *more =
		"3 @1s op=y receive.received\n"
		"3 op=y receive.request_parsed topic=\"foo/bar\" identifier=x:09 length=5\n"
		"3 op=y receive.auth_tentatively_accepted\n"
		"3 op=y receive.auth_accepted topic=\"foo/bar\" identifier=x:09 length=5\n"
		"3 op=y receive.no_more_handlers\n"
		"3 op=y receive.sending_response\n";

	(void)state;
	expect("publish", more,
	       "after: notify, never: receive/no_more_handlers, within: 2s, same: {arg: topic}", 4,
	       0, 0);
	expect("publish", more,
	       "after: notify, never: receive/no_more_handlers, within: 2s, same: trace", 3, 0, 0);
}

static void a_loss_in_the_time_leaves_it_unknown(void **state)
{
	const char *lost =
		"1 @9s op=z notify.start_with_hash topic=\"z\" length=1 filelike=false\n"
		"1 op=z notify.exit cause=4\n"
		"3 @9500ms op=y receive.received dropped\n"
		"3 op=y receive.bad_request dropped\n"
		"loss 3 n=2\n"
		"1 @20s op=x notify.start_with_hash topic=\"x\" length=1 filelike=false\n"
		"1 op=x notify.exit cause=4\n";

	(void)state;
	expect("publish", lost, "after: notify/exit, expect: receive, within: 1s, same: trace", 0,
	       2, OSP_CHECK_UNKNOWN);
}

static const struct refusal {
	const char *text, *error;
} refusals[] = {
	{"rules: []\n", "rules.yaml:1: rules: expected a list of 1 to 256 rules"},
	{"other: 1\n", "rules.yaml:1: other: expected one of: doc rules"},
	{"rules:\n  - {after: notify, expect: receive, within: 1s}\n",
	 "rules.yaml:2: rules: name: expected the rule's name"},
	{"rules:\n  - {name: a, expect: receive}\n", "rules.yaml:2: rules: a: expected after, too"},
	{"rules:\n  - {name: a, after: notify, expect: receive}\n",
	 "rules.yaml:2: rules: a: expected within, such as 2s, too"},
	{"rules:\n  - {name: a, after: notify, expect: receive, never: receive, within: 1s}\n",
	 "rules.yaml:2: rules: a: expected either expect or never"},
	{"rules:\n  - name: a\n    never: nobody\n",
	 "rules.yaml:3: rules: never: expected OPERATION or OPERATION/POINT of the catalogue, not nobody"},
	{"rules:\n  - name: a\n    never: notify/nothing\n",
	 "rules.yaml:3: rules: never: expected a point of notify, not nothing"},
	{"rules:\n  - name: a\n    after: notify\n    expect: receive\n    within: soon\n",
	 "rules.yaml:5: rules: within: expected a duration such as 250ms, 30s or 5m"},
	{"rules:\n  - name: a\n    after: notify\n    expect: receive\n    within: 1s\n    same: day\n",
	 "rules.yaml:6: rules: same: expected one of: trace"},
	{"rules:\n  - name: a\n    after: notify\n    expect: receive\n    within: 1s\n    same: {arg: moon}\n",
	 "rules.yaml:6: rules: same: arg: expected an argument of notify, not moon"},
	{"rules:\n  - {name: a, never: notify, colour: red}\n", "rules.yaml:2: rules: colour: "},
	{"rules: [\n", "rules.yaml:2: expected YAML: "},
	{"", "rules.yaml:1: expected YAML, got an empty file"},
};

static void a_bad_file_is_refused_with_file_line_and_key(void **state)
{
	struct osp_catalogue *c = script_catalogue("catalogue lonelypsp.yaml\n");
	struct osp_catalogue_error error;
	struct osp_expectations *e = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		write_rules(refusals[i].text);
		assert_int_equal(osp_expectations_read(&e, c, rules_path, &error), -EINVAL);
		assert_null(e);
		if (!strstr(error.text, refusals[i].error))
			fail_msg("expected \"%s\", got \"%s\"", refusals[i].error, error.text);
	}
	assert_int_equal(osp_expectations_read(&e, c, "/nowhere/rules.yaml", &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/rules.yaml: expected a readable file"));
	osp_catalogue_free(&c);
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/session.db", directory);
	snprintf(rules_path, sizeof(rules_path), "%s/rules.yaml", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	unlink(rules_path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_finds_the_handler_that_fails),
		cmocka_unit_test(what_follows_too_late_is_missing),
		cmocka_unit_test(what_has_to_be_the_same_is_compared),
		cmocka_unit_test(a_loss_in_the_time_leaves_it_unknown),
		cmocka_unit_test(a_bad_file_is_refused_with_file_line_and_key),
	};

	return cmocka_run_group_tests_name("expectations", tests, make_directory, remove_directory);
}
