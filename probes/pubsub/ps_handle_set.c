/*
 * SET_SUBSCRIPTIONS at the broadcaster: the head is authorized before the lists are taken, the
 * lists are checked against the etag that was authorized, then they are what the url is
 * subscribed to. Fed by the HTTP server; changes the database in one transaction. Owns struct
 * setting.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_etag.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"

struct setting {
	struct ps_broadcaster *b;   /* borrowed: outlives every request */
	struct ps_request *request; /* borrowed: its `gone` frees this */
	struct lonelypsp_handle_set_subscriptions op;
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct ps_spool body;	/* all of it */
	struct osp_buffer head; /* its beginning, what `m` points into until `whole` is there */
	struct osp_buffer whole;
	bool has_head, decoded, logged;
	struct ps_set m;
	struct ps_db_set changes;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void log_set(struct setting *x, unsigned status, const char *outcome)
{
	struct ps_line line;

	x->logged = true;
	ps_log_begin(&line, x->b->log, "set");
	if (x->has_head) {
		ps_log_text(&line, "url", x->m.url);
		ps_log_hex(&line, "etag", ps_bytes(x->m.etag, 8));
	}
	if (x->decoded) {
		ps_log_number(&line, "exact", x->m.exact.count);
		ps_log_number(&line, "globs", x->m.globs.count);
	}
	if (status == 200) {
		ps_log_number(&line, "added", x->changes.counts[PS_DB_ADDED]);
		ps_log_number(&line, "removed", x->changes.counts[PS_DB_REMOVED]);
		ps_log_number(&line, "kept", x->changes.counts[PS_DB_KEPT]);
		ps_log_number(&line, "updated", x->changes.updated);
	}
	ps_log_number(&line, "begin", x->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct setting *x, unsigned status, const char *outcome)
{
	log_set(x, status, outcome);
	ps_spool_clear(&x->body);
	ps_server_answer(x->request, status, ps_bytes(NULL, 0));
}

/* What no point tells of. */
static void give_up(struct setting *x, int error)
{
	lonelypsp_handle_set_subscriptions_leave(&x->op, -error);
	if (error == -EFBIG)
		refuse(x, 413, "too_large");
	else
		refuse(x, 503, "no_space");
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void received(struct setting *x)
{
	PS_STEP(lonelypsp_handle_set_subscriptions__received(
		lonelypsp_handle_set_subscriptions_begin(&x->op)));
}

static void bad_head(struct setting *x)
{
	lonelypsp_handle_set_subscriptions__bad_request_in_auth_result(
		lonelypsp_handle_set_subscriptions_at_auth_result(&x->op));
	refuse(x, 400, "bad_request");
}

static void bad_auth_result(struct setting *x, enum ps_auth_result result)
{
	lonelypsp_handle_set_subscriptions__bad_auth_result(
		lonelypsp_handle_set_subscriptions_at_auth_result(&x->op), result);
	refuse(x, ps_auth_result_to_status(result), ps_auth_result_to_str(result));
}

static void auth_tentatively_accepted(struct setting *x)
{
	PS_STEP(lonelypsp_handle_set_subscriptions__auth_tentatively_accepted(
		lonelypsp_handle_set_subscriptions_at_auth_result(&x->op), x->m.url.data,
		x->m.url.size, x->m.etag, PS_DIGEST_SIZE));
}

static void bad_lists(struct setting *x)
{
	lonelypsp_handle_set_subscriptions__bad_request_in_auth_verified(
		lonelypsp_handle_set_subscriptions_at_auth_verified(&x->op));
	refuse(x, 400, "bad_request");
}

static void auth_mismatch(struct setting *x)
{
	lonelypsp_handle_set_subscriptions__auth_mismatch(
		lonelypsp_handle_set_subscriptions_at_auth_verified(&x->op));
	refuse(x, 400, "mismatch");
}

static void auth_accepted(struct setting *x)
{
	PS_STEP(lonelypsp_handle_set_subscriptions__auth_accepted(
		lonelypsp_handle_set_subscriptions_at_auth_verified(&x->op), x->m.url.data,
		x->m.url.size, x->m.etag, PS_DIGEST_SIZE, x->m.exact.count, x->m.globs.count,
		&x->context));
}

static uint32_t pattern_of(enum ps_db_kind kind)
{
	return kind == PS_DB_GLOB ? LONELYPSP_PATTERN_GLOB : LONELYPSP_PATTERN_EXACT;
}

static void subscription_added(struct setting *x, enum ps_db_kind kind, struct ps_bytes key)
{
	PS_STEP(lonelypsp_handle_set_subscriptions__subscription_added(
		lonelypsp_handle_set_subscriptions_at_applying(&x->op), pattern_of(kind), key.data,
		key.size));
}

static void subscription_removed(struct setting *x, enum ps_db_kind kind, struct ps_bytes key)
{
	PS_STEP(lonelypsp_handle_set_subscriptions__subscription_removed(
		lonelypsp_handle_set_subscriptions_at_applying(&x->op), pattern_of(kind), key.data,
		key.size));
}

static void subscription_kept(struct setting *x, enum ps_db_kind kind, struct ps_bytes key)
{
	PS_STEP(lonelypsp_handle_set_subscriptions__subscription_kept(
		lonelypsp_handle_set_subscriptions_at_applying(&x->op), pattern_of(kind), key.data,
		key.size));
}

static void each(void *owner, enum ps_db_change change, enum ps_db_kind kind, struct ps_bytes key)
{
	static void (*const steps[PS_DB_CHANGES])(struct setting *, enum ps_db_kind,
						  struct ps_bytes) = {
		[PS_DB_ADDED] = subscription_added,
		[PS_DB_REMOVED] = subscription_removed,
		[PS_DB_KEPT] = subscription_kept,
	};

	steps[change](owner, kind, key);
}

static void unavailable(struct setting *x)
{
	lonelypsp_handle_set_subscriptions__unavailable(
		lonelypsp_handle_set_subscriptions_at_applying(&x->op));
	refuse(x, 503, "unavailable");
}

static void set_done(struct setting *x)
{
	const uint32_t *n = x->changes.counts;

	PS_STEP(lonelypsp_handle_set_subscriptions__set_done(
		lonelypsp_handle_set_subscriptions_at_applying(&x->op), n[PS_DB_ADDED],
		n[PS_DB_REMOVED], n[PS_DB_KEPT]));
}

static void sending_response(struct setting *x)
{
	struct ps_response a = {.type = PS_RESPONSE_GENERIC};
	struct ps_signed s = {.kind = PS_KIND_SET_RESPONSE, .digest = x->m.etag};
	struct outspan_context context;
	struct ps_tracing tracing;

	lonelypsp_handle_set_subscriptions__sending_response(
		lonelypsp_handle_set_subscriptions_at_sending_response(&x->op), &context);
	context.valid &= x->context.valid; /* answered with one only if asked with one */
	a.tracing = s.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(x->request, &a, &x->b->auth->to_subscriber, &s);
	log_set(x, x->request->status, x->request->status == 200 ? "ok" : "failed");
}

static void apply(struct setting *x)
{
	x->changes =
		(struct ps_db_set){.url = x->m.url,
				   .lists = {[PS_DB_EXACT] = x->m.exact, [PS_DB_GLOB] = x->m.globs},
				   .each = each,
				   .owner = x};
	if (ps_db_set(x->b->db, &x->changes)) {
		unavailable(x);
		return;
	}
	set_done(x);
	sending_response(x);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner)
{
	struct setting *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->b = owner;
	x->request = r;
	x->begin_ns = ps_system_wall_ns();
	x->head.max = PS_SET_HEAD_MAX;
	x->whole.max = PS_SET_MAX;
	ps_spool_init(&x->body, &x->b->budget);
	r->state = x;
	received(x);
	return 0;
}

static void check_authorization(struct setting *x)
{
	const struct ps_auth *a = x->b->auth;
	struct ps_signed s = {.kind = PS_KIND_SET_SUBSCRIPTIONS,
			      .tracing = x->m.tracing,
			      .url = x->m.url,
			      .digest = x->m.etag};
	struct ps_bytes given = ps_bytes_text(ps_server_header(x->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_broadcaster, given, &s);

	if (result != PS_AUTH_OK)
		bad_auth_result(x, result);
	else
		auth_tentatively_accepted(x);
}

static void take_head(struct setting *x, struct ps_bytes part)
{
	size_t room = x->head.max - x->head.size, take = part.size < room ? part.size : room;
	int r;

	if (osp_buffer_add(&x->head, part.data, take)) {
		give_up(x, -ENOMEM);
		return;
	}
	r = ps_message_decode_set_head(&x->m, ps_bytes(x->head.data, x->head.size));
	if (r == -EAGAIN)
		return;
	x->has_head = !r;
	if (x->has_head)
		ps_trace_read(&x->context, x->m.tracing);
	if (!x->has_head || ps_url_check(x->m.url))
		bad_head(x);
	else
		check_authorization(x);
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct setting *x = r->state;
	int e = x->body.size + part.size > PS_SET_MAX
			? -EFBIG
			: ps_spool_add(&x->body, part.data, part.size);

	if (e)
		give_up(x, e);
	else if (!x->has_head)
		take_head(x, part);
}

/* The body in one piece: what the lists point into. */
static int read_whole(struct setting *x)
{
	size_t size = (size_t)x->body.size, at = 0;
	uint8_t *to = osp_buffer_reserve(&x->whole, size);

	if (!to)
		return -ENOMEM;
	while (at < size) {
		ssize_t n = ps_spool_read(&x->body, at, to + at, size - at);

		if (n <= 0)
			return n ? (int)n : -EIO;
		at += (size_t)n;
	}
	x->whole.size = size;
	ps_spool_clear(&x->body);
	return 0;
}

/* Most entries have the recovery url of the one before. */
static bool is_acceptable_list(struct ps_list list, bool is_glob)
{
	struct ps_bytes last = {NULL, 0};
	struct ps_entry e;

	while (!ps_list_next(&list, &e)) {
		bool known = !e.recovery.size || ps_bytes_equal(e.recovery, last);

		if ((!known && ps_url_check(e.recovery)) || (is_glob && !ps_db_is_glob(e.key)))
			return false;
		last = e.recovery;
	}
	return true;
}

static bool matches_etag(const struct setting *x)
{
	uint8_t etag[PS_DIGEST_SIZE];

	return !ps_etag_of(etag, x->m.url, &x->m.exact, &x->m.globs) &&
	       ps_digest_equal(etag, x->m.etag, sizeof(etag));
}

static void end(struct ps_request *r)
{
	struct setting *x = r->state;
	int e = x->has_head ? read_whole(x) : 0;

	if (!x->has_head) {
		bad_head(x);
		return;
	}
	if (e) {
		give_up(x, e);
		return;
	}
	x->decoded = !ps_message_decode_set(&x->m, ps_bytes(x->whole.data, x->whole.size));
	if (!x->decoded || !is_acceptable_list(x->m.exact, false) ||
	    !is_acceptable_list(x->m.globs, true)) {
		bad_lists(x);
	} else if (!matches_etag(x)) {
		auth_mismatch(x);
	} else {
		auth_accepted(x);
		apply(x);
	}
}

static void gone(struct ps_request *r)
{
	struct setting *x = r->state;

	if (!x->logged)
		log_set(x, r->status, "canceled");
	lonelypsp_handle_set_subscriptions_leave(&x->op, ECANCELED);
	ps_spool_clear(&x->body);
	osp_buffer_clear(&x->head);
	osp_buffer_clear(&x->whole);
	free(x);
}

const struct ps_route ps_route_set = {"/v1/set_subscriptions", begin, body, end, gone};
