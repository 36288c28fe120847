/*
 * A tracer as libbpf's own examples write it: libbpf's USDT arguments, a ring buffer record per hit,
 * and the default wake-up.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#include "tests/bench/stock.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");

unsigned long dropped;

static __always_inline void read_args(struct pt_regs *ctx, struct stock_event *e, __u64 kinds)
{
	unsigned int n = 0;

#pragma unroll
	for (int i = 0; i < STOCK_ARGS; i++) {
		__u64 kind = kinds >> (4 * i) & 15;

		if (!kind)
			break;
		bpf_usdt_arg(ctx, i + 1, &e->args[i]);
		if (kind != STOCK_NUMBER && n < STOCK_BYTES)
			bpf_probe_read_user(e->bytes[n++], STOCK_ROOM, (void *)e->args[i]);
		e->count = i + 1;
	}
}

SEC("usdt")
int on_point(struct pt_regs *ctx)
{
	struct stock_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u64 cookie = bpf_usdt_cookie(ctx), task = bpf_get_current_pid_tgid();
	long id;

	if (!e) {
		__sync_fetch_and_add(&dropped, 1);
		return 0;
	}
	e->time_ns = bpf_ktime_get_ns();
	e->pid = task >> 32;
	e->tid = (__u32)task;
	e->point = cookie & 255;
	e->count = 0;
	bpf_usdt_arg(ctx, 0, &id);
	e->id = id;
	read_args(ctx, e, cookie >> 8);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
