/*
 * The listening socket, and the connections whose first bytes have not come. Fed by strangers:
 * who sends nothing waits in a list with a maximum in number and time, and is HTTP's after that,
 * which has its own limits for the silent. Feeds ps_server. Owns the listening socket and the
 * descriptors that wait.
 */
#include "probes/pubsub/ps_accept.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

/* Connections accepted in a row before the loop's other work. */
enum { BURST = 64, RETRY_NS = 100000000 };

struct waiting {
	struct ps_accept *accept; /* borrowed */
	struct ps_arrival arrival;
	int64_t until_ns;
	struct ps_watch watch;
	struct waiting *next, *previous; /* oldest first */
};

struct ps_accept {
	struct ps_loop *loop; /* borrowed: outlives it */
	struct ps_accept_options options;
	uint16_t port;
	bool stopped;
	char *wanted; /* how a web socket's request begins; NULL without a path */
	char *seen;   /* as long and one more */
	struct ps_watch watch;
	struct ps_timer timer; /* of the oldest that waits */
	struct ps_timer retry; /* after the process ran out of descriptors */
	struct waiting *oldest, *newest;
	unsigned count;
};

/* ---- telling apart --------------------------------------------------------------------------- */

enum kind { HTTP, WEB_SOCKET, NOT_YET, GONE };

static enum kind look(struct ps_accept *a, int fd)
{
	size_t size = strlen(a->wanted), same;
	ssize_t n = recv(fd, a->seen, size + 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? NOT_YET : GONE;
	if (!n)
		return GONE;
	same = (size_t)n < size ? (size_t)n : size;
	if (memcmp(a->seen, a->wanted, same))
		return HTTP;
	if ((size_t)n <= size)
		return NOT_YET;
	return a->seen[size] == ' ' || a->seen[size] == '?' ? WEB_SOCKET : HTTP;
}

static void hand_on(struct ps_accept *a, struct ps_arrival *arrival, enum kind kind)
{
	arrival->web_socket = kind == WEB_SOCKET;
	if (kind == GONE)
		close(arrival->fd);
	else
		a->options.arrived(a->options.owner, arrival);
}

static void arm_for_oldest(struct ps_accept *a)
{
	if (a->oldest)
		ps_loop_arm(a->loop, &a->timer, a->oldest->until_ns - ps_system_steady_ns());
	else
		ps_loop_disarm(a->loop, &a->timer);
}

static struct ps_arrival forget(struct waiting *w)
{
	struct ps_accept *a = w->accept;
	struct ps_arrival arrival = w->arrival;

	ps_loop_unwatch(a->loop, &w->watch);
	*(w->previous ? &w->previous->next : &a->oldest) = w->next;
	*(w->next ? &w->next->previous : &a->newest) = w->previous;
	a->count--;
	free(w);
	return arrival;
}

static void end_waiting(struct waiting *w, enum kind kind)
{
	struct ps_accept *a = w->accept;
	struct ps_arrival arrival = forget(w);

	arm_for_oldest(a);
	hand_on(a, &arrival, kind);
	ps_accept_resume(a);
}

static void bytes_came(struct ps_watch *watch, uint32_t events)
{
	struct waiting *w = watch->owner;
	enum kind kind = look(w->accept, w->arrival.fd);

	if (kind == NOT_YET && events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		kind = GONE;
	if (kind != NOT_YET)
		end_waiting(w, kind);
}

static void oldest_expired(struct ps_timer *t)
{
	struct ps_accept *a = t->owner;

	end_waiting(a->oldest, HTTP);
}

/* -ENOMEM, -errno: the connection is still the caller's. */
static int wait_for_bytes(struct ps_accept *a, const struct ps_arrival *arrival)
{
	struct waiting *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->accept = a;
	w->arrival = *arrival;
	w->until_ns = ps_system_steady_ns() + a->options.waiting_ns;
	w->watch = (struct ps_watch){.fd = arrival->fd, .ready = bytes_came, .owner = w};
	/* by edges: a part of the request line must not wake the loop until more comes */
	r = ps_loop_watch(a->loop, &w->watch, EPOLLIN | EPOLLRDHUP | EPOLLET);
	if (r) {
		free(w);
		return r;
	}
	w->previous = a->newest;
	*(a->newest ? &a->newest->next : &a->oldest) = w;
	a->newest = w;
	a->count++;
	if (a->count > a->options.waiting_max)
		end_waiting(a->oldest, HTTP);
	else if (a->count == 1)
		arm_for_oldest(a);
	return 0;
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void take(struct ps_accept *a, struct ps_arrival *arrival)
{
	enum kind kind = a->wanted ? look(a, arrival->fd) : HTTP;

	if (kind != NOT_YET || wait_for_bytes(a, arrival))
		hand_on(a, arrival, kind == NOT_YET ? HTTP : kind);
}

/* The listening socket stays ready: watching it would spin. */
static void pause_accepting(struct ps_accept *a)
{
	ps_loop_unwatch(a->loop, &a->watch);
	ps_loop_arm(a->loop, &a->retry, RETRY_NS);
}

static void retry_expired(struct ps_timer *t)
{
	ps_accept_resume(t->owner);
}

static void accept_some(struct ps_watch *watch, uint32_t events)
{
	struct ps_accept *a = watch->owner;

	(void)events;
	for (int i = 0; i < BURST && a->watch.active; i++) {
		struct ps_arrival arrival = {.address_size = sizeof(arrival.address)};

		if (!a->options.room(a->options.owner)) {
			ps_loop_unwatch(a->loop, &a->watch);
			return;
		}
		arrival.fd = accept4(watch->fd, (struct sockaddr *)&arrival.address,
				     &arrival.address_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (arrival.fd >= 0)
			take(a, &arrival);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_accepting(a);
		else if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

void ps_accept_resume(struct ps_accept *a)
{
	if (!a->stopped && !a->watch.active)
		ps_loop_watch(a->loop, &a->watch, EPOLLIN);
}

void ps_accept_stop(struct ps_accept *a)
{
	a->stopped = true;
	ps_loop_unwatch(a->loop, &a->watch);
}

uint16_t ps_accept_port(const struct ps_accept *a)
{
	return a->port;
}

unsigned ps_accept_waiting(const struct ps_accept *a)
{
	return a->count;
}

/* ---- listening ------------------------------------------------------------------------------- */

/* Cuts HOST:PORT or [V6]:PORT. */
static int split_listen(const char *text, char host[256], char port[8])
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (!colon || strlen(colon + 1) > 5 || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return -EINVAL;
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (!colon[1] || !n || n >= 256)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = 0;
	strcpy(port, colon + 1);
	return 0;
}

static int listen_on(const struct addrinfo *a)
{
	_cleanup_close_ int fd =
		socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 1024))
		return -errno;
	return TAKE_FD(fd);
}

static int open_socket(const char *text)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
	char host[256], port[8];
	int fd = -EINVAL, e;

	if (split_listen(text, host, port))
		return osp_err(-EINVAL, "listen on %s - expected HOST:PORT", text);
	e = getaddrinfo(host, port, &hints, &list);
	if (e)
		return osp_err(-EADDRNOTAVAIL, "listen on %s: %s", text, gai_strerror(e));
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = listen_on(a);
	freeaddrinfo(list);
	return fd < 0 ? osp_err(fd, "listen on %s", text) : fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t size = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &size))
		return 0;
	return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
					     : ((struct sockaddr_in *)&a)->sin_port);
}

static int set_wanted(struct ps_accept *a)
{
	if (!a->options.path)
		return 0;
	if (asprintf(&a->wanted, "GET %s", a->options.path) < 0) {
		a->wanted = NULL;
		return -ENOMEM;
	}
	a->seen = malloc(strlen(a->wanted) + 1);
	return a->seen ? 0 : -ENOMEM;
}

int ps_accept_open(struct ps_accept **out, struct ps_loop *l, const struct ps_accept_options *o)
{
	_cleanup_(ps_accept_close) struct ps_accept *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->loop = l;
	a->options = *o;
	a->timer = (struct ps_timer){.expired = oldest_expired, .owner = a};
	a->retry = (struct ps_timer){.expired = retry_expired, .owner = a};
	a->watch = (struct ps_watch){.fd = -1, .ready = accept_some, .owner = a};
	r = set_wanted(a);
	if (r)
		return r;
	a->watch.fd = open_socket(o->listen);
	if (a->watch.fd < 0)
		return a->watch.fd;
	a->port = port_of(a->watch.fd);
	r = ps_loop_watch(l, &a->watch, EPOLLIN);
	if (r)
		return osp_err(r, "watch %s", o->listen);
	*out = TAKE_PTR(a);
	return 0;
}

void ps_accept_close(struct ps_accept **accept)
{
	struct ps_accept *a = *accept;

	if (!a)
		return;
	ps_loop_unwatch(a->loop, &a->watch);
	ps_loop_disarm(a->loop, &a->timer);
	ps_loop_disarm(a->loop, &a->retry);
	while (a->oldest) {
		struct ps_arrival arrival = forget(a->oldest);

		close(arrival.fd);
	}
	if (a->watch.fd >= 0)
		close(a->watch.fd);
	free(a->wanted);
	free(a->seen);
	free(a);
	*accept = NULL;
}
