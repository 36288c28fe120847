/* Publishing: NOTIFY to one of several broadcasters, tried until one confirms it. */
#pragma once

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_trace.h"

struct ps_publisher {
	struct ps_loop *loop; /* borrowed: outlives it, as auth, client, log and the list */
	struct ps_client *client;
	const struct ps_auth *auth;
	struct ps_log *log; /* NULL: no message log */
	const struct ps_broadcaster_url *broadcasters;
	size_t broadcaster_count;
	unsigned passes;	    /* over all broadcasters */
	bool retry_ambiguous;	    /* also after a failure that may have come too late */
	bool ask_report;	    /* while a recorder watches: what did the broadcaster do? */
	struct ps_bytes identifier; /* of every attempt, or size 0: 16 random bytes each */
};

enum ps_outcome {
	PS_OUTCOME_OK,
	PS_OUTCOME_EXHAUSTED, /* every attempt failed */
	PS_OUTCOME_PREVENTED, /* failed, and must not be tried again */
	PS_OUTCOME_REFUSED,   /* the broadcaster said no, for good */
	PS_OUTCOME_CONFLICT,  /* 409: it was so already; counts as done */
	PS_OUTCOME_COUNTED,   /* by reference count only: no request was needed */
	PS_OUTCOME_FAILED,    /* here: no memory, no random bytes, file not readable */
};

const char *ps_outcome_to_str(enum ps_outcome o);

/* One message on its way. The caller fills the first part and keeps it until `done`. */
struct ps_notification {
	struct ps_bytes topic;		/* borrowed */
	const struct ps_spool *message; /* borrowed */
	bool filelike;			/* the message is read from a file */
	const uint8_t *known_digest;	/* its SHA-512; borrowed; NULL: it is hashed */
	void (*done)(struct ps_notification *n);
	void *owner;
	/* results */
	enum ps_outcome outcome;
	const char *reason; /* of the last attempt's failure, a word */
	unsigned attempts;
	unsigned status;		       /* of the last answer, 0: none */
	uint32_t subscribers;		       /* that were notified */
	uint8_t identifier[PS_IDENTIFIER_MAX]; /* of the last attempt */
	size_t identifier_size;
	int64_t begin_ns, end_ns;
	/* private to ps_publisher.c */
	struct ps_publisher *publisher;
	struct lonelypsp_notify op;
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_retry retry;
	const char *url;
	struct ps_call call;
	struct ps_timer wait;
	struct osp_buffer head, authorization;
	int64_t attempt_begin_ns;
};

/* Hashes the message, unless its hash is known, and sends it. `done` follows, never from within this function. */
void ps_publisher_start(struct ps_publisher *p, struct ps_notification *n);

/* Stops a message that is on its way (without `done`) and frees what it holds. */
void ps_publisher_clear(struct ps_notification *n);
