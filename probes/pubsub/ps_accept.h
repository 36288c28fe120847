/*
 * New connections: one listening socket for HTTP and web sockets. A connection is told apart by
 * the first bytes it sends, which are looked at and left in place, and handed on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "probes/pubsub/ps_loop.h"

struct ps_accept;

/* A connection that is handed on; the descriptor is the receiver's from then on. */
struct ps_arrival {
	int fd; /* non-blocking */
	struct sockaddr_storage address;
	socklen_t address_size;
	bool web_socket; /* asks for the web sockets' path with GET */
};

struct ps_accept_options {
	const char *listen;   /* HOST:PORT, [V6]:PORT; port 0 takes a free one */
	const char *path;     /* of the web sockets; borrowed; NULL: everything is HTTP */
	unsigned waiting_max; /* connections that have sent too little to be told apart */
	int64_t waiting_ns;   /* after this, or when there are too many, the oldest goes as HTTP */
	/* Room for one more? Asked before each accept; after "no", ps_accept_resume tries again. */
	bool (*room)(void *owner);
	void (*arrived)(void *owner, const struct ps_arrival *a);
	void *owner;
};

/* Listens. Says on stderr why it cannot (address in use, ...). -errno. */
int ps_accept_open(struct ps_accept **out, struct ps_loop *l, const struct ps_accept_options *o);
void ps_accept_close(struct ps_accept **a);

void ps_accept_resume(struct ps_accept *a);
/* Takes no new connections from here on; those that wait are still handed on. */
void ps_accept_stop(struct ps_accept *a);

uint16_t ps_accept_port(const struct ps_accept *a);
unsigned ps_accept_waiting(const struct ps_accept *a); /* accepted and not handed on */
