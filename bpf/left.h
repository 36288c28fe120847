/*
 * Steps that never ride: where the blocks of open operations lie, as their hits have told, and what
 * is in them when their process dies. Part of outspan.bpf.c, which says whose operation is open
 * (call_note) and who dies (on_signal, on_exit); writes LEFT records into its ring.
 */
#pragma once

enum {
	BLOCKS = 64, /* remembered per process */
	BLOCK_TRIES = 4,
};

/*
 * A block that a hit has left with steps in it. By slot: entry
 * (op_id >> 16) % BLOCKS, or one of the next three.
 */
struct block {
	__u64 op_id; /* 0: free */
	__u64 address;
	__u32 point; /* numbers << 16 | point, as in the attach cookie */
	__u32 tid;
	__u32 told; /* the sequence up to which a LEFT record has brought it */
	__u32 reserved;
};

struct blocks {
	struct block at[BLOCKS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OSP_EVENT_PROCESSES);
	__type(key, __u32);
	__type(value, struct blocks);
} blocks SEC(".maps");

/*
 * Remembers where an open operation's steps lie, in place of another one if there is no room:
 * two threads may even take the same place, and one of the two is not remembered. Global functions,
 * so that the verifier walks them once and not from every path of on_step.
 */
__noinline int block_keep(__u32 slot, __u64 op_id, __u64 address, __u32 point, __u32 tid)
{
	struct blocks *b = bpf_map_lookup_elem(&blocks, &slot);
	__u32 first = op_id >> 16, to = first;

	if (!b || !op_id)
		return -EINVAL;
	for (__u32 i = 0; i < BLOCK_TRIES; i++) {
		__u64 there = b->at[(first + i) % BLOCKS].op_id;

		if (there && there != op_id)
			continue;
		to = first + i;
		if (there)
			break;
	}
	to %= BLOCKS;
	if (b->at[to].op_id == op_id && b->at[to].address == address)
		return 0;
	b->at[to].address = address;
	b->at[to].point = point;
	b->at[to].tid = tid;
	b->at[to].told = 0;
	b->at[to].op_id = op_id;
	return 0;
}

__noinline int block_drop(__u32 slot, __u64 op_id)
{
	struct blocks *b = bpf_map_lookup_elem(&blocks, &slot);
	__u32 first = op_id >> 16;

	if (!b || !op_id)
		return -EINVAL;
	for (__u32 i = 0; i < BLOCK_TRIES; i++)
		if (b->at[(first + i) % BLOCKS].op_id == op_id)
			b->at[(first + i) % BLOCKS].op_id = 0;
	return 0;
}

/* One record with room for `room` bytes (a constant) of steps. False: it could not be written. */
static __always_inline bool left_write(const struct osp_member *m, const struct block *b,
				       __u32 sequence, __u32 size, const __u32 room)
{
	struct osp_record *r = bpf_ringbuf_reserve(&events, sizeof(*r) + room, 0);
	__u64 wake;

	if (!r)
		return false;
	__builtin_memset(r, 0, sizeof(*r));
	wake = record_time(r);
	r->kind = OSP_RECORD_LEFT;
	r->start_ns = m->start_ns;
	r->pid = m->pid;
	r->tid = b->tid;
	r->exec_id = m->exec_id;
	r->process = m->process;
	r->lost = m->lost;
	r->flags = OSP_RECORD_CLEARED;
	r->point = (__u16)b->point;
	r->numbers = (__u16)(b->point >> 16);
	r->op_id = b->op_id;
	r->block = b->address;
	r->sequence = sequence;
	if (bpf_probe_read_user(r + 1, size > room ? room : size,
				(void *)(b->address + OSP_BLOCK_STEPS))) {
		bpf_ringbuf_discard(r, wake);
		return false;
	}
	r->data_size = (__s32)size;
	bpf_ringbuf_submit(r, wake);
	return true;
}

/*
 * Brings what is new in a block since it was brought last. The address may be that of a frame that
 * has returned: nothing is believed but a head that is still this operation's.
 */
__noinline int left_bring(__u32 slot, __u32 at)
{
	struct osp_member *m = member_at(slot);
	struct osp_block_head head;
	struct blocks *blocks_of;
	struct block *b;
	bool written = false;
	__u32 size;

	blocks_of = bpf_map_lookup_elem(&blocks, &slot);
	if (!m || !blocks_of || at >= BLOCKS)
		return -EINVAL;
	b = &blocks_of->at[at];
	if (bpf_probe_read_user(&head, sizeof(head), (void *)b->address) ||
	    head.magic != OSP_BLOCK_MAGIC || head.abi != OSP_BLOCK_ABI || head.id != b->op_id)
		return -EINVAL;
	if (sample_is_on() && !sample_has(head.trace_id))
		return 0;
	size = head.used - OSP_BLOCK_STEPS;
	if (head.used > head.size || size < OSP_EVENT_STEP_HEAD || size > OSP_EVENT_DATA ||
	    head.sequence == b->told)
		return 0;
#define X(room)                                                                                    \
	if (size <= room) {                                                                        \
		written = left_write(m, b, head.sequence, size, room);                             \
		goto out;                                                                          \
	}
	OSP_STEP_CLASSES(X)
#undef X
out:
	if (written)
		b->told = head.sequence;
	return 0;
}

/* All blocks of the current process, which dies. */
static __always_inline void left_bring_all(const struct osp_member *m)
{
	__u32 slot = m->process;
	struct blocks *b = bpf_map_lookup_elem(&blocks, &slot);

	if (!b || !slot)
		return;
	for (__u32 i = 0; i < BLOCKS; i++)
		if (b->at[i].op_id)
			left_bring(slot, i);
}
