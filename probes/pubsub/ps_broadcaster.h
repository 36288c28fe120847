/*
 * The broadcaster: takes NOTIFY and (un)subscribe requests, keeps subscriptions, delivers each
 * message to the subscribers it matches. One per process, on the caller's loop.
 */
#pragma once

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_server.h"
#include "probes/pubsub/ps_spool.h"

struct ps_broadcaster_options {
	struct ps_server_options server; /* routes and owner are filled in by ps_broadcaster_open */
	struct ps_client_options client;
	struct ps_db_options db;
	struct ps_budget budget;
};

struct ps_broadcaster {
	struct ps_loop *loop; /* borrowed: outlives it, as the next two */
	const struct ps_auth *auth;
	struct ps_log *log; /* NULL: no message log */
	struct ps_db *db;
	struct ps_server *server;
	struct ps_client *client;
	struct ps_budget budget;
	struct ps_route routes[5];
};

/*
 * Opens the database and listens. Says on stderr what failed. -errno. The struct stays where it
 * is until it is closed.
 */
int ps_broadcaster_open(struct ps_broadcaster *b, struct ps_loop *l, const struct ps_auth *a,
			struct ps_log *log, const struct ps_broadcaster_options *o);

/* Ends everything at once: publishes under way are answered with 503. */
void ps_broadcaster_close(struct ps_broadcaster *b);

/* The routes: one per kind of request (ps_handle_notify.c, ps_handle_subscribe.c). */
extern const struct ps_route ps_route_notify;
extern const struct ps_route ps_route_subscribe_exact, ps_route_subscribe_glob;
extern const struct ps_route ps_route_unsubscribe_exact, ps_route_unsubscribe_glob;
