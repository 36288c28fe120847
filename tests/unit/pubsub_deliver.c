/* The stateful protocol at the broadcaster: messages and news out over web sockets. */
#include "tests/support/peers.h"
#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_system.h"

enum { LARGE = 30000 }; /* more than the broadcaster keeps in memory, and several parts */

static uint8_t large[LARGE];

static struct ps_bytes large_message(void)
{
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (uint8_t)(i * 7 + i / 251);
	return ps_bytes(large, sizeof(large));
}

/* All parts of a large message, confirmed as they come; how many. */
static unsigned take_large(struct client *c)
{
	struct ps_stream s = {.max = 1 << 20};
	enum ps_stream_verdict v;
	unsigned parts = 0;

	do {
		struct ps_frame f = peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
		int64_t counter = ps_connection_count(&c->wire.connection, &f);

		assert_true(c->got[c->next - 1].size <= options.peers.message_max);
		assert_int_equal(ps_stream_begin(&s, &f), PS_STREAM_MORE);
		assert_authorized(c, &f, counter);
		v = ps_stream_add(&s, &f);
		answer_part(c, &f, v == PS_STREAM_COMPLETE);
		parts++;
	} while (v == PS_STREAM_MORE);
	assert_int_equal(v, PS_STREAM_COMPLETE);
	assert_int_equal(s.received, LARGE);
	ps_stream_clear(&s);
	return parts;
}

static bool is_idle(void *what)
{
	(void)what;
	return !ps_peers_is_busy(&b.peers);
}

static void assert_nothing_kept(void)
{
	peers_wait_until(is_idle, NULL);
	wait_ms(20);
	assert_int_equal(b.budget.memory_used, 0);
	assert_int_equal(b.budget.disk_used, 0);
	assert_null(b.peers.recent);
}

static void a_large_message_goes_in_parts(void **state)
{
	struct client *publisher = new_session(), *one = new_session(), *two = new_session();

	(void)state;
	peers_change(one, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_change(two, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(publisher, "t", large_message());
	assert_int_equal(take_large(one), 9);
	assert_int_equal(take_large(two), 9);
	assert_notified(publisher, "t", large_message(), 2);
	assert_nothing_kept();
	take_message(one, (peers_notify(publisher, "t", TEXT("next")), TEXT("next")));
	free_client(publisher);
	free_client(one);
	free_client(two);
}

static void parts_may_be_counted_each(void **state)
{
	struct client *c;

	(void)state;
	options.peers.counting = PS_COUNTING_PARTS;
	reopen();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(c, "t", large_message());
	assert_int_equal(take_large(c), 9);
	assert_int_equal(c->wire.connection.last[PS_BROADCASTER], 9);
	assert_notified(c, "t", large_message(), 1);
	free_client(c);
}

static void headers_may_have_names(void **state)
{
	struct client *c;

	(void)state;
	options.peers.form = PS_FORM_EXPANDED;
	reopen();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	assert_int_equal(c->got[0].data[1], 0); /* flags */
	peers_notify(c, "t", large_message());
	take_large(c);
	assert_notified(c, "t", large_message(), 1);
	free_client(c);
}

static void only_a_few_parts_are_unconfirmed(void **state)
{
	struct client *publisher = new_session(), *c = new_session();
	struct ps_frame f;

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(publisher, "t", large_message());
	/* copied after 50 ms: the publisher does not wait for a slow subscriber */
	assert_notified(publisher, "t", large_message(), 1);
	wait_ms(50);
	assert_int_equal(c->count - c->next, 3);
	f = peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
	c->next--;
	answer_part(c, &f, false);
	wait_ms(50);
	assert_int_equal(c->count - c->next, 4);
	f.part = 1;
	answer_part(c, &f, false);
	f.part = 2;
	answer_part(c, &f, false);
	wait_ms(50);
	assert_int_equal(c->count - c->next, 6);
	free_client(publisher);
	free_client(c);
	assert_nothing_kept();
}

/* What is queued behind a message waits for its parts: they stay together. */
static void answers_wait_behind_the_parts_of_a_message(void **state)
{
	struct client *publisher = new_session(), *c = new_session();

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(publisher, "t", large_message());
	assert_notified(publisher, "t", large_message(), 1);
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_SUBSCRIBE_EXACT, .key = TEXT("u")});
	take_large(c);
	peers_next_frame(c, PS_FRAME_CONFIRM_SUBSCRIBE_EXACT);
	assert_nothing_kept();
	free_client(publisher);
	free_client(c);
}

static void small_messages_wait_for_a_slow_subscriber(void **state)
{
	struct client *publisher = new_session(), *slow = new_session(), *quick = new_session();

	(void)state;
	peers_change(slow, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_change(quick, PS_FRAME_SUBSCRIBE_EXACT, "t");
	for (int i = 0; i < 50; i++) {
		peers_notify(publisher, "t", TEXT("hello"));
		assert_notified(publisher, "t", TEXT("hello"), 2);
		take_message(quick, TEXT("hello"));
	}
	wait_ms(20);
	assert_int_equal(slow->count - slow->next, 3);
	/* one body of 5 bytes may be shared by both connections */
	assert_true(b.budget.memory_used <= 50 * 5);
	for (int i = 0; i < 50; i++)
		take_message(slow, TEXT("hello"));
	assert_nothing_kept();
	free_client(publisher);
	free_client(slow);
	free_client(quick);
}

static void too_much_that_is_not_sent_ends_the_connection(void **state)
{
	struct client *publisher, *slow;

	(void)state;
	options.peers.pending_max = 5;
	reopen();
	publisher = new_session();
	slow = new_session();
	peers_change(slow, PS_FRAME_SUBSCRIBE_EXACT, "t");
	for (int i = 0; i < 8; i++) {
		peers_notify(publisher, "t", TEXT("hello"));
		assert_notified(publisher, "t", TEXT("hello"), 1);
	}
	peers_notify(publisher, "t", TEXT("hello"));
	assert_notified(publisher, "t", TEXT("hello"), 0);
	assert_ended(slow, PS_SOCKET_POLICY, "too many messages to be sent");
	assert_int_equal(b.peers.ended[PS_PEER_PENDING_SENDS_FULL], 1);
	free_client(slow);
	free_client(publisher);
	assert_nothing_kept();
	assert_int_equal(ps_db_count(b.db), 0);
}

static void too_many_answers_that_wait_end_the_connection(void **state)
{
	struct client *c;
	char key[2] = "a";

	(void)state;
	options.peers.pending_max = 5;
	reopen();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	for (int i = 0; i < 4; i++) /* the last waits for a confirmation, and so do all behind it */
		peers_notify(c, "t", TEXT("hello"));
	for (; key[0] < 'g'; key[0]++)
		send_frame(c, &(struct ps_frame){.type = PS_FRAME_SUBSCRIBE_EXACT,
						 .key = ps_bytes_text(key)});
	assert_ended(c, PS_SOCKET_POLICY, "too many messages to be sent");
	free_client(c);
	assert_nothing_kept();
}

static void a_wrong_confirmation_ends_the_connection(void **state)
{
	static const struct {
		struct ps_frame f;
		const char *why;
	} cases[] = {
		{{.type = PS_FRAME_CONTINUE_RECEIVE}, "another type of answer was due"},
		{{.type = PS_FRAME_CONFIRM_RECEIVE, .identifier = {"xxxx", 4}, .subscribers = 1},
		 "the answer to another identifier, topic or glob was due"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client *c = new_session();
		struct ps_frame got, f = cases[i].f;

		peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
		peers_notify(c, "t", TEXT("hello"));
		got = peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
		if (!f.identifier.size)
			f.identifier = got.identifier;
		send_frame(c, &f);
		assert_ended(c, PS_SOCKET_PROTOCOL, cases[i].why);
		free_client(c);
		assert_nothing_kept();
	}
}

static void a_confirmation_of_nothing_ends_the_connection(void **state)
{
	struct client *c = new_session();

	(void)state;
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_CONFIRM_RECEIVE, .subscribers = 1});
	assert_ended(c, PS_SOCKET_PROTOCOL, "nothing was waiting for an answer");
	free_client(c);
}

static void a_confirmation_that_is_not_authorized_ends_the_connection(void **state)
{
	struct client *c = new_session();
	struct ps_frame f;

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(c, "t", TEXT("hello"));
	f = peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
	peers_auths[1].to_broadcaster.key[5] ^= 1;
	answer_part(c, &f, true);
	assert_ended(c, PS_SOCKET_POLICY, "forbidden");
	free_client(c);
	assert_nothing_kept();
}

static void a_connection_lost_within_a_message_releases_it(void **state)
{
	struct client *publisher, *c;

	(void)state;
	options.peers.direct_ns = 3600000000000; /* nothing is copied */
	reopen();
	publisher = new_session();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(publisher, "t", large_message());
	peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
	wait_ms(30);
	assert_int_equal(publisher->next, publisher->count);
	ps_socket_kill(&c->socket);
	assert_notified(publisher, "t", large_message(), 1);
	free_client(c);
	assert_nothing_kept();
	free_client(publisher);
}

static void a_large_message_that_is_sent_holds_nobody_up(void **state)
{
	struct client *publisher, *c;

	(void)state;
	options.peers.direct_ns = 3600000000000;
	options.peers.message_max = 20000; /* two parts */
	reopen();
	publisher = new_session();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(publisher, "t", large_message());
	assert_notified(publisher, "t", large_message(), 1); /* before it is confirmed */
	assert_int_equal(take_large(c), 2);
	assert_nothing_kept();
	free_client(publisher);
	free_client(c);
}

/* Only the first of them holds the publisher up: the others share its copy. */
static void one_copy_serves_all_who_are_slow(void **state)
{
	struct client *publisher, *slow[5];
	int64_t begin;

	(void)state;
	options.peers.direct_ns = 1000000000;
	reopen();
	publisher = new_session();
	for (int i = 0; i < 5; i++) {
		slow[i] = new_session();
		peers_change(slow[i], PS_FRAME_SUBSCRIBE_EXACT, "t");
	}
	begin = ps_system_steady_ns();
	peers_notify(publisher, "t", large_message());
	assert_notified(publisher, "t", large_message(), 5);
	assert_in_range(ps_system_steady_ns() - begin, 1000000000, 4000000000);
	/* and the publisher's own, until the loop has freed it */
	wait_ms(20);
	assert_int_equal(b.budget.disk_used, LARGE);
	for (int i = 0; i < 5; i++) {
		take_large(slow[i]);
		free_client(slow[i]);
	}
	assert_nothing_kept();
	free_client(publisher);
}

static void not_released(struct ps_relay_message *m, bool spooled)
{
	(void)m;
	(void)spooled;
	fail_msg("released though it was taken back");
}

/* Lends a large message to the only one who wants it, and takes it back. */
static void lend_and_take_back(struct ps_spool *spool)
{
	static const struct outspan_context none;
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_relay_at at = {0};
	struct ps_relay_message m = {.topic = TEXT("t"),
				     .identifier = TEXT("source"),
				     .digest = digest,
				     .message = spool,
				     .context = &none,
				     .released = not_released};

	ps_spool_init(spool, &b.budget);
	assert_ok(ps_spool_add(spool, large_message().data, LARGE));
	assert_ok(ps_digest_of(large_message(), digest));
	assert_ok(b.relay->next(b.relay, m.topic, &at));
	assert_int_equal(b.relay->queue(b.relay, &at, &m), PS_QUEUED_LARGE);
	b.relay->cancel(b.relay, &m);
	ps_spool_clear(spool);
}

static void a_message_that_is_withdrawn_before_its_turn_is_not_sent(void **state)
{
	struct client *c = new_session();
	struct ps_spool spool;

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	for (int i = 0; i < 3; i++) {
		peers_notify(c, "t", TEXT("hello"));
		peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
		peers_next_frame(c, PS_FRAME_CONFIRM_NOTIFY);
	}
	lend_and_take_back(&spool);
	c->next = 2; /* back behind the first two answers */
	for (int i = 0; i < 3; i++) {
		take_message(c, TEXT("hello"));
		peers_next_frame(c, PS_FRAME_CONFIRM_NOTIFY);
	}
	wait_ms(30);
	assert_int_equal(c->count, 8);
	assert_false(c->closed);
	free_client(c);
	assert_nothing_kept();
}

static void a_message_that_is_withdrawn_within_ends_the_connection(void **state)
{
	struct client *c = new_session();
	struct ps_spool spool;

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	lend_and_take_back(&spool);
	assert_ended(c, PS_SOCKET_FAILED, "a message was withdrawn");
	free_client(c);
	assert_nothing_kept();
}

/* Not lent for ever: the connection of whoever sends waits behind its own message. */
static void a_subscriber_may_publish_to_itself(void **state)
{
	struct client *c = new_session();

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	for (int i = 0; i < 3; i++) {
		peers_notify(c, "t", large_message());
		take_large(c);
		assert_notified(c, "t", large_message(), 1);
	}
	assert_nothing_kept();
	free_client(c);
}

static void a_broadcaster_may_end_within_messages(void **state)
{
	struct client *publisher, *c;

	(void)state;
	options.peers.direct_ns = 3600000000000;
	reopen();
	publisher = new_session();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(publisher, "t", large_message());
	peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
	peers_notify(publisher, "t", TEXT("waits"));
	wait_ms(30);
	ps_broadcaster_close(&b);
	assert_int_equal(b.budget.memory_used, 0);
	assert_int_equal(b.budget.disk_used, 0);
	free_client(publisher);
	free_client(c);
}

/* ---- news -------------------------------------------------------------------------------------- */

static bool is_answered(void *what)
{
	return ((struct ps_call *)what)->status != 0;
}

static void call_done(struct ps_call *call)
{
	(void)call;
}

static void connections_are_told_of_missed_messages(void **state)
{
	struct client *one = new_session(), *other = new_session();
	struct osp_buffer authorization = OSP_BUFFER_INIT(1000);
	struct ps_call call = {
		.url = ps_bytes_text(b.missed_url), .head = TEXT("\0\0\0\1t"), .done = call_done};
	struct ps_signed m = {
		.kind = PS_KIND_MISSED, .recovery = ps_bytes_text(b.missed_url), .key = TEXT("t")};
	struct ps_frame f;

	(void)state;
	peers_change(one, PS_FRAME_SUBSCRIBE_GLOB, "*");
	peers_change(other, PS_FRAME_SUBSCRIBE_EXACT, "u");
	assert_ok(ps_auth_authorize(&authorization, &peers_auths[1].to_subscriber, &m));
	call.authorization = osp_buffer_text(&authorization);
	ps_client_start(b.client, &call);
	peers_wait_until(is_answered, &call);
	assert_int_equal(call.status, 200);
	f = peers_next_frame(one, PS_FRAME_MISSED);
	assert_true(ps_bytes_equal(f.key, TEXT("t")));
	assert_authorized(one, &f, ps_connection_count(&one->wire.connection, &f));
	wait_ms(20);
	assert_int_equal(other->next, other->count);
	ps_client_clear(&call);
	osp_buffer_clear(&authorization);
	free_client(one);
	free_client(other);
}

RUN_TESTS(CASE(a_large_message_goes_in_parts), CASE(parts_may_be_counted_each),
	  CASE(headers_may_have_names), CASE(only_a_few_parts_are_unconfirmed),
	  CASE(answers_wait_behind_the_parts_of_a_message),
	  CASE(small_messages_wait_for_a_slow_subscriber),
	  CASE(too_much_that_is_not_sent_ends_the_connection),
	  CASE(too_many_answers_that_wait_end_the_connection),
	  CASE(a_wrong_confirmation_ends_the_connection),
	  CASE(a_confirmation_of_nothing_ends_the_connection),
	  CASE(a_confirmation_that_is_not_authorized_ends_the_connection),
	  CASE(a_connection_lost_within_a_message_releases_it),
	  CASE(a_large_message_that_is_sent_holds_nobody_up),
	  CASE(one_copy_serves_all_who_are_slow),
	  CASE(a_message_that_is_withdrawn_before_its_turn_is_not_sent),
	  CASE(a_message_that_is_withdrawn_within_ends_the_connection),
	  CASE(a_subscriber_may_publish_to_itself), CASE(a_broadcaster_may_end_within_messages),
	  CASE(connections_are_told_of_missed_messages))
