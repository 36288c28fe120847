/*
 * Whether any effect of a trace came before its cause (user/checker.h), by the steps that are the
 * evidence of its links. Fed by check.c trace by trace; feeds its findings. Owns nothing.
 */
#include "user/checker.h"

#include <string.h>

/* The step that has the evidence: the last one, if several may. */
static const struct osp_span_event *find_event(const struct osp_span *span,
					       const struct osp_refs *refs)
{
	for (size_t k = 0; k < refs->count; k++)
		for (size_t i = span->event_count; i-- > 0;)
			if (!strcmp(span->events[i].name, refs->refs[k].point->name))
				return &span->events[i];
	return NULL;
}

static const struct osp_match *find_match(const struct osp_catalogue *c,
					  const struct osp_span_link *link)
{
	for (size_t i = 0; i < c->link_count; i++)
		for (size_t k = 0; k < c->links[i]->match_count; k++)
			if (!strcmp(c->links[i]->name, link->rule) &&
			    !strcmp(c->links[i]->matches[k].evidence, link->evidence))
				return &c->links[i]->matches[k];
	return NULL;
}

/* Which of the catalogue's links it is, in a text that lasts. */
static const char *lasting_rule(const struct osp_catalogue *c, const char *rule)
{
	for (size_t i = 0; i < c->link_count; i++)
		if (!strcmp(c->links[i]->name, rule))
			return c->links[i]->name;
	return NULL;
}

static bool sends_context(const struct osp_refs *refs)
{
	return refs->count &&
	       refs->refs[0].point->args[refs->refs[0].arg].type == OSP_TYPE_CONTEXT_OUT;
}

/* By how much the effect is before its cause: the passing of the evidence, or what holds it. */
static int64_t early_by(const struct osp_match *m, const struct osp_span *from,
			const struct osp_span *to)
{
	const struct osp_span_event *sent =
		sends_context(&m->from) ? find_event(from, &m->from) : NULL;
	const struct osp_span_event *got = find_event(to, &m->to);
	int64_t cause_ns = sent ? sent->time_ns : from->start_ns;
	int64_t effect_ns = got ? got->time_ns : to->end_ns;
	int64_t by_ns;

	return __builtin_sub_overflow(cause_ns, effect_ns, &by_ns) ? 0 : by_ns;
}

static int check_link(struct osp_check *c, const struct osp_span *from, const struct osp_span *to,
		      const struct osp_span_link *link)
{
	const struct osp_session *s = c->session;
	const struct osp_match *m = find_match(c->watch->catalogue, link);
	const struct osp_operation *of =
		osp_watch_operation(c->watch, to->provider, to->operation_name);
	struct osp_finding f = {.kind = OSP_CONFORM_OUT_OF_ORDER,
				.trace = to->trace,
				.place = c->traces,
				.operation = to->operation,
				.process = to->process,
				.time_ns = to->start_ns,
				.of = of,
				.count = 1};

	if (!m || !of || (c->only && c->only != of))
		return 0;
	f.by_ns = early_by(m, from, to);
	if (f.by_ns <= 0 || (uint64_t)f.by_ns / 2 < s->step_error_ns)
		return 0;
	f.rule = lasting_rule(c->watch->catalogue, link->rule);
	f.partner = osp_watch_operation(c->watch, from->provider, from->operation_name);
	f.cause = s->step_jumps || s->step_contradictions ? OSP_CHECK_CLOCK : OSP_CHECK_NONE;
	return osp_check_add(c, &f);
}

int osp_check_links(struct osp_check *c, const struct osp_span *spans, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; !r && k < spans[i].link_count; k++) {
			const struct osp_span_link *l = &spans[i].links[k];
			const struct osp_span *from =
				l->incoming ? osp_check_find_span(c->state, count, l->span_id)
					    : NULL;

			if (from && from->provider && from->operation_name && spans[i].provider &&
			    strcmp(l->grade, osp_grade_to_str(OSP_GRADE_AMBIGUOUS)))
				r = check_link(c, from, &spans[i], l);
		}
	return r;
}
