/*
 * Runs the stored steps of one operation through its automaton (user/outlook.h): fed by the
 * commands with the spans of a trace, with the catalogue and the attach rows of the session.
 * Points that were not attached in the process when it stopped are silent moves, as in the
 * stitcher. Owns what it knows of the session (user/watch.h).
 */
#include "user/outlook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/nfa.h"
#include "user/watch.h"

struct osp_outlook {
	struct osp_watch *watch;
};

int osp_outlook_new(struct osp_outlook **out, const struct osp_session *s)
{
	_cleanup_(osp_outlook_free) struct osp_outlook *o = calloc(1, sizeof(*o));
	int r = o ? osp_watch_new(&o->watch, s) : -ENOMEM;

	if (!r)
		*out = TAKE_PTR(o);
	return r;
}

void osp_outlook_free(struct osp_outlook **o)
{
	if (!*o)
		return;
	osp_watch_free(&(*o)->watch);
	free(*o);
	*o = NULL;
}

static const struct osp_operation *find_operation(const struct osp_outlook *o,
						  const struct osp_span *of)
{
	if (!of->operation_name || !of->provider)
		return NULL;
	return osp_watch_operation(o->watch, of->provider, of->operation_name);
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

int osp_outlook_find(const struct osp_outlook *o, const struct osp_span *spans, size_t count,
		     const struct osp_span *of, struct osp_outlook_steps *out)
{
	const uint32_t gaps = OSP_MARK_MAY_BE_CUT | OSP_MARK_BEGAN_BEFORE | OSP_MARK_UNEXPECTED;
	const struct osp_operation *operation = find_operation(o, of);
	struct osp_nfa *a _cleanup_(osp_nfa_free) = NULL;
	struct step *steps _cleanup_free_ = NULL;
	uint8_t visible[OSP_WATCH_BYTES];
	struct osp_nfa_step step;
	struct osp_nfa_view view;
	size_t n = 0;
	int r = operation ? find_steps(operation, spans, count, of->operation, &steps, &n)
			  : -ENOENT;

	r = r ? r : osp_nfa_new(&a, operation);
	if (r)
		return r;
	osp_watch_find(o->watch, of->process, steps[n - 1].time_ns, steps[n - 1].time_ns, visible);
	osp_nfa_init_view(a, visible, &view);
	step.live = of->marks & gaps ? osp_nfa_all(a) : osp_nfa_start(a, &view);
	for (size_t i = 0; i < n; i++)
		osp_nfa_step(a, &view, step.live, steps[i].point, &step);
	*out = (struct osp_outlook_steps){.last = steps[n - 1].point};
	for (size_t i = 0; i < operation->point_count && out->count < OSP_OUTLOOK_STEPS; i++) {
		const struct osp_point *p = operation->points[i];

		if (osp_watch_sees(visible, p) && osp_nfa_accepts(a, step.live, p))
			out->next[out->count++] = p;
	}
	return 0;
}
