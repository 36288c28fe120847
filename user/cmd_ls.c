/*
 * outspan ls: the traces of a session, one line each, the newest last. Reads through the store
 * contract, prints through render.c or json.c.
 */
#include "user/command.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/columns.h"
#include "user/json.h"
#include "user/latency.h"
#include "user/output.h"
#include "user/reader.h"
#include "user/render.h"

struct options {
	struct osp_reader_options reader;
	int64_t limit;
};

static const struct argp_option option_table[] = {
	OSP_READER_JSON(
		"one JSON object per line, of --aggregate too; start_ns is wall-clock time"),
	{"limit", 'n', "N", 0, "only the newest N traces", 0},
	OSP_READER_UTC,
	OSP_READER_COLOUR,
	{0},
};

static const char help[] =
	"List the traces of a session, newest last.\v"
	"The first column begins the trace's id; `outspan show FILE ID` shows that trace. "
	"Letters under MARKS are explained below the list; behind the name of a trace that failed stands "
	"why. Names are cut where the terminal is too narrow, in a pipe or a file they are whole.\n\n"
	"Examples:\n"
	"  outspan ls session.db\n"
	"  outspan ls --limit 20 --utc session.db\n"
	"  outspan ls --json session.db | grep '\"status\":\"error\"'";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case 'n':
		errno = 0;
		o->limit = strtoll(arg, &end, 10);
		if (errno || end == arg || *end || o->limit < 0)
			argp_error(state, "--limit %s: expected a number from 0", arg);
		return 0;
	default:
		return osp_reader_take(key, arg, state, &o->reader);
	}
}

static int list(struct osp_session *s, const struct options *o, const struct osp_render *render)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_trace_query q = {.limit = o->limit, .newest = true};
	struct osp_trace t;
	uint32_t marks = 0;
	int r = osp_store_traces(s->store, &q, &c);

	if (!r && !o->reader.json)
		osp_render_heading(render);
	while (!r && !(r = osp_cursor_next_trace(c, &t)) && !ferror(render->out)) {
		if (osp_books_doubt(render->books, &t))
			t.marks |= OSP_MARK_MAY_BE_CUT;
		marks |= t.marks;
		if (o->reader.json)
			r = osp_json_print(render->out, osp_json_trace(s, &t));
		else
			osp_render_trace(render, &t);
	}
	if (r < 0)
		return osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(s->store)), r;
	if (!o->reader.json)
		osp_render_legend(render, marks);
	return 0;
}

static const struct argp argp = {option_table, parse, "FILE", help, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	_cleanup_(osp_session_close) struct osp_session *s = NULL;
	_cleanup_(osp_books_free) struct osp_books *books = NULL;
	struct options o = {.limit = -1};
	struct osp_render render;
	struct osp_output out;
	bool aggregated;
	int r, closed;

	osp_command_parse(&osp_cmd_ls, 0, argc, argv, &o);
	render = (struct osp_render){.utc = o.reader.utc};
	render.colour = osp_render_colour(o.reader.colour, stdout);
	r = osp_reader_open(&s, &o.reader);
	r = r ? r : osp_reader_read_books(&books, s, 0);
	r = r ? r : osp_output_open(&out, NULL);
	if (r)
		return osp_reader_exit(r);
	render.out = out.file;
	render.columns = osp_columns_find(out.file);
	render.session = s;
	render.books = books;
	r = osp_latency_find(s, &aggregated);
	r = r		 ? r
	    : aggregated ? osp_latency_list(s, out.file, o.reader.json)
			 : list(s, &o, &render);
	closed = osp_output_close(&out);
	return osp_reader_exit(r ? r : closed);
}

const struct osp_command osp_cmd_ls = {
	.name = "ls",
	.brief = "list the traces of a session file",
	.argp = &argp,
	.run = command,
};
