/* The broadcaster that a test plays. Owns the loop, both ends, and what was received. */
#include "tests/support/far.h"

#include "probes/pubsub/ps_server.h"
#include "tests/support/ends.h"

enum { QUIET_MS = 30 };

struct ps_loop *loop;
struct ps_auth auths[2];
struct ps_session_options session_options;
struct ps_session session;
struct far far;
struct ps_handler far_handler;
static struct told told;
static struct ps_replay *replays[2];
static struct ps_sockets *sockets;
static struct ps_server *server;
static struct ps_broadcaster_url broadcasters[1];
static char url[64];
static struct ps_budget budget;

/* ---- the loop -------------------------------------------------------------------------------- */

void far_wait_until(bool (*holds)(void *what), void *what)
{
	assert_true(ends_wait(loop, holds, what, ENDS_PATIENCE_MS));
}

static bool has_frame(void *what)
{
	(void)what;
	return far.next < far.count;
}

static bool is_open(void *what)
{
	(void)what;
	return far.socket;
}

static bool is_closed(void *what)
{
	(void)what;
	return far.closed > far.looked_at;
}

static bool is_gone(void *what)
{
	(void)what;
	return !far.socket;
}

static bool has_told(void *what)
{
	(void)what;
	return told.next < told.count;
}

/* ---- the broadcaster's end ------------------------------------------------------------------- */

static void forget_frames(void)
{
	for (size_t i = 0; i < far.count; i++)
		osp_buffer_clear(&far.got[i]);
	far.count = far.next = 0;
}

static void opened(struct ps_socket *s)
{
	forget_frames();
	far.socket = s;
	far.connections++;
	ps_stateful_init(&far.wire, PS_BROADCASTER, &auths[1]);
	far.wire.socket = s;
	far.wire.form = session_options.form;
}

static void took(struct ps_socket *s, struct ps_bytes m)
{
	struct osp_buffer *b = &far.got[far.count++];

	(void)s;
	assert_true(far.count <= FAR_FRAMES);
	*b = (struct osp_buffer)OSP_BUFFER_INIT(1 << 20);
	assert_ok(osp_buffer_add(b, m.data, m.size));
}

static void closed(struct ps_socket *s, const struct ps_socket_end *end)
{
	if (s != far.socket)
		return;
	far.socket = NULL;
	assert_true(far.closed < FAR_EVENTS);
	far.codes[far.closed++] = end->code;
	ps_stateful_clear(&far.wire);
}

static const struct ps_socket_events events = {.opened = opened, .message = took, .closed = closed};

void say(const struct ps_frame *f, int64_t counter)
{
	int64_t own = ps_connection_count(&far.wire.connection, f);
	struct ps_stateful_message *m = NULL;

	assert_ok(ps_stateful_encode(&m, &far.wire, f, counter ? counter : own));
	assert_ok(ps_stateful_send(&far.wire, &m));
}

static void sent(struct ps_outgoing *m, int error)
{
	(void)error;
	free(m);
}

void say_bytes(struct ps_bytes bytes)
{
	struct ps_outgoing *m = malloc(sizeof(*m) + bytes.size);

	assert_non_null(m);
	*m = (struct ps_outgoing){.head = ps_bytes(m + 1, bytes.size), .sent = sent};
	memcpy(m + 1, bytes.data, bytes.size);
	assert_ok(ps_socket_send(far.socket, m));
}

void say_part(const char *id, uint64_t part, const char *whole, size_t offset, size_t size)
{
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f = {.type = PS_FRAME_RECEIVE_STREAM,
			     .identifier = ps_bytes_text(id),
			     .key = TEXT("t"),
			     .part = part,
			     .compressed_length = strlen(whole),
			     .length = strlen(whole),
			     .digest = ps_bytes(digest, sizeof(digest)),
			     .payload = ps_bytes(whole + offset, size)};

	assert_ok(ps_digest_of(ps_bytes_text(whole), digest));
	say(&f, 0);
}

struct ps_frame next_frame(enum ps_frame_type type, int64_t counter)
{
	struct ps_frame f;
	const char *header;
	struct osp_buffer *b;

	far_wait_until(has_frame, NULL);
	b = &far.got[far.next++];
	assert_int_equal(ps_frame_decode(&f, &header, PS_SUBSCRIBER, ps_bytes(b->data, b->size)),
			 0);
	assert_string_equal(ps_formats[f.type].name, ps_formats[type].name);
	if (counter) {
		assert_int_equal(ps_connection_count(&far.wire.connection, &f), counter);
		assert_int_equal(ps_stateful_check(&far.wire, &f, counter), PS_AUTH_OK);
	}
	return f;
}

void assert_no_frame(void)
{
	ends_wait(loop, NULL, NULL, QUIET_MS);
	assert_false(has_frame(NULL));
}

void assert_closed(unsigned code)
{
	far_wait_until(is_closed, NULL);
	assert_int_equal(far.codes[far.looked_at++], code);
}

void drop_connection(void)
{
	struct ps_socket *s = far.socket;

	far.socket = NULL;
	ps_socket_kill(&s);
	ps_stateful_clear(&far.wire);
}

/* ---- the session ----------------------------------------------------------------------------- */

static void tell(const char *format, ...)
{
	va_list ap;

	assert_true(told.count < FAR_EVENTS);
	va_start(ap, format);
	vsnprintf(told.text[told.count++], sizeof(told.text[0]), format, ap);
	va_end(ap);
}

void assert_told(const char *text)
{
	far_wait_until(has_told, NULL);
	assert_string_equal(told.text[told.next++], text);
}

void assert_nothing_told(void)
{
	ends_wait(loop, NULL, NULL, QUIET_MS);
	assert_false(has_told(NULL));
}

static int handle(struct ps_handler *h, const struct ps_delivery *d)
{
	char text[32] = "";

	(void)h;
	ps_spool_read(d->message, 0, text, sizeof(text) - 1);
	tell("message %.*s %s", (int)d->topic.size, (const char *)d->topic.data, text);
	return 0;
}

static void lost(struct ps_handler *h)
{
	(void)h;
	tell("lost");
}

static void receiving(struct ps_handler *h)
{
	(void)h;
	tell("receiving");
}

static void missed(void *owner, struct ps_bytes topic)
{
	(void)owner;
	tell("missed %.*s", (int)topic.size, (const char *)topic.data);
}

static void ended(void *owner, enum ps_session_end how)
{
	static const char *const names[] = {"stopped", "exhausted", "prevented"};

	(void)owner;
	tell("%s", names[how]);
}

static void changed(void *owner, const struct ps_changed *c)
{
	(void)owner;
	tell("%c%.*s %s", c->subscribe ? '+' : '-', (int)c->key.size, (const char *)c->key.data,
	     ps_outcome_to_str(c->outcome));
}

int change(bool subscribe, enum ps_db_kind kind, const char *key)
{
	return ps_session_change(&session, subscribe, kind, ps_bytes_text(key), changed, NULL);
}

static void notified(struct ps_session_notification *n)
{
	tell("%.*s %s %s %u", (int)n->topic.size, (const char *)n->topic.data,
	     ps_outcome_to_str(n->outcome), n->reason, n->subscribers);
}

struct ps_session_notification *notify(const char *topic, const char *text)
{
	struct ps_session_notification *n = calloc(1, sizeof(*n));
	struct ps_spool *s = calloc(1, sizeof(*s));

	assert_true(n && s);
	ps_spool_init(s, &budget);
	assert_ok(ps_spool_add(s, text, strlen(text)));
	n->topic = ps_bytes_text(topic);
	n->message = s;
	n->done = notified;
	ps_session_notify(&session, n);
	return n;
}

void free_notification(struct ps_session_notification *n)
{
	struct ps_spool *s = (struct ps_spool *)(uintptr_t)n->message;

	ps_spool_clear(s);
	free(s);
	free(n);
}

void open_session(void)
{
	assert_ok(ps_session_open(&session, loop, &auths[0], NULL, &session_options));
}

void close_session(void)
{
	ps_session_close(&session);
	far_wait_until(is_gone, NULL);
	far.looked_at = far.closed;
}

void accept_connection(void)
{
	struct ps_frame f;

	far_wait_until(is_open, NULL);
	f = next_frame(PS_FRAME_CONFIGURE, 0);
	assert_int_equal(ps_stateful_check(&far.wire, &f, 0), PS_AUTH_OK);
	far.nonce[0]++;
	assert_ok(ps_connection_init(&far.wire.connection, f.nonce.data, far.nonce,
				     PS_COUNTING_MESSAGES));
}

void configure(void)
{
	accept_connection();
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_CONFIGURE,
			       .nonce = ps_bytes(far.nonce, sizeof(far.nonce))},
	    0);
	assert_told("receiving");
}

/* ---- set up ---------------------------------------------------------------------------------- */

static void open_server(void)
{
	struct ps_sockets_options o = {.count_max = 10,
				       .message_max = 1 << 20,
				       .memory_max = 1 << 22,
				       .pending_max = 1000,
				       .connect_ns = 5000000000,
				       .accept_ns = 5000000000,
				       .close_ns = 1000000000,
				       .path = "/v1/websocket",
				       .accepted = &events};
	struct ps_server_options s = {.listen = "127.0.0.1:0",
				      .prefix = "",
				      .connections_max = 10,
				      .discard_max = 1 << 20,
				      .idle_s = 60,
				      .request_ns = 60000000000,
				      .header_max = 16384};

	assert_ok(ps_sockets_open(&sockets, loop, &o));
	s.sockets = sockets;
	assert_ok(ps_server_open(&server, loop, &s));
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", ps_server_port(server));
}

int far_set_up(void **state)
{
	(void)state;
	told = (struct told){0};
	far = (struct far){0};
	ps_stateful_init(&far.wire, PS_BROADCASTER, &auths[1]);
	assert_ok(ps_loop_new(&loop));
	ends_open_auths(auths, replays);
	open_server();
	broadcasters[0].url = url;
	budget = (struct ps_budget){.message_max = 1 << 20,
				    .memory_each = 1 << 20,
				    .memory_max = 1 << 24,
				    .directory = "/tmp"};
	far_handler = (struct ps_handler){.handle = handle, .lost = lost, .receiving = receiving};
	ps_session_options_init(&session_options);
	session_options.broadcasters = broadcasters;
	session_options.broadcaster_count = 1;
	session_options.budget = budget;
	session_options.handlers = &far_handler;
	session_options.handler_count = 1;
	session_options.missed = missed;
	session_options.ended = ended;
	session_options.stable_ns = 1; /* connects again at once */
	return 0;
}

int far_tear_down(void **state)
{
	(void)state;
	ps_session_close(&session);
	session = (struct ps_session){0};
	forget_frames();
	ps_server_close(&server);
	ps_sockets_close(&sockets);
	ps_stateful_clear(&far.wire);
	ps_loop_free(&loop);
	ends_close_auths(replays);
	assert_int_equal(budget.memory_used, 0);
	return 0;
}
