/*
 * Turns requests of `outspan ctl` into what the recorder can do, and its figures into an answer.
 * Fed by user/control.c; reads the recorder's parts and changes them through their own functions
 * only. One row of the table per order. Runs within the recorder's loop: nothing here waits.
 */
#include "user/orders.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"

enum { SAMPLE_NS = 1000000000, TARGETS_TOLD = 8 };

/* ---- figures ---- */

static uint64_t sum_lost(const struct osp_pipeline_stats *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < OSP_LOSS_COUNT; i++)
		sum += s->lost[i];
	return sum > s->kernel_lost ? sum : s->kernel_lost;
}

static struct osp_orders_sample take_sample(const struct osp_pipeline_stats *s)
{
	return (struct osp_orders_sample){
		.time_ns = osp_feed_now(),
		.cpu_ns = osp_clock_read(CLOCK_PROCESS_CPUTIME_ID),
		.steps = s->events,
		.lost = sum_lost(s),
	};
}

void osp_orders_tick(struct osp_orders *o)
{
	struct osp_pipeline_stats s;

	if (osp_feed_now() - o->last.time_ns < SAMPLE_NS)
		return;
	osp_feed_stats(o->feed, &s);
	o->before = o->last;
	o->last = take_sample(&s);
}

static json_int_t per_second(uint64_t count, int64_t ns)
{
	return ns > 0 ? (json_int_t)((double)count * 1e9 / (double)ns) : 0;
}

/* Of the last second or two; in the first one, of the time since the start. */
static void tell_rates(const struct osp_orders *o, const struct osp_pipeline_stats *s, json_t *a)
{
	struct osp_orders_sample now = take_sample(s);
	struct osp_orders_sample before = o->before.time_ns ? o->before : o->last;
	int64_t took = now.time_ns - before.time_ns;

	json_object_set_new(a, "steps_per_s",
			    json_integer(per_second(now.steps - before.steps, took)));
	json_object_set_new(a, "lost_per_s",
			    json_integer(per_second(now.lost - before.lost, took)));
	json_object_set_new(a, "cpu_ns", json_integer(now.cpu_ns));
	json_object_set_new(
		a, "cpu_percent",
		json_real(took > 0 ? 100.0 * (double)(now.cpu_ns - before.cpu_ns) / (double)took
				   : 0));
}

static void tell_counts(const struct osp_pipeline_stats *s, json_t *a)
{
	static const char *const reasons[OSP_LOSS_COUNT] = {
#define X(id, name, help) name,
		OSP_LOSS_REASONS(X)
#undef X
	};
	json_t *losses = json_object();

	json_object_set_new(a, "steps", json_integer((json_int_t)s->events));
	json_object_set_new(a, "operations", json_integer((json_int_t)s->operations));
	json_object_set_new(a, "open", json_integer((json_int_t)s->open));
	json_object_set_new(a, "spans", json_integer((json_int_t)s->spans));
	json_object_set_new(a, "traces", json_integer((json_int_t)s->traces));
	json_object_set_new(a, "links", json_integer((json_int_t)s->links));
	json_object_set_new(a, "lost", json_integer((json_int_t)sum_lost(s)));
	for (size_t i = 0; i < OSP_LOSS_COUNT; i++)
		if (s->lost[i])
			json_object_set_new(losses, reasons[i],
					    json_integer((json_int_t)s->lost[i]));
	json_object_set_new(a, "losses", losses);
}

static void tell_ring(const struct osp_orders *o, json_t *a)
{
	size_t bytes, capacity;

	osp_ring_fill(osp_loader_ring(o->loader), &bytes, &capacity);
	json_object_set_new(a, "ring_bytes", json_integer((json_int_t)capacity));
	json_object_set_new(a, "ring_used_bytes", json_integer((json_int_t)bytes));
}

/* What the targets pay, by the process, those with the most hits first. */
static void tell_targets(const struct osp_cost_summary *s, json_t *a)
{
	json_t *targets = json_object();

	for (size_t i = 0; i < s->target_count && i < TARGETS_TOLD; i++) {
		char pid[16];

		snprintf(pid, sizeof(pid), "%" PRIu32, s->targets[i].pid);
		json_object_set_new(targets, pid, json_real(100 * s->targets[i].slow_down));
	}
	json_object_set_new(a, "slow_down_percent", targets);
}

static void tell_cost(const struct osp_orders *o, const struct osp_pipeline_stats *p, json_t *a)
{
	struct osp_cost_summary s;

	osp_cost_summarize(o->cost, o->began_ns, p->events, &s);
	json_object_set_new(a, "wakeups", json_integer((json_int_t)s.wakeups));
	json_object_set_new(a, "hits", json_integer((json_int_t)s.hits));
	json_object_set_new(a, "hit_cost_ns", json_integer(s.empty_ns + s.run_ns));
	tell_targets(&s, a);
}

/* As somebody in another folder can name it. */
static void tell_session(const struct osp_orders *o, json_t *a)
{
	_cleanup_free_ char *path = realpath(o->file, NULL);

	json_object_set_new(a, "session", json_string(path ? path : o->file));
}

/* ---- the orders ---- */

static void status(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	struct osp_pipeline_stats s;
	struct osp_follow_stats f;

	(void)r;
	osp_feed_stats(o->feed, &s);
	osp_follow_stats(o->follow, &f);
	tell_session(o, a);
	json_object_set_new(a, "pid", json_integer(getpid()));
	json_object_set_new(a, "recording_ns", json_integer(osp_feed_now() - o->began_ns));
	json_object_set_new(a, "level", json_string(osp_level_to_str(o->options->wanted.level)));
	json_object_set_new(a, "form", json_string(osp_form_to_str(o->options->wanted.form)));
	json_object_set_new(a, "attach_form",
			    json_string(osp_attach_form_to_str(osp_loader_form(o->loader))));
	json_object_set_new(a, "sites", json_integer((json_int_t)f.sites));
	json_object_set_new(a, "processes", json_integer((json_int_t)f.processes));
	tell_counts(&s, a);
	tell_rates(o, &s, a);
	tell_ring(o, a);
	tell_cost(o, &s, a);
}

static void stop(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	(void)r;
	tell_session(o, a);
	o->stop(o->arg);
}

static const struct {
	const char *name;
	size_t most; /* words behind it */
	void (*run)(struct osp_orders *o, const struct osp_control_request *r, json_t *answer);
} orders[] = {
	{"status", 0, status},
	{"stop", 0, stop},
};

void osp_orders_answer(void *arg, const struct osp_control_request *request, json_t *answer)
{
	struct osp_orders *o = arg;

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, request->words[0]))
			continue;
		if (request->count - 1 > orders[i].most)
			osp_control_refuse(answer, "%s takes at most %zu words", orders[i].name,
					   orders[i].most);
		else
			orders[i].run(o, request, answer);
		return;
	}
	osp_control_refuse(answer, "this recorder knows no order \"%.40s\"", request->words[0]);
}
