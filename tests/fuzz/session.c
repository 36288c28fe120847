/*
 * Fuzz target: a subscriber's session whose broadcaster, network and application do what the input
 * says. No socket is real: its calls are defined here, and events come when the input wants them.
 * Built with OUTSPAN_CHECKED, so that a point passed in a state that does not have it aborts, too.
 *
 * The input: a byte of options, then steps (enum step); SAY is followed by a size (two bytes) and
 * a message of the broadcaster.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 200, NOTIFICATIONS_MAX = 8, PENDING_MAX = 8, CONNECTIONS_MAX = 20 };

enum option {
	CONFIRMED = 1 << 0, /* connections are configured at once */
	COMPRESSED = 1 << 1,
	ONE_ANSWER = 1 << 2, /* at most one answer may be due */
	NARROW = 1 << 3,     /* messages are sent in small parts */
};

enum step { TURN, SENT, CHANGE, NOTIFY, DROP, STOP, SAY, STEPS };

struct ps_sockets {
	struct ps_socket *socket;
	unsigned connections;
	struct ps_socket_end end; /* of the one that is closing */
};

static struct ps_loop *loop;
static struct ps_sockets sockets;
static struct ps_session session;
static struct ps_session_notification *notifications[NOTIFICATIONS_MAX];

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* ---- the web socket -------------------------------------------------------------------------- */

enum { HANDSHAKE, OPEN, CLOSING };

int ps_sockets_open(struct ps_sockets **out, struct ps_loop *l, const struct ps_sockets_options *o)
{
	(void)l;
	(void)o;
	sockets = (struct ps_sockets){0};
	*out = &sockets;
	return 0;
}

int ps_socket_connect(struct ps_socket **out, struct ps_sockets *all, struct ps_bytes url,
		      const struct ps_socket_events *events, void *owner)
{
	struct ps_socket *s = calloc(1, sizeof(*s));

	(void)url;
	require(!all->socket && s);
	s->events = events;
	s->owner = owner;
	s->state = HANDSHAKE;
	s->last = &s->first;
	all->socket = s;
	all->connections++;
	*out = s;
	return 0;
}

int ps_socket_send(struct ps_socket *s, struct ps_outgoing *m)
{
	if (s->state != OPEN)
		return -ENOTCONN;
	if (s->pending == PENDING_MAX)
		return -ENOBUFS;
	m->next = NULL;
	*s->last = m;
	s->last = &m->next;
	s->pending++;
	return 0;
}

unsigned ps_socket_pending(const struct ps_socket *s)
{
	return s->pending;
}

void ps_socket_pause(struct ps_socket *s)
{
	s->paused = true;
}

void ps_socket_resume(struct ps_socket *s)
{
	s->paused = false;
}

void ps_socket_close(struct ps_socket *s, unsigned code, const char *reason)
{
	s->state = CLOSING;
	sockets.end = (struct ps_socket_end){0, code, reason};
}

void ps_socket_kill(struct ps_socket **s)
{
	free(*s);
	*s = sockets.socket = NULL;
}

void ps_sockets_close(struct ps_sockets **all)
{
	free((*all)->socket);
	(*all)->socket = NULL;
	*all = NULL;
}

/* The first message has left, or (-errno) never will. */
static void send_first(struct ps_socket *s, int error)
{
	struct ps_outgoing *m = s->first;

	s->first = m->next;
	if (!s->first)
		s->last = &s->first;
	s->pending--;
	m->sent(m, error);
}

static void end_connection(int error)
{
	struct ps_socket *s = sockets.socket;
	struct ps_socket_end end = sockets.end;

	if (s->state != CLOSING)
		end = (struct ps_socket_end){error, 0, "dropped"};
	s->state = CLOSING;
	while (s->first)
		send_first(s, -ECANCELED);
	sockets.socket = NULL;
	s->events->closed(s, &end);
	free(s);
}

static void say(struct ps_bytes message)
{
	if (sockets.socket && sockets.socket->state == OPEN && !sockets.socket->paused)
		sockets.socket->events->message(sockets.socket, message);
}

static void open_connection(uint8_t options)
{
	static const uint8_t confirm[4 + 2 + PS_NONCE_SIZE + 2 + 2] = {0, 1, 0,
								       1, 0, PS_NONCE_SIZE};

	sockets.socket->state = OPEN;
	sockets.socket->events->opened(sockets.socket);
	if (options & CONFIRMED)
		say(ps_bytes(confirm, sizeof(confirm)));
}

/* ---- the application ------------------------------------------------------------------------- */

static int handle(struct ps_handler *h, const struct ps_delivery *d)
{
	(void)h;
	return d->message->size % 7 == 6 ? -EIO : 0;
}

static void missed(void *owner, struct ps_bytes topic)
{
	(void)owner;
	require(topic.size <= UINT16_MAX);
}

static void changed(void *owner, const struct ps_changed *c)
{
	(void)owner;
	require(c->key.size > 0);
}

static void ended(void *owner, enum ps_session_end how)
{
	(void)owner;
	(void)how;
}

static void free_notification(size_t i)
{
	struct ps_spool *message = (struct ps_spool *)(uintptr_t)notifications[i]->message;

	ps_spool_clear(message);
	free(message);
	free(notifications[i]);
	notifications[i] = NULL;
}

static void notified(struct ps_session_notification *n)
{
	for (size_t i = 0; i < NOTIFICATIONS_MAX; i++)
		if (notifications[i] == n)
			free_notification(i);
}

static void notify(struct ps_budget *budget, uint8_t how)
{
	static char text[1 << 15];
	size_t i = 0;
	struct ps_spool *message;

	while (i < NOTIFICATIONS_MAX && notifications[i])
		i++;
	if (i == NOTIFICATIONS_MAX)
		return;
	message = calloc(1, sizeof(*message));
	notifications[i] = calloc(1, sizeof(*notifications[i]));
	require(message && notifications[i]);
	ps_spool_init(message, budget);
	require(!ps_spool_add(message, text, (size_t)how * 128));
	notifications[i]->topic = ps_bytes_text("t");
	notifications[i]->message = message;
	notifications[i]->done = notified;
	ps_session_notify(&session, notifications[i]);
}

static void change(uint8_t how)
{
	bool is_glob = how & 2;

	(void)ps_session_change(&session, how & 1, is_glob ? PS_DB_GLOB : PS_DB_EXACT,
				ps_bytes_text(is_glob ? "t*" : "t"), changed, NULL);
}

/* ---- step by step ---------------------------------------------------------------------------- */

static void stop_turn(struct ps_timer *t)
{
	(void)t;
	ps_loop_stop(loop, 0);
}

/* What is due in the loop; then a connection that begins is there, and one that ends is gone. */
static void turn(uint8_t options)
{
	struct ps_timer last = {.expired = stop_turn};

	ps_loop_arm(loop, &last, 0);
	ps_loop_run(loop);
	if (!sockets.socket)
		return;
	if (sockets.socket->state == CLOSING)
		end_connection(0);
	else if (sockets.socket->state == HANDSHAKE && sockets.connections > CONNECTIONS_MAX)
		end_connection(-ECONNREFUSED);
	else if (sockets.socket->state == HANDSHAKE)
		open_connection(options);
}

/* One step; how many bytes of the input it took, 0: no more. */
static size_t take_step(struct ps_bytes input, struct ps_budget *budget, uint8_t options)
{
	const uint8_t *p = input.data;
	uint8_t how = p[0] / STEPS;
	size_t size;

	switch (p[0] % STEPS) {
	case SENT:
		if (sockets.socket && sockets.socket->first)
			send_first(sockets.socket, 0);
		return 1;
	case CHANGE:
		change(how);
		return 1;
	case NOTIFY:
		notify(budget, how);
		return 1;
	case DROP:
		if (sockets.socket)
			end_connection(-ECONNRESET);
		return 1;
	case STOP:
		ps_session_stop(&session);
		return 1;
	case SAY:
		if (input.size < 3)
			return 0;
		size = (size_t)p[1] << 8 | p[2];
		size = size < input.size - 3 ? size : input.size - 3;
		say(ps_bytes(p + 3, size));
		return 3 + size;
	default:
		turn(options);
		return 1;
	}
}

static void start(struct ps_budget *budget, uint8_t options)
{
	static const struct ps_broadcaster_url broadcaster = {.url = (char *)"http://nowhere:1"};
	static const struct ps_auth auth;
	static struct ps_handler handler = {.handle = handle};
	struct ps_session_options o;

	ps_session_options_init(&o);
	o.broadcasters = &broadcaster;
	o.broadcaster_count = 1;
	o.budget = *budget;
	o.handlers = &handler;
	o.handler_count = 1;
	o.missed = missed;
	o.ended = ended;
	o.identifier = ps_bytes_text("id");
	o.stable_ns = 1; /* connects again at once */
	o.zstd = o.training = options & COMPRESSED;
	o.acks_max = options & ONE_ANSWER ? 1 : 4;
	o.message_max = options & NARROW ? 1024 : 1 << 20;
	o.unsent_max = 4;
	o.received_max = 4;
	o.subscriptions_max = 2;
	require(!ps_session_open(&session, loop, &auth, NULL, &o));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ps_budget budget = {.message_max = 1 << 16,
				   .memory_each = 1 << 16,
				   .memory_max = 1 << 20,
				   .directory = "/tmp"};
	size_t at = 1, taken = 1;

	if (!size)
		return 0;
	if (!loop)
		require(!ps_loop_new(&loop));
	start(&budget, data[0]);
	turn(data[0]);
	turn(data[0]);
	for (int i = 0; i < STEPS_MAX && at < size && taken; i++, at += taken)
		taken = take_step(ps_bytes(data + at, size - at), &budget, data[0]);
	turn(data[0]);
	ps_session_close(&session);
	for (size_t i = 0; i < NOTIFICATIONS_MAX; i++)
		if (notifications[i])
			free_notification(i);
	require(!session.budget.memory_used && !budget.memory_used);
	return 0;
}
