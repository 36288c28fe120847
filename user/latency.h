/*
 * What `record --aggregate` found, on its way into the session and out again: a setting per row of
 * the tally (OSP_SESSION_AGGREGATE), a JSON object:
 *   process (key), comm, pid, operation, point (null: the operation as a whole), count, errors, untimed,
 *   p50_ns, p90_ns, p99_ns, max_ns (at most 1/32 off), buckets: [[least ns, count], ...]
 * A point's times are those from the step before it in its operation.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "probes/catalogue.h"
#include "store/session.h"
#include "user/feed.h"
#include "user/loader.h"

/* Reads the loader's histograms, tells of them on stderr and stores them. -errno, told. */
int osp_latency_tell(struct osp_loader *l, struct osp_feed *f, const struct osp_catalogue *c,
		     double ns_per_tick);

/* Whether a session has any: then it has no traces. A store's error. */
int osp_latency_find(const struct osp_session *s, bool *found);

/* Prints those of a session: lines for people, or a JSON object a line. */
int osp_latency_list(struct osp_session *s, FILE *out, bool json);
