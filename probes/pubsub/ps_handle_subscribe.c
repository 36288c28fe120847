/*
 * SUBSCRIBE and UNSUBSCRIBE, exact and glob, at the broadcaster: four routes over one automaton
 * that differ in the kind of row, in whether there is a recovery url, and in what conflicts. Fed
 * by the HTTP server; changes one row of the database. Owns struct change.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"
#include "probes/pubsub/ps_url.h"

/* What tells the four routes apart. */
struct verb {
	bool subscribe; /* else unsubscribe */
	enum ps_db_kind kind;
};

/* The four operations' blocks; `verb` says which one is in use. */
union change_op {
	struct lonelypsp_handle_subscribe_exact subscribe_exact;
	struct lonelypsp_handle_subscribe_glob subscribe_glob;
	struct lonelypsp_handle_unsubscribe_exact unsubscribe_exact;
	struct lonelypsp_handle_unsubscribe_glob unsubscribe_glob;
};

struct change {
	struct ps_broadcaster *b;   /* borrowed: outlives every request */
	struct ps_request *request; /* borrowed: its `gone` frees this */
	struct verb verb;
	union change_op op;
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct osp_buffer body; /* what `m` points into */
	bool overflow, decoded, logged;
	struct ps_subscribe m;
};

/* One statement of the four that `make` spells for an operation, the one of this change. */
#define EACH(c, make, ...)                                                                         \
	do {                                                                                       \
		if ((c)->verb.subscribe && (c)->verb.kind == PS_DB_EXACT)                          \
			make(subscribe_exact, &(c)->op.subscribe_exact, __VA_ARGS__);              \
		else if ((c)->verb.subscribe)                                                      \
			make(subscribe_glob, &(c)->op.subscribe_glob, __VA_ARGS__);                \
		else if ((c)->verb.kind == PS_DB_EXACT)                                            \
			make(unsubscribe_exact, &(c)->op.unsubscribe_exact, __VA_ARGS__);          \
		else                                                                               \
			make(unsubscribe_glob, &(c)->op.unsubscribe_glob, __VA_ARGS__);            \
	} while (0)
#define AT(o, block, state) lonelypsp_handle_##o##_at_handle_change_##state(block)
#define STEP(o, block, state, point, ...)                                                          \
	PS_STEP(lonelypsp_handle_##o##__##point(AT(o, block, state), ##__VA_ARGS__))
#define END(o, block, state, point, ...)                                                           \
	lonelypsp_handle_##o##__##point(AT(o, block, state), ##__VA_ARGS__)
#define BEGIN(o, block, point)                                                                     \
	PS_STEP(lonelypsp_handle_##o##__##point(lonelypsp_handle_##o##_begin(block)))
#define LEAVE(o, block, error) lonelypsp_handle_##o##_leave(block, error)

static void log_change(struct change *c, unsigned status, const char *outcome)
{
	struct ps_line line;

	c->logged = true;
	ps_log_begin(&line, c->b->log, c->verb.subscribe ? "subscribe" : "unsubscribe");
	ps_log_word(&line, "kind", c->verb.kind == PS_DB_GLOB ? "glob" : "exact");
	if (c->decoded) {
		ps_log_text(&line, "key", c->m.key);
		ps_log_text(&line, "url", c->m.url);
		ps_log_text(&line, "recovery", c->m.recovery);
	}
	ps_log_number(&line, "begin", c->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void refuse(struct change *c, unsigned status, const char *outcome)
{
	log_change(c, status, outcome);
	ps_server_answer(c->request, status, ps_bytes(NULL, 0));
}

static void received(struct change *c)
{
	EACH(c, BEGIN, received);
}

static void bad_request(struct change *c)
{
	EACH(c, END, auth_result, bad_request);
	refuse(c, 400, "bad_request");
}

static void bad_auth_result(struct change *c, enum ps_auth_result result)
{
	EACH(c, END, auth_result, bad_auth_result, result);
	refuse(c, ps_auth_result_to_status(result), ps_auth_result_to_str(result));
}

static void already_subscribed(struct change *c)
{
	if (c->verb.kind == PS_DB_EXACT)
		END(subscribe_exact, &c->op.subscribe_exact, store_result, already_subscribed);
	else
		END(subscribe_glob, &c->op.subscribe_glob, store_result, already_subscribed);
	refuse(c, 409, "conflict");
}

static void not_subscribed(struct change *c)
{
	if (c->verb.kind == PS_DB_EXACT)
		END(unsubscribe_exact, &c->op.unsubscribe_exact, store_result, not_subscribed);
	else
		END(unsubscribe_glob, &c->op.unsubscribe_glob, store_result, not_subscribed);
	refuse(c, 409, "conflict");
}

static void unavailable(struct change *c)
{
	EACH(c, END, store_result, unavailable);
	refuse(c, 503, "unavailable");
}

static void sending_response(struct change *c)
{
	struct ps_response a = {.type = PS_RESPONSE_GENERIC};
	struct ps_signed s = {.kind = c->verb.kind == PS_DB_GLOB ? PS_KIND_CONFIRM_SUBSCRIBE_GLOB
								 : PS_KIND_CONFIRM_SUBSCRIBE_EXACT,
			      .url = c->m.url,
			      .recovery = c->m.recovery,
			      .key = c->m.key};

	struct outspan_context context;
	struct ps_tracing tracing;

	EACH(c, END, sending_response, sending_response, &context);
	context.valid &= c->context.valid; /* answered with one only if asked with one */
	a.tracing = s.tracing = ps_trace_bytes(&tracing, &context);
	ps_answer_signed(c->request, &a, &c->b->auth->to_subscriber, &s);
	log_change(c, c->request->status, c->request->status == 200 ? "ok" : "failed");
}

static void stored(struct change *c)
{
	EACH(c, STEP, store_result, stored);
	sending_response(c);
}

static int change_row(struct change *c)
{
	return c->verb.subscribe
		       ? ps_db_subscribe(c->b->db, c->verb.kind, c->m.url, c->m.key, c->m.recovery)
		       : ps_db_unsubscribe(c->b->db, c->verb.kind, c->m.url, c->m.key);
}

static void auth_accepted(struct change *c, struct ps_bytes stamp)
{
	int r;

	EACH(c, STEP, auth_result, auth_accepted, c->m.url.data, c->m.url.size, c->m.recovery.data,
	     c->m.recovery.size, c->m.key.data, c->m.key.size, stamp.data, stamp.size, &c->context);
	r = change_row(c);
	if (r == -EEXIST)
		already_subscribed(c);
	else if (r == -ENOENT)
		not_subscribed(c);
	else if (r)
		unavailable(c);
	else
		stored(c);
}

/* ---- the request's life ---------------------------------------------------------------------- */

static int begin(struct ps_request *r, void *owner, struct verb verb)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->b = owner;
	c->request = r;
	c->verb = verb;
	c->begin_ns = ps_system_wall_ns();
	c->body.max = PS_SUBSCRIBE_MAX;
	r->state = c;
	received(c);
	return 0;
}

static int begin_subscribe_exact(struct ps_request *r, void *owner)
{
	return begin(r, owner, (struct verb){true, PS_DB_EXACT});
}

static int begin_subscribe_glob(struct ps_request *r, void *owner)
{
	return begin(r, owner, (struct verb){true, PS_DB_GLOB});
}

static int begin_unsubscribe_exact(struct ps_request *r, void *owner)
{
	return begin(r, owner, (struct verb){false, PS_DB_EXACT});
}

static int begin_unsubscribe_glob(struct ps_request *r, void *owner)
{
	return begin(r, owner, (struct verb){false, PS_DB_GLOB});
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct change *c = r->state;

	if (!c->overflow && osp_buffer_add(&c->body, part.data, part.size))
		c->overflow = true;
}

static bool is_acceptable(const struct change *c)
{
	return !ps_url_check(c->m.url) && (!c->m.recovery.size || !ps_url_check(c->m.recovery)) &&
	       (c->verb.kind == PS_DB_EXACT || ps_db_is_glob(c->m.key));
}

static void check_authorization(struct change *c)
{
	const struct ps_auth *a = c->b->auth;
	struct ps_signed s = {.kind = c->verb.kind == PS_DB_GLOB ? PS_KIND_SUBSCRIBE_GLOB
								 : PS_KIND_SUBSCRIBE_EXACT,
			      .tracing = c->m.tracing,
			      .url = c->m.url,
			      .recovery = c->m.recovery,
			      .key = c->m.key};
	struct ps_bytes given = ps_bytes_text(ps_server_header(c->request, "Authorization"));
	enum ps_auth_result result = ps_auth_check(a, &a->to_broadcaster, given, &s);

	if (result != PS_AUTH_OK)
		bad_auth_result(c, result);
	else
		auth_accepted(c, ps_auth_stamp_of(given));
}

static void end(struct ps_request *r)
{
	struct change *c = r->state;
	struct ps_bytes bytes = ps_bytes(c->body.data, c->body.size);

	c->decoded = !c->overflow &&
		     !ps_message_decode_subscribe(&c->m, bytes, c->verb.kind == PS_DB_GLOB,
						  c->verb.subscribe);
	if (c->decoded)
		ps_trace_read(&c->context, c->m.tracing);
	if (!c->decoded || !is_acceptable(c))
		bad_request(c);
	else
		check_authorization(c);
}

static void gone(struct ps_request *r)
{
	struct change *c = r->state;

	if (!c->logged)
		log_change(c, r->status, "canceled");
	EACH(c, LEAVE, ECANCELED);
	osp_buffer_clear(&c->body);
	free(c);
}

const struct ps_route ps_route_subscribe_exact = {"/v1/subscribe/exact", begin_subscribe_exact,
						  body, end, gone};
const struct ps_route ps_route_subscribe_glob = {"/v1/subscribe/glob", begin_subscribe_glob, body,
						 end, gone};
const struct ps_route ps_route_unsubscribe_exact = {"/v1/unsubscribe/exact",
						    begin_unsubscribe_exact, body, end, gone};
const struct ps_route ps_route_unsubscribe_glob = {"/v1/unsubscribe/glob", begin_unsubscribe_glob,
						   body, end, gone};
