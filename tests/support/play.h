/* Scripts through the whole pipeline, for the golden and property tests. */
#pragma once

#include "probes/catalogue.h"
#include "user/pipeline.h"

/* An osp_input_fn for scripts that feed a pipeline: arg is the pipeline. */
int play_push(void *arg, const struct osp_input *in);

/* Hands every part that comes of the script's text to the sink. Aborts on failure. */
void play_to(const struct osp_catalogue *c, const char *name, const char *text, osp_sink_fn sink,
	     void *arg);

/* The traces that come of the script's text, as text; freed by the caller. Aborts on failure. */
char *play_tree(const struct osp_catalogue *c, const char *name, const char *text);

/* Every part that comes of it, with all fields. */
char *play_log(const struct osp_catalogue *c, const char *name, const char *text);

/* The same, with the books settled after every line of the script. */
char *play_settled_log(const struct osp_catalogue *c, const char *name, const char *text);

/* The same by way of a raw capture that is written, read again and pushed. */
char *play_raw_log(const struct osp_catalogue *c, const char *name, const char *text);

/* Writes what comes of it, and some parts more, as a session file: one that ended as it should. */
void play_session(const struct osp_catalogue *c, const char *text, const char *path,
		  const struct osp_part *more, size_t count);
