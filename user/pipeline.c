/*
 * The line that every input travels (user/pipeline.h), as a list:
 *
 *   record -> choice -> decode -> order -> stitch -> trace, link -> match -> parts -> sink
 *
 * The recorder, a replay and the tests feed it; the sink makes batches of what comes out. It owns
 * the stages and nothing else. What it does depends on its inputs alone, in their order: never on
 * how they are cut into batches, on a clock, or on an address.
 *
 * Threads: none. Queues: none. One call pushes one input all the way through.
 */
#include "user/pipeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/automaton.h"
#include "user/account.h"
#include "user/base/cleanup.h"
#include "user/base/text.h"
#include "user/choice.h"
#include "user/decode.h"
#include "user/link.h"
#include "user/match.h"
#include "user/order.h"
#include "user/reported.h"
#include "user/roster.h"
#include "user/stitch.h"
#include "user/trace.h"

static const int64_t time_max = 1ll << 62; /* times beyond make no sense */

struct osp_pipeline {
	const struct osp_catalogue *catalogue; /* borrowed */
	osp_sink_fn sink;
	void *arg;
	struct osp_roster *roster;
	struct osp_account *account;
	struct osp_forest *forest;
	struct osp_matcher *matcher;
	struct osp_linker *linker;
	struct osp_reported *reported;
	struct osp_stitch *stitch;
	struct osp_order order;
	struct osp_numbers_set *numbers;
	struct osp_decode_with with;
	struct osp_stamps stamps;
	struct osp_choice *choice; /* NULL: everything is taken */
	struct osp_tracee *tracee; /* whose record is on its way */
	struct osp_page *page;	   /* of the record's point */
	int64_t time_ns;	   /* when the record was made */
	bool walks;		   /* steps are taken one by one, always */
	struct osp_run run;	   /* the steps of the record, if taken at once */
	bool started, stopped;
	bool loses; /* steps of the record on its way only count as lost: */
	enum osp_loss_reason loss;
	int failed; /* the sink's error: nothing goes through any more */
	uint64_t records, events, runs, spans;
	uint64_t bad, bad_told; /* records and inputs of which nobody knows what they tell of */
};

static int tell(void *arg, const struct osp_part *part)
{
	struct osp_pipeline *p = arg;

	return p->sink(p->arg, part);
}

/* ---- stitch -> trace, link, sink ---- */

/* An operation appears: it gets its place among the traces, and stays findable while open. */
static int on_opened(void *arg, struct osp_open *o)
{
	struct osp_pipeline *p = arg;
	int r = osp_trace_add(p->forest, o->tracee->slot, o->id, &o->node);

	if (r)
		return r;
	osp_trace_pin(p->forest, o->node);
	o->node->open = o;
	return 0;
}

static int on_replaced(void *arg, struct osp_open *o)
{
	(void)arg;
	o->node->open = o;
	return 0;
}

static bool on_heeds(void *arg, const struct osp_operation *o, const struct osp_point *point)
{
	const struct osp_pipeline *p = arg;

	return osp_link_heeds(p->linker, o, point) || osp_reported_find(p->reported, point);
}

/* What a peer tells of its part counts only where nobody watches the peer. */
static int tell_reported(struct osp_pipeline *p, struct osp_open *o, const struct osp_event *e,
			 size_t span)
{
	struct osp_part row = {.kind = OSP_PART_ROW}, edge = {.kind = OSP_PART_EDGE};
	struct osp_trace_node *node;
	int r;

	if (osp_link_is_paired(o, osp_reported_find(p->reported, e->point)->link, span))
		return 0;
	r = osp_reported_make(p->reported, o, e, span, &row.row, &edge.edge);
	if (r)
		return r > 0 ? 0 : r;
	r = osp_trace_add(p->forest, o->tracee->slot, row.row.id, &node);
	if (!r)
		r = osp_trace_join(p->forest, node, o->node);
	if (r)
		return r;
	row.row.trace = osp_trace_key(node);
	row.row.process = o->tracee->row.key;
	r = tell(p, &row);
	if (r)
		return r == -E2BIG ? 0 : r;
	node->stored = true;
	return tell(p, &edge);
}

static int on_stepped(void *arg, struct osp_open *o, const struct osp_event *e, size_t span)
{
	struct osp_pipeline *p = arg;
	int r = osp_link_step(p->linker, o, e, span);

	return r || !osp_reported_find(p->reported, e->point) ? r : tell_reported(p, o, e, span);
}

/* The parent may not have been seen yet, or never will be: a node stands in for it. */
static int on_child(void *arg, struct osp_open *o)
{
	struct osp_pipeline *p = arg;
	struct osp_trace_node *parent;
	int r = osp_trace_add(p->forest, o->tracee->slot, o->parent_id, &parent);

	return r ? r : osp_trace_join(p->forest, o->node, parent);
}

/* The row is final: what is learnt of the operation from here on goes out as patches. */
static void forget_open(struct osp_pipeline *p, struct osp_open *o)
{
	struct osp_trace_node *n = o->node;

	n->marks = o->marks;
	n->open = NULL;
	o->node = NULL;
	osp_trace_unpin(p->forest, n);
}

static int on_part(void *arg, struct osp_open *o, bool complete)
{
	struct osp_pipeline *p = arg;
	struct osp_part part = {.kind = OSP_PART_ROW};
	int r;

	if (complete)
		osp_link_close(o);
	r = osp_stitch_row(p->stitch, o, complete, &part.row);
	if (r)
		return r;
	part.row.trace = osp_trace_key(o->node);
	part.row.process = o->tracee->row.key;
	part.row.complete = complete;
	r = tell(p, &part);
	if (r && r != -E2BIG)
		return r;
	/* Larger than a batch: it is not stored, and the recording goes on. */
	o->node->stored |= !r;
	r = osp_stitch_settle(p->stitch, o, !r);
	if (complete) {
		p->spans += o->span_count;
		forget_open(p, o);
	}
	return r;
}

/* ---- trace, match -> sink ---- */

static int tell_patch(struct osp_pipeline *p, uint64_t id, uint64_t trace, uint32_t marks)
{
	struct osp_part part = {.kind = OSP_PART_PATCH,
				.patch = {.id = id, .trace = trace, .marks = marks}};

	return tell(p, &part);
}

/* A stored row belongs to another trace now. */
static int on_moved(void *arg, const struct osp_trace_node *n)
{
	return tell_patch(arg, n->id, osp_trace_key(n), 0);
}

/* An open operation carries the mark in its next part; a stored one needs a patch, once. */
static int on_mark(void *arg, struct osp_trace_node *n, uint32_t marks)
{
	if (n->open) {
		n->open->changed |= marks & ~n->open->marks;
		n->open->marks |= marks;
		return 0;
	}
	marks &= ~n->marks;
	n->marks |= marks;
	return marks ? tell_patch(arg, n->id, 0, marks) : 0;
}

/* Nothing that somebody wanted is missing, or its gap is made of all of them: see roster.h. */
static bool is_told_otherwise(enum osp_loss_reason reason)
{
	return reason == OSP_LOSS_FORKED || reason == OSP_LOSS_FILTERED ||
	       reason == OSP_LOSS_DUPLICATE || reason == OSP_LOSS_SAMPLED ||
	       reason == OSP_LOSS_OVERLOAD || reason == OSP_LOSS_LIMITED;
}

/*
 * A step that came is stored nowhere. Its operation, if one is known, and its time say so; of a
 * step of others that made no sense nobody knows whose it was.
 */
static int lose_at(struct osp_pipeline *p, struct osp_tracee *t, uint64_t op_id, int64_t time_ns,
		   enum osp_loss_reason reason)
{
	struct osp_trace_node *n = op_id ? osp_trace_find(p->forest, t->slot, op_id) : NULL;
	int r;

	if (is_told_otherwise(reason))
		return 0;
	r = osp_roster_add_loss(p->roster, t, time_ns, reason, !op_id && reason == OSP_LOSS_DECODE);
	return !r && n && (n->open || n->stored) ? on_mark(p, n, OSP_MARK_MAY_BE_CUT) : r;
}

static int on_lost(void *arg, struct osp_tracee *t, const struct osp_event *e,
		   enum osp_loss_reason reason)
{
	return lose_at(arg, t, e->op_id, e->time_ns, reason);
}

static int on_edge(void *arg, const struct osp_edge *edge)
{
	struct osp_part part = {.kind = OSP_PART_EDGE, .edge = *edge};

	return tell(arg, &part);
}

/* ---- order -> stitch ---- */

static int page_of(struct osp_pipeline *p, uint16_t point, struct osp_page **out)
{
	return osp_account_page(p->account, p->tracee->slot, p->tracee->row.key, point, out);
}

/* A step that a flush brings, and that had a hit and a record of its own for us. */
static bool is_copy(const struct osp_pipeline *p, const struct osp_event *e)
{
	return !e->trapped && e->fired && e->point &&
	       osp_roster_fires(p->roster, p->tracee, e->point, e->time_ns);
}

static int on_event(void *arg, const struct osp_event *e)
{
	struct osp_pipeline *p = arg;
	struct osp_page *page = p->page;
	int r = 0;

	if (page->point != e->point)
		r = osp_account_page(p->account, p->tracee->slot, p->tracee->row.key,
				     e->point->number, &page);
	p->events += !is_copy(p, e);
	return r ? r : osp_stitch_step(p->stitch, p->tracee, page, e);
}

/* ---- records ---- */

/* A step that never gets to the stitcher: a carried one is a hit, unless it had one of its own. */
static int lose_step(struct osp_pipeline *p, const struct osp_record *record,
		     const struct osp_event *e, struct osp_page *page, enum osp_loss_reason reason)
{
	if (is_copy(p, e))
		return 0;
	if (!e->trapped)
		osp_account_carry(page);
	if (reason == OSP_LOSS_OVERLOAD)
		osp_roster_add_discarded(p->tracee, 1);
	osp_account_lose(page, reason);
	return lose_at(p, p->tracee, record->op_id, p->time_ns, reason);
}

/* One step of a record; r is what decode says of it. A fork's copy holds the parent's steps, too. */
static int push_step(struct osp_pipeline *p, const struct osp_record *record,
		     const struct osp_event *e, int r)
{
	bool parents = record->flags & OSP_RECORD_FORKED && !e->forked;
	enum osp_loss_reason reason = r ? OSP_LOSS_DECODE : OSP_LOSS_FORKED;
	struct osp_page *page;
	int failed;

	if (!r && !e->forked && !parents && !p->loses)
		return osp_order_push(&p->order, e);
	if (!r && parents)
		return 0;
	failed = page_of(p, e->point ? e->point->number : (uint16_t)record->point, &page);
	if (!failed)
		failed = lose_step(p, record, e, page, p->loses ? p->loss : reason);
	return failed;
}

/* What became of a record's steps. */
struct decoded {
	bool trapped; /* the one of the hit was among them */
	bool unknown; /* there were others, and how many and which they were is unknown */
};

/* The rest of the block: where its steps begin is unknown, or it could not be read at all. */
static bool hides_steps(const struct osp_record *record, const struct osp_decoder *d)
{
	return record->flags & OSP_RECORD_CLEARED && (d->broken || record->data_size < 0) &&
	       d->next < (int64_t)record->sequence;
}

/*
 * All steps of a record at once. With the one ring there is nothing that they must be put in order
 * with. 1: they are to be taken one by one.
 */
static int push_run(struct osp_pipeline *p, const struct osp_decoder *decoder, struct decoded *out)
{
	struct osp_page *const *pages;
	struct osp_run *run = &p->run;
	size_t seen;
	int r = 0;

	if (p->walks || p->loses || !osp_decode_run(decoder, run))
		return 1;
	pages = osp_account_pages(p->account, p->tracee->slot);
	for (size_t i = 0; i < run->count && !r; i++) {
		run->steps[i].page = pages[run->points[i]];
		if (!run->steps[i].page)
			r = page_of(p, run->points[i], &run->steps[i].page);
	}
	if (!r)
		r = osp_stitch_run(p->stitch, p->tracee, run, &seen);
	if (r)
		return r;
	p->runs++;
	p->events += run->count - seen;
	*out = (struct decoded){.trapped = run->trapped};
	return 0;
}

static bool ends(const struct osp_point *p)
{
	for (size_t i = 0; i < p->operation_count; i++)
		if (osp_automaton_ends(p->operations[i], p))
			return true;
	return false;
}

/* A step that was peeked just before its flush, which is on its way: that brings it. */
static bool comes_yet(const struct osp_record *record, const struct osp_event *e)
{
	return record->kind == OSP_RECORD_LEFT && record->flags & OSP_RECORD_PEEKED && e->point &&
	       ends(e->point);
}

static int push_decoded(struct osp_pipeline *p, const struct osp_record *record, size_t size,
			struct decoded *out)
{
	struct osp_decoder decoder;
	struct osp_event event;
	int r = osp_decode_start(&decoder, &p->with, record, size, p->time_ns);

	if (r)
		return 0;
	r = push_run(p, &decoder, out);
	if (r <= 0)
		return r;
	r = 0;
	while (r <= 0) {
		r = osp_decode_next(&decoder, &event);
		if (r <= 0 && comes_yet(record, &event))
			return 0;
		if (r <= 0 && !decoder.broken && (r = push_step(p, record, &event, r)))
			return r;
	}
	*out = (struct decoded){decoder.trapped, hides_steps(record, &decoder)};
	return 0;
}

/* Steps of which there is no event: all that is known is the record's. */
static int lose_unseen(struct osp_pipeline *p, const struct osp_record *record,
		       struct osp_page *page, enum osp_loss_reason reason)
{
	osp_account_lose(page, reason);
	return lose_at(p, p->tracee, record->op_id, p->time_ns, reason);
}

static bool is_discarded(const struct osp_pipeline *p)
{
	return p->loses && p->loss == OSP_LOSS_OVERLOAD;
}

/* Whether the steps go on, and why they do not. */
static void decide(struct osp_pipeline *p, const struct osp_input *in)
{
	bool discarded = in->kind == OSP_INPUT_DISCARD;

	p->loss = OSP_LOSS_OVERLOAD;
	p->loses = discarded ||
		   (p->choice && osp_choice_leaves(p->choice, in->record, in->size, &p->loss));
}

/*
 * A record of steps: the hit is entered in the books first, so that whatever becomes of it later,
 * stored or lost, the sum closes. Where a full block spills, and where a block was read that nobody
 * flushed, there was none.
 */
static int push_steps(struct osp_pipeline *p, const struct osp_record *record, size_t size)
{
	struct decoded decoded = {0};
	bool stepless, peeked;
	struct osp_page *page;
	int r;

	if (record->point >= p->catalogue->point_count) {
		p->bad++;
		return 0;
	}
	stepless = record->kind == OSP_RECORD_LEFT || p->catalogue->points[record->point]->spill;
	peeked = record->kind == OSP_RECORD_LEFT && record->flags & OSP_RECORD_PEEKED;
	r = is_discarded(p) || peeked
		    ? 0
		    : osp_roster_add_step(p->roster, p->tracee, record, p->time_ns);
	if (!r)
		r = page_of(p, record->point, &page);
	if (r)
		return r;
	p->page = page;
	if (!stepless)
		osp_account_record(page, record->ordinal);
	r = push_decoded(p, record, size, &decoded);
	if (r)
		return r;
	if (!stepless && !decoded.trapped)
		r = lose_unseen(p, record, page, OSP_LOSS_DECODE);
	if (!r && decoded.unknown) {
		osp_account_carry(page);
		r = lose_unseen(p, record, page, OSP_LOSS_STEPS_UNKNOWN);
	}
	return r;
}

/* A process is over: by exit, or because exec made another of it. */
static int end_process(struct osp_pipeline *p, struct osp_tracee *t,
		       const struct osp_record *record, int32_t code)
{
	int64_t time_ns = (int64_t)record->time_ns;
	int r;

	if (!t)
		return 0;
	r = osp_roster_add_tail(p->roster, t, time_ns,
				record->process == t->slot ? record->lost : 0,
				osp_account_reason(OSP_LOSS_RING_FULL));
	if (!r)
		r = osp_stitch_end_process(p->stitch, t, time_ns);
	return r ? r : osp_roster_end(p->roster, t, time_ns, code);
}

/* The notice carries the slot of what the process was; the new one is in the roster already. */
static int push_exec(struct osp_pipeline *p, const struct osp_record *record)
{
	struct osp_tracee *before = record->site ? osp_roster_at(p->roster, record->site) : NULL;

	return before != p->tracee ? end_process(p, before, record, 0) : 0;
}

/* The header is checked here, the arguments by decode; a header that makes no sense has no page. */
static int push_record(struct osp_pipeline *p, const struct osp_input *in)
{
	const struct osp_record *record = in->record;
	bool notice;
	int r;

	if (in->size < sizeof(*record) || record->time_ns > (uint64_t)time_max ||
	    (int64_t)record->start_ns < 0) {
		p->bad++;
		return 0;
	}
	p->records++;
	p->time_ns = osp_decode_time(&p->with, record, in->time_ns);
	notice = !osp_decode_has_steps(record);
	/* Slot 0 stands for processes that are not recorded: their exec is the recorder's affair. */
	if (notice && !record->process)
		return 0;
	if (!notice && record->op_id) {
		osp_stitch_expect(p->stitch, record->process, record->op_id);
		osp_trace_expect(p->forest, record->process, record->op_id);
	}
	r = osp_roster_find(p->roster, record, &p->tracee);
	if (r || !p->tracee) {
		p->bad += !r;
		return r;
	}
	if (!notice) {
		decide(p, in);
		return push_steps(p, record, in->size);
	}
	switch (record->kind) {
	case OSP_RECORD_FORK:
		return osp_roster_add_fork(p->roster, record);
	case OSP_RECORD_EXEC:
		return push_exec(p, record);
	case OSP_RECORD_EXIT:
		return end_process(p, p->tracee, record, (int32_t)record->value);
	case OSP_RECORD_MAPPED:
		return 0;
	default:
		p->bad++;
		return 0;
	}
}

/* ---- the other inputs ---- */

static int tell_number(struct osp_pipeline *p, const char *name, uint64_t number)
{
	char text[24];
	struct osp_part part = {.kind = OSP_PART_SESSION, .session = {name, text}};

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return tell(p, &part);
}

/* They belong to no page: the session counts them. */
static int tell_bad(struct osp_pipeline *p)
{
	if (p->bad == p->bad_told)
		return 0;
	p->bad_told = p->bad;
	return tell_number(p, OSP_SESSION_BAD_RECORDS, p->bad);
}

static int push_tick(struct osp_pipeline *p, int64_t now_ns)
{
	int r = osp_stitch_tick(p->stitch, now_ns);

	if (!r)
		r = osp_match_settle(p->matcher, now_ns);
	if (!r)
		r = osp_roster_flush_gaps(p->roster);
	return r ? r : tell_bad(p);
}

/* Slot 0 has no process: hits of those that came when the table was full are entered under key 0. */
static int push_counters(struct osp_pipeline *p, const struct osp_input *in)
{
	struct osp_tracee *t = NULL;
	struct osp_page *page;
	int r = 0;

	if (in->counters.slot >= OSP_EVENT_PROCESSES ||
	    in->counters.point >= p->catalogue->point_count)
		return 0;
	if (in->counters.slot)
		r = osp_roster_meet(p->roster, in->counters.slot, in->time_ns, &t);
	if (!r)
		r = osp_account_page(p->account, in->counters.slot, t ? t->row.key : 0,
				     in->counters.point, &page);
	if (!r)
		osp_account_count(page, &in->counters.counter, in->counters.last);
	return r;
}

/* How far the times of own steps may be off boot time, and what was odd about the counter. */
static int tell_stamps(struct osp_pipeline *p)
{
	int r;

	if (!osp_stamps_ready(&p->stamps))
		return 0;
	r = tell_number(p, OSP_SESSION_STEP_ERROR, (uint64_t)p->stamps.worst_ns);
	if (!r && p->stamps.jumps)
		r = tell_number(p, OSP_SESSION_STEP_JUMPS, p->stamps.jumps);
	if (!r && p->stamps.contradictions)
		r = tell_number(p, OSP_SESSION_STEP_CONTRADICTIONS, p->stamps.contradictions);
	return r;
}

static int push_clock(struct osp_pipeline *p, const struct osp_input *in)
{
	struct osp_part part = {.kind = OSP_PART_CLOCK,
				.clock = {.boot_ns = in->time_ns,
					  .offset_ns = in->clock.wall_ns - in->time_ns,
					  .error_ns = in->clock.error_ns}};
	int r = tell(p, &part);

	return r ? r : tell_stamps(p);
}

/* The command line is one of them, and holds what somebody typed: as UTF-8, or escaped. */
static int push_setting(struct osp_pipeline *p, const struct osp_input *in)
{
	size_t size = strlen(in->setting.value);
	_cleanup_free_ char *value = malloc(4 * size + 1);
	struct osp_part part = {.kind = OSP_PART_SESSION, .session = {in->setting.name, value}};

	if (!value)
		return -ENOMEM;
	osp_text_format_utf8(value, 4 * size + 1, in->setting.value, size);
	return tell(p, &part);
}

/* Losses that no later record could show: the kernel's counters know of them. */
static int find_tails(struct osp_pipeline *p, int64_t now_ns)
{
	int r = 0;

	for (uint32_t i = 0; i < osp_roster_count(p->roster) && !r; i++) {
		struct osp_tracee *t = osp_roster_at(p->roster, i);
		enum osp_loss_reason reason;
		uint64_t lost;

		if (!t)
			continue;
		lost = osp_account_kernel_lost(p->account, t->row.key, &reason);
		r = osp_roster_add_tail(p->roster, t, now_ns, lost, osp_account_reason(reason));
	}
	return r;
}

/* Its children, linked to it and to nothing else it may be, lack their cause. */
static int mark_orphans(void *arg, struct osp_trace_node *n)
{
	struct osp_pipeline *p = arg;
	const struct osp_tracee *t = osp_roster_at(p->roster, n->slot);
	int r = 0;

	if (!t || !osp_roster_misses(t))
		return 0;
	for (uint32_t i = 0; !r && i < n->edge_count; i++)
		if (n->edges[i]->stored)
			r = on_mark(p, n->edges[i], OSP_MARK_MAY_BE_CUT);
	return r;
}

/* The order matters: tails mark what is open before it is closed, and rows precede their sums. */
static int push_stop(struct osp_pipeline *p, int64_t now_ns)
{
	int r = find_tails(p, now_ns);

	p->stopped = true;
	if (!r)
		r = osp_stitch_stop(p->stitch, now_ns);
	if (!r)
		r = osp_match_stop(p->matcher);
	if (!r && osp_roster_any_misses(p->roster))
		r = osp_trace_find_unstored(p->forest, mark_orphans, p);
	if (!r)
		r = osp_roster_flush_gaps(p->roster);
	if (!r)
		r = tell_bad(p);
	if (!r)
		r = osp_roster_end_attached(p->roster, now_ns);
	return r ? r : osp_account_write(p->account, tell, p);
}

static int tell_catalogues(struct osp_pipeline *p)
{
	p->started = true;
	for (size_t i = 0; i < p->catalogue->file_count; i++) {
		struct osp_part part = {
			.kind = OSP_PART_CATALOGUE,
			.catalogue = {p->catalogue->names[i], p->catalogue->texts[i]}};
		int r = tell(p, &part);

		if (r)
			return r;
	}
	return 0;
}

static int push_kind(struct osp_pipeline *p, const struct osp_input *in)
{
	switch (in->kind) {
	case OSP_INPUT_RECORD:
	case OSP_INPUT_DISCARD:
		return push_record(p, in);
	case OSP_INPUT_PROCESS:
		return osp_roster_add_process(p->roster, in);
	case OSP_INPUT_SITES:
		return osp_roster_add_sites(p->roster, in);
	case OSP_INPUT_ATTACH:
		return osp_roster_add_attach(p->roster, in);
	case OSP_INPUT_TICK:
		return push_tick(p, in->time_ns);
	case OSP_INPUT_COUNTERS:
		return push_counters(p, in);
	case OSP_INPUT_CLOCK:
		return push_clock(p, in);
	case OSP_INPUT_STAMP:
		osp_stamps_add(&p->stamps, in->stamp.stamp, in->stamp.low_ns, in->stamp.high_ns);
		return 0;
	case OSP_INPUT_SETTING:
		return push_setting(p, in);
	case OSP_INPUT_NUMBERS:
		osp_numbers_add(p->numbers, in->numbers.table, in->numbers.numbers);
		return 0;
	case OSP_INPUT_STOP:
		return push_stop(p, in->time_ns);
	}
	p->bad++;
	return 0;
}

int osp_pipeline_settle(struct osp_pipeline *p)
{
	if (!p->failed)
		p->failed = osp_account_write(p->account, tell, p);
	return p->failed;
}

int osp_pipeline_push(struct osp_pipeline *p, const struct osp_input *in)
{
	int r = p->failed;

	if (r)
		return r;
	if (p->stopped || in->time_ns < 0 || in->time_ns > time_max) {
		p->bad++;
		return 0;
	}
	if (!p->started)
		r = tell_catalogues(p);
	if (!r)
		r = push_kind(p, in);
	p->failed = r;
	return r;
}

/* ---- putting it together ---- */

void osp_pipeline_free(struct osp_pipeline **pipeline)
{
	struct osp_pipeline *p = *pipeline;

	if (!p)
		return;
	osp_stitch_free(&p->stitch);
	osp_link_free(&p->linker);
	osp_reported_free(&p->reported);
	osp_match_free(&p->matcher);
	osp_trace_free(&p->forest);
	osp_account_free(&p->account);
	osp_roster_free(&p->roster);
	osp_numbers_free(&p->numbers);
	osp_choice_free(&p->choice);
	free(p);
	*pipeline = NULL;
}

static size_t or_default(size_t value, size_t otherwise)
{
	return value ? value : otherwise;
}

static int build(struct osp_pipeline *p, const struct osp_pipeline_limits *given)
{
	const struct osp_catalogue *c = p->catalogue;
	size_t links = or_default(given->links, 262144);
	struct osp_stitch_limits limits = {
		.operations = or_default(given->operations, 262144),
		.steps = or_default(given->steps, UINT16_MAX),
		.start_part_ns = given->start_part_ns ? given->start_part_ns : 5000000000ll,
	};
	struct osp_stitch_out stitched = {.opened = on_opened,
					  .replaced = on_replaced,
					  .stepped = on_stepped,
					  .heeds = on_heeds,
					  .child = on_child,
					  .part = on_part,
					  .lost = on_lost,
					  .arg = p};
	struct osp_match_out matched = {on_edge, on_mark, p};
	int r = osp_roster_new(&p->roster, c, tell, p);

	if (!r)
		r = osp_account_new(&p->account, c);
	if (!r)
		r = osp_trace_new(&p->forest, limits.operations, on_moved, p);
	if (!r)
		r = osp_match_new(&p->matcher, c, p->forest, p->roster, links, &matched);
	if (!r)
		r = osp_link_new(&p->linker, c, p->matcher);
	if (!r)
		r = osp_reported_new(&p->reported, c);
	if (!r)
		r = osp_stitch_new(&p->stitch, c, p->roster, &limits, &stitched);
	if (!r)
		r = osp_numbers_new(&p->numbers, c);
	p->walks = given->walks;
	osp_stamps_init(&p->stamps);
	p->with = (struct osp_decode_with){c, p->numbers, &p->stamps};
	osp_order_init(&p->order, on_event, p);
	return r;
}

int osp_pipeline_new(struct osp_pipeline **out, const struct osp_catalogue *c,
		     const struct osp_pipeline_limits *limits, osp_sink_fn sink, void *arg)
{
	static const struct osp_pipeline_limits defaults;
	struct osp_pipeline *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->catalogue = c;
	p->sink = sink;
	p->arg = arg;
	r = build(p, limits ? limits : &defaults);
	if (r) {
		osp_pipeline_free(&p);
		return r;
	}
	*out = p;
	return 0;
}

size_t osp_pipeline_hung(struct osp_pipeline *p, bool all, struct osp_hung *out, size_t most)
{
	return all ? osp_stitch_under_way(p->stitch, out, most)
		   : osp_stitch_hung(p->stitch, out, most);
}

int osp_pipeline_choose(struct osp_pipeline *p, const struct osp_choice_rules *rules)
{
	return osp_choice_new(&p->choice, rules, &p->with);
}

void osp_pipeline_stats(const struct osp_pipeline *p, struct osp_pipeline_stats *out)
{
	struct osp_stitch_stats stitch;
	struct osp_match_stats match;

	osp_stitch_stats(p->stitch, &stitch);
	osp_match_stats(p->matcher, &match);
	*out = (struct osp_pipeline_stats){
		.records = p->records,
		.events = p->events - stitch.repeated,
		.runs = p->runs,
		.wholes = stitch.wholes,
		.operations = stitch.operations,
		.spans = p->spans,
		.traces = osp_trace_count(p->forest),
		.links = match.facts,
		.ambiguous = match.ambiguous,
		.evicted = match.evicted,
		.open = stitch.open,
		.unexpected = stitch.unexpected,
		.bad = p->bad,
		.crowded = p->choice ? osp_choice_crowded(p->choice) : 0,
		.kernel_lost = osp_roster_lost(p->roster),
	};
	osp_account_sum(p->account, out->lost);
}
