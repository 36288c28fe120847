/*
 * Catalogues come from anywhere: whatever the bytes, the loader takes them or refuses them with a
 * text, and what it takes can be printed as a header. Seeds: tests/fuzz/catalogue/, and every
 * catalogue of the tree.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "probes/catalogue.h"
#include "probes/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	static FILE *nowhere;
	int r;

	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	if (osp_catalogue_new(&c))
		return 0;
	r = osp_catalogue_add(c, "fuzz", (const char *)data, size, &error);
	if (r && !error.text[0])
		abort(); /* a refusal without a reason */
	if (!r && nowhere)
		(void)osp_header_print(nowhere, c);
	osp_catalogue_free(&c);
	return 0;
}
