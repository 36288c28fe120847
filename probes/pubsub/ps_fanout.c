/*
 * The fan-out of one message: finds the subscribers one by one in database order and posts
 * RECEIVE to each in turn, so that a subscriber that hangs holds up this publish only, and this
 * one for no longer than its time-outs; other publishes go on beside it on the same loop. Fed by
 * ps_handle_notify.c and ps_handle_stateful_notify.c. One function per step of the protocol's
 * automaton (handle_trusted_notify).
 */
#include <errno.h>
#include <string.h>

#include "probes/pubsub/ps_fanout.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_url.h"

/* The same step in whichever of the two operations the fan-out is part of. */
#define AT(o, f, state) lonelypsp_handle_##o##_at_trusted_notify_##state((f)->o)
#define STEP(f, state, point, ...)                                                                 \
	do {                                                                                       \
		if ((f)->notify)                                                                   \
			PS_STEP(lonelypsp_handle_notify__##point(AT(notify, f, state),             \
								 ##__VA_ARGS__));                  \
		else                                                                               \
			PS_STEP(lonelypsp_handle_stateful_notify__##point(                         \
				AT(stateful_notify, f, state), ##__VA_ARGS__));                    \
	} while (0)
#define END(f, state, point)                                                                       \
	do {                                                                                       \
		if ((f)->notify)                                                                   \
			lonelypsp_handle_notify__##point(AT(notify, f, state));                    \
		else                                                                               \
			lonelypsp_handle_stateful_notify__##point(AT(stateful_notify, f, state));  \
	} while (0)

static void next_subscriber(struct ps_fanout *f);

static void log_deliver(struct ps_fanout *f, const char *outcome, uint32_t subscribers)
{
	struct ps_deliver *d = &f->deliver;
	struct ps_line line;

	ps_log_begin(&line, f->b->log, "deliver");
	ps_log_hex(&line, "identifier", ps_bytes(d->identifier, sizeof(d->identifier)));
	ps_log_hex(&line, "notify", f->identifier);
	ps_log_text(&line, "topic", f->topic);
	ps_log_hex(&line, "sha512", ps_bytes(f->digest, 8));
	ps_log_word(&line, "kind", d->row.kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_text(&line, "url", d->row.url);
	ps_log_number(&line, "begin", d->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", d->call.status);
	ps_log_number(&line, "subscribers", subscribers);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void unavailable(struct ps_fanout *f)
{
	END(f, scan, unavailable);
	f->failed(f, 503);
}

static void no_more_subscribers(struct ps_fanout *f)
{
	STEP(f, scan, no_more_subscribers);
	ps_report_add(f->report, "no_more_subscribers", NULL);
	f->done(f);
}

/* ---- for the answer -------------------------------------------------------------------------- */

static void report_missed(struct ps_fanout *f, const char *name, double next_retry_at)
{
	const struct ps_bytes *recovery = &f->deliver.row.recovery;

	if (next_retry_at > 0)
		ps_report_add(f->report, name, "{s:s%, s:f}", "recovery", recovery->data,
			      recovery->size, "next_retry_at", next_retry_at);
	else if (recovery->size)
		ps_report_add(f->report, name, "{s:s%, s:n}", "recovery", recovery->data,
			      recovery->size, "next_retry_at");
	else
		ps_report_add(f->report, name, "{s:n, s:n}", "recovery", "next_retry_at");
}

static void report_bad_auth(struct ps_fanout *f, enum ps_auth_result result)
{
	const char *name = result == PS_AUTH_UNAVAILABLE    ? "UNAVAILABLE"
			   : result == PS_AUTH_UNAUTHORIZED ? "UNAUTHORIZED"
							    : "FORBIDDEN";

	ps_report_add(f->report, "bad_auth_result", "{s:s}", "result", name);
}

static void report_sending(struct ps_fanout *f)
{
	char text[4 * PS_IDENTIFIER_SIZE + 1];

	ps_digest_to_base64url(text, ps_bytes(f->deliver.identifier, PS_IDENTIFIER_SIZE));
	ps_report_add(f->report, "sending_receive", "{s:s}", "identifier_b64url", text);
}

/* ---- what was missed ------------------------------------------------------------------------- */

static void handle_missed_skipped(struct ps_fanout *f)
{
	STEP(f, handle_missed_done, handle_missed_skipped, f->deliver.row.recovery.data,
	     f->deliver.row.recovery.size, 0.0);
	report_missed(f, "handle_missed_skipped", 0.0);
	next_subscriber(f);
}

static void handle_missed_success(struct ps_fanout *f, double next_retry_at)
{
	STEP(f, handle_missed_done, handle_missed_success, f->deliver.row.recovery.data,
	     f->deliver.row.recovery.size, next_retry_at);
	report_missed(f, "handle_missed_success", next_retry_at);
	next_subscriber(f);
}

static void handle_missed_unavailable(struct ps_fanout *f, double next_retry_at)
{
	STEP(f, handle_missed_done, handle_missed_unavailable, f->deliver.row.recovery.data,
	     f->deliver.row.recovery.size, next_retry_at);
	report_missed(f, "handle_missed_unavailable", next_retry_at);
	next_subscriber(f);
}

static void handle_missed_start(struct ps_fanout *f)
{
	int64_t delay = ps_retry_missed_delay_ns(&f->b->sweep.options.policy, 0);
	int64_t at_ms = (ps_system_wall_ns() + delay) / 1000000;
	const struct ps_row *row = &f->deliver.row;
	int r;

	STEP(f, handle_missed_start, handle_missed_start);
	ps_report_add(f->report, "handle_missed_start", NULL);
	if (!row->recovery.size || delay < 0) {
		handle_missed_skipped(f);
		return;
	}
	r = ps_db_upsert_missed(f->b->db, row, f->topic, &at_ms);
	if (r == -ENOENT) /* unsubscribed meanwhile */
		handle_missed_skipped(f);
	else if (r)
		handle_missed_unavailable(f, (double)at_ms / 1e3);
	else
		handle_missed_success(f, (double)at_ms / 1e3);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void network_error(struct ps_fanout *f)
{
	STEP(f, received_response, network_error);
	ps_report_add(f->report, "network_error", NULL);
	log_deliver(f, f->deliver.call.error == -ETIMEDOUT ? "timeout" : "network_error", 0);
	handle_missed_start(f);
}

static void response_received(struct ps_call *c)
{
	struct ps_fanout *f = c->owner;

	STEP(f, received_response, response_received, (uint16_t)c->status);
	ps_report_add(f->report, "response_received", "{s:i}", "status_code", (int)c->status);
}

static void bad_receive_response(struct ps_fanout *f)
{
	STEP(f, response_auth_result, bad_receive_response);
	ps_report_add(f->report, "bad_response", NULL);
	log_deliver(f, "bad_response", 0);
	handle_missed_start(f);
}

static void bad_receive_auth_result(struct ps_fanout *f, enum ps_auth_result result)
{
	STEP(f, response_auth_result, bad_receive_auth_result, result);
	report_bad_auth(f, result);
	log_deliver(f, "bad_auth", 0);
	handle_missed_start(f);
}

static void unsubscribe_immediate_success(struct ps_fanout *f)
{
	STEP(f, unsubscribe_immediate_done, unsubscribe_immediate_success);
	ps_report_add(f->report, "unsubscribe_immediate_success", NULL);
	next_subscriber(f);
}

static void unsubscribe_immediate_not_found(struct ps_fanout *f)
{
	STEP(f, unsubscribe_immediate_done, unsubscribe_immediate_not_found);
	ps_report_add(f->report, "unsubscribe_immediate_not_found", NULL);
	next_subscriber(f);
}

static void unsubscribe_immediate_unavailable(struct ps_fanout *f)
{
	END(f, unsubscribe_immediate_done, unsubscribe_immediate_unavailable);
	f->failed(f, 500);
}

static void unsubscribe_immediate_requested(struct ps_fanout *f)
{
	int r;

	STEP(f, response_auth_result, unsubscribe_immediate_requested);
	ps_report_add(f->report, "unsubscribe_immediate_requested", NULL);
	r = ps_db_remove(f->b->db, &f->deliver.row);
	log_deliver(f, "unsubscribed", 0);
	if (!r)
		unsubscribe_immediate_success(f);
	else if (r == -ENOENT)
		unsubscribe_immediate_not_found(f);
	else
		unsubscribe_immediate_unavailable(f);
}

static void receive_confirmed(struct ps_fanout *f, const struct ps_response *a)
{
	uint32_t subscribers = a->subscribers;
	bool overflow = subscribers > UINT32_MAX - f->subscribers;
	struct outspan_context context;

	ps_trace_read(&context, a->tracing);
	STEP(f, response_auth_result, receive_confirmed, &context, subscribers);
	ps_report_add(f->report, "receive_confirmed", "{s:I}", "num_subscribers",
		      (long long)subscribers);
	f->subscribers = overflow ? UINT32_MAX : f->subscribers + subscribers;
	if (ps_bytes_equal(f->deliver.row.url, ps_bytes_text(f->b->receive_url)))
		f->relayed = true;
	log_deliver(f, "ok", subscribers);
	next_subscriber(f);
}

static void check_confirmation(struct ps_fanout *f, const struct ps_response *a)
{
	const struct ps_auth *auth = f->b->auth;
	struct ps_signed s = {.kind = PS_KIND_CONFIRM_RECEIVE,
			      .tracing = a->tracing,
			      .identifier = a->identifier,
			      .url = ps_url_without_fragment(f->deliver.row.url),
			      .numbers = {a->subscribers}};
	enum ps_auth_result result =
		ps_auth_check(auth, &auth->to_broadcaster, a->authorization, &s);

	if (result != PS_AUTH_OK)
		bad_receive_auth_result(f, result);
	else
		receive_confirmed(f, a);
}

static void take_answer(struct ps_fanout *f)
{
	struct ps_deliver *d = &f->deliver;
	struct ps_bytes mine = ps_bytes(d->identifier, sizeof(d->identifier));
	struct ps_response a;
	int r = ps_message_decode_response(&a, ps_bytes(d->call.answer.data, d->call.answer.size));

	if (!r && !d->call.error && a.type == PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE)
		unsubscribe_immediate_requested(f);
	else if (r || d->call.error || a.type != PS_RESPONSE_CONFIRM_RECEIVE ||
		 !ps_bytes_equal(a.identifier, mine))
		bad_receive_response(f);
	else
		check_confirmation(f, &a);
}

static void deliver_done(struct ps_call *c)
{
	struct ps_fanout *f = c->owner;

	if (c->status)
		take_answer(f);
	else
		network_error(f);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int encode_receive(struct ps_fanout *f, struct ps_bytes tracing)
{
	struct ps_deliver *d = &f->deliver;
	struct ps_bytes identifier = ps_bytes(d->identifier, sizeof(d->identifier));
	struct ps_receive m = {tracing, f->topic, identifier, f->length};
	struct ps_signed s = {.kind = PS_KIND_RECEIVE,
			      .tracing = tracing,
			      .url = ps_url_without_fragment(d->row.url),
			      .key = f->topic,
			      .identifier = identifier,
			      .digest = f->digest};
	int r;

	d->head.max = PS_RECEIVE_HEAD_MAX;
	d->authorization.max = PS_TOPIC_MAX;
	osp_buffer_reset(&d->head);
	osp_buffer_reset(&d->authorization);
	r = ps_message_encode_receive(&d->head, &m);
	return r ? r : ps_auth_authorize(&d->authorization, &f->b->auth->to_subscriber, &s);
}

static void start_call(struct ps_fanout *f)
{
	struct ps_deliver *d = &f->deliver;
	char digest[8 + PS_DIGEST_BASE64 + 1];

	ps_digest_format_header(digest, f->digest);
	d->call.url = d->row.url;
	d->call.authorization = d->authorization.size ? osp_buffer_text(&d->authorization) : NULL;
	d->call.repr_digest = digest; /* libcurl copies it before ps_client_start returns */
	d->call.head = ps_bytes(d->head.data, d->head.size);
	d->call.message = f->message;
	d->call.answered = response_received;
	d->call.done = deliver_done;
	d->call.owner = f;
	ps_client_start(f->b->client, &d->call);
}

static void could_not_send(struct ps_timer *t)
{
	network_error(t->owner);
}

static void sending_receive(struct ps_fanout *f)
{
	struct ps_deliver *d = &f->deliver;
	int r = ps_system_random(d->identifier, sizeof(d->identifier));
	struct outspan_context context;
	struct ps_tracing tracing;

	STEP(f, sending_receive, sending_receive, d->identifier, sizeof(d->identifier), &context);
	report_sending(f);
	d->begin_ns = ps_system_wall_ns();
	d->call.status = 0;
	if (!r)
		r = encode_receive(f, ps_trace_bytes(&tracing, &context));
	if (!r) {
		start_call(f);
		return;
	}
	d->call.error = r;
	f->turn.expired = could_not_send; /* not from here: a whole table may fail like this */
	ps_loop_arm(f->b->loop, &f->turn, 0);
}

static void exact_subscriber_found(struct ps_fanout *f)
{
	STEP(f, scan, exact_subscriber_found, f->deliver.row.url.data, f->deliver.row.url.size);
	ps_report_add(f->report, "exact_subscriber_found", "{s:s%}", "url", f->deliver.row.url.data,
		      f->deliver.row.url.size);
	sending_receive(f);
}

static void glob_subscriber_found(struct ps_fanout *f)
{
	STEP(f, scan, glob_subscriber_found, f->deliver.row.key.data, f->deliver.row.key.size,
	     f->deliver.row.url.data, f->deliver.row.url.size);
	ps_report_add(f->report, "glob_subscriber_found", "{s:s%, s:s%}", "glob",
		      f->deliver.row.key.data, f->deliver.row.key.size, "url",
		      f->deliver.row.url.data, f->deliver.row.url.size);
	sending_receive(f);
}

static void my_turn(struct ps_timer *t)
{
	next_subscriber(t->owner);
}

/*
 * All rows of our own url are for the same web sockets, of which each that wants the message got it
 * by the first.
 */
static bool is_relayed(const struct ps_fanout *f, const struct ps_row *row)
{
	return f->relayed && ps_bytes_equal(row->url, ps_bytes_text(f->b->receive_url));
}

static int next_row(struct ps_fanout *f, struct ps_row *row)
{
	int r;

	do {
		ps_db_clear_row(row);
		r = ps_db_next(f->b->db, f->topic, &f->cursor, row);
	} while (!r && is_relayed(f, row));
	return r;
}

static void next_subscriber(struct ps_fanout *f)
{
	struct ps_row *row = &f->deliver.row;
	int r = next_row(f, row);

	f->turn.expired = my_turn;
	if (r == -EAGAIN)
		ps_loop_arm(f->b->loop, &f->turn, 0);
	else if (r == 1)
		no_more_subscribers(f);
	else if (r)
		unavailable(f);
	else if (row->kind == PS_DB_EXACT)
		exact_subscriber_found(f);
	else
		glob_subscriber_found(f);
}

void ps_fanout_start(struct ps_fanout *f)
{
	f->turn = (struct ps_timer){.owner = f};
	next_subscriber(f);
}

void ps_fanout_clear(struct ps_fanout *f)
{
	if (!f->b)
		return;
	ps_loop_disarm(f->b->loop, &f->turn);
	ps_client_clear(&f->deliver.call);
	ps_db_clear_row(&f->deliver.row);
	osp_buffer_clear(&f->deliver.head);
	osp_buffer_clear(&f->deliver.authorization);
}
