/* One thread's event loop: descriptors, timers and the two stop signals. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A watched descriptor, embedded in its owner. */
struct ps_watch {
	int fd;
	void (*ready)(struct ps_watch *w, uint32_t events); /* EPOLLIN, ... */
	void *owner;					    /* borrowed: whoever embeds it */
	bool active;
	bool always; /* a file epoll does not take: ready whenever the loop comes round */
	struct ps_watch *next_always;
};

/* A timer, embedded in its owner; all zero but `expired` and `owner` before its first use. */
struct ps_timer {
	int64_t at_ns;
	void (*expired)(struct ps_timer *t);
	void *owner; /* borrowed: whoever embeds it */
	bool armed;
	struct ps_timer *child, *sibling, *previous; /* pairing heap */
};

struct ps_loop;

/* A loop that also takes SIGINT and SIGTERM (blocked for the process from here on). -errno. */
int ps_loop_new(struct ps_loop **out);
void ps_loop_free(struct ps_loop **l);

/* Starts watching, or changes for what. -errno. */
int ps_loop_watch(struct ps_loop *l, struct ps_watch *w, uint32_t events);

/* Stops watching; also from within a ready function, also for another watch. */
void ps_loop_unwatch(struct ps_loop *l, struct ps_watch *w);

/* (Re)arms the timer; it expires once. Cannot fail. */
void ps_loop_arm(struct ps_loop *l, struct ps_timer *t, int64_t delay_ns);
void ps_loop_disarm(struct ps_loop *l, struct ps_timer *t);

/* Called on SIGINT or SIGTERM instead of ending the run; a second signal always ends it. */
void ps_loop_on_signal(struct ps_loop *l, void (*stop)(void *owner), void *owner);

/*
 * Runs until ps_loop_stop or the signals. Returns the stop's code (1 after a second signal). May be
 * run again.
 */
int ps_loop_run(struct ps_loop *l);
void ps_loop_stop(struct ps_loop *l, int code);
