/*
 * Which operations are recorded: `--match-topic`, `--where` and `--limit`. An operation is taken or left as a
 * whole, which shows when its steps come with its end. Steps that come one by one, and those of a
 * full block, are taken only if what has been seen since the beginning is enough to take it: the
 * first ones come again with the end.
 *
 * Taken is an operation
 *   whose first topic matches, or that shows none (began before, or has none of its own), and
 *   that, for each point with conditions, passed it with all of them true at least once, or never.
 * Operations of other programs' points are always taken. Pure.
 *
 * With a limit (user/limit.h) those taken are asked about once all steps that are at hand have
 * come: with the end, or with a full block. Which trace an operation is of shows late.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "probes/catalogue.h"
#include "user/decode.h"
#include "user/limit.h"
#include "user/pattern.h"
#include "user/where.h"

enum { OSP_CHOICE_OPEN = 4096 }; /* operations remembered whose steps come in several records */

/* What was asked for; NULL = nothing of the kind. Borrowed for as long as the choice lives. */
struct osp_choice_rules {
	const struct osp_patterns *topics;
	const struct osp_where_table *where;
	struct osp_limit_rule limit; /* its arg, too, is borrowed */
};

struct osp_choice;

/* `with` is borrowed, too: what the records are decoded with. -ENOMEM. */
int osp_choice_new(struct osp_choice **out, const struct osp_choice_rules *rules,
		   const struct osp_decode_with *with);
void osp_choice_free(struct osp_choice **c);

/*
 * True if the steps of this record (of steps, 8-aligned) are to be left out, and why: FILTERED or
 * LIMITED. To be asked once for each record, in their order. What cannot be decoded is not left out.
 */
bool osp_choice_leaves(struct osp_choice *c, const struct osp_record *record, size_t size,
		       enum osp_loss_reason *why);

/* The rules as the kernel side takes them: it decides about operations that come whole. */
struct osp_predicates {
	struct osp_pattern_table topics;
	struct osp_where_table where;
	struct osp_predicate points[OSP_CATALOGUE_POINTS];
};

/* -E2BIG: the patterns are too large for a table, and only a choice can decide; -ENOMEM. */
int osp_choice_predicates(struct osp_predicates *out, const struct osp_choice_rules *rules,
			  const struct osp_catalogue *catalogue);

/* Operations that the limit left out for want of room. */
uint64_t osp_choice_crowded(const struct osp_choice *c);

/* Whether any point of an operation that a choice is about has an argument of the name. */
bool osp_choice_knows(const struct osp_catalogue *c, const char *arg);
