/* The catalogue's `reports`: what of it is refused, and what the loader makes of the rest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "probes/catalogue.h"
#include "tests/unit/test.h"

/* `ask` has a span that `send` opens, `told` brings what a peer says of its `serve`; line 20 is the row's. */
#define REPORT(text)                                                                                           \
	"provider: p\nabi: 1\noperations:\n"                                                                   \
	"  ask:\n    spans: {try: {context: true}}\n"                                                          \
	"    points:\n"                                                                                        \
	"      send: {level: essential, args: {c: context_out}}\n"                                             \
	"      told: {level: essential, args: {what: {type: bytes, max: 2048}, from: u64, to: u64, n: u32}}\n" \
	"      end: {level: essential}\n"                                                                      \
	"    start: S\n"                                                                                       \
	"    states: {S: {send: {to: T, open: try}}, T: {told: T, end: {end: ok}}}\n"                          \
	"  serve:\n    points:\n"                                                                              \
	"      got: {level: essential, authenticates: true, args: {c: context_in}}\n"                          \
	"      done: {level: essential, args: {result: u32}}\n"                                                \
	"    start: S\n    states: {S: {got: T}, T: {done: {end: ok}}}\n"                                      \
	"links: [{name: l, from: ask/try, to: serve, makes: parent, match: "                                   \
	"[{evidence: x, grade: exact, from: send.c, to: got.c}]}]\n"                                           \
	"reports:\n  - {" text "}\n"
#define PLACE "in: ask.told, as: serve, link: l, "
#define READ  PLACE "format: timings, bytes: what, "
#define ENDS  READ "first: {got: from}, last: {done: to}, "
#define WHOLE ENDS "asked: [send], answered: [told]"

static const struct row {
	const char *what, *text, *message;
} rows[] = {
	{"unknown key", REPORT("inn: ask.told"),
	 "f:20: reports: inn: expected one of: in as link format bytes asked answered first last names"},
	{"no point", REPORT("in: ask"),
	 "f:20: reports: in: expected OPERATION.POINT of this file, of its own provider"},
	{"unknown point", REPORT("in: ask.tell"),
	 "f:20: reports: in: expected OPERATION.POINT of this file, of its own provider"},
	{"unknown operation of the peer", REPORT("in: ask.told, as: sleep"),
	 "f:20: reports: as: expected an operation of this file"},
	{"no link", REPORT("in: ask.told, as: serve"),
	 "f:20: reports: link: expected one that makes ask the parent of serve"},
	{"a link that leads elsewhere", REPORT("in: ask.told, as: ask, link: l"),
	 "f:20: reports: link: expected one that makes ask the parent of ask"},
	{"no format", REPORT("in: ask.told, as: serve, link: l"),
	 "f:20: reports: format: expected timings"},
	{"unknown format", REPORT(PLACE "format: letters"),
	 "f:20: reports: format: expected one of: timings"},
	{"bytes that are a number", REPORT(PLACE "format: timings, bytes: from"),
	 "f:20: reports: bytes: expected an argument of told, of type bytes"},
	{"no first", REPORT(PLACE "format: timings, bytes: what"),
	 "f:20: reports: first: expected one POINT: ARGUMENT of serve and told"},
	{"first of the wrong side", REPORT(READ "first: {send: from}"),
	 "f:20: reports: first: expected one POINT: ARGUMENT of serve and told"},
	{"last without a time", REPORT(READ "first: {got: from}, last: {done: what}"),
	 "f:20: reports: last: expected an argument of told, of type u64"},
	{"asked that is no list", REPORT(ENDS "asked: send"),
	 "f:20: reports: asked: expected a list of 1 to 4 points of ask"},
	{"answered by the peer", REPORT(ENDS "asked: [send], answered: [done]"),
	 "f:20: reports: answered: expected a point of ask"},
	{"a name of no point", REPORT(WHOLE ", names: {ready: finished}"),
	 "f:20: reports: names: expected a point of serve"},
	{"a point twice", REPORT(WHOLE "}\n  - {" WHOLE),
	 "f:21: reports: in: expected no point twice"},
};

static void rows_are_refused(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct osp_catalogue_error error = {""};
		struct osp_catalogue *c = NULL;
		int r;

		assert_ok(osp_catalogue_new(&c));
		r = osp_catalogue_add(c, "f", rows[i].text, strlen(rows[i].text), &error);
		if (r != -EINVAL || strcmp(error.text, rows[i].message)) {
			print_error("%s: returned %d\n  got      %s\n  expected %s\n", rows[i].what,
				    r, error.text, rows[i].message);
			wrong++;
		}
		osp_catalogue_free(&c);
	}
	assert_int_equal(wrong, 0);
}

static const struct osp_report_name *find(const struct osp_report *r, const char *name)
{
	for (size_t i = 0; i < r->name_count; i++)
		if (!strcmp(r->names[i].name, name))
			return &r->names[i];
	return NULL;
}

static void a_report_is_read_whole(void **state)
{
	static const char text[] = REPORT(WHOLE ", names: {ready: done}");
	struct osp_catalogue_error error = {""};
	struct osp_catalogue *c = NULL;
	const struct osp_report *r;

	(void)state;
	assert_ok(osp_catalogue_new(&c));
	assert_ok(osp_catalogue_add(c, "f", text, strlen(text), &error));
	assert_int_equal(c->report_count, 1);
	r = c->reports[0];
	assert_string_equal(r->in->name, "ask");
	assert_string_equal(r->point->name, "told");
	assert_string_equal(r->as->name, "serve");
	assert_string_equal(r->link->name, "l");
	assert_string_equal(r->first->name, "got");
	assert_string_equal(r->last->name, "done");
	assert_string_equal(r->point->args[r->bytes].name, "what");
	assert_string_equal(r->point->args[r->first_arg].name, "from");
	assert_string_equal(r->point->args[r->last_arg].name, "to");
	assert_true(r->point->args[r->bytes].report);
	assert_false(r->point->args[r->first_arg].report);
	assert_ptr_equal(find(r, "ready")->point, r->last);
	assert_ptr_equal(find(r, "done")->point, r->last);
	assert_string_equal(find(r, "done")->args[0], "result");
	assert_null(find(r, "send"));
	osp_catalogue_free(&c);
}

RUN_TESTS(TEST(rows_are_refused), TEST(a_report_is_read_whole))
