/*
 * MISSED at the broadcaster, for its own web sockets: a broadcaster could not deliver a message
 * to this one, so every web socket that wants the topic is told. Fed by the HTTP server. Owns
 * struct notice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"

struct notice {
	struct lonelypsp_missed_for_websockets op;
	struct ps_broadcaster *b;	/* borrowed: outlives every request */
	struct ps_request *request;	/* borrowed: its `gone` frees this */
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct osp_buffer body; /* what `m` points into */
	bool overflow, decoded, logged;
	struct ps_missed m;
	uint32_t told;
};

static void log_missed(struct notice *n, unsigned status, const char *outcome)
{
	struct ps_line line;

	n->logged = true;
	ps_log_begin(&line, n->b->log, "missed_for_websockets");
	if (n->decoded)
		ps_log_text(&line, "topic", n->m.topic);
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_number(&line, "subscribers", n->told);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct notice *n, unsigned status, const char *outcome)
{
	log_missed(n, status, outcome);
	ps_server_answer(n->request, status, ps_bytes(NULL, 0));
}

static void received(struct notice *n)
{
	PS_STEP(lonelypsp_missed_for_websockets__received(
		lonelypsp_missed_for_websockets_begin(&n->op)));
}

static void bad_request(struct notice *n)
{
	lonelypsp_missed_for_websockets__bad_request(
		lonelypsp_missed_for_websockets_at_auth_result(&n->op));
	refuse(n, 400, "bad_request");
}

static void wrong_url(struct notice *n)
{
	lonelypsp_missed_for_websockets__wrong_url(
		lonelypsp_missed_for_websockets_at_auth_result(&n->op));
	refuse(n, 400, "wrong_url");
}

static void bad_auth_result(struct notice *n, enum ps_auth_result result)
{
	lonelypsp_missed_for_websockets__bad_auth_result(
		lonelypsp_missed_for_websockets_at_auth_result(&n->op), result);
	refuse(n, ps_auth_result_to_status(result), ps_auth_result_to_str(result));
}

static void sending_response(struct notice *n)
{
	struct ps_response a = {.type = PS_RESPONSE_CONFIRM_MISSED};
	struct ps_signed s = {.kind = PS_KIND_CONFIRM_MISSED,
			      .key = n->m.topic,
			      .url = ps_bytes_text(n->b->missed_url)};
	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_missed_for_websockets__sending_response(
		lonelypsp_missed_for_websockets_at_sending_response(&n->op), &context);
	context.valid &= n->context.valid; /* answered with one only if asked with one */
	a.tracing = s.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(n->request, &a, &n->b->auth->to_broadcaster, &s);
	log_missed(n, n->request->status, n->request->status == 200 ? "ok" : "failed");
}

static void websocket_matched(struct notice *n, const struct ps_relay_at *at)
{
	PS_STEP(lonelypsp_missed_for_websockets__websocket_matched(
		lonelypsp_missed_for_websockets_at_fanout(&n->op), at->connection,
		sizeof(at->connection)));
	n->told += n->b->relay->tell_missed(n->b->relay, at, n->m.topic, &n->op.head);
}

static void no_more_websockets(struct notice *n)
{
	PS_STEP(lonelypsp_missed_for_websockets__no_more_websockets(
		lonelypsp_missed_for_websockets_at_fanout(&n->op), n->told));
}

static void auth_accepted(struct notice *n)
{
	struct ps_relay_at at = {0};

	PS_STEP(lonelypsp_missed_for_websockets__auth_accepted(
		lonelypsp_missed_for_websockets_at_auth_result(&n->op), n->m.topic.data,
		n->m.topic.size, n->b->missed_url, strlen(n->b->missed_url), &n->context));
	while (!n->b->relay->next(n->b->relay, n->m.topic, &at))
		websocket_matched(n, &at);
	no_more_websockets(n);
	sending_response(n);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct notice *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->b = owner;
	n->request = r;
	n->begin_ns = ps_system_wall_ns();
	n->body.max = PS_MISSED_MAX;
	r->state = n;
	received(n);
	return 0;
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct notice *n = r->state;

	if (!n->overflow && osp_buffer_add(&n->body, part.data, part.size))
		n->overflow = true;
}

static void check_authorization(struct notice *n)
{
	const struct ps_auth *a = n->b->auth;
	struct ps_signed s = {.kind = PS_KIND_MISSED,
			      .tracing = n->m.tracing,
			      .recovery = ps_bytes_text(n->b->missed_url),
			      .key = n->m.topic};
	struct ps_bytes given = ps_bytes_text(ps_server_header(n->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_subscriber, given, &s);

	if (result != PS_AUTH_OK)
		bad_auth_result(n, result);
	else
		auth_accepted(n);
}

static void end(struct ps_request *r)
{
	struct notice *n = r->state;

	n->decoded = !n->overflow &&
		     !ps_message_decode_missed(&n->m, ps_bytes(n->body.data, n->body.size));
	if (!n->decoded) {
		bad_request(n);
		return;
	}
	ps_trace_read(&n->context, n->m.tracing);
	if (!ps_server_is_url(r, ps_bytes_text(n->b->missed_url)))
		wrong_url(n);
	else
		check_authorization(n);
}

static void gone(struct ps_request *r)
{
	struct notice *n = r->state;

	if (!n->logged)
		log_missed(n, r->status, "canceled");
	lonelypsp_missed_for_websockets_leave(&n->op, ECANCELED);
	osp_buffer_clear(&n->body);
	free(n);
}

const struct ps_route ps_route_missed_for_websockets = {"/v1/missed_for_websockets", begin, body,
							end, gone};
