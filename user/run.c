/*
 * Steps that a record brings together (osp_stitch_run), for the stitcher. Operations of one kind
 * pass the same points again and again, so what a run of steps does is looked up (user/course.h)
 * instead of decided step by step, and an operation that begins and ends with one record enters no
 * table. Only where nothing is doubtful: whatever the walk would have to think about (steps that
 * are missing or late, sites half attached, steps that nobody wants) is left to it.
 */
#include <errno.h>

#include "user/decode.h"
#include "user/stitcher.h"

enum { TAKE_STEPS = 1, SPARE_BYTES = 1 << 20 };

/* A run on its way to an operation. */
struct coming {
	struct osp_passing passing;
	struct osp_open *open; /* NULL: it begins here */
	size_t seen;	       /* of its steps */
	size_t attributes;     /* that the operation had before */
	struct osp_course *course;
};

/* Nothing of this may change while the run is taken: it is asked once, not for every step. */
static bool is_calm(const struct osp_stitch *s, const struct osp_tracee *t,
		    const struct osp_run *run, const struct osp_open *o)
{
	int64_t from_ns = o && o->last_ns < run->least_ns ? o->last_ns : run->least_ns;
	int64_t to_ns = o && o->last_ns > run->most_ns ? o->last_ns : run->most_ns;

	return run->time_ns - s->checked_ns < OSP_STITCH_CHECK_NS &&
	       run->least_ns > t->switched_ns && !osp_roster_unsure(s->roster, t, from_ns, to_ns);
}

/* There is room for the run, whatever it opens and keeps, and for numbers of what it opens. */
static bool has_room(const struct osp_stitch *s, const struct osp_run *run,
		     const struct osp_open *o)
{
	size_t steps = (o ? o->step_count : 0) + run->count;

	return run->nested + run->count < OSP_SPAN_IDS && steps < s->pool.max_steps &&
	       steps < UINT16_MAX / 2 && s->pool.bytes + SPARE_BYTES < s->pool.max_bytes &&
	       (o || s->stats.open < s->limits.operations);
}

/* The operation, if it is one that the run continues without a gap, or begins. */
static bool find_operation(const struct osp_stitch *s, const struct osp_run *run, struct coming *c)
{
	struct osp_passing *p = &c->passing;
	struct osp_open *o = c->open = osp_stitch_find_key(s, &p->key);
	int64_t closed_ns;

	if (!o)
		return !run->first && !osp_closed_find(&s->closed, &p->key, &closed_ns);
	if (o->operation != p->operation || o->span_count > 1 || o->last_nested ||
	    o->sequence.gap_count || o->sequence.overflowed || o->sequence.next < run->first ||
	    o->sequence.next >= run->first + run->count)
		return false;
	c->seen = o->sequence.next - run->first;
	return true;
}

/* Steps that had a hit of their own have come, others have not. */
static bool is_as_fired(const struct osp_stitch *s, const struct osp_tracee *t,
			const struct osp_run *run, size_t seen)
{
	size_t end = run->fired > seen ? run->fired : seen;

	for (size_t i = 0; i < end; i++) {
		const struct osp_run_step *step = &run->steps[i];

		if ((step->fired && osp_roster_fires(s->roster, t, step->point, step->time_ns)) !=
		    (i < seen))
			return false;
	}
	return true;
}

static int find_course(struct osp_stitch *s, const struct osp_run *run, struct coming *c)
{
	struct osp_passing *p = &c->passing;
	struct osp_course_key key = {.operation = p->operation,
				     .fresh = !c->open,
				     .points = run->points + c->seen,
				     .count = run->count - c->seen};
	int r = osp_roster_view(s->roster, p->tracee, p->automaton, p->operation, &p->view);

	if (r)
		return r;
	key.view = p->tracee->view->serial;
	key.live = c->open ? c->open->live : osp_nfa_start(p->automaton, p->view);
	p->starts = !c->open && osp_nfa_accepts(p->automaton, key.live, run->steps[0].point);
	if (!c->open && !p->starts)
		return TAKE_STEPS;
	c->course = osp_courses_find(&s->courses, &key);
	if (c->course)
		return 0;
	/*
	 * Steps that are of another operation or that nobody wants are not walked: a list with one
	 * is never learnt. Which are wanted is the same for all processes with this view.
	 */
	s->taught = p->tracee;
	s->taught_record = p->tracee->records;
	r = osp_courses_start(&s->courses, &key);
	return r ? r : TAKE_STEPS;
}

/* The times of the steps may be out of order, the steps are not (as in stitch.c). */
static void order_times(struct osp_stitch *s, struct osp_run *run, const struct coming *c)
{
	int64_t last_ns = c->open ? c->open->last_ns : run->steps[0].time_ns;

	if (run->most_ns > s->now_ns)
		s->now_ns = run->most_ns;
	for (size_t i = c->seen; i < run->count; i++) {
		if (run->steps[i].time_ns < last_ns)
			run->steps[i].time_ns = last_ns;
		last_ns = run->steps[i].time_ns;
	}
}

/* ---- step by step ---- */

static bool is_told(void *arg, const struct osp_move *move, const struct osp_point *point)
{
	const struct osp_stitch *s = arg;

	return move->names_parent || s->to.heeds(s->to.arg, point->operations[0], point);
}

/* The operation has closed, by the course alone: what became of it is remembered. */
static int learn_outcome(struct osp_stitch *s, const struct osp_run *run, const struct coming *c)
{
	struct osp_outcome_lesson lesson = {.run = run,
					    .seen = c->seen,
					    .moves = c->course->moves,
					    .old_attributes = c->attributes,
					    .tells = is_told,
					    .arg = s};
	struct osp_outcome *outcome;
	int r;

	if (c->course->outcome_count == OSP_COURSE_OUTCOMES)
		return 0;
	r = osp_outcome_new(&outcome, c->open, &lesson);
	if (outcome)
		osp_courses_end(&s->courses, c->course, outcome);
	return r;
}

static int close_run(struct osp_stitch *s, const struct osp_run *run, const struct coming *c,
		     const struct osp_walk *walk)
{
	int r = osp_stitch_close(s, c->open, run->steps[run->count - 1].time_ns, walk, 0);

	if (!r)
		r = learn_outcome(s, run, c);
	osp_stitch_retire(s, c->open);
	return r;
}

static int make_move(struct osp_stitch *s, struct osp_run *run, struct coming *c, size_t i)
{
	struct osp_page *page = run->steps[i].page, *stored = page;
	struct osp_walk walk;
	int r, fate;

	c->passing.event = osp_decode_event(run, i);
	r = fate = osp_stitch_move(s, c->open, &c->passing, &c->course->moves[i - c->seen], &stored,
				   &walk);
	if (r >= 0)
		r = walk.ended ? close_run(s, run, c, &walk) : 0;
	if (r < 0)
		return r;
	if (!c->passing.event->trapped)
		osp_account_carry(page);
	return fate ? osp_stitch_lose(s, c->passing.tracee, page, c->passing.event, fate) : 0;
}

static int make_moves(struct osp_stitch *s, struct osp_run *run, struct coming *c)
{
	int r = 0;

	c->open->sequence.next = run->first + run->count;
	c->attributes = c->open->attribute_count;
	for (size_t i = c->seen; i < run->count && !r; i++)
		r = make_move(s, run, c, i);
	return r;
}

/* ---- as a whole ---- */

static struct osp_outcome *find_outcome(const struct osp_run *run, const struct coming *c)
{
	struct osp_outcome *o = c->course->outcomes;

	while (o && !osp_outcome_fill(o, run, c->seen, c->open))
		o = o->next;
	return o;
}

/* The outcome stands for the operation from here on. */
static int become(struct osp_stitch *s, const struct osp_run *run, const struct coming *c,
		  struct osp_open *o)
{
	struct osp_open *before = c->open;

	o->tracee = c->passing.tracee;
	o->id = run->event.op_id;
	o->marks = 0;
	o->tid = before ? before->tid : run->event.tid;
	o->parent_id = before ? before->parent_id : 0;
	o->link = before ? before->link : NULL;
	o->node = before ? before->node : NULL;
	if (!before) {
		s->stats.operations++;
		return s->to.opened(s->to.arg, o);
	}
	before->link = NULL;
	return s->to.replaced(s->to.arg, o);
}

static int tell_steps(struct osp_stitch *s, struct osp_run *run, const struct coming *c,
		      struct osp_outcome *outcome)
{
	struct osp_open *o = &outcome->open;
	int r = 0;

	for (size_t i = 0; i < outcome->told_count && !r; i++) {
		size_t step = outcome->told[i];
		const struct osp_event *e = osp_decode_event(run, c->seen + step);

		if (c->course->moves[step].names_parent)
			r = osp_stitch_find_parent(s, o, e);
		if (!r)
			r = s->to.stepped(s->to.arg, o, e,
					  o->steps[outcome->old_steps + step].span);
	}
	return r;
}

/* All moves at once: what they come to is known. */
static int take_whole(struct osp_stitch *s, struct osp_run *run, struct coming *c,
		      struct osp_outcome *outcome)
{
	size_t last = run->count - 1;
	int r = become(s, run, c, &outcome->open);

	s->stats.wholes++;
	if (!r)
		r = tell_steps(s, run, c, outcome);
	for (size_t i = c->seen; i < last; i++)
		osp_account_carry(run->steps[i].page);
	if (!r)
		r = s->to.part(s->to.arg, &outcome->open, true);
	if (!run->trapped)
		osp_account_carry(run->steps[last].page);
	if (c->open)
		osp_stitch_retire(s, c->open);
	else
		osp_closed_add(&s->closed, &c->passing.key, s->now_ns);
	return r;
}

int osp_stitch_run(struct osp_stitch *s, struct osp_tracee *t, struct osp_run *run, size_t *seen)
{
	const struct osp_point *first = run->steps[0].point;
	const struct osp_operation *operation =
		first->operation_count ? first->operations[0] : NULL;
	struct coming c = {.passing = {.tracee = t, .operation = operation}};
	struct osp_passing *p = &c.passing;
	struct osp_outcome *outcome;
	bool ends;
	int r;

	if (!operation || operation->key != OSP_KEY_OP)
		return TAKE_STEPS;
	p->automaton = s->automata[operation->number];
	p->key = osp_stitch_own_key(t->slot, run->event.op_id);
	if (!find_operation(s, run, &c) || !is_calm(s, t, run, c.open) ||
	    !has_room(s, run, c.open) || !is_as_fired(s, t, run, c.seen))
		return TAKE_STEPS;
	r = find_course(s, run, &c);
	if (r)
		return r;
	*seen = c.seen;
	order_times(s, run, &c);
	outcome = find_outcome(run, &c);
	if (outcome)
		return take_whole(s, run, &c, outcome);
	ends = c.course->moves[c.course->key.count - 1].ends;
	p->passes = !c.open && ends;
	p->event = osp_decode_event(run, 0);
	if (!c.open)
		r = osp_stitch_open(s, p, NULL, &c.open);
	if (r)
		return r;
	c.open->borrows = ends;
	return make_moves(s, run, &c);
}
