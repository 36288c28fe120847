/*
 * Text for people: the listing of traces, as wide as the terminal, and the tree of one, at most 100
 * columns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "store/session.h"
#include "user/books.h"
#include "user/outlook.h"

struct osp_render {
	FILE *out;
	struct osp_session *session;   /* borrowed: for processes, the clock and ends of links */
	const struct osp_books *books; /* borrowed: what was lost, and when */
	const struct osp_outlook *outlook; /* borrowed: of what is incomplete, if any is */
	size_t columns;			   /* that a line of the listing may have */
	bool utc;
	bool colour;
	bool verbose; /* events and attributes, too */
};

/* Whether to colour; `when` is always, never, or auto (as NULL): asks the terminal and NO_COLOR. */
bool osp_render_colour(const char *when, FILE *out);

/* One line of the listing; the heading comes before the first. */
void osp_render_heading(const struct osp_render *r);
void osp_render_trace(const struct osp_render *r, const struct osp_trace *t);

/* What the letters in the column of marks mean (the union of all marks), and what was lost. */
void osp_render_legend(const struct osp_render *r, uint32_t marks);

/* The tree of a trace; its spans in the order of osp_store_spans. -ENOMEM or a store's error. */
int osp_render_spans(const struct osp_render *r, const struct osp_trace *t,
		     const struct osp_span *spans, size_t count);
