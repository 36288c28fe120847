/*
 * outspan check: whether the operations of a session did what the catalogue says. Reads through the
 * store contract (user/check.c), prints through verdict.c.
 */
#include "user/command.h"

#include <errno.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/check.h"
#include "user/json.h"
#include "user/output.h"
#include "user/reader.h"
#include "user/verdict.h"

enum { FINDINGS_MAX = 10000, PASSINGS_MAX = 1 << 24 };

struct options {
	struct osp_reader_options reader;
	const char *operation, *rules;
};

static const struct argp_option option_table[] = {
	{"operation", 'O', "NAME", 0, "check only the operations of this name", 0},
	{"rules", 'r', "FILE", 0,
	 "check the rules of this file, too: what has to follow what, and what never may", 0},
	OSP_READER_VERBOSE("list what is explained, too"),
	OSP_READER_JSON("one JSON object with everything; *_ns are wall-clock times"),
	OSP_READER_UTC,
	{0},
};

static const char help[] =
	"Check whether the programs did what the catalogue says: hold every operation of a session "
	"against its automaton, and every link against the times of its ends. Ends with 0 if there "
	"is no finding, with 1 if there is one.\v"
	"A step is missing, unexpected, out of order, a duplicate or late, or an operation never "
	"ended. What may have another reason than the program is counted as explained: unknown (steps "
	"were lost there), not observed (the point was not attached), not provided (the program's "
	"implementation lacks it), process exited, attach began in the middle, recording stopped, "
	"clock uncertainty. -v lists these, too, with ? in place of !. The README of "
	"probes/catalogue tells how rules are written.\n\n"
	"Examples:\n"
	"  outspan check session.db\n"
	"  outspan check -v --utc session.db | less\n"
	"  outspan check --rules mine.yaml --json session.db | jq .findings";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'O':
		o->operation = arg;
		return 0;
	case 'r':
		o->rules = arg;
		return 0;
	default:
		return osp_reader_take(key, arg, state, &o->reader);
	}
}

static int read_watch(struct osp_watch **w, const struct osp_session *s, const char *file)
{
	int r = osp_watch_new(w, s);

	if (r)
		return osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(s->store)), r;
	if (!(*w)->catalogue || !(*w)->catalogue->operation_count)
		return osp_err(0,
			       "%s: it has no catalogue that can be read - record it again with this outspan",
			       file),
		       -ENODATA;
	return 0;
}

static int read_rules(struct osp_expectations **rules, const struct osp_watch *w, const char *path)
{
	struct osp_catalogue_error error = {""};
	int r = path ? osp_expectations_read(rules, w->catalogue, path, &error) : 0;

	if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : error.text);
	return r;
}

static int run(struct osp_check **c, const struct osp_books *books, const struct osp_watch *w,
	       const struct osp_expectations *rules, const struct options *o)
{
	const struct osp_check_limits limits = {FINDINGS_MAX, PASSINGS_MAX};
	int r = osp_check_new(c, books, w, o->operation, &limits);

	if (r == -ENOENT)
		return osp_err(0,
			       "--operation %s: the session's catalogue has none of that name - outspan probes lists them",
			       o->operation),
		       -EINVAL;
	r = r ? r : osp_check_run(*c, rules);
	if (r == -E2BIG)
		osp_err(0,
			"--rules %s: they speak of more than %d steps of this session - make them speak of fewer",
			o->rules ? o->rules : "", PASSINGS_MAX);
	else if (r)
		osp_err(0, "%s",
			r == -ENOMEM ? "no memory" : osp_store_error(books->session->store));
	return r;
}

static int print(const struct osp_check *c, const struct options *o)
{
	struct osp_verdict v = {.check = c, .utc = o->reader.utc, .explained = o->reader.verbose};
	struct osp_output out;
	int closed, r = osp_output_open(&out, NULL);

	if (r)
		return r;
	v.out = out.file;
	r = o->reader.json ? osp_json_print(out.file, osp_verdict_json(&v)) : osp_verdict_write(&v);
	if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(c->session->store));
	closed = osp_output_close(&out);
	return r ? r : closed;
}

static const struct argp argp = {option_table, parse, "FILE", help, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	_cleanup_(osp_session_close) struct osp_session *s = NULL;
	_cleanup_(osp_books_free) struct osp_books *books = NULL;
	_cleanup_(osp_watch_free) struct osp_watch *watch = NULL;
	_cleanup_(osp_expectations_free) struct osp_expectations *rules = NULL;
	_cleanup_(osp_check_free) struct osp_check *check = NULL;
	struct options o = {0};
	int r;

	osp_command_parse(&osp_cmd_check, 0, argc, argv, &o);
	r = osp_reader_open(&s, &o.reader);
	r = r ? r : osp_reader_read_books(&books, s, 0);
	r = r ? r : read_watch(&watch, s, o.reader.file);
	r = r ? r : read_rules(&rules, watch, o.rules);
	r = r ? r : run(&check, books, watch, rules, &o);
	r = r ? r : print(check, &o);
	if (!r && check->genuine)
		return OSP_EXIT_FAILED;
	return osp_reader_exit(r);
}

const struct osp_command osp_cmd_check = {
	.name = "check",
	.brief = "check whether the programs did what the catalogue says",
	.argp = &argp,
	.run = command,
};
