/*
 * Links between operations as the catalogue defines them: between which ends, by what evidence. Part
 * of probes/catalogue.h, which includes it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct osp_operation;
struct osp_point;

enum osp_makes { OSP_MAKES_PARENT, OSP_MAKES_LINK, OSP_MAKES_FAN_IN };
enum osp_grade {
	OSP_GRADE_EXACT,
	OSP_GRADE_STRONG,
	OSP_GRADE_WEAK,
	OSP_GRADE_AMBIGUOUS,
	OSP_GRADE_REPORTED /* by the peer: nobody watched it */
};

/* Where a link's value comes from: argument `arg` of `point`. */
struct osp_ref {
	const struct osp_point *point;
	uint8_t arg;
};

enum { OSP_REF_ALTERNATIVES = 8, OSP_ALSO_MAX = 4, OSP_SIDE_MAX = 4 };

/* Alternatives: the first point of the list that the operation passed; those of other operations never. */
struct osp_refs {
	struct osp_ref refs[OSP_REF_ALTERNATIVES];
	size_t count;
};

struct osp_match {
	const char *evidence; /* trace_context, message_id, ... */
	enum osp_grade grade;
	struct osp_refs from, to;
	struct osp_refs also_from[OSP_ALSO_MAX], also_to[OSP_ALSO_MAX]; /* must be equal too */
	size_t also_count;
	int64_t within_ns; /* the two values are at most this far apart; 0 = no limit but the table's */
};

/* The operations that may stand on one side of a link. */
struct osp_side {
	struct {
		const struct osp_operation *operation;
		int8_t span; /* kind of nested span, or -1 = the operation */
	} ends[OSP_SIDE_MAX];
	size_t count;
};

struct osp_link {
	uint16_t number;
	const char *name, *doc; /* doc: or NULL */
	struct osp_side from, to;
	enum osp_makes makes;
	struct osp_match matches[4]; /* the first that matches is the fact */
	size_t match_count;
};
