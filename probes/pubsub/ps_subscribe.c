/*
 * SUBSCRIBE and UNSUBSCRIBE, exact and glob, at the subscriber: four operations over one
 * automaton, by reference count alone or by one request that is tried until a broadcaster
 * answers it. Fed by the subscriber's queue, one change at a time; each attempt is signed anew.
 * The table is changed when a change is decided, so that a message that overtakes the answer is
 * wanted already, and changed back when it fails.
 */
#include "probes/pubsub/ps_subscribe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

static void attempt(struct ps_change *c);

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
	ps_log_number(&line, "attempts", c->attempts);
	ps_log_number(&line, "status", c->call.status);
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
	c->result.outcome = outcome;
	c->result.status = c->call.status;
	if (!ps_changed_is_success(&c->result)) {
		if (c->determined)
			restore_count(c);
		c->result.count = !c->result.subscribe;
	}
	log_change(c);
	ps_subscriber_finish_change(c);
}

void ps_change_free(struct ps_change *c)
{
	EACH(c, LEAVE, ECANCELED);
	ps_loop_disarm(c->s->loop, &c->wait);
	ps_client_clear(&c->call);
	ps_retry_clear(&c->retry);
	osp_buffer_clear(&c->body);
	osp_buffer_clear(&c->authorization);
	free(c->url);
	free(c);
}

static void fail(struct ps_timer *t)
{
	struct ps_change *c = t->owner;

	EACH(c, LEAVE, EIO);
	c->result.reason = "failed";
	finish(c, PS_OUTCOME_FAILED);
}

static void fail_later(struct ps_change *c)
{
	c->wait = (struct ps_timer){.expired = fail, .owner = c};
	ps_loop_arm(c->s->loop, &c->wait, 0);
}

/* ---- retrying -------------------------------------------------------------------------------- */

static void retry_prevented(struct ps_change *c)
{
	EACH(c, END, retry_determined, retry_prevented);
	finish(c, PS_OUTCOME_PREVENTED);
}

static void retries_exhausted(struct ps_change *c)
{
	EACH(c, END, retry_determined, retries_exhausted);
	finish(c, PS_OUTCOME_EXHAUSTED);
}

static void retrying(struct ps_change *c)
{
	EACH(c, STEP, retry_determined, retrying);
	attempt(c);
}

static void waited(struct ps_timer *t)
{
	retrying(t->owner);
}

static void waiting_to_retry(struct ps_change *c, int64_t wait_ns)
{
	EACH(c, STEP, retry_determined, waiting_to_retry);
	c->wait = (struct ps_timer){.expired = waited, .owner = c};
	ps_loop_arm(c->s->loop, &c->wait, wait_ns);
}

static void determine_retry(struct ps_change *c)
{
	int64_t wait_ns;

	c->broadcaster = ps_retry_next(&c->retry, &wait_ns);
	if (!c->broadcaster)
		retries_exhausted(c);
	else if (wait_ns)
		waiting_to_retry(c, wait_ns);
	else
		retrying(c);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void network_error(struct ps_change *c)
{
	bool ambiguous = c->call.error != -ECONNREFUSED && c->call.error != -EHOSTUNREACH;

	EACH(c, STEP, change_response_received, network_error);
	c->result.reason = c->call.error == -ETIMEDOUT ? "timeout" : "network_error";
	if (ambiguous && !c->s->options.retry_ambiguous)
		retry_prevented(c);
	else
		determine_retry(c);
}

static void response_received(struct ps_call *call)
{
	struct ps_change *c = call->owner;

	EACH(c, STEP, change_response_received, response_received, (uint16_t)call->status);
}

static void retryable_status(struct ps_change *c)
{
	EACH(c, STEP, change_response_auth_result, retryable_status);
	c->result.reason = "unavailable";
	determine_retry(c);
}

static void conflict_accepted(struct ps_change *c)
{
	EACH(c, END, change_response_auth_result, conflict_accepted);
	finish(c, PS_OUTCOME_CONFLICT);
}

static void refused_status(struct ps_change *c)
{
	EACH(c, END, change_response_auth_result, refused_status);
	c->result.reason = "refused";
	finish(c, PS_OUTCOME_REFUSED);
}

static void bad_response(struct ps_change *c)
{
	EACH(c, STEP, change_response_auth_result, bad_response);
	c->result.reason = "bad_response";
	determine_retry(c);
}

static void bad_auth_result(struct ps_change *c, enum ps_auth_result result)
{
	EACH(c, STEP, change_response_auth_result, bad_auth_result, result);
	c->result.reason = "bad_auth";
	determine_retry(c);
}

static void response_generic_accepted(struct ps_change *c, const struct ps_response *a)
{
	struct outspan_context context;

	ps_trace_read(&context, a->tracing);
	EACH(c, END, change_response_auth_result, response_generic_accepted, &context);
	finish(c, PS_OUTCOME_OK);
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

static void take_answer(struct ps_change *c)
{
	struct ps_bytes body = ps_bytes(c->call.answer.data, c->call.answer.size);
	unsigned status = c->call.status;
	struct ps_response a;

	if (status >= 502 && status <= 504)
		retryable_status(c);
	else if (status == 409)
		conflict_accepted(c);
	else if (status < 200 || status > 299)
		refused_status(c);
	else if (c->call.error || ps_message_decode_response(&a, body) ||
		 a.type != PS_RESPONSE_GENERIC)
		bad_response(c);
	else
		check_confirmation(c, &a);
}

static void call_done(struct ps_call *call)
{
	struct ps_change *c = call->owner;

	if (call->status)
		take_answer(c);
	else
		network_error(c);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int encode_request(struct ps_change *c, struct ps_bytes tracing)
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

	c->body.max = PS_SUBSCRIBE_MAX;
	c->authorization.max = PS_TOPIC_MAX;
	osp_buffer_reset(&c->body);
	osp_buffer_reset(&c->authorization);
	r = ps_message_encode_subscribe(&c->body, &m, c->result.subscribe);
	return r ? r : ps_auth_authorize(&c->authorization, &c->s->auth->to_broadcaster, &s);
}

static void start_call(struct ps_change *c)
{
	c->call.url = ps_bytes_text(c->url);
	c->call.authorization = c->authorization.size ? osp_buffer_text(&c->authorization) : NULL;
	c->call.head = ps_bytes(c->body.data, c->body.size);
	c->call.answered = response_received;
	c->call.done = call_done;
	c->call.owner = c;
	ps_client_start(c->s->client, &c->call);
}

static void sending_request(struct ps_change *c)
{
	struct ps_bytes recovery = recovery_of(c), key = c->result.key;
	struct outspan_context context;
	struct ps_tracing tracing;

	EACH(c, STEP, change_sending, sending_request, c->broadcaster, strlen(c->broadcaster),
	     c->s->receive_url, strlen(c->s->receive_url), recovery.data, recovery.size, key.data,
	     key.size, &context);
	if (encode_request(c, ps_trace_bytes(&tracing, &context)))
		fail_later(c);
	else
		start_call(c);
}

static int set_url(struct ps_change *c)
{
	char *text;

	if (asprintf(&text, "%s/v1/%s/%s", c->broadcaster,
		     c->result.subscribe ? "subscribe" : "unsubscribe",
		     c->result.kind == PS_DB_GLOB ? "glob" : "exact") < 0)
		return -ENOMEM;
	free(c->url);
	c->url = text;
	return 0;
}

static void attempt(struct ps_change *c)
{
	c->attempts++;
	c->call.status = 0;
	if (set_url(c))
		fail_later(c);
	else
		sending_request(c);
}

static void lock_acquired(struct ps_change *c)
{
	const struct ps_subscriber_options *o = &c->s->options;
	int64_t wait_ns;

	EACH(c, STEP, change_locked, lock_acquired_in_change_locked);
	if (ps_retry_init(&c->retry, o->broadcasters, o->broadcaster_count, o->passes)) {
		fail_later(c);
		return;
	}
	c->broadcaster = ps_retry_next(&c->retry, &wait_ns);
	attempt(c);
}

void ps_change_run(struct ps_change *c)
{
	lock_acquired(c);
}

/* ---- deciding -------------------------------------------------------------------------------- */

static void refcount_only(struct ps_change *c, uint32_t count)
{
	EACH(c, END, change_technique_determined, refcount_only, count);
	c->result.count = count;
	finish(c, PS_OUTCOME_COUNTED);
}

static void use_direct(struct ps_change *c, uint32_t count)
{
	EACH(c, STEP, change_technique_determined, use_direct);
	c->result.count = count;
}

static void start(struct ps_change *c)
{
	EACH(c, BEGIN, start, c->result.key.data, c->result.key.size);
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
		c->determined = false;
		c->result.reason = "full";
		finish(c, PS_OUTCOME_FAILED);
		return true;
	}
	x->count = 1;
	start(c);
	use_direct(c, 1);
	return false;
}

static bool determine_unsubscribe(struct ps_change *c)
{
	struct ps_subscription *x = ps_subscriber_find(c->s, c->result.kind, c->result.key);

	if (!x) {
		c->determined = false;
		c->result.reason = "not_subscribed";
		finish(c, PS_OUTCOME_FAILED);
		return true;
	}
	start(c);
	if (x->count > 1) {
		refcount_only(c, --x->count);
		return true;
	}
	ps_subscriber_remove(c->s, x);
	use_direct(c, 0);
	return false;
}

bool ps_change_determine(struct ps_change *c)
{
	c->determined = true;
	return c->result.subscribe ? determine_subscribe(c) : determine_unsubscribe(c);
}
