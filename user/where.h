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

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "probes/catalogue.h"
#include "user/event.h"

enum { OSP_WHERE_TERMS = 32 };

enum osp_where_op {
	OSP_WHERE_EQ,
	OSP_WHERE_NE,
	OSP_WHERE_LT,
	OSP_WHERE_LE,
	OSP_WHERE_GT,
	OSP_WHERE_GE
};

struct osp_where_term {
	__u16 point; /* number in the catalogue */
	__u8 arg;    /* index of the point's argument */
	__u8 op;     /* enum osp_where_op */
	__u8 is_signed;
	__u8 reserved[3];
	__u64 value; /* signed ones in two's complement */
};

/* The terms, those of one point side by side, in the order of the points' numbers. */
struct osp_where_table {
	__u32 count, reserved;
	struct osp_where_term terms[OSP_WHERE_TERMS];
};

_Static_assert(sizeof(struct osp_where_term) == 16, "term");
_Static_assert(sizeof(struct osp_where_table) == 8 + 16 * OSP_WHERE_TERMS, "table of terms");

/*
 * Reads one expression and adds its terms, one for each point that is meant. On failure the
 * table is as it was and the error says what is wrong with which part, and what there is instead.
 * -EINVAL; -E2BIG: more terms than the table holds.
 */
int osp_where_add(struct osp_where_table *t, const struct osp_catalogue *c, const char *text,
		  char error[512]);

/* Whether the argument's value satisfies the term; as wide as the catalogue says it is. */
bool osp_where_compare(const struct osp_where_term *term, __u64 value);

/* Whether the step satisfies all terms of its point; what could not be read satisfies any. */
bool osp_where_holds(const struct osp_where_table *t, const struct osp_event *e);
