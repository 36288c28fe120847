/*
 * What a course (user/course.h) comes to, remembered: the whole operation as it was when the last
 * of the moves had closed it. A run that goes the same way, and whose values are of the same types,
 * differs from it in ids, times, values and names only: these are filled in, and the operation is
 * whole without a move. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/event.h"
#include "user/open.h"
#include "user/walk.h"

/* An argument of the run that may become an attribute. */
struct osp_outcome_value {
	const struct osp_arg *arg;
	const struct osp_open_arg *how;
	uint16_t value;	    /* of the run's, counted from the first new step on */
	uint16_t attribute; /* of the operation; OSP_OUTCOME_NONE = it was not given */
};

enum { OSP_OUTCOME_NONE = UINT16_MAX };

/* A span's first and last step, of the operation's. */
struct osp_outcome_span {
	uint16_t first, last;
};

struct osp_outcome {
	struct osp_outcome *next; /* of the course */
	struct osp_open open;	  /* filled anew by each run; its arrays are the outcome's own */
	size_t old_steps, old_attributes; /* those that the operation had before the course */
	struct osp_outcome_span *spans;
	struct osp_outcome_value *values;
	size_t value_count;
	uint16_t *told; /* steps of the course that others than the stitcher have to hear of */
	size_t told_count;
	const struct osp_transition *end;
	char (*names)[OSP_TITLE_MAX + 1]; /* of the spans */
	char code[OSP_WALK_CODE_MAX];
};

/* What an outcome is learnt from: an operation that has just closed, and what closed it. */
struct osp_outcome_lesson {
	const struct osp_run *run;
	size_t seen;		      /* of its steps had come before */
	const struct osp_move *moves; /* of the others */
	size_t old_attributes;	      /* that the operation had before */
	/* Whether anybody but the stitcher has to hear of the move's step. */
	bool (*tells)(void *arg, const struct osp_move *move, const struct osp_point *point);
	void *arg;
};

/* *out is NULL if the operation is more than its moves and values say. -ENOMEM. */
int osp_outcome_new(struct osp_outcome **out, const struct osp_open *o,
		    const struct osp_outcome_lesson *l);
void osp_outcome_free(struct osp_outcome **o);

/*
 * Fills the operation in. `before` is the one that the run continues, or NULL; the times of the
 * run's steps rise. False: it comes to something else; what the outcome holds is void then.
 */
bool osp_outcome_fill(struct osp_outcome *o, const struct osp_run *run, size_t seen,
		      const struct osp_open *before);
