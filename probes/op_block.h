/*
 * The operation block: its layout (an ABI with the tracer), its states and trace context.
 * Part of outspan/op.h. SPDX-License-Identifier: Apache-2.0
 */
#ifndef OUTSPAN_OP_BLOCK_H
#define OUTSPAN_OP_BLOCK_H

#include "op.h"
#include "op_process.h"
#include "op_stub.h"

enum {
	OUTSPAN_ABI = 2,
	OUTSPAN_MAGIC = 0x3150534f, /* "OSP1" */
	OUTSPAN_HAS_CONTEXT = 1,    /* flags: a valid context came in */
	OUTSPAN_HAS_SENT = 2,	    /* flags: a context was asked for; what comes now are answers */
	OUTSPAN_IS_SILENT = 4,	    /* flags: what it sends has no room for a context of its own */
	OUTSPAN_STEP_FORKED = 1, /* flags of a step: this process is a copy of the one that began */
	OUTSPAN_STEP_FIRED = 2,	 /* its own stub was called with it, while its site trapped */
};

/*
 * The operation block. Steps follow it, one behind the other, until the end or a full block hands
 * them over (flush, spill) and clears them. A point whose own site traps hands over its one step
 * besides, and clears nothing: tracers know a step by (id, sequence).
 */
struct outspan_op {
	uint32_t magic; /* OUTSPAN_MAGIC from begin to end */
	uint16_t abi;
	uint16_t flags;
	uint64_t id;	      /* 0 until the first wanted point */
	uint32_t owner;	      /* process that began it */
	uint32_t sequence;    /* steps stamped so far, those handed over included */
	uint32_t used;	      /* bytes in use, this header included */
	uint32_t size;	      /* bytes of the block, this header included */
	uint16_t nested;      /* nested spans opened at wanted points so far */
	uint16_t state;	      /* OUTSPAN_CHECKED: current state + 1 */
	uint32_t operation;   /* its number in the provider's header */
	uint8_t trace_id[16]; /* of the context that came in, else its own: made with the id */
	uint8_t span_id[8];   /* of the context that came in */
	uint8_t trace_flags;
	uint8_t reserved;
	uint16_t context_nested; /* number of the nested span whose context goes out next */
	uint32_t token;		 /* OUTSPAN_CHECKED: of the one state that is not spent */
};

struct outspan_step {
	uint64_t stamp; /* CPU counter */
	uint32_t sequence;
	uint16_t number; /* of the point in the provider's header */
	uint16_t nested;
	uint32_t size; /* bytes of arguments that follow, a multiple of 8 */
	uint32_t flags;
};

/* ---- states ---------------------------------------------------------------------------------- */

#ifdef OUTSPAN_CHECKED
#define OUTSPAN_SCOPE(type, name, leave)                                                           \
	struct type name __attribute__((cleanup(leave))) = OUTSPAN_ZERO
#define OUTSPAN_STATE                                                                              \
	struct outspan_op *op;                                                                     \
	uint32_t token
#define OUTSPAN_GO(next, s, from, to)                                                              \
	(outspan_check((s).op, (s).token, from), (s).op->state = (to) + 1,                         \
	 (next).token = ++(s).op->token, (next).op = (s).op)
#define OUTSPAN_END(s, from) outspan_check((s).op, (s).token, from)
#define OUTSPAN_AT(next, block, at)                                                                \
	(outspan_check(block, (block)->token, at), (next).token = (block)->token,                  \
	 (next).op = (block))

/* A state that is spent, or not the block's: the program's mistake, which tests are to find. */
OUTSPAN_INLINE void outspan_check(const struct outspan_op *op, uint32_t token, int state)
{
	if (op->magic != OUTSPAN_MAGIC || op->token != token || op->state != state + 1)
		abort();
}
#else
#define OUTSPAN_SCOPE(type, name, leave)                                                           \
	struct type name __attribute__((cleanup(leave)));                                          \
	outspan_end(&(name).head)
#define OUTSPAN_STATE		      struct outspan_op *op
#define OUTSPAN_GO(next, s, from, to) ((next).op = (s).op)
#define OUTSPAN_END(s, from)	      ((void)(s))
#define OUTSPAN_AT(next, block, at)   ((next).op = (block))
#endif

/* Arms the block. Stamps nothing; the id comes with the first wanted point. */
OUTSPAN_INLINE void outspan_begin(struct outspan_op *op, uint32_t size, uint32_t operation,
				  uint16_t start)
{
#ifdef OUTSPAN_CHECKED
	uint32_t token = op->token + 1; /* a state of the block's earlier use is spent, too */
#else
	uint32_t token = 0;
#endif

	if (__builtin_expect(!outspan_process_1.pid, 0))
		outspan_process_start_1();
	/* In the order of the fields: few wide stores. The ids of a context come with it, or with the id. */
	op->magic = OUTSPAN_MAGIC;
	op->abi = OUTSPAN_ABI;
	op->flags = 0;
	op->id = 0;
	op->owner = outspan_process_1.pid;
	op->sequence = 0;
	op->used = (uint32_t)sizeof(*op);
	op->size = size;
	op->nested = 0;
	op->state = (uint16_t)(start + 1);
	op->operation = operation;
	op->trace_flags = 0;
	op->reserved = 0;
	op->context_nested = 0;
	op->token = token;
}

OUTSPAN_INLINE bool outspan_is_begun(const struct outspan_op *op)
{
	return op->magic == OUTSPAN_MAGIC;
}

OUTSPAN_INLINE void outspan_end(struct outspan_op *op)
{
	op->magic = 0;
}

/* The point that opens a span with a context was not wanted: that span has no number. */
OUTSPAN_INLINE void outspan_forget_span(struct outspan_op *op)
{
	op->context_nested = 0;
}

OUTSPAN_INLINE void outspan_put_big_endian(uint8_t out[8], uint64_t value)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(value >> (56 - 8 * i));
}

/*
 * The operation's id, taken now if it has none yet; 0 in a copy made by fork. Unless a context came
 * in, a trace begins here: tracers read its id in the block, peers get it with the context.
 */
OUTSPAN_INLINE uint64_t outspan_take_id(struct outspan_op *op)
{
	struct outspan_process *p = &outspan_process_1;

	if (op->id || op->owner != p->pid)
		return op->id;
	op->id = p->base + __atomic_add_fetch(&p->count, 1, __ATOMIC_RELAXED) * 65536;
	if (!(op->flags & OUTSPAN_HAS_CONTEXT)) {
		outspan_put_big_endian(op->trace_id, p->random);
		outspan_put_big_endian(op->trace_id + 8, op->id);
	}
	return op->id;
}

OUTSPAN_INLINE uint64_t outspan_op_id(const struct outspan_op *op)
{
	return op ? op->id : 0;
}

/* ---- the context of an operation ------------------------------------------------------------- */

/* Remembers what the request brought. Answers to what we sent say nothing about our parent. */
OUTSPAN_INLINE void outspan_context_in(struct outspan_op *op, const struct outspan_context *in)
{
	if (!in || !in->valid || (op->flags & OUTSPAN_HAS_SENT))
		return;
	memcpy(op->trace_id, in->trace_id, sizeof(op->trace_id));
	memcpy(op->span_id, in->span_id, sizeof(op->span_id));
	op->trace_flags = in->flags;
	op->flags |= OUTSPAN_HAS_CONTEXT;
}

/* A child of an operation of this process: of the same trace, unless a context says another. */
OUTSPAN_INLINE void outspan_join(struct outspan_op *op, const struct outspan_op *parent)
{
	if (parent && parent->id && !(op->flags & (OUTSPAN_HAS_CONTEXT | OUTSPAN_HAS_SENT)))
		memcpy(op->trace_id, parent->trace_id, sizeof(op->trace_id));
}

/* For programs that cannot put a context into what they send: none is recorded as sent. */
OUTSPAN_INLINE void outspan_silence(struct outspan_op *op)
{
	op->flags |= OUTSPAN_IS_SILENT;
}

/*
 * Fills what goes on the wire. wanted: a recorder asks for contexts; then it is this operation's
 * own, naming its innermost context span (in_span) or itself. Else the one that came in, as it was.
 * Returns true if it is the operation's own.
 */
OUTSPAN_INLINE bool outspan_context_out(struct outspan_op *op, int in_span, uint32_t wanted,
					struct outspan_context *out)
{
	bool own = __builtin_expect(wanted, 0) && outspan_is_begun(op) &&
		   op->owner == outspan_process_1.pid && !(op->flags & OUTSPAN_IS_SILENT);

	out->valid = 0;
	op->flags |= OUTSPAN_HAS_SENT;
	if (!own && !(op->flags & OUTSPAN_HAS_CONTEXT))
		return false;
	if (own)
		outspan_take_id(op);
	out->valid = 1;
	out->asks = 0;
	memset(out->reserved, 0, sizeof(out->reserved));
	memcpy(out->trace_id, op->trace_id, sizeof(out->trace_id));
	out->flags = op->trace_flags;
	if (!own) {
		memcpy(out->span_id, op->span_id, sizeof(out->span_id));
		return false;
	}
	if (!(op->flags & OUTSPAN_HAS_CONTEXT))
		out->flags = 1;
	outspan_put_big_endian(out->span_id, op->id + (in_span ? op->context_nested : 0));
	return true;
}

#include "op_step.h"

#endif
