/*
 * What a broadcaster tells its publisher of a fan-out, in the tracing field of the answer: the
 * timings that lonelypsp's own tracer ("simple") expects there, in its format, big-endian:
 *
 *   u8 truncated, u16 n, n times (v16 name, v16 JSON, f64 seconds since 1970),
 *   u64 request received, u64 response sent (ns since 1970)
 *
 * A publisher with that tracer fails on an answer without at least one record.
 */
#pragma once

#include <stdint.h>

#include "probes/pubsub/ps_wire.h"

/*
 * What a RESPONSE_NOTIFY over HTTP carries. An own context is answered with one in all but the first,
 * and with a report behind it if it asks for one.
 */
enum ps_report_mode {
	PS_REPORT_NONE,	  /* nothing, whatever was asked */
	PS_REPORT_OWN,	  /* nothing else */
	PS_REPORT_SIMPLE, /* a report to requests without an own context */
	PS_REPORT_MODES
};

/* "none", "own", "simple". -EINVAL. */
int ps_report_mode_from_str(const char *text, enum ps_report_mode *mode);

struct ps_report {
	bool on; /* else nothing is kept */
	bool truncated;
	uint16_t count;
	int64_t received_ns;
	struct osp_buffer records, whole;
};

/* Begins to keep records, for a request received at that wall time. */
void ps_report_start(struct ps_report *r, int64_t received_ns);

/*
 * Keeps a record of now with what json_pack makes of the format (NULL: an empty object; so, too, if
 * the values are no text). What finds no room, and all after it, is left out: truncated. NULL keeps
 * nothing.
 */
void ps_report_add(struct ps_report *r, const char *name, const char *format, ...);

/*
 * The field as of now, borrowed until the report is cleared: the context in front, then the report.
 * Only the context if none was started.
 */
struct ps_bytes ps_report_encode(struct ps_report *r, struct ps_bytes context);

/* The two times at the end of a report. False: it is too short to be one. */
bool ps_report_times(struct ps_bytes report, uint64_t *received_ns, uint64_t *sent_ns);

void ps_report_clear(struct ps_report *r);
