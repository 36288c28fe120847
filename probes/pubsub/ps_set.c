/*
 * SET_SUBSCRIPTIONS at the subscriber: the set is gathered from its table, sorted, hashed to its
 * etag and sent until a broadcaster answers. Fed by changes in bulk (ps_subscribe.c), by leaving
 * and by repairs (ps_check.c). Owns the lists of a request.
 */
#include "probes/pubsub/ps_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_etag.h"
#include "probes/pubsub/ps_subscribe.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

PS_ASK_POINTS(set_subscriptions, );

/* ---- the lists ------------------------------------------------------------------------------- */

struct member {
	enum ps_db_kind kind;
	struct ps_bytes key; /* borrowed from the table or a change */
};

static int compare(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return x->kind != y->kind ? (int)x->kind - (int)y->kind : ps_bytes_compare(x->key, y->key);
}

/* A request that was decided and not sent: the broadcaster has this until then. */
static bool leaves_later(const struct ps_turn *t, const struct ps_change *change)
{
	const struct ps_change *c = t->change;

	return c && c != change && c->determined && !c->result.subscribe;
}

static size_t gather(const struct ps_subscriber *s, const struct ps_change *change,
		     struct member *out)
{
	struct ps_subscription *x;
	size_t n = 0;

	for (size_t i = 0; (x = osp_map_next(&s->subscriptions, &i));) {
		struct ps_bytes key = ps_bytes(x->key, x->key_size);

		if (!x->pending || (change && ps_change_includes(change, x->kind, key)))
			out[n++] = (struct member){x->kind, key};
	}
	for (const struct ps_turn *t = s->turns.first; t; t = t->next)
		if (leaves_later(t, change))
			out[n++] = (struct member){t->change->result.kind, t->change->result.key};
	return n;
}

int ps_set_lists(const struct ps_subscriber *s, const struct ps_change *change,
		 struct ps_list_builder lists[PS_DB_KINDS])
{
	struct ps_list_builder built[PS_DB_KINDS] = {{.packed.max = PS_SET_MAX / 2},
						     {.packed.max = PS_SET_MAX / 2}};
	_cleanup_free_ struct member *members =
		calloc(s->subscriptions.count + s->turns.count + 1, sizeof(*members));
	size_t n = members ? gather(s, change, members) : 0;
	int r = members ? 0 : -ENOMEM;

	qsort(members, n, sizeof(*members), compare);
	for (size_t i = 0; i < n && !r; i++) {
		struct ps_entry e = {members[i].key, ps_bytes_text(s->recover_url)};

		r = ps_list_add(&built[members[i].kind], &e);
	}
	if (r) {
		ps_db_clear_lists(built);
		return r;
	}
	for (int k = 0; k < PS_DB_KINDS; k++)
		lists[k] = built[k];
	return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void log_set(struct ps_set_request *q)
{
	struct ps_line line;

	ps_log_begin(&line, q->s->log, "set");
	ps_log_word(&line, "url", q->s->receive_url);
	ps_log_hex(&line, "etag", ps_bytes(q->etag, 8));
	ps_log_number(&line, "exact", q->lists[PS_DB_EXACT].count);
	ps_log_number(&line, "globs", q->lists[PS_DB_GLOB].count);
	ps_log_number(&line, "begin", q->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "attempts", q->ask.attempts);
	ps_log_number(&line, "status", q->ask.status);
	ps_log_word(&line, "outcome", ps_outcome_to_str(q->ask.outcome));
	ps_log_end(&line);
}

static void done(struct ps_ask *a)
{
	struct ps_set_request *q = a->owner;

	log_set(q);
	q->done(q);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void bad_response(struct ps_set_request *q)
{
	PS_STEP(lonelypsp_set_subscriptions__bad_response(
		lonelypsp_set_subscriptions_at_response_auth_result(&q->op)));
	ps_ask_retry(&q->ask, "bad_response");
}

static void bad_auth_result(struct ps_set_request *q, enum ps_auth_result result)
{
	PS_STEP(lonelypsp_set_subscriptions__bad_auth_result(
		lonelypsp_set_subscriptions_at_response_auth_result(&q->op), result));
	ps_ask_retry(&q->ask, "bad_auth");
}

static void response_set_accepted(struct ps_set_request *q, const struct ps_response *r)
{
	struct outspan_context context;

	ps_trace_read(&context, r->tracing);
	lonelypsp_set_subscriptions__response_set_accepted(
		lonelypsp_set_subscriptions_at_response_auth_result(&q->op), &context);
	ps_ask_finish(&q->ask, PS_OUTCOME_OK, "none");
}

static void accepted(struct ps_ask *a, const struct ps_response *r)
{
	struct ps_set_request *q = a->owner;
	const struct ps_auth *auth = q->s->auth;
	struct ps_signed m = {.kind = PS_KIND_SET_RESPONSE, .digest = q->etag};
	enum ps_auth_result result;

	if (!r || r->type != PS_RESPONSE_GENERIC) {
		bad_response(q);
		return;
	}
	m.tracing = r->tracing;
	result = ps_auth_check(auth, &auth->to_subscriber, r->authorization, &m);
	if (result != PS_AUTH_OK)
		bad_auth_result(q, result);
	else
		response_set_accepted(q, r);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int encode_request(struct ps_set_request *q, struct ps_bytes tracing)
{
	struct ps_set m = {.tracing = tracing,
			   .url = ps_bytes_text(q->s->receive_url),
			   .etag = q->etag,
			   .exact = ps_list_of(&q->lists[PS_DB_EXACT]),
			   .globs = ps_list_of(&q->lists[PS_DB_GLOB])};
	struct ps_signed s = {.kind = PS_KIND_SET_SUBSCRIPTIONS,
			      .tracing = tracing,
			      .url = m.url,
			      .digest = q->etag};
	int r;

	q->ask.body.max = PS_SET_MAX;
	r = ps_message_encode_set(&q->ask.body, &m);
	return r ? r : ps_auth_authorize(&q->ask.authorization, &q->s->auth->to_broadcaster, &s);
}

static int sending_request(struct ps_ask *a)
{
	struct ps_set_request *q = a->owner;
	struct outspan_context context;
	struct ps_tracing tracing;

	if (q->error)
		return q->error;
	PS_STEP(lonelypsp_set_subscriptions__sending_request(
		lonelypsp_set_subscriptions_at_sending(&q->op), a->broadcaster,
		strlen(a->broadcaster), q->s->receive_url, strlen(q->s->receive_url), q->etag,
		sizeof(q->etag), &context));
	return encode_request(q, ps_trace_bytes(&tracing, &context));
}

static void etag_computed(struct ps_set_request *q)
{
	PS_STEP(lonelypsp_set_subscriptions__etag_computed(
		lonelypsp_set_subscriptions_at_hashed(&q->op), q->etag, sizeof(q->etag)));
}

static void start(struct ps_set_request *q)
{
	PS_STEP(lonelypsp_set_subscriptions__start(lonelypsp_set_subscriptions_begin(&q->op),
						   q->parent, q->lists[PS_DB_EXACT].count,
						   q->lists[PS_DB_GLOB].count));
}

void ps_set_start(struct ps_set_request *q)
{
	struct ps_list exact, globs;

	q->begin_ns = ps_system_wall_ns();
	q->ask = (struct ps_ask){.s = q->s,
				 .points = &set_subscriptions_points,
				 .op = &q->op,
				 .path = "/v1/set_subscriptions",
				 .send = sending_request,
				 .accepted = accepted,
				 .done = done,
				 .owner = q};
	if (!q->nothing)
		q->error = ps_set_lists(q->s, q->change, q->lists);
	exact = ps_list_of(&q->lists[PS_DB_EXACT]);
	globs = ps_list_of(&q->lists[PS_DB_GLOB]);
	if (!q->error) {
		start(q);
		q->error = ps_etag_of(q->etag, ps_bytes_text(q->s->receive_url), &exact, &globs);
	}
	if (!q->error)
		etag_computed(q);
	ps_ask_start(&q->ask);
}

void ps_set_clear(struct ps_set_request *q)
{
	lonelypsp_set_subscriptions_leave(&q->op, ECANCELED);
	ps_ask_clear(&q->ask);
	ps_db_clear_lists(q->lists);
}

/* ---- leaving --------------------------------------------------------------------------------- */

struct leave {
	struct ps_turn turn;
	struct ps_subscriber *s; /* borrowed: owns this */
	void (*done)(void *owner, const struct ps_changed *c);
	void *owner;
	struct ps_set_request set;
};

static void leave_done(struct ps_set_request *q)
{
	struct leave *l = q->owner;

	ps_turns_finish(&l->s->turns, &l->turn);
}

static void run_leave(struct ps_turn *t)
{
	struct leave *l = (struct leave *)t;

	l->set =
		(struct ps_set_request){.s = l->s, .nothing = true, .done = leave_done, .owner = l};
	ps_set_start(&l->set);
}

static void drop_leave(struct ps_turn *t)
{
	struct leave *l = (struct leave *)t;

	ps_set_clear(&l->set);
	free(l);
}

static void tell(const struct leave *l, const struct osp_map *table, bool gone)
{
	const struct ps_ask *a = &l->set.ask;
	struct ps_subscription *x;

	for (size_t i = 0; (x = osp_map_next(table, &i));) {
		struct ps_changed c = {false,
				       x->kind,
				       ps_bytes(x->key, x->key_size),
				       a->outcome,
				       a->status,
				       a->reason,
				       gone ? 0 : x->count};

		l->done(l->owner, &c);
	}
}

/* All are out of the table before the first is told of. */
static void tell_gone(struct leave *l)
{
	struct osp_map gone = ps_subscriber_take_all(l->s);
	struct ps_subscription *x;

	tell(l, &gone, true);
	for (size_t i = 0; (x = osp_map_next(&gone, &i));)
		free(x);
	osp_map_clear(&gone);
}

static void leave_over(struct ps_turn *t)
{
	struct leave *l = (struct leave *)t;

	if (l->set.ask.outcome == PS_OUTCOME_OK)
		tell_gone(l);
	else
		tell(l, &l->s->subscriptions, false);
	drop_leave(t);
}

int ps_set_leave(struct ps_subscriber *s, void (*done_one)(void *owner, const struct ps_changed *c),
		 void *owner)
{
	struct leave *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->turn = (struct ps_turn){.run = run_leave, .over = leave_over, .drop = drop_leave};
	l->s = s;
	l->done = done_one;
	l->owner = owner;
	ps_turns_push(&s->turns, &l->turn);
	ps_turns_run(&s->turns);
	return 0;
}
