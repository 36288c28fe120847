/*
 * Evidence of operations (user/link.h), fed by stitch with every step, feeding match. Owns a
 * table per operation of the catalogue (which arguments are evidence, for which side of which
 * rule) and, per open operation that has any, the values seen.
 *
 * An end is made when one of its rule's matches is complete: its own value and all that must be
 * equal, too. Values of the enclosing spans count for a nested span; those of its siblings do not.
 */
#include "user/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/base/pool.h"

enum { VALUES_MAX = 64, NO_VALUE = 0xff };

/* Alternatives as indices of the operation's values. */
struct choice {
	uint8_t values[OSP_REF_ALTERNATIVES];
	uint8_t count;
};

/* One side of one match. */
struct need {
	struct choice main, also[OSP_ALSO_MAX];
	uint8_t also_count;
	uint64_t values; /* all of them, as bits */
};

/* One side of one rule. */
struct role {
	const struct osp_link *rule;
	bool to;
	int8_t span;	 /* kind of nested span, or -1 */
	uint64_t values; /* of all its needs, as bits */
	struct need needs[OSP_MATCH_MAX];
};

struct plan {
	const struct osp_operation *operation; /* borrowed */
	struct osp_ref values[VALUES_MAX];
	size_t value_count;
	uint64_t *by_point; /* by point number: the values that it brings, as bits */
	struct role *roles;
	size_t role_count;
	struct osp_pool ops; /* what is remembered of its open operations */
};

struct value {
	uint64_t hash[2]; /* evidence is compared by its hash alone */
	int64_t time_ns;
	size_t span; /* of the step */
	bool present;
};

struct osp_link_op {
	struct plan *plan;
	struct osp_list ends;	       /* of this operation, in the matcher */
	struct osp_match_end **latest; /* by role: the end made last; behind `values` */
	struct value values[];
};

struct osp_linker {
	const struct osp_catalogue *catalogue; /* borrowed */
	struct osp_matcher *matcher;	       /* borrowed */
	struct plan *plans;		       /* by operation number */
};

/* ---- plans ---- */

static uint8_t plan_value(struct plan *p, const struct osp_ref *ref)
{
	for (size_t i = 0; i < p->value_count; i++)
		if (p->values[i].point == ref->point && p->values[i].arg == ref->arg)
			return (uint8_t)i;
	if (p->value_count == VALUES_MAX)
		return NO_VALUE;
	p->values[p->value_count] = *ref;
	return (uint8_t)p->value_count++;
}

static uint64_t plan_choice(struct plan *p, const struct osp_refs *refs, struct choice *out)
{
	uint64_t values = 0;

	for (size_t i = 0; i < refs->count; i++) {
		uint8_t value = NO_VALUE;

		if (osp_operation_has_point(p->operation, refs->refs[i].point))
			value = plan_value(p, &refs->refs[i]);
		if (value == NO_VALUE)
			continue;
		out->values[out->count++] = value;
		values |= 1ull << value;
	}
	return values;
}

static void plan_role(struct plan *p, const struct osp_link *rule, bool to, int8_t span)
{
	struct role *role = &p->roles[p->role_count++];

	*role = (struct role){.rule = rule, .to = to, .span = span};
	for (size_t i = 0; i < rule->match_count; i++) {
		const struct osp_match *m = &rule->matches[i];
		struct need *n = &role->needs[i];

		n->values = plan_choice(p, to ? &m->to : &m->from, &n->main);
		n->also_count = (uint8_t)m->also_count;
		for (size_t k = 0; k < m->also_count; k++)
			n->values |=
				plan_choice(p, to ? &m->also_to[k] : &m->also_from[k], &n->also[k]);
		role->values |= n->values;
	}
}

/* The operation stands on a side at most once. */
static void plan_side(struct plan *p, const struct osp_link *rule, bool to)
{
	const struct osp_side *side = to ? &rule->to : &rule->from;

	for (size_t i = 0; i < side->count; i++)
		if (side->ends[i].operation == p->operation)
			plan_role(p, rule, to, side->ends[i].span);
}

static int plan_operation(struct plan *p, const struct osp_catalogue *c,
			  const struct osp_operation *o)
{
	p->operation = o;
	p->roles = calloc(2 * c->link_count + 1, sizeof(*p->roles));
	p->by_point = calloc(c->point_count + 1, sizeof(*p->by_point));
	if (!p->roles || !p->by_point)
		return -ENOMEM;
	for (size_t i = 0; i < c->link_count; i++) {
		plan_side(p, c->links[i], false);
		plan_side(p, c->links[i], true);
	}
	for (size_t i = 0; i < p->value_count; i++)
		p->by_point[p->values[i].point->number] |= 1ull << i;
	osp_pool_init(&p->ops, sizeof(struct osp_link_op) + p->value_count * sizeof(struct value) +
				       p->role_count * sizeof(struct osp_match_end *));
	return 0;
}

int osp_link_new(struct osp_linker **out, const struct osp_catalogue *c, struct osp_matcher *m)
{
	struct osp_linker *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return -ENOMEM;
	l->catalogue = c;
	l->matcher = m;
	l->plans = calloc(c->operation_count + 1, sizeof(*l->plans));
	for (size_t i = 0; l->plans && !r && i < c->operation_count; i++)
		r = plan_operation(&l->plans[i], c, c->operations[i]);
	if (!l->plans || r) {
		osp_link_free(&l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

/* The ends live on in the matcher. */
static void leave(struct osp_link_op *op)
{
	while (!osp_list_empty(&op->ends)) {
		struct osp_match_end *e =
			osp_list_entry(op->ends.next, struct osp_match_end, of_operation);

		e->latest = NULL;
		osp_list_remove(&e->of_operation);
	}
	osp_pool_free(&op->plan->ops, op);
}

void osp_link_free(struct osp_linker **linker)
{
	struct osp_linker *l = *linker;

	if (!l)
		return;
	for (size_t i = 0; l->plans && i < l->catalogue->operation_count; i++) {
		osp_pool_clear(&l->plans[i].ops);
		free(l->plans[i].by_point);
		free(l->plans[i].roles);
	}
	free(l->plans);
	free(l);
	*linker = NULL;
}

static int enter(struct plan *p, struct osp_open *o)
{
	struct osp_link_op *op;

	if (o->link)
		return 0;
	op = osp_pool_alloc(&p->ops);
	if (!op)
		return -ENOMEM;
	op->plan = p;
	osp_list_init(&op->ends);
	for (size_t i = 0; i < p->value_count; i++)
		op->values[i].present = false;
	op->latest = (struct osp_match_end **)&op->values[p->value_count];
	memset(op->latest, 0, p->role_count * sizeof(struct osp_match_end *));
	o->link = op;
	return 0;
}

/* ---- values ---- */

/* A context counts without its flags. One of zeros is none. */
static bool hash_context(uint64_t hash[2], const void *data, size_t size)
{
	static const struct osp_event_context none;
	struct osp_event_context c;

	if (size < sizeof(c))
		return false;
	memcpy(&c, data, sizeof(c));
	if (!memcmp(c.trace_id, none.trace_id, sizeof(c.trace_id)) ||
	    !memcmp(c.span_id, none.span_id, sizeof(c.span_id)))
		return false;
	osp_hash_bytes(hash, &c, offsetof(struct osp_event_context, flags));
	return true;
}

/* False: not given, empty, or cut off: such a value is no evidence. */
static bool hash_value(uint64_t hash[2], const struct osp_arg *a, const struct osp_event_value *v)
{
	if (!v->present)
		return false;
	switch (a->type) {
	case OSP_TYPE_CONTEXT_IN:
	case OSP_TYPE_CONTEXT_OUT:
		return hash_context(hash, v->data, v->size);
	case OSP_TYPE_STR:
	case OSP_TYPE_BYTES:
		if (!v->data || !v->size || v->true_size > v->size)
			return false;
		osp_hash_bytes(hash, v->data, v->size);
		return true;
	default:
		osp_hash_bytes(hash, &v->u64, sizeof(v->u64));
		return true;
	}
}

/* Notes the values (as bits) that the step brings. */
static void take_values(struct osp_link_op *op, uint64_t set, const struct osp_event *e,
			size_t span)
{
	for (; set; set &= set - 1) {
		size_t i = (size_t)__builtin_ctzll(set);
		uint8_t arg = op->plan->values[i].arg;
		struct value *v = &op->values[i];

		*v = (struct value){.time_ns = e->time_ns, .span = span};
		v->present = hash_value(v->hash, &e->point->args[arg], &e->values[arg]);
	}
}

/* The nearest span of the kind at or around the span; 0 = none, or the operation itself. */
static size_t enclosing(const struct osp_open *o, size_t span, int8_t kind)
{
	while (span && o->span_infos[span].kind != kind)
		span = o->spans[span].parent;
	return span;
}

static bool is_around(const struct osp_open *o, size_t outer, size_t span)
{
	for (; span; span = o->spans[span].parent)
		if (span == outer)
			return true;
	return !outer;
}

/* The first alternative that was seen, and where it counts for the target span. */
static const struct value *choose(const struct osp_open *o, const struct choice *c, size_t target,
				  int8_t kind)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct value *v = &o->link->values[c->values[i]];

		if (v->present && (kind < 0 || is_around(o, v->span, target) ||
				   enclosing(o, v->span, kind) == target))
			return v;
	}
	return NULL;
}

/* The evidence for one match as one hash. False: something is missing. */
static bool gather(const struct osp_open *o, const struct role *role, const struct need *need,
		   size_t target, struct value *out)
{
	const struct value *v = choose(o, &need->main, target, role->span);
	uint64_t all[2 * (OSP_ALSO_MAX + 1)];
	size_t count = 0;

	if (!v)
		return false;
	*out = *v;
	if (!need->also_count)
		return true;
	for (size_t i = 0;; i++) {
		all[count++] = v->hash[0];
		all[count++] = v->hash[1];
		if (i == need->also_count)
			break;
		v = choose(o, &need->also[i], target, role->span);
		if (!v)
			return false;
	}
	osp_hash_bytes(out->hash, all, count * sizeof(all[0]));
	return true;
}

/* ---- ends ---- */

/*
 * The end of the role at the span, or a new one if there is none or if it has other evidence
 * already: an operation may take in, or send, several messages.
 */
static int find_end(struct osp_linker *l, struct osp_open *o, size_t role, size_t span, bool fresh,
		    struct osp_match_end **out)
{
	const struct role *r = &o->link->plan->roles[role];
	struct osp_match_end *e = o->link->latest[role];
	int error;

	if (e && e->span == span && !fresh) {
		*out = e;
		return 0;
	}
	error = osp_match_add_end(l->matcher, r->rule, r->to, o->node, &e);
	if (error)
		return error;
	e->span = (uint16_t)span;
	e->number = o->spans[span].number;
	e->start_ns = o->spans[span].start_ns;
	e->end_ns = o->spans[span].end_ns;
	osp_list_add(&o->link->ends, &e->of_operation);
	o->link->latest[role] = e;
	e->latest = &o->link->latest[role];
	*out = e;
	return 0;
}

static int add_evidence(struct osp_linker *l, struct osp_open *o, size_t role, size_t match,
			const struct value *v, size_t span, struct osp_match_end **end)
{
	int error = find_end(l, o, role, span, false, end);

	if (error)
		return error;
	if ((*end)->present >> match & 1) {
		if (!memcmp((*end)->values[match].hash, v->hash, sizeof(v->hash)))
			return 0;
		error = find_end(l, o, role, span, true, end);
	}
	if (!error)
		osp_match_add_value(l->matcher, *end, match, v->hash, v->time_ns);
	return error;
}

/* All evidence is gathered first, so that the matcher's memory moves while the end is made. */
static int play_role(struct osp_linker *l, struct osp_open *o, size_t role, uint64_t set,
		     size_t span)
{
	const struct role *r = &o->link->plan->roles[role];
	size_t target = r->span < 0 ? 0 : enclosing(o, span, r->span);
	struct value values[OSP_MATCH_MAX];
	struct osp_match_end *end = NULL;
	unsigned int complete = 0;

	if (r->span >= 0 && !target)
		return 0;
	for (size_t i = 0; i < r->rule->match_count; i++) {
		if (!(r->needs[i].values & set) || !gather(o, r, &r->needs[i], target, &values[i]))
			continue;
		osp_match_expect(l->matcher, r->rule, i, values[i].hash);
		complete |= 1u << i;
	}
	for (size_t i = 0; i < r->rule->match_count; i++) {
		int error = complete >> i & 1
				    ? add_evidence(l, o, role, i, &values[i], target, &end)
				    : 0;

		if (error)
			return error;
	}
	return end ? osp_match_find(l->matcher, end) : 0;
}

static int add_values(struct osp_linker *l, struct osp_open *o, uint64_t set,
		      const struct osp_event *e, size_t span)
{
	struct plan *p = &l->plans[o->operation->number];
	int r = enter(p, o);

	if (r)
		return r;
	take_values(o->link, set, e, span);
	for (size_t i = 0; i < p->role_count && !r; i++)
		if (p->roles[i].values & set)
			r = play_role(l, o, i, set, span);
	return r;
}

bool osp_link_heeds(const struct osp_linker *l, const struct osp_operation *o,
		    const struct osp_point *p)
{
	return l->plans[o->number].by_point[p->number];
}

/* Most steps bring no evidence: they leave at once. */
int osp_link_step(struct osp_linker *l, struct osp_open *o, const struct osp_event *e, size_t span)
{
	uint64_t set = l->plans[o->operation->number].by_point[e->point->number];

	return set ? add_values(l, o, set, e, span) : 0;
}

bool osp_link_is_paired(const struct osp_open *o, const struct osp_link *rule, size_t span)
{
	const struct plan *p = o->link ? o->link->plan : NULL;

	for (size_t i = 0; p && i < p->role_count; i++) {
		const struct osp_match_end *e = o->link->latest[i];

		if (p->roles[i].rule == rule && !p->roles[i].to && e && e->span == span)
			return e->paired;
	}
	return false;
}

void osp_link_close(struct osp_open *o)
{
	struct osp_link_op *op = o->link;

	if (!op)
		return;
	for (struct osp_list *n = op->ends.next; n != &op->ends; n = n->next) {
		struct osp_match_end *e = osp_list_entry(n, struct osp_match_end, of_operation);

		e->closed = true;
		e->end_ns = o->spans[e->span].end_ns;
	}
	leave(op);
	o->link = NULL;
}
