/* From the rows and edges of one trace to its flat spans and its line in a listing. */
#pragma once

#include "user/base/arena.h"
#include "store/view.h"

/* One trace as a driver gave it. Everything is borrowed from the arena it was read into. */
struct osp_unpack_input {
	uint64_t trace;
	const struct osp_row *rows;
	size_t row_count;
	const struct osp_edge *to; /* edges that lead to a span of the rows */
	size_t to_count;
	const struct osp_edge *from; /* edges that come from one */
	size_t from_count;
};

/* Makes the spans, in causal order, in the arena. -ENOMEM. */
int osp_unpack_spans(struct osp_span **spans, size_t *count, const struct osp_unpack_input *in,
		     struct osp_arena *arena);

/*
 * Sums up the spans of one trace; `id` is left to the caller. ended: the recorder closed the books;
 * before, one whose parent is not there makes the trace incomplete.
 */
void osp_unpack_trace(struct osp_trace *out, const struct osp_span *spans, size_t count,
		      bool ended);
