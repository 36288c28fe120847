/*
 * Reference pages as man pages (probes/markup.h). Fed by probes/page.c. A table is a list of names,
 * each with its other cells below it: wide tables do not fit a terminal.
 */
#include <ctype.h>
#include <string.h>

#include "probes/markup.h"

/* A line must not begin with what roff takes as a request; a minus is one that can be copied. */
static void print_text(FILE *f, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", f);
	for (const char *p = text; *p; p++)
		fputs(*p == '\\' ? "\\e" : *p == '-' ? "\\-" : (char[]){*p, 0}, f);
}

static void begin(FILE *f, const struct osp_markup_head *head)
{
	fputs(".TH ", f);
	for (const char *p = head->name; *p; p++)
		fputc(toupper((unsigned char)*p), f);
	fprintf(f, " %d \"\" outspan \"outspan reference\"\n.SH NAME\n", head->section);
	print_text(f, head->name);
	fputs(" \\- ", f);
	print_text(f, head->brief);
	if (head->synopsis) {
		fputs("\n.SH SYNOPSIS\n", f);
		print_text(f, head->synopsis);
	}
	fputs("\n.SH DESCRIPTION\n", f);
}

static void heading(FILE *f, int level, const char *text)
{
	fputs(level == 1 ? ".SH \"" : ".SS \"", f);
	print_text(f, text);
	fputs("\"\n", f);
}

static void paragraph(FILE *f, const char *text)
{
	fputs(".PP\n", f);
	print_text(f, text);
	fputs("\n", f);
}

static void field(FILE *f, const char *label, const char *text)
{
	fprintf(f, ".br\n\\fI%s\\fR: ", label);
	print_text(f, text);
	fputs("\n", f);
}

/* What can be copied into a shell: roff has signs of its own for some of them. */
static void print_code(FILE *f, char c)
{
	static const struct {
		char sign;
		const char *name;
	} signs[] = {{'\\', "\\e"},  {'-', "\\-"},   {'\'', "\\(aq"},
		     {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (signs[i].sign == c) {
			fputs(signs[i].name, f);
			return;
		}
	fputc(c, f);
}

static void drawing(FILE *f, const char *text)
{
	fputs(".PP\n.nf\n", f);
	for (const char *p = text; *p; p++) {
		if (*p == '.' && (p == text || p[-1] == '\n'))
			fputs("\\&", f);
		print_code(f, *p);
	}
	fputs(".fi\n", f);
}

static void diagram(FILE *f, const char *text)
{
	(void)f;
	(void)text;
}

static void table(FILE *f, const char *title, const char *const *head, size_t columns)
{
	(void)head;
	(void)columns;
	if (*title)
		fprintf(f, ".PP\n.B %s\n", title);
}

/* The second cell says what the name means; what is behind it stands on one line. */
static void row(FILE *f, const char *const *head, const char *const *cells, size_t columns)
{
	const char *before = cells[1][0] ? ".br\n" : "";

	fputs(".TP\n.B ", f);
	print_text(f, cells[0]);
	fputs("\n", f);
	print_text(f, cells[1]);
	fputs(cells[1][0] ? "\n" : "", f);
	for (size_t i = 2; i < columns; i++) {
		if (!cells[i][0])
			continue;
		fprintf(f, "%s%s: ", before, head[i]);
		print_text(f, cells[i]);
		before = "; ";
	}
	fputs("\n", f);
}

static void table_end(FILE *f)
{
	(void)f;
}

const struct osp_markup osp_roff = {begin,   heading, paragraph, field,	   drawing,
				    diagram, table,   row,	 table_end};
