/* Which points trap, by the form of the recording: expectations are read off the catalogue below. */
#include "tests/unit/test.h"

#include <string.h>

#include "user/form.h"

static const char text[] = "provider: forms\n"
			   "abi: 1\n"
			   "operations:\n"
			   "  watched:\n"
			   "    watch: true\n"
			   "    points:\n"
			   "      first: {level: essential}\n"
			   "      other_first: {level: essential}\n"
			   "      middle: {level: detail}\n"
			   "      part: {level: debug}\n"
			   "      either: {level: essential}\n"
			   "      done: {level: essential}\n"
			   "      exit: {level: essential}\n"
			   "    start: Idle\n"
			   "    states:\n"
			   "      Idle: {first: Running, other_first: Running}\n"
			   "      Running: {middle: Running, part: Running, either: Late}\n"
			   "      Late: {either: {end: error}, done: {end: ok}}\n"
			   "      \"*\": {exit: {end: error}}\n"
			   "  plain:\n"
			   "    points:\n"
			   "      first: {level: essential}\n"
			   "      done: {level: essential}\n"
			   "    start: Idle\n"
			   "    states:\n"
			   "      Idle: {first: Running}\n"
			   "      Running: {done: {end: ok}}\n"
			   "  foreign:\n"
			   "    by: thread\n"
			   "    points:\n"
			   "      \"other:begin\": {level: essential}\n"
			   "      \"other:step\": {level: detail}\n"
			   "      \"other:end\": {level: essential}\n"
			   "    start: Idle\n"
			   "    states:\n"
			   "      Idle: {\"other:begin\": Running}\n"
			   "      Running: {\"other:step\": Running, \"other:end\": {end: ok}}\n";

static int load(void **state)
{
	struct osp_catalogue_error error;
	struct osp_catalogue *c;

	assert_int_equal(osp_catalogue_new(&c), 0);
	if (osp_catalogue_add(c, "forms", text, sizeof(text) - 1, &error))
		fail_msg("%s", error.text);
	*state = c;
	return 0;
}

static int unload(void **state)
{
	osp_catalogue_free((struct osp_catalogue **)state);
	return 0;
}

/* "-": not wanted, "c": carried, "T": traps. */
static void expect(const struct osp_catalogue *c, const struct osp_wanted *w, const char *provider,
		   const char *probe, char expected)
{
	const struct osp_point *p = osp_catalogue_find_point(c, provider, probe);

	assert_non_null(p);
	if ("-cT"[osp_form_use(w, p)] != expected)
		fail_msg("%s: %c, expected %c", probe, "-cT"[osp_form_use(w, p)], expected);
}

/* Of the points of `watched`, in the order of the file; then first and done of `plain`. */
static void expect_all(void **state, enum osp_form form, enum osp_level level, const char *expected)
{
	static const char *const probes[] = {
		"watched__first", "watched__other_first", "watched__middle",
		"watched__part",  "watched__either",	  "watched__done",
		"watched__exit",  "plain__first",	  "plain__done"};
	const struct osp_wanted w = {.form = form, .level = level};

	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		expect(*state, &w, "forms", probes[i], expected[i]);
}

static void by_default_ends_and_first_steps_of_watched_operations_trap(void **state)
{
	expect_all(state, OSP_FORM_DEFAULT, OSP_LEVEL_DEBUG, "TTccTTTcT");
	expect_all(state, OSP_FORM_DEFAULT, OSP_LEVEL_DETAIL, "TTc-TTTcT");
	expect_all(state, OSP_FORM_DEFAULT, OSP_LEVEL_ESSENTIAL, "TT--TTTcT");
}

static void in_the_light_form_only_ends_trap(void **state)
{
	expect_all(state, OSP_FORM_LIGHT, OSP_LEVEL_DEBUG, "ccccTTTcT");
	expect_all(state, OSP_FORM_LIGHT, OSP_LEVEL_ESSENTIAL, "cc--TTTcT");
}

static void in_the_immediate_form_every_wanted_point_traps(void **state)
{
	expect_all(state, OSP_FORM_IMMEDIATE, OSP_LEVEL_DEBUG, "TTTTTTTTT");
	expect_all(state, OSP_FORM_IMMEDIATE, OSP_LEVEL_ESSENTIAL, "TT--TTTTT");
}

static void foreign_points_trap_in_every_form(void **state)
{
	for (int form = 0; form < OSP_FORM_COUNT; form++) {
		struct osp_wanted w = {.form = (enum osp_form)form, .level = OSP_LEVEL_DETAIL};

		expect(*state, &w, "other", "begin", 'T');
		expect(*state, &w, "other", "step", 'T');
		expect(*state, &w, "other", "end", 'T');
		w.level = OSP_LEVEL_ESSENTIAL;
		expect(*state, &w, "other", "step", '-');
	}
}

static void say(void **state, struct osp_wanted *w, const char *pattern, uint8_t said,
		size_t expected)
{
	assert_int_equal(osp_form_say(w, *state, pattern, said), expected);
}

static void a_point_may_be_switched_off_and_on_by_name(void **state)
{
	struct osp_wanted w = {.form = OSP_FORM_DEFAULT, .level = OSP_LEVEL_ESSENTIAL};

	expect(*state, &w, "forms", "watched__part", '-');
	say(state, &w, "watched__part", OSP_POINT_UP_TO + OSP_LEVEL_DEBUG, 1);
	expect(*state, &w, "forms", "watched__part", 'c');
	say(state, &w, "watched.first", OSP_POINT_OFF, 1);
	expect(*state, &w, "forms", "watched__first", '-');
	expect(*state, &w, "forms", "watched__other_first", 'T');
	say(state, &w, "other:step", OSP_POINT_UP_TO + OSP_LEVEL_DETAIL, 1);
	expect(*state, &w, "other", "step", 'T');
	say(state, &w, "other:step", OSP_POINT_UP_TO + OSP_LEVEL_ESSENTIAL, 1);
	expect(*state, &w, "other", "step", '-');
	say(state, &w, "watched__par", OSP_POINT_OFF, 0);
}

static void ends_stay_as_long_as_their_operation_has_a_point(void **state)
{
	struct osp_wanted w = {.form = OSP_FORM_DEFAULT, .level = OSP_LEVEL_DETAIL};

	say(state, &w, "watched__done", OSP_POINT_OFF, 1);
	expect(*state, &w, "forms", "watched__done", 'T');
	expect(*state, &w, "forms", "watched__spill", 'T');
	say(state, &w, "forms:watched__*", OSP_POINT_OFF, 7);
	expect(*state, &w, "forms", "watched__done", '-');
	expect(*state, &w, "forms", "watched__exit", '-');
	expect(*state, &w, "forms", "watched__spill", '-');
	expect(*state, &w, "forms", "plain__done", 'T');
	say(state, &w, "watched__middle", OSP_POINT_UP_TO + OSP_LEVEL_DETAIL, 1);
	expect(*state, &w, "forms", "watched__middle", 'c');
	expect(*state, &w, "forms", "watched__done", 'T');
	expect(*state, &w, "forms", "watched__exit", 'T');
	expect(*state, &w, "forms", "watched__spill", 'T');
	expect(*state, &w, "forms", "watched__first", '-');
}

static void the_context_is_asked_for_unless_it_is_not_wanted(void **state)
{
	struct osp_point context = {.control = true, .level = OSP_LEVEL_ESSENTIAL};
	struct osp_wanted w = {.form = OSP_FORM_LIGHT};

	(void)state;
	assert_int_equal(osp_form_use(&w, &context), OSP_USE_TRAP);
	w.no_context = true;
	assert_int_equal(osp_form_use(&w, &context), OSP_USE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_default_ends_and_first_steps_of_watched_operations_trap),
		TEST(in_the_light_form_only_ends_trap),
		TEST(in_the_immediate_form_every_wanted_point_traps),
		TEST(foreign_points_trap_in_every_form),
		TEST(a_point_may_be_switched_off_and_on_by_name),
		TEST(ends_stay_as_long_as_their_operation_has_a_point),
		TEST(the_context_is_asked_for_unless_it_is_not_wanted),
	};

	return cmocka_run_group_tests_name("user_form", tests, load, unload);
}
