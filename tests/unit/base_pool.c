/* user/base/pool.c: pieces do not overlap, and what was given back comes first. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "user/base/pool.h"

static void pieces_do_not_overlap(void **state)
{
	enum { PIECES = 20000 };
	static const size_t sizes[] = {1, 24, 200, 5000};
	static uint8_t *pieces[PIECES];

	(void)state;
	for (size_t s = 0; s < 4; s++) {
		size_t size = sizes[s], count = size < 1000 ? PIECES : 1000;
		struct osp_pool p;

		osp_pool_init(&p, size);
		for (size_t i = 0; i < count; i++) {
			pieces[i] = osp_pool_alloc(&p);
			assert_non_null(pieces[i]);
			assert_int_equal((uintptr_t)pieces[i] % 8, 0);
			memset(pieces[i], (int)(i % 251), size);
		}
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(pieces[i][0], i % 251);
			assert_int_equal(pieces[i][size - 1], i % 251);
		}
		osp_pool_clear(&p);
	}
}

static void the_piece_given_back_last_comes_first(void **state)
{
	struct osp_pool p;
	void *a, *b;

	(void)state;
	osp_pool_init(&p, 16);
	a = osp_pool_alloc(&p);
	b = osp_pool_alloc(&p);
	osp_pool_free(&p, NULL);
	osp_pool_free(&p, b);
	osp_pool_free(&p, a);
	assert_ptr_equal(osp_pool_alloc(&p), a);
	assert_ptr_equal(osp_pool_alloc(&p), b);
	osp_pool_clear(&p);
}

static void pieces_larger_than_a_slab_are_possible(void **state)
{
	enum { LARGE = 3 << 20 };
	struct osp_pool p;
	uint8_t *a, *b;

	(void)state;
	osp_pool_init(&p, LARGE);
	a = osp_pool_alloc(&p);
	b = osp_pool_alloc(&p);
	memset(a, 1, LARGE);
	memset(b, 2, LARGE);
	assert_int_equal(a[LARGE - 1], 1);
	osp_pool_clear(&p);
}

RUN_TESTS(TEST(pieces_do_not_overlap), TEST(the_piece_given_back_last_comes_first),
	  TEST(pieces_larger_than_a_slab_are_possible))
