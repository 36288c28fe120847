/*
 * Diagnosis of an operation whose steps its automaton does not allow (user/conform.h): fed by check
 * with points, owns nothing. At the first step that no state allows, each way to mend the sequence
 * is tried: a step that was due is put in, this one is left out, one of the next is taken first,
 * this one is taken later. The one after which the steps go on in order for longest is believed;
 * of equal ones the first of the list.
 */
#include "user/conform.h"

#include <string.h>

enum {
	AHEAD = 64, /* steps that are looked at to judge a way to mend */
	NEAR = 16,  /* as far a step may stand from its place */
};

/* A way to mend: what it says, and where the steps go on, in which states. */
struct repair {
	struct osp_deviation says;
	uint64_t live;
	size_t next;
	size_t moved; /* step that was taken before its turn: left out when it comes; 0 = none */
	size_t reach; /* index of the first step that is wrong again; count + 1 = none, + 2 = and it has ended as it should */
};

/* A walk along the steps, of which one may be left out. */
struct cursor {
	uint64_t live;
	size_t at, moved;
};

/* True if the step is in order; *out is untouched if not. */
static bool step(const struct osp_conform_run *run, uint64_t live, const struct osp_point *point,
		 uint64_t *out)
{
	struct osp_nfa_step s;

	if (!point)
		return false;
	osp_nfa_step(run->automaton, run->view, live, point, &s);
	if (!s.taken || s.unexpected)
		return false;
	*out = s.live;
	return true;
}

static uint64_t start(const struct osp_conform_run *run)
{
	return run->midway ? osp_nfa_all(run->automaton) : osp_nfa_start(run->automaton, run->view);
}

/* Goes on as long as the steps are in order, to `end` at most. True: it got there. */
static bool go_on(const struct osp_conform_run *run, struct cursor *c, size_t end)
{
	for (; c->at < end; c->at++)
		if ((!c->moved || c->at != c->moved) &&
		    !step(run, c->live, run->steps[c->at], &c->live))
			return false;
	return true;
}

bool osp_conform_follows(const struct osp_conform_run *run, uint64_t *live)
{
	struct cursor c = {.live = start(run)};
	bool follows = go_on(run, &c, run->count);

	*live = c.live;
	return follows;
}

void osp_conform_expect(const struct osp_conform_run *run, uint64_t live, struct osp_deviation *d)
{
	const struct osp_operation *o = run->operation;

	d->expected_count = 0;
	for (size_t i = 0; i < o->point_count && d->expected_count < OSP_CONFORM_EXPECTED; i++) {
		const struct osp_point *p = o->points[i];

		if (run->visible && !(run->visible[p->number / 8] >> p->number % 8 & 1))
			continue;
		if (osp_nfa_accepts(run->automaton, live, p))
			d->expected[d->expected_count++] = p;
	}
}

/* Takes the way if it leads farther than the best so far. */
static void propose(const struct osp_conform_run *run, struct repair *best, struct repair *r)
{
	struct cursor c = {r->live, r->next, r->moved};
	size_t end = run->count < r->next + AHEAD ? run->count : r->next + AHEAD;

	if (go_on(run, &c, end))
		r->reach = end + (end == run->count) + (end == run->count && run->ended == !c.live);
	else
		r->reach = c.at;
	if (r->reach > best->reach) /* the first of equals stays */
		*best = *r;
}

static void propose_kind(const struct osp_conform_run *run, struct repair *best,
			 enum osp_conform_kind kind, const struct osp_point *point,
			 const struct cursor *go_on_at)
{
	struct repair r = {
		.says = {.kind = kind, .at = best->says.at, .due = best->says.at, .point = point},
		.live = go_on_at->live,
		.next = go_on_at->at,
		.moved = go_on_at->moved};

	propose(run, best, &r);
}

/* One of the next steps was due here. */
static void try_taking_first(const struct osp_conform_run *run, struct repair *best,
			     const struct cursor *c)
{
	for (size_t j = c->at + 1; !c->moved && j < run->count && j <= c->at + NEAR; j++) {
		struct repair r = {.says = {.kind = OSP_CONFORM_OUT_OF_ORDER,
					    .at = j,
					    .due = c->at,
					    .point = run->steps[j]},
				   .next = c->at,
				   .moved = j};

		/* it has to be the cure of all that stands before it, too */
		if (osp_nfa_accepts(run->automaton, c->live, run->steps[j]) &&
		    step(run, c->live, run->steps[j], &r.live)) {
			struct cursor look = {r.live, c->at, 0};

			if (go_on(run, &look, j))
				propose(run, best, &r);
		}
	}
}

/* This step is due behind one of the next. */
static void try_taking_later(const struct osp_conform_run *run, struct repair *best,
			     const struct cursor *c)
{
	struct cursor look = {c->live, c->at + 1, c->moved};

	for (size_t j = c->at + 2; j <= run->count && j <= c->at + NEAR; j++) {
		struct repair r = {.says = {.kind = OSP_CONFORM_OUT_OF_ORDER,
					    .at = c->at,
					    .due = j,
					    .point = run->steps[c->at]},
				   .next = j,
				   .moved = c->moved};

		if (!go_on(run, &look, j))
			return;
		if (step(run, look.live, run->steps[c->at], &r.live))
			propose(run, best, &r);
	}
}

/* One step is missing. Where several would do as well it is not known which. */
static void try_putting_in(const struct osp_conform_run *run, struct repair *best,
			   const struct cursor *c)
{
	const struct osp_operation *o = run->operation;
	struct osp_deviation *d = &best->says;
	uint64_t then;

	for (size_t i = 0; i < o->point_count; i++) {
		struct repair r = {.says = {.kind = OSP_CONFORM_MISSING,
					    .at = c->at,
					    .due = c->at,
					    .point = o->points[i],
					    .expected = {o->points[i]},
					    .expected_count = 1},
				   .next = c->at,
				   .moved = c->moved};

		if (!osp_nfa_accepts(run->automaton, c->live, o->points[i]) ||
		    !step(run, c->live, o->points[i], &then))
			continue;
		r.live = then;
		propose(run, best, &r);
		if (r.reach != best->reach || d->point == o->points[i] || !d->expected_count)
			continue;
		best->live |= then;
		d->point = NULL;
		if (d->expected_count < OSP_CONFORM_EXPECTED)
			d->expected[d->expected_count++] = o->points[i];
	}
}

static bool came_before(const struct osp_conform_run *run, size_t at)
{
	for (size_t i = at; i-- > 0;)
		if (run->steps[i] == run->steps[at])
			return true;
	return false;
}

static void try_leaving_out(const struct osp_conform_run *run, struct repair *best,
			    const struct cursor *c, bool repeated)
{
	bool again = came_before(run, c->at);
	bool at_once = c->at && run->steps[c->at - 1] == run->steps[c->at];

	if (repeated && !at_once)
		return;
	propose_kind(run, best, again ? OSP_CONFORM_DUPLICATE : OSP_CONFORM_UNEXPECTED,
		     run->steps[c->at], &(struct cursor){c->live, c->at + 1, c->moved});
}

/* Several are missing, or nothing explains the step: it goes on from wherever it leads. */
static void try_anything(const struct osp_conform_run *run, struct repair *best,
			 const struct cursor *c)
{
	const struct osp_point *point = run->steps[c->at];
	struct osp_nfa_step s;
	uint64_t reach = 0, then;

	for (uint64_t live = c->live; live; live &= live - 1)
		reach |= run->blind->reach[__builtin_ctzll(live)];
	if (point && osp_nfa_accepts(run->automaton, reach, point) &&
	    step(run, reach, point, &then))
		propose_kind(run, best, OSP_CONFORM_MISSING, NULL,
			     &(struct cursor){then, c->at + 1, c->moved});
	if (!point)
		return;
	osp_nfa_step(run->automaton, run->view, c->live, point, &s);
	propose_kind(run, best, OSP_CONFORM_UNEXPECTED, point,
		     &(struct cursor){s.live, c->at + 1, c->moved});
}

static void mend(const struct osp_conform_run *run, const struct cursor *c, struct repair *best)
{
	*best = (struct repair){.says = {.kind = OSP_CONFORM_UNEXPECTED,
					 .at = c->at,
					 .due = c->at,
					 .point = run->steps[c->at]},
				.live = c->live,
				.next = c->at + 1,
				.moved = c->moved};
	if (!c->live) {
		best->says.kind =
			came_before(run, c->at) ? OSP_CONFORM_DUPLICATE : OSP_CONFORM_LATE;
		return;
	}
	try_leaving_out(run, best, c, true);
	try_taking_first(run, best, c);
	try_taking_later(run, best, c);
	try_putting_in(run, best, c);
	try_leaving_out(run, best, c, false);
	try_anything(run, best, c);
	if (!best->says.expected_count)
		osp_conform_expect(run, c->live, &best->says);
}

size_t osp_conform_find(const struct osp_conform_run *run,
			struct osp_deviation out[OSP_CONFORM_MAX], uint64_t *live)
{
	struct cursor c = {.live = start(run)};
	struct repair best;
	size_t found = 0;

	while (!go_on(run, &c, run->count) && found < OSP_CONFORM_MAX) {
		mend(run, &c, &best);
		out[found++] = best.says;
		c = (struct cursor){best.live, best.next, best.moved};
	}
	*live = c.live;
	return found;
}

const char *osp_conform_to_str(enum osp_conform_kind kind)
{
	static const char *const words[OSP_CONFORM_KINDS] = {
		"missing", "unexpected", "out of order", "duplicate", "late", "never ended"};

	return words[kind];
}
