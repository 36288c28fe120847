/*
 * How a session gets its connection: the plan of broadcasters and tries, the web socket to one of
 * them, and the exchange that configures it; one function per step of the protocol's automaton.
 * Fed by the loop, the web socket, and the session's end (ps_session_next); hands on an open
 * connection's frames. Owns the plan of retries.
 */
#include "probes/pubsub/ps_session_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

static void over(struct ps_session *s, enum ps_session_end how)
{
	s->state = PS_SESSION_OVER;
	ps_session_change_clear(s, true);
	ps_session_notify_drop(s);
	s->options.ended(s->options.owner, how);
}

/* ---- which broadcaster ----------------------------------------------------------------------- */

void ps_session_connect_after(struct ps_session *s, int64_t wait_ns)
{
	s->state = PS_SESSION_WAITING;
	ps_loop_arm(s->loop, &s->wait, wait_ns);
}

static void next_broadcaster(struct ps_session *s)
{
	PS_STEP(lonelypsp_stateful_session__next_broadcaster(
		lonelypsp_stateful_session_at_next_determined(&s->op)));
	ps_session_connect_after(s, 0);
}

static void waiting_to_retry(struct ps_session *s, int64_t wait_ns)
{
	PS_STEP(lonelypsp_stateful_session__waiting_to_retry(
		lonelypsp_stateful_session_at_next_determined(&s->op),
		(double)(ps_system_wall_ns() + wait_ns) / 1e9));
	ps_session_connect_after(s, wait_ns);
}

static void retry_prevented(struct ps_session *s)
{
	lonelypsp_stateful_session__retry_prevented(
		lonelypsp_stateful_session_at_next_determined(&s->op));
	over(s, PS_SESSION_PREVENTED);
}

static void retries_exhausted(struct ps_session *s)
{
	lonelypsp_stateful_session__retries_exhausted(
		lonelypsp_stateful_session_at_next_determined(&s->op));
	over(s, PS_SESSION_EXHAUSTED);
}

static void cancelled(struct ps_session *s)
{
	lonelypsp_stateful_session__cancelled_in_next_determined(
		lonelypsp_stateful_session_at_next_determined(&s->op));
	over(s, PS_SESSION_STOPPED);
}

static void cancelled_while_waiting(struct ps_session *s)
{
	lonelypsp_stateful_session__cancelled_in_connecting(
		lonelypsp_stateful_session_at_connecting(&s->op));
	over(s, PS_SESSION_STOPPED);
}

/* A connection that was stable makes all broadcasters worth their tries again. */
static int renew_plan(struct ps_session *s)
{
	const struct ps_session_options *o = &s->options;

	ps_retry_clear(&s->retry);
	s->stable = false;
	return ps_retry_init(&s->retry, o->broadcasters, o->broadcaster_count, o->passes);
}

void ps_session_next(struct ps_session *s)
{
	int64_t wait_ns;

	if (s->stopping) {
		cancelled(s);
		return;
	}
	if (s->prevented || (s->stable && renew_plan(s))) {
		retry_prevented(s);
		return;
	}
	s->broadcaster = ps_retry_next(&s->retry, &wait_ns);
	if (!s->broadcaster)
		retries_exhausted(s);
	else if (wait_ns)
		waiting_to_retry(s, wait_ns);
	else
		next_broadcaster(s);
}

/* ---- being configured ------------------------------------------------------------------------ */

static void configure_sent(struct ps_stateful_message *m, int error)
{
	struct ps_session *s = m->owner;

	if (!error && s->state == PS_SESSION_CONFIGURING)
		PS_STEP(lonelypsp_stateful_session__configure_sent(
			lonelypsp_stateful_session_at_configure_result(&s->op)));
}

static void sending_configure(struct ps_session *s)
{
	struct ps_frame f = {.type = PS_FRAME_CONFIGURE,
			     .nonce = ps_bytes(s->nonce, sizeof(s->nonce)),
			     .zstd = s->options.zstd,
			     .training = s->options.training,
			     .dictionary = s->options.dictionary};
	struct ps_stateful_message *m;
	struct outspan_context context;
	struct ps_tracing tracing;
	int r = ps_system_random(s->nonce, sizeof(s->nonce));

	PS_STEP(lonelypsp_stateful_session__sending_configure(
		lonelypsp_stateful_session_at_configuring(&s->op), s->nonce, sizeof(s->nonce),
		f.zstd, f.training, (uint16_t)f.dictionary, &context));
	s->state = PS_SESSION_CONFIGURING;
	f.tracing = ps_trace_bytes(&tracing, &context);
	if (!r)
		r = ps_stateful_encode(&m, &s->wire, &f, 0);
	if (r) {
		ps_session_fail(s, r);
		return;
	}
	m->sent = configure_sent;
	m->owner = s;
	if (!ps_stateful_send(&s->wire, &m)) /* else it is being closed, and says so soon */
		ps_loop_arm(s->loop, &s->deadline, s->options.connect_ns);
	ps_stateful_free(&m);
}

static void connected(struct ps_socket *socket)
{
	struct ps_session *s = socket->owner;

	PS_STEP(lonelypsp_stateful_session__connected(
		lonelypsp_stateful_session_at_connect_result(&s->op)));
	sending_configure(s);
}

static void unexpected_message(struct ps_session *s, unsigned type)
{
	PS_STEP(lonelypsp_stateful_session__unexpected_message(
		lonelypsp_stateful_session_at_configure_result(&s->op), (uint16_t)type));
	ps_session_begin_closing(s, PS_SOCKET_PROTOCOL, "unexpected_message");
}

static void bad_auth_result(struct ps_session *s, enum ps_auth_result result)
{
	PS_STEP(lonelypsp_stateful_session__bad_auth_result(
		lonelypsp_stateful_session_at_configure_result(&s->op), result));
	ps_session_begin_closing(s, PS_SOCKET_POLICY, "bad_auth");
}

static void state_changed_to_ok(struct ps_session *s)
{
	PS_STEP(lonelypsp_stateful_session__state_changed_in_open(
		lonelypsp_stateful_session_at_open(&s->op), LONELYPSP_CONNECTION_STATE_OK));
	s->is_lost = false;
	ps_session_tell(s, false);
}

static void confirm_configure_accepted(struct ps_session *s, const struct ps_frame *f)
{
	uint32_t again[PS_DB_KINDS], unacked, unsent;
	struct outspan_context context;

	ps_trace_read(&context, f->tracing);
	s->state = PS_SESSION_OPEN;
	ps_session_resubscribe(s, again);
	ps_session_notify_counts(s, &unacked, &unsent);
	PS_STEP(lonelypsp_stateful_session__confirm_configure_accepted(
		lonelypsp_stateful_session_at_configure_result(&s->op), f->nonce.data,
		f->nonce.size, s->id, sizeof(s->id), &context, again[PS_DB_EXACT],
		again[PS_DB_GLOB], unacked));
	ps_loop_disarm(s->loop, &s->deadline);
	ps_loop_arm(s->loop, &s->stability, s->options.stable_ns);
	state_changed_to_ok(s);
	ps_session_pump(s);
}

static int init_connection(struct ps_session *s, const struct ps_frame *f)
{
	struct ps_connection *c = &s->wire.connection;
	int r = ps_connection_init(c, s->nonce, f->nonce.data, s->options.counting);

	c->is_counting_known = s->options.is_counting_known;
	if (!r)
		r = ps_digest_from_base64(s->id, sizeof(s->id), ps_bytes_text(c->nonce), false);
	if (!r)
		r = ps_acks_init(&s->acks, s->options.acks_max);
	ps_stream_clear(&s->stream);
	return r;
}

static void take_configured(struct ps_session *s, const struct ps_frame *f)
{
	enum ps_auth_result result;
	int r;

	if (f->type != PS_FRAME_CONFIRM_CONFIGURE) {
		unexpected_message(s, ps_session_type(f->type));
		return;
	}
	result = ps_stateful_check(&s->wire, f, 0);
	if (result != PS_AUTH_OK) {
		bad_auth_result(s, result);
		return;
	}
	r = init_connection(s, f);
	if (r)
		ps_session_fail(s, r);
	else
		confirm_configure_accepted(s, f);
}

/* ---- the web socket -------------------------------------------------------------------------- */

/* What a message that cannot be decoded says it is. */
static unsigned number_of(struct ps_bytes message)
{
	struct ps_reader r = ps_wire_reader(message.data, message.size);

	ps_wire_read_number(&r, 2);
	return (unsigned)ps_wire_read_number(&r, 2);
}

static void take_message(struct ps_socket *socket, struct ps_bytes message)
{
	struct ps_session *s = socket->owner;
	enum ps_frame_fault fault;
	const char *header;
	struct ps_frame f;

	if (s->state != PS_SESSION_OPEN && s->state != PS_SESSION_CONFIGURING)
		return;
	fault = ps_frame_decode(&f, &header, PS_BROADCASTER, message);
	if (fault)
		osp_debug("message of %s: %s%s%s", s->broadcaster, ps_frame_fault_to_str(fault),
			  header ? ": " : "", header ? header : "");
	if (s->state == PS_SESSION_CONFIGURING && fault)
		unexpected_message(s, number_of(message));
	else if (s->state == PS_SESSION_CONFIGURING)
		take_configured(s, &f);
	else if (fault)
		ps_session_protocol_error(s, number_of(message), "malformed");
	else
		ps_session_take(s, &f);
}

static void connect_failed(struct ps_session *s, int error)
{
	PS_STEP(lonelypsp_stateful_session__connect_failed(
		lonelypsp_stateful_session_at_connect_result(&s->op), -error));
	s->outcome = error == -ETIMEDOUT ? "connect_timeout" : "connect_failed";
	ps_session_log_connection(s, 0, 0);
	ps_stateful_clear(&s->wire);
	ps_session_next(s);
}

static void socket_closed(struct ps_socket *socket, const struct ps_socket_end *end)
{
	struct ps_session *s = socket->owner;

	osp_debug("connection to %s ended: %s (%u)", s->broadcaster, end->why, end->code);
	s->wire.socket = NULL;
	if (s->state == PS_SESSION_CONNECTING)
		connect_failed(s, end->error ? end->error : -EPROTO);
	else
		ps_session_gone(s);
}

static const struct ps_socket_events socket_events = {
	.opened = connected, .message = take_message, .closed = socket_closed};

static int set_url(struct ps_session *s)
{
	char *text;

	free(TAKE_PTR(s->url));
	if (asprintf(&text, "%s/v1/websocket", s->broadcaster) < 0)
		return -ENOMEM;
	s->url = text;
	return 0;
}

static void connecting(struct ps_session *s)
{
	int r = set_url(s);

	PS_STEP(lonelypsp_stateful_session__connecting(
		lonelypsp_stateful_session_at_connecting(&s->op), s->broadcaster,
		strlen(s->broadcaster), s->retry.pass));
	s->state = PS_SESSION_CONNECTING;
	s->begin_ns = ps_system_wall_ns();
	s->wire.connection = (struct ps_connection){0};
	if (!r)
		r = ps_socket_connect(&s->wire.socket, s->sockets, ps_bytes_text(s->url),
				      &socket_events, s);
	if (!r)
		return;
	s->prevented = true;
	osp_err(r, "connect to %s", s->url);
	connect_failed(s, r);
}

static void waited(struct ps_timer *t)
{
	struct ps_session *s = t->owner;

	if (s->stopping)
		cancelled_while_waiting(s);
	else
		connecting(s);
}

/* ---- opening --------------------------------------------------------------------------------- */

int ps_session_plan(struct ps_session *s)
{
	int64_t wait_ns;
	int r = renew_plan(s);

	s->wait = (struct ps_timer){.expired = waited, .owner = s};
	if (!r)
		s->broadcaster = ps_retry_next(&s->retry, &wait_ns);
	return r;
}
