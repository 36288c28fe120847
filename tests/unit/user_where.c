/* Predicates on arguments, on a small catalogue: what they mean, and what is said of those wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "user/where.h"

static const char yaml[] =
	"provider: shop\n"
	"abi: 1\n"
	"enums: {answer: {OK: 1, REFUSED: 2}}\n"
	"operations:\n"
	"  sell:\n"
	"    side: till\n"
	"    layer: shop\n"
	"    kind: SERVER\n"
	"    name: sell\n"
	"    timeout: 1s\n"
	"    points:\n"
	"      asked: {level: essential, args: {size: {type: u16}, what: {type: str, max: 8}}}\n"
	"      done: {level: essential, args: {answer: {type: answer}, left: {type: i32}, fast: {type: bool}}}\n"
	"    start: A\n"
	"    states: {A: {asked: B}, B: {done: {end: ok}}}\n"
	"  buy:\n"
	"    side: shelf\n"
	"    layer: shop\n"
	"    kind: CLIENT\n"
	"    name: buy\n"
	"    timeout: 1s\n"
	"    points:\n"
	"      asked: {level: essential, args: {size: {type: u64}}}\n"
	"      empty: {level: essential}\n"
	"    start: A\n"
	"    states: {A: {asked: B}, B: {empty: {end: ok}}}\n";

static struct osp_catalogue *catalogue;
static struct osp_where_table table;
static char error[512];

static int set_up(void **state)
{
	struct osp_catalogue_error e = {""};
	int r = osp_catalogue_new(&catalogue);

	(void)state;
	r = r ? r : osp_catalogue_add(catalogue, "shop.yaml", yaml, strlen(yaml), &e);
	if (r)
		print_error("%s\n", e.text);
	return r;
}

static int tear_down(void **state)
{
	(void)state;
	osp_catalogue_free(&catalogue);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	memset(&table, 0, sizeof(table));
	*error = 0;
	return 0;
}

static int add(const char *text)
{
	return osp_where_add(&table, catalogue, text, error);
}

static const struct osp_point *point(const char *probe)
{
	const struct osp_point *p = osp_catalogue_find_point(catalogue, "shop", probe);

	assert_non_null(p);
	return p;
}

/* A step with these values: of the first arguments, in their order. */
static bool holds(const char *probe, int64_t a, int64_t b, int64_t c)
{
	struct osp_event e = {.point = point(probe)};
	int64_t values[] = {a, b, c};

	for (size_t i = 0; i < e.point->arg_count; i++)
		e.values[i] = (struct osp_event_value){.i64 = values[i], .present = true};
	return osp_where_holds(&table, &e);
}

static void an_unsigned_argument_is_compared(void **state)
{
	static const struct {
		const char *text;
		bool less, equal, more;
	} rows[] = {
		{"sell.asked.size == 7", false, true, false},
		{"sell.asked.size=7", false, true, false},
		{"sell.asked.size != 7", true, false, true},
		{"sell.asked.size < 7", true, false, false},
		{"sell.asked.size <= 0x7", true, true, false},
		{" sell.asked.size>7 ", false, false, true},
		{"sell__asked.size >=\t7", false, true, true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(state);
		assert_int_equal(add(rows[i].text), 0);
		assert_int_equal(table.count, 1);
		assert_int_equal(holds("sell__asked", 6, 0, 0), rows[i].less);
		assert_int_equal(holds("sell__asked", 7, 0, 0), rows[i].equal);
		assert_int_equal(holds("sell__asked", 8, 0, 0), rows[i].more);
	}
}

static void a_signed_argument_has_negative_numbers(void **state)
{
	(void)state;
	assert_int_equal(add("done.left < -2"), 0);
	assert_true(holds("sell__done", 1, -3, 0));
	assert_false(holds("sell__done", 1, -2, 0));
	assert_false(holds("sell__done", 1, 2, 0));
	assert_int_equal(add("done.left >= -2147483648"), 0);
	assert_true(holds("sell__done", 1, -2147483648ll, 0));
}

static void units_names_and_truth_are_numbers_too(void **state)
{
	begin(state);
	assert_int_equal(add("buy.asked.size > 64K"), 0);
	assert_false(holds("buy__asked", 65536, 0, 0));
	assert_true(holds("buy__asked", 65537, 0, 0));
	begin(state);
	assert_int_equal(add("buy.asked.size <= 18446744073709551615"), 0);
	assert_true(holds("buy__asked", -1, 0, 0));
	begin(state);
	assert_int_equal(add("buy.asked.size < 2G"), 0);
	assert_false(holds("buy__asked", 1ll << 31, 0, 0));
	begin(state);
	assert_int_equal(add("done.answer != OK"), 0);
	assert_false(holds("sell__done", 1, 0, 0));
	assert_true(holds("sell__done", 2, 0, 0));
	begin(state);
	assert_int_equal(add("done.fast == true"), 0);
	assert_false(holds("sell__done", 1, 0, 0));
	assert_true(holds("sell__done", 1, 0, 1));
}

static void a_name_without_operation_means_all_its_points(void **state)
{
	begin(state);
	assert_int_equal(add("asked.size > 3"), 0);
	assert_int_equal(table.count, 2);
	assert_false(holds("sell__asked", 3, 0, 0));
	assert_false(holds("buy__asked", 3, 0, 0));
	assert_true(holds("buy__asked", 4, 0, 0));
}

static void all_terms_of_a_point_must_hold_and_only_its(void **state)
{
	begin(state);
	assert_int_equal(add("done.left < 9"), 0);
	assert_int_equal(add("sell.asked.size > 3"), 0);
	assert_int_equal(add("sell.asked.size < 5"), 0);
	assert_int_equal(table.count, 3);
	for (size_t i = 1; i < table.count; i++)
		assert_true(table.terms[i - 1].point <= table.terms[i].point);
	assert_true(holds("sell__asked", 4, 0, 0));
	assert_false(holds("sell__asked", 3, 0, 0));
	assert_false(holds("sell__asked", 5, 0, 0));
	assert_true(holds("buy__asked", 0, 0, 0));
	assert_true(holds("buy__empty", 0, 0, 0));
}

static void what_could_not_be_read_filters_nothing(void **state)
{
	struct osp_event e = {.point = point("sell__asked")};

	begin(state);
	assert_int_equal(add("asked.size > 3"), 0);
	assert_true(osp_where_holds(&table, &e));
}

static void mistakes_are_told_with_what_there_is(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "expected POINT.ARG"},
		{"asked.size", "expected POINT.ARG"},
		{"asked.size ~ 3", "expected POINT.ARG"},
		{"size > 3", "expected POINT.ARG"},
		{".size > 3", "expected POINT.ARG"},
		{"asked. > 3", "expected POINT.ARG"},
		{"asked.size >", "expected POINT.ARG"},
		{"aksed.size > 3", "has a point \"aksed\""},
		{"aksed.size > 3", "points with such an argument: asked"},
		{"give.asked.size > 3", "has a point \"give.asked\""},
		{"asked.price > 3", "asked.price is no argument - integers of this point: size"},
		{"asked.what > 3", "asked.what is no integer"},
		{"empty.size > 3", "the point has no integer"},
		{"asked.size > many", "\"many\" is no number"},
		{"asked.size > 3k", "\"3k\" is no number"},
		{"asked.size > 3 4", "\"3 4\" is no number"},
		{"asked.size > - 3", "is no number"},
		{"asked.size => 3", "\"> 3\" is no number"},
		{"done.answer == MAYBE", "none of OK, REFUSED"},
		{"done.fast == yes", "true or false"},
		{"sell.asked.size > -1",
		 "size can never be -1: it is an unsigned integer of 16 bits"},
		{"sell.asked.size < 65536", "can never be 65536"},
		{"done.left < 2147483648", "a signed integer of 32 bits"},
		{"buy.asked.size < 18446744073709551616", "can never be"},
		{"buy.asked.size < 17179869184G", "can never be"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(state);
		assert_int_equal(add(rows[i].text), -EINVAL);
		if (!strstr(error, rows[i].says))
			fail_msg("'%s': %s", rows[i].text, error);
		assert_int_equal(table.count, 0);
	}
}

static void long_text_and_too_many_terms_are_refused(void **state)
{
	char text[400];

	begin(state);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(add(text), -EINVAL);
	for (int i = 0; i < OSP_WHERE_TERMS - 1; i++)
		assert_int_equal(add("sell.asked.size > 3"), 0);
	/* two terms, of which one would fit: none is added */
	assert_int_equal(add("asked.size > 3"), -E2BIG);
	assert_int_equal(table.count, OSP_WHERE_TERMS - 1);
	assert_int_equal(add("sell.asked.size > 3"), 0);
	assert_int_equal(add("sell.asked.size > 3"), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_unsigned_argument_is_compared, begin),
		cmocka_unit_test_setup(a_signed_argument_has_negative_numbers, begin),
		cmocka_unit_test_setup(units_names_and_truth_are_numbers_too, begin),
		cmocka_unit_test_setup(a_name_without_operation_means_all_its_points, begin),
		cmocka_unit_test_setup(all_terms_of_a_point_must_hold_and_only_its, begin),
		cmocka_unit_test_setup(what_could_not_be_read_filters_nothing, begin),
		cmocka_unit_test_setup(mistakes_are_told_with_what_there_is, begin),
		cmocka_unit_test_setup(long_text_and_too_many_terms_are_refused, begin),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
