/*
 * What follows from an operation's automaton alone: which nested spans are open in each state.
 * The loader's checks and the generator ask for it.
 */
#pragma once

#include "probes/catalogue.h"

/* The spans open in a state, outermost first. */
struct osp_open_spans {
	uint8_t count;
	uint8_t spans[OSP_CATALOGUE_SPANS];
	bool reached; /* there is a way to the state */
};

enum osp_walk_problem {
	OSP_WALK_NOT_OPEN,    /* a span is closed, or given a status, where it is not open */
	OSP_WALK_OPEN_TWICE,  /* a span is opened while it is open */
	OSP_WALK_OPEN_AT_END, /* a span is opened by the step that ends the operation */
	OSP_WALK_DIFFERENT,   /* the same state is entered with other spans open */
};

/* The first thing that is wrong: at which transition, with which span. */
struct osp_walk_error {
	enum osp_walk_problem problem;
	size_t transition;
	uint8_t span;
};

/* True if the span is among the open ones. */
bool osp_open_spans_find(const struct osp_open_spans *o, uint8_t span);

/* True if the point ends the operation in one of its states at least. */
bool osp_automaton_ends(const struct osp_operation *op, const struct osp_point *p);

/* Fills out[state] for every state. -EINVAL with the first problem. */
int osp_automaton_walk(const struct osp_operation *op,
		       struct osp_open_spans out[OSP_CATALOGUE_STATES],
		       struct osp_walk_error *error);

/* The spans open after the transition; *o are those of its state. False: error is filled. */
bool osp_automaton_step(const struct osp_transition *t, struct osp_open_spans *o,
			struct osp_walk_error *error);
