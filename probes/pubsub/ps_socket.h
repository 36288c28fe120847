/*
 * Web sockets on the loop, both sides, by libwebsockets (RFC 6455 without extensions or
 * subprotocols): whole binary messages in and out, one being sent at a time, pings, time-outs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes/pubsub/ps_loop.h"
#include "probes/pubsub/ps_spool.h"
#include "probes/pubsub/ps_wire.h"

struct ps_sockets; /* all web sockets of a process */
struct ps_socket;

/* Close codes of RFC 6455, 7.4.1, for ps_socket_close. */
enum {
	PS_SOCKET_NORMAL = 1000,
	PS_SOCKET_GOING_AWAY = 1001,
	PS_SOCKET_PROTOCOL = 1002,
	PS_SOCKET_UNACCEPTABLE = 1003,
	PS_SOCKET_POLICY = 1008,
	PS_SOCKET_TOO_BIG = 1009,
	PS_SOCKET_FAILED = 1011,
};

/* Why and how a connection ended. */
struct ps_socket_end {
	/*
	 * 0: by a close frame, the peer's or ours. Else there was none from the peer:
	 * -EHOSTUNREACH unknown host or no route, -ECONNREFUSED could not connect, -EPROTO not a web socket or against the protocol,
	 * -EMSGSIZE a message over the maximum, -ENOBUFS no memory left for it, -ETIMEDOUT,
	 * -ECONNRESET, -EIO.
	 */
	int error;
	unsigned code;	 /* of the first close frame, 0 if there was none */
	const char *why; /* the peer's reason or ours, never NULL; borrowed for the call */
};

/* What happens to a connection; called from the loop, never from within a function below. */
struct ps_socket_events {
	void (*opened)(struct ps_socket *s);
	/* A whole message; the bytes are borrowed for the call. */
	void (*message)(struct ps_socket *s, struct ps_bytes message);
	/*
	 * The last that happens; the connection is freed after it. Accepted connections that were
	 * never opened end without it.
	 */
	void (*closed)(struct ps_socket *s, const struct ps_socket_end *end);
	/* Instead of `closed`: an accepted connection ends and was never opened. May be NULL. */
	void (*unopened)(void *owner, int error);
};

struct ps_socket {
	const struct ps_socket_events *events;
	void *owner; /* the events' to set and use */
	/* private to ps_socket.c */
	struct ps_sockets *sockets;
	void *wsi;		  /* the library's; NULL after it is gone */
	struct ps_target *target; /* where one of ours connects to */
	int state;
	bool accepted, opened, killed, paused, ping_due, close_due, is_later, awaiting_pong, heard;
	struct ps_timer limit; /* of the handshake, for the next ping or pong, of closing */
	struct osp_buffer in;  /* the message that is arriving in parts */
	struct ps_outgoing *first, **last, *leaving;
	unsigned pending;
	int error;
	unsigned code;
	char why[124];
	struct ps_socket *next, **link, *next_later;
};

struct ps_sockets_options {
	unsigned count_max;   /* connections, of both sides, not yet open ones included */
	size_t message_max;   /* bytes of one message received */
	uint64_t memory_max;  /* bytes of all messages that are arriving in parts */
	unsigned pending_max; /* messages of one connection that are not yet sent */
	int64_t connect_ns;   /* from ps_socket_connect to `opened` */
	int64_t accept_ns;    /* the same for connections that come in */
	int64_t ping_ns;      /* silence before a ping; half of it to answer; 0: no pings */
	int64_t close_ns;     /* for the peer to answer a close frame */
	const char *path;     /* where connections come in, the prefix included; borrowed */
	const struct ps_socket_events *accepted; /* of these; NULL: none come in */
	void *owner;				 /* the first owner of these */
};

/* -ENOMEM, -errno, -EIO (the library; said on stderr). */
int ps_sockets_open(struct ps_sockets **out, struct ps_loop *l, const struct ps_sockets_options *o);

/* Ends all connections without `closed`. Not from within an event. */
void ps_sockets_close(struct ps_sockets **s);

const char *ps_sockets_path(const struct ps_sockets *s);
unsigned ps_sockets_count(const struct ps_sockets *s);

/* Takes over a connected socket whose request is still to be read. -ENFILE: too many; -ENOMEM. */
int ps_sockets_adopt(struct ps_sockets *s, int fd);

/*
 * Connects to an http url (which stands for ws) that has passed ps_url_check, path included. A
 * host that is neither an address nor known to /etc/hosts blocks the loop while its name is
 * resolved. -ENFILE: too many; -EPROTONOSUPPORT: not http; -EINVAL, -ENOMEM. Afterwards `opened`
 * or `closed` follows.
 */
int ps_socket_connect(struct ps_socket **out, struct ps_sockets *s, struct ps_bytes url,
		      const struct ps_socket_events *events, void *owner);

/* A message to send, embedded in its owner, who fills the first part; all of it stays until sent. */
struct ps_outgoing {
	struct ps_bytes head;	     /* these bytes, then */
	const struct ps_spool *body; /* `size` bytes of this from `offset`; or NULL */
	uint64_t offset, size;
	/* All bytes are with the kernel, or (-ECANCELED, -EIO) never will be. */
	void (*sent)(struct ps_outgoing *m, int error);
	void *owner;
	/* private to ps_socket.c */
	uint64_t done;
	struct ps_outgoing *next;
};

/*
 * Sends after those before. `sent` follows in any case, unless the connection is killed.
 * -ENOBUFS: too many are pending; -ENOTCONN: not open, or being closed.
 */
int ps_socket_send(struct ps_socket *s, struct ps_outgoing *m);

/* How many messages are not yet sent. */
unsigned ps_socket_pending(const struct ps_socket *s);

/*
 * Stops reading, so that the peer must wait; nothing is lost. A message that has arrived before may
 * still come. No pong is expected meanwhile.
 */
void ps_socket_pause(struct ps_socket *s);
void ps_socket_resume(struct ps_socket *s);

/*
 * Sends a close frame (reason: at most 123 bytes), and `closed` follows. What is pending is not
 * sent any more, nothing more is received. One that is not open yet just ends.
 */
void ps_socket_close(struct ps_socket *s, unsigned code, const char *reason);

/* Ends at once: no close frame, no `closed`, no `sent`. The pointer is not valid any more. */
void ps_socket_kill(struct ps_socket **s);
