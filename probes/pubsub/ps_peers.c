/*
 * All stateful connections of a broadcaster: what they are subscribed to, and who of them a message
 * is for. Fed by the connections (ps_peer.c) and, through struct ps_relay, by the requests that
 * broadcasters send for web sockets. Owns the web sockets and the counts by which connections share
 * a row of the database.
 */
#include "probes/pubsub/ps_peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { SHARED_MAX = 1 << 24 };

/* A topic or glob that connections are subscribed to. */
struct shared {
	size_t count; /* of them */
	size_t size;
	uint8_t key[];
};

/* ---- subscriptions --------------------------------------------------------------------------- */

/*
 * The row may be there from an earlier run; a message on its way to us may even be about to remove
 * that one, so it is made anew.
 */
static int add_row(struct ps_broadcaster *b, enum ps_db_kind kind, struct ps_bytes key)
{
	struct ps_bytes url = ps_bytes_text(b->receive_url);
	struct ps_bytes recovery = ps_bytes_text(b->missed_url);
	int r = ps_db_subscribe(b->db, kind, url, key, recovery);

	if (r != -EEXIST)
		return r;
	r = ps_db_unsubscribe(b->db, kind, url, key);
	return r && r != -ENOENT ? r : ps_db_subscribe(b->db, kind, url, key, recovery);
}

static int remove_row(struct ps_broadcaster *b, enum ps_db_kind kind, struct ps_bytes key)
{
	int r = ps_db_unsubscribe(b->db, kind, ps_bytes_text(b->receive_url), key);

	return r == -ENOENT ? 0 : r;
}

static int new_shared(struct shared **out, struct ps_peers *all, enum ps_db_kind kind,
		      struct ps_bytes key)
{
	_cleanup_free_ struct shared *x = calloc(1, sizeof(*x) + key.size);
	int r = x ? 0 : -ENOMEM;

	if (r)
		return r;
	x->size = key.size;
	if (key.size)
		memcpy(x->key, key.data, key.size);
	r = osp_map_add(&all->shared[kind], key.data, key.size, x);
	if (r)
		return r;
	r = add_row(all->b, kind, key);
	if (r)
		osp_map_remove(&all->shared[kind], key.data, key.size);
	else
		*out = TAKE_PTR(x);
	return r;
}

static int drop_shared(struct ps_peers *all, enum ps_db_kind kind, struct shared *x, bool *last)
{
	int r = 0;

	*last = !--x->count;
	if (!*last)
		return 0;
	osp_map_remove(&all->shared[kind], x->key, x->size);
	r = remove_row(all->b, kind, ps_bytes(x->key, x->size));
	free(x);
	return r;
}

bool ps_peers_has(const struct ps_peer *p, enum ps_db_kind kind, struct ps_bytes key)
{
	return osp_map_find(&p->subscriptions[kind], key.data, key.size) != NULL;
}

int ps_peers_add(struct ps_peer *p, enum ps_db_kind kind, struct ps_bytes key, bool *first)
{
	struct shared *x = osp_map_find(&p->all->shared[kind], key.data, key.size);
	bool last;
	int r = 0;

	if (ps_peers_has(p, kind, key))
		return -EEXIST;
	*first = !x;
	if (!x)
		r = new_shared(&x, p->all, kind, key);
	if (r)
		return r;
	x->count++;
	r = osp_map_add(&p->subscriptions[kind], key.data, key.size, x);
	if (r)
		(void)drop_shared(p->all, kind, x, &last);
	return r;
}

int ps_peers_remove(struct ps_peer *p, enum ps_db_kind kind, struct ps_bytes key, bool *last)
{
	struct shared *x = osp_map_remove(&p->subscriptions[kind], key.data, key.size);

	return x ? drop_shared(p->all, kind, x, last) : -ENOENT;
}

void ps_peers_remove_all(struct ps_peer *p)
{
	for (int kind = 0; kind < PS_DB_KINDS; kind++) {
		struct shared *x;
		bool last;

		for (size_t i = 0; (x = osp_map_next(&p->subscriptions[kind], &i));)
			if (drop_shared(p->all, (enum ps_db_kind)kind, x, &last))
				osp_warn("a subscription that no web socket has stays in the "
					 "database until the next message for it");
		osp_map_clear(&p->subscriptions[kind]);
	}
}

static bool wants(const struct ps_peer *p, struct ps_bytes topic)
{
	const struct shared *x;

	if (osp_map_find(&p->subscriptions[PS_DB_EXACT], topic.data, topic.size))
		return true;
	for (size_t i = 0; (x = osp_map_next(&p->subscriptions[PS_DB_GLOB], &i));)
		if (ps_db_glob_matches(ps_bytes(x->key, x->size), topic))
			return true;
	return false;
}

/* ---- what the HTTP side sees ------------------------------------------------------------------ */

static struct ps_peers *peers_of(struct ps_relay *r)
{
	return (struct ps_peers *)r;
}

/* The connection of this number, or the first behind it; NULL at the end. */
static struct ps_peer *find_from(struct ps_peers *all, uint64_t number)
{
	bool known = all->at && all->at->number <= number;
	struct osp_list *node = known ? &all->at->node : all->list.next;

	for (; node != &all->list; node = node->next) {
		struct ps_peer *p = osp_list_entry(node, struct ps_peer, node);

		if (p->number >= number)
			return all->at = p;
	}
	return NULL;
}

static struct ps_peer *find(struct ps_peers *all, const struct ps_relay_at *at)
{
	struct ps_peer *p = find_from(all, at->number);

	return p && p->number == at->number && p->state == PS_PEER_OPEN ? p : NULL;
}

static int next(struct ps_relay *r, struct ps_bytes topic, struct ps_relay_at *at)
{
	struct ps_peer *p;

	while ((p = find_from(peers_of(r), at->number + 1))) {
		at->number = p->number;
		if (p->state == PS_PEER_OPEN && wants(p, topic)) {
			memcpy(at->connection, p->connection, sizeof(at->connection));
			return 0;
		}
	}
	return 1;
}

static enum ps_queued queue(struct ps_relay *r, const struct ps_relay_at *at,
			    struct ps_relay_message *m)
{
	struct ps_peer *p = find(peers_of(r), at);

	return p ? ps_peer_deliver(p, m) : PS_NOT_QUEUED;
}

static void cancel(struct ps_relay *r, struct ps_relay_message *m)
{
	(void)r;
	ps_peer_take_back(m);
}

static bool tell_missed(struct ps_relay *r, const struct ps_relay_at *at, struct ps_bytes topic,
			const struct outspan_op *parent)
{
	struct ps_peer *p = find(peers_of(r), at);

	return p && ps_peer_tell_missed(p, topic, parent);
}

/* ---- all of them ----------------------------------------------------------------------------- */

int ps_peers_open(struct ps_peers *all, struct ps_broadcaster *b, const struct ps_peers_options *o)
{
	struct ps_sockets_options sockets = o->sockets;
	int r;

	*all = (struct ps_peers){
		.relay = {next, queue, cancel, tell_missed}, .b = b, .options = *o};
	osp_list_init(&all->list);
	r = ps_system_random(&all->seed, sizeof(all->seed));
	if (r)
		return osp_err(r, "no random bytes");
	for (int kind = 0; kind < PS_DB_KINDS; kind++)
		osp_map_init(&all->shared[kind], SHARED_MAX, all->seed);
	if (o->training)
		r = ps_trainer_new(&all->trainer, b->loop, &o->trainer);
	if (r)
		return osp_err(r, "train dictionaries");
	sockets.accepted = &ps_peer_events;
	sockets.owner = all;
	sockets.pending_max = o->pending_max;
	return ps_sockets_open(&all->sockets, b->loop, &sockets);
}

void ps_peers_end(struct ps_peers *all)
{
	if (!all->b)
		return;
	while (!osp_list_empty(&all->list)) {
		struct ps_peer *p = osp_list_entry(all->list.next, struct ps_peer, node);

		ps_peer_fail(p, PS_PEER_SHUTDOWN, 0, "the broadcaster is being stopped");
		ps_socket_kill(&p->wire.socket);
		ps_peer_free(&p);
	}
}

void ps_peers_close(struct ps_peers *all)
{
	if (!all->b)
		return;
	ps_peers_end(all);
	ps_sockets_close(&all->sockets);
	ps_trainer_free(&all->trainer);
	ps_zstd_clear(&all->zstd);
	for (int kind = 0; kind < PS_DB_KINDS; kind++)
		osp_map_clear(&all->shared[kind]);
}

void ps_peers_stop(struct ps_peers *all)
{
	all->stopping = true;
	for (struct osp_list *n = all->list.next; n != &all->list; n = n->next)
		ps_peer_fail(osp_list_entry(n, struct ps_peer, node), PS_PEER_SHUTDOWN, 0,
			     "the broadcaster is being stopped");
}

bool ps_peers_is_busy(const struct ps_peers *all)
{
	for (struct osp_list *n = all->list.next; n != &all->list; n = n->next) {
		const struct ps_peer *p = osp_list_entry(n, struct ps_peer, node);

		if (p->busy || p->queue_count || !osp_list_empty(&p->deliveries))
			return true;
	}
	return false;
}

void ps_peers_print(const struct ps_peers *all, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "connections=%llu",
				    (unsigned long long)all->last_number);

	for (int end = PS_PEER_NOT_ENDED + 1; end < PS_PEER_ENDS_COUNT && n < size; end++)
		if (all->ended[end])
			n += (size_t)snprintf(out + n, size - n, " %s=%llu",
					      ps_peer_end_to_str((enum ps_peer_end)end),
					      (unsigned long long)all->ended[end]);
}
