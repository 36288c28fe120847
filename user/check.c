/*
 * Conformance of a session (user/check.h): fed by the store trace by trace, with the books and what
 * was attached; hands operations to subject.c and links to precedence.c, adds what users' rules
 * (expect.c) find; feeds verdict.c and json. Owns an automaton per operation and the findings.
 * Memory: one trace, and what has a limit.
 */
#include "user/checker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/rows.h"

enum { ROWS_MAX = 1 << 24 };

const char *osp_check_cause_to_str(enum osp_check_cause cause)
{
	static const char *const words[OSP_CHECK_CAUSES] = {
		NULL,
		"unknown",
		"not observed",
		"not provided",
		"process exited",
		"attach began in the middle",
		"recording stopped",
		"clock uncertainty",
	};

	return words[cause];
}

/* ---- making ---- */

static void free_state(struct osp_check *c)
{
	struct osp_check_state *s = c->state;

	for (size_t i = 0; s && s->engines && i < c->watch->catalogue->operation_count; i++) {
		osp_nfa_free(&s->engines[i].automaton);
		free(s->engines[i].unseen[0]);
		free(s->engines[i].unseen[1]);
	}
	if (!s)
		return;
	osp_expect_clear(&s->expect);
	free(s->engines);
	free(s->late);
	free(s->gaps);
	free(s->places);
	free(s->by_id);
	free(s->events);
	free(s->points);
	free(s);
}

void osp_check_free(struct osp_check **c)
{
	if (!*c)
		return;
	free_state(*c);
	free((*c)->findings);
	free((*c)->blind);
	free(*c);
	*c = NULL;
}

static int make_engine(struct osp_check_engine *e, const struct osp_operation *o)
{
	uint8_t visible[OSP_WATCH_BYTES];
	int r = osp_nfa_new(&e->automaton, o);

	for (int i = 0; !r && i < 2; i++) {
		e->unseen[i] = calloc(o->point_count + 1, sizeof(*e->unseen[i]));
		r = e->unseen[i] ? 0 : -ENOMEM;
	}
	if (r)
		return r;
	memset(visible, 0xff, sizeof(visible));
	osp_nfa_init_view(e->automaton, visible, &e->strict);
	memset(visible, 0, sizeof(visible));
	osp_nfa_init_view(e->automaton, visible, &e->blind);
	return 0;
}

static int take_late(struct osp_check *c, const struct osp_books_page *p)
{
	struct osp_check_state *s = c->state;
	const struct osp_point *point =
		osp_catalogue_find_point(c->watch->catalogue, p->provider, p->probe);
	uint64_t lost = 0;
	int r;

	for (size_t i = 0; i < p->loss_count; i++)
		if (osp_reason_is_late(c->books->reasons[p->losses[i].reason].name))
			lost += p->losses[i].lost;
	if (!lost || !point)
		return 0;
	r = osp_rows_grow((void **)&s->late, s->late_count, sizeof(*s->late), ROWS_MAX);
	if (!r)
		s->late[s->late_count++] = (struct osp_check_late){p->process, point, lost};
	return r;
}

/* What came late is known: it left no gap in which something else may be missing. */
static int take_gaps(struct osp_check *c)
{
	struct osp_check_state *s = c->state;
	int64_t reach_ns = INT64_MIN;

	s->gaps = calloc(c->books->gap_count + 1, sizeof(*s->gaps));
	if (!s->gaps)
		return -ENOMEM;
	for (size_t i = 0; i < c->books->gap_count; i++) {
		struct osp_books_gap *g = &s->gaps[s->gap_count];

		*g = c->books->gaps[i];
		if (osp_reason_is_late(g->reason))
			continue;
		reach_ns = g->to_ns > reach_ns ? g->to_ns : reach_ns;
		g->reach_ns = reach_ns;
		s->gap_count++;
	}
	return 0;
}

static const struct osp_operation *find_by_name(const struct osp_catalogue *c, const char *name)
{
	for (size_t i = 0; i < c->operation_count; i++)
		if (!strcmp(c->operations[i]->name, name))
			return c->operations[i];
	return NULL;
}

int osp_check_new(struct osp_check **out, const struct osp_books *b, const struct osp_watch *w,
		  const char *only, const struct osp_check_limits *limits)
{
	_cleanup_(osp_check_free) struct osp_check *c = calloc(1, sizeof(*c));
	const struct osp_catalogue *catalogue = w->catalogue;
	int r = 0;

	if (!c)
		return -ENOMEM;
	c->session = b->session;
	c->books = b;
	c->watch = w;
	c->only = only ? find_by_name(catalogue, only) : NULL;
	if (only && !c->only)
		return -ENOENT;
	c->state = calloc(1, sizeof(*c->state));
	if (!c->state)
		return -ENOMEM;
	c->state->limits = *limits;
	c->state->engines = calloc(catalogue->operation_count + 1, sizeof(*c->state->engines));
	if (!c->state->engines)
		return -ENOMEM;
	for (size_t i = 0; !r && i < catalogue->operation_count; i++)
		r = make_engine(&c->state->engines[i], catalogue->operations[i]);
	for (size_t i = 0; !r && i < b->page_count; i++)
		r = take_late(c, &b->pages[i]);
	r = r ? r : take_gaps(c);
	if (!r)
		*out = TAKE_PTR(c);
	return r;
}

/* ---- findings ---- */

int osp_check_add(struct osp_check *c, const struct osp_finding *f)
{
	struct osp_check_state *s = c->state;
	size_t *kept = &s->kept[f->cause != OSP_CHECK_NONE];
	int r;

	if (f->cause == OSP_CHECK_NONE) {
		c->genuine += f->count;
		c->by_kind[f->kind] += f->count;
	} else {
		c->explained[f->cause] += f->count;
	}
	if (*kept == s->limits.findings)
		return 0;
	r = osp_rows_grow((void **)&c->findings, c->finding_count, sizeof(*f), ROWS_MAX);
	if (r)
		return r;
	c->findings[c->finding_count++] = *f;
	++*kept;
	return 0;
}

/* ---- one trace ---- */

static int by_operation(const void *a, const void *b)
{
	const struct osp_check_place *x = a, *y = b;

	if (x->operation != y->operation)
		return x->operation < y->operation ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
	const struct osp_check_place *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

const struct osp_span *osp_check_find_span(const struct osp_check_state *s, size_t count,
					   uint64_t id)
{
	const struct osp_check_place key = {.id = id};
	const struct osp_check_place *p = bsearch(&key, s->by_id, count, sizeof(key), by_id);

	return p ? p->span : NULL;
}

static int index_spans(struct osp_check_state *s, const struct osp_span *spans, size_t count)
{
	if (count > s->place_room) {
		free(s->places);
		free(s->by_id);
		s->place_room = 0;
		s->places = calloc(2 * count, sizeof(*s->places));
		s->by_id = calloc(2 * count, sizeof(*s->by_id));
		if (!s->places || !s->by_id)
			return -ENOMEM;
		s->place_room = 2 * count;
	}
	for (size_t i = 0; i < count; i++)
		s->places[i] = (struct osp_check_place){spans[i].operation, spans[i].id, &spans[i]};
	qsort(s->places, count, sizeof(*s->places), by_operation);
	memcpy(s->by_id, s->places, count * sizeof(*s->places));
	qsort(s->by_id, count, sizeof(*s->by_id), by_id);
	return 0;
}

static int check_trace(struct osp_check *c, const struct osp_span *spans, size_t count)
{
	struct osp_check_state *s = c->state;
	int r = index_spans(s, spans, count);

	for (size_t i = 0, n; !r && i < count; i += n) {
		uint64_t operation = s->places[i].span->operation;

		for (n = 1; i + n < count && s->places[i + n].span->operation == operation;)
			n++;
		r = osp_check_operation(c, &s->places[i], n);
	}
	r = r ? r : osp_check_links(c, spans, count);
	c->traces++;
	return r;
}

/* ---- the user's rules ---- */

static int add_broken(void *arg, const struct osp_broken *b)
{
	struct osp_check *c = arg;
	const struct osp_occasion *o = b->rule->never ? &b->rule->expect : &b->rule->after;
	struct osp_finding f = {
		.kind = b->rule->never ? OSP_CONFORM_UNEXPECTED : OSP_CONFORM_MISSING,
		.cause = osp_check_why_unanswered(c, b),
		.trace = b->that->trace,
		.place = b->that->place,
		.operation = b->that->operation,
		.process = b->that->process,
		.time_ns = b->that->time_ns,
		.of = o->operation,
		.point = o->point,
		.partner = b->rule->never ? b->rule->after.operation : b->rule->expect.operation,
		.rule = b->rule->name,
		.count = 1};

	if (c->only && c->only != f.of)
		return 0;
	return osp_check_add(c, &f);
}

/* ---- all of it ---- */

/* Late steps that no operation of the session misses. */
static int add_late(struct osp_check *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->state->late_count; i++) {
		const struct osp_check_late *l = &c->state->late[i];
		struct osp_finding f = {.kind = OSP_CONFORM_LATE,
					.place = UINT64_MAX,
					.process = l->process,
					.of = l->point->operation_count ? l->point->operations[0]
									: NULL,
					.point = l->point,
					.count = l->count};

		if (!l->count || !f.of || (c->only && c->only != f.of))
			continue;
		f.cause = c->state->gap_count ? OSP_CHECK_UNKNOWN : OSP_CHECK_NONE;
		r = osp_check_add(c, &f);
	}
	return r;
}

static int add_blind(struct osp_check *c, const struct osp_operation *o, size_t point, int why)
{
	uint64_t n = c->state->engines[o->number].unseen[why][point];
	int r = n ? osp_rows_grow((void **)&c->blind, c->blind_count, sizeof(*c->blind), ROWS_MAX)
		  : 0;

	if (n && !r)
		c->blind[c->blind_count++] = (struct osp_check_blind){
			o, o->points[point], why ? OSP_CHECK_NOT_PROVIDED : OSP_CHECK_NOT_OBSERVED,
			n};
	return r;
}

static int sum_up_blind(struct osp_check *c)
{
	const struct osp_catalogue *catalogue = c->watch->catalogue;
	int r = 0;

	for (size_t i = 0; i < catalogue->operation_count; i++)
		for (size_t k = 0; !r && k < 2 * catalogue->operations[i]->point_count; k++)
			r = add_blind(c, catalogue->operations[i], k / 2, k % 2);
	return r;
}

static int by_place(const void *a, const void *b)
{
	const struct osp_finding *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return (x->operation > y->operation) - (x->operation < y->operation);
}

int osp_check_run(struct osp_check *c, const struct osp_expectations *rules)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *cursor = NULL;
	const struct osp_span *spans;
	size_t count;
	int r = osp_store_spans(c->session->store, 0, &cursor);

	c->rules = rules ? rules->count : 0;
	c->state->expect = (struct osp_expect){.rules = rules, .max = c->state->limits.passings};
	while (!r && !(r = osp_cursor_next_spans(cursor, &spans, &count)))
		r = check_trace(c, spans, count);
	r = r > 0 ? 0 : r;
	r = r ? r : osp_expect_find(&c->state->expect, add_broken, c);
	r = r ? r : add_late(c);
	r = r ? r : sum_up_blind(c);
	if (!r && c->finding_count)
		qsort(c->findings, c->finding_count, sizeof(*c->findings), by_place);
	return r;
}
