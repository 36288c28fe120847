/* outspan export */
#pragma once

/* Runs the command; argv[0] is its name. Returns the exit status. */
int osp_cmd_export(int argc, char **argv);
