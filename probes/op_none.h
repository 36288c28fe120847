/*
 * The operation block and its points as nothing: OUTSPAN_NO_PROBES, and systems without a stub.
 * Part of outspan/op.h. SPDX-License-Identifier: Apache-2.0
 */
#ifndef OUTSPAN_OP_NONE_H
#define OUTSPAN_OP_NONE_H

#ifndef OUTSPAN_NO_PROBES
#define OUTSPAN_NO_PROBES 1
#endif
#include "op.h"

/* ---- everything else as nothing -------------------------------------------------------------- */

struct outspan_op {
	unsigned char none;
};

#define OUTSPAN_DATA(bytes)
#define OUTSPAN_EXTERN(wanted)
#define OUTSPAN_EXTERN_STUB(stub)
#define OUTSPAN_WANTED(wanted, index)				      0
#define OUTSPAN_SITE(stub, wanted, index, provider, probe, digest)    (void)0
#define OUTSPAN_CONTROL(stub, wanted, index, provider, probe, digest) (void)0
#define OUTSPAN_FIRES(wanted, index)				      0
#define OUTSPAN_CALL(stub, block, at, fires, value)		      ((void)(at), (void)(value))
#define OUTSPAN_FLUSH(stub, block, at, fires, value)		      ((void)(at), (void)(value))
#define OUTSPAN_SPILL(stub, block)				      ((void)(block))
#define OUTSPAN_STATE						      struct outspan_op *op
#define OUTSPAN_GO(next, s, from, to)				      ((next).op = (s).op)
#define OUTSPAN_END(s, from)					      ((void)(s))
#define OUTSPAN_AT(next, block, state)				      ((next).op = (block))
#define OUTSPAN_SCOPE(type, name, leave)                                                           \
	struct type name __attribute__((cleanup(leave))) = OUTSPAN_ZERO

OUTSPAN_INLINE void outspan_begin(struct outspan_op *op, uint32_t size, uint32_t operation,
				  uint16_t start)
{
	(void)size;
	(void)operation;
	(void)start;
	op->none = 0;
}

OUTSPAN_INLINE bool outspan_is_begun(const struct outspan_op *op)
{
	(void)op;
	return false;
}

OUTSPAN_INLINE void outspan_end(struct outspan_op *op)
{
	(void)op;
}

OUTSPAN_INLINE void outspan_forget_span(struct outspan_op *op)
{
	(void)op;
}

OUTSPAN_INLINE bool outspan_has_room(const struct outspan_op *op, uint32_t bytes)
{
	(void)op;
	(void)bytes;
	return true;
}

OUTSPAN_INLINE unsigned char *outspan_step_begin(struct outspan_op *op, uint16_t number, int opens)
{
	(void)op;
	(void)number;
	(void)opens;
	return NULL;
}

OUTSPAN_INLINE void outspan_context_in(struct outspan_op *op, const struct outspan_context *in)
{
	(void)op;
	(void)in;
}

OUTSPAN_INLINE void outspan_join(struct outspan_op *op, const struct outspan_op *parent)
{
	(void)op;
	(void)parent;
}

OUTSPAN_INLINE void outspan_silence(struct outspan_op *op)
{
	(void)op;
}

OUTSPAN_INLINE bool outspan_context_out(struct outspan_op *op, int in_span, int wanted,
					struct outspan_context *out)
{
	(void)op;
	(void)in_span;
	(void)wanted;
	out->valid = 0;
	return false;
}

OUTSPAN_INLINE uint64_t outspan_op_id(const struct outspan_op *op)
{
	(void)op;
	return 0;
}

#endif
