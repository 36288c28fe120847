/*
 * outspan-generate: from a catalogue to what is compiled or read elsewhere. Run by the build; it
 * prints on stdout and is deterministic, so that equal catalogues give equal files.
 *
 *   outspan-generate header FILE.yaml   the C header that programs with trace points include
 *   outspan-generate table FILE.yaml    a line per transition, for programs
 *   outspan-generate docs FILE.yaml     the reference page in markdown
 *   outspan-generate man FILE.yaml      the same as a man page
 *   outspan-generate module FILE.yaml   the C source of the Python module with the trace points
 *   outspan-generate types FILE.yaml    the Python types of that module
 *   outspan-generate check FILE.yaml... nothing, if the catalogues are in order
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "probes/catalogue.h"
#include "probes/header.h"
#include "probes/module.h"
#include "probes/page.h"
#include "probes/table.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

static int print_docs(FILE *f, const struct osp_catalogue *c)
{
	return osp_page_print(f, c, &osp_markdown);
}

static int print_man(FILE *f, const struct osp_catalogue *c)
{
	return osp_page_print(f, c, &osp_roff);
}

struct output {
	const char *name;
	int (*print)(FILE *f, const struct osp_catalogue *c);
};

static const struct output outputs[] = {
	{"header", osp_header_print}, {"table", osp_table_print},
	{"docs", print_docs},	      {"man", print_man},
	{"module", osp_module_print}, {"types", osp_module_print_types},
};

static int usage(void)
{
	osp_err(0, "usage: outspan-generate header|table|docs|man|module|types FILE.yaml | check "
		   "FILE.yaml...");
	return 2;
}

/* what: NULL = the catalogues are read, and that is all */
static int generate(const struct output *what, char **files, int count)
{
	_cleanup_(osp_catalogue_free) struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	int r = osp_catalogue_new(&c);

	for (int i = 0; !r && i < count; i++) {
		r = osp_catalogue_read(c, files[i], &error);
		if (r)
			return osp_err(0, "%s", error.text), 1;
	}
	if (!r && what)
		r = what->print(stdout, c);
	if (!r && (fflush(stdout) || ferror(stdout)))
		r = -EIO;
	return r ? osp_err(r, "%s", files[0]), 1 : 0;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(outputs) / sizeof(outputs[0]); i++)
		if (!strcmp(argv[1], outputs[i].name))
			return generate(&outputs[i], argv + 2, 1);
	if (argc >= 3 && !strcmp(argv[1], "check"))
		return generate(NULL, argv + 2, argc - 2);
	return usage();
}
