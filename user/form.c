/*
 * The forms of a recording. Asked for each point by attach.c, which attaches accordingly, and by
 * loader.c, which tells the kernel side. What a point does is read off the automata of the
 * operations that use it. Owns nothing.
 */
#include "user/form.h"

const char *osp_form_to_str(enum osp_form f)
{
	static const char *const names[OSP_FORM_COUNT] = {"default", "light", "immediate"};

	return names[f];
}

static bool ends(const struct osp_operation *op, const struct osp_point *p)
{
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == p && op->transitions[i].to == OSP_STATE_END)
			return true;
	return false;
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
static bool traps(const struct osp_wanted *w, const struct osp_point *p)
{
	const struct osp_operation *op = p->operation_count ? p->operations[0] : NULL;

	if (w->form == OSP_FORM_IMMEDIATE || p->foreign || p->control || p->spill || !op)
		return true;
	if (ends(op, p))
		return true;
	return w->form == OSP_FORM_DEFAULT && op->watch && begins(op, p);
}

enum osp_use osp_form_use(const struct osp_wanted *w, const struct osp_point *p)
{
	if (p->control ? w->no_context : p->level > w->level)
		return OSP_USE_NONE;
	return traps(w, p) ? OSP_USE_TRAP : OSP_USE_CARRY;
}
