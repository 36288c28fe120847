/*
 * Keeps what a recording costs below a limit (`record --overhead`): decides when to take a step
 * down to a cheaper form, and when one up again. Pure: times and costs arrive as data. What it
 * decides is done by user/switch.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "user/form.h"

/* From what was asked for down; every step keeps those before it. */
enum osp_governor_step {
	OSP_GOVERNOR_ASKED,
	OSP_GOVERNOR_DEFAULT, /* not immediate */
	OSP_GOVERNOR_LIGHT,
	OSP_GOVERNOR_ESSENTIAL, /* no other level */
	OSP_GOVERNOR_SAMPLE,	/* half of the traces, and half of that with each further step */
	OSP_GOVERNOR_STEPS = OSP_GOVERNOR_SAMPLE + 6
};

enum osp_governor_verdict { OSP_GOVERNOR_STAY, OSP_GOVERNOR_DOWN, OSP_GOVERNOR_UP };

struct osp_governor {
	double limit;	   /* of all processors' time, 0.02 = 2 % */
	double share;	   /* that the recording took when it was last looked at */
	int64_t looked_ns; /* 0 = not yet, or to be begun anew */
	int64_t spent_ns;  /* until then */
	unsigned int over; /* how often in a row the limit was passed */
	int64_t calm_ns;   /* since when it has taken less than half of it; 0 = it does not */
};

/*
 * Looks at most once a second. spent_ns: what the recording has cost so far, of all processors.
 * Twice above the limit: down. Ten seconds below half of it: up. After either the account begins
 * anew, so that the change itself is not in it.
 */
enum osp_governor_verdict osp_governor_judge(struct osp_governor *g, int64_t now_ns,
					     int64_t spent_ns, long processors);

/* Changes what was asked for into what the step allows. */
void osp_governor_restrain(struct osp_wanted *w, enum osp_governor_step step);

/* One of how many of the traces asked for is recorded. */
uint32_t osp_governor_sample(enum osp_governor_step step);

/*
 * The next step that makes a difference to what was asked for. False: there is none, *step is as
 * it was.
 */
bool osp_governor_next(const struct osp_wanted *asked, bool down, enum osp_governor_step *step);
