/*
 * outspan ctl: finds a running recorder by its socket (user/control.h), sends it one order and
 * prints what it answers. What the recorder can do is in user/orders.c.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/command.h"
#include "user/control.h"
#include "user/json.h"
#include "user/output.h"

enum { FOUND_MAX = 64, ANSWER_SECONDS = 60, STOP_SECONDS = 60 };

static const struct order {
	const char *name;
	size_t least, most; /* words behind it */
	bool files;	    /* they name files */
} orders[] = {
	{"status", 0, 0, false}, {"save", 0, 1, true},	{"level", 1, OSP_CONTROL_WORDS - 1, false},
	{"point", 2, 2, false},	 {"form", 1, 1, false}, {"stop", 0, 0, false}};
enum { ORDERS = sizeof(orders) / sizeof(orders[0]) };

struct options {
	const char *file; /* session of the recorder that is meant, or NULL */
	uint32_t pid;	  /* of the recorder, or 0 */
	bool json;
	const struct order *order;
	char *const *words; /* behind the order */
	size_t count;
};

static const struct argp_option option_table[] = {
	{"pid", 'p', "PID", 0, "the recorder with this process id", 0},
	{"json", 'j', NULL, 0, "print the recorder's answer as one line of JSON", 0},
	{0},
};

static const char help[] =
	"Ask a running recorder how it does, or tell it what to do.\v"
	"Orders:\n"
	"  status      rates, losses, what is left out as asked, level and the recorder's own cost\n"
	"  save [NEW]  save a copy of the session now, as NEW or beside it\n"
	"  level LEVEL [POINT...]\n"
	"              record up to this level from here on: essential, detail or debug; of all\n"
	"              points, or of these alone (* stands for anything: 'handle_notify__*')\n"
	"  point POINT on|off\n"
	"              record this point, or do not, whatever its level is; what ends an operation\n"
	"              stays on as long as any other point of it is\n"
	"  form FORM   light, default or immediate, as the options of outspan record\n"
	"  stop        end the recording in good order, and wait until its session is closed\n\n"
	"FILE, the session it writes, or -p says which recorder is meant when there are several. "
	"Only root and the user who started it may order a recorder.\n\n"
	"Examples:\n"
	"  outspan ctl run.db status\n"
	"  sudo outspan ctl run.db level essential\n"
	"  sudo outspan ctl -p 1234 stop";

static const char *order_at(size_t i)
{
	return i < ORDERS ? orders[i].name : NULL;
}

static const struct order *find_order(const char *name)
{
	for (size_t i = 0; i < ORDERS; i++)
		if (!strcmp(orders[i].name, name))
			return &orders[i];
	return NULL;
}

/* [FILE] ORDER [WORD...]: the first word is a file unless it is an order. */
static void take_words(struct options *o, struct argp_state *state, char **words, size_t count)
{
	if (count && !find_order(words[0])) {
		o->file = *words++;
		count--;
	}
	o->order = count ? find_order(words[0]) : NULL;
	if (!o->order && o->file)
		argp_error(state,
			   "\"%s\" is no order - give status, save, level, point, form or stop",
			   count ? words[0] : o->file);
	if (!o->order)
		argp_error(state, "which order? status, save, level, point, form or stop");
	o->words = words + 1;
	o->count = count - 1;
	if (o->count < o->order->least)
		argp_error(state, "%s: %s", o->order->name,
			   o->order->least == 2 ? "expected the name of a point, and on or off"
						: "expected which");
	if (o->count > o->order->most)
		argp_error(state, "%s: \"%s\" is too much", o->order->name,
			   o->words[o->order->most]);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;
	unsigned long pid;

	switch (key) {
	case 'p':
		pid = strtoul(arg, &end, 10);
		if (end == arg || *end || !pid || pid > 1 << 22)
			argp_error(state, "--pid %s: expected a process id", arg);
		o->pid = (uint32_t)pid;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_ARGS:
		take_words(o, state, state->argv + state->next,
			   (size_t)(state->argc - state->next));
		return 0;
	case ARGP_KEY_NO_ARGS:
		take_words(o, state, NULL, 0);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- finding ---- */

static bool is_meant(const struct options *o, const struct stat *file,
		     const struct osp_control_name *n)
{
	if (o->pid && n->pid != o->pid)
		return false;
	return !o->file || (n->device == file->st_dev && n->inode == file->st_ino);
}

/* The names that are listened at, of all recorders that are meant; at most FOUND_MAX. */
static int find_recorders(const struct options *o, struct osp_control_name found[FOUND_MAX],
			  size_t *count)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/net/unix", "re");
	struct stat file = {0};
	char line[512], flags[16], name[256];

	if (!f)
		return osp_err(-errno, "read /proc/net/unix");
	if (o->file && stat(o->file, &file))
		return osp_err(-errno, "%s", o->file);
	while (*count < FOUND_MAX && fgets(line, sizeof(line), f))
		/* 10000: it is listened there; those accepted carry the same name */
		if (sscanf(line, "%*s %*s %*s %15s %*s %*s %*s %255s", flags, name) == 2 &&
		    !strcmp(flags, "00010000") && !osp_control_parse(&found[*count], name) &&
		    is_meant(o, &file, &found[*count]))
			++*count;
	return 0;
}

static int choose(const struct options *o, struct osp_control_name *out)
{
	struct osp_control_name found[FOUND_MAX];
	size_t count = 0;
	int r = find_recorders(o, found, &count);

	if (r)
		return r;
	if (!count) {
		if (o->pid)
			osp_err(0, "process %u is no recorder%s%s", o->pid,
				o->file ? " that writes " : "", o->file ? o->file : "");
		else
			osp_err(0, "no recorder is %s%s", o->file ? "writing " : "running",
				o->file ? o->file : "");
		return -ESRCH;
	}
	if (count > 1) {
		osp_err(0, "%zu recorders are running - say which: FILE, or -p and one of", count);
		for (size_t i = 0; i < count; i++)
			osp_err(0, "  %u", found[i].pid);
		return -EEXIST;
	}
	*out = found[0];
	return 0;
}

/* ---- talking ---- */

static int connect_to(const struct osp_control_name *name, int *out)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	struct sockaddr_un address;
	socklen_t size = osp_control_address(name, &address);
	uint32_t uid = UINT32_MAX;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size))
		return osp_err(-errno, "talk to the recorder %u", name->pid);
	if (!osp_control_trusts(fd, &uid))
		return osp_err(-EPERM,
			       "the recorder %u belongs to user %u - ask as that user or as root",
			       name->pid, uid);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	*out = TAKE_FD(fd);
	return 0;
}

/* The order and its words as one line of `size` bytes; it has no NUL. */
static int make_request(const struct options *o, char **out, size_t *size)
{
	json_t *words = json_pack("[s]", o->order->name);
	_cleanup_free_ char *here = getcwd(NULL, 0);
	char *text;

	for (size_t i = 0; i < o->count; i++) {
		/* The recorder may be at home elsewhere. */
		const char *w = o->words[i];
		json_t *word = *w == '/' || !o->order->files
				       ? json_string(w)
				       : json_sprintf("%s/%s", here ? here : "", w);

		if (json_array_append_new(words, word)) {
			json_decref(words);
			return osp_err(-EILSEQ, "%s", w);
		}
	}
	text = json_dumps(words, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(words);
	if (!text)
		return -ENOMEM;
	*size = strlen(text);
	text[(*size)++] = '\n'; /* over its NUL */
	*out = text;
	return 0;
}

static int read_answer(int fd, json_t **out)
{
	char line[OSP_CONTROL_LINE];
	size_t size = 0;
	ssize_t n = 1;

	while (n > 0 && size < sizeof(line) && !memchr(line, '\n', size)) {
		n = recv(fd, line + size, sizeof(line) - size, 0);
		size += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		return osp_err(errno == EAGAIN ? -ETIMEDOUT : -errno, "wait for the answer");
	*out = json_loadb(line, size, 0, NULL);
	if (*out && json_is_object(*out))
		return 0;
	json_decref(*out);
	return osp_err(-EPROTO, "the recorder ended before it answered");
}

static int ask(int fd, const struct options *o, json_t **out)
{
	_cleanup_free_ char *request = NULL;
	size_t size = 0;
	int r = make_request(o, &request, &size);

	if (r)
		return r;
	/* One that refuses us closes at once: its answer is there, though it did not read ours. */
	if (send(fd, request, size, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return osp_err(-errno, "ask the recorder");
	return read_answer(fd, out);
}

/* ---- telling ---- */

static void tell_value(const char *name, const json_t *v)
{
	size_t n = strlen(name), unit = n > 3 && !strcmp(name + n - 3, "_ns") ? 3 : 0;
	char escaped[1024];

	osp_text_escape(escaped, sizeof(escaped), name, n - unit);
	printf("%-16s ", escaped);
	if (json_is_string(v)) {
		osp_text_escape(escaped, sizeof(escaped), json_string_value(v),
				json_string_length(v));
		printf("%s\n", escaped);
	} else if (json_is_integer(v) && unit) {
		printf("%s\n", osp_text_duration(escaped, json_integer_value(v)));
	} else if (json_is_integer(v)) {
		printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
	} else if (json_is_real(v)) {
		printf("%.2f\n", json_real_value(v));
	} else {
		printf("%s\n", json_is_true(v) ? "yes" : "no");
	}
}

/* One line per value; what an object holds stands indented by its name. */
static void tell_object(const char *prefix, json_t *object)
{
	const char *key;
	json_t *v;

	json_object_foreach(object, key, v)
	{
		char name[128];

		snprintf(name, sizeof(name), "%s%s", prefix, key);
		if (!json_is_object(v))
			tell_value(name, v);
		else
			tell_object("  ", v);
	}
}

static int tell(const struct options *o, json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	bool permitted = !json_is_false(json_object_get(answer, "permitted"));

	if (o->json) {
		int r = osp_json_print(stdout, json_incref(answer));

		if (r)
			return r;
	}
	if (error)
		return osp_err(0, "%s", error), permitted ? -ECANCELED : -EPERM;
	if (!o->json)
		tell_object("", answer);
	return osp_output_flush();
}

/* A session is whole when its recorder has ended. */
static int wait_for_end(int pidfd, uint32_t pid)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	if (pidfd < 0 || poll(&p, 1, STOP_SECONDS * 1000) > 0)
		return 0;
	return osp_err(-ETIMEDOUT, "the recorder %u is still writing after %d s", pid,
		       STOP_SECONDS);
}

static int run(const struct options *o)
{
	_cleanup_close_ int fd = -1, pidfd = -1;
	struct osp_control_name name;
	json_t *answer = NULL;
	int r = choose(o, &name);

	r = r ? r : connect_to(&name, &fd);
	if (r)
		return r;
	pidfd = (int)syscall(SYS_pidfd_open, name.pid, 0);
	r = ask(fd, o, &answer);
	if (r)
		return r;
	if (!strcmp(o->order->name, "stop") && !json_object_get(answer, "error"))
		r = wait_for_end(pidfd, name.pid);
	r = r ? r : tell(o, answer);
	json_decref(answer);
	return r;
}

static const struct argp argp = {option_table, parse, "[FILE] ORDER [WORD...]", help, NULL,
				 NULL,	       NULL};

static int command(int argc, char **argv)
{
	struct options o = {0};

	osp_command_parse(&osp_cmd_ctl, 0, argc, argv, &o);
	return osp_exit_status(run(&o));
}

const struct osp_command osp_cmd_ctl = {
	.name = "ctl",
	.brief = "ask a running recorder how it does, or tell it what to do",
	.argp = &argp,
	.run = command,
	.word = order_at,
};
