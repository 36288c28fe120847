/*
 * psp-broadcaster: the broadcaster as a program. Parses its options, opens what they name, runs
 * the loop; on SIGINT or SIGTERM takes no new connections, lets publishes under way end for a
 * while, then stops.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_options.h"
#include "probes/pubsub/ps_peers_argp.h"
#include "probes/pubsub/ps_preset.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/log.h"

enum option_key {
	LISTEN = 0x100,
	PREFIX,
	DATABASE,
	CONNECTIONS,
	PER_ADDRESS,
	DELIVERIES,
	SUBSCRIPTIONS,
	IDLE,
	REQUEST,
	GRACE,
	FANOUT_URL,
	SWEEP_INTERVAL,
	MISSED_RETRIES,
	MISSED_FACTOR,
	MISSED_BASE,
	MISSED_EXPONENT,
	MISSED_CONSTANT,
	MISSED_JITTER,
	MISSED_LOCK,
	MISSED_REMOVE,
	STATS,
	ANSWER_TRACING,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Broadcaster:", 1},
	{"listen", LISTEN, "HOST:PORT", 0, "where to listen, port 0 = a free one (127.0.0.1:3003)",
	 1},
	{"prefix", PREFIX, "PATH", 0, "path in front of /v1/... (none)", 1},
	{"db", DATABASE, "FILE", 0, "SQLite file of the subscriptions (none: in memory)", 1},
	{"max-connections", CONNECTIONS, "N", 0, "connections in (1000)", 1},
	{"max-connections-per-address", PER_ADDRESS, "N", 0, "of these from one address (no limit)",
	 1},
	{"max-deliveries", DELIVERIES, "N", 0, "connections out (256)", 1},
	{"max-subscriptions", SUBSCRIPTIONS, "N", 0, "rows in the database (100000)", 1},
	{"idle-timeout", IDLE, "TIME", 0, "a silent connection is closed (60s)", 1},
	{"request-timeout", REQUEST, "TIME", 0, "a request must have arrived by then (300s)", 1},
	{"answer-tracing", ANSWER_TRACING, "WHAT", 0,
	 "what answers to publishers over HTTP tell of the fan-out: own (a trace context, if the "
	 "request had one; default), simple (that, or else the timings that publishers with "
	 "lonelypsp's simple tracer need), or none. But with none, these timings come "
	 "behind a context that asks for them",
	 1},
	{"grace", GRACE, "TIME", 0, "how long publishes under way may take at the end (5s)", 1},
	{"fanout-url", FANOUT_URL, "URL", 0,
	 "how other broadcasters reach this one (http://HOST:PORT and the prefix)", 1},
	{"stats", STATS, NULL, 0, "say at the end how many web sockets ended, and why", 1},
	{NULL, 0, NULL, 0, "Telling subscribers that they missed a message:", 2},
	{"sweep-interval", SWEEP_INTERVAL, "TIME", 0, "look this often for who is to be told (10s)",
	 2},
	{"missed-retries", MISSED_RETRIES, "N", 0, "attempts, after which the mark goes (20)", 2},
	{"missed-factor", MISSED_FACTOR, "TIME", 0,
	 "an attempt follows after FACTOR * BASE^attempts + CONSTANT + chance * JITTER (1s)", 2},
	{"missed-base", MISSED_BASE, "NUMBER", 0, "see --missed-factor (2)", 2},
	{"missed-exponent", MISSED_EXPONENT, "N", 0, "attempts count only so far (10)", 2},
	{"missed-constant", MISSED_CONSTANT, "TIME", 0, "see --missed-factor (1s)", 2},
	{"missed-jitter", MISSED_JITTER, "TIME", 0, "see --missed-factor (2s)", 2},
	{"missed-lock", MISSED_LOCK, "TIME", 0,
	 "other broadcasters on the same database leave an attempt alone for this time (30s)", 2},
	{"missed-remove", MISSED_REMOVE, NULL, 0,
	 "remove the subscription, too, when the last attempt has failed", 2},
	{0},
};

static const char doc[] =
	"Takes published messages and delivers them to subscribers (lonelypsp over HTTP "
	"and web sockets).\v"
	"Examples:\n"
	"  psp-broadcaster --listen 127.0.0.1:3003\n"
	"  psp-broadcaster --db subscriptions.db --log broadcaster.log\n"
	"  psp-broadcaster --auth-to-broadcaster token:abc --max-message 1M -v\n";

struct program {
	struct ps_options common;
	struct ps_broadcaster_options o;
	int64_t grace_ns;
	bool stats;
	struct ps_presets presets;
	struct ps_loop *loop;
	struct ps_broadcaster broadcaster;
	int64_t stop_at_ns;
	bool peers_told;
	struct ps_timer stop;
};

static bool parse_limit(int key, char *arg, struct program *p, struct argp_state *state)
{
	switch (key) {
	case CONNECTIONS:
		p->o.server.connections_max =
			(unsigned)ps_options_number(arg, "max-connections", state);
		return true;
	case PER_ADDRESS:
		p->o.server.connections_per_address =
			(unsigned)ps_options_number(arg, "max-connections-per-address", state);
		return true;
	case DELIVERIES:
		p->o.client.connections_max =
			(unsigned)ps_options_number(arg, "max-deliveries", state);
		return true;
	case SUBSCRIPTIONS:
		p->o.db.rows_max = ps_options_number(arg, "max-subscriptions", state);
		return true;
	case IDLE:
		p->o.server.idle_s =
			(unsigned)(ps_options_time(arg, "idle-timeout", state) / 1000000000);
		return true;
	case REQUEST:
		p->o.server.request_ns = ps_options_time(arg, "request-timeout", state);
		return true;
	case GRACE:
		p->grace_ns = ps_options_time(arg, "grace", state);
		return true;
	default:
		return false;
	}
}

/* Parses NUMBER, which is at least 1. */
static double parse_base(const char *text, struct argp_state *state)
{
	char *end;
	double base = strtod(text, &end);

	if (end == text || *end || !(base >= 1 && base <= 1e6))
		argp_error(state, "--missed-base %s: expected a number from 1 to 1000000", text);
	return base;
}

static bool parse_missed(int key, char *arg, struct ps_sweep_options *o, struct argp_state *state)
{
	switch (key) {
	case SWEEP_INTERVAL:
		o->interval_ns = ps_options_time(arg, "sweep-interval", state);
		if (o->interval_ns <= 0)
			argp_error(state, "--sweep-interval %s: expected more than 0", arg);
		return true;
	case MISSED_RETRIES:
		o->policy.retries = (unsigned)ps_options_number(arg, "missed-retries", state);
		return true;
	case MISSED_FACTOR:
		o->policy.factor_ns = ps_options_time(arg, "missed-factor", state);
		return true;
	case MISSED_BASE:
		o->policy.base = parse_base(arg, state);
		return true;
	case MISSED_EXPONENT:
		o->policy.exponent_max = (unsigned)ps_options_number(arg, "missed-exponent", state);
		return true;
	case MISSED_CONSTANT:
		o->policy.constant_ns = ps_options_time(arg, "missed-constant", state);
		return true;
	case MISSED_JITTER:
		o->policy.jitter_ns = ps_options_time(arg, "missed-jitter", state);
		return true;
	case MISSED_LOCK:
		o->lock_ns = ps_options_time(arg, "missed-lock", state);
		return true;
	case MISSED_REMOVE:
		o->remove_exhausted = true;
		return true;
	default:
		return false;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct program *p = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &p->o.peers;
		state->child_inputs[1] = &p->common;
		return 0;
	case LISTEN:
		p->o.server.listen = arg;
		return 0;
	case PREFIX:
		p->o.server.prefix = arg;
		return 0;
	case DATABASE:
		p->o.db.path = arg;
		return 0;
	case FANOUT_URL:
		p->o.fanout_url = arg;
		return 0;
	case STATS:
		p->stats = true;
		return 0;
	case ANSWER_TRACING:
		if (ps_report_mode_from_str(arg, &p->o.report))
			argp_error(state, "--answer-tracing %s: expected own, simple or none", arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: expected options only", arg);
		return 0;
	default:
		return parse_limit(key, arg, p, state) || parse_missed(key, arg, &p->o.sweep, state)
			       ? 0
			       : ARGP_ERR_UNKNOWN;
	}
}

static void set_defaults(struct program *p)
{
	ps_options_init(&p->common);
	p->grace_ns = 5000000000;
	p->o.server = (struct ps_server_options){.listen = "127.0.0.1:3003",
						 .connections_max = 1000,
						 .discard_max = 64 << 20,
						 .idle_s = 60,
						 .request_ns = 300000000000,
						 .header_max = 160 << 10};
	p->o.client.connections_max = 256;
	p->o.db.rows_max = 100000;
	p->o.sweep = (struct ps_sweep_options){.interval_ns = 10000000000,
					       .lock_ns = 30000000000,
					       .policy = PS_MISSED_POLICY_INIT};
	ps_peers_options_init(&p->o.peers, &p->presets);
	p->o.report = PS_REPORT_OWN;
}

/* What common options say about parts that the broadcaster opens. */
static void apply_common(struct program *p)
{
	struct ps_options *c = &p->common;

	p->o.budget = c->budget;
	p->o.client.connect_ns = c->connect_ns;
	p->o.client.silent_ns = c->read_ns;
	p->o.client.total_ns = c->total_ns;
	p->o.db.busy_ms = (int)(c->busy_ns / 1000000);
	if (!c->replay_path)
		c->replay_path = p->o.db.path;
}

static bool is_over(const struct program *p)
{
	return ps_system_steady_ns() >= p->stop_at_ns;
}

/* The peers are told when nothing is on its way to them any more, or there is no time left. */
static void stop_when_idle(struct ps_timer *t)
{
	struct program *p = t->owner;
	struct ps_broadcaster *b = &p->broadcaster;

	if (p->peers_told && (!b->peers.count || is_over(p))) {
		ps_loop_stop(p->loop, 0);
		return;
	}
	if (!p->peers_told &&
	    (is_over(p) || (!ps_server_request_count(b->server) && !ps_peers_is_busy(&b->peers)))) {
		p->peers_told = true;
		p->stop_at_ns = ps_system_steady_ns() + p->o.peers.sockets.close_ns;
		ps_peers_stop(&b->peers);
	}
	ps_loop_arm(p->loop, t, 10000000);
}

static void stop(void *owner)
{
	struct program *p = owner;

	ps_server_quiesce(p->broadcaster.server);
	p->stop_at_ns = ps_system_steady_ns() + p->grace_ns;
	p->stop = (struct ps_timer){.expired = stop_when_idle, .owner = p};
	ps_loop_arm(p->loop, &p->stop, 0);
}

static void print_stats(const struct ps_broadcaster *b)
{
	char text[512];

	ps_peers_print(&b->peers, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
}

static int run(struct program *p)
{
	int r = ps_broadcaster_open(&p->broadcaster, p->loop, &p->common.auth, p->common.log,
				    &p->o);

	if (r)
		return r;
	ps_loop_on_signal(p->loop, stop, p);
	ps_options_ready(&p->common, "port=%u db=%s subscriptions=%llu",
			 ps_server_port(p->broadcaster.server),
			 p->o.db.path ? p->o.db.path : "none",
			 (unsigned long long)ps_db_count(p->broadcaster.db));
	r = ps_loop_run(p->loop);
	if (p->stats)
		print_stats(&p->broadcaster);
	ps_broadcaster_close(&p->broadcaster);
	return r;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&ps_peers_argp, 0, NULL, 0}, {&ps_options_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
	struct program p = {0};
	int r;

	set_defaults(&p);
	ps_options_parse(&argp, argc, argv, &p);
	apply_common(&p);
	r = ps_options_open(&p.common);
	if (!r)
		r = ps_loop_new(&p.loop);
	if (!r)
		r = run(&p);
	ps_loop_free(&p.loop);
	ps_options_close(&p.common);
	ps_presets_clear(&p.presets);
	return r != 0;
}
