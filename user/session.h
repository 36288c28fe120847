/* A session file from the command's point of view: its name, its opening, its own facts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "user/feed.h"
#include "user/recorder.h"
#include "user/trial.h"

/* "outspan-<UTC>.db", e.g. outspan-20261121T090807Z.db, from a wall time. Returns out. */
char *osp_session_name(char out[40], int64_t wall_ns);

/*
 * Creates the session file (or any store's URI, if `file` has a scheme) and logs what went wrong.
 * The store is in *out on success. 0 or -errno.
 */
int osp_session_create(struct osp_store **out, const char *file, bool overwrite);

/*
 * What a reader of the session wants to know about how it was made, as settings, and the first
 * reading of the clock; attach_form in words. -errno.
 */
int osp_session_tell(struct osp_feed *f, const struct osp_recorder_options *o,
		     const char *attach_form, enum osp_wide wide);
