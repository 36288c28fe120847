/* user/base/buffer.c: growth up to a maximum and not beyond. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "user/base/buffer.h"

static void text_is_appended_and_terminated(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(1000);

	(void)state;
	assert_ok(osp_buffer_add(&b, "ab", 2));
	assert_ok(osp_buffer_print(&b, "-%d", 17));
	assert_string_equal(osp_buffer_text(&b), "ab-17");
	osp_buffer_reset(&b);
	assert_string_equal(osp_buffer_text(&b), "");
	osp_buffer_clear(&b);
}

static void what_does_not_fit_is_refused_whole(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(4);

	(void)state;
	assert_ok(osp_buffer_add(&b, "abc", 3));
	assert_err(-ENOSPC, osp_buffer_add(&b, "de", 2));
	assert_err(-ENOSPC, osp_buffer_print(&b, "%s", "de"));
	assert_null(osp_buffer_reserve(&b, (size_t)-1));
	assert_string_equal(osp_buffer_text(&b), "abc");
	assert_non_null(osp_buffer_reserve(&b, 1));
	assert_int_equal(b.size, 4);
	osp_buffer_clear(&b);
}

RUN_TESTS(TEST(text_is_appended_and_terminated), TEST(what_does_not_fit_is_refused_whole))
