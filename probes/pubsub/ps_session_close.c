/*
 * How a session's connection ends: each reason is a step of the protocol's automaton, behind which
 * the web socket is closed and what waited for this connection waits for the next one. Fed by the
 * other files of the session.
 */
#include "probes/pubsub/ps_session_private.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/log.h"

void ps_session_log_connection(struct ps_session *s, uint32_t unacked, uint32_t unsent)
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

static void state_changed_to_lost(struct ps_session *s)
{
	if (s->is_lost)
		return;
	PS_STEP(lonelypsp_stateful_session__state_changed_in_closing(
		lonelypsp_stateful_session_at_closing(&s->op), LONELYPSP_CONNECTION_STATE_LOST));
	s->is_lost = true;
	ps_session_tell(s, true);
}

void ps_session_begin_closing(struct ps_session *s, unsigned code, const char *outcome)
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
	ps_session_begin_closing(s, code, outcome);
}

static void disconnected_in_configure(struct ps_session *s, unsigned code, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__disconnected_in_configure_result(
		lonelypsp_stateful_session_at_configure_result(&s->op)));
	ps_session_begin_closing(s, code, outcome);
}

static void disconnected(struct ps_session *s, unsigned code, const char *outcome)
{
	if (s->state == PS_SESSION_OPEN)
		disconnected_in_open(s, code, outcome);
	else
		disconnected_in_configure(s, code, outcome);
}

void ps_session_protocol_error(struct ps_session *s, unsigned type, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__protocol_error(
		lonelypsp_stateful_session_at_open(&s->op), (uint16_t)type));
	ps_session_begin_closing(s, PS_SOCKET_PROTOCOL, outcome);
}

static void queue_full(struct ps_session *s, uint8_t queue, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__queue_full(lonelypsp_stateful_session_at_open(&s->op),
						       queue));
	ps_session_begin_closing(s, PS_SOCKET_POLICY, outcome);
}

void ps_session_received_full(struct ps_session *s)
{
	queue_full(s, LONELYPSP_SESSION_QUEUE_RECEIVED, "received_full");
}

void ps_session_answers_full(struct ps_session *s)
{
	queue_full(s, LONELYPSP_SESSION_QUEUE_MANAGEMENT, "answers_full");
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
	ps_session_begin_closing(s, PS_SOCKET_PROTOCOL, "ack_mismatch");
}

static void cancel_requested_in_open(struct ps_session *s, unsigned code, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__cancel_requested_in_open(
		lonelypsp_stateful_session_at_open(&s->op)));
	ps_session_begin_closing(s, code, outcome);
}

static void cancel_requested_in_configure(struct ps_session *s, const char *outcome)
{
	PS_STEP(lonelypsp_stateful_session__cancel_requested_in_configure_result(
		lonelypsp_stateful_session_at_configure_result(&s->op)));
	ps_session_begin_closing(s, PS_SOCKET_NORMAL, outcome);
}

static void cancel_requested_in_connect(struct ps_session *s)
{
	PS_STEP(lonelypsp_stateful_session__cancel_requested_in_connect_result(
		lonelypsp_stateful_session_at_connect_result(&s->op)));
	ps_session_begin_closing(s, PS_SOCKET_NORMAL, "cancelled");
}

void ps_session_cancel(struct ps_session *s)
{
	if (s->state == PS_SESSION_CONNECTING)
		cancel_requested_in_connect(s);
	else if (s->state == PS_SESSION_CONFIGURING)
		cancel_requested_in_configure(s, "cancelled");
	else if (s->state == PS_SESSION_OPEN)
		cancel_requested_in_open(s, PS_SOCKET_NORMAL, "cancelled");
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

void ps_session_timed_out(struct ps_timer *t)
{
	disconnected(t->owner, PS_SOCKET_POLICY, "timeout");
}

void ps_session_gone(struct ps_session *s)
{
	uint32_t unacked, unsent;

	if (s->state == PS_SESSION_CONFIGURING || s->state == PS_SESSION_OPEN)
		disconnected(s, 0, "disconnected");
	ps_session_notify_counts(s, &unacked, &unsent);
	ps_session_log_connection(s, unacked, unsent);
	ps_stateful_clear(&s->wire);
	PS_STEP(lonelypsp_stateful_session__closed(lonelypsp_stateful_session_at_closing(&s->op),
						   !s->prevented && !s->stopping, unacked, unsent));
	ps_session_next(s);
}
