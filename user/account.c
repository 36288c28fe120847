/*
 * The books of a session (user/account.h), fed by the pipeline with records and counters and by
 * the stitcher with the fate of each step. Owns a page per (process, point); hands loss rows to
 * the sink. Pages are kept in the order in which they were opened, and written in that in which
 * they changed.
 */
#include "user/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct osp_account {
	const struct osp_catalogue *catalogue;	      /* borrowed */
	struct osp_page **pages[OSP_EVENT_PROCESSES]; /* by slot, then by point; NULL = none yet */
	struct osp_list in_order;
	struct osp_list changed;
};

static const char *const reasons[OSP_LOSS_COUNT] = {
#define X(id, name, help) [OSP_LOSS_##id] = name,
	OSP_LOSS_REASONS(X)
#undef X
};

const char *osp_account_reason(enum osp_loss_reason reason)
{
	return reasons[reason];
}

int osp_account_new(struct osp_account **out, const struct osp_catalogue *c)
{
	struct osp_account *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->catalogue = c;
	osp_list_init(&a->in_order);
	osp_list_init(&a->changed);
	*out = a;
	return 0;
}

void osp_account_free(struct osp_account **account)
{
	struct osp_account *a = *account;

	if (!a)
		return;
	while (!osp_list_empty(&a->in_order)) {
		struct osp_page *p = osp_list_entry(a->in_order.next, struct osp_page, in_order);

		osp_list_remove(&p->in_order);
		free(p);
	}
	for (size_t i = 0; i < OSP_EVENT_PROCESSES; i++)
		free(a->pages[i]);
	free(a);
	*account = NULL;
}

static int add_page(struct osp_account *a, uint32_t slot, uint32_t process, uint16_t point)
{
	struct osp_page *p;

	if (!a->pages[slot])
		a->pages[slot] = calloc(a->catalogue->point_count, sizeof(*a->pages[slot]));
	p = a->pages[slot] ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return -ENOMEM;
	a->pages[slot][point] = p;
	p->point = a->catalogue->points[point];
	p->process = process;
	osp_list_add(&a->in_order, &p->in_order);
	osp_list_init(&p->in_changed);
	p->changed = &a->changed;
	return 0;
}

int osp_account_page(struct osp_account *a, uint32_t slot, uint32_t process, uint16_t point,
		     struct osp_page **out)
{
	int r;

	if (slot >= OSP_EVENT_PROCESSES || point >= a->catalogue->point_count)
		return -ENOSPC;
	r = a->pages[slot] && a->pages[slot][point] ? 0 : add_page(a, slot, process, point);
	if (!r)
		*out = a->pages[slot][point];
	return r;
}

struct osp_page *const *osp_account_pages(const struct osp_account *a, uint32_t slot)
{
	return slot < OSP_EVENT_PROCESSES ? a->pages[slot] : NULL;
}

void osp_account_record(struct osp_page *p, uint64_t ordinal)
{
	p->records++;
	if (ordinal < UINT64_MAX && ordinal + 1 > p->hits)
		p->hits = ordinal + 1;
	osp_account_change(p);
}

void osp_account_recover(struct osp_page *p)
{
	p->recovered++;
	osp_account_change(p);
}

bool osp_account_return(struct osp_page *p)
{
	if (!p->recovered)
		return false;
	p->recovered--;
	osp_account_change(p);
	return true;
}

void osp_account_lose(struct osp_page *p, enum osp_loss_reason reason)
{
	p->lost[reason]++;
	osp_account_change(p);
}

static bool is_left_out(int reason)
{
	return reason == OSP_LOSS_SAMPLED || reason == OSP_LOSS_AGGREGATED ||
	       reason == OSP_LOSS_FILTERED;
}

uint64_t osp_account_hits(const struct osp_counter *counter)
{
	uint64_t hits = counter->hits;

	for (int i = 0; i < OSP_LOSS_KERNEL_COUNT; i++)
		hits += is_left_out(i) ? counter->lost[i] : 0;
	return hits;
}

/* Before the last ones only the losses count: hits may still lie in the ring. */
void osp_account_count(struct osp_page *p, const struct osp_counter *counter, bool last)
{
	p->counter = *counter;
	p->informed = true;
	p->counted |= last;
	osp_account_change(p);
}

/*
 * The records of recovered steps were lost, the steps are not. A recovered step that nobody has
 * missed passed its site while that was half attached: then it is a hit that nobody has counted.
 */
static uint64_t recover(const struct osp_page *p, uint64_t lost[OSP_LOSS_COUNT])
{
	static const enum osp_loss_reason reasons_missed[] = {
		OSP_LOSS_RING_FULL, OSP_LOSS_OVERLOAD, OSP_LOSS_OPERATIONS_FULL,
		OSP_LOSS_SAMPLED,   OSP_LOSS_FILTERED, OSP_LOSS_LIMITED};
	uint64_t left = p->recovered;

	for (size_t i = 0; i < sizeof(reasons_missed) / sizeof(reasons_missed[0]); i++) {
		uint64_t *missed = &lost[reasons_missed[i]];
		uint64_t n = left < *missed ? left : *missed;

		*missed -= n;
		left -= n;
	}
	return left;
}

/* Until the kernel has spoken, hits are what is settled: the row closes whenever it is read. */
static void sum_page(const struct osp_page *p, struct osp_page_sums *s)
{
	uint64_t uncounted, gap = p->hits > p->records ? p->hits - p->records : 0;

	s->stored = p->stored;
	memcpy(s->lost, p->lost, sizeof(s->lost));
	for (int i = 0; p->informed && i < OSP_LOSS_KERNEL_COUNT; i++) {
		s->lost[i] += p->counter.lost[i];
		if (!is_left_out(i)) /* those have no ordinals */
			gap -= gap < p->counter.lost[i] ? gap : p->counter.lost[i];
	}
	/* Ordinals that are missing beyond what the kernel has told so far. */
	if (!p->counted)
		s->lost[OSP_LOSS_RING_FULL] += gap;
	uncounted = recover(p, s->lost);
	s->all_lost = 0;
	for (int i = 0; i < OSP_LOSS_COUNT; i++)
		s->all_lost += s->lost[i];
	s->hits = p->counted ? osp_account_hits(&p->counter) + p->carried + uncounted
			     : p->stored + s->all_lost;
}

/* Only reasons that count something are told. */
static size_t name_losses(const uint64_t lost[OSP_LOSS_COUNT], const char *names[OSP_LOSS_COUNT],
			  uint64_t counts[OSP_LOSS_COUNT])
{
	size_t n = 0;

	for (int i = 0; i < OSP_LOSS_COUNT; i++) {
		if (!lost[i])
			continue;
		names[n] = reasons[i];
		counts[n++] = lost[i];
	}
	return n;
}

/* Not of a page that would say what it said: of a hit whose step is still to come, say. */
static int write_page(struct osp_page *p, int (*sink)(void *, const struct osp_part *), void *arg)
{
	const char *names[OSP_LOSS_COUNT];
	uint64_t counts[OSP_LOSS_COUNT];
	struct osp_page_sums s;
	struct osp_part part = {
		.kind = OSP_PART_LOSS,
		.loss = {.process = p->process,
			 .provider = p->point->provider,
			 .probe = p->point->probe,
			 .reasons = names,
			 .lost = counts},
	};

	osp_list_remove(&p->in_changed);
	sum_page(p, &s);
	if (!memcmp(&s, &p->written, sizeof(s)))
		return 0;
	p->written = s;
	part.loss.hits = s.hits;
	part.loss.stored = s.stored;
	part.loss.count = name_losses(s.lost, names, counts);
	return sink(arg, &part);
}

int osp_account_write(struct osp_account *a, int (*sink)(void *arg, const struct osp_part *part),
		      void *arg)
{
	while (!osp_list_empty(&a->changed)) {
		int r = write_page(osp_list_entry(a->changed.next, struct osp_page, in_changed),
				   sink, arg);

		if (r)
			return r;
	}
	return 0;
}

void osp_account_sum(const struct osp_account *a, uint64_t lost[OSP_LOSS_COUNT])
{
	memset(lost, 0, OSP_LOSS_COUNT * sizeof(*lost));
	for (struct osp_list *l = a->in_order.next; l != &a->in_order; l = l->next) {
		struct osp_page_sums s;

		sum_page(osp_list_entry(l, struct osp_page, in_order), &s);
		for (int i = 0; i < OSP_LOSS_COUNT; i++)
			lost[i] += s.lost[i];
	}
}

uint64_t osp_account_kernel_lost(const struct osp_account *a, uint32_t process,
				 enum osp_loss_reason *worst)
{
	uint64_t by_reason[OSP_LOSS_KERNEL_COUNT] = {0}, sum = 0;
	int most = 0;

	for (struct osp_list *l = a->in_order.next; l != &a->in_order; l = l->next) {
		const struct osp_page *p = osp_list_entry(l, struct osp_page, in_order);

		for (int i = 0; p->process == process && i < OSP_LOSS_KERNEL_COUNT; i++)
			by_reason[i] += is_left_out(i) ? 0 : p->counter.lost[i];
	}
	for (int i = 0; i < OSP_LOSS_KERNEL_COUNT; i++) {
		sum += by_reason[i];
		most = by_reason[i] > by_reason[most] ? i : most;
	}
	*worst = (enum osp_loss_reason)most;
	return sum;
}
