/*
 * The table of commands, and what they share beyond their own files. Read by main.c, and by manual.c
 * and completion.c, which tell of them elsewhere.
 */
#include "user/command.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct osp_command *const commands[] = {
	&osp_cmd_probes, &osp_cmd_record, &osp_cmd_ctl,	       &osp_cmd_replay,
	&osp_cmd_ls,	 &osp_cmd_show,	  &osp_cmd_deliveries, &osp_cmd_losses,
	&osp_cmd_check,	 &osp_cmd_export, &osp_cmd_doctor,
};

const char osp_command_intro[] =
	"Looks at pub/sub programs from outside: traces their messages across processes.";

const char osp_command_examples[] = "  outspan doctor\n"
				    "  sudo outspan record --all --for 30s -o first.db\n"
				    "  outspan ls first.db\n";

const struct osp_command *osp_command_at(size_t i)
{
	return i < sizeof(commands) / sizeof(commands[0]) ? commands[i] : NULL;
}

const struct osp_command *osp_command_find(const char *name)
{
	const struct osp_command *c;
	size_t i = 0;

	while ((c = osp_command_at(i++)) && strcmp(c->name, name))
		;
	return c;
}

void osp_command_parse(const struct osp_command *c, unsigned flags, int argc, char **argv,
		       void *input)
{
	char name[64];

	snprintf(name, sizeof(name), "outspan %s", c->name);
	argp_err_exit_status = OSP_EXIT_USAGE;
	argv[0] = name;
	argp_parse(c->argp, argc, argv, flags, NULL, input);
	argv[0] = "outspan";
}

int osp_exit_status(int r)
{
	switch (r) {
	case 0:
		return OSP_EXIT_OK;
	case -EPERM:
	case -EACCES:
	case -ENOTSUP:
	case -ENOSYS:
		return OSP_EXIT_UNSUPPORTED;
	default:
		return OSP_EXIT_FAILED;
	}
}
