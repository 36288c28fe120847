/*
 * RECEIVE at the subscriber: the hash in the header and the head of the body are authorized,
 * the message is spooled and hashed, then each handler of the application takes it, and only
 * then is it confirmed. Fed by the HTTP server; one function per step of the protocol's
 * automaton. Owns struct reception.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_incoming.h"
#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"

struct reception {
	struct lonelypsp_receive op;
	struct ps_subscriber *s;	/* borrowed: outlives every request */
	struct ps_request *request;	/* borrowed: its `gone` frees this */
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct ps_incoming in;
	bool logged;
	size_t handler; /* the one that is called */
	bool in_handler;
	struct ps_timer delay;
};

static void next_handler(struct reception *p);

static void log_receive(struct reception *p, unsigned status, const char *outcome)
{
	struct ps_line line;

	p->logged = true;
	ps_log_begin(&line, p->s->log, "receive");
	if (p->in.has_head) {
		ps_log_hex(&line, "identifier", p->in.m.identifier);
		ps_log_text(&line, "topic", p->in.m.topic);
		ps_log_hex(&line, "sha512", ps_bytes(p->in.header_digest, 8));
		ps_log_number(&line, "bytes", (int64_t)p->in.m.length);
	}
	ps_log_word(&line, "url", p->s->receive_url);
	ps_log_number(&line, "begin", p->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct reception *p, unsigned status, const char *outcome)
{
	log_receive(p, status, outcome);
	ps_spool_clear(&p->in.message);
	ps_server_answer(p->request, status, ps_bytes(NULL, 0));
}

/* Refuses and asks the broadcaster to remove the subscription that led here. */
static void refuse_and_unsubscribe(struct reception *p, unsigned status, const char *outcome)
{
	static const uint8_t body[] = {0, PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE};

	log_receive(p, status, outcome);
	ps_spool_clear(&p->in.message);
	ps_server_answer(p->request, status, ps_bytes(body, sizeof(body)));
}

static void too_large(struct reception *p)
{
	lonelypsp_receive_leave(&p->op, EFBIG);
	refuse(p, 413, "too_large");
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void received(struct reception *p)
{
	PS_STEP(lonelypsp_receive__received(lonelypsp_receive_begin(&p->op)));
}

static void abandoned(struct reception *p)
{
	lonelypsp_receive__abandoned(lonelypsp_receive_at_request_parsed(&p->op));
	if (p->s->options.refuse)
		refuse_and_unsubscribe(p, 503, "abandoned");
	else
		refuse(p, 503, "abandoned");
}

static void bad_digest_header(struct reception *p)
{
	lonelypsp_receive__bad_digest_header(lonelypsp_receive_at_request_parsed(&p->op));
	refuse_and_unsubscribe(p, 400, "bad_digest_header");
}

static void bad_request(struct reception *p)
{
	lonelypsp_receive__bad_request(lonelypsp_receive_at_request_parsed(&p->op));
	refuse(p, 400, "bad_request");
}

static void request_parsed(struct reception *p)
{
	PS_STEP(lonelypsp_receive__request_parsed(
		lonelypsp_receive_at_request_parsed(&p->op), p->in.m.topic.data, p->in.m.topic.size,
		p->in.m.identifier.data, p->in.m.identifier.size, p->in.m.length, &p->context));
}

static void auth_unavailable(struct reception *p)
{
	bool told = ps_subscriber_tell(p->s, true);

	lonelypsp_receive__auth_unavailable(lonelypsp_receive_at_auth_result(&p->op), told);
	refuse(p, 503, "unavailable");
}

static void bad_auth_result(struct reception *p, enum ps_auth_result result)
{
	lonelypsp_receive__bad_auth_result(lonelypsp_receive_at_auth_result(&p->op), result);
	refuse_and_unsubscribe(p, 403, ps_auth_result_to_str(result));
}

static void auth_tentatively_accepted(struct reception *p)
{
	bool told = ps_subscriber_tell(p->s, false);

	PS_STEP(lonelypsp_receive__auth_tentatively_accepted(
		lonelypsp_receive_at_auth_result(&p->op), told));
}

static void length_mismatch(struct reception *p)
{
	lonelypsp_receive__length_mismatch(lonelypsp_receive_at_auth_verified(&p->op));
	refuse_and_unsubscribe(p, 400, "length_mismatch");
}

static void hash_mismatch(struct reception *p)
{
	lonelypsp_receive__hash_mismatch(lonelypsp_receive_at_auth_verified(&p->op));
	refuse_and_unsubscribe(p, 403, "hash_mismatch");
}

static void auth_accepted(struct reception *p)
{
	PS_STEP(lonelypsp_receive__auth_accepted(
		lonelypsp_receive_at_auth_verified(&p->op), p->in.m.topic.data, p->in.m.topic.size,
		p->in.m.identifier.data, p->in.m.identifier.size, p->in.m.length, &p->context));
	if (!ps_subscriber_wants(p->s, p->in.m.topic)) /* confirmed and dropped, as upstream does */
		p->handler = p->s->options.handler_count;
	next_handler(p);
}

static void handler_buffered(struct reception *p)
{
	PS_STEP(lonelypsp_receive__handler_buffered(lonelypsp_receive_at_handler_done(&p->op)));
}

static void handler_done(struct reception *p)
{
	PS_STEP(lonelypsp_receive__handler_done(lonelypsp_receive_at_handler_done(&p->op)));
}

static void handler_error(struct reception *p)
{
	PS_STEP(lonelypsp_receive__handler_error(lonelypsp_receive_at_handler_done(&p->op)));
}

static void handler_canceled(struct reception *p)
{
	lonelypsp_receive__handler_canceled(lonelypsp_receive_at_handler_done(&p->op));
}

static void sending_response(struct reception *p)
{
	struct ps_response a = {.type = PS_RESPONSE_CONFIRM_RECEIVE,
				.identifier = p->in.m.identifier,
				.subscribers = 1};
	struct ps_signed m = {.kind = PS_KIND_CONFIRM_RECEIVE,
			      .identifier = p->in.m.identifier,
			      .numbers = {a.subscribers},
			      .url = ps_bytes_text(p->s->receive_url)};
	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_receive__sending_response(lonelypsp_receive_at_sending_response(&p->op),
					    a.subscribers, &context);
	context.valid &= p->context.valid; /* answered with one only if asked with one */
	a.tracing = m.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(p->request, &a, &p->s->auth->to_broadcaster, &m);
	log_receive(p, p->request->status, p->request->status == 200 ? "ok" : "failed");
}

static void no_more_handlers(struct reception *p)
{
	PS_STEP(lonelypsp_receive__no_more_handlers(lonelypsp_receive_at_handlers(&p->op)));
	sending_response(p);
}

static void call_handler(struct reception *p)
{
	struct ps_handler *h = &p->s->options.handlers[p->handler];
	struct ps_delivery d = {p->in.m.topic, p->in.m.identifier, p->in.header_digest,
				&p->in.message};

	p->in_handler = false;
	if (h->handle(h, &d))
		handler_error(p);
	else
		handler_done(p);
	p->handler++;
	next_handler(p);
}

static void delay_expired(struct ps_timer *t)
{
	call_handler(t->owner);
}

static void handler_start(struct reception *p)
{
	int64_t delay = p->s->options.handlers[p->handler].delay_ns;

	PS_STEP(lonelypsp_receive__handler_start(lonelypsp_receive_at_handlers(&p->op),
						 (uint32_t)p->handler));
	p->in_handler = true;
	if (!delay) {
		call_handler(p);
		return;
	}
	handler_buffered(p);
	p->delay = (struct ps_timer){.expired = delay_expired, .owner = p};
	ps_loop_arm(p->s->loop, &p->delay, delay);
}

static void next_handler(struct reception *p)
{
	if (p->handler < p->s->options.handler_count)
		handler_start(p);
	else
		no_more_handlers(p);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct reception *p = calloc(1, sizeof(*p));
	int e;

	if (!p)
		return -ENOMEM;
	p->s = owner;
	p->request = r;
	p->begin_ns = ps_system_wall_ns();
	e = ps_incoming_init(&p->in, &p->s->budget);
	if (e) {
		free(p);
		return e;
	}
	r->state = p;
	received(p);
	if (p->s->stopping || p->s->options.refuse)
		abandoned(p);
	else if (ps_incoming_take_header(&p->in, ps_server_header(r, "Repr-Digest")))
		bad_digest_header(p);
	return 0;
}

static void check_authorization(struct reception *p)
{
	const struct ps_auth *a = p->s->auth;
	struct ps_signed m = {.kind = PS_KIND_RECEIVE,
			      .tracing = p->in.m.tracing,
			      .url = ps_bytes_text(p->s->receive_url),
			      .key = p->in.m.topic,
			      .identifier = p->in.m.identifier,
			      .digest = p->in.header_digest};
	struct ps_bytes given = ps_bytes_text(ps_server_header(p->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_subscriber, given, &m);

	if (result == PS_AUTH_UNAVAILABLE)
		auth_unavailable(p);
	else if (result != PS_AUTH_OK)
		bad_auth_result(p, result);
	else if (p->in.m.length > p->s->budget.message_max)
		too_large(p);
	else
		auth_tentatively_accepted(p);
}

static void take_message(struct reception *p, struct ps_bytes part)
{
	int r = ps_incoming_take_message(&p->in, part);

	if (!r)
		return;
	lonelypsp_receive_leave(&p->op, -r);
	refuse(p, 503, "no_space");
}

static void take_head(struct reception *p, struct ps_bytes part)
{
	struct ps_bytes rest;
	int r = ps_incoming_take_head(&p->in, part, &rest);

	if (r == -EAGAIN)
		return;
	if (r) {
		lonelypsp_receive_leave(&p->op, -r);
		refuse(p, 503, "no_memory");
		return;
	}
	ps_trace_read(&p->context, p->in.m.tracing);
	request_parsed(p);
	check_authorization(p);
	if (!p->request->answered)
		take_message(p, rest);
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct reception *p = r->state;

	if (p->in.has_head)
		take_message(p, part);
	else
		take_head(p, part);
}

static void end(struct ps_request *r)
{
	struct reception *p = r->state;
	enum ps_incoming_end e = p->in.has_head ? ps_incoming_stop(&p->in) : PS_INCOMING_LENGTH;

	if (!p->in.has_head)
		bad_request(p);
	else if (e == PS_INCOMING_LENGTH)
		length_mismatch(p);
	else if (e == PS_INCOMING_HASH)
		hash_mismatch(p);
	else
		auth_accepted(p);
}

static void gone(struct ps_request *r)
{
	struct reception *p = r->state;

	if (p->in_handler)
		handler_canceled(p);
	if (!p->logged)
		log_receive(p, r->status, "canceled");
	lonelypsp_receive_leave(&p->op, ECANCELED);
	ps_loop_disarm(p->s->loop, &p->delay);
	ps_incoming_clear(&p->in);
	free(p);
}

const struct ps_route ps_route_receive = {"/v1/receive", begin, body, end, gone};
