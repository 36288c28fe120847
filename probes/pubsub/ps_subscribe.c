/*
 * SUBSCRIBE and UNSUBSCRIBE, exact and glob, at the subscriber: four operations over one
 * automaton, by reference count alone, by one request (ps_ask.c), or by a request for the whole
 * set (ps_set.c). Fed by the subscriber's queue, one change at a time. The table is changed when
 * a change is decided, so that a message that overtakes the answer is wanted already, and changed
 * back when it fails.
 */
#include "probes/pubsub/ps_subscribe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

/* One statement of the four that `make` spells for an operation, the one of this change. */
#define EACH(c, make, ...)                                                                         \
	do {                                                                                       \
		if ((c)->result.subscribe && (c)->result.kind == PS_DB_EXACT)                      \
			make(subscribe_exact, &(c)->op.subscribe_exact, __VA_ARGS__);              \
		else if ((c)->result.subscribe)                                                    \
			make(subscribe_glob, &(c)->op.subscribe_glob, __VA_ARGS__);                \
		else if ((c)->result.kind == PS_DB_EXACT)                                          \
			make(unsubscribe_exact, &(c)->op.unsubscribe_exact, __VA_ARGS__);          \
		else                                                                               \
			make(unsubscribe_glob, &(c)->op.unsubscribe_glob, __VA_ARGS__);            \
	} while (0)
#define AT(o, block, state) lonelypsp_##o##_at_##state(block)
#define STEP(o, block, state, point, ...)                                                          \
	PS_STEP(lonelypsp_##o##__##point(AT(o, block, state), ##__VA_ARGS__))
#define END(o, block, state, point, ...)                                                           \
	lonelypsp_##o##__##point(AT(o, block, state), ##__VA_ARGS__)
#define BEGIN(o, block, point, ...)                                                                \
	PS_STEP(lonelypsp_##o##__##point(lonelypsp_##o##_begin(block), __VA_ARGS__))
#define LEAVE(o, block, error) lonelypsp_##o##_leave(block, error)

PS_ASK_POINTS(subscribe_exact, change_);
PS_ASK_POINTS(subscribe_glob, change_);
PS_ASK_POINTS(unsubscribe_exact, change_);
PS_ASK_POINTS(unsubscribe_glob, change_);

/* ---- the end of a change --------------------------------------------------------------------- */

static void log_change(struct ps_change *c)
{
	struct ps_line line;

	ps_log_begin(&line, c->s->log, c->result.subscribe ? "subscribe" : "unsubscribe");
	ps_log_word(&line, "kind", c->result.kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_text(&line, "key", c->result.key);
	ps_log_word(&line, "url", c->s->receive_url);
	ps_log_number(&line, "begin", c->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "attempts", c->ask.attempts);
	ps_log_number(&line, "status", c->result.status);
	ps_log_number(&line, "count", c->result.count);
	ps_log_word(&line, "outcome", ps_outcome_to_str(c->result.outcome));
	ps_log_end(&line);
}

/* Takes back what ps_change_determine did to the table. */
static void restore_count(struct ps_change *c)
{
	struct ps_subscription *x = ps_subscriber_find(c->s, c->result.kind, c->result.key);

	if (c->result.subscribe && x)
		ps_subscriber_remove(c->s, x);
	else if (!c->result.subscribe && !x &&
		 !ps_subscriber_add(c->s, c->result.kind, c->result.key, &x))
		x->count = 1;
}

static void finish(struct ps_change *c, enum ps_outcome outcome)
{
	struct ps_subscription *x = ps_subscriber_find(c->s, c->result.kind, c->result.key);

	c->result.outcome = outcome;
	if (!ps_changed_is_success(&c->result)) {
		if (c->determined)
			restore_count(c);
		c->result.count = !c->result.subscribe;
	} else if (x) {
		x->pending = false;
	}
	log_change(c);
	ps_turns_finish(&c->s->turns, &c->turn);
}

static void drop(struct ps_turn *t)
{
	struct ps_change *c = t->change;

	EACH(c, LEAVE, ECANCELED);
	ps_ask_clear(&c->ask);
	ps_set_clear(&c->set);
	free(c);
}

static void over(struct ps_turn *t)
{
	struct ps_change *c = t->change;

	c->done(c->owner, &c->result);
	drop(t);
}

static void asked(struct ps_ask *a)
{
	struct ps_change *c = a->owner;

	c->result.status = a->status;
	c->result.reason = a->reason;
	finish(c, a->outcome);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void conflict_accepted(struct ps_ask *a)
{
	struct ps_change *c = a->owner;

	EACH(c, END, change_response_auth_result, conflict_accepted);
	ps_ask_finish(a, PS_OUTCOME_CONFLICT, "none");
}

static void bad_response(struct ps_change *c)
{
	EACH(c, STEP, change_response_auth_result, bad_response);
	ps_ask_retry(&c->ask, "bad_response");
}

static void bad_auth_result(struct ps_change *c, enum ps_auth_result result)
{
	EACH(c, STEP, change_response_auth_result, bad_auth_result, result);
	ps_ask_retry(&c->ask, "bad_auth");
}

static void response_generic_accepted(struct ps_change *c, const struct ps_response *a)
{
	struct outspan_context context;

	ps_trace_read(&context, a->tracing);
	EACH(c, END, change_response_auth_result, response_generic_accepted, &context);
	ps_ask_finish(&c->ask, PS_OUTCOME_OK, "none");
}

static struct ps_bytes recovery_of(const struct ps_change *c)
{
	return ps_bytes_text(c->result.subscribe ? c->s->recover_url : NULL);
}

static void check_confirmation(struct ps_change *c, const struct ps_response *a)
{
	const struct ps_auth *auth = c->s->auth;
	struct ps_signed m = {.kind = c->result.kind == PS_DB_GLOB
					      ? PS_KIND_CONFIRM_SUBSCRIBE_GLOB
					      : PS_KIND_CONFIRM_SUBSCRIBE_EXACT,
			      .tracing = a->tracing,
			      .url = ps_bytes_text(c->s->receive_url),
			      .recovery = recovery_of(c),
			      .key = c->result.key};
	enum ps_auth_result result =
		ps_auth_check(auth, &auth->to_subscriber, a->authorization, &m);

	if (result != PS_AUTH_OK)
		bad_auth_result(c, result);
	else
		response_generic_accepted(c, a);
}

static void take_answer(struct ps_ask *a, const struct ps_response *r)
{
	struct ps_change *c = a->owner;

	if (r && r->type == PS_RESPONSE_GENERIC)
		check_confirmation(c, r);
	else
		bad_response(c);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int encode_request(struct ps_change *c, struct ps_bytes tracing,
			  const struct ps_stamp *stamp)
{
	struct ps_subscribe m = {ps_bytes_text(c->s->receive_url), c->result.key, recovery_of(c),
				 tracing};
	struct ps_signed s = {.kind = c->result.kind == PS_DB_GLOB ? PS_KIND_SUBSCRIBE_GLOB
								   : PS_KIND_SUBSCRIBE_EXACT,
			      .tracing = tracing,
			      .url = m.url,
			      .recovery = m.recovery,
			      .key = m.key};
	int r;

	c->ask.body.max = PS_SUBSCRIBE_MAX;
	r = ps_message_encode_subscribe(&c->ask.body, &m, c->result.subscribe);
	return r ? r : ps_auth_sign(&c->ask.authorization, &c->s->auth->to_broadcaster, &s, stamp);
}

static int sending_request(struct ps_ask *a)
{
	struct ps_change *c = a->owner;
	struct ps_bytes recovery = recovery_of(c), key = c->result.key;
	struct outspan_context context;
	struct ps_tracing tracing;
	struct ps_stamp stamp;
	int r = ps_auth_stamp(&stamp, &c->s->auth->to_broadcaster);

	EACH(c, STEP, change_sending, sending_request, a->broadcaster, strlen(a->broadcaster),
	     c->s->receive_url, strlen(c->s->receive_url), recovery.data, recovery.size, key.data,
	     key.size, stamp.text, strlen(stamp.text), &context);
	return r ? r : encode_request(c, ps_trace_bytes(&tracing, &context), &stamp);
}

/* The path and the points of the operation. */
#define SET_WAY(o, block, way)                                                                     \
	do {                                                                                       \
		(way)->points = &o##_points;                                                       \
		(way)->op = (block);                                                               \
	} while (0)

static const char *path_of(const struct ps_change *c)
{
	static const char *const paths[2][PS_DB_KINDS] = {
		{"/v1/unsubscribe/exact", "/v1/unsubscribe/glob"},
		{"/v1/subscribe/exact", "/v1/subscribe/glob"},
	};

	return paths[c->result.subscribe][c->result.kind];
}

static void run_direct(struct ps_change *c)
{
	EACH(c, STEP, change_locked, lock_acquired_in_change_locked);
	c->ask = (struct ps_ask){.s = c->s,
				 .path = path_of(c),
				 .send = sending_request,
				 .accepted = take_answer,
				 .conflict = conflict_accepted,
				 .done = asked,
				 .owner = c};
	EACH(c, SET_WAY, &c->ask);
	ps_ask_start(&c->ask);
}

/* ---- by the whole set ------------------------------------------------------------------------ */

/* The next one in the queue that goes with it. */
static struct ps_change *next_with(const struct ps_change *c)
{
	const struct ps_turn *t = c->turn.next;

	while (t && !(t->change && t->change->together && t->change->bulk &&
		      t->change->result.subscribe))
		t = t->next;
	return c->together && t ? t->change : NULL;
}

static bool is_of(const struct ps_change *c, enum ps_db_kind kind, struct ps_bytes key)
{
	return c->result.kind == kind && ps_bytes_equal(c->result.key, key);
}

bool ps_change_includes(const struct ps_change *c, enum ps_db_kind kind, struct ps_bytes key)
{
	while (c && !is_of(c, kind, key))
		c = next_with(c);
	return c;
}

static void take_result(struct ps_change *c, const struct ps_ask *a)
{
	if (a->outcome == PS_OUTCOME_OK)
		EACH(c, END, change_bulk_done, bulk_accepted);
	else
		EACH(c, END, change_bulk_done, bulk_failed);
	c->ask.attempts = a->attempts;
	c->result.status = a->status;
	c->result.reason = a->reason;
	c->result.outcome = a->outcome;
}

static void lock_acquired(struct ps_change *c)
{
	EACH(c, STEP, change_bulk_locked, lock_acquired_in_change_bulk_locked);
}

/* Those that go with it have their result before it is over, since that lets the next one run. */
static void set_done(struct ps_set_request *q)
{
	struct ps_change *c = q->owner;

	take_result(c, &q->ask);
	for (struct ps_change *with = next_with(c); with; with = next_with(with)) {
		lock_acquired(with);
		take_result(with, &q->ask);
		with->covered = true;
	}
	finish(c, q->ask.outcome);
}

#define SET_PARENT(o, b, request) (request)->parent = &(b)->head

static void run_bulk(struct ps_change *c)
{
	lock_acquired(c);
	c->set = (struct ps_set_request){.s = c->s, .change = c, .done = set_done, .owner = c};
	EACH(c, SET_PARENT, &c->set);
	ps_set_start(&c->set);
}

static void run(struct ps_turn *t)
{
	struct ps_change *c = t->change;

	if (!c->determined && ps_change_determine(c))
		return;
	if (c->covered)
		finish(c, c->result.outcome);
	else if (c->bulk)
		run_bulk(c);
	else
		run_direct(c);
}

/* ---- deciding -------------------------------------------------------------------------------- */

static void refcount_only(struct ps_change *c, uint32_t count)
{
	EACH(c, END, change_technique_determined, refcount_only, count);
	c->result.count = count;
	finish(c, PS_OUTCOME_COUNTED);
}

static void use_direct(struct ps_change *c)
{
	EACH(c, STEP, change_technique_determined, use_direct);
}

static void use_bulk(struct ps_change *c)
{
	const uint32_t *counts = c->s->counts;

	EACH(c, STEP, change_technique_determined, use_bulk, counts[PS_DB_EXACT],
	     counts[PS_DB_GLOB]);
	c->bulk = true;
}

/* Upstream's rule: the whole set costs about 128 bytes each, a request about 65536 for each change. */
static bool prefers_bulk(const struct ps_change *c)
{
	const struct ps_subscriber *s = c->s;

	return s->options.bulk == PS_BULK_ALWAYS ||
	       (s->options.bulk == PS_BULK_AUTO &&
		128 * s->subscriptions.count <= 65536 * (c->together ? s->turns.count : 1));
}

static void use_request(struct ps_change *c, uint32_t count)
{
	c->result.count = count;
	if (prefers_bulk(c))
		use_bulk(c);
	else
		use_direct(c);
}

static void start(struct ps_change *c)
{
	EACH(c, BEGIN, start, c->result.key.data, c->result.key.size);
}

static void refuse(struct ps_change *c, const char *reason)
{
	c->determined = false;
	c->result.reason = reason;
	finish(c, PS_OUTCOME_FAILED);
}

static bool determine_subscribe(struct ps_change *c)
{
	struct ps_subscription *x = ps_subscriber_find(c->s, c->result.kind, c->result.key);

	if (x) {
		start(c);
		refcount_only(c, ++x->count);
		return true;
	}
	if (ps_subscriber_add(c->s, c->result.kind, c->result.key, &x)) {
		refuse(c, "full");
		return true;
	}
	x->count = 1;
	x->pending = true;
	start(c);
	use_request(c, 1);
	return false;
}

static bool determine_unsubscribe(struct ps_change *c)
{
	struct ps_subscription *x = ps_subscriber_find(c->s, c->result.kind, c->result.key);

	if (!x) {
		refuse(c, "not_subscribed");
		return true;
	}
	start(c);
	if (x->count > 1) {
		refcount_only(c, --x->count);
		return true;
	}
	ps_subscriber_remove(c->s, x);
	use_request(c, 0);
	return false;
}

bool ps_change_determine(struct ps_change *c)
{
	c->determined = true;
	return c->result.subscribe ? determine_subscribe(c) : determine_unsubscribe(c);
}

struct ps_change *ps_change_new(struct ps_subscriber *s, bool subscribe, enum ps_db_kind kind,
				struct ps_bytes key)
{
	struct ps_change *c = calloc(1, sizeof(*c) + key.size);

	if (!c)
		return NULL;
	c->turn = (struct ps_turn){.run = run, .over = over, .drop = drop, .change = c};
	c->s = s;
	if (key.size)
		memcpy(c->key, key.data, key.size);
	c->result = (struct ps_changed){
		subscribe, kind, ps_bytes(c->key, key.size), PS_OUTCOME_FAILED, 0, "none", 0};
	c->begin_ns = ps_system_wall_ns();
	return c;
}
