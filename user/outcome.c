/*
 * Outcomes of courses (user/outcome.h), learnt and filled for the stitcher. Owns the arrays of the
 * operation it holds; values stay where the run, or the operation before it, has them.
 */
#include "user/outcome.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- learning ---- */

void osp_outcome_free(struct osp_outcome **outcome)
{
	struct osp_outcome *o = *outcome;

	if (!o)
		return;
	free(o->open.spans);
	free(o->open.span_infos);
	free(o->open.steps);
	free(o->open.step_infos);
	free(o->open.attributes);
	free(o->open.attribute_infos);
	free(o->spans);
	free(o->values);
	free(o->told);
	free(o->names);
	free(o);
	*outcome = NULL;
}

static void *copy(const void *from, size_t count, size_t size)
{
	void *to = malloc(count * size + 1);

	return to && count ? memcpy(to, from, count * size) : to;
}

#define COPY(from, count) copy(from, count, sizeof(*(from)))

/* Everything that lasts, in memory of its own; nothing that finds the operation. */
static int copy_open(struct osp_open *to, const struct osp_open *o)
{
	*to = (struct osp_open){.operation = o->operation,
				.titles = o->titles,
				.live = o->live,
				.spans = COPY(o->spans, o->span_count),
				.span_infos = COPY(o->span_infos, o->span_count),
				.steps = COPY(o->steps, o->step_count),
				.step_infos = COPY(o->step_infos, o->step_count),
				.attributes = COPY(o->attributes, o->attribute_count),
				.attribute_infos = COPY(o->attribute_infos, o->attribute_count),
				.span_count = o->span_count,
				.step_count = o->step_count,
				.attribute_count = o->attribute_count};
	return to->spans && to->span_infos && to->steps && to->step_infos && to->attributes &&
			       to->attribute_infos
		       ? 0
		       : -ENOMEM;
}

/* Which steps a span lies between. */
static void find_spans(struct osp_outcome *o, const struct osp_outcome_lesson *l)
{
	size_t opened = 1, steps = o->open.step_count;

	for (size_t i = 0; i < o->open.span_count; i++)
		o->spans[i] = (struct osp_outcome_span){0, (uint16_t)(steps - 1)};
	for (size_t i = o->old_steps; i < steps; i++) {
		const struct osp_move *m = &l->moves[i - o->old_steps];

		if (m->taken->open >= 0 && opened < o->open.span_count)
			o->spans[opened++].first = (uint16_t)i;
		for (size_t k = 0; k < m->taken->action_count; k++)
			if (m->taken->actions[k].close && m->found[k])
				o->spans[m->found[k]].last = (uint16_t)i;
	}
}

/* What the moves let expect is what has come of them. */
static bool has_spans(const struct osp_outcome *o, const struct osp_outcome_lesson *l)
{
	for (size_t i = 0; i < o->open.span_count; i++) {
		const struct osp_row_span *s = &o->open.spans[i];
		size_t first = o->spans[i].first;

		if (s->start_ns != o->open.steps[first].time_ns ||
		    s->end_ns != o->open.steps[o->spans[i].last].time_ns)
			return false;
		if (i && (first < o->old_steps ||
			  s->number != l->run->steps[first - o->old_steps + l->seen].nested))
			return false;
	}
	return true;
}

/* Where the attributes come from. Returns how many there are then. */
static size_t find_values(struct osp_outcome *o, const struct osp_outcome_lesson *l)
{
	size_t attributes = o->old_attributes, value = 0;

	for (size_t i = l->seen; i < l->run->count; i++) {
		const struct osp_run_step *s = &l->run->steps[i];
		const struct osp_open_arg *args = osp_open_args(o->open.titles, s->point);

		for (size_t k = 0; k < s->point->arg_count; k++, value++) {
			if (args[k].how == OSP_OPEN_NOT)
				continue;
			o->values[o->value_count++] = (struct osp_outcome_value){
				.arg = &s->point->args[k],
				.how = &args[k],
				.value = (uint16_t)value,
				.attribute = s->values[k].present ? (uint16_t)attributes++
								  : (uint16_t)OSP_OUTCOME_NONE};
		}
	}
	return attributes;
}

static void find_told(struct osp_outcome *o, const struct osp_outcome_lesson *l)
{
	for (size_t i = 0; l->seen + i < l->run->count; i++)
		if (l->tells(l->arg, &l->moves[i], l->run->steps[l->seen + i].point))
			o->told[o->told_count++] = (uint16_t)i;
}

static int make_room(struct osp_outcome *o, const struct osp_outcome_lesson *l)
{
	o->spans = calloc(o->open.span_count, sizeof(*o->spans));
	o->values = calloc(OSP_RUN_VALUES, sizeof(*o->values));
	o->told = calloc(l->run->count, sizeof(*o->told));
	o->names = calloc(o->open.span_count, sizeof(*o->names));
	return o->spans && o->values && o->told && o->names ? 0 : -ENOMEM;
}

int osp_outcome_new(struct osp_outcome **out, const struct osp_open *open,
		    const struct osp_outcome_lesson *l)
{
	struct osp_outcome *o;

	*out = NULL;
	if (open->marks || open->step_count < l->run->count - l->seen ||
	    open->step_count >= UINT16_MAX || open->attribute_count >= UINT16_MAX)
		return 0;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->old_steps = open->step_count - (l->run->count - l->seen);
	o->old_attributes = l->old_attributes;
	o->end = l->moves[l->run->count - l->seen - 1].taken;
	if (copy_open(&o->open, open) || make_room(o, l)) {
		osp_outcome_free(&o);
		return -ENOMEM;
	}
	find_spans(o, l);
	find_told(o, l);
	if (find_values(o, l) != open->attribute_count || !has_spans(o, l))
		osp_outcome_free(&o);
	*out = o;
	return 0;
}

/* ---- filling ---- */

/* The operation has the steps that the outcome begins with, and they brought the same. */
static bool begins_so(const struct osp_outcome *o, const struct osp_open *before)
{
	if (!before)
		return !o->old_steps;
	if (before->marks || before->step_count != o->old_steps ||
	    before->attribute_count != o->old_attributes)
		return false;
	for (size_t i = 0; i < o->old_steps; i++)
		if (before->steps[i].name != o->open.steps[i].name ||
		    before->steps[i].attribute_count != o->open.steps[i].attribute_count)
			return false;
	for (size_t i = 0; i < o->old_attributes; i++)
		if (before->attributes[i].name != o->open.attributes[i].name ||
		    before->attributes[i].value.type != o->open.attributes[i].value.type)
			return false;
	return true;
}

/* Nested spans are numbered by the program: as in the outcome. */
static bool has_numbers(const struct osp_outcome *o, const struct osp_run *run, size_t seen)
{
	const struct osp_open *open = &o->open;
	const struct osp_run_step *steps = run->steps + seen;

	for (size_t i = 1; i < open->span_count; i++)
		if (steps[o->spans[i].first - o->old_steps].nested != open->spans[i].number)
			return false;
	return true;
}

static bool fill_values(struct osp_outcome *o, const struct osp_event_value *values)
{
	for (size_t i = 0; i < o->value_count; i++) {
		const struct osp_outcome_value *from = &o->values[i];
		const struct osp_event_value *v = &values[from->value];
		struct osp_value *to = &o->open.attributes[from->attribute].value;
		enum osp_value_type type;

		if (v->present != (from->attribute != OSP_OUTCOME_NONE))
			return false;
		if (!v->present)
			continue;
		type = to->type;
		osp_open_value(from->how, from->arg, v, to);
		if (to->type != type) {
			to->type = type;
			return false;
		}
	}
	return true;
}

static void fill_times(struct osp_outcome *o, const struct osp_run *run, size_t seen,
		       const struct osp_open *before)
{
	struct osp_open *open = &o->open;

	for (size_t i = 0; i < o->old_steps; i++) {
		open->steps[i].time_ns = before->steps[i].time_ns;
		open->step_infos[i] = before->step_infos[i];
		before->step_infos[i].page = NULL;
	}
	for (size_t i = o->old_steps; i < open->step_count; i++) {
		const struct osp_run_step *from = &run->steps[seen + i - o->old_steps];

		open->steps[i].time_ns = from->time_ns;
		open->step_infos[i].page = from->page;
	}
	for (size_t i = 0; i < open->span_count; i++) {
		open->spans[i].start_ns = open->steps[o->spans[i].first].time_ns;
		open->spans[i].end_ns = open->steps[o->spans[i].last].time_ns;
	}
}

static void fill_texts(struct osp_outcome *o, const struct osp_run *run)
{
	struct osp_open *open = &o->open;
	const struct osp_run_step *last = &run->steps[run->count - 1];

	for (size_t i = 0; i < open->span_count; i++) {
		osp_open_name(open, i, o->names[i]);
		open->spans[i].name = o->names[i];
	}
	open->spans[0].code = osp_walk_code(o->end, last->point, last->values, o->code);
}

bool osp_outcome_fill(struct osp_outcome *o, const struct osp_run *run, size_t seen,
		      const struct osp_open *before)
{
	if (!begins_so(o, before) || !has_numbers(o, run, seen) ||
	    !fill_values(o, run->steps[seen].values))
		return false;
	for (size_t i = 0; i < o->old_attributes; i++)
		o->open.attributes[i].value = before->attributes[i].value;
	fill_times(o, run, seen, before);
	fill_texts(o, run);
	return true;
}
