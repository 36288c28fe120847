/* One change of a subscription on its way: shared by the queue and the exchange. */
#pragma once

#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_trace.h"

struct ps_subscription {
	uint32_t count; /* users */
	enum ps_db_kind kind;
	size_t key_size;
	uint8_t key[]; /* topic or glob */
};

/* The four operations' blocks; `subscribe` and `kind` say which one is in use. */
union ps_change_op {
	struct lonelypsp_subscribe_exact subscribe_exact;
	struct lonelypsp_subscribe_glob subscribe_glob;
	struct lonelypsp_unsubscribe_exact unsubscribe_exact;
	struct lonelypsp_unsubscribe_glob unsubscribe_glob;
};

struct ps_change {
	struct ps_subscriber *s; /* borrowed: owns this */
	struct ps_change *next;
	struct ps_changed result;
	void (*done)(void *owner, const struct ps_changed *c);
	void *owner;
	bool determined; /* whether by count or by request is decided, the count is changed */
	union ps_change_op op;
	int64_t begin_ns, attempt_begin_ns;
	unsigned attempts;
	struct ps_retry retry;
	const char *broadcaster; /* borrowed from the list */
	char *url;		 /* owned: the broadcaster's with the path */
	struct ps_call call;
	struct ps_timer wait;
	struct osp_buffer body, authorization;
	uint8_t key[];
};

/*
 * The change is the first of its key in the queue: counts, or decides to ask. True if it was
 * over by that, and freed.
 */
bool ps_change_determine(struct ps_change *c);

/* The change is the first of the queue, and decided to ask: asks. */
void ps_change_run(struct ps_change *c);

/* Stops the exchange and frees the change. */
void ps_change_free(struct ps_change *c);

/*
 * The change is over: takes it out of the queue, tells its owner, frees it, and lets the next
 * one run (ps_subscriber.c).
 */
void ps_subscriber_finish_change(struct ps_change *c);

/* The subscription's entry, or NULL; a new one with count 0; away with it. */
struct ps_subscription *ps_subscriber_find(const struct ps_subscriber *s, enum ps_db_kind kind,
					   struct ps_bytes key);
int ps_subscriber_add(struct ps_subscriber *s, enum ps_db_kind kind, struct ps_bytes key,
		      struct ps_subscription **out);
void ps_subscriber_remove(struct ps_subscriber *s, struct ps_subscription *x);
