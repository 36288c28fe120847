/*
 * outspan-generate: from a catalogue to what is compiled or read elsewhere. Run by the build; it
 * prints on stdout and is deterministic, so that equal catalogues give equal files.
 *
 *   outspan-generate header FILE.yaml   the C header that programs with trace points include
 *   outspan-generate table FILE.yaml    a line per transition, for programs
 *   outspan-generate docs FILE.yaml     the reference page in markdown
 *   outspan-generate man FILE.yaml      the same as a man page
 *   outspan-generate check FILE.yaml... nothing, if the catalogues are in order
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "probes/catalogue.h"
#include "probes/header.h"
#include "probes/page.h"
#include "probes/table.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

static int usage(void)
{
	osp_err(0, "usage: outspan-generate header|table|docs|man FILE.yaml | check FILE.yaml...");
	return 2;
}

static int generate(const char *what, char **files, int count)
{
	_cleanup_(osp_catalogue_free) struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	int r = osp_catalogue_new(&c);

	for (int i = 0; !r && i < count; i++) {
		r = osp_catalogue_read(c, files[i], &error);
		if (r)
			return osp_err(0, "%s", error.text), 1;
	}
	if (!r && !strcmp(what, "header"))
		r = osp_header_print(stdout, c);
	if (!r && !strcmp(what, "table"))
		r = osp_table_print(stdout, c);
	if (!r && !strcmp(what, "docs"))
		r = osp_page_print(stdout, c, &osp_markdown);
	if (!r && !strcmp(what, "man"))
		r = osp_page_print(stdout, c, &osp_roff);
	if (!r && (fflush(stdout) || ferror(stdout)))
		r = -EIO;
	return r ? osp_err(r, "%s", files[0]), 1 : 0;
}

int main(int argc, char **argv)
{
	static const char *const prints[] = {"header", "table", "docs", "man"};

	for (size_t i = 0; argc == 3 && i < sizeof(prints) / sizeof(prints[0]); i++)
		if (!strcmp(argv[1], prints[i]))
			return generate(argv[1], argv + 2, 1);
	if (argc >= 3 && !strcmp(argv[1], "check"))
		return generate(argv[1], argv + 2, argc - 2);
	return usage();
}
