/*
 * The steps in an operation block: how one is stamped, when the tracer's stub is called with it, and
 * when the block is handed over and cleared.
 * Part of outspan/op.h. SPDX-License-Identifier: Apache-2.0
 */
#ifndef OUTSPAN_OP_STEP_H
#define OUTSPAN_OP_STEP_H

#include "op_block.h"

/* True if a step of `bytes` bytes fits behind those that are there, or need not (not begun). */
OUTSPAN_INLINE bool outspan_has_room(const struct outspan_op *op, uint32_t bytes)
{
	return op->size - op->used >= bytes || !outspan_is_begun(op);
}

/* Stamps a step behind the last one; where its arguments go. opens: as in outspan_step_begin. */
OUTSPAN_INLINE unsigned char *outspan_step_stamp(struct outspan_op *op, uint16_t number, int opens)
{
	struct outspan_step *step = (struct outspan_step *)(void *)((unsigned char *)op + op->used);

	if (opens && op->nested < 65535)
		op->nested++;
	if (opens == 2)
		op->context_nested = op->nested;
	step->sequence = op->sequence++;
	step->number = number;
	step->nested = op->nested;
	step->flags = op->owner == outspan_process_1.pid ? 0 : OUTSPAN_STEP_FORKED;
	step->stamp = outspan_stamp();
	return (unsigned char *)(step + 1);
}

/*
 * Begins a step where there is room for it; returns where its arguments go, NULL if the block is
 * not begun. opens: 0, 1 = a nested span, 2 = one whose context is sent.
 */
OUTSPAN_INLINE unsigned char *outspan_step_begin(struct outspan_op *op, uint16_t number, int opens)
{
	if (!outspan_is_begun(op))
		return NULL;
	if (__builtin_expect(!op->id, 0))
		outspan_take_id(op);
	return outspan_step_stamp(op, number, opens);
}

/* What a stub gets besides the id and the block, of one step: see OUTSPAN_EXTERN_STUB. */
struct outspan_call {
	uint64_t used, order, stamp;
};

/* Closes the last step behind its arguments. from: the first byte that is handed over. */
OUTSPAN_INLINE struct outspan_call outspan_step_end(struct outspan_op *op, const unsigned char *at,
						    uint32_t fires, bool flush)
{
	unsigned char *block = (unsigned char *)op;
	struct outspan_step *step = (struct outspan_step *)(void *)(block + op->used);
	uint32_t from = flush ? (uint32_t)sizeof(*op) : op->used;
	struct outspan_call c;

	step->size = (uint32_t)(at - (const unsigned char *)(step + 1));
	if (fires)
		step->flags |= OUTSPAN_STEP_FIRED;
	op->used = (uint32_t)(at - block);
	c.used = op->used | (uint64_t)from << 32 | (uint64_t)flush << 62 |
		 (uint64_t)(step->flags & OUTSPAN_STEP_FORKED) << 63;
	c.order = step->sequence | (uint64_t)step->number << 32 | (uint64_t)step->nested << 48;
	c.stamp = step->stamp;
	return c;
}

/* A step that stays in the block: to the tracer only if its own site traps. */
#define OUTSPAN_CALL(stub, block, at, fires, value)                                                \
	do {                                                                                       \
		uint32_t outspan_fires = fires;                                                    \
		struct outspan_call outspan_c = outspan_step_end(block, at, outspan_fires, false); \
                                                                                                   \
		if (outspan_fires)                                                                 \
			stub((block)->id, (block), outspan_c.used, outspan_c.order,                \
			     outspan_c.stamp, value);                                              \
	} while (0)

/* The step that ends the operation: hands over all steps and clears them, wanted or not. */
#define OUTSPAN_FLUSH(stub, block, at, fires, value)                                               \
	do {                                                                                       \
		struct outspan_call outspan_c = outspan_step_end(block, at, fires, true);          \
                                                                                                   \
		stub((block)->id, (block), outspan_c.used, outspan_c.order, outspan_c.stamp,       \
		     value);                                                                       \
		(block)->used = (uint32_t)sizeof(struct outspan_op);                               \
	} while (0)

/* Hands over all steps, for there is no room for the next, and clears them. No step by itself. */
#define OUTSPAN_SPILL(stub, block)                                                                 \
	do {                                                                                       \
		uint64_t outspan_forked = (block)->owner != outspan_process_1.pid;                 \
                                                                                                   \
		stub((block)->id, (block),                                                         \
		     (block)->used | (uint64_t)sizeof(struct outspan_op) << 32 | 1ull << 62 |      \
			     outspan_forked << 63,                                                 \
		     (block)->sequence, outspan_stamp(), 0);                                       \
		(block)->used = (uint32_t)sizeof(struct outspan_op);                               \
	} while (0)

#endif
