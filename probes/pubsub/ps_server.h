/*
 * HTTP in: POST requests to a few fixed paths, each body streamed to its route, each answered
 * whole in one segment, at once or later while the connection waits.
 */
#pragma once

#include <stdint.h>

#include "probes/pubsub/ps_loop.h"
#include "probes/pubsub/ps_socket.h"
#include "probes/pubsub/ps_wire.h"

struct ps_server;
struct ps_request;

struct ps_route {
	const char *path; /* borrowed: outlives the server */
	/* The headers are there. Sets the request's state. 0, or -errno: answered with 503. */
	int (*begin)(struct ps_request *r, void *owner);
	/* Some of the body; not called any more once the request is answered. */
	void (*body)(struct ps_request *r, struct ps_bytes part);
	/* The body is complete; answers now, or keeps the request and answers later. */
	void (*end)(struct ps_request *r);
	/* The request is over, answered or not: frees the state. NULL-state requests have none. */
	void (*gone)(struct ps_request *r);
};

struct ps_request {
	const struct ps_route *route;
	void *state; /* the route's */
	/* private to ps_server.c */
	struct ps_server *server;
	void *connection;
	uint64_t received, discarded;
	bool answered, suspended, queued;
	unsigned status;
	void *answer; /* a response of the HTTP library, owned */
	struct ps_timer limit;
	struct ps_request *next, **link; /* in the server's list */
};

struct ps_server_options {
	const char *listen; /* HOST:PORT, [V6]:PORT; port 0 takes a free one */
	const char *prefix; /* in front of every route's path; "" or "/some/where" */
	const struct ps_route *routes;
	size_t route_count;
	void *owner;		    /* given to begin */
	struct ps_sockets *sockets; /* borrowed: takes the web sockets; NULL: there are none */
	unsigned connections_max;
	unsigned connections_per_address; /* 0: no limit */
	uint64_t discard_max;		  /* body bytes read after the answer is known */
	unsigned idle_s;		  /* a silent connection is closed */
	int64_t request_ns;		  /* a request must have arrived whole within this time */
	size_t header_max;		  /* memory per connection: request line and headers */
};

/* Listens. Says on stderr why it cannot (address in use, ...). -errno. */
int ps_server_open(struct ps_server **out, struct ps_loop *l, const struct ps_server_options *o);

/* Closes all connections; requests that wait get 503, and every request its `gone`. */
void ps_server_close(struct ps_server **s);

/* Takes no new connections from here on; those there are go on. */
void ps_server_quiesce(struct ps_server *s);

uint16_t ps_server_port(const struct ps_server *s);
unsigned ps_server_request_count(const struct ps_server *s); /* begun and not gone */

/* A request header's value, or NULL; borrowed until the request is gone. */
const char *ps_server_header(const struct ps_request *r, const char *name);

/* True if the request was sent to this url, as far as its Host header and its path tell. */
bool ps_server_is_url(const struct ps_request *r, struct ps_bytes url);

/*
 * Answers, once: octets with their length, no chunks. A body that is still arriving is read and
 * dropped first.
 */
void ps_server_answer(struct ps_request *r, unsigned status, struct ps_bytes body);
