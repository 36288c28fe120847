/*
 * CHECK_SUBSCRIPTIONS at the broadcaster: answers with the etag of all that a url is subscribed
 * to. Fed by the HTTP server; reads the database. Owns struct checking.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_etag.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"
#include "probes/pubsub/ps_url.h"

struct checking {
	struct ps_broadcaster *b;   /* borrowed: outlives every request */
	struct ps_request *request; /* borrowed: its `gone` frees this */
	struct lonelypsp_handle_check_subscriptions op;
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct osp_buffer body; /* what `m` points into */
	bool overflow, decoded, computed, logged;
	struct ps_check m;
	uint8_t etag[PS_DIGEST_SIZE];
	uint32_t counts[PS_DB_KINDS];
};

static void log_check(struct checking *x, unsigned status, const char *outcome)
{
	struct ps_line line;

	x->logged = true;
	ps_log_begin(&line, x->b->log, "check");
	if (x->decoded)
		ps_log_text(&line, "url", x->m.url);
	if (x->computed) {
		ps_log_hex(&line, "etag", ps_bytes(x->etag, 8));
		ps_log_number(&line, "exact", x->counts[PS_DB_EXACT]);
		ps_log_number(&line, "globs", x->counts[PS_DB_GLOB]);
	}
	ps_log_number(&line, "begin", x->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct checking *x, unsigned status, const char *outcome)
{
	log_check(x, status, outcome);
	ps_server_answer(x->request, status, ps_bytes(NULL, 0));
}

static void received(struct checking *x)
{
	PS_STEP(lonelypsp_handle_check_subscriptions__received(
		lonelypsp_handle_check_subscriptions_begin(&x->op)));
}

static void bad_request(struct checking *x)
{
	lonelypsp_handle_check_subscriptions__bad_request(
		lonelypsp_handle_check_subscriptions_at_auth_result(&x->op));
	refuse(x, 400, "bad_request");
}

static void bad_auth_result(struct checking *x, enum ps_auth_result result)
{
	lonelypsp_handle_check_subscriptions__bad_auth_result(
		lonelypsp_handle_check_subscriptions_at_auth_result(&x->op), result);
	refuse(x, ps_auth_result_to_status(result), ps_auth_result_to_str(result));
}

static void unavailable(struct checking *x)
{
	lonelypsp_handle_check_subscriptions__unavailable(
		lonelypsp_handle_check_subscriptions_at_computing(&x->op));
	refuse(x, 503, "unavailable");
}

static void sending_response(struct checking *x)
{
	struct ps_response a = {.type = PS_RESPONSE_CHECK_SUBSCRIPTIONS, .etag = x->etag};
	struct ps_signed s = {.kind = PS_KIND_CHECK_RESPONSE, .digest = x->etag};
	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_handle_check_subscriptions__sending_response(
		lonelypsp_handle_check_subscriptions_at_sending_response(&x->op), &context);
	context.valid &= x->context.valid; /* answered with one only if asked with one */
	a.tracing = s.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(x->request, &a, &x->b->auth->to_subscriber, &s);
	log_check(x, x->request->status, x->request->status == 200 ? "ok" : "failed");
}

static void etag_computed(struct checking *x)
{
	x->computed = true;
	PS_STEP(lonelypsp_handle_check_subscriptions__etag_computed(
		lonelypsp_handle_check_subscriptions_at_computing(&x->op), x->etag, sizeof(x->etag),
		x->counts[PS_DB_EXACT], x->counts[PS_DB_GLOB]));
	sending_response(x);
}

static int compute_etag(struct checking *x)
{
	struct ps_list_builder lists[PS_DB_KINDS] = {0};
	struct ps_list exact, globs;
	int r = ps_db_lists(x->b->db, x->m.url, lists);

	if (r)
		return r;
	exact = ps_list_of(&lists[PS_DB_EXACT]);
	globs = ps_list_of(&lists[PS_DB_GLOB]);
	x->counts[PS_DB_EXACT] = exact.count;
	x->counts[PS_DB_GLOB] = globs.count;
	r = ps_etag_of(x->etag, x->m.url, &exact, &globs);
	ps_db_clear_lists(lists);
	return r;
}

static void auth_accepted(struct checking *x)
{
	PS_STEP(lonelypsp_handle_check_subscriptions__auth_accepted(
		lonelypsp_handle_check_subscriptions_at_auth_result(&x->op), x->m.url.data,
		x->m.url.size, &x->context));
	if (compute_etag(x))
		unavailable(x);
	else
		etag_computed(x);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct checking *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->b = owner;
	x->request = r;
	x->begin_ns = ps_system_wall_ns();
	x->body.max = PS_CHECK_MAX;
	r->state = x;
	received(x);
	return 0;
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct checking *x = r->state;

	if (!x->overflow && osp_buffer_add(&x->body, part.data, part.size))
		x->overflow = true;
}

static void check_authorization(struct checking *x)
{
	const struct ps_auth *a = x->b->auth;
	struct ps_signed s = {
		.kind = PS_KIND_CHECK_SUBSCRIPTIONS, .tracing = x->m.tracing, .url = x->m.url};
	struct ps_bytes given = ps_bytes_text(ps_server_header(x->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_broadcaster, given, &s);

	if (result != PS_AUTH_OK)
		bad_auth_result(x, result);
	else
		auth_accepted(x);
}

static void end(struct ps_request *r)
{
	struct checking *x = r->state;

	x->decoded = !x->overflow &&
		     !ps_message_decode_check(&x->m, ps_bytes(x->body.data, x->body.size));
	if (x->decoded)
		ps_trace_read(&x->context, x->m.tracing);
	if (!x->decoded || ps_url_check(x->m.url))
		bad_request(x);
	else
		check_authorization(x);
}

static void gone(struct ps_request *r)
{
	struct checking *x = r->state;

	if (!x->logged)
		log_check(x, r->status, "canceled");
	lonelypsp_handle_check_subscriptions_leave(&x->op, ECANCELED);
	osp_buffer_clear(&x->body);
	free(x);
}

const struct ps_route ps_route_check = {"/v1/check_subscriptions", begin, body, end, gone};
