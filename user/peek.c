/*
 * Looks into operation blocks (probes/op.h) of other processes (user/peek.h): fed by feed.c with
 * what the stitcher takes for hung, feeds it with records like those of the kernel side. An address
 * may be that of a frame that has returned, and the program does not wait for us: nothing is believed
 * but what has the head of the operation before and after. Owns nothing.
 */
#include "user/peek.h"

#include <errno.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/process.h"

enum { TRIES = 3 };

static int read_head(int memory, const struct osp_hung *h, struct osp_block_head *head)
{
	int r = osp_process_peek(memory, h->block, head, sizeof(*head));

	if (r)
		return r;
	if (head->magic != OSP_BLOCK_MAGIC || head->abi != OSP_BLOCK_ABI || head->id != h->op_id ||
	    head->used > head->size || head->used < OSP_BLOCK_STEPS ||
	    head->used - OSP_BLOCK_STEPS > OSP_EVENT_DATA)
		return -ESTALE;
	return 0;
}

/* Steps are only added behind those that were read, unless the block was flushed meanwhile. */
static int read_steps(int memory, const struct osp_hung *h, struct osp_block_head *head, void *to)
{
	struct osp_block_head after;
	int r = read_head(memory, h, head);

	if (!r && (head->used == OSP_BLOCK_STEPS || head->sequence <= h->next))
		r = -ENODATA;
	if (!r)
		r = osp_process_peek(memory, h->block + OSP_BLOCK_STEPS, to,
				     head->used - OSP_BLOCK_STEPS);
	if (!r)
		r = read_head(memory, h, &after);
	return r ? r : memcmp(head, &after, sizeof(after)) ? -EAGAIN : 0;
}

int osp_peek_read(const struct osp_hung *h, int64_t now_ns, struct osp_record *out)
{
	int memory _cleanup_close_ = -1;
	struct osp_block_head head;
	int r = osp_process_open_memory(h->pid, &memory);

	if (r)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < TRIES && r == -EAGAIN; i++)
		r = read_steps(memory, h, &head, out + 1);
	if (r)
		return r == -EAGAIN ? -ESTALE : r;
	*out = (struct osp_record){.kind = OSP_RECORD_LEFT,
				   .flags = OSP_RECORD_PEEKED,
				   .data_size = (int32_t)(head.used - OSP_BLOCK_STEPS),
				   .time_ns = (uint64_t)now_ns,
				   .start_ns = h->start_ns,
				   .pid = h->pid,
				   .tid = h->tid,
				   .exec_id = h->exec_id,
				   .process = h->slot,
				   .point = h->point,
				   .numbers = h->numbers,
				   .op_id = h->op_id,
				   .block = h->block,
				   .sequence = head.sequence};
	return 0;
}
