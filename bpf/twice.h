/*
 * While sites are switched, one of our own points that stays has two links of ours for a moment
 * (user/attach.c), and a step that traps there comes twice in a row on its thread: it is taken once.
 * Foreign sites that stay keep their link. Part of outspan.bpf.c.
 */
#pragma once

enum { LASTS = 1024 };

/* The step that a thread handed over last; threads that share an entry may have one taken twice. */
struct last {
	__u64 op_id;
	__u32 tid, sequence, point, reserved;
};

/* By thread: entry tid % LASTS. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LASTS);
	__type(key, __u32);
	__type(value, struct last);
} lasts SEC(".maps");

static __always_inline bool step_has_come(const struct hit *h, const struct call *c)
{
	const struct last now = {
		.op_id = c->op_id, .tid = h->tid, .sequence = (__u32)c->packed, .point = h->point};
	__u32 at = h->tid % LASTS;
	struct last *l;

	if (!switching)
		return false;
	l = bpf_map_lookup_elem(&lasts, &at);
	if (!l)
		return false;
	if (l->tid == now.tid && l->op_id == now.op_id && l->sequence == now.sequence &&
	    l->point == now.point)
		return true;
	*l = now;
	return false;
}
