/*
 * Processes that the kernel side knows: the layout of two maps that user space fills, too, shared as
 * event.h is.
 */
#pragma once

#include "bpf/event.h"

enum { OSP_EVENT_PIDS = 1024 }; /* see struct osp_pids */

/*
 * Who is a member: the array map `pids`, entry pid % OSP_EVENT_PIDS of page pid / OSP_EVENT_PIDS, by
 * thread group. User space adds targets, the fork hook their children, and, with cfg_admit, the
 * first hit anybody else. An array, since looking a pid up in a hash costs 60 ns of every hit.
 */
struct osp_pids {
	__u32 member[OSP_EVENT_PIDS]; /* its slot + 1; 0 = none */
};

/*
 * A process the kernel side knows: the array map `members`, by slot. A slot is never given twice.
 * Entry 0 is shared by those that came after the last slot was taken, and holds nothing of them.
 */
struct osp_member {
	__u64 start_ns; /* 0: added by user space, filled in at the first use */
	__u64 lost;	/* as in struct osp_record */
	__u32 exec_id;
	__u32 process; /* slot; 0 = came after the last slot was taken: counted, not recorded */
	__u32 reason;  /* of the latest loss, + 1; 0 = none yet */
	__u32 pid;
};

_Static_assert(sizeof(struct osp_member) == 32, "member");
