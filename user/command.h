/* What every command shares: exit statuses and entry points (rows of the table in main.c). */
#pragma once

enum osp_exit {
	OSP_EXIT_OK = 0,
	OSP_EXIT_FAILED = 1,
	OSP_EXIT_USAGE = 2,
	OSP_EXIT_UNSUPPORTED = 3, /* not permitted, or not supported here */
};

/* Each parses its own argv (argv[0] is "outspan <command>") and returns an exit status. */
int osp_cmd_probes(int argc, char **argv);
int osp_cmd_record(int argc, char **argv);
int osp_cmd_ctl(int argc, char **argv);
int osp_cmd_replay(int argc, char **argv);
int osp_cmd_ls(int argc, char **argv);
int osp_cmd_show(int argc, char **argv);
int osp_cmd_deliveries(int argc, char **argv);
int osp_cmd_losses(int argc, char **argv);
int osp_cmd_check(int argc, char **argv);
int osp_cmd_export(int argc, char **argv);
int osp_cmd_doctor(int argc, char **argv);

/* The exit status for a failure: -EPERM, -EACCES, -ENOTSUP and their like are "unsupported". */
int osp_exit_status(int r);
