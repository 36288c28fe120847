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
	.header = 0,
	.provider = "mine",
	.name = "own",
	.args = {{.name = "word", .type = OSP_TYPE_STR, .max = 16},
		 {.name = "count", .type = OSP_TYPE_UINT, .bytes = 4},
		 {.name = "context", .type = OSP_TYPE_CONTEXT_OUT},
		 {.name = "delta", .type = OSP_TYPE_INT, .bytes = 8}},
	.arg_count = 4,
};
static struct osp_point plain = {
	.number = 1,
	.header = 1,
	.provider = "mine",
	.name = "plain",
	.args = {{.name = "error", .type = OSP_TYPE_INT, .bytes = 4}},
	.arg_count = 1,
};
static struct osp_point foreign = {
	.number = 2,
	.provider = "theirs",
	.name = "foreign",
	.foreign = true,
	.args = {{.name = "text", .type = OSP_TYPE_STR, .max = 8, .source = 1},
		 {.name = "size", .type = OSP_TYPE_UINT, .bytes = 2, .source = 2},
		 {.name = "body", .type = OSP_TYPE_BYTES, .max = 8, .source = 3, .length = 2},
		 {.name = "small", .type = OSP_TYPE_INT, .bytes = 1, .source = 4},
		 {.name = "flag", .type = OSP_TYPE_BOOL, .source = 5}},
	.arg_count = 5,
};
static struct osp_point spill = {
	.number = 3, .header = 2, .provider = "mine", .name = "spill", .spill = true};
static struct osp_point *points[] = {&own, &plain, &foreign, &spill};
static const struct osp_catalogue catalogue = {.points = points, .point_count = 4};
static struct osp_numbers_set *numbers;

static struct {
	struct osp_record record;
	uint64_t data[64];
} bytes;

static size_t used;

static void begin(uint16_t kind, uint32_t point)
{
	memset(&bytes, 0, sizeof(bytes));
	bytes.record =
		(struct osp_record){.kind = kind, .point = point, .time_ns = 77, .op_id = 0x50000};
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

static int start(struct osp_decoder *d, size_t size)
{
	static struct osp_stamps stamps;
	static struct osp_decode_with with;

	osp_stamps_init(&stamps);
	with = (struct osp_decode_with){&catalogue, numbers, &stamps};
	return osp_decode_start(d, &with, &bytes.record, size, (int64_t)bytes.record.time_ns);
}

static int decode_size(struct osp_event *e, size_t size)
{
	struct osp_decoder d;
	int r = start(&d, size);

	if (!r)
		r = osp_decode_next(&d, e);
	if (!r)
		assert_int_equal(osp_decode_next(&d, e), 1);
	return r;
}

/* The head of a step; its size is told by end_step. */
static size_t begin_step(uint32_t sequence, uint16_t number, uint32_t flags)
{
	struct osp_record_step s = {.stamp = 1000 + sequence,
				    .sequence = sequence,
				    .number = number,
				    .nested = 9,
				    .flags = flags};
	size_t at = used;

	add(&s, sizeof(s));
	return at;
}

static void end_step(size_t at)
{
	struct osp_record_step *s = (struct osp_record_step *)((uint8_t *)bytes.data + at);

	s->size = (uint32_t)(used - at - sizeof(*s));
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

	size_t at;

	begin(OSP_RECORD_STEP, 0);
	at = begin_step(0, 0, OSP_STEP_FIRED);
	add_sized(20, 5, "hello");
	add_u64(42);
	add_sized(25, 32, (const char *)&context);
	add_u64((uint64_t)-3);
	end_step(at);
}

static void own_arguments_are_read_as_they_lie_in_the_block(void **state)
{
	struct osp_event e;

	(void)state;
	fill_own();
	assert_int_equal(decode(&e), 0);

	assert_ptr_equal(e.point, &own);
	assert_int_equal(e.time_ns, 77);
	assert_int_equal(e.op_id, 0x50000);
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
	size_t at;

	(void)state;
	begin(OSP_RECORD_STEP, 0);
	at = begin_step(0, 0, 0);
	add_sized(0, 0, "");
	add_u64(0);
	add_sized(0, 0, "");
	add_u64(0);
	end_step(at);
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
	end_step(0);
	assert_int_equal(decode(&e), -EBADMSG);
	used = whole;
	end_step(0);
	bytes.record.data_size = (int32_t)whole;
	assert_int_equal(decode_size(&e, sizeof(bytes.record) + whole - 1), -EBADMSG);
	assert_int_equal(decode_size(&e, sizeof(bytes.record) - 1), -EBADMSG);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	static const uint32_t sizes[][2] = {
		{17, 17}, {4, 5}, {UINT32_MAX, UINT32_MAX}, {0, 0xfffffff9}};
	struct osp_event e;
	size_t at;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		fill_own();
		memcpy(bytes.data + 3, sizes[i], sizeof(sizes[i]));
		assert_int_equal(decode(&e), -EBADMSG);
	}
	begin(OSP_RECORD_STEP, 0);
	at = begin_step(0, 0, 0);
	add_sized(0, 0, "");
	add_u64(0);
	add_sized(25, 24, "123456789012345678901234");
	add_u64(0);
	end_step(at);
	assert_int_equal(decode(&e), -EBADMSG);
}

static void unknown_points_and_kinds_are_refused(void **state)
{
	struct osp_event e;

	(void)state;
	begin(OSP_RECORD_STEP, 4);
	assert_int_equal(decode(&e), -EBADMSG);
	begin(OSP_RECORD_STEP, 2);
	assert_int_equal(decode(&e), -EBADMSG);
	begin(OSP_RECORD_FOREIGN, 1);
	assert_int_equal(decode(&e), -EBADMSG);
	begin(OSP_RECORD_EXIT, 1);
	assert_int_equal(decode(&e), -EBADMSG);
}

/* ---- many steps in one record ---- */

/* Two plain steps and a third that traps: sequences 4, 5 and 6. */
static void fill_block(void)
{
	static const uint16_t number[] = {1, 1, 1};

	begin(OSP_RECORD_STEP, 1);
	bytes.record.sequence = 6;
	bytes.record.flags = OSP_RECORD_CLEARED;
	bytes.record.stamp = 1006;
	bytes.record.time_ns = 5000;
	for (uint32_t i = 0; i < 3; i++) {
		size_t at = begin_step(4 + i, number[i], i == 1 ? OSP_STEP_FIRED : 0);

		add_u64(100 + i);
		end_step(at);
	}
}

struct decoded {
	int results[8];
	struct osp_event events[8];
	size_t count;
	bool trapped;
};

/* Everything that comes of the record. */
static void decode_all(struct decoded *all)
{
	struct osp_decoder d;
	int r;

	bytes.record.data_size = (int32_t)used;
	memset(all, 0, sizeof(*all));
	assert_int_equal(start(&d, sizeof(bytes.record) + used), 0);
	while ((r = osp_decode_next(&d, &all->events[all->count])) <= 0) {
		all->results[all->count++] = r;
		assert_true(all->count < 8);
	}
	assert_int_equal(r, 1);
	all->trapped = d.trapped;
}

static struct osp_record_step *step_at(size_t i)
{
	return (struct osp_record_step *)((uint8_t *)bytes.data + i * 32);
}

static void carried_steps_come_before_the_one_that_trapped(void **state)
{
	struct decoded all;

	(void)state;
	fill_block();
	decode_all(&all);
	assert_int_equal(all.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct osp_event *e = &all.events[i];

		assert_int_equal(all.results[i], 0);
		assert_ptr_equal(e->point, &plain);
		assert_int_equal(e->sequence, 4 + i);
		assert_int_equal(e->nested, 9);
		assert_int_equal(e->values[0].i64, 100 + i);
		assert_int_equal(e->trapped, i == 2);
		assert_int_equal(e->fired, i == 1);
		assert_int_equal(e->time_ns, 4998 + i);
		assert_true(e->whole);
	}
	assert_true(all.trapped);
}

static void a_full_block_brings_steps_of_which_none_trapped(void **state)
{
	struct decoded all;

	(void)state;
	fill_block();
	bytes.record.point = 3;
	bytes.record.sequence = 7;
	decode_all(&all);
	assert_int_equal(all.count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_false(all.events[i].trapped);
	assert_false(all.trapped);
	used = 0;
	decode_all(&all);
	assert_int_equal(all.count, 0);
}

static void a_step_that_makes_no_sense_spares_the_others(void **state)
{
	struct decoded all;

	(void)state;
	fill_block();
	step_at(1)->number = 7; /* nobody's */
	decode_all(&all);
	assert_int_equal(all.count, 3);
	assert_int_equal(all.results[1], -EBADMSG);
	assert_null(all.events[1].point);
	assert_int_equal(all.results[2], 0);
	fill_block();
	step_at(1)->number = 2; /* spill is no step */
	decode_all(&all);
	assert_null(all.events[1].point);
	fill_block();
	step_at(0)->number = 0; /* with other arguments */
	decode_all(&all);
	assert_int_equal(all.results[0], -EBADMSG);
	assert_ptr_equal(all.events[0].point, &own);
	assert_int_equal(all.results[1], 0);
	assert_true(all.trapped);
}

static void behind_a_head_that_makes_no_sense_there_is_nothing(void **state)
{
	static const uint32_t sizes[] = {1, 4, 7, 9, 1u << 31, UINT32_MAX, UINT32_MAX - 7, 96};
	struct decoded all;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fill_block();
		step_at(1)->size = sizes[i];
		decode_all(&all);
		assert_int_equal(all.count, 2);
		assert_int_equal(all.results[0], 0);
		assert_int_equal(all.results[1], -EBADMSG);
		assert_false(all.trapped);
	}
	for (uint32_t sequence = 0; sequence < 5; sequence++) { /* must rise */
		fill_block();
		step_at(1)->sequence = sequence;
		decode_all(&all);
		assert_int_equal(all.count, 2);
		assert_null(all.events[1].point);
	}
	fill_block();
	step_at(1)->sequence = 7; /* behind the one that trapped */
	decode_all(&all);
	assert_int_equal(all.count, 2);
	for (size_t cut = 1; cut < 96; cut++) { /* the end is missing */
		fill_block();
		used = cut;
		decode_all(&all);
		assert_int_equal(all.count, cut / 32 + (cut % 32 > 0));
		assert_false(all.trapped);
	}
}

static void a_table_says_which_points_the_numbers_are(void **state)
{
	struct osp_numbers table = {.point = {[1] = 1, [9] = 2, [10] = 3, [11] = 4, [12] = 900}};
	struct decoded all;

	(void)state;
	osp_numbers_add(numbers, 5, &table);
	fill_block();
	bytes.record.numbers = 5;
	step_at(0)->number = 9;
	step_at(1)->number = 1023;
	decode_all(&all);
	assert_ptr_equal(all.events[0].point, &plain);
	assert_null(all.events[1].point);
	assert_ptr_equal(all.events[2].point, &plain);
	for (uint16_t number = 10; number <= 12; number++) { /* foreign, spill, none */
		fill_block();
		bytes.record.numbers = 5;
		step_at(0)->number = number;
		decode_all(&all);
		assert_null(all.events[0].point);
	}
	fill_block();
	bytes.record.numbers = 6; /* never told: the loaded catalogue's */
	decode_all(&all);
	assert_ptr_equal(all.events[0].point, &plain);
	bytes.record.numbers = UINT16_MAX;
	decode_all(&all);
	assert_ptr_equal(all.events[0].point, &plain);
	osp_numbers_add(numbers, UINT32_MAX, &table);
	osp_numbers_add(numbers, OSP_EVENT_NUMBERS, &table);
}

static int make_numbers(void **state)
{
	(void)state;
	return osp_numbers_new(&numbers, &catalogue);
}

static int free_numbers(void **state)
{
	(void)state;
	osp_numbers_free(&numbers);
	return 0;
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

/* ---- times ---- */

static struct osp_stamps clocks;

/* The counter counts ns, and stood at 0 when boot time was 5000. */
static void begin_times(uint64_t before_ns, uint64_t stamp)
{
	osp_stamps_init(&clocks);
	osp_stamps_add(&clocks, 1000, 6000, 6000);
	osp_stamps_add(&clocks, 1001000, 1006000, 1006000);
	begin(OSP_RECORD_STEP, 1);
	bytes.record.flags = OSP_RECORD_UNTIMED;
	bytes.record.time_ns = before_ns;
	bytes.record.stamp = stamp;
	bytes.record.sequence = 2;
}

static struct osp_decode_with with_clocks(void)
{
	return (struct osp_decode_with){&catalogue, numbers, &clocks};
}

/* When the record was made, that was in the ring at seen_ns. */
static int64_t record_time(int64_t seen_ns)
{
	struct osp_decode_with with = with_clocks();

	return osp_decode_time(&with, &bytes.record, seen_ns);
}

/* The time of its only step, or of the first of those that it carries. */
static int64_t step_time(int64_t seen_ns)
{
	struct osp_decode_with with = with_clocks();
	struct osp_decoder d;
	struct osp_event e;

	bytes.record.data_size = (int32_t)used;
	assert_int_equal(osp_decode_start(&d, &with, &bytes.record, sizeof(bytes.record) + used,
					  record_time(seen_ns)),
			 0);
	assert_int_equal(osp_decode_next(&d, &e), 0);
	return e.time_ns;
}

static void what_has_no_time_of_its_own_was_made_when_its_stamp_says(void **state)
{
	(void)state;
	begin_times(2000000, 2100000);
	assert_int_equal(record_time(3000000), 2105000);
	assert_int_equal(step_time(3000000), 2105000);
	/* What has one keeps it, whatever its stamp says. */
	bytes.record.flags = 0;
	assert_int_equal(record_time(3000000), 2000000);
}

/* A program may stamp what it likes. */
static void a_stamp_of_the_future_is_no_later_than_the_record_was_seen(void **state)
{
	(void)state;
	begin_times(2000000, 1ull << 62);
	assert_int_equal(record_time(3000000), 3000000);
	assert_int_equal(step_time(3000000), 3000000);
	bytes.record.stamp = UINT64_MAX;
	assert_int_equal(record_time(3000000), 3000000);
}

static void carried_steps_are_no_later_than_that_either(void **state)
{
	size_t at;

	(void)state;
	begin_times(2000000, UINT64_MAX);
	at = begin_step(1, 1, 0);
	bytes.data[0] = UINT64_MAX - 1; /* its stamp */
	add_u64(0);
	end_step(at);
	assert_int_equal(step_time(3000000), 3000000);
}

/* The step is of whatever past it claims; the record, and what was lost before it, is not. */
static void a_stamp_of_the_past_leaves_the_record_behind_the_one_before(void **state)
{
	(void)state;
	begin_times(2000000, 1);
	assert_int_equal(record_time(3000000), 2000000);
	assert_int_equal(step_time(3000000), 5001);
}

static void a_stamp_that_stands_still_does_not_stop_the_records(void **state)
{
	(void)state;
	for (uint64_t before = 2000000; before < 9000000; before += 1000000) {
		begin_times(before, 2500000);
		assert_int_equal(record_time((int64_t)before + 900000),
				 before > 2000000 ? (int64_t)before : 2505000);
	}
}

/* Times of a damaged capture: the record's own stands. */
static void a_record_is_not_seen_before_it_was_there(void **state)
{
	(void)state;
	begin_times(2000000, 2100000);
	assert_int_equal(record_time(7), 2000000);
}

/* A record before it would contradict every stamp behind that. */
static void only_records_with_a_time_of_their_own_calibrate(void **state)
{
	(void)state;
	begin_times(2000000, 2100000);
	step_time(3000000);
	assert_int_equal(clocks.contradictions, 0);
	assert_true(clocks.envelope_ns == INT64_MAX);
	bytes.record.flags = 0;
	step_time(3000000);
	assert_int_equal(clocks.contradictions, 1);
}

/* It is nothing doubtful. */
static void a_flush_without_a_time_of_its_own_is_taken_at_once(void **state)
{
	static struct osp_run run;
	struct osp_decode_with with = with_clocks();
	struct osp_decoder d;

	(void)state;
	begin_times(2000000, 2100000);
	bytes.record.flags |= OSP_RECORD_CLEARED;
	for (uint32_t i = 1; i <= 2; i++) {
		size_t at = begin_step(i, 1, 0);

		add_u64(0);
		end_step(at);
	}
	bytes.record.data_size = (int32_t)used;
	assert_int_equal(osp_decode_start(&d, &with, &bytes.record, sizeof(bytes.record) + used,
					  record_time(3000000)),
			 0);
	assert_true(osp_decode_run(&d, &run));
	assert_int_equal(run.time_ns, 2105000);
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
		cmocka_unit_test(carried_steps_come_before_the_one_that_trapped),
		cmocka_unit_test(a_full_block_brings_steps_of_which_none_trapped),
		cmocka_unit_test(a_step_that_makes_no_sense_spares_the_others),
		cmocka_unit_test(behind_a_head_that_makes_no_sense_there_is_nothing),
		cmocka_unit_test(a_table_says_which_points_the_numbers_are),
		cmocka_unit_test(foreign_arguments_follow_their_table),
		cmocka_unit_test(foreign_values_that_were_cut_off_say_so),
		cmocka_unit_test(foreign_tables_that_point_outside_are_refused),
		cmocka_unit_test(what_has_no_time_of_its_own_was_made_when_its_stamp_says),
		cmocka_unit_test(a_stamp_of_the_future_is_no_later_than_the_record_was_seen),
		cmocka_unit_test(carried_steps_are_no_later_than_that_either),
		cmocka_unit_test(a_stamp_of_the_past_leaves_the_record_behind_the_one_before),
		cmocka_unit_test(a_stamp_that_stands_still_does_not_stop_the_records),
		cmocka_unit_test(a_record_is_not_seen_before_it_was_there),
		cmocka_unit_test(only_records_with_a_time_of_their_own_calibrate),
		cmocka_unit_test(a_flush_without_a_time_of_its_own_is_taken_at_once),
	};

	return cmocka_run_group_tests(tests, make_numbers, free_numbers);
}
