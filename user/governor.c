/*
 * The governor of a recording's cost (user/governor.h). Fed by user/switch.c, which measures; owns
 * nothing. A step down needs two seconds above the limit, so that one busy moment is not enough;
 * a step up needs ten calm ones and half the limit, so that it does not go to and fro.
 */
#include "user/governor.h"

static const int64_t look_ns = 1000000000, calm_ns = 10000000000;

enum { OVER_MAX = 2 };

static enum osp_governor_verdict begin_anew(struct osp_governor *g, enum osp_governor_verdict v)
{
	g->looked_ns = g->calm_ns = 0;
	g->over = 0;
	return v;
}

enum osp_governor_verdict osp_governor_judge(struct osp_governor *g, int64_t now_ns,
					     int64_t spent_ns, long processors)
{
	int64_t took = now_ns - g->looked_ns;

	if (g->looked_ns && took < look_ns)
		return OSP_GOVERNOR_STAY;
	if (g->looked_ns) {
		g->share = (double)(spent_ns - g->spent_ns) /
			   ((double)took * (double)(processors > 0 ? processors : 1));
		g->over = g->share > g->limit ? g->over + 1 : 0;
		if (g->share >= g->limit / 2)
			g->calm_ns = 0;
		else if (!g->calm_ns)
			g->calm_ns = g->looked_ns;
	}
	g->looked_ns = now_ns;
	g->spent_ns = spent_ns;
	if (g->over >= OVER_MAX)
		return begin_anew(g, OSP_GOVERNOR_DOWN);
	if (g->calm_ns && now_ns - g->calm_ns >= calm_ns)
		return begin_anew(g, OSP_GOVERNOR_UP);
	return OSP_GOVERNOR_STAY;
}

/* A point that somebody named is no exception: the limit was named, too. */
static void restrain_level(struct osp_wanted *w)
{
	w->level = OSP_LEVEL_ESSENTIAL;
	for (int i = 0; i < OSP_CATALOGUE_POINTS; i++)
		if (w->points[i] > OSP_POINT_UP_TO + OSP_LEVEL_ESSENTIAL)
			w->points[i] = OSP_POINT_UP_TO + OSP_LEVEL_ESSENTIAL;
}

void osp_governor_restrain(struct osp_wanted *w, enum osp_governor_step step)
{
	if (step >= OSP_GOVERNOR_DEFAULT && w->form == OSP_FORM_IMMEDIATE)
		w->form = OSP_FORM_DEFAULT;
	if (step >= OSP_GOVERNOR_LIGHT)
		w->form = OSP_FORM_LIGHT;
	if (step >= OSP_GOVERNOR_ESSENTIAL)
		restrain_level(w);
}

uint32_t osp_governor_sample(enum osp_governor_step step)
{
	return step < OSP_GOVERNOR_SAMPLE ? 1 : 2u << (step - OSP_GOVERNOR_SAMPLE);
}

bool osp_governor_next(const struct osp_wanted *asked, bool down, enum osp_governor_step *step)
{
	struct osp_wanted now = *asked;

	osp_governor_restrain(&now, *step);
	for (int s = (int)*step + (down ? 1 : -1); s >= 0 && s < OSP_GOVERNOR_STEPS;
	     s += down ? 1 : -1) {
		struct osp_wanted next = *asked;

		osp_governor_restrain(&next, (enum osp_governor_step)s);
		if (osp_form_equals(&next, &now) &&
		    osp_governor_sample((enum osp_governor_step)s) == osp_governor_sample(*step))
			continue;
		*step = (enum osp_governor_step)s;
		return true;
	}
	return false;
}
