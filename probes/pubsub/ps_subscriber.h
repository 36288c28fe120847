/*
 * The subscriber: takes RECEIVE and MISSED requests of broadcasters for one url, and changes its
 * subscriptions there one at a time, counting how often each is wanted.
 */
#pragma once

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_publisher.h"
#include "probes/pubsub/ps_server.h"
#include "probes/pubsub/ps_spool.h"
#include "probes/pubsub/ps_turn.h"
#include "user/base/map.h"

/* A message that was received and checked; valid during the call. */
struct ps_delivery {
	struct ps_bytes topic;
	struct ps_bytes identifier;
	const uint8_t *digest; /* SHA-512 */
	const struct ps_spool *message;
};

/* Part of the application that wants messages. The broadcaster waits for all of them. */
struct ps_handler {
	/* 0, or -errno: the message is still confirmed, the failure is traced and logged. */
	int (*handle)(struct ps_handler *h, const struct ps_delivery *d);
	/* Messages may be lost from now on; messages come (again), and some may have been lost. */
	void (*lost)(struct ps_handler *h);
	void (*receiving)(struct ps_handler *h);
	void *owner;
	int64_t delay_ns; /* the message waits this long before the handler takes it */
};

/* When a change is made by sending the whole set of subscriptions instead of itself alone. */
enum ps_bulk {
	PS_BULK_NEVER,
	PS_BULK_AUTO, /* upstream's rule: up to 512 subscriptions */
	PS_BULK_ALWAYS,
};

struct ps_subscriber_options {
	struct ps_server_options server; /* prefix, routes and owner are filled in */
	struct ps_client_options client;
	struct ps_budget budget;
	const char *base_url; /* under which broadcasters reach us; NULL: http:// and the address */
	const struct ps_broadcaster_url *broadcasters; /* borrowed, as the handlers */
	size_t broadcaster_count;
	unsigned passes;
	bool retry_ambiguous;
	enum ps_bulk bulk;
	bool refuse; /* answers every message with "unsubscribe me" */
	struct ps_handler *handlers;
	size_t handler_count;
	void (*missed)(void *owner, struct ps_bytes topic); /* a message was missed */
	void *owner;
	size_t subscriptions_max;
	size_t changes_max; /* waiting for their turn */
};

struct ps_subscriber {
	struct ps_subscriber_options options;
	struct ps_loop *loop; /* borrowed: outlives it, as the next two */
	const struct ps_auth *auth;
	struct ps_log *log; /* NULL: no message log */
	struct ps_server *server;
	struct ps_client *client;
	struct ps_budget budget;
	char *receive_url, *recover_url; /* owned */
	char *prefix;			 /* owned: path in front of the routes */
	struct ps_route routes[2];
	struct osp_map subscriptions; /* kind and key -> struct ps_subscription, owned */
	uint32_t counts[PS_DB_KINDS]; /* of subscriptions */
	struct ps_turns turns;	      /* what wants to change or compare them; owned */
	bool gathering;		      /* changes are not begun, and go together later */
	bool stopping;		      /* takes no messages any more */
	bool lost;		      /* the handlers were told so, and not yet of the contrary */
};

/* Listens. Says on stderr what failed. -errno. The struct stays where it is until closed. */
int ps_subscriber_open(struct ps_subscriber *s, struct ps_loop *l, const struct ps_auth *a,
		       struct ps_log *log, const struct ps_subscriber_options *o);

/* Ends everything at once: changes under way without their `done`, messages with 503. */
void ps_subscriber_close(struct ps_subscriber *s);

/* How a change ended. */
struct ps_changed {
	bool subscribe;
	enum ps_db_kind kind;
	struct ps_bytes key;
	enum ps_outcome outcome; /* OK, CONFLICT and COUNTED are successes */
	unsigned status;	 /* of the broadcaster's last answer, 0: none */
	const char *reason;	 /* of a failure, a word */
	uint32_t count;		 /* users of the subscription from now on */
};

bool ps_changed_is_success(const struct ps_changed *c);

/*
 * Subscribes to (or unsubscribes from) a topic or glob; only the first use and the last disuse
 * ask a broadcaster. `done` follows, at once or later. -ENOENT: unsubscribing from what is not
 * subscribed; -EINVAL: not a glob or longer than the protocol allows; -ENOSPC: too many changes
 * or subscriptions; -ENOMEM.
 */
int ps_subscriber_change(struct ps_subscriber *s, bool subscribe, enum ps_db_kind kind,
			 struct ps_bytes key, void (*done)(void *owner, const struct ps_changed *c),
			 void *owner);

/*
 * Changes made between true and false are begun at false; those that subscribe by sending the whole
 * set go in one request. Each has its own `done` all the same.
 */
void ps_subscriber_gather(struct ps_subscriber *s, bool gathering);

/*
 * Unsubscribes from everything, however often each is wanted; `done` for each. In bulk that is
 * one request for all.
 */
int ps_subscriber_leave(struct ps_subscriber *s,
			void (*done)(void *owner, const struct ps_changed *c), void *owner);

/* How a comparison with the broadcaster ended. */
struct ps_checked {
	enum ps_outcome outcome; /* of the question what the broadcaster has */
	unsigned status;	 /* of the last answer, 0: none */
	const char *reason;	 /* of a failure, a word */
	bool equal;
	bool repaired; /* it was different and is equal now */
};

/*
 * Compares the subscriptions with what the broadcaster has for our url and, if they differ, sets
 * them there. Waits for its turn among the changes. `done` follows, at once or later. -ENOSPC:
 * too many changes are waiting; -ENOMEM.
 */
int ps_subscriber_check(struct ps_subscriber *s,
			void (*done)(void *owner, const struct ps_checked *c), void *owner);

/*
 * Tells the handlers that the connection is lost or there; true if they were told, false if they
 * know already.
 */
bool ps_subscriber_tell(struct ps_subscriber *s, bool lost);

/* True if a subscription matches the topic. */
bool ps_subscriber_wants(const struct ps_subscriber *s, struct ps_bytes topic);

extern const struct ps_route ps_route_receive; /* ps_receive.c */
extern const struct ps_route ps_route_recover; /* ps_missed.c */
