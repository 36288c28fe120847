/*
 * Who is traced (a table by slot), fed by the pipeline with inputs and with the headers of
 * records. Owns the processes, the shared views, and the merged list of times in which something
 * was or may have been lost; hands process, attach and gap rows to the sink.
 *
 * A loss shows when a record of a process carries a larger `lost` than all before: it happened
 * between the process' previous record and this one.
 */
#include "user/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"

enum { CUTS_MAX = 65536, STRING_MAX = 4096, VIEWS_MAX = 4096 };

struct cut {
	int64_t from_ns, to_ns;
};

struct osp_roster {
	const struct osp_catalogue *catalogue; /* borrowed */
	osp_roster_part_fn part;
	void *arg;
	struct osp_tracee *tracees[OSP_EVENT_PROCESSES];
	uint32_t count; /* highest slot in use + 1 */
	uint32_t keys;	/* processes so far */
	struct osp_unsure all;
	size_t unsure_now; /* intervals that last */
	struct osp_view **views;
	size_t view_count;
	uint64_t views_made;
	struct cut *cuts; /* disjoint, ascending */
	size_t cut_count, cut_room;
	uint8_t visible[OSP_CATALOGUE_POINTS / 8]; /* in any process */
	uint8_t fires[OSP_CATALOGUE_POINTS / 8];   /* in any process, as this and the next tell */
	uint8_t carries[OSP_CATALOGUE_POINTS / 8];
	uint8_t told[OSP_CATALOGUE_POINTS / 8];	  /* some process has it: */
	uint8_t wanted[OSP_CATALOGUE_POINTS / 8]; /* and this is what was told of it last */
	uint8_t hidden_level; /* others from this level up are not wanted, as far as was told */
	int64_t detach_ns;    /* when detaching everything began; 0 = not yet */
	bool untold;	      /* some process has steps but no list of sites */
};

int osp_roster_new(struct osp_roster **out, const struct osp_catalogue *c, osp_roster_part_fn part,
		   void *arg)
{
	struct osp_roster *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->catalogue = c;
	r->part = part;
	r->arg = arg;
	r->hidden_level = OSP_LEVEL_DEBUG + 1;
	*out = r;
	return 0;
}

static void free_tracee(struct osp_tracee *t)
{
	if (!t)
		return;
	free(t->strings);
	free(t->attached);
	free(t);
}

static void free_view(const struct osp_roster *r, struct osp_view *v)
{
	for (size_t i = 0; i < r->catalogue->operation_count; i++)
		free(v->automata[i]);
	free(v);
}

void osp_roster_free(struct osp_roster **roster)
{
	struct osp_roster *r = *roster;

	if (!r)
		return;
	for (uint32_t i = 0; i < r->count; i++)
		free_tracee(r->tracees[i]);
	for (size_t i = 0; i < r->view_count; i++)
		free_view(r, r->views[i]);
	free(r->views);
	free(r->cuts);
	free(r);
	*roster = NULL;
}

struct osp_tracee *osp_roster_at(const struct osp_roster *r, uint32_t slot)
{
	return slot < r->count ? r->tracees[slot] : NULL;
}

uint32_t osp_roster_count(const struct osp_roster *r)
{
	return r->count;
}

static int tell_process(struct osp_roster *r, const struct osp_tracee *t)
{
	struct osp_part part = {.kind = OSP_PART_PROCESS, .process = t->row};

	return r->part(r->arg, &part);
}

/* The process of a slot, made if there is none; the caller tells the sink. */
static int enter(struct osp_roster *r, uint32_t slot, int64_t time_ns, struct osp_tracee **out)
{
	struct osp_tracee *t;

	if (slot >= OSP_EVENT_PROCESSES)
		return -ERANGE;
	if (!r->tracees[slot]) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->slot = slot;
		t->row = (struct osp_process_row){
			.key = ++r->keys, .seen_ns = time_ns, .comm = "", .exe = "", .cmdline = ""};
		t->unsure = (struct osp_unsure){INT64_MIN, INT64_MIN, INT64_MIN, 0};
		osp_list_init(&t->open);
		r->tracees[slot] = t;
		if (slot >= r->count)
			r->count = slot + 1;
	}
	*out = r->tracees[slot];
	return 0;
}

int osp_roster_meet(struct osp_roster *r, uint32_t slot, int64_t time_ns, struct osp_tracee **out)
{
	bool known = osp_roster_at(r, slot);
	int e = enter(r, slot, time_ns, out);

	return e || known ? e : tell_process(r, *out);
}

int osp_roster_find(struct osp_roster *r, const struct osp_record *record, struct osp_tracee **out)
{
	struct osp_tracee *t = osp_roster_at(r, record->process);
	int e;

	*out = t;
	if (t && t->row.pid)
		return 0;
	e = enter(r, record->process, (int64_t)record->time_ns, &t);
	if (e)
		return e == -ERANGE ? 0 : e;
	t->row.pid = record->pid;
	t->row.exec_id = record->exec_id;
	t->row.start_ns = (int64_t)record->start_ns;
	*out = t;
	return tell_process(r, t);
}

/* The live process with this pid, if any is known. */
static struct osp_tracee *find_pid(const struct osp_roster *r, uint32_t pid)
{
	for (uint32_t i = r->count; i-- > 0;)
		if (r->tracees[i] && r->tracees[i]->row.pid == pid && !r->tracees[i]->ended)
			return r->tracees[i];
	return NULL;
}

/*
 * Copies the three strings into one block that the process owns. A process may call itself what
 * it likes: what is not UTF-8 is escaped, so that a store takes it. */
static int copy_strings(struct osp_tracee *t, const struct osp_input_process *p)
{
	const char *from[3] = {p->comm ? p->comm : "", p->exe ? p->exe : "",
			       p->cmdline ? p->cmdline : ""};
	size_t size[3], total = 0;
	char *block, *at;

	for (int i = 0; i < 3; i++) {
		size[i] = strnlen(from[i], STRING_MAX);
		total += 4 * size[i] + 1;
	}
	block = at = malloc(total);
	if (!block)
		return -ENOMEM;
	for (int i = 0; i < 3; i++) {
		const char *text = at;

		at += osp_text_format_utf8(at, 4 * size[i] + 1, from[i], size[i]) + 1;
		from[i] = text;
	}
	free(t->strings);
	t->strings = block;
	t->row.comm = from[0];
	t->row.exe = from[1];
	t->row.cmdline = from[2];
	return 0;
}

int osp_roster_add_process(struct osp_roster *r, const struct osp_input *in)
{
	const struct osp_input_process *p = &in->process;
	struct osp_tracee *t, *parent;
	int e = enter(r, p->slot, in->time_ns, &t);

	if (e)
		return e == -ERANGE ? 0 : e;
	e = copy_strings(t, p);
	if (e)
		return e;
	t->row.pid = p->pid;
	t->row.namespace_pid = p->namespace_pid;
	t->row.uid = p->uid;
	t->row.exec_id = p->exec_id;
	t->row.start_ns = (int64_t)p->start_ns;
	parent = p->parent_pid ? find_pid(r, p->parent_pid) : NULL;
	if (parent && parent != t && !t->row.parent_key)
		t->row.parent_key = parent->row.key;
	return tell_process(r, t);
}

static int tell_attached(struct osp_roster *r, const struct osp_tracee *t,
			 const struct osp_attached *a, int64_t to_ns)
{
	struct osp_part part = {
		.kind = OSP_PART_ATTACH,
		.attach = {.process = t->row.key,
			   .provider = a->point->provider,
			   .probe = a->point->probe,
			   .level = osp_level_to_str(a->point->level),
			   .from_ns = a->from_ns,
			   .to_ns = to_ns,
			   .sites = a->sites},
	};

	return r->part(r->arg, &part);
}

static struct osp_attached *find_attached(struct osp_tracee *t, const struct osp_point *p)
{
	for (size_t i = 0; i < t->attached_count; i++)
		if (t->attached[i].point == p)
			return &t->attached[i];
	return NULL;
}

/* The attach row is told at once, open-ended, and again when the interval is known. */
static int attach_point(struct osp_roster *r, struct osp_tracee *t, const struct osp_input *in)
{
	const struct osp_point *p = r->catalogue->points[in->sites.point];
	struct osp_attached *a = find_attached(t, p), *more;

	if (!a) {
		more = realloc(t->attached, (t->attached_count + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->attached = more;
		a = &more[t->attached_count++];
		*a = (struct osp_attached){.point = p, .from_ns = in->time_ns};
	}
	if (a->sites == in->sites.sites)
		return 0;
	a->sites = in->sites.sites;
	return tell_attached(r, t, a, 0);
}

static int detach_point(struct osp_roster *r, struct osp_tracee *t, const struct osp_input *in)
{
	struct osp_attached *a = find_attached(t, r->catalogue->points[in->sites.point]);
	int e;

	if (!a)
		return 0;
	e = tell_attached(r, t, a, in->time_ns);
	*a = t->attached[--t->attached_count];
	return e;
}

static bool get_bit(const uint8_t *set, uint16_t n)
{
	return set[n / 8] >> n % 8 & 1;
}

static void set_bit(uint8_t *set, uint16_t n, bool on)
{
	uint8_t mask = (uint8_t)(1u << n % 8);

	set[n / 8] = on ? set[n / 8] | mask : set[n / 8] & (uint8_t)~mask;
}

/*
 * Processes of which nothing is known (they ended too soon) are as the others are: what was told
 * of a point last holds for them, and a point above the essential level that was found and not
 * attached tells the level of the recording. An essential one that never was attached could not be.
 */
static void learn_wanted(struct osp_roster *r, const struct osp_point *p, bool wanted)
{
	uint8_t level = r->hidden_level;

	if (!wanted && p->level == OSP_LEVEL_ESSENTIAL && !get_bit(r->told, p->number))
		return;
	if (wanted && p->level >= level)
		level = (uint8_t)(p->level + 1);
	if (!wanted && p->level != OSP_LEVEL_ESSENTIAL && p->level < level)
		level = (uint8_t)p->level;
	if (get_bit(r->told, p->number) && get_bit(r->wanted, p->number) == wanted &&
	    level == r->hidden_level)
		return;
	set_bit(r->told, p->number, true);
	set_bit(r->wanted, p->number, wanted);
	r->hidden_level = level;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->tracees[i] && !r->tracees[i]->told_sites)
			r->tracees[i]->view = NULL;
}

static bool is_known_wanted(const struct osp_roster *r, const struct osp_point *p)
{
	return get_bit(r->told, p->number) ? get_bit(r->wanted, p->number)
					   : (uint8_t)p->level < r->hidden_level;
}

/* Steps that are on their way when their point is switched are judged as they were made. */
static void show_point(struct osp_tracee *t, const struct osp_input *in)
{
	const struct osp_input_sites *s = &in->sites;

	bool fires = s->attached && s->fires;
	bool drop = !s->attached && get_bit(t->visible, s->point);
	bool quiet = !fires && get_bit(t->fires, s->point);

	if (drop)
		set_bit(t->dropped, s->point, true);
	if (quiet)
		set_bit(t->quiet, s->point, true);
	if (drop || quiet)
		t->switched_ns = in->time_ns;
	set_bit(t->visible, s->point, s->attached);
	set_bit(t->fires, s->point, fires);
}

int osp_roster_add_sites(struct osp_roster *r, const struct osp_input *in)
{
	const struct osp_input_sites *s = &in->sites;
	struct osp_tracee *t;
	int e;

	if (s->point >= r->catalogue->point_count)
		return 0;
	e = enter(r, s->slot, in->time_ns, &t);
	if (e)
		return e == -ERANGE ? 0 : e;
	t->told_sites = true;
	t->view = NULL;
	show_point(t, in);
	if (s->attached) {
		set_bit(s->fires ? r->fires : r->carries, s->point, true);
		set_bit(r->visible, s->point, true);
	}
	learn_wanted(r, r->catalogue->points[s->point], s->attached);
	return s->attached ? attach_point(r, t, in) : detach_point(r, t, in);
}

int osp_roster_end_attached(struct osp_roster *r, int64_t time_ns)
{
	if (r->detach_ns)
		time_ns = r->detach_ns;
	for (uint32_t i = 0; i < r->count; i++) {
		struct osp_tracee *t = r->tracees[i];

		for (size_t k = 0; t && k < t->attached_count; k++) {
			int e = tell_attached(r, t, &t->attached[k],
					      t->ended ? t->row.end_ns : time_ns);

			if (e)
				return e;
		}
	}
	return 0;
}

/* ---- times in which something was or may have been lost ---- */

/*
 * The older half of a full list, joined two by two: what lies between two losses counts as lost,
 * too. So a loss costs the same however many there were before.
 */
static void join_older(struct osp_roster *r)
{
	size_t pairs = r->cut_count / 4;

	for (size_t i = 0; i < pairs; i++)
		r->cuts[i] = (struct cut){r->cuts[2 * i].from_ns, r->cuts[2 * i + 1].to_ns};
	r->cut_count -= pairs;
	memmove(r->cuts + pairs, r->cuts + 2 * pairs, (r->cut_count - pairs) * sizeof(*r->cuts));
}

/* Enters an interval into the merged list. */
static int add_cut(struct osp_roster *r, int64_t from_ns, int64_t to_ns)
{
	struct cut *more;

	while (r->cut_count && r->cuts[r->cut_count - 1].to_ns >= from_ns) {
		struct cut *last = &r->cuts[--r->cut_count];

		from_ns = last->from_ns < from_ns ? last->from_ns : from_ns;
		to_ns = last->to_ns > to_ns ? last->to_ns : to_ns;
	}
	if (r->cut_count == CUTS_MAX)
		join_older(r);
	if (r->cut_count == r->cut_room) {
		size_t room = r->cut_room ? r->cut_room * 2 : 64;

		more = realloc(r->cuts, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->cuts = more;
		r->cut_room = room;
	}
	r->cuts[r->cut_count++] = (struct cut){from_ns, to_ns};
	return 0;
}

/* An interval whose end has not come yet. */
static bool lasts(const struct osp_unsure *u)
{
	return u->to_ns == INT64_MAX;
}

static int begin_unsure(struct osp_roster *r, struct osp_unsure *u, int64_t time_ns)
{
	if (u->depth++)
		return 0;
	if (u->to_ns > u->earlier_to_ns)
		u->earlier_to_ns = u->to_ns;
	u->from_ns = time_ns;
	u->to_ns = INT64_MAX;
	r->unsure_now++;
	return 0;
}

int osp_roster_add_attach(struct osp_roster *r, const struct osp_input *in)
{
	struct osp_unsure *u = &r->all;
	struct osp_tracee *t;
	int e;

	if (in->attach.slot != UINT32_MAX) {
		e = enter(r, in->attach.slot, in->time_ns, &t);
		if (e)
			return e == -ERANGE ? 0 : e;
		u = &t->unsure;
	}
	if (in->attach.begins && in->attach.detach && u == &r->all)
		r->detach_ns = in->time_ns;
	if (in->attach.begins)
		return begin_unsure(r, u, in->time_ns);
	if (!u->depth || --u->depth)
		return 0;
	u->to_ns = in->time_ns;
	r->unsure_now--;
	return add_cut(r, u->from_ns, u->to_ns);
}

/* Earlier intervals are only known by their last end: they all began before the latest did. */
static bool overlaps(const struct osp_unsure *u, int64_t from_ns, int64_t to_ns)
{
	return from_ns < u->earlier_to_ns || (u->from_ns <= to_ns && from_ns < u->to_ns);
}

bool osp_roster_unsure(const struct osp_roster *r, const struct osp_tracee *t, int64_t from_ns,
		       int64_t to_ns)
{
	return overlaps(&r->all, from_ns, to_ns) || overlaps(&t->unsure, from_ns, to_ns);
}

/* The first interval that does not end before the time. */
static size_t find_cut(const struct osp_roster *r, int64_t time_ns)
{
	size_t low = 0, high = r->cut_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (r->cuts[middle].to_ns < time_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool osp_roster_cut(const struct osp_roster *r, int64_t from_ns, int64_t to_ns)
{
	size_t at = find_cut(r, from_ns);

	if (at < r->cut_count && r->cuts[at].from_ns <= to_ns)
		return true;
	if (!r->unsure_now)
		return false;
	if (lasts(&r->all) && r->all.from_ns <= to_ns)
		return true;
	for (uint32_t i = 0; i < r->count; i++) {
		const struct osp_tracee *t = r->tracees[i];

		if (t && lasts(&t->unsure) && t->unsure.from_ns <= to_ns)
			return true;
	}
	return false;
}

static int tell_gap(struct osp_roster *r, struct osp_gap_row *gap)
{
	struct osp_part part = {.kind = OSP_PART_GAP, .gap = *gap};

	if (!gap->lost)
		return 0;
	gap->lost = 0;
	return r->part(r->arg, &part);
}

/* A gap is told when a record shows that it has stopped growing. */
static int flush_gap(struct osp_roster *r, struct osp_tracee *t)
{
	return tell_gap(r, &t->gap);
}

/* Losses of consecutive records make one gap. */
static int add_gap(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns, uint64_t lost)
{
	int64_t from_ns = t->records ? t->last_ns : t->row.seen_ns;

	from_ns = from_ns < time_ns ? from_ns : time_ns;
	if (!t->gap.lost)
		t->gap = (struct osp_gap_row){.process = t->row.key, .from_ns = from_ns};
	t->gap.to_ns = time_ns;
	t->gap.lost += lost - t->lost;
	t->lost = lost;
	t->gap_record = t->records + 1;
	return add_cut(r, from_ns, time_ns);
}

/* The larger part of a new gap names it. */
static const char *name_gap(const struct osp_tracee *t, uint64_t kernel_lost, const char *reason)
{
	uint64_t kernel = kernel_lost - t->kernel_lost;
	uint64_t discarded = t->discarded + t->kernel_lost - t->lost;

	return discarded > kernel ? "overload" : reason;
}

static const char *const reasons[OSP_LOSS_COUNT] = {
#define X(id, name, help) [OSP_LOSS_##id] = name,
	OSP_LOSS_REASONS(X)
#undef X
};

/* Why the process lost steps last, as the record tells. */
static const char *record_reason(const struct osp_record *record)
{
	uint16_t reason = record->flags >> OSP_RECORD_REASON;

	return reasons[reason && reason <= OSP_LOSS_KERNEL_COUNT ? reason - 1 : OSP_LOSS_RING_FULL];
}

int osp_roster_add_step(struct osp_roster *r, struct osp_tracee *t, const struct osp_record *record,
			int64_t time_ns)
{
	uint64_t kernel_lost = record->lost > t->kernel_lost ? record->lost : t->kernel_lost;
	const char *reason = name_gap(t, kernel_lost, record_reason(record));
	int e;

	if (kernel_lost + t->discarded > t->lost) {
		e = add_gap(r, t, time_ns, kernel_lost + t->discarded);
		t->gap.reason = reason;
	} else {
		e = flush_gap(r, t);
	}
	t->kernel_lost = kernel_lost;
	t->records++;
	t->last_ns = time_ns > t->last_ns ? time_ns : t->last_ns;
	if (record->point < OSP_CATALOGUE_POINTS)
		set_bit(r->visible, (uint16_t)record->point, true);
	r->untold = r->untold || !t->told_sites;
	return e;
}

/* Of these the operation is known, and stored but for the step. */
static bool has_operation(enum osp_loss_reason reason)
{
	return reason == OSP_LOSS_LATE || reason == OSP_LOSS_STEPS_FULL;
}

/* Losses of one reason make one gap, until the next tick. Their times need not rise. */
int osp_roster_add_loss(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns,
			enum osp_loss_reason reason, bool anywhere)
{
	struct osp_gap_row *gap = &t->missing;
	int e = gap->lost && gap->reason != reasons[reason] ? tell_gap(r, gap) : 0;

	if (e)
		return e;
	if (!gap->lost)
		*gap = (struct osp_gap_row){.process = t->row.key,
					    .from_ns = time_ns,
					    .to_ns = time_ns,
					    .reason = reasons[reason]};
	gap->from_ns = time_ns < gap->from_ns ? time_ns : gap->from_ns;
	gap->to_ns = time_ns > gap->to_ns ? time_ns : gap->to_ns;
	gap->lost++;
	t->missed += !has_operation(reason);
	if (anywhere)
		t->gap_record = t->records;
	return add_cut(r, gap->from_ns, gap->to_ns);
}

bool osp_roster_misses(const struct osp_tracee *t)
{
	return t->lost || t->missed;
}

bool osp_roster_any_misses(const struct osp_roster *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->tracees[i] && osp_roster_misses(r->tracees[i]))
			return true;
	return false;
}

void osp_roster_add_discarded(struct osp_tracee *t, uint64_t steps)
{
	t->discarded += steps;
}

int osp_roster_add_tail(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns, uint64_t lost,
			const char *reason)
{
	uint64_t kernel_lost = lost > t->kernel_lost ? lost : t->kernel_lost;
	int e;

	if (kernel_lost + t->discarded <= t->lost)
		return 0;
	reason = name_gap(t, kernel_lost, reason);
	e = flush_gap(r, t);
	if (!e)
		e = add_gap(r, t, time_ns, kernel_lost + t->discarded);
	t->kernel_lost = kernel_lost;
	t->gap.reason = reason;
	t->records++;
	return e ? e : flush_gap(r, t);
}

void osp_roster_recover(struct osp_tracee *t)
{
	if (t->gap.lost)
		t->gap.lost--;
}

int osp_roster_flush_gaps(struct osp_roster *r)
{
	int e = 0;

	for (uint32_t i = 0; i < r->count && !e; i++) {
		struct osp_tracee *t = r->tracees[i];

		if (!t)
			continue;
		e = flush_gap(r, t);
		e = e ? e : tell_gap(r, &t->missing);
	}
	return e;
}

uint64_t osp_roster_lost(const struct osp_roster *r)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < r->count; i++)
		lost += r->tracees[i] ? r->tracees[i]->lost : 0;
	return lost;
}

/* ---- births and deaths ---- */

int osp_roster_add_fork(struct osp_roster *r, const struct osp_record *record)
{
	struct osp_tracee *child, *parent = osp_roster_at(r, record->site);
	int e = osp_roster_find(r, record, &child);

	if (e || !child || !parent || parent == child)
		return e;
	if (!child->told_sites) {
		child->told_sites = parent->told_sites;
		memcpy(child->visible, parent->visible, sizeof(child->visible));
		memcpy(child->fires, parent->fires, sizeof(child->fires));
		child->view = NULL;
	}
	if (child->row.parent_key)
		return 0;
	child->row.parent_key = parent->row.key;
	return tell_process(r, child);
}

int osp_roster_end(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns, int32_t code)
{
	if (t->ended)
		return 0;
	t->ended = true;
	t->row.end_ns = time_ns;
	t->row.exit_code = code;
	return tell_process(r, t);
}

/* ---- views ---- */

bool osp_roster_sees(const struct osp_roster *r, const struct osp_point *point)
{
	return r->untold || get_bit(r->visible, point->number);
}

bool osp_roster_wants(const struct osp_roster *r, const struct osp_tracee *t,
		      const struct osp_point *point, int64_t time_ns)
{
	if (!t->told_sites)
		return is_known_wanted(r, point);
	return get_bit(t->visible, point->number) ||
	       (get_bit(t->dropped, point->number) && time_ns <= t->switched_ns);
}

bool osp_roster_fires(const struct osp_roster *r, const struct osp_tracee *t,
		      const struct osp_point *point, int64_t time_ns)
{
	if (t->told_sites && (get_bit(t->visible, point->number) || time_ns <= t->switched_ns))
		return get_bit(t->fires, point->number) ||
		       (get_bit(t->quiet, point->number) && time_ns <= t->switched_ns);
	return get_bit(r->fires, point->number) || !get_bit(r->carries, point->number);
}

/* Starts the views anew: only processes whose sites change all the time come here. */
static void clear_views(struct osp_roster *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->tracees[i])
			r->tracees[i]->view = NULL;
	for (size_t i = 0; i < r->view_count; i++)
		free_view(r, r->views[i]);
	r->view_count = 0;
}

/* Processes with equal sets of points share one view: there are few different programs. */
static int find_view(struct osp_roster *r, struct osp_tracee *t)
{
	uint8_t visible[sizeof(t->visible)];
	struct osp_view *v, **more;

	memcpy(visible, t->visible, sizeof(visible));
	for (uint16_t i = 0; !t->told_sites && i < r->catalogue->point_count; i++)
		set_bit(visible, i, is_known_wanted(r, r->catalogue->points[i]));
	for (size_t i = 0; i < r->view_count && !t->view; i++)
		if (!memcmp(r->views[i]->visible, visible, sizeof(visible)))
			t->view = r->views[i];
	if (t->view)
		return 0;
	if (r->view_count == VIEWS_MAX)
		clear_views(r);
	more = realloc(r->views, (r->view_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->views = more;
	v = calloc(1, sizeof(*v) + r->catalogue->operation_count * sizeof(v->automata[0]));
	if (!v)
		return -ENOMEM;
	v->serial = ++r->views_made;
	memcpy(v->visible, visible, sizeof(visible));
	r->views[r->view_count++] = v;
	t->view = v;
	return 0;
}

int osp_roster_view(struct osp_roster *r, struct osp_tracee *t, const struct osp_nfa *a,
		    const struct osp_operation *o, const struct osp_nfa_view **out)
{
	struct osp_nfa_view **view;
	int e = t->view ? 0 : find_view(r, t);

	if (e)
		return e;
	/* The roster owns what it shares: a process only borrows. */
	view = (struct osp_nfa_view **)&t->view->automata[o->number];
	if (!*view) {
		*view = malloc(sizeof(**view));
		if (!*view)
			return -ENOMEM;
		osp_nfa_init_view(a, t->view->visible, *view);
	}
	*out = *view;
	return 0;
}
