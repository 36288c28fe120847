/* Reference pages as markdown (probes/markup.h). Fed by probes/page.c. */
#include <string.h>

#include "probes/markup.h"

/* Plain text in which nothing is markup. Between words of a name an underscore is none. */
static void print_text(FILE *f, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (strchr("\\`*<[]|#", *p))
			fputc('\\', f);
		fputc(*p, f);
	}
}

static void begin(FILE *f, const struct osp_markup_head *head)
{
	fprintf(f, "# %s\n\n", head->name);
	print_text(f, head->brief);
	fputs("\n\n", f);
	if (head->synopsis)
		fprintf(f, "    %s\n\n", head->synopsis);
}

static void heading(FILE *f, int level, const char *text)
{
	fputs(level == 1 ? "## " : "### ", f);
	print_text(f, text);
	fputs("\n\n", f);
}

static void paragraph(FILE *f, const char *text)
{
	print_text(f, text);
	fputs("\n\n", f);
}

static void field(FILE *f, const char *label, const char *text)
{
	fprintf(f, "**%s:** ", label);
	print_text(f, text);
	fputs("  \n", f);
}

static void drawing(FILE *f, const char *text)
{
	fprintf(f, "\n```text\n%s```\n\n", text);
}

static void diagram(FILE *f, const char *text)
{
	fprintf(f, "```mermaid\n%s```\n\n", text);
}

static void table(FILE *f, const char *title, const char *const *head, size_t columns)
{
	fprintf(f, *title ? "\n**%s**\n\n|" : "%s|", title);
	for (size_t i = 0; i < columns; i++)
		fprintf(f, " %s |", head[i]);
	fputs("\n|", f);
	for (size_t i = 0; i < columns; i++)
		fputs("---|", f);
	fputs("\n", f);
}

static void row(FILE *f, const char *const *head, const char *const *cells, size_t columns)
{
	(void)head;
	fprintf(f, "| `%s` |", cells[0]);
	for (size_t i = 1; i < columns; i++) {
		fputc(' ', f);
		print_text(f, cells[i]);
		fputs(" |", f);
	}
	fputs("\n", f);
}

static void table_end(FILE *f)
{
	fputs("\n", f);
}

const struct osp_markup osp_markdown = {begin,	 heading, paragraph, field,    drawing,
					diagram, table,	  row,	     table_end};
