/*
 * The broadcaster's wiring: database, HTTP server with the routes, HTTP client for deliveries,
 * the sweep. The exchanges themselves are ps_handle_*.c, ps_fanout.c and ps_tell.c. Owns
 * database, server and client.
 */
#include "probes/pubsub/ps_broadcaster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

static const struct ps_route *const routes[] = {
	&ps_route_notify,
	&ps_route_subscribe_exact,
	&ps_route_subscribe_glob,
	&ps_route_unsubscribe_exact,
	&ps_route_unsubscribe_glob,
	&ps_route_set,
	&ps_route_check,
	&ps_route_receive_for_websockets,
	&ps_route_missed_for_websockets,
};

enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };
_Static_assert(sizeof(((struct ps_broadcaster *)0)->routes) / sizeof(struct ps_route) == ROUTES,
	       "a place for every route");

static int append_path(char **out, const char *base, const char *path)
{
	int n = (int)strlen(base);

	while (n && base[n - 1] == '/')
		n--;
	if (asprintf(out, "%.*s%s", n, base, path) >= 0)
		return 0;
	*out = NULL;
	return -ENOMEM;
}

/* The address we listen on as a url, with the port that was really taken. */
static int default_base(char **out, const struct ps_broadcaster *b,
			const struct ps_server_options *o)
{
	const char *colon = strrchr(o->listen, ':');

	return asprintf(out, "http://%.*s:%u%s", (int)(colon - o->listen), o->listen,
			ps_server_port(b->server), o->prefix ? o->prefix : "") < 0
		       ? -ENOMEM
		       : 0;
}

static int set_urls(struct ps_broadcaster *b, const struct ps_broadcaster_options *o)
{
	_cleanup_free_ char *base = o->fanout_url ? strdup(o->fanout_url) : NULL;
	int r = 0;

	if (!o->fanout_url)
		r = default_base(&base, b, &o->server);
	if (r || !base)
		return -ENOMEM;
	r = append_path(&b->receive_url, base, ps_route_receive_for_websockets.path);
	if (!r)
		r = append_path(&b->missed_url, base, ps_route_missed_for_websockets.path);
	if (!r && (ps_url_check(ps_bytes_text(b->receive_url)) || strpbrk(base, "#?")))
		return osp_err(-EINVAL, "url %s - expected http://HOST[:PORT][/PATH]", base);
	return r;
}

static int open_peers(struct ps_broadcaster *b, const struct ps_broadcaster_options *o)
{
	struct ps_peers_options peers = o->peers;

	if (asprintf(&b->websocket_path, "%s/v1/websocket",
		     o->server.prefix ? o->server.prefix : "") < 0)
		return -ENOMEM;
	peers.sockets.path = b->websocket_path;
	b->relay = &b->peers.relay;
	return ps_peers_open(&b->peers, b, &peers);
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
	b->report = o->report;
	b->relay = o->relay ? o->relay : &ps_relay_none;
	for (size_t i = 0; i < ROUTES; i++)
		b->routes[i] = *routes[i];
	server.routes = b->routes;
	server.route_count = ROUTES;
	server.owner = b;
	r = ps_db_open(&b->db, &o->db);
	if (!r)
		r = ps_client_open(&b->client, l, &o->client);
	if (!r && o->peers.sockets.count_max)
		r = open_peers(b, o);
	server.sockets = b->peers.sockets;
	if (!r)
		r = ps_server_open(&b->server, l, &server);
	if (!r)
		r = set_urls(b, o);
	if (r)
		ps_broadcaster_close(b);
	else
		ps_sweep_start(&b->sweep, b, &o->sweep);
	return r;
}

void ps_broadcaster_close(struct ps_broadcaster *b)
{
	ps_sweep_stop(&b->sweep);
	ps_peers_end(&b->peers);
	ps_server_close(&b->server);
	ps_peers_close(&b->peers);
	ps_client_close(&b->client);
	ps_db_close(&b->db);
	free(TAKE_PTR(b->websocket_path));
	free(TAKE_PTR(b->receive_url));
	free(TAKE_PTR(b->missed_url));
}
