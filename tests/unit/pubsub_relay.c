/* Messages and notices for web sockets, from the request to web sockets that a test plays. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_broadcaster.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

enum { SOCKETS = 4 };

/* The web sockets: which of them are open for topic "t", and what they do with a message. */
static struct {
	bool open;
	enum ps_queued takes;
	bool deaf; /* cannot be told */
} sockets[SOCKETS + 1];

static char said[1024]; /* what they were asked, and what came of it */
static struct ps_relay_message *lent;
static struct ps_loop *loop;
static struct ps_broadcaster b;
static struct ps_client *client;
static struct ps_call call;

static void say(const char *format, uint64_t number)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, format, number);
}

static int next(struct ps_relay *s, struct ps_bytes topic, struct ps_relay_at *at)
{
	(void)s;
	while (at->number < SOCKETS)
		if (sockets[++at->number].open && ps_bytes_equal(topic, TEXT("t")))
			return 0;
	return 1;
}

static enum ps_queued queue(struct ps_relay *s, const struct ps_relay_at *at,
			    struct ps_relay_message *m)
{
	char text[64] = "";

	(void)s;
	assert_int_equal(ps_spool_read(m->message, 0, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_true(ps_bytes_equal(m->identifier, TEXT("12345678")));
	assert_null(lent);
	say("%" PRIu64 " ", at->number);
	if (sockets[at->number].takes == PS_QUEUED_LARGE) {
		lent = m;
		ps_loop_stop(loop, 0); /* the test takes over */
	}
	return sockets[at->number].takes;
}

static void cancel(struct ps_relay *s, struct ps_relay_message *m)
{
	(void)s;
	assert_ptr_equal(m, lent);
	lent = NULL;
	strcat(said, "canceled ");
}

static bool tell_missed(struct ps_relay *s, const struct ps_relay_at *at, struct ps_bytes topic,
			const struct outspan_op *parent)
{
	(void)s;
	assert_non_null(parent);
	assert_true(ps_bytes_equal(topic, TEXT("t")));
	say("missed%" PRIu64 " ", at->number);
	return !sockets[at->number].deaf;
}

static struct ps_relay played = {next, queue, cancel, tell_missed};

static void answered(struct ps_call *c)
{
	(void)c;
	strcat(said, "answered ");
	ps_loop_stop(loop, 0);
}

static int set_up(void **state)
{
	struct ps_client_options options = {.connections_max = 4,
					    .connect_ns = 5000000000,
					    .silent_ns = 20000000000,
					    .total_ns = 20000000000};
	struct ps_broadcaster_options o = {
		.server = {.listen = "127.0.0.1:0",
			   .connections_max = 10,
			   .discard_max = 1 << 20,
			   .idle_s = 60,
			   .request_ns = 60000000000,
			   .header_max = 65536},
		.client = options,
		.db = {.rows_max = 10},
		.budget = {.message_max = 100, .memory_each = 100, .memory_max = 1000},
		.sweep = {.interval_ns = 3600000000000, .policy = PS_MISSED_POLICY_INIT},
		.relay = &played,
	};
	static const struct ps_auth none;

	(void)state;
	memset(sockets, 0, sizeof(sockets));
	*said = 0;
	assert_ok(ps_loop_new(&loop));
	assert_ok(ps_client_open(&client, loop, &options));
	return ps_broadcaster_open(&b, loop, &none, NULL, &o);
}

static int tear_down(void **state)
{
	(void)state;
	ps_client_clear(&call);
	ps_broadcaster_close(&b);
	ps_client_close(&client);
	ps_loop_free(&loop);
	call = (struct ps_call){0};
	return 0;
}

static void send_message(const char *topic)
{
	static char head[256];
	char digest[8 + PS_DIGEST_BASE64 + 1];
	uint8_t hash[PS_DIGEST_SIZE];
	int n = snprintf(head, sizeof(head), "%c%c%c%c%s%c12345678%c%c%c%c%c%c%c%chello", 0, 0, 0,
			 (int)strlen(topic), topic, 8, 0, 0, 0, 0, 0, 0, 0, 5);

	assert_ok(ps_digest_of(TEXT("hello"), hash));
	ps_digest_format_header(digest, hash);
	call.url = ps_bytes_text(b.receive_url);
	call.repr_digest = digest;
	call.head = ps_bytes(head, (size_t)n);
	call.done = answered;
	ps_client_start(client, &call);
	ps_loop_run(loop);
}

static void release(bool spooled)
{
	struct ps_relay_message *m = lent;

	lent = NULL;
	m->released(m, spooled);
	while (!lent && !strstr(said, "answered"))
		ps_loop_run(loop);
}

/* The answer confirms that so many have the message. */
static void assert_confirmed(uint32_t subscribers)
{
	struct ps_response r;

	assert_int_equal(call.status, 200);
	assert_ok(ps_message_decode_response(&r, ps_bytes(call.answer.data, call.answer.size)));
	assert_int_equal(r.type, PS_RESPONSE_CONFIRM_RECEIVE);
	assert_true(ps_bytes_equal(r.identifier, TEXT("12345678")));
	assert_int_equal(r.subscribers, subscribers);
}

static void every_web_socket_that_wants_it_gets_it(void **state)
{
	(void)state;
	sockets[1].open = sockets[3].open = sockets[4].open = true;
	send_message("t");
	assert_string_equal(said, "1 3 4 answered ");
	assert_confirmed(3);
}

static void one_that_cannot_take_it_does_not_count(void **state)
{
	(void)state;
	sockets[1].open = sockets[2].open = true;
	sockets[1].takes = PS_NOT_QUEUED;
	send_message("t");
	assert_string_equal(said, "1 2 answered ");
	assert_confirmed(1);
}

static void a_topic_nobody_wants_is_refused(void **state)
{
	(void)state;
	sockets[1].open = true;
	send_message("u");
	assert_string_equal(said, "answered ");
	assert_int_equal(call.status, 400);
	assert_int_equal(call.answer.size, 2);
	assert_memory_equal(call.answer.data, "\0\x0a", 2);
}

static void a_large_message_is_lent_to_one_after_the_other(void **state)
{
	(void)state;
	sockets[1].open = sockets[2].open = sockets[3].open = true;
	sockets[1].takes = sockets[3].takes = PS_QUEUED_LARGE;
	send_message("t");
	assert_string_equal(said, "1 ");
	release(false);
	assert_string_equal(said, "1 2 3 ");
	sockets[4].open = true; /* opened meanwhile: gets it, too */
	release(true);
	assert_string_equal(said, "1 2 3 4 answered ");
	assert_confirmed(4);
}

static void a_large_message_is_taken_back_when_the_broadcaster_closes(void **state)
{
	(void)state;
	sockets[2].open = true;
	sockets[2].takes = PS_QUEUED_LARGE;
	send_message("t");
	assert_non_null(lent);
	ps_client_clear(&call);
	ps_broadcaster_close(&b);
	assert_string_equal(said, "2 canceled ");
}

static void every_web_socket_that_wants_the_topic_is_told_of_a_missed_message(void **state)
{
	struct ps_response r;

	(void)state;
	sockets[1].open = sockets[2].open = sockets[4].open = true;
	sockets[2].deaf = true;
	call.url = ps_bytes_text(b.missed_url);
	call.head = TEXT("\0\0\0\1t");
	call.done = answered;
	ps_client_start(client, &call);
	ps_loop_run(loop);
	assert_string_equal(said, "missed1 missed2 missed4 answered ");
	assert_int_equal(call.status, 200);
	assert_ok(ps_message_decode_response(&r, ps_bytes(call.answer.data, call.answer.size)));
	assert_int_equal(r.type, PS_RESPONSE_CONFIRM_MISSED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

RUN_TESTS(CASE(every_web_socket_that_wants_it_gets_it),
	  CASE(one_that_cannot_take_it_does_not_count), CASE(a_topic_nobody_wants_is_refused),
	  CASE(a_large_message_is_lent_to_one_after_the_other),
	  CASE(a_large_message_is_taken_back_when_the_broadcaster_closes),
	  CASE(every_web_socket_that_wants_the_topic_is_told_of_a_missed_message))
