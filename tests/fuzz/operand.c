/*
 * Fuzz target: operands of a note, for both machines. What comes out is what the kernel side can
 * follow: known kinds, registers within pt_regs, sizes it narrows to.
 */
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "user/operand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int symbol(void *arg, const char *name, uint64_t *address)
{
	(void)arg;
	*address = strlen(name);
	return name[0] == 's' ? 0 : -ENOENT;
}

static void check(const struct osp_site_spec *s, int count)
{
	for (int i = 0; i < count; i++) {
		int size = abs(s->arg[i].size);

		if (!s->arg[i].operand)
			continue;
		if (s->arg[i].operand > OSP_OPERAND_MEMORY || s->arg[i].base < -1 ||
		    s->arg[i].base > 272 || s->arg[i].index < -1 || s->arg[i].index > 272 ||
		    s->arg[i].scale > 8 || (size != 1 && size != 2 && size != 4 && size != 8))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint16_t machines[] = {EM_X86_64, EM_AARCH64};
	struct osp_site_spec spec;
	char text[2048];

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	for (int i = 0; i < 2; i++) {
		struct osp_operand_site site = {machines[i], 0x1000, symbol, NULL};
		int n = osp_operand_parse(&spec, text, &site);

		if (n > OSP_EVENT_ARGS || (n < 0 && n != -E2BIG))
			abort();
		check(&spec, n);
	}
	return 0;
}
