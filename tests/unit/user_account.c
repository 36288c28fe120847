/* The books: hits = stored + losses, while recording and at the end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "user/account.h"

static struct osp_point point = {.provider = "p", .probe = "a"},
			other = {.provider = "p", .probe = "b"};
static struct osp_point *points[] = {&point, &other};
static const struct osp_catalogue catalogue = {.points = points, .point_count = 2};

struct written {
	size_t count;
	uint32_t process[8];
	const char *probe[8];
	uint64_t hits[8], stored[8], ring_full[8], late[8];
};

static int take(void *arg, const struct osp_part *part)
{
	struct written *w = arg;
	size_t n = w->count++;
	uint64_t sum = part->loss.stored;

	assert_int_equal(part->kind, OSP_PART_LOSS);
	for (size_t i = 0; i < part->loss.count; i++) {
		sum += part->loss.lost[i];
		assert_int_not_equal(part->loss.lost[i], 0);
		if (!strcmp(part->loss.reasons[i], "ring_full"))
			w->ring_full[n] = part->loss.lost[i];
		else if (!strcmp(part->loss.reasons[i], "late"))
			w->late[n] = part->loss.lost[i];
	}
	assert_int_equal(sum, part->loss.hits);
	w->process[n] = part->loss.process;
	w->probe[n] = part->loss.probe;
	w->hits[n] = part->loss.hits;
	w->stored[n] = part->loss.stored;
	return 0;
}

static struct osp_page *page(struct osp_account *a, uint32_t slot, uint16_t number)
{
	struct osp_page *p;

	assert_int_equal(osp_account_page(a, slot, slot + 10, number, &p), 0);
	return p;
}

static void what_is_settled_closes_while_recording(void **state)
{
	struct written w = {0};
	struct osp_account *a;
	struct osp_page *p;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	p = page(a, 1, 0);
	osp_account_record(p, 0);
	osp_account_record(p, 3); /* 1 and 2 are gone, or still to come */
	osp_account_record(p, 4);
	osp_account_store(p);
	osp_account_lose(p, OSP_LOSS_LATE);
	assert_int_equal(osp_account_write(a, take, &w), 0);
	assert_int_equal(w.count, 1);
	assert_int_equal(w.process[0], 11);
	assert_int_equal(w.stored[0], 1);
	assert_int_equal(w.ring_full[0], 2);
	assert_int_equal(w.late[0], 1);
	assert_int_equal(w.hits[0], 4);
	osp_account_free(&a);
}

static void only_changed_pages_are_written_in_the_order_they_changed(void **state)
{
	struct written w = {0};
	struct osp_account *a;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	osp_account_store(page(a, 2, 1));
	osp_account_store(page(a, 1, 0));
	osp_account_store(page(a, 2, 0));
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 3);
	assert_string_equal(w.probe[0], "b");
	assert_int_equal(w.process[1], 11);
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 3);
	osp_account_store(page(a, 1, 0));
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 4);
	assert_int_equal(w.stored[3], 2);
	osp_account_free(&a);
}

/* Counters come at every tick, hits before their steps: neither is a row while it says nothing new. */
static void what_says_nothing_new_is_not_written_again(void **state)
{
	struct osp_counter counter = {.hits = 9, .lost = {[OSP_LOSS_RING_FULL] = 2}};
	struct written w = {0};
	struct osp_account *a;
	struct osp_page *p;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	p = page(a, 1, 0);
	osp_account_record(p, 0);
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 0);
	osp_account_store(p);
	osp_account_count(p, &counter, false);
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 1);
	assert_int_equal(w.ring_full[0], 2);
	counter.hits = 12;
	osp_account_record(p, 1);
	osp_account_count(p, &counter, false);
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 1);
	counter.lost[OSP_LOSS_RING_FULL] = 3;
	osp_account_count(p, &counter, false);
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 2);
	assert_int_equal(w.ring_full[1], 3);
	osp_account_free(&a);
}

static void the_kernels_counters_have_the_last_word(void **state)
{
	const struct osp_counter counter = {
		.hits = 10, .lost = {[OSP_LOSS_RING_FULL] = 7, [OSP_LOSS_ARGUMENT_FAULT] = 1}};
	enum osp_loss_reason worst;
	uint64_t lost[OSP_LOSS_COUNT];
	struct written w = {0};
	struct osp_account *a;
	struct osp_page *p;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	p = page(a, 1, 0);
	osp_account_record(p, 0);
	osp_account_record(p, 1);
	osp_account_store(p);
	osp_account_lose(p, OSP_LOSS_LATE);
	osp_account_count(p, &counter, true);
	osp_account_write(a, take, &w);
	assert_int_equal(w.hits[0], 10);
	assert_int_equal(w.ring_full[0], 7);
	osp_account_sum(a, lost);
	assert_int_equal(lost[OSP_LOSS_RING_FULL], 7);
	assert_int_equal(lost[OSP_LOSS_LATE], 1);
	assert_int_equal(osp_account_kernel_lost(a, 11, &worst), 8);
	assert_int_equal(worst, OSP_LOSS_RING_FULL);
	assert_int_equal(osp_account_kernel_lost(a, 12, &worst), 0);
	osp_account_free(&a);
}

/* Carried steps are hits that no counter knows of. */
static void carried_steps_are_hits_of_their_own(void **state)
{
	const struct osp_counter counter = {.hits = 2, .lost = {[OSP_LOSS_RING_FULL] = 2}};
	struct written w = {0};
	struct osp_account *a;
	struct osp_page *p;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	p = page(a, 1, 0);
	for (int i = 0; i < 5; i++)
		osp_account_carry(p);
	for (int i = 0; i < 4; i++)
		osp_account_store(p);
	osp_account_lose(p, OSP_LOSS_LATE);
	osp_account_count(p, &counter, false); /* lost in a flush: told while it goes on */
	osp_account_write(a, take, &w);
	assert_int_equal(w.hits[0], 7);
	assert_int_equal(w.stored[0], 4);
	assert_int_equal(w.ring_full[0], 2);
	osp_account_count(p, &counter, true); /* and confirmed by the last word */
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 1);
	osp_account_free(&a);
}

/* Their own records were lost; the steps came with the end of their operation. */
static void recovered_steps_are_not_lost(void **state)
{
	const struct osp_counter counter = {.hits = 3, .lost = {[OSP_LOSS_RING_FULL] = 2}};
	struct written w = {0};
	struct osp_account *a;
	struct osp_page *p;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	p = page(a, 1, 0);
	osp_account_record(p, 2);
	osp_account_recover(p);
	osp_account_store(p);
	osp_account_store(p);
	osp_account_write(a, take, &w);
	assert_int_equal(w.hits[0], 3);
	assert_int_equal(w.ring_full[0], 1);
	osp_account_count(p, &counter, true);
	osp_account_write(a, take, &w);
	assert_int_equal(w.count, 1);
	/* More than were lost: they passed their site while it was half attached. */
	osp_account_recover(p);
	osp_account_recover(p);
	osp_account_store(p);
	osp_account_store(p);
	osp_account_write(a, take, &w);
	assert_int_equal(w.hits[1], 4);
	assert_int_equal(w.ring_full[1], 0);
	/* One of the records comes after all. */
	assert_true(osp_account_return(p));
	osp_account_free(&a);
}

/* The kernel gives what it leaves out no ordinal: nothing is missing between the others. */
static void what_is_left_out_on_request_is_a_hit_without_an_ordinal(void **state)
{
	struct osp_counter counter = {.hits = 2, .lost = {[OSP_LOSS_SAMPLED] = 5}};
	enum osp_loss_reason worst;
	struct written w = {0};
	struct osp_account *a;
	struct osp_page *p;

	(void)state;
	assert_int_equal(osp_account_new(&a, &catalogue), 0);
	p = page(a, 1, 0);
	osp_account_record(p, 0);
	osp_account_store(p);
	osp_account_record(p, 2); /* ordinal 1 is yet to come, or lost */
	osp_account_store(p);
	osp_account_count(p, &counter, false);
	assert_int_equal(osp_account_write(a, take, &w), 0);
	assert_int_equal(w.ring_full[0], 1);
	assert_int_equal(w.hits[0], 2 + 1 + 5);
	counter.hits = 3;
	osp_account_record(p, 1);
	osp_account_store(p);
	osp_account_recover(p); /* one of the five came all the same, with its end */
	osp_account_store(p);
	osp_account_count(p, &counter, true);
	assert_int_equal(osp_account_write(a, take, &w), 0);
	assert_int_equal(w.hits[1], 3 + 5);
	assert_int_equal(w.stored[1], 4);
	assert_int_equal(w.ring_full[1], 0);
	assert_int_equal(osp_account_kernel_lost(a, 11, &worst), 0);
	osp_account_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_settled_closes_while_recording),
		cmocka_unit_test(only_changed_pages_are_written_in_the_order_they_changed),
		cmocka_unit_test(what_says_nothing_new_is_not_written_again),
		cmocka_unit_test(the_kernels_counters_have_the_last_word),
		cmocka_unit_test(carried_steps_are_hits_of_their_own),
		cmocka_unit_test(recovered_steps_are_not_lost),
		cmocka_unit_test(what_is_left_out_on_request_is_a_hit_without_an_ordinal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
