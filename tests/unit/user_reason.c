/* Every reason of loss is explained: what happened, what to do, whether anything is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/event.h"
#include "user/reason.h"

static void every_reason_is_explained(void **state)
{
	static const char *const names[] = {
#define X(id, name, help) name,
		OSP_LOSS_REASONS(X)
#undef X
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct osp_reason *r = osp_reason_find(names[i]);

		if (!r->name || strcmp(r->name, names[i]))
			fail_msg("%s has no row in user/reason.c", names[i]);
		assert_true(strlen(r->advice) > 20);
		assert_true(strlen(osp_reason_help(names[i])) > 20);
	}
}

static void only_what_nobody_misses_is_spare(void **state)
{
	(void)state;
	assert_int_equal(osp_reason_find("ring_full")->kind, OSP_REASON_MISSING);
	assert_int_equal(osp_reason_find("late")->kind, OSP_REASON_MISSING);
	assert_int_equal(osp_reason_find("forked_copy")->kind, OSP_REASON_SPARE);
	assert_int_equal(osp_reason_find("duplicate")->kind, OSP_REASON_SPARE);
	assert_int_equal(osp_reason_find("filtered")->kind, OSP_REASON_CHOSEN);
	assert_int_equal(osp_reason_find("sampled")->kind, OSP_REASON_CHOSEN);
}

static void sums_are_by_kind(void **state)
{
	uint64_t lost[OSP_LOSS_COUNT] = {[OSP_LOSS_RING_FULL] = 1,
					 [OSP_LOSS_STORE] = 2,
					 [OSP_LOSS_SAMPLED] = 4,
					 [OSP_LOSS_LIMITED] = 8,
					 [OSP_LOSS_FORKED] = 16};

	(void)state;
	assert_int_equal(osp_reason_sum(lost, OSP_REASON_MISSING), 3);
	assert_int_equal(osp_reason_sum(lost, OSP_REASON_CHOSEN), 12);
	assert_int_equal(osp_reason_sum(lost, OSP_REASON_SPARE), 16);
}

static void a_reason_of_another_version_counts_as_missing(void **state)
{
	(void)state;
	assert_null(osp_reason_find("eaten_by_wolves")->name);
	assert_int_equal(osp_reason_find("eaten_by_wolves")->kind, OSP_REASON_MISSING);
	assert_non_null(strstr(osp_reason_help("eaten_by_wolves"), "does not know"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_is_explained),
		cmocka_unit_test(only_what_nobody_misses_is_spare),
		cmocka_unit_test(sums_are_by_kind),
		cmocka_unit_test(a_reason_of_another_version_counts_as_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
