/*
 * Conformance of one operation: its steps against its automaton, with the engine that stitches
 * (user/nfa.h). Where the automaton has no such step, it is found out what the smallest change is
 * after which the steps go on in order, and that is told. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/nfa.h"

enum osp_conform_kind {
	OSP_CONFORM_MISSING,	  /* something has to come before this step, and did not */
	OSP_CONFORM_UNEXPECTED,	  /* nothing allows the step here */
	OSP_CONFORM_OUT_OF_ORDER, /* the step stands at another place than where it was due */
	OSP_CONFORM_DUPLICATE,	  /* the step has come already */
	OSP_CONFORM_LATE,	  /* it came when the operation was over */
	OSP_CONFORM_NEVER_ENDED,
	OSP_CONFORM_KINDS
};

enum { OSP_CONFORM_EXPECTED = 8, OSP_CONFORM_MAX = 4 };

/* An operation as it is checked; all is borrowed. */
struct osp_conform_run {
	const struct osp_operation *operation;
	const struct osp_nfa *automaton;
	const struct osp_nfa_view *view;  /* what was attached */
	const struct osp_nfa_view *blind; /* as if nothing was */
	const struct osp_point *const *steps;
	size_t count;
	const uint8_t *visible; /* by point number: what was attached; NULL = everything */
	bool midway;		/* it began before it was watched */
	bool ended;		/* the last step was its end */
};

/* One thing that is wrong. */
struct osp_deviation {
	enum osp_conform_kind kind;
	size_t at;  /* index of the step before which, or at which; count = behind the last */
	size_t due; /* OUT_OF_ORDER: before which step it was due */
	const struct osp_point *point; /* the step that is meant; NULL = one of the expected ones */
	const struct osp_point *expected[OSP_CONFORM_EXPECTED]; /* that were in order here */
	size_t expected_count;
};

/* True if every step is in order; *live are the states after the last one, 0 = it has ended. */
bool osp_conform_follows(const struct osp_conform_run *run, uint64_t *live);

/*
 * What is wrong with the steps, in their order; no more than OSP_CONFORM_MAX are looked for.
 * Returns how many there are. *live as above.
 */
size_t osp_conform_find(const struct osp_conform_run *run,
			struct osp_deviation out[OSP_CONFORM_MAX], uint64_t *live);

/* Fills in the points that are in order in these states. */
void osp_conform_expect(const struct osp_conform_run *run, uint64_t live, struct osp_deviation *d);

/* "missing", "out of order", ... */
const char *osp_conform_to_str(enum osp_conform_kind kind);
