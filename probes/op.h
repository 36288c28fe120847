/*
 * The program's side of outspan's trace points: the operation block, its ids, the trace context and
 * the stub that a tracer attaches to. Included by the generated <outspan/PROVIDER.h>; stands alone;
 * C (gnu11 or c11) and C++ with gcc or clang on x86-64 and arm64. Elsewhere, and with
 * OUTSPAN_NO_PROBES, everything compiles to nothing.
 *
 * While nobody traces, a point is one load and one branch. While a point is wanted it writes one
 * step into its operation's block, which lives in the caller's own state, and calls a stub that is
 * a no-op to the program and a trap to the tracer. Nothing else happens in the program: no
 * allocation, lock, system call, thread, file or socket. (One getrandom at start and one after
 * fork.)
 *
 * The layout of struct outspan_op and struct outspan_step is an ABI with the tracer: OUTSPAN_ABI.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef OUTSPAN_OP_H
#define OUTSPAN_OP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__)) || defined(__ILP32__)
#ifndef OUTSPAN_NO_PROBES
#define OUTSPAN_NO_PROBES 1
#endif
#endif

#define OUTSPAN_INLINE static inline __attribute__((always_inline, unused))
/* inline, so that gcc -O0 drops those that nobody calls; the headers silence its remark on that */
#define OUTSPAN_COLD   static inline __attribute__((noinline, cold, unused))
#define OUTSPAN_RESULT __attribute__((warn_unused_result))
#ifdef __cplusplus
#define OUTSPAN_ZERO                                                                               \
	{                                                                                          \
	}
#else
#define OUTSPAN_ZERO                                                                               \
	{                                                                                          \
		0                                                                                  \
	}
#endif

/* ---- trace context: what one process tells the next ------------------------------------------ */

struct outspan_context {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags;
	uint8_t valid; /* 0: there is none, whatever the other fields hold */
	uint8_t asks;  /* the answer is to tell what was done, behind its own context */
	uint8_t reserved[5];
};

/* On the wire: 'o' 's' 'p', version 1, flags (the highest: asks), trace id, span id. */
enum { OUTSPAN_CONTEXT_SIZE = 29, OUTSPAN_CONTEXT_VERSION = 1, OUTSPAN_CONTEXT_ASKS = 0x80 };

/* Writes the context for the protocol's tracing field. The bytes written: 0 if there is none. */
OUTSPAN_INLINE size_t outspan_context_write(uint8_t out[OUTSPAN_CONTEXT_SIZE],
					    const struct outspan_context *c)
{
	if (!c->valid)
		return 0;
	memcpy(out, "osp", 3);
	out[3] = OUTSPAN_CONTEXT_VERSION;
	out[4] = (uint8_t)(c->flags | (c->asks ? OUTSPAN_CONTEXT_ASKS : 0));
	memcpy(out + 5, c->trace_id, 16);
	memcpy(out + 21, c->span_id, 8);
	return OUTSPAN_CONTEXT_SIZE;
}

/* Reads what a peer sent. Foreign or malformed bytes, or an id of zeros: valid = 0. */
OUTSPAN_INLINE void outspan_context_read(struct outspan_context *c, const void *bytes, size_t size)
{
	static const uint8_t zeros[16] = {0};
	const uint8_t *p = (const uint8_t *)bytes;

	c->valid = 0;
	if (size != OUTSPAN_CONTEXT_SIZE || memcmp(p, "osp", 3) != 0 ||
	    p[3] != OUTSPAN_CONTEXT_VERSION || memcmp(p + 5, zeros, 16) == 0 ||
	    memcmp(p + 21, zeros, 8) == 0)
		return;
	c->flags = (uint8_t)(p[4] & ~OUTSPAN_CONTEXT_ASKS);
	c->asks = p[4] >> 7;
	memcpy(c->trace_id, p + 5, 16);
	memcpy(c->span_id, p + 21, 8);
	memset(c->reserved, 0, sizeof(c->reserved));
	c->valid = 1;
}

/* ---- arguments of a step, each a multiple of 8 bytes ----------------------------------------- */

OUTSPAN_INLINE unsigned char *outspan_put_u64(unsigned char *at, uint64_t value)
{
	memcpy(at, &value, 8);
	return at + 8;
}

OUTSPAN_INLINE unsigned char *outspan_put_f64(unsigned char *at, double value)
{
	memcpy(at, &value, 8);
	return at + 8;
}

OUTSPAN_INLINE unsigned char *outspan_put_bytes(unsigned char *at, const void *data, size_t size,
						uint32_t max)
{
	uint32_t sizes[2];
	size_t padded;

	sizes[0] = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
	sizes[1] = size > max ? max : (uint32_t)size;
	padded = (sizes[1] + 7u) & ~(size_t)7;
	memcpy(at, sizes, 8);
	if (padded) {
		memset(at + 8 + padded - 8, 0, 8);
		memcpy(at + 8, data, sizes[1]);
	}
	return at + 8 + padded;
}

/* An absent context (NULL, or not valid) has the size 0. */
OUTSPAN_INLINE unsigned char *outspan_put_context(unsigned char *at,
						  const struct outspan_context *c)
{
	static const uint8_t zeros[7] = {0};
	uint32_t sizes[2] = {25, 32};

	if (!c || !c->valid)
		sizes[0] = sizes[1] = 0;
	memcpy(at, sizes, 8);
	if (!sizes[0])
		return at + 8;
	memcpy(at + 8, c->trace_id, 16);
	memcpy(at + 24, c->span_id, 8);
	at[32] = c->flags;
	memcpy(at + 33, zeros, 7);
	return at + 40;
}

#ifdef OUTSPAN_NO_PROBES
#include "op_none.h"
#else
#include "op_block.h"
#endif

#endif /* OUTSPAN_OP_H */
