/* Programs that do nothing: what a hit costs before any tracer has done its work. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("uprobe")
int empty_multi(void *ctx)
{
	(void)ctx;
	return 0;
}

SEC("uprobe")
int empty_perf(void *ctx)
{
	(void)ctx;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
