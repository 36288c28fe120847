/*
 * MISSED to one subscriber: sent to its recovery url, judged, and what came of it stored with the
 * mark. A confirmed one takes the mark away and keeps the subscription; a failed one is tried
 * again by the policy; after the last the mark goes and, only if so configured, the
 * subscription. Fed by the sweep; one function per step of the protocol's automaton.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_sweep.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"

/* ---- the end --------------------------------------------------------------------------------- */

/* What is stored in the end, for the log. */
struct ending {
	const char *outcome; /* of the MISSED */
	const char *release;
	int64_t retry_at_ms; /* 0: none */
	bool deleted;
};

static void log_missed(const struct ps_tell *t, const struct ending *e)
{
	const struct ps_row *row = &t->missed.row;
	struct ps_line line;

	ps_log_begin(&line, t->sweep->b->log, "missed");
	ps_log_text(&line, "topic", t->missed.topic);
	ps_log_word(&line, "kind", row->kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_text(&line, "key", row->key);
	ps_log_text(&line, "url", row->url);
	ps_log_text(&line, "recovery", row->recovery);
	ps_log_number(&line, "due", t->missed.due_ms * 1000000);
	ps_log_number(&line, "attempts", t->missed.attempts);
	ps_log_number(&line, "begin", t->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", t->call.status);
	ps_log_word(&line, "outcome", e->outcome);
	ps_log_word(&line, "release", e->release);
	ps_log_number(&line, "deleted", e->deleted);
	if (e->retry_at_ms)
		ps_log_number(&line, "retry", e->retry_at_ms * 1000000);
	ps_log_end(&line);
}

static void clear(struct ps_tell *t)
{
	struct ps_sweep *s = t->sweep;

	lonelypsp_tell_missed_leave(&t->op, ECANCELED);
	ps_loop_disarm(s->b->loop, &t->later);
	ps_client_clear(&t->call);
	ps_db_clear_missed(&t->missed);
	osp_buffer_clear(&t->body);
	osp_buffer_clear(&t->authorization);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	s->tell_count--;
	free(t);
}

static void finish(struct ps_tell *t, const struct ending *e)
{
	struct ps_sweep *s = t->sweep;

	log_missed(t, e);
	clear(t);
	ps_sweep_told(s);
}

/* ---- storing what came of it ----------------------------------------------------------------- */

static void release_ok(struct ps_tell *t, bool deleted)
{
	if (t->confirmed)
		lonelypsp_tell_missed__release_ok_in_release(
			lonelypsp_tell_missed_at_release(&t->op), deleted);
	else
		lonelypsp_tell_missed__release_ok_in_release_unconfirmed(
			lonelypsp_tell_missed_at_release_unconfirmed(&t->op), deleted);
}

static void release_conflict(struct ps_tell *t)
{
	if (t->confirmed)
		lonelypsp_tell_missed__release_conflict_in_release(
			lonelypsp_tell_missed_at_release(&t->op));
	else
		lonelypsp_tell_missed__release_conflict_in_release_unconfirmed(
			lonelypsp_tell_missed_at_release_unconfirmed(&t->op));
}

static void release_unavailable(struct ps_tell *t)
{
	if (t->confirmed)
		lonelypsp_tell_missed__release_unavailable_in_release(
			lonelypsp_tell_missed_at_release(&t->op));
	else
		lonelypsp_tell_missed__release_unavailable_in_release_unconfirmed(
			lonelypsp_tell_missed_at_release_unconfirmed(&t->op));
}

/* `r` is what the database said. */
static void released(struct ps_tell *t, int r, struct ending *e)
{
	if (!r)
		release_ok(t, e->deleted);
	else if (r == -ENOENT)
		release_conflict(t);
	else
		release_unavailable(t);
	e->release = !r ? "ok" : r == -ENOENT ? "conflict" : "unavailable";
	e->deleted &= !r;
	finish(t, e);
}

static void release_mark(struct ps_tell *t, const char *outcome)
{
	struct ending e = {.outcome = outcome};

	t->confirmed = true;
	released(t, ps_db_release_missed(t->sweep->b->db, &t->missed, NULL), &e);
}

/* ---- retrying -------------------------------------------------------------------------------- */

static void waiting_to_retry(struct ps_tell *t, const struct ps_db_retry *retry,
			     const char *outcome)
{
	struct ending e = {.outcome = outcome, .retry_at_ms = retry->at_ms};

	PS_STEP(lonelypsp_tell_missed__waiting_to_retry(
		lonelypsp_tell_missed_at_retry_determined(&t->op), retry->attempts,
		(double)retry->at_ms / 1e3));
	released(t, ps_db_release_missed(t->sweep->b->db, &t->missed, retry), &e);
}

static void retries_exhausted(struct ps_tell *t, const char *outcome)
{
	struct ending e = {.outcome = outcome, .deleted = t->sweep->options.remove_exhausted};
	struct ps_db *db = t->sweep->b->db;

	PS_STEP(lonelypsp_tell_missed__retries_exhausted(
		lonelypsp_tell_missed_at_retry_determined(&t->op)));
	released(t,
		 e.deleted ? ps_db_remove_missed(db, &t->missed)
			   : ps_db_release_missed(db, &t->missed, NULL),
		 &e);
}

static void determine_retry(struct ps_tell *t, const char *outcome)
{
	struct ps_db_retry retry = {.attempts = t->missed.attempts + 1};
	int64_t delay = ps_retry_missed_delay_ns(&t->sweep->options.policy, t->missed.attempts + 1);

	if (delay < 0) {
		retries_exhausted(t, outcome);
		return;
	}
	retry.at_ms = (ps_system_wall_ns() + delay) / 1000000;
	waiting_to_retry(t, &retry, outcome);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void network_error(struct ps_tell *t)
{
	PS_STEP(lonelypsp_tell_missed__network_error(
		lonelypsp_tell_missed_at_response_received(&t->op)));
	determine_retry(t, t->call.error == -ETIMEDOUT ? "timeout" : "network_error");
}

static void response_received(struct ps_call *c)
{
	struct ps_tell *t = c->owner;

	PS_STEP(lonelypsp_tell_missed__response_received(
		lonelypsp_tell_missed_at_response_received(&t->op), (uint16_t)c->status));
}

static void bad_response(struct ps_tell *t)
{
	PS_STEP(lonelypsp_tell_missed__bad_response(
		lonelypsp_tell_missed_at_response_auth_result(&t->op)));
	determine_retry(t, "bad_response");
}

static void bad_auth_result(struct ps_tell *t, enum ps_auth_result result)
{
	PS_STEP(lonelypsp_tell_missed__bad_auth_result(
		lonelypsp_tell_missed_at_response_auth_result(&t->op), result));
	determine_retry(t, "bad_auth");
}

static void missed_confirmed(struct ps_tell *t, const struct ps_response *a)
{
	struct outspan_context context;

	ps_trace_read(&context, a->tracing);
	PS_STEP(lonelypsp_tell_missed__missed_confirmed(
		lonelypsp_tell_missed_at_response_auth_result(&t->op), &context));
	release_mark(t, "ok");
}

static void take_answer(struct ps_tell *t)
{
	const struct ps_auth *auth = t->sweep->b->auth;
	struct ps_signed m = {.kind = PS_KIND_CONFIRM_MISSED,
			      .key = t->missed.topic,
			      .url = ps_url_without_fragment(t->missed.row.recovery)};
	enum ps_auth_result result;
	struct ps_response a;

	if (t->call.error ||
	    ps_message_decode_response(&a, ps_bytes(t->call.answer.data, t->call.answer.size)) ||
	    a.type != PS_RESPONSE_CONFIRM_MISSED) {
		bad_response(t);
		return;
	}
	m.tracing = a.tracing;
	result = ps_auth_check(auth, &auth->to_broadcaster, a.authorization, &m);
	if (result != PS_AUTH_OK)
		bad_auth_result(t, result);
	else
		missed_confirmed(t, &a);
}

static void call_done(struct ps_call *c)
{
	struct ps_tell *t = c->owner;

	if (c->status)
		take_answer(t);
	else
		network_error(t);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void no_recovery(struct ps_timer *timer)
{
	struct ps_tell *t = timer->owner;

	PS_STEP(lonelypsp_tell_missed__no_recovery(lonelypsp_tell_missed_at_sending(&t->op)));
	release_mark(t, "no_recovery");
}

static void could_not_send(struct ps_timer *timer)
{
	network_error(timer->owner);
}

static int encode_missed(struct ps_tell *t, struct ps_bytes tracing)
{
	struct ps_missed m = {tracing, t->missed.topic};
	struct ps_signed s = {.kind = PS_KIND_MISSED,
			      .tracing = tracing,
			      .recovery = ps_url_without_fragment(t->missed.row.recovery),
			      .key = t->missed.topic};
	int r;

	t->body.max = PS_MISSED_MAX;
	t->authorization.max = PS_TOPIC_MAX;
	r = ps_message_encode_missed(&t->body, &m);
	return r ? r : ps_auth_authorize(&t->authorization, &t->sweep->b->auth->to_subscriber, &s);
}

static void start_call(struct ps_tell *t)
{
	t->call.url = t->missed.row.recovery;
	t->call.authorization = t->authorization.size ? osp_buffer_text(&t->authorization) : NULL;
	t->call.head = ps_bytes(t->body.data, t->body.size);
	t->call.answered = response_received;
	t->call.done = call_done;
	t->call.owner = t;
	ps_client_start(t->sweep->b->client, &t->call);
}

static void end_later(struct ps_tell *t, void (*step)(struct ps_timer *timer))
{
	t->later = (struct ps_timer){.expired = step, .owner = t};
	ps_loop_arm(t->sweep->b->loop, &t->later, 0);
}

static void sending_missed(struct ps_tell *t)
{
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_tell_missed__sending_missed(lonelypsp_tell_missed_at_sending(&t->op),
						      &context));
	if (encode_missed(t, ps_trace_bytes(&tracing, &context)))
		end_later(t, could_not_send);
	else
		start_call(t);
}

static void due(struct ps_tell *t)
{
	const struct ps_row *row = &t->missed.row;
	struct ps_bytes glob = row->kind == PS_DB_GLOB ? row->key : ps_bytes(NULL, 0);

	PS_STEP(lonelypsp_tell_missed__due(
		lonelypsp_tell_missed_begin(&t->op), row->recovery.data, row->recovery.size,
		row->url.data, row->url.size, t->missed.topic.data, t->missed.topic.size, glob.data,
		glob.size, t->missed.attempts, (double)t->missed.due_ms / 1e3));
}

int ps_tell_start(struct ps_sweep *s, struct ps_db_missed *m)
{
	struct ps_tell *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->sweep = s;
	t->missed = *m;
	*m = (struct ps_db_missed){0};
	t->begin_ns = ps_system_wall_ns();
	t->next = s->tells;
	t->link = &s->tells;
	if (t->next)
		t->next->link = &t->next;
	s->tells = t;
	s->tell_count++;
	due(t);
	if (t->missed.row.recovery.size)
		sending_missed(t);
	else
		end_later(t, no_recovery);
	return 0;
}

void ps_tell_cancel(struct ps_tell *t)
{
	struct ps_db_retry as_before = {t->missed.attempts, t->missed.due_ms};

	(void)ps_db_release_missed(t->sweep->b->db, &t->missed, &as_before);
	clear(t);
}
