/*
 * The common part of the commands that read a session: their options, opening it, the ways to name
 * a trace. It is the edge for store errors of these commands: they are said here.
 */
#include "user/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/command.h"
#include "user/latency.h"

static error_t take_file(char *arg, struct argp_state *state, struct osp_reader_options *o)
{
	if (o->file)
		argp_error(state, "one session at a time");
	o->file = arg;
	return 0;
}

error_t osp_reader_take(int key, char *arg, struct argp_state *state, struct osp_reader_options *o)
{
	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case 'u':
		o->utc = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'c':
		if (strcmp(arg, "auto") && strcmp(arg, "always") && strcmp(arg, "never"))
			argp_error(state, "--color %s: expected auto, always or never", arg);
		o->colour = arg;
		return 0;
	case ARGP_KEY_ARG:
		return take_file(arg, state, o);
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which session? give its FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void warn_of_cut(const struct osp_session *s, const struct osp_reader_options *o)
{
	int64_t at_ns = s->committed_ns;
	char text[40] = "its beginning";

	if (at_ns)
		osp_text_time(
			text,
			(int64_t)((uint64_t)at_ns + (uint64_t)osp_session_wall_offset(s, at_ns)),
			o->utc);
	osp_warn("%s: cut at %s: the recording is under way or was killed, later hits are unknown",
		 o->file, text);
}

int osp_reader_open(struct osp_session **out, const struct osp_reader_options *o)
{
	char error[512];
	int r = osp_session_open(out, o->file, error);

	if (r)
		return osp_err(0, "%s", error), r;
	if (!(*out)->ended)
		warn_of_cut(*out, o);
	return 0;
}

int osp_reader_read_books(struct osp_books **out, const struct osp_session *s, uint32_t pid)
{
	int r = osp_books_read(out, s, pid);

	if (r == -ESRCH)
		osp_err(0, "the session has no process %" PRIu32, pid);
	else if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(s->store));
	return r;
}

/* The trace at a place of the listing, counted from 1; 0 = the last one. */
static int find_by_place(struct osp_session *s, uint64_t place, uint64_t *trace)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_trace_query q = {.limit = place ? (int64_t)place : 1, .newest = !place};
	struct osp_trace t;
	uint64_t n = 0;
	int r = osp_store_traces(s->store, &q, &c);

	if (r)
		return osp_err(0, "%s", osp_store_error(s->store)), r;
	while (!(r = osp_cursor_next_trace(c, &t)))
		if (++n == place || !place)
			*trace = t.key;
	if (r < 0)
		return osp_err(0, "%s", osp_store_error(s->store)), r;
	if (n && n >= place)
		return 0;
	if (!n)
		osp_err(0, "the session has no traces");
	else
		osp_err(0, "no trace #%" PRIu64 ": the session has %" PRIu64, place, n);
	return -ENOENT;
}

int osp_reader_find_trace(struct osp_session *s, const char *text, uint64_t *trace)
{
	bool aggregated = false;
	int r = osp_latency_find(s, &aggregated);

	if (r)
		return osp_err(0, "%s", osp_store_error(s->store)), r;
	if (aggregated)
		return osp_err(0,
			       "the session has no traces: it holds aggregates only - outspan ls shows them"),
		       -ENOENT;
	if (!strcmp(text, "last"))
		return find_by_place(s, 0, trace);
	if (*text == '#') {
		char *end;
		unsigned long long place = strtoull(text + 1, &end, 10);

		if (end == text + 1 || *end || !place || place > INT64_MAX)
			return osp_err(0, "trace %s: expected # and a number from 1", text),
			       -EINVAL;
		return find_by_place(s, place, trace);
	}
	r = osp_store_find_trace(s->store, text, trace);
	if (r == -ENOENT)
		return osp_err(0, "%s - outspan ls shows the ids", osp_store_error(s->store)), r;
	if (r == -EEXIST)
		return osp_err(0, "%s - give more digits", osp_store_error(s->store)), r;
	if (r)
		osp_err(0, "trace %s%s", osp_store_error(s->store),
			r == -EINVAL ? ", or last, or #N" : "");
	return r;
}

int osp_reader_collect(struct osp_cursor *c, struct osp_span **out, size_t *count)
{
	_cleanup_free_ struct osp_span *spans = NULL;
	size_t n = 0, room = 0;
	struct osp_span span;
	int r;

	while (!(r = osp_cursor_next_span(c, &span))) {
		if (n == room) {
			struct osp_span *more;

			room = room ? 2 * room : 64;
			more = realloc(spans, room * sizeof(*more));
			if (!more)
				return -ENOMEM;
			spans = more;
		}
		spans[n++] = span;
	}
	if (r < 0)
		return r;
	*out = TAKE_PTR(spans);
	*count = n;
	return 0;
}

int osp_reader_exit(int r)
{
	return r == -EINVAL ? OSP_EXIT_USAGE : osp_exit_status(r);
}
