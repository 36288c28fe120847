/*
 * One stateful connection at the broadcaster, to its peer: how it is configured, how its messages come one after
 * the other, how it ends. Fed by the web socket with the messages of strangers; the operations they
 * ask for are ps_handle_stateful_*.c. One function per step of the operation's automaton. Owns
 * struct ps_peer.
 */
#include "probes/pubsub/ps_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

struct ps_peer_message {
	struct osp_list node;
	size_t size;
	uint8_t data[];
};

static void take(struct ps_peer *p, struct ps_bytes message);

const char *ps_peer_end_to_str(enum ps_peer_end end)
{
	static const char *const words[] = {"?",
#define X(name, word, code) word,
					    PS_PEER_ENDS(X)
#undef X
	};

	return words[end];
}

static unsigned close_code(enum ps_peer_end end)
{
	static const unsigned codes[] = {0,
#define X(name, word, code) code,
					 PS_PEER_ENDS(X)
#undef X
	};

	return codes[end];
}

/* ---- the log --------------------------------------------------------------------------------- */

void ps_peer_log_begin(struct ps_line *line, const struct ps_peer *p, const char *what)
{
	ps_log_begin(line, p->all->b->log, what);
	if (*p->wire.connection.nonce)
		ps_log_hex(line, "connection", ps_bytes(p->connection, sizeof(p->connection)));
}

static void log_session(const struct ps_peer *p)
{
	struct ps_line line;

	ps_peer_log_begin(&line, p, "session");
	ps_log_number(&line, "begin", p->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "changes", (int64_t)p->changes);
	ps_log_number(&line, "notifies", (int64_t)p->notifies);
	ps_log_number(&line, "delivered", (int64_t)p->delivered);
	ps_log_text(&line, "why", ps_bytes_text(p->why));
	ps_log_word(&line, "outcome", ps_peer_end_to_str(p->end));
	ps_log_end(&line);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Number of the type on the wire, for whoever wonders what the peer sent. */
static uint16_t message_type(struct ps_bytes message)
{
	const uint8_t *p = message.data;

	return message.size >= 4 ? (uint16_t)(p[2] << 8 | p[3]) : 0;
}

static void end_waiting(struct ps_peer *p, enum ps_peer_end end, int cause)
{
	__auto_type at = lonelypsp_handle_stateful_session_at_waiting_configure(&p->op);

	if (end == PS_PEER_DISCONNECTED || end == PS_PEER_SHUTDOWN)
		PS_STEP(lonelypsp_handle_stateful_session__disconnected_in_waiting_configure(at));
	else if (end == PS_PEER_UNEXPECTED_MESSAGE)
		PS_STEP(lonelypsp_handle_stateful_session__unexpected_message(at, (uint16_t)cause));
	else if (end == PS_PEER_BAD_REQUEST)
		PS_STEP(lonelypsp_handle_stateful_session__bad_request(at));
	else if (end == PS_PEER_BAD_AUTH)
		PS_STEP(lonelypsp_handle_stateful_session__bad_auth_result(
			at, (enum lonelypsp_auth_result)cause));
	else
		lonelypsp_handle_stateful_session_leave(&p->op, cause ? cause : ECANCELED);
}

static void end_open(struct ps_peer *p, enum ps_peer_end end, int cause)
{
	__auto_type at = lonelypsp_handle_stateful_session_at_open(&p->op);

	switch (end) {
	case PS_PEER_DISCONNECTED:
		PS_STEP(lonelypsp_handle_stateful_session__disconnected_in_open(at));
		break;
	case PS_PEER_PENDING_SENDS_FULL:
		PS_STEP(lonelypsp_handle_stateful_session__pending_sends_full(at));
		break;
	case PS_PEER_UNPROCESSED_FULL:
		PS_STEP(lonelypsp_handle_stateful_session__unprocessed_full(at));
		break;
	case PS_PEER_SHUTDOWN:
		PS_STEP(lonelypsp_handle_stateful_session__shutdown(at));
		break;
	case PS_PEER_BACKGROUND_ERROR:
		PS_STEP(lonelypsp_handle_stateful_session__background_error(at, cause));
		break;
	default:
		PS_STEP(lonelypsp_handle_stateful_session__protocol_error(at, (uint16_t)cause));
		break;
	}
}

static void receiver_unregistered(struct ps_peer *p, bool orderly)
{
	uint32_t exact = (uint32_t)p->subscriptions[PS_DB_EXACT].count;
	uint32_t globs = (uint32_t)p->subscriptions[PS_DB_GLOB].count;

	if (!outspan_is_begun(&p->op.head))
		return;
	if (orderly)
		PS_STEP(lonelypsp_handle_stateful_session__receiver_unregistered_in_closing(
			lonelypsp_handle_stateful_session_at_closing(&p->op), exact, globs));
	else
		PS_STEP(lonelypsp_handle_stateful_session__receiver_unregistered_in_failing(
			lonelypsp_handle_stateful_session_at_failing(&p->op), exact, globs));
}

static void closed(struct ps_peer *p, bool orderly)
{
	enum lonelypsp_close_reason reason = (enum lonelypsp_close_reason)p->end;

	if (!outspan_is_begun(&p->op.head))
		return;
	if (orderly)
		lonelypsp_handle_stateful_session__closed_in_closing(
			lonelypsp_handle_stateful_session_at_closing(&p->op), reason);
	else
		lonelypsp_handle_stateful_session__closed_in_failing(
			lonelypsp_handle_stateful_session_at_failing(&p->op), reason);
}

/* Puts away what belongs to the connection; the socket may still be closing. */
static void clean(struct ps_peer *p)
{
	if (p->cleaned)
		return;
	p->cleaned = true;
	ps_loop_disarm(p->all->b->loop, &p->limit);
	ps_peer_drop_queue(p);
	ps_peer_drop_deliveries(p);
	ps_peer_drop_notify(p);
	ps_peer_drop_compressors(p);
	ps_peer_drop_training(p);
	receiver_unregistered(p, p->orderly);
	ps_peers_remove_all(p);
	while (!osp_list_empty(&p->unprocessed)) {
		struct osp_list *node = p->unprocessed.next;

		osp_list_remove(node);
		free(osp_list_entry(node, struct ps_peer_message, node));
	}
}

static void clean_expired(struct ps_timer *t)
{
	clean(t->owner);
}

void ps_peer_fail(struct ps_peer *p, enum ps_peer_end end, int cause, const char *why)
{
	bool was_open = p->state == PS_PEER_OPEN;

	if (p->state == PS_PEER_ENDING)
		return;
	p->state = PS_PEER_ENDING;
	p->end = end;
	p->orderly = was_open && (end == PS_PEER_DISCONNECTED || end == PS_PEER_SHUTDOWN);
	snprintf(p->why, sizeof(p->why), "%s", why);
	if (was_open)
		end_open(p, end, cause);
	else if (outspan_is_begun(&p->op.head))
		end_waiting(p, end, cause);
	if (p->wire.socket)
		ps_socket_close(p->wire.socket, close_code(end), p->why);
	p->limit.expired = clean_expired;
	ps_loop_arm(p->all->b->loop, &p->limit, 0);
}

void ps_peer_free(struct ps_peer **session)
{
	struct ps_peer *p = TAKE_PTR(*session);

	if (!p)
		return;
	ps_stateful_cancel(&p->wire);
	clean(p);
	closed(p, p->orderly);
	log_session(p);
	p->all->ended[p->end]++;
	if (p->all->at == p)
		p->all->at = NULL;
	osp_list_remove(&p->node);
	p->all->count--;
	ps_acks_clear(&p->acks);
	ps_stream_clear(&p->stream);
	lonelypsp_handle_stateful_session_leave(&p->op, ECANCELED);
	free(p);
}

/* ---- configuring ----------------------------------------------------------------------------- */

static void configure_late(struct ps_timer *t)
{
	ps_peer_fail(t->owner, PS_PEER_TIMEOUT, ETIMEDOUT, "no CONFIGURE in time");
}

static void sending_confirm_configure(struct ps_peer *p, const uint8_t *nonce,
				      const struct outspan_context *asked)
{
	struct ps_frame f = {.type = PS_FRAME_CONFIRM_CONFIGURE,
			     .nonce = ps_bytes(nonce, PS_NONCE_SIZE)};
	struct outspan_context context;
	struct ps_tracing tracing;

	PS_STEP(lonelypsp_handle_stateful_session__sending_confirm_configure(
		lonelypsp_handle_stateful_session_at_sending_confirm_configure(&p->op), nonce,
		PS_NONCE_SIZE, p->connection, sizeof(p->connection), &context));
	context.valid &= asked->valid; /* answered with one only if asked with one */
	f.tracing = ps_trace_bytes(&tracing, &context);
	p->state = PS_PEER_OPEN;
	ps_loop_disarm(p->all->b->loop, &p->limit);
	ps_peer_answer(p, &f, 0);
}

static void configure_accepted(struct ps_peer *p, const struct ps_frame *f)
{
	enum ps_counting counting = p->all->options.counting;
	struct outspan_context context;
	uint8_t nonce[PS_NONCE_SIZE];
	int r = ps_system_random(nonce, sizeof(nonce));

	ps_trace_read(&context, f->tracing);
	PS_STEP(lonelypsp_handle_stateful_session__configure_accepted(
		lonelypsp_handle_stateful_session_at_waiting_configure(&p->op), f->nonce.data,
		f->nonce.size, f->zstd, f->training, (uint16_t)f->dictionary, &context));
	if (!r)
		r = ps_connection_init(&p->wire.connection, f->nonce.data, nonce, counting);
	if (!r)
		r = ps_digest_from_base64(p->connection, sizeof(p->connection),
					  ps_bytes_text(p->wire.connection.nonce), false);
	if (r) { /* no state of the automaton tells of it */
		lonelypsp_handle_stateful_session_leave(&p->op, -r);
		ps_peer_fail(p, PS_PEER_BACKGROUND_ERROR, -r, "no nonce");
		return;
	}
	sending_confirm_configure(p, nonce, &context);
	if (p->state == PS_PEER_OPEN)
		ps_peer_offer_compressors(p, f);
}

static void take_configure(struct ps_peer *p, struct ps_bytes message)
{
	struct ps_frame f = {0};
	const char *header;
	enum ps_frame_fault fault = ps_frame_decode(&f, &header, PS_SUBSCRIBER, message);
	enum ps_auth_result result;

	if (fault) {
		ps_peer_fail(p, PS_PEER_BAD_REQUEST, 0, ps_frame_fault_to_str(fault));
		return;
	}
	if (f.type != PS_FRAME_CONFIGURE) {
		ps_peer_fail(p, PS_PEER_UNEXPECTED_MESSAGE, message_type(message),
			     "the first message is not CONFIGURE");
		return;
	}
	result = ps_stateful_check(&p->wire, &f, 0);
	if (result != PS_AUTH_OK)
		ps_peer_fail(p, PS_PEER_BAD_AUTH, result, ps_auth_result_to_str(result));
	else
		configure_accepted(p, &f);
}

/* ---- messages, one at a time ----------------------------------------------------------------- */

static void dispatch(struct ps_peer *p, struct ps_frame *f, struct ps_bytes message)
{
	int64_t counter = ps_connection_count(&p->wire.connection, f);

	switch (f->type) {
	case PS_FRAME_SUBSCRIBE_EXACT:
	case PS_FRAME_SUBSCRIBE_GLOB:
	case PS_FRAME_UNSUBSCRIBE_EXACT:
	case PS_FRAME_UNSUBSCRIBE_GLOB:
		ps_peer_change(p, f, counter);
		return;
	case PS_FRAME_NOTIFY:
	case PS_FRAME_NOTIFY_STREAM:
		ps_peer_take_notify(p, f);
		return;
	case PS_FRAME_CONTINUE_RECEIVE:
	case PS_FRAME_CONFIRM_RECEIVE:
		ps_peer_take_ack(p, f, counter);
		return;
	default:
		ps_peer_fail(p, PS_PEER_PROTOCOL_ERROR, message_type(message),
			     "a second CONFIGURE");
	}
}

static void take(struct ps_peer *p, struct ps_bytes message)
{
	struct ps_frame f = {0};
	const char *header;
	enum ps_frame_fault fault;
	char why[128];

	if (p->state == PS_PEER_CONFIGURING) {
		take_configure(p, message);
		return;
	}
	fault = ps_frame_decode(&f, &header, PS_SUBSCRIBER, message);
	if (!fault) {
		dispatch(p, &f, message);
		return;
	}
	snprintf(why, sizeof(why), "%s%s%s", header ? header : "", header ? ": " : "",
		 ps_frame_fault_to_str(fault));
	ps_peer_fail(p, PS_PEER_PROTOCOL_ERROR, message_type(message), why);
}

static void resume_if_room(struct ps_peer *p)
{
	if (!p->paused || p->unprocessed_bytes > p->all->options.unprocessed_bytes / 2)
		return;
	p->paused = false;
	if (p->wire.socket)
		ps_socket_resume(p->wire.socket);
}

static void process(struct ps_peer *p)
{
	p->processing = true;
	while (!p->busy && p->state != PS_PEER_ENDING && !osp_list_empty(&p->unprocessed)) {
		struct ps_peer_message *m =
			osp_list_entry(p->unprocessed.next, struct ps_peer_message, node);

		osp_list_remove(&m->node);
		p->unprocessed_count--;
		p->unprocessed_bytes -= m->size;
		take(p, ps_bytes(m->data, m->size));
		free(m);
	}
	p->processing = false;
	resume_if_room(p);
}

void ps_peer_next(struct ps_peer *p)
{
	p->busy = false;
	if (!p->processing)
		process(p);
}

/* For a message that comes while another is processed. */
static void keep(struct ps_peer *p, struct ps_bytes message)
{
	const struct ps_peers_options *o = &p->all->options;
	struct ps_peer_message *m;

	if (p->unprocessed_count >= o->unprocessed_max) {
		ps_peer_fail(p, PS_PEER_UNPROCESSED_FULL, 0,
			     "too many messages that are not processed");
		return;
	}
	m = malloc(sizeof(*m) + message.size);
	if (!m) {
		ps_peer_fail(p, PS_PEER_BACKGROUND_ERROR, ENOMEM, "out of memory");
		return;
	}
	m->size = message.size;
	if (message.size)
		memcpy(m->data, message.data, message.size);
	osp_list_add(&p->unprocessed, &m->node);
	p->unprocessed_count++;
	p->unprocessed_bytes += message.size;
	if (p->unprocessed_bytes > o->unprocessed_bytes && !p->paused) {
		p->paused = true;
		ps_socket_pause(p->wire.socket);
	}
}

/* ---- the web socket's events ----------------------------------------------------------------- */

static void on_opened(struct ps_socket *socket)
{
	struct ps_peers *all = socket->owner;
	struct ps_peer *p = calloc(1, sizeof(*p));

	if (!p || all->stopping || ps_acks_init(&p->acks, all->options.unacknowledged_max)) {
		free(p);
		ps_socket_close(socket, PS_SOCKET_GOING_AWAY, "no room");
		socket->owner = NULL;
		return;
	}
	socket->owner = p;
	p->all = all;
	p->number = ++all->last_number;
	osp_list_add(&all->list, &p->node);
	all->count++;
	ps_stateful_init(&p->wire, PS_BROADCASTER, all->b->auth);
	p->wire.socket = socket;
	p->wire.form = all->options.form;
	p->wire.message_max = all->options.message_max;
	p->begin_ns = ps_system_wall_ns();
	osp_list_init(&p->unprocessed);
	osp_list_init(&p->queue);
	osp_list_init(&p->deliveries);
	osp_list_init(&p->offers);
	p->stream.max = all->b->budget.message_max;
	for (int kind = 0; kind < PS_DB_KINDS; kind++)
		osp_map_init(&p->subscriptions[kind], all->options.subscriptions_max, all->seed);
	p->limit = (struct ps_timer){.expired = configure_late, .owner = p};
	ps_loop_arm(all->b->loop, &p->limit, all->options.sockets.accept_ns);
	PS_STEP(lonelypsp_handle_stateful_session__accepted(
		lonelypsp_handle_stateful_session_begin(&p->op)));
}

static void on_message(struct ps_socket *socket, struct ps_bytes message)
{
	struct ps_peer *p = socket->owner;

	if (!p || p->state == PS_PEER_ENDING)
		return;
	if (p->busy || !osp_list_empty(&p->unprocessed)) {
		keep(p, message);
		return;
	}
	p->processing = true;
	take(p, message);
	process(p);
}

static void on_closed(struct ps_socket *socket, const struct ps_socket_end *end)
{
	struct ps_peer *p = socket->owner;

	if (!p)
		return;
	p->wire.socket = NULL;
	ps_peer_fail(p, PS_PEER_DISCONNECTED, 0, end->why);
	ps_peer_free(&p);
}

/* It never was a web socket: only that it took too long is an operation's. */
static void on_unopened(void *owner, int error)
{
	struct lonelypsp_handle_stateful_session op = LONELYPSP_HANDLE_STATEFUL_SESSION_INIT;
	struct ps_peers *all = owner;

	if (error != -ETIMEDOUT)
		return;
	all->ended[PS_PEER_TIMEOUT]++;
	lonelypsp_handle_stateful_session__accept_timeout(
		lonelypsp_handle_stateful_session_begin(&op));
}

const struct ps_socket_events ps_peer_events = {on_opened, on_message, on_closed, on_unopened};
