/*
 * Open operations (user/stitch.h), fed by order with events, feeding trace, link and the sink by
 * way of struct osp_stitch_out. Owns the open operations, the map that finds them, the memory of
 * those closed lately, and a compiled automaton per operation of the catalogue.
 *
 * An operation is found by (process, op id); foreign ones by (process, thread) as a stack or by
 * (process, argument). What is not known for sure widens the set of states it may be in: began
 * before attach, lost steps, sites half attached.
 */
#include "user/stitch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/base/map.h"
#include "user/stitcher.h"

enum {
	CLOSED_MAX = 65536,
	LIST_NS = 1000 * 1000, /* their lists are in order as far as this */
};
static const size_t bytes_max = 1ull << 30;
static const int64_t late_ns = 5ll * 1000 * 1000 * 1000; /* foreign keys are used again */

void osp_stitch_free(struct osp_stitch **stitch)
{
	struct osp_stitch *s = *stitch;

	if (!s)
		return;
	for (uint32_t i = 0; i < osp_roster_count(s->roster); i++) {
		struct osp_tracee *t = osp_roster_at(s->roster, i);

		while (t && !osp_list_empty(&t->open)) {
			struct osp_open *o =
				osp_list_entry(t->open.next, struct osp_open, by_process);

			osp_list_remove(&o->by_process);
			osp_open_free(&s->pool, &o);
		}
	}
	osp_open_clear_pool(&s->pool);
	for (size_t i = 0; s->automata && i < s->catalogue->operation_count; i++)
		osp_nfa_free(&s->automata[i]);
	for (size_t i = 0; s->titles && i < s->catalogue->operation_count; i++)
		osp_open_clear_titles(&s->titles[i]);
	free(s->automata);
	free(s->titles);
	free(s->by_timeout);
	osp_chains_clear(&s->open);
	osp_closed_clear(&s->closed);
	osp_courses_clear(&s->courses);
	free(s);
	*stitch = NULL;
}

static int compile(struct osp_stitch *s)
{
	size_t count = s->catalogue->operation_count;

	s->automata = calloc(count + 1, sizeof(*s->automata));
	s->titles = calloc(count + 1, sizeof(*s->titles));
	s->by_timeout = calloc(count + 1, sizeof(*s->by_timeout));
	if (!s->automata || !s->titles || !s->by_timeout)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct osp_operation *o = s->catalogue->operations[i];

		osp_list_init(&s->by_timeout[i]);
		if (osp_open_init_titles(&s->titles[i], o) || osp_nfa_new(&s->automata[i], o))
			return -ENOMEM;
	}
	return osp_closed_init(&s->closed, CLOSED_MAX);
}

int osp_stitch_new(struct osp_stitch **out, const struct osp_catalogue *c, struct osp_roster *r,
		   const struct osp_stitch_limits *limits, const struct osp_stitch_out *to)
{
	struct osp_stitch *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->catalogue = c;
	s->roster = r;
	s->limits = *limits;
	s->to = *to;
	osp_open_init_pool(&s->pool, limits->steps, bytes_max);
	osp_list_init(&s->by_part);
	osp_list_init(&s->hung);
	if (osp_chains_init(&s->open, limits->operations) || compile(s)) {
		osp_stitch_free(&s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

/* ---- keys ---- */

/* The value of the argument that finds the operation. False: the step does not say. */
static bool add_key_argument(struct osp_passing *p)
{
	const struct osp_point *point = p->event->point;

	for (size_t i = 0; i < point->arg_count; i++) {
		const struct osp_event_value *v = &p->event->values[i];
		uint64_t hash[2] = {v->u64, 0};

		if (strcmp(point->args[i].name, p->operation->key_arg) != 0)
			continue;
		if (!v->present)
			return false;
		if (v->data)
			osp_hash_bytes(hash, v->data,
				       v->size < OSP_CATALOGUE_FOREIGN_BYTES
					       ? v->size
					       : (size_t)OSP_CATALOGUE_FOREIGN_BYTES);
		p->key.words[0] = hash[0];
		p->key.words[2] = hash[1];
		return true;
	}
	return false;
}

void osp_stitch_expect(const struct osp_stitch *s, uint32_t slot, uint64_t op_id)
{
	struct osp_open_key key = osp_stitch_own_key(slot, op_id);

	osp_chain_expect(&s->open, key.hash);
	osp_closed_expect(&s->closed, &key);
}

/* False: nothing tells which operation it is. Programs may say anything, not only ids that there can be. */
static bool make_key(struct osp_passing *p)
{
	bool given = true;

	p->key.words[1] = (uint64_t)p->operation->key << 48 | p->tracee->slot;
	p->key.words[2] = 0;
	if (p->operation->key == OSP_KEY_OP) {
		p->key.words[0] = p->event->op_id;
		given = osp_span_is_operation(p->event->op_id);
	} else {
		p->key.words[0] = p->event->tid;
		p->key.words[1] |= (uint64_t)p->operation->number << 32;
		if (p->operation->key == OSP_KEY_ARG)
			given = add_key_argument(p);
	}
	osp_stitch_set_hash(&p->key);
	return given;
}

struct osp_open *osp_stitch_find_key(const struct osp_stitch *s, const struct osp_open_key *key)
{
	struct osp_chain *c = osp_chain_find(&s->open, key->hash);

	for (; c; c = osp_chain_next(c)) {
		struct osp_open *o = osp_chain_entry(c, struct osp_open, by_key);

		if (!memcmp(o->key.words, key->words, sizeof(key->words)))
			return o;
	}
	return NULL;
}

/* ---- closing ---- */

static int tell_part(struct osp_stitch *s, struct osp_open *o, bool complete)
{
	int r = s->to.part(s->to.arg, o, complete);

	o->changed = false;
	return r;
}

/* The one below it on a thread's stack is the top again. */
static void unbind(struct osp_stitch *s, struct osp_open *o)
{
	bool stacked = o->operation->key == OSP_KEY_THREAD;
	struct osp_open *top = o->by_key.hash || !stacked ? NULL : osp_stitch_find_key(s, &o->key);

	if (o->by_key.hash) {
		osp_chain_remove(&s->open, &o->by_key);
		if (o->below)
			osp_chain_add(&s->open, &o->below->by_key, o->key.hash);
	}
	for (; top; top = top->below)
		if (top->below == o)
			top->below = o->below;
}

static void mark_cut(struct osp_stitch *s, struct osp_open *o)
{
	o->marks |= OSP_MARK_MAY_BE_CUT;
	o->live = osp_nfa_all(s->automata[o->operation->number]);
	o->guessed = true;
	o->changed = true;
}

/* Everything that may have hidden steps since its last one counts against what is known of it. */
static void look_for_cuts(struct osp_stitch *s, struct osp_open *o, int64_t now_ns)
{
	if (o->tracee->gap_record <= o->last_record &&
	    !osp_roster_unsure(s->roster, o->tracee, o->last_ns, now_ns))
		return;
	mark_cut(s, o);
}

/*
 * Our own operations count their steps: a loss that left none of them out did not touch them.
 * False: nothing has.
 */
static bool look_for_own_cuts(struct osp_stitch *s, struct osp_open *o, int64_t now_ns)
{
	if (!osp_roster_unsure(s->roster, o->tracee, o->last_ns, now_ns))
		return false;
	mark_cut(s, o);
	return true;
}

/* What came before the first step that was seen may have been before attach. */
static bool misses_steps(const struct osp_open *o)
{
	return osp_sequence_misses(&o->sequence,
				   o->marks & OSP_MARK_BEGAN_BEFORE ? o->first_sequence : 0);
}

int osp_stitch_close(struct osp_stitch *s, struct osp_open *o, int64_t end_ns,
		     const struct osp_walk *walk, uint32_t marks)
{
	osp_walk_close(o, end_ns, walk, marks);
	return tell_part(s, o, true);
}

void osp_stitch_retire(struct osp_stitch *s, struct osp_open *o)
{
	unbind(s, o);
	if (s->latest.open == o)
		s->latest.open = NULL;
	if (o->operation->key != OSP_KEY_THREAD)
		osp_closed_add(&s->closed, &o->key, s->now_ns);
	osp_list_remove(&o->by_process);
	osp_list_remove(&o->by_timeout);
	osp_list_remove(&o->by_part);
	osp_list_remove(&o->by_hung);
	s->stats.open--;
	osp_open_free(&s->pool, &o);
}

static int close_open(struct osp_stitch *s, struct osp_open *o, int64_t end_ns,
		      const struct osp_walk *walk, uint32_t marks)
{
	int r = osp_stitch_close(s, o, end_ns, walk, marks);

	osp_stitch_retire(s, o);
	return r;
}

static int close_incomplete(struct osp_stitch *s, struct osp_open *o, int64_t now_ns,
			    int64_t end_ns, uint32_t marks)
{
	static const struct osp_walk unknown = {.status = OSP_SPAN_UNSET};

	look_for_cuts(s, o, now_ns);
	return close_open(s, o, end_ns, &unknown, marks | OSP_MARK_INCOMPLETE);
}

/* ---- opening ---- */

/* Ids of operations that bring none: they only have to differ, and be the same in a replay. */
static uint64_t foreign_id(struct osp_stitch *s, uint32_t slot)
{
	uint64_t count = ++s->foreign;
	uint64_t mixed = osp_map_hash(&slot, sizeof(slot), 0x6f7574737061ull);

	return (mixed & 0xffff000000000000ull) | (count << 16 & 0x0000ffffffff0000ull);
}

/* What is known of an operation whose first step, as far as was seen, is this one. */
static void judge_first(struct osp_open *o, const struct osp_passing *p)
{
	o->live = osp_nfa_start(p->automaton, p->view);
	if (p->unsure)
		o->marks |= OSP_MARK_MAY_BE_CUT;
	if (p->starts)
		return;
	if (osp_roster_misses(p->tracee))
		o->marks |= OSP_MARK_MAY_BE_CUT;
	if (!osp_roster_misses(p->tracee) || p->unsure)
		o->marks |= OSP_MARK_BEGAN_BEFORE;
	o->live = osp_nfa_all(p->automaton);
	o->guessed = true;
}

/* Makes the operation the one that its key finds. */
static void bind(struct osp_stitch *s, struct osp_open *o)
{
	if (o->below)
		osp_chain_remove(&s->open, &o->below->by_key);
	osp_chain_add(&s->open, &o->by_key, o->key.hash);
}

static void enter(struct osp_stitch *s, struct osp_open *o)
{
	o->part_due_ns = o->last_ns + s->limits.start_part_ns;
	o->listed_ns = o->last_ns;
	osp_list_add(&o->tracee->open, &o->by_process);
	osp_list_add(&s->by_timeout[o->operation->number], &o->by_timeout);
	osp_list_add(&s->by_part, &o->by_part);
}

int osp_stitch_open(struct osp_stitch *s, const struct osp_passing *p, struct osp_open *below,
		    struct osp_open **out)
{
	const struct osp_operation *operation = p->operation;
	struct osp_open *o;
	int r;

	if (s->stats.open >= s->limits.operations)
		return osp_stitch_lost(OSP_LOSS_OPERATIONS_FULL);
	r = osp_open_new(&s->pool, operation, &s->titles[operation->number], p->event->time_ns, &o);
	if (r)
		return r == -ENOSPC ? osp_stitch_lost(OSP_LOSS_OPERATIONS_FULL) : r;
	o->tracee = p->tracee;
	o->tid = p->event->tid;
	o->below = below;
	o->last_ns = p->event->time_ns;
	o->last_record = p->tracee->records;
	o->first_sequence = p->event->sequence;
	o->key = p->key;
	if (!p->passes)
		bind(s, o);
	o->id = operation->key == OSP_KEY_OP ? p->event->op_id : foreign_id(s, p->tracee->slot);
	judge_first(o, p);
	if (!p->passes)
		enter(s, o);
	s->stats.operations++;
	s->stats.open++;
	*out = o;
	r = s->to.opened(s->to.arg, o);
	if (r || !below || p->apart)
		return r;
	/* What a thread begins before it has ended something else lies in that. */
	o->parent_id = below->id;
	return s->to.child(s->to.arg, o);
}

/* ---- finding ---- */

static bool fits(const struct osp_open *o, const struct osp_passing *p)
{
	struct osp_nfa_step step;

	osp_nfa_step(p->automaton, p->view, o->live, p->event->point, &step);
	return step.taken && !step.unexpected;
}

/* Ids of our own are never used again; foreign keys are, so only soon after the end. */
static bool is_late(const struct osp_stitch *s, const struct osp_passing *p)
{
	int64_t closed_ns;

	if (p->operation->key == OSP_KEY_THREAD ||
	    !osp_closed_find(&s->closed, &p->key, &closed_ns))
		return false;
	return p->operation->key == OSP_KEY_OP ||
	       (!p->starts && p->event->time_ns - closed_ns < late_ns);
}

/*
 * Which foreign operation a step continues: the one that is open if it is sure to be in order
 * there; else it begins a new one if it can (inside the open one if those nest, else the open one
 * must have ended unseen); else the open one if the step may be in order there. An end that does
 * not match the top of a stack stays apart.
 */
static int pick_foreign(struct osp_stitch *s, struct osp_passing *p, struct osp_open **open)
{
	struct osp_open *top = *open;
	bool nest = p->operation->key == OSP_KEY_THREAD && p->operation->nest;

	look_for_cuts(s, top, p->event->time_ns);
	if (!top->guessed && fits(top, p))
		return 0;
	if (p->starts && !nest) {
		*open = NULL;
		return close_incomplete(s, top, p->event->time_ns, top->last_ns, 0);
	}
	if (p->starts || (nest && !fits(top, p))) {
		p->apart = !p->starts;
		*open = NULL;
	}
	return 0;
}

static int find_open(struct osp_stitch *s, struct osp_passing *p, struct osp_open **out)
{
	struct osp_open *o;
	int r;

	if (!make_key(p))
		return osp_stitch_lost(OSP_LOSS_DECODE);
	r = osp_roster_view(s->roster, p->tracee, p->automaton, p->operation, &p->view);
	if (r)
		return r;
	o = osp_stitch_find_key(s, &p->key);
	if (o && o->operation != p->operation)
		return osp_stitch_lost(OSP_LOSS_DECODE);
	if (!o || p->operation->key != OSP_KEY_OP)
		p->starts = osp_nfa_accepts(p->automaton, osp_nfa_start(p->automaton, p->view),
					    p->event->point);
	if (o && p->operation->key != OSP_KEY_OP)
		r = pick_foreign(s, p, &o);
	else if (o)
		look_for_own_cuts(s, o, p->event->time_ns);
	if (!r && !o && is_late(s, p))
		r = osp_stitch_lost(OSP_LOSS_LATE);
	if (r)
		return r;
	if (!o) {
		r = osp_stitch_open(s, p, osp_stitch_find_key(s, &p->key), &o);
		if (!r && p->apart)
			o->marks |= OSP_MARK_UNEXPECTED;
	}
	*out = o;
	return r;
}

/* ---- one step ---- */

/* An argument of type op names the parent; the first one counts. */
int osp_stitch_find_parent(struct osp_stitch *s, struct osp_open *o, const struct osp_event *e)
{
	for (size_t i = 0; i < e->point->arg_count && !o->parent_id; i++) {
		const struct osp_event_value *v = &e->values[i];

		if (e->point->args[i].type != OSP_TYPE_OP || !v->present || !v->u64 ||
		    v->u64 == o->id)
			continue;
		o->parent_id = v->u64;
		return s->to.child(s->to.arg, o);
	}
	return 0;
}

/* The operation has moved: it is among the last to time out, and its doubts are settled. */
static void touch(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p)
{
	if (p->event->time_ns > o->last_ns)
		o->last_ns = p->event->time_ns;
	o->last_record = p->tracee->records;
	o->block = p->event->block;
	o->block_point = p->event->point->number;
	o->block_numbers = p->event->numbers;
	if (o->last_ns - o->listed_ns >= LIST_NS) {
		o->listed_ns = o->last_ns;
		osp_list_remove(&o->by_timeout);
		osp_list_add(&s->by_timeout[o->operation->number], &o->by_timeout);
	}
	o->guessed = p->unsure;
	if (p->unsure)
		o->live = osp_nfa_all(p->automaton);
}

/* A step that was missed comes after all, among others or behind them. What it did stays unknown. */
static int insert(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p,
		  struct osp_page **page)
{
	size_t at;
	int r = osp_open_insert_step(&s->pool, o, p->event, &at);

	o->marks |= OSP_MARK_MAY_BE_CUT;
	if (r)
		return r == -ENOSPC ? osp_stitch_lost(OSP_LOSS_STEPS_FULL) : r;
	o->step_infos[at].page = *page;
	*page = NULL;
	return 0;
}

/* Steps before this one are missing: carried and yet to come, or lost. */
static void look_ahead(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p)
{
	bool loss = o->tracee->gap_record > o->last_record;

	if (!o->step_count)
		return;
	if (p->event->whole || loss)
		mark_cut(s, o);
	else if (!fits(o, p))
		o->live = osp_nfa_all(p->automaton);
}

int osp_stitch_move(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p,
		    const struct osp_move *move, struct osp_page **page, struct osp_walk *out)
{
	const struct osp_event *e = p->event;
	int r, full;

	full = osp_walk_apply(&s->pool, o, move, e, out);
	if (full && full != -ENOSPC)
		return full;
	if (full)
		osp_courses_forget(&s->courses);
	s->stats.unexpected += move->unexpected;
	touch(s, o, p);
	if (!full) {
		o->step_infos[o->step_count - 1].page = *page;
		*page = NULL;
	}
	r = move->names_parent ? osp_stitch_find_parent(s, o, e) : 0;
	if (!r)
		r = s->to.stepped(s->to.arg, o, e, out->span);
	if (!r && out->ended && !e->point->foreign && misses_steps(o))
		o->marks |= OSP_MARK_MAY_BE_CUT;
	return r ? r : full ? osp_stitch_lost(OSP_LOSS_STEPS_FULL) : 0;
}

/* A lesson is about the steps of one record. */
static void learn(struct osp_stitch *s, const struct osp_open *o, const struct osp_passing *p,
		  const struct osp_move *move)
{
	if (s->taught == p->tracee && s->taught_record == p->tracee->records)
		osp_courses_learn(&s->courses, p->event->point, o->live, move);
	else
		osp_courses_forget(&s->courses);
}

/* Moves the operation's automaton. The page goes with the stored step. */
static int walk(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p,
		struct osp_page **page)
{
	struct osp_move move;
	struct osp_walk end;
	int r, closed = 0;

	osp_walk_decide(o, p->automaton, p->view, p->event->point, &move);
	if (s->courses.lesson)
		learn(s, o, p, &move);
	if (!move.taken)
		return osp_stitch_lost(OSP_LOSS_DECODE);
	r = osp_stitch_move(s, o, p, &move, page, &end);
	if (r >= 0 && end.ended)
		closed = close_open(s, o, p->event->time_ns, &end, 0);
	return closed ? closed : r;
}

/* The order of the steps is certain, their times are not: none is before the one it follows. */
static int walk_in_time(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p,
			struct osp_page **page)
{
	struct osp_passing later;
	struct osp_event event;

	if (p->event->time_ns >= o->last_ns)
		return walk(s, o, p, page);
	later = *p;
	event = *p->event;
	event.time_ns = o->last_ns;
	later.event = &event;
	return walk(s, o, &later, page);
}

/* A step that has come before. */
static int judge_seen(const struct osp_open *o, const struct osp_event *e)
{
	return e->sequence >= o->fetched_from && e->sequence < o->fetched_to ? OSP_STITCH_REPEATED
									     : OSP_STITCH_SEEN;
}

/* Those who look at what hangs are to see what was found there: the next tick tells. */
static void note_fetched(struct osp_stitch *s, struct osp_open *o, const struct osp_event *e)
{
	if (o->fetched_from == o->fetched_to)
		o->fetched_from = e->sequence;
	o->fetched_to = e->sequence + 1;
	o->part_due_ns = s->now_ns;
	osp_list_remove(&o->by_part);
	osp_list_add(s->by_part.next, &o->by_part);
}

/* Where the step stands in its operation decides what comes of it: never its time. */
static int advance(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p,
		   struct osp_page **page)
{
	enum osp_sequence_place place;

	if (p->event->point->foreign)
		return walk(s, o, p, page);
	o->left |= p->event->fetched && p->event->whole;
	place = osp_sequence_add(&o->sequence, p->event->sequence);
	if (place == OSP_SEQUENCE_SEEN)
		return judge_seen(o, p->event);
	if (p->event->fetched)
		note_fetched(s, o, p->event);
	if (place == OSP_SEQUENCE_LATE)
		return insert(s, o, p, page);
	if (place == OSP_SEQUENCE_AHEAD)
		look_ahead(s, o, p);
	return walk_in_time(s, o, p, page);
}

/* Not ours: it only tells that nothing of ours is missing in its place. */
static int leave_out(struct osp_stitch *s, const struct osp_passing *p)
{
	struct osp_open *o = osp_stitch_find_key(s, &p->key);

	if (o && osp_sequence_add(&o->sequence, p->event->sequence) == OSP_SEQUENCE_SEEN)
		return judge_seen(o, p->event);
	if (o && p->event->fetched)
		note_fetched(s, o, p->event);
	return osp_stitch_lost(OSP_LOSS_FILTERED);
}

static bool continues_run(const struct osp_stitch *s, const struct osp_passing *p)
{
	const struct osp_open *o = s->latest.open;

	return o && o->id == p->event->op_id && o->tracee == p->tracee &&
	       o->operation == p->operation && s->latest.sites == p->tracee->view;
}

static bool is_unsure(const struct osp_stitch *s, const struct osp_passing *p)
{
	return osp_roster_unsure(s->roster, p->tracee, p->event->time_ns, p->event->time_ns);
}

static int find_run(struct osp_stitch *s, struct osp_passing *p, struct osp_open **out)
{
	int r;

	if (continues_run(s, p)) {
		*out = s->latest.open;
		p->view = s->latest.view;
		p->unsure = look_for_own_cuts(s, *out, p->event->time_ns) && is_unsure(s, p);
		return 0;
	}
	p->unsure = is_unsure(s, p);
	r = find_open(s, p, out);
	if (!r && p->operation->key == OSP_KEY_OP)
		s->latest = (struct osp_latest){*out, p->tracee->view, p->view};
	return r;
}

static int pass(struct osp_stitch *s, struct osp_passing *p, struct osp_page **page)
{
	struct osp_open *o = NULL;
	int r;

	p->automaton = s->automata[p->operation->number];
	p->apart = false;
	if (!p->event->trapped &&
	    !osp_roster_wants(s->roster, p->tracee, p->event->point, p->event->time_ns))
		return make_key(p) ? leave_out(s, p) : osp_stitch_lost(OSP_LOSS_DECODE);
	r = find_run(s, p, &o);
	return r ? r : advance(s, o, p, page);
}

static enum osp_loss_reason reason_of(int fate)
{
	return fate >= OSP_STITCH_SEEN ? OSP_LOSS_DUPLICATE : (enum osp_loss_reason)(fate - 1);
}

int osp_stitch_lose(const struct osp_stitch *s, struct osp_tracee *t, struct osp_page *page,
		    const struct osp_event *e, int fate)
{
	osp_account_lose(page, reason_of(fate));
	return s->to.lost(s->to.arg, t, e, reason_of(fate));
}

/* The fate of a step whose own hit brought it, and was counted. */
static int settle_trapped(const struct osp_stitch *s, struct osp_tracee *t, struct osp_page *page,
			  const struct osp_event *e, int fate)
{
	if (!fate || (fate >= OSP_STITCH_SEEN && osp_account_return(page)))
		return 0;
	return osp_stitch_lose(s, t, page, e, fate);
}

/* Of one that another's hit brought: it is counted here, unless it had a hit of its own, too. */
static int settle_carried(const struct osp_stitch *s, struct osp_tracee *t, struct osp_page *page,
			  const struct osp_event *e, int fate)
{
	bool had_hit = e->fired && osp_roster_fires(s->roster, t, e->point, e->time_ns);

	if (had_hit && !fate) {
		osp_account_recover(page);
		osp_roster_recover(t);
	}
	if (had_hit || fate == OSP_STITCH_REPEATED)
		return 0;
	osp_account_carry(page);
	return fate ? osp_stitch_lose(s, t, page, e, fate) : 0;
}

int osp_stitch_step(struct osp_stitch *s, struct osp_tracee *t, struct osp_page *page,
		    const struct osp_event *e)
{
	struct osp_passing p = {.tracee = t, .event = e};
	struct osp_page *stored = page;
	int r, fate = osp_stitch_lost(OSP_LOSS_DECODE);

	r = e->time_ns - s->checked_ns >= OSP_STITCH_CHECK_NS ? osp_stitch_tick(s, e->time_ns) : 0;
	if (r)
		return r;
	if (e->time_ns > s->now_ns)
		s->now_ns = e->time_ns;
	/* A foreign point may belong to several operations: its hit is entered once. */
	for (size_t i = 0; i < e->point->operation_count; i++) {
		p.operation = e->point->operations[i];
		r = pass(s, &p, &stored);
		if (r < 0)
			return r;
		fate = fate ? r : 0;
	}
	if (!stored)
		fate = 0;
	s->stats.repeated += fate == OSP_STITCH_REPEATED;
	return e->trapped ? settle_trapped(s, t, page, e, fate)
			  : settle_carried(s, t, page, e, fate);
}

/* ---- time ---- */

static int close_timed_out(struct osp_stitch *s, struct osp_list *l, int64_t timeout_ns)
{
	while (timeout_ns > 0 && !osp_list_empty(l)) {
		struct osp_open *o = osp_list_entry(l->next, struct osp_open, by_timeout);
		int r;

		if (s->now_ns - o->last_ns <= timeout_ns)
			break;
		r = close_incomplete(s, o, s->now_ns, o->last_ns, OSP_MARK_TIMED_OUT);
		if (r)
			return r;
	}
	return 0;
}

/* Long operations become visible, to readers and after a crash. */
static int tell_starts(struct osp_stitch *s)
{
	while (!osp_list_empty(&s->by_part)) {
		struct osp_open *o = osp_list_entry(s->by_part.next, struct osp_open, by_part);
		int r;

		if (s->now_ns < o->part_due_ns)
			break;
		o->part_due_ns = s->now_ns + s->limits.start_part_ns;
		osp_stitch_note_hung(s, o);
		osp_list_remove(&o->by_part);
		osp_list_add(&s->by_part, &o->by_part);
		r = o->changed ? tell_part(s, o, false) : 0;
		if (r)
			return r;
	}
	return 0;
}

int osp_stitch_tick(struct osp_stitch *s, int64_t now_ns)
{
	if (now_ns > s->now_ns)
		s->now_ns = now_ns;
	s->checked_ns = s->now_ns;
	for (size_t i = 0; i < s->catalogue->operation_count; i++) {
		int r = close_timed_out(s, &s->by_timeout[i],
					s->catalogue->operations[i]->timeout_ns);

		if (r)
			return r;
	}
	return tell_starts(s);
}

int osp_stitch_end_process(struct osp_stitch *s, struct osp_tracee *t, int64_t time_ns)
{
	if (time_ns > s->now_ns)
		s->now_ns = time_ns;
	while (!osp_list_empty(&t->open)) {
		struct osp_open *o = osp_list_entry(t->open.next, struct osp_open, by_process);
		bool unknown = !o->left && osp_stitch_carries(s, o);
		int r = close_incomplete(s, o, time_ns, time_ns > o->last_ns ? time_ns : o->last_ns,
					 unknown ? OSP_MARK_STEPS_UNKNOWN | OSP_MARK_MAY_BE_CUT
						 : 0);

		if (r)
			return r;
	}
	return 0;
}

int osp_stitch_stop(struct osp_stitch *s, int64_t time_ns)
{
	if (time_ns > s->now_ns)
		s->now_ns = time_ns;
	for (uint32_t i = 0; i < osp_roster_count(s->roster); i++) {
		struct osp_tracee *t = osp_roster_at(s->roster, i);

		while (t && !osp_list_empty(&t->open)) {
			struct osp_open *o =
				osp_list_entry(t->open.next, struct osp_open, by_process);
			int r = close_incomplete(s, o, time_ns, o->last_ns, 0);

			if (r)
				return r;
		}
	}
	return 0;
}

void osp_stitch_stats(const struct osp_stitch *s, struct osp_stitch_stats *out)
{
	*out = s->stats;
}

int osp_stitch_row(struct osp_stitch *s, struct osp_open *o, bool complete, struct osp_row *out)
{
	int r = osp_open_row(&s->pool, o, out);

	if (r)
		return r;
	o->spans[0].marks = o->marks | (complete ? 0 : OSP_MARK_INCOMPLETE);
	return 0;
}

static int refuse_step(const struct osp_stitch *s, const struct osp_open *o, size_t step,
		       struct osp_page *page)
{
	struct osp_event e = {.op_id = o->id, .time_ns = o->steps[step].time_ns};

	return osp_stitch_lose(s, o->tracee, page, &e, osp_stitch_lost(OSP_LOSS_STORE));
}

int osp_stitch_settle(struct osp_stitch *s, struct osp_open *o, bool stored)
{
	int r = 0;

	for (size_t i = 0; !r && i < o->step_count; i++) {
		struct osp_page *page = o->step_infos[i].page;

		o->step_infos[i].page = NULL;
		if (page && stored)
			osp_account_store(page);
		else if (page)
			r = refuse_step(s, o, i, page);
	}
	return r;
}
