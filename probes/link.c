/*
 * Links between operations and what implementations lack. Fed by probes/load.c after all
 * operations of the file stand. A link's ends must be able to carry what it compares: the point
 * is passed inside the span, behind the peer's authentication, and has the argument.
 */
#include <errno.h>
#include <string.h>

#include "probes/automaton.h"
#include "probes/load.h"

const struct osp_operation *osp_load_find_operation(const struct osp_load *l, const char *name,
						    size_t size)
{
	for (size_t i = l->first_operation; i < l->c->operation_count; i++) {
		const struct osp_operation *op = l->c->operations[i];

		if (strlen(op->name) == size && !memcmp(op->name, name, size))
			return op;
	}
	return NULL;
}

bool osp_point_is_called(const struct osp_point *p, const char *text, size_t size)
{
	size_t before = p->foreign ? strlen(p->provider) + 1 : 0;

	return strlen(p->name) + before == size && !memcmp(p->name, text + before, size - before) &&
	       (!before || !strncmp(p->provider, text, before - 1));
}

/* "operation" or "operation/span" */
static int read_end(struct osp_load *l, const struct osp_node *n, const char *key,
		    struct osp_side *side)
{
	const char *text = n->kind == OSP_NODE_SCALAR ? n->text : "", *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	const struct osp_operation *op = osp_load_find_operation(l, text, size);
	int8_t span = -1;

	if (!op)
		return osp_load_fail(l, n, "%s: expected an operation of this file", key);
	for (size_t i = 0; slash && i < op->span_count; i++)
		if (!strcmp(op->spans[i].name, slash + 1))
			span = (int8_t)i;
	if (slash && span < 0)
		return osp_load_fail(l, n, "%s: expected a span of %s behind the slash", key,
				     op->name);
	for (size_t i = 0; i < side->count; i++)
		if (side->ends[i].operation == op)
			return osp_load_fail(l, n, "%s: expected no operation twice (%s)", key,
					     op->name);
	side->ends[side->count].operation = op;
	side->ends[side->count++].span = span;
	return 0;
}

/* One end, or a list of those that the same evidence speaks of. */
static int read_side(struct osp_load *l, const struct osp_node *n, const char *key,
		     struct osp_side *side)
{
	const struct osp_node *v = osp_node_find(n, key);
	int r = 0;

	if (!v || v->kind == OSP_NODE_MAP || (v->kind == OSP_NODE_LIST && !v->count))
		return osp_load_fail(l, n, "%s: expected OPERATION or OPERATION/SPAN", key);
	if (v->kind == OSP_NODE_SCALAR)
		return read_end(l, v, key, side);
	if (v->count > OSP_SIDE_MAX)
		return osp_load_fail(l, v, "%s: expected at most %d operations", key, OSP_SIDE_MAX);
	for (size_t i = 0; !r && i < v->count; i++)
		r = read_end(l, v->values[i], key, side);
	return r;
}

/* "point.argument" of the operation */
static int read_ref(struct osp_load *l, const struct osp_node *n, const struct osp_operation *op,
		    struct osp_ref *ref)
{
	const char *dot = n->kind == OSP_NODE_SCALAR ? strrchr(n->text, '.') : NULL;
	const struct osp_point *p = NULL;
	size_t size;

	if (!dot)
		return osp_load_fail(l, n, "expected POINT.ARGUMENT of %s", op->name);
	size = (size_t)(dot - n->text);
	for (size_t i = 0; i < op->point_count; i++)
		if (osp_point_is_called(op->points[i], n->text, size))
			p = op->points[i];
	if (!p)
		return osp_load_fail(l, n, "%s: expected a point of %s", n->text, op->name);
	for (size_t i = 0; i < p->arg_count; i++)
		if (!strcmp(p->args[i].name, dot + 1)) {
			*ref = (struct osp_ref){p, (uint8_t)i};
			return 0;
		}
	return osp_load_fail(l, n, "%s: expected an argument of %s", n->text, p->name);
}

/* A reference names a point of every operation of its side. */
static int add_refs(struct osp_load *l, const struct osp_node *n, const struct osp_side *side,
		    struct osp_refs *out)
{
	int r = 0;

	if (out->count + side->count > OSP_REF_ALTERNATIVES)
		return osp_load_fail(l, n, "expected at most %d alternatives, one per operation",
				     OSP_REF_ALTERNATIVES);
	for (size_t i = 0; !r && i < side->count; i++)
		r = read_ref(l, n, side->ends[i].operation, &out->refs[out->count++]);
	return r;
}

/* One reference, or a list of alternatives. */
static int read_refs(struct osp_load *l, const struct osp_node *n, const char *key,
		     const struct osp_side *side, struct osp_refs *out)
{
	const struct osp_node *v = osp_node_find(n, key);
	int r = 0;

	if (!v || (v->kind == OSP_NODE_LIST && !v->count) || v->kind == OSP_NODE_MAP)
		return osp_load_fail(l, v ? v : n, "%s: expected POINT.ARGUMENT, or a list of them",
				     key);
	if (v->kind == OSP_NODE_SCALAR)
		return add_refs(l, v, side, out);
	for (size_t i = 0; !r && i < v->count; i++)
		r = add_refs(l, v->values[i], side, out);
	return r;
}

/* The argument that a reference means. */
static const struct osp_arg *ref_arg(const struct osp_ref *ref)
{
	return &ref->point->args[ref->arg];
}

/* Every value of one side can be equal to every value of the other. */
static int check_types(struct osp_load *l, const struct osp_node *at, const struct osp_refs *from,
		       const struct osp_refs *to)
{
	for (size_t i = 0; i < from->count; i++)
		for (size_t k = 0; k < to->count; k++) {
			enum osp_type a = ref_arg(&from->refs[i])->type;
			enum osp_type b = ref_arg(&to->refs[k])->type;

			if (a >= OSP_TYPE_CONTEXT_IN || b >= OSP_TYPE_CONTEXT_IN) {
				if (a != OSP_TYPE_CONTEXT_OUT || b != OSP_TYPE_CONTEXT_IN)
					return osp_load_fail(l, at,
							     "expected a context_out in "
							     "from and a context_in in to");
			} else if (a != b) {
				return osp_load_fail(l, at,
						     "expected arguments of one type: %s and "
						     "%s differ",
						     ref_arg(&from->refs[i])->name,
						     ref_arg(&to->refs[k])->name);
			}
		}
	return 0;
}

/* The point is passed while the span is open, or opens it. */
static bool lies_in(const struct osp_operation *op, const struct osp_point *p, int8_t span)
{
	struct osp_open_spans open[OSP_CATALOGUE_STATES];
	struct osp_walk_error e;

	if (span < 0)
		return true;
	if (osp_automaton_walk(op, open, &e))
		return false;
	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];

		if (t->point == p && !t->any && t->open != span &&
		    !osp_open_spans_find(&open[t->from], (uint8_t)span))
			return false;
	}
	return true;
}

/* True if the point can only be passed by, or after, one that authenticates (if there is one). */
static bool is_authenticated(const struct osp_operation *op, const struct osp_point *p)
{
	bool before[OSP_CATALOGUE_STATES] = {false}, again = true, any = false;

	for (size_t i = 0; i < op->point_count; i++)
		any |= op->points[i]->authenticates;
	if (!any || p->authenticates)
		return true;
	before[op->start] = true;
	while (again) {
		again = false;
		for (size_t i = 0; i < op->transition_count; i++) {
			const struct osp_transition *t = &op->transitions[i];

			if (!before[t->from] || t->any || t->point->authenticates ||
			    t->to == OSP_STATE_END || before[t->to])
				continue;
			before[t->to] = again = true;
		}
	}
	for (size_t i = 0; i < op->transition_count; i++)
		if (op->transitions[i].point == p && before[op->transitions[i].from])
			return false;
	return true;
}

static bool has_point(const struct osp_operation *op, const struct osp_point *p)
{
	for (size_t i = 0; i < op->point_count; i++)
		if (op->points[i] == p)
			return true;
	return false;
}

/* What a link compares must be said at every level, inside the span, by a peer that is known. */
static int check_end(struct osp_load *l, const struct osp_node *at, const struct osp_refs *refs,
		     const struct osp_operation *op, int8_t span)
{
	for (size_t i = 0; i < refs->count; i++) {
		const struct osp_point *p = refs->refs[i].point;

		if (!has_point(op, p))
			continue;
		if (!lies_in(op, p, span))
			return osp_load_fail(l, at, "%s: expected a point inside the span %s",
					     p->name, op->spans[span].name);
		if (p->level != OSP_LEVEL_ESSENTIAL)
			return osp_load_fail(l, at, "%s: expected a point of level essential",
					     p->name);
		if (!is_authenticated(op, p))
			return osp_load_fail(l, at,
					     "%s: expected a point behind the "
					     "authentication of the peer",
					     p->name);
	}
	return 0;
}

/* inside: the value must come from the span itself, not from what is around it. */
static int check_refs(struct osp_load *l, const struct osp_node *at, const struct osp_refs *refs,
		      const struct osp_side *side, bool inside)
{
	int r = 0;

	for (size_t i = 0; !r && i < side->count; i++)
		r = check_end(l, at, refs, side->ends[i].operation,
			      inside ? side->ends[i].span : -1);
	return r;
}

/* also: {NAME: {from: REFS, to: REFS}, ...} */
static int read_also(struct osp_load *l, const struct osp_node *n, const struct osp_link *link,
		     struct osp_match *m)
{
	const struct osp_node *also = osp_node_find(n, "also");
	int r = also ? osp_load_map(l, also) : 0;

	if (!r && also && also->count > OSP_ALSO_MAX)
		r = osp_load_fail(l, also, "also: expected at most %d", OSP_ALSO_MAX);
	osp_load_enter(l, "also");
	for (size_t i = 0; !r && also && i < also->count; i++) {
		const struct osp_node *v = also->values[i];

		osp_load_enter(l, also->keys[i]->text);
		r = osp_load_keys(l, v, "from to");
		if (!r)
			r = read_refs(l, v, "from", &link->from, &m->also_from[i]);
		if (!r)
			r = read_refs(l, v, "to", &link->to, &m->also_to[i]);
		if (!r)
			r = check_types(l, v, &m->also_from[i], &m->also_to[i]);
		if (!r)
			r = check_refs(l, v, &m->also_from[i], &link->from, false);
		if (!r)
			r = check_refs(l, v, &m->also_to[i], &link->to, false);
		m->also_count = i + 1;
		osp_load_leave(l);
	}
	osp_load_leave(l);
	return r;
}

/* A rule is the fact if it matches first, else it corroborates or contradicts. */
static int read_match(struct osp_load *l, const struct osp_node *n, const struct osp_link *link,
		      struct osp_match *m)
{
	int grade = -1, r = osp_load_keys(l, n, "evidence grade from to also within");

	if (!r)
		r = osp_load_line(l, n, "evidence", &m->evidence);
	if (!r && !m->evidence)
		r = osp_load_fail(l, n, "evidence: expected a name, such as message_id");
	if (!r)
		r = osp_load_choice(l, n, "grade", "exact strong weak", &grade);
	if (!r && grade < 0)
		r = osp_load_fail(l, n, "grade: expected exact, strong or weak");
	m->grade = (enum osp_grade)grade;
	if (!r)
		r = osp_load_duration(l, n, "within", &m->within_ns);
	if (!r && !m->within_ns && m->grade != OSP_GRADE_EXACT)
		r = osp_load_fail(l, n, "within: expected a duration, for the grade is not exact");
	if (!r)
		r = read_refs(l, n, "from", &link->from, &m->from);
	if (!r)
		r = read_refs(l, n, "to", &link->to, &m->to);
	if (!r)
		r = check_types(l, n, &m->from, &m->to);
	if (!r)
		r = check_refs(l, n, &m->from, &link->from, true);
	if (!r)
		r = check_refs(l, n, &m->to, &link->to, true);
	return r ? r : read_also(l, n, link, m);
}

/* The order of the file is the order of trust. */
static int read_matches(struct osp_load *l, const struct osp_node *n, struct osp_link *link)
{
	const struct osp_node *match = osp_node_find(n, "match");
	const size_t max = sizeof(link->matches) / sizeof(link->matches[0]);
	int r = 0;

	if (!match || match->kind != OSP_NODE_LIST || !match->count || match->count > max)
		return osp_load_fail(l, n, "match: expected a list of 1 to %zu rules", max);
	osp_load_enter(l, "match");
	for (size_t i = 0; !r && i < match->count; i++)
		r = read_match(l, match->values[i], link, &link->matches[i]);
	link->match_count = match->count;
	osp_load_leave(l);
	return r;
}

/* Names of links are keys of stored edges: unique over all files. */
static int read_link(struct osp_load *l, const struct osp_node *n, struct osp_link *link)
{
	int makes = OSP_MAKES_LINK, r = osp_load_keys(l, n, "name doc from to makes match");

	if (!r)
		r = osp_load_line(l, n, "name", &link->name);
	if (!r && !link->name)
		r = osp_load_fail(l, n, "name: expected");
	for (size_t i = 0; !r && i < link->number; i++)
		if (!strcmp(l->c->links[i]->name, link->name))
			r = osp_load_fail(l, n, "name: expected no link twice (%s)", link->name);
	if (r)
		return r;
	osp_load_enter(l, link->name);
	r = osp_load_prose(l, n, "doc", &link->doc);
	if (!r)
		r = read_side(l, n, "from", &link->from);
	if (!r)
		r = read_side(l, n, "to", &link->to);
	if (!r)
		r = osp_load_choice(l, n, "makes", "parent link fan_in", &makes);
	link->makes = (enum osp_makes)makes;
	if (!r)
		r = read_matches(l, n, link);
	osp_load_leave(l);
	return r;
}

int osp_load_links(struct osp_load *l, const struct osp_node *n)
{
	struct osp_catalogue *c = l->c;
	int r = 0;

	if (n && n->kind != OSP_NODE_LIST)
		return osp_load_fail(l, n, "links: expected a list");
	osp_load_enter(l, "links");
	for (size_t i = 0; !r && n && i < n->count; i++) {
		struct osp_link *link = osp_arena_alloc(l->arena, 1, sizeof(*link));

		if (!link)
			return -ENOMEM;
		if (c->link_count == OSP_LOAD_LINKS) {
			osp_load_fail(l, n, "expected at most %d links in all", OSP_LOAD_LINKS);
			return -E2BIG;
		}
		link->number = (uint16_t)c->link_count;
		r = read_link(l, n->values[i], link);
		c->links[c->link_count++] = link;
	}
	osp_load_leave(l);
	return r;
}

/* "operation" (all its points) or "operation.point" */
static int add_lacks(struct osp_load *l, const struct osp_node *n, struct osp_implementation *im)
{
	const char *text = n->kind == OSP_NODE_SCALAR ? n->text : "", *dot = strchr(text, '.');
	const struct osp_operation *op =
		osp_load_find_operation(l, text, dot ? (size_t)(dot - text) : strlen(text));
	size_t before = im->lack_count;

	for (size_t i = 0; op && i < op->point_count; i++)
		if (!dot || !strcmp(op->points[i]->name, dot + 1))
			im->lacks[im->lack_count++] = op->points[i];
	if (im->lack_count == before)
		return osp_load_fail(l, n, "lacks: expected OPERATION or OPERATION.POINT");
	return 0;
}

/* A name may stand for every point of an operation, hence the generous room. */
static int read_implementation(struct osp_load *l, const struct osp_node *key,
			       const struct osp_node *n, struct osp_implementation *im)
{
	const struct osp_node *lacks = osp_node_find(n, "lacks");
	size_t count = 0;
	int r = osp_load_keys(l, n, "doc lacks");

	if (!r)
		r = osp_load_word(l, key);
	if (!r && (!lacks || lacks->kind != OSP_NODE_LIST))
		r = osp_load_fail(l, n, "lacks: expected a list");
	if (r)
		return r;
	im->name = key->text;
	r = osp_load_prose(l, n, "doc", &im->doc);
	if (r)
		return r;
	for (size_t i = l->first_operation; i < l->c->operation_count; i++)
		count += l->c->operations[i]->point_count;
	im->lacks = osp_arena_alloc(l->arena, lacks->count * count + 1, sizeof(*im->lacks));
	if (!im->lacks)
		return -ENOMEM;
	for (size_t i = 0; !r && i < lacks->count; i++)
		r = add_lacks(l, lacks->values[i], im);
	return r;
}

int osp_load_implementations(struct osp_load *l, const struct osp_node *n)
{
	struct osp_catalogue *c = l->c;
	int r = n ? osp_load_map(l, n) : 0;

	osp_load_enter(l, "implementations");
	for (size_t i = 0; !r && n && i < n->count; i++) {
		struct osp_implementation *im = osp_arena_alloc(l->arena, 1, sizeof(*im));

		if (!im)
			return -ENOMEM;
		if (c->implementation_count == OSP_LOAD_IMPLEMENTATIONS)
			return osp_load_fail(l, n, "expected at most %d", OSP_LOAD_IMPLEMENTATIONS);
		osp_load_enter(l, n->keys[i]->text);
		r = read_implementation(l, n->keys[i], n->values[i], im);
		osp_load_leave(l);
		c->implementations[c->implementation_count++] = im;
	}
	osp_load_leave(l);
	return r;
}
