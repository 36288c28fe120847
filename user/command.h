/* What every command shares: its row, exit statuses, its options' parsing. */
#pragma once

#include <stddef.h>

struct argp;

enum osp_exit {
	OSP_EXIT_OK = 0,
	OSP_EXIT_FAILED = 1,
	OSP_EXIT_USAGE = 2,
	OSP_EXIT_UNSUPPORTED = 3, /* not permitted, or not supported here */
};

struct osp_command {
	const char *name;
	const char *brief;	 /* one line: what it does */
	const struct argp *argp; /* what it takes: for --help, man pages and completion, too */
	int (*run)(int argc, char **argv); /* its own argv; returns an exit status */
	/* words that it takes beside options and files, by number from 0, NULL past the last; or NULL */
	const char *(*word)(size_t i);
};

/* user/cmd_<name>.c */
extern const struct osp_command osp_cmd_probes, osp_cmd_record, osp_cmd_ctl, osp_cmd_replay,
	osp_cmd_ls, osp_cmd_show, osp_cmd_deliveries, osp_cmd_losses, osp_cmd_check, osp_cmd_export,
	osp_cmd_doctor;

/* All of them, in the order in which they are listed; NULL past the last. */
const struct osp_command *osp_command_at(size_t i);
const struct osp_command *osp_command_find(const char *name);

/* What stands above and below their list. */
extern const char osp_command_intro[], osp_command_examples[];

/*
 * Parses by the command's argp; what is wrong leaves with OSP_EXIT_USAGE. flags: of argp_parse.
 * argv[0] is not looked at and has no meaning any more.
 */
void osp_command_parse(const struct osp_command *c, unsigned flags, int argc, char **argv,
		       void *input);

/* The exit status for a failure: -EPERM, -EACCES, -ENOTSUP and their like are "unsupported". */
int osp_exit_status(int r);
