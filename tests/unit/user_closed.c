/* user/closed.c: what is remembered of closed operations, and what is forgotten first. */
#include "tests/unit/test.h"

#include "user/closed.h"

static struct osp_open_key key(uint64_t hash)
{
	return (struct osp_open_key){.hash = hash, .words = {hash}};
}

static int64_t time_of(const struct osp_closed *c, uint64_t hash)
{
	struct osp_open_key k = key(hash);
	int64_t time_ns = 0;

	return osp_closed_find(c, &k, &time_ns) ? time_ns : -1;
}

static void add(struct osp_closed *c, uint64_t hash, int64_t time_ns)
{
	struct osp_open_key k = key(hash);

	osp_closed_add(c, &k, time_ns);
}

static void what_was_closed_is_remembered_with_its_time(void **state)
{
	struct osp_closed c;

	(void)state;
	assert_ok(osp_closed_init(&c, 64));
	assert_int_equal(time_of(&c, 5), -1);
	add(&c, 5, 100);
	add(&c, 6, 200);
	assert_int_equal(time_of(&c, 5), 100);
	assert_int_equal(time_of(&c, 6), 200);
	add(&c, 5, 300);
	assert_int_equal(time_of(&c, 5), 300);
	assert_int_equal(time_of(&c, 6), 200);
	osp_closed_clear(&c);
}

static void the_oldest_is_forgotten_first(void **state)
{
	struct osp_closed c;

	(void)state;
	assert_ok(osp_closed_init(&c, 4));
	for (int i = 1; i <= 4; i++)
		add(&c, (uint64_t)i, i);
	add(&c, 1, 5);
	add(&c, 9, 6);
	assert_int_equal(time_of(&c, 2), -1);
	assert_int_equal(time_of(&c, 1), 5);
	assert_int_equal(time_of(&c, 3), 3);
	assert_int_equal(time_of(&c, 4), 4);
	assert_int_equal(time_of(&c, 9), 6);
	osp_closed_clear(&c);
}

RUN_TESTS(TEST(what_was_closed_is_remembered_with_its_time), TEST(the_oldest_is_forgotten_first))
