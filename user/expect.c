/*
 * Rules of the kind "after A, B within two seconds" (user/expect.h): fed by check with operations,
 * trace by trace. All passings are kept, as small rows with a maximum, and sorted once at the end:
 * by rule, by what has to be the same, by time. Then one look at the next one decides.
 */
#include "user/expect.h"

#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/base/rows.h"

void osp_expect_clear(struct osp_expect *e)
{
	free(e->passings);
	*e = (struct osp_expect){0};
}

static uint64_t hash_value(const struct osp_value *v)
{
	uint64_t hash[2] = {v->u64, 0};

	if (v->type == OSP_VALUE_STR || v->type == OSP_VALUE_BYTES)
		osp_hash_bytes(hash, v->data, v->size);
	return hash[0];
}

static bool find_value(const char *name, const struct osp_span_event *const *steps, size_t count,
		       uint64_t *out)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < steps[i]->attribute_count; k++)
			if (!strcmp(steps[i]->attributes[k].name, name)) {
				*out = hash_value(&steps[i]->attributes[k].value);
				return true;
			}
	return false;
}

static int add_passings(struct osp_expect *e, const struct osp_occasion *o,
			struct osp_passing_of_rule *p, const struct osp_span_event *const *steps,
			size_t count)
{
	int r = 0;

	if (o->attribute && !find_value(o->attribute, steps, count, &p->same)) {
		e->valueless++;
		return 0;
	}
	for (size_t i = 0; !r && i < (o->point || !count ? count : 1); i++) {
		if (o->point && strcmp(steps[i]->name, o->point->name))
			continue;
		r = osp_rows_grow((void **)&e->passings, e->count, sizeof(*p), e->max);
		if (r)
			return r;
		p->time_ns = steps[i]->time_ns;
		e->passings[e->count++] = *p;
	}
	return r;
}

int osp_expect_add(struct osp_expect *e, const struct osp_operation *operation,
		   const struct osp_span *root, const struct osp_span_event *const *steps,
		   size_t count, uint64_t place)
{
	int r = 0;

	for (size_t i = 0; !r && e->rules && i < e->rules->count; i++) {
		const struct osp_expectation *rule = &e->rules->rules[i];
		struct osp_passing_of_rule p = {.rule = (uint32_t)i,
						.same = root->trace,
						.trace = root->trace,
						.place = place,
						.operation = root->operation,
						.process = root->process,
						.marks = root->marks};

		if (rule->after.operation == operation)
			r = add_passings(e, &rule->after, &p, steps, count);
		p.same = root->trace;
		p.expected = true;
		if (!r && rule->expect.operation == operation)
			r = add_passings(e, &rule->expect, &p, steps, count);
	}
	return r;
}

/* At the same time, what comes first stands first: what follows may follow at once. */
static int in_order(const void *a, const void *b)
{
	const struct osp_passing_of_rule *x = a, *y = b;

	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	if (x->same != y->same)
		return x->same < y->same ? -1 : 1;
	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->expected - y->expected;
}

static bool belong_together(const struct osp_passing_of_rule *a,
			    const struct osp_passing_of_rule *b)
{
	return a->rule == b->rule && a->same == b->same;
}

static bool is_within(const struct osp_expectation *rule, const struct osp_passing_of_rule *from,
		      const struct osp_passing_of_rule *to)
{
	return (uint64_t)to->time_ns - (uint64_t)from->time_ns <= (uint64_t)rule->within_ns;
}

/* From behind, so that the next one that was expected is known. */
static int find_unanswered(struct osp_expect *e, int (*tell)(void *, const struct osp_broken *),
			   void *arg)
{
	const struct osp_passing_of_rule *answer = NULL;
	int r = 0;

	for (size_t i = e->count; !r && i-- > 0;) {
		const struct osp_passing_of_rule *p = &e->passings[i];
		const struct osp_expectation *rule = &e->rules->rules[p->rule];

		if (answer && !belong_together(p, answer))
			answer = NULL;
		if (p->expected)
			answer = p;
		else if (!rule->never && !(answer && is_within(rule, p, answer)))
			r = tell(arg, &(struct osp_broken){rule, p, NULL});
	}
	return r;
}

static int find_forbidden(struct osp_expect *e, int (*tell)(void *, const struct osp_broken *),
			  void *arg)
{
	const struct osp_passing_of_rule *after = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < e->count; i++) {
		const struct osp_passing_of_rule *p = &e->passings[i];
		const struct osp_expectation *rule = &e->rules->rules[p->rule];

		if (after && !belong_together(p, after))
			after = NULL;
		if (!p->expected)
			after = p;
		else if (rule->never && !rule->after.operation)
			r = tell(arg, &(struct osp_broken){rule, p, NULL});
		else if (rule->never && after && is_within(rule, after, p))
			r = tell(arg, &(struct osp_broken){rule, p, after});
	}
	return r;
}

int osp_expect_find(struct osp_expect *e, int (*tell)(void *arg, const struct osp_broken *b),
		    void *arg)
{
	int r;

	if (!e->count)
		return 0;
	qsort(e->passings, e->count, sizeof(*e->passings), in_order);
	r = find_unanswered(e, tell, arg);
	return r ? r : find_forbidden(e, tell, arg);
}
