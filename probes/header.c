/*
 * Prints <outspan/PROVIDER.h>: for every operation its block, a struct type per state and a
 * function per transition, so that calling points out of order does not compile. Fed by
 * probes/generate.c with a loaded catalogue; what the printed code calls is in probes/op.h.
 *
 * A point is a macro over two functions: `_fire`, out of line, which stamps the step, and `_pass`,
 * which does nothing but hand on the state (and the trace context). So the arguments are computed
 * only when the point is wanted. Names: NAME = <provider>_<operation>, S, N = states, P = point.
 */
#include "probes/header.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "probes/automaton.h"
#include "probes/block.h"
#include "probes/names.h"
#include "user/base/buffer.h"

struct printer {
	FILE *f;
	const struct osp_catalogue *c;
	const char *provider;
	const struct osp_point *control; /* or NULL */
	uint64_t digest;		 /* of all points: part of the symbols' names */
	const struct osp_operation *op;
	char name[OSP_NAMES_BYTES]; /* "<provider>_<operation>" */
	struct osp_open_spans open[OSP_CATALOGUE_STATES];
};

/* Arguments that are two parameters in C: address and size. */
static bool is_text(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES;
}

static bool is_context(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void print_param(FILE *f, const struct osp_arg *a)
{
	const char *type = osp_names_type(a);

	if (!type)
		fprintf(f, ", const void *%s, size_t %s_size", a->name, a->name);
	else
		fprintf(f, ", %s%s%s", type, type[strlen(type) - 1] == '*' ? "" : " ", a->name);
}

/* contexts_only: what `_pass` takes, for a context goes through untraced, too. */
static void print_params(FILE *f, const struct osp_point *p, bool contexts_only)
{
	for (size_t i = 0; i < p->arg_count; i++)
		if (!contexts_only || is_context(&p->args[i]))
			print_param(f, &p->args[i]);
}

static void print_names(FILE *f, const struct osp_point *p, bool contexts_only)
{
	for (size_t i = 0; i < p->arg_count; i++) {
		if (contexts_only && !is_context(&p->args[i]))
			continue;
		fprintf(f, ", %s", p->args[i].name);
		if (is_text(&p->args[i]))
			fprintf(f, ", %s_size", p->args[i].name);
	}
}

/* Sign-extended to 8 bytes: the recorder reads the value by its type. */
static void print_value(FILE *f, const struct osp_arg *a)
{
	if (a->type == OSP_TYPE_OP)
		fprintf(f, "outspan_op_id(%s)", a->name);
	else if (a->type == OSP_TYPE_INT)
		fprintf(f, "(uint64_t)(int64_t)%s", a->name);
	else
		fprintf(f, "(uint64_t)%s", a->name);
}

/* The first integer travels in a register, so that a plain point needs no reading of memory. */
static void print_register(FILE *f, const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		if (is_text(a) || is_context(a) || a->type == OSP_TYPE_F64)
			continue;
		print_value(f, a);
		return;
	}
	fputs("(uint64_t)0", f);
}

/* The layout of a step's arguments: multiples of 8 bytes, in the order of the catalogue. */
static void print_puts(FILE *f, const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		fputs("\t\toutspan_at = outspan_put_", f);
		if (is_text(a))
			fprintf(f, "bytes(outspan_at, %s, %s_size, %u);\n", a->name, a->name,
				a->max);
		else if (a->type == OSP_TYPE_CONTEXT_OUT)
			fprintf(f, "context(outspan_at, outspan_own ? %s : NULL);\n", a->name);
		else if (a->type == OSP_TYPE_CONTEXT_IN)
			fprintf(f, "context(outspan_at, %s);\n", a->name);
		else if (a->type == OSP_TYPE_F64)
			fprintf(f, "f64(outspan_at, %s);\n", a->name);
		else {
			fputs("u64(outspan_at, ", f);
			print_value(f, a);
			fputs(");\n", f);
		}
	}
}

/* ---- names of symbols: two versions of a header in one program do not meet ------------------- */

static void print_wanted(struct printer *p)
{
	fprintf(p->f, "outspan_%s_%08" PRIx32 "_wanted", p->provider, (uint32_t)p->digest);
}

static void print_stub(struct printer *p, const struct osp_point *point)
{
	fprintf(p->f, "outspan_%s_%08" PRIx32 "_%s", p->provider, (uint32_t)p->digest,
		point->probe);
}

/* The assembler of a site stands in the function that calls it: unused points have none. */
static void print_site(struct printer *p, const char *macro, const struct osp_point *point)
{
	fprintf(p->f, "\t%s(", macro);
	print_stub(p, point);
	fputs(", ", p->f);
	print_wanted(p);
	fprintf(p->f, ", %u,\n\t\t     \"%s\", \"%s\", 0x%016" PRIx64 ");\n", point->header,
		point->provider, point->probe, point->digest);
}

static void print_is_wanted(struct printer *p, const struct osp_point *point)
{
	fputs("OUTSPAN_WANTED(", p->f);
	print_wanted(p);
	fprintf(p->f, ", %u)", point->header);
}

/* Whether the point's own site traps. */
static void print_fires(struct printer *p, const struct osp_point *point)
{
	fputs("OUTSPAN_FIRES(", p->f);
	print_wanted(p);
	fprintf(p->f, ", %u)", point->header);
}

/* Text of the catalogue inside a C comment. */
static void print_doc(FILE *f, const char *doc)
{
	for (const char *c = doc; *c; c++)
		fputs(c[0] == '*' && c[1] == '/' ? "* " : (char[]){*c, 0}, f);
}

/* ---- transitions ----------------------------------------------------------------------------- */

/* The loader lets a point have one at most. */
static const struct osp_arg *context_arg(const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++)
		if (is_context(&p->args[i]))
			return &p->args[i];
	return NULL;
}

/* What fire and pass do alike: the context goes through whether the point is wanted or not. */
static void print_context(struct printer *p, const struct osp_transition *t, const char *block,
			  bool keep)
{
	const struct osp_arg *a = context_arg(t->point);
	struct osp_open_spans o = p->open[t->from];
	struct osp_walk_error e;
	bool in_span = false;

	if (!a)
		return;
	if (a->type == OSP_TYPE_CONTEXT_IN) {
		fprintf(p->f, "\toutspan_context_in(%s, %s);\n", block, a->name);
		return;
	}
	if (osp_automaton_step(t, &o, &e))
		for (size_t i = 0; i < o.count; i++)
			in_span |= p->op->spans[o.spans[i]].context;
	fprintf(p->f, "\t%s%s_context(%s, %d, %s);\n", keep ? "outspan_own = " : "(void)",
		p->provider, block, in_span, a->name);
}

/* 0: opens none; 1: a nested span; 2: one whose context is sent */
static int opens(const struct printer *p, const struct osp_transition *t)
{
	return t->open < 0 ? 0 : p->op->spans[t->open].context ? 2 : 1;
}

/* The first argument that names another operation is the parent: see find_parent of user/stitch.c. */
static void print_join(struct printer *p, const struct osp_point *point, const char *block)
{
	for (size_t i = 0; i < point->arg_count; i++) {
		if (point->args[i].type != OSP_TYPE_OP)
			continue;
		fprintf(p->f, "\toutspan_join(%s, %s);\n", block, point->args[i].name);
		return;
	}
}

/*
 * Makes room, then stamps, and then only calls the tracer: what that costs must not be in the time
 * of the step. An end hands over the whole block, any other step itself, if its own site traps.
 */
static void print_step(struct printer *p, const struct osp_transition *t, const char *block)
{
	const struct osp_arg *context = context_arg(t->point);
	bool out = context && context->type == OSP_TYPE_CONTEXT_OUT;

	fprintf(p->f,
		"\tif (!outspan_has_room(%s, %zu))\n\t\t%s_spill(%s);\n"
		"\toutspan_at = outspan_step_begin(%s, %u, %d);\n",
		block, osp_block_step(t->point), p->name, block, block, t->point->header,
		opens(p, t));
	print_join(p, t->point, block);
	print_context(p, t, block, out);
	print_site(p, "OUTSPAN_SITE", t->point);
	fputs("\tif (outspan_at) {\n", p->f);
	print_puts(p->f, t->point);
	fprintf(p->f, "\t\tOUTSPAN_%s(", t->to == OSP_STATE_END ? "FLUSH" : "CALL");
	print_stub(p, t->point);
	fprintf(p->f, ", %s, outspan_at, ", block);
	print_fires(p, t->point);
	fputs(", ", p->f);
	print_register(p->f, t->point);
	fputs(");\n\t}\n", p->f);
	if (t->to == OSP_STATE_END)
		fprintf(p->f, "\toutspan_end(%s);\n", block);
}

/* Behind the last step there was no room for another: one place of the operation for all points. */
static void print_spill(struct printer *p)
{
	fprintf(p->f, "OUTSPAN_COLD void %s_spill(struct outspan_op *outspan_op)\n{\n", p->name);
	print_site(p, "OUTSPAN_SITE", p->op->spill);
	fputs("\tOUTSPAN_SPILL(", p->f);
	print_stub(p, p->op->spill);
	fputs(", outspan_op);\n}\n\n", p->f);
}

/* A transition's function: its name has a state at the end if several states have the point. */
struct chain {
	const struct osp_transition *t;
	char name[OSP_NAMES_BYTES];
	char from[OSP_NAMES_BYTES], to[OSP_NAMES_BYTES]; /* states, in the case of C */
	bool ends;
};

/* A transition to the end gives nothing that could be used again. */
static void print_type(struct printer *p, const struct chain *c)
{
	if (c->ends)
		fputs("void\n", p->f);
	else
		fprintf(p->f, "OUTSPAN_RESULT struct %s_%s\n", p->name, c->to);
}

static void print_go(struct printer *p, const struct chain *c)
{
	if (c->ends)
		fprintf(p->f, "\tOUTSPAN_END(outspan_s, %u);\n", c->t->from);
	else
		fprintf(p->f, "\tOUTSPAN_GO(outspan_next, outspan_s, %u, %u);\n", c->t->from,
			c->t->to);
}

/* Out of line and cold: the traced function keeps its registers and its cache lines. */
static void print_fire(struct printer *p, const struct chain *c)
{
	const struct osp_arg *context = context_arg(c->t->point);

	fputs("OUTSPAN_COLD ", p->f);
	print_type(p, c);
	fprintf(p->f, "%s_fire(struct %s_%s outspan_s", c->name, p->name, c->from);
	print_params(p->f, c->t->point, false);
	fputs(")\n{\n", p->f);
	if (!c->ends)
		fprintf(p->f, "\tstruct %s_%s outspan_next;\n", p->name, c->to);
	fputs("\tunsigned char *outspan_at;\n", p->f);
	if (context && context->type == OSP_TYPE_CONTEXT_OUT)
		fputs("\tbool outspan_own;\n", p->f);
	fputs("\n", p->f);
	print_go(p, c);
	print_step(p, c->t, "outspan_s.op");
	fputs(c->ends ? "}\n\n" : "\treturn outspan_next;\n}\n\n", p->f);
}

/* Always inline: without a context it compiles to nothing at all. */
static void print_pass(struct printer *p, const struct chain *c)
{
	fputs("OUTSPAN_INLINE ", p->f);
	print_type(p, c);
	fprintf(p->f, "%s_pass(struct %s_%s outspan_s", c->name, p->name, c->from);
	print_params(p->f, c->t->point, true);
	fputs(")\n{\n", p->f);
	if (!c->ends)
		fprintf(p->f, "\tstruct %s_%s outspan_next;\n\n", p->name, c->to);
	print_go(p, c);
	if (opens(p, c->t) == 2)
		fputs("\toutspan_forget_span(outspan_s.op);\n", p->f);
	print_context(p, c->t, "outspan_s.op", false);
	if (c->ends)
		fputs("\toutspan_end(outspan_s.op);\n}\n\n", p->f);
	else
		fputs("\treturn outspan_next;\n}\n\n", p->f);
}

/* A macro, because a function would compute its arguments before it knows. */
static void print_macro(struct printer *p, const struct chain *c)
{
	const struct osp_point *point = c->t->point;

	fprintf(p->f, "/* %s -> %s", c->from, c->ends ? "end" : c->to);
	if (point->doc) {
		fputs(": ", p->f);
		print_doc(p->f, point->doc);
	}
	fprintf(p->f, " (%s) */\n#define %s(outspan_s", osp_level_to_str(point->level), c->name);
	print_names(p->f, point, false);
	if (c->ends)
		fputs(") \\\n\t(", p->f);
	else
		fprintf(p->f, ") \\\n\t%s_to_%s(", p->name, c->to);
	print_is_wanted(p, point);
	fprintf(p->f, " \\\n\t\t ? %s_fire(outspan_s", c->name);
	print_names(p->f, point, false);
	fprintf(p->f, ") \\\n\t\t : %s_pass(outspan_s", c->name);
	print_names(p->f, point, true);
	fputs("))\n\n", p->f);
}

/* One transition: its two functions and the macro. */
static void print_chain(struct printer *p, const struct osp_transition *t)
{
	struct chain c = {.t = t, .ends = t->to == OSP_STATE_END};

	osp_names_chain(c.name, p->op, t);
	osp_names_snake(c.from, p->op->states[t->from]);
	if (!c.ends)
		osp_names_snake(c.to, p->op->states[t->to]);
	print_fire(p, &c);
	print_pass(p, &c);
	print_macro(p, &c);
}

/* ---- "*": points that leave the operation from any state ------------------------------------- */

/* From any state: takes the block, for the caller may not know where it was. */
static void print_leaving(struct printer *p, const struct osp_transition *t, const char *suffix)
{
	fprintf(p->f, "OUTSPAN_COLD void\n%s__%s_fire(struct outspan_op *outspan_op", p->name,
		t->point->name);
	print_params(p->f, t->point, false);
	fputs(")\n{\n\tunsigned char *outspan_at;\n\n", p->f);
	print_step(p, t, "outspan_op");
	fputs("}\n\n", p->f);
	if (t->point->doc) {
		fputs("/* ", p->f);
		print_doc(p->f, t->point->doc);
		fputs(" */\n", p->f);
	}
	fprintf(p->f, "OUTSPAN_INLINE void %s%s(struct %s *outspan_block", p->name, suffix,
		p->name);
	print_params(p->f, t->point, false);
	fputs(")\n{\n\tif (!outspan_is_begun(&outspan_block->head))\n\t\treturn;\n\tif (", p->f);
	print_is_wanted(p, t->point);
	fprintf(p->f, ")\n\t\t%s__%s_fire(&outspan_block->head", p->name, t->point->name);
	print_names(p->f, t->point, false);
	fputs(");\n\telse\n\t\toutspan_end(&outspan_block->head);\n}\n\n", p->f);
}

/* A scope that is left knows no reason. */
static void print_zeros(FILE *f, const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++)
		fputs(is_text(&p->args[i])					  ? ", NULL, 0"
		      : is_context(&p->args[i]) || p->args[i].type == OSP_TYPE_OP ? ", NULL"
										  : ", 0",
		      f);
}

/* leave: `exit` if the operation has it, else nothing but disarming. Scopes end with it. */
static void print_leave(struct printer *p)
{
	const struct osp_operation *op = p->op;
	const struct osp_point *exit_point = NULL;
	char suffix[OSP_NAMES_BYTES], capitals[OSP_NAMES_BYTES];

	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];

		if (!t->any || t->from != op->start)
			continue;
		if (!strcmp(t->point->name, "exit"))
			exit_point = t->point;
		snprintf(suffix, sizeof(suffix), "__%.300s", t->point->name);
		print_leaving(p, t, t->point == exit_point ? "_leave" : suffix);
	}
	if (!exit_point)
		fprintf(p->f,
			"OUTSPAN_INLINE void %s_leave(struct %s *outspan_block)\n{\n"
			"\toutspan_end(&outspan_block->head);\n}\n\n",
			p->name, p->name);
	fprintf(p->f,
		"OUTSPAN_INLINE void %s_cleanup(struct %s *outspan_block)\n{\n"
		"\t%s_leave(outspan_block",
		p->name, p->name, p->name);
	if (exit_point)
		print_zeros(p->f, exit_point);
	osp_names_upper(capitals, p->name);
	fprintf(p->f,
		");\n}\n\n/* Declares the block `name`; it is left when the scope is. */\n"
		"#define %s_SCOPE(name) OUTSPAN_SCOPE(%s, name, %s_cleanup)\n\n",
		capitals, p->name, p->name);
}

/* ---- states ---------------------------------------------------------------------------------- */

/* Around a macro's ?: stands NAME_to_<state>, for gcc sees no result ignored inside of one. */
static void print_states(struct printer *p)
{
	char state[OSP_NAMES_BYTES], capitals[OSP_NAMES_BYTES];
	const struct osp_operation *op = p->op;

	osp_names_upper(capitals, p->name);
	fprintf(p->f,
		"struct %s {\n\tstruct outspan_op head;\n\tOUTSPAN_DATA(%zu)\n};\n"
		"#define %s_INIT OUTSPAN_ZERO\n\n",
		p->name, osp_block_room(op), capitals);
	for (size_t i = 0; i < op->state_count; i++) {
		osp_names_snake(state, op->states[i]);
		fprintf(p->f,
			"struct %s_%s {\n\tOUTSPAN_STATE;\n};\n"
			"OUTSPAN_INLINE OUTSPAN_RESULT struct %s_%s\n%s_to_%s(struct %s_%s outspan_s)"
			"\n{\n\treturn outspan_s;\n}\n\n",
			p->name, state, p->name, state, p->name, state, p->name, state);
	}
	fputs("\n", p->f);
}

/* States of a stored block: for code that is called back. */
static void print_ats(struct printer *p)
{
	char state[OSP_NAMES_BYTES];

	for (size_t i = 0; i < p->op->state_count; i++) {
		osp_names_snake(state, p->op->states[i]);
		fprintf(p->f,
			"OUTSPAN_INLINE OUTSPAN_RESULT struct %s_%s %s_at_%s(struct %s "
			"*outspan_block)\n{\n\tstruct %s_%s outspan_next;\n\n"
			"\tOUTSPAN_AT(outspan_next, &outspan_block->head, %zu);\n"
			"\treturn outspan_next;\n}\n\n",
			p->name, state, p->name, state, p->name, p->name, state, i);
	}
}

/* The number is the operation's place in this header. */
static void print_begin(struct printer *p, uint32_t number)
{
	char state[OSP_NAMES_BYTES];

	osp_names_snake(state, p->op->states[p->op->start]);
	fprintf(p->f,
		"/* Arms the block and stamps nothing; `%s_leave` must follow if no end does. */\n"
		"OUTSPAN_INLINE OUTSPAN_RESULT struct %s_%s %s_begin(struct %s *outspan_block)\n"
		"{\n\tstruct %s_%s outspan_next;\n\n"
		"\toutspan_begin(&outspan_block->head, (uint32_t)sizeof(*outspan_block), %u, %u);\n"
		"\tOUTSPAN_AT(outspan_next, &outspan_block->head, %u);\n"
		"\treturn outspan_next;\n}\n\n",
		p->name, p->name, state, p->name, p->name, p->name, state, number, p->op->start,
		p->op->start);
}

/* The distinct targets of a state, the end included as OSP_STATE_END. */
static size_t targets(const struct osp_operation *op, size_t from, uint8_t out[])
{
	size_t count = 0;

	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];

		if (t->from == from && !t->any && (!count || !memchr(out, t->to, count)))
			out[count++] = t->to;
	}
	return count;
}

static void target_name(const struct osp_operation *op, uint8_t to, char out[OSP_NAMES_BYTES])
{
	if (to == OSP_STATE_END)
		snprintf(out, OSP_NAMES_BYTES, "end");
	else
		osp_names_snake(out, op->states[to]);
}

/* One way out of a state: its target, its enumerator and the function that makes the branch. */
struct way {
	char next[OSP_NAMES_BYTES];	/* state, or "end" */
	char function[OSP_NAMES_BYTES]; /* NAME_from_<state>_to_<next> */
	char capitals[OSP_NAMES_BYTES];
	bool ends;
};

static struct way way_to(const struct printer *p, const char *state, uint8_t to)
{
	struct way w = {.ends = to == OSP_STATE_END};

	target_name(p->op, to, w.next);
	snprintf(w.function, sizeof(w.function), "%.120s_from_%.160s_to_%.160s", p->name, state,
		 w.next);
	osp_names_upper(w.capitals, w.function);
	return w;
}

static void print_way(struct printer *p, const char *state, const struct way *w)
{
	fprintf(p->f, "OUTSPAN_INLINE OUTSPAN_RESULT struct %s_from_%s\n%s(", p->name, state,
		w->function);
	if (w->ends)
		fputs("void", p->f);
	else
		fprintf(p->f, "struct %s_%s outspan_s", p->name, w->next);
	fprintf(p->f, ")\n{\n\tstruct %s_from_%s outspan_branch;\n\n\toutspan_branch.to = %s;\n",
		p->name, state, w->capitals);
	if (!w->ends)
		fprintf(p->f, "\toutspan_branch.%s_ = outspan_s;\n", w->next);
	fputs("\treturn outspan_branch;\n}\n", p->f);
}

/* The way to hand a branch from one function to its caller: which one, and its state. */
static void print_branch(struct printer *p, size_t from)
{
	uint8_t to[OSP_CATALOGUE_STATES + 1];
	size_t count = targets(p->op, from, to);
	char state[OSP_NAMES_BYTES];
	struct way w;

	if (count < 2)
		return;
	osp_names_snake(state, p->op->states[from]);
	fprintf(p->f,
		"/* What a function returns that takes %s and may lead to: */\n"
		"enum %s_from_%s_to {",
		state, p->name, state);
	for (size_t i = 0; i < count; i++) {
		w = way_to(p, state, to[i]);
		fprintf(p->f, "%s\n\t%s", i ? "," : "", w.capitals);
	}
	fprintf(p->f, "\n};\nstruct %s_from_%s {\n\tenum %s_from_%s_to to;\n\tunion {\n", p->name,
		state, p->name, state);
	for (size_t i = 0; i < count; i++) {
		w = way_to(p, state, to[i]);
		if (!w.ends)
			fprintf(p->f, "\t\tstruct %s_%s %s_;\n", p->name, w.next, w.next);
	}
	fputs("\t};\n};\n", p->f);
	for (size_t i = 0; i < count; i++) {
		w = way_to(p, state, to[i]);
		print_way(p, state, &w);
	}
	fputs("\n", p->f);
}

/* Everything of one operation, in the order in which C must see it. */
static int print_operation(struct printer *p, const struct osp_operation *op, uint32_t number)
{
	struct osp_walk_error e;

	p->op = op;
	snprintf(p->name, sizeof(p->name), "%.64s_%.64s", op->provider, op->name);
	if (osp_automaton_walk(op, p->open, &e))
		return -EINVAL;
	fprintf(p->f, "/* ---- %s: ", op->name);
	print_doc(p->f, op->doc ? op->doc : op->title);
	fputs(" ---- */\n\n", p->f);
	print_states(p);
	print_ats(p);
	print_begin(p, number);
	print_spill(p);
	for (size_t i = 0; i < op->transition_count; i++)
		if (!op->transitions[i].any)
			print_chain(p, &op->transitions[i]);
	print_leave(p);
	for (size_t i = 0; i < op->state_count; i++)
		print_branch(p, i);
	return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Points of the file's own provider; foreign ones are compiled elsewhere. */
static bool is_ours(const struct printer *p, const struct osp_point *point)
{
	return !point->foreign && !strcmp(point->provider, p->provider);
}

/* Each enum that an argument has, once. */
static void print_enums(struct printer *p)
{
	const struct osp_enum *seen[256];
	size_t count = 0;

	for (size_t i = 0; i < p->c->point_count; i++)
		for (size_t k = 0; k < p->c->points[i]->arg_count; k++) {
			const struct osp_enum *e = p->c->points[i]->args[k].enumeration;
			char whole[OSP_NAMES_BYTES], capitals[OSP_NAMES_BYTES];
			size_t n = 0;

			while (e && n < count && seen[n] != e)
				n++;
			if (!e || n < count || count == 256)
				continue;
			seen[count++] = e;
			snprintf(whole, sizeof(whole), "%.64s_%.64s", p->provider, e->name);
			osp_names_upper(capitals, whole);
			fprintf(p->f, "enum %s {", whole);
			for (n = 0; n < e->count; n++)
				fprintf(p->f, "%s\n\t%s_%s = %" PRId64, n ? "," : "", capitals,
					e->values[n].name, e->values[n].value);
			fputs("\n};\n\n", p->f);
		}
}

/* The words are declared under a plain name, too: a program may ask whether anybody traces. */
static void print_externs(struct printer *p)
{
	char capitals[OSP_NAMES_BYTES];

	fputs("OUTSPAN_EXTERN(", p->f);
	print_wanted(p);
	osp_names_upper(capitals, p->provider);
	fprintf(p->f, ")\n#ifndef OUTSPAN_NO_PROBES\n#define %s_WANTED ", capitals);
	print_wanted(p);
	fputs("\n#endif\n", p->f);
	for (size_t i = 0; i < p->c->point_count; i++) {
		if (!is_ours(p, p->c->points[i]) || p->c->points[i]->control)
			continue;
		fputs("OUTSPAN_EXTERN_STUB(", p->f);
		print_stub(p, p->c->points[i]);
		fputs(")\n", p->f);
	}
	fputs("\n", p->f);
}

/* The provider's contexts: the control site stands wherever a context may be sent. */
static void print_control(struct printer *p)
{
	if (!p->control)
		return;
	fprintf(p->f,
		"OUTSPAN_INLINE bool %s_context(struct outspan_op *outspan_op, int outspan_in_span,\n"
		"\t\t\t\t    struct outspan_context *outspan_out)\n{\n",
		p->provider);
	print_site(p, "OUTSPAN_CONTROL", p->control);
	fputs("\treturn outspan_context_out(outspan_op, outspan_in_span,\n\t\t\t\t   ", p->f);
	print_is_wanted(p, p->control);
	fputs(" != 0, outspan_out);\n}\n\n", p->f);
}

static void print_head(struct printer *p)
{
	char capitals[OSP_NAMES_BYTES];

	osp_names_upper(capitals, p->provider);
	fprintf(p->f,
		"/*\n * Trace points of %s. Made from its catalogue by outspan-generate: change the\n"
		" * catalogue, not this file. SPDX-License-Identifier: Apache-2.0\n */\n"
		"#ifndef OUTSPAN_PROVIDER_%s_H\n#define OUTSPAN_PROVIDER_%s_H\n\n"
		"#include \"outspan/op.h\"\n\n#pragma GCC diagnostic push\n"
		"#pragma GCC diagnostic ignored \"-Wattributes\"\n\n",
		p->provider, capitals, capitals);
}

/* Any change of any signature changes the names of the symbols. */
static void mix_digest(struct printer *p)
{
	for (size_t i = 0; i < p->c->point_count; i++)
		if (is_ours(p, p->c->points[i])) {
			p->digest = (p->digest ^ p->c->points[i]->digest) * 0x100000001b3u;
			p->digest ^= p->digest >> 29;
			if (p->c->points[i]->control)
				p->control = p->c->points[i];
		}
}

int osp_header_print(FILE *f, const struct osp_catalogue *c)
{
	struct printer p = {.f = f, .c = c};
	int r = 0;

	if (c->operation_count)
		p.provider = c->operations[0]->provider;
	if (!p.provider || !c->point_count || !is_ours(&p, c->points[0]))
		return -EINVAL;
	mix_digest(&p);
	print_head(&p);
	print_enums(&p);
	print_externs(&p);
	print_control(&p);
	for (size_t i = 0; !r && i < c->operation_count; i++)
		if (c->operations[i]->key == OSP_KEY_OP)
			r = print_operation(&p, c->operations[i], (uint32_t)i);
	fputs("#pragma GCC diagnostic pop\n\n#endif\n", f);
	return r ? r : ferror(f) ? -EIO : 0;
}
