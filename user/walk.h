/*
 * One step of one open operation: its automaton moves, its nested spans open and close, the step
 * is added, and it shows whether, and how, the operation has ended. First it is decided what the
 * step does, then that is done: what was decided may be used again (user/course.h). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "user/nfa.h"
#include "user/event.h"
#include "user/open.h"

/*
 * What a step does to its operation, decided: it depends on the point, on the states that the
 * operation may be in and on its nested spans, and on no value and no time.
 */
struct osp_move {
	const struct osp_transition *taken; /* NULL: the operation has no such step */
	uint64_t live;			    /* states after it */
	bool unexpected, ends;
	bool names_parent; /* an argument of the point may */
	uint16_t span;	   /* that the step lies in, unless it opens one */
	uint16_t parent;   /* of the span that it opens */
	uint16_t found[4]; /* by action: the open span that it is about; 0 = none */
};

enum { OSP_WALK_CODE_MAX = 64 };

struct osp_walk {
	size_t span; /* that the step lies in */
	bool ended;
	enum osp_span_status status; /* of the operation, if it ended */
	const char *code;	     /* or NULL; lives as long as the operation */
};

/* Decides; changes nothing. */
void osp_walk_decide(const struct osp_open *o, const struct osp_nfa *a,
		     const struct osp_nfa_view *view, const struct osp_point *point,
		     struct osp_move *out);

/*
 * The code that a step ends its operation with, or NULL. It is one of the catalogue's, or lies in
 * `text`. The values are the point's arguments.
 */
const char *osp_walk_code(const struct osp_transition *t, const struct osp_point *point,
			  const struct osp_event_value *values, char text[OSP_WALK_CODE_MAX]);

/*
 * Makes the move, which is one that is taken. -ENOSPC: the step did not fit and is not stored, but
 * everything else happened. -ENOMEM.
 */
int osp_walk_apply(struct osp_open_pool *pool, struct osp_open *o, const struct osp_move *move,
		   const struct osp_event *e, struct osp_walk *out);

/* Closes the operation's spans. Nested ones that are open get a status from `walk`'s. */
void osp_walk_close(struct osp_open *o, int64_t end_ns, const struct osp_walk *walk,
		    uint32_t marks);
