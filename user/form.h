/*
 * Which sites trap. A point that is wanted is stamped into its operation's block either way; a
 * site that traps also calls the kernel side. What is not trapped at its own site is carried by
 * the operation's next flush, one trap for many steps. Pure.
 */
#pragma once

#include <stdbool.h>

#include "probes/catalogue.h"

enum osp_form {
	OSP_FORM_DEFAULT,   /* flushes, and the first steps of watched operations */
	OSP_FORM_LIGHT,	    /* flushes only */
	OSP_FORM_IMMEDIATE, /* every wanted point */
	OSP_FORM_COUNT
};

/* What a recorder does with a site. */
enum osp_use {
	OSP_USE_NONE,  /* not wanted */
	OSP_USE_CARRY, /* stamped only: attached where the program never comes by */
	OSP_USE_TRAP,
};

/* What somebody said of one point. */
enum {
	OSP_POINT_BY_LEVEL, /* nothing */
	OSP_POINT_OFF,
	OSP_POINT_UP_TO, /* + enum osp_level: wanted if its own level is not above that */
};

struct osp_wanted {
	enum osp_form form;
	enum osp_level level;
	bool no_context;		      /* control points are not wanted */
	uint8_t points[OSP_CATALOGUE_POINTS]; /* by number: OSP_POINT_* */
};

const char *osp_form_to_str(enum osp_form f);		   /* "default", "light", "immediate" */
int osp_form_from_str(const char *text, enum osp_form *f); /* -EINVAL */

bool osp_form_equals(const struct osp_wanted *a, const struct osp_wanted *b);

/*
 * Says something (OSP_POINT_*) of all points that the pattern names: "operation__point",
 * "operation.point" or "provider:operation__point", where * stands for anything. Returns how many
 * they are.
 */
size_t osp_form_say(struct osp_wanted *w, const struct osp_catalogue *c, const char *pattern,
		    uint8_t said);

/*
 * Ends and spills trap in every form: only they bring what was stamped, and clear it. They do
 * as long as any point of their operation is wanted, whatever is said of themselves. A
 * point that ends its operation in one state and not in another traps in both. Points of foreign
 * programs are carried by nobody: they trap.
 */
enum osp_use osp_form_use(const struct osp_wanted *w, const struct osp_point *p);

/* True if the point brings the steps of its operation: its end, or where a full block spills. */
bool osp_form_flushes(const struct osp_point *p);
