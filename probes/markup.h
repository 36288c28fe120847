/*
 * What a reference page is made of, and the two forms it is printed in. probes/page.c says what
 * stands on the page and calls these in order; texts are plain, each form escapes what it must.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

struct osp_markup_head {
	const char *name;     /* of the page, one word */
	int section;	      /* of the manual */
	const char *brief;    /* what it is, one line */
	const char *synopsis; /* how it is called; NULL = it is not */
};

struct osp_markup {
	void (*begin)(FILE *f, const struct osp_markup_head *head); /* first */
	void (*heading)(FILE *f, int level, const char *text);	    /* level 1 or 2 */
	void (*paragraph)(FILE *f, const char *text);
	/* "label: text" */
	void (*field)(FILE *f, const char *label, const char *text);
	/* Text that keeps its lines. */
	void (*drawing)(FILE *f, const char *text);
	/* A state diagram in mermaid's language, if this form can show it. */
	void (*diagram)(FILE *f, const char *text);
	/* A table: title ("" = none) and head, then rows of as many cells. The first cell is a name. */
	void (*table)(FILE *f, const char *title, const char *const *head, size_t columns);
	void (*row)(FILE *f, const char *const *head, const char *const *cells, size_t columns);
	void (*table_end)(FILE *f);
};

extern const struct osp_markup osp_markdown; /* as GitHub reads it */
extern const struct osp_markup osp_roff;     /* a man page */
