/*
 * The publisher's side of NOTIFY: hash, send, check the answer, and try again by the retry plan,
 * each attempt with an identifier, a tracing field and a signature of its own. Fed by psp-notify
 * (or any program with a loop); one function per step of the protocol's automaton. Owns the
 * request's buffers; the message stays the caller's.
 */
#include "probes/pubsub/ps_publisher.h"

#include <errno.h>
#include <string.h>

#include "probes/pubsub/ps_report.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

enum { HASH_PART = 65536 };

static void attempt(struct ps_notification *n);

const char *ps_outcome_to_str(enum ps_outcome o)
{
	static const char *const names[] = {"ok",      "retries_exhausted", "retry_prevented",
					    "refused", "conflict",	    "counted",
					    "failed"};

	return names[o];
}

/* ---- the log --------------------------------------------------------------------------------- */

static struct ps_bytes identifier_of(const struct ps_notification *n)
{
	return ps_bytes(n->identifier, n->identifier_size);
}

static void log_message(struct ps_notification *n, struct ps_line *line)
{
	ps_log_hex(line, "identifier", identifier_of(n));
	ps_log_text(line, "topic", n->topic);
	ps_log_hex(line, "sha512", ps_bytes(n->digest, 8));
	ps_log_number(line, "bytes", (int64_t)n->message->size);
}

static void log_attempt(struct ps_notification *n, const char *outcome)
{
	struct ps_line line;

	ps_log_begin(&line, n->publisher->log, "attempt");
	log_message(n, &line);
	ps_log_word(&line, "broadcaster", n->url);
	ps_log_number(&line, "begin", n->attempt_begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", n->call.status);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
	n->reason = outcome;
}

static void log_publish(struct ps_notification *n)
{
	struct ps_line line;

	ps_log_begin(&line, n->publisher->log, "publish");
	log_message(n, &line);
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", n->end_ns);
	ps_log_number(&line, "attempts", n->attempts);
	ps_log_number(&line, "status", n->status);
	ps_log_number(&line, "subscribers", n->subscribers);
	ps_log_word(&line, "outcome", ps_outcome_to_str(n->outcome));
	ps_log_end(&line);
}

static void finish(struct ps_notification *n, enum ps_outcome outcome)
{
	n->outcome = outcome;
	n->status = n->call.status;
	n->end_ns = ps_system_wall_ns();
	log_publish(n);
	ps_publisher_clear(n);
	n->done(n);
}

/* ---- retrying -------------------------------------------------------------------------------- */

static void retry_prevented(struct ps_notification *n)
{
	lonelypsp_notify__retry_prevented(lonelypsp_notify_at_retry_determined(&n->op));
	finish(n, PS_OUTCOME_PREVENTED);
}

static void retries_exhausted(struct ps_notification *n)
{
	lonelypsp_notify__retries_exhausted(lonelypsp_notify_at_retry_determined(&n->op));
	finish(n, PS_OUTCOME_EXHAUSTED);
}

static void retrying(struct ps_notification *n)
{
	PS_STEP(lonelypsp_notify__retrying(lonelypsp_notify_at_retry_determined(&n->op)));
	attempt(n);
}

static void waited(struct ps_timer *t)
{
	retrying(t->owner);
}

static void waiting_to_retry(struct ps_notification *n, int64_t wait_ns)
{
	PS_STEP(lonelypsp_notify__waiting_to_retry(lonelypsp_notify_at_retry_determined(&n->op)));
	n->wait = (struct ps_timer){.expired = waited, .owner = n};
	ps_loop_arm(n->publisher->loop, &n->wait, wait_ns);
}

static void determine_retry(struct ps_notification *n)
{
	int64_t wait_ns;

	n->url = ps_retry_next(&n->retry, &wait_ns);
	if (!n->url)
		retries_exhausted(n);
	else if (wait_ns)
		waiting_to_retry(n, wait_ns);
	else
		retrying(n);
}

/* ---- what came back -------------------------------------------------------------------------- */

static void network_error(struct ps_notification *n)
{
	bool ambiguous = n->call.error != -ECONNREFUSED && n->call.error != -EHOSTUNREACH;

	PS_STEP(lonelypsp_notify__network_error(lonelypsp_notify_at_response_received(&n->op)));
	log_attempt(n, n->call.error == -ETIMEDOUT ? "timeout" : "network_error");
	if (ambiguous && !n->publisher->retry_ambiguous)
		retry_prevented(n);
	else
		determine_retry(n);
}

static void response_received(struct ps_call *c)
{
	struct ps_notification *n = c->owner;

	PS_STEP(lonelypsp_notify__response_received(lonelypsp_notify_at_response_received(&n->op),
						    (uint16_t)c->status));
}

static void bad_response(struct ps_notification *n)
{
	PS_STEP(lonelypsp_notify__bad_response(lonelypsp_notify_at_response_auth_result(&n->op)));
	log_attempt(n, "bad_response");
	determine_retry(n);
}

static void bad_auth_result(struct ps_notification *n, enum ps_auth_result result)
{
	PS_STEP(lonelypsp_notify__bad_auth_result(lonelypsp_notify_at_response_auth_result(&n->op),
						  result));
	log_attempt(n, "bad_auth");
	determine_retry(n);
}

static void report_received(struct ps_notification *n, struct ps_bytes report)
{
	uint64_t received_ns, sent_ns;

	if (ps_report_times(report, &received_ns, &sent_ns))
		PS_STEP(lonelypsp_notify__report_received(
			lonelypsp_notify_at_response_auth_result(&n->op), report.data, report.size,
			received_ns, sent_ns));
}

static void response_notify_accepted(struct ps_notification *n, const struct ps_response *a)
{
	struct outspan_context context;

	report_received(n, ps_trace_read_answer(&context, a->tracing));
	lonelypsp_notify__response_notify_accepted(lonelypsp_notify_at_response_auth_result(&n->op),
						   &context, a->subscribers);
	n->subscribers = a->subscribers;
	log_attempt(n, "ok");
	finish(n, PS_OUTCOME_OK);
}

static void check_confirmation(struct ps_notification *n, const struct ps_response *a)
{
	const struct ps_auth *auth = n->publisher->auth;
	struct ps_signed s = {.kind = PS_KIND_CONFIRM_NOTIFY,
			      .tracing = a->tracing,
			      .identifier = a->identifier,
			      .key = n->topic,
			      .digest = n->digest,
			      .numbers = {a->subscribers}};
	enum ps_auth_result result =
		ps_auth_check(auth, &auth->to_subscriber, a->authorization, &s);

	if (result != PS_AUTH_OK)
		bad_auth_result(n, result);
	else
		response_notify_accepted(n, a);
}

static void done(struct ps_call *c)
{
	struct ps_notification *n = c->owner;
	struct ps_response a;

	if (!c->status)
		network_error(n);
	else if (c->error ||
		 ps_message_decode_response(&a, ps_bytes(c->answer.data, c->answer.size)) ||
		 a.type != PS_RESPONSE_NOTIFY || !ps_bytes_equal(a.identifier, identifier_of(n)))
		bad_response(n);
	else
		check_confirmation(n, &a);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int new_identifier(struct ps_notification *n)
{
	struct ps_bytes fixed = n->publisher->identifier;

	n->identifier_size = fixed.size ? fixed.size : PS_IDENTIFIER_SIZE;
	if (!fixed.size)
		return ps_system_random(n->identifier, n->identifier_size);
	memcpy(n->identifier, fixed.data, fixed.size);
	return 0;
}

static int encode_request(struct ps_notification *n, struct ps_bytes tracing)
{
	struct ps_notify m = {n->topic, n->digest, tracing, identifier_of(n), n->message->size};
	struct ps_signed s = {.kind = PS_KIND_NOTIFY,
			      .tracing = tracing,
			      .key = n->topic,
			      .identifier = identifier_of(n),
			      .digest = n->digest};
	int r;

	n->head.max = PS_NOTIFY_HEAD_MAX;
	n->authorization.max = PS_TOPIC_MAX;
	osp_buffer_reset(&n->head);
	osp_buffer_reset(&n->authorization);
	r = ps_message_encode_notify(&n->head, &m);
	return r ? r
		 : ps_auth_authorize(&n->authorization, &n->publisher->auth->to_broadcaster, &s);
}

static void fail(struct ps_timer *t)
{
	struct ps_notification *n = t->owner;

	lonelypsp_notify_leave(&n->op, EIO);
	n->reason = "failed";
	finish(n, PS_OUTCOME_FAILED);
}

static void fail_later(struct ps_notification *n)
{
	n->wait = (struct ps_timer){.expired = fail, .owner = n};
	ps_loop_arm(n->publisher->loop, &n->wait, 0);
}

static void sending_request(struct ps_notification *n)
{
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_notify__sending_request(lonelypsp_notify_at_sending(&n->op), n->url,
						  strlen(n->url), n->identifier, n->identifier_size,
						  &context));
	context.asks = n->publisher->ask_report;
	if (encode_request(n, ps_trace_bytes(&tracing, &context))) {
		fail_later(n);
		return;
	}
	n->call.authorization = n->authorization.size ? osp_buffer_text(&n->authorization) : NULL;
	n->call.head = ps_bytes(n->head.data, n->head.size);
	n->call.message = n->message;
	n->call.answered = response_received;
	n->call.done = done;
	n->call.owner = n;
	ps_client_start(n->publisher->client, &n->call);
}

/* The broadcaster's url and /v1/notify behind it. */
static int set_url(struct ps_notification *n)
{
	char *text;

	free((void *)(uintptr_t)n->call.url.data);
	n->call.url = ps_bytes(NULL, 0);
	if (asprintf(&text, "%s/v1/notify", n->url) < 0)
		return -ENOMEM;
	n->call.url = ps_bytes_text(text);
	return 0;
}

static void attempt(struct ps_notification *n)
{
	n->attempts++;
	n->attempt_begin_ns = ps_system_wall_ns();
	n->call.status = 0;
	if (new_identifier(n) || set_url(n))
		fail_later(n);
	else
		sending_request(n);
}

static int hash(struct ps_notification *n)
{
	_cleanup_(ps_digest_clear) struct ps_digest d = {0};
	char part[HASH_PART];
	int r = ps_digest_start(&d);
	ssize_t got = 1;

	for (uint64_t at = 0; !r && got > 0; at += (uint64_t)got) {
		got = ps_spool_read(n->message, at, part, sizeof(part));
		r = got < 0 ? (int)got : ps_digest_add(&d, part, (size_t)got);
	}
	return r ? r : ps_digest_stop(&d, n->digest);
}

static void hashed(struct ps_notification *n)
{
	PS_STEP(lonelypsp_notify__hashed(lonelypsp_notify_at_hashed(&n->op)));
	attempt(n);
}

static int plan(struct ps_notification *n)
{
	const struct ps_publisher *p = n->publisher;
	int64_t wait_ns;
	int r = ps_retry_init(&n->retry, p->broadcasters, p->broadcaster_count, p->passes);

	if (!r)
		n->url = ps_retry_next(&n->retry, &wait_ns);
	return r;
}

static void start_without_hash(struct ps_notification *n)
{
	PS_STEP(lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&n->op), n->topic.data,
						     n->topic.size, n->message->size, n->filelike));
	if (hash(n) || plan(n))
		fail_later(n);
	else
		hashed(n);
}

static void start_with_hash(struct ps_notification *n)
{
	PS_STEP(lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&n->op), n->topic.data,
						  n->topic.size, n->message->size, n->filelike));
	memcpy(n->digest, n->known_digest, sizeof(n->digest));
	if (plan(n))
		fail_later(n);
	else
		attempt(n);
}

void ps_publisher_start(struct ps_publisher *p, struct ps_notification *n)
{
	n->publisher = p;
	n->begin_ns = ps_system_wall_ns();
	n->attempts = n->subscribers = 0;
	n->identifier_size = 0;
	n->reason = "none";
	n->url = "";
	if (n->known_digest)
		start_with_hash(n);
	else
		start_without_hash(n);
}

void ps_publisher_clear(struct ps_notification *n)
{
	if (!n->publisher)
		return;
	lonelypsp_notify_leave(&n->op, ECANCELED);
	ps_loop_disarm(n->publisher->loop, &n->wait);
	ps_client_clear(&n->call);
	ps_retry_clear(&n->retry);
	free((void *)(uintptr_t)n->call.url.data);
	n->call.url = ps_bytes(NULL, 0);
	osp_buffer_clear(&n->head);
	osp_buffer_clear(&n->authorization);
}
