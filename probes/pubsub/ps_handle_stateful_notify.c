/*
 * NOTIFY and NOTIFY_STREAM over a web socket at the broadcaster: the parts are checked, authorized
 * and put together in a spool; the whole is fanned out (ps_fanout.c) while what comes behind it on
 * the connection waits, and confirmed. Fed by ps_peer.c; one function per step of the protocol's
 * automaton. Owns struct ps_peer_notify.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_fanout.h"
#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"

struct ps_peer_notify {
	struct ps_peer *peer; /* borrowed: its `notify` is this */
	struct lonelypsp_handle_stateful_notify op;
	struct outspan_context context; /* the first part's, if it carried one of ours */
	int64_t begin_ns;
	enum ps_frame_type type;
	struct ps_spool message; /* as sent */
	struct ps_spool plain;	 /* decompressed */
	struct ps_zstd_run run;	 /* from the one into the other */
	struct ps_timer slice;
	uint8_t digest[PS_DIGEST_SIZE]; /* of the message itself */
	struct ps_fanout fanout;
	bool begun; /* the connection's stream is this message */
	bool whole; /* and complete */
};

static struct ps_bytes identifier_of(const struct ps_stream *s)
{
	return ps_bytes(s->identifier, s->identifier_size);
}

static void log_notify(const struct ps_peer_notify *n, const char *outcome)
{
	const struct ps_stream *s = &n->peer->stream;
	struct ps_line line;

	ps_peer_log_begin(&line, n->peer, "stateful_notify");
	if (n->begun) {
		ps_log_hex(&line, "identifier", identifier_of(s));
		ps_log_text(&line, "topic", s->topic);
		ps_log_hex(&line, "sha512", ps_bytes(n->whole ? n->digest : s->digest, 8));
		ps_log_number(&line, "bytes", (int64_t)s->length);
		ps_log_number(&line, "compressor", (int64_t)s->compressor);
		ps_log_number(&line, "received", (int64_t)s->received);
		ps_log_number(&line, "parts", (int64_t)s->parts);
	}
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "subscribers", n->fanout.subscribers);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void free_notify(struct ps_peer_notify *n)
{
	n->peer->notify = NULL;
	ps_fanout_clear(&n->fanout);
	ps_loop_disarm(n->peer->all->b->loop, &n->slice);
	ps_zstd_stop(&n->run);
	ps_spool_clear(&n->message);
	ps_spool_clear(&n->plain);
	lonelypsp_handle_stateful_notify_leave(&n->op, ECANCELED);
	free(n);
}

/* Ends the connection: the protocol has no other way to say no. */
static void refuse(struct ps_peer_notify *n, enum ps_peer_end end, int cause, const char *why)
{
	struct ps_peer *p = n->peer;

	log_notify(n, why);
	ps_peer_fail(p, end, cause, why);
	free_notify(n);
}

static void give_up(struct ps_peer_notify *n, int error, const char *why)
{
	lonelypsp_handle_stateful_notify_leave(&n->op, -error);
	refuse(n, PS_PEER_BACKGROUND_ERROR, -error, why);
}

void ps_peer_drop_notify(struct ps_peer *p)
{
	struct ps_peer_notify *n = p->notify;

	if (!n)
		return;
	if (!n->whole)
		lonelypsp_handle_stateful_notify__connection_lost(
			lonelypsp_handle_stateful_notify_at_next_part(&n->op));
	log_notify(n, "connection_lost");
	free_notify(n);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/*
 * What the answer signs is the message's digest after NOTIFY, but that of the bytes that were sent
 * after NOTIFY_STREAM.
 */
static void sending_confirm_notify(struct ps_peer_notify *n)
{
	const struct ps_stream *s = &n->peer->stream;
	const uint8_t *digest = n->type == PS_FRAME_NOTIFY ? n->digest : s->digest;
	struct ps_frame f = {.type = PS_FRAME_CONFIRM_NOTIFY,
			     .identifier = identifier_of(s),
			     .subscribers = n->fanout.subscribers,
			     .key = s->topic,
			     .digest = ps_bytes(digest, PS_DIGEST_SIZE)};
	struct outspan_context context;
	struct ps_tracing tracing;
	struct ps_peer *p = n->peer;

	lonelypsp_handle_stateful_notify__sending_confirm_notify(
		lonelypsp_handle_stateful_notify_at_sending_confirm(&n->op), n->fanout.subscribers,
		&context);
	context.valid &= n->context.valid; /* answered with one only if asked with one */
	f.tracing = ps_trace_bytes(&tracing, &context);
	log_notify(n, ps_peer_answer(p, &f, 0) ? "failed" : "ok");
	free_notify(n);
	ps_peer_next(p);
}

/* ---- the whole message ----------------------------------------------------------------------- */

static void fanout_done(struct ps_fanout *f)
{
	sending_confirm_notify(f->owner);
}

static void fanout_failed(struct ps_fanout *f, unsigned status)
{
	refuse(f->owner, PS_PEER_BACKGROUND_ERROR, EIO,
	       status == 503 ? "subscriptions unavailable" : "subscription not removed");
}

static void start_fanout(struct ps_peer_notify *n, const struct ps_spool *message)
{
	struct ps_peer *p = n->peer;

	p->notifies++;
	ps_peer_sample(p, message);
	n->fanout = (struct ps_fanout){.b = p->all->b,
				       .stateful_notify = &n->op,
				       .topic = p->stream.topic,
				       .identifier = identifier_of(&p->stream),
				       .length = message->size,
				       .digest = n->digest,
				       .message = message,
				       .done = fanout_done,
				       .failed = fanout_failed,
				       .owner = n};
	ps_fanout_start(&n->fanout);
}

static void compressor_skipped(struct ps_peer_notify *n)
{
	PS_STEP(lonelypsp_handle_stateful_notify__compressor_skipped(
		lonelypsp_handle_stateful_notify_at_decompress(&n->op)));
	start_fanout(n, &n->message);
}

static void unknown_compressor(struct ps_peer_notify *n)
{
	lonelypsp_handle_stateful_notify__unknown_compressor(
		lonelypsp_handle_stateful_notify_at_decompress(&n->op), n->peer->stream.compressor);
	refuse(n, PS_PEER_PROTOCOL_ERROR, ps_formats[n->type].id, "unknown_compressor");
}

static void bad_decompress(struct ps_peer_notify *n, enum ps_zstd_verdict v)
{
	lonelypsp_handle_stateful_notify__bad_decompress(
		lonelypsp_handle_stateful_notify_at_decompress(&n->op));
	refuse(n, PS_PEER_PROTOCOL_ERROR, ps_formats[n->type].id, ps_zstd_verdict_to_str(v));
}

static void decompressed(struct ps_peer_notify *n)
{
	int r = ps_spool_digest(&n->plain, n->digest);

	if (r) {
		give_up(n, r, "no hash of a message");
		return;
	}
	PS_STEP(lonelypsp_handle_stateful_notify__decompressed(
		lonelypsp_handle_stateful_notify_at_decompress(&n->op), n->plain.size));
	start_fanout(n, &n->plain);
}

static void decompress_more(struct ps_timer *t)
{
	struct ps_peer_notify *n = t->owner;
	enum ps_zstd_verdict v = ps_zstd_step(&n->run, PS_ZSTD_SLICE);

	if (v == PS_ZSTD_MORE)
		ps_loop_arm(n->peer->all->b->loop, t, 0);
	else if (v == PS_ZSTD_DONE)
		decompressed(n);
	else if (v == PS_ZSTD_NO_SPACE || v == PS_ZSTD_UNAVAILABLE)
		give_up(n, -ENOSPC, ps_zstd_verdict_to_str(v));
	else
		bad_decompress(n, v);
}

/* What is offered here is ready before the peer hears of it: none is waited for. */
static void decompress(struct ps_peer_notify *n)
{
	const struct ps_stream *s = &n->peer->stream;
	struct ps_compressor *c = ps_compressors_find(&n->peer->compressors, s->compressor);

	if (!c || c->state == PS_COMPRESSOR_PREPARING)
		unknown_compressor(n);
	else if (ps_zstd_decompress(&n->run, &n->peer->all->zstd, c->dictionary, s->length,
				    &n->message, &n->plain))
		give_up(n, -ENOMEM, "no memory to decompress");
	else
		decompress_more(&n->slice);
}

static void auth_accepted(struct ps_peer_notify *n)
{
	const struct ps_stream *s = &n->peer->stream;

	PS_STEP(lonelypsp_handle_stateful_notify__auth_accepted(
		lonelypsp_handle_stateful_notify_at_more_or_complete(&n->op), s->topic.data,
		s->topic.size, s->length, s->identifier, s->identifier_size, n->peer->connection,
		sizeof(n->peer->connection), &n->context));
	n->whole = n->peer->busy = true;
	memcpy(n->digest, s->digest, sizeof(n->digest));
	if (!s->compressor)
		compressor_skipped(n);
	else
		decompress(n);
}

static void auth_mismatch(struct ps_peer_notify *n)
{
	lonelypsp_handle_stateful_notify__auth_mismatch(
		lonelypsp_handle_stateful_notify_at_more_or_complete(&n->op));
	refuse(n, PS_PEER_PROTOCOL_ERROR, ps_formats[n->type].id, "mismatch");
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void sending_continue_notify(struct ps_peer_notify *n, uint64_t part)
{
	const struct ps_stream *s = &n->peer->stream;
	struct ps_frame f = {
		.type = PS_FRAME_CONTINUE_NOTIFY, .identifier = identifier_of(s), .part = part};
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_handle_stateful_notify__sending_continue_notify(
		lonelypsp_handle_stateful_notify_at_more_or_complete(&n->op), part, &context));
	context.valid &= n->context.valid;
	f.tracing = ps_trace_bytes(&tracing, &context);
	ps_peer_answer(n->peer, &f, 0);
}

static void bad_sequence(struct ps_peer_notify *n, enum ps_stream_verdict v)
{
	lonelypsp_handle_stateful_notify__bad_sequence(
		lonelypsp_handle_stateful_notify_at_auth_result(&n->op));
	refuse(n, PS_PEER_PROTOCOL_ERROR, ps_formats[n->type].id, ps_stream_verdict_to_str(v));
}

static void too_much_data(struct ps_peer_notify *n, enum ps_stream_verdict v)
{
	lonelypsp_handle_stateful_notify__too_much_data(
		lonelypsp_handle_stateful_notify_at_auth_result(&n->op));
	refuse(n, PS_PEER_PROTOCOL_ERROR, ps_formats[n->type].id, ps_stream_verdict_to_str(v));
}

static void bad_auth_result(struct ps_peer_notify *n, enum ps_auth_result result)
{
	lonelypsp_handle_stateful_notify__bad_auth_result(
		lonelypsp_handle_stateful_notify_at_auth_result(&n->op),
		(enum lonelypsp_auth_result)result);
	refuse(n, PS_PEER_BAD_AUTH, ps_formats[n->type].id, ps_auth_result_to_str(result));
}

static void part_accepted(struct ps_peer_notify *n, const struct ps_frame *f)
{
	PS_STEP(lonelypsp_handle_stateful_notify__part_accepted(
		lonelypsp_handle_stateful_notify_at_auth_result(&n->op), f->part,
		n->peer->stream.received + f->payload.size));
}

/* It is the one that was due, and authorized. */
static void add_part(struct ps_peer_notify *n, const struct ps_frame *f)
{
	int r = ps_spool_add(&n->message, f->payload.data, f->payload.size);

	if (r) {
		give_up(n, r, "no room for a message");
		return;
	}
	switch (ps_stream_add(&n->peer->stream, f)) {
	case PS_STREAM_MORE:
		sending_continue_notify(n, f->part);
		return;
	case PS_STREAM_COMPLETE:
		auth_accepted(n);
		return;
	case PS_STREAM_DIGEST:
		auth_mismatch(n);
		return;
	default:
		give_up(n, -ENOMEM, "no memory or no hash");
	}
}

static void check_part(struct ps_peer_notify *n, const struct ps_frame *f, bool is_short)
{
	enum ps_auth_result result = ps_stateful_check(&n->peer->wire, f, 0);

	if (result != PS_AUTH_OK) {
		bad_auth_result(n, result);
		return;
	}
	part_accepted(n, f);
	if (is_short)
		auth_mismatch(n);
	else
		add_part(n, f);
}

static void judge_part(struct ps_peer_notify *n, struct ps_frame *f)
{
	enum ps_stream_verdict v = ps_stream_begin(&n->peer->stream, f);

	switch (v) {
	case PS_STREAM_MORE:
	case PS_STREAM_TOO_LITTLE:
		n->begun = true;
		check_part(n, f, v == PS_STREAM_TOO_LITTLE);
		return;
	case PS_STREAM_TOO_LARGE:
	case PS_STREAM_TOO_MUCH:
		too_much_data(n, v);
		return;
	case PS_STREAM_UNAVAILABLE:
		give_up(n, -ENOMEM, ps_stream_verdict_to_str(v));
		return;
	default:
		bad_sequence(n, v);
	}
}

static void received(struct ps_peer_notify *n, const struct ps_frame *f)
{
	PS_STEP(lonelypsp_handle_stateful_notify__received(
		lonelypsp_handle_stateful_notify_begin(&n->op), n->peer->connection,
		sizeof(n->peer->connection), f->identifier.data, f->identifier.size, f->compressor,
		f->payload.size));
}

static void received_part(struct ps_peer_notify *n, const struct ps_frame *f)
{
	PS_STEP(lonelypsp_handle_stateful_notify__received_part(
		lonelypsp_handle_stateful_notify_at_next_part(&n->op), f->part, f->payload.size));
}

static struct ps_peer_notify *begin(struct ps_peer *p, const struct ps_frame *f)
{
	struct ps_peer_notify *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->peer = p;
	n->type = f->type;
	n->begin_ns = ps_system_wall_ns();
	ps_spool_init(&n->message, &p->all->b->budget);
	ps_spool_init(&n->plain, &p->all->b->budget);
	n->slice = (struct ps_timer){.expired = decompress_more, .owner = n};
	ps_trace_read(&n->context, f->tracing);
	p->notify = n;
	received(n, f);
	return n;
}

void ps_peer_take_notify(struct ps_peer *p, struct ps_frame *f)
{
	struct ps_peer_notify *n = p->notify;

	if (n)
		received_part(n, f);
	else
		n = begin(p, f);
	if (n)
		judge_part(n, f);
	else
		ps_peer_fail(p, PS_PEER_BACKGROUND_ERROR, ENOMEM, "no memory for a message");
}
