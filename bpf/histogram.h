/*
 * Layout of the map `histograms`: how long operations took, and the ways from step to step, in
 * ticks of the CPU's counter, in buckets of which 16 make a power of two. An element is one bucket
 * that is in use: most of a histogram's are empty. Shared by the kernel side and user space.
 */
#pragma once

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum {
	OSP_HISTOGRAM_BUCKETS = 976, /* 16 below 16, then 16 for each power of two up to 2^63 */
	OSP_HISTOGRAM_UNTIMED = OSP_HISTOGRAM_BUCKETS, /* counts what has no time that is known */
	OSP_HISTOGRAM_WHOLE =
		1 << 15, /* flag: of operations that ended at the point, else of steps */
	OSP_HISTOGRAM_ELEMENTS = 65536, /* that a session can use */
};

/* The value is a __u64 per CPU: how many there were. */
struct osp_histogram_key {
	__u32 process; /* slot */
	__u16 point;
	__u16 bucket; /* or OSP_HISTOGRAM_UNTIMED; OSP_HISTOGRAM_WHOLE */
};

_Static_assert(sizeof(struct osp_histogram_key) == 8, "key of a histogram");

/* Bucket i holds the values from the first with this bucket on: see osp_histogram_least. */
static inline __attribute__((always_inline, unused)) __u32 osp_histogram_bucket(__u64 value)
{
	__u32 power = 0;
	__u64 v = value;

	for (__u32 shift = 32; shift; shift >>= 1)
		if (v >> shift) {
			v >>= shift;
			power += shift;
		}
	return power < 4 ? (__u32)value : (power - 3) * 16 + (__u32)(value >> (power - 4) & 15);
}

/* The least value of the bucket. */
static inline __attribute__((always_inline, unused)) __u64 osp_histogram_least(__u32 bucket)
{
	return bucket < 16 ? bucket : (16ull + bucket % 16) << (bucket / 16 - 1);
}
