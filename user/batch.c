/*
 * Between the pipeline, whose parts live for one call, and the store, which takes many at once:
 * parts are copied deep into one arena of fixed size. The recorder (and replay) fill it from the
 * pipeline's sink and flush it after each drain. It owns the arena and nothing else.
 */
#include "user/batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/session.h"
#include "store/store.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { PASS_BYTES = 384 << 10 }; /* the store still finds them in the second level of caches */

struct osp_batch {
	struct osp_store *store; /* borrowed: the session's, closed after the batch */
	uint8_t *arena;
	size_t used, max;
	struct osp_part *parts;
	size_t count, room;
	bool passed;		  /* parts wait in the store's transaction */
	int64_t last_ns, told_ns; /* the last step of all rows, and of those that are written */
};

int osp_batch_new(struct osp_batch **out, struct osp_store *store, size_t max_bytes)
{
	struct osp_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->store = store;
	b->max = max_bytes;
	b->room = max_bytes / 256 + 16;
	b->arena = malloc(max_bytes);
	b->parts = calloc(b->room, sizeof(*b->parts));
	if (!b->arena || !b->parts) {
		osp_batch_free(&b);
		return -ENOMEM;
	}
	*out = b;
	return 0;
}

void osp_batch_free(struct osp_batch **b)
{
	if (!*b)
		return;
	free((*b)->arena);
	free((*b)->parts);
	free(*b);
	*b = NULL;
}

/* Copies into the arena; NULL when it is full. The pieces stay aligned for any struct. */
static void *keep(struct osp_batch *b, const void *data, size_t size)
{
	void *to = b->arena + b->used;
	size_t step = (size + 7) & ~(size_t)7;

	if (step > b->max - b->used)
		return NULL;
	if (size)
		memcpy(to, data, size);
	b->used += step;
	return to;
}

/* Replaces each borrowed text that is set by a copy; false when the arena is full. */
static bool keep_texts(struct osp_batch *b, const char **texts[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!*texts[i])
			continue;
		*texts[i] = keep(b, *texts[i], strlen(*texts[i]) + 1);
		if (!*texts[i])
			return false;
	}
	return true;
}

#define KEEP_TEXTS(b, ...)                                                                         \
	keep_texts(b, (const char **[]){__VA_ARGS__},                                              \
		   sizeof((const char **[]){__VA_ARGS__}) / sizeof(const char **))

/* Names that last stay where they are. */
static bool keep_spans(struct osp_batch *b, struct osp_row *row)
{
	struct osp_row_span *spans = keep(b, row->spans, row->span_count * sizeof(*spans));

	if (!spans)
		return false;
	for (size_t i = 0; i < row->span_count; i++)
		if (!KEEP_TEXTS(b, &spans[i].name, &spans[i].code) ||
		    (!row->lasting && !KEEP_TEXTS(b, &spans[i].kind_name)))
			return false;
	row->spans = spans;
	return true;
}

static bool keep_steps(struct osp_batch *b, struct osp_row *row)
{
	struct osp_step *steps = keep(b, row->steps, row->step_count * sizeof(*steps));

	if (!steps)
		return false;
	for (size_t i = 0; !row->lasting && i < row->step_count; i++)
		if (!KEEP_TEXTS(b, &steps[i].name))
			return false;
	row->steps = steps;
	return true;
}

static bool keep_attributes(struct osp_batch *b, struct osp_row *row)
{
	struct osp_attribute *a = keep(b, row->attributes, row->attribute_count * sizeof(*a));

	if (!a)
		return false;
	for (size_t i = 0; i < row->attribute_count; i++) {
		struct osp_value *v = &a[i].value;

		if (!row->lasting && !KEEP_TEXTS(b, &a[i].name))
			return false;
		if (v->type != OSP_VALUE_STR && v->type != OSP_VALUE_BYTES)
			continue;
		v->data = keep(b, v->data, v->size);
		if (!v->data)
			return false;
	}
	row->attributes = a;
	return true;
}

static bool keep_row(struct osp_batch *b, struct osp_row *row)
{
	return (row->lasting ||
		KEEP_TEXTS(b, &row->provider, &row->side, &row->layer, &row->feature)) &&
	       keep_spans(b, row) && keep_steps(b, row) && keep_attributes(b, row);
}

static bool keep_loss(struct osp_batch *b, struct osp_loss_row *loss)
{
	const char **reasons = keep(b, loss->reasons, loss->count * sizeof(*reasons));

	loss->lost = keep(b, loss->lost, loss->count * sizeof(*loss->lost));
	if (!reasons || !loss->lost)
		return false;
	for (size_t i = 0; i < loss->count; i++)
		if (!KEEP_TEXTS(b, &reasons[i]))
			return false;
	loss->reasons = reasons;
	return KEEP_TEXTS(b, &loss->provider, &loss->probe);
}

/* Copies what the part points to; false when the arena is full. */
static bool keep_part(struct osp_batch *b, struct osp_part *p)
{
	switch (p->kind) {
	case OSP_PART_ROW:
		return keep_row(b, &p->row);
	case OSP_PART_EDGE:
		if (p->edge.lasting)
			return KEEP_TEXTS(b, &p->edge.also);
		return KEEP_TEXTS(b, &p->edge.rule, &p->edge.makes, &p->edge.evidence,
				  &p->edge.grade, &p->edge.also);
	case OSP_PART_PROCESS:
		return KEEP_TEXTS(b, &p->process.comm, &p->process.exe, &p->process.cmdline);
	case OSP_PART_ATTACH:
		return KEEP_TEXTS(b, &p->attach.provider, &p->attach.probe, &p->attach.level);
	case OSP_PART_LOSS:
		return keep_loss(b, &p->loss);
	case OSP_PART_GAP:
		return KEEP_TEXTS(b, &p->gap.reason);
	case OSP_PART_SESSION:
		return KEEP_TEXTS(b, &p->session.name, &p->session.value);
	case OSP_PART_CATALOGUE:
		return KEEP_TEXTS(b, &p->catalogue.name, &p->catalogue.text);
	case OSP_PART_PATCH:
	case OSP_PART_CLOCK:
		return true;
	}
	return true;
}

#define PART_BYTES(member)                                                                         \
	(offsetof(struct osp_part, member) + sizeof(((struct osp_part *)0)->member))

/* Most parts are much smaller than a row. */
static void copy_part(struct osp_part *to, const struct osp_part *from)
{
	switch (from->kind) {
	case OSP_PART_EDGE:
		memcpy(to, from, PART_BYTES(edge));
		break;
	case OSP_PART_PATCH:
		memcpy(to, from, PART_BYTES(patch));
		break;
	default:
		*to = *from;
	}
}

static void note_time(struct osp_batch *b, const struct osp_part *part)
{
	if (part->kind == OSP_PART_ROW && part->row.spans[0].end_ns > b->last_ns)
		b->last_ns = part->row.spans[0].end_ns;
}

/* Says why it failed; what waited is lost then. */
static int settle(struct osp_batch *b, int r)
{
	if (r)
		osp_err(0, "%s", osp_store_error(b->store));
	else
		b->count = b->used = 0;
	return r;
}

/* Makes room; nobody else sees it yet. */
static int pass(struct osp_batch *b)
{
	b->passed = true;
	return settle(b, osp_store_add(b->store, b->parts, b->count));
}

int osp_batch_add(struct osp_batch *b, const struct osp_part *part)
{
	for (int again = 0; again < 2; again++) {
		size_t before = b->used;
		struct osp_part *copy = &b->parts[b->count];
		int r;

		copy_part(copy, part);
		if (before < PASS_BYTES && b->count + 1 < b->room && keep_part(b, copy)) {
			b->count++;
			note_time(b, part);
			return 0;
		}
		b->used = before;
		r = pass(b);
		if (r)
			return r;
	}
	return -E2BIG;
}

/* Up to when the session tells what happened, should this be its last transaction. */
static size_t tell_time(struct osp_batch *b, char text[24])
{
	if (b->last_ns == b->told_ns)
		return b->count;
	snprintf(text, 24, "%" PRId64, b->last_ns);
	b->parts[b->count] =
		(struct osp_part){.kind = OSP_PART_SESSION,
				  .session = {.name = OSP_SESSION_COMMITTED, .value = text}};
	return b->count + 1;
}

int osp_batch_flush(struct osp_batch *b)
{
	char text[24];
	int r;

	if (!b->count && !b->passed)
		return 0;
	r = settle(b, osp_store_write(b->store, b->parts, tell_time(b, text)));
	if (r)
		return r;
	b->told_ns = b->last_ns;
	b->passed = false;
	return 0;
}
