/* Automata drawn for people (probes/draw.h). Fed by probes/page.c; pure. */
#include "probes/draw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the end says: "ok 200", "error, code from result". */
static void print_end(FILE *f, const struct osp_transition *t)
{
	fprintf(f, "end: %s", osp_status_to_str(t->status));
	if (t->code)
		fprintf(f, " %s", t->code);
	if (t->code_arg < 0)
		return;
	fprintf(f, ", code from %s", t->point->args[t->code_arg].name);
	for (size_t i = 0; t->code_map && i < t->code_map->count; i++)
		fprintf(f, "%s%s %lld", i ? ", " : ": ", t->code_map->values[i].name,
			(long long)t->code_map->values[i].value);
}

/* What becomes of nested spans. */
static void print_actions(FILE *f, const struct osp_operation *op, const struct osp_transition *t)
{
	for (size_t i = 0; i < t->action_count; i++) {
		const struct osp_span_action *a = &t->actions[i];

		fprintf(f, "%s%s %s", i ? ", " : "  [", a->close ? "ends" : "marks",
			op->spans[a->span].name);
		if (a->has_status)
			fprintf(f, ": %s", osp_status_to_str(a->status));
		if (a->code)
			fprintf(f, " %s", a->code);
	}
	if (t->open >= 0)
		fprintf(f, "%sbegins %s", t->action_count ? ", " : "  [", op->spans[t->open].name);
	if (t->action_count || t->open >= 0)
		fputc(']', f);
}

static int longest_step(const struct osp_operation *op)
{
	size_t most = 0;

	for (size_t i = 0; i < op->point_count; i++)
		if (strlen(op->points[i]->name) > most)
			most = strlen(op->points[i]->name);
	return (int)most;
}

/* "  step ------> State  [begins span]" */
static void print_step(FILE *f, const struct osp_operation *op, const struct osp_transition *t,
		       int width)
{
	fprintf(f, "  %s ", t->point->name);
	for (int i = (int)strlen(t->point->name); i < width + 2; i++)
		fputc('-', f);
	fputs("> ", f);
	if (t->to == OSP_STATE_END)
		print_end(f, t);
	else
		fputs(op->states[t->to], f);
	print_actions(f, op, t);
	fputc('\n', f);
}

static int finish(FILE *f, char **text)
{
	bool failed = ferror(f);

	if (!fclose(f) && !failed)
		return 0;
	free(*text);
	*text = NULL;
	return -ENOMEM;
}

int osp_draw_text(const struct osp_operation *op, char **out)
{
	int width = longest_step(op);
	size_t size;
	FILE *f = open_memstream(out, &size);

	if (!f)
		return -ENOMEM;
	for (size_t s = 0; s < op->state_count; s++) {
		fprintf(f, "%s%s\n", op->states[s], s == op->start ? "  (begins here)" : "");
		for (size_t i = 0; i < op->transition_count; i++)
			if (op->transitions[i].from == s && !op->transitions[i].any)
				print_step(f, op, &op->transitions[i], width);
	}
	for (size_t i = 0, told = 0; i < op->transition_count; i++) {
		if (!op->transitions[i].any || op->transitions[i].from != op->start)
			continue;
		fputs(told++ ? "" : "any state\n", f);
		print_step(f, op, &op->transitions[i], width);
	}
	return finish(f, out);
}

/* A dot would end a name there. */
static void print_id(FILE *f, const char *state)
{
	for (; *state; state++)
		fputc(*state == '.' ? '_' : *state, f);
}

int osp_draw_mermaid(const struct osp_operation *op, char **out)
{
	size_t size;
	FILE *f = open_memstream(out, &size);

	if (!f)
		return -ENOMEM;
	fputs("stateDiagram-v2\n  [*] --> ", f);
	print_id(f, op->states[op->start]);
	fputc('\n', f);
	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];

		if (t->any)
			continue;
		fputs("  ", f);
		print_id(f, op->states[t->from]);
		fputs(" --> ", f);
		print_id(f, t->to == OSP_STATE_END ? "[*]" : op->states[t->to]);
		fprintf(f, " : %s%s%s\n", t->point->name, t->to == OSP_STATE_END ? ", " : "",
			t->to == OSP_STATE_END ? osp_status_to_str(t->status) : "");
	}
	return finish(f, out);
}
