/*
 * The program's side of outspan's trace points: the operation block, its ids, the trace context and
 * the stub that a tracer attaches to. Included by the generated <outspan/PROVIDER.h>; stands alone;
 * C (gnu11 or c11) and C++ with gcc or clang on x86-64 and arm64. Elsewhere, and with
 * OUTSPAN_NO_PROBES, everything compiles to nothing.
 *
 * While nobody traces, a point is one load and one branch. While a point is wanted it writes one
 * step into its operation's block, which lives in the caller's own state, and calls a stub that is a
 * no-op to the program and a trap to the tracer. Nothing else happens in the program: no allocation,
 * lock, system call, thread, file or socket. (One getrandom at start and one after fork.)
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
#define OUTSPAN_COLD   static __attribute__((noinline, cold, unused))
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

/* ---- trace context: what one process tells the next -------------------------------------------- */

struct outspan_context {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags;
	uint8_t valid; /* 0: there is none */
	uint8_t reserved[6];
};

/* On the wire: 'o' 's' 'p', version 1, flags, trace id, span id. */
enum { OUTSPAN_CONTEXT_SIZE = 29, OUTSPAN_CONTEXT_VERSION = 1 };

/* Writes the context for the protocol's tracing field. The bytes written: 0 if there is none. */
OUTSPAN_INLINE size_t outspan_context_write(uint8_t out[OUTSPAN_CONTEXT_SIZE],
					    const struct outspan_context *c)
{
	if (!c->valid)
		return 0;
	memcpy(out, "osp", 3);
	out[3] = OUTSPAN_CONTEXT_VERSION;
	out[4] = c->flags;
	memcpy(out + 5, c->trace_id, 16);
	memcpy(out + 21, c->span_id, 8);
	return OUTSPAN_CONTEXT_SIZE;
}

/* Reads what a peer sent. Foreign or malformed bytes, or an id of zeros: valid = 0. */
OUTSPAN_INLINE void outspan_context_read(struct outspan_context *c, const void *bytes, size_t size)
{
	static const uint8_t zeros[16] = {0};
	const uint8_t *p = (const uint8_t *)bytes;

	memset(c, 0, sizeof(*c));
	if (size != OUTSPAN_CONTEXT_SIZE || memcmp(p, "osp", 3) != 0 ||
	    p[3] != OUTSPAN_CONTEXT_VERSION || memcmp(p + 5, zeros, 16) == 0 ||
	    memcmp(p + 21, zeros, 8) == 0)
		return;
	c->flags = p[4];
	memcpy(c->trace_id, p + 5, 16);
	memcpy(c->span_id, p + 21, 8);
	c->valid = 1;
}

#ifdef OUTSPAN_NO_PROBES

/* ---- everything else as nothing ---------------------------------------------------------------- */

struct outspan_op {
	unsigned char none;
};

#define OUTSPAN_DATA(bytes)
#define OUTSPAN_EXTERN(wanted)
#define OUTSPAN_EXTERN_STUB(stub)
#define OUTSPAN_WANTED(wanted, index)				      0
#define OUTSPAN_SITE(stub, wanted, index, provider, probe, digest)    (void)0
#define OUTSPAN_CONTROL(stub, wanted, index, provider, probe, digest) (void)0
#define OUTSPAN_CALL(stub, block, at, value)			      ((void)(at), (void)(value))
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

OUTSPAN_INLINE bool outspan_context_out(struct outspan_op *op, int in_span, int wanted,
					struct outspan_context *out)
{
	(void)op;
	(void)in_span;
	(void)wanted;
	memset(out, 0, sizeof(*out));
	return false;
}

OUTSPAN_INLINE uint64_t outspan_op_id(const struct outspan_op *op)
{
	(void)op;
	return 0;
}

#else /* !OUTSPAN_NO_PROBES */

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	OUTSPAN_ABI = 1,
	OUTSPAN_MAGIC = 0x3150534f, /* "OSP1" */
	OUTSPAN_HAS_CONTEXT = 1,    /* flags: a valid context came in */
	OUTSPAN_HAS_SENT = 2,	    /* flags: a context was asked for; what comes now are answers */
	OUTSPAN_HAS_ENDED = 4,	    /* flags */
	OUTSPAN_STEP_FORKED = 1, /* flags of a step: this process is a copy of the one that began */
};

/* The operation block. Steps follow it in `size` bytes; in the immediate form one at a time. */
struct outspan_op {
	uint32_t magic; /* OUTSPAN_MAGIC from begin to end */
	uint16_t abi;
	uint16_t flags;
	uint64_t id;	      /* 0 until the first wanted point */
	uint32_t owner;	      /* process that began it */
	uint32_t sequence;    /* steps stamped so far */
	uint32_t used;	      /* bytes in use, this header included */
	uint32_t size;	      /* bytes of the block, this header included */
	uint16_t nested;      /* nested spans opened at wanted points so far */
	uint16_t state;	      /* OUTSPAN_CHECKED: current state + 1 */
	uint32_t operation;   /* its number in the provider's header */
	uint8_t trace_id[16]; /* of the context that came in */
	uint8_t span_id[8];
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

#ifdef __cplusplus
extern "C" {
#endif

/* What a process (or each shared object of it) needs for ids. */
struct outspan_process {
	uint64_t base;	 /* random, low 16 bits zero */
	uint64_t random; /* upper half of trace ids that begin here */
	uint64_t count;	 /* operations that took an id */
	uint32_t pid;	 /* 0: not set up yet */
	uint32_t reserved;
};

extern struct outspan_process outspan_process_1 __attribute__((weak, visibility("hidden")));
struct outspan_process outspan_process_1 = {0, 0, 0, 0, 0};

void outspan_process_renew_1(void) __attribute__((weak, visibility("hidden")));
void outspan_process_start_1(void) __attribute__((weak, visibility("hidden"), constructor));

/* A new identity: at the start, and in the child of a fork. */
__attribute__((no_instrument_function, cold)) void outspan_process_renew_1(void)
{
	struct outspan_process *p = &outspan_process_1;
	uint64_t random[2] = {0, 0};

	p->pid = (uint32_t)getpid();
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
		/* No randomness this early: addresses, the counter and the pid still differ. */
		random[0] ^= (uint64_t)(uintptr_t)&random * 0x9e3779b97f4a7c15u + p->base;
		random[0] ^= (uint64_t)p->pid << 32;
		random[1] ^= random[0] * 0xd6e8feb86659fd93u + (uint64_t)(uintptr_t)p;
	}
	p->base = random[0] & ~(uint64_t)0xffff;
	p->random = random[1] | 1;
	p->count = 0;
}

__attribute__((no_instrument_function, cold)) void outspan_process_start_1(void)
{
	if (outspan_process_1.pid)
		return;
	outspan_process_renew_1();
	pthread_atfork(NULL, NULL, outspan_process_renew_1);
}

#ifdef __cplusplus
}
#endif

OUTSPAN_INLINE uint64_t outspan_stamp(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#endif
}

/* ---- the stub ------------------------------------------------------------------------------------
 * Assembler, in a COMDAT group of its own: no compiler option touches it, a linker keeps one of
 * many. The tracer attaches at the one-byte no-op behind which the longer one may one day take a
 * cheaper form; the no-op behind `ret` is never executed: attaching there with the upper half of the
 * wanted word makes a point wanted without a trap. Digest and number keep identical-code folding
 * from merging stubs. `wanted` is a page of u32, one per point of the provider; lower half = "fire",
 * upper half = "carry".
 */
#ifdef __x86_64__
#define OUTSPAN_ASM_STUB     ".byte 0x90,0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0,0xc3,0x90\n"
#define OUTSPAN_ASM_CARRY    "12"
#define OUTSPAN_ASM_OPERANDS "8@%%rdi 8@%%rsi 8@%%rdx 8@%%rcx 8@%%r8 8@%%r9"
#define OUTSPAN_ASM_KEEP     "R_X86_64_NONE"
#else
#define OUTSPAN_ASM_STUB     "nop\nret\nnop\n"
#define OUTSPAN_ASM_CARRY    "8"
#define OUTSPAN_ASM_OPERANDS "8@x0 8@x1 8@x2 8@x3 8@x4 8@x5"
#define OUTSPAN_ASM_KEEP     "R_AARCH64_NONE"
#endif

#define OUTSPAN_ASM_WANTED(wanted)                                                                 \
	".pushsection .probes,\"awG\",%%progbits," wanted ",comdat\n"                              \
	".ifndef .Loutspan_here_" wanted "\n"                                                      \
	".set .Loutspan_here_" wanted ",1\n"                                                       \
	".weak " wanted "\n.hidden " wanted "\n.type " wanted ",%%object\n"                        \
	".balign 4096\n" wanted ":\n.zero 4096\n.size " wanted ",4096\n"                           \
	".endif\n.popsection\n"

#define OUTSPAN_ASM_BASE                                                                           \
	".ifndef _.stapsdt.base\n"                                                                 \
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                    \
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                                           \
	"_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n.popsection\n.endif\n"

/* What every USDT tracer knows: address, base, semaphore, names, operands. */
#define OUTSPAN_ASM_STAPSDT(wanted, index, provider, probe)                                        \
	".pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n"                                   \
	".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"                  \
	"993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " wanted "+4*" index "\n"                 \
	".asciz \"" provider "\"\n.asciz \"" probe "\"\n.asciz \"" OUTSPAN_ASM_OPERANDS "\"\n"     \
	"994: .balign 4\n.popsection\n"

/* What outspan wants to know besides: ABI, number, signature, where to attach for carrying. */
#define OUTSPAN_ASM_NOTE(index, provider, probe, digest)                                           \
	".pushsection .note.outspan,\"?\",\"note\"\n.balign 4\n"                                   \
	".4byte 996f-995f,998f-997f,1\n995: .asciz \"outspan\"\n996: .balign 4\n"                  \
	"997: .4byte 1," index "\n.8byte 990b\n.8byte _.stapsdt.base\n.8byte " digest "\n"         \
	".4byte " OUTSPAN_ASM_CARRY ",0\n.asciz \"" provider "\"\n.asciz \"" probe "\"\n"          \
	"998: .balign 4\n.popsection\n"

#define OUTSPAN_ASM_SITE(stub, wanted, index, provider, probe, digest)                             \
	OUTSPAN_ASM_WANTED(wanted)                                                                 \
	".pushsection .text." stub ",\"axG\",%%progbits," stub ",comdat\n"                         \
	".ifndef .Loutspan_here_" stub "\n"                                                        \
	".set .Loutspan_here_" stub ",1\n"                                                         \
	".weak " stub "\n.hidden " stub "\n.type " stub ",%%function\n"                            \
	".balign 16\n" stub ":\n990: " OUTSPAN_ASM_STUB                                            \
	OUTSPAN_ASM_STAPSDT(wanted, index, provider, probe) OUTSPAN_ASM_NOTE(                      \
		index, provider, probe, digest) ".size " stub ",.-" stub "\n.8byte " digest        \
						"\n.4byte " index "\n"                             \
						".endif\n.popsection\n" OUTSPAN_ASM_BASE

#define OUTSPAN_SITE(stub, wanted, index, provider, probe, digest)                                 \
	__asm__ volatile(OUTSPAN_ASM_SITE(#stub, #wanted, #index, provider, probe, #digest)::      \
				 : "memory")

/* A site that nobody calls: a relocation that does nothing keeps it from garbage collection. */
#define OUTSPAN_CONTROL(stub, wanted, index, provider, probe, digest)                              \
	__asm__ volatile(OUTSPAN_ASM_SITE(#stub, #wanted, #index, provider, probe,                 \
					  #digest) ".reloc ., " OUTSPAN_ASM_KEEP ", " #stub        \
						   "\n" ::                                         \
							   : "memory")

#ifdef __cplusplus
#define OUTSPAN_C extern "C"
#else
#define OUTSPAN_C extern
#endif
#define OUTSPAN_EXTERN(wanted)                                                                     \
	OUTSPAN_C uint32_t wanted[1024] __attribute__((visibility("hidden")));
#define OUTSPAN_EXTERN_STUB(stub)                                                                  \
	OUTSPAN_C void stub(uint64_t id, const void *block, uint64_t used, uint64_t order,         \
			    uint64_t stamp, uint64_t value) __attribute__((visibility("hidden")));

/* One load and one branch. */
#define OUTSPAN_WANTED(wanted, index)                                                              \
	__builtin_expect(*(const volatile uint32_t *)&(wanted)[index], 0)

#define OUTSPAN_DATA(bytes) unsigned char data[bytes] __attribute__((aligned(8)));

/* ---- states ------------------------------------------------------------------------------------ */

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
	memset(op, 0, sizeof(*op));
	op->magic = OUTSPAN_MAGIC;
	op->abi = OUTSPAN_ABI;
	op->owner = outspan_process_1.pid;
	op->used = (uint32_t)sizeof(*op);
	op->size = size;
	op->state = (uint16_t)(start + 1);
	op->operation = operation;
	op->token = token;
}

OUTSPAN_INLINE bool outspan_is_begun(const struct outspan_op *op)
{
	return op->magic == OUTSPAN_MAGIC;
}

OUTSPAN_INLINE void outspan_end(struct outspan_op *op)
{
	op->magic = 0;
	op->flags = OUTSPAN_HAS_ENDED;
}

/* The point that opens a span with a context was not wanted: that span has no number. */
OUTSPAN_INLINE void outspan_forget_span(struct outspan_op *op)
{
	op->context_nested = 0;
}

/* The operation's id, taken now if it has none yet; 0 in a copy made by fork. */
OUTSPAN_INLINE uint64_t outspan_take_id(struct outspan_op *op)
{
	struct outspan_process *p = &outspan_process_1;

	if (!op->id && op->owner == p->pid)
		op->id = p->base + __atomic_add_fetch(&p->count, 1, __ATOMIC_RELAXED) * 65536;
	return op->id;
}

OUTSPAN_INLINE uint64_t outspan_op_id(const struct outspan_op *op)
{
	return op ? op->id : 0;
}

/* ---- a step ------------------------------------------------------------------------------------ */

/*
 * Stamps a step at the start of the data and returns where its arguments go; NULL if the block is
 * not begun. opens: 0, 1 = a nested span, 2 = one whose context is sent.
 */
OUTSPAN_INLINE unsigned char *outspan_step_begin(struct outspan_op *op, uint16_t number, int opens)
{
	struct outspan_step *step = (struct outspan_step *)(void *)(op + 1);

	if (!outspan_is_begun(op))
		return NULL;
	outspan_take_id(op);
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

/* Closes the step behind its arguments; the stub's third register. */
OUTSPAN_INLINE uint64_t outspan_step_end(struct outspan_op *op, const unsigned char *at)
{
	struct outspan_step *step = (struct outspan_step *)(void *)(op + 1);
	uint64_t forked = step->flags & OUTSPAN_STEP_FORKED;

	step->size = (uint32_t)(at - (const unsigned char *)(step + 1));
	op->used = (uint32_t)(at - (const unsigned char *)op);
	return op->used | (uint64_t)sizeof(*op) << 32 | forked << 63;
}

OUTSPAN_INLINE uint64_t outspan_step_order(const struct outspan_op *op)
{
	const struct outspan_step *step = (const struct outspan_step *)(const void *)(op + 1);

	return step->sequence | (uint64_t)step->number << 32 | (uint64_t)step->nested << 48;
}

OUTSPAN_INLINE uint64_t outspan_step_stamp(const struct outspan_op *op)
{
	return ((const struct outspan_step *)(const void *)(op + 1))->stamp;
}

/* Hands the step to the tracer, if there is one at the stub, and clears it. */
#define OUTSPAN_CALL(stub, block, at, value)                                                       \
	do {                                                                                       \
		uint64_t outspan_used = outspan_step_end(block, at);                               \
                                                                                                   \
		stub((block)->id, (block), outspan_used, outspan_step_order(block),                \
		     outspan_step_stamp(block), value);                                            \
		(block)->used = (uint32_t)sizeof(struct outspan_op);                               \
	} while (0)

/* ---- the context of an operation --------------------------------------------------------------- */

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

OUTSPAN_INLINE void outspan_put_big_endian(uint8_t out[8], uint64_t value)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(value >> (56 - 8 * i));
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
		   op->owner == outspan_process_1.pid;

	memset(out, 0, sizeof(*out));
	op->flags |= OUTSPAN_HAS_SENT;
	if (!own && !(op->flags & OUTSPAN_HAS_CONTEXT))
		return false;
	out->valid = 1;
	memcpy(out->trace_id, op->trace_id, sizeof(out->trace_id));
	memcpy(out->span_id, op->span_id, sizeof(out->span_id));
	out->flags = op->trace_flags;
	if (!own)
		return false;
	if (!(op->flags & OUTSPAN_HAS_CONTEXT)) {
		outspan_put_big_endian(out->trace_id, outspan_process_1.random);
		outspan_put_big_endian(out->trace_id + 8, outspan_take_id(op));
		out->flags = 1;
	}
	outspan_put_big_endian(out->span_id,
			       outspan_take_id(op) + (in_span ? op->context_nested : 0));
	return true;
}

#endif /* !OUTSPAN_NO_PROBES */

/* ---- arguments of a step, each a multiple of 8 bytes --------------------------------------------- */

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

#endif /* OUTSPAN_OP_H */
