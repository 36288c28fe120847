/* Hashes: what depends on the secret, and that it spreads ids that were chosen to collide. */
#include "tests/unit/test.h"
#include "user/base/hash.h"

enum { IDS = 64, HEADS = 1024 };

/* Ids whose hashes have equal low bits under the constants that everybody can read. */
static void find_ids(uint64_t ids[IDS])
{
	size_t n = 0;

	for (uint64_t id = 1; n < IDS; id++)
		if (osp_hash_words(id, 7) % HEADS == 5)
			ids[n++] = id;
}

static size_t longest_chain(const uint64_t ids[IDS])
{
	size_t lengths[HEADS] = {0}, longest = 0;

	for (size_t i = 0; i < IDS; i++) {
		size_t *length = &lengths[osp_hash_words(ids[i], 7) % HEADS];

		*length += 1;
		longest = *length > longest ? *length : longest;
	}
	return longest;
}

static void a_secret_takes_chosen_ids_apart(void **state)
{
	uint64_t ids[IDS], constants[2] = {osp_hash_secret[0], osp_hash_secret[1]}, a[2], b[2];

	(void)state;
	find_ids(ids);
	osp_hash_bytes(a, "abc", 3);
	assert_int_equal(longest_chain(ids), IDS);
	assert_ok(osp_hash_seed());
	assert_true(longest_chain(ids) < IDS / 4);
	osp_hash_bytes(b, "abc", 3);
	assert_true(a[0] != b[0] && a[1] != b[1]);
	osp_hash_secret[0] = constants[0];
	osp_hash_secret[1] = constants[1];
	osp_hash_bytes(b, "abc", 3);
	assert_memory_equal(a, b, sizeof(a));
}

RUN_TESTS(TEST(a_secret_takes_chosen_ids_apart))
