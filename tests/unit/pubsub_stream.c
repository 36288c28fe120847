/* Messages in parts: their sizes, and what is put together again or refused. */
#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_stream.h"

enum { MAX = 1000 };

static struct ps_stream stream;
static uint8_t hello[PS_DIGEST_SIZE], nothing[PS_DIGEST_SIZE];

static int set_up(void **state)
{
	(void)state;
	stream = (struct ps_stream){.max = MAX};
	return ps_digest_of(ps_bytes_text("hello"), hello) ||
	       ps_digest_of(ps_bytes_text(""), nothing);
}

static int tear_down(void **state)
{
	(void)state;
	ps_stream_clear(&stream);
	return 0;
}

static struct ps_frame first(const char *payload, uint64_t length)
{
	return (struct ps_frame){PS_FRAME_NOTIFY_STREAM,
				 .identifier = ps_bytes_text("id"),
				 .tracing = ps_bytes_text("trace"),
				 .key = ps_bytes_text("topic"),
				 .digest = {hello, PS_DIGEST_SIZE},
				 .compressed_length = length,
				 .length = length,
				 .payload = ps_bytes_text(payload)};
}

static struct ps_frame later(uint64_t part, const char *payload)
{
	return (struct ps_frame){PS_FRAME_NOTIFY_STREAM, .identifier = ps_bytes_text("id"),
				 .tracing = ps_bytes_text("other"), .part = part,
				 .payload = ps_bytes_text(payload)};
}

static enum ps_stream_verdict take(struct ps_frame f)
{
	enum ps_stream_verdict v = ps_stream_begin(&stream, &f);

	return v ? v : ps_stream_add(&stream, &f);
}

static void parts_are_put_together_in_their_order(void **state)
{
	(void)state;
	assert_int_equal(take(first("he", 5)), PS_STREAM_MORE);
	assert_int_equal(take(later(1, "ll")), PS_STREAM_MORE);
	assert_true(stream.is_open);
	assert_int_equal(stream.received, 4);
	assert_int_equal(take(later(2, "o")), PS_STREAM_COMPLETE);

	assert_false(stream.is_open);
	assert_int_equal(stream.parts, 3);
	assert_true(ps_bytes_equal(stream.topic, ps_bytes_text("topic")));
	assert_memory_equal(stream.digest, hello, sizeof(hello));
}

static void a_message_may_be_one_part_or_empty(void **state)
{
	struct ps_frame empty = first("", 0), single = first("hello", 5);

	(void)state;
	assert_int_equal(take(single), PS_STREAM_COMPLETE);
	single.type = PS_FRAME_NOTIFY;
	assert_int_equal(take(single), PS_STREAM_COMPLETE);
	single.type = PS_FRAME_RECEIVE_STREAM;
	assert_int_equal(take(single), PS_STREAM_COMPLETE);
	empty.digest = ps_bytes(nothing, PS_DIGEST_SIZE);
	assert_int_equal(take(empty), PS_STREAM_COMPLETE);
}

static void a_later_part_is_given_what_its_signature_covers(void **state)
{
	struct ps_frame f = first("he", 5), more = later(1, "llo");
	uint8_t wire_topic[] = "topic";

	(void)state;
	f.key = ps_bytes(wire_topic, 5);
	assert_int_equal(take(f), PS_STREAM_MORE);
	memset(wire_topic, 'x', 5); /* the first message is gone by now */

	assert_int_equal(ps_stream_begin(&stream, &more), PS_STREAM_MORE);
	assert_true(ps_bytes_equal(more.key, ps_bytes_text("topic")));
	assert_true(ps_bytes_equal(more.tracing, ps_bytes_text("trace")));
	assert_true(ps_bytes_equal(more.digest, ps_bytes(hello, PS_DIGEST_SIZE)));
}

static void a_later_part_of_a_receive_keeps_its_own_tracing(void **state)
{
	struct ps_frame f = first("he", 5), more = later(1, "llo");

	(void)state;
	f.type = more.type = PS_FRAME_RECEIVE_STREAM;
	assert_int_equal(take(f), PS_STREAM_MORE);

	assert_int_equal(ps_stream_begin(&stream, &more), PS_STREAM_MORE);
	assert_true(ps_bytes_equal(more.key, ps_bytes_text("topic")));
	assert_true(ps_bytes_equal(more.tracing, ps_bytes_text("other")));
}

static void parts_out_of_order_are_refused(void **state)
{
	struct ps_frame other = later(1, "l");

	(void)state;
	assert_int_equal(take(later(1, "l")), PS_STREAM_NOT_BEGUN);
	assert_int_equal(take(first("he", 5)), PS_STREAM_MORE);
	assert_int_equal(take(later(2, "l")), PS_STREAM_SEQUENCE);
	assert_int_equal(take(later(UINT64_MAX, "l")), PS_STREAM_SEQUENCE);
	other.identifier = ps_bytes_text("ie");
	assert_int_equal(take(other), PS_STREAM_IDENTIFIER);
	assert_int_equal(take(later(1, "l")), PS_STREAM_MORE);
	assert_int_equal(take(later(1, "l")), PS_STREAM_SEQUENCE);
}

static void messages_are_not_woven(void **state)
{
	struct ps_frame single = first("hello", 5);

	(void)state;
	assert_int_equal(take(first("he", 5)), PS_STREAM_MORE);
	assert_int_equal(take(first("he", 5)), PS_STREAM_WOVEN);
	single.type = PS_FRAME_NOTIFY;
	assert_int_equal(take(single), PS_STREAM_WOVEN);
	assert_int_equal(take(later(1, "llo")), PS_STREAM_COMPLETE);
	assert_int_equal(take(later(2, "x")), PS_STREAM_NOT_BEGUN);
	assert_int_equal(take(single), PS_STREAM_COMPLETE);
}

static void bytes_over_or_under_the_length_are_refused(void **state)
{
	struct ps_frame single = first("hell", 5);

	(void)state;
	single.type = PS_FRAME_NOTIFY;
	assert_int_equal(take(single), PS_STREAM_TOO_LITTLE);
	ps_stream_clear(&stream);
	assert_int_equal(take(first("hello!", 5)), PS_STREAM_TOO_MUCH);
	ps_stream_clear(&stream);
	assert_int_equal(take(first("hell", 5)), PS_STREAM_MORE);
	assert_int_equal(take(later(1, "o!")), PS_STREAM_TOO_MUCH);
}

static void a_part_that_brings_nothing_is_refused(void **state)
{
	(void)state;
	assert_int_equal(take(first("", 5)), PS_STREAM_EMPTY);
	ps_stream_clear(&stream);
	assert_int_equal(take(first("he", 5)), PS_STREAM_MORE);
	assert_int_equal(take(later(1, "")), PS_STREAM_EMPTY);
}

static void another_digest_than_announced_is_refused(void **state)
{
	(void)state;
	assert_int_equal(take(first("he", 5)), PS_STREAM_MORE);
	assert_int_equal(take(later(1, "LLO")), PS_STREAM_DIGEST);
	assert_false(stream.is_open);
}

static void a_message_over_the_maximum_is_refused_at_its_first_part(void **state)
{
	struct ps_frame bomb = first("hello", 5);

	(void)state;
	assert_int_equal(take(first("hello", MAX + 1)), PS_STREAM_TOO_LARGE);
	assert_int_equal(take(first("hello", UINT64_MAX)), PS_STREAM_TOO_LARGE);
	bomb.compressor = 1;
	bomb.length = MAX + 1;
	assert_int_equal(take(bomb), PS_STREAM_TOO_LARGE);
	bomb.length = MAX;
	assert_int_equal(take(bomb), PS_STREAM_COMPLETE);
	assert_int_equal(take(first("hello", MAX)), PS_STREAM_MORE);
}

static void topic_and_tracing_of_any_size_are_kept(void **state)
{
	static char big[65536];
	struct ps_frame f = first("he", 5), more = later(1, "llo");

	(void)state;
	memset(big, 'b', sizeof(big) - 1);
	f.key = f.tracing = ps_bytes_text(big);
	assert_int_equal(take(f), PS_STREAM_MORE);
	assert_int_equal(ps_stream_begin(&stream, &more), PS_STREAM_MORE);
	assert_true(ps_bytes_equal(more.key, ps_bytes_text(big)));
	assert_true(ps_bytes_equal(more.tracing, ps_bytes_text(big)));
}

static void a_part_fills_its_message_but_has_512_bytes(void **state)
{
	(void)state;
	assert_int_equal(ps_stream_part_size(10000, 100, 4096), 3996);
	assert_int_equal(ps_stream_part_size(3996, 100, 4096), 3996);
	assert_int_equal(ps_stream_part_size(3995, 100, 4096), 3995);
	assert_int_equal(ps_stream_part_size(0, 100, 4096), 0);
	assert_int_equal(ps_stream_part_size(10000, 3584, 4096), 512);
	assert_int_equal(ps_stream_part_size(10000, 3585, 4096), 512);
	assert_int_equal(ps_stream_part_size(10000, 5000, 4096), 512);
	assert_int_equal(ps_stream_part_size(10, 5000, 4096), 10);
	assert_true(ps_stream_part_size(UINT64_MAX, 1, SIZE_MAX) == SIZE_MAX - 1);
}

static void a_notify_leaves_room_for_its_head(void **state)
{
	(void)state;
	assert_true(ps_stream_is_single(871, 100, 1000));
	assert_false(ps_stream_is_single(872, 100, 1000)); /* 128 less than the maximum */
	assert_true(ps_stream_is_single(800, 199, 1000));
	assert_false(ps_stream_is_single(800, 200, 1000));
	assert_false(ps_stream_is_single(UINT64_MAX, 100, 1000));
	assert_false(ps_stream_is_single(0, 0, 128));
	assert_true(ps_stream_is_single(0, 128, 129));
}

#define STREAM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

RUN_TESTS(STREAM(parts_are_put_together_in_their_order), STREAM(a_message_may_be_one_part_or_empty),
	  STREAM(a_later_part_is_given_what_its_signature_covers),
	  STREAM(a_later_part_of_a_receive_keeps_its_own_tracing),
	  STREAM(parts_out_of_order_are_refused), STREAM(messages_are_not_woven),
	  STREAM(bytes_over_or_under_the_length_are_refused),
	  STREAM(a_part_that_brings_nothing_is_refused),
	  STREAM(another_digest_than_announced_is_refused),
	  STREAM(a_message_over_the_maximum_is_refused_at_its_first_part),
	  STREAM(topic_and_tracing_of_any_size_are_kept),
	  TEST(a_part_fills_its_message_but_has_512_bytes), TEST(a_notify_leaves_room_for_its_head))
