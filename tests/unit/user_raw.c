/* Raw captures: what is written is read again, and no damaged file does harm. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/raw.h"

static const char text[] = "provider: tiny\n"
			   "abi: 1\n"
			   "operations:\n"
			   "  work:\n"
			   "    by: op\n"
			   "    kind: INTERNAL\n"
			   "    name: \"work {label}\"\n"
			   "    timeout: 1s\n"
			   "    points:\n"
			   "      begun: {level: essential, args: {label: {type: str, max: 16}}}\n"
			   "      done: {level: essential}\n"
			   "    start: Idle\n"
			   "    states:\n"
			   "      Idle: {begun: Busy}\n"
			   "      Busy: {done: {end: ok}}\n";

static struct osp_catalogue *tiny(void)
{
	struct osp_catalogue_error error;
	struct osp_catalogue *c;

	assert_int_equal(osp_catalogue_new(&c), 0);
	if (osp_catalogue_add(c, "tiny.yaml", text, strlen(text), &error))
		fail_msg("%s", error.text);
	return c;
}

struct record {
	struct osp_record head;
	uint8_t data[64]; /* as the kernel reserves it: more than the record holds */
};

static const struct record record = {
	.head = {.kind = OSP_RECORD_STEP,
		 .data_size = 16,
		 .time_ns = 12345,
		 .pid = 7,
		 .process = 3,
		 .op_id = 0x10000},
	.data = {5, 0, 0, 0, 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'},
};

static const struct osp_numbers numbers = {.point = {3, 2, 1, [1023] = 7}};

/* One input of every kind. */
static size_t all_inputs(struct osp_input inputs[16])
{
	const struct osp_input all[] = {
		{.kind = OSP_INPUT_SETTING, .time_ns = 1, .setting = {"version", ""}},
		{.kind = OSP_INPUT_CLOCK, .time_ns = 2, .clock = {-5, 6}},
		{.kind = OSP_INPUT_STAMP, .time_ns = 2, .stamp = {1ull << 63, 8, 9}},
		{.kind = OSP_INPUT_PROCESS,
		 .time_ns = 3,
		 .process = {1, 2, 3, 4, 5, 6, 7, "comm", "/bin/exe", "exe -x 'y z'"}},
		{.kind = OSP_INPUT_SITES, .time_ns = 4, .sites = {1, 2, 3, true, true}},
		{.kind = OSP_INPUT_ATTACH, .time_ns = 5, .attach = {UINT32_MAX, true, false}},
		{.kind = OSP_INPUT_DISCARD,
		 .time_ns = 10,
		 .record = &record.head,
		 .size = sizeof(record)},
		{.kind = OSP_INPUT_RECORD,
		 .time_ns = 6,
		 .record = &record.head,
		 .size = sizeof(record)},
		{.kind = OSP_INPUT_TICK, .time_ns = 7},
		{.kind = OSP_INPUT_COUNTERS,
		 .time_ns = 8,
		 .counters = {1, 2, {.hits = 10, .lost = {1, 2, 3}}}},
		{.kind = OSP_INPUT_NUMBERS, .time_ns = 8, .numbers = {5, &numbers}},
		{.kind = OSP_INPUT_STOP, .time_ns = 9},
	};

	memcpy(inputs, all, sizeof(all));
	return sizeof(all) / sizeof(all[0]);
}

static FILE *written(void)
{
	struct osp_catalogue *c = tiny();
	struct osp_input inputs[16];
	size_t count = all_inputs(inputs);
	FILE *file = tmpfile();
	struct osp_raw *raw;

	assert_int_equal(osp_raw_create(&raw, file, c), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(osp_raw_write(raw, &inputs[i]), 0);
	osp_raw_free(&raw);
	osp_catalogue_free(&c);
	rewind(file);
	return file;
}

static void check_input(const struct osp_input *got, const struct osp_input *in)
{
	assert_int_equal(got->kind, in->kind);
	assert_int_equal(got->time_ns, in->time_ns);
	switch (in->kind) {
	case OSP_INPUT_RECORD:
	case OSP_INPUT_DISCARD:
		assert_int_equal(got->size, sizeof(struct osp_record) + 16);
		assert_memory_equal(got->record, in->record, got->size);
		break;
	case OSP_INPUT_PROCESS:
		assert_int_equal(got->process.slot, 1);
		assert_int_equal(got->process.pid, 2);
		assert_int_equal(got->process.namespace_pid, 3);
		assert_int_equal(got->process.uid, 4);
		assert_int_equal(got->process.exec_id, 5);
		assert_int_equal(got->process.parent_pid, 6);
		assert_int_equal(got->process.start_ns, 7);
		assert_string_equal(got->process.comm, "comm");
		assert_string_equal(got->process.exe, "/bin/exe");
		assert_string_equal(got->process.cmdline, "exe -x 'y z'");
		break;
	case OSP_INPUT_SITES:
		assert_int_equal(got->sites.slot, 1);
		assert_int_equal(got->sites.point, 2);
		assert_int_equal(got->sites.sites, 3);
		assert_true(got->sites.attached);
		assert_true(got->sites.fires);
		break;
	case OSP_INPUT_ATTACH:
		assert_int_equal(got->attach.slot, UINT32_MAX);
		assert_true(got->attach.detach);
		assert_false(got->attach.begins);
		break;
	case OSP_INPUT_COUNTERS:
		assert_int_equal(got->counters.slot, 1);
		assert_int_equal(got->counters.point, 2);
		assert_memory_equal(&got->counters.counter, &in->counters.counter,
				    sizeof(in->counters.counter));
		break;
	case OSP_INPUT_STAMP:
		assert_true(got->stamp.stamp == 1ull << 63);
		assert_int_equal(got->stamp.low_ns, 8);
		assert_int_equal(got->stamp.high_ns, 9);
		break;
	case OSP_INPUT_CLOCK:
		assert_int_equal(got->clock.wall_ns, -5);
		assert_int_equal(got->clock.error_ns, 6);
		break;
	case OSP_INPUT_SETTING:
		assert_string_equal(got->setting.name, "version");
		assert_string_equal(got->setting.value, "");
		break;
	case OSP_INPUT_NUMBERS:
		assert_int_equal(got->numbers.table, 5);
		assert_memory_equal(got->numbers.numbers, &numbers, sizeof(numbers));
		break;
	case OSP_INPUT_TICK:
	case OSP_INPUT_STOP:
		break;
	}
}

static void every_kind_of_input_comes_back(void **state)
{
	struct osp_catalogue_error error;
	struct osp_input inputs[16], got;
	size_t count = all_inputs(inputs);
	FILE *file = written();
	struct osp_raw *raw;

	(void)state;
	assert_int_equal(osp_raw_open(&raw, file, &error), 0);
	assert_int_equal(osp_raw_catalogue(raw)->operation_count, 1);
	assert_string_equal(osp_raw_catalogue(raw)->names[0], "tiny.yaml");
	assert_string_equal(osp_raw_catalogue(raw)->texts[0], text);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(osp_raw_read(raw, &got), 0);
		check_input(&got, &inputs[i]);
	}
	assert_int_equal(osp_raw_read(raw, &got), 1);
	assert_int_equal(osp_raw_read(raw, &got), 1);
	osp_raw_free(&raw);
	fclose(file);
}

/* The bytes of a capture, as they are or changed. */
static size_t take_bytes(uint8_t bytes[8192])
{
	FILE *file = written();
	size_t size = fread(bytes, 1, 8192, file);

	fclose(file);
	assert_true(size > 600 && size < 8192);
	return size;
}

/* Reads to the end. Returns what ended it. */
static int read_all(uint8_t *bytes, size_t size, size_t *inputs)
{
	FILE *file = fmemopen(bytes, size, "r");
	struct osp_catalogue_error error;
	struct osp_raw *raw;
	struct osp_input in;
	int r = osp_raw_open(&raw, file, &error);

	*inputs = 0;
	if (!r) {
		while (!(r = osp_raw_read(raw, &in)))
			++*inputs;
		osp_raw_free(&raw);
	} else {
		assert_true(strlen(error.text) > 0);
	}
	fclose(file);
	return r;
}

static void a_file_cut_anywhere_gives_what_is_whole(void **state)
{
	uint8_t bytes[8192];
	size_t size = take_bytes(bytes), inputs, most = 0, whole = 0;

	(void)state;
	for (size_t cut = 1; cut < size; cut++) {
		int r = read_all(bytes, cut, &inputs);

		assert_true(r == 1 || r == -ENODATA || r == -EBADMSG);
		assert_true(inputs >= most);
		whole += r == 1;
		most = inputs;
	}
	/* Whole are: nothing behind the catalogue, and all but the last input, and so on. */
	assert_int_equal(whole, 13);
	assert_int_equal(read_all(bytes, size, &inputs), 1);
	assert_int_equal(inputs, 12);
}

static void a_byte_changed_anywhere_does_no_harm(void **state)
{
	uint8_t bytes[8192];
	size_t size = take_bytes(bytes), inputs;

	(void)state;
	for (size_t at = 0; at < size; at++) {
		uint8_t was = bytes[at];

		bytes[at] = 0xff;
		read_all(bytes, size, &inputs);
		bytes[at] = (uint8_t)(was ^ 1);
		read_all(bytes, size, &inputs);
		bytes[at] = was;
	}
}

static void other_files_are_told_apart(void **state)
{
	uint8_t bytes[8192], other[8192] = "SQLite format 3";
	size_t size = take_bytes(bytes), inputs;

	(void)state;
	assert_int_equal(read_all(other, sizeof(other), &inputs), -EBADMSG);
	bytes[8] = 1;
	assert_int_equal(read_all(bytes, size, &inputs), -ENOTSUP);
	bytes[8] = 2;
	bytes[12] = 1;
	assert_int_equal(read_all(bytes, size, &inputs), -ENOTSUP);
}

static void an_entry_that_claims_too_much_is_refused(void **state)
{
	uint8_t bytes[8192];
	size_t size = take_bytes(bytes), inputs;
	uint32_t huge = 0xfffffff0, large = 4 << 20;

	(void)state;
	memcpy(bytes + 16, &huge, sizeof(huge));
	assert_int_equal(read_all(bytes, size, &inputs), -EBADMSG);
	memcpy(bytes + 16, &large, sizeof(large));
	assert_int_equal(read_all(bytes, size, &inputs), -EBADMSG);
}

static void a_full_disk_is_an_error(void **state)
{
	struct osp_catalogue *c = tiny();
	FILE *full = fopen("/dev/full", "w");
	struct osp_raw *raw = NULL;

	(void)state;
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(osp_raw_create(&raw, full, c), -ENOSPC);
	assert_null(raw);
	fclose(full);
	osp_catalogue_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_input_comes_back),
		cmocka_unit_test(a_file_cut_anywhere_gives_what_is_whole),
		cmocka_unit_test(a_byte_changed_anywhere_does_no_harm),
		cmocka_unit_test(other_files_are_told_apart),
		cmocka_unit_test(an_entry_that_claims_too_much_is_refused),
		cmocka_unit_test(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
