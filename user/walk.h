/*
 * One step of one open operation: its automaton moves, its nested spans open and close, the step
 * is added, and it shows whether, and how, the operation has ended. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "user/nfa.h"
#include "user/event.h"
#include "user/open.h"

struct osp_walk {
	size_t span; /* that the step lies in */
	bool unexpected;
	bool ended;
	enum osp_span_status status; /* of the operation, if it ended */
	const char *code;	     /* or NULL; lives as long as the operation */
};

/*
 * -ENOSPC: the step did not fit and is not stored, but everything else happened. -EBADMSG: the
 * operation has no such step; nothing happened. -ENOMEM.
 */
int osp_walk_step(struct osp_open_pool *pool, struct osp_open *o, const struct osp_nfa *a,
		  const struct osp_nfa_view *view, const struct osp_event *e, struct osp_walk *out);

/* Closes the operation's spans. Nested ones that are open get a status from `walk`'s. */
void osp_walk_close(struct osp_open *o, int64_t end_ns, const struct osp_walk *walk,
		    uint32_t marks);
