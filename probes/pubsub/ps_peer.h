/*
 * One stateful connection at the broadcaster: shared by the files of its operations
 * (lonelypss/ws/). What comes is processed one message at a time, what goes out waits in one queue.
 */
#pragma once

#include "probes/pubsub/ps_acks.h"
#include "probes/pubsub/ps_compressor.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_peers.h"
#include "probes/pubsub/ps_stateful.h"
#include "probes/pubsub/ps_stream.h"
#include "probes/pubsub/ps_trace.h"
#include "user/base/map.h"

/* X(name, word, close code): why a connection ended; numbered as in the catalogue. */
#define PS_PEER_ENDS(X)                                                                            \
	X(DISCONNECTED, "disconnected", PS_SOCKET_NORMAL)                                          \
	X(UNEXPECTED_MESSAGE, "unexpected_message", PS_SOCKET_PROTOCOL)                            \
	X(BAD_REQUEST, "bad_request", PS_SOCKET_PROTOCOL)                                          \
	X(BAD_AUTH, "bad_auth", PS_SOCKET_POLICY)                                                  \
	X(PENDING_SENDS_FULL, "pending_sends_full", PS_SOCKET_POLICY)                              \
	X(UNPROCESSED_FULL, "unprocessed_full", PS_SOCKET_POLICY)                                  \
	X(PROTOCOL_ERROR, "protocol_error", PS_SOCKET_PROTOCOL)                                    \
	X(BACKGROUND_ERROR, "background_error", PS_SOCKET_FAILED)                                  \
	X(SHUTDOWN, "shutdown", PS_SOCKET_GOING_AWAY)                                              \
	X(TIMEOUT, "timeout", PS_SOCKET_POLICY)

enum ps_peer_end {
	PS_PEER_NOT_ENDED,
#define X(name, word, code) PS_PEER_##name,
	PS_PEER_ENDS(X)
#undef X
		PS_PEER_ENDS_COUNT,
};

const char *ps_peer_end_to_str(enum ps_peer_end end);

/* Something that waits for its turn to be sent; embedded in its owner. */
struct ps_peer_item {
	struct osp_list node;
	/*
	 * Sends what it can. 0: that was all, and it has left the queue by ps_peer_pop; 1: it goes on
	 * when ps_peer_pump is called again; -errno: the connection cannot go on.
	 */
	int (*turn)(struct ps_peer_item *i);
	/* The connection is over. Not in the queue any more. */
	void (*drop)(struct ps_peer_item *i);
};

struct ps_peer_message; /* that came and waits to be processed */
struct ps_peer_notify;
struct ps_peer_delivery;
struct ps_peer_training;

enum ps_peer_state { PS_PEER_CONFIGURING, PS_PEER_OPEN, PS_PEER_ENDING };

struct ps_peer {
	struct ps_peers *all; /* borrowed: outlives every connection */
	struct osp_list node; /* in all->list, by number */
	uint64_t number;
	enum ps_peer_state state;
	struct ps_stateful wire;
	uint8_t connection[PS_CONNECTION_SIZE]; /* both nonces' SHA-256 */
	struct lonelypsp_handle_stateful_session op;
	int64_t begin_ns;
	struct ps_timer limit; /* of CONFIGURE; then of putting away what belongs to an ended one */
	enum ps_peer_end end;
	char why[128];
	bool cleaned, orderly; /* orderly: the operation ends well */

	/* what came */
	struct osp_list unprocessed;
	unsigned unprocessed_count;
	uint64_t unprocessed_bytes;
	bool processing, busy, paused; /* busy: the message before it is not done yet */
	struct ps_peer_notify *notify;
	struct ps_stream stream;

	/* what goes out */
	struct osp_list queue;
	unsigned queue_count;
	bool pumping;
	struct ps_acks acks;
	struct osp_list deliveries; /* all that are not over */

	/* topic or glob -> struct shared of ps_peers.c */
	struct osp_map subscriptions[PS_DB_KINDS];
	struct ps_compressors compressors;
	struct osp_list offers;		   /* of them */
	struct ps_peer_training *training; /* NULL: none is wanted */
	uint64_t notifies, delivered, changes;
};

/* ---- the connection (ps_peer.c) ------------------------------------------------------------ */

extern const struct ps_socket_events ps_peer_events;

/*
 * Ends the connection: the point of the reason is passed, the socket closed. What belongs to the
 * connection stays until the caller has returned to the loop. Only the first reason counts.
 */
void ps_peer_fail(struct ps_peer *p, enum ps_peer_end end, int cause, const char *why);

/* The message that was being processed is done; the next one's turn. */
void ps_peer_next(struct ps_peer *p);

/* Frees it; its socket is gone. */
void ps_peer_free(struct ps_peer **p);

void ps_peer_log_begin(struct ps_line *line, const struct ps_peer *p, const char *what);

/* ---- sending (ps_peer_queue.c) -------------------------------------------------------------- */

/* Puts it at the end of the queue. -ENOBUFS: too many wait, and the connection has ended. */
int ps_peer_push(struct ps_peer *p, struct ps_peer_item *i);

/* Takes an item out, whose turn is over. */
void ps_peer_pop(struct ps_peer *p, struct ps_peer_item *i);

/* Goes on sending. */
void ps_peer_pump(struct ps_peer *p);

/*
 * Signs and queues a frame without payload that answers the request of `counter` (0: its url is
 * not signed). -errno: it did not work, and the connection has ended.
 */
int ps_peer_answer(struct ps_peer *p, const struct ps_frame *frame, int64_t counter);

/* How many messages wait to be sent, whoever has them. */
unsigned ps_peer_pending(const struct ps_peer *p);

void ps_peer_drop_queue(struct ps_peer *p);

/* ---- operations, one file each ---------------------------------------------------------------- */

/* ps_handle_stateful_subscribe.c: SUBSCRIBE_* and UNSUBSCRIBE_*. */
void ps_peer_change(struct ps_peer *p, const struct ps_frame *f, int64_t counter);

/* ps_handle_stateful_notify.c: NOTIFY and NOTIFY_STREAM. */
void ps_peer_take_notify(struct ps_peer *p, struct ps_frame *f);
void ps_peer_drop_notify(struct ps_peer *p);

/* ps_stateful_deliver.c: RECEIVE_STREAM and its answers. */
enum ps_queued ps_peer_deliver(struct ps_peer *p, struct ps_relay_message *m);
void ps_peer_take_back(struct ps_relay_message *m);
void ps_peer_take_ack(struct ps_peer *p, const struct ps_frame *f, int64_t counter);
void ps_peer_drop_deliveries(struct ps_peer *p);

/* ps_stateful_missed.c */
bool ps_peer_tell_missed(struct ps_peer *p, struct ps_bytes topic, const struct outspan_op *parent);

/* ps_peer_compressor.c: what both sides allow, once the connection is configured. */
void ps_peer_offer_compressors(struct ps_peer *p, const struct ps_frame *configure);
void ps_peer_offer_trained(struct ps_peer *p, struct ps_dictionary *dictionary);

/* The one for a message of this length, if the peer has been told of it; or NULL. */
struct ps_compressor *ps_peer_choose(const struct ps_peer *p, uint64_t length);
void ps_peer_drop_compressors(struct ps_peer *p);

/* ps_peer_training.c */
void ps_peer_start_training(struct ps_peer *p);

/* A message that was sent or received, as it was before compression or after it. */
void ps_peer_sample(struct ps_peer *p, const struct ps_spool *message);
void ps_peer_drop_training(struct ps_peer *p);
