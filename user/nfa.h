/*
 * The state-set engine over an operation's automaton: which states an operation may be in, given
 * the steps that were seen. Sets are masks (a bit per state). Points that are not attached in a
 * process are silent moves: a struct osp_nfa_view holds what they let each state reach.
 * Pure tables; the stitcher and conformance checks share it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes/catalogue.h"

struct osp_nfa;

/* Per state: what can be reached without a visible step, itself included. */
struct osp_nfa_view {
	uint64_t reach[OSP_CATALOGUE_STATES];
};

struct osp_nfa_step {
	const struct osp_transition *taken; /* its actions are those of the step */
	uint64_t live;			    /* states after the step, silent moves included */
	bool unexpected;		    /* no state of the set has such a step */
	bool ends;			    /* the operation has ended */
};

/* Compiles the automaton; the operation is borrowed and outlives it. -ENOMEM. */
int osp_nfa_new(struct osp_nfa **out, const struct osp_operation *operation);
void osp_nfa_free(struct osp_nfa **a);

/* Fills the view of a process: bit n of `visible` is set if point number n is attached there. */
void osp_nfa_init_view(const struct osp_nfa *a, const uint8_t *visible, struct osp_nfa_view *view);

/* The set of all states: nothing is known. */
uint64_t osp_nfa_all(const struct osp_nfa *a);

/* The states in which an operation may be when its first visible step comes. */
uint64_t osp_nfa_start(const struct osp_nfa *a, const struct osp_nfa_view *view);

/* True if the point is in order in one of the states. Steps allowed anywhere ("*") are not. */
bool osp_nfa_accepts(const struct osp_nfa *a, uint64_t live, const struct osp_point *point);

/*
 * Makes the step. If no state allows it, the step is unexpected and the set becomes the targets
 * of the point from wherever. `taken` is NULL if the operation has no transition for the point.
 */
void osp_nfa_step(const struct osp_nfa *a, const struct osp_nfa_view *view, uint64_t live,
		  const struct osp_point *point, struct osp_nfa_step *out);
