/*
 * How things of a catalogue are called in C. Fed by probes/header.c and probes/table.c, so that the
 * header and the list of its functions cannot disagree. Pure; names in catalogues are bounded, so
 * nothing here is ever cut.
 */
#include "probes/names.h"

#include <ctype.h>
#include <stdio.h>

void osp_names_upper(char out[OSP_NAMES_BYTES], const char *text)
{
	size_t n = 0;

	for (; text[n] && n < OSP_NAMES_BYTES - 1; n++)
		out[n] = (char)toupper((unsigned char)text[n]);
	out[n] = 0;
}

/* A word begins at a capital behind a small letter, and at the last of several capitals. */
static bool begins_word(const char *state, const char *p)
{
	return p > state && isupper((unsigned char)*p) && p[-1] != '.' &&
	       (!isupper((unsigned char)p[-1]) || islower((unsigned char)p[1]));
}

void osp_names_snake(char out[OSP_NAMES_BYTES], const char *state)
{
	size_t n = 0;

	for (const char *p = state; *p && n < OSP_NAMES_BYTES - 2; p++) {
		if (begins_word(state, p))
			out[n++] = '_';
		out[n++] = *p == '.' ? '_' : (char)tolower((unsigned char)*p);
	}
	out[n] = 0;
}

static bool has_several(const struct osp_operation *op, const struct osp_transition *t)
{
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == t->point && op->transitions[i].from != t->from)
			return true;
	return false;
}

void osp_names_chain(char out[OSP_NAMES_BYTES], const struct osp_operation *op,
		     const struct osp_transition *t)
{
	char from[OSP_NAMES_BYTES];
	int n = snprintf(out, OSP_NAMES_BYTES, "%.48s_%.48s__%.48s", op->provider, op->name,
			 t->point->name);

	osp_names_snake(from, op->states[t->from]);
	if (!t->any && has_several(op, t))
		snprintf(out + n, OSP_NAMES_BYTES - (size_t)n, "_in_%.200s", from);
}

const char *osp_names_type(const struct osp_arg *a)
{
	static const char *const unsigned_types[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"};
	static const char *const signed_types[] = {"int8_t", "int16_t", "int32_t", "int64_t"};
	int log2 = a->bytes == 8 ? 3 : a->bytes == 4 ? 2 : a->bytes == 2 ? 1 : 0;

	switch (a->type) {
	case OSP_TYPE_UINT:
		return unsigned_types[log2];
	case OSP_TYPE_INT:
		return signed_types[log2];
	case OSP_TYPE_BOOL:
		return "bool";
	case OSP_TYPE_F64:
		return "double";
	case OSP_TYPE_OP:
		return "const struct outspan_op *";
	case OSP_TYPE_CONTEXT_IN:
		return "const struct outspan_context *";
	case OSP_TYPE_CONTEXT_OUT:
		return "struct outspan_context *";
	default:
		return NULL;
	}
}
