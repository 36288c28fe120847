/*
 * Asking a broadcaster and, if it fails, the next: the part of the subscriber's operations that
 * is the same in all of them. Fed by those, uses the HTTP client; each attempt is signed anew.
 * Owns the plan, the call and its buffers.
 */
#include "probes/pubsub/ps_ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "probes/pubsub/ps_subscriber.h"

static void attempt(struct ps_ask *a);

void ps_ask_finish(struct ps_ask *a, enum ps_outcome outcome, const char *reason)
{
	a->outcome = outcome;
	a->reason = reason;
	a->status = a->call.status;
	a->done(a);
}

static void fail(struct ps_timer *t)
{
	struct ps_ask *a = t->owner;

	a->points->leave(a->op, EIO);
	ps_ask_finish(a, PS_OUTCOME_FAILED, "failed");
}

static void fail_later(struct ps_ask *a)
{
	a->wait = (struct ps_timer){.expired = fail, .owner = a};
	ps_loop_arm(a->s->loop, &a->wait, 0);
}

/* ---- retrying -------------------------------------------------------------------------------- */

static void retry_prevented(struct ps_ask *a)
{
	a->points->retry_prevented(a->op);
	ps_ask_finish(a, PS_OUTCOME_PREVENTED, a->reason);
}

static void retries_exhausted(struct ps_ask *a)
{
	a->points->retries_exhausted(a->op);
	ps_ask_finish(a, PS_OUTCOME_EXHAUSTED, a->reason);
}

static void retrying(struct ps_ask *a)
{
	a->points->retrying(a->op);
	attempt(a);
}

static void waited(struct ps_timer *t)
{
	retrying(t->owner);
}

static void waiting_to_retry(struct ps_ask *a, int64_t wait_ns)
{
	a->points->waiting_to_retry(a->op);
	a->wait = (struct ps_timer){.expired = waited, .owner = a};
	ps_loop_arm(a->s->loop, &a->wait, wait_ns);
}

void ps_ask_retry(struct ps_ask *a, const char *reason)
{
	int64_t wait_ns;

	a->reason = reason;
	a->broadcaster = ps_retry_next(&a->retry, &wait_ns);
	if (!a->broadcaster)
		retries_exhausted(a);
	else if (wait_ns)
		waiting_to_retry(a, wait_ns);
	else
		retrying(a);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void network_error(struct ps_ask *a)
{
	bool ambiguous = a->call.error != -ECONNREFUSED && a->call.error != -EHOSTUNREACH;
	const char *reason = a->call.error == -ETIMEDOUT ? "timeout" : "network_error";

	a->points->network_error(a->op);
	if (ambiguous && !a->s->options.retry_ambiguous) {
		a->reason = reason;
		retry_prevented(a);
	} else {
		ps_ask_retry(a, reason);
	}
}

static void response_received(struct ps_call *call)
{
	struct ps_ask *a = call->owner;

	a->points->response_received(a->op, (uint16_t)call->status);
}

static void retryable_status(struct ps_ask *a)
{
	a->points->retryable_status(a->op);
	ps_ask_retry(a, "unavailable");
}

static void refused_status(struct ps_ask *a)
{
	a->points->refused_status(a->op);
	ps_ask_finish(a, PS_OUTCOME_REFUSED, "refused");
}

static void take_answer(struct ps_ask *a)
{
	struct ps_bytes body = ps_bytes(a->call.answer.data, a->call.answer.size);
	unsigned status = a->call.status;
	struct ps_response r;

	if (status >= 502 && status <= 504)
		retryable_status(a);
	else if (status == 409 && a->conflict)
		a->conflict(a);
	else if (status < 200 || status > 299)
		refused_status(a);
	else if (a->call.error || ps_message_decode_response(&r, body))
		a->accepted(a, NULL);
	else
		a->accepted(a, &r);
}

static void call_done(struct ps_call *call)
{
	struct ps_ask *a = call->owner;

	if (call->status)
		take_answer(a);
	else
		network_error(a);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void start_call(struct ps_ask *a)
{
	a->call.url = ps_bytes_text(a->url);
	a->call.authorization = a->authorization.size ? osp_buffer_text(&a->authorization) : NULL;
	a->call.head = ps_bytes(a->body.data, a->body.size);
	a->call.answered = response_received;
	a->call.done = call_done;
	a->call.owner = a;
	ps_client_start(a->s->client, &a->call);
}

static int set_url(struct ps_ask *a)
{
	char *text;

	if (asprintf(&text, "%s%s", a->broadcaster, a->path) < 0)
		return -ENOMEM;
	free(a->url);
	a->url = text;
	return 0;
}

static void attempt(struct ps_ask *a)
{
	a->attempts++;
	a->call.status = 0;
	a->authorization.max = PS_TOPIC_MAX;
	osp_buffer_reset(&a->body);
	osp_buffer_reset(&a->authorization);
	if (set_url(a) || a->send(a))
		fail_later(a);
	else
		start_call(a);
}

void ps_ask_start(struct ps_ask *a)
{
	const struct ps_subscriber_options *o = &a->s->options;
	int64_t wait_ns;

	a->reason = "none";
	if (ps_retry_init(&a->retry, o->broadcasters, o->broadcaster_count, o->passes)) {
		fail_later(a);
		return;
	}
	a->broadcaster = ps_retry_next(&a->retry, &wait_ns);
	attempt(a);
}

void ps_ask_clear(struct ps_ask *a)
{
	if (!a->s)
		return;
	ps_loop_disarm(a->s->loop, &a->wait);
	ps_client_clear(&a->call);
	ps_retry_clear(&a->retry);
	osp_buffer_clear(&a->body);
	osp_buffer_clear(&a->authorization);
	free(a->url);
	a->url = NULL;
}
