/*
 * Who is a member: the maps `pids` and `members` (member.h). Part of outspan.bpf.c, whose hits and
 * process events ask here, make members and take them out.
 */
#pragma once

/* As many as there can be pids. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct osp_pids);
} pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OSP_EVENT_PROCESSES);
	__type(key, __u32);
	__type(value, struct osp_member);
} members SEC(".maps");

static __always_inline __u32 slot_new(void)
{
	__u32 slot;

	if (next_process >= OSP_EVENT_PROCESSES)
		return 0;
	slot = __sync_fetch_and_add(&next_process, 1);
	return slot < OSP_EVENT_PROCESSES ? slot : 0;
}

static __always_inline struct osp_member *member_at(__u32 slot)
{
	return bpf_map_lookup_elem(&members, &slot);
}

/* Where `pids` says which member it is; NULL: it is larger than a pid could be at the start. */
static __always_inline __u32 *pid_entry(__u32 pid)
{
	__u32 page = pid / OSP_EVENT_PIDS;
	struct osp_pids *p = bpf_map_lookup_elem(&pids, &page);

	return p ? &p->member[pid % OSP_EVENT_PIDS] : NULL;
}

static __always_inline struct osp_member *member_find(__u32 pid)
{
	__u32 *entry = pid_entry(pid), which = entry ? *entry : 0;

	return which ? member_at(which - 1) : NULL;
}

/* Takes a slot for what will be a member. The copy in *fresh is right without a slot, too. */
static __always_inline void member_make(struct osp_member *fresh)
{
	struct osp_member *m;

	fresh->process = slot_new();
	m = member_at(fresh->process);
	if (m && fresh->process)
		*m = *fresh;
}

/* Makes the current process a member; another thread of it may be doing the same. */
static __noinline struct osp_member *member_admit(__u32 pid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct osp_member fresh = {.start_ns = task->group_leader->start_boottime, .pid = pid};
	__u32 *entry = pid_entry(pid), which;

	if (!entry)
		return member_at(0);
	member_make(&fresh);
	which = __sync_val_compare_and_swap(entry, 0, fresh.process + 1);
	return member_at(which ? which - 1 : fresh.process);
}

static __always_inline __u64 member_start(struct osp_member *m)
{
	if (!m->start_ns && m->process)
		m->start_ns = bpf_get_current_task_btf()->group_leader->start_boottime;
	return m->start_ns;
}
