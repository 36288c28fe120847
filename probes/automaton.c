/*
 * Walks an operation's automaton from its start and keeps the list of open nested spans. The rule
 * of the grammar is that a state always has the same spans open, however it was reached: so the
 * recorder knows them even when it knows nothing but the state. Pure.
 */
#include "probes/automaton.h"

#include <errno.h>
#include <string.h>

bool osp_open_spans_find(const struct osp_open_spans *o, uint8_t span)
{
	return memchr(o->spans, span, o->count) != NULL;
}

static void remove_span(struct osp_open_spans *o, uint8_t span)
{
	uint8_t *at = memchr(o->spans, span, o->count);
	size_t behind = (size_t)(o->spans + o->count - at) - 1;

	memmove(at, at + 1, behind);
	o->count--;
}

static bool problem(struct osp_walk_error *error, enum osp_walk_problem what, uint8_t span)
{
	error->problem = what;
	error->span = span;
	return false;
}

bool osp_automaton_step(const struct osp_transition *t, struct osp_open_spans *o,
			struct osp_walk_error *error)
{
	for (size_t i = 0; i < t->action_count; i++) {
		if (!osp_open_spans_find(o, t->actions[i].span))
			return problem(error, OSP_WALK_NOT_OPEN, t->actions[i].span);
		if (t->actions[i].close)
			remove_span(o, t->actions[i].span);
	}
	if (t->open < 0)
		return true;
	if (t->to == OSP_STATE_END)
		return problem(error, OSP_WALK_OPEN_AT_END, (uint8_t)t->open);
	if (osp_open_spans_find(o, (uint8_t)t->open))
		return problem(error, OSP_WALK_OPEN_TWICE, (uint8_t)t->open);
	o->spans[o->count++] = (uint8_t)t->open;
	return true;
}

/* Takes one transition. Returns 1 if it reached a new state, 0 if not, -EINVAL. */
static int take(const struct osp_transition *t, struct osp_open_spans *states,
		struct osp_walk_error *error)
{
	struct osp_open_spans o = states[t->from];

	if (!o.reached || t->any)
		return 0;
	if (!osp_automaton_step(t, &o, error))
		return -EINVAL;
	if (t->to == OSP_STATE_END)
		return 0;
	if (!states[t->to].reached) {
		states[t->to] = o;
		return 1;
	}
	if (o.count != states[t->to].count || memcmp(o.spans, states[t->to].spans, o.count)) {
		problem(error, OSP_WALK_DIFFERENT,
			o.count ? o.spans[o.count - 1]
				: states[t->to].spans[states[t->to].count - 1]);
		return -EINVAL;
	}
	return 0;
}

int osp_automaton_walk(const struct osp_operation *op,
		       struct osp_open_spans out[OSP_CATALOGUE_STATES],
		       struct osp_walk_error *error)
{
	bool again = true;

	memset(out, 0, OSP_CATALOGUE_STATES * sizeof(*out));
	out[op->start].reached = true;
	while (again) {
		again = false;
		for (size_t i = 0; i < op->transition_count; i++) {
			int r = take(&op->transitions[i], out, error);

			error->transition = i;
			if (r < 0)
				return r;
			again |= r > 0;
		}
	}
	return 0;
}

bool osp_automaton_ends(const struct osp_operation *op, const struct osp_point *p)
{
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == p && op->transitions[i].to == OSP_STATE_END)
			return true;
	return false;
}
