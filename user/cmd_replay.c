/*
 * `outspan replay`: makes a session of a raw capture, through the same pipeline, batch and store
 * as the live run did. --batch cuts the batches otherwise; the session must not depend on it.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/batch.h"
#include "user/command.h"
#include "user/pipeline.h"
#include "user/progress.h"
#include "user/raw.h"
#include "user/session.h"

enum option_key { KEY_OVERWRITE = 256, KEY_BATCH };
enum { BATCH_BYTES = 8 << 20, BATCH_INPUTS = 8192 };

struct options {
	const char *raw, *file;
	bool overwrite;
	unsigned long batch; /* inputs per batch */
};

static const struct argp_option option_table[] = {
	{"output", 'o', "FILE", 0, "session file to write (required)", 0},
	{"overwrite", KEY_OVERWRITE, NULL, 0, "replace an existing session file", 0},
	{"batch", KEY_BATCH, "N", 0, "records per transaction (default: 8192)", 0},
	{0},
};

static const char doc[] = "Make a session file from a raw capture (record --raw).\v"
			  "Examples:\n"
			  "  outspan replay run.raw -o run.db\n"
			  "  outspan replay run.raw -o again.db --overwrite\n"
			  "  outspan replay run.raw -o one.db --batch 1\n";

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case 'o':
		o->file = arg;
		return 0;
	case KEY_OVERWRITE:
		o->overwrite = true;
		return 0;
	case KEY_BATCH:
		o->batch = strtoul(arg, &end, 10);
		if (end == arg || *end || !o->batch)
			argp_error(state, "--batch %s: expected a number of records", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (o->raw)
			argp_error(state, "one raw capture at a time");
		o->raw = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->raw || !o->file)
			argp_error(state, "expected a raw capture and -o FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int into_batch(void *arg, const struct osp_part *part)
{
	return osp_batch_add(arg, part);
}

static int commit(struct osp_pipeline *p, struct osp_batch *b)
{
	int r = osp_pipeline_settle(p);

	return r ? r : osp_batch_flush(b);
}

/* Every input, in order. A capture that was cut off gives what it holds, and says so. */
static int push_inputs(struct osp_raw *raw, struct osp_pipeline *p, struct osp_batch *b,
		       const struct options *o)
{
	struct osp_input in;
	unsigned long n = 0;
	int r;

	while (!(r = osp_raw_read(raw, &in))) {
		r = osp_pipeline_push(p, &in);
		if (!r && ++n % o->batch == 0)
			r = commit(p, b);
		if (r)
			return r;
	}
	if (r == -ENODATA) {
		osp_warn("%s was cut off: the session holds what came before", o->raw);
		r = 1;
	}
	if (r < 0)
		return osp_err(r, "read %s", o->raw);
	return commit(p, b);
}

static int replay(struct osp_raw *raw, struct osp_store *store, const struct options *o)
{
	struct osp_progress_summary s = {.file = o->file};
	struct osp_pipeline *p = NULL;
	struct osp_batch *b = NULL;
	int r = osp_batch_new(&b, store, BATCH_BYTES);

	r = r ? r : osp_pipeline_new(&p, osp_raw_catalogue(raw), NULL, into_batch, b);
	r = r ? r : push_inputs(raw, p, b, o);
	if (!r) {
		osp_pipeline_stats(p, &s.pipeline);
		osp_progress_summary(&s);
	}
	osp_pipeline_free(&p);
	osp_batch_free(&b);
	return r;
}

static const struct argp argp = {option_table, parse_option, "RAW", doc, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	struct options o = {.batch = BATCH_INPUTS};
	struct osp_catalogue_error error = {""};
	_cleanup_fclose_ FILE *file = NULL;
	struct osp_store *store = NULL;
	struct osp_raw *raw = NULL;
	int r, closed;

	osp_command_parse(&osp_cmd_replay, 0, argc, argv, &o);
	file = fopen(o.raw, "re");
	if (!file)
		return osp_exit_status(osp_err(-errno, "open %s", o.raw));
	r = osp_raw_open(&raw, file, &error);
	if (r) {
		osp_err(r, "open %s: %s", o.raw, error.text);
		return osp_exit_status(r);
	}
	r = osp_session_create(&store, o.file, o.overwrite);
	if (!r) {
		r = replay(raw, store, &o);
		closed = osp_store_close(&store, !r);
		r = r ? r : closed;
	}
	osp_raw_free(&raw);
	return osp_exit_status(r);
}

const struct osp_command osp_cmd_replay = {
	.name = "replay",
	.brief = "make a session file from a raw capture",
	.argp = &argp,
	.run = command,
};
