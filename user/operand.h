/*
 * The argument strings of USDT notes ("-4@%eax 8@-20(%rbp)"), as the assembler wrote them, turned
 * into what the kernel side can follow (struct osp_site_spec). Pure; the strings are untrusted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

/* Gives the link-time address of a symbol of the site's binary. -ENOENT. */
typedef int (*osp_operand_symbol_fn)(void *arg, const char *name, uint64_t *address);

/* Where the note stands. */
struct osp_operand_site {
	uint16_t machine; /* EM_X86_64 or EM_AARCH64 */
	uint64_t address; /* link-time address of the site */
	osp_operand_symbol_fn symbol;
	void *arg; /* of symbol */
};

/*
 * Reads all operands of `text` into out->arg[], in the note's order, and returns how many there
 * are (at most OSP_EVENT_ARGS). An operand that cannot be followed (a floating-point register, a
 * segment, a stripped symbol, nonsense) becomes operand 0: that one argument is unreadable, the
 * others are not. -E2BIG: more operands than a point may have. -ENOTSUP: the machine.
 */
int osp_operand_parse(struct osp_site_spec *out, const char *text,
		      const struct osp_operand_site *site);
