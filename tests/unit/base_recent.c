/* user/base/recent.c against a plain array: what is in the window is found, newest first. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "user/base/recent.h"

enum { ROUNDS = 20000, WINDOW = 64, HASHES = 24, MOST = 8 };

/* Many of one hash, many of one bucket, and some of their own. */
static uint64_t hash_at(unsigned int n)
{
	return n % 3 ? 5 + ((n % HASHES + 1ull) << 40) : (n + 1) * 0x9e3779b97f4a7c15ull;
}

/* Those of the array that are in the window, newest first. */
static size_t expect(const uint64_t *hashes, uint32_t newest, uint64_t hash, uint32_t *out)
{
	size_t n = 0;

	for (uint32_t s = newest; s && newest - s < WINDOW && n < MOST; s--)
		if (hashes[s] == hash)
			out[n++] = s;
	return n;
}

static void the_window_is_found_newest_first(void **state)
{
	uint64_t *hashes = calloc(ROUNDS + 1, sizeof(*hashes));
	uint32_t found[MOST], expected[MOST];
	struct osp_recent r;
	size_t n;

	(void)state;
	srand(7);
	assert_ok(osp_recent_init(&r, WINDOW));
	for (uint32_t s = 1; s <= ROUNDS; s++) {
		uint64_t hash = hash_at((unsigned int)rand());

		r.newest = s;
		r.count = s < WINDOW ? s : WINDOW;
		hashes[s] = hash;
		osp_recent_add(&r, hash, s);
		if (s % 5 == 0) {
			uint32_t gone = s - (uint32_t)rand() % (s < 40 ? s : 40);

			osp_recent_remove(&r, hashes[gone], gone);
			hashes[gone] = 0;
		}
		hash = hash_at((unsigned int)rand());
		n = expect(hashes, s, hash, expected);
		assert_int_equal(osp_recent_find(&r, hash, MOST, found), n);
		assert_memory_equal(found, expected, n * sizeof(found[0]));
	}
	osp_recent_clear(&r);
	free(hashes);
}

static void the_window_goes_on_beyond_the_last_number(void **state)
{
	const uint64_t hash = 9ull << 32;
	struct osp_recent r;
	uint32_t found[MOST];

	(void)state;
	assert_ok(osp_recent_init(&r, WINDOW));
	r.newest = UINT32_MAX;
	r.count = 3;
	osp_recent_add(&r, hash, UINT32_MAX);
	r.newest = 0;
	osp_recent_add(&r, hash, 0);
	r.newest = 1;
	osp_recent_add(&r, hash, 1);
	assert_int_equal(osp_recent_find(&r, hash, MOST, found), 3);
	assert_int_equal(found[0], 1);
	assert_int_equal(found[1], 0);
	assert_int_equal(found[2], UINT32_MAX);
	r.newest = 2;
	assert_int_equal(osp_recent_find(&r, hash, MOST, found), 2);
	osp_recent_clear(&r);
}

static void more_of_a_hash_than_a_few_are_crowded(void **state)
{
	uint64_t hash = 5 + (1ull << 40);
	struct osp_recent r;

	(void)state;
	assert_ok(osp_recent_init(&r, WINDOW));
	r.count = 20;
	for (uint32_t s = 1; s <= OSP_RECENT_FEW; s++) {
		r.newest = s;
		osp_recent_add(&r, hash, s);
		assert_false(osp_recent_crowded(&r, hash));
	}
	r.newest = OSP_RECENT_FEW + 1;
	osp_recent_add(&r, hash, r.newest);
	assert_true(osp_recent_crowded(&r, hash));
	r.newest += 19;
	assert_true(osp_recent_crowded(&r, hash));
	r.newest++;
	assert_false(osp_recent_crowded(&r, hash));
	osp_recent_clear(&r);
}

RUN_TESTS(TEST(the_window_is_found_newest_first), TEST(the_window_goes_on_beyond_the_last_number),
	  TEST(more_of_a_hash_than_a_few_are_crowded))
