/* The whole set of a subscriber's subscriptions: as lists, as an etag, and sent to be all. */
#pragma once

#include "probes/pubsub/ps_ask.h"
#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_list.h"

struct ps_changed;

/* SET_SUBSCRIPTIONS on its way. The owner fills the first part and keeps it until `done`. */
struct ps_set_request {
	struct ps_subscriber *s;		/* borrowed */
	const struct outspan_op *parent;	/* the operation it is part of; borrowed, or NULL */
	const struct ps_change *change;		/* the change that it makes; borrowed, or NULL */
	bool nothing;				/* the empty set, whatever is subscribed */
	void (*done)(struct ps_set_request *q); /* the outcome is in `ask` */
	void *owner;
	/* private to ps_set.c, but for the results of `ask` */
	struct lonelypsp_set_subscriptions op;
	struct ps_ask ask;
	struct ps_list_builder lists[PS_DB_KINDS];
	uint8_t etag[PS_DIGEST_SIZE];
	int error; /* why the lists could not be made */
	int64_t begin_ns;
};

/* Sends the set as it is now. `done` follows, never from within this function. */
void ps_set_start(struct ps_set_request *q);

/* Stops a request that is under way (without `done`) and frees what it holds. */
void ps_set_clear(struct ps_set_request *q);

/*
 * What the broadcaster should have once `change` (or NULL) is made: subscribed and confirmed,
 * and what is about to be unsubscribed later. In the order of keys; ps_db_clear_lists frees
 * them. -ENOMEM; -ENOSPC: too much for one request.
 */
int ps_set_lists(const struct ps_subscriber *s, const struct ps_change *change,
		 struct ps_list_builder lists[PS_DB_KINDS]);

/* ps_subscriber_leave by one request, which waits for its turn. */
int ps_set_leave(struct ps_subscriber *s, void (*done)(void *owner, const struct ps_changed *c),
		 void *owner);
