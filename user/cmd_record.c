/*
 * `outspan record`: reads the options, loads the catalogues, runs the recorder.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/buffer.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/builtin.h"
#include "user/command.h"
#include "user/recorder.h"
#include "user/ring.h"

enum {
	MAX_TARGETS = 256,
	MAX_CATALOGUES = 32,
	MAX_CHOICES = 32,
	RING_MIN = 64 << 10,
	RING_MAX = 1 << 30
};

enum option_key {
	KEY_COMM = 256,
	KEY_ALL,
	KEY_OVERWRITE,
	KEY_FOR,
	KEY_LEVEL,
	KEY_LIGHT,
	KEY_IMMEDIATE,
	KEY_NO_CONTEXT,
	KEY_CATALOGUE,
	KEY_RAW,
	KEY_RING,
	KEY_OVERLOAD,
	KEY_SAMPLE,
	KEY_AGGREGATE,
	KEY_MATCH_TOPIC,
	KEY_WHERE,
	KEY_LIMIT,
	KEY_KEEP_LAST,
	KEY_SAVE_ON,
	KEY_SAVE_MOST,
	KEY_OVERHEAD,
};

struct options {
	struct osp_recorder_options record;
	pid_t pids[MAX_TARGETS];
	const char *paths[MAX_TARGETS], *comms[MAX_TARGETS], *catalogues[MAX_CATALOGUES];
	size_t catalogue_count;
	const char *topics[MAX_CHOICES], *conditions[MAX_CHOICES];
	size_t topic_count, condition_count;
	struct osp_patterns *patterns;
	struct osp_where_table where;
	struct osp_buffer topic_text, where_text;
	bool form_given;
};

static const struct argp_option option_table[] = {
	{NULL, 0, NULL, 0, "What to record (several may be given):", 1},
	{"pid", 'p', "PID", 0, "a running process and what it forks", 1},
	{"exe", 'e', "PATH", 0,
	 "every process of this program or library, running or started later", 1},
	{"comm", KEY_COMM, "NAME", 0, "running processes of this name", 1},
	{"all", KEY_ALL, NULL, 0,
	 "every process that has points of a loaded catalogue, started later too", 1},
	{NULL, 0, NULL, 0, "How:", 2},
	{"output", 'o', "FILE", 0, "session file to write (default: outspan-<UTC time>.db)", 2},
	{"overwrite", KEY_OVERWRITE, NULL, 0, "replace an existing session file", 2},
	{"for", KEY_FOR, "DURATION", 0,
	 "stop after this long: 30s, 5m (default: Ctrl-C, or when the targets end)", 2},
	{"level", KEY_LEVEL, "LEVEL", 0, "essential, detail (default) or debug", 2},
	{"light", KEY_LIGHT, NULL, 0,
	 "trap only where operations end: least cost; what hangs is not seen until it ends", 2},
	{"immediate", KEY_IMMEDIATE, NULL, 0,
	 "trap at every point: each step is known at once, at several times the cost", 2},
	{"no-context", KEY_NO_CONTEXT, NULL, 0,
	 "do not ask the programs to send trace context to each other", 2},
	{"catalogue", KEY_CATALOGUE, "FILE", 0, "also trace what this catalogue describes", 2},
	{"ring-size", KEY_RING, "BYTES", 0,
	 "kernel buffer, 64K to 1G, a power of two (default: 16M to 64M, by CPUs and free memory)",
	 2},
	{"overload", KEY_OVERLOAD, "POLICY", 0,
	 "what is lost when steps come too fast: drop-newest (default) or, as far as possible, the "
	 "oldest that wait: keep-last",
	 2},
	{"match-topic", KEY_MATCH_TOPIC, "GLOB", 0,
	 "only operations on topics that match (several: any of them), and those without a topic",
	 2},
	{"where", KEY_WHERE, "POINT.ARG OP NUMBER", 0,
	 "of the operations that pass this point only those where it holds (several: all)", 2},
	{"limit", KEY_LIMIT, "N/s:ARG", 0,
	 "at most N operations of each kind a second for each value of this argument, whole traces where they show theirs: 100/s:topic",
	 2},
	{"sample", KEY_SAMPLE, "1/N", 0, "record one of N traces, the same ones in every process",
	 2},
	{"aggregate", KEY_AGGREGATE, NULL, 0,
	 "only count and time operations and their steps, in the kernel: no traces", 2},
	{"overhead", KEY_OVERHEAD, "PERCENT", 0,
	 "step down to cheaper forms, to the essential level, to samples, while this costs more of "
	 "the processors' time: 2%",
	 2},
	{NULL, 0, NULL, 0, "Flight recorder (SIGUSR1 and outspan ctl save make a copy, too):", 3},
	{"keep-last", KEY_KEEP_LAST, "DURATION", 0,
	 "forget what ended longer ago, so that the session stays small: 60s, 10m", 3},
	{"save-on", KEY_SAVE_ON, "WHAT", 0,
	 "save a copy when a trace fails (error) or takes long (slow=500ms); both: error,slow=1s",
	 3},
	{"save-most", KEY_SAVE_MOST, "N", 0, "at most so many of these copies (default: 10)", 3},
	{"raw", KEY_RAW, "FILE", 0, "also write a raw capture, for outspan replay", 2},
	{"verbose", 'v', NULL, 0, "say more", 4},
	{"quiet", 'q', NULL, 0, "say only what went wrong", 4},
	{0},
};

static const char doc[] =
	"Attach to running processes, record what they do, write a session file.\v"
	"Examples:\n"
	"  sudo outspan record --all --for 30s -o first.db\n"
	"  sudo outspan record -p 1234 -p 1250 -o run.db\n"
	"  sudo outspan record -- ./psp-notify --broadcaster http://127.0.0.1:3003 news hello\n";

/* "64K", "16M", "1G" or bytes; a power of two within the bounds of the kernel's ring. */
static int parse_size(const char *text, size_t *bytes)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (end == text || errno || n > RING_MAX)
		return -EINVAL;
	n <<= *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
	if (*end && strcmp(end, "K") && strcmp(end, "M") && strcmp(end, "G"))
		return -EINVAL;
	if (n < RING_MIN || n > RING_MAX || (n & (n - 1)))
		return -EINVAL;
	*bytes = n;
	return 0;
}

/* "1/N", or N alone. */
static int parse_sample(const char *text, uint32_t *n)
{
	const char *digits = strncmp(text, "1/", 2) ? text : text + 2;
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end || errno || !value || value > 1000000000)
		return -EINVAL;
	*n = (uint32_t)value;
	return 0;
}

static int add_pid(struct options *o, const char *text, struct argp_state *state)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (end == text || *end || errno || pid <= 0 || pid > 1 << 22)
		argp_error(state, "--pid %s: expected a process id", text);
	if (o->record.pid_count >= MAX_TARGETS)
		argp_error(state, "--pid: at most %d", MAX_TARGETS);
	o->pids[o->record.pid_count++] = (pid_t)pid;
	return 0;
}

static int add_text(const char **list, size_t *count, size_t max, const char *text,
		    struct argp_state *state)
{
	if (*count >= max)
		argp_error(state, "%s: at most %zu of these", text, max);
	list[(*count)++] = text;
	return 0;
}

static error_t set_form(struct options *o, enum osp_form form, struct argp_state *state)
{
	if (o->form_given && o->record.wanted.form != form)
		argp_error(state, "expected one of --light and --immediate");
	o->form_given = true;
	o->record.wanted.form = form;
	return 0;
}

/* "error", "slow=DURATION", or both with a comma between them. */
static int parse_save_on(const char *text, struct osp_keep_options *keep)
{
	char word[64];

	for (const char *s = text; *s || s == text;) {
		size_t n = strcspn(s, ",");

		if (!n || n >= sizeof(word))
			return -EINVAL;
		memcpy(word, s, n);
		word[n] = 0;
		if (!strcmp(word, "error"))
			keep->on_error = true;
		else if (strncmp(word, "slow=", 5) ||
			 osp_text_parse_duration(word + 5, &keep->slow_ns) || keep->slow_ns <= 0)
			return -EINVAL;
		if (!s[n])
			return 0;
		s += n + 1;
	}
	return -EINVAL;
}

/* "2%" or "2": above 0, at most 100. */
static int parse_percent(const char *text, double *share)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || (*end && strcmp(end, "%")) || !(n > 0 && n <= 100))
		return -EINVAL;
	*share = n / 100;
	return 0;
}

/* What is kept and saved, and what it may cost. */
static error_t parse_limits(int key, char *arg, struct argp_state *state)
{
	struct osp_keep_options *keep = &((struct options *)state->input)->record.keep;
	char *end;
	unsigned long n;

	switch (key) {
	case KEY_KEEP_LAST:
		if (osp_text_parse_duration(arg, &keep->last_ns) || keep->last_ns < 1000000000)
			argp_error(state, "--keep-last %s: expected a duration of at least 1s",
				   arg);
		return 0;
	case KEY_SAVE_ON:
		if (parse_save_on(arg, keep))
			argp_error(state, "--save-on %s: expected error, slow=DURATION, or both",
				   arg);
		return 0;
	case KEY_OVERHEAD:
		if (parse_percent(arg, &((struct options *)state->input)->record.overhead))
			argp_error(state, "--overhead %s: expected a percentage such as 2%% or 0.5",
				   arg);
		return 0;
	case KEY_SAVE_MOST:
		n = strtoul(arg, &end, 10);
		if (end == arg || *end || !n || n > OSP_KEEP_NAMES)
			argp_error(state, "--save-most %s: expected 1 to %d", arg, OSP_KEEP_NAMES);
		keep->most = (uint32_t)n;
		return 0;
	case KEY_LIMIT:
		if (osp_limit_parse(arg, &((struct options *)state->input)->record.chosen.limit))
			argp_error(state, "--limit %s: expected N/s:ARG, as in 100/s:topic", arg);
		((struct options *)state->input)->record.limit = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The options that say how, not what. */
static error_t parse_how(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'o':
		o->record.file = arg;
		return 0;
	case KEY_OVERWRITE:
		o->record.overwrite = true;
		return 0;
	case KEY_FOR:
		if (osp_text_parse_duration(arg, &o->record.for_ns) || !o->record.for_ns)
			argp_error(state, "--for %s: expected a duration such as 30s, 5m or 500ms",
				   arg);
		return 0;
	case KEY_LEVEL:
		if (osp_level_from_str(arg, &o->record.wanted.level))
			argp_error(state, "--level %s: expected essential, detail or debug", arg);
		return 0;
	case KEY_LIGHT:
		return set_form(o, OSP_FORM_LIGHT, state);
	case KEY_IMMEDIATE:
		return set_form(o, OSP_FORM_IMMEDIATE, state);
	case KEY_NO_CONTEXT:
		o->record.wanted.no_context = true;
		return 0;
	case KEY_CATALOGUE:
		return add_text(o->catalogues, &o->catalogue_count, MAX_CATALOGUES, arg, state);
	case KEY_RING:
		if (parse_size(arg, &o->record.ring_bytes))
			argp_error(state, "--ring-size %s: expected a power of two from 64K to 1G",
				   arg);
		return 0;
	case KEY_OVERLOAD:
		o->record.overload = !strcmp(arg, "keep-last") ? OSP_OVERLOAD_KEEP_LAST
							       : OSP_OVERLOAD_DROP_NEWEST;
		if (strcmp(arg, "keep-last") && strcmp(arg, "drop-newest"))
			argp_error(state, "--overload %s: expected drop-newest or keep-last", arg);
		return 0;
	case KEY_MATCH_TOPIC:
		return add_text(o->topics, &o->topic_count, MAX_CHOICES, arg, state);
	case KEY_WHERE:
		return add_text(o->conditions, &o->condition_count, MAX_CHOICES, arg, state);
	case KEY_AGGREGATE:
		o->record.aggregate = true;
		return 0;
	case KEY_SAMPLE:
		if (parse_sample(arg, &o->record.sample))
			argp_error(state, "--sample %s: expected 1/N, N up to 1000000000", arg);
		return 0;
	case KEY_RAW:
		o->record.raw = arg;
		return 0;
	case 'v':
		osp_log_level_set(OSP_LOG_DEBUG);
		return 0;
	case 'q':
		osp_log_level_set(OSP_LOG_WARN);
		return 0;
	default:
		return parse_limits(key, arg, state);
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	struct osp_recorder_options *r = &o->record;

	switch (key) {
	case 'p':
		return add_pid(o, arg, state);
	case 'e':
		return add_text(o->paths, &r->path_count, MAX_TARGETS, arg, state);
	case KEY_COMM:
		return add_text(o->comms, &r->comm_count, MAX_TARGETS, arg, state);
	case KEY_ALL:
		r->all = true;
		return 0;
	case ARGP_KEY_ARGS:
		r->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (r->aggregate && (o->topic_count || o->condition_count || r->limit))
			argp_error(state, "--aggregate cannot look at topics and arguments");
		if (!r->pid_count && !r->path_count && !r->comm_count && !r->all && !r->command)
			argp_error(
				state,
				"nothing to record: give -p PID, -e PATH, --comm NAME, --all or -- COMMAND");
		return 0;
	default:
		return parse_how(key, arg, state);
	}
}

/* A condition on what is not recorded, or not as a whole, could never be kept. */
static int check_terms(const struct options *o, const struct osp_catalogue *c, const char *text)
{
	for (uint32_t i = 0; i < o->where.count; i++) {
		const struct osp_point *p = c->points[o->where.terms[i].point];

		if (p->foreign)
			return osp_err(
				-ENOTSUP,
				"--where '%s': %s:%s is another program's point - conditions are for points with an operation block",
				text, p->provider, p->probe);
		if (osp_form_use(&o->record.wanted, p) == OSP_USE_NONE)
			return osp_err(
				-EINVAL,
				"--where '%s': %s:%s is not recorded at this level - give --level %s",
				text, p->provider, p->probe, osp_level_to_str(p->level));
	}
	return 0;
}

static void add_word(struct osp_buffer *b, const char *between, const char *text)
{
	osp_buffer_print(b, "%s%s", b->size ? between : "", text);
}

/* Texts to what the pipeline takes. */
static int read_choice(struct options *o, const struct osp_catalogue *c)
{
	char error[512];
	int r = 0;

	for (size_t i = 0; i < o->topic_count; i++)
		add_word(&o->topic_text, " ", o->topics[i]);
	if (o->topic_count)
		r = osp_pattern_new(&o->patterns, o->topics, o->topic_count);
	if (r)
		return osp_err(r, "--match-topic: more than %d bytes of patterns",
			       OSP_PATTERN_POSITIONS);
	for (size_t i = 0; !r && i < o->condition_count; i++) {
		add_word(&o->where_text, " and ", o->conditions[i]);
		r = osp_where_add(&o->where, c, o->conditions[i], error);
		if (r)
			return osp_err(0, "--where '%s': %s", o->conditions[i], error), r;
		r = check_terms(o, c, o->conditions[i]);
	}
	if (!r && o->record.limit && !osp_choice_knows(c, o->record.chosen.limit.arg))
		r = osp_err(-EINVAL,
			    "--limit %s: no point of a loaded catalogue has an argument \"%s\"",
			    o->record.limit, o->record.chosen.limit.arg);
	o->record.chosen.topics = o->patterns;
	o->record.chosen.where = o->condition_count ? &o->where : NULL;
	o->record.match_topic = o->topic_count ? osp_buffer_text(&o->topic_text) : NULL;
	o->record.where = o->condition_count ? osp_buffer_text(&o->where_text) : NULL;
	return r;
}

static const struct argp argp = {
	option_table, parse_option, "[-- COMMAND [ARGUMENT...]]", doc, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	struct osp_buffer line = OSP_BUFFER_INIT(4096);
	struct osp_catalogue *catalogue = NULL;
	struct options o = {.record = {.wanted = {.level = OSP_LEVEL_DETAIL}, .keep = {.most = 10}},
			    .topic_text = OSP_BUFFER_INIT(4096),
			    .where_text = OSP_BUFFER_INIT(4096)};
	bool usage;
	int r;

	o.record.pids = o.pids;
	o.record.paths = o.paths;
	o.record.comms = o.comms;
	for (int i = 0; i < argc; i++)
		osp_buffer_print(&line, "%s%s", i ? " " : "", argv[i]);
	osp_command_parse(&osp_cmd_record, ARGP_IN_ORDER, argc, argv, &o);
	r = osp_builtin_catalogue(&catalogue, o.catalogues, o.catalogue_count);
	if (r)
		return OSP_EXIT_FAILED;
	if (!o.record.ring_bytes)
		o.record.ring_bytes =
			o.record.aggregate ? OSP_RING_NOTICES : osp_ring_choose_here();
	o.record.catalogue = catalogue;
	o.record.command_line = osp_buffer_text(&line);
	r = read_choice(&o, catalogue);
	usage = r == -EINVAL;
	if (!r)
		r = osp_recorder_run(&o.record);
	osp_buffer_clear(&line);
	osp_buffer_clear(&o.topic_text);
	osp_buffer_clear(&o.where_text);
	osp_pattern_free(&o.patterns);
	osp_catalogue_free(&catalogue);
	return usage ? OSP_EXIT_USAGE : osp_exit_status(r);
}

const struct osp_command osp_cmd_record = {
	.name = "record",
	.brief = "attach to running processes and write a session file",
	.argp = &argp,
	.run = command,
};
