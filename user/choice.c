/*
 * Takes operations or leaves them (user/choice.h), fed by the pipeline with each record of steps
 * before it goes on to order and stitch. Decodes the steps to see the topic and the arguments;
 * remembers of an operation only what outlives a record: one whose block was full, or that is
 * taken since its first step. Owns that table, and the patterns' automaton.
 */
#include "user/choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

/* What may decide about an operation of the catalogue. */
struct rule {
	bool topic;	/* some point of it has one */
	bool limited;	/* the limit is asked */
	uint32_t terms; /* points with conditions, each by its first term */
};

/* What is known of one operation so far. */
struct state {
	uint64_t op_id; /* 0 = none */
	uint32_t slot;
	enum { TOPIC_UNSEEN, TOPIC_MATCHES, TOPIC_DIFFERS } topic;
	uint32_t passed, satisfied; /* as struct rule.terms */
	struct osp_limit_subject subject;
	bool taken;
	bool limited; /* left, once and for all */
};

struct osp_choice {
	struct osp_choice_rules rules;
	struct osp_decode_with with;
	struct osp_stamps stamps;	 /* none: decoding a second time must not count twice */
	struct osp_pattern_table *table; /* NULL: the patterns are too large for one */
	struct osp_limit *limit;	 /* NULL: there is none */
	struct rule *by_operation;
	struct state open[OSP_CHOICE_OPEN];
};

static bool is_topic(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR && a->attribute &&
	       !strcmp(a->attribute, OSP_CATALOGUE_TOPIC);
}

static bool has_topic(const struct osp_operation *o)
{
	for (size_t i = 0; i < o->point_count; i++)
		for (size_t k = 0; k < o->points[i]->arg_count; k++)
			if (is_topic(&o->points[i]->args[k]))
				return true;
	return false;
}

/* The first of the point's terms, as a bit; 0 = it has none. */
static uint32_t find_term(const struct osp_where_table *t, const struct osp_point *p)
{
	for (uint32_t i = 0; t && i < t->count; i++)
		if (t->terms[i].point == p->number)
			return 1u << i;
	return 0;
}

static void fill_rule(const struct osp_choice_rules *rules, const struct osp_operation *o,
		      struct rule *rule)
{
	if (o->key != OSP_KEY_OP)
		return;
	rule->topic = rules->topics && has_topic(o);
	rule->limited = rules->limit.most;
	for (size_t i = 0; i < o->point_count; i++)
		rule->terms |= find_term(rules->where, o->points[i]);
}

static int compile(struct osp_choice *c)
{
	int r;

	if (!c->rules.topics)
		return 0;
	c->table = malloc(sizeof(*c->table));
	r = c->table ? osp_pattern_compile(c->rules.topics, c->table) : -ENOMEM;
	if (r == -E2BIG) {
		free(c->table);
		c->table = NULL;
		r = 0;
	}
	return r;
}

int osp_choice_new(struct osp_choice **out, const struct osp_choice_rules *rules,
		   const struct osp_decode_with *with)
{
	const struct osp_catalogue *catalogue = with->catalogue;
	struct osp_choice *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->rules = *rules;
	c->with = *with;
	osp_stamps_init(&c->stamps);
	c->with.stamps = &c->stamps;
	c->by_operation = calloc(catalogue->operation_count + 1, sizeof(*c->by_operation));
	if (!c->by_operation || compile(c) ||
	    (rules->limit.most && osp_limit_new(&c->limit, rules->limit.most))) {
		osp_choice_free(&c);
		return -ENOMEM;
	}
	for (size_t i = 0; i < catalogue->operation_count; i++)
		fill_rule(rules, catalogue->operations[i], &c->by_operation[i]);
	*out = c;
	return 0;
}

void osp_choice_free(struct osp_choice **c)
{
	if (!*c)
		return;
	free((*c)->table);
	osp_limit_free(&(*c)->limit);
	free((*c)->by_operation);
	free(*c);
	*c = NULL;
}

/* ---- for the kernel side ---- */

static bool is_sized(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES ||
	       a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT;
}

static void fill_terms(const struct osp_where_table *t, const struct osp_point *point,
		       struct osp_predicate *p)
{
	for (uint32_t i = 0; t && i < t->count; i++) {
		if (t->terms[i].point != point->number)
			continue;
		p->first = p->terms ? p->first : (__u8)i;
		p->terms++;
		p->asked |= (__u16)(1u << t->terms[i].arg);
	}
}

static void fill_predicate(const struct osp_choice_rules *rules, const struct osp_point *point,
			   struct osp_predicate *p)
{
	struct rule rule = {0};

	fill_rule(rules, point->operations[0], &rule);
	p->of_topic = rule.topic;
	p->wanted = rule.terms;
	fill_terms(rules->where, point, p);
	for (uint8_t i = 0; i < point->arg_count; i++) {
		p->sized |= (__u16)(is_sized(&point->args[i]) << i);
		if (rules->topics && !p->topic && is_topic(&point->args[i]))
			p->topic = i + 1;
		if (p->topic == i + 1 || p->asked >> i & 1)
			p->args = i + 1;
	}
}

int osp_choice_predicates(struct osp_predicates *out, const struct osp_choice_rules *rules,
			  const struct osp_catalogue *catalogue)
{
	int r = 0;

	memset(out, 0, sizeof(*out));
	if (rules->topics)
		r = osp_pattern_compile(rules->topics, &out->topics);
	if (rules->where)
		out->where = *rules->where;
	for (size_t i = 0; !r && i < catalogue->point_count; i++)
		if (catalogue->points[i]->operation_count)
			fill_predicate(rules, catalogue->points[i], &out->points[i]);
	return r;
}

/* ---- what the steps show ---- */

static bool matches(const struct osp_choice *c, const struct osp_event_value *v)
{
	bool cut = v->true_size > v->size;

	return c->table ? osp_pattern_run(c->table, v->data, v->size, cut)
			: osp_pattern_match(c->rules.topics, v->data, v->size, cut);
}

static void look_for_topic(const struct osp_choice *c, const struct osp_event *e, struct state *s)
{
	for (size_t i = 0; s->topic == TOPIC_UNSEEN && i < e->point->arg_count; i++)
		if (is_topic(&e->point->args[i]) && e->values[i].present)
			s->topic = matches(c, &e->values[i]) ? TOPIC_MATCHES : TOPIC_DIFFERS;
}

static bool is_text(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES;
}

/* Equal values of two kinds of operations are two keys. */
static void take_key(const struct osp_arg *a, const struct osp_event *e,
		     const struct osp_event_value *v, struct osp_limit_subject *s)
{
	s->keyed = true;
	s->key[0] = v->u64;
	if (is_text(a))
		osp_hash_bytes(s->key, v->data, v->size);
	s->key[1] = osp_hash_mix(s->key[1] + 1, e->point->operations[0]->number + 1u);
}

static void take_trace(const struct osp_event_value *v, struct osp_limit_subject *s)
{
	const struct osp_event_context *context = v->data;

	s->traced = true;
	memcpy(s->trace, context->trace_id, sizeof(s->trace));
}

/* The first value of the argument, and the first context, which names the trace. */
static void look_for_subject(const struct osp_choice *c, const struct osp_event *e,
			     struct osp_limit_subject *s)
{
	for (size_t i = 0; i < e->point->arg_count; i++) {
		const struct osp_arg *a = &e->point->args[i];

		if (!e->values[i].present)
			continue;
		if (!s->keyed && !strcmp(a->name, c->rules.limit.arg))
			take_key(a, e, &e->values[i], s);
		if (!s->traced &&
		    (a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT))
			take_trace(&e->values[i], s);
	}
}

static void look_at(const struct osp_choice *c, const struct osp_event *e, struct state *s)
{
	uint32_t term = find_term(c->rules.where, e->point);

	if (c->limit)
		look_for_subject(c, e, &s->subject);

	if (c->rules.topics)
		look_for_topic(c, e, s);
	s->passed |= term;
	if (term && osp_where_holds(c->rules.where, e))
		s->satisfied |= term;
}

static void look_at_all(struct osp_choice *c, const struct osp_record *record, size_t size,
			struct state *s)
{
	struct osp_decoder decoder;
	struct osp_event event;
	int r = osp_decode_start(&decoder, &c->with, record, size, (int64_t)record->time_ns);

	if (r)
		return;
	while (r <= 0) {
		r = osp_decode_next(&decoder, &event);
		if (!r)
			look_at(c, &event, s);
	}
}

/* ---- what follows from it ---- */

/* Nothing that comes later can change it. */
static bool is_surely_taken(const struct rule *rule, const struct state *s)
{
	return (!rule->topic || s->topic == TOPIC_MATCHES) &&
	       (s->satisfied & rule->terms) == rule->terms;
}

static bool is_taken(const struct state *s)
{
	return s->topic != TOPIC_DIFFERS && !(s->passed & ~s->satisfied);
}

/* Where the operation is remembered, or would be: another one may be there. */
static struct state *find_place(struct osp_choice *c, const struct osp_record *record)
{
	return &c->open[osp_hash_words(record->op_id, record->process) % OSP_CHOICE_OPEN];
}

static struct state remembered(const struct state *at, const struct osp_record *record)
{
	if (at->op_id == record->op_id && at->slot == record->process)
		return *at;
	return (struct state){.op_id = record->op_id, .slot = record->process};
}

static const struct rule *find_rule(const struct osp_choice *c, const struct osp_record *record)
{
	const struct osp_catalogue *catalogue = c->with.catalogue;
	const struct osp_point *p;
	const struct rule *rule;

	if ((record->kind != OSP_RECORD_STEP && record->kind != OSP_RECORD_LEFT) ||
	    record->flags & OSP_RECORD_FORKED || record->point >= catalogue->point_count)
		return NULL;
	/* Only operations that are open are looked for: those have been taken. */
	if (record->flags & OSP_RECORD_PEEKED)
		return NULL;
	p = catalogue->points[record->point];
	if (!p->operation_count)
		return NULL;
	rule = &c->by_operation[p->operations[0]->number];
	return rule->topic || rule->terms || rule->limited ? rule : NULL;
}

/* Decides, if what has come is enough to. `last`: nothing that is at hand is still to come. */
static void decide(struct osp_choice *c, const struct osp_record *record, bool last,
		   struct state *s)
{
	if (c->limit && !last)
		return;
	s->taken = !c->limit || osp_limit_takes(c->limit, &s->subject, (int64_t)record->time_ns);
	s->limited = !s->taken;
}

bool osp_choice_leaves(struct osp_choice *c, const struct osp_record *record, size_t size,
		       enum osp_loss_reason *why)
{
	const struct rule *rule = find_rule(c, record);
	struct state *at, s;
	bool ends, spill, fits;

	if (!rule)
		return false;
	at = find_place(c, record);
	s = remembered(at, record);
	spill = c->with.catalogue->points[record->point]->spill;
	ends = record->kind == OSP_RECORD_LEFT || (record->flags & OSP_RECORD_CLEARED && !spill);
	if (!s.taken && !s.limited)
		look_at_all(c, record, size, &s);
	fits = ends ? is_taken(&s) : is_surely_taken(rule, &s) && (spill || !record->sequence);
	if (fits && !s.taken && !s.limited)
		decide(c, record, ends || spill, &s);
	*why = c->limit && is_taken(&s) ? OSP_LOSS_LIMITED : OSP_LOSS_FILTERED;
	if (!ends && (s.taken || s.limited || spill))
		*at = s;
	else if (ends && at->op_id == s.op_id && at->slot == s.slot)
		*at = (struct state){0};
	return !s.taken;
}

uint64_t osp_choice_crowded(const struct osp_choice *c)
{
	return c->limit ? osp_limit_crowded(c->limit) : 0;
}

bool osp_choice_knows(const struct osp_catalogue *c, const char *arg)
{
	for (size_t i = 0; i < c->point_count; i++)
		for (size_t k = 0; !c->points[i]->foreign && k < c->points[i]->arg_count; k++)
			if (!strcmp(c->points[i]->args[k].name, arg))
				return true;
	return false;
}
