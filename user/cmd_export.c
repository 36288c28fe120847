/*
 * outspan export: a session, or one trace of it, in a format that others read. A format is a row
 * in the table below. Reads through the store contract trace by trace.
 */
#include "user/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/otlp.h"
#include "user/output.h"
#include "user/reader.h"

struct options {
	struct osp_reader_options reader;
	const char *format, *output, *trace;
};

typedef int export_fn(struct osp_session *s, uint64_t trace, FILE *f);

static const struct argp_option option_table[] = {
	{"format", 'f', "FORMAT", 0, "otlp-json (default): what OTLP/HTTP takes at /v1/traces", 0},
	{"output", 'o', "FILE", 0, "write to FILE instead of stdout", 0},
	{"trace", 't', "TRACE", 0, "only this trace: beginning of its id, `last' or `#N'", 0},
	{0},
};

static const char help[] =
	"Write a session for other programs to read. otlp-json is one ExportTraceServiceRequest of "
	"OpenTelemetry: a resource per process, links with their evidence and grade.\v"
	"Examples:\n"
	"  outspan export session.db --format otlp-json -o traces.json\n"
	"  outspan export session.db --trace last | python3 -m json.tool\n"
	"  curl -H 'Content-Type: application/json' -d @traces.json \\\n"
	"    http://localhost:4318/v1/traces";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'f':
		o->format = arg;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case 't':
		o->trace = arg;
		return 0;
	default:
		return osp_reader_take(key, arg, state, &o->reader);
	}
}

static int export_trace(struct osp_session *s, uint64_t key, struct osp_otlp *o)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	_cleanup_free_ struct osp_span *spans = NULL;
	struct osp_trace t;
	size_t count;
	int r = osp_store_spans(s->store, key, &c);

	r = r ? r : osp_reader_collect(c, &spans, &count);
	r = r ? r : osp_store_trace(s->store, spans, count, &t);
	return r ? r : osp_otlp_write(o, &t, spans, count);
}

static int export_all(struct osp_session *s, struct osp_otlp *o, FILE *f)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_trace_query all = {.limit = -1};
	struct osp_trace t;
	int r = osp_store_traces(s->store, &all, &c);

	while (!r && !ferror(f) && !(r = osp_cursor_next_trace(c, &t)))
		r = export_trace(s, t.key, o);
	return r < 0 ? r : 0;
}

static int export_otlp(struct osp_session *s, uint64_t trace, FILE *f)
{
	_cleanup_(osp_otlp_free) struct osp_otlp *o = NULL;
	int r = osp_otlp_new(&o, s, f);

	if (!r)
		r = trace ? export_trace(s, trace, o) : export_all(s, o, f);
	return r ? r : osp_otlp_flush(o);
}

static const struct {
	const char *name;
	export_fn *run;
} formats[] = {{"otlp-json", export_otlp}};

static export_fn *find_format(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!strcmp(formats[i].name, name))
			return formats[i].run;
	return NULL;
}

static const struct argp argp = {option_table, parse, "FILE", help, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	_cleanup_(osp_session_close) struct osp_session *s = NULL;
	struct options o = {.format = "otlp-json"};
	struct osp_output out;
	uint64_t trace = 0;
	export_fn *run;
	int r, closed;

	osp_command_parse(&osp_cmd_export, 0, argc, argv, &o);
	run = find_format(o.format);
	if (!run)
		return osp_err(0, "--format %s: unknown - use otlp-json", o.format), 2;
	r = osp_reader_open(&s, &o.reader);
	if (!r && o.trace)
		r = osp_reader_find_trace(s, o.trace, &trace);
	r = r ? r : osp_output_open(&out, o.output);
	if (r)
		return osp_reader_exit(r);
	r = run(s, trace, out.file);
	if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(s->store));
	closed = osp_output_close(&out);
	return osp_reader_exit(r ? r : closed);
}

const struct osp_command osp_cmd_export = {
	.name = "export",
	.brief = "write a session file in another format",
	.argp = &argp,
	.run = command,
};
