/*
 * The operation "stateful_session": connects, is configured, hands frames to the files of their
 * operations, closes, and tries the next broadcaster; one function per step of the protocol's
 * automaton. Fed by the loop, the web socket and the application. Owns the sockets, the plan of
 * retries and what the other files keep in struct ps_session.
 */
#include "probes/pubsub/ps_session_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum {
	PENDING_MAX = 255, /* frames with the socket */
	SOCKETS_MAX = 4,   /* one, and those that still say goodbye */
	CLOSE_SECONDS = 2,
};

static const struct ps_socket_events socket_events;

void ps_session_options_init(struct ps_session_options *o)
{
	*o = (struct ps_session_options){.passes = 2,
					 .form = PS_FORM_MINIMAL,
					 .message_max = 7 << 19, /* a Python peer takes 4 MiB */
					 .frame_max = 16 << 20,
					 .connect_ns = 5000000000,
					 .answer_ns = 30000000000,
					 .stable_ns = 1000000000,
					 .ping_ns = 20000000000,
					 .window = 3,
					 .acks_max = 255,
					 .unsent_max = 255,
					 .changes_max = 1024,
					 .received_max = 255,
					 .subscriptions_max = 10000};
}

/* ---- the log --------------------------------------------------------------------------------- */

static void log_connection(struct ps_session *s, uint32_t unacked, uint32_t unsent)
{
	struct ps_line line;

	ps_log_begin(&line, s->log, "connection");
	ps_log_word(&line, "broadcaster", s->broadcaster);
	if (*s->wire.connection.nonce)
		ps_log_hex(&line, "connection", ps_bytes(s->id, sizeof(s->id)));
	ps_log_number(&line, "begin", s->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "unacked", unacked);
	ps_log_number(&line, "unsent", unsent);
	ps_log_word(&line, "outcome", s->outcome);
	ps_log_end(&line);
}

/* ---- telling the application ----------------------------------------------------------------- */

uint32_t ps_session_tell(struct ps_session *s, bool lost)
{
	for (size_t i = 0; i < s->options.handler_count; i++) {
		struct ps_handler *h = &s->options.handlers[i];

		if (lost && h->lost)
			h->lost(h);
		else if (!lost && h->receiving)
			h->receiving(h);
	}
	return (uint32_t)s->options.handler_count;
}

static void state_changed_to_ok(struct ps_session *s)
{
	PS_STEP(lonelypsp_stateful_session__state_changed_in_open(
		lonelypsp_stateful_session_at_open(&s->op), LONELYPSP_CONNECTION_STATE_OK));
	s->is_lost = false;
	ps_session_tell(s, false);
}

static void state_changed_to_lost(struct ps_session *s)
{
	if (s->is_lost)
		return;
	PS_STEP(lonelypsp_stateful_session__state_changed_in_closing(
		lonelypsp_stateful_session_at_closing(&s->op), LONELYPSP_CONNECTION_STATE_LOST));
	s->is_lost = true;
	ps_session_tell(s, true);
}

static void over(struct ps_session *s, enum ps_session_end how)
{
	s->state = PS_SESSION_OVER;
	ps_session_change_clear(s, true);
	ps_session_notify_drop(s);
	s->options.ended(s->options.owner, how);
}

/* ---- which broadcaster ----------------------------------------------------------------------- */

static void connect_after(struct ps_session *s, int64_t wait_ns)
{
	s->state = PS_SESSION_WAITING;
	ps_loop_arm(s->loop, &s->wait, wait_ns);
}

static void next_broadcaster(struct ps_session *s)
{
	PS_STEP(lonelypsp_stateful_session__next_broadcaster(
		lonelypsp_stateful_session_at_next_determined(&s->op)));
	connect_after(s, 0);
}

static void waiting_to_retry(struct ps_session *s, int64_t wait_ns)
{
	PS_STEP(lonelypsp_stateful_session__waiting_to_retry(
		lonelypsp_stateful_session_at_next_determined(&s->op),
		(double)(ps_system_wall_ns() + wait_ns) / 1e9));
	connect_after(s, wait_ns);
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

static void determine_next(struct ps_session *s)
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

/* ---- closing --------------------------------------------------------------------------------- */

static void socket_gone(struct ps_session *s)
{
	uint32_t unacked, unsent;

	ps_session_notify_counts(s, &unacked, &unsent);
	log_connection(s, unacked, unsent);
	ps_stateful_clear(&s->wire);
	PS_STEP(lonelypsp_stateful_session__closed(lonelypsp_stateful_session_at_closing(&s->op),
						   !s->prevented && !s->stopping, unacked, unsent));
	determine_next(s);
}

/* Behind the step that says why. What waited for this connection waits for the next one. */
static void begin_closing(struct ps_session *s, unsigned code, const char *outcome)
{
	s->state = PS_SESSION_CLOSING;
	s->outcome = outcome;
	ps_loop_disarm(s->loop, &s->stability);
	ps_loop_disarm(s->loop, &s->deadline);
	state_changed_to_lost(s);
	ps_session_receive_lost(s);
	ps_session_change_lost(s);
	ps_session_notify_lost(s);
	ps_session_compressors_lost(s);
	ps_acks_clear(&s->acks);
	if (s->wire.socket)
		ps_socket_close(s->wire.socket, code, outcome);
}

static void disconnected_in_open(struct ps_session *s, unsigned code, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__disconnected_in_open(
		lonelypsp_stateful_session_at_open(&s->op)));
	begin_closing(s, code, outcome);
}

static void disconnected_in_configure(struct ps_session *s, unsigned code, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__disconnected_in_configure_result(
		lonelypsp_stateful_session_at_configure_result(&s->op)));
	begin_closing(s, code, outcome);
}

void ps_session_protocol_error(struct ps_session *s, unsigned type, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__protocol_error(
		lonelypsp_stateful_session_at_open(&s->op), (uint16_t)type));
	begin_closing(s, PS_SOCKET_PROTOCOL, outcome);
}

static void queue_full(struct ps_session *s, uint8_t queue, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__queue_full(lonelypsp_stateful_session_at_open(&s->op),
						       queue));
	begin_closing(s, PS_SOCKET_POLICY, outcome);
}

void ps_session_received_full(struct ps_session *s)
{
	queue_full(s, LONELYPSP_SESSION_QUEUE_RECEIVED, "received_full");
}

/* Whose answer was due hears of it before the others do. */
void ps_session_ack_mismatch(struct ps_session *s, const struct ps_frame *answer,
			     enum ps_ack_fault fault)
{
	struct ps_ack due = {0};

	osp_debug("answer to %s: %s", s->broadcaster, ps_ack_fault_to_str(fault));
	(void)ps_acks_next(&s->acks, &due);
	PS_STEP(lonelypsp_stateful_session__ack_mismatch(lonelypsp_stateful_session_at_open(&s->op),
							 ps_session_type(due.type),
							 ps_session_type(answer->type)));
	if (ps_formats[due.type].url == PS_URL_ANSWERED)
		ps_session_change_mismatch(due.owner);
	else if (due.type)
		ps_session_notify_mismatch(due.owner);
	begin_closing(s, PS_SOCKET_PROTOCOL, "ack_mismatch");
}

static void cancel_requested_in_open(struct ps_session *s, unsigned code, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__cancel_requested_in_open(
		lonelypsp_stateful_session_at_open(&s->op)));
	begin_closing(s, code, outcome);
}

static void cancel_requested_in_configure(struct ps_session *s, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__cancel_requested_in_configure_result(
		lonelypsp_stateful_session_at_configure_result(&s->op)));
	begin_closing(s, PS_SOCKET_NORMAL, outcome);
}

static void cancel_requested_in_connect(struct ps_session *s)
{
	PS_STEP(lonelypsp_stateful_session__cancel_requested_in_connect_result(
		lonelypsp_stateful_session_at_connect_result(&s->op)));
	begin_closing(s, PS_SOCKET_NORMAL, "cancelled");
}

void ps_session_fail(struct ps_session *s, int error)
{
	s->prevented = true;
	osp_err(error, "session with %s", s->broadcaster);
	if (s->state == PS_SESSION_OPEN)
		cancel_requested_in_open(s, PS_SOCKET_FAILED, "failed");
	else if (s->state == PS_SESSION_CONFIGURING)
		cancel_requested_in_configure(s, "failed");
}

/* An answer, to CONFIGURE or later, did not come in time. */
static void deadline_passed(struct ps_timer *t)
{
	struct ps_session *s = t->owner;

	if (s->state == PS_SESSION_OPEN)
		disconnected_in_open(s, PS_SOCKET_POLICY, "timeout");
	else
		disconnected_in_configure(s, PS_SOCKET_POLICY, "timeout");
}

/* ---- sending --------------------------------------------------------------------------------- */

static void expect_in_time(struct ps_session *s)
{
	if (s->options.answer_ns && s->acks.count)
		ps_loop_arm(s->loop, &s->deadline, s->options.answer_ns);
	else
		ps_loop_disarm(s->loop, &s->deadline);
}

void ps_session_expect(struct ps_session *s, const struct ps_frame *frame, bool is_last,
		       int64_t counter, void *owner)
{
	(void)ps_acks_push(&s->acks, frame, is_last, counter, owner); /* there is room */
	if (s->acks.count == 1)
		expect_in_time(s);
}

int ps_session_transmit(struct ps_session *s, struct ps_stateful_message **m)
{
	int r = ps_stateful_send(&s->wire, m);

	if (r)
		ps_stateful_free(m);
	if (r == -ENOBUFS) /* the broadcaster sends and sends, but takes no answers */
		queue_full(s, LONELYPSP_SESSION_QUEUE_MANAGEMENT, "answers_full");
	return r; /* else the socket is being closed, and says so soon */
}

int ps_session_send(struct ps_session *s, const struct ps_frame *frame, int64_t counter)
{
	struct ps_stateful_message *m;
	int r = ps_stateful_encode(&m, &s->wire, frame, counter);

	if (!r)
		return ps_session_transmit(s, &m);
	ps_session_fail(s, r);
	return r;
}

/* One at a time, so that answers to what comes need not wait for more than one part. */
void ps_session_pump(struct ps_session *s)
{
	struct ps_session_change *change;

	if (s->state != PS_SESSION_OPEN || s->sending || ps_acks_is_full(&s->acks))
		return;
	change = s->next && s->next->part ? NULL : ps_session_change_due(s);
	if (change)
		ps_session_change_send(s, change);
	else if (ps_session_notify_due(s))
		ps_session_notify_send(s);
}

/* ---- open ------------------------------------------------------------------------------------ */

static void take_answer(struct ps_session *s, const struct ps_frame *f)
{
	struct ps_ack ack;
	enum ps_ack_fault fault = ps_acks_pop(&s->acks, &ack, f);

	if (fault) {
		ps_session_ack_mismatch(s, f, fault);
		return;
	}
	expect_in_time(s);
	if (f->type == PS_FRAME_CONTINUE_NOTIFY)
		ps_session_notify_continued(s, f, &ack);
	else if (f->type == PS_FRAME_CONFIRM_NOTIFY)
		ps_session_notify_confirmed(s, f, &ack);
	else
		ps_session_change_confirmed(s, f, &ack);
	ps_session_pump(s);
}

static void take_frame(struct ps_session *s, struct ps_frame *f)
{
	switch (f->type) {
	case PS_FRAME_CONFIRM_SUBSCRIBE_EXACT:
	case PS_FRAME_CONFIRM_SUBSCRIBE_GLOB:
	case PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT:
	case PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB:
	case PS_FRAME_CONFIRM_NOTIFY:
	case PS_FRAME_CONTINUE_NOTIFY:
		take_answer(s, f);
		return;
	case PS_FRAME_RECEIVE_STREAM:
		ps_session_receive(s, f);
		return;
	case PS_FRAME_MISSED:
		ps_session_missed(s, f);
		return;
	case PS_FRAME_ENABLE_ZSTD_PRESET:
	case PS_FRAME_ENABLE_ZSTD_CUSTOM:
		ps_session_enable(s, f);
		return;
	case PS_FRAME_DISABLE_ZSTD_CUSTOM:
		ps_session_disable(s, f);
		return;
	default:
		ps_session_protocol_error(s, ps_session_type(f->type), "unexpected_message");
	}
}

static void stable(struct ps_timer *t)
{
	struct ps_session *s = t->owner;

	PS_STEP(lonelypsp_stateful_session__stable(lonelypsp_stateful_session_at_open(&s->op)));
	s->stable = true;
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
	begin_closing(s, PS_SOCKET_PROTOCOL, "unexpected_message");
}

static void bad_auth_result(struct ps_session *s, enum ps_auth_result result)
{
	PS_STEP(lonelypsp_stateful_session__bad_auth_result(
		lonelypsp_stateful_session_at_configure_result(&s->op), result));
	begin_closing(s, PS_SOCKET_POLICY, "bad_auth");
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
		take_frame(s, &f);
}

static void connect_failed(struct ps_session *s, int error)
{
	PS_STEP(lonelypsp_stateful_session__connect_failed(
		lonelypsp_stateful_session_at_connect_result(&s->op), -error));
	s->outcome = error == -ETIMEDOUT ? "connect_timeout" : "connect_failed";
	log_connection(s, 0, 0);
	ps_stateful_clear(&s->wire);
	determine_next(s);
}

static void socket_closed(struct ps_socket *socket, const struct ps_socket_end *end)
{
	struct ps_session *s = socket->owner;

	osp_debug("connection to %s ended: %s (%u)", s->broadcaster, end->why, end->code);
	s->wire.socket = NULL;
	switch (s->state) {
	case PS_SESSION_CONNECTING:
		connect_failed(s, end->error ? end->error : -EPROTO);
		return;
	case PS_SESSION_CONFIGURING:
		disconnected_in_configure(s, 0, "disconnected");
		break;
	case PS_SESSION_OPEN:
		disconnected_in_open(s, 0, "disconnected");
		break;
	default:
		break;
	}
	socket_gone(s);
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

/* ---- opening and closing --------------------------------------------------------------------- */

static int open_parts(struct ps_session *s)
{
	const struct ps_session_options *o = &s->options;
	struct ps_sockets_options sockets = {.count_max = SOCKETS_MAX,
					     .message_max = o->frame_max,
					     .memory_max = o->frame_max * 2,
					     .pending_max = PENDING_MAX,
					     .connect_ns = o->connect_ns,
					     .accept_ns = o->connect_ns,
					     .ping_ns = o->ping_ns,
					     .close_ns = CLOSE_SECONDS * 1000000000ll};
	int64_t wait_ns;
	int r = ps_sockets_open(&s->sockets, s->loop, &sockets);

	if (!r)
		r = renew_plan(s);
	if (!r)
		s->broadcaster = ps_retry_next(&s->retry, &wait_ns);
	return r;
}

static void init_timers(struct ps_session *s)
{
	s->wait = (struct ps_timer){.expired = waited, .owner = s};
	s->stability = (struct ps_timer){.expired = stable, .owner = s};
	s->deadline = (struct ps_timer){.expired = deadline_passed, .owner = s};
}

int ps_session_open(struct ps_session *s, struct ps_loop *l, const struct ps_auth *a,
		    struct ps_log *log, const struct ps_session_options *o)
{
	uint64_t seed = 0;
	int r;

	*s = (struct ps_session){.options = *o, .loop = l, .auth = a, .log = log, .is_lost = true};
	s->budget = o->budget;
	s->stream.max = o->budget.message_max;
	s->compressors.side = PS_SUBSCRIBER;
	s->compressors.zstd = o->zstd;
	s->compressors.training = o->training;
	s->compressors.presets = o->presets;
	osp_list_init(&s->changes);
	osp_list_init(&s->messages);
	osp_list_init(&s->received);
	osp_list_init(&s->finished);
	init_timers(s);
	ps_system_random(&seed, sizeof(seed));
	osp_map_init(&s->subscriptions, o->subscriptions_max, seed);
	ps_stateful_init(&s->wire, PS_SUBSCRIBER, a);
	s->wire.form = o->form;
	s->wire.message_max = o->message_max;
	r = open_parts(s);
	if (r) {
		ps_session_close(s);
		return r;
	}
	PS_STEP(lonelypsp_stateful_session__start(lonelypsp_stateful_session_begin(&s->op)));
	connect_after(s, 0);
	return 0;
}

void ps_session_stop(struct ps_session *s)
{
	s->stopping = true;
	switch (s->state) {
	case PS_SESSION_WAITING:
		ps_loop_arm(s->loop, &s->wait, 0);
		return;
	case PS_SESSION_CONNECTING:
		cancel_requested_in_connect(s);
		return;
	case PS_SESSION_CONFIGURING:
		cancel_requested_in_configure(s, "cancelled");
		return;
	case PS_SESSION_OPEN:
		cancel_requested_in_open(s, PS_SOCKET_NORMAL, "cancelled");
		return;
	default: /* ends by itself */
		return;
	}
}

void ps_session_close(struct ps_session *s)
{
	if (!s->loop)
		return;
	s->state = PS_SESSION_OVER;
	if (s->sockets)
		ps_sockets_close(&s->sockets);
	ps_stateful_clear(&s->wire);
	ps_loop_disarm(s->loop, &s->wait);
	ps_loop_disarm(s->loop, &s->stability);
	ps_loop_disarm(s->loop, &s->deadline);
	ps_session_receive_clear(s);
	ps_session_change_clear(s, false);
	ps_session_notify_clear(s);
	ps_session_compressors_clear(s);
	lonelypsp_stateful_session_leave(&s->op, ECANCELED);
	ps_acks_clear(&s->acks);
	ps_stream_clear(&s->stream);
	ps_retry_clear(&s->retry);
	free(TAKE_PTR(s->url));
}
