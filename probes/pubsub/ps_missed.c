/*
 * MISSED at the subscriber: a broadcaster could not deliver a message on a topic and says so
 * later; the application learns that the connection was lost and is there again, the broadcaster
 * gets its confirmation. Fed by the HTTP server; one function per step of the protocol's
 * automaton. Owns struct notice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"

struct notice {
	struct ps_subscriber *s;    /* borrowed: outlives every request */
	struct ps_request *request; /* borrowed: its `gone` frees this */
	struct lonelypsp_handle_missed op;
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct osp_buffer body; /* what `m` points into */
	bool overflow, logged;
	struct ps_missed m;
};

static void log_missed(struct notice *n, unsigned status, const char *outcome)
{
	struct ps_line line;

	n->logged = true;
	ps_log_begin(&line, n->s->log, "missed");
	ps_log_text(&line, "topic", n->m.topic);
	ps_log_word(&line, "url", n->s->recover_url);
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct notice *n, unsigned status, const char *outcome)
{
	log_missed(n, status, outcome);
	ps_server_answer(n->request, status, ps_bytes(NULL, 0));
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void received(struct notice *n)
{
	PS_STEP(lonelypsp_handle_missed__received(lonelypsp_handle_missed_begin(&n->op)));
}

static void bad_request(struct notice *n)
{
	lonelypsp_handle_missed__bad_request(lonelypsp_handle_missed_at_auth_result(&n->op));
	refuse(n, 400, "bad_request");
}

/* A missing authorization is 403 here, too. */
static void bad_auth_result(struct notice *n, enum ps_auth_result result)
{
	lonelypsp_handle_missed__bad_auth_result(lonelypsp_handle_missed_at_auth_result(&n->op),
						 result);
	refuse(n, result == PS_AUTH_UNAVAILABLE ? 503 : 403, ps_auth_result_to_str(result));
}

static void abandoned(struct notice *n)
{
	lonelypsp_handle_missed__abandoned(lonelypsp_handle_missed_at_telling(&n->op));
	refuse(n, 503, "abandoned");
}

static void connection_lost(struct notice *n)
{
	ps_subscriber_tell(n->s, true);
	PS_STEP(lonelypsp_handle_missed__connection_lost(lonelypsp_handle_missed_at_telling(&n->op),
							 (uint32_t)n->s->options.handler_count));
}

static void connection_established(struct notice *n)
{
	ps_subscriber_tell(n->s, false);
	PS_STEP(lonelypsp_handle_missed__connection_established(
		lonelypsp_handle_missed_at_telling(&n->op), (uint32_t)n->s->options.handler_count));
}

static void sending_response(struct notice *n)
{
	struct ps_response a = {.type = PS_RESPONSE_CONFIRM_MISSED};
	struct ps_signed m = {.kind = PS_KIND_CONFIRM_MISSED,
			      .key = n->m.topic,
			      .url = ps_bytes_text(n->s->recover_url)};
	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_handle_missed__sending_response(
		lonelypsp_handle_missed_at_sending_response(&n->op), &context);
	context.valid &= n->context.valid; /* answered with one only if asked with one */
	a.tracing = m.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(n->request, &a, &n->s->auth->to_broadcaster, &m);
	log_missed(n, n->request->status, n->request->status == 200 ? "ok" : "failed");
}

static void auth_accepted(struct notice *n)
{
	PS_STEP(lonelypsp_handle_missed__auth_accepted(
		lonelypsp_handle_missed_at_auth_result(&n->op), n->m.topic.data, n->m.topic.size,
		n->s->recover_url, strlen(n->s->recover_url), &n->context));
	if (n->s->stopping) {
		abandoned(n);
		return;
	}
	n->s->options.missed(n->s->options.owner, n->m.topic);
	connection_lost(n);
	connection_established(n);
	sending_response(n);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct notice *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->s = owner;
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
	const struct ps_auth *a = n->s->auth;
	struct ps_signed m = {.kind = PS_KIND_MISSED,
			      .tracing = n->m.tracing,
			      .recovery = ps_bytes_text(n->s->recover_url),
			      .key = n->m.topic};
	struct ps_bytes given = ps_bytes_text(ps_server_header(n->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_subscriber, given, &m);

	if (result != PS_AUTH_OK)
		bad_auth_result(n, result);
	else
		auth_accepted(n);
}

static void end(struct ps_request *r)
{
	struct notice *n = r->state;

	if (n->overflow || ps_message_decode_missed(&n->m, ps_bytes(n->body.data, n->body.size))) {
		bad_request(n);
		return;
	}
	ps_trace_read(&n->context, n->m.tracing);
	check_authorization(n);
}

static void gone(struct ps_request *r)
{
	struct notice *n = r->state;

	if (!n->logged)
		log_missed(n, r->status, "canceled");
	lonelypsp_handle_missed_leave(&n->op, ECANCELED);
	osp_buffer_clear(&n->body);
	free(n);
}

const struct ps_route ps_route_recover = {"/v1/recover", begin, body, end, gone};
