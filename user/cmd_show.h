/* outspan show */
#pragma once

/* Runs the command; argv[0] is its name. Returns the exit status. */
int osp_cmd_show(int argc, char **argv);
