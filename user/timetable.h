/*
 * The times of --aggregate for people: rows of the session (user/latency.h) by program. Where many
 * processes ran one program, its rows are one: their sums, and quantiles of all of them.
 */
#pragma once

#include <jansson.h>

struct osp_timetable;

/* -ENOMEM. */
int osp_timetable_new(struct osp_timetable **out);
void osp_timetable_free(struct osp_timetable **t);

/*
 * A row as the session holds it, which is referred to; anything else is passed over. `place` sorts
 * the rows of a process. -ENOMEM; -E2BIG: more rows than a session can have.
 */
int osp_timetable_add(struct osp_timetable *t, const char *place, json_t *row);

/* All of it, a line at a time, the heading first; nothing if there are no rows. -ENOMEM. */
int osp_timetable_print(struct osp_timetable *t, void (*line)(void *arg, const char *text),
			void *arg);
