/*
 * The views of a session file, asked through SQLite itself: what they say of operations and traces of
 * any size, and what that costs. What they must say is written here by hand.
 */
#include "tests/contract/file.h"

/* What SQLite does for a query, by its own count. */
static int count_work(const struct fixture *f, const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int work;

	assert_ok(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL));
	assert_ok(sqlite3_prepare_v2(db, sql, -1, &st, NULL));
	while (sqlite3_step(st) == SQLITE_ROW)
		;
	work = sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return work;
}

/* A list of a million traces must not unpack their spans: that was 100 times as much work. */
static void traces_are_listed_without_their_spans(void **state)
{
	enum { TRACES = 400, SPANS = 30 };
	struct osp_row_span spans[SPANS];
	struct osp_part part = {.kind = OSP_PART_ROW,
				.row = {.complete = true, .spans = spans, .span_count = SPANS}};
	struct fixture *f = *state;
	int work[2] = {0};

	for (unsigned i = 0; i < SPANS; i++)
		spans[i] = (struct osp_row_span){.number = (uint16_t)i,
						 .kind_name = "piece",
						 .name = "piece",
						 .kind = OSP_SPAN_INTERNAL,
						 .start_ns = 1000,
						 .end_ns = 2000};
	open_store(f, OSP_STORE_CREATE);
	for (uint64_t i = 1; i <= TRACES; i++) {
		part.row.trace = i;
		part.row.id = i << 16;
		assert_ok(osp_store_write(f->store, &part, 1));
		if (i == TRACES / 2 || i == TRACES)
			work[i == TRACES] = count_work(f, "SELECT * FROM trace");
	}
	close_store(f, true);
	assert_in_range(work[1] - work[0], TRACES / 2, TRACES / 2 * 1000);
	expect_query(f, "SELECT count(*), sum(spans), sum(duration_ns) FROM trace",
		     "400|12000|400000");
}

/* The views cut long operations into pieces: nothing may be lost or moved where two meet. */
static void views_unpack_operations_of_any_length(void **state)
{
	enum { STEPS = 1300 };
	static struct osp_step steps[STEPS];
	static struct osp_attribute values[2 * STEPS];
	struct osp_row_span spans[2] = {
		{.kind_name = "work", .kind = OSP_SPAN_INTERNAL},
		{.number = 3, .kind_name = "piece", .kind = OSP_SPAN_CLIENT}};
	struct osp_part part = {.kind = OSP_PART_ROW,
				.row = {.id = 0x70000,
					.trace = 1,
					.process = 1,
					.complete = true,
					.spans = spans,
					.span_count = 2,
					.steps = steps,
					.step_count = STEPS,
					.attributes = values}};
	struct fixture *f = *state;

	/* step i lies 7 i behind the start, in the nested span unless 3 divides i; every fifth has the
	   value i, those from 500 to 999 have -i as well */
	for (int i = 0; i < STEPS; i++) {
		size_t at = part.row.attribute_count;

		steps[i] = (struct osp_step){.time_ns = 1000 + 7 * i,
					     .name = i % 2 ? "odd" : "even",
					     .span = i % 3 != 0,
					     .first_attribute = (uint32_t)at};
		if (i % 5 == 0)
			values[at++] =
				(struct osp_attribute){"fifth", {.type = OSP_VALUE_I64, .i64 = i}};
		if (i >= 500 && i < 1000)
			values[at++] =
				(struct osp_attribute){"minus", {.type = OSP_VALUE_I64, .i64 = -i}};
		steps[i].attribute_count = (uint32_t)(at - part.row.attribute_count);
		part.row.attribute_count = at;
	}
	for (int i = 0; i < 2; i++) {
		spans[i].name = "long";
		spans[i].start_ns = 1000;
		spans[i].end_ns = 1000 + 7 * STEPS;
	}
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, &part, 1));
	close_store(f, true);
	expect_query(f,
		     "SELECT count(*), count(DISTINCT seq), sum(after_ns = 7 * seq), "
		     "sum(name = iif(seq % 2, 'odd', 'even')), "
		     "sum(span_id = '000000000007000' || iif(seq % 3, '3', '0')) FROM event",
		     "1300|1300|1300|1300|1300");
	expect_query(f,
		     "SELECT name, count(*), count(DISTINCT seq), "
		     "sum(value = iif(name = 'minus', -seq, seq)), "
		     "sum(span_id = '000000000007000' || iif(seq % 3, '3', '0')) "
		     "FROM attribute GROUP BY name",
		     "fifth|260|260|260|260\nminus|500|500|500|500");
}

/* Of a payload that is long only the part that a piece needs is looked at. */
static void views_unpack_values_of_a_long_payload(void **state)
{
	enum { VALUES = 600, SIZE = 200 };
	static char texts[VALUES][SIZE + 1];
	static struct osp_step steps[VALUES];
	static struct osp_attribute values[VALUES];
	struct osp_row_span span = {.kind_name = "work",
				    .name = "long",
				    .kind = OSP_SPAN_INTERNAL,
				    .start_ns = 1000,
				    .end_ns = 2000};
	struct osp_part part = {.kind = OSP_PART_ROW,
				.row = {.id = 0x70000,
					.trace = 1,
					.complete = true,
					.spans = &span,
					.span_count = 1,
					.steps = steps,
					.step_count = VALUES,
					.attributes = values,
					.attribute_count = VALUES}};
	struct fixture *f = *state;

	for (unsigned i = 0; i < VALUES; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%0200u", i);
		values[i] = (struct osp_attribute){"digits",
						   {.type = OSP_VALUE_BYTES,
						    .data = texts[i],
						    .size = SIZE,
						    .true_size = SIZE}};
		steps[i] = (struct osp_step){.time_ns = 1000 + i,
					     .name = "step",
					     .first_attribute = i,
					     .attribute_count = 1};
	}
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, &part, 1));
	close_store(f, true);
	expect_query(
		f, "SELECT count(*), sum(value = lower(hex(printf('%0200d', seq)))) FROM attribute",
		"600|600");
}

/* Span i of them: number 2 i, inside span i / 2, from a step on, to the end of as many later. */
static void fill_spans(struct osp_row_span *spans, struct osp_step *steps, char (*names)[24],
		       int count)
{
	for (int i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "span %d", i);
		spans[i] = (struct osp_row_span){.number = (uint16_t)(2 * i),
						 .parent = (uint16_t)(i / 2),
						 .kind_name = "piece",
						 .name = names[i],
						 .kind = OSP_SPAN_INTERNAL,
						 .start_ns = 1000 + 10 * i,
						 .end_ns = 1000 + 10 * (i + count),
						 .status = OSP_SPAN_OK,
						 .code = i % 5 ? NULL : names[i] + 5,
						 .marks = i % 7 ? 0 : OSP_MARK_TIMED_OUT};
		steps[i] = (struct osp_step){
			.time_ns = 1000 + 10 * i, .name = "open", .span = (uint16_t)i};
	}
}

enum { SPANS = 1300 };

static void write_long_operation(struct osp_store *s, uint64_t id, uint64_t trace)
{
	static struct osp_row_span spans[SPANS];
	static struct osp_step steps[SPANS];
	static char names[SPANS][24];
	const struct osp_part part = {.kind = OSP_PART_ROW,
				      .row = {.id = id,
					      .trace = trace,
					      .process = 1,
					      .spans = spans,
					      .span_count = SPANS,
					      .steps = steps,
					      .step_count = SPANS}};

	fill_spans(spans, steps, names, SPANS);
	assert_ok(osp_store_write(s, &part, 1));
}

/* With the trace's number; all of it holds of all spans, and steps. */
static void expect_long_operation(const struct fixture *f, int trace)
{
	char sql[900];

	snprintf(sql, sizeof(sql),
		 "WITH s AS (SELECT *, (start_ns - 1000) / 10 AS i FROM span WHERE trace = %d) "
		 "SELECT count(*), count(DISTINCT i), sum(name = 'span ' || i), "
		 "sum(span_id = printf('%%016x', 0x70000 * %d + 2 * i)), "
		 "sum(i = 0 AND parent_id IS NULL OR "
		 "    parent_id = printf('%%016x', 0x70000 * %d + i / 2 * 2)), "
		 "sum(duration_ns = 13000), sum(code IS iif(i %% 5, NULL, CAST(i AS TEXT))), "
		 "sum(marks LIKE '%%timed out%%' = (i %% 7 = 0)), min(i), max(i) FROM s",
		 trace, trace, trace);
	expect_query(f, sql, "1300|1300|1300|1300|1300|1300|1300|1300|0|1299");
	snprintf(sql, sizeof(sql),
		 "SELECT count(*), sum(span_id = printf('%%016x', 0x70000 * %d + 2 * seq)) "
		 "FROM event WHERE trace = %d",
		 trace, trace);
	expect_query(f, sql, "1300|1300");
	snprintf(sql, sizeof(sql), "SELECT duration_ns, spans FROM trace WHERE trace = %d", trace);
	expect_query(f, sql, "25990|1300");
}

static void views_unpack_spans_of_a_long_operation(void **state)
{
	struct fixture *f = *state;

	open_store(f, OSP_STORE_CREATE);
	write_long_operation(f->store, 0x70000, 1);
	expect_long_operation(f, 1);
	close_store(f, true);
	expect_long_operation(f, 1);
}

/* When a session has too many texts, new names lie where they occur. */
static void views_unpack_names_that_are_no_strings(void **state)
{
	enum { TEXTS = 65535, ALONE = 1000 };
	static struct osp_row_span spans[ALONE];
	static char names[ALONE][24];
	struct fixture *f = *state;

	open_store(f, OSP_STORE_CREATE);
	for (int at = 0; at < TEXTS; at += ALONE) {
		const struct osp_part part = {
			.kind = OSP_PART_ROW,
			.row = {.id = (uint64_t)(1 << 24) + ((uint64_t)at << 16),
				.trace = 9,
				.spans = spans,
				.span_count = ALONE}};

		for (int i = 0; i < ALONE; i++) {
			snprintf(names[i], sizeof(names[i]), "other %d", at + i);
			spans[i] = (struct osp_row_span){.number = (uint16_t)i,
							 .kind_name = "other",
							 .name = names[i],
							 .kind = OSP_SPAN_INTERNAL};
		}
		assert_ok(osp_store_write(f->store, &part, 1));
	}
	write_long_operation(f->store, 0x70000, 1);
	close_store(f, true);
	expect_query(
		f,
		"SELECT count(*) > 65000, count(*) FILTER (WHERE text LIKE 'span %') FROM string",
		"1|0");
	expect_long_operation(f, 1);
}

/* An operation that gives a message to `count` others, ten of which come with each transaction. */
static void write_fan_out(struct fixture *f, unsigned count)
{
	struct osp_row_span *spans = calloc(count + 1, sizeof(*spans)), to[10];
	struct osp_part parts[20], first = {.kind = OSP_PART_ROW,
					    .row = {.id = 0x10000,
						    .trace = 1,
						    .complete = true,
						    .spans = spans,
						    .span_count = count + 1}};

	for (unsigned i = 0; i <= count; i++)
		spans[i] = (struct osp_row_span){.number = (uint16_t)i,
						 .kind_name = "give",
						 .name = "give",
						 .kind = OSP_SPAN_PRODUCER,
						 .start_ns = i,
						 .end_ns = i};
	open_store(f, OSP_STORE_OVERWRITE);
	assert_ok(osp_store_write(f->store, &first, 1));
	for (unsigned i = 0; i < count; i += 10) {
		for (unsigned k = 0; k < 10; k++) {
			uint64_t id = (uint64_t)(i + k + 2) << 16;

			to[k] = spans[i + k];
			to[k].number = 0;
			parts[2 * k] = (struct osp_part){.kind = OSP_PART_ROW,
							 .row = {.id = id,
								 .trace = 1,
								 .complete = true,
								 .spans = &to[k],
								 .span_count = 1}};
			parts[2 * k + 1] = (struct osp_part){.kind = OSP_PART_EDGE,
							     .edge = {.from = 0x10001 + i + k,
								      .to = id,
								      .rule = "rule",
								      .makes = "parent",
								      .evidence = "id",
								      .grade = "exact"}};
		}
		assert_ok(osp_store_write(f->store, parts, 20));
	}
	close_store(f, true);
	free(spans);
}

/* Twice the operations, in twice the bundles, take about twice the work: not four times, or eight. */
static void work_on_a_trace_grows_with_its_length(void **state)
{
	static const char *const views[] = {"trace",	 "span", "event",
					    "attribute", "link", "trace_name"};
	enum { COUNT = sizeof(views) / sizeof(*views) };
	struct fixture *f = *state;
	int work[2][COUNT];

	for (unsigned n = 0; n < 2; n++) {
		write_fan_out(f, 300 << n);
		for (size_t i = 0; i < COUNT; i++) {
			char sql[60];

			snprintf(sql, sizeof(sql), "SELECT * FROM %s", views[i]);
			work[n][i] = count_work(f, sql);
		}
	}
	expect_query(f, "SELECT spans, links FROM trace", "1201|600");
	expect_query(f, "SELECT count(*), count(DISTINCT trace_id), min(trace_id) FROM span",
		     "1201|1|00000000000100000000000000000000");
	for (size_t i = 0; i < COUNT; i++)
		if (work[1][i] > 5 * work[0][i] / 2)
			fail_msg("%s: %d, then %d", views[i], work[0][i], work[1][i]);
}

/* The root is the first that has no parent in the trace, in whichever of its bundles it lies. */
static void trace_is_named_after_its_first_root(void **state)
{
	struct fixture *f = *state;
	struct sample *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	/* the first bundle has an early child; its root is later than that of the last bundle */
	sample_row(s, 0x10000, 1, SAMPLE_NORTH, "late")->parent_id = 0;
	sample_span(s, "late", "late", OSP_SPAN_SERVER, 5, 9);
	sample_row(s, 0x20000, 1, SAMPLE_NORTH, "early child")->parent_id = 0x10000;
	sample_span(s, "early child", "early child", OSP_SPAN_SERVER, 0, 9);
	sample_row(s, 0x30000, 1, SAMPLE_NORTH, "first child")->parent_id = 0x40000;
	sample_span(s, "first child", "first child", OSP_SPAN_SERVER, 1, 9);
	sample_row(s, 0x40000, 1, SAMPLE_NORTH, "root")->parent_id = 0x90000;
	sample_span(s, "root", "root", OSP_SPAN_SERVER, 2, 9);
	/* and one in which a child seems to come first */
	sample_row(s, 0x50000, 2, SAMPLE_NORTH, "child")->parent_id = 0x60000;
	sample_span(s, "child", "child", OSP_SPAN_SERVER, 0, 9);
	sample_row(s, 0x60000, 2, SAMPLE_NORTH, "parent");
	sample_span(s, "parent", "parent", OSP_SPAN_SERVER, 2, 9);
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, s->parts, 2));
	for (int i = 2; i < 6; i++)
		assert_ok(osp_store_write(f->store, s->parts + i, 1));
	close_store(f, true);
	expect_query(f, "SELECT root, substr(trace_id, 1, 16) FROM trace ORDER BY trace",
		     "root|0000000000040000\nparent|0000000000060000");
	expect_query(f, "SELECT DISTINCT substr(trace_id, 1, 16) FROM span ORDER BY trace",
		     "0000000000040000\n0000000000060000");
	expect_query(f, "SELECT substr(trace_id, 1, 16) FROM trace_name ORDER BY trace",
		     "0000000000040000\n0000000000060000");
	free(s);
}

static struct osp_part link_to(uint64_t id, const char *grade)
{
	return (struct osp_part){.kind = OSP_PART_EDGE,
				 .edge = {.from = 0x20000,
					  .to = id,
					  .rule = "rule",
					  .makes = "link",
					  .evidence = "id",
					  .grade = grade}};
}

/* Links in a bundle and between two, to nested spans that are there and to some that are not. */
static void links_to_spans_that_are_not_there_are_not_counted(void **state)
{
	static const uint16_t numbers[] = {0, 1, 5, 9};
	struct osp_row_span spans[4],
		other = {.kind_name = "other", .name = "other", .kind = OSP_SPAN_INTERNAL};
	struct osp_part parts[9] = {{.kind = OSP_PART_ROW,
				     .row = {.id = 0x10000,
					     .trace = 1,
					     .complete = true,
					     .spans = spans,
					     .span_count = 4}},
				    {.kind = OSP_PART_ROW,
				     .row = {.id = 0x20000,
					     .trace = 1,
					     .complete = true,
					     .spans = &other,
					     .span_count = 1}}};
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		spans[i] = other;
		spans[i].number = numbers[i];
	}
	parts[2] = link_to(0x10000, "exact");
	parts[3] = link_to(0x10001, "exact");
	parts[4] = link_to(0x10009, "exact");
	parts[5] = link_to(0x10002, "ambiguous");
	parts[6] = link_to(0x10003, "ambiguous");
	parts[7] = link_to(0x1000a, "ambiguous");
	parts[8] = link_to(0x30000, "ambiguous");
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, parts, 9));
	close_store(f, true);
	expect_query(f, "SELECT count(*) FROM edge", "1");
	expect_query(f, "SELECT links, marks FROM trace", "3|");

	parts[1].row.trace = 2;
	open_store(f, OSP_STORE_OVERWRITE);
	assert_ok(osp_store_write(f->store, parts, 9));
	close_store(f, true);
	expect_query(f, "SELECT count(*) FROM edge", "7");
	expect_query(f, "SELECT trace, links, marks FROM trace ORDER BY 1", "1|3|\n2|0|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(traces_are_listed_without_their_spans),
		TEST(views_unpack_operations_of_any_length),
		TEST(views_unpack_values_of_a_long_payload),
		TEST(views_unpack_spans_of_a_long_operation),
		TEST(views_unpack_names_that_are_no_strings),
		TEST(work_on_a_trace_grows_with_its_length),
		TEST(trace_is_named_after_its_first_root),
		TEST(links_to_spans_that_are_not_there_are_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
