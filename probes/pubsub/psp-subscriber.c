/*
 * psp-subscriber: subscribes, prints the messages it receives, takes commands on standard input,
 * and unsubscribes when it is stopped.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probes/pubsub/ps_inbox.h"
#include "probes/pubsub/ps_lines.h"
#include "probes/pubsub/ps_print.h"
#include "probes/pubsub/ps_subscriber_argp.h"
#include "user/base/log.h"

enum { COMMAND_MAX = 70000, SHOWN_MAX = 512 };

struct program {
	struct ps_subscriber_argp asked;
	size_t keys_left; /* subscribed at start; not yet answered */
	bool stopping, refused;
	struct ps_timer check;
	unsigned leave_rounds;
	struct ps_loop *loop;
	struct ps_inbox inbox;
	struct ps_handler handler;
	struct ps_log *out;
	struct ps_lines lines;
	struct ps_timer stop;
};

/* ---- what is printed ------------------------------------------------------------------------- */

/* Failed (-errno): nobody reads any more. */
static int printed(struct program *p, int r)
{
	if (r)
		ps_loop_stop(p->loop, 1);
	return r;
}

static int print_message(struct ps_handler *h, const struct ps_delivery *d)
{
	struct program *p = h->owner;
	size_t show = p->asked.show < SHOWN_MAX ? p->asked.show : SHOWN_MAX;
	char text[SHOWN_MAX];
	ssize_t n;

	if (p->asked.quiet)
		return 0;
	n = ps_spool_read(d->message, 0, text, show);
	return n < 0 ? (int)n : printed(p, ps_print_message(p->out, d, ps_bytes(text, (size_t)n)));
}

static void print_missed(void *owner, struct ps_bytes topic)
{
	struct program *p = owner;

	printed(p, ps_print_missed(p->out, topic));
}

static void print_lost(struct ps_handler *h)
{
	struct program *p = h->owner;

	printed(p, ps_print_connection(p->out, "lost"));
}

static void print_receiving(struct ps_handler *h)
{
	struct program *p = h->owner;

	printed(p, ps_print_connection(p->out, "receiving"));
}

static void print_change(struct program *p, const struct ps_changed *c)
{
	printed(p, ps_print_change(p->out, c));
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
	if (p->asked.keep || ps_inbox_leave(&p->inbox, left, p))
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
	ps_loop_arm(p->loop, &p->stop, p->asked.grace_ns);
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

	printed(p, ps_print_check(p->out, c));
	if (p->stopping && !ps_inbox_is_changing(&p->inbox))
		leave(p);
	else if (p->asked.check_ns && !p->stopping)
		ps_loop_arm(p->loop, &p->check, p->asked.check_ns);
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
	printed(p, ps_print_unknown_command(p->out, ps_bytes(text, size)));
	return true;
}

/* ---- starting -------------------------------------------------------------------------------- */

static int start_commands(struct program *p)
{
	if (p->asked.ws.wanted)
		ps_options_ready(&p->asked.common, "pid=%d", (int)getpid());
	else
		ps_options_ready(&p->asked.common, "port=%u url=%s",
				 ps_server_port(p->inbox.http.server), p->inbox.http.receive_url);
	if (p->asked.check_ns)
		ps_loop_arm(p->loop, &p->check, p->asked.check_ns);
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
	p->keys_left = p->asked.key_count;
	if (!p->asked.key_count)
		return start_commands(p);
	ps_inbox_gather(&p->inbox, true);
	for (size_t i = 0; i < p->asked.key_count; i++)
		change(p, true, p->asked.keys[i].kind, ps_bytes_text(p->asked.keys[i].text),
		       started);
	ps_inbox_gather(&p->inbox, false);
	return 0;
}

/* What the inbox needs beyond what was asked for. */
static void prepare(struct program *p)
{
	struct ps_subscriber_options *o = &p->asked.subscriber;
	const struct ps_options *common = &p->asked.common;

	p->check = (struct ps_timer){.expired = check, .owner = p};
	p->handler = (struct ps_handler){.handle = print_message,
					 .lost = print_lost,
					 .receiving = print_receiving,
					 .delay_ns = p->asked.delay_ns,
					 .owner = p};
	o->handlers = &p->handler;
	o->handler_count = 1;
	o->missed = print_missed;
	o->owner = p;
	o->budget = common->budget;
	o->client.connect_ns = common->connect_ns;
	o->client.silent_ns = common->read_ns;
	o->client.total_ns = common->total_ns;
	o->broadcasters = p->asked.broadcasters.list;
	o->broadcaster_count = p->asked.broadcasters.count;
	p->inbox.ended = ended;
	p->inbox.owner = p;
}

static int open_inbox(struct program *p)
{
	const struct ps_subscriber_argp *a = &p->asked;
	const struct ps_auth *auth = &a->common.auth;

	return a->ws.wanted ? ps_inbox_open_ws(&p->inbox, p->loop, auth, a->common.log,
					       &a->subscriber, &a->ws.options)
			    : ps_inbox_open_http(&p->inbox, p->loop, auth, a->common.log,
						 &a->subscriber);
}

static int run(struct program *p)
{
	int r;

	prepare(p);
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
	static struct program p;
	int r;

	ps_subscriber_argp_init(&p.asked);
	ps_subscriber_argp_parse(&p.asked, argc, argv);
	r = ps_options_open(&p.asked.common);
	if (!r)
		r = ps_log_open_stdout(&p.out);
	if (!r)
		r = ps_loop_new(&p.loop);
	if (!r)
		r = run(&p);
	ps_loop_free(&p.loop);
	ps_log_close(&p.out);
	ps_subscriber_argp_clear(&p.asked);
	ps_options_close(&p.asked.common);
	return r != 0;
}
