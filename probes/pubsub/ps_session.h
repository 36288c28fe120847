/*
 * The subscriber's and publisher's end of the stateful protocol: one web socket at a time to one of
 * several broadcasters, for as long as the application wants. What is subscribed and what is not
 * yet confirmed goes on over the next one.
 */
#pragma once

#include "probes/pubsub/ps_acks.h"
#include "probes/pubsub/ps_compressor.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_stateful.h"
#include "probes/pubsub/ps_stream.h"
#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_trace.h"
#include "probes/pubsub/ps_zstd.h"

enum ps_session_end {
	PS_SESSION_STOPPED,   /* as the application wanted */
	PS_SESSION_EXHAUSTED, /* every broadcaster was tried as often as allowed */
	PS_SESSION_PREVENTED, /* something of our own failed, and would again */
};

struct ps_session_options {
	const struct ps_broadcaster_url *broadcasters; /* borrowed, as the handlers */
	size_t broadcaster_count;
	unsigned passes;	    /* over all of them before it gives up */
	struct ps_budget budget;    /* of what is received */
	struct ps_bytes identifier; /* of every message sent, or size 0: 16 random bytes each */
	struct ps_handler *handlers;
	size_t handler_count;
	void (*missed)(void *missed_owner,
		       struct ps_bytes topic); /* a message was missed; or NULL */
	void *missed_owner;
	void (*ended)(void *owner, enum ps_session_end how); /* there will be no other connection */
	void *owner;
	bool zstd, training;	    /* compression, and trained dictionaries, are wanted */
	uint16_t dictionary;	    /* the preset to begin with; 0 none */
	struct ps_presets *presets; /* borrowed; NULL: none */
	enum ps_form form;	    /* of what is sent */
	bool is_counting_known;
	enum ps_counting counting; /* if known, else learnt */
	size_t message_max;	   /* bytes of a web socket message that is sent */
	size_t frame_max;	   /* the same of one that is received */
	int64_t connect_ns;
	int64_t answer_ns; /* for the next answer that is due; 0: any time */
	int64_t stable_ns; /* a connection that lasts so long was a success */
	int64_t ping_ns;
	unsigned window;     /* parts of a message that may wait for CONTINUE_NOTIFY */
	size_t acks_max;     /* answers that may be due */
	size_t unsent_max;   /* messages that wait to be confirmed */
	size_t changes_max;  /* changes that wait to be confirmed */
	size_t received_max; /* messages that wait for the handlers */
	size_t subscriptions_max;
};

/* The defaults; the broadcasters, the handlers and the callbacks are left out. */
void ps_session_options_init(struct ps_session_options *o);

enum ps_session_state {
	PS_SESSION_WAITING, /* between two connections */
	PS_SESSION_CONNECTING,
	PS_SESSION_CONFIGURING,
	PS_SESSION_OPEN,
	PS_SESSION_CLOSING, /* the web socket is, or is already gone */
	PS_SESSION_OVER,
};

struct ps_session_change;
struct ps_session_notification;
struct ps_reception;

/* Private but to ps_session*.c. */
struct ps_session {
	struct ps_session_options options;
	struct ps_loop *loop; /* borrowed: outlives it, as the next two */
	const struct ps_auth *auth;
	struct ps_log *log; /* NULL: no message log */
	struct ps_budget budget;
	struct ps_sockets *sockets;
	struct lonelypsp_stateful_session op;
	enum ps_session_state state;
	/* which broadcaster */
	struct ps_retry retry;
	const char *broadcaster; /* borrowed from the list */
	bool stopping, prevented;
	struct ps_timer wait;
	/* the connection */
	struct ps_stateful wire;
	char *url;		      /* owned: the broadcaster's with the path */
	uint8_t nonce[PS_NONCE_SIZE]; /* ours */
	uint8_t id[PS_SHA256_SIZE];   /* of both nonces */
	bool is_lost;		      /* and the handlers know; as it is before the first */
	bool stable;
	int64_t begin_ns;
	const char *outcome; /* how the connection ended, a word */
	struct ps_timer stability, deadline;
	struct ps_acks acks;
	struct ps_compressors compressors;
	struct ps_zstd zstd;
	/* what is sent */
	bool sending;				  /* a change or a part is with the socket: */
	struct ps_session_change *sending_change; /* this one, or NULL */
	struct ps_session_notification *sending_message; /* this one, or NULL */
	struct osp_map subscriptions; /* kind and key -> struct ps_wanted, owned */
	struct osp_list changes; /* of struct ps_session_change, owned: sent ones, then others */
	size_t change_count;
	struct osp_list messages; /* the same of struct ps_session_notification, borrowed */
	struct ps_session_notification *next; /* of them to be sent, or being sent; NULL: none */
	size_t message_count;
	/* what is received */
	struct ps_stream stream;
	struct ps_reception *arriving; /* owned; NULL: no message is half here */
	struct osp_list received;      /* of struct ps_reception, owned: for the handlers */
	size_t received_count;
	struct ps_timer handler;
	struct osp_list finished; /* of notifications whose `done` follows from the loop */
	struct ps_timer telling;
};

/*
 * Opens and connects at once; `ended` is never called from within. -ENOMEM, -EIO, -errno, said on
 * stderr. The struct stays where it is until closed.
 */
int ps_session_open(struct ps_session *s, struct ps_loop *l, const struct ps_auth *a,
		    struct ps_log *log, const struct ps_session_options *o);

/* Closes the web socket politely; nothing is connected any more, `ended` follows. */
void ps_session_stop(struct ps_session *s);

/*
 * Ends everything at once: neither `ended` nor `done` of what is on its way. Not from within a
 * callback of the session.
 */
void ps_session_close(struct ps_session *s);

/* ---- subscriptions (ps_session_change.c) ---- */

/*
 * As ps_subscriber_change, over the connection, or the next one that there is. `done` follows, at
 * once or later. A subscription is kept over all connections from now on.
 */
int ps_session_change(struct ps_session *s, bool subscribe, enum ps_db_kind kind,
		      struct ps_bytes key, void (*done)(void *owner, const struct ps_changed *c),
		      void *owner);

/* Unsubscribes from everything, however often each is wanted; `done` for each. */
int ps_session_leave(struct ps_session *s, void (*done)(void *owner, const struct ps_changed *c),
		     void *owner);

/* True if a subscription matches the topic. */
bool ps_session_wants(const struct ps_session *s, struct ps_bytes topic);

/* ---- publishing (ps_session_notify.c) ---- */

/* One message on its way. The caller fills the first part and keeps it until `done`. */
struct ps_session_notification {
	struct ps_bytes topic;		/* borrowed */
	const struct ps_spool *message; /* borrowed */
	bool filelike;			/* the message is read from a file */
	const uint8_t *known_digest;	/* its SHA-512; borrowed; NULL: it is hashed */
	void (*done)(struct ps_session_notification *n);
	void *owner;
	/* results */
	enum ps_outcome outcome;
	const char *reason;   /* of a failure, a word */
	unsigned attempts;    /* connections it was sent over */
	uint32_t subscribers; /* that were notified */
	uint8_t identifier[PS_FRAME_IDENTIFIER_MAX];
	size_t identifier_size;
	int64_t begin_ns, end_ns;
	/* private to ps_session_notify.c */
	struct ps_session *session;
	struct lonelypsp_stateful_notify op;
	struct osp_list node;
	uint8_t digest[PS_DIGEST_SIZE];
	uint64_t part, sent; /* the next one, and how much is before it */
	unsigned unanswered; /* parts that wait for CONTINUE_NOTIFY */
	bool in_flight;	     /* its first part was given to this connection */
	bool is_ready;	     /* it is decided what is sent: */
	bool single;	     /* by one NOTIFY */
	uint64_t compressor;
	int level;
	const struct ps_spool *body; /* the message, or what it was packed to */
	const uint8_t *body_digest;  /* SHA-512 of the body */
	struct ps_spool packed;
	uint8_t packed_digest[PS_DIGEST_SIZE];
	struct ps_zstd_run packing;
	struct ps_timer packing_turn;
	struct ps_tracing tracing; /* of all parts */
	int64_t attempt_begin_ns;
};

/*
 * Hashes the message, unless its hash is known, and queues it: messages are sent, and sent again after a connection is lost,
 * in this order. `done` follows, never from within this function.
 */
void ps_session_notify(struct ps_session *s, struct ps_session_notification *n);
