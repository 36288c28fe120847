/*
 * Which point a step is of. A step in an operation block has only the number that its point has in
 * the header of the provider that its binary was built with: a table per (binary, provider) says
 * which point of the loaded catalogue that is. Binaries that agree share a table. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "probes/catalogue.h"

struct osp_numbers_set;

/* The points of own operations that have a step, by number; NULL = one that was refused, or none. */
struct osp_numbers_table {
	const struct osp_point *points[OSP_EVENT_POINTS];
};

/* The catalogue is borrowed. -ENOMEM. */
int osp_numbers_new(struct osp_numbers_set **out, const struct osp_catalogue *c);
void osp_numbers_free(struct osp_numbers_set **s);

/* What a table holds, from now on. Tables out of range, and 0, are ignored. */
void osp_numbers_add(struct osp_numbers_set *s, uint32_t table, const struct osp_numbers *numbers);

/*
 * The table that a record names, for the provider of `like`, the point of its hit. One that was
 * never told is that of the loaded catalogue. NULL: there is none.
 */
const struct osp_numbers_table *osp_numbers_table(const struct osp_numbers_set *s, uint32_t table,
						  const struct osp_point *like);

/* The point with the number. NULL: a point that was refused, a foreign one, or none. */
static inline const struct osp_point *osp_numbers_find(const struct osp_numbers_table *table,
						       uint32_t number)
{
	return table && number < OSP_EVENT_POINTS ? table->points[number] : NULL;
}
