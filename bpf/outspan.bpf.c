// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * The kernel side: turns hits of trace points into records (bpf/event.h) in one ring, and says
 * when the processes it watches fork, exec, exit and map objects. User space attaches on_step at
 * our own points, on_foreign at other programs' USDT sites, on_mapped at dynamic linkers; the
 * cookie is site << 32 | numbers << 16 | point (struct osp_record). Nothing here knows a catalogue: shapes and sites say how to read.
 *
 * A hit is counted before anything can fail; what fails is counted at its place. Every record is
 * written straight into its reservation, since a program may be preempted and migrated.
 * Observes only: tests/probes/helpers.sh holds the list of helpers that may be called.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/event.h"
#include "bpf/histogram.h"
#include "bpf/member.h"
#include "bpf/predicate.h"
#include "bpf/strip.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EINVAL	22
#define E2BIG	7
#define ENOTSUP 95

/* Knobs, set before load. */
const volatile __u32 cfg_chunks = 1;	   /* of counters, there from the start */
const volatile bool cfg_admit = false;	   /* whoever hits an attached site is a member */
const volatile bool cfg_all = false;	   /* every exec on the machine is reported */
const volatile bool cfg_children = true;   /* children of members are members */
const volatile __u64 cfg_wake_jiffies = 1; /* at most one wake-up of the recorder in this time */

const volatile bool cfg_aggregate = false; /* steps are counted and do not leave the kernel */
const volatile bool cfg_choose = false;	   /* operations are chosen: choose.h */

/* Shared with user space, which maps them. */
__u64 histograms_full = 0;	 /* times that found no room in a histogram */
__u64 sample_below = 1ull << 32; /* see sample.h */
bool switching = false;		 /* sites may have two links of ours: twice.h */
__u32 next_process = 1;		 /* slot for the next process */
__u32 next_strip = 1;		 /* of counters, for whoever needs one next */
__u64 woken_jiffies = 0;	 /* when the recorder was last woken */
__u64 timed_ns = 0;		 /* boot time of a record that is there */
__u64 notices_lost = 0;		 /* forks, execs, exits, maps that did not fit into the ring */
__u64 children_lost = 0;	 /* children with a pid beyond `pids`: their hits are unknown */
__u64 strangers = 0;		 /* hits of processes that are no members */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OSP_EVENT_POINTS);
	__type(key, __u32);
	__type(value, struct osp_shape);
} shapes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct osp_site_spec);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OSP_EVENT_NUMBERS);
	__type(key, __u32);
	__type(value, struct osp_numbers);
} numbers SEC(".maps");

#include "bpf/admit.h"
#include "bpf/count.h"

/* ---- hits and records ---- */

struct hit {
	__u32 pid, tid, point, numbers, site;
	__u32 slot; /* whose counter it is: the member's, or 0 = it cannot be recorded */
	struct osp_member *member;
	struct osp_counter *counter;
	__u64 ordinal;
};

/* The reason first: a record that tells of the loss tells why. */
static __always_inline void member_lose(struct osp_member *m, __u32 reason)
{
	m->reason = reason + 1;
	__sync_fetch_and_add(&m->lost, 1);
}

/* What is left out on request is no hit with an ordinal, and cuts nothing that is recorded. */
static __always_inline bool is_asked_for(__u32 reason)
{
	return reason == OSP_LOSS_SAMPLED || reason == OSP_LOSS_AGGREGATED ||
	       reason == OSP_LOSS_FILTERED;
}

static __always_inline void hit_lose(struct hit *h, __u32 reason)
{
	__sync_fetch_and_add(&h->counter->lost[reason], 1);
	if (is_asked_for(reason))
		__sync_fetch_and_add(&h->counter->left, 1);
	else
		member_lose(h->member, reason);
}

/* Who has hit what. False: nobody wants it. */
static __always_inline bool hit_find(struct hit *h, void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), cookie = bpf_get_attach_cookie(ctx);

	h->pid = id >> 32;
	h->tid = (__u32)id;
	h->point = (__u16)cookie;
	h->numbers = (__u16)(cookie >> 16);
	h->site = cookie >> 32;
	h->ordinal = 0;
	h->member = member_find(h->pid);
	if (!h->member) {
		if (!cfg_admit) {
			__sync_fetch_and_add(&strangers, 1);
			return false;
		}
		h->member = member_admit(h->pid);
		if (!h->member)
			return false;
	}
	h->slot = h->member->process;
	h->counter = counter_find(&h->slot, h->point);
	return h->counter;
}

static __always_inline void hit_count(struct hit *h)
{
	h->ordinal = __sync_fetch_and_add(&h->counter->hits, 1);
}

static __always_inline bool hit_has_slot(const struct hit *h)
{
	return h->slot;
}

/*
 * Whether to wake the recorder, decided after the space was reserved: in this order no record can
 * be left in the ring of a recorder that sleeps, see user/ring.c. Jiffies cost a load, a clock 50 ns.
 */
static __always_inline __u64 record_wake(void)
{
	__u64 now = bpf_jiffies64();

	if (now - woken_jiffies < cfg_wake_jiffies)
		return BPF_RB_NO_WAKEUP;
	woken_jiffies = now;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline __u64 record_time(struct osp_record *r)
{
	r->time_ns = bpf_ktime_get_boot_ns();
	timed_ns = r->time_ns;
	return record_wake();
}

/* Fills what every hit has but its time. */
static __always_inline void record_fill(struct osp_record *r, struct hit *h, __u16 kind)
{
	r->kind = kind;
	r->flags = (__u16)(h->member->reason << OSP_RECORD_REASON);
	r->start_ns = member_start(h->member);
	r->pid = h->pid;
	r->tid = h->tid;
	r->exec_id = h->member->exec_id;
	r->process = h->member->process;
	r->ordinal = h->ordinal;
	r->lost = h->member->lost;
	r->point = (__u16)h->point;
	r->numbers = (__u16)h->numbers;
	r->site = h->site;
}

#include "bpf/sample.h"
#include "bpf/left.h" /* it needs what stands above */

/* ---- our own points ---- */

/* What a stub passes in registers: probes/op.h. */
struct call {
	__u64 op_id, block, used, packed, stamp, value;
};

static __always_inline void call_read(struct call *c, struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	c->op_id = ctx->di;
	c->block = ctx->si;
	c->used = ctx->dx;
	c->packed = ctx->cx;
	c->stamp = ctx->r8;
	c->value = ctx->r9;
#elif defined(__TARGET_ARCH_arm64)
	const struct user_pt_regs *regs = (const struct user_pt_regs *)ctx;

	c->op_id = regs->regs[0];
	c->block = regs->regs[1];
	c->used = regs->regs[2];
	c->packed = regs->regs[3];
	c->stamp = regs->regs[4];
	c->value = regs->regs[5];
#else
#error "no calling convention for this machine"
#endif
}

/* Bits of `used`: OUTSPAN_EXTERN_STUB of probes/op_stub.h. */
static __always_inline __u32 call_end(const struct call *c)
{
	return (__u32)c->used;
}

static __always_inline __u32 call_start(const struct call *c)
{
	return (__u32)(c->used >> 32) & 0x3fffffff;
}

static __always_inline bool call_clears(const struct call *c)
{
	return c->used >> 62 & 1;
}

/*
 * The program's own stamp tells when it was. That the kernel's clock is asked as well, now and then,
 * limits what a program can claim, and calibrates: user/stamp.h.
 */
static __always_inline __u64 step_time(struct osp_record *r)
{
	__u64 wake = record_wake();

	if (wake == BPF_RB_FORCE_WAKEUP)
		timed_ns = bpf_ktime_get_boot_ns();
	else
		r->flags |= OSP_RECORD_UNTIMED;
	r->time_ns = timed_ns;
	return wake;
}

/* Returns the flags to submit with. */
static __always_inline __u64 step_fill(struct osp_record *r, struct hit *h, const struct call *c)
{
	record_fill(r, h, OSP_RECORD_STEP);
	r->flags |= c->used >> 63 | (call_clears(c) ? OSP_RECORD_CLEARED : 0);
	r->op_id = c->op_id;
	r->block = c->block;
	r->sequence = (__u32)c->packed;
	r->number = (__u16)(c->packed >> 32);
	r->nested = (__u16)(c->packed >> 48);
	r->stamp = c->stamp;
	r->value = c->value;
	return step_time(r);
}

/* ---- steps that cannot be brought ---- */

enum { STEPS_MAX = OSP_EVENT_DATA / OSP_EVENT_STEP_HEAD };

/* A call whose steps cannot be brought. */
struct losing {
	__u64 block, start, end;
	__u32 process, numbers, sequence, reason;
	__u32 forked, padding;
};

/* A hit and a loss at once. */
static __always_inline void counter_lose(struct osp_counter *counter, struct osp_member *m,
					 __u32 reason)
{
	__sync_fetch_and_add(&counter->lost[reason], 1);
	if (is_asked_for(reason))
		return;
	__sync_fetch_and_add(&counter->hits, 1);
	member_lose(m, reason);
}

/*
 * Enters a carried step in the books of its point. 0, or -EINVAL: nobody knows which that is. A
 * global function, as the next one, since the verifier walks those once and by themselves.
 */
__noinline int carried_lose(const struct losing *l, const struct osp_record_step *s)
{
	struct osp_counter *counter;
	struct osp_shape *shape;
	struct osp_numbers *n;
	struct osp_member *m;
	__u32 key, reason, slot;

	if (!l || !s)
		return -EINVAL;
	if (s->sequence == l->sequence || (l->forked && !(s->flags & OSP_STEP_FORKED)))
		return 0;
	key = l->numbers;
	n = bpf_map_lookup_elem(&numbers, &key);
	key = s->number;
	if (!n || key >= OSP_EVENT_POINTS || !n->point[key])
		return -EINVAL;
	key = n->point[key] - 1;
	shape = bpf_map_lookup_elem(&shapes, &key);
	/* What trapped by itself was counted there. */
	if (shape && shape->fire && s->flags & OSP_STEP_FIRED)
		return 0;
	slot = l->process;
	m = member_at(slot);
	counter = counter_find(&slot, key);
	reason = l->reason;
	if (!m || !counter || reason >= OSP_LOSS_KERNEL_COUNT)
		return -EINVAL;
	counter_lose(counter, m, reason);
	return 0;
}

/* All carried steps of a block. 0, or -EINVAL: not all of them could be read. */
__noinline int carried_walk(const struct losing *l)
{
	struct osp_record_step s;
	int failed = 0;
	__u64 at, end;

	if (!l)
		return -EINVAL;
	at = l->start;
	end = l->end;
	for (int i = 0; i < STEPS_MAX && at < end; i++) {
		if (bpf_probe_read_user(&s, sizeof(s), (void *)(l->block + at)))
			return -EINVAL;
		at += sizeof(s) + s.size;
		failed |= carried_lose(l, &s);
	}
	return failed || at != end ? -EINVAL : 0;
}

static __always_inline void call_losing(struct losing *l, const struct hit *h, const struct call *c,
					__u32 reason)
{
	*l = (struct losing){.block = c->block,
			     .start = call_start(c),
			     .end = call_end(c),
			     .process = h->member->process,
			     .numbers = h->numbers,
			     .sequence = (__u32)c->packed,
			     .reason = reason,
			     .forked = c->used >> 63};
}

/* The step that trapped, and, if the block is cleared behind the call, all that it carried. */
static __always_inline void step_lose(struct hit *h, const struct call *c,
				      const struct osp_shape *shape, __u32 reason)
{
	struct losing l;

	call_losing(&l, h, c, reason);
	if (shape->kind != OSP_SHAPE_SPILL)
		hit_lose(h, reason);
	if (call_clears(c) && carried_walk(&l))
		counter_lose(h->counter, h->member, OSP_LOSS_STEPS_UNKNOWN);
}

#include "bpf/aggregate.h"
#include "bpf/choose.h" /* it needs what stands above */
#include "bpf/twice.h"

/* ---- samples of traces ---- */

/*
 * An operation that may join somebody's trace learns late to which it belongs: its steps do not
 * come one by one then, but with its end.
 */
static __always_inline bool step_leaves(const struct call *c, const struct osp_shape *shape)
{
	bool joins = shape->size;

	if (!sample_is_on())
		return false;
	if (joins && !call_clears(c))
		return true;
	return sample_leaves(c->block, c->op_id, !joins || shape->kind != OSP_SHAPE_SPILL);
}

/* ---- steps ---- */

enum { WRITTEN = OSP_LOSS_KERNEL_COUNT }; /* else the reason why not */

/* One record with room for `room` bytes (a constant) of steps. */
static __always_inline __u32 step_write(struct hit *h, const struct call *c, __u32 size,
					const __u32 room)
{
	struct osp_record *r = bpf_ringbuf_reserve(&events, sizeof(*r) + room, 0);
	__u64 wake;
	long e;

	if (!r)
		return OSP_LOSS_RING_FULL;
	wake = step_fill(r, h, c);
	e = bpf_probe_read_user(r + 1, size > room ? room : size,
				(void *)(c->block + call_start(c)));
	r->data_size = e ? (__s32)e : (__s32)size;
	bpf_ringbuf_submit(r, wake);
	return WRITTEN;
}

/* A step without data: plain, or one whose block makes no sense (error = -errno). */
static __always_inline __u32 step_write_plain(struct hit *h, const struct call *c, __s32 error)
{
	struct osp_record *r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	__u64 wake;

	if (!r)
		return OSP_LOSS_RING_FULL;
	wake = step_fill(r, h, c);
	r->data_size = error;
	bpf_ringbuf_submit(r, wake);
	return WRITTEN;
}

static __always_inline __u32 step_read(struct hit *h, const struct call *c, __u32 kind)
{
	__u32 used = call_end(c), start = call_start(c), size = used - start;

	if (used < start || size < OSP_EVENT_STEP_HEAD)
		return step_write_plain(h, c, -EINVAL);
	/* Alone it has no argument but the one that came in a register. */
	if (kind == OSP_SHAPE_PLAIN && size <= OSP_EVENT_STEP_HEAD + 8)
		return step_write_plain(h, c, 0);
#define X(room)                                                                                    \
	if (size <= room)                                                                          \
		return step_write(h, c, size, room);
	OSP_STEP_CLASSES(X)
#undef X
	return OSP_LOSS_BLOCK_FULL;
}

/* A copy made by fork is never remembered: the operation is the parent's. */
static __always_inline void call_note(const struct hit *h, const struct call *c, __u32 kind)
{
	if (c->used >> 63)
		return;
	if (call_clears(c) && kind != OSP_SHAPE_SPILL)
		block_drop(h->member->process, c->op_id);
	else
		block_keep(h->member->process, c->op_id, c->block, h->numbers << 16 | h->point,
			   h->tid);
}

SEC("uprobe")
int on_step(struct pt_regs *ctx)
{
	__u32 fate = OSP_LOSS_TABLE_FULL;
	struct osp_shape *shape;
	struct call c;
	struct hit h;

	if (!hit_find(&h, ctx))
		return 0;
	shape = bpf_map_lookup_elem(&shapes, &h.point);
	if (!shape)
		return 0;
	call_read(&c, ctx);
	if (step_has_come(&h, &c))
		return 0;
	if (!cfg_aggregate && hit_has_slot(&h))
		call_note(&h, &c, shape->kind);
	if (step_leaves(&c, shape)) {
		step_lose(&h, &c, shape, OSP_LOSS_SAMPLED);
		return 0;
	}
	if (cfg_aggregate) {
		step_aggregate(&h, &c, shape);
		return 0;
	}
	if (choose_leaves(&h, &c, shape)) {
		step_lose(&h, &c, shape, OSP_LOSS_FILTERED);
		return 0;
	}
	if (shape->kind != OSP_SHAPE_SPILL)
		hit_count(&h);
	if (hit_has_slot(&h))
		fate = step_read(&h, &c, shape->kind);
	if (fate < WRITTEN)
		step_lose(&h, &c, shape, fate);
	return 0;
}

/* ---- other programs' sites ---- */

#if defined(__TARGET_ARCH_arm64)
typedef struct user_pt_regs saved_regs;
#else
typedef struct pt_regs saved_regs;
#endif

/* One word more than there is: the verifier does not see that an offset is a multiple of 8. */
struct registers {
	__u64 words[sizeof(saved_regs) / 8 + 1];
};

struct foreign {
	const struct osp_shape *shape;
	const struct osp_site_spec *spec;
	struct registers regs;
};

/* The register whose byte offset in pt_regs is `at`; an odd offset is a high byte (%ah). */
static __always_inline __u64 foreign_register(const struct registers *regs, __s16 at)
{
	__u32 i = (__u32)at / 8;

	if (at < 0 || i >= sizeof(saved_regs) / 8)
		return 0;
	return regs->words[i] >> ((at & 7) * 8);
}

static __always_inline __u64 foreign_narrow(__u64 value, __s8 size)
{
	__u32 shift = 64 - (size < 0 ? -size : size) * 8;

	shift &= 63;
	value <<= shift;
	return size < 0 ? (__u64)((__s64)value >> shift) : value >> shift;
}

/*
 * Reads operand i. A global function, since the verifier walks those once and not from every call:
 * that halves the time to load.
 */
__noinline int foreign_operand(const struct registers *regs, const struct osp_site_spec *spec,
			       __u32 i, __u64 *value)
{
	__u64 address;
	__u32 bytes;
	__s8 size;
	long e = 0;

	if (!regs || !spec || !value || i >= OSP_EVENT_ARGS)
		return -EINVAL;
	size = spec->arg[i].size;
	bytes = size < 0 ? -size : size;
	address = spec->arg[i].offset;
	*value = address;
	if (spec->arg[i].operand == OSP_OPERAND_REGISTER)
		*value = foreign_register(regs, spec->arg[i].base);
	else if (spec->arg[i].operand == OSP_OPERAND_MEMORY) {
		address += foreign_register(regs, spec->arg[i].base) +
			   foreign_register(regs, spec->arg[i].index) * spec->arg[i].scale;
		*value = 0;
		e = bpf_probe_read_user(value, bytes > 8 ? 8 : bytes, (void *)address);
	} else if (spec->arg[i].operand != OSP_OPERAND_CONST)
		e = -ENOTSUP;
	*value = foreign_narrow(*value, size);
	return (int)e;
}

/*
 * First every operand is read, then what the values point to. All that must outlive a step of a
 * loop is kept in the record: what the verifier reads back from there has no history, so that
 * its states converge.
 */
static __always_inline void foreign_read(const struct foreign *f, struct osp_foreign_value *v)
{
	for (__u32 i = 0; i < OSP_EVENT_ARGS; i++) {
		__u64 value = 0;
		long e = foreign_operand(&f->regs, f->spec, i, &value);

		v[i].value = value;
		v[i].size = e ? (__s32)e : 8;
		v[i].offset = 0;
	}
}

/* Copies what argument i points to; `most` (a constant) is any max + 2. */
static __always_inline long foreign_copy(const struct foreign *f, struct osp_foreign_value *v,
					 __u32 i, void *to, const __u32 most)
{
	__u32 max = f->shape->arg[i].max, length = f->shape->arg[i].length - 1;
	const void *from = (const void *)v[i].value;
	long e;

	if (max > most - 2)
		max = most - 2;
	if (f->shape->arg[i].text) {
		/* The last byte is a NUL in any case: one more tells a cut text from a whole one. */
		e = bpf_probe_read_user_str(to, max + 2, from);
		return e > 0 ? e - 1 : e;
	}
	barrier_var(length); /* else the compiler checks one copy and uses another */
	if (length < OSP_EVENT_ARGS) {
		if (v[length].size < 0)
			return v[length].size;
		if (v[length].value < max)
			max = v[length].value;
	}
	e = bpf_probe_read_user(to, max, from);
	return e ? e : max;
}

static __always_inline void foreign_copies(const struct foreign *f, struct osp_record *r,
					   const __u32 start, const __u32 most)
{
	struct osp_foreign_value *v = (struct osp_foreign_value *)(r + 1);
	volatile __u64 *next = &r->block;

	*next = OSP_FOREIGN_START;
	for (__u32 i = 0; i < OSP_EVENT_ARGS; i++) {
		__u64 offset = *next;
		long e = -E2BIG;

		if (i >= f->shape->args)
			break;
		if (!f->shape->arg[i].max || v[i].size < 0)
			continue;
		if (offset <= start)
			e = foreign_copy(f, v, i, (char *)(r + 1) + offset, most);
		v[i].size = (__s32)e;
		v[i].offset = (__u32)offset;
		if (e > 0)
			*next = offset + e;
	}
	r->data_size = (__s32)*next;
	r->block = 0;
}

/* One record of the size class (start, most), both constants. */
static __always_inline void foreign_write(const struct foreign *f, struct hit *h, const __u32 start,
					  const __u32 most)
{
	const __u32 room = (start + most + 7) & ~7;
	struct osp_record *r = bpf_ringbuf_reserve(&events, sizeof(*r) + room, 0);
	__u64 wake;

	if (!r) {
		hit_lose(h, OSP_LOSS_RING_FULL);
		return;
	}
	wake = record_time(r);
	record_fill(r, h, OSP_RECORD_FOREIGN);
	r->op_id = 0;
	r->sequence = 0;
	r->number = 0;
	r->nested = 0;
	r->stamp = 0;
	r->value = f->shape->args;
	r->data_size = f->shape->args * (__s32)sizeof(struct osp_foreign_value);
	r->block = 0;
	foreign_read(f, (struct osp_foreign_value *)(r + 1));
	if (most)
		foreign_copies(f, r, start, most);
	bpf_ringbuf_submit(r, wake);
}

SEC("uprobe")
int on_foreign(struct pt_regs *ctx)
{
	struct foreign f;
	struct hit h;

	if (!hit_find(&h, ctx))
		return 0;
	if (cfg_aggregate) {
		hit_lose(&h, OSP_LOSS_AGGREGATED);
		return 0;
	}
	hit_count(&h);
	if (!hit_has_slot(&h)) {
		hit_lose(&h, OSP_LOSS_TABLE_FULL);
		return 0;
	}
	f.regs.words[sizeof(saved_regs) / 8] = 0;
	f.shape = bpf_map_lookup_elem(&shapes, &h.point);
	f.spec = bpf_map_lookup_elem(&sites, &h.site);
	if (!f.shape || !f.spec || bpf_probe_read_kernel(&f.regs, sizeof(saved_regs), ctx)) {
		hit_lose(&h, OSP_LOSS_ARGUMENT_FAULT);
		return 0;
	}
	switch (f.shape->size) {
#define X(id, start, most)                                                                         \
	case OSP_FOREIGN_##id:                                                                     \
		foreign_write(&f, &h, start, most);                                                \
		break;
		OSP_FOREIGN_CLASSES(X)
#undef X
	default:
		hit_lose(&h, OSP_LOSS_ARGUMENT_FAULT);
	}
	return 0;
}

/* ---- what happens to processes ---- */

struct notice {
	__u16 kind;
	__u32 pid, tid, before;
	__u64 value;
	struct osp_member member; /* a copy */
};

static __always_inline __u64 notice_fill(struct osp_record *r, const struct notice *n)
{
	__u64 wake;

	__builtin_memset(r, 0, sizeof(*r));
	wake = record_time(r);
	r->kind = n->kind;
	r->start_ns = n->member.start_ns;
	r->pid = n->pid;
	r->tid = n->tid;
	r->exec_id = n->member.exec_id;
	r->process = n->member.process;
	r->lost = n->member.lost;
	r->site = n->before;
	r->value = n->value;
	return wake;
}

static __always_inline void notice_write(const struct notice *n)
{
	struct osp_record *r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);

	if (!r) {
		__sync_fetch_and_add(&notices_lost, 1);
		return;
	}
	bpf_ringbuf_submit(r, notice_fill(r, n));
}

/* With the names of what runs now: a short life may be over before anybody can ask /proc. */
static __always_inline void notice_write_exec(const struct notice *n, struct task_struct *task,
					      struct linux_binprm *program)
{
	struct osp_record *r =
		bpf_ringbuf_reserve(&events, sizeof(*r) + OSP_EVENT_COMM + OSP_EVENT_FILE, 0);
	char *names = (char *)(r + 1);
	__u64 wake;
	long size;

	if (!r) {
		__sync_fetch_and_add(&notices_lost, 1);
		return;
	}
	wake = notice_fill(r, n);
	bpf_probe_read_kernel(names, OSP_EVENT_COMM, task->comm);
	size = bpf_probe_read_kernel_str(names + OSP_EVENT_COMM, OSP_EVENT_FILE, program->filename);
	r->data_size = OSP_EVENT_COMM + (size > 0 ? (__s32)size - 1 : 0);
	bpf_ringbuf_submit(r, wake);
}

/* The child is not running yet: its very first hit finds it a member. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct notice n = {.kind = OSP_RECORD_FORK, .pid = child->tgid, .tid = child->pid};
	__u32 pid = parent->tgid, *entry;
	struct osp_member *m;

	if (pid == n.pid || !cfg_children)
		return 0;
	m = member_find(pid);
	if (!m)
		return 0;
	entry = pid_entry(n.pid);
	if (!entry) {
		__sync_fetch_and_add(&children_lost, 1);
		return 0;
	}
	n.before = m->process;
	n.value = pid;
	n.member.start_ns = child->start_boottime;
	n.member.pid = n.pid;
	member_make(&n.member);
	*entry = n.member.process + 1;
	notice_write(&n);
	return 0;
}

/* The other threads are gone by now: nobody else touches the member. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *program)
{
	struct notice n = {.kind = OSP_RECORD_EXEC, .pid = task->tgid, .tid = task->pid};
	struct osp_member *m = member_find(n.pid);
	__u32 *entry = pid_entry(n.pid);

	if (!m || !entry) {
		n.member.start_ns = task->group_leader->start_boottime;
		if (cfg_all)
			notice_write_exec(&n, task, program);
		return 0;
	}
	n.before = m->process;
	n.member.start_ns = member_start(m);
	n.member.exec_id = m->exec_id + 1;
	n.member.pid = n.pid;
	member_make(&n.member);
	*entry = n.member.process + 1;
	notice_write_exec(&n, task, program);
	return 0;
}

/* Signals whose default is not the end: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH. */
#define SPARED                                                                                     \
	(1u << 17 | 1u << 18 | 1u << 19 | 1u << 20 | 1u << 21 | 1u << 22 | 1u << 23 | 1u << 28)

/*
 * A signal is about to be handled. Kernels before 6.16 tell of an exit when the memory is gone: here
 * it is still there. What other threads do meanwhile is brought by on_exit, where that can.
 */
SEC("tp_btf/signal_deliver")
int BPF_PROG(on_signal, int number, struct kernel_siginfo *info, struct k_sigaction *action)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct osp_member *m;

	if (action->sa.sa_handler || (number < 32 && SPARED >> number & 1))
		return 0;
	m = member_find(pid);
	if (m)
		left_bring_all(m);
	return 0;
}

enum { GROUP_EXIT = 4 }; /* SIGNAL_GROUP_EXIT of linux/sched/signal.h */

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct notice n = {.kind = OSP_RECORD_EXIT, .pid = task->tgid, .tid = task->pid};
	struct osp_member *m = member_find(n.pid);
	__u32 *entry = pid_entry(n.pid);

	if (!m || !entry || task->signal->live.counter)
		return 0;
	member_start(m);
	left_bring_all(m);
	n.member = *m;
	n.value = (__u32)(task->signal->flags & GROUP_EXIT ? task->signal->group_exit_code
							   : task->group_leader->exit_code);
	/* Two last threads may both see no other alive: the one that takes it out reports. */
	if (__sync_lock_test_and_set(entry, 0))
		notice_write(&n);
	return 0;
}

SEC("uprobe")
int on_mapped(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct notice n = {.kind = OSP_RECORD_MAPPED, .pid = id >> 32, .tid = (__u32)id};
	struct osp_member *m = member_find(n.pid);

	if (!m)
		return 0;
	member_start(m);
	n.member = *m;
	notice_write(&n);
	return 0;
}
