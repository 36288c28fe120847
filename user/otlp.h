/*
 * Spans as OTLP/HTTP JSON: one ExportTraceServiceRequest, a resource per process, OpenTelemetry's
 * names where it has some (messaging.*, process.*, error.type, thread.id), outspan.* else.
 */
#pragma once

#include <jansson.h>

#include "store/session.h"

struct osp_otlp;

enum {
	OSP_OTLP_HELD = 100000
}; /* spans and events until they are written; then resources repeat */

/* Begins a request on `f`. Both are borrowed until it is freed. -ENOMEM. */
int osp_otlp_new(struct osp_otlp **out, struct osp_session *s, FILE *f);
void osp_otlp_free(struct osp_otlp **o);

/* Adds all spans of one trace. -ENOMEM, or the store's error while it looks up ends of links. */
int osp_otlp_write(struct osp_otlp *o, const struct osp_trace *t, const struct osp_span *spans,
		   size_t count);

/* Ends the request. -ENOMEM. Write errors stay with the FILE. */
int osp_otlp_flush(struct osp_otlp *o);
