/*
 * A message over one web socket: RECEIVE_STREAM in parts, of which only a few may be without
 * confirmation, and their confirmations. Fed by ps_handle_receive.c with a message, by ps_peer.c with
 * answers. A small message is copied; a large one is sent from where it is, and copied if that takes
 * too long, for a request waits for it. One function per step of the automaton. Owns struct
 * ps_peer_delivery.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_body.h"
#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

enum { COPY_SLICE = 1 << 20 }; /* bytes copied before others have their turn */

enum stage { TURN, SENDING, IN_FLIGHT, OVER };

struct ps_peer_delivery {
	struct ps_peer_item item;
	struct ps_peer *peer; /* borrowed: outlives it */
	struct osp_list node; /* in peer->deliveries */
	struct lonelypsp_stateful_deliver op;
	struct outspan_context context;
	enum stage stage;
	bool is_compressing;
	bool waiting; /* for an acknowledgement, and said so */
	int64_t begin_ns;
	/* the message; topic and source are behind the struct */
	struct ps_bytes topic, source;
	uint8_t digest[PS_DIGEST_SIZE], identifier[PS_IDENTIFIER_SIZE];
	uint64_t length;
	const struct ps_spool *bytes;  /* of the next: what is sent */
	struct ps_body *body;	       /* shared copy, complete or being made; or NULL */
	struct ps_relay_message *lent; /* whose bytes are sent meanwhile; or NULL */
	struct ps_timer copy;
	struct ps_zstd_run run; /* from it into `compressed` */
	struct ps_spool compressed;
	uint8_t sent_digest[PS_DIGEST_SIZE]; /* of what is sent */
	uint64_t compressor;		     /* of the run */
	struct ps_timer slice;
	/* what has been sent */
	struct ps_frame frame;
	uint64_t sent;
	unsigned leaving; /* parts that the socket has */
	uint8_t bytes_behind[];
};

static void log_delivery(const struct ps_peer_delivery *d, const char *outcome)
{
	struct ps_line line;

	ps_peer_log_begin(&line, d->peer, "stateful_deliver");
	ps_log_hex(&line, "identifier", ps_bytes(d->identifier, sizeof(d->identifier)));
	ps_log_hex(&line, "source", d->source);
	ps_log_text(&line, "topic", d->topic);
	ps_log_hex(&line, "sha512", ps_bytes(d->digest, 8));
	ps_log_number(&line, "bytes", (int64_t)d->length);
	ps_log_number(&line, "compressor", (int64_t)d->frame.compressor);
	ps_log_number(&line, "sent", (int64_t)d->sent);
	ps_log_number(&line, "parts", (int64_t)d->frame.part);
	ps_log_number(&line, "begin", d->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

/* ---- whose bytes ------------------------------------------------------------------------------ */

/* The request that lent the message need not wait any more. Its callback may do anything. */
static void release(struct ps_peer_delivery *d, bool spooled)
{
	struct ps_relay_message *m = TAKE_PTR(d->lent);

	if (!m)
		return;
	ps_loop_disarm(d->peer->all->b->loop, &d->copy);
	m->holder = NULL;
	m->released(m, spooled);
}

/* What the socket has of the lent message comes from the copy now. */
static void use_copy(struct ps_peer_delivery *d)
{
	struct osp_list *leaving = &d->peer->wire.leaving;

	for (struct osp_list *n = leaving->next; n != leaving; n = n->next) {
		struct ps_stateful_message *m = osp_list_entry(n, struct ps_stateful_message, node);

		if (m->owner == d && m->out.body)
			m->out.body = &d->body->spool;
	}
	d->bytes = &d->body->spool;
}

static void spooled(struct ps_peer_delivery *d)
{
	if (d->stage == TURN)
		PS_STEP(lonelypsp_stateful_deliver__spooled_in_turn(
			lonelypsp_stateful_deliver_at_turn(&d->op)));
	else if (d->stage == SENDING)
		PS_STEP(lonelypsp_stateful_deliver__spooled_in_sending(
			lonelypsp_stateful_deliver_at_sending(&d->op)));
	else if (d->stage == IN_FLIGHT)
		PS_STEP(lonelypsp_stateful_deliver__spooled_in_in_flight(
			lonelypsp_stateful_deliver_at_in_flight(&d->op)));
}

/* 0: not yet all of it; 1; -errno. */
static int copy(struct ps_peer_delivery *d, uint64_t most)
{
	struct ps_peers *all = d->peer->all;
	int r = 0;

	if (!d->body)
		r = ps_body_get(&d->body, &all->recent, &all->b->budget, d->digest);
	if (!r)
		r = ps_body_fill(d->body, d->lent->message, most);
	if (r == 1)
		use_copy(d);
	return r;
}

/* It has taken too long: copies a slice at a time, and then lets the request go. */
static void copy_some(struct ps_timer *t)
{
	struct ps_peer_delivery *d = t->owner;
	int r = copy(d, COPY_SLICE);

	if (!r) {
		ps_loop_arm(d->peer->all->b->loop, t, 0);
	} else if (r < 0) {
		ps_peer_fail(d->peer, PS_PEER_BACKGROUND_ERROR, -r, "no room for a message");
	} else {
		spooled(d);
		release(d, true);
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Frees it, unless the socket still has parts of it. */
static void free_idle(struct ps_peer_delivery *d)
{
	if (d->leaving || d->stage != OVER)
		return;
	osp_list_remove(&d->node);
	ps_loop_disarm(d->peer->all->b->loop, &d->copy);
	ps_loop_disarm(d->peer->all->b->loop, &d->slice);
	ps_zstd_stop(&d->run);
	ps_spool_clear(&d->compressed);
	ps_body_put(&d->body);
	lonelypsp_stateful_deliver_leave(&d->op, ECANCELED);
	free(d);
}

static void over(struct ps_peer_delivery *d, const char *outcome)
{
	log_delivery(d, outcome);
	d->stage = OVER;
	if (!d->leaving)
		release(d, false);
	free_idle(d);
}

static void connection_lost(struct ps_peer_delivery *d)
{
	if (d->stage == TURN)
		lonelypsp_stateful_deliver__connection_lost_in_turn(
			lonelypsp_stateful_deliver_at_turn(&d->op));
	else if (d->stage == SENDING)
		lonelypsp_stateful_deliver__connection_lost_in_sending(
			lonelypsp_stateful_deliver_at_sending(&d->op));
	else
		lonelypsp_stateful_deliver__connection_lost_in_in_flight(
			lonelypsp_stateful_deliver_at_in_flight(&d->op));
}

/* The socket reads nothing more: it is closing, or gone. */
static void lose(struct ps_peer_delivery *d)
{
	if (d->stage == OVER)
		return;
	if (outspan_is_begun(&d->op.head))
		connection_lost(d);
	log_delivery(d, "connection_lost");
	d->stage = OVER;
	release(d, false);
	free_idle(d);
}

static void drop(struct ps_peer_item *i)
{
	(void)i; /* ps_peer_drop_deliveries does it */
}

void ps_peer_drop_deliveries(struct ps_peer *p)
{
	struct osp_list *n, *after;

	for (n = p->deliveries.next; n != &p->deliveries; n = after) {
		after = n->next;
		lose(osp_list_entry(n, struct ps_peer_delivery, node));
	}
}

/* ---- sending --------------------------------------------------------------------------------- */

static void part_sent(struct ps_stateful_message *m, int error)
{
	struct ps_peer_delivery *d = m->owner;

	d->leaving--;
	if (!error && d->stage == IN_FLIGHT)
		PS_STEP(lonelypsp_stateful_deliver__part_sent(
			lonelypsp_stateful_deliver_at_in_flight(&d->op), m->number));
	if (!d->leaving && (d->stage == OVER || d->sent == d->frame.compressed_length))
		release(d, false); /* may end this connection, which frees nothing at once */
	free_idle(d);
}

static void sending_first_part(struct ps_peer_delivery *d, int64_t counter, uint64_t size,
			       struct outspan_context *context)
{
	PS_STEP(lonelypsp_stateful_deliver__sending_first_part(
		lonelypsp_stateful_deliver_at_sending(&d->op), d->peer->connection,
		sizeof(d->peer->connection), d->identifier, sizeof(d->identifier), counter, size,
		context));
	d->stage = IN_FLIGHT;
}

static void sending_part(struct ps_peer_delivery *d, int64_t counter, uint64_t size,
			 struct outspan_context *context)
{
	PS_STEP(lonelypsp_stateful_deliver__sending_part(
		lonelypsp_stateful_deliver_at_in_flight(&d->op), d->frame.part, counter, size,
		context));
}

static int send_frame(struct ps_peer_delivery *d, const struct ps_frame *f, int64_t counter,
		      uint64_t size)
{
	_cleanup_(ps_stateful_free) struct ps_stateful_message *m = NULL;
	struct ps_stateful *wire = &d->peer->wire;
	bool is_last = d->sent + size == f->compressed_length;
	int r = ps_stateful_encode(&m, wire, f, counter);

	if (r)
		return r;
	m->out.body = d->bytes;
	m->out.offset = d->sent;
	m->out.size = size;
	m->sent = part_sent;
	m->owner = d;
	m->number = f->part;
	r = ps_acks_push(&d->peer->acks, f, is_last, counter, d);
	return r ? r : ps_stateful_send(wire, &m);
}

static int send_part(struct ps_peer_delivery *d)
{
	struct ps_stateful *wire = &d->peer->wire;
	size_t head = ps_stateful_head_max(wire, &d->frame);
	uint64_t left = d->frame.compressed_length - d->sent;
	uint64_t size = ps_stream_part_size(left, head, wire->message_max);
	int64_t counter = ps_connection_count(&wire->connection, &d->frame);
	struct ps_frame f = d->frame;
	struct outspan_context context;
	struct ps_tracing tracing;
	int r;

	if (d->stage == SENDING)
		sending_first_part(d, counter, size, &context);
	else
		sending_part(d, counter, size, &context);
	f.tracing = ps_trace_bytes(&tracing, &context);
	r = send_frame(d, &f, counter, size);
	if (r)
		return r;
	d->leaving++;
	d->sent += size;
	d->frame.part++;
	return 0;
}

static void ack_slot_waiting(struct ps_peer_delivery *d)
{
	uint32_t outstanding = (uint32_t)d->peer->acks.count;

	if (d->waiting)
		return;
	d->waiting = true;
	if (d->stage == SENDING)
		PS_STEP(lonelypsp_stateful_deliver__ack_slot_waiting_in_sending(
			lonelypsp_stateful_deliver_at_sending(&d->op), outstanding));
	else
		PS_STEP(lonelypsp_stateful_deliver__ack_slot_waiting_in_in_flight(
			lonelypsp_stateful_deliver_at_in_flight(&d->op), outstanding));
}

/* ---- compressing ------------------------------------------------------------------------------ */

static void compressor_skipped(struct ps_peer_delivery *d)
{
	PS_STEP(lonelypsp_stateful_deliver__compressor_skipped(
		lonelypsp_stateful_deliver_at_turn(&d->op)));
	ps_spool_clear(&d->compressed);
	d->frame.compressed_length = d->frame.length = d->length;
	d->frame.digest = ps_bytes(d->digest, sizeof(d->digest));
	d->stage = SENDING;
}

static void compressed(struct ps_peer_delivery *d)
{
	PS_STEP(lonelypsp_stateful_deliver__compressed(lonelypsp_stateful_deliver_at_turn(&d->op),
						       d->compressor, d->compressed.size));
	d->bytes = &d->compressed;
	d->frame.compressor = d->compressor;
	d->frame.compressed_length = d->compressed.size;
	d->frame.length = d->length;
	d->frame.digest = ps_bytes(d->sent_digest, sizeof(d->sent_digest));
	d->stage = SENDING;
}

/* Whether it goes on later. Whatever fails, the message can be sent as it is. */
static bool compress_more(struct ps_peer_delivery *d)
{
	enum ps_zstd_verdict v = ps_zstd_step(&d->run, PS_ZSTD_SLICE);

	if (v == PS_ZSTD_MORE)
		return true;
	if (v == PS_ZSTD_DONE && !ps_spool_digest(&d->compressed, d->sent_digest))
		compressed(d);
	else
		compressor_skipped(d);
	return false;
}

static void compress_slice(struct ps_timer *t)
{
	struct ps_peer_delivery *d = t->owner;

	if (compress_more(d))
		ps_loop_arm(d->peer->all->b->loop, t, 0);
	else
		ps_peer_pump(d->peer);
}

/* Large messages, which are sent from where they are, go as they are. Whether it takes longer. */
static bool choose_compressor(struct ps_peer_delivery *d)
{
	struct ps_peers *all = d->peer->all;
	struct ps_compressor *c = d->body ? ps_peer_choose(d->peer, d->length) : NULL;

	ps_peer_sample(d->peer, d->bytes);
	if (!c || ps_zstd_compress(&d->run, &all->zstd, c->dictionary, c->level, d->bytes,
				   &d->compressed)) {
		compressor_skipped(d);
		return false;
	}
	d->compressor = c->id;
	d->is_compressing = compress_more(d);
	if (d->is_compressing)
		ps_loop_arm(all->b->loop, &d->slice, 0);
	return d->is_compressing;
}

/* ---- its turn --------------------------------------------------------------------------------- */

static int turn(struct ps_peer_item *i)
{
	struct ps_peer_delivery *d = (struct ps_peer_delivery *)i;
	int r;

	if (d->stage == TURN && (d->is_compressing || choose_compressor(d)))
		return 1;
	do {
		if (ps_acks_is_full(&d->peer->acks)) {
			ack_slot_waiting(d);
			return 1;
		}
		d->waiting = false;
		r = send_part(d);
		if (r)
			return r;
	} while (d->sent < d->frame.compressed_length);
	ps_peer_pop(d->peer, i);
	return 0;
}

/* ---- taking a message ------------------------------------------------------------------------ */

static int new_delivery(struct ps_peer_delivery **out, struct ps_peer *p,
			const struct ps_relay_message *m)
{
	size_t behind = m->topic.size + m->identifier.size;
	struct ps_peer_delivery *d = calloc(1, sizeof(*d) + behind);
	int r = d ? ps_system_random(d->identifier, sizeof(d->identifier)) : -ENOMEM;

	if (r) {
		free(d);
		return r;
	}
	memcpy(mempcpy(d->bytes_behind, m->topic.data, m->topic.size), m->identifier.data,
	       m->identifier.size);
	d->topic = ps_bytes(d->bytes_behind, m->topic.size);
	d->source = ps_bytes(d->bytes_behind + m->topic.size, m->identifier.size);
	memcpy(d->digest, m->digest, sizeof(d->digest));
	d->length = m->message->size;
	d->peer = p;
	d->begin_ns = ps_system_wall_ns();
	d->item = (struct ps_peer_item){.turn = turn, .drop = drop};
	d->copy = (struct ps_timer){.expired = copy_some, .owner = d};
	d->slice = (struct ps_timer){.expired = compress_slice, .owner = d};
	ps_spool_init(&d->compressed, &p->all->b->budget);
	d->frame = (struct ps_frame){.type = PS_FRAME_RECEIVE_STREAM,
				     .identifier = ps_bytes(d->identifier, sizeof(d->identifier)),
				     .key = d->topic};
	osp_list_add(&p->deliveries, &d->node);
	*out = d;
	return 0;
}

static void queued(struct ps_peer_delivery *d, const struct outspan_context *context)
{
	PS_STEP(lonelypsp_stateful_deliver__queued(
		lonelypsp_stateful_deliver_begin(&d->op), d->peer->connection,
		sizeof(d->peer->connection), d->topic.data, d->topic.size, d->length, d->digest,
		sizeof(d->digest), d->source.data, d->source.size, context));
}

static void pending_full(struct ps_peer_delivery *d)
{
	lonelypsp_stateful_deliver__pending_full(lonelypsp_stateful_deliver_begin(&d->op),
						 d->peer->connection, sizeof(d->peer->connection),
						 d->topic.data, d->topic.size, d->source.data,
						 d->source.size);
	ps_peer_fail(d->peer, PS_PEER_PENDING_SENDS_FULL, 0, "too many messages to be sent");
	over(d, "pending_full");
}

static enum ps_queued queue_small(struct ps_peer_delivery *d, struct ps_relay_message *m)
{
	int r;

	d->lent = m; /* for the copy, now */
	r = copy(d, UINT64_MAX);
	d->lent = NULL;
	if (r < 0) { /* it would miss the message and not know */
		ps_peer_fail(d->peer, PS_PEER_BACKGROUND_ERROR, -r, "no room for a message");
		return PS_NOT_QUEUED;
	}
	return ps_peer_push(d->peer, &d->item) ? PS_NOT_QUEUED : PS_QUEUED_SMALL;
}

static enum ps_queued queue_large(struct ps_peer_delivery *d, struct ps_relay_message *m)
{
	d->bytes = m->message;
	d->lent = m;
	m->holder = d;
	ps_loop_arm(d->peer->all->b->loop, &d->copy, d->peer->all->options.direct_ns);
	if (!ps_peer_push(d->peer, &d->item))
		return PS_QUEUED_LARGE;
	d->lent = NULL;
	m->holder = NULL;
	return PS_NOT_QUEUED;
}

/* Of a large one that is copied already, for another peer, this one takes the copy, too. */
static bool is_large(const struct ps_peers *all, const struct ps_relay_message *m)
{
	return m->message->size > all->b->budget.memory_each && !ps_body_is(all->recent, m->digest);
}

enum ps_queued ps_peer_deliver(struct ps_peer *p, struct ps_relay_message *m)
{
	struct ps_peer_delivery *d;
	int r = new_delivery(&d, p, m);

	if (r) {
		ps_peer_fail(p, PS_PEER_BACKGROUND_ERROR, -r, "no memory for a message");
		return PS_NOT_QUEUED;
	}
	if (ps_peer_pending(p) >= p->all->options.pending_max) {
		pending_full(d);
		return PS_NOT_QUEUED;
	}
	p->delivered++;
	queued(d, m->context);
	return is_large(p->all, m) ? queue_large(d, m) : queue_small(d, m);
}

static void canceled(struct ps_peer_delivery *d)
{
	ps_peer_pop(d->peer, &d->item);
	lonelypsp_stateful_deliver_leave(&d->op, ECANCELED);
	over(d, "canceled");
}

/* The request is gone. Of what was sent in part the peer cannot have the rest. */
void ps_peer_take_back(struct ps_relay_message *m)
{
	struct ps_peer_delivery *d = m->holder;

	if (!d)
		return;
	ps_loop_disarm(d->peer->all->b->loop, &d->copy);
	d->lent = NULL;
	m->holder = NULL;
	if (d->sent)
		ps_peer_fail(d->peer, PS_PEER_BACKGROUND_ERROR, ECANCELED,
			     "a message was withdrawn");
	else
		canceled(d);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void ack_mismatch(struct ps_peer *p, const struct ps_frame *f, enum ps_ack_fault fault)
{
	struct ps_ack due;

	if (!ps_acks_next(&p->acks, &due)) {
		struct ps_peer_delivery *d = due.owner;

		if (d->stage == IN_FLIGHT) {
			lonelypsp_stateful_deliver__ack_mismatch(
				lonelypsp_stateful_deliver_at_in_flight(&d->op));
		}
	}
	ps_peer_fail(p, PS_PEER_PROTOCOL_ERROR, ps_formats[f->type].id, ps_ack_fault_to_str(fault));
}

static void bad_auth_result(struct ps_peer_delivery *d, const struct ps_frame *f,
			    enum ps_auth_result result)
{
	lonelypsp_stateful_deliver__bad_auth_result(lonelypsp_stateful_deliver_at_in_flight(&d->op),
						    (enum lonelypsp_auth_result)result);
	ps_peer_fail(d->peer, PS_PEER_BAD_AUTH, ps_formats[f->type].id,
		     ps_auth_result_to_str(result));
}

static void continue_receive(struct ps_peer_delivery *d, const struct ps_frame *f, int64_t counter,
			     const struct outspan_context *context)
{
	PS_STEP(lonelypsp_stateful_deliver__continue_receive(
		lonelypsp_stateful_deliver_at_in_flight(&d->op), f->part, counter, context));
}

static void receive_confirmed(struct ps_peer_delivery *d, const struct ps_frame *f, int64_t counter,
			      const struct outspan_context *context)
{
	lonelypsp_stateful_deliver__receive_confirmed(
		lonelypsp_stateful_deliver_at_in_flight(&d->op), (uint32_t)f->subscribers, counter,
		context);
	over(d, "ok");
}

void ps_peer_take_ack(struct ps_peer *p, const struct ps_frame *f, int64_t counter)
{
	struct outspan_context context;
	enum ps_ack_fault fault;
	enum ps_auth_result result;
	struct ps_ack ack;

	fault = ps_acks_pop(&p->acks, &ack, f);
	if (fault) {
		ack_mismatch(p, f, fault);
		return;
	}
	result = ps_stateful_check(&p->wire, f, counter);
	if (result != PS_AUTH_OK) {
		bad_auth_result(ack.owner, f, result);
		return;
	}
	ps_trace_read(&context, f->tracing);
	if (f->type == PS_FRAME_CONFIRM_RECEIVE)
		receive_confirmed(ack.owner, f, counter, &context);
	else
		continue_receive(ack.owner, f, counter, &context);
	ps_peer_pump(p);
}
