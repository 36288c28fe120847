/*
 * Clients of a broadcaster's web sockets, for tests/unit/pubsub_peer.c and pubsub_deliver.c. Owns
 * the broadcaster; the test owns its clients.
 */
#include "tests/support/peers.h"

#include "tests/support/ends.h"

static struct ps_loop *loop;
static struct ps_sockets *sockets; /* of the clients */
static struct ps_replay *replays[2];
struct ps_auth peers_auths[2]; /* the broadcaster's and the clients' */
struct ps_broadcaster_options options;
struct ps_broadcaster b;

/* ---- the loop until something holds ------------------------------------------------------------ */

void peers_wait_until(bool (*holds)(void *what), void *what)
{
	assert_true(ends_wait(loop, holds, what, ENDS_PATIENCE_MS));
}

void wait_ms(int ms)
{
	ends_wait(loop, NULL, NULL, ms);
}

/* ---- a client -------------------------------------------------------------------------------- */

static void client_opened(struct ps_socket *s)
{
	struct client *c = s->owner;

	c->opened = true;
}

static void client_message(struct ps_socket *s, struct ps_bytes m)
{
	struct client *c = s->owner;

	assert_true(c->count < FRAMES);
	c->got[c->count].max = 32 << 20;
	assert_ok(osp_buffer_add(&c->got[c->count++], m.data, m.size));
}

static void client_closed(struct ps_socket *s, const struct ps_socket_end *end)
{
	struct client *c = s->owner;

	c->closed = true;
	c->code = end->code;
	snprintf(c->why, sizeof(c->why), "%s", end->why);
	c->socket = c->wire.socket = NULL;
}

static bool is_opened(void *what)
{
	return ((struct client *)what)->opened;
}

bool is_closed(void *what)
{
	return ((struct client *)what)->closed;
}

static bool has_more(void *what)
{
	struct client *c = what;

	return c->next < c->count || c->closed;
}

struct client *new_client(void)
{
	static const struct ps_socket_events events = {
		.opened = client_opened, .message = client_message, .closed = client_closed};
	struct client *c = calloc(1, sizeof(*c));
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/websocket", ps_server_port(b.server));
	ps_stateful_init(&c->wire, PS_SUBSCRIBER, &peers_auths[1]);
	c->wire.form = PS_FORM_MINIMAL;
	assert_ok(ps_socket_connect(&c->socket, sockets, ps_bytes_text(url), &events, c));
	peers_wait_until(is_opened, c);
	c->wire.socket = c->socket;
	return c;
}

/* Signs and sends a frame, counted; its counter. */
int64_t send_frame(struct client *c, const struct ps_frame *f)
{
	int64_t counter = ps_connection_count(&c->wire.connection, f);
	struct ps_stateful_message *m;

	assert_ok(ps_stateful_encode(&m, &c->wire, f, counter));
	if (ps_stateful_send(&c->wire, &m)) /* the broadcaster has ended it: the test will see */
		ps_stateful_free(&m);
	return counter;
}

/* The socket keeps it until it is sent, and does not say so when it is killed. */
struct raw {
	struct ps_outgoing out;
	struct raw *next;
	uint8_t bytes[];
};

static void raw_sent(struct ps_outgoing *m, int error)
{
	(void)m;
	(void)error;
}

void send_bytes(struct client *c, struct ps_bytes bytes)
{
	struct raw *r = calloc(1, sizeof(*r) + bytes.size);

	memcpy(r->bytes, bytes.data, bytes.size);
	r->out.head = ps_bytes(r->bytes, bytes.size);
	r->out.sent = raw_sent;
	r->next = c->raw;
	c->raw = r;
	(void)ps_socket_send(c->socket, &r->out); /* it may have ended: the test will see */
}

void free_client(struct client *c)
{
	ps_socket_kill(&c->socket);
	ps_stateful_clear(&c->wire);
	for (size_t i = 0; i < c->count; i++)
		osp_buffer_clear(&c->got[i]);
	while (c->raw) {
		struct raw *r = c->raw;

		c->raw = r->next;
		free(r);
	}
	free(c);
}

/* The next frame that came, which must be of this type; what is signed is the caller's to check. */
struct ps_frame peers_next_frame(struct client *c, enum ps_frame_type type)
{
	struct ps_frame f = {0};
	const char *header;

	peers_wait_until(has_more, c);
	if (c->next == c->count)
		fail_msg("closed (%u %s) before %s", c->code, c->why, ps_formats[type].name);
	assert_int_equal(ps_frame_decode(&f, &header, PS_BROADCASTER,
					 ps_bytes(c->got[c->next].data, c->got[c->next].size)),
			 PS_FRAME_OK);
	if (f.type != type)
		fail_msg("%s instead of %s", ps_formats[f.type].name, ps_formats[type].name);
	c->next++;
	return f;
}

void assert_authorized(struct client *c, const struct ps_frame *f, int64_t counter)
{
	assert_int_equal(ps_stateful_check(&c->wire, f, counter), PS_AUTH_OK);
}

void assert_ended(struct client *c, unsigned code, const char *why)
{
	peers_wait_until(is_closed, c);
	assert_int_equal(c->code, code);
	assert_string_equal(c->why, why);
}

void configure_as(struct client *c, struct ps_frame f)
{
	uint8_t nonce[PS_NONCE_SIZE] = {1, 2, 3};

	f.type = PS_FRAME_CONFIGURE;
	f.nonce = ps_bytes(nonce, sizeof(nonce));
	send_frame(c, &f);
	f = peers_next_frame(c, PS_FRAME_CONFIRM_CONFIGURE);
	assert_authorized(c, &f, 0);
	assert_ok(ps_connection_init(&c->wire.connection, nonce, f.nonce.data,
				     options.peers.counting));
	c->wire.connection.is_counting_known = true;
}

void peers_configure(struct client *c)
{
	configure_as(c, (struct ps_frame){0});
}

struct client *new_session(void)
{
	struct client *c = new_client();

	peers_configure(c);
	return c;
}

/* Subscribes or unsubscribes, and waits for the confirmation. */
void peers_change(struct client *c, enum ps_frame_type type, const char *key)
{
	struct ps_frame f = {.type = type, .key = ps_bytes_text(key)};
	int64_t counter = send_frame(c, &f);

	f = peers_next_frame(c, ps_formats[type].answer);
	assert_true(ps_bytes_equal(f.key, ps_bytes_text(key)));
	assert_authorized(c, &f, counter);
}

/* A part of a message, whose digest is that of all of it. */
struct ps_frame part_of(enum ps_frame_type type, const char *topic, struct ps_bytes message,
			uint64_t part, size_t from, size_t size, uint8_t *digest)
{
	struct ps_frame f = {.type = type,
			     .identifier = TEXT("id01"),
			     .key = ps_bytes_text(topic),
			     .part = part,
			     .compressed_length = message.size,
			     .length = message.size,
			     .payload = ps_bytes((const char *)message.data + from, size)};

	assert_ok(ps_digest_of(message, digest));
	f.digest = ps_bytes(digest, PS_DIGEST_SIZE);
	return f;
}

void peers_notify(struct client *c, const char *topic, struct ps_bytes message)
{
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f = part_of(PS_FRAME_NOTIFY, topic, message, 0, 0, message.size, digest);

	send_frame(c, &f);
}

/* The confirmation of a message that was sent as it is. */
void assert_notified(struct client *c, const char *topic, struct ps_bytes message,
		     unsigned subscribers)
{
	struct ps_frame f = peers_next_frame(c, PS_FRAME_CONFIRM_NOTIFY);
	uint8_t digest[PS_DIGEST_SIZE];

	assert_ok(ps_digest_of(message, digest));
	assert_true(ps_bytes_equal(f.identifier, TEXT("id01")));
	assert_int_equal(f.subscribers, subscribers);
	f.key = ps_bytes_text(topic);
	f.digest = ps_bytes(digest, sizeof(digest));
	assert_authorized(c, &f, 0);
}

/* The next part of a message, counted and authorized; `stream` puts it together. */
struct ps_frame take_part(struct client *c, struct ps_stream *stream, enum ps_stream_verdict then)
{
	struct ps_frame f = peers_next_frame(c, PS_FRAME_RECEIVE_STREAM);
	int64_t counter = ps_connection_count(&c->wire.connection, &f);

	assert_int_equal(ps_stream_begin(stream, &f), PS_STREAM_MORE);
	assert_authorized(c, &f, counter);
	assert_int_equal(ps_stream_add(stream, &f), then);
	return f;
}

void answer_part(struct client *c, const struct ps_frame *part, bool is_last)
{
	send_frame(c, &(struct ps_frame){.type = is_last ? PS_FRAME_CONFIRM_RECEIVE
							 : PS_FRAME_CONTINUE_RECEIVE,
					 .identifier = part->identifier,
					 .part = is_last ? 0 : part->part,
					 .subscribers = is_last});
}

/* A message of one part, and its confirmation. */
void take_message(struct client *c, struct ps_bytes message)
{
	struct ps_stream s = {.max = 1 << 20};
	struct ps_frame f = take_part(c, &s, PS_STREAM_COMPLETE);

	assert_true(ps_bytes_equal(f.payload, message));
	answer_part(c, &f, true);
	ps_stream_clear(&s);
}

/* ---- both sides -------------------------------------------------------------------------------- */

static void set_options(void)
{
	options = (struct ps_broadcaster_options){
		.server = {.listen = "127.0.0.1:0",
			   .connections_max = 100,
			   .discard_max = 1 << 20,
			   .idle_s = 60,
			   .request_ns = 60000000000,
			   .header_max = 65536},
		.client = {.connections_max = 16,
			   .connect_ns = 5000000000,
			   .silent_ns = 20000000000,
			   .total_ns = 20000000000},
		.db = {.rows_max = 1000},
		.budget = {.message_max = 1 << 20,
			   .memory_each = 10000,
			   .memory_max = 1 << 20,
			   .disk_max = 4 << 20,
			   .directory = "/tmp"},
		.sweep = {.interval_ns = 3600000000000, .policy = PS_MISSED_POLICY_INIT},
		.peers = {.sockets = {.count_max = 100,
				      .message_max = 1 << 20,
				      .memory_max = 16 << 20,
				      .accept_ns = 5000000000,
				      .close_ns = 1000000000},
			  .pending_max = 255,
			  .unprocessed_max = 255,
			  .unprocessed_bytes = 1 << 20,
			  .unacknowledged_max = 3,
			  .subscriptions_max = 100,
			  .message_max = 4000,
			  .direct_ns = 50000000,
			  .form = PS_FORM_MINIMAL,
			  .counting = PS_COUNTING_MESSAGES},
	};
}

static int open_all(void)
{
	struct ps_sockets_options clients = {.count_max = 100,
					     .message_max = 1 << 20,
					     .memory_max = 16 << 20,
					     .pending_max = 1000,
					     .connect_ns = 5000000000,
					     .close_ns = 1000000000,
					     .path = ""};

	assert_ok(ps_loop_new(&loop));
	ends_open_auths(peers_auths, replays);
	assert_ok(ps_sockets_open(&sockets, loop, &clients));
	return ps_broadcaster_open(&b, loop, &peers_auths[0], NULL, &options);
}

int set_up(void **state)
{
	(void)state;
	set_options();
	return open_all();
}

int tear_down(void **state)
{
	(void)state;
	ps_broadcaster_close(&b);
	ps_sockets_close(&sockets);
	ends_close_auths(replays);
	ps_loop_free(&loop);
	return 0;
}

/* Opens again with changed options. */
void reopen(void)
{
	tear_down(NULL);
	assert_ok(open_all());
}
