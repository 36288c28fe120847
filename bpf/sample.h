/*
 * Samples of traces: `record --sample`. Part of outspan.bpf.c, which says of which hits the trace is
 * known (step_leaves); left.h asks, too, before it brings a block.
 */
#pragma once

/* Traces whose hash is below sample_below are recorded: the upper half of 64 bits, or all. */
static __always_inline bool sample_is_on(void)
{
	return sample_below < 1ull << 32;
}

/* The same for a trace in every process and on every machine, whoever records there. */
static __always_inline bool sample_has(const __u64 trace_id[2])
{
	__u64 h = trace_id[0] * 0x9e3779b97f4a7c15ull ^ trace_id[1];

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ull;
	return (h >> 32) < sample_below;
}

/*
 * 1: the operation's trace is not in the sample, or (unless it `must` be told) not known yet. What
 * cannot be read is recorded: what comes of that is counted there. A global function for its stack.
 */
__noinline int sample_leaves(__u64 block, __u64 op_id, __u32 must)
{
	struct osp_block_head head;

	if (bpf_probe_read_user(&head, sizeof(head), (void *)block) ||
	    head.magic != OSP_BLOCK_MAGIC || head.id != op_id)
		return 0;
	if (!must && !(head.flags & (OSP_BLOCK_HAS_CONTEXT | OSP_BLOCK_HAS_SENT)))
		return 1;
	return !sample_has(head.trace_id);
}
