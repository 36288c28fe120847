/*
 * The loop under all three programs: epoll for descriptors, a pairing heap for timers, signalfd
 * for SIGINT and SIGTERM. HTTP server, HTTP client, web sockets and standard input hang on it.
 *
 * Threads: one. Everything in this folder runs on the thread that calls ps_loop_run; nothing is
 * locked. (libcurl starts a short-lived thread of its own to resolve a host name that is neither
 * an address nor localhost.)
 */
#include "probes/pubsub/ps_loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { EVENTS = 64 };

struct ps_loop {
	int epoll;
	struct epoll_event events[EVENTS]; /* of the round under way; forgotten watches are NULL */
	int event_count;
	struct ps_timer *timers; /* root of the heap; borrowed: their owners disarm them */
	struct ps_watch *always; /* borrowed, as the timers */
	struct ps_watch signals;
	void (*on_signal)(void *owner);
	void *signal_owner;
	bool signalled, stopped;
	int code;
};

static void take_signal(struct ps_watch *w, uint32_t events)
{
	struct ps_loop *l = w->owner;
	struct signalfd_siginfo info;

	(void)events;
	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	osp_info("stopping: %s from process %u of user %u", strsignal((int)info.ssi_signo),
		 info.ssi_pid, info.ssi_uid);
	if (l->signalled || !l->on_signal) {
		ps_loop_stop(l, l->signalled);
		return;
	}
	l->signalled = true;
	l->on_signal(l->signal_owner);
}

static int watch_signals(struct ps_loop *l)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	l->signals = (struct ps_watch){.ready = take_signal, .owner = l};
	l->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signals.fd < 0)
		return -errno;
	return ps_loop_watch(l, &l->signals, EPOLLIN);
}

int ps_loop_new(struct ps_loop **out)
{
	_cleanup_(ps_loop_free) struct ps_loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->signals.fd = -1;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return osp_err(-errno, "epoll");
	r = watch_signals(l);
	if (r)
		return osp_err(r, "watch signals");
	*out = TAKE_PTR(l);
	return 0;
}

void ps_loop_free(struct ps_loop **l)
{
	if (!*l)
		return;
	if ((*l)->signals.fd >= 0)
		close((*l)->signals.fd);
	if ((*l)->epoll >= 0)
		close((*l)->epoll);
	free(*l);
	*l = NULL;
}

static void add_always(struct ps_loop *l, struct ps_watch *w)
{
	w->active = w->always = true;
	w->next_always = l->always;
	l->always = w;
}

int ps_loop_watch(struct ps_loop *l, struct ps_watch *w, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	if (w->always)
		return 0;
	if (!epoll_ctl(l->epoll, w->active ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e)) {
		w->active = true;
		return 0;
	}
	if (errno != EPERM)
		return -errno;
	add_always(l, w); /* a regular file or /dev/null never blocks */
	return 0;
}

void ps_loop_unwatch(struct ps_loop *l, struct ps_watch *w)
{
	if (!w->active)
		return;
	for (struct ps_watch **p = &l->always; w->always && *p; p = &(*p)->next_always) {
		if (*p != w)
			continue;
		*p = w->next_always;
		break;
	}
	if (!w->always)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < l->event_count; i++)
		if (l->events[i].data.ptr == w)
			l->events[i].data.ptr = NULL;
	w->active = w->always = false;
}

/* ---- timers: a pairing heap; `previous` is the elder sibling, or the parent of a first child */

static struct ps_timer *meld(struct ps_timer *a, struct ps_timer *b)
{
	struct ps_timer *t;

	if (!a || !b)
		return a ? a : b;
	if (b->at_ns < a->at_ns) {
		t = a;
		a = b;
		b = t;
	}
	b->sibling = a->child;
	if (b->sibling)
		b->sibling->previous = b;
	b->previous = a;
	a->child = b;
	return a;
}

/* Melds a list of siblings pairwise from the left, then from the right: amortised O(log n). */
static struct ps_timer *meld_children(struct ps_timer *first)
{
	struct ps_timer *pairs = NULL, *root = NULL;

	while (first) {
		struct ps_timer *a = first, *b = a->sibling;

		first = b ? b->sibling : NULL;
		a->sibling = a->previous = NULL;
		if (b)
			b->sibling = b->previous = NULL;
		a = meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	while (pairs) {
		struct ps_timer *next = pairs->sibling;

		pairs->sibling = NULL;
		root = meld(root, pairs);
		pairs = next;
	}
	return root;
}

void ps_loop_disarm(struct ps_loop *l, struct ps_timer *t)
{
	struct ps_timer *rest;

	if (!t->armed)
		return;
	rest = meld_children(t->child);
	if (t == l->timers) {
		l->timers = rest;
	} else {
		if (t->previous->child == t)
			t->previous->child = t->sibling;
		else
			t->previous->sibling = t->sibling;
		if (t->sibling)
			t->sibling->previous = t->previous;
		l->timers = meld(l->timers, rest);
	}
	t->child = t->sibling = t->previous = NULL;
	t->armed = false;
}

void ps_loop_arm(struct ps_loop *l, struct ps_timer *t, int64_t delay_ns)
{
	ps_loop_disarm(l, t);
	t->at_ns = ps_system_steady_ns() + (delay_ns > 0 ? delay_ns : 0);
	t->armed = true;
	l->timers = meld(l->timers, t);
}

/* Only those due when the round began: a timer that re-arms itself with 0 does not starve I/O. */
static void expire_timers(struct ps_loop *l)
{
	int64_t now = ps_system_steady_ns();

	while (l->timers && l->timers->at_ns <= now && !l->stopped) {
		struct ps_timer *t = l->timers;

		ps_loop_disarm(l, t);
		t->expired(t);
	}
}

static int wait_ms(const struct ps_loop *l)
{
	int64_t left;

	if (l->always)
		return 0;
	if (!l->timers)
		return -1;
	left = l->timers->at_ns - ps_system_steady_ns();
	if (left <= 0)
		return 0;
	left = (left + 999999) / 1000000;
	return left > 60000 ? 60000 : (int)left;
}

static void dispatch(struct ps_loop *l)
{
	for (int i = 0; i < l->event_count && !l->stopped; i++) {
		struct ps_watch *w = l->events[i].data.ptr;

		if (w)
			w->ready(w, l->events[i].events);
	}
	l->event_count = 0;
	if (l->always && !l->stopped)
		l->always->ready(l->always, EPOLLIN);
}

void ps_loop_on_signal(struct ps_loop *l, void (*stop)(void *owner), void *owner)
{
	l->on_signal = stop;
	l->signal_owner = owner;
}

int ps_loop_run(struct ps_loop *l)
{
	while (!l->stopped) {
		int n = epoll_wait(l->epoll, l->events, EVENTS, wait_ms(l));

		if (n < 0 && errno != EINTR)
			return osp_err(-errno, "wait for events");
		l->event_count = n > 0 ? n : 0;
		dispatch(l);
		expire_timers(l);
	}
	l->stopped = false;
	return l->code;
}

void ps_loop_stop(struct ps_loop *l, int code)
{
	l->stopped = true;
	l->code = code;
}
