/*
 * Conformance of a session (user/check.h): fed by the store trace by trace, with the books and what
 * was attached; feeds verdict.c and json. Owns an automaton per operation, the views of it that
 * processes had, and the findings. Memory: one trace, and what has a limit.
 *
 * An operation is first held against the automaton as if everything had been attached: most are in
 * order and done with that. Else points that were not attached are silent moves, as in the stitcher,
 * and what is wrong even so is a finding.
 */
#include "user/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/hash.h"
#include "user/base/rows.h"
#include "user/expect.h"

enum { VIEWS = 64, ROWS_MAX = 1 << 24 };
static const int64_t near_ns = 1000000000; /* a loss as near as this may have hit it */

/* Steps that came when their operation was over: counted by the recorder, not stored. */
struct late {
	uint32_t process;
	const struct osp_point *point;
	uint64_t count;
};

/* What a process had attached, and what its automaton can do silently then. */
struct view {
	const struct osp_operation *of;
	uint8_t visible[OSP_WATCH_BYTES];
	struct osp_nfa_view view;
};

struct engine {
	struct osp_nfa *automaton;
	struct osp_nfa_view strict, blind; /* everything attached, and nothing */
	uint64_t *unseen[2]; /* by point of the operation: not observed, not provided */
};

/* A span of the trace that is checked: by its operation, or by its id alone. */
struct place {
	uint64_t operation, id;
	const struct osp_span *span;
};

struct osp_check_state {
	struct engine *engines; /* by number of the operation */
	struct view views[VIEWS];
	struct late *late;
	size_t late_count;
	struct osp_books_gap *gaps; /* of the books, without those of `late` */
	size_t gap_count;
	struct place *places, *by_id;
	const struct osp_span_event **events;
	const struct osp_point **points;
	size_t place_room, step_room;
	struct osp_expect expect;
	struct osp_check_limits limits;
	size_t kept[2]; /* findings: genuine, explained */
};

/* An operation that is checked. */
struct subject {
	const struct osp_operation *of;
	const struct osp_span *root;
	const struct place *places;
	size_t place_count;
	const struct osp_span_event **events; /* its steps, in order */
	const struct osp_point **points;
	size_t count;
};

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

static int make_engine(struct engine *e, const struct osp_operation *o)
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
		s->late[s->late_count++] = (struct late){p->process, point, lost};
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

/* ---- causes ---- */

/* True if something was lost in the time, in the process (0 = in any). */
static bool is_lossy(const struct osp_check *c, uint32_t process, int64_t from_ns, int64_t to_ns)
{
	const struct osp_check_state *s = c->state;
	size_t low = 0, high = s->gap_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->gaps[middle].from_ns <= to_ns)
			low = middle + 1;
		else
			high = middle;
	}
	while (low-- > 0 && s->gaps[low].reach_ns >= from_ns)
		if (s->gaps[low].to_ns >= from_ns && (!process || s->gaps[low].process == process))
			return true;
	return false;
}

static bool is_uncertain(const struct osp_check *c, const struct osp_span *root)
{
	return root->marks & (OSP_MARK_MAY_BE_CUT | OSP_MARK_STEPS_UNKNOWN) ||
	       is_lossy(c, root->process, root->start_ns, root->end_ns);
}

static bool lacks(const struct osp_catalogue *c, const struct osp_point *p)
{
	for (size_t i = 0; i < c->implementation_count; i++)
		for (size_t k = 0; k < c->implementations[i]->lack_count; k++)
			if (c->implementations[i]->lacks[k] == p)
				return true;
	return false;
}

/*
 * Why a point of a process was not seen. It was not there to be attached if others of its level were,
 * and some implementation is known to lack it.
 */
static enum osp_check_cause why_unseen(const struct osp_check *c, uint32_t process,
				       const struct osp_point *p)
{
	int64_t from_ns;

	return !osp_watch_begin(c->watch, process, p, &from_ns) &&
			       osp_watch_reaches(c->watch, process, p->level) &&
			       lacks(c->watch->catalogue, p)
		       ? OSP_CHECK_NOT_PROVIDED
		       : OSP_CHECK_NOT_OBSERVED;
}

/* ---- findings ---- */

static int add_finding(struct osp_check *c, const struct osp_finding *f)
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

static struct osp_finding finding_of(const struct osp_check *c, const struct subject *s)
{
	return (struct osp_finding){.trace = s->root->trace,
				    .place = c->traces,
				    .operation = s->root->operation,
				    .process = s->root->process,
				    .time_ns = s->root->end_ns,
				    .of = s->of,
				    .count = 1};
}

/*
 * Takes one of the late steps of the process: the one that is missed here, if it is there. The
 * recorder has marked its operation as cut then, but nothing else was lost.
 */
static bool take_late_step(struct osp_check *c, const struct osp_span *root, struct osp_finding *f)
{
	struct osp_check_state *s = c->state;
	uint32_t process = root->process;

	if (is_lossy(c, process, root->start_ns, root->end_ns))
		return false;
	for (size_t i = 0; i < s->late_count; i++) {
		bool wanted = f->point == s->late[i].point;

		for (size_t k = 0; !f->point && k < f->expected_count; k++)
			wanted = wanted || f->expected[k] == s->late[i].point;
		if (s->late[i].process != process || !s->late[i].count || !wanted)
			continue;
		s->late[i].count--;
		f->kind = OSP_CONFORM_LATE;
		f->point = s->late[i].point;
		return true;
	}
	return false;
}

static int add_deviation(struct osp_check *c, const struct subject *s,
			 const struct osp_deviation *d)
{
	struct osp_finding f = finding_of(c, s);

	f.kind = d->kind;
	f.point = d->point;
	if (d->at < s->count)
		f.time_ns = s->events[d->at]->time_ns;
	f.before = d->at ? s->points[d->at - 1] : NULL;
	f.after = d->at + (d->kind != OSP_CONFORM_MISSING) < s->count
			  ? s->points[d->at + (d->kind != OSP_CONFORM_MISSING)]
			  : NULL;
	memcpy(f.expected, d->expected, sizeof(f.expected));
	f.expected_count = d->expected_count;
	if (!(d->kind == OSP_CONFORM_MISSING && take_late_step(c, s->root, &f)) &&
	    is_uncertain(c, s->root))
		f.cause = OSP_CHECK_UNKNOWN;
	return add_finding(c, &f);
}

/* ---- one operation ---- */

static const struct osp_nfa_view *find_view(struct osp_check *c, const struct subject *s,
					    const uint8_t visible[OSP_WATCH_BYTES])
{
	struct view *v;
	uint64_t hash[2];

	osp_hash_bytes(hash, visible, OSP_WATCH_BYTES);
	v = &c->state->views[(hash[0] ^ s->of->number) % VIEWS];
	if (v->of == s->of && !memcmp(v->visible, visible, OSP_WATCH_BYTES))
		return &v->view;
	v->of = s->of;
	memcpy(v->visible, visible, OSP_WATCH_BYTES);
	osp_nfa_init_view(c->state->engines[s->of->number].automaton, visible, &v->view);
	return &v->view;
}

/* Counts the points that were due where the steps go on without them. */
static void note_unseen(struct osp_check *c, const struct subject *s,
			const struct osp_conform_run *run, const uint8_t visible[OSP_WATCH_BYTES])
{
	struct engine *e = &c->state->engines[s->of->number];
	uint64_t live = osp_nfa_start(e->automaton, &e->strict);
	struct osp_nfa_step step;

	for (size_t i = 0; i < run->count && run->steps[i]; i++) {
		osp_nfa_step(e->automaton, &e->strict, live, run->steps[i], &step);
		for (size_t k = 0; step.unexpected && k < s->of->point_count; k++) {
			const struct osp_point *p = s->of->points[k];

			if (osp_watch_sees(visible, p) || !osp_nfa_accepts(e->automaton, live, p))
				continue;
			e->unseen[why_unseen(c, s->root->process, p) == OSP_CHECK_NOT_PROVIDED]
				 [k]++;
		}
		live = step.live;
	}
}

/* The end may have come unseen: at a point that was not attached. */
static bool ends_unseen(const struct subject *s, uint64_t live,
			const uint8_t visible[OSP_WATCH_BYTES])
{
	for (size_t i = 0; i < s->of->transition_count; i++) {
		const struct osp_transition *t = &s->of->transitions[i];

		if (t->to == OSP_STATE_END && !osp_watch_sees(visible, t->point) &&
		    (t->any || live >> t->from & 1))
			return true;
	}
	return false;
}

static enum osp_check_cause why_open(const struct osp_check *c, const struct subject *s,
				     uint64_t live, const uint8_t visible[OSP_WATCH_BYTES])
{
	const struct osp_process_row *p = osp_session_process(c->session, s->root->process);

	if (!(s->root->marks & OSP_MARK_TIMED_OUT) && p && p->end_ns &&
	    s->root->end_ns >= p->end_ns)
		return OSP_CHECK_EXITED;
	if (is_uncertain(c, s->root))
		return OSP_CHECK_UNKNOWN;
	if (s->root->marks & OSP_MARK_TIMED_OUT)
		return ends_unseen(s, live, visible) ? OSP_CHECK_NOT_OBSERVED : OSP_CHECK_NONE;
	return c->session->ended ? OSP_CHECK_STOPPED : OSP_CHECK_UNKNOWN;
}

static int check_end(struct osp_check *c, const struct subject *s,
		     const struct osp_conform_run *run, uint64_t live,
		     const uint8_t visible[OSP_WATCH_BYTES])
{
	struct osp_finding f = finding_of(c, s);
	struct osp_deviation d;

	if (!(s->root->marks & OSP_MARK_INCOMPLETE))
		return 0;
	osp_conform_expect(run, live, &d);
	memcpy(f.expected, d.expected, sizeof(f.expected));
	f.expected_count = d.expected_count;
	f.kind = OSP_CONFORM_NEVER_ENDED;
	f.before = s->count ? s->points[s->count - 1] : NULL;
	f.time_ns = s->count ? s->events[s->count - 1]->time_ns : s->root->end_ns;
	if (!(s->root->marks & OSP_MARK_TIMED_OUT && take_late_step(c, s->root, &f)))
		f.cause = why_open(c, s, live, visible);
	return add_finding(c, &f);
}

/*
 * It began before its first step that was seen. That is the program's doing only if it was watched
 * for longer before than such an operation may be silent.
 */
static int check_begin(struct osp_check *c, const struct subject *s,
		       const struct osp_conform_run *run)
{
	struct osp_finding f = finding_of(c, s);
	struct osp_deviation d;
	int64_t from_ns = 0;
	bool watched = true;

	osp_conform_expect(run, osp_nfa_start(run->automaton, run->view), &d);
	for (size_t i = 0; i < d.expected_count; i++)
		watched = watched &&
			  osp_watch_begin(c->watch, s->root->process, d.expected[i], &from_ns) &&
			  s->root->start_ns - s->of->timeout_ns > from_ns;
	f.kind = OSP_CONFORM_MISSING;
	f.time_ns = s->root->start_ns;
	f.after = s->count ? s->points[0] : NULL;
	memcpy(f.expected, d.expected, sizeof(f.expected));
	f.expected_count = d.expected_count;
	f.point = d.expected_count == 1 ? d.expected[0] : NULL;
	if (is_uncertain(c, s->root))
		f.cause = OSP_CHECK_UNKNOWN;
	else if (!watched || !d.expected_count)
		f.cause = OSP_CHECK_BEGAN_BEFORE;
	return add_finding(c, &f);
}

static int check_subject(struct osp_check *c, const struct subject *s)
{
	struct engine *e = &c->state->engines[s->of->number];
	struct osp_conform_run run = {.operation = s->of,
				      .automaton = e->automaton,
				      .view = &e->strict,
				      .blind = &e->blind,
				      .steps = s->points,
				      .count = s->count,
				      .ended = !(s->root->marks & OSP_MARK_INCOMPLETE)};
	struct osp_deviation d[OSP_CONFORM_MAX];
	uint8_t visible[OSP_WATCH_BYTES];
	uint64_t live;
	size_t n;
	int r = 0;

	run.midway = s->root->marks & OSP_MARK_BEGAN_BEFORE;
	if (!run.midway && run.ended && osp_conform_follows(&run, &live) && !live)
		return 0;
	osp_watch_find(c->watch, s->root->process, s->root->start_ns, s->root->end_ns, visible);
	run.view = find_view(c, s, visible);
	run.visible = visible;
	n = osp_conform_find(&run, d, &live);
	if (!n && !run.midway)
		note_unseen(c, s, &run, visible);
	if (run.midway)
		r = check_begin(c, s, &run);
	for (size_t i = 0; !r && i < n; i++)
		r = add_deviation(c, s, &d[i]);
	return r ? r : check_end(c, s, &run, live, visible);
}

/* ---- one trace ---- */

static const struct osp_point *find_point(const struct osp_operation *operation, const char *name)
{
	for (size_t i = 0; i < operation->point_count; i++)
		if (!strcmp(operation->points[i]->name, name))
			return operation->points[i];
	return NULL;
}

/* Puts the steps of the operation's spans in their order. -EBADMSG: the file has them twice. */
static int collect_steps(struct osp_check_state *state, struct subject *s)
{
	size_t count = 0;

	for (size_t i = 0; i < s->place_count; i++)
		count += s->places[i].span->event_count;
	if (count > state->step_room) {
		free(state->events);
		free(state->points);
		state->step_room = 0;
		state->events = calloc(2 * count, sizeof(*state->events));
		state->points = calloc(2 * count, sizeof(*state->points));
		if (!state->events || !state->points)
			return -ENOMEM;
		state->step_room = 2 * count;
	}
	for (size_t i = 0; i < count; i++)
		state->events[i] = NULL;
	for (size_t i = 0; i < s->place_count; i++) {
		const struct osp_span *span = s->places[i].span;

		for (size_t k = 0; k < span->event_count; k++) {
			uint32_t at = span->events[k].place;

			if (at >= count || state->events[at])
				return -EBADMSG;
			state->events[at] = &span->events[k];
		}
	}
	for (size_t i = 0; i < count; i++)
		state->points[i] = find_point(s->of, state->events[i]->name);
	s->events = state->events;
	s->points = state->points;
	s->count = count;
	return 0;
}

static int check_operation(struct osp_check *c, const struct place *places, size_t count)
{
	struct subject s = {.root = places[0].span, .places = places, .place_count = count};
	int r;

	if (s.root->marks & OSP_MARK_REPORTED) /* nobody saw its steps */
		return 0;
	s.of = s.root->provider && s.root->operation_name
		       ? osp_watch_operation(c->watch, s.root->provider, s.root->operation_name)
		       : NULL;
	if (!s.of) {
		c->unknown++;
		return 0;
	}
	r = collect_steps(c->state, &s);
	if (r == -EBADMSG) {
		c->unknown++;
		return 0;
	}
	r = r ? r : osp_expect_add(&c->state->expect, s.of, s.root, s.events, s.count, c->traces);
	if (r || (c->only && c->only != s.of))
		return r;
	c->operations++;
	return check_subject(c, &s);
}

static int by_operation(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->operation != y->operation)
		return x->operation < y->operation ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static const struct osp_span *find_span(const struct osp_check_state *s, size_t count, uint64_t id)
{
	const struct place key = {.id = id};
	const struct place *p = bsearch(&key, s->by_id, count, sizeof(key), by_id);

	return p ? p->span : NULL;
}

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
	return add_finding(c, &f);
}

static int check_links(struct osp_check *c, const struct osp_span *spans, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; !r && k < spans[i].link_count; k++) {
			const struct osp_span_link *l = &spans[i].links[k];
			const struct osp_span *from =
				l->incoming ? find_span(c->state, count, l->span_id) : NULL;

			if (from && from->provider && from->operation_name && spans[i].provider &&
			    strcmp(l->grade, osp_grade_to_str(OSP_GRADE_AMBIGUOUS)))
				r = check_link(c, from, &spans[i], l);
		}
	return r;
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
		s->places[i] = (struct place){spans[i].operation, spans[i].id, &spans[i]};
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
		r = check_operation(c, &s->places[i], n);
	}
	r = r ? r : check_links(c, spans, count);
	c->traces++;
	return r;
}

/* ---- the user's rules ---- */

/* Until when the recording was there to see what followed. */
static int64_t watched_until(const struct osp_check *c)
{
	const struct osp_session *s = c->session;

	if (!s->ended)
		return s->committed_ns;
	if (c->books->to_ns)
		return c->books->to_ns;
	return s->clock_count ? s->clocks[s->clock_count - 1].boot_ns : s->committed_ns;
}

/* Somewhere the point that was expected was attached all the time. */
static bool is_expected_seen(const struct osp_check *c, const struct osp_occasion *o,
			     int64_t from_ns, int64_t to_ns)
{
	bool seen = !c->watch->count;

	for (size_t i = 0; !seen && i < c->watch->count; i++) {
		const struct osp_watch_row *row = &c->watch->rows[i];
		bool named = o->point ? row->point == o->point : false;

		for (size_t k = 0; !o->point && k < o->operation->point_count; k++)
			named = named || o->operation->points[k] == row->point;
		seen = named && row->from_ns <= from_ns && (!row->to_ns || row->to_ns >= to_ns);
	}
	return seen;
}

static enum osp_check_cause why_unanswered(const struct osp_check *c, const struct osp_broken *b)
{
	int64_t until_ns;

	if (b->rule->never)
		return OSP_CHECK_NONE;
	if (__builtin_add_overflow(b->that->time_ns, b->rule->within_ns, &until_ns))
		until_ns = INT64_MAX;
	if (b->that->marks & OSP_MARK_MAY_BE_CUT ||
	    is_lossy(c, 0, b->that->time_ns - near_ns, until_ns))
		return OSP_CHECK_UNKNOWN;
	if (until_ns > watched_until(c))
		return c->session->ended ? OSP_CHECK_STOPPED : OSP_CHECK_UNKNOWN;
	return is_expected_seen(c, &b->rule->expect, b->that->time_ns, until_ns)
		       ? OSP_CHECK_NONE
		       : OSP_CHECK_NOT_OBSERVED;
}

static int add_broken(void *arg, const struct osp_broken *b)
{
	struct osp_check *c = arg;
	const struct osp_occasion *o = b->rule->never ? &b->rule->expect : &b->rule->after;
	struct osp_finding f = {
		.kind = b->rule->never ? OSP_CONFORM_UNEXPECTED : OSP_CONFORM_MISSING,
		.cause = why_unanswered(c, b),
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
	return add_finding(c, &f);
}

/* ---- all of it ---- */

/* Late steps that no operation of the session misses. */
static int add_late(struct osp_check *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->state->late_count; i++) {
		const struct late *l = &c->state->late[i];
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
		r = add_finding(c, &f);
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
