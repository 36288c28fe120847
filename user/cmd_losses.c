/*
 * outspan losses: what a session misses, and what that means. Reads through the store contract
 * (user/books.c), prints through ledger.c or json.c.
 */
#include "user/command.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/books.h"
#include "user/json.h"
#include "user/ledger.h"
#include "user/output.h"
#include "user/reader.h"

enum { KEY_CHECK = 256 };

struct options {
	struct osp_reader_options reader;
	uint32_t pid;
	bool check;
};

static const struct argp_option option_table[] = {
	{"process", 'p', "PID", 0, "only the losses of this process", 0},
	OSP_READER_JSON("one JSON object with everything; *_ns are wall-clock times"),
	OSP_READER_UTC,
	{"check", KEY_CHECK, NULL, 0,
	 "for scripts: print one line, end with 1 if a step is missing, if the books do not close or if the recording has no end",
	 0},
	{0},
};

static const char help[] =
	"Show what a session misses: whether hits = stored + left out + lost holds for every point of "
	"every process, losses by reason, place and time, the traces they touched, and what that means "
	"for the numbers. A session without loss gives one line. What record --keep-last has forgotten "
	"again is no loss, either.\v"
	"Left out is what nobody misses: what --sample, --match-topic, --where, --limit, --level or "
	"--aggregate asked for, and what is not needed (copies made by fork, steps that came twice). It "
	"is shown apart, and no reason for --check to end with 1. Without --check the exit status tells "
	"only whether the session could be read.\n\n"
	"Examples:\n"
	"  outspan losses session.db\n"
	"  outspan losses --process 1234 --utc session.db\n"
	"  outspan losses --check session.db && outspan export session.db -o complete.json";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	unsigned long pid;
	char *end;

	switch (key) {
	case 'p':
		errno = 0;
		pid = strtoul(arg, &end, 10);
		if (errno || end == arg || *end || !pid || pid > 1 << 22)
			argp_error(state, "--process %s: expected a process id", arg);
		o->pid = (uint32_t)pid;
		return 0;
	case KEY_CHECK:
		o->check = true;
		return 0;
	default:
		return osp_reader_take(key, arg, state, &o->reader);
	}
}

/* One line needs no walk through all traces. */
static bool needs_count(const struct osp_books *b, const struct options *o)
{
	return !o->check && (o->reader.json || b->lost || b->forgotten || !osp_books_are_whole(b));
}

static int read_books(struct osp_books **b, const struct osp_session *s, const struct options *o)
{
	int r = osp_reader_read_books(b, s, o->pid);

	if (r || !needs_count(*b, o))
		return r;
	r = osp_books_count(*b);
	if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(s->store));
	return r;
}

static int print(const struct osp_books *b, const struct options *o, FILE *f)
{
	struct osp_ledger ledger = {.out = f, .utc = o->reader.utc};

	if (o->reader.json)
		return osp_json_print(f, osp_json_books(b));
	if (o->check)
		osp_ledger_write_verdict(&ledger, b);
	else
		osp_ledger_write(&ledger, b);
	return 0;
}

static const struct argp argp = {option_table, parse, "FILE", help, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	_cleanup_(osp_session_close) struct osp_session *s = NULL;
	_cleanup_(osp_books_free) struct osp_books *b = NULL;
	struct options o = {0};
	struct osp_output out;
	int r, closed;

	osp_command_parse(&osp_cmd_losses, 0, argc, argv, &o);
	r = osp_reader_open(&s, &o.reader);
	r = r ? r : read_books(&b, s, &o);
	r = r ? r : osp_output_open(&out, NULL);
	if (r)
		return osp_reader_exit(r);
	r = print(b, &o, out.file);
	closed = osp_output_close(&out);
	r = r ? r : closed;
	if (!r && o.check && !osp_books_are_whole(b))
		return OSP_EXIT_FAILED;
	return osp_reader_exit(r);
}

const struct osp_command osp_cmd_losses = {
	.name = "losses",
	.brief = "show what a session misses, and what that means for its numbers",
	.argp = &argp,
	.run = command,
};
