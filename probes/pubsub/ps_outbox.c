/* One of two ways to publish behind the same calls. Fed by psp-notify. Owns the messages. */
#include "probes/pubsub/ps_outbox.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

static int open_parcels(struct ps_outbox *b, struct ps_budget *budget, unsigned count)
{
	b->parcels = calloc(count, sizeof(*b->parcels));
	if (!b->parcels)
		return osp_err(-ENOMEM, "%u messages", count);
	b->budget = budget;
	b->count = count;
	for (unsigned i = 0; i < count; i++)
		ps_spool_init(&b->parcels[i].own, budget);
	return 0;
}

int ps_outbox_open_http(struct ps_outbox *b, const struct ps_publisher *http,
			struct ps_budget *budget)
{
	b->is_ws = false;
	b->http = *http;
	return open_parcels(b, budget, 1);
}

static void ended(void *owner, enum ps_session_end how)
{
	struct ps_outbox *b = owner;

	b->ended(b->owner, how == PS_SESSION_STOPPED ? 0 : -ENOTCONN);
}

int ps_outbox_open_ws(struct ps_outbox *b, const struct ps_publisher *http,
		      struct ps_budget *budget, const struct ps_session_options *ws, unsigned count)
{
	struct ps_session_options o = *ws;

	b->is_ws = true;
	o.broadcasters = http->broadcasters;
	o.broadcaster_count = http->broadcaster_count;
	o.passes = http->passes;
	o.budget = *budget;
	o.identifier = http->identifier;
	o.ended = ended;
	o.owner = b;
	return open_parcels(b, budget, count)
		       ?: ps_session_open(&b->ws, http->loop, http->auth, http->log, &o);
}

void ps_outbox_close(struct ps_outbox *b)
{
	if (b->is_ws)
		ps_session_close(&b->ws);
	for (unsigned i = 0; i < b->count; i++) {
		if (!b->is_ws)
			ps_publisher_clear(&b->parcels[i].http);
		ps_spool_clear(&b->parcels[i].own);
	}
	free(TAKE_PTR(b->parcels));
	b->count = 0;
}

void ps_outbox_stop(struct ps_outbox *b)
{
	if (b->is_ws && b->ws.state != PS_SESSION_OVER)
		ps_session_stop(&b->ws);
	else
		b->ended(b->owner, 0);
}

struct ps_parcel *ps_outbox_next(struct ps_outbox *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct ps_parcel *p = &b->parcels[i];

		if (p->busy)
			continue;
		ps_spool_clear(&p->own);
		ps_spool_init(&p->own, b->budget);
		p->message = &p->own;
		p->filelike = false;
		p->known_digest = NULL;
		return p;
	}
	return NULL;
}

static void finish(struct ps_parcel *p, const struct ps_sent *sent)
{
	struct ps_outbox *b = p->outbox;

	p->busy = false;
	b->busy--;
	b->sent(b->owner, sent);
}

static void http_done(struct ps_notification *n)
{
	struct ps_sent sent = {ps_bytes(n->identifier, n->identifier_size),
			       n->topic,
			       n->message->size,
			       n->attempts,
			       n->status,
			       n->subscribers,
			       n->outcome,
			       n->reason};

	finish(n->owner, &sent);
}

static void ws_done(struct ps_session_notification *n)
{
	struct ps_sent sent = {ps_bytes(n->identifier, n->identifier_size),
			       n->topic,
			       n->message->size,
			       n->attempts,
			       0,
			       n->subscribers,
			       n->outcome,
			       n->reason};

	finish(n->owner, &sent);
}

void ps_outbox_send(struct ps_outbox *b, struct ps_parcel *p)
{
	p->outbox = b;
	p->busy = true;
	b->busy++;
	if (b->is_ws) {
		p->ws.topic = b->topic;
		p->ws.message = p->message;
		p->ws.filelike = p->filelike;
		p->ws.known_digest = p->known_digest;
		p->ws.done = ws_done;
		p->ws.owner = p;
		ps_session_notify(&b->ws, &p->ws);
	} else {
		p->http.topic = b->topic;
		p->http.message = p->message;
		p->http.filelike = p->filelike;
		p->http.known_digest = p->known_digest;
		p->http.done = http_done;
		p->http.owner = p;
		ps_publisher_start(&b->http, &p->http);
	}
}
