/*
 * The recorder's account of its own cost. Fed by the recorder (wake-ups, ticks), by follow.c
 * (which process when) and by the loader (hits, run times); feeds the summary on stderr and the
 * settings of the session. The kernel measures run times only while it is asked to, for that
 * costs every hit two readings of the clock: one tick in MEASURE_EVERY, the first one included.
 * Owns a row per process slot.
 */
#include "user/cost.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"

enum { MEASURE_EVERY = 25 }; /* ticks */

struct process {
	uint32_t pid;
	int64_t began_ns, ended_ns; /* ended 0 = is traced still */
	uint64_t hits;
};

struct osp_cost {
	struct osp_loader *loader; /* borrowed: the recorder's */
	int64_t empty_ns;
	uint64_t wakeups, ticks;
	uint64_t spent_hits;			       /* hits that spent_ns holds */
	int64_t spent_ns;			       /* of the targets, see osp_cost_spent */
	struct process processes[OSP_EVENT_PROCESSES]; /* by slot */
};

int osp_cost_new(struct osp_cost **out, struct osp_loader *l, int64_t empty_ns)
{
	struct osp_cost *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->loader = l;
	c->empty_ns = empty_ns;
	osp_loader_measure(l, true);
	*out = c;
	return 0;
}

void osp_cost_free(struct osp_cost **c)
{
	free(*c);
	*c = NULL;
}

void osp_cost_begin(struct osp_cost *c, uint32_t slot, uint32_t pid, int64_t now_ns)
{
	if (slot < OSP_EVENT_PROCESSES && !c->processes[slot].began_ns)
		c->processes[slot] = (struct process){.pid = pid, .began_ns = now_ns};
}

void osp_cost_end(struct osp_cost *c, uint32_t slot, int64_t now_ns)
{
	if (slot < OSP_EVENT_PROCESSES)
		c->processes[slot].ended_ns = now_ns;
}

void osp_cost_wake(struct osp_cost *c)
{
	c->wakeups++;
}

void osp_cost_tick(struct osp_cost *c)
{
	osp_loader_measure(c->loader, ++c->ticks % MEASURE_EVERY == 0);
}

/* ---- the account ---- */

static int add_hits(void *arg, uint32_t slot, uint32_t point, const struct osp_counter *counter)
{
	struct osp_cost *c = arg;

	(void)point;
	c->processes[slot].hits += counter->hits + counter->left;
	return 0;
}

/* Never more than all of the time that it had, however short that is. */
static double slow_down(const struct process *p, const struct osp_cost_summary *s, int64_t began_ns,
			int64_t now_ns)
{
	int64_t until = p->ended_ns ? p->ended_ns : now_ns;
	int64_t from = p->began_ns > began_ns ? p->began_ns : began_ns;
	int64_t took = until > from ? until - from : 1;

	return (double)p->hits * (double)(s->empty_ns + s->run_ns) / (double)took;
}

static int compare_targets(const void *a, const void *b)
{
	const struct osp_cost_target *x = a, *y = b;

	return x->hits > y->hits ? -1 : x->hits < y->hits;
}

/* Keeps the processes with the most hits. */
static void add_target(struct osp_cost_summary *s, const struct osp_cost_target *t)
{
	struct osp_cost_target *least = &s->targets[OSP_COST_TARGETS - 1];

	if (s->target_count < OSP_COST_TARGETS)
		s->targets[s->target_count++] = *t;
	else if (t->hits > least->hits)
		*least = *t;
	qsort(s->targets, s->target_count, sizeof(*t), compare_targets);
}

void osp_cost_summarize(struct osp_cost *c, int64_t began_ns, uint64_t steps,
			struct osp_cost_summary *out)
{
	struct osp_cost_summary s = {
		.steps = steps, .wakeups = c->wakeups, .empty_ns = c->empty_ns};
	int64_t now = osp_clock_read(CLOCK_BOOTTIME);

	osp_loader_measure(c->loader, false);
	s.took_ns = now - began_ns;
	s.cpu_ns = osp_clock_read(CLOCK_PROCESS_CPUTIME_ID);
	s.run_ns = osp_loader_run_ns(c->loader);
	for (size_t i = 0; i < OSP_EVENT_PROCESSES; i++)
		c->processes[i].hits = 0;
	osp_loader_counters(c->loader, add_hits, c);
	for (size_t i = 0; i < OSP_EVENT_PROCESSES; i++) {
		const struct process *p = &c->processes[i];

		s.hits += p->hits;
		if (p->hits && p->began_ns)
			add_target(&s, &(struct osp_cost_target){p->pid, p->hits,
								 slow_down(p, &s, began_ns, now)});
	}
	*out = s;
}

static int sum_hits(void *arg, uint32_t slot, uint32_t point, const struct osp_counter *counter)
{
	(void)slot;
	(void)point;
	*(uint64_t *)arg += counter->hits;
	return 0;
}

/* A hit is charged what one costs when it is first seen: the sum never goes back. */
int64_t osp_cost_spent(struct osp_cost *c)
{
	uint64_t hits = 0;

	osp_loader_counters(c->loader, sum_hits, &hits);
	if (hits > c->spent_hits)
		c->spent_ns += (int64_t)(hits - c->spent_hits) *
			       (c->empty_ns + osp_loader_run_ns(c->loader));
	c->spent_hits = hits;
	return c->spent_ns + osp_clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

static char *targets_text(const struct osp_cost_summary *s)
{
	json_t *list = json_array();
	char *text;

	for (size_t i = 0; list && i < s->target_count; i++)
		json_array_append_new(list, json_pack("{s:I, s:I, s:f}", "pid",
						      (json_int_t)s->targets[i].pid, "hits",
						      (json_int_t)s->targets[i].hits, "slow_down",
						      s->targets[i].slow_down));
	text = list ? json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(4)) : NULL;
	json_decref(list);
	return text;
}

int osp_cost_tell(const struct osp_cost_summary *s, struct osp_feed *f)
{
	char *targets _cleanup_free_ = targets_text(s), text[32];
	const struct {
		const char *name;
		int64_t value;
	} figures[] = {
		{"cost.hits", (int64_t)s->hits},
		{"cost.empty_hit_ns", s->empty_ns},
		{"cost.program_ns", s->run_ns},
		{"cost.recorder_cpu_ns", s->cpu_ns},
		{"cost.wakeups", (int64_t)s->wakeups},
		{"cost.steps_per_second",
		 (int64_t)((double)s->steps * 1e9 / (double)(s->took_ns ? s->took_ns : 1))},
	};
	int r = targets ? osp_feed_setting(f, "cost.targets", targets) : -ENOMEM;

	for (size_t i = 0; !r && i < sizeof(figures) / sizeof(figures[0]); i++) {
		snprintf(text, sizeof(text), "%" PRId64, figures[i].value);
		r = osp_feed_setting(f, figures[i].name, text);
	}
	return r;
}
