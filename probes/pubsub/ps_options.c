/*
 * Common options by argp, and the things every program opens first: message log, replay table,
 * a raised limit of open files. Fed by the three mains.
 */
#include "probes/pubsub/ps_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "probes/pubsub/ps_config.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/log.h"
#include "user/base/text.h"

enum option_key {
	CONFIG = 0x1000,
	SECRETS,
	TO_BROADCASTER,
	TO_SUBSCRIBER,
	LIFETIME,
	REPLAY,
	REPLAY_MAX,
	BUSY,
	LOG,
	READY_FD,
	MESSAGE_MAX,
	MEMORY_EACH,
	MEMORY_MAX,
	DISK_MAX,
	DIRECTORY,
	CONNECT,
	READ,
	TOTAL,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Authorization:", 10},
	{"secrets", SECRETS, "FILE", 0, "JSON file with the secrets of both directions", 10},
	{"auth-to-broadcaster", TO_BROADCASTER, "AUTH", 0,
	 "none, token:TOKEN or hmac:SECRET, for what goes to broadcasters", 10},
	{"auth-to-subscriber", TO_SUBSCRIBER, "AUTH", 0, "the same, for what goes to subscribers",
	 10},
	{"auth-lifetime", LIFETIME, "TIME", 0, "how far clocks may differ under hmac (120s)", 10},
	{"replay-db", REPLAY, "FILE", 0,
	 "remember used authorizations in this SQLite file, so that a restart does not forget them",
	 10},
	{"max-replay", REPLAY_MAX, "N", 0, "authorizations remembered at most (1000000)", 10},
	{NULL, 0, NULL, 0, "Messages:", 20},
	{"max-message", MESSAGE_MAX, "SIZE", 0, "largest message (1G)", 20},
	{"spool-size", MEMORY_EACH, "SIZE", 0,
	 "a message up to this stays in memory, a larger one goes to a file (10M)", 20},
	{"max-memory", MEMORY_MAX, "SIZE", 0, "all messages in memory together (256M)", 20},
	{"max-spool", DISK_MAX, "SIZE", 0, "all message files together (16G)", 20},
	{"spool-dir", DIRECTORY, "DIR", 0, "where message files are made ($TMPDIR or /tmp)", 20},
	{NULL, 0, NULL, 0, "Requests to others:", 30},
	{"connect-timeout", CONNECT, "TIME", 0, "to connect (5s)", 30},
	{"read-timeout", READ, "TIME", 0,
	 "without a byte in either direction (5s; psp-notify: as --timeout)", 30},
	{"timeout", TOTAL, "TIME", 0, "in all (30s)", 30},
	{NULL, 0, NULL, 0, "Running:", 40},
	{"config", CONFIG, "FILE", 0,
	 "JSON object of long options, such as {\"log\": \"x.log\"}; others on the command line win",
	 40},
	{"busy", BUSY, "TIME", 0, "wait at most so long for a locked database (50ms)", 40},
	{"log", LOG, "FILE", 0, "append one line per message to FILE (see README)", 40},
	{"verbose", 'v', NULL, 0, "the same lines on stderr; twice: debugging, too", 40},
	{"ready-fd", READY_FD, "FD", 0, "write the ready line to this descriptor, too", 40},
	{0},
};

void ps_options_init(struct ps_options *o)
{
	const char *tmp = getenv("TMPDIR");

	*o = (struct ps_options){.ready_fd = -1,
				 .replay_max = 1000000,
				 .busy_ns = 50000000,
				 .connect_ns = 5000000000,
				 .read_ns = 5000000000,
				 .total_ns = 30000000000};
	o->auth.lifetime_s = 120;
	o->budget = (struct ps_budget){.message_max = 1ull << 30,
				       .memory_each = 10 << 20,
				       .memory_max = 256 << 20,
				       .disk_max = 16ull << 30,
				       .directory = tmp && *tmp ? tmp : "/tmp"};
}

/* ---- values ---------------------------------------------------------------------------------- */

uint64_t ps_options_number(const char *text, const char *option, struct argp_state *state)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (end == text || *end || errno || *text == '-')
		argp_error(state, "--%s %s: expected a number", option, text);
	return n;
}

unsigned ps_options_count(const char *text, const char *option, struct argp_state *state)
{
	uint64_t n = ps_options_number(text, option, state);

	if (!n || n > 1000000)
		argp_error(state, "--%s %s: expected a number from 1 to 1000000", option, text);
	return (unsigned)n;
}

uint64_t ps_options_size(const char *text, const char *option, struct argp_state *state)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long n;
	const char *unit;
	unsigned shift;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (end == text || errno || *text == '-' || (*end && (!unit || end[1])) || n > 1ull << 40 ||
	    n << shift >> shift != n)
		argp_error(state, "--%s %s: expected a size such as 4096, 64K or 1G", option, text);
	return n << shift;
}

int64_t ps_options_time(const char *text, const char *option, struct argp_state *state)
{
	int64_t ns = 0;

	if (osp_text_parse_duration(text, &ns))
		argp_error(state, "--%s %s: expected a time such as 500ms, 5s or 2m", option, text);
	return ns;
}

static void add_broadcaster(struct ps_broadcasters *b, const char *text, size_t size,
			    struct argp_state *state)
{
	char *url;

	while (size && text[size - 1] == '/')
		size--;
	if (!size || ps_url_check(ps_bytes(text, size)) || memchr(text, '#', size) ||
	    memchr(text, '?', size))
		argp_error(state, "--broadcaster %.*s: expected http://HOST[:PORT][/PATH]",
			   (int)size, text);
	if (b->count == PS_BROADCASTERS_MAX)
		argp_error(state, "--broadcaster: at most %d", PS_BROADCASTERS_MAX);
	url = strndup(text, size);
	if (!url)
		argp_failure(state, 1, ENOMEM, "--broadcaster");
	b->list[b->count++] = (struct ps_broadcaster_url){url, 0};
}

void ps_options_broadcasters(struct ps_broadcasters *b, const char *text, struct argp_state *state)
{
	for (size_t n; *text; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		add_broadcaster(b, text, n, state);
	}
}

void ps_options_clear_broadcasters(struct ps_broadcasters *b)
{
	for (size_t i = 0; i < b->count; i++)
		free(b->list[i].url);
	b->count = 0;
}

static void set_secret(struct ps_secret *s, const char *text, const char *option,
		       struct argp_state *state)
{
	if (ps_auth_parse_secret(s, text))
		argp_error(
			state,
			"--%s: expected none, token:TOKEN or hmac:SECRET (86 characters of base64url)",
			option);
}

/* ---- parsing --------------------------------------------------------------------------------- */

static bool parse_running(int key, char *arg, struct ps_options *o, struct argp_state *state)
{
	switch (key) {
	case CONFIG:
		return true; /* is expanded before */
	case LOG:
		o->log_path = arg;
		return true;
	case 'v':
		o->verbose++;
		return true;
	case READY_FD:
		o->ready_fd = (int)ps_options_number(arg, "ready-fd", state);
		return true;
	case BUSY:
		o->busy_ns = ps_options_time(arg, "busy", state);
		return true;
	case CONNECT:
		o->connect_ns = ps_options_time(arg, "connect-timeout", state);
		return true;
	case READ:
		o->read_ns = ps_options_time(arg, "read-timeout", state);
		return true;
	case TOTAL:
		o->total_ns = ps_options_time(arg, "timeout", state);
		return true;
	default:
		return false;
	}
}

static bool parse_messages(int key, char *arg, struct ps_budget *b, struct argp_state *state)
{
	switch (key) {
	case MESSAGE_MAX:
		b->message_max = ps_options_size(arg, "max-message", state);
		return true;
	case MEMORY_EACH:
		b->memory_each = ps_options_size(arg, "spool-size", state);
		return true;
	case MEMORY_MAX:
		b->memory_max = ps_options_size(arg, "max-memory", state);
		return true;
	case DISK_MAX:
		b->disk_max = ps_options_size(arg, "max-spool", state);
		return true;
	case DIRECTORY:
		b->directory = arg;
		return true;
	default:
		return false;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct ps_options *o = state->input;

	switch (key) {
	case SECRETS:
		if (ps_config_read_secrets(&o->auth, arg))
			exit(2);
		return 0;
	case TO_BROADCASTER:
		set_secret(&o->auth.to_broadcaster, arg, "auth-to-broadcaster", state);
		return 0;
	case TO_SUBSCRIBER:
		set_secret(&o->auth.to_subscriber, arg, "auth-to-subscriber", state);
		return 0;
	case LIFETIME:
		o->auth.lifetime_s = ps_options_time(arg, "auth-lifetime", state) / 1000000000;
		return 0;
	case REPLAY:
		o->replay_path = arg;
		return 0;
	case REPLAY_MAX:
		o->replay_max = ps_options_number(arg, "max-replay", state);
		return 0;
	default:
		return parse_messages(key, arg, &o->budget, state) ||
				       parse_running(key, arg, o, state)
			       ? 0
			       : ARGP_ERR_UNKNOWN;
	}
}

const struct argp ps_options_argp = {.options = options, .parser = parse};

void ps_options_parse(const struct argp *a, int argc, char **argv, void *input)
{
	argp_err_exit_status = 2;
	if (ps_config_expand(&argc, &argv))
		exit(2);
	argp_parse(a, argc, argv, 0, NULL, input);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void raise_file_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur == l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static bool needs_replay(const struct ps_options *o)
{
	return o->auth.to_broadcaster.type == PS_AUTH_HMAC ||
	       o->auth.to_subscriber.type == PS_AUTH_HMAC;
}

int ps_options_open(struct ps_options *o)
{
	struct ps_replay_options replay = {o->replay_path, (int)(o->busy_ns / 1000000),
					   o->replay_max};
	int r = 0;

	raise_file_limit();
	if (o->verbose > 1)
		osp_log_level_set(OSP_LOG_DEBUG);
	if (o->log_path || o->verbose)
		r = ps_log_open(&o->log, o->log_path);
	if (!r && needs_replay(o))
		r = ps_replay_open(&o->replay, &replay);
	o->auth.replay = o->replay;
	return r;
}

void ps_options_close(struct ps_options *o)
{
	ps_replay_close(&o->replay);
	ps_log_close(&o->log);
	ps_auth_clear_secret(&o->auth.to_broadcaster);
	ps_auth_clear_secret(&o->auth.to_subscriber);
}

void ps_options_ready(struct ps_options *o, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	osp_info("ready: %s", text);
	if (o->ready_fd >= 0 && dprintf(o->ready_fd, "ready: %s\n", text) < 0)
		osp_err(-errno, "write to --ready-fd %d", o->ready_fd);
}
