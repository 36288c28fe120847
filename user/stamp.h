/*
 * From the CPU counter that steps are stamped with (x86 TSC, arm64 virtual counter) to boot time.
 * All times within an operation come from here, so they are in the order of the counter. Pure:
 * what is known of the two clocks arrives as readings, and the same readings give the same times.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OSP_STAMP_SEGMENTS = 2048 };

/* From `stamp` until the next segment: boot time = boot_ns + (counter - stamp) * rate / 2^32. */
struct osp_stamp_segment {
	uint64_t stamp;
	int64_t boot_ns;
	uint64_t rate; /* ns per tick, 32.32 */
};

/* Boot time was boot_ns, give or take half_ns, when the counter was `stamp`. */
struct osp_stamp_reading {
	uint64_t stamp;
	int64_t boot_ns, half_ns;
};

/* Holds a bounded past: stamps before it are reckoned from its oldest segment. */
struct osp_stamps {
	struct osp_stamp_segment
		segments[OSP_STAMP_SEGMENTS]; /* the i-th ever made is at i % size */
	size_t made, oldest;
	struct osp_stamp_reading base, next_base,
		last;	     /* the rate comes from base and the latest */
	int64_t error_ns;    /* bound of the error of times after the last reading */
	int64_t worst_ns;    /* the largest it has been */
	int64_t envelope_ns; /* least (record's time - its step's time) since the last reading */
	uint64_t jumps;	     /* readings that did not continue what was known: suspend, ... */
	uint64_t contradictions; /* records older than the step they were made by */
};

void osp_stamps_init(struct osp_stamps *s);

/*
 * A reading of both clocks on one CPU: the counter was `stamp` at some boot time in
 * [low_ns, high_ns]. To be taken at least once a second, twice before the first record. One that
 * contradicts the earlier ones by more than clocks can drift begins anew from there.
 */
void osp_stamps_add(struct osp_stamps *s, uint64_t stamp, int64_t low_ns, int64_t high_ns);

/* False until there were two readings. */
static inline bool osp_stamps_ready(const struct osp_stamps *s)
{
	return s->made > 0;
}

/* Boot time of a stamp: between two jumps it never decreases with the stamp. */
int64_t osp_stamps_time(const struct osp_stamps *s, uint64_t stamp);

/*
 * A record: the kernel read record_ns after the program had read `stamp`. The lower envelope of
 * the differences limits the offset; a record older than its step contradicts, and is noted.
 */
void osp_stamps_check(struct osp_stamps *s, uint64_t stamp, int64_t record_ns);
