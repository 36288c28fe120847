/*
 * `record --aggregate`: steps are counted at their points and do not leave the kernel; operations
 * are timed where they end, and each step from the one before it. Part of outspan.bpf.c.
 */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1); /* OSP_HISTOGRAM_ELEMENTS with cfg_aggregate */
	__type(key, struct osp_histogram_key);
	__type(value, __u64);
} histograms SEC(".maps");

/* A program may be preempted, and migrated, anywhere. */
static __always_inline int histogram_count(__u32 process, __u32 point, __u32 bucket)
{
	struct osp_histogram_key key = {process, (__u16)point, (__u16)bucket};
	__u64 *count = bpf_map_lookup_elem(&histograms, &key), one = 1;

	if (!count) {
		if (!bpf_map_update_elem(&histograms, &key, &one, BPF_NOEXIST))
			return 0;
		count = bpf_map_lookup_elem(&histograms, &key); /* another CPU was first */
	}
	if (!count) {
		__sync_fetch_and_add(&histograms_full, 1);
		return -E2BIG;
	}
	__sync_fetch_and_add(count, 1);
	return 0;
}

/* An operation ends: `start` is where the block's first step lies. */
__noinline int aggregate_end(__u32 process, __u32 point, __u64 start, __u64 stamp)
{
	__u32 bucket = OSP_HISTOGRAM_UNTIMED;
	struct osp_record_step first;

	if (!bpf_probe_read_user(&first, sizeof(first), (void *)start) && !first.sequence &&
	    first.stamp <= stamp)
		bucket = osp_histogram_bucket(stamp - first.stamp);
	return histogram_count(process, point, bucket | OSP_HISTOGRAM_WHOLE);
}

/* A step, and the stamp of the one before it (0: not at hand). An operation's first has none. */
__noinline int aggregate_step(const struct losing *l, const struct osp_record_step *s, __u64 before)
{
	__u32 bucket = OSP_HISTOGRAM_UNTIMED, key;
	struct osp_numbers *n;

	if (!l || !s)
		return -EINVAL;
	if (!s->sequence)
		return 0;
	key = l->numbers;
	n = bpf_map_lookup_elem(&numbers, &key);
	key = s->number;
	if (!n || key >= OSP_EVENT_POINTS || !n->point[key])
		return -EINVAL;
	if (before && before <= s->stamp)
		bucket = osp_histogram_bucket(s->stamp - before);
	return histogram_count(l->process, n->point[key] - 1, bucket);
}

/* All steps of a block: counted as carried_walk does, and timed. */
__noinline int aggregate_walk(const struct losing *l)
{
	struct osp_record_step s;
	__u64 at, end, before = 0;
	int failed = 0;

	if (!l)
		return -EINVAL;
	at = l->start;
	end = l->end;
	for (int i = 0; i < STEPS_MAX && at < end; i++) {
		if (bpf_probe_read_user(&s, sizeof(s), (void *)(l->block + at)))
			return -EINVAL;
		at += sizeof(s) + s.size;
		failed |= carried_lose(l, &s);
		aggregate_step(l, &s, before);
		before = s.stamp;
	}
	return failed || at != end ? -EINVAL : 0;
}

/* A copy made by fork ends nothing, and its way began elsewhere. */
static __always_inline void step_aggregate(struct hit *h, const struct call *c,
					   const struct osp_shape *shape)
{
	struct losing l;

	if (!hit_has_slot(h) || !call_clears(c) || c->used >> 63) {
		step_lose(h, c, shape, OSP_LOSS_AGGREGATED);
		return;
	}
	call_losing(&l, h, c, OSP_LOSS_AGGREGATED);
	if (shape->kind != OSP_SHAPE_SPILL) {
		hit_lose(h, OSP_LOSS_AGGREGATED);
		aggregate_end(l.process, h->point, l.block + l.start, c->stamp);
	}
	if (aggregate_walk(&l))
		counter_lose(h->counter, h->member, OSP_LOSS_STEPS_UNKNOWN);
}
