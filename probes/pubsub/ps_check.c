/*
 * CHECK_SUBSCRIPTIONS at the subscriber: asks a broadcaster for the etag of what it has for our
 * url, compares it with that of our own table, and sets the subscriptions anew if they differ.
 * Fed by the application, by hand or at an interval; waits for its turn, so that no change is
 * under way that would make the two differ. Owns struct check.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_etag.h"
#include "probes/pubsub/ps_set.h"
#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_system.h"

PS_ASK_POINTS(check_subscriptions, );

struct check {
	struct ps_turn turn;
	struct ps_subscriber *s; /* borrowed: owns this */
	void (*done)(void *owner, const struct ps_checked *c);
	void *owner;
	struct ps_checked result;
	struct lonelypsp_check_subscriptions op;
	struct ps_ask ask;
	struct ps_set_request set;
	uint8_t mine[PS_DIGEST_SIZE], theirs[PS_DIGEST_SIZE];
	int64_t begin_ns;
};

static void log_check(struct check *c)
{
	bool ok = c->ask.outcome == PS_OUTCOME_OK;
	struct ps_line line;

	ps_log_begin(&line, c->s->log, "check");
	ps_log_word(&line, "url", c->s->receive_url);
	ps_log_hex(&line, "mine", ps_bytes(c->mine, 8));
	if (ok)
		ps_log_hex(&line, "theirs", ps_bytes(c->theirs, 8));
	ps_log_number(&line, "begin", c->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "attempts", c->ask.attempts);
	ps_log_number(&line, "status", c->ask.status);
	ps_log_word(&line, "outcome",
		    !ok		      ? ps_outcome_to_str(c->ask.outcome)
		    : c->result.equal ? "equal"
				      : "different");
	ps_log_end(&line);
}

static void drop(struct ps_turn *t)
{
	struct check *c = (struct check *)t;

	lonelypsp_check_subscriptions_leave(&c->op, ECANCELED);
	ps_ask_clear(&c->ask);
	ps_set_clear(&c->set);
	free(c);
}

static void over(struct ps_turn *t)
{
	struct check *c = (struct check *)t;

	c->done(c->owner, &c->result);
	drop(t);
}

/* ---- repairing ------------------------------------------------------------------------------- */

static void repaired(struct ps_set_request *q)
{
	struct check *c = q->owner;

	c->result.repaired = q->ask.outcome == PS_OUTCOME_OK;
	c->result.status = q->ask.status;
	c->result.reason = q->ask.reason;
	ps_turns_finish(&c->s->turns, &c->turn);
}

static void repair(struct check *c)
{
	c->set = (struct ps_set_request){
		.s = c->s, .parent = &c->op.head, .done = repaired, .owner = c};
	ps_set_start(&c->set);
}

static void checked(struct ps_ask *a)
{
	struct check *c = a->owner;

	c->result.outcome = a->outcome;
	c->result.status = a->status;
	c->result.reason = a->reason;
	c->result.equal =
		a->outcome == PS_OUTCOME_OK && ps_digest_equal(c->mine, c->theirs, sizeof(c->mine));
	log_check(c);
	if (a->outcome == PS_OUTCOME_OK && !c->result.equal)
		repair(c);
	else
		ps_turns_finish(&c->s->turns, &c->turn);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void bad_response(struct check *c)
{
	lonelypsp_check_subscriptions__bad_response(
		lonelypsp_check_subscriptions_at_response_auth_result(&c->op));
	ps_ask_finish(&c->ask, PS_OUTCOME_REFUSED, "bad_response");
}

static void bad_auth_result(struct check *c, enum ps_auth_result result)
{
	lonelypsp_check_subscriptions__bad_auth_result(
		lonelypsp_check_subscriptions_at_response_auth_result(&c->op), result);
	ps_ask_finish(&c->ask, PS_OUTCOME_REFUSED, "bad_auth");
}

static void response_check_accepted(struct check *c, const struct ps_response *r)
{
	struct outspan_context context;

	ps_trace_read(&context, r->tracing);
	lonelypsp_check_subscriptions__response_check_accepted(
		lonelypsp_check_subscriptions_at_response_auth_result(&c->op), r->etag,
		PS_DIGEST_SIZE, &context);
	memcpy(c->theirs, r->etag, sizeof(c->theirs));
	ps_ask_finish(&c->ask, PS_OUTCOME_OK, "none");
}

static void accepted(struct ps_ask *a, const struct ps_response *r)
{
	struct check *c = a->owner;
	const struct ps_auth *auth = c->s->auth;
	struct ps_signed m = {.kind = PS_KIND_CHECK_RESPONSE};
	enum ps_auth_result result;

	if (!r || r->type != PS_RESPONSE_CHECK_SUBSCRIPTIONS) {
		bad_response(c);
		return;
	}
	m.tracing = r->tracing;
	m.digest = r->etag;
	result = ps_auth_check(auth, &auth->to_subscriber, r->authorization, &m);
	if (result != PS_AUTH_OK)
		bad_auth_result(c, result);
	else
		response_check_accepted(c, r);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int compute_mine(struct check *c)
{
	struct ps_list_builder lists[PS_DB_KINDS] = {0};
	struct ps_list exact, globs;
	int r = ps_set_lists(c->s, NULL, lists);

	exact = ps_list_of(&lists[PS_DB_EXACT]);
	globs = ps_list_of(&lists[PS_DB_GLOB]);
	if (!r)
		r = ps_etag_of(c->mine, ps_bytes_text(c->s->receive_url), &exact, &globs);
	ps_db_clear_lists(lists);
	return r;
}

static int encode_request(struct check *c, struct ps_bytes tracing)
{
	struct ps_check m = {tracing, ps_bytes_text(c->s->receive_url)};
	struct ps_signed s = {
		.kind = PS_KIND_CHECK_SUBSCRIPTIONS, .tracing = tracing, .url = m.url};
	int r;

	c->ask.body.max = PS_CHECK_MAX;
	r = ps_message_encode_check(&c->ask.body, &m);
	return r ? r : ps_auth_authorize(&c->ask.authorization, &c->s->auth->to_broadcaster, &s);
}

static int sending_request(struct ps_ask *a)
{
	struct check *c = a->owner;
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_check_subscriptions__sending_request(
		lonelypsp_check_subscriptions_at_sending(&c->op), a->broadcaster,
		strlen(a->broadcaster), c->s->receive_url, strlen(c->s->receive_url), &context));
	return encode_request(c, ps_trace_bytes(&tracing, &context));
}

static int send_first(struct ps_ask *a)
{
	struct check *c = a->owner;
	int r = compute_mine(c);

	a->send = sending_request;
	return r ? r : sending_request(a);
}

static void start(struct check *c)
{
	PS_STEP(lonelypsp_check_subscriptions__start(lonelypsp_check_subscriptions_begin(&c->op),
						     NULL));
}

static void run(struct ps_turn *t)
{
	struct check *c = (struct check *)t;

	c->begin_ns = ps_system_wall_ns();
	c->ask = (struct ps_ask){.s = c->s,
				 .points = &check_subscriptions_points,
				 .op = &c->op,
				 .path = "/v1/check_subscriptions",
				 .send = send_first,
				 .accepted = accepted,
				 .done = checked,
				 .owner = c};
	start(c);
	ps_ask_start(&c->ask);
}

int ps_subscriber_check(struct ps_subscriber *s,
			void (*done)(void *owner, const struct ps_checked *c), void *owner)
{
	struct check *c;

	if (s->turns.count >= s->options.changes_max)
		return -ENOSPC;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->turn = (struct ps_turn){.run = run, .over = over, .drop = drop};
	c->s = s;
	c->done = done;
	c->owner = owner;
	ps_turns_push(&s->turns, &c->turn);
	ps_turns_run(&s->turns);
	return 0;
}
