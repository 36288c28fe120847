/*
 * MISSED at the subscriber: a broadcaster could not deliver a message on a topic and says so
 * later; the application is told, the broadcaster gets its confirmation. Fed by the HTTP server.
 * Owns struct notice.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_answer.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_system.h"

struct notice {
	struct ps_subscriber *s; /* borrowed: outlives every request */
	int64_t begin_ns;
	struct osp_buffer body; /* what `m` points into */
	bool overflow;
	struct ps_missed m;
};

static void log_missed(struct notice *n, unsigned status)
{
	struct ps_line line;

	ps_log_begin(&line, n->s->log, "missed");
	ps_log_text(&line, "topic", n->m.topic);
	ps_log_word(&line, "url", n->s->recover_url);
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "status", status);
	ps_log_end(&line);
}

static int begin(struct ps_request *r, void *owner)
{
	struct notice *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->s = owner;
	n->begin_ns = ps_system_wall_ns();
	n->body.max = PS_MISSED_MAX;
	r->state = n;
	return 0;
}

static void body(struct ps_request *r, struct ps_bytes part)
{
	struct notice *n = r->state;

	if (!n->overflow && osp_buffer_add(&n->body, part.data, part.size))
		n->overflow = true;
}

/* The status of an authorization at this endpoint: a missing one is 403, too. */
static unsigned check_authorization(struct notice *n, const char *given)
{
	const struct ps_auth *a = n->s->auth;
	struct ps_signed m = {.kind = PS_KIND_MISSED,
			      .tracing = n->m.tracing,
			      .recovery = ps_bytes_text(n->s->recover_url),
			      .key = n->m.topic};
	enum ps_auth_result result = ps_auth_check(a, &a->to_subscriber, ps_bytes_text(given), &m);

	return result == PS_AUTH_OK ? 200 : result == PS_AUTH_UNAVAILABLE ? 503 : 403;
}

static void confirm(struct notice *n, struct ps_request *r)
{
	struct ps_response a = {.type = PS_RESPONSE_CONFIRM_MISSED};
	struct ps_signed m = {.kind = PS_KIND_CONFIRM_MISSED,
			      .key = n->m.topic,
			      .url = ps_bytes_text(n->s->recover_url)};

	if (n->s->options.missed)
		n->s->options.missed(n->s->options.owner, n->m.topic);
	ps_answer_signed(r, &a, &n->s->auth->to_broadcaster, &m);
}

static void end(struct ps_request *r)
{
	struct notice *n = r->state;
	unsigned status = 503;

	if (n->overflow || ps_message_decode_missed(&n->m, ps_bytes(n->body.data, n->body.size)))
		status = 400;
	else if (!n->s->stopping)
		status = check_authorization(n, ps_server_header(r, "Authorization"));
	if (status == 200)
		confirm(n, r);
	else
		ps_server_answer(r, status, ps_bytes(NULL, 0));
	log_missed(n, r->status);
}

static void gone(struct ps_request *r)
{
	struct notice *n = r->state;

	osp_buffer_clear(&n->body);
	free(n);
}

const struct ps_route ps_route_recover = {"/v1/recover", begin, body, end, gone};
