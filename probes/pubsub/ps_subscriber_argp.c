/* What psp-subscriber is asked on its command line. Owns the lists that it fills. */
#include "probes/pubsub/ps_subscriber_argp.h"

#include <string.h>

#include "probes/pubsub/ps_url.h"

enum option_key {
	BROADCASTER = 0x100,
	LISTEN,
	URL,
	EXACT,
	GLOB,
	KEEP,
	REFUSE,
	DELAY,
	SHOW,
	RETRIES,
	UNAMBIGUOUS,
	CONNECTIONS,
	SUBSCRIPTIONS,
	GRACE,
	BULK,
	CHECK,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Subscribing:", 1},
	{"broadcaster", BROADCASTER, "URL[,URL...]", 0,
	 "who is asked; several are tried in random order (http://127.0.0.1:3003)", 1},
	{"listen", LISTEN, "HOST:PORT", 0,
	 "where messages come in, port 0 = a free one (127.0.0.1:0)", 1},
	{"url", URL, "URL", 0, "how broadcasters reach that address (http://HOST:PORT)", 1},
	{"exact", EXACT, "TOPIC", 0, "subscribe to this topic; may be repeated", 1},
	{"glob", GLOB, "GLOB", 0, "subscribe to all topics that match, as foo/*; may be repeated",
	 1},
	{"keep", KEEP, NULL, 0, "leave the subscriptions at the broadcaster when stopped", 1},
	{"bulk", BULK, "WHEN", OPTION_ARG_OPTIONAL,
	 "change subscriptions by sending all of them, those given here in one request: always, auto"
	 " (while at most 512; the value when none is given) or never (never)",
	 1},
	{"check", CHECK, "TIME", 0,
	 "compare the subscriptions with the broadcaster's at this interval, and repair these", 1},
	{"retries", RETRIES, "N", 0, "passes over all broadcasters, at least 1 (2)", 1},
	{"no-retry-ambiguous", UNAMBIGUOUS, NULL, 0,
	 "do not try again when a request may have been taken", 1},
	{NULL, 0, NULL, 0, "Receiving:", 2},
	{"quiet", 'q', NULL, 0, "print no messages", 2},
	{"show", SHOW, "SIZE", 0, "print this much of each message (256)", 2},
	{"handler-delay", DELAY, "TIME", 0, "confirm a message only after this time (0)", 2},
	{"refuse", REFUSE, NULL, 0, "answer every message with \"unsubscribe me\"", 2},
	{"max-connections", CONNECTIONS, "N", 0, "connections in (256)", 2},
	{"max-subscriptions", SUBSCRIPTIONS, "N", 0, "topics and globs together (10000)", 2},
	{"grace", GRACE, "TIME", 0, "how long unsubscribing may take at the end (5s)", 2},
	{0},
};

static const char doc[] =
	"Subscribes to topics and prints their messages (lonelypsp over HTTP or, with --ws, over a web"
	" socket).\v"
	"Commands on standard input, one per line, each answered by a line on standard output:\n"
	"  subscribe exact TOPIC    subscribe glob GLOB\n"
	"  unsubscribe exact TOPIC  unsubscribe glob GLOB  check  quit\n\n"
	"Examples:\n"
	"  (echo subscribe exact foo/bar; cat) | psp-subscriber --handler-delay 100ms\n"
	"  psp-subscriber --bulk --glob 'foo/*' --exact bar --check 1m --log x.log\n"
	"  psp-subscriber --ws --broadcaster http://a:3003,http://b:3003 --exact foo\n";

static void add_key(struct ps_subscriber_argp *a, enum ps_db_kind kind, const char *text,
		    struct argp_state *state)
{
	if (a->key_count == PS_SUBSCRIBER_KEYS_MAX)
		argp_error(state, "at most %d topics and globs - use commands on standard input",
			   PS_SUBSCRIBER_KEYS_MAX);
	a->keys[a->key_count].kind = kind;
	a->keys[a->key_count++].text = text;
}

static bool parse_receiving(int key, char *arg, struct ps_subscriber_argp *a,
			    struct argp_state *state)
{
	switch (key) {
	case 'q':
		a->quiet = true;
		return true;
	case SHOW:
		a->show = ps_options_size(arg, "show", state);
		return true;
	case DELAY:
		a->delay_ns = ps_options_time(arg, "handler-delay", state);
		return true;
	case REFUSE:
		a->subscriber.refuse = true;
		return true;
	case CONNECTIONS:
		a->subscriber.server.connections_max =
			(unsigned)ps_options_number(arg, "max-connections", state);
		return true;
	case SUBSCRIPTIONS:
		a->subscriber.subscriptions_max =
			ps_options_number(arg, "max-subscriptions", state);
		return true;
	case GRACE:
		a->grace_ns = ps_options_time(arg, "grace", state);
		return true;
	default:
		return false;
	}
}

static enum ps_bulk parse_bulk(const char *text, struct argp_state *state)
{
	if (!text || !strcmp(text, "auto"))
		return PS_BULK_AUTO;
	if (!strcmp(text, "always"))
		return PS_BULK_ALWAYS;
	if (strcmp(text, "never"))
		argp_error(state, "--bulk=%s: expected always, auto or never", text);
	return PS_BULK_NEVER;
}

static bool parse_subscribing(int key, char *arg, struct ps_subscriber_argp *a,
			      struct argp_state *state)
{
	switch (key) {
	case LISTEN:
		a->subscriber.server.listen = arg;
		return true;
	case URL:
		a->subscriber.base_url = arg;
		return true;
	case EXACT:
		add_key(a, PS_DB_EXACT, arg, state);
		return true;
	case GLOB:
		add_key(a, PS_DB_GLOB, arg, state);
		return true;
	case KEEP:
		a->keep = true;
		return true;
	case RETRIES:
		a->subscriber.passes = (unsigned)ps_options_number(arg, "retries", state);
		return true;
	case UNAMBIGUOUS:
		a->subscriber.retry_ambiguous = false;
		return true;
	case BULK:
		a->subscriber.bulk = parse_bulk(arg, state);
		return true;
	case CHECK:
		a->check_ns = ps_options_time(arg, "check", state);
		return true;
	default:
		return false;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct ps_subscriber_argp *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->ws;
		state->child_inputs[1] = &a->common;
		return 0;
	case BROADCASTER:
		ps_options_broadcasters(&a->broadcasters, arg, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: expected options only", arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->broadcasters.count)
			ps_options_broadcasters(&a->broadcasters, "http://127.0.0.1:3003", state);
		if (a->subscriber.base_url && ps_url_check(ps_bytes_text(a->subscriber.base_url)))
			argp_error(state, "--url %s: expected http://HOST[:PORT][/PATH]",
				   a->subscriber.base_url);
		if (a->ws.wanted && (a->subscriber.refuse || a->check_ns))
			argp_error(state, "--refuse, --check: not with --ws");
		return 0;
	default:
		return parse_subscribing(key, arg, a, state) || parse_receiving(key, arg, a, state)
			       ? 0
			       : ARGP_ERR_UNKNOWN;
	}
}

void ps_subscriber_argp_init(struct ps_subscriber_argp *a)
{
	*a = (struct ps_subscriber_argp){.show = 256, .grace_ns = 5000000000};
	ps_options_init(&a->common);
	ps_session_argp_init(&a->ws);
	a->subscriber = (struct ps_subscriber_options){.passes = 2,
						       .retry_ambiguous = true,
						       .subscriptions_max = 10000,
						       .changes_max = PS_SUBSCRIBER_KEYS_MAX};
	a->subscriber.client.connections_max = 16;
	a->subscriber.server = (struct ps_server_options){.listen = "127.0.0.1:0",
							  .connections_max = 256,
							  .discard_max = 64 << 20,
							  .idle_s = 60,
							  .request_ns = 300000000000,
							  .header_max = 160 << 10};
}

void ps_subscriber_argp_parse(struct ps_subscriber_argp *a, int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&ps_session_argp_child, 0, NULL, 0}, {&ps_options_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};

	ps_options_parse(&argp, argc, argv, a);
}

void ps_subscriber_argp_clear(struct ps_subscriber_argp *a)
{
	ps_session_argp_clear(&a->ws);
	ps_options_clear_broadcasters(&a->broadcasters);
}
