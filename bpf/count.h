/*
 * Where hits are counted: strips of counters (strip.h), taken by processes as they hit. Part of
 * outspan.bpf.c. User space adds chunks ahead of need; a hit that still finds no strip left is
 * counted for slot 0, and not recorded.
 */
#pragma once

struct chunk {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OSP_EVENT_CHUNK);
	__type(key, __u32);
	__type(value, struct osp_strip);
} counters SEC(".maps");

/* The first entries stay empty: `counters` is in their place, which most sessions never outgrow. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, OSP_EVENT_CHUNKS);
	__type(key, __u32);
	__array(values, struct chunk);
} chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OSP_EVENT_PROCESSES);
	__type(key, __u32);
	__type(value, struct osp_strips);
} strips SEC(".maps");

/* NULL: there is no such chunk yet. */
static __always_inline struct osp_strip *strip_at(__u32 number)
{
	__u32 chunk = number / OSP_EVENT_CHUNK, at = number % OSP_EVENT_CHUNK;
	void *map;

	if (chunk < cfg_chunks)
		return bpf_map_lookup_elem(&counters, &number);
	map = bpf_map_lookup_elem(&chunks, &chunk);
	return map ? bpf_map_lookup_elem(map, &at) : NULL;
}

/*
 * The strip of a process's first hit of its points, + 1; 0 = none is left. Another thread may be
 * taking the same one: then one number remains unused. Two that take the last one at once may get
 * one that is not there yet: they count for slot 0 until it is. Global, so that the verifier
 * walks it once.
 */
__noinline int strip_take(__u32 slot, __u32 group)
{
	struct osp_strips *s = bpf_map_lookup_elem(&strips, &slot);
	__u32 number, was;

	group %= OSP_EVENT_STRIPS;
	if (!s || !strip_at(next_strip))
		return 0;
	number = __sync_fetch_and_add(&next_strip, 1) + 1;
	was = __sync_val_compare_and_swap(&s->number[group], 0, number);
	return was ? was : number;
}

static __always_inline struct osp_counter *counter_at(__u32 slot, __u32 point)
{
	struct osp_strips *s = bpf_map_lookup_elem(&strips, &slot);
	__u32 group = point / OSP_EVENT_STRIP % OSP_EVENT_STRIPS, number;
	struct osp_strip *strip;

	if (!s)
		return NULL;
	number = s->number[group];
	if (!number)
		number = strip_take(slot, group);
	strip = number ? strip_at(number - 1) : NULL;
	return strip ? &strip->at[point % OSP_EVENT_STRIP] : NULL;
}

/* The counter of a process, or, if there is no room for it, that of slot 0: then *slot is 0. */
static __always_inline struct osp_counter *counter_find(__u32 *slot, __u32 point)
{
	struct osp_counter *counter = counter_at(*slot, point);

	if (counter)
		return counter;
	*slot = 0;
	return counter_at(0, point);
}
