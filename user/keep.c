/*
 * The flight recorder (user/keep.h). Fed with the parts that go into the session and with the
 * recorder's ticks; drives the store through its back end. Owns a table of traces' starts, of
 * fixed size: a trace that another one has pushed out of it counts as beginning again.
 *
 * Saves by itself are spaced: the next comes when half of what is kept is new. What fails in
 * between is in that copy, since it was not forgotten yet.
 */
#include "user/keep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"

enum { WHY_MAX = 256 };

static const int64_t settle_ns = 1000000000; /* from a failure to its copy */
static const int64_t forget_every_ns = 1000000000;
static const int64_t space_ns = 10000000000; /* between saves when nothing is forgotten */

struct trace {
	uint64_t key; /* 0 = free */
	int64_t start_ns;
	bool saved; /* it has caused a save */
};

struct osp_keep {
	struct osp_keep_options o;
	struct osp_keep_back back;
	char stem[OSP_KEEP_PATH]; /* of the copies' names */
	uint32_t number;	  /* of the last copy's name */
	uint32_t own;		  /* saves by itself */
	char why[WHY_MAX];	  /* a save is to be made: why; "" = none is */
	int64_t due_ns;		  /* of that save; 0 = not known yet */
	int64_t saved_ns, forgot_ns;
	struct osp_keep_stats stats;
	struct trace traces[OSP_KEEP_SLOTS];
};

/* ---- what calls for a save ---- */

static struct trace *find_trace(struct osp_keep *k, const struct osp_row *row)
{
	uint64_t hash = row->trace * 0x9e3779b97f4a7c15ull;
	struct trace *t = &k->traces[hash >> 32 & (OSP_KEEP_SLOTS - 1)];

	if (t->key != row->trace)
		*t = (struct trace){.key = row->trace, .start_ns = row->spans[0].start_ns};
	if (row->spans[0].start_ns < t->start_ns)
		t->start_ns = row->spans[0].start_ns;
	return t;
}

static const struct osp_row_span *find_failed(const struct osp_row *row)
{
	for (size_t i = 0; i < row->span_count; i++)
		if (row->spans[i].status == OSP_SPAN_ERROR)
			return &row->spans[i];
	return NULL;
}

/* The first reason since the last save is told; the others are in the copy with it. */
static void call_for_save(struct osp_keep *k, struct trace *t, const struct osp_row *row,
			  const char *what, const struct osp_row_span *span)
{
	if (t->saved)
		return;
	t->saved = true;
	if (k->own >= k->o.most && !k->stats.passed_over++)
		osp_warn("saved %" PRIu32 " times: what fails or is slow from here on is not saved",
			 k->own);
	if (k->own >= k->o.most || *k->why)
		return;
	snprintf(k->why, sizeof(k->why), "%s: %s (span %016" PRIx64 ")", what,
		 span->name ? span->name : span->kind_name, row->id + span->number);
}

void osp_keep_part(struct osp_keep *k, const struct osp_part *part)
{
	const struct osp_row *row = &part->row;
	const struct osp_row_span *failed;
	char took[24], what[48];
	struct trace *t;
	int64_t ns;

	if (part->kind != OSP_PART_ROW || !row->span_count || (!k->o.on_error && !k->o.slow_ns))
		return;
	t = find_trace(k, row);
	failed = k->o.on_error ? find_failed(row) : NULL;
	ns = row->spans[0].end_ns - t->start_ns;
	if (failed) {
		call_for_save(k, t, row, "error", failed);
	} else if (k->o.slow_ns && ns >= k->o.slow_ns) {
		snprintf(what, sizeof(what), "slow, %s", osp_text_duration(took, ns));
		call_for_save(k, t, row, what, &row->spans[0]);
	}
}

/* ---- saving ---- */

static int note(struct osp_keep *k, const char *what, const char *value)
{
	char name[40];

	snprintf(name, sizeof(name), "saved_%" PRIu32 "_%s", k->stats.saved + 1, what);
	return k->back.note(k->back.arg, name, value);
}

/* The facts go in first: the copy holds them, and the session itself keeps a list of its copies. */
static int note_save(struct osp_keep *k, const char *why, int64_t wall_ns)
{
	char text[40];
	int r = note(k, "why", why);

	return r ? r : note(k, "at", osp_text_time(text, wall_ns, true));
}

/* Under the first name that is free: another recording may have left copies beside ours. */
static int save_numbered(struct osp_keep *k, char out[OSP_KEEP_PATH])
{
	int r = -EEXIST;

	while (r == -EEXIST && k->number < OSP_KEEP_NAMES) {
		char path[OSP_KEEP_PATH + 24];
		int n = snprintf(path, sizeof(path), "%s.saved-%" PRIu32 ".db", k->stem,
				 ++k->number);

		if (n >= OSP_KEEP_PATH)
			return osp_err(-ENAMETOOLONG, "save a copy of %.60s...", k->stem);
		r = k->back.save(k->back.arg, path);
		if (!r)
			memcpy(out, path, (size_t)n + 1);
	}
	return r == -EEXIST ? osp_err(r, "save a copy of %s - remove old copies", k->stem) : r;
}

static int save_as(struct osp_keep *k, const char *path, char out[OSP_KEEP_PATH])
{
	int r;

	if (strlen(path) >= OSP_KEEP_PATH)
		return osp_err(-ENAMETOOLONG, "save a copy as %.60s...", path);
	r = k->back.save(k->back.arg, path);
	if (r == -EEXIST)
		return osp_err(r, "save a copy as %s", path);
	if (!r)
		strcpy(out, path);
	return r;
}

int osp_keep_save(struct osp_keep *k, const char *why, const char *path, int64_t now_ns,
		  int64_t wall_ns, char out[OSP_KEEP_PATH])
{
	int r = note_save(k, why, wall_ns);

	if (r)
		return r;
	k->saved_ns = now_ns;
	r = path ? save_as(k, path, out) : save_numbered(k, out);
	if (r) {
		k->stats.failed++;
		return r;
	}
	k->stats.saved++;
	osp_info("saved %s: %s", out, why);
	return 0;
}

/* What was called for is due when it has settled, and not too soon after the save before it. */
static int64_t find_due(const struct osp_keep *k, int64_t now_ns)
{
	int64_t space = k->o.last_ns ? k->o.last_ns / 2 : space_ns;
	int64_t next = k->saved_ns ? k->saved_ns + space : 0;

	return now_ns + settle_ns > next ? now_ns + settle_ns : next;
}

/* A copy that cannot be written was told; the recording goes on. */
static void save_due(struct osp_keep *k, int64_t now_ns, int64_t wall_ns)
{
	char out[OSP_KEEP_PATH];

	if (!*k->why)
		return;
	if (!k->due_ns)
		k->due_ns = find_due(k, now_ns);
	if (now_ns < k->due_ns)
		return;
	k->own++;
	osp_keep_save(k, k->why, NULL, now_ns, wall_ns, out);
	*k->why = 0;
	k->due_ns = 0;
}

/* ---- forgetting ---- */

static int forget(struct osp_keep *k, int64_t now_ns, int64_t wall_ns)
{
	int64_t before = now_ns - k->o.last_ns;
	char text[40];
	int r;

	if (!k->o.last_ns || before <= 0 || now_ns - k->forgot_ns < forget_every_ns)
		return 0;
	k->forgot_ns = now_ns;
	r = k->back.forget(k->back.arg, before);
	if (r)
		return r;
	k->stats.forgotten_ns = before;
	return k->back.note(k->back.arg, "kept_since",
			    osp_text_time(text, wall_ns - k->o.last_ns, true));
}

/* Saved before it is forgotten: what is due lies in what is still kept. */
int osp_keep_tick(struct osp_keep *k, int64_t now_ns, int64_t wall_ns)
{
	save_due(k, now_ns, wall_ns);
	return forget(k, now_ns, wall_ns);
}

/* ---- its life ---- */

int osp_keep_new(struct osp_keep **out, const struct osp_keep_options *o,
		 const struct osp_keep_back *back, const char *session)
{
	_cleanup_(osp_keep_free) struct osp_keep *k = calloc(1, sizeof(*k));
	size_t n = strlen(session);

	if (!k)
		return -ENOMEM;
	if (n >= sizeof(k->stem))
		return -ENAMETOOLONG;
	k->o = *o;
	k->back = *back;
	memcpy(k->stem, session, n + 1);
	if (n > 3 && !strcmp(session + n - 3, ".db"))
		k->stem[n - 3] = 0;
	*out = TAKE_PTR(k);
	return 0;
}

void osp_keep_free(struct osp_keep **k)
{
	free(*k);
	*k = NULL;
}

void osp_keep_stats(const struct osp_keep *k, struct osp_keep_stats *out)
{
	*out = k->stats;
}
