/*
 * What a peer's answer tells of an operation of its own: its bytes, decoded, and its clock against
 * ours. Nothing in it is trusted. Pure.
 *
 * The format "timings", big-endian, is that of upstream's simple tracer:
 *
 *   u8 truncated, u16 n, n times (v16 name, v16 JSON, f64 seconds since 1970),
 *   u64 request received, u64 response sent (ns since 1970)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct osp_report_record {
	const char *name, *json; /* not terminated; in the report's bytes */
	size_t name_size, json_size;
	int64_t time_ns; /* since 1970; -1: it makes no sense */
};

struct osp_report_reader {
	const uint8_t *at;
	size_t left;
	uint16_t count; /* records that are still to come */
	bool cut;	/* the peer left some out, or the last ones are not in the bytes */
};

/*
 * Starts on the bytes that were kept of a report of true_size bytes; they are borrowed.
 * -EBADMSG: they are none, or tell of nothing.
 */
int osp_report_start(struct osp_report_reader *r, const void *data, size_t size, size_t true_size);

/* The next record: 0 got one, 1 no more. */
int osp_report_next(struct osp_report_reader *r, struct osp_report_record *out);

/* How the peer's time is brought to ours, from one request and its answer. */
struct osp_report_clock {
	int64_t offset_ns; /* the peer's minus ours */
	int64_t error_ns;  /* which may be off by so much; -1: the times contradict each other */
	int64_t from_ns,
		to_ns; /* when, by our time, the peer had the request and sent the answer */
};

/*
 * Sent and received are ours (boot time), the others the peer's (ns since 1970). If they contradict
 * each other nothing is known but that the peer acted between the two of ours.
 */
void osp_report_set_clock(struct osp_report_clock *c, int64_t sent_ns, uint64_t peer_received_ns,
			  uint64_t peer_sent_ns, int64_t received_ns);

/* The peer's time by our clock: never before the request, never after the answer. */
int64_t osp_report_time(const struct osp_report_clock *c, int64_t peer_ns);
