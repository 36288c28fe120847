/*
 * The store contract, writing: what a store keeps, how versions of a part merge, what it refuses.
 * One list of behaviours, run on every store; one that a store cannot show is a failure, not a
 * skip. Expectations are written by hand; whole stores are compared by the canonical dump.
 */
#include "tests/contract/fixture.h"

static void new_store_is_empty(void **state)
{
	expect_dump(*state, "");
	expect_traces(*state, -1, false, "");
	expect_tree(*state, 1, "");
}

static void row_reads_back_whole(void **state)
{
	struct fixture *f = *state;
	const struct osp_row_span spans[] = {
		{0, 0, "op", "op one", OSP_SPAN_SERVER, 1000, 9000, OSP_SPAN_ERROR, "503",
		 OSP_MARK_MAY_BE_CUT},
		{1, 0, "part", "part a", OSP_SPAN_PRODUCER, 2000, 3000, OSP_SPAN_OK, NULL, 0},
		{4, 1, "part", "part b", OSP_SPAN_CLIENT, 2500, 2600, OSP_SPAN_UNSET, "x",
		 OSP_MARK_INCOMPLETE},
	};
	const struct osp_attribute attributes[] = {
		{"n", {.type = OSP_VALUE_U64, .u64 = 7}},
		{"n", {.type = OSP_VALUE_U64, .u64 = 8}},
		{"ok", {.type = OSP_VALUE_BOOL, .boolean = true}},
	};
	const struct osp_step steps[] = {
		{1000, "first", 0, 0, 0, false},
		{2000, "open", 1, 2, 0, false},
		{2500, "deep", 2, 0, 0, true},
		{9000, "last", 0, 1, 2, false},
	};
	struct osp_part p = {.kind = OSP_PART_ROW,
			     .row = {.id = 0xabc0000,
				     .trace = 5,
				     .parent_id = 0x10000,
				     .process = 3,
				     .tid = 44,
				     .complete = true,
				     .provider = "p",
				     .side = "s",
				     .feature = "f",
				     .spans = spans,
				     .span_count = 3,
				     .steps = steps,
				     .step_count = 4,
				     .attributes = attributes,
				     .attribute_count = 3}};

	write_parts(f, &p, 1);

	expect_dump(
		f,
		"operation 000000000abc0000 trace=5 parent=0000000000010000 process=3 tid=44 "
		"complete=1 provider=\"p\" side=\"s\" layer= feature=\"f\"\n"
		"  span 0 in 0 kind_name=\"op\" name=\"op one\" kind=2 start=1000 end=9000 status=2 "
		"code=\"503\" marks=0x4\n"
		"  span 1 in 0 kind_name=\"part\" name=\"part a\" kind=4 start=2000 end=3000 "
		"status=1 code= marks=0\n"
		"  span 4 in 1 kind_name=\"part\" name=\"part b\" kind=3 start=2500 end=2600 "
		"status=0 code=\"x\" marks=0x1\n"
		"  step 1000 span=0 name=\"first\"\n"
		"  step 2000 span=1 name=\"open\" \"n\"=u64:7 \"n\"=u64:8\n"
		"  step 2500 span=2 unexpected name=\"deep\"\n"
		"  step 9000 span=0 name=\"last\" \"ok\"=true\n"
		"trace 5 id=000000000abc00000000000000000000 root=000000000abc0000 start=1000 "
		"end=9000 processes=1 spans=3 links=0 status=2 marks=0x5 name=\"op one\"\n"
		"span 5 000000000abc0000 parent=0000000000010000 of=000000000abc0000 kind=2 "
		"process=3 tid=44 start=1000 end=9000 status=2 marks=0x4 name=\"op one\" "
		"kind_name=\"op\" operation=\"op\" provider=\"p\" side=\"s\" layer= feature=\"f\" "
		"code=\"503\" \"ok\"=true\n"
		"  event 1000 name=\"first\"\n"
		"  event 9000 name=\"last\" \"ok\"=true\n"
		"span 5 000000000abc0001 parent=000000000abc0000 of=000000000abc0000 kind=4 "
		"process=3 tid=44 start=2000 end=3000 status=1 marks=0 name=\"part a\" "
		"kind_name=\"part\" operation=\"op\" provider=\"p\" side=\"s\" layer= feature=\"f\" "
		"code= \"n\"=u64:8\n"
		"  event 2000 name=\"open\" \"n\"=u64:7 \"n\"=u64:8\n"
		"span 5 000000000abc0004 parent=000000000abc0001 of=000000000abc0000 kind=3 "
		"process=3 tid=44 start=2500 end=2600 status=0 marks=0x1 name=\"part b\" "
		"kind_name=\"part\" operation=\"op\" provider=\"p\" side=\"s\" layer= feature=\"f\" "
		"code=\"x\"\n"
		"  event 2500 unexpected name=\"deep\"\n");
}

static void values_keep_type_and_bits(void **state)
{
	struct fixture *f = *state;
	const struct osp_value values[] = {
		{.type = OSP_VALUE_U64, .u64 = UINT64_MAX},
		{.type = OSP_VALUE_U64, .u64 = (uint64_t)INT64_MAX + 1},
		{.type = OSP_VALUE_I64, .i64 = INT64_MIN},
		{.type = OSP_VALUE_F64, .f64 = 0.1},
		{.type = OSP_VALUE_F64, .f64 = -0.0},
		{.type = OSP_VALUE_F64, .f64 = DBL_MAX},
		{.type = OSP_VALUE_F64, .f64 = INFINITY},
		{.type = OSP_VALUE_F64, .f64 = NAN},
		{.type = OSP_VALUE_BOOL, .boolean = false},
		{.type = OSP_VALUE_STR, .data = "", .size = 0, .true_size = 0},
		{.type = OSP_VALUE_STR, .data = "\xf0\x9f\x90\x98", .size = 4, .true_size = 4},
		{.type = OSP_VALUE_STR, .data = "12", .size = 2, .true_size = 2},
		{.type = OSP_VALUE_STR, .data = "cut", .size = 3, .true_size = 3000000},
		{.type = OSP_VALUE_STR, .data = NULL, .size = 0, .true_size = 9},
		{.type = OSP_VALUE_BYTES, .data = "\0\xff\n", .size = 3, .true_size = 3},
		{.type = OSP_VALUE_BYTES, .data = "\1", .size = 1, .true_size = UINT32_MAX},
		{.type = OSP_VALUE_BYTES, .data = NULL, .size = 0, .true_size = 0},
	};
	enum { COUNT = sizeof(values) / sizeof(values[0]) };
	struct osp_attribute attributes[COUNT];
	struct small m;
	struct osp_part p = small_row(&m, 0x10000, 1, 0), got;
	struct osp_cursor *c = NULL;

	for (size_t i = 0; i < COUNT; i++)
		attributes[i] = (struct osp_attribute){"v", values[i]};
	m.step.attribute_count = COUNT;
	p.row.attributes = attributes;
	p.row.attribute_count = COUNT;
	write_parts(f, &p, 1);

	assert_ok(osp_store_parts(f->store, OSP_PART_ROW, &c));
	assert_ok(osp_cursor_next_part(c, &got));
	assert_int_equal(got.row.attribute_count, COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		const struct osp_value *v = &got.row.attributes[i].value, *w = &values[i];

		assert_int_equal(v->type, w->type);
		if (w->type == OSP_VALUE_F64 && isnan(w->f64)) {
			assert_true(isnan(v->f64));
		} else if (w->type < OSP_VALUE_BOOL) {
			assert_true(v->u64 == w->u64);
		} else if (w->type == OSP_VALUE_BOOL) {
			assert_int_equal(v->boolean, w->boolean);
		} else {
			assert_int_equal(v->size, w->size);
			assert_int_equal(v->true_size, w->true_size);
			if (w->size)
				assert_memory_equal(v->data, w->data, w->size);
		}
	}
	osp_cursor_close(&c);
}

static void complete_part_replaces_start_part_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct small start, end;
	struct osp_part parts[2] = {small_row(&start, 0x10000, 1, 100),
				    small_row(&end, 0x10000, 1, 100)};

	parts[0].row.complete = false;
	start.span.marks = OSP_MARK_INCOMPLETE;
	end.span.end_ns = 700;
	end.span.status = OSP_SPAN_OK;

	write_parts(f, &parts[0], 1);
	expect_traces(f, -1, false, "1/1/0/1");
	write_parts(f, &parts[1], 1);
	expect_traces(f, -1, false, "1/1/0/0");
	write_parts(f, &parts[0], 1);
	expect_traces(f, -1, false, "1/1/0/0");
}

static void replaced_row_loses_its_nested_spans(void **state)
{
	struct fixture *f = *state;
	struct osp_row_span spans[3];
	struct small m;
	struct osp_part start = small_row(&m, 0x10000, 1, 0), end;

	spans[0] = spans[1] = spans[2] = m.span;
	spans[1].number = 1;
	spans[2].number = 2;
	start.row.complete = false;
	start.row.spans = spans;
	start.row.span_count = 3;
	end = start;
	end.row.complete = true;
	end.row.span_count = 2;

	write_parts(f, &start, 1);
	expect_tree(f, 1, "10000<0 10001<10000 10002<10000");
	write_parts(f, &end, 1);
	expect_tree(f, 1, "10000<0 10001<10000");
}

static void identical_part_twice_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct sample *s = sample_new();
	char *once, *twice;

	write_parts(f, s->parts, s->count);
	once = dump(f->store);
	write_parts(f, s->parts, s->count);
	twice = dump(f->store);

	assert_string_equal(once, twice);
	free(once);
	free(twice);
	free(s);
}

static void patch_applies_before_and_after_its_row(void **state)
{
	struct fixture *f = *state;
	struct small m[3];
	struct osp_part parts[] = {
		patch(0x10000, 9, OSP_MARK_MAY_BE_CUT),
		small_row(&m[0], 0x10000, 1, 0),
		small_row(&m[1], 0x20000, 2, 1),
		patch(0x20000, 9, OSP_MARK_TIMED_OUT),
	};
	struct osp_part late = small_row(&m[2], 0x30000, 3, 2);
	struct osp_part early = patch(0x30000, 9, OSP_MARK_AMBIGUOUS);

	write_parts(f, parts, 4);
	expect_traces(f, -1, false, "9/2/0/14");
	write_parts(f, &early, 1);
	write_parts(f, &late, 1);

	expect_traces(f, -1, false, "9/3/0/34");
	expect_tree(f, 9, "10000<0 20000<0 30000<0");
}

static void pending_patches_add_up(void **state)
{
	struct fixture *f = *state;
	struct osp_part parts[] = {patch(0x70000, 3, OSP_MARK_MAY_BE_CUT),
				   patch(0x70000, 0, OSP_MARK_TIMED_OUT)};

	write_parts(f, parts, 2);

	expect_dump(f, "patch 0000000000070000 trace=3 marks=0x14\n");
}

static void patch_survives_the_complete_part(void **state)
{
	struct fixture *f = *state;
	struct small a, b;
	struct osp_part start = small_row(&a, 0x10000, 4, 0), end = small_row(&b, 0x10000, 4, 0);
	struct osp_part p = patch(0x10000, 2, OSP_MARK_MAY_BE_CUT);

	start.row.complete = false;
	write_parts(f, &start, 1);
	write_parts(f, &p, 1);
	write_parts(f, &end, 1);

	expect_traces(f, -1, false, "2/1/0/4");
}

static void traces_join_and_split_again(void **state)
{
	struct fixture *f = *state;
	struct small a, b;
	struct osp_part rows[] = {small_row(&a, 0x10000, 1, 0), small_row(&b, 0x20000, 2, 5)};
	struct osp_part join = patch(0x20000, 1, 0), split = patch(0x20000, 2, 0);

	write_parts(f, rows, 2);
	write_parts(f, &join, 1);
	expect_traces(f, -1, false, "1/2/0/0");
	write_parts(f, &split, 1);

	expect_traces(f, -1, false, "1/1/0/0 2/1/0/0");
}

static void later_edge_replaces_the_earlier(void **state)
{
	struct fixture *f = *state;
	struct small a, b;
	struct osp_part parts[] = {small_row(&a, 0x10000, 1, 0), small_row(&b, 0x20000, 1, 5),
				   edge(0x10000, 0x20000, "parent", "exact")};
	struct osp_part again = edge(0x10000, 0x20000, "parent", "ambiguous");

	parts[2].edge.also = "topic";
	write_parts(f, parts, 3);
	expect_tree(f, 1, "10000<0 20000<10000");
	write_parts(f, &again, 1);

	expect_tree(f, 1, "10000<0 20000<0");
	expect_traces(f, -1, false, "1/2/1/20");
}

static void greater_seq_wins_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct small a, b;
	struct osp_part new = small_row(&a, 0x10000, 1, 0), old = small_row(&b, 0x10000, 2, 0);
	struct osp_part e[2] = {edge(0x10000, 0x20000, "parent", "weak"),
				edge(0x10000, 0x20000, "link", "exact")};
	struct osp_part p[2] = {patch(0x10000, 7, 0), patch(0x10000, 8, 0)};
	struct osp_part rows[] = {
		{.kind = OSP_PART_SESSION, .seq = 6, .session = {"k", "new"}},
		{.kind = OSP_PART_SESSION, .seq = 5, .session = {"k", "old"}},
		{.kind = OSP_PART_CLOCK, .seq = 6, .clock = {1, 20, 3}},
		{.kind = OSP_PART_CLOCK, .seq = 5, .clock = {1, 2, 3}},
	};

	a.span.name = "new";
	b.span.name = "old";
	new.seq = 10;
	old.seq = 3;
	e[0].seq = 9;
	e[1].seq = 8;
	p[0].seq = 12;
	p[1].seq = 11;
	write_parts(f, &new, 1);
	write_parts(f, &old, 1);
	write_parts(f, e, 2);
	write_parts(f, p, 2);
	write_parts(f, rows, 4);

	expect_dump(f,
		    "session name=\"k\" value=\"new\"\n"
		    "clock 1 offset=20 error=3\n"
		    "operation 0000000000010000 trace=7 parent=0000000000000000 process=1 tid=2 "
		    "complete=1 provider= side= layer= feature=\n"
		    "  span 0 in 0 kind_name=\"work\" name=\"new\" kind=1 start=0 end=10 status=0 "
		    "code= marks=0\n"
		    "  step 0 span=0 name=\"begun\"\n"
		    "edge 0000000000010000 -> 0000000000020000 rule=\"rule\" makes=\"parent\" "
		    "evidence=\"message_id\" grade=\"weak\" also=\n"
		    "trace 7 id=00000000000100000000000000000000 root=0000000000010000 start=0 "
		    "end=10 processes=1 spans=1 links=0 status=0 marks=0 name=\"new\"\n"
		    "span 7 0000000000010000 parent=0000000000000000 of=0000000000010000 kind=1 "
		    "process=1 tid=2 start=0 end=10 status=0 marks=0 name=\"new\" "
		    "kind_name=\"work\" operation=\"work\" provider= side= layer= feature= code=\n"
		    "  event 0 name=\"begun\"\n"
		    "  link to 0000000000020000 rule=\"rule\" makes=\"parent\" "
		    "evidence=\"message_id\" grade=\"weak\" also=\n");
}

static void bad_part_refuses_the_whole_batch(void **state)
{
	struct fixture *f = *state;
	struct small a, b;
	struct osp_part parts[] = {small_row(&a, 0x10000, 1, 0), small_row(&b, 0, 1, 0)};

	assert_int_equal(osp_store_write(f->store, parts, 2), -EINVAL);

	assert_non_null(strstr(osp_store_error(f->store), "part 1: operation without id"));
	expect_dump(f, "");
}

static void refuse(struct fixture *f, struct osp_part p, const char *why)
{
	assert_int_equal(osp_store_write(f->store, &p, 1), -EINVAL);
	assert_non_null(strstr(osp_store_error(f->store), why));
}

static void malformed_parts_are_refused_by_name(void **state)
{
	struct fixture *f = *state;
	struct small m;
	struct osp_part p = small_row(&m, 0x10000, 1, 0), q = p;
	static const uint16_t between[] = {1, 8, 16, 4096, 65535};
	struct osp_attribute a = {
		"a", {.type = OSP_VALUE_STR, .data = "\xff", .size = 1, .true_size = 1}};

	q.row.trace = 0;
	refuse(f, q, "trace key 0");
	q = p;
	q.row.span_count = 0;
	refuse(f, q, "0 spans");
	m.step.span = 1;
	refuse(f, p, "step 0: span 1");
	m.step.span = 0;
	m.step.attribute_count = 1;
	refuse(f, p, "attributes past the end");
	q = p;
	q.row.attributes = &a;
	q.row.attribute_count = 1;
	refuse(f, q, "not UTF-8");
	a.value.data = "x\0";
	a.value.size = a.value.true_size = 2;
	refuse(f, q, "not UTF-8 without NUL");
	a.value.true_size = 1;
	refuse(f, q, "true size 1 below 2");
	for (size_t i = 0; i < sizeof(between) / sizeof(*between); i++) {
		q = p;
		q.row.id += between[i];
		refuse(f, q, "expected a multiple of 65536");
		refuse(f, patch(q.row.id, 1, 0), "not an operation's id");
	}
	refuse(f, edge(0, 1, "parent", "exact"), "edge without an end");
	refuse(f, edge(2, 1, "child", "exact"), "makes child");
	refuse(f, edge(2, 1, "parent", "sure"), "grade sure");
	refuse(f, patch(0, 1, 0), "patch without id");
	refuse(f, (struct osp_part){.kind = OSP_PART_SESSION, .session = {"id", "xyz"}},
	       "expected 16 lower-case hexadecimal digits");
	refuse(f, (struct osp_part){.kind = (enum osp_part_kind)99}, "unknown kind of part");
	expect_dump(f, "");
}

/*
 * Operations whose ids are as near as they can be, each with its first and its last nested span, in
 * traces of two: links from one to the next, within the traces and between them, are found from
 * both ends, whether the operations are written together or not.
 */
static void links_of_neighbours_are_their_own(void **state)
{
	enum { COUNT = 8 };
	struct fixture *f = *state;
	struct osp_row_span spans[COUNT][3];
	struct small m[COUNT];
	struct osp_part rows[COUNT], links[2 * COUNT];
	size_t n = 0;

	for (size_t i = 0; i < COUNT; i++) {
		uint64_t id = (i + 1) * OSP_SPAN_IDS;

		rows[i] = small_row(&m[i], id, i / 2 + 1, (int64_t)i);
		for (uint16_t k = 0; k < 3; k++) {
			spans[i][k] = m[i].span;
			spans[i][k].number = (uint16_t)(k == 2 ? OSP_SPAN_IDS - 1 : k);
		}
		rows[i].row.spans = spans[i];
		rows[i].row.span_count = 3;
		if (i + 1 == COUNT)
			break;
		links[n++] = edge(id + OSP_SPAN_IDS - 1, id + OSP_SPAN_IDS, "parent", "exact");
		links[n++] = edge(id + 1, id + 2 * OSP_SPAN_IDS - 1, "link", "exact");
	}
	write_parts(f, rows, COUNT / 2 + 1);
	write_parts(f, links, n / 2);
	write_parts(f, rows + COUNT / 2 + 1, COUNT / 2 - 1);
	write_parts(f, links + n / 2, n - n / 2);

	expect_traces(f, -1, false, "1/6/2/0 2/6/4/1 3/6/4/1 4/6/4/1");
	expect_tree(f, 1, "10000<0 10001<10000 1ffff<10000 20000<1ffff 20001<20000 2ffff<20000");
	expect_tree(f, 4,
		    "70000<6ffff 70001<70000 7ffff<70000 80000<7ffff 80001<80000 8ffff<80000");
}

static void session_rows_come_in_the_order_of_their_keys(void **state)
{
	struct fixture *f = *state;
	static const char *const reasons[] = {"ring_full", "late"};
	static const uint64_t lost[] = {4, 5};
	struct osp_part parts[] = {
		{.kind = OSP_PART_SESSION, .session = {"b", "2"}},
		{.kind = OSP_PART_SESSION, .session = {"a", ""}},
		{.kind = OSP_PART_PROCESS,
		 .process = {2, 1, 20, 3, 1000, 1, 5, 6, 7, 9, "y", "", "y z"}},
		{.kind = OSP_PART_PROCESS,
		 .process = {1, 0, 10, 10, 0, 0, 1, 2, 0, 0, "x", "/x", ""}},
		{.kind = OSP_PART_ATTACH, .attach = {2, "p", "b", "detail", 5, 9, 1}},
		{.kind = OSP_PART_ATTACH, .attach = {2, "p", "a", "detail", 7, 0, 2}},
		{.kind = OSP_PART_ATTACH, .attach = {2, "p", "a", "detail", -7, 0, 3}},
		{.kind = OSP_PART_ATTACH, .attach = {1, "p", "ab", "essential", 5, 0, 4}},
		{.kind = OSP_PART_LOSS, .loss = {1, "p", "a", 12, 3, reasons, lost, 2}},
		{.kind = OSP_PART_LOSS, .loss = {1, "o", "z", 1, 1, NULL, NULL, 0}},
		{.kind = OSP_PART_GAP, .gap = {1, 5, 9, 4, "late"}},
		{.kind = OSP_PART_GAP, .gap = {1, 5, 8, 3, "full"}},
		{.kind = OSP_PART_CLOCK, .clock = {100, 5, 1}},
		{.kind = OSP_PART_CLOCK, .clock = {-100, 4, 1}},
		{.kind = OSP_PART_CATALOGUE, .catalogue = {"c.yaml", "a: 1\n"}},
	};

	write_parts(f, parts, sizeof(parts) / sizeof(parts[0]));

	expect_dump(
		f, "session name=\"a\" value=\"\"\n"
		   "session name=\"b\" value=\"2\"\n"
		   "catalogue name=\"c.yaml\" text=\"a: 1\\x0a\"\n"
		   "process 1 parent=0 pid=10 namespace_pid=10 uid=0 exec=0 start=1 seen=2 end=0 "
		   "exit=0 comm=\"x\" exe=\"/x\" cmdline=\"\"\n"
		   "process 2 parent=1 pid=20 namespace_pid=3 uid=1000 exec=1 start=5 seen=6 end=7 "
		   "exit=9 comm=\"y\" exe=\"\" cmdline=\"y z\"\n"
		   "attach 1 from=5 to=0 sites=4 provider=\"p\" probe=\"ab\" level=\"essential\"\n"
		   "attach 2 from=-7 to=0 sites=3 provider=\"p\" probe=\"a\" level=\"detail\"\n"
		   "attach 2 from=7 to=0 sites=2 provider=\"p\" probe=\"a\" level=\"detail\"\n"
		   "attach 2 from=5 to=9 sites=1 provider=\"p\" probe=\"b\" level=\"detail\"\n"
		   "loss 1 provider=\"o\" probe=\"z\" hits=1 stored=1\n"
		   "loss 1 provider=\"p\" probe=\"a\" hits=12 stored=3 reason=\"ring_full\" lost=4 "
		   "reason=\"late\" lost=5\n"
		   "gap 1 from=5 to=8 lost=3 reason=\"full\"\n"
		   "gap 1 from=5 to=9 lost=4 reason=\"late\"\n"
		   "clock -100 offset=4 error=1\n"
		   "clock 100 offset=5 error=1\n");
}

static void loss_is_replaced_with_all_its_reasons(void **state)
{
	struct fixture *f = *state;
	static const char *const reasons[] = {"ring_full", "late"};
	static const uint64_t before[] = {4, 5}, after[] = {6};
	struct osp_part a = {.kind = OSP_PART_LOSS,
			     .loss = {1, "p", "a", 12, 3, reasons, before, 2}};
	struct osp_part b = {.kind = OSP_PART_LOSS,
			     .loss = {1, "p", "a", 13, 7, reasons, after, 1}};

	write_parts(f, &a, 1);
	write_parts(f, &b, 1);

	expect_dump(
		f,
		"loss 1 provider=\"p\" probe=\"a\" hits=13 stored=7 reason=\"ring_full\" lost=6\n");
}

/* More of everything than fits the compact form: points, spans, fields, times, bytes. */
static void large_operation_round_trips(void **state)
{
	struct fixture *f = *state;
	enum { N = 700 };
	struct osp_row_span *spans = calloc(N, sizeof(*spans));
	struct osp_step *steps = calloc(N, sizeof(*steps));
	struct osp_attribute *attributes = calloc(N, sizeof(*attributes));
	char(*names)[16] = calloc(N, sizeof(*names));
	static char value[300];
	struct osp_part p = {.kind = OSP_PART_ROW}, got;
	struct osp_cursor *c = NULL;

	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "name%u", i);
		spans[i] = (struct osp_row_span){.number = (uint16_t)(i ? i + 60000 : 0),
						 .kind_name = names[i % 300],
						 .name = names[i],
						 .kind = OSP_SPAN_CLIENT,
						 .start_ns = 1ll << 50,
						 .end_ns = (1ll << 50) + i};
		steps[i] = (struct osp_step){.time_ns = i == 9 ? -77
							       : (1ll << 50) + ((int64_t)i << 40),
					     .name = names[i],
					     .span = (uint16_t)i,
					     .attribute_count = 1,
					     .first_attribute = i};
		attributes[i] = (struct osp_attribute){names[i],
						       {.type = OSP_VALUE_STR,
							.data = value,
							.size = 200 + i % 100,
							.true_size = 200 + i % 100}};
	}
	p.row = (struct osp_row){.id = UINT64_MAX - 65535,
				 .trace = INT64_MAX,
				 .process = UINT32_MAX,
				 .tid = UINT32_MAX,
				 .spans = spans,
				 .span_count = N,
				 .steps = steps,
				 .step_count = N,
				 .attributes = attributes,
				 .attribute_count = N};
	write_parts(f, &p, 1);

	assert_ok(osp_store_parts(f->store, OSP_PART_ROW, &c));
	assert_ok(osp_cursor_next_part(c, &got));
	assert_int_equal(got.row.span_count, N);
	assert_int_equal(got.row.step_count, N);
	assert_int_equal(got.row.process, UINT32_MAX);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(got.row.spans[i].number, spans[i].number);
		assert_string_equal(got.row.spans[i].name, names[i]);
		assert_string_equal(got.row.spans[i].kind_name, names[i % 300]);
		assert_true(got.row.steps[i].time_ns == steps[i].time_ns);
		assert_int_equal(got.row.steps[i].span, i);
		assert_string_equal(got.row.steps[i].name, names[i]);
		assert_int_equal(got.row.attributes[i].value.size, 200 + i % 100);
		assert_string_equal(got.row.attributes[i].name, names[i]);
	}
	assert_int_equal(osp_cursor_next_part(c, &got), 1);
	osp_cursor_close(&c);
	free(names);
	free(attributes);
	free(steps);
	free(spans);
}

static void more_strings_than_are_held_in_memory(void **state)
{
	struct fixture *f = *state;
	enum { N = 70000, BATCH = 1000 };
	struct small *m = calloc(BATCH, sizeof(*m));
	struct osp_part *parts = calloc(BATCH, sizeof(*parts));
	char(*names)[16] = calloc(BATCH, sizeof(*names));
	struct osp_cursor *c = NULL;
	struct osp_span span;
	unsigned n = 0;

	for (unsigned at = 0; at < N; at += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			snprintf(names[i], sizeof(names[i]), "n%u", at + i);
			parts[i] = small_row(&m[i], ((uint64_t)at + i + 1) << 16, 1, at + i);
			m[i].span.name = names[i];
		}
		write_parts(f, parts, BATCH);
	}
	/* the same names once more, the held ones and the others */
	write_parts(f, parts, BATCH);

	assert_ok(osp_store_spans(f->store, 1, &c));
	while (!osp_cursor_next_span(c, &span)) {
		char expected[16];

		snprintf(expected, sizeof(expected), "n%u", n++);
		assert_string_equal(span.name, expected);
	}
	assert_int_equal(n, N);
	osp_cursor_close(&c);
	free(names);
	free(parts);
	free(m);
}

/* 25 bytes that may be a trace context: trace id, span id, flags. */
static void put_context(uint8_t to[25], uint8_t trace, uint64_t span, uint8_t flags)
{
	memset(to, trace, 16);
	for (int i = 0; i < 8; i++)
		to[16 + i] = (uint8_t)(span >> (56 - 8 * i));
	to[24] = flags;
}

/* Of one trace id or two, of spans that are stored beside it or not: all come back as they were. */
static void trace_contexts_keep_every_byte(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint8_t trace;
		uint64_t span;
		uint8_t flags;
	} cases[] = {{7, 0x10000, 1}, {7, 0x20003, 1}, {8, 0x20000, 1},	  {7, 0x10000, 0},
		     {7, 0x30000, 1}, {7, 0x10100, 1}, {9, 0x10000, 255}, {7, 0x10000, 1}};
	enum { COUNT = sizeof(cases) / sizeof(cases[0]) };
	struct osp_attribute attributes[COUNT];
	uint8_t bytes[COUNT][25];
	struct small m[2];
	struct osp_part parts[] = {small_row(&m[0], 0x10000, 1, 0),
				   small_row(&m[1], 0x20000, 1, 0)},
			got;
	struct osp_cursor *c = NULL;

	for (size_t i = 0; i < COUNT; i++) {
		put_context(bytes[i], cases[i].trace, cases[i].span, cases[i].flags);
		attributes[i] = (struct osp_attribute){
			"c",
			{.type = OSP_VALUE_BYTES, .data = bytes[i], .size = 25, .true_size = 25}};
	}
	m[0].step.attribute_count = COUNT;
	parts[0].row.attributes = attributes;
	parts[0].row.attribute_count = COUNT;
	write_parts(f, parts, 2);

	assert_ok(osp_store_parts(f->store, OSP_PART_ROW, &c));
	assert_ok(osp_cursor_next_part(c, &got));
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(got.row.attributes[i].value.size, 25);
		assert_memory_equal(got.row.attributes[i].value.data, bytes[i], 25);
	}
	osp_cursor_close(&c);
}

static void expect_setting(struct fixture *f, const char *name, const char *value)
{
	struct osp_cursor *c = NULL;
	struct osp_part part;
	bool found = false;

	assert_ok(osp_store_parts(f->store, OSP_PART_SESSION, &c));
	while (!osp_cursor_next_part(c, &part)) {
		if (strcmp(part.session.name, name))
			continue;
		found = true;
		assert_string_equal(part.session.value, value);
	}
	assert_int_equal(found, value[0] != 0);
	osp_cursor_close(&c);
}

/* Trace 1 is old, 2 has a young operation, 3 one that is open; a link leads from 2 into 1. */
static void forgetting_takes_whole_traces_that_are_old(void **state)
{
	struct fixture *f = *state;
	struct small m[7];
	struct osp_part parts[] = {
		small_row(&m[0], 0x10000, 1, 0),
		small_row(&m[1], 0x20000, 1, 5),
		small_row(&m[2], 0x30000, 2, 0),
		small_row(&m[3], 0x40000, 2, 500),
		small_row(&m[4], 0x50000, 3, 0),
		edge(0x10000, 0x20000, "parent", "exact"),
		edge(0x30000, 0x20000, "link", "ambiguous"),
		edge(0x30000, 0x40000, "parent", "weak"),
		patch(0x10000, 0, OSP_MARK_MAY_BE_CUT),
	};
	struct osp_part late = small_row(&m[5], 0x40000, 2, 20);
	struct osp_part reported = small_row(&m[6], 0x60000, 1, 0);
	bool more = true;

	/* what a peer reported goes, too, but no books ever counted its step */
	m[6].span.marks = OSP_MARK_REPORTED;
	reported.row.process = 7;
	write_parts(f, &reported, 1);
	parts[0].row.process = 7;
	parts[4].row.complete = false;
	/* in several batches: what is young comes apart from what is old */
	write_parts(f, parts, 3);
	write_parts(f, parts + 3, 6);
	assert_ok(osp_store_forget(f->store, 100, &more));
	assert_false(more);
	expect_traces(f, -1, false, "2/2/1/0 3/1/0/0");
	expect_setting(f, OSP_SESSION_FORGOTTEN "1", "1");
	expect_setting(f, OSP_SESSION_FORGOTTEN "7", "1");
	expect_tree(f, 2, "30000<0 40000<30000");
	expect_tree(f, 1, "");

	/* what was forgotten may come again; what ended meanwhile may go */
	write_parts(f, &parts[1], 1);
	write_parts(f, &late, 1);
	expect_traces(f, -1, false, "2/2/1/0 3/1/0/0 1/1/0/0");
	assert_ok(osp_store_forget(f->store, 100, &more));
	expect_traces(f, -1, false, "3/1/0/0");
	expect_setting(f, OSP_SESSION_FORGOTTEN "1", "4");
}

static void saved_session_is_the_same(void **state)
{
	struct fixture *f = *state;
	char directory[] = "/tmp/outspan-saved-XXXXXX", path[80], uri[100], *before, *after;
	struct sample *s = sample_new();
	struct osp_store *saved;

	write_parts(f, s->parts, s->count);
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/saved.db", directory);
	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	assert_ok(osp_store_save(f->store, path, false));
	assert_int_equal(osp_store_save(f->store, path, false), -EEXIST);
	assert_ok(osp_store_save(f->store, path, true));
	saved = open_store(uri, OSP_STORE_READ);
	before = dump(f->store);
	after = dump(saved);
	assert_string_equal(before, after);
	assert_ok(osp_store_close(&saved, false));
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
	free(before);
	free(after);
	free(s);
}

/* A part and all that it points to, in one block that is freed. */
struct brief {
	struct osp_part part;
	struct osp_row_span span;
	struct osp_step step;
	struct osp_attribute attributes[2];
	char name[8], code[8], text[8], also[8], rule[8];
	uint8_t bytes[4];
};

/* Names that last may not lie in it: of rows of a form they are told apart by address. */
static struct brief *new_row(uint64_t id, const char *name, uint8_t byte)
{
	struct brief *b = calloc(1, sizeof(*b));

	strcpy(b->name, name);
	strcpy(b->code, "c");
	strcpy(b->text, name);
	memset(b->bytes, byte, sizeof(b->bytes));
	b->span = (struct osp_row_span){.kind_name = "op",
					.name = b->name,
					.kind = OSP_SPAN_CLIENT,
					.start_ns = byte,
					.end_ns = byte + 1,
					.status = OSP_SPAN_OK,
					.code = b->code};
	b->step = (struct osp_step){.time_ns = byte + 1, .name = "at", .attribute_count = 2};
	b->attributes[0] = (struct osp_attribute){
		"t", {.type = OSP_VALUE_STR, .data = b->text, .size = 1, .true_size = 1}};
	b->attributes[1] = (struct osp_attribute){
		"b", {.type = OSP_VALUE_BYTES, .data = b->bytes, .size = 4, .true_size = 4}};
	b->part = (struct osp_part){.kind = OSP_PART_ROW,
				    .row = {.id = id,
					    .trace = 1,
					    .process = 1,
					    .tid = 2,
					    .complete = true,
					    .lasting = true,
					    .form = 9,
					    .spans = &b->span,
					    .span_count = 1,
					    .steps = &b->step,
					    .step_count = 1,
					    .attributes = b->attributes,
					    .attribute_count = 2}};
	return b;
}

static struct brief *new_edge(uint64_t from, uint64_t to)
{
	struct brief *b = calloc(1, sizeof(*b));

	strcpy(b->rule, "rule");
	strcpy(b->also, "also");
	b->part = edge(from, to, "link", "exact");
	b->part.edge.rule = b->rule;
	b->part.edge.also = b->also;
	return b;
}

static void add(struct fixture *f, struct brief *b)
{
	assert_ok(osp_store_add(f->store, &b->part, 1));
	memset(b, 0x5a, sizeof(*b));
	free(b);
}

static void what_was_added_is_the_callers_again(void **state)
{
	static const char *const expected[] = {
		"  span 0 in 0 kind_name=\"op\" name=\"x\" kind=3 start=1 end=2 status=1 "
		"code=\"c\" marks=0\n"
		"  step 2 span=0 name=\"at\" \"t\"=\"x\" \"b\"=bytes:01010101\n",
		"  span 0 in 0 kind_name=\"op\" name=\"y\" kind=3 start=2 end=3 status=1 "
		"code=\"c\" marks=0\n"
		"  step 3 span=0 name=\"at\" \"t\"=\"y\" \"b\"=bytes:02020202\n",
		"  span 0 in 0 kind_name=\"op\" name=\"z\" kind=3 start=3 end=4 status=1 "
		"code=\"c\" marks=0\n"
		"  step 4 span=0 name=\"z\" \"t\"=\"z\" \"b\"=bytes:03030303\n",
		"rule=\"rule\" makes=\"link\" evidence=\"message_id\" grade=\"exact\" also=\"also\"",
	};
	struct fixture *f = *state;
	struct brief *other = new_row(0x30000, "z", 3);
	char *text;

	other->part.row.form = 0;
	other->part.row.lasting = false;
	other->step.name = other->name;
	add(f, new_row(0x10000, "x", 1));
	add(f, new_row(0x20000, "y", 2));
	add(f, other);
	add(f, new_edge(0x10000, 0x20000));
	assert_ok(osp_store_write(f->store, NULL, 0));

	text = dump(f->store);
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		if (!strstr(text, expected[i]))
			fail_msg("not there: %s in:\n%s", expected[i], text);
	free(text);
}

/* Their texts are told apart by address, but for `also`. */
static void links_whose_texts_last_are_told_apart(void **state)
{
	static const char expected[] =
		"edge 0000000000010000 -> 0000000000020000 rule=\"rule\" makes=\"link\" "
		"evidence=\"message_id\" grade=\"exact\" also=\"one\"\n"
		"edge 0000000000010000 -> 0000000000030000 rule=\"rule\" makes=\"link\" "
		"evidence=\"message_id\" grade=\"exact\" also=\"two\"\n"
		"edge 0000000000010000 -> 0000000000040000 rule=\"rule\" makes=\"link\" "
		"evidence=\"message_id\" grade=\"exact\" also=\n"
		"edge 0000000000010000 -> 0000000000050000 rule=\"rule\" makes=\"link\" "
		"evidence=\"message_id\" grade=\"weak\" also=\n"
		"edge 0000000000010000 -> 0000000000060000 rule=\"rule\" makes=\"parent\" "
		"evidence=\"message_id\" grade=\"weak\" also=\n";
	struct fixture *f = *state;
	struct small m[6];
	struct osp_part parts[11];
	char also[] = "one", *text;

	for (size_t i = 0; i < 6; i++)
		parts[i] = small_row(&m[i], (i + 1) << 16, 1, (int64_t)i);
	for (size_t i = 0; i < 5; i++) {
		parts[6 + i] = edge(0x10000, (i + 2) << 16, i < 4 ? "link" : "parent",
				    i < 3 ? "exact" : "weak");
		parts[6 + i].edge.lasting = true;
	}
	parts[6].edge.also = also;
	assert_ok(osp_store_add(f->store, parts, 7));
	memcpy(also, "two", 3); /* the same address */
	parts[7].edge.also = also;
	write_parts(f, parts + 7, 4);

	text = dump(f->store);
	if (!strstr(text, expected))
		fail_msg("not there: %s in:\n%s", expected, text);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_was_added_is_the_callers_again),
		BOTH(links_whose_texts_last_are_told_apart),
		BOTH(trace_contexts_keep_every_byte),
		BOTH(forgetting_takes_whole_traces_that_are_old),
		BOTH(saved_session_is_the_same),
		BOTH(new_store_is_empty),
		BOTH(row_reads_back_whole),
		BOTH(values_keep_type_and_bits),
		BOTH(complete_part_replaces_start_part_in_any_order),
		BOTH(replaced_row_loses_its_nested_spans),
		BOTH(identical_part_twice_changes_nothing),
		BOTH(patch_applies_before_and_after_its_row),
		BOTH(pending_patches_add_up),
		BOTH(patch_survives_the_complete_part),
		BOTH(traces_join_and_split_again),
		BOTH(later_edge_replaces_the_earlier),
		BOTH(greater_seq_wins_in_any_order),
		BOTH(bad_part_refuses_the_whole_batch),
		BOTH(malformed_parts_are_refused_by_name),
		BOTH(links_of_neighbours_are_their_own),
		BOTH(session_rows_come_in_the_order_of_their_keys),
		BOTH(loss_is_replaced_with_all_its_reasons),
		BOTH(large_operation_round_trips),
		BOTH(more_strings_than_are_held_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
