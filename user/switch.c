/*
 * Changes of what is recorded (user/switch.h). Fed by user/orders.c and by the recorder's ticks;
 * drives the loader, and tells the pipeline, through user/follow.c and user/feed.c. Before sites
 * change the ring is drained, so that what was recorded is read with the eyes of then; while they
 * change nothing is sure. Owns what is wanted and the governor.
 */
#include "user/switch.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/governor.h"

enum { TOLD_MAX = 1000 }; /* changes that stand in the session; the last of them stands for more */

struct osp_switch {
	struct osp_switch_back back;
	struct osp_wanted asked, now;
	uint32_t sample, sample_now;  /* asked for, and now: one of so many traces */
	struct osp_governor governor; /* limit 0: there is none */
	enum osp_governor_step step;
	bool helpless; /* it was told that nothing cheaper is left */
	unsigned int told;
};

int osp_switch_new(struct osp_switch **out, const struct osp_switch_back *back,
		   const struct osp_wanted *asked, uint32_t sample, double limit)
{
	struct osp_switch *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->back = *back;
	s->asked = s->now = *asked;
	s->sample = s->sample_now = sample ? sample : 1;
	s->governor.limit = limit;
	*out = s;
	return 0;
}

void osp_switch_free(struct osp_switch **s)
{
	free(*s);
	*s = NULL;
}

const struct osp_wanted *osp_switch_asked(const struct osp_switch *s)
{
	return &s->asked;
}

const struct osp_wanted *osp_switch_now(const struct osp_switch *s)
{
	return &s->now;
}

uint32_t osp_switch_sample(const struct osp_switch *s)
{
	return s->sample_now;
}

/* What is recorded at a time. */
struct state {
	struct osp_wanted wanted;
	uint32_t sample;
};

/* "default form, detail level, 3 points apart, 1 of 4 traces" */
static const char *describe(char out[120], const struct state *at)
{
	const struct osp_wanted *w = &at->wanted;
	size_t apart = 0;
	int n;

	for (size_t i = 0; i < OSP_CATALOGUE_POINTS; i++)
		apart += w->points[i] != OSP_POINT_BY_LEVEL;
	n = snprintf(out, 120, "%s form, %s level", osp_form_to_str(w->form),
		     osp_level_to_str(w->level));
	if (apart)
		n += snprintf(out + n, 120 - (size_t)n, ", points apart: %zu", apart);
	if (at->sample > 1)
		snprintf(out + n, 120 - (size_t)n, ", 1 of %" PRIu32 " traces", at->sample);
	return out;
}

/* share < 0: nothing was measured. */
static int tell(struct osp_switch *s, const struct state *from, const char *by, double share)
{
	const struct state now = {s->now, s->sample_now};
	char name[32], at[40], before[120], after[120], *text _cleanup_free_ = NULL;
	json_t *value = json_pack("{s:s, s:s, s:s, s:s}", "at",
				  osp_text_time(at, osp_clock_read(CLOCK_REALTIME), true), "by", by,
				  "from", describe(before, from), "to", describe(after, &now));

	if (value && share >= 0)
		json_object_set_new(value, "share", json_real(share));
	text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(4)) : NULL;
	json_decref(value);
	if (!text)
		return -ENOMEM;
	if (share >= 0)
		osp_info("%s: %.3g %% of the processors, limit %.3g %%: from %s to %s", by,
			 100 * share, 100 * s->governor.limit, before, after);
	else
		osp_info("%s: from %s to %s", by, before, after);
	s->told += s->told < TOLD_MAX;
	snprintf(name, sizeof(name), "switched_%u", s->told);
	return osp_feed_setting(s->back.feed, name, text);
}

/* What could not be attached is in *failed. An error is the feed's. */
static int apply(struct osp_switch *s, const char *by, double share, int *failed)
{
	const struct state before = {s->now, s->sample_now};
	uint32_t sample = s->sample * osp_governor_sample(s->step);
	struct osp_wanted next = s->asked;
	size_t sites = 0;
	int r;

	*failed = 0;
	osp_governor_restrain(&next, s->step);
	if (osp_form_equals(&next, &s->now) && sample == s->sample_now)
		return 0;
	r = s->back.drain(s->back.arg);
	r = r ? r : osp_feed_attach(s->back.feed, UINT32_MAX, false, true);
	if (r)
		return r;
	*failed = osp_loader_switch(s->back.loader, &next, &sites);
	osp_loader_sample(s->back.loader, sample);
	s->now = next;
	s->sample_now = sample;
	r = osp_follow_tell(s->back.follow, sites);
	r = r ? r : osp_feed_attach(s->back.feed, UINT32_MAX, false, false);
	return r ? r : tell(s, &before, by, share);
}

int osp_switch_ask(struct osp_switch *s, const struct osp_wanted *asked, const char *by)
{
	int failed, r;

	s->asked = *asked;
	s->helpless = false;
	r = apply(s, by, -1, &failed);
	return r ? r : failed;
}

static void tell_helpless(struct osp_switch *s)
{
	if (s->helpless)
		return;
	s->helpless = true;
	osp_warn(
		"governor: %.3g %% of the processors, limit %.3g %%: nothing cheaper is left - record fewer processes or points",
		100 * s->governor.share, 100 * s->governor.limit);
}

int osp_switch_tick(struct osp_switch *s)
{
	enum osp_governor_verdict v;
	int failed;

	if (s->governor.limit <= 0)
		return 0;
	v = osp_governor_judge(&s->governor, osp_clock_read(CLOCK_BOOTTIME),
			       osp_cost_spent(s->back.cost), sysconf(_SC_NPROCESSORS_ONLN));
	if (v == OSP_GOVERNOR_STAY)
		return 0;
	if (osp_governor_next(&s->asked, v == OSP_GOVERNOR_DOWN, &s->step))
		return apply(s, "governor", s->governor.share, &failed);
	if (v == OSP_GOVERNOR_DOWN)
		tell_helpless(s);
	return 0;
}
