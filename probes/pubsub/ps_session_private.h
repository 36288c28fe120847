/* What the files of a session (ps_session*.c) share; nobody else's. */
#pragma once

#include "probes/pubsub/ps_session.h"

/* ---- ps_session.c: an open connection ---- */

/* Hands a frame that came to the file of its operation. */
void ps_session_take(struct ps_session *s, struct ps_frame *f);

/* Sends what is due and may be sent: changes first, then messages. */
void ps_session_pump(struct ps_session *s);

/*
 * Signs, encodes and sends a frame; `counter` as of ps_stateful_encode. Failed: the connection is
 * being closed.
 */
int ps_session_send(struct ps_session *s, const struct ps_frame *frame, int64_t counter);

/*
 * Hands a frame to the socket. Failed: it is freed, the connection is being closed or about to
 * be.
 */
int ps_session_transmit(struct ps_session *s, struct ps_stateful_message **m);

/* An answer to this frame is due from now on. */
void ps_session_expect(struct ps_session *s, const struct ps_frame *frame, bool is_last,
		       int64_t counter, void *owner);

/* The number of a frame's type on the wire. */
static inline uint16_t ps_session_type(enum ps_frame_type type)
{
	return ps_formats[type].id;
}

/* Tells the handlers that the connection is lost, or there; how many. */
uint32_t ps_session_tell(struct ps_session *s, bool lost);

/* ---- ps_session_connect.c: how there comes to be one ---- */

/* Plans the tries and names the first broadcaster. -ENOMEM. */
int ps_session_plan(struct ps_session *s);

/* Connects to the broadcaster that is named. */
void ps_session_connect_after(struct ps_session *s, int64_t wait_ns);

/* Behind a connection, or a try: the next broadcaster, or the end of the session. */
void ps_session_next(struct ps_session *s);

/* ---- ps_session_close.c: how one ends ---- */

/* Each begins to close an open connection, for the reason that it names. */
void ps_session_protocol_error(struct ps_session *s, unsigned type, const char *outcome);
void ps_session_ack_mismatch(struct ps_session *s, const struct ps_frame *answer,
			     enum ps_ack_fault fault);
void ps_session_received_full(struct ps_session *s);
void ps_session_answers_full(struct ps_session *s);

/* An answer, to CONFIGURE or later, did not come in time. */
void ps_session_timed_out(struct ps_timer *t);

/* The application wants no connection any more, whatever its state; without one, nothing. */
void ps_session_cancel(struct ps_session *s);

/* Something of our own failed (-errno): the session ends. */
void ps_session_fail(struct ps_session *s, int error);

/*
 * Behind the step that says why: closes the web socket. What waited for this connection waits for
 * the next one.
 */
void ps_session_begin_closing(struct ps_session *s, unsigned code, const char *outcome);

/* The web socket is gone, as we wanted or not. */
void ps_session_gone(struct ps_session *s);

/* One line per connection, also of one that never came to be. */
void ps_session_log_connection(struct ps_session *s, uint32_t unacked, uint32_t unsent);

/* ---- ps_session_change.c ---- */

/* The first that is to be sent, or NULL. */
struct ps_session_change *ps_session_change_due(struct ps_session *s);
void ps_session_change_send(struct ps_session *s, struct ps_session_change *c);
void ps_session_change_confirmed(struct ps_session *s, const struct ps_frame *answer,
				 const struct ps_ack *ack);
void ps_session_change_mismatch(struct ps_session_change *c);

/* The connection is lost: what was asked is wanted from the next one. */
void ps_session_change_lost(struct ps_session *s);

/* There is a connection: queues all that is wanted; says of how many. */
void ps_session_resubscribe(struct ps_session *s, uint32_t counts[PS_DB_KINDS]);

/* Ends all without (`tell`: with) a word to whoever asked. */
void ps_session_change_clear(struct ps_session *s, bool tell);

/* ---- ps_session_notify.c ---- */

/* True if the next part may go now. */
bool ps_session_notify_due(const struct ps_session *s);
void ps_session_notify_send(struct ps_session *s);
void ps_session_notify_continued(struct ps_session *s, const struct ps_frame *answer,
				 const struct ps_ack *ack);
void ps_session_notify_confirmed(struct ps_session *s, const struct ps_frame *answer,
				 const struct ps_ack *ack);
void ps_session_notify_mismatch(struct ps_session_notification *n);
void ps_session_notify_lost(struct ps_session *s);
void ps_session_notify_counts(const struct ps_session *s, uint32_t *unacked, uint32_t *unsent);

/* There will be no other connection: all end, and `done` says so from the loop. */
void ps_session_notify_drop(struct ps_session *s);
void ps_session_notify_clear(struct ps_session *s);

/* ---- ps_session_receive.c, ps_session_missed.c, ps_session_compressor.c ---- */

void ps_session_receive(struct ps_session *s, struct ps_frame *part);
void ps_session_receive_lost(struct ps_session *s);
void ps_session_receive_clear(struct ps_session *s);
void ps_session_missed(struct ps_session *s, const struct ps_frame *frame);
void ps_session_enable(struct ps_session *s, const struct ps_frame *frame);
void ps_session_disable(struct ps_session *s, const struct ps_frame *frame);
void ps_session_compressors_lost(struct ps_session *s);
void ps_session_compressors_clear(struct ps_session *s);

/* SHA-512 of a message. -ENOMEM, -EIO, or why it cannot be read. */
int ps_session_hash(const struct ps_spool *message, uint8_t out[PS_DIGEST_SIZE]);
