/*
 * The store contract, reading: orders, limits, trees, links, cursors, finding. One list of
 * behaviours, run on every store, as in contract.c.
 */
#include "tests/contract/fixture.h"

static void limits_mean_the_same_everywhere(void **state)
{
	struct fixture *f = *state;
	struct osp_trace_query q = {.limit = -2};
	struct osp_cursor *c = NULL;
	struct small m[4];

	for (unsigned i = 0; i < 4; i++) {
		/* trace 4 starts first; 2 and 3 at the same time */
		struct osp_part p = small_row(&m[i], 0x10000 * (i + 1), i + 1,
					      i == 3 ? 0
					      : i    ? 9
						     : 5);

		write_parts(f, &p, 1);
	}

	expect_traces(f, -1, false, "4/1/0/0 1/1/0/0 2/1/0/0 3/1/0/0");
	expect_traces(f, 2, false, "4/1/0/0 1/1/0/0");
	expect_traces(f, 2, true, "2/1/0/0 3/1/0/0");
	expect_traces(f, 0, true, "");
	expect_traces(f, 99, true, "4/1/0/0 1/1/0/0 2/1/0/0 3/1/0/0");
	assert_int_equal(osp_store_traces(f->store, &q, &c), -EINVAL);
	assert_null(c);
}

static void children_follow_parents_then_start_then_id(void **state)
{
	struct fixture *f = *state;
	struct small m[5];
	struct osp_part parts[] = {
		small_row(&m[0], 0x50000, 1, 0),	   small_row(&m[1], 0x40000, 1, 9),
		small_row(&m[2], 0x30000, 1, 9),	   small_row(&m[3], 0x20000, 1, 3),
		small_row(&m[4], 0x10000, 1, -5),	   edge(0x50000, 0x40000, "parent", "weak"),
		edge(0x20000, 0x10000, "parent", "exact"),
	};

	parts[2].row.parent_id = 0x50000;
	parts[3].row.parent_id = 0x50000;
	write_parts(f, parts, 7);

	expect_tree(f, 1, "50000<0 20000<50000 10000<20000 30000<50000 40000<50000");
}

static void best_grade_makes_the_parent(void **state)
{
	struct fixture *f = *state;
	struct small m[4];
	struct osp_part parts[] = {
		small_row(&m[0], 0x10000, 1, 0),
		small_row(&m[1], 0x20000, 1, 1),
		small_row(&m[2], 0x30000, 1, 2),
		small_row(&m[3], 0x40000, 1, 3),
		edge(0x10000, 0x40000, "parent", "weak"),
		edge(0x20000, 0x40000, "parent", "strong"),
		edge(0x30000, 0x40000, "link", "exact"),
	};

	write_parts(f, parts, 7);

	expect_tree(f, 1, "10000<0 20000<0 40000<20000 30000<0");
}

static void circle_of_parents_ends(void **state)
{
	struct fixture *f = *state;
	struct small m[3];
	struct osp_part parts[] = {
		small_row(&m[0], 0x10000, 1, 0),
		small_row(&m[1], 0x20000, 1, 1),
		small_row(&m[2], 0x30000, 1, 2),
		edge(0x30000, 0x10000, "parent", "exact"),
		edge(0x10000, 0x20000, "parent", "exact"),
		edge(0x20000, 0x30000, "parent", "exact"),
	};

	write_parts(f, parts, 6);

	expect_tree(f, 1, "10000<30000 20000<10000 30000<20000");
	expect_traces(f, -1, false, "1/3/3/0");
}

/* It may still come while the session is written, or would have, had its recorder lived. */
static void missing_parent_is_named_and_makes_a_root(void **state)
{
	struct fixture *f = *state;
	struct small m;
	struct osp_part parts[] = {small_row(&m, 0x20000, 1, 0),
				   edge(0x10001, 0x20000, "parent", "exact")};
	struct osp_part ended = {.kind = OSP_PART_SESSION, .session = {OSP_SESSION_ENDED, "now"}};

	write_parts(f, parts, 2);

	expect_tree(f, 1, "20000<10001");
	expect_traces(f, -1, false, "1/1/1/1");

	write_parts(f, &ended, 1);

	expect_traces(f, -1, false, "1/1/1/0");
}

static void ambiguous_link_is_no_parent(void **state)
{
	struct fixture *f = *state;
	struct sample *s = sample_new();

	write_parts(f, s->parts, s->count);

	expect_tree(f, 5, "8c1f3e2a4b700000<0");
	expect_traces(f, -1, false, "1/9/4/0 2/9/3/0 3/2/0/0 4/2/0/0 5/1/2/20 6/1/0/f 7/3/1/0");
	free(s);
}

static void deep_trace_is_walked_without_recursion(void **state)
{
	struct fixture *f = *state;
	enum { DEPTH = 20000 };
	struct small *m = calloc(DEPTH, sizeof(*m));
	struct osp_part *parts = calloc(DEPTH, sizeof(*parts));
	struct osp_cursor *c = NULL;
	struct osp_span span;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < DEPTH; i++) {
		parts[i] = small_row(&m[i], (i + 1) << 16, 1, (int64_t)(DEPTH - i));
		parts[i].row.parent_id = i << 16;
	}
	write_parts(f, parts, DEPTH);

	assert_ok(osp_store_spans(f->store, 1, &c));
	while (!osp_cursor_next_span(c, &span)) {
		expected += 0x10000;
		assert_true(span.id == expected);
	}
	assert_true(expected == (uint64_t)DEPTH << 16);
	osp_cursor_close(&c);
	free(parts);
	free(m);
}

static void trace_is_found_by_the_beginning_of_its_id(void **state)
{
	struct fixture *f = *state;
	struct sample *s = sample_new();
	uint64_t key = 0;

	write_parts(f, s->parts, s->count);

	assert_ok(osp_store_find_trace(f->store, "8c1f1e2a4b6e", &key));
	assert_int_equal(key, 1);
	assert_ok(osp_store_find_trace(f->store, "8C1F3E", &key));
	assert_int_equal(key, 5);
	assert_ok(osp_store_find_trace(f->store, "8c1f2e2a4b7300005eed5eed5eed5eed", &key));
	assert_int_equal(key, 7);
	assert_int_equal(osp_store_find_trace(f->store, "8c1f", &key), -EEXIST);
	assert_int_equal(osp_store_find_trace(f->store, "77", &key), -ENOENT);
	/* a span that is no root does not name a trace */
	assert_int_equal(osp_store_find_trace(f->store, "8c1f2e2a4b6e", &key), -ENOENT);
	assert_int_equal(osp_store_find_trace(f->store, "8c1f1e2a4b6e00005eed5eed5eed5eee", &key),
			 -ENOENT);
	assert_int_equal(osp_store_find_trace(f->store, "", &key), -EINVAL);
	assert_int_equal(osp_store_find_trace(f->store, "8c1g", &key), -EINVAL);
	assert_int_equal(key, 7);
	free(s);
}

static void span_is_found_by_its_id(void **state)
{
	struct fixture *f = *state;
	struct sample *s = sample_new();
	uint64_t key = 0;

	write_parts(f, s->parts, s->count);

	assert_ok(osp_store_find_span(f->store, sample_id(SAMPLE_DEPOT, 2) + 3, &key));
	assert_int_equal(key, 2);
	assert_ok(osp_store_find_span(f->store, sample_id(SAMPLE_WEST, 9), &key));
	assert_int_equal(key, 7);
	assert_int_equal(osp_store_find_span(f->store, sample_id(SAMPLE_DEPOT, 2) + 4, &key),
			 -ENOENT);
	assert_int_equal(osp_store_find_span(f->store, 1, &key), -ENOENT);
	assert_int_equal(key, 7);
	free(s);
}

static void cursor_can_be_closed_midway_and_writes_go_on(void **state)
{
	struct fixture *f = *state;
	struct sample *s = sample_new();
	struct osp_cursor *c = NULL;
	struct osp_span span;
	struct small m;
	struct osp_part p = small_row(&m, 0x50000, 50, 0);

	write_parts(f, s->parts, s->count);
	assert_ok(osp_store_spans(f->store, 0, &c));
	assert_ok(osp_cursor_next_span(c, &span));
	osp_cursor_close(&c);
	write_parts(f, &p, 1);

	expect_tree(f, 50, "50000<0");
	assert_ok(osp_store_flush(f->store));
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(limits_mean_the_same_everywhere),
		BOTH(children_follow_parents_then_start_then_id),
		BOTH(best_grade_makes_the_parent),
		BOTH(circle_of_parents_ends),
		BOTH(missing_parent_is_named_and_makes_a_root),
		BOTH(ambiguous_link_is_no_parent),
		BOTH(deep_trace_is_walked_without_recursion),
		BOTH(trace_is_found_by_the_beginning_of_its_id),
		BOTH(span_is_found_by_its_id),
		BOTH(cursor_can_be_closed_midway_and_writes_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
