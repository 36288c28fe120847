/*
 * What an operation that stopped would have done next, by the catalogue that its session was made
 * with. For the commands that show.
 */
#pragma once

#include <stddef.h>

#include "probes/catalogue.h"
#include "store/session.h"
#include "store/view.h"

enum { OSP_OUTLOOK_STEPS = 16 };

/* Of the last known step and of those that may follow it; all borrowed from the outlook. */
struct osp_outlook_steps {
	const struct osp_point *last;
	const struct osp_point *next[OSP_OUTLOOK_STEPS];
	size_t count;
};

struct osp_outlook;

/*
 * Reads the session's catalogue and what was attached; the session is borrowed. A catalogue that
 * makes no sense (a damaged file) knows no operation. -ENOMEM or a store's error.
 */
int osp_outlook_new(struct osp_outlook **out, const struct osp_session *s);
void osp_outlook_free(struct osp_outlook **o);

/*
 * Of an operation among the spans of its trace: the steps that would have been recorded next. If
 * what is known of it has gaps, all that may follow its last step. -ENOENT: the catalogue does not
 * know it, or it has no step; -ENOMEM.
 */
int osp_outlook_find(const struct osp_outlook *o, const struct osp_span *spans, size_t count,
		     const struct osp_span *of, struct osp_outlook_steps *out);
