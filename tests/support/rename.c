/* Renaming of catalogues and scripts (rename.h). */
#include "tests/support/rename.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rename {
	char **names;
	size_t count;
};

static char *keep(struct rename *r, char *text)
{
	r->names = realloc(r->names, (r->count + 1) * sizeof(*r->names));
	if (!r->names || !text)
		abort();
	return r->names[r->count++] = text;
}

static const char *prefixed(struct rename *r, const char *name)
{
	char *text = NULL;

	if (!name)
		return NULL;
	if (asprintf(&text, "zz_%s", name) < 0)
		abort();
	return keep(r, text);
}

/* "deliver {url}" -> "deliver {zz_url}" */
static const char *renamed_title(struct rename *r, const char *title)
{
	char *text = NULL;
	size_t size;
	FILE *out;

	if (!title)
		return NULL;
	out = open_memstream(&text, &size);
	for (; *title; title++)
		fprintf(out, *title == '{' ? "{zz_" : "%c", *title);
	fclose(out);
	return keep(r, text);
}

/* "<provider>.<argument>" follows the argument; a conventional name stays. */
static const char *renamed_attribute(struct rename *r, const struct osp_arg *a)
{
	const char *dot = strrchr(a->attribute, '.');
	char *text = NULL;

	if (!dot || strcmp(dot + 1, a->name) != 0 || strchr(a->attribute, '.') != dot)
		return a->attribute;
	if (asprintf(&text, "%.*s.zz_%s", (int)(dot - a->attribute), a->attribute, a->name) < 0)
		abort();
	return keep(r, text);
}

static void rename_operation(struct rename *r, struct osp_operation *o)
{
	o->name = prefixed(r, o->name);
	o->title = renamed_title(r, o->title);
	o->key_arg = prefixed(r, o->key_arg);
	for (size_t i = 0; i < o->state_count; i++)
		o->states[i] = prefixed(r, o->states[i]);
	for (size_t i = 0; i < o->span_count; i++) {
		o->spans[i].name = prefixed(r, o->spans[i].name);
		o->spans[i].title = renamed_title(r, o->spans[i].title);
	}
}

static void rename_point(struct rename *r, struct osp_point *p)
{
	const char *rest = strstr(p->probe, "__");
	char *text = NULL;

	if (!p->foreign && rest) {
		if (asprintf(&text, "zz_%.*s__zz_%s", (int)(rest - p->probe), p->probe, rest + 2) <
		    0)
			abort();
		p->probe = keep(r, text);
	} else {
		p->probe = prefixed(r, p->probe);
	}
	p->name = prefixed(r, p->name);
	for (size_t i = 0; i < p->arg_count; i++) {
		p->args[i].attribute = renamed_attribute(r, &p->args[i]);
		p->args[i].name = prefixed(r, p->args[i].name);
	}
}

struct rename *rename_catalogue(struct osp_catalogue *c)
{
	struct rename *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	for (size_t i = 0; i < c->operation_count; i++)
		rename_operation(r, c->operations[i]);
	for (size_t i = 0; i < c->point_count; i++)
		rename_point(r, c->points[i]);
	return r;
}

void rename_free(struct rename **r)
{
	for (size_t i = 0; i < (*r)->count; i++)
		free((*r)->names[i]);
	free((*r)->names);
	free(*r);
	*r = NULL;
}

static bool is_argument(const struct osp_catalogue *c, const char *word, size_t size)
{
	for (size_t i = 0; i < c->point_count; i++)
		for (size_t k = 0; k < c->points[i]->arg_count; k++)
			if (strlen(c->points[i]->args[k].name) == size &&
			    !memcmp(c->points[i]->args[k].name, word, size))
				return true;
	return false;
}

/* One word of a step: "operation.point", "provider:probe", "argument=value", or anything else. */
static void rename_word(const struct osp_catalogue *c, const char *word, size_t size, FILE *out)
{
	const char *equals = memchr(word, '=', size), *dot = memchr(word, '.', size);
	const char *colon = memchr(word, ':', size);

	if (equals)
		fprintf(out, "%s%.*s", is_argument(c, word, (size_t)(equals - word)) ? "zz_" : "",
			(int)size, word);
	else if (dot)
		fprintf(out, "zz_%.*s.zz_%.*s", (int)(dot - word), word,
			(int)(size - (size_t)(dot - word) - 1), dot + 1);
	else if (colon)
		fprintf(out, "%.*s:zz_%.*s", (int)(colon - word), word,
			(int)(size - (size_t)(colon - word) - 1), colon + 1);
	else
		fprintf(out, "%.*s", (int)size, word);
}

/* The end of a word: a space outside of quotes. */
static size_t word_size(const char *at)
{
	bool quoted = false;
	size_t size = 0;

	for (; at[size] && at[size] != '\n' && (quoted || at[size] != ' '); size++)
		if (at[size] == '"')
			quoted = !quoted;
	return size;
}

char *rename_events(const struct osp_catalogue *c, const char *events)
{
	bool line_start = true, step = false;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	while (*events) {
		size_t word = word_size(events);

		if (line_start)
			step = isdigit((unsigned char)*events);
		if (step)
			rename_word(c, events, word, out);
		else
			fprintf(out, "%.*s", (int)word, events);
		events += word;
		line_start = *events == '\n';
		if (*events)
			fputc(*events++, out);
	}
	fclose(out);
	return text;
}

void rename_back(char *text)
{
	char *out = text;

	while (*text) {
		if (!strncmp(text, "zz_", 3))
			text += 3;
		else
			*out++ = *text++;
	}
	*out = 0;
}
