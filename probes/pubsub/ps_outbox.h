/*
 * How a program publishes: over HTTP (ps_publisher) or over a web socket (ps_session), where
 * several messages may be on their way, with the same calls.
 */
#pragma once

#include "probes/pubsub/ps_session.h"

struct ps_outbox;

/* A message that is being filled, or on its way. */
struct ps_parcel {
	struct ps_spool own;		/* the message, unless it is another: */
	const struct ps_spool *message; /* borrowed; ps_outbox_next sets it to `own` */
	bool filelike;			/* it is read from a file */
	const uint8_t *known_digest;	/* its SHA-512; borrowed; NULL: it is hashed */
	bool busy;
	/* private to ps_outbox.c */
	struct ps_outbox *outbox;
	struct ps_notification http;
	struct ps_session_notification ws;
};

/* How one ended; borrowed for the call. */
struct ps_sent {
	struct ps_bytes identifier; /* of the last attempt */
	struct ps_bytes topic;
	uint64_t size;
	unsigned attempts;
	unsigned status; /* of HTTP's last answer, 0: none */
	uint32_t subscribers;
	enum ps_outcome outcome;
	const char *reason; /* of a failure, a word */
};

struct ps_outbox {
	/* the caller's */
	struct ps_bytes topic; /* of all messages; borrowed */
	void (*sent)(void *owner, const struct ps_sent *sent);
	/* No message goes out any more: by ps_outbox_stop or, with an error, by itself. */
	void (*ended)(void *owner, int error);
	void *owner;
	/* private to ps_outbox.c */
	bool is_ws;
	struct ps_publisher http;
	struct ps_session ws;
	struct ps_budget *budget;  /* borrowed */
	struct ps_parcel *parcels; /* owned */
	unsigned count, busy;
};

/*
 * Opens it for at most `count` messages at a time, whose bytes count against the budget. -ENOMEM,
 * -errno, said on stderr.
 */
int ps_outbox_open_http(struct ps_outbox *b, const struct ps_publisher *http,
			struct ps_budget *budget);
int ps_outbox_open_ws(struct ps_outbox *b, const struct ps_publisher *http,
		      struct ps_budget *budget, const struct ps_session_options *ws,
		      unsigned count);

/* Ends everything at once, without `sent` and `ended`. */
void ps_outbox_close(struct ps_outbox *b);

/* Goes politely; `ended` follows, at once or later. Messages on their way are dropped. */
void ps_outbox_stop(struct ps_outbox *b);

/* One that is not busy, empty; NULL: all are. */
struct ps_parcel *ps_outbox_next(struct ps_outbox *b);

/* Sends it; `sent` follows, never from within. */
void ps_outbox_send(struct ps_outbox *b, struct ps_parcel *p);
