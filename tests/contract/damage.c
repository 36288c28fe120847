/*
 * Session files from anywhere: damage is an error with a name, never a crash, a hang or unbounded
 * memory (sanitizers watch); and the views, which people read without outspan, say what outspan
 * says.
 */
#include "tests/contract/file.h"

/* ---- damage: no crash, no hang, no unbounded anything; sanitizers watch ---- */

static void read_everything(struct fixture *f)
{
	FILE *null = fopen("/dev/null", "w");

	if (!try_open(f, OSP_STORE_READ)) {
		osp_store_dump(f->store, null, NULL);
		osp_store_close(&f->store, false);
	}
	fclose(null);
}

static void damaged_file_never_crashes_the_reader(void **state)
{
	struct fixture *f = *state;
	static uint8_t whole[2 << 20];
	uint64_t word = 88172645463325252ull;
	size_t size;
	FILE *in;

	make_session(f);
	in = fopen(f->path, "r");
	size = fread(whole, 1, sizeof(whole), in);
	fclose(in);
	for (int round = 0; round < 400; round++) {
		int fd = open(f->path, O_WRONLY);

		/* most pages are nearly empty: aim at the bytes that say something */
		for (int k = 0; k < 6; k++) {
			uint8_t byte;
			size_t at;

			do {
				word ^= word << 13;
				word ^= word >> 7;
				word ^= word << 17;
				at = 100 + word % (size - 100);
			} while (!whole[at]);
			byte = (uint8_t)(word >> 40);
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		}
		close(fd);
		read_everything(f);
		put_file(f->path, whole, size);
	}
	for (size_t cut = size - 1; cut > 200; cut -= cut / 9) {
		assert_ok(truncate(f->path, (off_t)cut));
		read_everything(f);
		put_file(f->path, whole, size);
	}
}

/* Values that no recorder writes, put in through SQL. */
static void foreign_values_are_named_not_followed(void **state)
{
	static const char *const wrong[] = {
		"UPDATE bundle SET heads = x'00'",
		"UPDATE bundle SET heads = zeroblob(22)",
		"UPDATE bundle SET heads = CAST(heads || heads AS BLOB)",
		"UPDATE bundle SET times = x'0102'",
		"UPDATE bundle SET slots = NULL",
		"UPDATE bundle SET payload = NULL",
		"UPDATE bundle SET payload = CAST(x'ff' || payload AS BLOB)",
		"UPDATE bundle SET trace = 0",
		"UPDATE bundle SET wire = x'00'",
		"UPDATE bundle SET edges = x'ff0000ff00000000'",
		"UPDATE bundle SET edges = x'00'",
		"UPDATE shape SET spans = x''",
		"UPDATE shape SET spans = CAST(spans || substr(spans, 1, 20) AS BLOB)",
		"UPDATE shape SET steps = zeroblob(4 * 70000)",
		"UPDATE shape SET steps = x'0000ffff'",
		"UPDATE shape SET fields = x'00000000ff'",
		"UPDATE shape SET fields = x'0000ffff01'",
		"UPDATE shape SET field_slot = 99999",
		"DELETE FROM shape",
		"DELETE FROM origin",
		"UPDATE origin SET shape = 999",
		"UPDATE class SET kind = 9",
		"UPDATE field SET type = 'odd'",
		"UPDATE field SET type = 'f64'",
		"DELETE FROM point",
		"DELETE FROM string",
		"UPDATE link_kind SET key = key + 500",
		"UPDATE place SET first = 1, last = 0; UPDATE class SET kind = 9",
	};

	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		FILE *null = fopen("/dev/null", "w");
		sqlite3 *db;

		open_store(f, OSP_STORE_OVERWRITE);
		write_sample(f);
		close_store(f, true);
		assert_ok(sqlite3_open(f->path, &db));
		if (sqlite3_exec(db, wrong[i], NULL, NULL, NULL))
			fail_msg("%s: %s", wrong[i], sqlite3_errmsg(db));
		sqlite3_close(db);
		open_store(f, OSP_STORE_READ);
		if (osp_store_dump(f->store, null, NULL) != -EBADMSG ||
		    !strstr(osp_store_error(f->store), "damaged"))
			fail_msg("%s: \"%s\"", wrong[i], osp_store_error(f->store));
		close_store(f, false);
		fclose(null);
	}
}

/* ---- views ---- */

static void views_say_what_the_reader_says(void **state)
{
	struct fixture *f = *state;
	struct osp_trace_query all = {.limit = -1};
	struct osp_session *s = NULL;
	struct osp_cursor *c = NULL;
	struct osp_trace t;
	struct osp_span span;
	static const char *const statuses[] = {"unset", "ok", "error"};
	char sql[400], expected[300];

	make_session(f);
	assert_ok(osp_session_open(&s, f->path, f->error));
	assert_ok(osp_store_traces(s->store, &all, &c));
	while (!osp_cursor_next_trace(c, &t)) {
		snprintf(sql, sizeof(sql),
			 "SELECT start_ns, duration_ns, processes, spans, links, root, status, "
			 "(SELECT total(mark) + 0 FROM mark_name m WHERE instr(t.marks, m.name)) "
			 "FROM trace t WHERE trace = %" PRIu64,
			 t.key);
		snprintf(expected, sizeof(expected), "%" PRId64 "|%" PRId64 "|%u|%u|%u|%s|%s|%u.0",
			 t.start_ns + osp_session_wall_offset(s, t.start_ns), t.end_ns - t.start_ns,
			 t.processes, t.spans, t.links, t.root, statuses[t.status], t.marks);
		expect_query(f, sql, expected);
	}
	osp_cursor_close(&c);
	assert_ok(osp_store_spans(s->store, 0, &c));
	while (!osp_cursor_next_span(c, &span)) {
		snprintf(
			sql, sizeof(sql),
			"SELECT coalesce(parent_id, '%016x'), name, duration_ns, (SELECT count(*) FROM "
			"event e WHERE e.span_id = s.span_id) FROM span s WHERE span_id = "
			"'%016" PRIx64 "'",
			0, span.id);
		snprintf(expected, sizeof(expected), "%016" PRIx64 "|%s|%" PRId64 "|%zu",
			 span.parent_id, span.name, span.end_ns - span.start_ns, span.event_count);
		expect_query(f, sql, expected);
	}
	osp_cursor_close(&c);
	osp_session_close(&s);
}

static void views_unpack_what_does_not_fit_the_compact_form(void **state)
{
	struct fixture *f = *state;
	struct osp_row_span spans[300];
	const struct osp_step steps[] = {
		{.time_ns = 5, .name = "first", .span = 0, .attribute_count = 1},
		{.time_ns = 5 + (3ll << 45),
		 .name = "late",
		 .span = 299,
		 .unexpected = true,
		 .attribute_count = 4,
		 .first_attribute = 1},
	};
	static char bytes[70000];
	const struct osp_attribute attributes[] = {
		{"a", {.type = OSP_VALUE_BYTES, .data = bytes, .size = 70000, .true_size = 70000}},
		{"b", {.type = OSP_VALUE_U64, .u64 = UINT64_MAX}},
		{"c", {.type = OSP_VALUE_STR, .data = "cut", .size = 3, .true_size = 0x01020304}},
		{"d", {.type = OSP_VALUE_F64, .f64 = 0.5}},
		{"e", {.type = OSP_VALUE_I64, .i64 = -3}},
	};
	struct osp_part p = {.kind = OSP_PART_ROW};

	for (unsigned i = 0; i < 300; i++)
		spans[i] = (struct osp_row_span){.number = (uint16_t)i,
						 .kind_name = "k",
						 .name = "n",
						 .kind = OSP_SPAN_SERVER,
						 .start_ns = 5,
						 .end_ns = 6};
	p.row = (struct osp_row){.id = 0xff00000000000000,
				 .trace = 1,
				 .complete = true,
				 .spans = spans,
				 .span_count = 300,
				 .steps = steps,
				 .step_count = 2,
				 .attributes = attributes,
				 .attribute_count = 5};
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, &p, 1));
	close_store(f, true);

	expect_query(f, "SELECT span_id, seq, name, after_ns, unexpected FROM event",
		     "ff00000000000000|0|first|0|0\nff0000000000012b|1|late|105553116266496|1");
	expect_query(
		f,
		"SELECT span_id, seq, name, type, substr(value, 1, 20), coalesce(cut_from, '') "
		"FROM attribute",
		"ff00000000000000|0|a|bytes|00000000000000000000|\n"
		"ff0000000000012b|1|b|u64|18446744073709551615|\n"
		"ff0000000000012b|1|c|str|cut|16909060\n"
		"ff0000000000012b|1|d|f64|0.5|\n"
		"ff0000000000012b|1|e|i64|-3|");
	expect_query(f, "SELECT count(*), max(span_id) FROM span", "300|ff0000000000012b");
}

/* An index that SQLite makes for one query may hold names, nothing that grows with the traces. */
static bool has_index_of_traces(const char *plan)
{
	static const char *const names[] = {"AUTOMATIC COVERING INDEX (origin4=?)",
					    "AUTOMATIC COVERING INDEX (key=?)"};

	while ((plan = strstr(plan, "AUTOMATIC"))) {
		if (strncmp(plan, names[0], strlen(names[0])) &&
		    strncmp(plan, names[1], strlen(names[1])))
			return true;
		plan++;
	}
	return false;
}

/* Also while a recording runs, and after a crash. */
static void one_trace_is_read_without_a_full_scan(void **state)
{
	static const char *const views[] = {"trace", "span", "event", "attribute", "link"};
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++) {
		char sql[200];
		static char plan[1 << 20];

		open_store(f, OSP_STORE_OVERWRITE);
		write_sample(f);
		close_store(f, i % 2);
		snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN SELECT * FROM %s WHERE trace = 2",
			 views[i / 2]);
		query(f, sql, plan, sizeof(plan));
		if (strstr(plan, "SCAN b") || strstr(plan, "SCAN c ") || has_index_of_traces(plan))
			fail_msg("%s:\n%s", sql, plan);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(damaged_file_never_crashes_the_reader),
		TEST(foreign_values_are_named_not_followed),
		TEST(views_say_what_the_reader_says),
		TEST(views_unpack_what_does_not_fit_the_compact_form),
		TEST(one_trace_is_read_without_a_full_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
