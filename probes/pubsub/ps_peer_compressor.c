/*
 * The compressors that the broadcaster offers on one connection: made, told of by ENABLE_ZSTD_*, used
 * by what is sent behind that, and taken back by DISABLE_ZSTD_CUSTOM when a newer one has its
 * place. Fed by ps_peer.c when the connection is configured, and by ps_peer_training.c. Owns struct
 * offer; the compressors are in the connection's table.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum stage { MAKING, TO_BE_ENABLED, IN_USE, TO_BE_DISABLED };

struct offer {
	struct ps_peer_item item;
	struct osp_list node; /* in peer->offers */
	struct ps_peer *peer;
	struct ps_compressor *compressor; /* the table's; its owner is this */
	struct lonelypsp_compressor op;
	enum stage stage;
	uint64_t dictionary_size;
	int64_t begin_ns;
};

static void log_offer(const struct offer *o, const char *outcome)
{
	struct ps_line line;

	ps_peer_log_begin(&line, o->peer, "compressor");
	ps_log_number(&line, "id", (int64_t)o->compressor->id);
	ps_log_number(&line, "level", o->compressor->level);
	ps_log_number(&line, "dictionary", (int64_t)o->dictionary_size);
	ps_log_number(&line, "begin", o->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void free_offer(struct offer *o, const char *outcome)
{
	log_offer(o, outcome);
	lonelypsp_compressor_leave(&o->op, ECANCELED);
	o->compressor->owner = NULL;
	osp_list_remove(&o->node);
	free(o);
}

static void connection_lost(struct offer *o)
{
	if (o->stage == TO_BE_ENABLED)
		lonelypsp_compressor__connection_lost_in_sending_enable(
			lonelypsp_compressor_at_sending_enable(&o->op));
	else if (o->stage == IN_USE)
		lonelypsp_compressor__connection_lost_in_in_use(
			lonelypsp_compressor_at_in_use(&o->op));
	else if (o->stage == TO_BE_DISABLED)
		lonelypsp_compressor__connection_lost_in_rotated_out(
			lonelypsp_compressor_at_rotated_out(&o->op));
	free_offer(o, "connection_lost");
}

static void drop(struct ps_peer_item *i)
{
	(void)i; /* ps_peer_drop_compressors does it */
}

void ps_peer_drop_compressors(struct ps_peer *p)
{
	while (!osp_list_empty(&p->offers))
		connection_lost(osp_list_entry(p->offers.next, struct offer, node));
	ps_compressors_clear(&p->compressors);
}

static int send_counted(struct ps_peer *p, const struct ps_frame *f, int64_t counter)
{
	_cleanup_(ps_stateful_free) struct ps_stateful_message *m = NULL;
	int r = ps_stateful_encode(&m, &p->wire, f, counter);

	return r ? r : ps_stateful_send(&p->wire, &m);
}

/* ---- taking one back ------------------------------------------------------------------------- */

static int sending_disable(struct ps_peer_item *i)
{
	struct offer *o = (struct offer *)i;
	struct ps_peer *p = o->peer;
	struct ps_frame f = {.type = PS_FRAME_DISABLE_ZSTD_CUSTOM, .compressor = o->compressor->id};
	int64_t counter = ps_connection_count(&p->wire.connection, &f);
	struct outspan_context context;
	struct ps_tracing tracing;

	ps_peer_pop(p, i);
	lonelypsp_compressor__sending_disable(lonelypsp_compressor_at_rotated_out(&o->op), counter,
					      &context);
	f.tracing = ps_trace_bytes(&tracing, &context);
	free_offer(o, "disabled");
	return send_counted(p, &f, counter);
}

static void rotated_out(struct offer *o)
{
	PS_STEP(lonelypsp_compressor__rotated_out(lonelypsp_compressor_at_in_use(&o->op)));
	o->stage = TO_BE_DISABLED;
	o->item = (struct ps_peer_item){.turn = sending_disable, .drop = drop};
	ps_peer_push(o->peer, &o->item);
}

/* ---- offering one ---------------------------------------------------------------------------- */

static int sending_enable(struct ps_peer_item *i)
{
	struct offer *o = (struct offer *)i;
	struct ps_peer *p = o->peer;
	struct ps_frame f = ps_compressor_frame(o->compressor);
	int64_t counter = ps_connection_count(&p->wire.connection, &f);
	struct ps_compressor *before = NULL;
	struct outspan_context context;
	struct ps_tracing tracing;
	int r;

	ps_peer_pop(p, i);
	PS_STEP(lonelypsp_compressor__sending_enable(lonelypsp_compressor_at_sending_enable(&o->op),
						     p->connection, sizeof(p->connection), counter,
						     &context));
	f.tracing = ps_trace_bytes(&tracing, &context);
	o->stage = IN_USE;
	r = send_counted(p, &f, counter);
	if (!r && f.type == PS_FRAME_ENABLE_ZSTD_CUSTOM)
		before = ps_compressors_retire(&p->compressors);
	if (before && before->owner)
		rotated_out(before->owner);
	return r;
}

static void ready(struct offer *o)
{
	const struct ps_compressor *c = o->compressor;

	PS_STEP(lonelypsp_compressor__ready(lonelypsp_compressor_at_prepared(&o->op), c->level,
					    c->min, c->max, o->dictionary_size));
	o->stage = TO_BE_ENABLED;
	o->item = (struct ps_peer_item){.turn = sending_enable, .drop = drop};
	ps_peer_push(o->peer, &o->item);
}

/* The peer knows nothing of it yet: the connection goes on without. */
static void prepare_failed(struct offer *o, enum ps_compressor_fault fault)
{
	struct ps_peer *p = o->peer;
	struct ps_compressor *c = o->compressor;

	osp_warn("compressor %llu: %s", (unsigned long long)c->id,
		 ps_compressor_fault_to_str(fault));
	lonelypsp_compressor__prepare_failed(lonelypsp_compressor_at_prepared(&o->op));
	free_offer(o, "prepare_failed");
	ps_compressors_remove(&p->compressors, &c);
}

static void prepare(struct ps_peer *p, struct ps_compressor *c, enum lonelypsp_dictionary kind)
{
	struct offer *o = calloc(1, sizeof(*o));
	enum ps_compressor_fault fault;

	if (!o) {
		ps_compressors_remove(&p->compressors, &c);
		return;
	}
	o->peer = p;
	o->compressor = c;
	o->begin_ns = ps_system_wall_ns();
	o->dictionary_size = c->dictionary ? ps_dictionary_bytes(c->dictionary).size : 0;
	c->owner = o;
	osp_list_add(&p->offers, &o->node);
	PS_STEP(lonelypsp_compressor__preparing(lonelypsp_compressor_begin(&o->op), &p->op.head,
						c->id, kind));
	fault = ps_compressor_prepare(c);
	if (fault)
		prepare_failed(o, fault);
	else
		ready(o);
}

void ps_peer_offer_trained(struct ps_peer *p, struct ps_dictionary *dictionary)
{
	struct ps_compressor *c;

	if (!ps_compressors_offer_trained(&p->compressors, &c, dictionary))
		prepare(p, c, LONELYPSP_DICTIONARY_TRAINED);
}

/* A preset that is unknown here is left out: the peer need not be without the others. */
void ps_peer_offer_compressors(struct ps_peer *p, const struct ps_frame *configure)
{
	const struct ps_peers_options *o = &p->all->options;
	struct ps_compressor *c;

	p->compressors = (struct ps_compressors){.side = PS_BROADCASTER,
						 .zstd = o->zstd && configure->zstd,
						 .training = o->training && configure->training,
						 .presets = o->presets};
	if (!ps_compressors_offer(&p->compressors, &c, PS_COMPRESSOR_STANDARD))
		prepare(p, c, LONELYPSP_DICTIONARY_NONE);
	if (configure->dictionary > PS_COMPRESSOR_STANDARD &&
	    !ps_compressors_offer(&p->compressors, &c, configure->dictionary))
		prepare(p, c, LONELYPSP_DICTIONARY_PRESET);
	if (p->compressors.zstd && p->compressors.training)
		ps_peer_start_training(p);
}

struct ps_compressor *ps_peer_choose(const struct ps_peer *p, uint64_t length)
{
	struct ps_compressor *c = ps_compressors_choose(&p->compressors, length);
	const struct offer *o = c ? c->owner : NULL;

	return o && o->stage == IN_USE ? c : NULL;
}
