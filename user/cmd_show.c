/*
 * outspan show: one trace as a tree over all its processes. Reads through the store contract,
 * prints through render.c or json.c.
 */
#include "user/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/json.h"
#include "user/output.h"
#include "user/reader.h"
#include "user/render.h"

struct options {
	struct osp_reader_options reader;
	const char *trace;
};

static const struct argp_option option_table[] = {
	OSP_READER_VERBOSE("show events with their times and attributes, too"),
	OSP_READER_JSON(
		"one JSON object per span and line; start_ns and end_ns are wall-clock time"),
	OSP_READER_UTC,
	OSP_READER_COLOUR,
	{0},
};

static const char help[] =
	"Show one trace: its spans as a tree, in which processes they ran, when, and how they were "
	"joined. TRACE is the beginning of a trace id, `last', or `#N' for the N-th line of "
	"`outspan ls'.\v"
	"A line below a span that begins with ^ says what its place in the tree rests on, with ? what "
	"could not be decided, with ! what may be wrong or missing: of an operation that never ended the "
	"last step that is known, what became of its process, and which step would have come next. In "
	"JSON, bytes are hexadecimal; such an operation has a \"halt\"; \"time_error_ns\" is how far times "
	"of steps may be off.\n\n"
	"Examples:\n"
	"  outspan show session.db last\n"
	"  outspan show -v session.db 8c1f1e2a4b6e\n"
	"  outspan show --json session.db '#3'";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num > 1)
			argp_error(state, "one trace at a time");
		*(state->arg_num ? &o->trace : &o->reader.file) = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->reader.file || !o->trace)
			argp_error(state, "give the FILE of a session and a TRACE, or `last'");
		return 0;
	default:
		return osp_reader_take(key, arg, state, &o->reader);
	}
}

static int print_json(const struct osp_render *render, const struct osp_span *spans, size_t count)
{
	struct osp_session *s = render->session;
	int64_t start = count ? spans[0].start_ns : 0, offset;
	struct osp_outlook_steps next;
	struct osp_halt halt;
	json_t *span;
	int r = 0;

	for (size_t i = 1; i < count; i++)
		start = spans[i].start_ns < start ? spans[i].start_ns : start;
	offset = osp_session_wall_offset(s, start);
	for (size_t i = 0; !r && i < count && !ferror(render->out); i++) {
		span = osp_json_span(s, &spans[i], offset);
		if (span && s->step_error_ns)
			json_object_set_new(span, "time_error_ns",
					    json_integer((json_int_t)s->step_error_ns));
		if (osp_halt_find(s, spans, count, &spans[i], &halt)) {
			r = osp_outlook_find(render->outlook, spans, count, &spans[i], &next);
			osp_json_add_halt(span, &halt, r ? NULL : &next, offset);
		}
		r = r && r != -ENOENT ? json_decref(span), r : osp_json_print(render->out, span);
	}
	return r;
}

static int print_text(struct osp_render *render, const struct osp_span *spans, size_t count)
{
	struct osp_trace t;
	int r = osp_store_trace(render->session->store, spans, count, &t);

	if (r)
		return r;
	if (osp_books_doubt(render->books, &t))
		t.marks |= OSP_MARK_MAY_BE_CUT;
	return osp_render_spans(render, &t, spans, count);
}

static int show(uint64_t key, const struct options *o, struct osp_render *render)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	_cleanup_(osp_outlook_free) struct osp_outlook *outlook = NULL;
	_cleanup_free_ struct osp_span *spans = NULL;
	struct osp_store *store = render->session->store;
	uint32_t marks = 0;
	size_t count = 0;
	int r = osp_store_spans(store, key, &c);

	r = r ? r : osp_reader_collect(c, &spans, &count);
	for (size_t i = 0; i < count; i++)
		marks |= spans[i].marks;
	if (!r && marks & OSP_MARK_INCOMPLETE)
		r = osp_outlook_new(&outlook, render->session);
	render->outlook = outlook;
	if (!r)
		r = o->reader.json ? print_json(render, spans, count)
				   : print_text(render, spans, count);
	if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(store));
	return r;
}

static const struct argp argp = {option_table, parse, "FILE TRACE", help, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	_cleanup_(osp_session_close) struct osp_session *s = NULL;
	_cleanup_(osp_books_free) struct osp_books *books = NULL;
	struct options o = {0};
	struct osp_render render;
	struct osp_output out;
	uint64_t key;
	int r, closed;

	osp_command_parse(&osp_cmd_show, 0, argc, argv, &o);
	render = (struct osp_render){.utc = o.reader.utc, .verbose = o.reader.verbose};
	render.colour = osp_render_colour(o.reader.colour, stdout);
	r = osp_reader_open(&s, &o.reader);
	r = r ? r : osp_reader_read_books(&books, s, 0);
	r = r ? r : osp_reader_find_trace(s, o.trace, &key);
	r = r ? r : osp_output_open(&out, NULL);
	if (r)
		return osp_reader_exit(r);
	render.out = out.file;
	render.session = s;
	render.books = books;
	r = show(key, &o, &render);
	closed = osp_output_close(&out);
	return osp_reader_exit(r ? r : closed);
}

const struct osp_command osp_cmd_show = {
	.name = "show",
	.brief = "show one trace as a tree",
	.argp = &argp,
	.run = command,
};
