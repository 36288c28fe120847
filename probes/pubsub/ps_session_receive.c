/*
 * The operation "stateful_receive": the parts of a message are put together and confirmed one by
 * one, the whole is judged, and the handlers of the application take it in their time. Fed by the
 * session; one function per step of the protocol's automaton. Each part's authorization is
 * checked as it comes, but what was said of it is told when all is there, as the automaton wants;
 * nothing of a message is kept from the first bad one on. Owns struct ps_reception.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_session_private.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

struct ps_reception {
	struct ps_session *session; /* borrowed: owns this */
	struct osp_list node;
	struct lonelypsp_stateful_receive op;
	struct outspan_context context; /* the first part's, if it carried one of ours */
	int64_t begin_ns, counter;
	enum ps_auth_result auth; /* the worst so far */
	uint8_t identifier[PS_FRAME_IDENTIFIER_MAX], digest[PS_DIGEST_SIZE];
	uint8_t connection[PS_SHA256_SIZE];
	size_t identifier_size;
	uint64_t length, compressor, parts;
	struct ps_spool message; /* as it came, then as it is */
	struct ps_spool plain;	 /* what it is decompressed to */
	struct ps_zstd_run unpacking;
	struct ps_timer turn;
	bool is_ready;	/* for the handlers */
	size_t handler; /* the one that is called */
	bool in_handler;
	size_t topic_size;
	uint8_t topic[];
};

static void next_handler(struct ps_session *s);

static struct ps_bytes topic_of(const struct ps_reception *p)
{
	return ps_bytes(p->topic, p->topic_size);
}

static struct ps_bytes identifier_of(const struct ps_reception *p)
{
	return ps_bytes(p->identifier, p->identifier_size);
}

static void log_receive(const struct ps_reception *p, const char *outcome)
{
	struct ps_line line;

	ps_log_begin(&line, p->session->log, "receive");
	ps_log_hex(&line, "identifier", identifier_of(p));
	ps_log_text(&line, "topic", topic_of(p));
	ps_log_hex(&line, "sha512", ps_bytes(p->digest, 8));
	ps_log_number(&line, "bytes", (int64_t)p->length);
	ps_log_hex(&line, "connection", ps_bytes(p->connection, sizeof(p->connection)));
	ps_log_number(&line, "begin", p->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "parts", (int64_t)p->parts);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void free_reception(struct ps_reception *p)
{
	lonelypsp_stateful_receive_leave(&p->op, ECANCELED);
	ps_loop_disarm(p->session->loop, &p->turn);
	ps_zstd_stop(&p->unpacking);
	ps_spool_clear(&p->message);
	ps_spool_clear(&p->plain);
	if (!osp_list_empty(&p->node))
		p->session->received_count--;
	osp_list_remove(&p->node);
	free(p);
}

/* Its operation is over already. */
static void drop(struct ps_reception *p, const char *outcome)
{
	if (p->session->arriving == p)
		p->session->arriving = NULL;
	log_receive(p, outcome);
	free_reception(p);
}

static void refuse(struct ps_reception *p, const char *outcome)
{
	struct ps_session *s = p->session;

	drop(p, outcome);
	if (s->state == PS_SESSION_OPEN) /* else it was slow to decompress */
		ps_session_protocol_error(s, ps_session_type(PS_FRAME_RECEIVE_STREAM), outcome);
	next_handler(s); /* of those that waited behind it */
}

/* ---- the handlers ---------------------------------------------------------------------------- */

static void handler_done(struct ps_reception *p)
{
	PS_STEP(lonelypsp_stateful_receive__handler_done(
		lonelypsp_stateful_receive_at_handler_done(&p->op)));
}

static void handler_error(struct ps_reception *p)
{
	PS_STEP(lonelypsp_stateful_receive__handler_error(
		lonelypsp_stateful_receive_at_handler_done(&p->op)));
}

static void no_more_handlers(struct ps_reception *p)
{
	lonelypsp_stateful_receive__no_more_handlers(
		lonelypsp_stateful_receive_at_handlers(&p->op));
	log_receive(p, "ok");
	free_reception(p);
}

static void call_handler(struct ps_reception *p)
{
	struct ps_handler *h = &p->session->options.handlers[p->handler++];
	struct ps_delivery d = {topic_of(p), identifier_of(p), p->digest, &p->message};

	p->in_handler = false;
	if (h->handle(h, &d))
		handler_error(p);
	else
		handler_done(p);
}

static void handler_start(struct ps_reception *p)
{
	PS_STEP(lonelypsp_stateful_receive__handler_start(
		lonelypsp_stateful_receive_at_handlers(&p->op), (uint32_t)p->handler));
	p->in_handler = true;
}

static void delay_expired(struct ps_timer *t)
{
	struct ps_session *s = t->owner;

	call_handler(osp_list_entry(s->received.next, struct ps_reception, node));
	next_handler(s);
}

/* The messages in their order, each through all handlers, until one of these takes its time. */
static void next_handler(struct ps_session *s)
{
	while (!osp_list_empty(&s->received)) {
		struct ps_reception *p =
			osp_list_entry(s->received.next, struct ps_reception, node);
		int64_t delay;

		if (p->in_handler || !p->is_ready)
			return;
		if (p->handler == s->options.handler_count) {
			no_more_handlers(p);
			continue;
		}
		delay = s->options.handlers[p->handler].delay_ns;
		handler_start(p);
		if (!delay) {
			call_handler(p);
			continue;
		}
		s->handler = (struct ps_timer){.expired = delay_expired, .owner = s};
		ps_loop_arm(s->loop, &s->handler, delay);
		return;
	}
}

static void received_queue_full(struct ps_reception *p)
{
	struct ps_session *s = p->session;

	lonelypsp_stateful_receive__received_queue_full(
		lonelypsp_stateful_receive_at_handlers(&p->op));
	drop(p, "queue_full");
	if (s->state == PS_SESSION_OPEN)
		ps_session_received_full(s);
}

static void deliver(struct ps_reception *p)
{
	struct ps_session *s = p->session;

	if (s->received_count > s->options.received_max) {
		received_queue_full(p);
		return;
	}
	if (!ps_session_wants(s, topic_of(p))) /* has just unsubscribed */
		p->handler = s->options.handler_count;
	p->is_ready = true;
	next_handler(s);
}

/* ---- all is there ---------------------------------------------------------------------------- */

static void compressor_skipped(struct ps_reception *p)
{
	PS_STEP(lonelypsp_stateful_receive__compressor_skipped(
		lonelypsp_stateful_receive_at_decompress(&p->op)));
	deliver(p);
}

static void unknown_compressor(struct ps_reception *p)
{
	lonelypsp_stateful_receive__unknown_compressor(
		lonelypsp_stateful_receive_at_decompress(&p->op), p->compressor);
	refuse(p, "unknown_compressor");
}

static void bad_decompress(struct ps_reception *p)
{
	lonelypsp_stateful_receive__bad_decompress(
		lonelypsp_stateful_receive_at_decompress(&p->op));
	refuse(p, "bad_decompress");
}

static void decompressed(struct ps_reception *p)
{
	ps_spool_clear(&p->message);
	p->message = p->plain;
	ps_spool_init(&p->plain, &p->session->budget);
	PS_STEP(lonelypsp_stateful_receive__decompressed(
		lonelypsp_stateful_receive_at_decompress(&p->op), p->message.size));
	if (ps_session_hash(&p->message, p->digest)) {
		lonelypsp_stateful_receive_leave(&p->op, EIO);
		refuse(p, "failed");
	} else {
		deliver(p);
	}
}

static void unpack(struct ps_timer *t)
{
	struct ps_reception *p = t->owner;
	enum ps_zstd_verdict v = ps_zstd_step(&p->unpacking, PS_ZSTD_SLICE);

	if (v == PS_ZSTD_MORE)
		ps_loop_arm(p->session->loop, &p->turn, 0);
	else if (v == PS_ZSTD_DONE)
		decompressed(p);
	else
		bad_decompress(p);
}

static void decompress(struct ps_reception *p, const struct ps_compressor *c)
{
	struct ps_session *s = p->session;

	p->turn = (struct ps_timer){.expired = unpack, .owner = p};
	if (ps_zstd_decompress(&p->unpacking, &s->zstd, c->dictionary, p->length, &p->message,
			       &p->plain))
		bad_decompress(p);
	else
		unpack(&p->turn);
}

/* From now on it has its place among the messages for the handlers. */
static void auth_accepted(struct ps_reception *p)
{
	struct ps_session *s = p->session;
	struct ps_compressor *c = ps_compressors_find(&s->compressors, p->compressor);

	PS_STEP(lonelypsp_stateful_receive__auth_accepted(
		lonelypsp_stateful_receive_at_auth_result(&p->op), p->topic, p->topic_size,
		p->identifier, p->identifier_size, p->length, p->connection, sizeof(p->connection),
		p->counter, &p->context));
	osp_list_add(&s->received, &p->node);
	s->received_count++;
	if (!p->compressor)
		compressor_skipped(p);
	else if (!c)
		unknown_compressor(p);
	else
		decompress(p, c);
}

static void bad_auth_result(struct ps_reception *p)
{
	lonelypsp_stateful_receive__bad_auth_result(
		lonelypsp_stateful_receive_at_auth_result(&p->op), p->auth);
	refuse(p, "bad_auth");
}

static void sending_confirm_receive(struct ps_reception *p)
{
	struct ps_session *s = p->session;
	struct ps_frame f = {
		.type = PS_FRAME_CONFIRM_RECEIVE, .identifier = identifier_of(p), .subscribers = 1};
	int64_t counter = ps_connection_count(&s->wire.connection, &f);
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_stateful_receive__sending_confirm_receive(
		lonelypsp_stateful_receive_at_confirming(&p->op), counter, &context));
	context.valid &= p->context.valid; /* answered with one only if asked with one */
	f.tracing = ps_trace_bytes(&tracing, &context);
	(void)ps_session_send(s, &f, counter); /* failed: the connection ends */
}

static void body_complete(struct ps_reception *p)
{
	struct ps_session *s = p->session;

	PS_STEP(lonelypsp_stateful_receive__body_complete(
		lonelypsp_stateful_receive_at_part_result(&p->op), p->topic, p->topic_size,
		p->length));
	s->arriving = NULL;
	sending_confirm_receive(p);
	if (s->state != PS_SESSION_OPEN) {
		lonelypsp_stateful_receive_leave(&p->op, ECONNABORTED);
		drop(p, "connection_lost");
	} else if (p->auth != PS_AUTH_OK) {
		bad_auth_result(p);
	} else {
		auth_accepted(p);
	}
}

/* ---- part by part ---------------------------------------------------------------------------- */

static void hash_mismatch(struct ps_reception *p)
{
	lonelypsp_stateful_receive__hash_mismatch(
		lonelypsp_stateful_receive_at_part_result(&p->op));
	refuse(p, "hash_mismatch");
}

static void bad_sequence(struct ps_reception *p)
{
	lonelypsp_stateful_receive__bad_sequence(lonelypsp_stateful_receive_at_part_result(&p->op));
	refuse(p, "bad_sequence");
}

static void too_much_data(struct ps_reception *p)
{
	lonelypsp_stateful_receive__too_much_data(
		lonelypsp_stateful_receive_at_part_result(&p->op));
	refuse(p, "too_much_data");
}

static void no_space(struct ps_reception *p, int error)
{
	struct ps_session *s = p->session;

	lonelypsp_stateful_receive_leave(&p->op, -error);
	drop(p, "no_space");
	ps_session_received_full(s);
}

static void sending_continue_receive(struct ps_reception *p, uint64_t part)
{
	struct ps_session *s = p->session;
	struct ps_frame f = {
		.type = PS_FRAME_CONTINUE_RECEIVE, .identifier = identifier_of(p), .part = part};
	int64_t counter = ps_connection_count(&s->wire.connection, &f);
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_stateful_receive__sending_continue_receive(
		lonelypsp_stateful_receive_at_part_result(&p->op), part, counter, &context));
	context.valid &= p->context.valid;
	f.tracing = ps_trace_bytes(&tracing, &context);
	(void)ps_session_send(s, &f, counter); /* failed: the connection ends, and this with it */
}

static void received(struct ps_reception *p, const struct ps_frame *f)
{
	PS_STEP(lonelypsp_stateful_receive__received(
		lonelypsp_stateful_receive_begin(&p->op), p->connection, sizeof(p->connection),
		p->identifier, p->identifier_size, p->counter, p->compressor, f->payload.size));
}

static void received_part(struct ps_reception *p, const struct ps_frame *f, int64_t counter)
{
	PS_STEP(lonelypsp_stateful_receive__received_part(
		lonelypsp_stateful_receive_at_next_part(&p->op), f->part, counter,
		f->payload.size));
}

/* The first part of a message, before anything else is known of it. */
static int new_reception(struct ps_session *s, const struct ps_frame *f, int64_t counter)
{
	struct ps_reception *p = calloc(1, sizeof(*p) + f->key.size);

	if (!p)
		return -ENOMEM;
	p->session = s;
	p->begin_ns = ps_system_wall_ns();
	p->counter = counter;
	p->auth = PS_AUTH_OK;
	p->length = f->length;
	p->compressor = f->compressor;
	p->identifier_size = f->identifier.size;
	p->topic_size = f->key.size;
	if (f->identifier.size)
		memcpy(p->identifier, f->identifier.data, f->identifier.size);
	if (f->key.size)
		memcpy(p->topic, f->key.data, f->key.size);
	memcpy(p->digest, f->digest.data, sizeof(p->digest));
	memcpy(p->connection, s->id, sizeof(p->connection));
	ps_trace_read(&p->context, f->tracing);
	ps_spool_init(&p->message, &s->budget);
	ps_spool_init(&p->plain, &s->budget);
	osp_list_init(&p->node);
	s->arriving = p;
	received(p, f);
	return 0;
}

static void judge_sequence(struct ps_reception *p, enum ps_stream_verdict v)
{
	switch (v) {
	case PS_STREAM_TOO_LARGE:
	case PS_STREAM_TOO_MUCH:
		too_much_data(p);
		return;
	case PS_STREAM_UNAVAILABLE:
		no_space(p, -ENOMEM);
		return;
	default:
		bad_sequence(p);
	}
}

/* Takes a part that comes in its turn. */
static void take_part(struct ps_reception *p, const struct ps_frame *f, int64_t counter)
{
	struct ps_session *s = p->session;
	enum ps_stream_verdict v;
	int r = 0;

	p->parts++;
	if (p->auth == PS_AUTH_OK)
		p->auth = ps_stateful_check(&s->wire, f, counter);
	if (p->auth == PS_AUTH_OK)
		r = ps_spool_add(&p->message, f->payload.data, f->payload.size);
	v = ps_stream_add(&s->stream, f);
	if (r)
		no_space(p, r);
	else if (v == PS_STREAM_MORE)
		sending_continue_receive(p, f->part);
	else if (v == PS_STREAM_COMPLETE)
		body_complete(p);
	else if (v == PS_STREAM_DIGEST)
		hash_mismatch(p);
	else
		no_space(p, -ENOMEM);
}

void ps_session_receive(struct ps_session *s, struct ps_frame *f)
{
	enum ps_stream_verdict v = ps_stream_begin(&s->stream, f);
	int64_t counter = ps_connection_count(&s->wire.connection, f);
	int r = 0;

	if (s->arriving)
		received_part(s->arriving, f, counter);
	else if (f->part)
		ps_session_protocol_error(s, ps_session_type(f->type), "bad_sequence");
	else
		r = new_reception(s, f, counter);
	if (r)
		ps_session_fail(s, r);
	else if (s->arriving && v)
		judge_sequence(s->arriving, v);
	else if (s->arriving)
		take_part(s->arriving, f, counter);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void connection_lost(struct ps_reception *p)
{
	lonelypsp_stateful_receive__connection_lost(
		lonelypsp_stateful_receive_at_next_part(&p->op));
	drop(p, "connection_lost");
}

void ps_session_receive_lost(struct ps_session *s)
{
	if (s->arriving)
		connection_lost(s->arriving);
}

void ps_session_receive_clear(struct ps_session *s)
{
	ps_loop_disarm(s->loop, &s->handler);
	if (s->arriving)
		free_reception(TAKE_PTR(s->arriving));
	while (!osp_list_empty(&s->received)) {
		struct ps_reception *p =
			osp_list_entry(s->received.next, struct ps_reception, node);

		free_reception(p);
	}
}
