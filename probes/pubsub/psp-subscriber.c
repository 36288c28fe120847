/*
 * psp-subscriber: subscribes, prints the messages it receives, takes commands on standard input,
 * and unsubscribes when it is stopped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probes/pubsub/ps_inbox.h"
#include "probes/pubsub/ps_lines.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_options.h"
#include "probes/pubsub/ps_session_argp.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/log.h"
#include "user/base/text.h"

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

enum { KEYS_MAX = 1024, COMMAND_MAX = 70000 };

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

struct program {
	struct ps_options common;
	struct ps_broadcasters broadcasters;
	struct ps_subscriber_options o;
	struct ps_session_argp ws;
	struct {
		enum ps_db_kind kind;
		const char *text;
	} keys[KEYS_MAX];
	size_t key_count, keys_left; /* subscribed at start; not yet answered */
	size_t show;
	bool keep, quiet, ready, stopping, refused;
	int64_t check_ns; /* 0: no checks by themselves */
	struct ps_timer check;
	int64_t grace_ns;
	unsigned leave_rounds;
	struct ps_loop *loop;
	struct ps_inbox inbox;
	struct ps_handler handler;
	struct ps_log *out;
	struct ps_lines lines;
	struct ps_timer stop;
};

/* ---- options --------------------------------------------------------------------------------- */

static void add_key(struct program *p, enum ps_db_kind kind, const char *text,
		    struct argp_state *state)
{
	if (p->key_count == KEYS_MAX)
		argp_error(state, "at most %d topics and globs - use commands on standard input",
			   KEYS_MAX);
	p->keys[p->key_count].kind = kind;
	p->keys[p->key_count++].text = text;
}

static bool parse_receiving(int key, char *arg, struct program *p, struct argp_state *state)
{
	switch (key) {
	case 'q':
		p->quiet = true;
		return true;
	case SHOW:
		p->show = ps_options_size(arg, "show", state);
		return true;
	case DELAY:
		p->handler.delay_ns = ps_options_time(arg, "handler-delay", state);
		return true;
	case REFUSE:
		p->o.refuse = true;
		return true;
	case CONNECTIONS:
		p->o.server.connections_max =
			(unsigned)ps_options_number(arg, "max-connections", state);
		return true;
	case SUBSCRIPTIONS:
		p->o.subscriptions_max = ps_options_number(arg, "max-subscriptions", state);
		return true;
	case GRACE:
		p->grace_ns = ps_options_time(arg, "grace", state);
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

static bool parse_subscribing(int key, char *arg, struct program *p, struct argp_state *state)
{
	switch (key) {
	case LISTEN:
		p->o.server.listen = arg;
		return true;
	case URL:
		p->o.base_url = arg;
		return true;
	case EXACT:
		add_key(p, PS_DB_EXACT, arg, state);
		return true;
	case GLOB:
		add_key(p, PS_DB_GLOB, arg, state);
		return true;
	case KEEP:
		p->keep = true;
		return true;
	case RETRIES:
		p->o.passes = (unsigned)ps_options_number(arg, "retries", state);
		return true;
	case UNAMBIGUOUS:
		p->o.retry_ambiguous = false;
		return true;
	case BULK:
		p->o.bulk = parse_bulk(arg, state);
		return true;
	case CHECK:
		p->check_ns = ps_options_time(arg, "check", state);
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
		state->child_inputs[0] = &p->ws;
		state->child_inputs[1] = &p->common;
		return 0;
	case BROADCASTER:
		ps_options_broadcasters(&p->broadcasters, arg, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: expected options only", arg);
		return 0;
	case ARGP_KEY_END:
		if (!p->broadcasters.count)
			ps_options_broadcasters(&p->broadcasters, "http://127.0.0.1:3003", state);
		if (p->o.base_url && ps_url_check(ps_bytes_text(p->o.base_url)))
			argp_error(state, "--url %s: expected http://HOST[:PORT][/PATH]",
				   p->o.base_url);
		if (p->ws.wanted && (p->o.refuse || p->check_ns))
			argp_error(state, "--refuse, --check: not with --ws");
		return 0;
	default:
		return parse_subscribing(key, arg, p, state) || parse_receiving(key, arg, p, state)
			       ? 0
			       : ARGP_ERR_UNKNOWN;
	}
}

static void set_defaults(struct program *p)
{
	ps_options_init(&p->common);
	ps_session_argp_init(&p->ws);
	p->show = 256;
	p->grace_ns = 5000000000;
	p->o = (struct ps_subscriber_options){.passes = 2,
					      .retry_ambiguous = true,
					      .subscriptions_max = 10000,
					      .changes_max = KEYS_MAX};
	p->o.client.connections_max = 16;
	p->o.server = (struct ps_server_options){.listen = "127.0.0.1:0",
						 .connections_max = 256,
						 .discard_max = 64 << 20,
						 .idle_s = 60,
						 .request_ns = 300000000000,
						 .header_max = 160 << 10};
}

/* ---- what is printed ------------------------------------------------------------------------- */

static void print(struct program *p, struct ps_line *line)
{
	if (ps_log_end(line))
		ps_loop_stop(p->loop, 1); /* nobody reads any more */
}

static int print_message(struct ps_handler *h, const struct ps_delivery *d)
{
	struct program *p = h->owner;
	char text[512];
	struct ps_line line;
	ssize_t n;
	int r;

	if (p->quiet)
		return 0;
	n = ps_spool_read(d->message, 0, text, p->show < sizeof(text) ? p->show : sizeof(text));
	if (n < 0)
		return (int)n;
	ps_log_begin(&line, p->out, "message");
	ps_log_text(&line, "topic", d->topic);
	ps_log_number(&line, "bytes", (int64_t)d->message->size);
	ps_log_hex(&line, "identifier", d->identifier);
	ps_log_hex(&line, "sha512", ps_bytes(d->digest, 8));
	ps_log_text(&line, "text", ps_bytes(text, (size_t)n));
	r = ps_log_end(&line);
	if (r)
		ps_loop_stop(p->loop, 1);
	return r;
}

static void print_missed(void *owner, struct ps_bytes topic)
{
	struct program *p = owner;
	struct ps_line line;

	ps_log_begin(&line, p->out, "missed");
	ps_log_text(&line, "topic", topic);
	print(p, &line);
}

static void print_connection(struct program *p, const char *state)
{
	struct ps_line line;

	ps_log_begin(&line, p->out, "connection");
	ps_log_append(&line, state);
	print(p, &line);
}

static void print_lost(struct ps_handler *h)
{
	print_connection(h->owner, "lost");
}

static void print_receiving(struct ps_handler *h)
{
	print_connection(h->owner, "receiving");
}

/* "checked equal", "checked repaired", "refused check". */
static void print_check(struct program *p, const struct ps_checked *c)
{
	bool ok = c->outcome == PS_OUTCOME_OK && (c->equal || c->repaired);
	struct ps_line line;

	ps_log_begin(&line, p->out, ok ? "checked" : "refused");
	ps_log_append(&line, !ok ? "check" : c->equal ? "equal" : "repaired");
	ps_log_word(&line, "outcome", ps_outcome_to_str(c->outcome));
	ps_log_number(&line, "status", c->status);
	if (!ok)
		ps_log_word(&line, "reason", c->reason);
	print(p, &line);
}

/* "subscribed exact TOPIC ..." or "refused subscribe exact TOPIC ...". */
static void print_change(struct program *p, const struct ps_changed *c)
{
	bool ok = ps_changed_is_success(c);
	char head[64], key[4 * 512 + 1];
	struct ps_line line;

	snprintf(head, sizeof(head), "%s%s %s", ok ? "" : "refused ",
		 c->subscribe ? ok ? "subscribed" : "subscribe"
		 : ok	      ? "unsubscribed"
			      : "unsubscribe",
		 c->kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_begin(&line, p->out, head);
	osp_text_escape(key, sizeof(key), c->key.data, c->key.size < 512 ? c->key.size : 512);
	ps_log_append(&line, key);
	ps_log_word(&line, "outcome", ps_outcome_to_str(c->outcome));
	ps_log_number(&line, "status", c->status);
	ps_log_number(&line, "count", c->count);
	if (!ok)
		ps_log_word(&line, "reason", c->reason);
	print(p, &line);
}

/* ---- stopping -------------------------------------------------------------------------------- */

/* By ps_inbox_stop or, with an error, without. */
static void ended(void *owner, int error)
{
	struct program *p = owner;

	if (error)
		osp_err(error, "stay connected - no broadcaster took the connection");
	ps_loop_stop(p->loop, p->refused || error);
}

static void finish(struct program *p)
{
	ps_inbox_stop(&p->inbox);
}

static void stop_now(struct ps_timer *t)
{
	struct program *p = t->owner;

	osp_warn("unsubscribe: not done within the grace time - subscriptions may be left behind");
	ps_loop_stop(p->loop, 1);
}

static void leave(struct program *p);

static void left(void *owner, const struct ps_changed *c)
{
	struct program *p = owner;

	print_change(p, c);
	if (!ps_changed_is_success(c))
		p->refused = true;
	if (ps_inbox_is_changing(&p->inbox))
		return;
	if (ps_inbox_count(&p->inbox) && p->leave_rounds < 2)
		leave(p);
	else
		finish(p);
}

static void leave(struct program *p)
{
	p->leave_rounds++;
	if (p->keep || ps_inbox_leave(&p->inbox, left, p))
		finish(p);
}

static void stop(void *owner)
{
	struct program *p = owner;

	if (p->stopping)
		return;
	p->stopping = true;
	ps_loop_disarm(p->loop, &p->check);
	p->stop = (struct ps_timer){.expired = stop_now, .owner = p};
	ps_loop_arm(p->loop, &p->stop, p->grace_ns);
	leave(p);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void answer(void *owner, const struct ps_changed *c)
{
	struct program *p = owner;

	print_change(p, c);
	if (p->stopping && !ps_inbox_is_changing(&p->inbox))
		leave(p);
}

static const char *change_error(int r)
{
	return r == -ENOENT    ? "not_subscribed"
	       : r == -EINVAL  ? "not_a_glob_or_too_long"
	       : r == -ENOSPC  ? "full"
	       : r == -ENOTSUP ? "not_over_web_sockets"
			       : "failed";
}

static void change(struct program *p, bool subscribe, enum ps_db_kind kind, struct ps_bytes key,
		   void (*done)(void *, const struct ps_changed *))
{
	int r = ps_inbox_change(&p->inbox, subscribe, kind, key, done, p);
	struct ps_changed c = {subscribe, kind, key, PS_OUTCOME_FAILED, 0, change_error(r), 0};

	if (r)
		done(p, &c);
}

static void checked(void *owner, const struct ps_checked *c)
{
	struct program *p = owner;

	print_check(p, c);
	if (p->stopping && !ps_inbox_is_changing(&p->inbox))
		leave(p);
	else if (p->check_ns && !p->stopping)
		ps_loop_arm(p->loop, &p->check, p->check_ns);
}

/* By command or by the interval, which begins anew. */
static void check(struct ps_timer *t)
{
	struct program *p = t->owner;
	int r = ps_inbox_check(&p->inbox, checked, p);
	struct ps_checked c = {PS_OUTCOME_FAILED, 0, change_error(r), false, false};

	if (r)
		checked(p, &c);
}

static bool take_command(void *owner, const char *text, size_t size)
{
	static const struct {
		const char *words;
		bool subscribe;
		enum ps_db_kind kind;
	} commands[] = {
		{"subscribe exact ", true, PS_DB_EXACT},
		{"subscribe glob ", true, PS_DB_GLOB},
		{"unsubscribe exact ", false, PS_DB_EXACT},
		{"unsubscribe glob ", false, PS_DB_GLOB},
	};
	struct program *p = owner;
	struct ps_line line;

	if (p->stopping)
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		size_t n = strlen(commands[i].words);

		if (size < n || memcmp(text, commands[i].words, n))
			continue;
		change(p, commands[i].subscribe, commands[i].kind, ps_bytes(text + n, size - n),
		       answer);
		return true;
	}
	if (size == 5 && !memcmp(text, "check", 5)) {
		check(&p->check);
		return true;
	}
	if (size == 4 && !memcmp(text, "quit", 4)) {
		stop(p);
		return false;
	}
	ps_log_begin(&line, p->out, "refused");
	ps_log_text(&line, "command", ps_bytes(text, size));
	ps_log_word(&line, "reason", "unknown_command");
	print(p, &line);
	return true;
}

/* ---- starting -------------------------------------------------------------------------------- */

static int start_commands(struct program *p)
{
	p->ready = true;
	if (p->ws.wanted)
		ps_options_ready(&p->common, "pid=%d", (int)getpid());
	else
		ps_options_ready(&p->common, "port=%u url=%s", ps_server_port(p->inbox.http.server),
				 p->inbox.http.receive_url);
	if (p->check_ns)
		ps_loop_arm(p->loop, &p->check, p->check_ns);
	p->lines.line = take_command;
	p->lines.owner = p;
	return ps_lines_open(&p->lines, p->loop, COMMAND_MAX);
}

static void started(void *owner, const struct ps_changed *c)
{
	struct program *p = owner;

	print_change(p, c);
	p->refused |= !ps_changed_is_success(c);
	p->keys_left--;
	if (p->stopping && !ps_inbox_is_changing(&p->inbox))
		leave(p);
	if (p->stopping || p->keys_left)
		return;
	if (p->refused)
		stop(p);
	else if (start_commands(p))
		ps_loop_stop(p->loop, 1);
}

static int start(struct program *p)
{
	p->keys_left = p->key_count;
	if (!p->key_count)
		return start_commands(p);
	ps_inbox_gather(&p->inbox, true);
	for (size_t i = 0; i < p->key_count; i++)
		change(p, true, p->keys[i].kind, ps_bytes_text(p->keys[i].text), started);
	ps_inbox_gather(&p->inbox, false);
	return 0;
}

static int open_inbox(struct program *p)
{
	const struct ps_auth *auth = &p->common.auth;

	return p->ws.wanted ? ps_inbox_open_ws(&p->inbox, p->loop, auth, p->common.log, &p->o,
					       &p->ws.options)
			    : ps_inbox_open_http(&p->inbox, p->loop, auth, p->common.log, &p->o);
}

static int run(struct program *p)
{
	int r;

	p->check = (struct ps_timer){.expired = check, .owner = p};
	p->handler.handle = print_message;
	p->handler.lost = print_lost;
	p->handler.receiving = print_receiving;
	p->handler.owner = p;
	p->o.handlers = &p->handler;
	p->o.handler_count = 1;
	p->o.missed = print_missed;
	p->o.owner = p;
	p->o.budget = p->common.budget;
	p->o.client.connect_ns = p->common.connect_ns;
	p->o.client.silent_ns = p->common.read_ns;
	p->o.client.total_ns = p->common.total_ns;
	p->o.broadcasters = p->broadcasters.list;
	p->o.broadcaster_count = p->broadcasters.count;
	p->inbox.ended = ended;
	p->inbox.owner = p;
	r = open_inbox(p);
	if (r)
		return r;
	ps_loop_on_signal(p->loop, stop, p);
	r = start(p);
	if (!r)
		r = ps_loop_run(p->loop);
	ps_loop_disarm(p->loop, &p->check);
	ps_lines_close(&p->lines);
	ps_inbox_close(&p->inbox);
	return r;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&ps_session_argp_child, 0, NULL, 0}, {&ps_options_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
	static struct program p;
	int r;

	set_defaults(&p);
	ps_options_parse(&argp, argc, argv, &p);
	r = ps_options_open(&p.common);
	if (!r)
		r = ps_log_open_stdout(&p.out);
	if (!r)
		r = ps_loop_new(&p.loop);
	if (!r)
		r = run(&p);
	ps_loop_free(&p.loop);
	ps_log_close(&p.out);
	ps_session_argp_clear(&p.ws);
	ps_options_clear_broadcasters(&p.broadcasters);
	ps_options_close(&p.common);
	return r != 0;
}
