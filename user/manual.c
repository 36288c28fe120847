/*
 * Man pages from the commands' own tables (user/manual.h). Fed by generate.c at build time; reads what
 * argp shows for --help: options, their groups, the texts before and behind them. Owns nothing.
 */
#include "user/manual.h"

#include <argp.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "probes/markup.h"
#include "user/base/buffer.h"

enum { TEXT = 64 * 1024, GROUPS = 8 };

/* A page on its way; lines of one kind are collected until another kind comes. */
struct page {
	FILE *f;
	struct osp_buffer text;
	bool code;
	int error;
};

static const struct osp_markup *const form = &osp_roff;

/* ---- texts ---- */

static void end_part(struct page *p)
{
	const char *text = osp_buffer_text(&p->text);

	if (!text)
		p->error = -ENOMEM;
	else if (*text && p->code)
		form->drawing(p->f, text);
	else if (*text)
		form->paragraph(p->f, text);
	osp_buffer_reset(&p->text);
}

/* Lines that are indented stand as they are, others flow; an empty one ends a paragraph. */
static void put_line(struct page *p, const char *line, size_t size)
{
	bool code = size && *line == ' ';
	int r;

	if (!size || code != p->code)
		end_part(p);
	p->code = code;
	if (code)
		r = osp_buffer_print(&p->text, "%.*s\n", (int)size, line);
	else
		r = osp_buffer_print(&p->text, "%s%.*s", p->text.size ? " " : "", (int)size, line);
	p->error = p->error ? p->error : r;
}

static void put_text(struct page *p, const char *text, size_t size)
{
	const char *end = text + size;

	while (text < end) {
		const char *line = memchr(text, '\n', (size_t)(end - text));
		size_t n = line ? (size_t)(line - text) : (size_t)(end - text);

		put_line(p, text, n);
		text += n + 1;
	}
	end_part(p);
	p->code = false;
}

/* ---- options ---- */

/* "-c, --color=WHEN", as --help has it. */
static void put_option(struct page *p, const struct argp_option *o)
{
	static const char *const head[] = {"Option", "Meaning"};
	const char *cells[] = {NULL, o->doc};
	bool optional = o->flags & OPTION_ARG_OPTIONAL;
	int r = 0;

	osp_buffer_reset(&p->text);
	if (o->key > 0 && o->key < 128 && isprint(o->key))
		r = osp_buffer_print(&p->text, "-%c, ", o->key);
	r = r ? r : osp_buffer_print(&p->text, "--%s", o->name);
	if (!r && o->arg)
		r = osp_buffer_print(&p->text, optional ? "[=%s]" : "=%s", o->arg);
	cells[0] = osp_buffer_text(&p->text);
	if (r || !cells[0])
		p->error = -ENOMEM;
	else
		form->row(p->f, head, cells, 2);
	osp_buffer_reset(&p->text);
}

static bool is_last(const struct argp_option *o)
{
	return !o->name && !o->key && !o->doc;
}

/* "How:" becomes a heading of its own. */
static void put_group(struct page *p, const struct argp_option *o)
{
	char title[100];
	int size = (int)strcspn(o->doc, ":");

	snprintf(title, sizeof(title), "%.*s", size, o->doc);
	form->heading(p->f, 2, title);
}

static void put_options(struct page *p, const struct argp_option *options)
{
	static const struct argp_option always[] = {
		{"help", '?', NULL, 0, "Give this help list", 0},
		{"usage", 0, NULL, 0, "Give a short usage message", 0}};

	form->heading(p->f, 1, "OPTIONS");
	for (int group = 0; group < GROUPS; group++)
		for (const struct argp_option *o = options; !is_last(o); o++) {
			if (o->group != group)
				continue;
			if (o->name)
				put_option(p, o);
			else
				put_group(p, o);
		}
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		put_option(p, &always[i]);
}

/* ---- pages ---- */

static void put_examples(struct page *p, const char *text)
{
	form->heading(p->f, 1, "EXAMPLES");
	put_text(p, text, strlen(text));
}

static void put_exits(struct page *p)
{
	form->heading(p->f, 1, "EXIT STATUS");
	form->paragraph(p->f,
			"0: done. 1: it failed, or something is there that was asked for as a "
			"failure. 2: it was called wrongly. 3: not permitted, or not supported "
			"here; outspan doctor tells how to mend that.");
}

static int end_page(struct page *p)
{
	osp_buffer_clear(&p->text);
	return p->error;
}

int osp_manual_print(FILE *f, const struct osp_command *c)
{
	static const char examples[] = "Examples:\n";
	const struct argp *a = c->argp;
	const char *behind = strchr(a->doc, '\v'), *example = strstr(a->doc, examples);
	struct page p = {.f = f, .text = OSP_BUFFER_INIT(TEXT)};
	char name[64], synopsis[256];

	assert(behind && example && example > behind);
	snprintf(name, sizeof(name), "outspan-%s", c->name);
	snprintf(synopsis, sizeof(synopsis), "outspan %s [OPTION...] %s", c->name,
		 a->args_doc ? a->args_doc : "");
	form->begin(f, &(struct osp_markup_head){name, 1, c->brief, synopsis});
	put_text(&p, a->doc, (size_t)(behind - a->doc));
	if (example > behind + 1)
		put_text(&p, behind + 1, (size_t)(example - behind - 1));
	put_options(&p, a->options);
	put_examples(&p, example + strlen(examples));
	put_exits(&p);
	form->heading(f, 1, "SEE ALSO");
	form->paragraph(f, "outspan(1), outspan-trace-points(7)");
	return end_page(&p);
}

int osp_manual_print_index(FILE *f)
{
	static const char *const head[] = {"Command", "Meaning"};
	struct page p = {.f = f, .text = OSP_BUFFER_INIT(TEXT)};
	const struct osp_command *c;

	form->begin(f,
		    &(struct osp_markup_head){"outspan", 1, "look at pub/sub programs from outside",
					      "outspan COMMAND [OPTION...]"});
	form->paragraph(f, osp_command_intro);
	form->heading(f, 1, "COMMANDS");
	for (size_t i = 0; (c = osp_command_at(i)); i++) {
		char name[64];
		const char *cells[] = {name, c->brief};

		snprintf(name, sizeof(name), "outspan-%s(1)", c->name);
		form->row(f, head, cells, 2);
	}
	put_examples(&p, osp_command_examples);
	put_exits(&p);
	form->heading(f, 1, "SEE ALSO");
	form->paragraph(
		f, "outspan-trace-points(7): what the operations and steps of the programs mean");
	return end_page(&p);
}
