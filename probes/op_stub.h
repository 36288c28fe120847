/*
 * The stub that a tracer attaches to, and the words that say whether somebody has.
 * Part of outspan/op.h. SPDX-License-Identifier: Apache-2.0
 */
#ifndef OUTSPAN_OP_STUB_H
#define OUTSPAN_OP_STUB_H

#include <stdint.h>

/* ---- the stub ----------------------------------------------------------------------------------
 * Assembler, in a COMDAT group of its own: no compiler option touches it, a linker keeps one of
 * many. The tracer attaches at the one-byte no-op, behind which the longer one may one day take a
 * cheaper form; the no-op behind `ret` is never executed: attaching there, with the upper half of
 * the wanted word, makes a point wanted without a trap. Digest and number keep identical-code
 * folding from merging stubs. `wanted` is a page of u32, one per point of the provider; lower half
 * = "fire", upper half = "carry". A page of its own: some linkers map a page twice, and a
 * semaphore that shared one would rise in the wrong copy.
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
	"997: .4byte 2," index "\n.8byte 990b\n.8byte _.stapsdt.base\n.8byte " digest "\n"         \
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
/*
 * id, block: of the operation. used: bits 0..31 the end of what is handed over, from the start of
 * the block; 32..61 its start; 62 the block is cleared behind the call; 63 a copy made by fork.
 * order: sequence, number << 32, nested << 48 of the step at hand (spill: the next sequence).
 * stamp: its counter. value: its first integer argument.
 */
#define OUTSPAN_EXTERN_STUB(stub)                                                                  \
	OUTSPAN_C void stub(uint64_t id, const void *block, uint64_t used, uint64_t order,         \
			    uint64_t stamp, uint64_t value) __attribute__((visibility("hidden")));

/* One load and one branch. */
#define OUTSPAN_WANTED(wanted, index)                                                              \
	__builtin_expect(*(const volatile uint32_t *)&(wanted)[index], 0)

/* The lower half: whether the point's own site traps. Read where the step is made, out of line. */
#define OUTSPAN_FIRES(wanted, index) (*(const volatile uint32_t *)&(wanted)[index] & 0xffffu)

#define OUTSPAN_DATA(bytes) unsigned char data[bytes] __attribute__((aligned(8)));

#endif
