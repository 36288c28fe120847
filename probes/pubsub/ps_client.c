/*
 * libcurl's multi interface on the loop: its sockets are our watches, its time-out is one of our
 * timers. Used by the broadcaster to deliver, by the subscriber to (un)subscribe, by the
 * publisher to notify. Redirects, proxies, compression and cookies are off: the peer is the url
 * it registered, and what it may answer has a maximum. Owns the curl handles.
 */
#include "probes/pubsub/ps_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

/* Bodies up to this leave in one segment with their headers. */
enum { SMALL_BODY = 16384, CACHED_CONNECTIONS = 64, CACHE_AGE_S = 30 };

struct ps_client {
	struct ps_loop *loop; /* borrowed: outlives the client */
	struct ps_client_options options;
	CURLM *multi;
	struct ps_timer timer;
	struct ps_timer later; /* ends calls that could not start */
	struct ps_call *failed;
};

struct socket_watch {
	struct ps_watch watch;
	struct ps_client *client; /* borrowed */
};

/* ---- ending calls ---------------------------------------------------------------------------- */

static int curl_errno(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_WRITE_ERROR:
		return -EMSGSIZE;
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

static void release(struct ps_call *call)
{
	ps_loop_disarm(call->client->loop, &call->silence);
	if (call->easy) {
		curl_multi_remove_handle(call->client->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	call->easy = call->headers = NULL;
}

static void finish(struct ps_call *call, int error)
{
	release(call);
	call->error = error;
	call->done(call);
}

static void finish_all(struct ps_client *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left))) {
		struct ps_call *call = NULL;
		CURLcode result = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(call, curl_errno(result));
	}
}

/* ---- libcurl's sockets and time-out on the loop -------------------------------------------- */

static void socket_ready(struct ps_watch *w, uint32_t events)
{
	struct socket_watch *s = w->owner;
	struct ps_client *c = s->client;
	int flags = 0, running;

	if (events & (EPOLLIN | EPOLLHUP))
		flags |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		flags |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		flags |= CURL_CSELECT_ERR;
	curl_multi_socket_action(c->multi, w->fd, flags, &running);
	finish_all(c);
}

static int forget_socket(struct ps_client *c, curl_socket_t fd, struct socket_watch *s)
{
	if (!s)
		return 0;
	ps_loop_unwatch(c->loop, &s->watch);
	curl_multi_assign(c->multi, fd, NULL);
	free(s);
	return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *state)
{
	struct ps_client *c = owner;
	struct socket_watch *s = state;
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE)
		return forget_socket(c, fd, s);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -1;
		s->client = c;
		s->watch = (struct ps_watch){.fd = fd, .ready = socket_ready, .owner = s};
		curl_multi_assign(c->multi, fd, s);
	}
	return ps_loop_watch(c->loop, &s->watch, events) ? -1 : 0;
}

static int on_timeout(CURLM *multi, long ms, void *owner)
{
	struct ps_client *c = owner;

	(void)multi;
	if (ms < 0)
		ps_loop_disarm(c->loop, &c->timer);
	else
		ps_loop_arm(c->loop, &c->timer, (int64_t)ms * 1000000);
	return 0;
}

static void timeout_expired(struct ps_timer *t)
{
	struct ps_client *c = t->owner;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_all(c);
}

/* ---- one call's bytes ------------------------------------------------------------------------ */

static uint64_t body_size(const struct ps_call *call)
{
	return call->head.size + (call->message ? call->message->size : 0);
}

static size_t on_read(char *out, size_t unit, size_t count, void *owner)
{
	struct ps_call *call = owner;
	size_t room = unit * count;
	ssize_t n;

	call->alive_ns = ps_system_steady_ns();
	if (call->sent < call->head.size) {
		n = (ssize_t)(call->head.size - call->sent);
		n = (size_t)n < room ? n : (ssize_t)room;
		memcpy(out, (const char *)call->head.data + call->sent, (size_t)n);
	} else if (call->message) {
		n = ps_spool_read(call->message, call->sent - call->head.size, out, room);
	} else {
		n = 0;
	}
	if (n < 0)
		return CURL_READFUNC_ABORT;
	call->sent += (uint64_t)n;
	return (size_t)n;
}

/* libcurl starts over when a cached connection turns out to be closed. */
static int on_seek(void *owner, curl_off_t offset, int origin)
{
	struct ps_call *call = owner;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	call->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *data, size_t unit, size_t count, void *owner)
{
	struct ps_call *call = owner;

	call->alive_ns = ps_system_steady_ns();
	return osp_buffer_add(&call->answer, data, unit * count) ? 0 : unit * count;
}

static size_t on_header(char *data, size_t unit, size_t count, void *owner)
{
	struct ps_call *call = owner;
	long status = 0;

	call->alive_ns = ps_system_steady_ns();
	if (unit * count != 2 || memcmp(data, "\r\n", 2))
		return unit * count;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || call->status)
		return unit * count;
	call->status = (unsigned)status;
	if (call->answered)
		call->answered(call);
	return unit * count;
}

/* Looks whether the peer gave a sign of life since; one timer per call, not one per byte. */
static void silence_expired(struct ps_timer *t)
{
	struct ps_call *call = t->owner;
	struct ps_client *c = call->client;
	int64_t left = call->alive_ns + c->options.silent_ns - ps_system_steady_ns();

	if (left > 0)
		ps_loop_arm(c->loop, t, left);
	else
		finish(call, -ETIMEDOUT);
}

/* ---- starting -------------------------------------------------------------------------------- */

static bool add_header(struct ps_call *call, const char *format, const char *value, int size)
{
	struct curl_slist *list;
	char *line;

	if (asprintf(&line, format, size, value) < 0)
		return false;
	list = curl_slist_append(call->headers, line);
	free(line);
	if (list)
		call->headers = list;
	return list;
}

static bool add_headers(struct ps_call *call)
{
	/* the Host header as the url spells it: it is part of what the receiver verifies */
	struct ps_bytes host = ps_url_authority(call->url);

	return add_header(call, "Host: %.*s", host.data, (int)host.size) &&
	       add_header(call, "%.*s", "Content-Type: application/octet-stream", 99) &&
	       add_header(call, "%.*s", "Expect:", 99) &&
	       (!call->authorization ||
		add_header(call, "Authorization: %.*s", call->authorization, 65535)) &&
	       (!call->repr_digest ||
		add_header(call, "Repr-Digest: %.*s", call->repr_digest, 65535));
}

static CURLcode set_body(struct ps_call *call)
{
	CURL *e = call->easy;
	uint64_t size = body_size(call);
	CURLcode r = curl_easy_setopt(e, CURLOPT_POST, 1L);

	r |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	if (size <= SMALL_BODY && (!call->message || !call->message->size))
		return r | curl_easy_setopt(e, CURLOPT_POSTFIELDS,
					    size ? (const char *)call->head.data : "");
	if (size <= SMALL_BODY) {
		char body[SMALL_BODY];
		size_t n;

		call->sent = 0;
		for (n = 0; n < size;) {
			size_t part = on_read(body + n, 1, size - n, call);

			if (!part || part == CURL_READFUNC_ABORT)
				return CURLE_READ_ERROR;
			n += part;
		}
		return r | curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, body);
	}
	r |= curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	r |= curl_easy_setopt(e, CURLOPT_READDATA, call);
	r |= curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
	return r | curl_easy_setopt(e, CURLOPT_SEEKDATA, call);
}

static CURLcode set_url(struct ps_call *call)
{
	struct ps_bytes url = ps_url_without_fragment(call->url);
	_cleanup_free_ char *text = strndup(url.data, url.size);

	return text ? curl_easy_setopt(call->easy, CURLOPT_URL, text) : CURLE_OUT_OF_MEMORY;
}

static CURLcode set_options(struct ps_call *call)
{
	const struct ps_client_options *o = &call->client->options;
	CURL *e = call->easy;
	CURLcode r = set_url(call);

	r |= curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	r |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	r |= curl_easy_setopt(e, CURLOPT_PROXY, "");
	r |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	r |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	r |= curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	r |= curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)CACHE_AGE_S);
	r |= curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 131072L);
	r |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_ns / 1000000));
	r |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(o->total_ns / 1000000));
	r |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
	r |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	r |= curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	r |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	r |= curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	return r | set_body(call);
}

static void fail_later(struct ps_call *call, int error)
{
	struct ps_client *c = call->client;

	call->error = error;
	call->next_done = c->failed;
	c->failed = call;
	ps_loop_arm(c->loop, &c->later, 0);
}

static void later_expired(struct ps_timer *t)
{
	struct ps_client *c = t->owner;

	while (c->failed) {
		struct ps_call *call = c->failed;

		c->failed = call->next_done;
		call->next_done = NULL;
		finish(call, call->error);
	}
}

void ps_client_start(struct ps_client *c, struct ps_call *call)
{
	call->client = c;
	call->error = 0;
	call->status = 0;
	call->sent = 0;
	call->answer.max = PS_RESPONSE_MAX;
	osp_buffer_reset(&call->answer);
	call->alive_ns = ps_system_steady_ns();
	call->silence = (struct ps_timer){.expired = silence_expired, .owner = call};
	call->easy = curl_easy_init();
	if (!call->easy || !add_headers(call) || set_options(call) ||
	    curl_multi_add_handle(c->multi, call->easy)) {
		fail_later(call, -ENOMEM);
		return;
	}
	ps_loop_arm(c->loop, &call->silence, c->options.silent_ns);
}

void ps_client_cancel(struct ps_call *call)
{
	if (!call->client)
		return;
	for (struct ps_call **p = &call->client->failed; *p; p = &(*p)->next_done) {
		if (*p != call)
			continue;
		*p = call->next_done;
		break;
	}
	release(call);
}

void ps_client_clear(struct ps_call *call)
{
	ps_client_cancel(call);
	osp_buffer_clear(&call->answer);
}

int ps_client_open(struct ps_client **out, struct ps_loop *l, const struct ps_client_options *o)
{
	_cleanup_(ps_client_close) struct ps_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->loop = l;
	c->options = *o;
	c->timer = (struct ps_timer){.expired = timeout_expired, .owner = c};
	c->later = (struct ps_timer){.expired = later_expired, .owner = c};
	if (!curl_global_init(CURL_GLOBAL_DEFAULT))
		c->multi = curl_multi_init();
	if (!c->multi)
		return osp_err(-ENOMEM, "start the http client");
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)o->connections_max);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CACHED_CONNECTIONS);
	*out = TAKE_PTR(c);
	return 0;
}

void ps_client_close(struct ps_client **client)
{
	struct ps_client *c = *client;

	if (!c)
		return;
	if (c->multi)
		curl_multi_cleanup(c->multi);
	ps_loop_disarm(c->loop, &c->timer);
	ps_loop_disarm(c->loop, &c->later);
	curl_global_cleanup();
	free(c);
	*client = NULL;
}
