/*
 * SUBSCRIBE and UNSUBSCRIBE, exact and glob, over a web socket at the broadcaster: four messages
 * over two automata. Fed by ps_peer.c, which has counted the message; changes what the connection
 * is subscribed to (ps_peers.c) and answers. Each is over when its function returns.
 */
#include <errno.h>
#include <string.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"

/* What tells the four messages apart. */
struct verb {
	bool subscribe; /* else unsubscribe */
	enum ps_db_kind kind;
	enum ps_frame_type answer;
};

/* The four operations' blocks; `verb` says which one is in use. */
union change_op {
	struct lonelypsp_handle_stateful_subscribe_exact subscribe_exact;
	struct lonelypsp_handle_stateful_subscribe_glob subscribe_glob;
	struct lonelypsp_handle_stateful_unsubscribe_exact unsubscribe_exact;
	struct lonelypsp_handle_stateful_unsubscribe_glob unsubscribe_glob;
};

struct change {
	struct ps_peer *peer;
	const struct ps_frame *frame; /* borrowed for the call, as all of this */
	struct verb verb;
	int64_t counter, begin_ns;
	struct outspan_context context; /* the request's, if it carried one of ours */
	union change_op op;
};

/* One statement of the four that `make` spells for an operation, the one of this change. */
#define EACH_SUBSCRIBE(c, make, ...)                                                               \
	do {                                                                                       \
		if ((c)->verb.kind == PS_DB_EXACT)                                                 \
			make(subscribe, subscribe_exact, &(c)->op.subscribe_exact, __VA_ARGS__);   \
		else                                                                               \
			make(subscribe, subscribe_glob, &(c)->op.subscribe_glob, __VA_ARGS__);     \
	} while (0)
#define EACH_UNSUBSCRIBE(c, make, ...)                                                             \
	do {                                                                                       \
		if ((c)->verb.kind == PS_DB_EXACT)                                                 \
			make(unsubscribe, unsubscribe_exact, &(c)->op.unsubscribe_exact,           \
			     __VA_ARGS__);                                                         \
		else                                                                               \
			make(unsubscribe, unsubscribe_glob, &(c)->op.unsubscribe_glob,             \
			     __VA_ARGS__);                                                         \
	} while (0)
#define EACH(c, make, ...)                                                                         \
	do {                                                                                       \
		if ((c)->verb.subscribe)                                                           \
			EACH_SUBSCRIBE(c, make, __VA_ARGS__);                                      \
		else                                                                               \
			EACH_UNSUBSCRIBE(c, make, __VA_ARGS__);                                    \
	} while (0)
#define AT(f, o, block, state)                                                                     \
	lonelypsp_handle_stateful_##o##_at_handle_stateful_##f##_##state(block)
#define STEP(f, o, block, state, point, ...)                                                       \
	PS_STEP(lonelypsp_handle_stateful_##o##__##point(AT(f, o, block, state), ##__VA_ARGS__))
#define END(f, o, block, state, point, ...)                                                        \
	lonelypsp_handle_stateful_##o##__##point(AT(f, o, block, state), ##__VA_ARGS__)
#define BEGIN(f, o, block, ...)                                                                    \
	PS_STEP(lonelypsp_handle_stateful_##o##__received(                                         \
		lonelypsp_handle_stateful_##o##_begin(block), __VA_ARGS__))
#define LEAVE(f, o, block, error) lonelypsp_handle_stateful_##o##_leave(block, error)

static struct verb verb_of(enum ps_frame_type type)
{
	return (struct verb){
		.subscribe = type == PS_FRAME_SUBSCRIBE_EXACT || type == PS_FRAME_SUBSCRIBE_GLOB,
		.kind = type == PS_FRAME_SUBSCRIBE_GLOB || type == PS_FRAME_UNSUBSCRIBE_GLOB
				? PS_DB_GLOB
				: PS_DB_EXACT,
		.answer = ps_formats[type].answer};
}

static void log_change(const struct change *c, const char *outcome)
{
	struct ps_line line;

	ps_peer_log_begin(&line, c->peer,
			  c->verb.subscribe ? "stateful_subscribe" : "stateful_unsubscribe");
	ps_log_word(&line, "kind", c->verb.kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_text(&line, "key", c->frame->key);
	ps_log_number(&line, "counter", c->counter);
	ps_log_number(&line, "begin", c->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

/* Ends the connection: the protocol has no other way to say no. */
static void refuse(struct change *c, enum ps_peer_end end, int cause, const char *why)
{
	log_change(c, why);
	ps_peer_fail(c->peer, end, cause, why);
}

static void received(struct change *c)
{
	EACH(c, BEGIN, c->peer->connection, sizeof(c->peer->connection), c->counter,
	     c->frame->key.data, c->frame->key.size);
}

static void bad_auth_result(struct change *c, enum ps_auth_result result)
{
	EACH(c, END, auth_result, bad_auth_result, (enum lonelypsp_auth_result)result);
	refuse(c, PS_PEER_BAD_AUTH, ps_formats[c->frame->type].id, ps_auth_result_to_str(result));
}

/* ---- subscribing ----------------------------------------------------------------------------- */

static void already_subscribed(struct change *c)
{
	EACH_SUBSCRIBE(c, END, store_result, already_subscribed);
	refuse(c, PS_PEER_PROTOCOL_ERROR, ps_formats[c->frame->type].id, "already_subscribed");
}

static void subscribe_unavailable(struct change *c, int error)
{
	EACH_SUBSCRIBE(c, END, registering, unavailable);
	refuse(c, PS_PEER_BACKGROUND_ERROR, -error, "unavailable");
}

static void registered(struct change *c, bool first)
{
	EACH_SUBSCRIBE(c, END, registering, registered, first);
	log_change(c, "ok");
}

/* 0, or the connection has ended. */
static int confirm(struct change *c, struct outspan_context *context)
{
	struct ps_frame f = {.type = c->verb.answer, .key = c->frame->key};
	struct ps_tracing tracing;

	context->valid &= c->context.valid; /* answered with one only if asked with one */
	f.tracing = ps_trace_bytes(&tracing, context);
	c->peer->changes++;
	return ps_peer_answer(c->peer, &f, c->counter);
}

/* Confirms first: that is the protocol's order. */
static void subscribe(struct change *c)
{
	struct outspan_context context;
	bool first;
	int r;

	if (ps_peers_has(c->peer, c->verb.kind, c->frame->key)) {
		already_subscribed(c);
		return;
	}
	EACH_SUBSCRIBE(c, STEP, store_result, sending_confirm, &context);
	r = confirm(c, &context);
	if (r) {
		log_change(c, "failed");
		return;
	}
	r = ps_peers_add(c->peer, c->verb.kind, c->frame->key, &first);
	if (r)
		subscribe_unavailable(c, r);
	else
		registered(c, first);
}

/* ---- unsubscribing --------------------------------------------------------------------------- */

static void not_subscribed(struct change *c)
{
	EACH_UNSUBSCRIBE(c, END, store_result, not_subscribed);
	refuse(c, PS_PEER_PROTOCOL_ERROR, ps_formats[c->frame->type].id, "not_subscribed");
}

static void unsubscribe_unavailable(struct change *c, int error)
{
	EACH_UNSUBSCRIBE(c, END, store_result, unavailable);
	refuse(c, PS_PEER_BACKGROUND_ERROR, -error, "unavailable");
}

static void deregistered(struct change *c, bool last)
{
	struct outspan_context context;

	EACH_UNSUBSCRIBE(c, STEP, store_result, deregistered, last);
	EACH_UNSUBSCRIBE(c, END, deregistered, sending_confirm, &context);
	log_change(c, confirm(c, &context) ? "failed" : "ok");
}

static void unsubscribe(struct change *c)
{
	bool last = false;
	int r = ps_peers_remove(c->peer, c->verb.kind, c->frame->key, &last);

	if (r == -ENOENT)
		not_subscribed(c);
	else if (r)
		unsubscribe_unavailable(c, r);
	else
		deregistered(c, last);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void auth_accepted(struct change *c)
{
	EACH(c, STEP, auth_result, auth_accepted, c->peer->connection, sizeof(c->peer->connection),
	     c->counter, c->frame->key.data, c->frame->key.size, &c->context);
	if (c->verb.subscribe && c->verb.kind == PS_DB_GLOB && !ps_db_is_glob(c->frame->key))
		refuse(c, PS_PEER_PROTOCOL_ERROR, ps_formats[c->frame->type].id, "bad_glob");
	else if (c->verb.subscribe)
		subscribe(c);
	else
		unsubscribe(c);
}

void ps_peer_change(struct ps_peer *p, const struct ps_frame *f, int64_t counter)
{
	struct change c = {.peer = p,
			   .frame = f,
			   .verb = verb_of(f->type),
			   .counter = counter,
			   .begin_ns = ps_system_wall_ns()};
	enum ps_auth_result result;

	received(&c);
	result = ps_stateful_check(&p->wire, f, counter);
	if (result == PS_AUTH_OK) {
		ps_trace_read(&c.context, f->tracing);
		auth_accepted(&c);
	} else {
		bad_auth_result(&c, result);
	}
	EACH(&c, LEAVE, ECANCELED);
}
