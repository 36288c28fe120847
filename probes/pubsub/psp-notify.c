/*
 * psp-notify: publishes one message, the same message several times, or every line of standard
 * input, one after the other, with retries. Prints a line per message.
 */
#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probes/pubsub/ps_lines.h"
#include "probes/pubsub/ps_options.h"
#include "probes/pubsub/ps_outbox.h"
#include "probes/pubsub/ps_session_argp.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/log.h"
#include "user/base/text.h"

enum option_key {
	BROADCASTER = 0x100,
	COUNT,
	RATE,
	FILE_NAME,
	IDENTIFIER,
	RETRIES,
	UNAMBIGUOUS,
	LINES,
	NUMBERED,
	QUIET,
	IN_FLIGHT,
	ASK_REPORT,
	DIGEST,
};

enum { LINE_MAX_BYTES = 16 << 20 };

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Publishing:", 1},
	{"broadcaster", BROADCASTER, "URL[,URL...]", 0,
	 "who takes the message; several are tried in random order (http://127.0.0.1:3003)", 1},
	{"file", FILE_NAME, "FILE", 0, "the message is this file", 1},
	{"stdin-lines", LINES, NULL, 0, "each line of standard input is a message", 1},
	{"count", COUNT, "N", 0, "publish the message N times", 1},
	{"rate", RATE, "R", 0, "at most R messages per second", 1},
	{"numbered", NUMBERED, NULL, 0, "add a blank and the number, from 1, to each message", 1},
	{"sha512", DIGEST, "HEX", 0, "the message's SHA-512, which is not computed again", 1},
	{"identifier", IDENTIFIER, "HEX", 0, "use this identifier for every message (random ones)",
	 1},
	{"retries", RETRIES, "N", 0, "passes over all broadcasters, at least 1 (2)", 1},
	{"no-retry-ambiguous", UNAMBIGUOUS, NULL, 0,
	 "do not try again when the message may have been taken", 1},
	{"in-flight", IN_FLIGHT, "N", 0,
	 "with --ws: publish up to N messages before the first is confirmed (1)", 1},
	{"ask-report", ASK_REPORT, NULL, 0,
	 "while outspan records this, ask broadcasters to answer with what they did, and when; "
	 "not with --ws",
	 1},
	{"quiet", 'q', NULL, 0, "print no line per message", 1},
	{0},
};

static const char doc[] =
	"Publishes messages on a topic (lonelypsp over HTTP or, with --ws, over a web socket).\vMESSAGE - is all of standard input.\n"
	"Exit status 0: every message was confirmed; 1: one was not.\n\n"
	"Examples:\n"
	"  psp-notify --broadcaster http://127.0.0.1:3003 foo/bar 'hello'\n"
	"  psp-notify --file /etc/hostname --retries 3 hosts/new\n"
	"  dmesg | psp-notify --ws --in-flight 20 --stdin-lines kernel/log\n";

struct program {
	struct ps_options common;
	struct ps_broadcasters broadcasters;
	const char *topic, *text, *file;
	uint64_t count;
	double rate;
	bool lines_wanted, numbered, quiet, unambiguous, ask_report;
	uint8_t identifier[PS_IDENTIFIER_MAX];
	size_t identifier_size;
	uint8_t digest[PS_DIGEST_SIZE];
	bool has_digest;
	unsigned retries;
	struct ps_session_argp ws;
	unsigned in_flight;
	struct ps_loop *loop;
	struct ps_client *client;
	struct ps_outbox outbox;
	struct ps_log *out;
	struct ps_lines lines;
	struct ps_spool message; /* the one that all are, if they are */
	bool eof, stopping, failed, finished;
	uint64_t started;
	int64_t first_ns;
	struct ps_timer next;
};

/* ---- options --------------------------------------------------------------------------------- */

static void set_identifier(struct program *p, const char *hex, struct argp_state *state)
{
	size_t size = strlen(hex) / 2;

	if (!size || size > PS_IDENTIFIER_MAX ||
	    osp_text_unhex(p->identifier, size, hex, strlen(hex)))
		argp_error(state, "--identifier %s: expected 1 to 255 bytes in hexadecimal", hex);
	p->identifier_size = size;
}

static void set_digest(struct program *p, const char *hex, struct argp_state *state)
{
	if (osp_text_unhex(p->digest, sizeof(p->digest), hex, strlen(hex)))
		argp_error(state, "--sha512 %s: expected %d bytes in hexadecimal", hex,
			   PS_DIGEST_SIZE);
	p->has_digest = true;
}

static void set_rate(struct program *p, const char *text, struct argp_state *state)
{
	char *end;

	p->rate = strtod(text, &end);
	if (end == text || *end || !(p->rate > 0) || p->rate > 1e6)
		argp_error(state, "--rate %s: expected messages per second", text);
}

static bool parse_flag(int key, struct program *p)
{
	switch (key) {
	case UNAMBIGUOUS:
		p->unambiguous = true;
		return true;
	case LINES:
		p->lines_wanted = true;
		return true;
	case NUMBERED:
		p->numbered = true;
		return true;
	case ASK_REPORT:
		p->ask_report = true;
		return true;
	case 'q':
		p->quiet = true;
		return true;
	default:
		return false;
	}
}

static error_t parse_argument(char *arg, struct program *p, struct argp_state *state)
{
	if (!p->topic)
		p->topic = arg;
	else if (!p->text)
		p->text = arg;
	else
		argp_error(state, "%s: expected one topic and one message", arg);
	return 0;
}

static error_t check(struct program *p, struct argp_state *state)
{
	int sources = (p->text != NULL) + (p->file != NULL) + p->lines_wanted;

	if (!p->topic)
		argp_error(state, "expected a topic");
	if (strlen(p->topic) > PS_TOPIC_MAX)
		argp_error(state, "the topic is longer than %d bytes", PS_TOPIC_MAX);
	if (sources != 1)
		argp_error(state, "expected one of: a message, --file, --stdin-lines");
	if (p->numbered && (p->file || (p->text && !strcmp(p->text, "-"))))
		argp_error(state, "--numbered: not with --file or -");
	if (p->ask_report && p->ws.wanted)
		argp_error(state, "--ask-report: not with --ws");
	if (p->has_digest && (p->numbered || p->lines_wanted))
		argp_error(state, "--sha512: not with --numbered or --stdin-lines");
	if (p->in_flight > 1 && !p->ws.wanted)
		argp_error(state, "--in-flight: only with --ws");
	if (p->ws.wanted && p->identifier_size > PS_FRAME_IDENTIFIER_MAX)
		argp_error(state, "--identifier: at most %d bytes with --ws",
			   PS_FRAME_IDENTIFIER_MAX);
	if (!p->broadcasters.count)
		ps_options_broadcasters(&p->broadcasters, "http://127.0.0.1:3003", state);
	return 0;
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
	case COUNT:
		p->count = ps_options_number(arg, "count", state);
		return 0;
	case RATE:
		set_rate(p, arg, state);
		return 0;
	case FILE_NAME:
		p->file = arg;
		return 0;
	case IDENTIFIER:
		set_identifier(p, arg, state);
		return 0;
	case DIGEST:
		set_digest(p, arg, state);
		return 0;
	case RETRIES:
		p->retries = (unsigned)ps_options_number(arg, "retries", state);
		return 0;
	case IN_FLIGHT:
		p->in_flight = (unsigned)ps_options_number(arg, "in-flight", state);
		if (!p->in_flight || p->in_flight > 1000)
			argp_error(state, "--in-flight %s: expected 1 to 1000", arg);
		return 0;
	case ARGP_KEY_ARG:
		return parse_argument(arg, p, state);
	case ARGP_KEY_END:
		return check(p, state);
	default:
		return parse_flag(key, p) ? 0 : ARGP_ERR_UNKNOWN;
	}
}

/* ---- message after message ------------------------------------------------------------------- */

static void print_result(struct program *p, const struct ps_sent *sent)
{
	struct ps_line line;

	ps_log_begin(&line, p->out, sent->outcome == PS_OUTCOME_OK ? "published" : "failed");
	ps_log_hex(&line, "identifier", sent->identifier);
	ps_log_text(&line, "topic", sent->topic);
	ps_log_number(&line, "bytes", (int64_t)sent->size);
	ps_log_number(&line, "attempts", sent->attempts);
	ps_log_number(&line, "status", sent->status);
	ps_log_number(&line, "subscribers", sent->subscribers);
	ps_log_word(&line, "outcome", ps_outcome_to_str(sent->outcome));
	if (sent->outcome != PS_OUTCOME_OK)
		ps_log_word(&line, "reason", sent->reason);
	if (ps_log_end(&line) || sent->outcome != PS_OUTCOME_OK)
		p->failed = true;
}

static void finish(struct program *p)
{
	p->finished = true;
	ps_outbox_stop(&p->outbox);
}

/* By ps_outbox_stop or, with an error, without: then every message fails from now on. */
static void ended(void *owner, int error)
{
	struct program *p = owner;

	if (error)
		osp_err(error, "stay connected - no broadcaster took the connection");
	if (p->finished)
		ps_loop_stop(p->loop, p->failed);
}

static void schedule(struct program *p)
{
	int64_t at = p->rate > 0 ? p->first_ns + (int64_t)((double)p->started / p->rate * 1e9) : 0;

	ps_loop_arm(p->loop, &p->next, at - ps_system_steady_ns());
}

static bool is_last(const struct program *p)
{
	return p->stopping || (p->lines_wanted ? p->eof : p->started == p->count);
}

static void published(void *owner, const struct ps_sent *sent)
{
	struct program *p = owner;

	print_result(p, sent);
	if (!is_last(p))
		schedule(p);
	else if (!p->outbox.busy && !p->finished)
		finish(p);
}

static void publish(struct program *p, struct ps_parcel *parcel)
{
	if (!p->lines_wanted && !p->numbered)
		parcel->message = &p->message;
	parcel->filelike = p->file != NULL;
	parcel->known_digest = p->has_digest ? p->digest : NULL;
	p->started++;
	ps_outbox_send(&p->outbox, parcel);
	if (!is_last(p) && p->outbox.busy < p->outbox.count)
		schedule(p);
}

static int set_message(struct ps_spool *message, const char *text, size_t size, uint64_t number)
{
	int r = ps_spool_add(message, text, size);
	char digits[24];

	if (!r && number)
		r = ps_spool_add(message, digits,
				 (size_t)snprintf(digits, sizeof(digits), " %llu",
						  (unsigned long long)number));
	return r ? osp_err(r, "keep the message") : 0;
}

static void publish_next(struct ps_timer *t)
{
	struct program *p = t->owner;
	struct ps_parcel *parcel = ps_outbox_next(&p->outbox);

	if (!parcel)
		return; /* whichever is confirmed next goes on */
	if (p->lines_wanted)
		ps_lines_resume(&p->lines);
	else if (p->numbered && set_message(&parcel->own, p->text, strlen(p->text), p->started + 1))
		ps_loop_stop(p->loop, 1);
	else
		publish(p, parcel);
}

/* ---- where messages come from ---------------------------------------------------------------- */

static bool take_line(void *owner, const char *text, size_t size)
{
	struct program *p = owner;

	struct ps_parcel *parcel = ps_outbox_next(&p->outbox);

	if (p->stopping || !parcel)
		return false;
	if (set_message(&parcel->own, text, size, p->numbered ? p->started + 1 : 0)) {
		p->failed = true;
		finish(p);
		return false;
	}
	publish(p, parcel);
	return false; /* as soon as another may go, `schedule` asks for the next */
}

static void end_of_lines(void *owner)
{
	struct program *p = owner;

	p->eof = true;
	if (!p->outbox.busy)
		finish(p);
}

static int read_stdin(struct program *p)
{
	char part[65536];
	ssize_t n;
	int r = 0;

	ps_spool_init(&p->message, &p->common.budget);
	while (!r && (n = read(STDIN_FILENO, part, sizeof(part))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : ps_spool_add(&p->message, part, (size_t)n);
	}
	return r ? osp_err(r, "read standard input") : 0;
}

static int open_file(struct program *p)
{
	int fd = open(p->file, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return osp_err(-errno, "open %s", p->file);
	ps_spool_init(&p->message, NULL);
	r = ps_spool_open(&p->message, fd);
	if (r) {
		close(fd);
		return osp_err(r, "read %s - expected a regular file", p->file);
	}
	return 0;
}

static int open_message(struct program *p)
{
	if (p->file)
		return open_file(p);
	if (p->lines_wanted) {
		p->lines.line = take_line;
		p->lines.end = end_of_lines;
		p->lines.owner = p;
		return ps_lines_open(&p->lines, p->loop, LINE_MAX_BYTES);
	}
	if (!strcmp(p->text, "-"))
		return read_stdin(p);
	ps_spool_init(&p->message, &p->common.budget);
	return set_message(&p->message, p->text, strlen(p->text), 0);
}

/* ---- running --------------------------------------------------------------------------------- */

static void stop(void *owner)
{
	struct program *p = owner;

	p->stopping = true;
	p->failed |= p->started < p->count && !p->lines_wanted;
	if (!p->outbox.busy) /* else they are waited for; a second signal is not that patient */
		finish(p);
}

static int open_outbox(struct program *p)
{
	struct ps_publisher http = {
		.loop = p->loop,
		.client = p->client,
		.auth = &p->common.auth,
		.log = p->common.log,
		.broadcasters = p->broadcasters.list,
		.broadcaster_count = p->broadcasters.count,
		.passes = p->retries,
		.retry_ambiguous = !p->unambiguous,
		.ask_report = p->ask_report,
		.identifier = ps_bytes(p->identifier, p->identifier_size),
	};

	p->outbox.topic = ps_bytes_text(p->topic);
	p->outbox.sent = published;
	p->outbox.ended = ended;
	p->outbox.owner = p;
	p->ws.options.connect_ns = p->common.connect_ns;
	return p->ws.wanted ? ps_outbox_open_ws(&p->outbox, &http, &p->common.budget,
						&p->ws.options, p->in_flight)
			    : ps_outbox_open_http(&p->outbox, &http, &p->common.budget);
}

static int open_parts(struct program *p)
{
	struct ps_client_options client = {16, p->common.connect_ns, p->common.read_ns,
					   p->common.total_ns};
	int r = ps_loop_new(&p->loop);

	if (!r)
		r = ps_client_open(&p->client, p->loop, &client);
	if (!r && !p->quiet)
		r = ps_log_open_stdout(&p->out);
	if (!r)
		r = open_message(p);
	return r ? r : open_outbox(p);
}

static int run(struct program *p)
{
	int r = open_parts(p);

	if (r)
		return r;
	ps_loop_on_signal(p->loop, stop, p);
	p->first_ns = ps_system_steady_ns();
	p->next = (struct ps_timer){.expired = publish_next, .owner = p};
	if (p->lines_wanted)
		ps_options_ready(&p->common, "pid=%d", (int)getpid());
	else if (p->count)
		ps_loop_arm(p->loop, &p->next, 0);
	else
		return 0;
	return ps_loop_run(p->loop);
}

static void close_parts(struct program *p)
{
	if (p->loop)
		ps_outbox_close(&p->outbox);
	ps_lines_close(&p->lines);
	ps_client_close(&p->client);
	ps_loop_free(&p->loop);
	ps_spool_clear(&p->message);
	ps_log_close(&p->out);
	ps_session_argp_clear(&p->ws);
	ps_options_clear_broadcasters(&p->broadcasters);
	ps_options_close(&p->common);
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&ps_session_argp_child, 0, NULL, 0}, {&ps_options_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {options, parse, "TOPIC [MESSAGE|-]", doc, children,
					 NULL,	  NULL};
	struct program p = {.count = 1, .retries = 2, .in_flight = 1, .message = {.fd = -1}};
	int r;

	ps_options_init(&p.common);
	ps_session_argp_init(&p.ws);
	p.common.read_ns = 0;
	ps_options_parse(&argp, argc, argv, &p);
	if (!p.common.read_ns) /* the broadcaster answers when all are served */
		p.common.read_ns = p.common.total_ns;
	r = ps_options_open(&p.common);
	if (!r)
		r = run(&p);
	close_parts(&p);
	return r != 0;
}
