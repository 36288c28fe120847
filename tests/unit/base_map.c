/* user/base/map.c against a plain array: additions, removals, maxima, keys of every length. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/map.h"

static void keys_are_found_until_removed(void **state)
{
	struct osp_map m;
	int a, b;

	(void)state;
	osp_map_init(&m, 10, 7);
	assert_null(osp_map_find(&m, "x", 1));
	assert_ok(osp_map_add(&m, "x", 1, &a));
	assert_ok(osp_map_add(&m, "", 0, &b));
	assert_ptr_equal(osp_map_find(&m, "x", 1), &a);
	assert_ptr_equal(osp_map_find(&m, "", 0), &b);
	assert_ptr_equal(osp_map_remove(&m, "x", 1), &a);
	assert_null(osp_map_find(&m, "x", 1));
	assert_null(osp_map_remove(&m, "x", 1));
	osp_map_clear(&m);
}

static void adding_a_key_again_replaces_its_value(void **state)
{
	struct osp_map m;
	int a, b;

	(void)state;
	osp_map_init(&m, 1, 0);
	assert_ok(osp_map_add(&m, "k", 1, &a));
	assert_ok(osp_map_add(&m, "k", 1, &b));
	assert_ptr_equal(osp_map_find(&m, "k", 1), &b);
	assert_int_equal(m.count, 1);
	osp_map_clear(&m);
}

static void a_full_map_refuses(void **state)
{
	struct osp_map m;
	int v;

	(void)state;
	osp_map_init(&m, 2, 0);
	assert_ok(osp_map_add(&m, "a", 1, &v));
	assert_ok(osp_map_add(&m, "b", 1, &v));
	assert_err(-ENOSPC, osp_map_add(&m, "c", 1, &v));
	osp_map_remove(&m, "a", 1);
	assert_ok(osp_map_add(&m, "c", 1, &v));
	osp_map_clear(&m);
}

/* 20,000 random additions and removals of keys of 0 to 63 bytes, checked against an array. */
static void random_use_agrees_with_an_array(void **state)
{
	enum { KEYS = 512 };
	static uint8_t keys[KEYS][64];
	static bool in[KEYS];
	size_t count = 0, walked = 0, at = 0;
	struct osp_map m;
	uint8_t *value;

	(void)state;
	srand(11);
	for (size_t i = 0; i < KEYS; i++) {
		memset(keys[i], 0x55, sizeof(keys[i]));
		memcpy(keys[i], &i, 2);
	}
	osp_map_init(&m, KEYS, 3);
	for (size_t n = 0; n < 20000; n++) {
		size_t i = (size_t)rand() % KEYS, size = 2 + i % 62;

		if (in[i])
			assert_ptr_equal(osp_map_remove(&m, keys[i], size), keys[i]);
		else
			assert_ok(osp_map_add(&m, keys[i], size, keys[i]));
		count += in[i] ? (size_t)-1 : 1;
		in[i] = !in[i];
		assert_int_equal(m.count, count);
	}
	for (size_t i = 0; i < KEYS; i++)
		assert_ptr_equal(osp_map_find(&m, keys[i], 2 + i % 62), in[i] ? keys[i] : NULL);
	while ((value = osp_map_next(&m, &at)))
		walked++;
	assert_int_equal(walked, count);
	osp_map_clear(&m);
}

RUN_TESTS(TEST(keys_are_found_until_removed), TEST(adding_a_key_again_replaces_its_value),
	  TEST(a_full_map_refuses), TEST(random_use_agrees_with_an_array))
