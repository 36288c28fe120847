/*
 * Runs the stored steps of one operation through its automaton (user/outlook.h): fed by the
 * commands with the spans of a trace, with the catalogue and the attach rows of the session.
 * Points that were not attached in the process when it stopped are silent moves, as in the
 * stitcher. Owns the catalogue and the rows.
 */
#include "user/outlook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/rows.h"
#include "user/nfa.h"

enum { ROWS_MAX = 1 << 24 };

/* A point was attached in a process from then to then; 0 = still is. */
struct attached {
	uint32_t process;
	const struct osp_point *point;
	int64_t from_ns, to_ns;
};

struct osp_outlook {
	struct osp_catalogue *catalogue;
	struct attached *attached;
	size_t attached_count;
};

static int take_catalogue(struct osp_outlook *o, const struct osp_part *part)
{
	const char *text = part->catalogue.text;
	struct osp_catalogue_error error;
	int r = o->catalogue ? osp_catalogue_add(o->catalogue, part->catalogue.name, text,
						 strlen(text), &error)
			     : 0;

	if (r && r != -ENOMEM) {
		osp_catalogue_free(&o->catalogue);
		return 0;
	}
	return r;
}

static int take_attach(struct osp_outlook *o, const struct osp_part *part)
{
	const struct osp_attach_row *row = &part->attach;
	const struct osp_point *p =
		o->catalogue ? osp_catalogue_find_point(o->catalogue, row->provider, row->probe)
			     : NULL;
	int r = p ? osp_rows_grow((void **)&o->attached, o->attached_count, sizeof(*o->attached),
				  ROWS_MAX)
		  : 0;

	if (p && !r)
		o->attached[o->attached_count++] =
			(struct attached){row->process, p, row->from_ns, row->to_ns};
	return r;
}

static int take_all(struct osp_outlook *o, const struct osp_session *s, enum osp_part_kind kind,
		    int (*take)(struct osp_outlook *, const struct osp_part *))
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(s->store, kind, &c);

	while (!r && !(r = osp_cursor_next_part(c, &part)))
		r = take(o, &part);
	return r < 0 ? r : 0;
}

int osp_outlook_new(struct osp_outlook **out, const struct osp_session *s)
{
	_cleanup_(osp_outlook_free) struct osp_outlook *o = calloc(1, sizeof(*o));
	int r = o ? osp_catalogue_new(&o->catalogue) : -ENOMEM;

	r = r ? r : take_all(o, s, OSP_PART_CATALOGUE, take_catalogue);
	r = r ? r : take_all(o, s, OSP_PART_ATTACH, take_attach);
	if (!r)
		*out = TAKE_PTR(o);
	return r;
}

void osp_outlook_free(struct osp_outlook **o)
{
	if (!*o)
		return;
	osp_catalogue_free(&(*o)->catalogue);
	free((*o)->attached);
	free(*o);
	*o = NULL;
}

static const struct osp_operation *find_operation(const struct osp_outlook *o,
						  const struct osp_span *of)
{
	if (!o->catalogue || !of->operation_name || !of->provider)
		return NULL;
	for (size_t i = 0; i < o->catalogue->operation_count; i++) {
		const struct osp_operation *p = o->catalogue->operations[i];

		if (!strcmp(p->name, of->operation_name) && !strcmp(p->provider, of->provider))
			return p;
	}
	return NULL;
}

static const struct osp_point *find_point(const struct osp_operation *operation, const char *name)
{
	for (size_t i = 0; i < operation->point_count; i++)
		if (!strcmp(operation->points[i]->name, name))
			return operation->points[i];
	return NULL;
}

struct step {
	int64_t time_ns;
	const struct osp_point *point;
};

static int by_time(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

/* The steps of the operation in its order, though they stand with its nested spans. */
static int find_steps(const struct osp_operation *operation, const struct osp_span *spans,
		      size_t count, uint64_t id, struct step **out, size_t *out_count)
{
	struct step *steps _cleanup_free_ = NULL;
	size_t n = 0, most = 1;

	for (size_t i = 0; i < count; i++)
		most += spans[i].operation == id ? spans[i].event_count : 0;
	steps = calloc(most, sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; spans[i].operation == id && k < spans[i].event_count; k++) {
			const struct osp_span_event *e = &spans[i].events[k];
			const struct osp_point *p = find_point(operation, e->name);

			if (p)
				steps[n++] = (struct step){e->time_ns, p};
		}
	qsort(steps, n, sizeof(*steps), by_time);
	*out = TAKE_PTR(steps);
	*out_count = n;
	return n ? 0 : -ENOENT;
}

/* A session that does not say what was attached (a replayed one, say) is taken to have had all. */
static void find_visible(const struct osp_outlook *o, uint32_t process, int64_t time_ns,
			 uint8_t visible[OSP_CATALOGUE_POINTS / 8])
{
	bool told = false;

	memset(visible, 0, OSP_CATALOGUE_POINTS / 8);
	for (size_t i = 0; i < o->attached_count; i++) {
		const struct attached *a = &o->attached[i];

		if (a->process != process)
			continue;
		told = true;
		if (a->from_ns <= time_ns && (!a->to_ns || a->to_ns >= time_ns))
			visible[a->point->number / 8] |= (uint8_t)(1 << a->point->number % 8);
	}
	if (!told)
		memset(visible, 0xff, OSP_CATALOGUE_POINTS / 8);
}

static bool is_visible(const uint8_t *visible, const struct osp_point *p)
{
	return visible[p->number / 8] >> (p->number % 8) & 1;
}

int osp_outlook_find(const struct osp_outlook *o, const struct osp_span *spans, size_t count,
		     const struct osp_span *of, struct osp_outlook_steps *out)
{
	const uint32_t gaps = OSP_MARK_MAY_BE_CUT | OSP_MARK_BEGAN_BEFORE | OSP_MARK_UNEXPECTED;
	const struct osp_operation *operation = find_operation(o, of);
	struct osp_nfa *a _cleanup_(osp_nfa_free) = NULL;
	struct step *steps _cleanup_free_ = NULL;
	uint8_t visible[OSP_CATALOGUE_POINTS / 8];
	struct osp_nfa_step step;
	struct osp_nfa_view view;
	size_t n = 0;
	int r = operation ? find_steps(operation, spans, count, of->operation, &steps, &n)
			  : -ENOENT;

	r = r ? r : osp_nfa_new(&a, operation);
	if (r)
		return r;
	find_visible(o, of->process, steps[n - 1].time_ns, visible);
	osp_nfa_init_view(a, visible, &view);
	step.live = of->marks & gaps ? osp_nfa_all(a) : osp_nfa_start(a, &view);
	for (size_t i = 0; i < n; i++)
		osp_nfa_step(a, &view, step.live, steps[i].point, &step);
	*out = (struct osp_outlook_steps){.last = steps[n - 1].point};
	for (size_t i = 0; i < operation->point_count && out->count < OSP_OUTLOOK_STEPS; i++) {
		const struct osp_point *p = operation->points[i];

		if (is_visible(visible, p) && osp_nfa_accepts(a, step.live, p))
			out->next[out->count++] = p;
	}
	return 0;
}
