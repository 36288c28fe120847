/*
 * What is derived from stored rows and edges, once for all stores: flat spans with their parents,
 * links, events and attributes, their causal order, and the summary of a trace. Fed by store.c,
 * feeds cursors; owns nothing (results lie in the caller's arena). Pure.
 */
#include "store/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/map.h"

enum { CAUSES_MAX = 64 }; /* spans in error that lie below each other */

/* The work on one trace. The arrays run parallel to the rows' spans, row after row. */
struct job {
	const struct osp_unpack_input *in;
	struct osp_arena *arena;
	struct osp_span *spans;
	size_t count;
	struct osp_span **by_id;
	struct osp_span **by_start;
};

static int compare_ids(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int by_id(const void *a, const void *b)
{
	return compare_ids((*(struct osp_span *const *)a)->id, (*(struct osp_span *const *)b)->id);
}

static int by_start(const void *a, const void *b)
{
	const struct osp_span *x = *(struct osp_span *const *)a, *y = *(struct osp_span *const *)b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return compare_ids(x->id, y->id);
}

static struct osp_span *find_span(const struct job *j, uint64_t id)
{
	struct osp_span key = {.id = id}, *k = &key, **found;

	found = j->count ? bsearch(&k, j->by_id, j->count, sizeof(*j->by_id), by_id) : NULL;
	return found ? *found : NULL;
}

static bool is_ambiguous(const struct osp_edge *e)
{
	return !strcmp(e->grade, "ambiguous");
}

static int grade_rank(const char *grade)
{
	return !strcmp(grade, "exact") ? 0 : !strcmp(grade, "strong") ? 1 : 2;
}

/* ---- spans, events, attributes ---- */

static void fill_span(struct osp_span *s, const struct osp_row *row, const struct osp_row_span *rs,
		      uint64_t trace)
{
	*s = (struct osp_span){
		.id = row->id + rs->number,
		.parent_id =
			rs == row->spans ? row->parent_id : row->id + row->spans[rs->parent].number,
		.trace = trace,
		.operation = row->id,
		.operation_name = row->spans[0].kind_name,
		.kind_name = rs->kind_name,
		.name = rs->name,
		.provider = row->provider,
		.side = row->side,
		.layer = row->layer,
		.feature = row->feature,
		.kind = rs->kind,
		.process = row->process,
		.tid = row->tid,
		.start_ns = rs->start_ns,
		.end_ns = rs->end_ns,
		.status = rs->status,
		.code = rs->code,
		.marks = rs->marks,
	};
}

/* Deals the row's steps out to its spans, in order; two passes: count, then place. */
static int fill_events(struct osp_span *spans, const struct osp_row *row, struct osp_arena *arena)
{
	struct osp_span_event *events = osp_arena_alloc(arena, row->step_count, sizeof(*events));

	if (!events)
		return -ENOMEM;
	for (size_t i = 0; i < row->step_count; i++)
		spans[row->steps[i].span].event_count++;
	for (size_t i = 0; i < row->span_count; i++) {
		spans[i].events = events;
		events += spans[i].event_count;
		spans[i].event_count = 0;
	}
	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *step = &row->steps[i];
		struct osp_span *s = &spans[step->span];
		struct osp_span_event *e = (struct osp_span_event *)&s->events[s->event_count++];

		*e = (struct osp_span_event){
			.time_ns = step->time_ns,
			.name = step->name,
			.place = (uint32_t)i,
			.unexpected = step->unexpected,
			.attributes = row->attributes +
				      (step->attribute_count ? step->first_attribute : 0),
			.attribute_count = step->attribute_count,
		};
	}
	return 0;
}

/* The last value of each name, in the order in which the names first came. */
static int fill_attributes(struct osp_span *s, struct osp_arena *arena)
{
	_cleanup_(osp_map_clear) struct osp_map names;
	struct osp_attribute *list;
	size_t room = 0;
	int r = 0;

	for (size_t i = 0; i < s->event_count; i++)
		room += s->events[i].attribute_count;
	list = osp_arena_alloc(arena, room, sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->attributes = list;
	osp_map_init(&names, room, s->id);
	for (size_t i = 0; !r && i < s->event_count; i++) {
		for (size_t k = 0; !r && k < s->events[i].attribute_count; k++) {
			const struct osp_attribute *a = &s->events[i].attributes[k];
			size_t size = strlen(a->name);
			struct osp_attribute *known = osp_map_find(&names, a->name, size);

			if (known) {
				*known = *a;
				continue;
			}
			list[s->attribute_count] = *a;
			r = osp_map_add(&names, a->name, size, &list[s->attribute_count++]);
		}
	}
	return r;
}

static int fill_row(struct job *j, const struct osp_row *row)
{
	struct osp_span *first = j->spans + j->count;
	int r;

	for (size_t i = 0; i < row->span_count; i++)
		fill_span(&first[i], row, &row->spans[i], j->in->trace);
	j->count += row->span_count;
	r = fill_events(first, row, j->arena);
	for (size_t i = 0; !r && i < row->span_count; i++)
		r = fill_attributes(&first[i], j->arena);
	return r;
}

static int fill_spans(struct job *j)
{
	size_t total = 0;
	int r = 0;

	for (size_t i = 0; i < j->in->row_count; i++)
		total += j->in->rows[i].span_count;
	j->spans = osp_arena_alloc(j->arena, total, sizeof(*j->spans));
	j->by_id = osp_arena_alloc(j->arena, total, sizeof(*j->by_id));
	j->by_start = osp_arena_alloc(j->arena, total, sizeof(*j->by_start));
	if (!j->spans || !j->by_id || !j->by_start)
		return -ENOMEM;
	for (size_t i = 0; !r && i < j->in->row_count; i++)
		r = fill_row(j, &j->in->rows[i]);
	for (size_t i = 0; i < j->count; i++)
		j->by_id[i] = j->by_start[i] = &j->spans[i];
	if (j->count) {
		qsort(j->by_id, j->count, sizeof(*j->by_id), by_id);
		qsort(j->by_start, j->count, sizeof(*j->by_start), by_start);
	}
	return r;
}

/* ---- links ---- */

static void count_links(const struct job *j, const struct osp_edge *edges, size_t count, bool to)
{
	for (size_t i = 0; i < count; i++) {
		struct osp_span *s = find_span(j, to ? edges[i].to : edges[i].from);

		if (s)
			s->link_count++;
	}
}

static void place_links(const struct job *j, const struct osp_edge *edges, size_t count, bool to)
{
	for (size_t i = 0; i < count; i++) {
		const struct osp_edge *e = &edges[i];
		struct osp_span *s = find_span(j, to ? e->to : e->from);

		if (!s)
			continue;
		((struct osp_span_link *)s->links)[s->link_count++] = (struct osp_span_link){
			.span_id = to ? e->from : e->to,
			.incoming = to,
			.rule = e->rule,
			.makes = e->makes,
			.evidence = e->evidence,
			.grade = e->grade,
			.also = e->also,
		};
		if (to && is_ambiguous(e))
			s->marks |= OSP_MARK_AMBIGUOUS;
	}
}

static int fill_links(struct job *j)
{
	const struct osp_unpack_input *in = j->in;
	struct osp_span_link *links =
		osp_arena_alloc(j->arena, in->to_count + in->from_count, sizeof(*links));

	if (!links)
		return -ENOMEM;
	count_links(j, in->to, in->to_count, true);
	count_links(j, in->from, in->from_count, false);
	for (size_t i = 0; i < j->count; i++) {
		j->spans[i].links = links;
		links += j->spans[i].link_count;
		j->spans[i].link_count = 0;
	}
	place_links(j, in->to, in->to_count, true);
	place_links(j, in->from, in->from_count, false);
	return 0;
}

/* An operation without a parent of its own takes the best of the links that make one. */
static void find_parents(struct job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		struct osp_span *s = &j->spans[i];
		int best = 3;

		if (s->id != s->operation || s->parent_id)
			continue;
		for (size_t k = 0; k < s->link_count; k++) {
			const struct osp_span_link *l = &s->links[k];
			int rank = grade_rank(l->grade);

			if (!l->incoming || strcmp(l->makes, "parent") ||
			    !strcmp(l->grade, "ambiguous"))
				continue;
			if (rank < best || (rank == best && l->span_id < s->parent_id)) {
				best = rank;
				s->parent_id = l->span_id;
			}
		}
	}
}

/* ---- causal order ---- */

/* Children of each span as chains over the spans' places, in the order of by_start. */
struct forest {
	size_t *first, *last, *next; /* place + 1; 0 = none */
	bool *placed;
	size_t *stack;
};

static void add_child(struct forest *f, size_t parent, size_t child)
{
	if (f->last[parent])
		f->next[f->last[parent] - 1] = child + 1;
	else
		f->first[parent] = child + 1;
	f->last[parent] = child + 1;
}

/* Puts a span and all below it into `out`; an explicit stack, as depth comes from outside. */
static size_t place_tree(const struct job *j, struct forest *f, size_t root, struct osp_span *out)
{
	size_t depth = 0, n = 0;

	f->stack[depth++] = root + 1;
	while (depth) {
		size_t at = f->stack[depth - 1] - 1;

		/* the sibling waits in this frame while the subtree is walked above it */
		f->stack[depth - 1] = f->next[at];
		if (!f->next[at] || at == root)
			depth--;
		if (f->placed[at])
			continue;
		f->placed[at] = true;
		out[n++] = j->spans[at];
		if (f->first[at])
			f->stack[depth++] = f->first[at];
	}
	return n;
}

static int new_forest(struct forest *f, const struct job *j)
{
	f->first = osp_arena_alloc(j->arena, j->count, sizeof(*f->first));
	f->last = osp_arena_alloc(j->arena, j->count, sizeof(*f->last));
	f->next = osp_arena_alloc(j->arena, j->count, sizeof(*f->next));
	f->placed = osp_arena_alloc(j->arena, j->count, sizeof(*f->placed));
	f->stack = osp_arena_alloc(j->arena, j->count + 1, sizeof(*f->stack));
	return f->first && f->last && f->next && f->placed && f->stack ? 0 : -ENOMEM;
}

static int sort_spans(struct job *j, struct osp_span **out)
{
	struct osp_span *sorted = osp_arena_alloc(j->arena, j->count, sizeof(*sorted));
	struct forest f;
	size_t n = 0;
	int r = new_forest(&f, j);

	if (r || !sorted)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++) {
		struct osp_span *s = j->by_start[i], *parent = find_span(j, s->parent_id);

		if (parent && parent != s)
			add_child(&f, (size_t)(parent - j->spans), (size_t)(s - j->spans));
	}
	for (size_t i = 0; i < j->count; i++) {
		struct osp_span *s = j->by_start[i], *parent = find_span(j, s->parent_id);

		j->spans[s - j->spans].orphan = s->parent_id && !parent;
		if (!parent || parent == s)
			n += place_tree(j, &f, (size_t)(s - j->spans), sorted + n);
	}
	/* what is left lies in circles of parents: bad data, shown all the same */
	for (size_t i = 0; i < j->count; i++)
		if (!f.placed[j->by_start[i] - j->spans])
			n += place_tree(j, &f, (size_t)(j->by_start[i] - j->spans), sorted + n);
	*out = sorted;
	return 0;
}

int osp_unpack_spans(struct osp_span **spans, size_t *count, const struct osp_unpack_input *in,
		     struct osp_arena *arena)
{
	struct job j = {.in = in, .arena = arena};
	int r = fill_spans(&j);

	if (!r)
		r = fill_links(&j);
	if (r)
		return r;
	find_parents(&j);
	r = sort_spans(&j, spans);
	if (!r)
		*count = j.count;
	return r;
}

/* The last of its children that is in error, or NULL; children come after their parents. */
static const struct osp_span *find_failed_child(const struct osp_span *parent,
						const struct osp_span *end)
{
	const struct osp_span *last = NULL;

	for (const struct osp_span *s = parent + 1; s < end; s++)
		if (s->status == OSP_SPAN_ERROR && s->parent_id == parent->id)
			last = s;
	return last;
}

/* Why a trace failed: down from its first span in error, the code of the deepest that has one. */
static const char *find_code(const struct osp_span *spans, size_t count)
{
	const struct osp_span *s = spans, *end = spans + count;
	const char *code = NULL;

	while (s < end && s->status != OSP_SPAN_ERROR)
		s++;
	for (int depth = 0; s && s < end && depth < CAUSES_MAX; depth++) {
		code = s->code ? s->code : code;
		s = find_failed_child(s, end);
	}
	return code;
}

void osp_unpack_trace(struct osp_trace *out, const struct osp_span *spans, size_t count, bool ended)
{
	struct osp_trace t = {.key = spans[0].trace,
			      .root = spans[0].name,
			      .root_id = spans[0].id,
			      .start_ns = spans[0].start_ns,
			      .end_ns = spans[0].end_ns,
			      .status = spans[0].status};

	for (size_t i = 0; i < count; i++) {
		const struct osp_span *s = &spans[i];
		bool known = false;

		for (size_t k = 0; k < i && !known; k++)
			known = spans[k].process == s->process;
		t.processes += !known;
		t.start_ns = s->start_ns < t.start_ns ? s->start_ns : t.start_ns;
		t.end_ns = s->end_ns > t.end_ns ? s->end_ns : t.end_ns;
		t.status = s->status == OSP_SPAN_ERROR ? OSP_SPAN_ERROR : t.status;
		t.marks |= s->marks | (s->orphan && !ended ? OSP_MARK_INCOMPLETE : 0);
		for (size_t k = 0; k < s->link_count; k++)
			t.links += s->links[k].incoming;
	}
	t.spans = (uint32_t)count;
	t.code = find_code(spans, count);
	*out = t;
}
