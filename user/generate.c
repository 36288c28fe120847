/*
 * outspan-manual: what is made of the commands' tables beside the program itself. Run by the build; its
 * output is the same whenever the tables are.
 *
 *   outspan-manual pages DIR     man pages: outspan.1 and outspan-<command>.1
 *   outspan-manual completion    completion for bash and zsh, on stdout
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/base/log.h"
#include "user/completion.h"
#include "user/manual.h"
#include "user/output.h"

/* One page: of a command, or of all (NULL). */
static int write_page(const char *dir, const struct osp_command *c)
{
	struct osp_output out;
	char path[4096];
	int r, closed;

	snprintf(path, sizeof(path), "%s/outspan%s%s.1", dir, c ? "-" : "", c ? c->name : "");
	r = osp_output_open(&out, path);
	if (r)
		return r;
	r = c ? osp_manual_print(out.file, c) : osp_manual_print_index(out.file);
	if (r)
		osp_err(r, "%s", path);
	closed = osp_output_close(&out);
	return r ? r : closed;
}

static int write_pages(const char *dir)
{
	const struct osp_command *c;
	int r = 0;

	for (size_t i = 0; !r && (c = osp_command_at(i)); i++)
		r = write_page(dir, c);
	return r ? r : write_page(dir, NULL);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "pages"))
		return write_pages(argv[2]) ? OSP_EXIT_FAILED : OSP_EXIT_OK;
	if (argc == 2 && !strcmp(argv[1], "completion")) {
		osp_completion_print(stdout);
		return osp_output_flush() ? OSP_EXIT_FAILED : OSP_EXIT_OK;
	}
	osp_err(0, "usage: outspan-manual pages DIR | completion");
	return OSP_EXIT_USAGE;
}
