/*
 * HTTP out: one POST of octets per call, any number of calls at once (up to a maximum of
 * connections), each with its time-outs, each ended by its `done`.
 */
#pragma once

#include "probes/pubsub/ps_loop.h"
#include "probes/pubsub/ps_spool.h"
#include "probes/pubsub/ps_wire.h"

struct ps_client;

struct ps_client_options {
	unsigned connections_max; /* further calls wait for one, within their time-outs */
	int64_t connect_ns;
	int64_t silent_ns; /* the peer neither takes nor gives a byte */
	int64_t total_ns;
};

/* A call, embedded in its owner. The owner fills the first part; all of it outlives the call. */
struct ps_call {
	struct ps_bytes url;		     /* borrowed; has passed ps_url_check */
	const char *authorization;	     /* header value, or NULL */
	const char *repr_digest;	     /* header value, or NULL */
	struct ps_bytes head;		     /* the body: these bytes, then the message */
	const struct ps_spool *message;	     /* or NULL */
	void (*answered)(struct ps_call *c); /* the status line and headers are there; or NULL */
	void (*done)(struct ps_call *c);     /* the last thing that happens; may start it again */
	void *owner;
	/* results, valid in `done` and until the next start */
	int error;	 /* 0, or why there is no whole answer: -ECONNREFUSED, -ETIMEDOUT, ... */
	unsigned status; /* 0: not even headers came */
	struct osp_buffer answer;
	/* private to ps_client.c */
	struct ps_client *client;
	void *easy, *headers;
	uint64_t sent;
	int64_t alive_ns;
	struct ps_timer silence;
	struct ps_call *next_done;
};

int ps_client_open(struct ps_client **out, struct ps_loop *l, const struct ps_client_options *o);
void ps_client_close(struct ps_client **c); /* no call may be under way */

/* Sends the call. Afterwards `done` follows in any case, never from within this function. */
void ps_client_start(struct ps_client *c, struct ps_call *call);

/* Ends the call without `done`, if it is under way. Not from within `answered`. */
void ps_client_cancel(struct ps_call *call);

/* Cancels and frees the answer. */
void ps_client_clear(struct ps_call *call);
