/*
 * State sets over the catalogue's transitions (probes/catalogue.h), fed by the stitcher with one
 * point at a time. Owns nothing but a table of transitions sorted by point
 * and a memory of steps. The end is no state:
 * a step whose every possible transition leads there ends the operation. If some do and some do
 * not (after a loss, say), the operation goes on, and its time-out has the last word.
 */
#include "user/nfa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

struct move {
	uint64_t from; /* states it leaves; all of them for "*" */
	const struct osp_transition *transition;
};

/* A step made before: operations of one kind make the same ones again and again. */
struct memo {
	const struct osp_nfa_view *view;
	const struct osp_point *point; /* NULL = none yet */
	uint64_t live;		       /* before the step */
	struct osp_nfa_step step;
};

enum { MEMOS = 128 };

struct osp_nfa {
	const struct osp_operation *operation; /* borrowed: the catalogue's */
	uint64_t all;
	size_t point_end; /* highest point number + 1 */
	uint32_t *first;  /* by point number: its moves are first[n] .. first[n + 1] - 1 */
	struct move *moves;
	struct memo *memos; /* MEMOS of them, by hash; forgotten when a view is made */
};

static uint64_t bit(unsigned int state)
{
	return 1ull << (state & 63);
}

static uint64_t all_states(const struct osp_operation *o)
{
	return o->state_count >= 64 ? UINT64_MAX : bit((unsigned int)o->state_count) - 1;
}

/* Counting sort by point: stable, so moves of one point keep the catalogue's order. */
static void fill_moves(struct osp_nfa *a)
{
	const struct osp_operation *o = a->operation;

	for (size_t i = 0; i < o->transition_count; i++)
		a->first[o->transitions[i].point->number + 1]++;
	for (size_t n = 0; n < a->point_end; n++)
		a->first[n + 1] += a->first[n];
	for (size_t i = o->transition_count; i-- > 0;) {
		const struct osp_transition *t = &o->transitions[i];
		struct move *m = &a->moves[--a->first[t->point->number + 1]];

		*m = (struct move){t->any ? a->all : bit(t->from), t};
	}
	/* Filling from behind moved every entry to the start of its point: shift back by one. */
	for (size_t n = 0; n < a->point_end; n++)
		a->first[n] = a->first[n + 1];
	a->first[a->point_end] = (uint32_t)o->transition_count;
}

int osp_nfa_new(struct osp_nfa **out, const struct osp_operation *operation)
{
	struct osp_nfa *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->operation = operation;
	a->all = all_states(operation);
	for (size_t i = 0; i < operation->transition_count; i++)
		if (operation->transitions[i].point->number >= a->point_end)
			a->point_end = operation->transitions[i].point->number + 1u;
	a->first = calloc(a->point_end + 1, sizeof(*a->first));
	a->moves = calloc(operation->transition_count + 1, sizeof(*a->moves));
	a->memos = calloc(MEMOS, sizeof(*a->memos));
	if (!a->first || !a->moves || !a->memos) {
		osp_nfa_free(&a);
		return -ENOMEM;
	}
	fill_moves(a);
	*out = a;
	return 0;
}

void osp_nfa_free(struct osp_nfa **a)
{
	if (!*a)
		return;
	free((*a)->first);
	free((*a)->moves);
	free((*a)->memos);
	free(*a);
	*a = NULL;
}

static bool is_visible(const uint8_t *visible, const struct osp_point *p)
{
	return visible[p->number / 8] >> (p->number % 8) & 1;
}

static uint64_t close_set(const struct osp_nfa_view *view, uint64_t live)
{
	uint64_t closed = 0;

	for (; live; live &= live - 1)
		closed |= view->reach[__builtin_ctzll(live)];
	return closed;
}

void osp_nfa_init_view(const struct osp_nfa *a, const uint8_t *visible, struct osp_nfa_view *view)
{
	const struct osp_operation *o = a->operation;
	bool grew = true;

	memset(a->memos, 0, MEMOS * sizeof(*a->memos)); /* one may be of a view that was here */
	for (unsigned int s = 0; s < OSP_CATALOGUE_STATES; s++)
		view->reach[s] = bit(s);
	/* At most one round per state: sets only grow. */
	while (grew) {
		grew = false;
		for (size_t i = 0; i < o->transition_count; i++) {
			const struct osp_transition *t = &o->transitions[i];
			uint64_t *reach = &view->reach[t->from & 63], more;

			if (t->any || t->to == OSP_STATE_END || is_visible(visible, t->point))
				continue;
			more = *reach | view->reach[t->to & 63];
			grew = grew || more != *reach;
			*reach = more;
		}
	}
}

uint64_t osp_nfa_all(const struct osp_nfa *a)
{
	return a->all;
}

uint64_t osp_nfa_start(const struct osp_nfa *a, const struct osp_nfa_view *view)
{
	return view->reach[a->operation->start & 63];
}

static const struct move *moves_of(const struct osp_nfa *a, const struct osp_point *p,
				   const struct move **end)
{
	if (p->number >= a->point_end) {
		*end = a->moves;
		return a->moves;
	}
	*end = a->moves + a->first[p->number + 1];
	return a->moves + a->first[p->number];
}

bool osp_nfa_accepts(const struct osp_nfa *a, uint64_t live, const struct osp_point *point)
{
	const struct move *end, *m = moves_of(a, point, &end);

	for (; m < end; m++)
		if (!m->transition->any && m->from & live)
			return true;
	return false;
}

/* Takes every move of the point that leaves `live`. A move of "*" counts only if no other does. */
static void take_moves(const struct osp_nfa *a, uint64_t live, const struct osp_point *point,
		       struct osp_nfa_step *out)
{
	const struct move *end, *m = moves_of(a, point, &end);

	for (; m < end; m++) {
		const struct osp_transition *t = m->transition;

		if (!(m->from & live) || (out->taken && !out->taken->any && t->any))
			continue;
		if (!out->taken || (out->taken->any && !t->any)) {
			out->taken = t;
			out->live = 0;
		}
		if (t->to == OSP_STATE_END)
			continue;
		if (out->taken->to == OSP_STATE_END)
			out->taken = t;
		out->live |= bit(t->to);
	}
}

static void make_step(const struct osp_nfa *a, const struct osp_nfa_view *view, uint64_t live,
		      const struct osp_point *point, struct osp_nfa_step *out)
{
	*out = (struct osp_nfa_step){0};
	take_moves(a, live, point, out);
	if (!out->taken) {
		out->unexpected = true;
		take_moves(a, a->all, point, out);
	}
	out->ends = out->taken && !out->live;
	out->live = close_set(view, out->live);
}

void osp_nfa_step(const struct osp_nfa *a, const struct osp_nfa_view *view, uint64_t live,
		  const struct osp_point *point, struct osp_nfa_step *out)
{
	struct memo *m = &a->memos[osp_hash_words(live ^ (uintptr_t)view, point->number) % MEMOS];

	if (m->point != point || m->live != live || m->view != view) {
		make_step(a, view, live, point, &m->step);
		m->point = point;
		m->live = live;
		m->view = view;
	}
	*out = m->step;
}
