/* One of two ways to subscribe behind the same calls. Fed by psp-subscriber. Owns either. */
#include "probes/pubsub/ps_inbox.h"

#include <errno.h>

int ps_inbox_open_http(struct ps_inbox *b, struct ps_loop *l, const struct ps_auth *a,
		       struct ps_log *log, const struct ps_subscriber_options *http)
{
	b->is_ws = false;
	return ps_subscriber_open(&b->http, l, a, log, http);
}

static void ended(void *owner, enum ps_session_end how)
{
	struct ps_inbox *b = owner;

	b->ended(b->owner, how == PS_SESSION_STOPPED ? 0 : -ENOTCONN);
}

int ps_inbox_open_ws(struct ps_inbox *b, struct ps_loop *l, const struct ps_auth *a,
		     struct ps_log *log, const struct ps_subscriber_options *http,
		     const struct ps_session_options *ws)
{
	struct ps_session_options o = *ws;

	b->is_ws = true;
	o.broadcasters = http->broadcasters;
	o.broadcaster_count = http->broadcaster_count;
	o.passes = http->passes;
	o.budget = http->budget;
	o.handlers = http->handlers;
	o.handler_count = http->handler_count;
	o.missed = http->missed;
	o.missed_owner = http->owner;
	o.ended = ended;
	o.owner = b;
	o.connect_ns = http->client.connect_ns;
	o.subscriptions_max = http->subscriptions_max;
	o.changes_max = http->changes_max;
	return ps_session_open(&b->ws, l, a, log, &o);
}

void ps_inbox_close(struct ps_inbox *b)
{
	if (b->is_ws)
		ps_session_close(&b->ws);
	else
		ps_subscriber_close(&b->http);
}

void ps_inbox_stop(struct ps_inbox *b)
{
	if (b->is_ws && b->ws.state != PS_SESSION_OVER)
		ps_session_stop(&b->ws);
	else
		b->ended(b->owner, 0);
}

int ps_inbox_change(struct ps_inbox *b, bool subscribe, enum ps_db_kind kind, struct ps_bytes key,
		    void (*done)(void *owner, const struct ps_changed *c), void *owner)
{
	return b->is_ws ? ps_session_change(&b->ws, subscribe, kind, key, done, owner)
			: ps_subscriber_change(&b->http, subscribe, kind, key, done, owner);
}

void ps_inbox_gather(struct ps_inbox *b, bool gathering)
{
	if (!b->is_ws)
		ps_subscriber_gather(&b->http, gathering);
}

int ps_inbox_leave(struct ps_inbox *b, void (*done)(void *owner, const struct ps_changed *c),
		   void *owner)
{
	if (!ps_inbox_count(b) || (b->is_ws && b->ws.state != PS_SESSION_OPEN))
		return 1;
	return b->is_ws ? ps_session_leave(&b->ws, done, owner)
			: ps_subscriber_leave(&b->http, done, owner);
}

int ps_inbox_check(struct ps_inbox *b, void (*done)(void *owner, const struct ps_checked *c),
		   void *owner)
{
	return b->is_ws ? -ENOTSUP : ps_subscriber_check(&b->http, done, owner);
}

bool ps_inbox_is_changing(const struct ps_inbox *b)
{
	return b->is_ws ? b->ws.change_count > 0 : b->http.turns.first != NULL;
}

size_t ps_inbox_count(const struct ps_inbox *b)
{
	return b->is_ws ? b->ws.subscriptions.count : b->http.subscriptions.count;
}
