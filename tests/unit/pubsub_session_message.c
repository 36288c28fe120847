/* The session at the subscriber and publisher: messages out and in, and what was missed. */
#include "tests/support/far.h"

/* ---- out ------------------------------------------------------------------------------------- */

enum { PART = 1024 - 400 }; /* at most; what is left of a message of the web socket */

static char big[5000];

static void fill(char *text, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++)
		text[i] = (char)('a' + i % 26);
	text[size - 1] = '\0';
}

/* A NOTIFY or the first part, signed rightly. */
static struct ps_frame next_notify(enum ps_frame_type type, const char *topic, const char *text)
{
	struct ps_frame f = next_frame(type, 0);
	uint8_t digest[PS_DIGEST_SIZE];

	assert_int_equal(ps_stateful_check(&far.wire, &f, 0), PS_AUTH_OK);
	assert_ok(ps_digest_of(ps_bytes_text(text), digest));
	assert_true(ps_bytes_equal(f.key, ps_bytes_text(topic)));
	assert_memory_equal(f.digest.data, digest, sizeof(digest));
	assert_int_equal(f.length, strlen(text));
	assert_int_equal(f.compressed_length, strlen(text));
	assert_int_equal(f.compressor, 0);
	return f;
}

static void confirm(const struct ps_frame *notify, uint64_t subscribers)
{
	struct ps_frame f = {.type = PS_FRAME_CONFIRM_NOTIFY,
			     .identifier = notify->identifier,
			     .key = notify->key,
			     .digest = notify->digest,
			     .subscribers = subscribers};

	say(&f, 0);
}

static void small_messages_go_whole_and_in_order(void **state)
{
	struct ps_session_notification *n[2];
	struct ps_frame a, b;

	(void)state;
	open_session();
	n[0] = notify("t", "hello"); /* before there is a connection */
	configure();
	n[1] = notify("u", "");
	a = next_notify(PS_FRAME_NOTIFY, "t", "hello");
	assert_true(ps_bytes_equal(a.payload, TEXT("hello")));
	b = next_notify(PS_FRAME_NOTIFY, "u", "");
	assert_int_equal(a.identifier.size, 16);
	assert_false(ps_bytes_equal(a.identifier, b.identifier));
	assert_nothing_told();
	confirm(&a, 7);
	confirm(&b, 0);
	assert_told("t ok none 7");
	assert_told("u ok none 0");
	assert_int_equal(n[0]->attempts, 1);
	free_notification(n[0]);
	free_notification(n[1]);
}

/* Takes parts of `big` from `part` on until one more would not come unasked; returns the next. */
static uint64_t take_parts(const struct ps_frame *first, struct osp_buffer *got, uint64_t part,
			   unsigned count)
{
	for (unsigned i = 0; i < count; i++, part++) {
		struct ps_frame f = next_frame(PS_FRAME_NOTIFY_STREAM, 0);

		assert_int_equal(f.part, part);
		assert_true(ps_bytes_equal(f.identifier, first->identifier));
		assert_in_range(f.payload.size, 1, PART);
		f.key = first->key;
		f.digest = first->digest;
		f.tracing = first->tracing;
		assert_int_equal(ps_stateful_check(&far.wire, &f, 0), PS_AUTH_OK);
		assert_ok(osp_buffer_add(got, f.payload.data, f.payload.size));
	}
	return part;
}

static void resume(const struct ps_frame *first, uint64_t part)
{
	say(&(struct ps_frame){.type = PS_FRAME_CONTINUE_NOTIFY,
			       .identifier = first->identifier,
			       .part = part},
	    0);
}

static void large_messages_go_in_parts_as_far_as_the_window(void **state)
{
	struct osp_buffer got = OSP_BUFFER_INIT(10000);
	struct ps_session_notification *n;
	struct ps_frame first;
	uint64_t next;

	(void)state;
	fill(big, sizeof(big));
	session_options.message_max = 1024;
	session_options.window = 2;
	open_session();
	configure();
	n = notify("t", big);
	first = next_notify(PS_FRAME_NOTIFY_STREAM, "t", big);
	assert_ok(osp_buffer_add(&got, first.payload.data, first.payload.size));
	next = take_parts(&first, &got, 1, 1);
	assert_no_frame(); /* two wait for their answers */
	for (uint64_t i = 0; got.size < sizeof(big) - 1; i++) {
		resume(&first, i);
		next = take_parts(&first, &got, next, 1);
	}
	assert_memory_equal(got.data, big, sizeof(big) - 1);
	resume(&first, next - 2);
	confirm(&first, 1);
	assert_told("t ok none 1");
	free_notification(n);
	osp_buffer_clear(&got);
}

static void answers_of_streams_come_in_order(void **state)
{
	struct ps_session_notification *n;
	struct ps_frame first;

	(void)state;
	fill(big, sizeof(big));
	session_options.message_max = 1024;
	session_options.passes = 1;
	open_session();
	configure();
	n = notify("t", big);
	first = next_notify(PS_FRAME_NOTIFY_STREAM, "t", big);
	resume(&first, 1);
	assert_told("lost");
	assert_told("t failed ack_mismatch 0");
	assert_closed(PS_SOCKET_PROTOCOL);
	free_notification(n);
}

static void a_forged_confirmation_ends_the_connection_and_the_message_goes_again(void **state)
{
	struct ps_session_notification *n;
	struct ps_frame f;

	(void)state;
	open_session();
	configure();
	n = notify("t", "hello");
	f = next_notify(PS_FRAME_NOTIFY, "t", "hello");
	f.key = TEXT("u"); /* signed, but of another message */
	confirm(&f, 1);
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
	configure();
	f = next_notify(PS_FRAME_NOTIFY, "t", "hello");
	confirm(&f, 1);
	assert_told("t ok none 1");
	assert_int_equal(n->attempts, 2);
	free_notification(n);
}

static void unconfirmed_messages_go_again_in_order_with_their_identifiers(void **state)
{
	static const char *const topics[] = {"a", "b", "c", "d"};
	uint8_t identifiers[4][PS_IDENTIFIER_SIZE];
	struct ps_session_notification *n[4];
	struct ps_frame f;

	(void)state;
	open_session();
	configure();
	for (size_t i = 0; i < 4; i++) {
		n[i] = notify(topics[i], "hello");
		f = next_notify(PS_FRAME_NOTIFY, topics[i], "hello");
		memcpy(identifiers[i], f.identifier.data, sizeof(identifiers[i]));
		if (i == 0)
			confirm(&f, 1);
	}
	assert_told("a ok none 1");
	drop_connection();
	assert_told("lost");
	configure();
	for (size_t i = 1; i < 4; i++) {
		f = next_notify(PS_FRAME_NOTIFY, topics[i], "hello");
		assert_memory_equal(f.identifier.data, identifiers[i], sizeof(identifiers[i]));
		confirm(&f, 2);
	}
	assert_told("b ok none 2");
	assert_told("c ok none 2");
	assert_told("d ok none 2");
	for (size_t i = 0; i < 4; i++)
		free_notification(n[i]);
}

static void a_stream_that_is_cut_begins_anew(void **state)
{
	struct ps_session_notification *n;
	struct ps_frame f;

	(void)state;
	fill(big, sizeof(big));
	session_options.message_max = 1024;
	open_session();
	configure();
	n = notify("t", big);
	f = next_notify(PS_FRAME_NOTIFY_STREAM, "t", big);
	next_frame(PS_FRAME_NOTIFY_STREAM, 0);
	drop_connection();
	assert_told("lost");
	configure();
	f = next_notify(PS_FRAME_NOTIFY_STREAM, "t", big);
	assert_int_equal(f.part, 0);
	ps_session_stop(&session);
	assert_told("lost");
	assert_told("stopped");
	assert_told("t retries_exhausted ambiguous 0");
	free_notification(n);
}

static void messages_that_wait_have_a_maximum(void **state)
{
	struct ps_session_notification *n[3];

	(void)state;
	session_options.unsent_max = 2;
	open_session();
	for (size_t i = 0; i < 3; i++)
		n[i] = notify("t", "hello");
	assert_told("t failed queue_full 0");
	configure();
	next_notify(PS_FRAME_NOTIFY, "t", "hello");
	next_notify(PS_FRAME_NOTIFY, "t", "hello");
	assert_no_frame();
	ps_session_close(&session);
	for (size_t i = 0; i < 3; i++)
		free_notification(n[i]);
}

static void changes_go_before_messages_but_not_into_one(void **state)
{
	struct ps_session_notification *n[2];
	struct ps_frame first;

	(void)state;
	fill(big, sizeof(big));
	session_options.message_max = 1024;
	session_options.window = 1;
	open_session();
	n[0] = notify("t", big);
	assert_ok(change(true, PS_DB_EXACT, "x"));
	configure();
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	first = next_notify(PS_FRAME_NOTIFY_STREAM, "t", big);
	n[1] = notify("u", "hello");
	assert_ok(change(true, PS_DB_EXACT, "y"));
	assert_no_frame();
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, .key = TEXT("x")}, -1);
	assert_told("+x ok");
	for (uint64_t part = 0, size = first.payload.size; size < sizeof(big) - 1; part++) {
		struct ps_frame f;

		resume(&first, part);
		f = next_frame(PS_FRAME_NOTIFY_STREAM, 0);
		size += f.payload.size;
	}
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -2);
	next_notify(PS_FRAME_NOTIFY, "u", "hello");
	ps_session_close(&session);
	free_notification(n[0]);
	free_notification(n[1]);
}

/* ---- in -------------------------------------------------------------------------------------- */

static void subscribed(void)
{
	assert_ok(change(true, PS_DB_EXACT, "t"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, .key = TEXT("t")}, -1);
	assert_told("+t ok");
}

static void open_subscribed(void)
{
	open_session();
	configure();
	subscribed();
}

static void messages_are_confirmed_and_delivered(void **state)
{
	struct ps_frame f;

	(void)state;
	open_subscribed();
	say_part("i1", 0, "hello", 0, 5);
	f = next_frame(PS_FRAME_CONFIRM_RECEIVE, -2);
	assert_true(ps_bytes_equal(f.identifier, TEXT("i1")));
	assert_int_equal(f.subscribers, 1);
	assert_told("message t hello");
	say_part("i2", 0, "hello", 0, 2);
	f = next_frame(PS_FRAME_CONTINUE_RECEIVE, -3);
	assert_int_equal(f.part, 0);
	say_part("i2", 1, "hello", 2, 1);
	f = next_frame(PS_FRAME_CONTINUE_RECEIVE, -4);
	assert_int_equal(f.part, 1);
	say_part("i2", 2, "hello", 3, 2);
	f = next_frame(PS_FRAME_CONFIRM_RECEIVE, -5);
	assert_told("message t hello");
	say_part("i3", 0, "", 0, 0);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -6);
	assert_told("message t ");
}

static void parts_may_be_counted(void **state)
{
	static const enum ps_counting known[] = {PS_COUNTING_PARTS, PS_COUNTING_MESSAGES};

	(void)state;
	for (size_t i = 0; i < 2; i++) { /* told so, and learnt */
		session_options.is_counting_known = i == 0;
		session_options.counting = known[i];
		open_session();
		configure();
		far.wire.connection.counting = PS_COUNTING_PARTS;
		subscribed();
		for (int64_t m = 0; m < 2; m++) {
			say_part("i", 0, "hello", 0, 2);
			next_frame(PS_FRAME_CONTINUE_RECEIVE, -2 - 2 * m);
			say_part("i", 1, "hello", 2, 3);
			next_frame(PS_FRAME_CONFIRM_RECEIVE, -3 - 2 * m);
			assert_told("message t hello");
		}
		close_session();
	}
}

/* A first part says what a later one is to be wrong in. */
static void begin(void)
{
	open_subscribed();
	say_part("i", 0, "hello", 0, 2);
	next_frame(PS_FRAME_CONTINUE_RECEIVE, -2);
}

static void assert_refused(void)
{
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
	configure();
	close_session();
}

static void parts_that_do_not_fit_end_the_connection(void **state)
{
	static const struct {
		const char *id;
		uint64_t part;
		size_t size;
	} cases[] = {{"i", 2, 1}, {"j", 1, 1}, {"i", 1, 0}, {"j", 0, 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		say_part(cases[i].id, cases[i].part, "hello", 2, cases[i].size);
		assert_refused();
	}
	open_subscribed();
	say_part("i", 1, "hello", 2, 2); /* of nothing */
	assert_refused();
}

static void messages_that_are_not_what_was_said_end_the_connection(void **state)
{
	uint8_t digest[PS_DIGEST_SIZE] = {1};
	struct ps_frame f = {.type = PS_FRAME_RECEIVE_STREAM,
			     .identifier = TEXT("i"),
			     .key = TEXT("t"),
			     .compressed_length = 5,
			     .length = 5,
			     .digest = ps_bytes(digest, sizeof(digest)),
			     .payload = TEXT("hello")};

	(void)state;
	open_subscribed();
	say(&f, 0); /* another digest */
	assert_refused();
	f.payload = TEXT("hello, and more");
	open_subscribed();
	say(&f, 0);
	assert_refused();
	f.payload = TEXT("x");
	f.length = f.compressed_length = UINT64_MAX;
	open_subscribed();
	say(&f, 0);
	assert_refused();
	f.payload = TEXT("hello");
	f.compressed_length = 5;
	f.length = 9;
	f.compressor = 1;
	assert_ok(ps_digest_of(f.payload, digest));
	open_subscribed();
	say(&f, 0); /* was never enabled */
	assert_refused();
}

static void messages_that_are_wrongly_signed_are_not_delivered(void **state)
{
	(void)state;
	begin();
	far.wire.connection.last[PS_BROADCASTER] += 5;
	say_part("i", 1, "hello", 2, 3);
	assert_refused();
	open_subscribed();
	auths[1].to_subscriber.key[0] ^= 1;
	say_part("i", 0, "hello", 0, 5);
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
	assert_nothing_told();
}

static void what_is_not_wanted_is_confirmed_and_dropped(void **state)
{
	(void)state;
	open_session();
	configure();
	say_part("i", 0, "hello", 0, 5);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -1);
	assert_nothing_told();
}

static void slow_handlers_hold_up_only_so_many(void **state)
{
	(void)state;
	far_handler.delay_ns = 100000000;
	session_options.received_max = 2;
	open_subscribed();
	for (int64_t i = 0; i < 2; i++) {
		say_part("i", 0, "hello", 0, 5);
		next_frame(PS_FRAME_CONFIRM_RECEIVE, -2 - i);
	}
	say_part("i", 0, "hello", 0, 5);
	assert_told("lost");
	assert_closed(PS_SOCKET_POLICY);
	assert_told("message t hello");
	assert_told("message t hello");
	assert_nothing_told();
}

static void what_was_missed_is_told(void **state)
{
	(void)state;
	open_subscribed();
	say(&(struct ps_frame){.type = PS_FRAME_MISSED, .key = TEXT("t")}, 0);
	assert_told("lost");
	assert_told("missed t");
	assert_told("receiving");
	assert_no_frame();
	far.wire.connection.last[PS_BROADCASTER]++; /* one that it never saw */
	say(&(struct ps_frame){.type = PS_FRAME_MISSED, .key = TEXT("t")}, 0);
	assert_refused();
}

#define SESSION(name) cmocka_unit_test_setup_teardown(name, far_set_up, far_tear_down)

RUN_TESTS(SESSION(small_messages_go_whole_and_in_order),
	  SESSION(large_messages_go_in_parts_as_far_as_the_window),
	  SESSION(answers_of_streams_come_in_order),
	  SESSION(a_forged_confirmation_ends_the_connection_and_the_message_goes_again),
	  SESSION(unconfirmed_messages_go_again_in_order_with_their_identifiers),
	  SESSION(a_stream_that_is_cut_begins_anew), SESSION(messages_that_wait_have_a_maximum),
	  SESSION(changes_go_before_messages_but_not_into_one),
	  SESSION(messages_are_confirmed_and_delivered), SESSION(parts_may_be_counted),
	  SESSION(parts_that_do_not_fit_end_the_connection),
	  SESSION(messages_that_are_not_what_was_said_end_the_connection),
	  SESSION(messages_that_are_wrongly_signed_are_not_delivered),
	  SESSION(what_is_not_wanted_is_confirmed_and_dropped),
	  SESSION(slow_handlers_hold_up_only_so_many), SESSION(what_was_missed_is_told))
