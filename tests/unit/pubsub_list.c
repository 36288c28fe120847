/* Packed lists of subscriptions: what is in them, in which order, and every way to be refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_list.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

static void assert_bytes_equal(struct ps_bytes a, struct ps_bytes b)
{
	assert_true(ps_bytes_equal(a, b));
}

static int add(struct ps_list_builder *b, struct ps_bytes key, struct ps_bytes recovery)
{
	return ps_list_add(b, &(struct ps_entry){key, recovery});
}

/* Reads `count` entries of a literal from a copy of exactly its size. */
static int read_list(const char *bytes, size_t size, uint32_t count, bool is_glob)
{
	void *exact = malloc(size ? size : 1);
	struct ps_reader r = ps_wire_reader(exact, size);
	struct ps_list list;
	int e;

	assert_non_null(exact);
	memcpy(exact, bytes, size);
	e = ps_list_read(&list, &r, count, is_glob);
	assert_int_equal(r.left, e ? size : size - list.packed.size);
	free(exact);
	return e;
}
#define READ(literal, count, is_glob) read_list(literal, sizeof(literal) - 1, count, is_glob)

static void entries_are_packed_as_on_the_wire(void **state)
{
	static const char expected[] = "\0\1a\0\0"
				       "\0\2ab\0\10http://r";
	struct ps_list_builder b = {.packed.max = 4096};
	struct ps_list list;

	(void)state;
	assert_ok(add(&b, TEXT("a"), TEXT("")));
	assert_ok(add(&b, TEXT("ab"), TEXT("http://r")));

	list = ps_list_of(&b);
	assert_int_equal(list.count, 2);
	assert_bytes_equal(list.packed, TEXT(expected));
	osp_buffer_clear(&b.packed);
}

static void a_list_is_walked_in_its_order(void **state)
{
	static const char bytes[] = "\0\1a\0\0"
				    "\0\2ab\0\10http://r"
				    "rest";
	struct ps_reader r = ps_wire_reader(bytes, sizeof(bytes) - 1);
	struct ps_list list;
	struct ps_entry e;

	(void)state;
	assert_ok(ps_list_read(&list, &r, 2, true));
	assert_bytes_equal(ps_bytes(r.at, r.left), TEXT("rest"));

	assert_ok(ps_list_next(&list, &e));
	assert_bytes_equal(e.key, TEXT("a"));
	assert_int_equal(e.recovery.size, 0);
	assert_ok(ps_list_next(&list, &e));
	assert_bytes_equal(e.key, TEXT("ab"));
	assert_bytes_equal(e.recovery, TEXT("http://r"));
	assert_err(1, ps_list_next(&list, &e));
}

static void keys_ascend_bytewise_and_a_prefix_comes_first(void **state)
{
	(void)state;
	assert_ok(READ("\0\0\0\0\0\1\0\0\0\0\1\x7f\0\0\0\1\x80\0\0", 4, false));
	assert_err(-EINVAL, READ("\0\1b\0\0\0\1a\0\0", 2, false));
	assert_err(-EINVAL, READ("\0\2ab\0\0\0\1a\0\0", 2, false));
	assert_err(-EINVAL, READ("\0\1\x80\0\0\0\1\x7f\0\0", 2, false));
	assert_err(-EINVAL, READ("\0\1a\0\0\0\1c\0\0\0\1b\0\0", 3, false));
}

static void equal_keys_are_refused_whatever_their_recovery(void **state)
{
	(void)state;
	assert_err(-EEXIST, READ("\0\1a\0\0\0\1a\0\0", 2, false));
	assert_err(-EEXIST, READ("\0\1a\0\0\0\1a\0\1r", 2, false));
	assert_err(-EEXIST, READ("\0\0\0\0\0\0\0\0", 2, false));
}

static void a_list_cut_short_is_refused(void **state)
{
	static const char whole[] = "\0\1a\0\1r\0\1b\0\1s";

	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		assert_err(-EBADMSG, read_list(whole, n, 2, true));
	assert_ok(read_list(whole, sizeof(whole) - 1, 2, true));
	assert_err(-EBADMSG, read_list(whole, sizeof(whole) - 1, UINT32_MAX, true));
}

static void globs_and_recovery_urls_are_utf8_but_topics_need_not_be(void **state)
{
	(void)state;
	assert_ok(READ("\0\1\xff\0\0", 1, false));
	assert_err(-EILSEQ, READ("\0\1\xff\0\0", 1, true));
	assert_err(-EILSEQ, READ("\0\1a\0\1\xff", 1, false));
}

static void the_builder_takes_only_what_comes_behind(void **state)
{
	struct ps_list_builder b = {.packed.max = 4096};

	(void)state;
	assert_ok(add(&b, TEXT("m"), TEXT("r")));
	assert_err(-EEXIST, add(&b, TEXT("m"), TEXT("s")));
	assert_err(-EINVAL, add(&b, TEXT("l"), TEXT("")));
	assert_ok(add(&b, TEXT("n"), TEXT("")));
	assert_err(-EINVAL, add(&b, TEXT("m"), TEXT("")));

	assert_bytes_equal(ps_list_of(&b).packed, TEXT("\0\1m\0\1r\0\1n\0\0"));
	osp_buffer_clear(&b.packed);
}

static void an_entry_that_does_not_fit_leaves_nothing_behind(void **state)
{
	static uint8_t big[65536];
	struct ps_list_builder b = {.packed.max = 12};

	(void)state;
	assert_ok(add(&b, TEXT("a"), TEXT("")));
	assert_err(-EOVERFLOW, add(&b, TEXT("b"), ps_bytes(big, sizeof(big))));
	assert_err(-ENOSPC, add(&b, TEXT("b"), TEXT("long")));
	assert_err(-EOVERFLOW,
		   add(&b, ps_bytes(memset(big, 0xff, sizeof(big)), sizeof(big)), TEXT("")));
	assert_ok(add(&b, TEXT("c"), TEXT("r")));

	assert_int_equal(ps_list_of(&b).count, 2);
	assert_bytes_equal(ps_list_of(&b).packed, TEXT("\0\1a\0\0\0\1c\0\1r"));
	osp_buffer_clear(&b.packed);
}

RUN_TESTS(TEST(entries_are_packed_as_on_the_wire), TEST(a_list_is_walked_in_its_order),
	  TEST(keys_ascend_bytewise_and_a_prefix_comes_first),
	  TEST(equal_keys_are_refused_whatever_their_recovery), TEST(a_list_cut_short_is_refused),
	  TEST(globs_and_recovery_urls_are_utf8_but_topics_need_not_be),
	  TEST(the_builder_takes_only_what_comes_behind),
	  TEST(an_entry_that_does_not_fit_leaves_nothing_behind))
