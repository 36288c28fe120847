/*
 * Reads the books of a session (user/books.h) through the store contract: loss rows become pages
 * and sums by reason, gap rows the intervals in time, attach rows the time that was watched.
 * Feeds ledger.c (text) and json.c. Owns its tables; rows of the store are copied.
 */
#include "user/books.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/arena.h"
#include "user/base/cleanup.h"
#include "user/base/rows.h"

enum { ROWS_MAX = 1 << 24 };
static const int64_t near_ns = 1000000000; /* gaps nearer than this are told as one */
/* As far from a trace a step of it may have been lost whose operation is not there (match.c). */
static const int64_t early_ns = 1000000000, late_ns = 100000000;

void osp_books_free(struct osp_books **books)
{
	struct osp_books *b = *books;

	if (!b)
		return;
	if (b->texts)
		osp_arena_clear(b->texts);
	free(b->texts);
	free(b->pages);
	free(b->gaps);
	free(b->intervals);
	free(b);
	*books = NULL;
}

/* Times that come from a file are kept where differences of two are numbers, too. */
static int64_t limit_time(int64_t time_ns)
{
	const int64_t most = 1ll << 61;

	return time_ns > most ? most : time_ns < -most ? -most : time_ns;
}

/* Sums of times that come from a file stop at the ends of time. */
static int64_t add_time(int64_t time_ns, int64_t by_ns)
{
	int64_t sum;

	if (__builtin_add_overflow(time_ns, by_ns, &sum))
		return by_ns < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* ---- rows of the store ---- */

static bool is_wanted(const struct osp_books *b, uint32_t process)
{
	const struct osp_process_row *p = osp_session_process(b->session, process);

	return !b->pid || (p && p->pid == b->pid);
}

static int find_reason(struct osp_books *b, const char *name, size_t *out)
{
	size_t i = 0;
	int r;

	while (i < b->reason_count && strcmp(b->reasons[i].name, name))
		i++;
	*out = i;
	if (i < b->reason_count)
		return 0;
	if (i == OSP_BOOKS_REASONS)
		return -E2BIG;
	b->reasons[i].name = name;
	b->reasons[i].known = osp_reason_find(name);
	r = osp_arena_keep(b->texts, &b->reasons[i].name);
	if (!r)
		b->reason_count++;
	return r;
}

static int take_losses(struct osp_books *b, const struct osp_loss_row *row,
		       struct osp_books_page *page)
{
	struct osp_books_share *list = osp_arena_alloc(b->texts, row->count, sizeof(*list));

	page->losses = list;
	for (size_t i = 0; list && i < row->count; i++) {
		size_t reason;
		int r = row->lost[i] ? find_reason(b, row->reasons[i], &reason) : 0;

		if (r)
			return r;
		if (!row->lost[i])
			continue;
		list[page->loss_count++] = (struct osp_books_share){reason, row->lost[i]};
		b->reasons[reason].lost += row->lost[i];
		page->lost += row->lost[i];
		if (b->reasons[reason].known->kind == OSP_REASON_MISSING)
			page->missing += row->lost[i];
		if (b->reasons[reason].known->kind == OSP_REASON_CHOSEN)
			b->chosen += row->lost[i];
	}
	return list ? 0 : -ENOMEM;
}

static int take_loss(struct osp_books *b, const struct osp_part *part)
{
	struct osp_books_page p = {.process = part->loss.process,
				   .provider = part->loss.provider,
				   .probe = part->loss.probe,
				   .hits = part->loss.hits,
				   .stored = part->loss.stored};
	int r = osp_rows_grow((void **)&b->pages, b->page_count, sizeof(p), ROWS_MAX);

	r = r ? r : osp_arena_keep(b->texts, &p.provider);
	r = r ? r : osp_arena_keep(b->texts, &p.probe);
	r = r ? r : take_losses(b, &part->loss, &p);
	if (r)
		return r;
	b->processes += !b->page_count || b->pages[b->page_count - 1].process != p.process;
	b->hits += p.hits;
	b->stored += p.stored;
	b->lost += p.lost;
	b->missing += p.missing;
	b->open += p.hits != p.stored + p.lost;
	b->pages[b->page_count++] = p;
	return 0;
}

static int take_gap(struct osp_books *b, const struct osp_part *part)
{
	struct osp_books_gap g = {.from_ns = limit_time(part->gap.from_ns),
				  .to_ns = limit_time(part->gap.to_ns),
				  .process = part->gap.process,
				  .lost = part->gap.lost,
				  .reason = part->gap.reason};
	int r;

	if (osp_reason_find(g.reason)->kind != OSP_REASON_MISSING)
		return 0;
	if (g.to_ns < g.from_ns)
		g.to_ns = g.from_ns;
	r = osp_rows_grow((void **)&b->gaps, b->gap_count, sizeof(g), ROWS_MAX);
	r = r ? r : osp_arena_keep(b->texts, &g.reason);
	if (!r)
		b->gaps[b->gap_count++] = g;
	return r;
}

static int take_attach(struct osp_books *b, const struct osp_part *part)
{
	const struct osp_attach_row *a = &part->attach;

	if (!b->from_ns || a->from_ns < b->from_ns)
		b->from_ns = a->from_ns;
	if (a->to_ns > b->to_ns)
		b->to_ns = a->to_ns;
	return 0;
}

static uint32_t process_of(const struct osp_part *part)
{
	return part->kind == OSP_PART_LOSS  ? part->loss.process
	       : part->kind == OSP_PART_GAP ? part->gap.process
					    : part->attach.process;
}

static int take_all(struct osp_books *b, enum osp_part_kind kind,
		    int (*take)(struct osp_books *, const struct osp_part *))
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(b->session->store, kind, &c);

	if (r)
		return r;
	while (!(r = osp_cursor_next_part(c, &part))) {
		r = is_wanted(b, process_of(&part)) ? take(b, &part) : 0;
		if (r)
			return r;
	}
	return r < 0 ? r : 0;
}

/* A file that claims more than was stored is not believed. */
static void take_forgotten(struct osp_books *b)
{
	for (size_t i = 0; i < b->session->forgotten_count; i++) {
		const struct osp_forgotten *f = &b->session->forgotten[i];
		uint64_t left = b->stored - b->forgotten;

		if (is_wanted(b, f->process))
			b->forgotten += f->steps < left ? f->steps : left;
	}
}

/* ---- intervals ---- */

static int by_begin(const void *a, const void *b)
{
	const struct osp_books_gap *x = a, *y = b;

	if (x->from_ns != y->from_ns)
		return x->from_ns < y->from_ns ? -1 : 1;
	return (x->process > y->process) - (x->process < y->process);
}

/* The interval under way, and who has lost how much in it: by place among the processes. */
struct joining {
	struct osp_books_interval *interval;
	uint64_t most;
	struct {
		size_t interval; /* number of the one that `lost` belongs to, from 1 */
		uint64_t lost;
	} * losers;
};

static int begin_interval(struct osp_books *b, const struct osp_books_gap *g, struct joining *j)
{
	int r = osp_rows_grow((void **)&b->intervals, b->interval_count, sizeof(*b->intervals),
			      ROWS_MAX);

	if (r)
		return r;
	j->interval = &b->intervals[b->interval_count++];
	j->most = 0;
	*j->interval = (struct osp_books_interval){.from_ns = g->from_ns, .to_ns = g->to_ns};
	return 0;
}

static int add_gap(struct osp_books *b, const struct osp_books_gap *g, struct joining *j)
{
	const struct osp_process_row *p = osp_session_process(b->session, g->process);
	size_t place = p ? (size_t)(p - b->session->processes) : b->session->process_count;
	size_t reason;
	int r = find_reason(b, g->reason, &reason);

	if (!r && (!j->interval || g->from_ns > add_time(j->interval->to_ns, near_ns)))
		r = begin_interval(b, g, j);
	if (r)
		return r;
	if (j->losers[place].interval != b->interval_count) {
		j->losers[place].interval = b->interval_count;
		j->losers[place].lost = 0;
		j->interval->processes++;
	}
	j->losers[place].lost += g->lost;
	if (j->losers[place].lost > j->most) {
		j->most = j->losers[place].lost;
		j->interval->process = g->process;
	}
	j->interval->lost += g->lost;
	j->interval->reasons |= 1ull << reason;
	if (g->to_ns > j->interval->to_ns)
		j->interval->to_ns = g->to_ns;
	return 0;
}

static int join_gaps(struct osp_books *b)
{
	size_t room = b->session->process_count + 1;
	struct joining j = {.losers = calloc(room, sizeof(*j.losers))};
	int64_t reach_ns = INT64_MIN;
	int r = j.losers ? 0 : -ENOMEM;

	if (b->gap_count)
		qsort(b->gaps, b->gap_count, sizeof(*b->gaps), by_begin);
	for (size_t i = 0; !r && i < b->gap_count; i++) {
		r = add_gap(b, &b->gaps[i], &j);
		reach_ns = b->gaps[i].to_ns > reach_ns ? b->gaps[i].to_ns : reach_ns;
		b->gaps[i].reach_ns = reach_ns;
	}
	free(j.losers);
	return r;
}

const struct osp_books_gap *osp_books_search_gaps(const struct osp_books_gap *gaps, size_t count,
						  uint32_t process, int64_t from_ns, int64_t to_ns)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (gaps[middle].from_ns <= to_ns)
			low = middle + 1;
		else
			high = middle;
	}
	/* backwards, as long as an earlier one may reach into the time */
	while (low-- > 0 && gaps[low].reach_ns >= from_ns)
		if (gaps[low].to_ns >= from_ns && (!process || gaps[low].process == process))
			return &gaps[low];
	return NULL;
}

bool osp_books_find_gap(const struct osp_books *b, uint32_t process, int64_t from_ns, int64_t to_ns,
			const struct osp_books_gap **out)
{
	const struct osp_books_gap *g;

	from_ns = add_time(from_ns, -early_ns);
	to_ns = add_time(to_ns, late_ns);
	g = osp_books_search_gaps(b->gaps, b->gap_count, process, from_ns, to_ns);
	if (!g && process)
		g = osp_books_search_gaps(b->gaps, b->gap_count, 0, from_ns, to_ns);
	if (g)
		*out = g;
	return g;
}

bool osp_books_doubt(const struct osp_books *b, const struct osp_trace *t)
{
	const struct osp_books_gap *gap;

	return !b->session->ended && osp_books_find_gap(b, 0, t->start_ns, t->end_ns, &gap);
}

/* ---- reading ---- */

static bool has_pid(const struct osp_session *s, uint32_t pid)
{
	for (size_t i = 0; i < s->process_count; i++)
		if (s->processes[i].pid == pid)
			return true;
	return !pid;
}

int osp_books_read(struct osp_books **out, const struct osp_session *s, uint32_t pid)
{
	_cleanup_(osp_books_free) struct osp_books *b = calloc(1, sizeof(*b));
	int r;

	if (!b || !(b->texts = calloc(1, sizeof(struct osp_arena))))
		return -ENOMEM;
	b->session = s;
	b->pid = pid;
	if (!has_pid(s, pid))
		return -ESRCH;
	r = take_all(b, OSP_PART_LOSS, take_loss);
	take_forgotten(b);
	r = r ? r : take_all(b, OSP_PART_GAP, take_gap);
	r = r ? r : take_all(b, OSP_PART_ATTACH, take_attach);
	r = r ? r : join_gaps(b);
	if (r)
		return r;
	*out = TAKE_PTR(b);
	return 0;
}

bool osp_books_is_forgotten(const struct osp_books *b, const struct osp_books_interval *i)
{
	return b->forgotten && (!b->found || i->from_ns < b->first_ns);
}

bool osp_books_are_whole(const struct osp_books *b)
{
	return b->session->ended && !b->open && !b->missing && !b->session->bad_records &&
	       !b->session->children_lost;
}

/* ---- what the losses touched ---- */

static struct osp_books_interval *find_interval(const struct osp_books *b, int64_t time_ns)
{
	size_t low = 0, high = b->interval_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->intervals[middle].to_ns < time_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->interval_count && b->intervals[low].from_ns <= time_ns ? &b->intervals[low]
									       : NULL;
}

static void count_row(struct osp_books *b, const struct osp_row *row)
{
	if (row->step_count && (!b->found || row->steps[0].time_ns < b->first_ns))
		b->first_ns = row->steps[0].time_ns;
	b->found += row->step_count;
	for (size_t i = 0; i < row->step_count; i++) {
		int64_t time_ns = row->steps[i].time_ns;
		struct osp_books_interval *interval = find_interval(b, time_ns);

		if (interval)
			interval->stored++;
		b->last_ns = time_ns > b->last_ns ? time_ns : b->last_ns;
	}
}

static int count_rows(struct osp_books *b)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(b->session->store, OSP_PART_ROW, &c);

	while (!r && !(r = osp_cursor_next_part(c, &part)))
		if (is_wanted(b, part.row.process))
			count_row(b, &part.row);
	return r < 0 ? r : 0;
}

static void count_trace(struct osp_books *b, const struct osp_trace *t)
{
	const uint32_t partial = OSP_MARK_MAY_BE_CUT | OSP_MARK_BEGAN_BEFORE | OSP_MARK_INCOMPLETE;
	uint32_t marks = t->marks | (osp_books_doubt(b, t) ? OSP_MARK_MAY_BE_CUT : 0);
	const struct osp_books_gap *gap;

	b->traces.all++;
	b->traces.whole += !(marks & partial);
	for (size_t i = 0; i < OSP_BOOKS_MARKS; i++)
		b->traces.marked[i] += marks >> i & 1;
	if (marks & OSP_MARK_MAY_BE_CUT)
		b->traces.by_loss += osp_books_find_gap(b, 0, t->start_ns, t->end_ns, &gap);
}

static int count_traces(struct osp_books *b)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_trace_query q = {.limit = -1};
	struct osp_trace t;
	int r = osp_store_traces(b->session->store, &q, &c);

	while (!r && !(r = osp_cursor_next_trace(c, &t)))
		count_trace(b, &t);
	return r < 0 ? r : 0;
}

int osp_books_count(struct osp_books *b)
{
	int r = count_rows(b);

	r = r ? r : count_traces(b);
	b->counted = !r;
	return r;
}
