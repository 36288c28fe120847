/* The catalogue's `deliveries`: what of it is refused, and what the loader makes of the rest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "probes/catalogue.h"

/* An operation `a` with a span s that go opens and end closes; line 9 is the row's. */
#define DELIVERIES(text)                                                                               \
	"provider: p\nabi: 1\noperations:\n  a:\n    spans: {s: {kind: CLIENT, name: s}}\n"            \
	"    points: {go: {level: essential, args: {to: str}}, end: {level: essential}}\n"             \
	"    start: S\n    states: {S: {go: {to: T, open: s}}, T: {end: {end: ok, close: {s: ok}}}}\n" \
	"deliveries: " text "\n"

static const struct row {
	const char *what, *text, *message;
} rows[] = {
	{"unknown key", DELIVERIES("{publishes: [a]}"),
	 "f:9: publishes: expected one of: publish deliver subscriber found sent received confirmed noted told"},
	{"no publish", DELIVERIES("{deliver: [a/s]}"), "f:9: deliveries: publish: expected"},
	{"publish that is no list", DELIVERIES("{publish: a}"),
	 "f:9: deliveries: publish: expected a list of 1 to 16"},
	{"publish of another file", DELIVERIES("{publish: [b]}"),
	 "f:9: deliveries: publish: expected an operation of this file"},
	{"no subscriber", DELIVERIES("{publish: [a]}"),
	 "f:9: deliveries: subscriber: expected a list of arguments"},
	{"no deliver", DELIVERIES("{publish: [a], subscriber: [to]}"),
	 "f:9: deliveries: deliver: expected a list of OPERATION/SPAN"},
	{"deliver without span", DELIVERIES("{publish: [a], subscriber: [to], deliver: [a]}"),
	 "f:9: deliveries: deliver: expected OPERATION/SPAN of this file"},
	{"deliver with an unknown span",
	 DELIVERIES("{publish: [a], subscriber: [to], deliver: [a/t]}"),
	 "f:9: deliveries: deliver: expected OPERATION/SPAN of this file"},
	{"subscriber that no point has",
	 DELIVERIES("{publish: [a], subscriber: [x], deliver: [a/s]}"),
	 "f:9: deliveries: subscriber: expected an argument of a"},
	{"a list in a list", DELIVERIES("{publish: [[a]]}"),
	 "f:9: deliveries: publish: expected names"},
	{"unknown point",
	 DELIVERIES("{publish: [a], subscriber: [to], deliver: [a/s], sent: [a.x]}"),
	 "f:9: deliveries: a.x: expected OPERATION.POINT of this file"},
	{"point without operation",
	 DELIVERIES("{publish: [a], subscriber: [to], deliver: [a/s], sent: [go]}"),
	 "f:9: deliveries: go: expected OPERATION.POINT of this file"},
	{"point twice",
	 DELIVERIES(
		 "{publish: [a], subscriber: [to], deliver: [a/s], found: {x: [a.go]}, sent: [a.go]}"),
	 "f:9: deliveries: a.go: expected no point twice"},
	{"found that is no map",
	 DELIVERIES("{publish: [a], subscriber: [to], deliver: [a/s], found: [a.go]}"),
	 "f:9: deliveries: expected a map"},
};

static void rows_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct osp_catalogue *c = NULL;
		struct osp_catalogue_error error = {""};
		int r;

		assert_int_equal(osp_catalogue_new(&c), 0);
		r = osp_catalogue_add(c, "f", rows[i].text, strlen(rows[i].text), &error);
		if (r != -EINVAL || strcmp(error.text, rows[i].message) != 0)
			print_error("%s: %d %s\n", rows[i].what, r, error.text);
		assert_int_equal(r, -EINVAL);
		assert_string_equal(error.text, rows[i].message);
		osp_catalogue_free(&c);
	}
}

static void parts_are_found_by_their_names(void **state)
{
	static const char text[] = DELIVERIES(
		"{publish: [a], subscriber: [no, to], deliver: [a/s], found: {far: [a.go]}, confirmed: [a.end]}");
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error = {""};
	const struct osp_deliveries *d;

	(void)state;
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(osp_catalogue_add(c, "f", text, strlen(text), &error), 0);
	assert_int_equal(c->deliveries_count, 1);
	d = c->deliveries[0];
	assert_int_equal(d->publish_count, 1);
	assert_ptr_equal(d->publishes[0], c->operations[0]);
	assert_int_equal(d->span_count, 1);
	assert_string_equal(d->spans[0].kind, "s");
	assert_string_equal(d->spans[0].subscriber, "p.to");
	assert_int_equal(d->point_count, 2);
	assert_string_equal(d->points[0].point->name, "go");
	assert_int_equal(d->points[0].role, OSP_ROLE_FOUND);
	assert_string_equal(d->points[0].label, "far");
	assert_string_equal(d->points[1].point->name, "end");
	assert_int_equal(d->points[1].role, OSP_ROLE_CONFIRMED);
	assert_null(d->points[1].label);
	osp_catalogue_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_refused),
		cmocka_unit_test(parts_are_found_by_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
