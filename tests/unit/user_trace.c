/* Trace membership against a plain computation of connected components. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/trace.h"

enum { NODES = 24, EDGES = 400 };

/* What a store would have as each operation's trace: its key when stored, then patches. */
static uint64_t stored[NODES];

static int moved(void *arg, const struct osp_trace_node *n)
{
	(*(int *)arg)++;
	stored[n->id] = osp_trace_key(n);
	return 0;
}

static struct osp_trace_node *add(struct osp_forest *f, uint64_t id)
{
	struct osp_trace_node *n;

	assert_int_equal(osp_trace_add(f, 1, id, &n), 0);
	return n;
}

static void an_operation_alone_has_its_own_number(void **state)
{
	struct osp_forest *f;
	int moves = 0;

	(void)state;
	assert_int_equal(osp_trace_new(&f, 100, moved, &moves), 0);
	assert_int_equal(osp_trace_key(add(f, 5)), 1);
	assert_int_equal(osp_trace_key(add(f, 6)), 2);
	assert_int_equal(osp_trace_key(add(f, 5)), 1);
	osp_trace_free(&f);
}

static void the_smaller_key_stays_and_only_stored_rows_move(void **state)
{
	struct osp_trace_node *a, *b, *c;
	struct osp_forest *f;
	int moves = 0;

	(void)state;
	assert_int_equal(osp_trace_new(&f, 100, moved, &moves), 0);
	a = add(f, 0);
	b = add(f, 1);
	c = add(f, 2);
	b->stored = true;
	assert_int_equal(osp_trace_join(f, c, b), 0);
	assert_int_equal(moves, 0);
	assert_int_equal(osp_trace_key(c), 2);
	assert_int_equal(osp_trace_join(f, c, a), 0);
	assert_int_equal(moves, 1);
	assert_int_equal(stored[1], 1);
	assert_int_equal(osp_trace_part(f, a, c), 0);
	assert_int_equal(stored[1], 2);
	assert_int_equal(osp_trace_key(a), 1);
	assert_int_equal(osp_trace_key(c), 2);
	osp_trace_free(&f);
}

static void two_reasons_to_be_joined_need_two_partings(void **state)
{
	struct osp_trace_node *a, *b;
	struct osp_forest *f;
	int moves = 0;

	(void)state;
	assert_int_equal(osp_trace_new(&f, 100, moved, &moves), 0);
	a = add(f, 0);
	b = add(f, 1);
	osp_trace_join(f, a, b);
	osp_trace_join(f, b, a);
	osp_trace_part(f, a, b);
	assert_int_equal(osp_trace_key(b), 1);
	osp_trace_part(f, a, b);
	assert_int_equal(osp_trace_key(b), 2);
	osp_trace_part(f, a, b);
	assert_int_equal(osp_trace_key(b), 2);
	osp_trace_free(&f);
}

struct edge {
	size_t a, b;
};

/* Smallest number that can be reached, by repeated relaxation. */
static void components(const struct edge *edges, size_t count, uint64_t key[NODES])
{
	for (size_t i = 0; i < NODES; i++)
		key[i] = i + 1;
	for (size_t round = 0; round < NODES; round++)
		for (size_t i = 0; i < count; i++) {
			uint64_t *a = &key[edges[i].a], *b = &key[edges[i].b];

			*a = *b = *a < *b ? *a : *b;
		}
}

static void any_joining_and_parting_gives_the_components(void **state)
{
	struct osp_trace_node *nodes[NODES];
	struct edge edges[EDGES];
	uint64_t key[NODES];
	size_t count = 0;
	struct osp_forest *f;
	unsigned int seed = 3;
	int moves = 0;

	(void)state;
	assert_int_equal(osp_trace_new(&f, 100, moved, &moves), 0);
	for (size_t i = 0; i < NODES; i++) {
		nodes[i] = add(f, i);
		nodes[i]->stored = true;
		stored[i] = i + 1;
	}
	for (int round = 0; round < 5000; round++) {
		size_t at = count ? (size_t)rand_r(&seed) % count : 0;

		if (count < EDGES && (!count || rand_r(&seed) % 100 < (count < 20 ? 60 : 40))) {
			struct edge e = {(size_t)rand_r(&seed) % NODES,
					 (size_t)rand_r(&seed) % NODES};

			if (e.a == e.b)
				continue;
			edges[count++] = e;
			assert_int_equal(osp_trace_join(f, nodes[e.a], nodes[e.b]), 0);
		} else {
			struct edge e = edges[at];

			edges[at] = edges[--count];
			assert_int_equal(osp_trace_part(f, nodes[e.b], nodes[e.a]), 0);
		}
		components(edges, count, key);
		for (size_t i = 0; i < NODES; i++) {
			assert_int_equal(osp_trace_key(nodes[i]), key[i]);
			assert_int_equal(stored[i], key[i]);
		}
	}
	assert_true(moves > 0);
	osp_trace_free(&f);
}

static void what_nobody_needs_is_forgotten_with_its_component(void **state)
{
	struct osp_trace_node *a, *b, *pinned;
	struct osp_forest *f;
	int moves = 0;

	(void)state;
	assert_int_equal(osp_trace_new(&f, 3, moved, &moves), 0);
	pinned = add(f, 1);
	osp_trace_pin(f, pinned);
	a = add(f, 2);
	b = add(f, 3);
	osp_trace_join(f, a, b);
	add(f, 4);
	add(f, 5);
	assert_int_equal(osp_trace_key(add(f, 1)), 1);
	assert_true(osp_trace_key(add(f, 2)) > 5);
	osp_trace_unpin(f, pinned);
	osp_trace_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_operation_alone_has_its_own_number),
		cmocka_unit_test(the_smaller_key_stays_and_only_stored_rows_move),
		cmocka_unit_test(two_reasons_to_be_joined_need_two_partings),
		cmocka_unit_test(any_joining_and_parting_gives_the_components),
		cmocka_unit_test(what_nobody_needs_is_forgotten_with_its_component),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
