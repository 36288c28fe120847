/* The bytes of a session file, written out by hand from store/pack.h and schema.sql. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/pack.h"
#include "store/store.h"

static const uint64_t id = 0x0001020304050000;

static const struct osp_attribute attributes[] = {
	{"n", {.type = OSP_VALUE_U64, .u64 = 5}},
	{"b", {.type = OSP_VALUE_BYTES, .data = "\xaa\xbb", .size = 2, .true_size = 2}},
};

static const struct osp_step steps[] = {
	{.time_ns = 1000, .name = "begin", .attribute_count = 1},
	{.time_ns = 1100, .name = "open", .span = 1, .first_attribute = 1},
	{.time_ns = 1200, .name = "shut", .span = 1, .attribute_count = 1, .first_attribute = 1},
	{.time_ns = 1300, .name = "done", .first_attribute = 2},
};

static struct osp_row_span spans[] = {
	{.kind_name = "work",
	 .name = "work a",
	 .kind = OSP_SPAN_SERVER,
	 .start_ns = 1000,
	 .end_ns = 1300,
	 .status = OSP_SPAN_OK},
	{.number = 1,
	 .kind_name = "part",
	 .name = "part",
	 .kind = OSP_SPAN_INTERNAL,
	 .start_ns = 1100,
	 .end_ns = 1200,
	 .status = OSP_SPAN_ERROR,
	 .code = "200",
	 .marks = OSP_MARK_MAY_BE_CUT},
};

static struct osp_part operation(uint64_t of)
{
	return (struct osp_part){.kind = OSP_PART_ROW,
				 .row = {.id = of,
					 .trace = of >> 16,
					 .process = 3,
					 .tid = 9,
					 .complete = true,
					 .spans = spans,
					 .span_count = 2,
					 .steps = steps,
					 .step_count = 4,
					 .attributes = attributes,
					 .attribute_count = 2}};
}

static char file[] = "/tmp/outspan-pack-XXXXXX";

static struct osp_store *begin(void)
{
	struct osp_store *s = NULL;
	char uri[64], error[512];

	strcpy(file + strlen(file) - 6, "XXXXXX");
	close(mkstemp(file));
	snprintf(uri, sizeof(uri), "sqlite:%s", file);
	assert_ok(osp_store_open(&s, uri, OSP_STORE_OVERWRITE, error));
	return s;
}

/* The one value of a query, as the shell shows it; the store stays open until `end`. */
static void assert_query(const char *sql, const char *expected)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;

	assert_ok(sqlite3_open(file, &db));
	assert_ok(sqlite3_prepare_v2(db, sql, -1, &st, NULL));
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), expected);
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void end(struct osp_store *s)
{
	assert_ok(osp_store_close(&s, true));
}

static void numbers_are_big_endian_at_every_width(void **state)
{
	static const uint8_t expected[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t bytes[9];

	(void)state;
	for (unsigned width = 1; width <= 8; width++) {
		memset(bytes, 0xee, sizeof(bytes));
		assert_ptr_equal(osp_pack_put(bytes, 0x0102030405060708, width), bytes + width);
		assert_memory_equal(bytes, expected + 9 - width, width);
		assert_int_equal(bytes[width], 0xee);
		assert_true(osp_pack_get(bytes, width) ==
			    (0x0102030405060708 & UINT64_MAX >> (64 - 8 * width)));
	}
}

static void an_operation_lies_as_the_schema_says(void **state)
{
	struct osp_store *s = begin();
	struct osp_part p = operation(id);

	(void)state;
	assert_ok(osp_store_write(s, &p, 1));
	end(s);
	/* id, origin, flags (complete, 3 bytes a time), start, times, slots */
	assert_query("SELECT hex(heads) FROM bundle", "0001020304050000"
						      "00000001"
						      "08"
						      "0000000000"
						      "0000"
						      "0000");
	assert_query("SELECT hex(times) FROM bundle", "000000"
						      "000064"
						      "0000C8"
						      "00012C");
	/* two names and a code: strings 1 to 3; the number 5; the bytes at 0 of the payload */
	assert_query("SELECT hex(slots) FROM bundle", "0001"
						      "0002"
						      "0003"
						      "0005"
						      "0000");
	assert_query("SELECT hex(payload) FROM bundle", "02"
							"AABB");
	assert_query("SELECT field_slot FROM shape", "3");
	/* number, parent, class, begin, end, marks, status, codings of name and code, slot */
	assert_query("SELECT hex(spans) FROM shape", "0000"
						     "0000"
						     "0000"
						     "FFFFFF"
						     "000003"
						     "0000"
						     "01"
						     "02"
						     "00"
						     "000000"
						     "0001"
						     "0000"
						     "0001"
						     "000001"
						     "000002"
						     "0004"
						     "02"
						     "02"
						     "02"
						     "000001");
	assert_query("SELECT hex(steps) FROM shape", "00000000"
						     "00010001"
						     "00020001"
						     "00030000");
	assert_query("SELECT hex(fields) FROM shape", "0000"
						      "0000"
						      "01"
						      "0001"
						      "0002"
						      "03");
	unlink(file);
}

/* Texts that last are told apart by address, others by what they say: the shape is the same. */
static void lasting_names_give_the_same_shape(void **state)
{
	struct osp_store *s = begin();
	struct osp_part p[] = {operation(id), operation(id + 0x10000), operation(id + 0x20000)};

	(void)state;
	p[1].row.lasting = p[2].row.lasting = true;
	assert_ok(osp_store_write(s, p, 3));
	end(s);
	assert_query("SELECT count(*) FROM shape", "1");
	assert_query("SELECT count(*) FROM bundle WHERE hex(substr(heads, 9, 4)) = '00000001'",
		     "3");
	assert_query("SELECT shape FROM origin", "1");
	unlink(file);
}

/* One by one, everything that a shape says; each gives one of its own. */
static void whatever_differs_gives_another_shape(void **state)
{
	struct osp_attribute other[] = {attributes[0], attributes[1]};
	struct osp_step moved[] = {steps[0], steps[1], steps[2], steps[3]};
	struct osp_row_span marked[] = {spans[0], spans[1]};
	struct osp_store *s = begin();
	struct osp_part p = operation(id);

	(void)state;
	p.row.lasting = true;
	assert_ok(osp_store_write(s, &p, 1));
	p.row.attributes = other;
	p.row.steps = moved;
	p.row.spans = marked;
	for (int change = 0; change < 9; change++) {
		if (change == 0)
			other[0].value.u64 = 1 << 20; /* another coding */
		if (change == 1)
			other[0].value.type = OSP_VALUE_I64;
		if (change == 2)
			moved[3].name = "gone";
		if (change == 3)
			moved[3].unexpected = true;
		if (change == 4)
			marked[1].end_ns = 1300;
		if (change == 5)
			moved[2].span = 0; /* ends with the last step all the same */
		if (change == 6)
			marked[0].marks = OSP_MARK_INCOMPLETE;
		if (change == 7)
			marked[1].status = OSP_SPAN_OK;
		if (change == 8)
			marked[1].code = NULL;
		p.row.id += 0x10000;
		assert_ok(osp_store_write(s, &p, 1));
	}
	end(s);
	assert_query("SELECT count(*) FROM shape", "10");
	unlink(file);
}

/* Books without reasons are not asked for any; those that had some lose them again. */
static void reasons_of_a_loss_are_replaced(void **state)
{
	const char *reasons[] = {"ring_full"};
	uint64_t lost[] = {2};
	struct osp_store *s = begin();
	struct osp_part p = {
		.kind = OSP_PART_LOSS,
		.loss = {.process = 3, .provider = "p", .probe = "a", .hits = 4, .stored = 4}};

	(void)state;
	assert_ok(osp_store_write(s, &p, 1));
	p.loss.hits = 6;
	p.loss.reasons = reasons;
	p.loss.lost = lost;
	p.loss.count = 1;
	assert_ok(osp_store_write(s, &p, 1));
	assert_query("SELECT hits || ' ' || lost || ' ' || reasons FROM losses", "6 2 ring_full 2");
	p.loss.stored = 6;
	p.loss.count = 0;
	assert_ok(osp_store_write(s, &p, 1));
	end(s);
	assert_query("SELECT hits || ' ' || lost || ' ' || reasons FROM losses", "6 0 ");
	assert_query("SELECT count(*) FROM probe", "1");
	unlink(file);
}

RUN_TESTS(TEST(numbers_are_big_endian_at_every_width), TEST(an_operation_lies_as_the_schema_says),
	  TEST(lasting_names_give_the_same_shape), TEST(whatever_differs_gives_another_shape),
	  TEST(reasons_of_a_loss_are_replaced))
