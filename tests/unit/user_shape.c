/* How the kernel side is told to read points, and a note's operands put in their order. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "user/shape.h"

static struct osp_arg integer(uint8_t source)
{
	return (struct osp_arg){.name = "n", .type = OSP_TYPE_UINT, .bytes = 8, .source = source};
}

static struct osp_arg text(uint8_t source, uint16_t max)
{
	return (struct osp_arg){.name = "t", .type = OSP_TYPE_STR, .max = max, .source = source};
}

static struct osp_arg bytes(uint8_t source, uint16_t max, uint8_t length)
{
	return (struct osp_arg){.name = "b",
				.type = OSP_TYPE_BYTES,
				.max = max,
				.source = source,
				.length = length};
}

static struct osp_point point(int foreign, size_t count, const struct osp_arg *args)
{
	struct osp_point p = {
		.provider = "p", .probe = "q", .foreign = foreign, .arg_count = count};

	memcpy(p.args, args, count * sizeof(*args));
	return p;
}

static void own_points_are_plain_with_one_integer_or_less(void **state)
{
	struct osp_arg f64 = {.name = "f", .type = OSP_TYPE_F64};
	struct osp_point none = point(0, 0, &f64),
			 one = point(0, 1, (struct osp_arg[]){integer(0)});
	struct osp_point two = point(0, 2, (struct osp_arg[]){integer(0), integer(0)});
	struct osp_point word = point(0, 1, (struct osp_arg[]){text(0, 8)}),
			 real = point(0, 1, &f64);
	struct osp_shape s;

	(void)state;
	assert_ok(osp_shape_fill(&s, &none));
	assert_int_equal(s.kind, OSP_SHAPE_PLAIN);
	assert_ok(osp_shape_fill(&s, &one));
	assert_int_equal(s.kind, OSP_SHAPE_PLAIN);
	assert_ok(osp_shape_fill(&s, &two));
	assert_int_equal(s.kind, OSP_SHAPE_BLOCK);
	assert_ok(osp_shape_fill(&s, &word));
	assert_int_equal(s.kind, OSP_SHAPE_BLOCK);
	assert_ok(osp_shape_fill(&s, &real));
	assert_int_equal(s.kind, OSP_SHAPE_BLOCK);
}

static void foreign_points_take_the_smallest_size_that_holds_them(void **state)
{
	struct osp_shape s;
	struct {
		struct osp_point p;
		int r, size;
	} cases[] = {
		{point(1, 1, (struct osp_arg[]){integer(1)}), 0, OSP_FOREIGN_INTEGERS},
		{point(1, 1, (struct osp_arg[]){text(1, 64)}), 0, OSP_FOREIGN_SHORT},
		{point(1, 1, (struct osp_arg[]){text(1, 256)}), 0, OSP_FOREIGN_ONE},
		{point(1, 3, (struct osp_arg[]){text(1, 256), text(2, 256), text(3, 256)}), 0,
		 OSP_FOREIGN_SOME},
		{point(1, 1, (struct osp_arg[]){bytes(1, 1024, 0)}), 0, OSP_FOREIGN_MANY},
		{point(1, 3, (struct osp_arg[]){text(1, 1024), text(2, 1024), text(3, 1024)}), 0,
		 OSP_FOREIGN_MANY},
		{point(1, 4,
		       (struct osp_arg[]){text(1, 1024), text(2, 1024), text(3, 1024),
					  text(4, 1024)}),
		 -E2BIG, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_err(cases[i].r, osp_shape_fill(&s, &cases[i].p));
		if (!cases[i].r)
			assert_int_equal(s.size, cases[i].size);
	}
}

static void a_byte_count_that_is_no_argument_gets_an_entry_of_its_own(void **state)
{
	struct osp_arg args[] = {bytes(3, 16, 2), integer(1), bytes(4, 16, 5), bytes(6, 8, 2)};
	struct osp_point p = point(1, 4, args);
	struct osp_site_spec note, spec;
	struct osp_shape s;

	(void)state;
	assert_ok(osp_shape_fill(&s, &p));
	assert_int_equal(s.arg[0].length, 5);
	assert_int_equal(s.arg[2].length, 6);
	assert_int_equal(s.arg[3].length, 5);
	for (int i = 0; i < 12; i++)
		note.arg[i].offset = i + 1;
	assert_ok(osp_shape_order(&spec, &p, &note, 6));
	assert_int_equal(spec.arg[0].offset, 3);
	assert_int_equal(spec.arg[1].offset, 1);
	assert_int_equal(spec.arg[2].offset, 4);
	assert_int_equal(spec.arg[3].offset, 6);
	assert_int_equal(spec.arg[4].offset, 2);
	assert_int_equal(spec.arg[5].offset, 5);
}

static void a_byte_count_that_is_an_argument_is_shared(void **state)
{
	struct osp_arg args[] = {integer(2), bytes(1, 16, 2)};
	struct osp_point p = point(1, 2, args);
	struct osp_shape s;

	(void)state;
	assert_ok(osp_shape_fill(&s, &p));
	assert_int_equal(s.arg[1].length, 1);
	assert_int_equal(s.arg[1].text, 0);
}

static void a_note_with_too_few_operands_is_refused(void **state)
{
	struct osp_point p = point(1, 2, (struct osp_arg[]){integer(1), bytes(2, 16, 3)});
	struct osp_site_spec note = {0}, spec;

	(void)state;
	assert_err(-ERANGE, osp_shape_order(&spec, &p, &note, 2));
	assert_ok(osp_shape_order(&spec, &p, &note, 3));
}

static void more_entries_than_there_are_is_refused(void **state)
{
	struct osp_arg args[12];
	struct osp_point p;
	struct osp_shape s;

	(void)state;
	for (uint8_t i = 0; i < 12; i++)
		args[i] = integer((uint8_t)(i + 1));
	args[11] = bytes(12, 16, 13);
	p = point(1, 12, args);
	assert_err(-E2BIG, osp_shape_fill(&s, &p));
}

RUN_TESTS(TEST(own_points_are_plain_with_one_integer_or_less),
	  TEST(foreign_points_take_the_smallest_size_that_holds_them),
	  TEST(a_byte_count_that_is_no_argument_gets_an_entry_of_its_own),
	  TEST(a_byte_count_that_is_an_argument_is_shared),
	  TEST(a_note_with_too_few_operands_is_refused),
	  TEST(more_entries_than_there_are_is_refused))
