/*
 * The operation "handle_stateful_missed": a broadcaster says over the connection that a message
 * was missed; the handlers hear that the connection is lost and there again. There is no answer.
 * Fed by the session; the operation is over when the frame is taken.
 */
#include "probes/pubsub/ps_session_private.h"
#include "probes/pubsub/ps_system.h"

struct notice {
	struct ps_session *session;
	struct lonelypsp_handle_stateful_missed op;
	const struct ps_frame *frame;
	int64_t counter, begin_ns;
};

static void log_missed(const struct notice *n, const char *outcome)
{
	const struct ps_session *s = n->session;
	struct ps_line line;

	ps_log_begin(&line, s->log, "missed");
	ps_log_text(&line, "topic", n->frame->key);
	ps_log_hex(&line, "connection", ps_bytes(s->id, sizeof(s->id)));
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void received(struct notice *n)
{
	const struct ps_session *s = n->session;

	PS_STEP(lonelypsp_handle_stateful_missed__received(
		lonelypsp_handle_stateful_missed_begin(&n->op), s->id, sizeof(s->id), n->counter,
		n->frame->key.data, n->frame->key.size));
}

static void bad_auth_result(struct notice *n, enum ps_auth_result result)
{
	lonelypsp_handle_stateful_missed__bad_auth_result(
		lonelypsp_handle_stateful_missed_at_auth_result(&n->op), result);
	log_missed(n, "bad_auth");
	ps_session_protocol_error(n->session, ps_session_type(n->frame->type), "bad_auth");
}

static void auth_accepted(struct notice *n)
{
	const struct ps_session *s = n->session;
	struct outspan_context context;

	ps_trace_read(&context, n->frame->tracing);
	PS_STEP(lonelypsp_handle_stateful_missed__auth_accepted(
		lonelypsp_handle_stateful_missed_at_auth_result(&n->op), s->id, sizeof(s->id),
		n->counter, n->frame->key.data, n->frame->key.size, &context));
}

static void connection_lost(struct notice *n)
{
	uint32_t told = ps_session_tell(n->session, true);

	PS_STEP(lonelypsp_handle_stateful_missed__connection_lost(
		lonelypsp_handle_stateful_missed_at_telling(&n->op), told));
}

static void connection_established(struct notice *n)
{
	uint32_t told = ps_session_tell(n->session, false);

	lonelypsp_handle_stateful_missed__connection_established(
		lonelypsp_handle_stateful_missed_at_telling(&n->op), told);
}

void ps_session_missed(struct ps_session *s, const struct ps_frame *frame)
{
	struct notice n = {.session = s,
			   .frame = frame,
			   .counter = ps_connection_count(&s->wire.connection, frame),
			   .begin_ns = ps_system_wall_ns()};
	enum ps_auth_result result;

	received(&n);
	result = ps_stateful_check(&s->wire, frame, n.counter);
	if (result != PS_AUTH_OK) {
		bad_auth_result(&n, result);
		return;
	}
	auth_accepted(&n);
	connection_lost(&n);
	if (s->options.missed)
		s->options.missed(s->options.missed_owner, frame->key);
	connection_established(&n);
	log_missed(&n, "ok");
}
