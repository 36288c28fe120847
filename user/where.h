/*
 * Predicates on arguments: what `--where 'POINT.ARG OP NUMBER'` takes, compiled to a table that
 * the kernel side can hold. All terms must hold (AND); a term speaks of the operations that pass
 * its point, and of no others. Pure.
 *
 *   POINT   name of a point; "OPERATION.POINT" where several operations have one of that name
 *           and only one is meant; a probe's name ("operation__point") does, too
 *   ARG     an integer or bool argument of it
 *   OP      == (or =), !=, <, <=, >, >=
 *   NUMBER  decimal or 0x...; K, M, G behind it are powers of 1024; true, false; for an
 *           enumeration the name of a value
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bpf/predicate.h"
#include "probes/catalogue.h"
#include "user/event.h"

/* The terms, those of one point side by side, in the order of the points' numbers. */
struct osp_where_table {
	__u32 count, reserved;
	struct osp_where_term terms[OSP_WHERE_TERMS];
};

_Static_assert(sizeof(struct osp_where_table) == 8 + 16 * OSP_WHERE_TERMS, "table of terms");

/*
 * Reads one expression and adds its terms, one for each point that is meant. On failure the
 * table is as it was and the error says what is wrong with which part, and what there is instead.
 * -EINVAL; -E2BIG: more terms than the table holds.
 */
int osp_where_add(struct osp_where_table *t, const struct osp_catalogue *c, const char *text,
		  char error[512]);

/* Whether the step satisfies all terms of its point; what could not be read satisfies any. */
bool osp_where_holds(const struct osp_where_table *t, const struct osp_event *e);
