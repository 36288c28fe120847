/*
 * A session in which the depot's work stopped: once under way, once with gaps in what is known, and
 * once it was an operation that the session's catalogue does not have. For tests of what is said of
 * it; the processes are those of tests/sample.h.
 */
#pragma once

#include "tests/sample_losses.h"

/* Between handing and handed there is `weighed`; that point is not attached. */
#define SAMPLE_SORT                                                                                \
	"provider: parcel\nabi: 1\noperations:\n  sort:\n    by: op\n    kind: SERVER\n"           \
	"    name: \"sort\"\n    timeout: 60s\n    points:\n"                                      \
	"      received: {level: essential, doc: a parcel has come}\n"                             \
	"      accepted: {level: essential}\n"                                                     \
	"      handing: {level: essential, doc: a courier is asked to take it}\n"                  \
	"      weighed: {level: debug, doc: its weight is known}\n"                                \
	"      handed: {level: essential, doc: a courier has it}\n"                                \
	"      refused: {level: essential, doc: the courier does not want it}\n"                   \
	"      left: {level: essential}\n"                                                         \
	"    start: Idle\n    states:\n      Idle: {received: Checking}\n"                         \
	"      Checking: {accepted: Found}\n      Found: {handing: Handing}\n"                     \
	"      Handing: {weighed: Weighed, refused: Found}\n"                                      \
	"      Weighed: {handed: {end: ok}, accepted: Found}\n"                                    \
	"      \"*\": {left: {end: error}}\n"

static inline struct osp_row_span *sample_stopped(struct sample *s, unsigned n, uint32_t marks)
{
	static const char *const steps[] = {"received", "accepted", "handing"};
	struct osp_row_span *span;

	sample_row(s, sample_id(SAMPLE_DEPOT, n), n, SAMPLE_DEPOT, "depot")->complete = false;
	span = sample_span(s, "sort", "sort north/7", OSP_SPAN_SERVER, 100 * n, 100 * n + 2);
	span->marks = OSP_MARK_INCOMPLETE | marks;
	span->status = OSP_SPAN_UNSET;
	for (int i = marks ? 1 : 0; i < 3; i++)
		sample_step(s, 100 * n + i, steps[i], 0);
	return span;
}

static inline struct sample *sample_halt(void)
{
	static const char *const attached[] = {"sort__received", "sort__accepted", "sort__handing",
					       "sort__handed",	 "sort__refused",  "sort__left"};
	struct sample *s = sample_begin();

	sample_add(s, OSP_PART_CATALOGUE)->catalogue =
		(struct osp_catalogue_row){"parcel.yaml", SAMPLE_SORT};
	for (int i = 0; i < 6; i++)
		sample_watched(s, SAMPLE_DEPOT, attached[i]);
	sample_stopped(s, 1, 0);
	sample_stopped(s, 2, OSP_MARK_BEGAN_BEFORE);
	sample_stopped(s, 3, 0)->kind_name = "sort by hand";
	sample_add(s, OSP_PART_CLOCK)->clock =
		(struct osp_clock_row){sample_time(5102), SAMPLE_WALL - SAMPLE_BOOT, 150};
	return s;
}
