/*
 * The web sockets of a broadcaster as its HTTP side sees them: which of them want a topic, and
 * how a message is handed on to one. The stateful sessions implement it; a broadcaster that has
 * none of them uses ps_relay_none.
 */
#pragma once

#include "probes/pubsub/ps_digest.h"
#include "probes/pubsub/ps_spool.h"
#include "probes/pubsub/ps_trace.h"

enum { PS_CONNECTION_SIZE = 32 };

/* How far a walk over the web sockets got: by their numbers, in the order they were opened. */
struct ps_relay_at {
	uint64_t number;			/* 0 at the start */
	uint8_t connection[PS_CONNECTION_SIZE]; /* the connection's nonce */
};

/* A message for web sockets, embedded in its owner: a RECEIVE that came in. */
struct ps_relay_message {
	struct ps_bytes topic;
	struct ps_bytes identifier; /* of the RECEIVE */
	const uint8_t *digest;	    /* SHA-512 */
	const struct ps_spool *message;
	const struct outspan_context *context; /* the RECEIVE's; borrowed as the others */
	/* After PS_QUEUED_LARGE, never from within `queue`: nobody reads the message any more. */
	void (*released)(struct ps_relay_message *m, bool spooled);
	void *owner;
	void *holder; /* private to the implementation: who reads it */
};

enum ps_queued {
	PS_QUEUED_SMALL, /* copied: the message may go */
	PS_QUEUED_LARGE, /* must stay until `released`: one web socket at a time has it */
	PS_NOT_QUEUED,	 /* the web socket could not take it */
};

struct ps_relay {
	/* The next open web socket that wants the topic: 0 and *at moved to it; 1 at the end. */
	int (*next)(struct ps_relay *s, struct ps_bytes topic, struct ps_relay_at *at);
	/* Hands the message to the one where `at` is. */
	enum ps_queued (*queue)(struct ps_relay *s, const struct ps_relay_at *at,
				struct ps_relay_message *m);
	/* Takes a message back that is not released yet: its owner goes. */
	void (*cancel)(struct ps_relay *s, struct ps_relay_message *m);
	/*
	 * Tells the one where `at` is that a message on the topic was missed; false: it could not.
	 * The operation on whose behalf is borrowed for the call.
	 */
	bool (*tell_missed)(struct ps_relay *s, const struct ps_relay_at *at, struct ps_bytes topic,
			    const struct outspan_op *parent);
};

extern struct ps_relay ps_relay_none;
