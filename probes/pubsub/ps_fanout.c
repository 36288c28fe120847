/*
 * The fan-out of one message: finds the subscribers one by one in database order and posts
 * RECEIVE to each in turn, so that a subscriber that hangs holds up this publish only, and this
 * one for no longer than its time-outs; other publishes go on beside it on the same loop. Fed by
 * ps_handle_notify.c with an authorized, complete message. One function per step of the
 * protocol's automaton (handle_trusted_notify).
 */
#include <errno.h>
#include <string.h>

#include "probes/pubsub/ps_publish.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_url.h"

static void next_subscriber(struct ps_publish *p);

static void log_deliver(struct ps_publish *p, const char *outcome, uint32_t subscribers)
{
	struct ps_deliver *d = &p->deliver;
	struct ps_line line;

	ps_log_begin(&line, p->b->log, "deliver");
	ps_log_hex(&line, "identifier", ps_bytes(d->identifier, sizeof(d->identifier)));
	ps_log_hex(&line, "notify", p->m.identifier);
	ps_log_text(&line, "topic", p->m.topic);
	ps_log_hex(&line, "sha512", ps_bytes(p->m.digest, 8));
	ps_log_word(&line, "kind", d->row.kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_text(&line, "url", d->row.url);
	ps_log_number(&line, "begin", d->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", d->call.status);
	ps_log_number(&line, "subscribers", subscribers);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void unavailable(struct ps_publish *p)
{
	lonelypsp_handle_notify__unavailable(
		lonelypsp_handle_notify_at_trusted_notify_scan(&p->op));
	ps_publish_refuse(p, 503, "unavailable", 0);
}

static void no_more_subscribers(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__no_more_subscribers(
		lonelypsp_handle_notify_at_trusted_notify_scan(&p->op)));
	ps_publish_respond(p);
}

/* ---- what was missed ------------------------------------------------------------------------- */

static void handle_missed_skipped(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__handle_missed_skipped(
		lonelypsp_handle_notify_at_trusted_notify_handle_missed_done(&p->op),
		p->deliver.row.recovery.data, p->deliver.row.recovery.size, 0.0));
	next_subscriber(p);
}

static void handle_missed_success(struct ps_publish *p, double next_retry_at)
{
	PS_STEP(lonelypsp_handle_notify__handle_missed_success(
		lonelypsp_handle_notify_at_trusted_notify_handle_missed_done(&p->op),
		p->deliver.row.recovery.data, p->deliver.row.recovery.size, next_retry_at));
	next_subscriber(p);
}

static void handle_missed_unavailable(struct ps_publish *p, double next_retry_at)
{
	PS_STEP(lonelypsp_handle_notify__handle_missed_unavailable(
		lonelypsp_handle_notify_at_trusted_notify_handle_missed_done(&p->op),
		p->deliver.row.recovery.data, p->deliver.row.recovery.size, next_retry_at));
	next_subscriber(p);
}

static void handle_missed_start(struct ps_publish *p)
{
	int64_t delay = ps_retry_missed_delay_ns(&p->b->sweep.options.policy, 0);
	int64_t at_ms = (ps_system_wall_ns() + delay) / 1000000;
	const struct ps_row *row = &p->deliver.row;
	int r;

	PS_STEP(lonelypsp_handle_notify__handle_missed_start(
		lonelypsp_handle_notify_at_trusted_notify_handle_missed_start(&p->op)));
	if (!row->recovery.size || delay < 0) {
		handle_missed_skipped(p);
		return;
	}
	r = ps_db_upsert_missed(p->b->db, row, p->m.topic, &at_ms);
	if (r == -ENOENT) /* unsubscribed meanwhile */
		handle_missed_skipped(p);
	else if (r)
		handle_missed_unavailable(p, (double)at_ms / 1e3);
	else
		handle_missed_success(p, (double)at_ms / 1e3);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void network_error(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__network_error(
		lonelypsp_handle_notify_at_trusted_notify_received_response(&p->op)));
	log_deliver(p, p->deliver.call.error == -ETIMEDOUT ? "timeout" : "network_error", 0);
	handle_missed_start(p);
}

static void response_received(struct ps_call *c)
{
	struct ps_publish *p = c->owner;

	PS_STEP(lonelypsp_handle_notify__response_received(
		lonelypsp_handle_notify_at_trusted_notify_received_response(&p->op),
		(uint16_t)c->status));
}

static void bad_receive_response(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__bad_receive_response(
		lonelypsp_handle_notify_at_trusted_notify_response_auth_result(&p->op)));
	log_deliver(p, "bad_response", 0);
	handle_missed_start(p);
}

static void bad_receive_auth_result(struct ps_publish *p, enum ps_auth_result result)
{
	PS_STEP(lonelypsp_handle_notify__bad_receive_auth_result(
		lonelypsp_handle_notify_at_trusted_notify_response_auth_result(&p->op), result));
	log_deliver(p, "bad_auth", 0);
	handle_missed_start(p);
}

static void unsubscribe_immediate_success(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__unsubscribe_immediate_success(
		lonelypsp_handle_notify_at_trusted_notify_unsubscribe_immediate_done(&p->op)));
	next_subscriber(p);
}

static void unsubscribe_immediate_not_found(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__unsubscribe_immediate_not_found(
		lonelypsp_handle_notify_at_trusted_notify_unsubscribe_immediate_done(&p->op)));
	next_subscriber(p);
}

static void unsubscribe_immediate_unavailable(struct ps_publish *p)
{
	lonelypsp_handle_notify__unsubscribe_immediate_unavailable(
		lonelypsp_handle_notify_at_trusted_notify_unsubscribe_immediate_done(&p->op));
	ps_publish_refuse(p, 500, "unavailable", 0);
}

static void unsubscribe_immediate_requested(struct ps_publish *p)
{
	int r;

	PS_STEP(lonelypsp_handle_notify__unsubscribe_immediate_requested(
		lonelypsp_handle_notify_at_trusted_notify_response_auth_result(&p->op)));
	r = ps_db_remove(p->b->db, &p->deliver.row);
	log_deliver(p, "unsubscribed", 0);
	if (!r)
		unsubscribe_immediate_success(p);
	else if (r == -ENOENT)
		unsubscribe_immediate_not_found(p);
	else
		unsubscribe_immediate_unavailable(p);
}

static void receive_confirmed(struct ps_publish *p, const struct ps_response *a)
{
	uint32_t subscribers = a->subscribers;
	bool overflow = subscribers > UINT32_MAX - p->subscribers;
	struct outspan_context context;

	ps_trace_read(&context, a->tracing);
	PS_STEP(lonelypsp_handle_notify__receive_confirmed(
		lonelypsp_handle_notify_at_trusted_notify_response_auth_result(&p->op), &context,
		subscribers));
	p->subscribers = overflow ? UINT32_MAX : p->subscribers + subscribers;
	log_deliver(p, "ok", subscribers);
	next_subscriber(p);
}

static void check_confirmation(struct ps_publish *p, const struct ps_response *a)
{
	const struct ps_auth *auth = p->b->auth;
	struct ps_signed s = {.kind = PS_KIND_CONFIRM_RECEIVE,
			      .tracing = a->tracing,
			      .identifier = a->identifier,
			      .url = ps_url_without_fragment(p->deliver.row.url),
			      .numbers = {a->subscribers}};
	enum ps_auth_result result =
		ps_auth_check(auth, &auth->to_broadcaster, a->authorization, &s);

	if (result != PS_AUTH_OK)
		bad_receive_auth_result(p, result);
	else
		receive_confirmed(p, a);
}

static void take_answer(struct ps_publish *p)
{
	struct ps_deliver *d = &p->deliver;
	struct ps_bytes mine = ps_bytes(d->identifier, sizeof(d->identifier));
	struct ps_response a;
	int r = ps_message_decode_response(&a, ps_bytes(d->call.answer.data, d->call.answer.size));

	if (!r && !d->call.error && a.type == PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE)
		unsubscribe_immediate_requested(p);
	else if (r || d->call.error || a.type != PS_RESPONSE_CONFIRM_RECEIVE ||
		 !ps_bytes_equal(a.identifier, mine))
		bad_receive_response(p);
	else
		check_confirmation(p, &a);
}

static void deliver_done(struct ps_call *c)
{
	struct ps_publish *p = c->owner;

	if (c->status)
		take_answer(p);
	else
		network_error(p);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int encode_receive(struct ps_publish *p, struct ps_bytes tracing)
{
	struct ps_deliver *d = &p->deliver;
	struct ps_bytes identifier = ps_bytes(d->identifier, sizeof(d->identifier));
	struct ps_receive m = {tracing, p->m.topic, identifier, p->m.length};
	struct ps_signed s = {.kind = PS_KIND_RECEIVE,
			      .tracing = tracing,
			      .url = ps_url_without_fragment(d->row.url),
			      .key = p->m.topic,
			      .identifier = identifier,
			      .digest = p->m.digest};
	int r;

	d->head.max = PS_RECEIVE_HEAD_MAX;
	d->authorization.max = PS_TOPIC_MAX;
	osp_buffer_reset(&d->head);
	osp_buffer_reset(&d->authorization);
	r = ps_message_encode_receive(&d->head, &m);
	return r ? r : ps_auth_authorize(&d->authorization, &p->b->auth->to_subscriber, &s);
}

static void start_call(struct ps_publish *p)
{
	struct ps_deliver *d = &p->deliver;
	char digest[8 + PS_DIGEST_BASE64 + 1];

	ps_digest_format_header(digest, p->m.digest);
	d->call.url = d->row.url;
	d->call.authorization = d->authorization.size ? osp_buffer_text(&d->authorization) : NULL;
	d->call.repr_digest = digest; /* libcurl copies it before ps_client_start returns */
	d->call.head = ps_bytes(d->head.data, d->head.size);
	d->call.message = &p->message;
	d->call.answered = response_received;
	d->call.done = deliver_done;
	d->call.owner = p;
	ps_client_start(p->b->client, &d->call);
}

static void could_not_send(struct ps_timer *t)
{
	network_error(t->owner);
}

static void sending_receive(struct ps_publish *p)
{
	struct ps_deliver *d = &p->deliver;
	int r = ps_system_random(d->identifier, sizeof(d->identifier));
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify_at_trusted_notify_sending_receive(&p->op), d->identifier,
		sizeof(d->identifier), &context));
	d->begin_ns = ps_system_wall_ns();
	d->call.status = 0;
	if (!r)
		r = encode_receive(p, ps_trace_bytes(&tracing, &context));
	if (!r) {
		start_call(p);
		return;
	}
	d->call.error = r;
	p->turn.expired = could_not_send; /* not from here: a whole table may fail like this */
	ps_loop_arm(p->b->loop, &p->turn, 0);
}

static void exact_subscriber_found(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__exact_subscriber_found(
		lonelypsp_handle_notify_at_trusted_notify_scan(&p->op), p->deliver.row.url.data,
		p->deliver.row.url.size));
	sending_receive(p);
}

static void glob_subscriber_found(struct ps_publish *p)
{
	PS_STEP(lonelypsp_handle_notify__glob_subscriber_found(
		lonelypsp_handle_notify_at_trusted_notify_scan(&p->op), p->deliver.row.key.data,
		p->deliver.row.key.size, p->deliver.row.url.data, p->deliver.row.url.size));
	sending_receive(p);
}

static void my_turn(struct ps_timer *t)
{
	next_subscriber(t->owner);
}

static void next_subscriber(struct ps_publish *p)
{
	struct ps_row *row = &p->deliver.row;
	int r;

	ps_db_clear_row(row);
	r = ps_db_next(p->b->db, p->m.topic, &p->cursor, row);
	p->turn.expired = my_turn;
	if (r == -EAGAIN)
		ps_loop_arm(p->b->loop, &p->turn, 0);
	else if (r == 1)
		no_more_subscribers(p);
	else if (r)
		unavailable(p);
	else if (row->kind == PS_DB_EXACT)
		exact_subscriber_found(p);
	else
		glob_subscriber_found(p);
}

void ps_fanout_start(struct ps_publish *p)
{
	p->turn = (struct ps_timer){.owner = p};
	next_subscriber(p);
}

void ps_fanout_clear(struct ps_publish *p)
{
	ps_loop_disarm(p->b->loop, &p->turn);
	ps_client_clear(&p->deliver.call);
	ps_db_clear_row(&p->deliver.row);
	osp_buffer_clear(&p->deliver.head);
	osp_buffer_clear(&p->deliver.authorization);
}
