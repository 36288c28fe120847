/* Which answer is due, and what is wrong with another. */
#include <errno.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_acks.h"

#define NAMED(type, name, number)                                                                  \
	(&(const struct ps_frame){PS_FRAME_##type, .identifier = {name, sizeof(name) - 1},         \
				  .part = number})
#define KEYED(type, name)                                                                          \
	(&(const struct ps_frame){PS_FRAME_##type, .key = {name, sizeof(name) - 1}})

static struct ps_acks acks;
static struct ps_ack ack;

static int set_up(void **state)
{
	(void)state;
	return ps_acks_init(&acks, 3);
}

static int tear_down(void **state)
{
	(void)state;
	ps_acks_clear(&acks);
	return 0;
}

static void parts_of_a_notify_are_continued_and_confirmed(void **state)
{
	(void)state;
	assert_ok(ps_acks_push(&acks, NAMED(NOTIFY_STREAM, "id", 0), false, 0, NULL));
	assert_ok(ps_acks_push(&acks, NAMED(NOTIFY_STREAM, "id", 1), true, 0, NULL));
	assert_ok(ps_acks_push(&acks, NAMED(NOTIFY, "next", 0), true, 0, NULL));

	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_NOTIFY, "id", 0)), PS_ACK_OK);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONFIRM_NOTIFY, "id", 0)), PS_ACK_OK);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONFIRM_NOTIFY, "next", 0)), PS_ACK_OK);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONFIRM_NOTIFY, "next", 0)), PS_ACK_NONE);
}

static void parts_of_a_receive_are_continued_and_confirmed(void **state)
{
	(void)state;
	assert_ok(ps_acks_push(&acks, NAMED(RECEIVE_STREAM, "id", 0), false, 1, NULL));
	assert_ok(ps_acks_push(&acks, NAMED(RECEIVE_STREAM, "id", 1), false, 2, NULL));
	assert_ok(ps_acks_push(&acks, NAMED(RECEIVE_STREAM, "id", 2), true, 3, NULL));

	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_RECEIVE, "id", 0)), PS_ACK_OK);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_RECEIVE, "id", 1)), PS_ACK_OK);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONFIRM_RECEIVE, "id", 0)), PS_ACK_OK);
}

static void subscriptions_are_known_by_their_key_and_keep_their_counter(void **state)
{
	int owner;

	(void)state;
	assert_ok(ps_acks_push(&acks, KEYED(SUBSCRIBE_EXACT, "t"), true, -1, &owner));
	assert_ok(ps_acks_push(&acks, KEYED(UNSUBSCRIBE_GLOB, "g*"), true, -2, NULL));
	assert_ok(ps_acks_push(&acks, KEYED(CONFIGURE, ""), true, 0, NULL));

	assert_int_equal(ps_acks_pop(&acks, &ack, KEYED(CONFIRM_SUBSCRIBE_EXACT, "u")),
			 PS_ACK_NAME);
	assert_int_equal(ps_acks_pop(&acks, &ack, KEYED(CONFIRM_SUBSCRIBE_GLOB, "t")), PS_ACK_TYPE);
	assert_int_equal(ps_acks_pop(&acks, &ack, KEYED(CONFIRM_SUBSCRIBE_EXACT, "t")), PS_ACK_OK);
	assert_int_equal(ack.counter, -1);
	assert_ptr_equal(ack.owner, &owner);
	assert_int_equal(ps_acks_pop(&acks, &ack, KEYED(CONFIRM_UNSUBSCRIBE_GLOB, "g*")),
			 PS_ACK_OK);
	assert_int_equal(ack.counter, -2);
	assert_int_equal(ps_acks_pop(&acks, &ack, KEYED(CONFIRM_CONFIGURE, "")), PS_ACK_OK);
}

static void another_answer_than_the_one_due_leaves_it_due(void **state)
{
	(void)state;
	assert_ok(ps_acks_push(&acks, NAMED(RECEIVE_STREAM, "one", 4), false, 1, NULL));
	assert_ok(ps_acks_push(&acks, NAMED(RECEIVE_STREAM, "two", 0), true, 2, NULL));

	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONFIRM_RECEIVE, "two", 0)), PS_ACK_TYPE);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_RECEIVE, "two", 4)), PS_ACK_NAME);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_RECEIVE, "on", 4)), PS_ACK_NAME);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_RECEIVE, "one", 3)), PS_ACK_PART);
	assert_int_equal(acks.count, 2);
	assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_RECEIVE, "one", 4)), PS_ACK_OK);
}

static void no_more_may_be_due_than_there_is_room_for(void **state)
{
	(void)state;
	/* so that what follows goes round the ring's end */
	assert_ok(ps_acks_push(&acks, NAMED(NOTIFY, "id", 0), true, 0, NULL));
	assert_ok(ps_acks_next(&acks, &ack));
	for (int round = 0; round < 5; round++) {
		for (uint64_t i = 0; i < 3; i++) {
			assert_false(ps_acks_is_full(&acks));
			assert_ok(
				ps_acks_push(&acks, NAMED(NOTIFY_STREAM, "id", i), false, 0, NULL));
		}
		assert_true(ps_acks_is_full(&acks));
		assert_err(-ENOSPC, ps_acks_push(&acks, NAMED(NOTIFY, "id", 0), true, 0, NULL));
		for (uint64_t i = 0; i < 3 - (round == 0); i++)
			assert_int_equal(ps_acks_pop(&acks, &ack, NAMED(CONTINUE_NOTIFY, "id", i)),
					 PS_ACK_OK);
		if (!round)
			assert_ok(ps_acks_next(&acks, &ack));
	}
	assert_err(1, ps_acks_next(&acks, &ack));
}

static void what_gets_no_answer_is_not_waited_for(void **state)
{
	(void)state;
	assert_ok(ps_acks_push(&acks, KEYED(MISSED, "t"), true, 1, NULL));
	assert_ok(ps_acks_push(&acks, NAMED(CONFIRM_RECEIVE, "id", 0), true, -1, NULL));
	assert_int_equal(acks.count, 0);
}

static void there_must_be_room_for_one(void **state)
{
	struct ps_acks none = {0};

	(void)state;
	assert_err(-EINVAL, ps_acks_init(&none, 0));
}

#define ACKS(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

RUN_TESTS(ACKS(parts_of_a_notify_are_continued_and_confirmed),
	  ACKS(parts_of_a_receive_are_continued_and_confirmed),
	  ACKS(subscriptions_are_known_by_their_key_and_keep_their_counter),
	  ACKS(another_answer_than_the_one_due_leaves_it_due),
	  ACKS(no_more_may_be_due_than_there_is_room_for),
	  ACKS(what_gets_no_answer_is_not_waited_for), TEST(there_must_be_room_for_one))
