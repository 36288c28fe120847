/*
 * One operation of a session against its automaton (user/checker.h). Fed by check.c; feeds its
 * findings. Owns the room for the steps of the operation, and the views of it that processes had.
 *
 * It is first held against the automaton as if everything had been attached: most are in order and
 * done with that. Else points that were not attached are silent moves, as in the stitcher, and what
 * is wrong even so is a finding.
 */
#include "user/checker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

/* An operation that is checked. */
struct subject {
	const struct osp_operation *of;
	const struct osp_span *root;
	const struct osp_check_place *places;
	size_t place_count;
	const struct osp_span_event **events; /* its steps, in order */
	const struct osp_point **points;
	size_t count;
};

/* ---- findings ---- */

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

	if (osp_check_is_lossy(c, process, root->start_ns, root->end_ns))
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
	    osp_check_is_uncertain(c, s->root))
		f.cause = OSP_CHECK_UNKNOWN;
	return osp_check_add(c, &f);
}

/* ---- judging ---- */

static const struct osp_nfa_view *find_view(struct osp_check *c, const struct subject *s,
					    const uint8_t visible[OSP_WATCH_BYTES])
{
	struct osp_check_view *v;
	uint64_t hash[2];

	osp_hash_bytes(hash, visible, OSP_WATCH_BYTES);
	v = &c->state->views[(hash[0] ^ s->of->number) % OSP_CHECK_VIEWS];
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
	struct osp_check_engine *e = &c->state->engines[s->of->number];
	uint64_t live = osp_nfa_start(e->automaton, &e->strict);
	struct osp_nfa_step step;

	for (size_t i = 0; i < run->count && run->steps[i]; i++) {
		osp_nfa_step(e->automaton, &e->strict, live, run->steps[i], &step);
		for (size_t k = 0; step.unexpected && k < s->of->point_count; k++) {
			const struct osp_point *p = s->of->points[k];
			enum osp_check_cause why;

			if (osp_watch_sees(visible, p) || !osp_nfa_accepts(e->automaton, live, p))
				continue;
			why = osp_check_why_unseen(c, s->root->process, p);
			e->unseen[why == OSP_CHECK_NOT_PROVIDED][k]++;
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
	if (osp_check_is_uncertain(c, s->root))
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
	return osp_check_add(c, &f);
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
	if (osp_check_is_uncertain(c, s->root))
		f.cause = OSP_CHECK_UNKNOWN;
	else if (!watched || !d.expected_count)
		f.cause = OSP_CHECK_BEGAN_BEFORE;
	return osp_check_add(c, &f);
}

static int check_subject(struct osp_check *c, const struct subject *s)
{
	struct osp_check_engine *e = &c->state->engines[s->of->number];
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

/* ---- its steps ---- */

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

int osp_check_operation(struct osp_check *c, const struct osp_check_place *places, size_t count)
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
