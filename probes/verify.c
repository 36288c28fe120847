/*
 * The rules that a whole operation must keep, checked once it is built: every state can be reached
 * and left, spans are opened and closed in order, levels suffice for the spans, every point is
 * used. Fed by probes/operation.c; what passes here needs no checks in the recorder.
 */
#include <errno.h>
#include <string.h>

#include "probes/automaton.h"
#include "probes/load.h"

static const struct osp_node *transition_line(const struct osp_build *b, size_t i)
{
	return b->transition_keys[i];
}

/* Walks the automaton, which is also how the generator learns what is open where. */
static int check_spans(struct osp_build *b, struct osp_open_spans *open)
{
	static const char *const expected[] = {
		[OSP_WALK_NOT_OPEN] = "to be open here",
		[OSP_WALK_OPEN_TWICE] = "not to be open already",
		[OSP_WALK_OPEN_AT_END] = "to be closed, not opened by the step that ends",
		[OSP_WALK_DIFFERENT] = "to be open on every way to the next state, or on none",
	};
	struct osp_walk_error e;
	int r = osp_automaton_walk(b->op, open, &e);

	if (!r)
		return 0;
	return osp_load_fail(b->load, transition_line(b, e.transition),
			     "states.%s.%s: expected the span %s %s",
			     b->op->states[b->op->transitions[e.transition].from],
			     b->op->transitions[e.transition].point->name,
			     b->op->spans[e.span].name, expected[e.problem]);
}

/* By the walk's marks; "*" leads to the end only and reaches nothing. */
static int check_reached(struct osp_build *b, const struct osp_open_spans *open)
{
	for (size_t i = 0; i < b->op->state_count; i++)
		if (!open[i].reached)
			return osp_load_fail(b->load, b->states[i].node,
					     "states.%s: expected a way to this state from the "
					     "start",
					     b->op->states[i]);
	return 0;
}

/* "*" does not count: an operation that can only be broken off has no end of its own. */
static int check_ends(struct osp_build *b)
{
	const struct osp_operation *op = b->op;
	bool ends[OSP_CATALOGUE_STATES] = {false}, again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < op->transition_count; i++) {
			const struct osp_transition *t = &op->transitions[i];

			if (t->any || ends[t->from] || (t->to != OSP_STATE_END && !ends[t->to]))
				continue;
			ends[t->from] = again = true;
		}
	}
	for (size_t i = 0; i < op->state_count; i++)
		if (!ends[i])
			return osp_load_fail(b->load, b->states[i].node,
					     "states.%s: expected a way from this state to an end",
					     op->states[i]);
	return 0;
}

/* At the lowest level the recorder must still see where spans begin and end. */
static int check_levels(struct osp_build *b)
{
	const struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];
		bool starts = t->from == op->start && !t->any;

		if (t->point->level == OSP_LEVEL_ESSENTIAL)
			continue;
		if (starts || t->to == OSP_STATE_END || t->open >= 0 || t->action_count)
			return osp_load_fail(b->load, transition_line(b, i),
					     "states.%s.%s: expected a point of level essential, "
					     "for it begins, ends or marks a span",
					     op->states[t->from], t->point->name);
	}
	return 0;
}

/* A point that cannot come is most likely misspelt in a state. */
static int check_points(struct osp_build *b)
{
	const struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->point_count; i++) {
		size_t k = 0;

		while (k < op->transition_count && op->transitions[k].point != op->points[i])
			k++;
		if (k == op->transition_count)
			return osp_load_fail(b->load, b->point_keys[i],
					     "points.%s: expected a transition that uses it",
					     op->points[i]->name);
	}
	return 0;
}

/* A kind of span that no transition opens is misspelt, too. */
static int check_opened(struct osp_build *b)
{
	const struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->span_count; i++) {
		size_t k = 0;

		while (k < op->transition_count && op->transitions[k].open != (int)i)
			k++;
		if (k == op->transition_count)
			return osp_load_fail(b->load, b->span_keys[i],
					     "spans.%s: expected a transition that opens it",
					     op->spans[i].name);
	}
	return 0;
}

/* A point comes from "*" or from states, not from both, and "*" holds no context. */
static int check_any(struct osp_build *b)
{
	const struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->transition_count; i++)
		for (size_t k = 0; k < i; k++)
			if (op->transitions[i].point == op->transitions[k].point &&
			    op->transitions[i].any != op->transitions[k].any)
				return osp_load_fail(b->load, transition_line(b, i),
						     "states.*.%s: expected a point that no other "
						     "state has",
						     op->transitions[i].point->name);
	return 0;
}

/* A context that is sent names the span opened last, so that must be one that sends it. */
static int check_contexts(struct osp_build *b, const struct osp_open_spans *open)
{
	const struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];
		struct osp_open_spans o = open[t->from];
		struct osp_walk_error e;
		bool context = false, sends = false;

		for (size_t k = 0; k < t->point->arg_count; k++)
			sends |= t->point->args[k].type == OSP_TYPE_CONTEXT_OUT;
		if (!sends || !osp_automaton_step(t, &o, &e))
			continue;
		for (size_t k = 0; k < o.count; k++)
			context |= op->spans[o.spans[k]].context;
		if (context && !op->spans[o.spans[o.count - 1]].context)
			return osp_load_fail(b->load, transition_line(b, i),
					     "states.%s.%s: expected the innermost open span to be "
					     "the one with context: true",
					     op->states[t->from], t->point->name);
	}
	return 0;
}

/* The header makes one C name of each state: "trusted_notify.Scan" and "TrustedNotifyScan". */
static bool same_name(const char *a, const char *b)
{
	for (;;) {
		while (*a == '.' || *a == '_')
			a++;
		while (*b == '.' || *b == '_')
			b++;
		if ((*a | 32) != (*b | 32))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

static int check_names(struct osp_build *b)
{
	const struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->state_count; i++)
		for (size_t k = 0; k < i; k++)
			if (same_name(op->states[i], op->states[k]))
				return osp_load_fail(b->load, b->states[i].node,
						     "states.%s: expected a name that differs more "
						     "from %s",
						     op->states[i], op->states[k]);
	return 0;
}

static bool has_arg(const struct osp_operation *op, const char *name, size_t size)
{
	for (size_t i = 0; i < op->point_count; i++)
		for (size_t k = 0; k < op->points[i]->arg_count; k++) {
			const char *arg = op->points[i]->args[k].name;

			if (strlen(arg) == size && !memcmp(arg, name, size))
				return true;
		}
	return false;
}

/* "deliver {url}": what stands in braces can be filled from some point of the operation. */
static int check_title(struct osp_build *b, const struct osp_node *at, const char *title)
{
	for (const char *p = strchr(title, '{'); p; p = strchr(p, '{')) {
		size_t size = strcspn(++p, "}");

		if (!p[size] || !has_arg(b->op, p, size))
			return osp_load_fail(b->load, at,
					     "name: expected an argument of a point in {}, got %s",
					     title);
	}
	return 0;
}

static int check_titles(struct osp_build *b)
{
	const struct osp_node *name = osp_node_find(b->node, "name");
	int r = check_title(b, name, b->op->title);

	for (size_t i = 0; !r && i < b->op->span_count; i++)
		r = check_title(b, b->span_keys[i], b->op->spans[i].title);
	return r;
}

int osp_load_verify(struct osp_build *b)
{
	struct osp_open_spans open[OSP_CATALOGUE_STATES];
	int r = check_names(b);

	if (!r)
		r = check_any(b);
	if (!r)
		r = check_spans(b, open);
	if (!r)
		r = check_reached(b, open);
	if (!r)
		r = check_ends(b);
	if (!r)
		r = check_levels(b);
	if (!r)
		r = check_points(b);
	if (!r)
		r = check_opened(b);
	if (!r)
		r = check_titles(b);
	return r ? r : check_contexts(b, open);
}
