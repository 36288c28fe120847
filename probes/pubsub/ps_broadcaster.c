/*
 * The broadcaster's wiring: database, HTTP server with the routes, HTTP client for deliveries.
 * The exchanges themselves are ps_handle_notify.c with ps_fanout.c, and ps_handle_subscribe.c.
 * Owns database, server and client.
 */
#include "probes/pubsub/ps_broadcaster.h"

#include <string.h>

static void set_routes(struct ps_broadcaster *b)
{
	b->routes[0] = ps_route_notify;
	b->routes[1] = ps_route_subscribe_exact;
	b->routes[2] = ps_route_subscribe_glob;
	b->routes[3] = ps_route_unsubscribe_exact;
	b->routes[4] = ps_route_unsubscribe_glob;
}

int ps_broadcaster_open(struct ps_broadcaster *b, struct ps_loop *l, const struct ps_auth *a,
			struct ps_log *log, const struct ps_broadcaster_options *o)
{
	struct ps_server_options server = o->server;
	int r;

	memset(b, 0, sizeof(*b));
	b->loop = l;
	b->auth = a;
	b->log = log;
	b->budget = o->budget;
	set_routes(b);
	server.routes = b->routes;
	server.route_count = sizeof(b->routes) / sizeof(b->routes[0]);
	server.owner = b;
	r = ps_db_open(&b->db, &o->db);
	if (!r)
		r = ps_client_open(&b->client, l, &o->client);
	if (!r)
		r = ps_server_open(&b->server, l, &server);
	if (r)
		ps_broadcaster_close(b);
	return r;
}

void ps_broadcaster_close(struct ps_broadcaster *b)
{
	ps_server_close(&b->server);
	ps_client_close(&b->client);
	ps_db_close(&b->db);
}
