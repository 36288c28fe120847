/* What `record` and `replay` say about themselves: the line while it runs, the summary at the end. */
#pragma once

#include <stdint.h>

#include "user/cost.h"
#include "user/feed.h"
#include "user/loader.h"

/* One line on a terminal's stderr, rewritten at most once a second. */
void osp_progress_show(const struct osp_feed *f, int64_t elapsed_ns);

/* Ends that line. */
void osp_progress_end(void);

struct osp_progress_summary {
	const char *file;
	struct osp_pipeline_stats pipeline;
	struct osp_loader_stats loader;	     /* all 0 in a replay */
	const struct osp_cost_summary *cost; /* NULL in a replay */
	enum osp_form form;		     /* with cost */
};

/* The summary, on stderr. */
void osp_progress_summary(const struct osp_progress_summary *s);
