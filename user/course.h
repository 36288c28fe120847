/*
 * What whole runs of steps do to their operation, remembered: operations of one kind pass the same
 * points again and again. A course is the list of moves (user/walk.h) that were decided, one by
 * one, for a list of points from a given start on; so there is one definition of what steps mean,
 * the walk, and this is only its result. Bounded: of four that share a place the one that was not
 * used for longest is forgotten. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/event.h"
#include "user/outcome.h"
#include "user/walk.h"

enum { OSP_COURSE_SETS = 64, OSP_COURSE_WAYS = 4, OSP_COURSE_OUTCOMES = 4 };

/* All that the decisions depend on; the operation has no nested spans yet. */
struct osp_course_key {
	const struct osp_operation *operation;
	uint64_t view;		/* serial number of the process' osp_view */
	uint64_t live;		/* states before the first step */
	bool fresh;		/* the operation begins with it */
	const uint16_t *points; /* numbers in the catalogue */
	size_t count;
};

struct osp_course {
	struct osp_course_key key;    /* points: those below */
	uint64_t hash;		      /* of the key */
	size_t learnt;		      /* moves so far; it is known when all are */
	uint64_t used;		      /* when it was used last, in uses of all */
	struct osp_move *moves;	      /* owned, as the points behind them; NULL = unused */
	struct osp_outcome *outcomes; /* owned; of one that ends its operation */
	size_t outcome_count;
};

struct osp_courses {
	struct osp_course ways[OSP_COURSE_SETS][OSP_COURSE_WAYS];
	struct osp_course *lesson; /* the one being learnt, or NULL */
	uint64_t uses, forms;	   /* counts */
};

void osp_courses_clear(struct osp_courses *c);

/* The course of the key, or NULL. A lesson that was not finished is forgotten. */
struct osp_course *osp_courses_find(struct osp_courses *c, const struct osp_course_key *key);

/* The key was not found: it is learnt now, from the moves that follow. -ENOMEM. */
int osp_courses_start(struct osp_courses *c, const struct osp_course_key *key);

/*
 * A move of the lesson. `live` is what the operation may have been in before it, as the walk had
 * it: another than the move before left there means a doubt, and ends the lesson.
 */
void osp_courses_learn(struct osp_courses *c, const struct osp_point *point, uint64_t live,
		       const struct osp_move *move);

/* What the course came to is remembered with it, unless that is full. */
void osp_courses_end(struct osp_courses *c, struct osp_course *course, struct osp_outcome *outcome);

/* Something happened that the moves do not say: the lesson ends. */
void osp_courses_forget(struct osp_courses *c);
