/*
 * libmicrohttpd on the loop: its epoll descriptor is one of our watches, its next time-out one
 * of our timers; it starts no thread. A request whose answer takes time (a fan-out) is suspended
 * and resumed when the answer is there. Fed by strangers: connections, headers, body bytes and
 * time per request all have a maximum. Connections come from ps_accept; those that ask for a web
 * socket go to ps_socket. Owns ps_accept and every struct ps_request.
 */
#include "probes/pubsub/ps_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "probes/pubsub/ps_accept.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

/* Web sockets are told apart from the rest by what a connection sends first. */
#define WAITING_NS 5000000000
enum { WAITING_MAX = 256 };

struct ps_server {
	struct ps_loop *loop; /* borrowed: outlives the server */
	struct ps_server_options options;
	struct MHD_Daemon *daemon;
	struct ps_accept *accept;
	unsigned connections;	     /* in the library */
	unsigned handed;	     /* to it since it ran last; not in the former */
	struct ps_request *requests; /* begun and not gone */
	unsigned request_count;
	bool running; /* inside the library: it must not be entered again */
	struct ps_watch watch;
	struct ps_timer timer;
};

static void run(struct ps_server *s);

/* ---- one request ---------------------------------------------------------------------------- */

static const struct ps_route *find_route(const struct ps_server *s, const char *path)
{
	const char *prefix = s->options.prefix ? s->options.prefix : "";

	if (strncmp(path, prefix, strlen(prefix)))
		return NULL;
	path += strlen(prefix);
	for (size_t i = 0; i < s->options.route_count; i++)
		if (!strcmp(s->options.routes[i].path, path))
			return &s->options.routes[i];
	return NULL;
}

/* A peer that sends forever is cut off at its socket: the library then ends the request. */
static void cut_off(struct ps_timer *t)
{
	struct ps_request *r = t->owner;
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (i)
		shutdown(i->connect_fd, SHUT_RDWR);
}

static bool is_web_socket(const struct ps_server *s, const char *path, const char *method)
{
	return s->options.sockets && !strcmp(path, ps_sockets_path(s->options.sockets)) &&
	       !strcmp(method, "GET");
}

/* It was not its connection's first request, or there are too many: it may come again. */
static void refuse_web_socket(struct ps_request *r)
{
	ps_server_answer(r, MHD_HTTP_SERVICE_UNAVAILABLE, ps_bytes(NULL, 0));
	if (r->answer)
		MHD_add_response_header(r->answer, "Connection", "close");
}

static struct ps_request *new_request(struct ps_server *s, struct MHD_Connection *c,
				      const char *path, const char *method)
{
	struct ps_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->server = s;
	r->connection = c;
	r->limit = (struct ps_timer){.expired = cut_off, .owner = r};
	s->request_count++;
	r->next = s->requests;
	r->link = &s->requests;
	if (r->next)
		r->next->link = &r->next;
	s->requests = r;
	ps_loop_arm(s->loop, &r->limit, s->options.request_ns);
	r->route = find_route(s, path);
	if (is_web_socket(s, path, method))
		refuse_web_socket(r);
	else if (!r->route)
		ps_server_answer(r, MHD_HTTP_NOT_FOUND, ps_bytes(NULL, 0));
	else if (strcmp(method, "POST"))
		ps_server_answer(r, MHD_HTTP_METHOD_NOT_ALLOWED, ps_bytes(NULL, 0));
	else if (r->route->begin(r, s->options.owner))
		ps_server_answer(r, MHD_HTTP_SERVICE_UNAVAILABLE, ps_bytes(NULL, 0));
	return r;
}

static enum MHD_Result take_body(struct ps_request *r, const char *data, size_t *size)
{
	size_t n = *size;

	*size = 0;
	r->received += n;
	if (!r->answered) {
		r->route->body(r, ps_bytes(data, n));
		return MHD_YES;
	}
	r->discarded += n;
	return r->discarded > r->server->options.discard_max ? MHD_NO : MHD_YES;
}

static enum MHD_Result send_answer(struct ps_request *r)
{
	r->queued = true;
	return MHD_queue_response(r->connection, r->status, r->answer);
}

static enum MHD_Result finish_body(struct ps_request *r)
{
	ps_loop_disarm(r->server->loop, &r->limit);
	if (!r->answered)
		r->route->end(r);
	if (r->answered)
		return r->answer ? send_answer(r) : MHD_NO;
	MHD_suspend_connection(r->connection);
	r->suspended = true;
	return MHD_YES;
}

/* The library's one callback: first with the headers, then per body part, then at the end. */
static enum MHD_Result handle(void *owner, struct MHD_Connection *c, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *size, void **state)
{
	struct ps_request *r = *state;

	(void)version;
	if (!r) {
		*state = new_request(owner, c, path, method);
		return *state ? MHD_YES : MHD_NO;
	}
	if (r->queued)
		return MHD_YES;
	return *size ? take_body(r, data, size) : finish_body(r);
}

static void complete(void *owner, struct MHD_Connection *c, void **state,
		     enum MHD_RequestTerminationCode code)
{
	struct ps_request *r = *state;

	(void)owner;
	(void)c;
	(void)code;
	if (!r)
		return;
	*state = NULL;
	ps_loop_disarm(r->server->loop, &r->limit);
	if (r->route && r->state)
		r->route->gone(r);
	if (r->answer)
		MHD_destroy_response(r->answer);
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
	r->server->request_count--;
	free(r);
}

void ps_server_answer(struct ps_request *r, unsigned status, struct ps_bytes body)
{
	struct MHD_Response *a;

	if (r->answered)
		return;
	a = MHD_create_response_from_buffer(body.size, (void *)(uintptr_t)body.data,
					    MHD_RESPMEM_MUST_COPY);
	if (a)
		MHD_add_response_header(a, "Content-Type", "application/octet-stream");
	r->answered = true;
	r->answer = a;
	r->status = status;
	if (!r->suspended)
		return;
	r->suspended = false;
	MHD_resume_connection(r->connection);
	if (!r->server->running) /* never from inside: a timer comes at once */
		ps_loop_arm(r->server->loop, &r->server->timer, 0);
}

const char *ps_server_header(const struct ps_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool ps_server_is_url(const struct ps_request *r, struct ps_bytes url)
{
	const char *prefix = r->server->options.prefix ? r->server->options.prefix : "";
	struct ps_bytes path = ps_url_path(url), route = ps_bytes_text(r->route->path);
	size_t n = strlen(prefix);

	return ps_bytes_equal(ps_bytes_text(ps_server_header(r, "Host")), ps_url_authority(url)) &&
	       path.size == n + route.size && !memcmp(path.data, prefix, n) &&
	       !memcmp((const char *)path.data + n, route.data, route.size);
}

/* ---- the daemon on the loop ------------------------------------------------------------------ */

static void run(struct ps_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	s->running = true;
	MHD_run(s->daemon);
	s->running = false;
	s->handed = 0;
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
		ps_loop_arm(s->loop, &s->timer, (int64_t)(ms > 60000 ? 60000 : ms) * 1000000);
	else
		ps_loop_disarm(s->loop, &s->timer);
}

static void run_ready(struct ps_watch *w, uint32_t events)
{
	(void)events;
	run(w->owner);
}

static void run_expired(struct ps_timer *t)
{
	run(t->owner);
}

/* What the library complains about is mostly what a peer did wrong: for whoever debugs. */
static void log_library(void *owner, const char *format, va_list ap)
{
	char text[512];

	(void)owner;
	vsnprintf(text, sizeof(text), format, ap);
	text[strcspn(text, "\n")] = 0;
	osp_debug("http server: %s", text);
}

/* ---- new connections ------------------------------------------------------------------------- */

static bool has_room(void *owner)
{
	const struct ps_server *s = owner;

	return s->connections + s->handed + ps_accept_waiting(s->accept) <
	       s->options.connections_max;
}

static void count_connection(void *owner, struct MHD_Connection *c, void **state,
			     enum MHD_ConnectionNotificationCode code)
{
	struct ps_server *s = owner;

	(void)c;
	(void)state;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		s->connections++;
		return;
	}
	s->connections--;
	if (s->accept)
		ps_accept_resume(s->accept);
}

static void take_connection(void *owner, const struct ps_arrival *a)
{
	struct ps_server *s = owner;

	if (a->web_socket && !ps_sockets_adopt(s->options.sockets, a->fd))
		return;
	s->handed++;
	MHD_add_connection(s->daemon, a->fd, (const struct sockaddr *)&a->address, a->address_size);
	ps_loop_arm(s->loop, &s->timer, 0);
}

static int start_accepting(struct ps_server *s)
{
	const struct ps_server_options *o = &s->options;
	struct ps_accept_options a = {.listen = o->listen,
				      .path = o->sockets ? ps_sockets_path(o->sockets) : NULL,
				      .waiting_max = WAITING_MAX,
				      .waiting_ns = WAITING_NS,
				      .room = has_room,
				      .arrived = take_connection,
				      .owner = s};

	return ps_accept_open(&s->accept, s->loop, &a);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int start_daemon(struct ps_server *s)
{
	const struct ps_server_options *o = &s->options;

	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			MHD_USE_ERROR_LOG,
		0, NULL, NULL, handle, s, MHD_OPTION_EXTERNAL_LOGGER, log_library, s,
		MHD_OPTION_NOTIFY_COMPLETED, complete, s, MHD_OPTION_NOTIFY_CONNECTION,
		count_connection, s, MHD_OPTION_CONNECTION_LIMIT, o->connections_max,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->connections_per_address,
		MHD_OPTION_CONNECTION_TIMEOUT, o->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		o->header_max, MHD_OPTION_END);
	return s->daemon ? 0 : osp_err(-EIO, "start the http server");
}

static int watch_daemon(struct ps_server *s)
{
	const union MHD_DaemonInfo *i = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	s->timer = (struct ps_timer){.expired = run_expired, .owner = s};
	s->watch = (struct ps_watch){.fd = i->epoll_fd, .ready = run_ready, .owner = s};
	return ps_loop_watch(s->loop, &s->watch, EPOLLIN);
}

int ps_server_open(struct ps_server **out, struct ps_loop *l, const struct ps_server_options *o)
{
	_cleanup_(ps_server_close) struct ps_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->options = *o;
	r = start_daemon(s);
	if (r)
		return r;
	r = watch_daemon(s);
	if (r)
		return osp_err(r, "watch the http server");
	r = start_accepting(s);
	if (r)
		return r;
	*out = TAKE_PTR(s);
	return 0;
}

void ps_server_close(struct ps_server **server)
{
	struct ps_server *s = *server;

	if (!s)
		return;
	ps_loop_unwatch(s->loop, &s->watch);
	ps_loop_disarm(s->loop, &s->timer);
	ps_accept_close(&s->accept);
	s->running = true;
	for (struct ps_request *r = s->requests; r; r = r->next) /* the library insists */
		if (r->suspended)
			ps_server_answer(r, MHD_HTTP_SERVICE_UNAVAILABLE, ps_bytes(NULL, 0));
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	free(s);
	*server = NULL;
}

void ps_server_quiesce(struct ps_server *s)
{
	ps_accept_stop(s->accept);
}

uint16_t ps_server_port(const struct ps_server *s)
{
	return ps_accept_port(s->accept);
}

unsigned ps_server_request_count(const struct ps_server *s)
{
	return s->request_count;
}
