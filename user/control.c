/*
 * The recorder's end of `outspan ctl` (user/control.h): accepts, reads one line, has it answered,
 * ends. The recorder's loop waits for one descriptor, an epoll of our own that holds the listener
 * and the clients; osp_control_handle then does what can be done without waiting. Everything is
 * bounded: clients, bytes of a request, how long it may take; an answer that the socket's buffer
 * does not take whole is dropped with its client. Owns the sockets.
 *
 * Threads: none. Nobody here can stop the recorder by being slow or silent.
 */
#include "user/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

struct client {
	int fd; /* -1 = free */
	uint32_t uid;
	int64_t since_ns;
	size_t size;
	char line[OSP_CONTROL_LINE];
};

struct osp_control {
	int listener, epoll;
	osp_control_fn fn;
	void *arg;
	struct client clients[OSP_CONTROL_CLIENTS];
};

/* ---- names and trust ---- */

static void make_name(struct osp_control_name *n, const char *file)
{
	struct stat s;
	uint64_t random = 0;

	*n = (struct osp_control_name){.pid = (uint32_t)getpid()};
	if (file && !stat(file, &s)) {
		n->device = s.st_dev;
		n->inode = s.st_ino;
	}
	/* Nobody can take the name before us who cannot guess it. */
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = n->inode;
	snprintf(n->text, sizeof(n->text),
		 "@outspan/%" PRIu32 "/%" PRIx64 ":%" PRIu64 "/%016" PRIx64, n->pid, n->device,
		 n->inode, random);
}

int osp_control_parse(struct osp_control_name *out, const char *text)
{
	struct osp_control_name n = {0};
	uint64_t random;
	int end = -1;

	if (strlen(text) >= sizeof(n.text) ||
	    sscanf(text, "@outspan/%" SCNu32 "/%" SCNx64 ":%" SCNu64 "/%16" SCNx64 "%n", &n.pid,
		   &n.device, &n.inode, &random, &end) != 4 ||
	    end < 0 || text[end])
		return -EINVAL;
	strcpy(n.text, text);
	*out = n;
	return 0;
}

socklen_t osp_control_address(const struct osp_control_name *name, struct sockaddr_un *out)
{
	size_t n = strlen(name->text);

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(out->sun_path, name->text, n);
	out->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

bool osp_control_trusts(int fd, uint32_t *uid)
{
	const char *sudo = getenv("SUDO_UID");
	struct ucred who;
	socklen_t size = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		return false;
	*uid = who.uid;
	if (who.uid == 0 || who.uid == getuid())
		return true;
	return getuid() == 0 && sudo && *sudo && strtoul(sudo, NULL, 10) == who.uid;
}

/* ---- clients ---- */

static void end_client(struct client *c)
{
	osp_cleanup_close(&c->fd); /* the epoll forgets it by itself */
	c->fd = -1;
	c->size = 0;
}

/* One line, whole or not at all: a client that does not take it has lost interest. */
static void send_answer(struct client *c, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t size = text ? strlen(text) : 0;

	if (!text)
		return;
	if (size >= OSP_CONTROL_LINE) {
		strcpy(text, "{\"error\":\"the answer is too long\"}");
		size = strlen(text);
	}
	text[size] = '\n'; /* over its NUL: not a string from here on */
	if (send(c->fd, text, size + 1, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size + 1)
		osp_debug("a client of outspan ctl did not take its answer");
	free(text);
}

void osp_control_refuse(json_t *answer, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_object_set_new(answer, "error", json_string(text));
}

static bool read_words(const json_t *request, const char *words[OSP_CONTROL_WORDS], size_t *count)
{
	*count = json_array_size(request);
	if (!*count || *count > OSP_CONTROL_WORDS)
		return false;
	for (size_t i = 0; i < *count; i++) {
		words[i] = json_string_value(json_array_get(request, i));
		if (!words[i])
			return false;
	}
	return true;
}

/* The line that is there is answered; then the connection ends. */
static void answer(struct osp_control *control, struct client *c, size_t size)
{
	json_t *request = json_loadb(c->line, size, 0, NULL), *answer = json_object();
	struct osp_control_request r = {.uid = c->uid};
	const char *words[OSP_CONTROL_WORDS];

	r.words = words;
	if (request && read_words(request, words, &r.count))
		control->fn(control->arg, &r, answer);
	else
		osp_control_refuse(answer, "expected a JSON array of at most %d words",
				   OSP_CONTROL_WORDS);
	if (answer)
		send_answer(c, answer);
	json_decref(answer);
	json_decref(request);
	end_client(c);
}

static void refuse(struct client *c, const char *why, bool permitted)
{
	json_t *answer = json_object();

	if (!permitted)
		json_object_set_new(answer, "permitted", json_false());
	osp_control_refuse(answer, "%s", why);
	if (answer)
		send_answer(c, answer);
	json_decref(answer);
	end_client(c);
}

static void read_client(struct osp_control *control, struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->size, sizeof(c->line) - c->size, MSG_DONTWAIT);
	const char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_client(c);
		return;
	}
	c->size += (size_t)n;
	end = memchr(c->line, '\n', c->size);
	if (end)
		answer(control, c, (size_t)(end - c->line));
	else if (c->size == sizeof(c->line))
		refuse(c, "the request is too long", true);
}

static struct client *take_place(struct osp_control *control)
{
	struct client *oldest = control->clients;

	for (size_t i = 0; i < OSP_CONTROL_CLIENTS; i++) {
		struct client *c = &control->clients[i];

		if (c->fd < 0)
			return c;
		if (c->since_ns < oldest->since_ns)
			oldest = c;
	}
	end_client(oldest);
	return oldest;
}

/* One at a time: the listener stays readable for as long as somebody waits. */
static void accept_client(struct osp_control *control, int64_t now_ns)
{
	_cleanup_close_ int fd =
		accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN};
	struct client *c, stranger = {.fd = -1};
	uint32_t uid = UINT32_MAX;

	if (fd < 0)
		return;
	if (!osp_control_trusts(fd, &uid)) {
		stranger.fd = TAKE_FD(fd);
		refuse(&stranger, "only root and the user who records may order this recorder",
		       false);
		return;
	}
	c = take_place(control);
	e.data.u32 = (uint32_t)(c - control->clients);
	if (epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &e))
		return;
	c->uid = uid;
	c->since_ns = now_ns;
	c->fd = TAKE_FD(fd);
}

void osp_control_handle(struct osp_control *c, int64_t now_ns)
{
	struct epoll_event events[OSP_CONTROL_CLIENTS + 1];
	int n = epoll_wait(c->epoll, events, OSP_CONTROL_CLIENTS + 1, 0);

	/* Clients first: accepting may end one of them, and another take its place. */
	for (int i = 0; i < n; i++)
		if (events[i].data.u32 < OSP_CONTROL_CLIENTS &&
		    c->clients[events[i].data.u32].fd >= 0)
			read_client(c, &c->clients[events[i].data.u32]);
	for (int i = 0; i < n; i++)
		if (events[i].data.u32 == OSP_CONTROL_CLIENTS)
			accept_client(c, now_ns);
}

void osp_control_tick(struct osp_control *c, int64_t now_ns)
{
	for (size_t i = 0; i < OSP_CONTROL_CLIENTS; i++)
		if (c->clients[i].fd >= 0 &&
		    now_ns - c->clients[i].since_ns > OSP_CONTROL_PATIENCE * 1000000000ll)
			end_client(&c->clients[i]);
}

/* ---- opening ---- */

static int listen_at(struct osp_control *c, const struct osp_control_name *name)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = OSP_CONTROL_CLIENTS};
	struct sockaddr_un address;
	socklen_t size = osp_control_address(name, &address);

	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->listener < 0 || c->epoll < 0)
		return -errno;
	if (bind(c->listener, (struct sockaddr *)&address, size) || listen(c->listener, 16))
		return -errno;
	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->listener, &e) ? -errno : 0;
}

int osp_control_open(struct osp_control **out, const char *file, osp_control_fn fn, void *arg)
{
	_cleanup_(osp_control_close) struct osp_control *c = calloc(1, sizeof(*c));
	struct osp_control_name name;
	int r;

	if (!c)
		return -ENOMEM;
	c->listener = c->epoll = -1;
	c->fn = fn;
	c->arg = arg;
	for (size_t i = 0; i < OSP_CONTROL_CLIENTS; i++)
		c->clients[i].fd = -1;
	make_name(&name, file);
	r = listen_at(c, &name);
	if (r)
		return r;
	*out = TAKE_PTR(c);
	return 0;
}

void osp_control_close(struct osp_control **c)
{
	if (!*c)
		return;
	for (size_t i = 0; i < OSP_CONTROL_CLIENTS; i++)
		osp_cleanup_close(&(*c)->clients[i].fd);
	osp_cleanup_close(&(*c)->listener);
	osp_cleanup_close(&(*c)->epoll);
	free(*c);
	*c = NULL;
}

int osp_control_fd(const struct osp_control *c)
{
	return c->epoll;
}
