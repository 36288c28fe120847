/*
 * libwebsockets on the loop. Debian's has no poll callbacks, so it hangs on a libuv loop, whose
 * own epoll descriptor is one of our watches and whose next time-out is one of our timers; libuv
 * tells epoll of a change only when it runs, hence ps_sockets_kick after whatever we ask of the
 * library. Fed by ps_server (connections that come in) and the sessions above (connections out);
 * each connection's own matters are ps_socket.c. Owns the library's context.
 *
 * Threads: one. libuv's pool is never used, and names are resolved as ps_socket.h says.
 */
#include "probes/pubsub/ps_sockets.h"

#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum {
	READ_MAX = 16384,	/* the library reads so much at once */
	HEADER_MAX = 8192,	/* of a handshake */
	DESCRIPTORS_SPARE = 64, /* the library's own, and connections on their way out */
};

/* ---- the library on the loop ----------------------------------------------------------------- */

static void run(struct ps_sockets *s)
{
	int ms;

	s->running = true;
	s->again = false;
	uv_run(&s->uv, UV_RUN_NOWAIT);
	s->running = false;
	ps_socket_finish(s);
	uv_update_time(&s->uv);
	ms = s->again ? 0 : uv_backend_timeout(&s->uv);
	if (ms >= 0)
		ps_loop_arm(s->loop, &s->timer, (int64_t)ms * 1000000);
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

void ps_sockets_kick(struct ps_sockets *s)
{
	s->again = true;
	if (!s->running)
		ps_loop_arm(s->loop, &s->timer, 0);
}

/* What the library complains about is mostly what a peer did wrong: for whoever debugs. */
static void log_library(int level, const char *line)
{
	(void)level;
	osp_debug("web sockets: %.*s", (int)strcspn(line, "\n"), line);
}

/* ---- the library's callback ---------------------------------------------------------------- */

/* Data for a connection that we gave up: the library shall, too. */
static int on_orphan(enum lws_callback_reasons reason)
{
	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_HTTP:
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return -1;
	default:
		return 0;
	}
}

static int on_library(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		      size_t size)
{
	struct ps_socket *s = wsi ? lws_get_opaque_user_data(wsi) : NULL;

	(void)user;
	return s ? ps_socket_take(s, wsi, reason, in, size) : on_orphan(reason);
}

/* ---- new connections ------------------------------------------------------------------------- */

int ps_sockets_adopt(struct ps_sockets *all, int fd)
{
	lws_adopt_desc_t d = {.vh = all->host, .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP};
	struct ps_socket *s;
	int on = 1;

	if (all->count >= all->options.count_max)
		return -ENFILE;
	s = ps_socket_new(all, all->options.accepted, all->options.owner, all->options.accept_ns);
	if (!s)
		return -ENOMEM;
	s->accepted = true;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	d.fd.sockfd = fd;
	d.opaque = s;
	s->wsi = lws_adopt_descriptor_vhost_via_info(&d);
	if (!s->wsi)
		ps_socket_fail(s, -EIO, "not taken by the library");
	ps_sockets_kick(all);
	return 0;
}

/* ---- connecting ------------------------------------------------------------------------------ */

struct ps_target {
	struct addrinfo *list, *next; /* all addresses, and those not tried */
	char *host, *port, *path;     /* libcurl's */
	char *authority;
};

void ps_target_free(struct ps_target **target)
{
	struct ps_target *t = *target;

	if (!t)
		return;
	if (t->list)
		freeaddrinfo(t->list);
	curl_free(t->host);
	curl_free(t->port);
	curl_free(t->path);
	free(t->authority);
	free(t);
	*target = NULL;
}

/* -EPROTONOSUPPORT, -EINVAL, -ENOMEM. */
static int cut_url(struct ps_target *t, struct ps_bytes url)
{
	struct ps_bytes authority = ps_url_authority(url);
	_cleanup_free_ char *text = strndup(url.data, url.size);
	CURLU *u = curl_url();
	CURLUcode r = !text || !u ? CURLUE_OUT_OF_MEMORY : curl_url_set(u, CURLUPART_URL, text, 0);
	size_t n;

	t->authority = strndup(authority.data, authority.size);
	if (!t->authority)
		r = CURLUE_OUT_OF_MEMORY;
	if (!r)
		r = curl_url_get(u, CURLUPART_HOST, &t->host, 0);
	if (!r)
		r = curl_url_get(u, CURLUPART_PORT, &t->port, CURLU_DEFAULT_PORT);
	if (!r)
		r = curl_url_get(u, CURLUPART_PATH, &t->path, 0);
	curl_url_cleanup(u);
	if (r)
		return r == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	n = strlen(t->host);
	if (*t->host == '[') { /* an address goes without brackets */
		memmove(t->host, t->host + 1, n - 1);
		t->host[n - 2] = 0;
	}
	return strncmp(text, "http://", 7) ? -EPROTONOSUPPORT : 0;
}

static int new_target(struct ps_target **out, struct ps_bytes url)
{
	_cleanup_(ps_target_free) struct ps_target *t = calloc(1, sizeof(*t));
	int r = t ? cut_url(t, url) : -ENOMEM;

	if (!r)
		*out = TAKE_PTR(t);
	return r;
}

/*
 * Asks the kernel, without a packet: the library loses a libuv handle for each connect(2) that
 * fails at once.
 */
static bool has_route(const struct addrinfo *a)
{
	_cleanup_close_ int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, a->ai_addr, a->ai_addrlen);
}

static struct addrinfo *next_address(struct ps_target *t)
{
	struct addrinfo *a = t->next;

	while (a && !has_route(a))
		a = a->ai_next;
	t->next = a ? a->ai_next : NULL;
	return a;
}

/* Whether an attempt is under way. */
static bool connect_to(struct ps_socket *s, const struct addrinfo *a)
{
	char address[64];
	struct lws *wsi = NULL;
	struct lws_client_connect_info i = {
		.context = s->sockets->context,
		.vhost = s->sockets->host,
		.address = address,
		.port = atoi(s->target->port),
		.path = s->target->path,
		.host = s->target->authority,
		.local_protocol_name = "messages",
		.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
		.opaque_user_data = s,
		.pwsi = &wsi,
	};

	if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0,
			NI_NUMERICHOST) ||
	    !lws_client_connect_via_info(&i))
		return false;
	s->wsi = wsi;
	ps_sockets_kick(s->sockets);
	return true;
}

bool ps_sockets_connect_next(struct ps_socket *s)
{
	struct addrinfo *a;

	while ((a = next_address(s->target)))
		if (connect_to(s, a))
			return true;
	return false;
}

static void resolve(struct ps_socket *s)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct ps_target *t = s->target;
	int e = getaddrinfo(t->host, t->port, &hints, &t->list);

	t->next = t->list;
	if (e)
		ps_socket_fail(s, -EHOSTUNREACH, gai_strerror(e));
	else if (!ps_sockets_connect_next(s))
		ps_socket_fail(s, -EHOSTUNREACH, "no route to host");
}

int ps_socket_connect(struct ps_socket **out, struct ps_sockets *all, struct ps_bytes url,
		      const struct ps_socket_events *events, void *owner)
{
	_cleanup_(ps_target_free) struct ps_target *t = NULL;
	struct ps_socket *s;
	int r = new_target(&t, url);

	if (r)
		return r;
	if (all->count >= all->options.count_max)
		return -ENFILE;
	s = ps_socket_new(all, events, owner, all->options.connect_ns);
	if (!s)
		return -ENOMEM;
	s->target = TAKE_PTR(t);
	*out = s;
	resolve(s);
	return 0;
}

const char *ps_sockets_path(const struct ps_sockets *s)
{
	return s->options.path;
}

unsigned ps_sockets_count(const struct ps_sockets *s)
{
	return s->count;
}

/* ---- opening and closing all ----------------------------------------------------------------- */

static int start_library(struct ps_sockets *s)
{
	static const struct lws_protocols protocols[] = {
		{.name = "messages", .callback = on_library, .rx_buffer_size = READ_MAX},
		{0},
	};
	void *loops[] = {&s->uv};
	struct lws_context_creation_info i = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.foreign_loops = loops,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.fd_limit_per_thread = s->options.count_max + DESCRIPTORS_SPARE,
		.max_http_header_data = HEADER_MAX,
		.max_http_header_pool =
			(unsigned short)(s->options.count_max < 65535 ? s->options.count_max + 1
								      : 65535),
		.pt_serv_buf_size = READ_MAX,
		.http_proxy_address = "", /* no proxy from the environment */
		.vhost_name = "outspan",
		.server_string = "outspan",
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, log_library);
	s->context = lws_create_context(&i);
	if (s->context)
		s->host = lws_create_vhost(s->context, &i);
	return s->host ? 0 : osp_err(-EIO, "start libwebsockets with libuv");
}

int ps_sockets_open(struct ps_sockets **out, struct ps_loop *l, const struct ps_sockets_options *o)
{
	_cleanup_(ps_sockets_close) struct ps_sockets *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->options = *o;
	s->timer = (struct ps_timer){.expired = run_expired, .owner = s};
	r = uv_loop_init(&s->uv); /* libuv's codes are negative errnos */
	if (r)
		return osp_err(r, "start libuv");
	s->uv_open = true;
	r = start_library(s);
	if (r)
		return r;
	s->watch = (struct ps_watch){.fd = uv_backend_fd(&s->uv), .ready = run_ready, .owner = s};
	r = ps_loop_watch(l, &s->watch, EPOLLIN);
	if (r)
		return osp_err(r, "watch libuv");
	ps_sockets_kick(s);
	*out = TAKE_PTR(s);
	return 0;
}

void ps_sockets_close(struct ps_sockets **sockets)
{
	struct ps_sockets *s = *sockets;

	if (!s)
		return;
	while (s->all) {
		struct ps_socket *one = s->all;

		ps_socket_kill(&one);
	}
	for (struct ps_socket *x = s->over; x; x = x->next)
		x->killed = true;
	ps_socket_finish(s);
	lws_context_destroy(s->context);
	if (s->uv_open)
		uv_run(&s->uv, UV_RUN_DEFAULT); /* until every handle has closed */
	lws_context_destroy(s->context);	/* its second half */
	if (s->uv_open)
		uv_loop_close(&s->uv);
	ps_loop_unwatch(s->loop, &s->watch);
	ps_loop_disarm(s->loop, &s->timer);
	free(s);
	*sockets = NULL;
}
