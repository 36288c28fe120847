/*
 * `outspan probes`: which trace points there are in a process, a file or on the machine, what the
 * catalogues know of them, and which are wanted now. Data on stdout, one block per binary, or one
 * JSON object per site.
 */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/builtin.h"
#include "user/command.h"
#include "user/inventory.h"
#include "user/kernel.h"
#include "user/output.h"

enum { MAX_CATALOGUES = 32, KEY_ALL = 256, KEY_CATALOGUE, KEY_JSON };

struct options {
	struct osp_target target;
	size_t target_count;
	const char *catalogues[MAX_CATALOGUES];
	size_t catalogue_count;
	bool json;
};

static const struct argp_option option_table[] = {
	{"pid", 'p', "PID", 0, "the points of this process", 0},
	{"all", KEY_ALL, NULL, 0, "every process that has points of a loaded catalogue", 0},
	{"catalogue", KEY_CATALOGUE, "FILE", 0, "also know what this catalogue describes", 0},
	{"json", KEY_JSON, NULL, 0, "one JSON object per site", 0},
	{"verbose", 'v', NULL, 0, "say more", 0},
	{0},
};

static const char doc[] =
	"List trace points: of a process, of a program file, or of the whole machine.\v"
	"WANTED says whether a tracer has the point switched on, in how many of the processes.\n\n"
	"Examples:\n"
	"  outspan probes build/psp-broadcaster\n"
	"  sudo outspan probes -p $(pidof psp-broadcaster)\n"
	"  sudo outspan probes --all --json\n";

static void set_target(struct options *o, enum osp_target_kind kind, const char *text,
		       struct argp_state *state)
{
	char *end = NULL;

	if (o->target_count++)
		argp_error(state, "expected one of --pid, --all and a file");
	o->target.kind = kind;
	o->target.text = text;
	if (kind != OSP_TARGET_PID)
		return;
	errno = 0;
	o->target.pid = (uint32_t)strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || !o->target.pid)
		argp_error(state, "--pid %s: expected a process id", text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'p':
		set_target(o, OSP_TARGET_PID, arg, state);
		return 0;
	case KEY_ALL:
		set_target(o, OSP_TARGET_ALL, NULL, state);
		return 0;
	case ARGP_KEY_ARG:
		set_target(o, OSP_TARGET_PATH, arg, state);
		return 0;
	case KEY_CATALOGUE:
		if (o->catalogue_count == MAX_CATALOGUES)
			argp_error(state, "--catalogue: at most %d", MAX_CATALOGUES);
		o->catalogues[o->catalogue_count++] = arg;
		return 0;
	case KEY_JSON:
		o->json = true;
		return 0;
	case 'v':
		osp_log_level_set(OSP_LOG_DEBUG);
		return 0;
	case ARGP_KEY_END:
		if (!o->target_count)
			argp_error(state, "expected --pid, --all or a file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- what is shown ---- */

/* Names and paths come from files and processes of anybody. */
static const char *escaped(char out[512], const char *text)
{
	osp_text_escape(out, 512, text, strlen(text));
	return out;
}

static const char *level_of(const struct osp_site *s)
{
	return !s->point ? NULL : s->point->control ? "control" : osp_level_to_str(s->point->level);
}

static const char *build_id_of(char out[2 * OSP_ELF_BUILD_ID + 1], const struct osp_elf *e)
{
	osp_text_hex(out, e->build_id, e->build_id_size);
	return out;
}

/* "yes", "no", "1 of 3"; "-" where no process has the file mapped, "?" if none can be read. */
static const char *wanted_in(char out[64], const struct osp_inventory_binary *b, size_t site)
{
	size_t wanted = 0, seen = 0;

	for (size_t i = 0; i < b->count; i++) {
		if (!b->processes[i].sites)
			continue;
		seen++;
		wanted += b->processes[i].sites[site].armed == OSP_ARMED;
	}
	if (!seen)
		return b->count ? "?" : "-";
	if (!wanted || wanted == seen)
		return wanted ? "yes" : "no";
	snprintf(out, 64, "%zu of %zu", wanted, seen);
	return out;
}

static void print_head(const struct osp_inventory_binary *b)
{
	const struct osp_elf *e = b->binary->elf;
	char text[512], id[2 * OSP_ELF_BUILD_ID + 1];

	printf("%s\n  build id %s, %zu site%s, %zu known\n", escaped(text, b->binary->path),
	       e->build_id_size ? build_id_of(id, e) : "none", b->binary->count,
	       osp_text_plural(b->binary->count), b->binary->known);
	for (size_t i = 0; i < b->count; i++)
		printf("  process %u %s%s\n", b->processes[i].pid,
		       escaped(text, b->processes[i].comm),
		       b->processes[i].sites ? "" : " (its memory cannot be read)");
	if (e->zero_notes)
		printf("  %u notes without code: the linker threw it away\n", e->zero_notes);
	if (e->bad_notes)
		printf("  %u notes that cannot be read\n", e->bad_notes);
	if (e->shared_page)
		printf("  two writable segments share the page of its semaphores: processes started while it is traced will not be\n");
}

static void print_site(const struct osp_inventory_binary *b, size_t i)
{
	const struct osp_site *s = &b->binary->sites[i];
	const char *level = level_of(s);
	char wanted[64], provider[512], probe[512];

	printf("  %-10s %-8s %-10s %s:%s", level ? level : "unknown", wanted_in(wanted, b, i),
	       osp_elf_form_to_str(s->elf->form), escaped(provider, s->elf->provider),
	       escaped(probe, s->elf->probe));
	if (s->state == OSP_SITE_REFUSED)
		printf("\n    not traceable: %s", s->reason);
	printf("\n");
}

static int print_text(const struct osp_inventory *inv)
{
	for (size_t k = 0; k < inv->count; k++) {
		print_head(&inv->binaries[k]);
		printf("  %-10s %-8s %-10s %s\n", "LEVEL", "WANTED", "FORM", "POINT");
		for (size_t i = 0; i < inv->binaries[k].binary->count; i++)
			print_site(&inv->binaries[k], inv->binaries[k].order[i]);
		printf("%s", k + 1 < inv->count ? "\n" : "");
	}
	return 0;
}

/* ---- JSON ---- */

static json_t *json_text(const char *text)
{
	char out[512];

	return json_string(escaped(out, text));
}

static json_t *json_maybe(const char *text)
{
	return text ? json_text(text) : json_null();
}

static json_t *json_processes(const struct osp_inventory_binary *b, size_t site)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < b->count; i++) {
		const struct osp_inventory_process *p = &b->processes[i];
		const struct osp_armed_site *s = p->sites ? &p->sites[site] : NULL;
		bool counted = s && s->site->elf->semaphore && s->armed != OSP_ARMED_HIDDEN;

		json_array_append_new(
			list,
			json_pack("{s:I, s:o, s:o, s:o, s:o}", "pid", (json_int_t)p->pid, "comm",
				  json_text(p->comm), "wanted",
				  s ? json_boolean(s->armed == OSP_ARMED) : json_null(),
				  "semaphore", counted ? json_integer(s->semaphore) : json_null(),
				  "carry", counted ? json_integer(s->carry) : json_null()));
	}
	return list;
}

static json_t *json_site(const struct osp_inventory_binary *b, size_t i)
{
	const struct osp_site *s = &b->binary->sites[i];
	char id[2 * OSP_ELF_BUILD_ID + 1];

	return json_pack("{s:o, s:s, s:o, s:o, s:b, s:o, s:b, s:s, s:I, s:o, s:o}", "binary",
			 json_text(b->binary->path), "build_id", build_id_of(id, b->binary->elf),
			 "provider", json_text(s->elf->provider), "probe", json_text(s->elf->probe),
			 "known", s->point != NULL, "level", json_maybe(level_of(s)), "own",
			 s->elf->own, "form", osp_elf_form_to_str(s->elf->form), "offset",
			 (json_int_t)s->elf->offset, "refused",
			 json_maybe(s->state == OSP_SITE_REFUSED ? s->reason : NULL), "processes",
			 json_processes(b, i));
}

static int print_json(const struct osp_inventory *inv)
{
	for (size_t k = 0; k < inv->count; k++)
		for (size_t i = 0; i < inv->binaries[k].binary->count; i++) {
			json_t *site = json_site(&inv->binaries[k], inv->binaries[k].order[i]);
			char *line _cleanup_free_ = site ? json_dumps(site, JSON_COMPACT) : NULL;

			json_decref(site);
			if (!line)
				return -ENOMEM;
			puts(line);
		}
	return 0;
}

/* ---- the command ---- */

static int tell_nothing(const struct options *o)
{
	char missing[128];

	osp_kernel_missing_capabilities(missing, sizeof(missing));
	if (o->target.kind == OSP_TARGET_ALL && missing[0])
		return osp_err(0,
			       "no process that may be looked into has trace points of a loaded catalogue: %s missing - run as root, or grant the capabilities",
			       missing),
		       -EACCES;
	if (o->target.kind == OSP_TARGET_ALL)
		return osp_err(0, "no process has trace points of a loaded catalogue"), -ENXIO;
	if (o->target.kind == OSP_TARGET_PID)
		return osp_err(0,
			       "process %u has no trace points (no .note.stapsdt in what it has mapped)",
			       o->target.pid),
		       -ENXIO;
	return osp_err(0, "%s has no trace points (no .note.stapsdt)", o->target.text), -ENXIO;
}

static int list_points(const struct options *o)
{
	struct osp_catalogue *c _cleanup_(osp_catalogue_free) = NULL;
	struct osp_binaries *b _cleanup_(osp_binaries_free) = NULL;
	struct osp_inventory inv _cleanup_(osp_inventory_clear) = {0};
	int r = osp_builtin_catalogue(&c, o->catalogues, o->catalogue_count);

	if (!r)
		r = osp_binaries_new(&b, c);
	if (!r)
		r = osp_inventory_take(&inv, b, &o->target);
	if (!r && !inv.count)
		r = tell_nothing(o);
	if (!r)
		r = o->json ? print_json(&inv) : print_text(&inv);
	return r ? r : osp_output_flush();
}

static const struct argp argp = {option_table, parse_option, "[-p PID | FILE | --all]", doc, NULL,
				 NULL,	       NULL};

static int command(int argc, char **argv)
{
	struct options o = {0};

	osp_command_parse(&osp_cmd_probes, 0, argc, argv, &o);
	return osp_exit_status(list_points(&o));
}

const struct osp_command osp_cmd_probes = {
	.name = "probes",
	.brief = "list the trace points of a process, a file or the whole machine",
	.argp = &argp,
	.run = command,
};
