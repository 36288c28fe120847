/*
 * Standard input line by line, as it arrives, without ever blocking the loop and without reading
 * ahead more than one buffer while a line is worked on. Feeds psp-subscriber's commands and
 * psp-notify's messages. Owns its buffer; the descriptor stays the process's.
 */
#include "probes/pubsub/ps_lines.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "user/base/log.h"

enum { READ_SIZE = 65536 };

/* Hands out the complete lines of the buffer until its owner has enough. */
static void hand_out(struct ps_lines *l)
{
	while (!l->paused && l->at < l->buffer.size) {
		const char *text = (const char *)l->buffer.data + l->at;
		size_t left = l->buffer.size - l->at;
		const char *newline = memchr(text, '\n', left);
		size_t size = newline ? (size_t)(newline - text) : left;

		if (!newline && !l->ended)
			break;
		l->at += size + (newline != NULL);
		if (l->skipping)
			l->skipping = false;
		else
			l->paused = !l->line(l->owner, text, size);
	}
}

static void keep_rest(struct ps_lines *l)
{
	if (!l->at)
		return;
	memmove(l->buffer.data, l->buffer.data + l->at, l->buffer.size - l->at);
	l->buffer.size -= l->at;
	l->at = 0;
}

static void dispatch(struct ps_lines *l)
{
	if (l->dispatching)
		return;
	l->dispatching = true; /* a line's owner may resume from within */
	hand_out(l);
	keep_rest(l);
	l->dispatching = false;
	if (l->ended && !l->paused && !l->buffer.size && l->end) {
		void (*end)(void *owner) = l->end;

		l->end = NULL;
		end(l->owner);
	}
}

static void drop_line(struct ps_lines *l)
{
	if (!l->skipping)
		osp_warn("standard input: a line is longer than %zu bytes - dropped",
			 l->buffer.max - READ_SIZE);
	l->skipping = true;
	osp_buffer_reset(&l->buffer);
}

static void read_some(struct ps_watch *w, uint32_t events)
{
	struct ps_lines *l = w->owner;
	char part[READ_SIZE];
	ssize_t n;

	(void)events;
	if (l->buffer.size + sizeof(part) > l->buffer.max)
		drop_line(l);
	n = read(w->fd, part, sizeof(part));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && osp_buffer_add(&l->buffer, part, (size_t)n))
		drop_line(l);
	if (n <= 0)
		l->ended = true;
	dispatch(l);
	if (l->ended || l->paused)
		ps_loop_unwatch(l->loop, &l->watch);
}

static void resumed(struct ps_timer *t)
{
	struct ps_lines *l = t->owner;
	int r = 0;

	dispatch(l);
	if (!l->ended && !l->paused && !l->watch.active)
		r = ps_loop_watch(l->loop, &l->watch, EPOLLIN);
	if (r)
		osp_err(r, "watch standard input");
}

void ps_lines_resume(struct ps_lines *l)
{
	l->paused = false;
	ps_loop_arm(l->loop, &l->again, 0); /* not from here: lines would nest */
}

int ps_lines_open(struct ps_lines *l, struct ps_loop *loop, size_t max)
{
	int r;

	l->loop = loop;
	l->buffer = (struct osp_buffer)OSP_BUFFER_INIT(max + READ_SIZE);
	l->watch = (struct ps_watch){.fd = STDIN_FILENO, .ready = read_some, .owner = l};
	l->again = (struct ps_timer){.expired = resumed, .owner = l};
	r = ps_loop_watch(loop, &l->watch, EPOLLIN);
	return r ? osp_err(r, "watch standard input") : 0;
}

void ps_lines_close(struct ps_lines *l)
{
	if (!l->loop)
		return;
	ps_loop_unwatch(l->loop, &l->watch);
	ps_loop_disarm(l->loop, &l->again);
	osp_buffer_clear(&l->buffer);
}
