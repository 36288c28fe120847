/* What ps_sockets.c (all connections, the library) and ps_socket.c (one) share; nobody else's. */
#pragma once

#include <libwebsockets.h>
#include <uv.h>

#include "probes/pubsub/ps_socket.h"

enum { PS_SOCKET_FRAME_MAX = 65536 }; /* of a message sent; pings and pongs come in between */

enum ps_socket_state { PS_SOCKET_HANDSHAKE, PS_SOCKET_OPEN, PS_SOCKET_CLOSING, PS_SOCKET_OVER };

struct ps_sockets {
	struct ps_loop *loop; /* borrowed: outlives it */
	struct ps_sockets_options options;
	uv_loop_t uv;
	bool uv_open;
	struct lws_context *context;
	struct lws_vhost *host;
	struct ps_watch watch;
	struct ps_timer timer;
	bool running, again;
	struct ps_socket *all, *later, *over;
	unsigned count;
	uint64_t memory_used; /* capacities of all `in` */
	uint8_t frame[LWS_PRE + PS_SOCKET_FRAME_MAX];
};

/* After whatever the library was asked from outside its run: it looks at it soon. */
void ps_sockets_kick(struct ps_sockets *s);

/* A connection whose handshake has to be done within the time; NULL: out of memory. */
struct ps_socket *ps_socket_new(struct ps_sockets *all, const struct ps_socket_events *events,
				void *owner, int64_t limit_ns);

/* What the library reports of one connection; the callback's result. */
int ps_socket_take(struct ps_socket *s, struct lws *wsi, enum lws_callback_reasons reason, void *in,
		   size_t size);

/* Ends one with an error (-errno); `closed` follows. */
void ps_socket_fail(struct ps_socket *s, int error, const char *why);

/* Tries the next address that there is a route to; false: there is none left. */
bool ps_sockets_connect_next(struct ps_socket *s);
void ps_target_free(struct ps_target **t);

/* What waits until the library's run has ended: close frames, other addresses, ends. */
void ps_socket_finish(struct ps_sockets *all);
