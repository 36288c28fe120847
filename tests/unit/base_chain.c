/* user/base/chain.c against a plain array: additions, removals, equal hashes, equal heads. */
#include "tests/unit/test.h"

#include <stdbool.h>
#include <stdlib.h>

#include "user/base/chain.h"

struct member {
	struct osp_chain link;
	uint64_t key;
	bool in;
};

static struct member *member_at(struct osp_chain *c)
{
	return osp_chain_entry(c, struct member, link);
}

static void the_newest_of_equal_hashes_comes_first(void **state)
{
	struct member a = {.key = 1}, b = {.key = 2}, c = {.key = 3};
	struct osp_chains chains;
	struct osp_chain *at;

	(void)state;
	assert_ok(osp_chains_init(&chains, 4));
	assert_null(osp_chain_find(&chains, 7));
	osp_chain_add(&chains, &a.link, 7);
	osp_chain_add(&chains, &b.link, 7 + (1ull << 32)); /* the same head, another hash */
	osp_chain_add(&chains, &c.link, 7);
	at = osp_chain_find(&chains, 7);
	assert_ptr_equal(member_at(at), &c);
	at = osp_chain_next(at);
	assert_ptr_equal(member_at(at), &a);
	assert_null(osp_chain_next(at));
	assert_ptr_equal(member_at(osp_chain_find(&chains, 7 + (1ull << 32))), &b);
	osp_chains_clear(&chains);
}

static void what_is_in_no_table_can_be_taken_out(void **state)
{
	struct member a = {.key = 1}, b = {.key = 2};
	struct osp_chains chains;

	(void)state;
	assert_ok(osp_chains_init(&chains, 4));
	osp_chain_remove(&chains, &a.link);
	osp_chain_add(&chains, &a.link, 5);
	osp_chain_add(&chains, &b.link, 5);
	osp_chain_remove(&chains, &a.link);
	osp_chain_remove(&chains, &a.link);
	assert_ptr_equal(member_at(osp_chain_find(&chains, 5)), &b);
	osp_chain_remove(&chains, &b.link);
	assert_null(osp_chain_find(&chains, 5));
	osp_chains_clear(&chains);
}

static struct member *find(const struct osp_chains *c, uint64_t hash, uint64_t key)
{
	struct osp_chain *at = osp_chain_find(c, hash);

	while (at && member_at(at)->key != key)
		at = osp_chain_next(at);
	return at ? member_at(at) : NULL;
}

static uint64_t hash_of(uint64_t key, uint64_t different)
{
	return (key % different + 1) * 0x9e3779b97f4a7c15ull;
}

/* Few different hashes make long chains, many make filters that fill and empty again. */
static void random_use_agrees_with_an_array(void **state)
{
	enum { MEMBERS = 512 };
	static const uint64_t different[] = {1, 7, 100, MEMBERS};
	static struct member members[MEMBERS];

	(void)state;
	srand(5);
	for (size_t d = 0; d < 4; d++) {
		struct osp_chains chains;

		assert_ok(osp_chains_init(&chains, 64));
		for (size_t i = 0; i < MEMBERS; i++)
			members[i] = (struct member){.key = i};
		for (size_t n = 0; n < 20000; n++) {
			struct member *m = &members[(size_t)rand() % MEMBERS];
			uint64_t hash = hash_of(m->key, different[d]);

			assert_ptr_equal(find(&chains, hash, m->key), m->in ? m : NULL);
			if (m->in)
				osp_chain_remove(&chains, &m->link);
			else
				osp_chain_add(&chains, &m->link, hash);
			m->in = !m->in;
		}
		for (size_t i = 0; i < MEMBERS; i++)
			assert_ptr_equal(find(&chains, hash_of(i, different[d]), i),
					 members[i].in ? &members[i] : NULL);
		osp_chains_clear(&chains);
	}
}

RUN_TESTS(TEST(the_newest_of_equal_hashes_comes_first), TEST(what_is_in_no_table_can_be_taken_out),
	  TEST(random_use_agrees_with_an_array))
