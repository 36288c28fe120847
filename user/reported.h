/*
 * Operations that a peer reports (user/report.h), for peers that nobody watches: the steps that the
 * report tells of go through the automaton of the peer's operation, as if they had been seen. What
 * comes of it is a row of its own, marked as reported, and the link that leads to it. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "probes/catalogue.h"
#include "store/span.h"
#include "user/event.h"
#include "user/open.h"

/*
 * Of an operation that was reported: how far its times may be off (absent: the clocks could not be
 * brought together), whether the end of the report is missing, and how many of its records nobody
 * knows.
 */
#define OSP_ATTRIBUTE_CLOCK_ERROR     "outspan.report.clock_error_ns"
#define OSP_ATTRIBUTE_CUT	      "outspan.report.cut"
#define OSP_ATTRIBUTE_UNKNOWN_RECORDS "outspan.report.unknown_records"

struct osp_reported;

/* The catalogue is borrowed. -ENOMEM. */
int osp_reported_new(struct osp_reported **out, const struct osp_catalogue *c);
void osp_reported_free(struct osp_reported **r);

/* What the catalogue says of the reports that the point brings; NULL: it brings none. */
const struct osp_report *osp_reported_find(const struct osp_reported *r, const struct osp_point *p);

/*
 * The row, without trace and process, of the operation that the report at this step of the span
 * tells of, and the link to it from the span; both live until the next call. 1: the step has no
 * report that says anything. -ENOMEM.
 */
int osp_reported_make(struct osp_reported *r, const struct osp_open *o, const struct osp_event *e,
		      size_t span, struct osp_row *row, struct osp_edge *edge);
