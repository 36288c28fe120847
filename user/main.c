/*
 * The command line: the table of command.c, one file per command (user/cmd_*.c). A command gets its
 * own argv and returns the exit status: 0 ok, 1 failed, 2 usage, 3 not permitted or not supported.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/hash.h"
#include "user/base/log.h"
#include "user/command.h"
#include "user/output.h"
#include "user/version.h"

static int usage(FILE *out, int status)
{
	const struct osp_command *c;

	fprintf(out, "usage: outspan COMMAND [OPTION...]\n\n%s\n\n", osp_command_intro);
	for (size_t i = 0; (c = osp_command_at(i)); i++)
		fprintf(out, "  %-10s %s\n", c->name, c->brief);
	fprintf(out, "\n`outspan COMMAND --help` explains a command. Three to start with:\n%s",
		osp_command_examples);
	return status;
}

/* Help and version, too, may go to a full disk; what a command has told is not told again. */
static void flush_output(void)
{
	if (osp_output_flush())
		_exit(OSP_EXIT_FAILED);
}

int main(int argc, char **argv)
{
	const struct osp_command *c;
	static char name[64];

	signal(SIGPIPE, SIG_IGN); /* a closed stdout is seen as a failed write: user/output.c */
	atexit(flush_output);
	setlocale(LC_CTYPE, "");
	osp_hash_seed(); /* without it, too, everything works */
	setenv("ARGP_HELP_FMT", "rmargin=100,no-dup-args-note", 0);
	if (argc < 2)
		return usage(stderr, OSP_EXIT_USAGE);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return usage(stdout, OSP_EXIT_OK);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("outspan %s\n", OSP_VERSION);
		return OSP_EXIT_OK;
	}
	c = osp_command_find(argv[1]);
	if (c) {
		snprintf(name, sizeof(name), "outspan %s", c->name);
		argv[1] = name;
		return c->run(argc - 1, argv + 1);
	}
	osp_err(0, "outspan: no command \"%s\" - see outspan --help", argv[1]);
	return OSP_EXIT_USAGE;
}
