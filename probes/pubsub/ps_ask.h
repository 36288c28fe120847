/*
 * What all requests of a subscriber have in common: one of its broadcasters is asked, then by
 * the retry plan others, until one answers for good. What is asked, and how an answer is judged,
 * is the operation's (ps_subscribe.c, ps_set.c, ps_check.c).
 */
#pragma once

#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_publisher.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_trace.h"

struct ps_subscriber;

/* The points that asking passes, on an operation's block. PS_ASK_POINTS makes them. */
struct ps_ask_points {
	void (*network_error)(void *op);
	void (*response_received)(void *op, uint16_t status);
	void (*retryable_status)(void *op);
	void (*refused_status)(void *op);
	void (*retry_prevented)(void *op);
	void (*retries_exhausted)(void *op);
	void (*waiting_to_retry)(void *op);
	void (*retrying)(void *op);
	void (*leave)(void *op, int error);
};

/* A request, embedded in its owner, who fills the first part and outlives it. */
struct ps_ask {
	struct ps_subscriber *s; /* borrowed */
	const struct ps_ask_points *points;
	void *op;	  /* borrowed: the operation's block */
	const char *path; /* borrowed: behind the broadcaster's url */
	/* Passes sending_request, fills `body` and `authorization`, anew for each attempt. -errno. */
	int (*send)(struct ps_ask *a);
	/* Answered with 2xx: ends with ps_ask_finish or goes on with ps_ask_retry. NULL: malformed. */
	void (*accepted)(struct ps_ask *a, const struct ps_response *r);
	/* Answered with 409: ends with ps_ask_finish. NULL where that is a refusal like others. */
	void (*conflict)(struct ps_ask *a);
	void (*done)(struct ps_ask *a); /* the last thing; never from within ps_ask_start */
	void *owner;
	/* what `send` uses and fills */
	const char *broadcaster; /* borrowed from the list */
	struct osp_buffer body, authorization;
	/* results */
	enum ps_outcome outcome;
	const char *reason; /* of the last failure, a word */
	unsigned attempts;
	unsigned status; /* of the last answer, 0: none */
	/* private to ps_ask.c */
	struct ps_retry retry;
	char *url; /* owned */
	struct ps_call call;
	struct ps_timer wait;
};

void ps_ask_start(struct ps_ask *a);

/* The attempt failed for this reason (its point is passed): tries again, or ends. */
void ps_ask_retry(struct ps_ask *a, const char *reason);

/* The request is over (its point is passed). */
void ps_ask_finish(struct ps_ask *a, enum ps_outcome outcome, const char *reason);

/* Stops a request that is under way (without `done`) and frees what it holds. */
void ps_ask_clear(struct ps_ask *a);

/*
 * Defines <operation>_points. `responses` and `retries` are what the operation's states are
 * called before _response_received and _retry_determined: the fragments they come from.
 */
#define PS_ASK_POINT(operation, state, point)                                                      \
	static void operation##_##point(void *op)                                                  \
	{                                                                                          \
		PS_STEP(lonelypsp_##operation##__##point(lonelypsp_##operation##_at_##state(op))); \
	}
#define PS_ASK_END(operation, state, point)                                                        \
	static void operation##_##point(void *op)                                                  \
	{                                                                                          \
		lonelypsp_##operation##__##point(lonelypsp_##operation##_at_##state(op));          \
	}
#define PS_ASK_POINTS(operation, responses)                                                        \
	PS_ASK_POINT(operation, responses##response_received, network_error)                       \
	static void operation##_response_received(void *op, uint16_t status)                       \
	{                                                                                          \
		PS_STEP(lonelypsp_##operation##__response_received(                                \
			lonelypsp_##operation##_at_##responses##response_received(op), status));   \
	}                                                                                          \
	PS_ASK_POINT(operation, responses##response_auth_result, retryable_status)                 \
	PS_ASK_END(operation, responses##response_auth_result, refused_status)                     \
	PS_ASK_END(operation, retry_determined, retry_prevented)                                   \
	PS_ASK_END(operation, retry_determined, retries_exhausted)                                 \
	PS_ASK_POINT(operation, retry_determined, waiting_to_retry)                                \
	PS_ASK_POINT(operation, retry_determined, retrying)                                        \
	static void operation##_leave(void *op, int error)                                         \
	{                                                                                          \
		lonelypsp_##operation##_leave(op, error);                                          \
	}                                                                                          \
	static const struct ps_ask_points operation##_points = {                                   \
		operation##_network_error,                                                         \
		operation##_response_received,                                                     \
		operation##_retryable_status,                                                      \
		operation##_refused_status,                                                        \
		operation##_retry_prevented,                                                       \
		operation##_retries_exhausted,                                                     \
		operation##_waiting_to_retry,                                                      \
		operation##_retrying,                                                              \
		operation##_leave,                                                                 \
	}
