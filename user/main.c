/*
 * The command line: one row per command, one file per command (user/cmd_*.c). A command gets its
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

static const struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"probes", "list the trace points of a process, a file or the whole machine",
	 osp_cmd_probes},
	{"record", "attach to running processes and write a session file", osp_cmd_record},
	{"ctl", "ask a running recorder how it does, or tell it what to do", osp_cmd_ctl},
	{"replay", "make a session file from a raw capture", osp_cmd_replay},
	{"ls", "list the traces of a session file", osp_cmd_ls},
	{"show", "show one trace as a tree", osp_cmd_show},
	{"deliveries", "tell to whom each message was to go, and how far it came",
	 osp_cmd_deliveries},
	{"losses", "show what a session misses, and what that means for its numbers",
	 osp_cmd_losses},
	{"check", "check whether the programs did what the catalogue says", osp_cmd_check},
	{"export", "write a session file in another format", osp_cmd_export},
	{"doctor", "try what this kernel and user can do, and say how to mend the rest",
	 osp_cmd_doctor},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int usage(FILE *out, int status)
{
	fprintf(out,
		"usage: outspan COMMAND [OPTION...]\n\n"
		"Looks at pub/sub programs from outside: traces their messages across processes.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n`outspan COMMAND --help` explains a command. Three to start with:\n"
		     "  outspan doctor\n"
		     "  sudo outspan record --all --for 30s -o first.db\n"
		     "  outspan ls first.db\n");
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
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		snprintf(name, sizeof(name), "outspan %s", commands[i].name);
		argv[1] = name;
		return commands[i].run(argc - 1, argv + 1);
	}
	osp_err(0, "outspan: no command \"%s\" - see outspan --help", argv[1]);
	return OSP_EXIT_USAGE;
}
