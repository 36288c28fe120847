/*
 * What waits to be sent over one connection: answers, messages in parts, news. In the order in
 * which it came, one after the other, for the counters are part of what is signed and the parts of
 * a message stay together. Fed by the operations; sends by ps_stateful.
 */
#include "probes/pubsub/ps_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

unsigned ps_peer_pending(const struct ps_peer *p)
{
	return p->queue_count + (p->wire.socket ? ps_socket_pending(p->wire.socket) : 0);
}

int ps_peer_push(struct ps_peer *p, struct ps_peer_item *i)
{
	if (p->state == PS_PEER_ENDING)
		return -ENOTCONN;
	if (ps_peer_pending(p) >= p->all->options.pending_max) {
		ps_peer_fail(p, PS_PEER_PENDING_SENDS_FULL, 0, "too many messages to be sent");
		return -ENOBUFS;
	}
	osp_list_add(&p->queue, &i->node);
	p->queue_count++;
	ps_peer_pump(p);
	return 0;
}

/* The item may be gone once its turn is over; it is out of the list before. */
static int give_turn(struct ps_peer *p, struct ps_peer_item *i)
{
	int r = i->turn(i);

	if (r < 0)
		ps_peer_fail(p, PS_PEER_BACKGROUND_ERROR, -r, strerror(-r));
	return r;
}

void ps_peer_pump(struct ps_peer *p)
{
	if (p->pumping)
		return;
	p->pumping = true;
	while (p->state == PS_PEER_OPEN && !osp_list_empty(&p->queue))
		if (give_turn(p, osp_list_entry(p->queue.next, struct ps_peer_item, node)))
			break;
	p->pumping = false;
}

void ps_peer_pop(struct ps_peer *p, struct ps_peer_item *i)
{
	osp_list_remove(&i->node);
	p->queue_count--;
}

void ps_peer_drop_queue(struct ps_peer *p)
{
	while (!osp_list_empty(&p->queue)) {
		struct ps_peer_item *i = osp_list_entry(p->queue.next, struct ps_peer_item, node);

		ps_peer_pop(p, i);
		i->drop(i);
	}
}

/* ---- answers --------------------------------------------------------------------------------- */

struct answer {
	struct ps_peer_item item;
	struct ps_peer *peer;
	struct ps_stateful_message *message; /* owned */
};

static void drop_answer(struct ps_peer_item *i)
{
	struct answer *a = (struct answer *)i;

	ps_stateful_free(&a->message);
	free(a);
}

static int answer_turn(struct ps_peer_item *i)
{
	struct answer *a = (struct answer *)i;
	int r = ps_stateful_send(&a->peer->wire, &a->message);

	ps_peer_pop(a->peer, i);
	drop_answer(i);
	return r;
}

static int queue_answer(struct ps_peer *p, const struct ps_frame *frame, int64_t counter)
{
	struct answer *a = calloc(1, sizeof(*a));
	int r = a ? ps_stateful_encode(&a->message, &p->wire, frame, counter) : -ENOMEM;

	if (r) {
		free(a);
		return r;
	}
	a->peer = p;
	a->item = (struct ps_peer_item){.turn = answer_turn, .drop = drop_answer};
	r = ps_peer_push(p, &a->item);
	if (r)
		drop_answer(&a->item);
	return r;
}

int ps_peer_answer(struct ps_peer *p, const struct ps_frame *frame, int64_t counter)
{
	int r = queue_answer(p, frame, counter);

	if (r)
		ps_peer_fail(p, PS_PEER_BACKGROUND_ERROR, -r, strerror(-r));
	return r;
}
