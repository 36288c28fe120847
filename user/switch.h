/*
 * What is recorded, switched while it is: level, points and form, by orders of `outspan ctl`; and
 * by the governor, which keeps the cost below a limit. Each change is told on stderr and stands in
 * the session as a setting "switched_<n>": {"at", "by", "from", "to"} and, of the governor's,
 * "share", what was measured.
 */
#pragma once

#include "user/cost.h"
#include "user/feed.h"
#include "user/follow.h"
#include "user/form.h"
#include "user/loader.h"

struct osp_switch;

/* What it does it with: all borrowed, the recorder's, and outlives it. */
struct osp_switch_back {
	struct osp_loader *loader;
	struct osp_follow *follow;
	struct osp_feed *feed;
	struct osp_cost *cost;
	int (*drain)(void *arg); /* as far as it goes: what was recorded before a change */
	void *arg;
};

/* `asked` is what is attached, one of `sample` traces (0: all); limit: of all processors' time, 0 = none. -ENOMEM. */
int osp_switch_new(struct osp_switch **out, const struct osp_switch_back *back,
		   const struct osp_wanted *asked, uint32_t sample, double limit);
void osp_switch_free(struct osp_switch **s);

/* What somebody has asked for, and what is recorded of it now. */
const struct osp_wanted *osp_switch_asked(const struct osp_switch *s);
const struct osp_wanted *osp_switch_now(const struct osp_switch *s);

/* One of so many traces is recorded now: as asked for, and what the governor makes of it. */
uint32_t osp_switch_sample(const struct osp_switch *s);

/*
 * From here on this is asked for; `by` says by whom. -errno, told: something could not be
 * attached, the rest was switched.
 */
int osp_switch_ask(struct osp_switch *s, const struct osp_wanted *asked, const char *by);

/* Every tick: the governor. An error of the feed. */
int osp_switch_tick(struct osp_switch *s);
