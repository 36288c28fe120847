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

struct osp_wanted {
	enum osp_form form;
	enum osp_level level;
	bool no_context; /* control points are not wanted */
};

const char *osp_form_to_str(enum osp_form f); /* "default", "light", "immediate" */

/*
 * Ends and spills trap in every form: only they bring what was stamped, and clear it. A
 * point that ends its operation in one state and not in another traps in both. Points of foreign
 * programs are carried by nobody: they trap.
 */
enum osp_use osp_form_use(const struct osp_wanted *w, const struct osp_point *p);
