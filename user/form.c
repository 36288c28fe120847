/*
 * The forms of a recording. Asked for each point by attach.c, which attaches accordingly, and by
 * loader.c, which tells the kernel side. What a point does is read off the automata of the
 * operations that use it. Owns nothing.
 */
#include "user/form.h"

#include "probes/automaton.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static const char *const names[OSP_FORM_COUNT] = {"default", "light", "immediate"};

const char *osp_form_to_str(enum osp_form f)
{
	return names[f];
}

int osp_form_from_str(const char *text, enum osp_form *f)
{
	for (int i = 0; i < OSP_FORM_COUNT; i++)
		if (!strcmp(names[i], text)) {
			*f = (enum osp_form)i;
			return 0;
		}
	return -EINVAL;
}

bool osp_form_equals(const struct osp_wanted *a, const struct osp_wanted *b)
{
	return a->form == b->form && a->level == b->level && a->no_context == b->no_context &&
	       !memcmp(a->points, b->points, sizeof(a->points));
}

static bool is_named(const struct osp_point *p, const char *pattern)
{
	char name[512];

	snprintf(name, sizeof(name), "%s:%s", p->provider, p->probe);
	if (!fnmatch(pattern, name, 0) || !fnmatch(pattern, p->probe, 0))
		return true;
	if (!p->operation_count)
		return false;
	snprintf(name, sizeof(name), "%s.%s", p->operations[0]->name, p->name);
	return !fnmatch(pattern, name, 0);
}

size_t osp_form_say(struct osp_wanted *w, const struct osp_catalogue *c, const char *pattern,
		    uint8_t said)
{
	size_t n = 0;

	for (size_t i = 0; i < c->point_count; i++) {
		const struct osp_point *p = c->points[i];

		if (p->control || p->spill || !is_named(p, pattern))
			continue;
		w->points[p->number] = said;
		n++;
	}
	return n;
}

static bool begins(const struct osp_operation *op, const struct osp_point *p)
{
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == p && op->transitions[i].from == op->start &&
		    !op->transitions[i].any)
			return true;
	return false;
}

/* Points of our own providers belong to one operation: the first. */
static const struct osp_operation *operation_of(const struct osp_point *p)
{
	return p->operation_count ? p->operations[0] : NULL;
}

bool osp_form_flushes(const struct osp_point *p)
{
	const struct osp_operation *op = operation_of(p);

	return !p->foreign && !p->control && op && (p->spill || osp_automaton_ends(op, p));
}

static bool asks_for(const struct osp_wanted *w, const struct osp_point *p)
{
	uint8_t said = w->points[p->number];

	if (p->control)
		return !w->no_context;
	if (said == OSP_POINT_BY_LEVEL)
		return p->level <= w->level;
	return said != OSP_POINT_OFF && (int)p->level <= said - OSP_POINT_UP_TO;
}

static bool asks_for_any(const struct osp_wanted *w, const struct osp_operation *op)
{
	for (size_t i = 0; i < op->point_count; i++)
		if (asks_for(w, op->points[i]))
			return true;
	return false;
}

static bool traps(const struct osp_wanted *w, const struct osp_point *p)
{
	const struct osp_operation *op = operation_of(p);

	if (w->form == OSP_FORM_IMMEDIATE || p->foreign || p->control || !op)
		return true;
	return w->form == OSP_FORM_DEFAULT && op->watch && begins(op, p);
}

enum osp_use osp_form_use(const struct osp_wanted *w, const struct osp_point *p)
{
	if (osp_form_flushes(p))
		return asks_for_any(w, operation_of(p)) ? OSP_USE_TRAP : OSP_USE_NONE;
	if (!asks_for(w, p))
		return OSP_USE_NONE;
	return traps(w, p) ? OSP_USE_TRAP : OSP_USE_CARRY;
}
