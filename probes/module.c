/*
 * Prints the C source of the Python module that carries a provider's points, and its types. Fed by
 * probes/generate.c with a loaded catalogue; what the printed code calls is in the provider's
 * generated header and in probes/python/src/operation.h.
 *
 * Python cannot be held to the order of the points by types: an object keeps its state, and a
 * method takes the transition from there. A point that has none in this state takes its first
 * one: the step is recorded, and the tracer says that it was unexpected.
 */
#include "probes/module.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "probes/names.h"

static bool is_text(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES;
}

static bool is_lacking(const struct osp_catalogue *c, const struct osp_point *p)
{
	for (size_t i = 0; i < c->implementation_count; i++)
		for (size_t k = 0; k < c->implementations[i]->lack_count; k++)
			if (c->implementations[i]->lacks[k] == p)
				return true;
	return false;
}

/* Points that leave from any state are the object's `leave`. */
static bool is_leaving(const struct osp_operation *op, const struct osp_point *p)
{
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == p)
			return op->transitions[i].any;
	return true;
}

static bool has_method(const struct osp_catalogue *c, const struct osp_operation *op,
		       const struct osp_point *p)
{
	return !is_lacking(c, p) && !is_leaving(op, p);
}

/* An operation without a point that could begin it is not provided. */
static bool has_class(const struct osp_catalogue *c, const struct osp_operation *op)
{
	for (size_t i = 0; op->key == OSP_KEY_OP && i < op->point_count; i++)
		if (has_method(c, op, op->points[i]))
			return true;
	return false;
}

static const struct osp_arg *context_out(const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++)
		if (p->args[i].type == OSP_TYPE_CONTEXT_OUT)
			return &p->args[i];
	return NULL;
}

/* ---- the methods ----------------------------------------------------------------------------- */

/* A context goes through whether the point is wanted or not; all else is read only if it is. */
static void print_read(FILE *f, const struct osp_arg *a, size_t index, bool wanted)
{
	const char *type = osp_names_type(a);

	if (a->type == OSP_TYPE_CONTEXT_OUT)
		return;
	if (a->type == OSP_TYPE_CONTEXT_IN) {
		if (!wanted)
			fprintf(f, "\toutspan_read_context(&%s, args, count, %zu);\n", a->name,
				index);
	} else if (wanted && is_text(a)) {
		fprintf(f, "\t\t%s = outspan_read_text(args, count, %zu);\n", a->name, index);
	} else if (wanted) {
		fprintf(f, "\t\t%s = (%s)outspan_read_%s(args, count, %zu);\n", a->name, type,
			a->type == OSP_TYPE_OP	  ? "operation"
			: a->type == OSP_TYPE_F64 ? "real"
						  : "integer",
			index);
	}
}

static void print_reads(FILE *f, const struct osp_point *p, bool wanted)
{
	size_t index = 0;

	for (size_t i = 0; i < p->arg_count; i++) {
		print_read(f, &p->args[i], index, wanted);
		index += p->args[i].type != OSP_TYPE_CONTEXT_OUT;
	}
}

static void print_variables(FILE *f, const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];
		const char *type = osp_names_type(a);

		if (is_text(a))
			fprintf(f, "\tstruct outspan_text %s = {NULL, 0};\n", a->name);
		else if (a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT)
			fprintf(f, "\tstruct outspan_context %s;\n", a->name);
		else
			fprintf(f, "\t%s%s%s = 0;\n", type,
				type[strlen(type) - 1] == '*' ? "" : " ", a->name);
	}
}

static void print_pass_on(FILE *f, const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		if (is_text(a))
			fprintf(f, ", %s.data, %s.size", a->name, a->name);
		else if (a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT)
			fprintf(f, ", &%s", a->name);
		else
			fprintf(f, ", %s", a->name);
	}
}

/* One way that the point may take, from one state. */
static void print_case(FILE *f, const struct osp_operation *op, const struct osp_transition *t,
		       bool first)
{
	char chain[OSP_NAMES_BYTES], from[OSP_NAMES_BYTES], to[OSP_NAMES_BYTES];
	bool ends = t->to == OSP_STATE_END;

	osp_names_chain(chain, op, t);
	osp_names_snake(from, op->states[t->from]);
	if (first)
		fputs("\tdefault:\n", f);
	fprintf(f, "\tcase %u: {\n", t->from);
	if (!ends) {
		osp_names_snake(to, op->states[t->to]);
		fprintf(f, "\t\tstruct %s_%s_%s next = ", op->provider, op->name, to);
	} else {
		fputs("\t\t", f);
	}
	fprintf(f, "%s(%s_%s_at_%s(&self->block)", chain, op->provider, op->name, from);
	print_pass_on(f, t->point);
	fprintf(f, ");\n%s\t\tself->base.state = %u;\n\t\tbreak;\n\t}\n",
		ends ? "" : "\t\t(void)next;\n", t->to);
}

static void print_method(FILE *f, const struct osp_operation *op, const struct osp_point *p)
{
	const struct osp_arg *out = context_out(p);
	bool first = true;

	fprintf(f,
		"static PyObject *%s__%s(PyObject *object, PyObject *const *args, Py_ssize_t count)\n"
		"{\n\tstruct %s_object *self = (struct %s_object *)object;\n",
		op->name, p->name, op->name, op->name);
	print_variables(f, p);
	fputs("\n\t(void)args, (void)count;\n", f);
	print_reads(f, p, false);
	fprintf(f, "\tif (IS_WANTED(%u)) {\n", p->header);
	print_reads(f, p, true);
	fputs("\t}\n\tswitch (self->base.state) {\n", f);
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == p) {
			print_case(f, op, &op->transitions[i], first);
			first = false;
		}
	fprintf(f, "\t}\n\treturn outspan_%s(%s%s);\n}\n\n", out ? "context_bytes" : "none",
		out ? "&" : "", out ? out->name : "");
}

/* ---- the classes ----------------------------------------------------------------------------- */

static void print_quoted(FILE *f, const char *text)
{
	for (const char *c = text ? text : ""; *c; c++)
		fprintf(f, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
}

/* "name(topic, length) -> bytes": Python shows it as the method's signature and its text. */
static void print_doc(FILE *f, const struct osp_point *p)
{
	const char *comma = "";

	fprintf(f, "%s($self", p->name);
	for (size_t i = 0; i < p->arg_count; i++)
		if (p->args[i].type != OSP_TYPE_CONTEXT_OUT)
			fprintf(f, ", %s=None", p->args[i].name);
	fputs(", /)\\n--\\n\\n", f);
	print_quoted(f, p->doc);
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		if (a->type == OSP_TYPE_CONTEXT_OUT || !a->doc)
			continue;
		fprintf(f, "%s%s: ", *comma ? comma : "\\n\\n", a->name);
		print_quoted(f, a->doc);
		comma = "\\n";
	}
	if (context_out(p))
		fputs("\\n\\nReturns what the peer is to be told: the protocol's tracing field.",
		      f);
}

static void print_table(FILE *f, const struct osp_catalogue *c, const struct osp_operation *op)
{
	fprintf(f, "static PyMethodDef %s_methods[] = {\n", op->name);
	for (size_t i = 0; i < op->point_count; i++) {
		if (!has_method(c, op, op->points[i]))
			continue;
		fprintf(f, "\t{\"%s\", (PyCFunction)(void (*)(void))%s__%s, METH_FASTCALL,\n\t \"",
			op->points[i]->name, op->name, op->points[i]->name);
		print_doc(f, op->points[i]);
		fputs("\"},\n", f);
	}
	fputs("\t{NULL, NULL, 0, NULL},\n};\n\n", f);
}

/* The one point of "*", with its one integer: why the operation was left. */
static void print_leave(FILE *f, const struct osp_operation *op)
{
	fprintf(f,
		"static void %s_leave(struct outspan_operation *base, int32_t cause)\n{\n"
		"\t%s_%s_leave(&((struct %s_object *)base)->block, cause);\n}\n\n",
		op->name, op->provider, op->name, op->name);
}

/* Whether any of its methods would do anything. */
static void print_is_wanted(FILE *f, const struct osp_catalogue *c, const struct osp_operation *op)
{
	const char *separator = "";

	fprintf(f, "static bool %s_is_wanted(void)\n{\n\treturn ", op->name);
	for (size_t i = 0; i < op->point_count; i++)
		if (has_method(c, op, op->points[i])) {
			fprintf(f, "%sIS_WANTED(%u)", separator, op->points[i]->header);
			separator = " ||\n\t       ";
		}
	fputs(";\n}\n\n", f);
}

static void print_class(FILE *f, const struct osp_catalogue *c, const struct osp_operation *op)
{
	char state[OSP_NAMES_BYTES];

	osp_names_snake(state, op->states[op->start]);
	fprintf(f,
		"/* ---- %s ---- */\n\nstruct %s_object {\n\tstruct outspan_operation base;\n"
		"\tstruct %s_%s block;\n};\n\n",
		op->name, op->name, op->provider, op->name);
	print_leave(f, op);
	print_is_wanted(f, c, op);
	for (size_t i = 0; i < op->point_count; i++)
		if (has_method(c, op, op->points[i]))
			print_method(f, op, op->points[i]);
	print_table(f, c, op);
	fprintf(f,
		"static PyObject *%s_new(PyTypeObject *type, PyObject *args, PyObject *names)\n{\n"
		"\tstruct %s_object *self = outspan_operation_new(type, args, names);\n"
		"\tstruct %s_%s_%s first;\n\n\tif (!self)\n\t\treturn NULL;\n"
		"\tfirst = %s_%s_begin(&self->block);\n\t(void)first;\n"
		"\toutspan_operation_begin(&self->base, &self->block.head, %u, %s_leave, %s_is_wanted);\n"
		"\treturn (PyObject *)self;\n}\n\n",
		op->name, op->name, op->provider, op->name, state, op->provider, op->name,
		op->start, op->name, op->name);
	fprintf(f,
		"static PyTypeObject %s_type = {\n"
		"\tPyVarObject_HEAD_INIT(NULL, 0).tp_name = \"outspan_lonelypsp.points.%s\",\n"
		"\t.tp_basicsize = sizeof(struct %s_object),\n\t.tp_flags = Py_TPFLAGS_DEFAULT,\n"
		"\t.tp_base = &outspan_operation_type,\n\t.tp_dealloc = outspan_operation_free,\n"
		"\t.tp_methods = %s_methods,\n\t.tp_new = %s_new,\n\t.tp_doc = \"",
		op->name, op->name, op->name, op->name, op->name);
	print_quoted(f, op->doc);
	fputs("\",\n};\n\n", f);
}

/* ---- enumerations ---------------------------------------------------------------------------- */

/* Each value of each enumeration that an argument of a method has, once: NAME = number. */
static void print_constants(FILE *f, const struct osp_catalogue *c, const char *format)
{
	const struct osp_enum *seen[256];
	size_t count = 0, n;
	char whole[OSP_NAMES_BYTES], capitals[OSP_NAMES_BYTES];

	for (size_t i = 0; i < c->point_count; i++)
		for (size_t k = 0; k < c->points[i]->arg_count; k++) {
			const struct osp_enum *e = c->points[i]->args[k].enumeration;

			for (n = 0; e && n < count && seen[n] != e;)
				n++;
			if (!e || n < count || count == 256 || is_lacking(c, c->points[i]))
				continue;
			seen[count++] = e;
			for (n = 0; n < e->count; n++) {
				snprintf(whole, sizeof(whole), "%.64s_%.64s", e->name,
					 e->values[n].name);
				osp_names_upper(capitals, whole);
				fprintf(f, format, capitals, e->values[n].value);
			}
		}
}

/* The words' name has the digest of all points in it: any point of the header leads there. */
int osp_module_print(FILE *f, const struct osp_catalogue *c)
{
	const char *provider = c->operation_count ? c->operations[0]->provider : NULL;
	char capitals[OSP_NAMES_BYTES];

	if (!provider)
		return -EINVAL;
	osp_names_upper(capitals, provider);
	fprintf(f,
		"/*\n * The Python module of %s's trace points. Made from its catalogue by\n"
		" * outspan-generate: change the catalogue, not this file.\n"
		" * SPDX-License-Identifier: Apache-2.0\n */\n"
		"#define PY_SSIZE_T_CLEAN\n#include <Python.h>\n\n"
		"#include \"outspan/%s.h\"\n\n#include \"operation.h\"\n\n"
		"#ifdef OUTSPAN_NO_PROBES\n#define IS_WANTED(index) 0\n#else\n"
		"#define IS_WANTED(index) OUTSPAN_WANTED(%s_WANTED, index)\n#endif\n\n",
		provider, provider, capitals);
	for (size_t i = 0; i < c->operation_count; i++)
		if (has_class(c, c->operations[i]))
			print_class(f, c, c->operations[i]);
	fputs("PyTypeObject *const outspan_operation_types[] = {\n", f);
	for (size_t i = 0; i < c->operation_count; i++)
		if (has_class(c, c->operations[i]))
			fprintf(f, "\t&%s_type,\n", c->operations[i]->name);
	fputs("\tNULL,\n};\n\nconst struct outspan_constant outspan_constants[] = {\n", f);
	print_constants(f, c, "\t{\"%s\", %" PRId64 "},\n");
	fputs("\t{NULL, 0},\n};\n", f);
	return ferror(f) ? -EIO : 0;
}

/* ---- the types ------------------------------------------------------------------------------- */

static const char *python_type(const struct osp_arg *a)
{
	switch (a->type) {
	case OSP_TYPE_STR:
	case OSP_TYPE_BYTES:
		return "Union[bytes, str, None]";
	case OSP_TYPE_CONTEXT_IN:
		return "Optional[bytes]";
	case OSP_TYPE_OP:
		return "Optional[Operation]";
	case OSP_TYPE_F64:
		return "Optional[float]";
	default:
		return "Optional[int]";
	}
}

static void print_signature(FILE *f, const struct osp_point *p)
{
	fprintf(f, "    def %s(\n        self,\n", p->name);
	for (size_t i = 0; i < p->arg_count; i++)
		if (p->args[i].type != OSP_TYPE_CONTEXT_OUT)
			fprintf(f, "        %s: %s = None,\n", p->args[i].name,
				python_type(&p->args[i]));
	fprintf(f, "        /,\n    ) -> %s: ...\n", context_out(p) ? "bytes" : "None");
}

int osp_module_print_types(FILE *f, const struct osp_catalogue *c)
{
	fputs("# Made from the catalogue by outspan-generate: change the catalogue, not this file.\n"
	      "from typing import Optional, Union\n\n"
	      "class Operation:\n"
	      "    @property\n    def ended(self) -> bool: ...\n"
	      "    @property\n    def wanted(self) -> bool: ...\n"
	      "    def leave(self, cause: int = 0, /) -> None: ...\n"
	      "    def silence(self) -> None: ...\n",
	      f);
	print_constants(f, c, "\n%s: int  # %" PRId64);
	fputs("\n", f);
	for (size_t i = 0; i < c->operation_count; i++) {
		const struct osp_operation *op = c->operations[i];

		if (!has_class(c, op))
			continue;
		fprintf(f, "\nclass %s(Operation):\n", op->name);
		for (size_t k = 0; k < op->point_count; k++)
			if (has_method(c, op, op->points[k]))
				print_signature(f, op->points[k]);
	}
	return ferror(f) ? -EIO : 0;
}
