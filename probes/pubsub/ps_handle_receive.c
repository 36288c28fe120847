/*
 * RECEIVE at the broadcaster, for its own web sockets: broadcasters deliver to the url under
 * which this one subscribes, and it hands the message on to every web socket that wants it. Fed
 * by the HTTP server; one function per step of the protocol's automaton. A large message is
 * lent to one web socket after the other while the connection waits. Owns struct reception.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_incoming.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"

struct reception {
	struct lonelypsp_receive_for_websockets op;
	struct ps_broadcaster *b;	/* borrowed: outlives every request */
	struct ps_request *request;	/* borrowed: its `gone` frees this */
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct ps_incoming in;
	bool logged, lent;
	struct ps_relay_at at;
	struct ps_relay_message message;
	uint32_t matched, queued;
};

static void next_websocket(struct reception *x);

/* ---- the end --------------------------------------------------------------------------------- */

static void log_receive(struct reception *x, unsigned status, const char *outcome)
{
	struct ps_line line;

	x->logged = true;
	ps_log_begin(&line, x->b->log, "receive_for_websockets");
	if (x->in.has_head) {
		ps_log_hex(&line, "identifier", x->in.m.identifier);
		ps_log_text(&line, "topic", x->in.m.topic);
		ps_log_hex(&line, "sha512", ps_bytes(x->in.header_digest, 8));
		ps_log_number(&line, "bytes", (int64_t)x->in.m.length);
	}
	ps_log_number(&line, "begin", x->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_number(&line, "matched", x->matched);
	ps_log_number(&line, "subscribers", x->queued);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct reception *x, unsigned status, const char *outcome)
{
	log_receive(x, status, outcome);
	ps_spool_clear(&x->in.message);
	ps_server_answer(x->request, status, ps_bytes(NULL, 0));
}

/* Refuses and asks the sender to remove the subscription that led here. */
static void refuse_and_unsubscribe(struct reception *x, unsigned status, const char *outcome)
{
	static const uint8_t body[] = {0, PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE};

	log_receive(x, status, outcome);
	ps_spool_clear(&x->in.message);
	ps_server_answer(x->request, status, ps_bytes(body, sizeof(body)));
}

/* What no point tells of. */
static void give_up(struct reception *x, int error)
{
	lonelypsp_receive_for_websockets_leave(&x->op, -error);
	if (error == -EFBIG)
		refuse(x, 413, "too_large");
	else
		refuse(x, 503, "no_space");
}

/* ---- the head -------------------------------------------------------------------------------- */

static void received(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__received(
		lonelypsp_receive_for_websockets_begin(&x->op)));
}

static void bad_digest_header(struct reception *x)
{
	lonelypsp_receive_for_websockets__bad_digest_header(
		lonelypsp_receive_for_websockets_at_request_parsed(&x->op));
	refuse_and_unsubscribe(x, 400, "bad_digest_header");
}

static void wrong_url(struct reception *x)
{
	lonelypsp_receive_for_websockets__wrong_url(
		lonelypsp_receive_for_websockets_at_request_parsed(&x->op));
	refuse_and_unsubscribe(x, 400, "wrong_url");
}

static void bad_request(struct reception *x)
{
	lonelypsp_receive_for_websockets__bad_request(
		lonelypsp_receive_for_websockets_at_request_parsed(&x->op));
	refuse(x, 400, "bad_request");
}

static void request_parsed(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__request_parsed(
		lonelypsp_receive_for_websockets_at_request_parsed(&x->op), x->in.m.topic.data,
		x->in.m.topic.size, x->in.m.identifier.data, x->in.m.identifier.size,
		x->in.m.length, &x->context));
}

static void bad_auth_result(struct reception *x, enum ps_auth_result result)
{
	lonelypsp_receive_for_websockets__bad_auth_result(
		lonelypsp_receive_for_websockets_at_auth_result(&x->op), result);
	if (result == PS_AUTH_UNAVAILABLE)
		refuse(x, 503, ps_auth_result_to_str(result));
	else
		refuse_and_unsubscribe(x, ps_auth_result_to_status(result),
				       ps_auth_result_to_str(result));
}

static void auth_tentatively_accepted(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__auth_tentatively_accepted(
		lonelypsp_receive_for_websockets_at_auth_result(&x->op)));
}

/* Only who is authorized learns it: topics are no strangers' business. */
static void topic_irrelevant(struct reception *x)
{
	lonelypsp_receive_for_websockets__topic_irrelevant_in_auth_verified(
		lonelypsp_receive_for_websockets_at_auth_verified(&x->op));
	refuse_and_unsubscribe(x, 400, "topic_irrelevant");
}

/* ---- the message ----------------------------------------------------------------------------- */

static void length_mismatch(struct reception *x)
{
	lonelypsp_receive_for_websockets__length_mismatch(
		lonelypsp_receive_for_websockets_at_auth_verified(&x->op));
	refuse(x, 400, "length_mismatch");
}

static void hash_mismatch(struct reception *x)
{
	lonelypsp_receive_for_websockets__hash_mismatch(
		lonelypsp_receive_for_websockets_at_auth_verified(&x->op));
	refuse(x, 400, "hash_mismatch");
}

static void auth_accepted(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__auth_accepted(
		lonelypsp_receive_for_websockets_at_auth_verified(&x->op), x->in.m.topic.data,
		x->in.m.topic.size, x->in.m.identifier.data, x->in.m.identifier.size,
		x->in.m.length, x->in.header_digest, PS_DIGEST_SIZE, &x->context));
}

/* ---- the fan-out ----------------------------------------------------------------------------- */

static void sending_response(struct reception *x)
{
	struct ps_response a = {.type = PS_RESPONSE_CONFIRM_RECEIVE,
				.identifier = x->in.m.identifier,
				.subscribers = x->queued};
	struct ps_signed s = {.kind = PS_KIND_CONFIRM_RECEIVE,
			      .identifier = x->in.m.identifier,
			      .numbers = {a.subscribers},
			      .url = ps_bytes_text(x->b->receive_url)};
	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_receive_for_websockets__sending_response(
		lonelypsp_receive_for_websockets_at_sending_response(&x->op), a.subscribers,
		&context);
	context.valid &= x->context.valid; /* answered with one only if asked with one */
	a.tracing = s.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(x->request, &a, &x->b->auth->to_broadcaster, &s);
	log_receive(x, x->request->status, x->request->status == 200 ? "ok" : "failed");
}

static void no_more_websockets(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__no_more_websockets(
		lonelypsp_receive_for_websockets_at_fanout(&x->op), x->matched));
	sending_response(x);
}

static void queued_small(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__queued_small(
		lonelypsp_receive_for_websockets_at_queueing(&x->op)));
	x->queued++;
}

static void queued_large(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__queued_large(
		lonelypsp_receive_for_websockets_at_queueing(&x->op)));
	x->queued++;
	x->lent = true;
}

static void not_queued(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__not_queued(
		lonelypsp_receive_for_websockets_at_queueing(&x->op)));
}

static void large_released(struct ps_relay_message *m, bool spooled)
{
	struct reception *x = m->owner;

	x->lent = false;
	PS_STEP(lonelypsp_receive_for_websockets__large_released(
		lonelypsp_receive_for_websockets_at_large_released(&x->op), spooled));
	next_websocket(x);
}

static void websocket_matched(struct reception *x)
{
	PS_STEP(lonelypsp_receive_for_websockets__websocket_matched(
		lonelypsp_receive_for_websockets_at_fanout(&x->op), x->at.connection,
		sizeof(x->at.connection)));
	x->matched++;
}

/* Hands the message to one web socket after the other, until one borrows it. */
static void next_websocket(struct reception *x)
{
	struct ps_relay *s = x->b->relay;

	while (!s->next(s, x->in.m.topic, &x->at)) {
		enum ps_queued q;

		websocket_matched(x);
		q = s->queue(s, &x->at, &x->message);
		if (q == PS_QUEUED_LARGE) {
			queued_large(x);
			return;
		}
		if (q == PS_QUEUED_SMALL)
			queued_small(x);
		else
			not_queued(x);
	}
	no_more_websockets(x);
}

static void start_fanout(struct reception *x)
{
	x->message = (struct ps_relay_message){.topic = x->in.m.topic,
					       .identifier = x->in.m.identifier,
					       .digest = x->in.header_digest,
					       .message = &x->in.message,
					       .context = &x->context,
					       .released = large_released,
					       .owner = x};
	next_websocket(x);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct reception *x = calloc(1, sizeof(*x));
	int e;

	if (!x)
		return -ENOMEM;
	x->b = owner;
	x->request = r;
	x->begin_ns = ps_system_wall_ns();
	e = ps_incoming_init(&x->in, &x->b->budget);
	if (e) {
		free(x);
		return e;
	}
	r->state = x;
	received(x);
	if (ps_incoming_take_header(&x->in, ps_server_header(r, "Repr-Digest")))
		bad_digest_header(x);
	else if (!ps_server_is_url(r, ps_bytes_text(x->b->receive_url)))
		wrong_url(x);
	return 0;
}

static bool is_relevant(const struct reception *x)
{
	struct ps_relay_at at = {0};

	return !x->b->relay->next(x->b->relay, x->in.m.topic, &at);
}

static void check_authorization(struct reception *x)
{
	const struct ps_auth *a = x->b->auth;
	struct ps_signed s = {.kind = PS_KIND_RECEIVE,
			      .tracing = x->in.m.tracing,
			      .url = ps_bytes_text(x->b->receive_url),
			      .key = x->in.m.topic,
			      .identifier = x->in.m.identifier,
			      .digest = x->in.header_digest};
	struct ps_bytes given = ps_bytes_text(ps_server_header(x->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_subscriber, given, &s);

	if (result != PS_AUTH_OK) {
		bad_auth_result(x, result);
		return;
	}
	if (x->in.m.length > x->b->budget.message_max) {
		give_up(x, -EFBIG);
		return;
	}
	auth_tentatively_accepted(x);
	if (!is_relevant(x))
		topic_irrelevant(x);
}

static void take_message(struct reception *x, struct ps_bytes part)
{
	int r = ps_incoming_take_message(&x->in, part);

	if (r)
		give_up(x, r);
}

static void take_head(struct reception *x, struct ps_bytes part)
{
	struct ps_bytes rest;
	int r = ps_incoming_take_head(&x->in, part, &rest);

	if (r == -EAGAIN)
		return;
	if (r) {
		give_up(x, r);
		return;
	}
	ps_trace_read(&x->context, x->in.m.tracing);
	request_parsed(x);
	check_authorization(x);
	if (!x->request->answered)
		take_message(x, rest);
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct reception *x = r->state;

	if (x->in.has_head)
		take_message(x, part);
	else
		take_head(x, part);
}

static void end(struct ps_request *r)
{
	struct reception *x = r->state;
	enum ps_incoming_end e = x->in.has_head ? ps_incoming_stop(&x->in) : PS_INCOMING_LENGTH;

	if (!x->in.has_head) {
		bad_request(x);
	} else if (e == PS_INCOMING_LENGTH) {
		length_mismatch(x);
	} else if (e == PS_INCOMING_HASH) {
		hash_mismatch(x);
	} else {
		auth_accepted(x);
		start_fanout(x);
	}
}

static void gone(struct ps_request *r)
{
	struct reception *x = r->state;

	if (x->lent)
		x->b->relay->cancel(x->b->relay, &x->message);
	if (!x->logged)
		log_receive(x, r->status, "canceled");
	lonelypsp_receive_for_websockets_leave(&x->op, ECANCELED);
	ps_incoming_clear(&x->in);
	free(x);
}

const struct ps_route ps_route_receive_for_websockets = {"/v1/receive_for_websockets", begin, body,
							 end, gone};
