/*
 * Where an operation gets a report of what its peer did, and which operation of the peer that was, as
 * the catalogue says. Part of probes/catalogue.h, which includes it.
 */
#pragma once

#include <stddef.h>

#include "probes/rule.h"

struct osp_operation;
struct osp_point;

enum osp_report_format { OSP_REPORT_TIMINGS }; /* how the bytes are to be read: user/report.h */

/* A point of the peer's operation, and what the report calls it and its arguments. */
struct osp_report_name {
	const char *name;
	const char *args[12]; /* as the point has them: OSP_CATALOGUE_ARGS */
	const struct osp_point *point;
};

enum { OSP_REPORT_MOMENTS = 4 };

struct osp_report {
	const struct osp_operation *in; /* that gets it, by way of: */
	const struct osp_point *point;
	enum osp_report_format format;
	uint8_t bytes;			      /* the point's argument that holds the report */
	uint8_t first_arg, last_arg;	      /* those with the peer's times of: */
	const struct osp_point *first, *last; /* steps of the peer's operation */
	/* What of `in` came just before the first and just after the last: the first that was passed. */
	const struct osp_point *asked[OSP_REPORT_MOMENTS], *answered[OSP_REPORT_MOMENTS];
	size_t asked_count, answered_count;
	const struct osp_operation *as; /* the peer's operation */
	const struct osp_link *link;	/* that would lead there, were it watched */
	struct osp_report_name *names;
	size_t name_count;
};
