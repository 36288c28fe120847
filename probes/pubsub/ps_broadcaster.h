/*
 * The broadcaster: takes NOTIFY and (un)subscribe requests, keeps subscriptions, delivers each
 * message to the subscribers it matches, and tells those who missed one. One per process, on the
 * caller's loop.
 */
#pragma once

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_client.h"
#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_report.h"
#include "probes/pubsub/ps_server.h"
#include "probes/pubsub/ps_peers.h"
#include "probes/pubsub/ps_relay.h"
#include "probes/pubsub/ps_spool.h"
#include "probes/pubsub/ps_sweep.h"

struct ps_broadcaster_options {
	struct ps_server_options server; /* routes and owner are filled in by ps_broadcaster_open */
	struct ps_client_options client;
	struct ps_db_options db;
	struct ps_budget budget;
	struct ps_sweep_options sweep;
	/* Where other broadcasters reach this one; borrowed. NULL: http:// and the address. */
	const char *fanout_url;
	struct ps_peers_options peers; /* .sockets: without .path; .count_max 0: there are none */
	struct ps_relay *relay;	       /* borrowed: instead of these; or NULL */
	enum ps_report_mode report;
};

struct ps_broadcaster {
	struct ps_loop *loop; /* borrowed: outlives it, as the next two */
	const struct ps_auth *auth;
	struct ps_log *log; /* NULL: no message log */
	struct ps_db *db;
	struct ps_server *server;
	struct ps_client *client;
	struct ps_budget budget;
	struct ps_sweep sweep;
	struct ps_peers peers;
	struct ps_relay *relay;		/* the peers', or the options' */
	char *websocket_path;		/* owned */
	char *receive_url, *missed_url; /* owned: under which it subscribes for its web sockets */
	enum ps_report_mode report;
	struct ps_route routes[9];
};

/*
 * Opens the database and listens. Says on stderr what failed. -errno. The struct stays where it
 * is until it is closed.
 */
int ps_broadcaster_open(struct ps_broadcaster *b, struct ps_loop *l, const struct ps_auth *a,
			struct ps_log *log, const struct ps_broadcaster_options *o);

/* Ends everything at once: publishes under way are answered with 503. */
void ps_broadcaster_close(struct ps_broadcaster *b);

/* The routes: one per kind of request (ps_handle_*.c). */
extern const struct ps_route ps_route_notify;
extern const struct ps_route ps_route_subscribe_exact, ps_route_subscribe_glob;
extern const struct ps_route ps_route_unsubscribe_exact, ps_route_unsubscribe_glob;
extern const struct ps_route ps_route_set, ps_route_check;
extern const struct ps_route ps_route_receive_for_websockets, ps_route_missed_for_websockets;
