/*
 * The chains of a catalogue's own operations as a table for programs: the tests that prove that
 * calls out of order do not compile are made from it. Fed by probes/generate.c.
 */
#include "probes/table.h"

#include <errno.h>

#include "probes/names.h"

static void print_args(FILE *f, const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++) {
		const char *type = osp_names_type(&p->args[i]);

		fprintf(f, "%s%s %s", i ? ", " : "", type ? type : "text", p->args[i].name);
	}
}

static void print_transition(FILE *f, const struct osp_operation *op,
			     const struct osp_transition *t)
{
	char from[OSP_NAMES_BYTES], to[OSP_NAMES_BYTES] = "end", name[OSP_NAMES_BYTES];

	osp_names_chain(name, op, t);
	osp_names_snake(from, op->states[t->from]);
	if (t->to != OSP_STATE_END)
		osp_names_snake(to, op->states[t->to]);
	fprintf(f, "%s_%s\t%s\t%s\t%s\t%s\t", op->provider, op->name, t->any ? "*" : from, name, to,
		osp_level_to_str(t->point->level));
	print_args(f, t->point);
	fputs("\n", f);
}

int osp_table_print(FILE *f, const struct osp_catalogue *c)
{
	for (size_t i = 0; i < c->operation_count; i++) {
		const struct osp_operation *op = c->operations[i];

		for (size_t k = 0; op->key == OSP_KEY_OP && k < op->transition_count; k++)
			if (!op->transitions[k].any || op->transitions[k].from == op->start)
				print_transition(f, op, &op->transitions[k]);
	}
	return ferror(f) ? -EIO : 0;
}
