/*
 * `record --aggregate`: steps are counted at their points and do not leave the kernel; operations are
 * timed where they end. Part of outspan.bpf.c.
 */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1); /* OSP_HISTOGRAM_KEYS with cfg_aggregate */
	__type(key, struct osp_histogram_key);
	__type(value, struct osp_histogram);
} histograms SEC(".maps");

/* What a histogram begins as: too large for the stack. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct osp_histogram);
} histogram_zero SEC(".maps");

static __always_inline struct osp_histogram *histogram_find(const struct osp_histogram_key *key)
{
	struct osp_histogram *h = bpf_map_lookup_elem(&histograms, key), *zero;
	__u32 first = 0;

	if (h)
		return h;
	zero = bpf_map_lookup_elem(&histogram_zero, &first);
	if (!zero)
		return NULL;
	bpf_map_update_elem(&histograms, key, zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&histograms, key);
}

/* An operation ends: `start` is where the block's first step lies. A program may be preempted. */
__noinline int aggregate_end(__u32 process, __u32 point, __u64 start, __u64 stamp)
{
	struct osp_histogram_key key = {process, point};
	struct osp_histogram *h = histogram_find(&key);
	struct osp_record_step first;
	__u64 took;
	__u32 i;

	if (!h) {
		__sync_fetch_and_add(&histograms_full, 1);
		return -E2BIG;
	}
	__sync_fetch_and_add(&h->count, 1);
	if (bpf_probe_read_user(&first, sizeof(first), (void *)start) || first.sequence ||
	    first.stamp > stamp) {
		__sync_fetch_and_add(&h->untimed, 1);
		return 0;
	}
	took = stamp - first.stamp;
	if (took > h->max)
		h->max = took;
	i = osp_histogram_bucket(took);
	if (i < OSP_HISTOGRAM_BUCKETS)
		__sync_fetch_and_add(&h->buckets[i], 1);
	return 0;
}
