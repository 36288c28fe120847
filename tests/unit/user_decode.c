/* Records to events: both layouts, and nothing but the layout of the point. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/decode.h"

static struct osp_point own = {
	.number = 0,
	.name = "own",
	.args = {{.name = "word", .type = OSP_TYPE_STR, .max = 16},
		 {.name = "count", .type = OSP_TYPE_UINT, .bytes = 4},
		 {.name = "context", .type = OSP_TYPE_CONTEXT_OUT},
		 {.name = "delta", .type = OSP_TYPE_INT, .bytes = 8}},
	.arg_count = 4,
};
static struct osp_point plain = {
	.number = 1,
	.name = "plain",
	.args = {{.name = "error", .type = OSP_TYPE_INT, .bytes = 4}},
	.arg_count = 1,
};
static struct osp_point foreign = {
	.number = 2,
	.name = "foreign",
	.foreign = true,
	.args = {{.name = "text", .type = OSP_TYPE_STR, .max = 8, .source = 1},
		 {.name = "size", .type = OSP_TYPE_UINT, .bytes = 2, .source = 2},
		 {.name = "body", .type = OSP_TYPE_BYTES, .max = 8, .source = 3, .length = 2},
		 {.name = "small", .type = OSP_TYPE_INT, .bytes = 1, .source = 4},
		 {.name = "flag", .type = OSP_TYPE_BOOL, .source = 5}},
	.arg_count = 5,
};
static struct osp_point *points[] = {&own, &plain, &foreign};
static const struct osp_catalogue catalogue = {.points = points, .point_count = 3};

static struct {
	struct osp_record record;
	uint64_t data[64];
} bytes;

static size_t used;

static void begin(uint16_t kind, uint32_t point)
{
	memset(&bytes, 0, sizeof(bytes));
	bytes.record = (struct osp_record){.kind = kind, .point = point, .time_ns = 77, .op_id = 5};
	used = 0;
}

static void add(const void *data, size_t size)
{
	memcpy((uint8_t *)bytes.data + used, data, size);
	used += (size + 7) & ~(size_t)7;
}

static void add_u64(uint64_t value)
{
	add(&value, sizeof(value));
}

static void add_sized(uint32_t true_size, uint32_t kept, const char *data)
{
	uint32_t sizes[2] = {true_size, kept};

	add(sizes, sizeof(sizes));
	add(data, kept);
}

static int decode_size(struct osp_event *e, size_t size)
{
	struct osp_decoder d;
	int r = osp_decode_start(&d, &catalogue, &bytes.record, size);

	if (!r)
		r = osp_decode_next(&d, e);
	if (!r)
		assert_int_equal(osp_decode_next(&d, e), 1);
	return r;
}

static int decode(struct osp_event *e)
{
	bytes.record.data_size = (int32_t)used;
	return decode_size(e, sizeof(bytes.record) + used);
}

static void fill_own(void)
{
	static const struct osp_event_context context = {
		.trace_id = {1}, .span_id = {2}, .flags = 1};

	begin(OSP_RECORD_STEP, 0);
	add_sized(20, 5, "hello");
	add_u64(42);
	add_sized(25, 32, (const char *)&context);
	add_u64((uint64_t)-3);
}

static void own_arguments_are_read_as_they_lie_in_the_block(void **state)
{
	struct osp_event e;

	(void)state;
	fill_own();
	assert_int_equal(decode(&e), 0);

	assert_ptr_equal(e.point, &own);
	assert_int_equal(e.time_ns, 77);
	assert_int_equal(e.op_id, 5);
	assert_memory_equal(e.values[0].data, "hello", 5);
	assert_int_equal(e.values[0].size, 5);
	assert_int_equal(e.values[0].true_size, 20);
	assert_int_equal(e.values[1].u64, 42);
	assert_int_equal(e.values[2].size, 32);
	assert_true(e.values[2].present);
	assert_int_equal(e.values[3].i64, -3);
}

static void an_absent_context_is_not_present(void **state)
{
	struct osp_event e;

	(void)state;
	begin(OSP_RECORD_STEP, 0);
	add_sized(0, 0, "");
	add_u64(0);
	add_sized(0, 0, "");
	add_u64(0);
	assert_int_equal(decode(&e), 0);
	assert_true(e.values[0].present);
	assert_int_equal(e.values[0].size, 0);
	assert_false(e.values[2].present);
}

static void a_single_integer_comes_in_the_header(void **state)
{
	struct osp_event e;

	(void)state;
	begin(OSP_RECORD_STEP, 1);
	bytes.record.value = (uint64_t)-32;
	assert_int_equal(decode(&e), 0);
	assert_int_equal(e.values[0].i64, -32);
	bytes.record.value = 0xffffffe0; /* not sign-extended by whoever passed it */
	assert_int_equal(decode(&e), 0);
	assert_int_equal(e.values[0].i64, -32);
}

static void a_record_without_readable_arguments_is_a_step_without_values(void **state)
{
	struct osp_event e;

	(void)state;
	begin(OSP_RECORD_STEP, 0);
	bytes.record.data_size = -14;
	assert_int_equal(decode_size(&e, sizeof(bytes.record)), 0);
	for (size_t i = 0; i < 4; i++)
		assert_false(e.values[i].present);
}

static void every_other_layout_is_refused(void **state)
{
	struct osp_event e;
	size_t whole;

	(void)state;
	fill_own();
	whole = used;
	for (used = 0; used < whole; used++)
		assert_int_equal(decode(&e), -EBADMSG);
	used = whole + 8;
	assert_int_equal(decode(&e), -EBADMSG);
	used = whole;
	bytes.record.data_size = (int32_t)whole;
	assert_int_equal(decode_size(&e, sizeof(bytes.record) + whole - 1), -EBADMSG);
	assert_int_equal(decode_size(&e, sizeof(bytes.record) - 1), -EBADMSG);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	static const uint32_t sizes[][2] = {
		{17, 17}, {4, 5}, {UINT32_MAX, UINT32_MAX}, {0, 0xfffffff9}};
	struct osp_event e;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		fill_own();
		memcpy(bytes.data, sizes[i], sizeof(sizes[i]));
		assert_int_equal(decode(&e), -EBADMSG);
	}
	begin(OSP_RECORD_STEP, 0);
	add_sized(0, 0, "");
	add_u64(0);
	add_sized(25, 24, "123456789012345678901234");
	add_u64(0);
	assert_int_equal(decode(&e), -EBADMSG);
}

static void unknown_points_and_kinds_are_refused(void **state)
{
	struct osp_event e;

	(void)state;
	begin(OSP_RECORD_STEP, 3);
	assert_int_equal(decode(&e), -EBADMSG);
	begin(OSP_RECORD_STEP, 2);
	assert_int_equal(decode(&e), -EBADMSG);
	begin(OSP_RECORD_FOREIGN, 1);
	assert_int_equal(decode(&e), -EBADMSG);
	begin(OSP_RECORD_EXIT, 1);
	assert_int_equal(decode(&e), -EBADMSG);
}

/* Five values and their bytes; `text` and `body` are what was kept of them. */
static void fill_foreign(const char *text, uint64_t size, const char *body)
{
	struct osp_foreign_value values[5] = {
		{.value = 0x1000, .size = (int32_t)strlen(text), .offset = sizeof(values)},
		{.value = size, .size = 8},
		{.value = 0x2000, .size = (int32_t)strlen(body)},
		{.value = 0xdeadbe80, .size = 8},
		{.value = 256, .size = 8},
	};

	values[2].offset = (uint32_t)(sizeof(values) + strlen(text));
	begin(OSP_RECORD_FOREIGN, 2);
	bytes.record.value = 5;
	add(values, sizeof(values));
	memcpy((uint8_t *)bytes.data + used, text, strlen(text));
	memcpy((uint8_t *)bytes.data + used + strlen(text), body, strlen(body));
	used += strlen(text) + strlen(body);
}

static void foreign_arguments_follow_their_table(void **state)
{
	struct osp_event e;

	(void)state;
	fill_foreign("select", 0x10003, "abc");
	assert_int_equal(decode(&e), 0);
	assert_memory_equal(e.values[0].data, "select", 6);
	assert_int_equal(e.values[0].true_size, 6);
	assert_int_equal(e.values[1].u64, 3);
	assert_memory_equal(e.values[2].data, "abc", 3);
	assert_int_equal(e.values[3].i64, -128);
	assert_int_equal(e.values[4].u64, 1);
}

static void foreign_values_that_were_cut_off_say_so(void **state)
{
	struct osp_event e;

	(void)state;
	fill_foreign("123456789", 8, "12345678");
	assert_int_equal(decode(&e), 0);
	assert_int_equal(e.values[0].size, 8);
	assert_int_equal(e.values[0].true_size, 9);
	fill_foreign("12345678", 300, "12345678");
	assert_int_equal(decode(&e), 0);
	assert_int_equal(e.values[0].true_size, 8);
	assert_int_equal(e.values[2].size, 8);
	assert_int_equal(e.values[2].true_size, 300);
}

static void foreign_tables_that_point_outside_are_refused(void **state)
{
	struct osp_foreign_value *values = (struct osp_foreign_value *)bytes.data;
	struct osp_event e;

	(void)state;
	fill_foreign("text", 1, "b");
	values[2].offset = UINT32_MAX;
	assert_int_equal(decode(&e), -EBADMSG);
	fill_foreign("text", 1, "b");
	values[0].size = 10;
	assert_int_equal(decode(&e), -EBADMSG);
	fill_foreign("text", 1, "b");
	bytes.record.value = 4;
	assert_int_equal(decode(&e), -EBADMSG);
	bytes.record.value = UINT64_MAX;
	assert_int_equal(decode(&e), -EBADMSG);
	fill_foreign("text", 1, "b");
	values[0].size = -14;
	assert_int_equal(decode(&e), 0);
	assert_false(e.values[0].present);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_arguments_are_read_as_they_lie_in_the_block),
		cmocka_unit_test(an_absent_context_is_not_present),
		cmocka_unit_test(a_single_integer_comes_in_the_header),
		cmocka_unit_test(a_record_without_readable_arguments_is_a_step_without_values),
		cmocka_unit_test(every_other_layout_is_refused),
		cmocka_unit_test(sizes_that_cannot_be_are_refused),
		cmocka_unit_test(unknown_points_and_kinds_are_refused),
		cmocka_unit_test(foreign_arguments_follow_their_table),
		cmocka_unit_test(foreign_values_that_were_cut_off_say_so),
		cmocka_unit_test(foreign_tables_that_point_outside_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
