/*
 * NOTIFY at the broadcaster: the head is collected and authorized, the message streamed into a
 * spool and hashed, then fanned out (ps_fanout.c) while the connection waits. Fed by the HTTP
 * server; one function per step of the protocol's automaton. Owns struct publish.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_fanout.h"
#include "probes/pubsub/ps_report.h"
#include "probes/pubsub/ps_system.h"

struct publish {
	struct ps_broadcaster *b;   /* borrowed: outlives every request */
	struct ps_request *request; /* borrowed: its `gone` frees this */
	struct lonelypsp_handle_notify op;
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct osp_buffer head; /* what `m` points into */
	bool has_head, overrun, logged;
	struct ps_notify m;
	struct ps_digest digest;
	struct ps_spool message;
	struct ps_fanout fanout;
	struct ps_report report; /* what the answer tells of all this */
};

static void log_notify(struct publish *p, unsigned status, const char *outcome)
{
	struct ps_line line;

	p->logged = true;
	ps_log_begin(&line, p->b->log, "notify");
	if (p->has_head) {
		ps_log_hex(&line, "identifier", p->m.identifier);
		ps_log_text(&line, "topic", p->m.topic);
		ps_log_hex(&line, "sha512", ps_bytes(p->m.digest, 8));
		ps_log_number(&line, "bytes", (int64_t)p->m.length);
	}
	ps_log_number(&line, "begin", p->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_number(&line, "subscribers", p->fanout.subscribers);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct publish *p, unsigned status, const char *outcome, int error)
{
	if (error)
		lonelypsp_handle_notify_leave(&p->op, -error);
	log_notify(p, status, outcome);
	ps_spool_clear(&p->message); /* what is still arriving is dropped */
	ps_server_answer(p->request, status, ps_bytes(NULL, 0));
}

static void received(struct publish *p)
{
	PS_STEP(lonelypsp_handle_notify__received(lonelypsp_handle_notify_begin(&p->op)));
}

static void bad_request(struct publish *p)
{
	lonelypsp_handle_notify__bad_request(lonelypsp_handle_notify_at_auth_result(&p->op));
	refuse(p, 400, "bad_request", 0);
}

static void bad_auth_result(struct publish *p, enum ps_auth_result result)
{
	lonelypsp_handle_notify__bad_auth_result(lonelypsp_handle_notify_at_auth_result(&p->op),
						 result);
	refuse(p, ps_auth_result_to_status(result), ps_auth_result_to_str(result), 0);
}

static void auth_tentatively_accepted(struct publish *p)
{
	PS_STEP(lonelypsp_handle_notify__auth_tentatively_accepted(
		lonelypsp_handle_notify_at_auth_result(&p->op)));
	if (p->context.valid ? p->context.asks && p->b->report != PS_REPORT_NONE
			     : p->b->report == PS_REPORT_SIMPLE)
		ps_report_start(&p->report, p->begin_ns);
	ps_report_add(&p->report, "auth_tentatively_accepted", NULL);
}

static void auth_mismatch(struct publish *p)
{
	lonelypsp_handle_notify__auth_mismatch(lonelypsp_handle_notify_at_auth_verified(&p->op));
	refuse(p, 400, "mismatch", 0);
}

static void sending_response(struct publish *p)
{
	struct ps_response a = {.type = PS_RESPONSE_NOTIFY,
				.identifier = p->m.identifier,
				.subscribers = p->fanout.subscribers};
	struct ps_signed s = {.kind = PS_KIND_CONFIRM_NOTIFY,
			      .identifier = p->m.identifier,
			      .key = p->m.topic,
			      .digest = p->m.digest,
			      .numbers = {p->fanout.subscribers}};

	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_handle_notify__sending_response(
		lonelypsp_handle_notify_at_sending_response(&p->op), &context);
	/* answered with one only if asked with one */
	context.valid &= p->context.valid && p->b->report != PS_REPORT_NONE;
	a.tracing = ps_report_encode(&p->report, ps_trace_bytes(&tracing, &context));
	s.tracing = a.tracing;
	ps_answer_signed(p->request, &a, &p->b->auth->to_subscriber, &s);
}

static void fanout_done(struct ps_fanout *f)
{
	struct publish *p = f->owner;

	sending_response(p);
	log_notify(p, p->request->status, p->request->status == 200 ? "ok" : "failed");
}

static void fanout_failed(struct ps_fanout *f, unsigned status)
{
	refuse(f->owner, status, "unavailable", 0);
}

static void start_fanout(struct publish *p)
{
	p->fanout = (struct ps_fanout){.b = p->b,
				       .notify = &p->op,
				       .topic = p->m.topic,
				       .identifier = p->m.identifier,
				       .length = p->m.length,
				       .digest = p->m.digest,
				       .message = &p->message,
				       .report = &p->report,
				       .done = fanout_done,
				       .failed = fanout_failed,
				       .owner = p};
	ps_fanout_start(&p->fanout);
}

static void auth_accepted(struct publish *p)
{
	PS_STEP(lonelypsp_handle_notify__auth_accepted(
		lonelypsp_handle_notify_at_auth_verified(&p->op), p->m.topic.data, p->m.topic.size,
		p->m.length, p->m.identifier.data, p->m.identifier.size, &p->context));
	ps_report_add(&p->report, "auth_accepted", NULL);
	start_fanout(p);
}

static void too_large(struct publish *p)
{
	refuse(p, 413, "too_large", -EFBIG);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct publish *p = calloc(1, sizeof(*p));
	int e;

	if (!p)
		return -ENOMEM;
	p->b = owner;
	p->request = r;
	p->begin_ns = ps_system_wall_ns();
	p->head.max = PS_NOTIFY_HEAD_MAX;
	ps_spool_init(&p->message, &p->b->budget);
	e = ps_digest_start(&p->digest);
	if (e) {
		free(p);
		return e;
	}
	r->state = p;
	received(p);
	return 0;
}

static void check_authorization(struct publish *p)
{
	const struct ps_auth *a = p->b->auth;
	struct ps_signed s = {.kind = PS_KIND_NOTIFY,
			      .tracing = p->m.tracing,
			      .key = p->m.topic,
			      .identifier = p->m.identifier,
			      .digest = p->m.digest};
	struct ps_bytes given = ps_bytes_text(ps_server_header(p->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_broadcaster, given, &s);

	if (result != PS_AUTH_OK)
		bad_auth_result(p, result);
	else if (p->m.length > p->b->budget.message_max)
		too_large(p);
	else
		auth_tentatively_accepted(p);
}

static void take_message(struct publish *p, struct ps_bytes part)
{
	int r;

	if (p->overrun || part.size > p->m.length - p->message.size) {
		p->overrun = true;
		return;
	}
	r = ps_digest_add(&p->digest, part.data, part.size);
	if (!r)
		r = ps_spool_add(&p->message, part.data, part.size);
	if (r == -EFBIG)
		too_large(p);
	else if (r)
		refuse(p, 503, "no_space", r);
}

/* Collects the head; what follows it in the same part is the message's beginning. */
static void take_head(struct publish *p, struct ps_bytes part)
{
	size_t room = p->head.max - p->head.size, take = part.size < room ? part.size : room;
	size_t before = p->head.size, used;
	int r;

	if (osp_buffer_add(&p->head, part.data, take)) {
		refuse(p, 503, "no_memory", -ENOMEM);
		return;
	}
	r = ps_message_decode_notify(&p->m, ps_bytes(p->head.data, p->head.size), &used);
	if (r)
		return;
	p->has_head = true;
	ps_trace_read(&p->context, p->m.tracing);
	check_authorization(p);
	if (!p->request->answered)
		take_message(p, ps_bytes((const char *)part.data + (used - before),
					 part.size - (used - before)));
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct publish *p = r->state;

	if (p->has_head)
		take_message(p, part);
	else
		take_head(p, part);
}

static void end(struct ps_request *r)
{
	struct publish *p = r->state;
	uint8_t digest[PS_DIGEST_SIZE];

	if (!p->has_head) {
		bad_request(p);
		return;
	}
	if (ps_digest_stop(&p->digest, digest) || p->overrun || p->message.size != p->m.length ||
	    !ps_digest_equal(digest, p->m.digest, sizeof(digest)))
		auth_mismatch(p);
	else
		auth_accepted(p);
}

static void gone(struct ps_request *r)
{
	struct publish *p = r->state;

	if (!p->logged)
		log_notify(p, r->status, "canceled");
	lonelypsp_handle_notify_leave(&p->op, ECANCELED);
	ps_fanout_clear(&p->fanout);
	ps_digest_clear(&p->digest);
	ps_spool_clear(&p->message);
	osp_buffer_clear(&p->head);
	ps_report_clear(&p->report);
	free(p);
}

const struct ps_route ps_route_notify = {"/v1/notify", begin, body, end, gone};
