/*
 * `outspan doctor`: prints what doctor.c found, a line per check and how to mend it, or one JSON
 * object per check. Exit status 0 all well, 3 something is not permitted or not supported, 1
 * something is broken.
 */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/command.h"
#include "user/doctor.h"
#include "user/output.h"

enum { KEY_JSON = 256 };

struct options {
	bool json;
};

static const struct argp_option option_table[] = {
	{"json", KEY_JSON, NULL, 0, "one JSON object per check", 0},
	{"verbose", 'v', NULL, 0, "show what the kernel says about programs it refuses", 0},
	{0},
};

static const char doc[] =
	"Try what this kernel and this user can do, and say how to mend the rest.\v"
	"Attaches to a child of its own for a moment; needs what a recording needs.\n\n"
	"Examples:\n"
	"  sudo outspan doctor\n"
	"  outspan doctor --json\n"
	"  sudo outspan doctor -v\n";

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	(void)arg;
	switch (key) {
	case KEY_JSON:
		o->json = true;
		return 0;
	case 'v':
		osp_log_level_set(OSP_LOG_DEBUG);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_text(void *arg, const struct osp_doctor_check *c)
{
	(void)arg;
	printf("%-4s  %-34s %s\n", osp_doctor_result_to_str(c->result), c->title, c->detail);
	if (c->hint)
		printf("      -> %s\n", c->hint);
}

static void print_json(void *arg, const struct osp_doctor_check *c)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s?}", "check", c->name, "title", c->title,
			      "verdict", osp_doctor_result_to_str(c->result), "detail", c->detail,
			      "hint", c->hint);
	char *line _cleanup_free_ = o ? json_dumps(o, JSON_COMPACT) : NULL;

	(void)arg;
	if (line)
		puts(line);
	json_decref(o);
}

static const struct argp argp = {option_table, parse_option, NULL, doc, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	struct options o = {0};
	int r;

	osp_command_parse(&osp_cmd_doctor, 0, argc, argv, &o);
	r = osp_doctor_run(o.json ? print_json : print_text, NULL);
	if (osp_output_flush())
		return OSP_EXIT_FAILED;
	return osp_exit_status(r);
}

const struct osp_command osp_cmd_doctor = {
	.name = "doctor",
	.brief = "try what this kernel and user can do, and say how to mend the rest",
	.argp = &argp,
	.run = command,
};
