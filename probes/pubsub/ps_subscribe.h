/* One change of a subscription on its way: shared by the queue and the exchange. */
#pragma once

#include "probes/pubsub/ps_ask.h"
#include "probes/pubsub/ps_set.h"
#include "probes/pubsub/ps_subscriber.h"
#include "probes/pubsub/ps_trace.h"

struct ps_subscription {
	uint32_t count; /* users */
	bool pending;	/* the request that subscribes is not over */
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
	struct ps_turn turn;
	struct ps_subscriber *s; /* borrowed: owns this */
	struct ps_changed result;
	void (*done)(void *owner, const struct ps_changed *c);
	void *owner;
	bool determined; /* whether by count or by request is decided, the count is changed */
	bool bulk;	 /* the request is for the whole set */
	bool together;	 /* ... with the changes that were gathered with it, which are then */
	bool covered;	 /* over: the result is there */
	union ps_change_op op;
	int64_t begin_ns;
	struct ps_ask ask;
	struct ps_set_request set;
	uint8_t key[];
};

/* A change that waits for its turn, `done` to follow. -ENOMEM. */
struct ps_change *ps_change_new(struct ps_subscriber *s, bool subscribe, enum ps_db_kind kind,
				struct ps_bytes key);

/* True if a request of the whole set for `c` subscribes to this, too. */
bool ps_change_includes(const struct ps_change *c, enum ps_db_kind kind, struct ps_bytes key);

/*
 * The change is the first of its key in the queue: counts, or decides to ask. True if it was
 * over by that, and freed.
 */
bool ps_change_determine(struct ps_change *c);

/* The subscription's entry, or NULL; a new one with count 0; away with it. */
struct ps_subscription *ps_subscriber_find(const struct ps_subscriber *s, enum ps_db_kind kind,
					   struct ps_bytes key);
int ps_subscriber_add(struct ps_subscriber *s, enum ps_db_kind kind, struct ps_bytes key,
		      struct ps_subscription **out);
void ps_subscriber_remove(struct ps_subscriber *s, struct ps_subscription *x);

/* Hands all entries to the caller: the table is a new, empty one. */
struct osp_map ps_subscriber_take_all(struct ps_subscriber *s);
