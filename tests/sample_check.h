/*
 * A session of the depot whose work is not always what its catalogue says, for tests of what `check`
 * says of it; the processes are those of tests/sample.h.
 */
#pragma once

#include "tests/sample_halt.h"

/* An operation of the depot, a step each ms. */
static inline struct osp_row_span *sample_work(struct sample *s, unsigned n, const char *name,
					       const char *const *steps, size_t count)
{
	struct osp_row_span *span;

	sample_row(s, sample_id(SAMPLE_DEPOT, n), n, SAMPLE_DEPOT, "depot");
	span = sample_span(s, "sort", name, OSP_SPAN_SERVER, 100 * n, 100 * n + count - 1);
	for (size_t i = 0; i < count; i++)
		sample_step(s, 100 * n + i, steps[i], 0);
	return span;
}

/* 1 lacks a step, 2 has one twice, 3 is right, 4 was cut by the stop, 5 is not in the catalogue. */
static inline struct sample *sample_check(void)
{
	static const char *const right[] = {"received", "accepted", "handing", "weighed", "handed"};
	static const char *const lacks[] = {"received", "handing", "weighed", "handed"};
	static const char *const twice[] = {"received", "accepted", "accepted",
					    "handing",	"weighed",  "handed"};
	struct sample *s = sample_begin();

	sample_add(s, OSP_PART_CATALOGUE)->catalogue =
		(struct osp_catalogue_row){"parcel.yaml", SAMPLE_SORT};
	sample_work(s, 1, "sort \x1b[2Jnorth\n7", lacks, 4);
	sample_work(s, 2, "sort south/1", twice, 6);
	sample_work(s, 3, "sort south/2", right, 5);
	sample_stopped(s, 4, 0);
	sample_work(s, 5, "sort by hand", right, 2)->kind_name = "sort_by_hand";
	return s;
}
