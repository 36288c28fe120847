/*
 * Shapes and site specs. Fed with points of the catalogue and operands from notes, feeds the maps
 * `shapes` and `sites` through loader.c. A byte field's length may be an operand of the note that
 * is no argument of the point: it takes an entry behind the arguments, in the order of the
 * fields, so that all sites of a point agree. Owns nothing.
 */
#include "user/shape.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* True if the kernel side copies what the argument points to. */
static bool is_copied(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES;
}

/* Entry of the spec (1-based) with note operand `source` as a byte count: an argument's, or new. */
static size_t length_entry(const struct osp_point *p, uint8_t source, size_t upto, size_t *extra)
{
	size_t n = p->arg_count;

	for (size_t i = 0; i < p->arg_count; i++)
		if (p->args[i].source == source)
			return i + 1;
	for (size_t i = 0; i < upto; i++) {
		bool known = false;

		if (!p->args[i].length)
			continue;
		for (size_t k = 0; k < p->arg_count; k++)
			known = known || p->args[k].source == p->args[i].length;
		for (size_t k = 0; k < i; k++)
			known = known || p->args[k].length == p->args[i].length;
		if (known)
			continue;
		n++;
		if (p->args[i].length == source)
			return n;
	}
	*extra = n + 1;
	return n + 1;
}

static int choose_class(struct osp_shape *s)
{
	static const struct {
		uint32_t start, most;
	} classes[] = {
#define X(id, start, most) {start, most},
		OSP_FOREIGN_CLASSES(X)
#undef X
	};
	uint32_t at = OSP_FOREIGN_START, last = 0, most = 0;

	for (int i = 0; i < s->args; i++) {
		if (!s->arg[i].max)
			continue;
		last = at;
		at += s->arg[i].max + (s->arg[i].text ? 1u : 0u);
		most = s->arg[i].max + 2u > most ? s->arg[i].max + 2u : most;
	}
	for (uint16_t k = 0; k < OSP_FOREIGN_COUNT; k++)
		if (last <= classes[k].start && most <= classes[k].most) {
			s->size = k;
			return 0;
		}
	return -E2BIG;
}

static int fill_foreign(struct osp_shape *s, const struct osp_point *p)
{
	size_t entries = p->arg_count;

	s->kind = OSP_SHAPE_FOREIGN;
	s->args = (__u16)p->arg_count;
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		if (!is_copied(a))
			continue;
		s->arg[i].max = a->max;
		s->arg[i].text = a->type == OSP_TYPE_STR && !a->length;
		if (a->length)
			s->arg[i].length = (__u8)length_entry(p, a->length, i, &entries);
	}
	return entries > OSP_EVENT_ARGS ? -E2BIG : choose_class(s);
}

/* One integer travels in a register; all else lies in the operation block. */
static bool is_plain(const struct osp_point *p)
{
	return !p->arg_count || (p->arg_count == 1 && p->args[0].type <= OSP_TYPE_BOOL) ||
	       (p->arg_count == 1 && p->args[0].type == OSP_TYPE_OP);
}

int osp_shape_fill(struct osp_shape *out, const struct osp_point *p)
{
	struct osp_shape s = {0};
	int r = 0;

	if (p->arg_count > OSP_EVENT_ARGS)
		return -E2BIG;
	if (p->foreign)
		r = fill_foreign(&s, p);
	else if (p->spill)
		s.kind = OSP_SHAPE_SPILL;
	else
		s.kind = is_plain(p) ? OSP_SHAPE_PLAIN : OSP_SHAPE_BLOCK;
	if (!r)
		*out = s;
	return r;
}

int osp_shape_order(struct osp_site_spec *out, const struct osp_point *p,
		    const struct osp_site_spec *note, uint32_t operands)
{
	struct osp_site_spec spec = {0};
	size_t extra = p->arg_count;

	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];
		size_t at;

		if (!a->source || a->source > operands || a->length > operands)
			return -ERANGE;
		spec.arg[i] = note->arg[a->source - 1];
		if (!a->length)
			continue;
		at = length_entry(p, a->length, i, &extra);
		if (at > OSP_EVENT_ARGS)
			return -E2BIG;
		if (at > p->arg_count)
			spec.arg[at - 1] = note->arg[a->length - 1];
	}
	*out = spec;
	return 0;
}
