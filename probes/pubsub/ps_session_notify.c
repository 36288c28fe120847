/*
 * The operation "stateful_notify": a message is hashed, waits for its turn, goes out whole or in
 * parts, and is confirmed; after a lost connection it goes out again, with the same identifier
 * and in the same order. Fed by the application and the session; one function per step of the
 * protocol's automaton. Owns nothing: messages are the application's, and told of from the loop
 * when the socket does not read them any more.
 */
#include <errno.h>
#include <string.h>

#include "probes/pubsub/ps_session_private.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

enum { HASH_PART = 65536 };

int ps_session_hash(const struct ps_spool *message, uint8_t out[PS_DIGEST_SIZE])
{
	_cleanup_(ps_digest_clear) struct ps_digest d = {0};
	char part[HASH_PART];
	int r = ps_digest_start(&d);
	ssize_t got = 1;

	for (uint64_t at = 0; !r && got > 0; at += (uint64_t)got) {
		got = ps_spool_read(message, at, part, sizeof(part));
		r = got < 0 ? (int)got : ps_digest_add(&d, part, (size_t)got);
	}
	return r ? r : ps_digest_stop(&d, out);
}

static struct ps_session_notification *entry(struct osp_list *node)
{
	return osp_list_entry(node, struct ps_session_notification, node);
}

static struct ps_bytes identifier_of(const struct ps_session_notification *n)
{
	return ps_bytes(n->identifier, n->identifier_size);
}

/* ---- the log --------------------------------------------------------------------------------- */

static void log_message(const struct ps_session_notification *n, struct ps_line *line)
{
	ps_log_hex(line, "identifier", identifier_of(n));
	ps_log_text(line, "topic", n->topic);
	ps_log_hex(line, "sha512", ps_bytes(n->digest, 8));
	ps_log_number(line, "bytes", (int64_t)n->message->size);
}

static void log_attempt(const struct ps_session_notification *n, const char *outcome)
{
	const struct ps_session *s = n->session;
	struct ps_line line;

	ps_log_begin(&line, s->log, "attempt");
	log_message(n, &line);
	ps_log_word(&line, "broadcaster", s->broadcaster);
	ps_log_hex(&line, "connection", ps_bytes(s->id, sizeof(s->id)));
	ps_log_number(&line, "begin", n->attempt_begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "parts", (int64_t)n->part);
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void log_publish(const struct ps_session_notification *n)
{
	struct ps_line line;

	ps_log_begin(&line, n->session->log, "publish");
	log_message(n, &line);
	ps_log_number(&line, "begin", n->begin_ns);
	ps_log_number(&line, "end", n->end_ns);
	ps_log_number(&line, "attempts", n->attempts);
	ps_log_number(&line, "subscribers", n->subscribers);
	ps_log_word(&line, "outcome", ps_outcome_to_str(n->outcome));
	ps_log_end(&line);
}

/* What is sent is decided anew. */
static void unpack(struct ps_session_notification *n);

/* ---- the end of a message -------------------------------------------------------------------- */

/* The socket may still be reading one of them: it is told of when that is over. */
static void tell_finished(struct ps_timer *t)
{
	struct ps_session *s = t->owner;
	struct osp_list *node, *next;

	for (node = s->finished.next; node != &s->finished; node = next) {
		struct ps_session_notification *n = entry(node);

		next = node->next;
		if (n == s->sending_message)
			continue;
		osp_list_remove(node);
		unpack(n);
		n->done(n); /* may add to the end of the list */
		next = s->finished.next;
	}
}

static void tell_soon(struct ps_session *s)
{
	s->telling.expired = tell_finished;
	s->telling.owner = s;
	ps_loop_arm(s->loop, &s->telling, 0);
}

static void finish(struct ps_session_notification *n, enum ps_outcome outcome, const char *reason)
{
	struct ps_session *s = n->session;

	if (s->next == n)
		s->next = n->node.next == &s->messages ? NULL : entry(n->node.next);
	n->outcome = outcome;
	n->reason = reason;
	n->end_ns = ps_system_wall_ns();
	log_publish(n);
	osp_list_remove(&n->node);
	osp_list_add(&s->finished, &n->node);
	s->message_count--;
	ps_loop_disarm(s->loop, &n->packing_turn);
	tell_soon(s);
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void connection_lost(struct ps_session_notification *n)
{
	PS_STEP(lonelypsp_stateful_notify__connection_lost_in_in_flight(
		lonelypsp_stateful_notify_at_in_flight(&n->op)));
	log_attempt(n, "connection_lost");
}

/* It was about to be sent, but something else had the connection. */
static void connection_lost_unsent(struct ps_session_notification *n)
{
	PS_STEP(lonelypsp_stateful_notify__connection_lost_in_sending(
		lonelypsp_stateful_notify_at_sending(&n->op)));
}

static void resending(struct ps_session_notification *n)
{
	PS_STEP(lonelypsp_stateful_notify__resending(lonelypsp_stateful_notify_at_lost(&n->op)));
	n->in_flight = false;
	n->part = n->sent = 0;
	n->unanswered = 0;
	unpack(n);
}

static void dropped_sent(struct ps_session_notification *n)
{
	lonelypsp_stateful_notify__dropped_sent_in_turn(lonelypsp_stateful_notify_at_turn(&n->op));
	finish(n, PS_OUTCOME_EXHAUSTED, "ambiguous");
}

static void dropped_unsent(struct ps_session_notification *n)
{
	lonelypsp_stateful_notify__dropped_unsent_in_turn(
		lonelypsp_stateful_notify_at_turn(&n->op));
	finish(n, PS_OUTCOME_EXHAUSTED, "abandoned");
}

static void drop(struct ps_session_notification *n)
{
	if (n->attempts)
		dropped_sent(n);
	else
		dropped_unsent(n);
}

static void part_sent(struct ps_stateful_message *m, int error)
{
	struct ps_session *s = m->owner;
	struct ps_session_notification *n = TAKE_PTR(s->sending_message);

	s->sending = false;
	if (n->in_flight && !error)
		PS_STEP(lonelypsp_stateful_notify__part_sent(
			lonelypsp_stateful_notify_at_in_flight(&n->op), m->number));
	if (!osp_list_empty(&s->finished))
		tell_soon(s);
	ps_session_pump(s);
}

static void continue_notify(struct ps_session_notification *n, const struct ps_frame *answer)
{
	struct outspan_context context;

	ps_trace_read(&context, answer->tracing);
	PS_STEP(lonelypsp_stateful_notify__continue_notify(
		lonelypsp_stateful_notify_at_in_flight(&n->op), answer->part, &context));
	n->unanswered--;
}

static void confirm_notify(struct ps_session_notification *n, const struct ps_frame *answer)
{
	struct outspan_context context;

	n->subscribers =
		answer->subscribers > UINT32_MAX ? UINT32_MAX : (uint32_t)answer->subscribers;
	ps_trace_read(&context, answer->tracing);
	lonelypsp_stateful_notify__confirm_notify(lonelypsp_stateful_notify_at_in_flight(&n->op),
						  n->subscribers, &context);
	n->in_flight = false;
	log_attempt(n, "ok");
	finish(n, PS_OUTCOME_OK, "none");
}

static void ack_mismatch(struct ps_session_notification *n)
{
	lonelypsp_stateful_notify__ack_mismatch(lonelypsp_stateful_notify_at_in_flight(&n->op));
	n->in_flight = false;
	log_attempt(n, "ack_mismatch");
	finish(n, PS_OUTCOME_FAILED, "ack_mismatch");
}

/* ---- sending --------------------------------------------------------------------------------- */

static struct ps_frame frame_of(const struct ps_session_notification *n, enum ps_frame_type type)
{
	return (struct ps_frame){.type = type,
				 .tracing = ps_bytes(n->tracing.room, n->tracing.size),
				 .identifier = identifier_of(n),
				 .key = n->topic,
				 .digest = ps_bytes(n->body_digest, PS_DIGEST_SIZE),
				 .part = n->part,
				 .compressor = n->compressor,
				 .compressed_length = n->body->size,
				 .length = n->message->size};
}

static bool is_small(const struct ps_session_notification *n)
{
	const struct ps_stateful *wire = &n->session->wire;
	struct ps_frame f = frame_of(n, PS_FRAME_NOTIFY);

	return ps_stream_is_single(n->body->size, ps_stateful_head_max(wire, &f),
				   wire->message_max);
}

static void sending_notify(struct ps_session_notification *n)
{
	struct ps_session *s = n->session;
	struct outspan_context context;

	PS_STEP(lonelypsp_stateful_notify__sending_notify(
		lonelypsp_stateful_notify_at_sending(&n->op), s->id, sizeof(s->id), n->identifier,
		n->identifier_size, n->body->size, &context));
	ps_trace_bytes(&n->tracing, &context);
}

static void sending_first_part(struct ps_session_notification *n, uint64_t size)
{
	struct ps_session *s = n->session;
	struct outspan_context context;

	PS_STEP(lonelypsp_stateful_notify__sending_first_part(
		lonelypsp_stateful_notify_at_sending(&n->op), s->id, sizeof(s->id), n->identifier,
		n->identifier_size, n->body->size, size, &context));
	ps_trace_bytes(&n->tracing, &context);
}

/* Its context goes nowhere: all parts are signed with the first one's. */
static void sending_part(struct ps_session_notification *n, uint64_t size)
{
	struct outspan_context context;

	PS_STEP(lonelypsp_stateful_notify__sending_part(
		lonelypsp_stateful_notify_at_in_flight(&n->op), n->part, n->sent, size, &context));
}

/* ---- what is sent: the message, or what it was packed to ---- */

static void set_body(struct ps_session_notification *n, uint64_t compressor,
		     const struct ps_spool *body, const uint8_t *digest)
{
	n->compressor = compressor;
	n->body = body;
	n->body_digest = digest;
}

static void unpack(struct ps_session_notification *n)
{
	ps_loop_disarm(n->session->loop, &n->packing_turn);
	ps_zstd_stop(&n->packing);
	ps_spool_clear(&n->packed);
	ps_spool_init(&n->packed, &n->session->budget);
	n->is_ready = false;
	set_body(n, PS_COMPRESSOR_NONE, n->message, n->digest);
}

static void compressor_skipped(struct ps_session_notification *n)
{
	unpack(n);
	n->is_ready = true;
	PS_STEP(lonelypsp_stateful_notify__compressor_skipped(
		lonelypsp_stateful_notify_at_turn(&n->op)));
}

static void compressed(struct ps_session_notification *n)
{
	set_body(n, n->compressor, &n->packed, n->packed_digest);
	n->is_ready = true;
	PS_STEP(lonelypsp_stateful_notify__compressed(lonelypsp_stateful_notify_at_turn(&n->op),
						      n->compressor, n->level, n->packed.size));
}

/* What cannot be packed, or to no smaller size, goes as it is. */
static void pack(struct ps_timer *t)
{
	struct ps_session_notification *n = t->owner;
	enum ps_zstd_verdict v = ps_zstd_step(&n->packing, PS_ZSTD_SLICE);

	if (v == PS_ZSTD_MORE) {
		ps_loop_arm(n->session->loop, &n->packing_turn, 0);
		return;
	}
	if (v == PS_ZSTD_DONE && !ps_session_hash(&n->packed, n->packed_digest))
		compressed(n);
	else
		compressor_skipped(n);
	ps_session_pump(n->session);
}

static void choose_compressor(struct ps_session_notification *n)
{
	struct ps_session *s = n->session;
	struct ps_compressor *c = ps_compressors_choose(&s->compressors, n->message->size);

	n->packing_turn = (struct ps_timer){.expired = pack, .owner = n};
	if (!c || ps_zstd_compress(&n->packing, &s->zstd, c->dictionary, c->level, n->message,
				   &n->packed)) {
		compressor_skipped(n);
		return;
	}
	n->compressor = c->id;
	n->level = c->level;
	ps_loop_arm(s->loop, &n->packing_turn, 0); /* not from here: pump would nest */
}

static void begin_attempt(struct ps_session_notification *n, uint64_t size)
{
	n->attempts++;
	n->attempt_begin_ns = ps_system_wall_ns();
	if (n->single)
		sending_notify(n);
	else
		sending_first_part(n, size);
	n->in_flight = true;
}

static uint64_t part_size(const struct ps_session_notification *n)
{
	struct ps_frame f = frame_of(n, PS_FRAME_NOTIFY_STREAM);
	const struct ps_stateful *wire = &n->session->wire;
	uint64_t left = n->body->size - n->sent;

	return n->single ? left
			 : ps_stream_part_size(left, ps_stateful_head_max(wire, &f),
					       wire->message_max);
}

static void send_part(struct ps_session_notification *n, enum ps_frame_type type, uint64_t size)
{
	struct ps_session *s = n->session;
	struct ps_frame f = frame_of(n, type);
	bool is_last = n->sent + size == n->body->size;
	struct ps_stateful_message *m;
	int r = ps_stateful_encode(&m, &s->wire, &f, 0);

	if (r) {
		ps_session_fail(s, r);
		return;
	}
	m->sent = part_sent;
	m->owner = s;
	m->number = n->part;
	m->out.body = n->body;
	m->out.offset = n->sent;
	m->out.size = size;
	ps_session_expect(s, &f, is_last, 0, n);
	n->part++;
	n->sent += size;
	n->unanswered += !is_last;
	if (is_last)
		s->next = n->node.next == &s->messages ? NULL : entry(n->node.next);
	if (ps_session_transmit(s, &m))
		return;
	s->sending = true;
	s->sending_message = n;
}

static void send(struct ps_session_notification *n)
{
	uint64_t size;

	if (!n->part)
		n->single = is_small(n);
	size = part_size(n);
	if (n->part)
		sending_part(n, size);
	else
		begin_attempt(n, size);
	send_part(n, n->single ? PS_FRAME_NOTIFY : PS_FRAME_NOTIFY_STREAM, size);
}

void ps_session_notify_send(struct ps_session *s)
{
	struct ps_session_notification *n = s->next;

	if (!n->is_ready && !n->packing_turn.armed)
		choose_compressor(n);
	if (n->is_ready)
		send(n);
}

bool ps_session_notify_due(const struct ps_session *s)
{
	return s->next && s->next->unanswered < s->options.window;
}

/* ---- fed by the session ---------------------------------------------------------------------- */

void ps_session_notify_continued(struct ps_session *s, const struct ps_frame *answer,
				 const struct ps_ack *ack)
{
	if (ps_stateful_check(&s->wire, answer, 0) != PS_AUTH_OK)
		ps_session_protocol_error(s, ps_session_type(answer->type), "bad_auth");
	else
		continue_notify(ack->owner, answer);
}

void ps_session_notify_confirmed(struct ps_session *s, const struct ps_frame *answer,
				 const struct ps_ack *ack)
{
	struct ps_session_notification *n = ack->owner;
	struct ps_frame f = *answer;

	f.key = n->topic;
	/* of a compressed stream what was sent is signed, else the message itself */
	f.digest = ps_bytes(n->single ? n->digest : n->body_digest, PS_DIGEST_SIZE);
	if (ps_stateful_check(&s->wire, &f, 0) != PS_AUTH_OK)
		ps_session_protocol_error(s, ps_session_type(f.type), "bad_auth");
	else
		confirm_notify(n, &f);
}

void ps_session_notify_mismatch(struct ps_session_notification *n)
{
	ack_mismatch(n);
}

void ps_session_notify_lost(struct ps_session *s)
{
	struct osp_list *node;

	for (node = s->messages.next; node != &s->messages; node = node->next) {
		struct ps_session_notification *n = entry(node);

		if (!n->in_flight)
			break; /* those that were sent are the first ones */
		connection_lost(n);
		resending(n);
	}
	if (s->next && s->next->is_ready) {
		connection_lost_unsent(s->next);
		resending(s->next);
	} else if (s->next) {
		unpack(s->next); /* its compressor is of the lost connection */
	}
	s->next = osp_list_empty(&s->messages) ? NULL : entry(s->messages.next);
}

void ps_session_notify_counts(const struct ps_session *s, uint32_t *unacked, uint32_t *unsent)
{
	const struct osp_list *node;

	*unacked = *unsent = 0;
	for (node = s->messages.next; node != &s->messages; node = node->next) {
		if (entry((struct osp_list *)node)->attempts)
			++*unacked;
		else
			++*unsent;
	}
}

void ps_session_notify_drop(struct ps_session *s)
{
	while (!osp_list_empty(&s->messages))
		drop(entry(s->messages.next));
}

static void forget(struct osp_list *list)
{
	while (!osp_list_empty(list)) {
		struct ps_session_notification *n = entry(list->next);

		lonelypsp_stateful_notify_leave(&n->op, ECANCELED);
		osp_list_remove(&n->node);
		unpack(n);
	}
}

void ps_session_notify_clear(struct ps_session *s)
{
	ps_loop_disarm(s->loop, &s->telling);
	s->next = NULL;
	forget(&s->messages);
	forget(&s->finished);
}

/* ---- asked by the application ---------------------------------------------------------------- */

static void queued(struct ps_session_notification *n)
{
	struct ps_session *s = n->session;

	PS_STEP(lonelypsp_stateful_notify__queued(lonelypsp_stateful_notify_at_queueing(&n->op),
						  n->identifier, n->identifier_size, is_small(n)));
	if (!s->next)
		s->next = n;
	if (s->state == PS_SESSION_OVER)
		drop(n);
	else
		ps_session_pump(s);
}

static void queue_full(struct ps_session_notification *n)
{
	lonelypsp_stateful_notify__queue_full(lonelypsp_stateful_notify_at_queueing(&n->op));
	finish(n, PS_OUTCOME_FAILED, "queue_full");
}

static void queue(struct ps_session_notification *n)
{
	struct ps_session *s = n->session;

	if (s->message_count > s->options.unsent_max)
		queue_full(n);
	else
		queued(n);
}

static void fail(struct ps_session_notification *n)
{
	lonelypsp_stateful_notify_leave(&n->op, EIO);
	finish(n, PS_OUTCOME_FAILED, "failed");
}

static void hashed(struct ps_session_notification *n)
{
	PS_STEP(lonelypsp_stateful_notify__hashed(lonelypsp_stateful_notify_at_hashed(&n->op)));
	queue(n);
}

static int new_identifier(struct ps_session_notification *n)
{
	struct ps_bytes fixed = n->session->options.identifier;

	n->identifier_size = fixed.size ? fixed.size : PS_IDENTIFIER_SIZE;
	if (!fixed.size)
		return ps_system_random(n->identifier, n->identifier_size);
	memcpy(n->identifier, fixed.data, fixed.size);
	return 0;
}

static void start_without_hash(struct ps_session_notification *n)
{
	PS_STEP(lonelypsp_stateful_notify__start_without_hash(
		lonelypsp_stateful_notify_begin(&n->op), n->topic.data, n->topic.size,
		n->message->size, n->filelike));
	if (ps_session_hash(n->message, n->digest) || new_identifier(n))
		fail(n);
	else
		hashed(n);
}

static void start_with_hash(struct ps_session_notification *n)
{
	PS_STEP(lonelypsp_stateful_notify__start_with_hash(lonelypsp_stateful_notify_begin(&n->op),
							   n->topic.data, n->topic.size,
							   n->message->size, n->filelike));
	memcpy(n->digest, n->known_digest, sizeof(n->digest));
	if (new_identifier(n))
		fail(n);
	else
		queue(n);
}

void ps_session_notify(struct ps_session *s, struct ps_session_notification *n)
{
	n->session = s;
	n->begin_ns = ps_system_wall_ns();
	n->attempts = n->unanswered = 0;
	n->subscribers = 0;
	n->identifier_size = 0;
	n->part = n->sent = 0;
	n->in_flight = false;
	n->tracing.size = 0;
	n->packing_turn = (struct ps_timer){0};
	n->packing = (struct ps_zstd_run){0};
	n->packed = (struct ps_spool){.fd = -1};
	unpack(n);
	n->reason = "none";
	osp_list_add(&s->messages, &n->node);
	s->message_count++;
	if (n->known_digest)
		start_with_hash(n);
	else
		start_without_hash(n);
}
