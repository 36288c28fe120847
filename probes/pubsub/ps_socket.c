/*
 * One web socket, of either side: how it opens, takes and sends messages, is pinged, and ends. Fed
 * by the library's callback (ps_sockets.c), by the sessions above (messages) and by strangers: size,
 * memory, number and time all have a maximum. The struct may outlive its wsi, the library's object,
 * or the other way round: `detach` parts them. Owns the struct and the message that is arriving.
 */
#include "probes/pubsub/ps_sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "user/base/cleanup.h"

/* ---- how a connection ends ------------------------------------------------------------------- */

static void set_end(struct ps_socket *s, int error, unsigned code, const char *why, size_t size)
{
	s->error = error;
	s->code = code;
	if (why != s->why)
		snprintf(s->why, sizeof(s->why), "%.*s", (int)size, why);
}

/* The first call counts; what is left to do comes from the loop, in finish_over. */
static void end(struct ps_socket *s)
{
	struct ps_sockets *all = s->sockets;

	if (s->state == PS_SOCKET_OVER)
		return;
	s->state = PS_SOCKET_OVER;
	ps_loop_disarm(all->loop, &s->limit);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->next = all->over;
	all->over = s;
	ps_sockets_kick(all);
}

void ps_socket_fail(struct ps_socket *s, int error, const char *why)
{
	if (s->state == PS_SOCKET_OVER)
		return;
	set_end(s, error, 0, why, strlen(why));
	end(s);
}

/* The library ends its side in its own time, and politely only while there is one to talk to. */
static void detach(struct ps_socket *s)
{
	struct lws *wsi = TAKE_PTR(s->wsi);
	bool flushing;
	int fd;

	if (!wsi)
		return;
	lws_set_opaque_user_data(wsi, NULL);
	fd = lws_get_socket_fd(wsi);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	flushing = lws_partial_buffered(wsi);
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
	if (flushing) /* asks to write once more, and fails */
		lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
	ps_sockets_kick(s->sockets);
}

static void cancel_pending(struct ps_socket *s)
{
	struct ps_outgoing *m = s->leaving ? s->leaving : s->first;

	if (s->leaving)
		s->leaving->next = s->first;
	s->leaving = s->first = NULL;
	while (m) {
		struct ps_outgoing *next = m->next;

		m->sent(m, -ECANCELED);
		m = next;
	}
}

static void clear_in(struct ps_socket *s)
{
	s->sockets->memory_used -= s->in.capacity;
	osp_buffer_clear(&s->in);
}

static void after_run(struct ps_socket *s)
{
	if (s->is_later)
		return;
	s->is_later = true;
	s->next_later = s->sockets->later;
	s->sockets->later = s;
}

/*
 * Sends the close frame. Not by the result of a callback for writing: the library (4.1 as Debian
 * builds it) then closes twice under libuv, the second time without waiting for the frame.
 */
static void send_close(struct ps_socket *s)
{
	lws_close_reason(s->wsi, (enum lws_close_status)s->code, (unsigned char *)s->why,
			 strlen(s->why));
	lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
	ps_sockets_kick(s->sockets);
}

/* The connection attempt's wsi is over; there may be another address. */
static void connect_again(struct ps_socket *s)
{
	if (!ps_sockets_connect_next(s))
		ps_socket_fail(s, -ECONNREFUSED, *s->why ? s->why : "could not connect");
}

static void finish_later(struct ps_sockets *all)
{
	struct ps_socket *s;

	while ((s = all->later)) {
		all->later = s->next_later;
		s->is_later = false;
		if (s->state == PS_SOCKET_CLOSING && s->wsi)
			send_close(s);
		else if (s->state == PS_SOCKET_HANDSHAKE && !s->wsi)
			connect_again(s);
	}
}

static void finish_over(struct ps_sockets *all)
{
	struct ps_socket *s;

	while ((s = all->over)) {
		struct ps_socket_end how = {s->error, s->code, s->why};

		all->over = s->next;
		detach(s);
		if (!s->killed) {
			cancel_pending(s);
			if (s->opened || !s->accepted)
				s->events->closed(s, &how);
			else if (s->events->unopened)
				s->events->unopened(s->owner, s->error);
		}
		clear_in(s);
		ps_target_free(&s->target);
		all->count--;
		free(s);
	}
}

void ps_socket_finish(struct ps_sockets *all)
{
	finish_later(all);
	finish_over(all);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void expect_sign_of_life(struct ps_socket *s)
{
	int64_t ns = s->sockets->options.ping_ns;

	if (ns)
		ps_loop_arm(s->sockets->loop, &s->limit, s->awaiting_pong ? ns / 2 : ns);
}

static void ask_to_write(struct ps_socket *s)
{
	lws_callback_on_writable(s->wsi);
	ps_sockets_kick(s->sockets);
}

/* The close frame goes out when it can; what is received until then is dropped. */
static void begin_close(struct ps_socket *s, int error, unsigned code, const char *why)
{
	set_end(s, error, code, why, strlen(why));
	s->state = PS_SOCKET_CLOSING;
	s->close_due = true;
	ps_loop_arm(s->sockets->loop, &s->limit, s->sockets->options.close_ns);
	ask_to_write(s);
}

static int refuse(struct ps_socket *s, int error, unsigned code, const char *why)
{
	begin_close(s, error, code, why);
	return 0;
}

static void ping_or_give_up(struct ps_socket *s)
{
	bool alive = s->heard || s->paused;

	s->heard = false;
	if (!alive && s->awaiting_pong) {
		ps_socket_fail(s, -ETIMEDOUT, "no answer to a ping");
		return;
	}
	if (!alive) {
		s->ping_due = true;
		ask_to_write(s);
	}
	s->awaiting_pong = !alive;
	expect_sign_of_life(s);
}

static void limit_expired(struct ps_timer *t)
{
	struct ps_socket *s = t->owner;

	switch (s->state) {
	case PS_SOCKET_HANDSHAKE:
		ps_socket_fail(s, -ETIMEDOUT, "no answer to the handshake");
		return;
	case PS_SOCKET_OPEN:
		ping_or_give_up(s);
		return;
	default: /* the close frame's reason stays */
		end(s);
	}
}

/* ---- receiving ------------------------------------------------------------------------------- */

static int keep_part(struct ps_socket *s, const void *data, size_t size)
{
	struct ps_sockets *all = s->sockets;
	size_t before = s->in.capacity;
	int r;

	if (all->memory_used + size > all->options.memory_max)
		return -ENOBUFS;
	r = osp_buffer_add(&s->in, data, size);
	all->memory_used += s->in.capacity - before;
	return r;
}

static int deliver(struct ps_socket *s, struct ps_bytes message)
{
	s->events->message(s, message);
	clear_in(s);
	return s->state == PS_SOCKET_OVER ? -1 : 0;
}

static int receive(struct ps_socket *s, const void *data, size_t size)
{
	size_t left = lws_remaining_packet_payload(s->wsi);
	bool last = lws_is_final_fragment(s->wsi);
	int r;

	s->heard = true;
	if (s->state != PS_SOCKET_OPEN)
		return s->state == PS_SOCKET_OVER ? -1 : 0;
	if (!lws_frame_is_binary(s->wsi))
		return refuse(s, -EPROTO, PS_SOCKET_UNACCEPTABLE, "binary messages only");
	/* what the frame announces counts before it has come; no sum of these three overflows */
	if (left > s->in.max || s->in.size + size + left > s->in.max)
		return refuse(s, -EMSGSIZE, PS_SOCKET_TOO_BIG, "message too big");
	if (last && !s->in.size)
		return deliver(s, ps_bytes(data, size));
	r = keep_part(s, data, size);
	if (r)
		return refuse(s, -ENOBUFS, PS_SOCKET_FAILED, "out of memory for messages");
	return last ? deliver(s, ps_bytes(s->in.data, s->in.size)) : 0;
}

static int peer_closes(struct ps_socket *s, const uint8_t *data, size_t size)
{
	if (s->state != PS_SOCKET_OPEN) /* the answer to ours */
		return 0;
	s->state = PS_SOCKET_CLOSING;
	if (size >= 2)
		set_end(s, 0, (unsigned)data[0] << 8 | data[1], (const char *)data + 2, size - 2);
	else
		set_end(s, 0, 1005, "", 0);
	ps_loop_arm(s->sockets->loop, &s->limit, s->sockets->options.close_ns);
	return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static uint64_t outgoing_size(const struct ps_outgoing *m)
{
	return m->head.size + (m->body ? m->size : 0);
}

/* The next bytes of the message, up to the size of a frame. -EIO, -errno. */
static ssize_t read_outgoing(const struct ps_outgoing *m, uint8_t *out)
{
	uint64_t at = m->done, left = outgoing_size(m) - at;
	size_t want = left < PS_SOCKET_FRAME_MAX ? (size_t)left : PS_SOCKET_FRAME_MAX, n = 0;

	if (at < m->head.size) {
		n = m->head.size - at < want ? (size_t)(m->head.size - at) : want;
		memcpy(out, (const uint8_t *)m->head.data + at, n);
	}
	while (n < want) {
		ssize_t part = ps_spool_read(m->body, m->offset + at + n - m->head.size, out + n,
					     want - n);

		if (part <= 0)
			return part ? part : -EIO;
		n += (size_t)part;
	}
	return (ssize_t)n;
}

static void tell_sent(struct ps_socket *s)
{
	struct ps_outgoing *m = TAKE_PTR(s->leaving);

	s->pending--;
	m->sent(m, 0);
}

static int write_part(struct ps_socket *s)
{
	uint8_t *frame = s->sockets->frame + LWS_PRE;
	struct ps_outgoing *m = s->first;
	ssize_t n = read_outgoing(m, frame);
	bool last;

	if (n < 0) {
		ps_socket_fail(s, -EIO, "cannot read a message to send");
		return -1;
	}
	last = m->done + (size_t)n == outgoing_size(m);
	n = lws_write(s->wsi, frame, (size_t)n,
		      lws_write_ws_flags(LWS_WRITE_BINARY, !m->done, last));
	if (n < 0)
		return -1;
	m->done += (size_t)n;
	if (!last)
		return 0;
	s->first = m->next;
	if (!s->first)
		s->last = &s->first;
	s->leaving = m;
	if (!lws_partial_buffered(s->wsi))
		tell_sent(s);
	return 0;
}

static int write_ping(struct ps_socket *s)
{
	uint8_t *frame = s->sockets->frame + LWS_PRE;

	s->ping_due = false;
	/* an empty pong would not be reported */
	memcpy(frame, "ping", 4);
	return lws_write(s->wsi, frame, 4, LWS_WRITE_PING) < 0 ? -1 : 0;
}

/* Whatever was written before has left; one thing more goes out. */
static int write_some(struct ps_socket *s)
{
	int r = 0;

	if (s->leaving)
		tell_sent(s);
	if (s->close_due) {
		s->close_due = false;
		after_run(s);
		return 0;
	}
	if (s->state == PS_SOCKET_OPEN && s->ping_due)
		r = write_ping(s);
	else if (s->state == PS_SOCKET_OPEN && s->first)
		r = write_part(s);
	if (r || s->state == PS_SOCKET_OVER)
		return -1;
	if (s->first || s->leaving || s->close_due)
		lws_callback_on_writable(s->wsi);
	return 0;
}

/* ---- the library's one callback -------------------------------------------------------------- */

static void open_up(struct ps_socket *s)
{
	s->state = PS_SOCKET_OPEN;
	s->opened = true;
	ps_loop_disarm(s->sockets->loop, &s->limit);
	expect_sign_of_life(s);
	s->events->opened(s);
}

static int on_server(struct ps_socket *s, struct lws *wsi, enum lws_callback_reasons reason,
		     const char *what)
{
	char path[256];

	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) < 0 ||
		    strcmp(path, s->sockets->options.path))
			lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, NULL);
		else if (strcasecmp(what, "websocket"))
			lws_return_http_status(wsi, 426, NULL);
		else
			return 0;
		return -1;
	case LWS_CALLBACK_HTTP:
		lws_return_http_status(wsi, 426, NULL);
		return -1;
	default:
		return 0;
	}
}

/* Could not connect, or the answer is no handshake; `why` is the library's. */
static void note_failure(struct ps_socket *s, struct lws *wsi, const char *why, size_t size)
{
	unsigned status = lws_http_client_http_response(wsi);

	set_end(s, -EPROTO, 0, why, size);
	if (status)
		snprintf(s->why, sizeof(s->why), "%.*s (status %u)", (int)size, why, status);
}

/* The library has given the connection up. */
static void wsi_gone(struct ps_socket *s)
{
	s->wsi = NULL;
	if (s->state == PS_SOCKET_CLOSING)
		end(s);
	else if (s->opened || s->accepted)
		ps_socket_fail(s, -ECONNRESET, "connection lost");
	else if (s->heard) /* connected, but the handshake failed */
		ps_socket_fail(s, -EPROTO, *s->why ? s->why : "no web socket");
	else if (s->state == PS_SOCKET_HANDSHAKE)
		after_run(s);
}

int ps_socket_take(struct ps_socket *s, struct lws *wsi, enum lws_callback_reasons reason, void *in,
		   size_t size)
{
	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		s->wsi = wsi;
		open_up(s);
		return s->state == PS_SOCKET_OVER ? -1 : 0;
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_CLIENT_RECEIVE:
		return receive(s, in, size);
	case LWS_CALLBACK_RECEIVE_PONG:
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		s->heard = true;
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return write_some(s);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		return peer_closes(s, in, size);
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		s->heard = true; /* is connected */
		return 0;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		note_failure(s, wsi, in ? in : "", in ? size : 0);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		wsi_gone(s);
		return 0;
	default:
		return on_server(s, wsi, reason, in);
	}
}

/* ---- what others ask ----------------------------------------------------------------------- */

struct ps_socket *ps_socket_new(struct ps_sockets *all, const struct ps_socket_events *events,
				void *owner, int64_t limit_ns)
{
	struct ps_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->sockets = all;
	s->events = events;
	s->owner = owner;
	s->last = &s->first;
	s->in.max = all->options.message_max;
	s->limit = (struct ps_timer){.expired = limit_expired, .owner = s};
	ps_loop_arm(all->loop, &s->limit, limit_ns);
	s->next = all->all;
	s->link = &all->all;
	if (s->next)
		s->next->link = &s->next;
	all->all = s;
	all->count++;
	return s;
}

int ps_socket_send(struct ps_socket *s, struct ps_outgoing *m)
{
	if (s->state != PS_SOCKET_OPEN)
		return -ENOTCONN;
	if (s->pending >= s->sockets->options.pending_max)
		return -ENOBUFS;
	m->done = 0;
	m->next = NULL;
	*s->last = m;
	s->last = &m->next;
	s->pending++;
	ask_to_write(s);
	return 0;
}

unsigned ps_socket_pending(const struct ps_socket *s)
{
	return s->pending;
}

void ps_socket_pause(struct ps_socket *s)
{
	s->paused = true;
	if (s->state != PS_SOCKET_OPEN)
		return;
	lws_rx_flow_control(s->wsi, 0);
	ps_sockets_kick(s->sockets);
}

void ps_socket_resume(struct ps_socket *s)
{
	s->paused = false;
	if (s->state != PS_SOCKET_OPEN)
		return;
	lws_rx_flow_control(s->wsi, 1);
	ask_to_write(s); /* makes the library look at what it has read already */
}

void ps_socket_close(struct ps_socket *s, unsigned code, const char *reason)
{
	if (s->state == PS_SOCKET_OPEN) {
		begin_close(s, 0, code, reason);
	} else if (s->state == PS_SOCKET_HANDSHAKE) {
		set_end(s, 0, code, reason, strlen(reason));
		end(s);
	}
}

void ps_socket_kill(struct ps_socket **socket)
{
	struct ps_socket *s = TAKE_PTR(*socket);

	if (!s)
		return;
	s->killed = true;
	end(s);
}
