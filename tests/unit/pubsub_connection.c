/* Urls, counters, and how a subscriber learns what its broadcaster counts. */
#include <string.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_connection.h"

/* The nonces are 0..31 and 32..63; SHA-256 and base64 by Python. */
#define NONCE "/eq5rPNxA2K9JljNyaKej5x1f8+YEWA6jER80dkVEQg="

static struct ps_connection start(enum ps_counting counting)
{
	uint8_t subscriber[PS_NONCE_SIZE], broadcaster[PS_NONCE_SIZE];
	struct ps_connection c;

	for (size_t i = 0; i < PS_NONCE_SIZE; i++) {
		subscriber[i] = (uint8_t)i;
		broadcaster[i] = (uint8_t)(32 + i);
	}
	assert_ok(ps_connection_init(&c, subscriber, broadcaster, counting));
	return c;
}

static int64_t count(struct ps_connection *c, enum ps_frame_type type)
{
	return ps_connection_count(c, &(struct ps_frame){.type = type});
}

static int64_t count_part(struct ps_connection *c, uint64_t part)
{
	return ps_connection_count(
		c, &(struct ps_frame){.type = PS_FRAME_RECEIVE_STREAM, .part = part});
}

static void urls_are_those_of_the_protocol(void **state)
{
	static const struct {
		int64_t counter;
		const char *url;
	} cases[] = {{-1, "websocket:" NONCE ":-1"},
		     {-26, "websocket:" NONCE ":-1a"},
		     {16, "websocket:" NONCE ":10"},
		     {INT64_MAX, "websocket:" NONCE ":7fffffffffffffff"},
		     {INT64_MIN, "websocket:" NONCE ":-8000000000000000"}};
	struct ps_connection c = start(PS_COUNTING_MESSAGES);
	char url[PS_CONNECTION_URL_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ps_bytes b = ps_connection_url(url, &c, cases[i].counter);

		assert_string_equal(url, cases[i].url);
		assert_int_equal(b.size, strlen(cases[i].url));
	}
}

static void each_side_counts_what_it_signs_with_a_url(void **state)
{
	struct ps_connection c = start(PS_COUNTING_MESSAGES);

	(void)state;
	assert_int_equal(count(&c, PS_FRAME_CONFIGURE), 0);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_CONFIGURE), 0);
	assert_int_equal(count(&c, PS_FRAME_SUBSCRIBE_EXACT), -1);
	assert_int_equal(count(&c, PS_FRAME_ENABLE_ZSTD_PRESET), 1);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_SUBSCRIBE_EXACT), 0);
	assert_int_equal(count(&c, PS_FRAME_SUBSCRIBE_GLOB), -2);
	assert_int_equal(count(&c, PS_FRAME_NOTIFY), 0);
	assert_int_equal(count(&c, PS_FRAME_NOTIFY_STREAM), 0);
	assert_int_equal(count(&c, PS_FRAME_CONTINUE_NOTIFY), 0);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_NOTIFY), 0);
	assert_int_equal(count(&c, PS_FRAME_RECEIVE_STREAM), 2);
	assert_int_equal(count(&c, PS_FRAME_CONTINUE_RECEIVE), -3);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_RECEIVE), -4);
	assert_int_equal(count(&c, PS_FRAME_MISSED), 3);
	assert_int_equal(count(&c, PS_FRAME_ENABLE_ZSTD_CUSTOM), 4);
	assert_int_equal(count(&c, PS_FRAME_DISABLE_ZSTD_CUSTOM), 5);
	assert_int_equal(count(&c, PS_FRAME_UNSUBSCRIBE_EXACT), -5);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT), 0);
	assert_int_equal(count(&c, PS_FRAME_UNSUBSCRIBE_GLOB), -6);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB), 0);
	assert_int_equal(count(&c, PS_FRAME_CONFIRM_SUBSCRIBE_GLOB), 0);
}

static void parts_count_or_messages_do(void **state)
{
	struct ps_connection parts = start(PS_COUNTING_PARTS);
	struct ps_connection messages = start(PS_COUNTING_MESSAGES);

	(void)state;
	assert_int_equal(count_part(&parts, 0), 1);
	assert_int_equal(count_part(&parts, 1), 2);
	assert_int_equal(count_part(&parts, 2), 3);
	assert_int_equal(count(&parts, PS_FRAME_MISSED), 4);
	assert_int_equal(count_part(&messages, 0), 1);
	assert_int_equal(count_part(&messages, 1), 1);
	assert_int_equal(count_part(&messages, 2), 1);
	assert_int_equal(count(&messages, PS_FRAME_MISSED), 2);
}

/* A subscriber that starts with `own`, and a broadcaster that counts as `theirs`. */
static void learn(enum ps_counting own, enum ps_counting theirs)
{
	struct ps_connection c = start(own), broadcaster = start(theirs);

	for (uint64_t message = 0; message < 2; message++) {
		for (uint64_t part = 0; part < 3; part++) {
			struct ps_frame f = {.type = PS_FRAME_RECEIVE_STREAM, .part = part};
			int64_t truth = ps_connection_count(&broadcaster, &f);
			int64_t counter = ps_connection_count(&c, &f);

			if (counter != truth)
				counter = ps_connection_guess(&c, &f);
			assert_int_equal(counter, truth);
			ps_connection_learn(&c, &f, counter);
		}
	}
	assert_int_equal(c.counting, theirs);
	assert_int_equal(count(&c, PS_FRAME_MISSED), count(&broadcaster, PS_FRAME_MISSED));
}

static void a_subscriber_learns_what_its_broadcaster_counts(void **state)
{
	(void)state;
	learn(PS_COUNTING_MESSAGES, PS_COUNTING_MESSAGES);
	learn(PS_COUNTING_MESSAGES, PS_COUNTING_PARTS);
	learn(PS_COUNTING_PARTS, PS_COUNTING_MESSAGES);
	learn(PS_COUNTING_PARTS, PS_COUNTING_PARTS);
}

static void there_is_one_guess_and_only_for_a_later_part(void **state)
{
	struct ps_connection c = start(PS_COUNTING_MESSAGES);
	struct ps_frame first = {.type = PS_FRAME_RECEIVE_STREAM},
			later = {.type = PS_FRAME_RECEIVE_STREAM, .part = 1},
			missed = {.type = PS_FRAME_MISSED};

	(void)state;
	assert_int_equal(ps_connection_count(&c, &first), 1);
	assert_int_equal(ps_connection_guess(&c, &first), 0);
	ps_connection_learn(&c, &first, 1);
	assert_int_equal(ps_connection_count(&c, &later), 1);
	assert_int_equal(ps_connection_guess(&c, &later), 2);
	assert_int_equal(ps_connection_guess(&c, &missed), 0);

	ps_connection_learn(&c, &later, 1);
	assert_int_equal(ps_connection_guess(&c, &later), 0);
	ps_connection_learn(&c, &later, 2);
	assert_int_equal(c.counting, PS_COUNTING_MESSAGES);
	assert_int_equal(count(&c, PS_FRAME_MISSED), 2);
}

RUN_TESTS(TEST(urls_are_those_of_the_protocol), TEST(each_side_counts_what_it_signs_with_a_url),
	  TEST(parts_count_or_messages_do), TEST(a_subscriber_learns_what_its_broadcaster_counts),
	  TEST(there_is_one_guess_and_only_for_a_later_part))
