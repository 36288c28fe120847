/*
 * What a step does to its operation (user/walk.h), fed by stitch. Owns nothing. A step lies in the
 * innermost nested span that is open after its own openings and before its own closings.
 */
#include "user/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum osp_span_status span_status(enum osp_status status)
{
	return (enum osp_span_status)status;
}

/* ---- the code that an operation ends with ---- */

/* An error number by its name, as people look it up; other numbers as they are. */
static const char *number_text(const struct osp_arg *a, int64_t value, char text[OSP_WALK_CODE_MAX])
{
	const char *name = NULL;

	if (a->unit && !strcmp(a->unit, "errno") && value > INT32_MIN && value <= INT32_MAX)
		name = strerrorname_np((int)llabs(value));
	if (name)
		return name;
	snprintf(text, OSP_WALK_CODE_MAX, "%" PRId64, value);
	return text;
}

static const char *enum_name(const struct osp_enum *e, int64_t value)
{
	for (size_t i = 0; e && i < e->count; i++)
		if (e->values[i].value == value)
			return e->values[i].name;
	return NULL;
}

static const char *map_code(const struct osp_enum *map, const char *name,
			    char text[OSP_WALK_CODE_MAX])
{
	for (size_t i = 0; map && name && i < map->count; i++) {
		if (strcmp(map->values[i].name, name) != 0)
			continue;
		snprintf(text, OSP_WALK_CODE_MAX, "%" PRId64, map->values[i].value);
		return text;
	}
	return name;
}

/* The argument that gives the code, or what an `exit` says: its first integer, unless zero. */
static int code_argument(const struct osp_transition *t, const struct osp_point *point,
			 const struct osp_event_value *values)
{
	int i = t->code_arg;

	for (size_t k = 0; i < 0 && t->any && k < point->arg_count; k++)
		if (point->args[k].type == OSP_TYPE_INT)
			i = (int)k;
	if (i < 0 || (size_t)i >= point->arg_count || (t->any && !values[i].u64))
		return -1;
	return i;
}

static bool is_integer(enum osp_type type)
{
	return type == OSP_TYPE_UINT || type == OSP_TYPE_INT || type == OSP_TYPE_BOOL;
}

const char *osp_walk_code(const struct osp_transition *t, const struct osp_point *point,
			  const struct osp_event_value *values, char text[OSP_WALK_CODE_MAX])
{
	int i = t->code ? -1 : code_argument(t, point, values);
	const struct osp_arg *a;
	const char *code;

	if (i < 0 || !values[i].present)
		return t->code;
	a = &point->args[i];
	if (!is_integer(a->type))
		return NULL;
	code = map_code(t->code_map, enum_name(a->enumeration, values[i].i64), text);
	return code ? code : number_text(a, values[i].i64, text);
}

static int end_code(struct osp_open_pool *pool, struct osp_open *o, const struct osp_transition *t,
		    const struct osp_event *e, const char **out)
{
	char text[OSP_WALK_CODE_MAX];
	const char *code = osp_walk_code(t, e->point, e->values, text);

	*out = code == text ? osp_open_copy(pool, o, code, strlen(code) + 1) : code;
	return code && !*out ? -ENOMEM : 0;
}

/* ---- nested spans ---- */

static void set_status(struct osp_open *o, size_t span, const struct osp_span_action *action)
{
	if (!action->has_status)
		return;
	o->spans[span].status = span_status(action->status);
	o->spans[span].code = action->code;
	o->span_infos[span].has_status = true;
}

/*
 * Number of a span just opened. Own points tell it (the program made an id of it); foreign ones
 * are counted. What does not rise cannot be right and is counted, too.
 */
static uint16_t next_number(const struct osp_open *o, const struct osp_event *e)
{
	if (!e->point->foreign && e->nested > o->last_nested)
		return e->nested;
	return o->last_nested < UINT16_MAX ? (uint16_t)(o->last_nested + 1) : o->last_nested;
}

/* The innermost span that stays open: where one that is opened now lies. */
static size_t find_parent(const struct osp_open *o, const bool *closing)
{
	for (size_t i = o->span_count; i-- > 1;)
		if (!o->span_infos[i].closed && !closing[o->span_infos[i].kind])
			return i;
	return 0;
}

static size_t decide_parent(const struct osp_open *o, const struct osp_transition *t)
{
	bool closing[OSP_CATALOGUE_SPANS] = {false};

	for (size_t i = 0; i < t->action_count; i++)
		closing[t->actions[i].span] |= t->actions[i].close;
	return o->open_spans ? find_parent(o, closing) : 0;
}

/* A step lies in the first span that it closes, else in the innermost one. */
static void decide_spans(const struct osp_open *o, const struct osp_transition *t,
			 struct osp_move *out)
{
	size_t closed = 0;

	for (size_t i = 0; i < t->action_count; i++) {
		out->found[i] = (uint16_t)osp_open_find_span(o, (int8_t)t->actions[i].span);
		if (!closed && t->actions[i].close)
			closed = out->found[i];
	}
	if (o->open_spans)
		out->span = (uint16_t)(closed ? closed : osp_open_find_span(o, -1));
	if (t->open >= 0)
		out->parent = (uint16_t)decide_parent(o, t);
}

void osp_walk_decide(const struct osp_open *o, const struct osp_nfa *a,
		     const struct osp_nfa_view *view, const struct osp_point *point,
		     struct osp_move *out)
{
	struct osp_nfa_step step;

	osp_nfa_step(a, view, o->live, point, &step);
	*out = (struct osp_move){.taken = step.taken,
				 .live = step.live,
				 .unexpected = step.unexpected,
				 .ends = step.ends};
	if (step.taken)
		decide_spans(o, step.taken, out);
	for (size_t i = 0; i < point->arg_count; i++)
		out->names_parent |= point->args[i].type == OSP_TYPE_OP;
}

static int open_span(struct osp_open_pool *pool, struct osp_open *o, const struct osp_move *move,
		     const struct osp_event *e, size_t *span)
{
	uint16_t number = next_number(o, e);
	int r;

	/* Ids end at the last number: what is opened beyond it lies in the operation itself. */
	if (number == o->last_nested)
		return -ENOSPC;
	r = osp_open_add_span(pool, o, move->taken->open, move->parent, e->time_ns, span);
	if (r)
		return r;
	o->spans[*span].number = number;
	o->last_nested = number;
	return 0;
}

/* Statuses now, openings now; what is to be closed waits: the step still lies in it. */
static int begin_actions(struct osp_open_pool *pool, struct osp_open *o,
			 const struct osp_move *move, const struct osp_event *e, size_t *span)
{
	const struct osp_transition *t = move->taken;

	for (size_t i = 0; i < t->action_count; i++)
		if (move->found[i])
			set_status(o, move->found[i], &t->actions[i]);
	*span = move->span;
	return t->open >= 0 ? open_span(pool, o, move, e, span) : 0;
}

static void end_actions(struct osp_open *o, const struct osp_move *move, int64_t time_ns)
{
	for (size_t i = 0; i < move->taken->action_count; i++)
		if (move->found[i] && move->taken->actions[i].close)
			osp_open_close_span(o, move->found[i], time_ns, OSP_SPAN_UNSET);
}

/* While a span is open its end is the last step seen in it. */
static void reach(struct osp_open *o, size_t span, int64_t time_ns)
{
	for (;; span = o->spans[span].parent) {
		if (time_ns > o->spans[span].end_ns)
			o->spans[span].end_ns = time_ns;
		if (!span)
			return;
	}
}

int osp_walk_apply(struct osp_open_pool *pool, struct osp_open *o, const struct osp_move *move,
		   const struct osp_event *e, struct osp_walk *out)
{
	int full, r;

	*out = (struct osp_walk){.ended = move->ends};
	full = r = begin_actions(pool, o, move, e, &out->span);
	if (!r || full == -ENOSPC)
		r = osp_open_add_step(pool, o, e, out->span, move->unexpected);
	if (r && r != -ENOSPC)
		return r;
	reach(o, out->span, e->time_ns);
	end_actions(o, move, e->time_ns);
	if (full || r)
		o->marks |= OSP_MARK_MAY_BE_CUT;
	if (move->unexpected)
		o->marks |= OSP_MARK_UNEXPECTED;
	o->live = move->live;
	if (move->ends) {
		out->status = span_status(move->taken->status);
		if (end_code(pool, o, move->taken, e, &out->code))
			return -ENOMEM;
	}
	return r;
}

void osp_walk_close(struct osp_open *o, int64_t end_ns, const struct osp_walk *walk, uint32_t marks)
{
	bool incomplete = marks & OSP_MARK_INCOMPLETE;
	enum osp_span_status nested =
		walk->status == OSP_SPAN_ERROR ? OSP_SPAN_ERROR : OSP_SPAN_UNSET;

	for (size_t i = o->span_count; i-- > 1;) {
		if (o->span_infos[i].closed)
			continue;
		if (incomplete)
			o->spans[i].marks |= OSP_MARK_INCOMPLETE;
		osp_open_close_span(o, i, end_ns, nested);
	}
	o->spans[0].code = walk->code;
	osp_open_close_span(o, 0, end_ns, walk->status);
	o->marks |= marks;
}
