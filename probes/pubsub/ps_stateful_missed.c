/*
 * MISSED over a web socket: tells one connection that a message on a topic was missed. Fed by
 * ps_handle_missed.c; there is no answer. Owns struct news.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"

struct news {
	struct ps_peer_item item;
	struct ps_peer *peer;
	struct lonelypsp_stateful_missed op;
	int64_t begin_ns, counter;
	size_t size;
	uint8_t topic[];
};

static void log_missed(const struct news *n, const char *outcome)
{
	struct ps_line line;

	ps_peer_log_begin(&line, n->peer, "stateful_missed");
	ps_log_text(&line, "topic", ps_bytes(n->topic, n->size));
	ps_log_number(&line, "counter", n->counter);
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void sent(struct ps_stateful_message *m, int error)
{
	struct news *n = m->owner;

	if (error)
		lonelypsp_stateful_missed__connection_lost_in_sending(
			lonelypsp_stateful_missed_at_sending(&n->op));
	else
		lonelypsp_stateful_missed__sent(lonelypsp_stateful_missed_at_sending(&n->op));
	log_missed(n, error ? "connection_lost" : "ok");
	free(n);
}

static void drop(struct ps_peer_item *i)
{
	struct news *n = (struct news *)i;

	lonelypsp_stateful_missed__connection_lost_in_turn(
		lonelypsp_stateful_missed_at_turn(&n->op));
	log_missed(n, "connection_lost");
	free(n);
}

static int sending_missed(struct news *n, struct ps_frame *f)
{
	struct ps_stateful_message *m = NULL;
	struct outspan_context context;
	struct ps_tracing tracing;
	int r;

	n->counter = ps_connection_count(&n->peer->wire.connection, f);
	PS_STEP(lonelypsp_stateful_missed__sending_missed(
		lonelypsp_stateful_missed_at_turn(&n->op), n->peer->connection,
		sizeof(n->peer->connection), n->counter, &context));
	f->tracing = ps_trace_bytes(&tracing, &context);
	r = ps_stateful_encode(&m, &n->peer->wire, f, n->counter);
	if (r)
		return r;
	m->sent = sent;
	m->owner = n;
	r = ps_stateful_send(&n->peer->wire, &m);
	ps_stateful_free(&m);
	return r;
}

static int turn(struct ps_peer_item *i)
{
	struct news *n = (struct news *)i;
	struct ps_frame f = {.type = PS_FRAME_MISSED, .key = ps_bytes(n->topic, n->size)};
	int r;

	ps_peer_pop(n->peer, i);
	r = sending_missed(n, &f);
	if (!r)
		return 0;
	lonelypsp_stateful_missed_leave(&n->op, -r);
	log_missed(n, "failed");
	free(n);
	return r;
}

bool ps_peer_tell_missed(struct ps_peer *p, struct ps_bytes topic, const struct outspan_op *parent)
{
	struct news *n = calloc(1, sizeof(*n) + topic.size);

	if (!n)
		return false;
	n->peer = p;
	n->begin_ns = ps_system_wall_ns();
	n->item = (struct ps_peer_item){.turn = turn, .drop = drop};
	n->size = topic.size;
	if (topic.size)
		memcpy(n->topic, topic.data, topic.size);
	PS_STEP(lonelypsp_stateful_missed__queued(lonelypsp_stateful_missed_begin(&n->op), parent,
						  topic.data, topic.size));
	if (!ps_peer_push(p, &n->item))
		return true;
	lonelypsp_stateful_missed_leave(&n->op, ENOBUFS);
	log_missed(n, "pending_full");
	free(n);
	return false;
}
