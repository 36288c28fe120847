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

#include "user/account.h"
#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/reason.h"

enum { SAMPLE_NS = 1000000000, TARGETS_TOLD = 8 };

/* ---- figures ---- */

/* What was left out as asked is no loss. */
static uint64_t sum_lost(const struct osp_pipeline_stats *s)
{
	uint64_t sum = osp_reason_sum(s->lost, OSP_REASON_MISSING);

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

/* The steps of each reason of this kind. */
static json_t *count_reasons(const struct osp_pipeline_stats *s, enum osp_reason_kind kind)
{
	json_t *counts = json_object();

	for (int i = 0; i < OSP_LOSS_COUNT; i++) {
		const char *name = osp_account_reason(i);

		if (s->lost[i] && osp_reason_find(name)->kind == kind)
			json_object_set_new(counts, name, json_integer((json_int_t)s->lost[i]));
	}
	return counts;
}

static void tell_losses(const struct osp_pipeline_stats *s, json_t *a)
{
	uint64_t left_out = osp_reason_sum(s->lost, OSP_REASON_CHOSEN);
	uint64_t spare = osp_reason_sum(s->lost, OSP_REASON_SPARE);

	json_object_set_new(a, "lost", json_integer((json_int_t)sum_lost(s)));
	json_object_set_new(a, "losses", count_reasons(s, OSP_REASON_MISSING));
	json_object_set_new(a, "left_out", json_integer((json_int_t)left_out));
	json_object_set_new(a, "left_out_by", count_reasons(s, OSP_REASON_CHOSEN));
	json_object_set_new(a, "not_needed", json_integer((json_int_t)spare));
	json_object_set_new(a, "not_needed_by", count_reasons(s, OSP_REASON_SPARE));
}

static void tell_counts(const struct osp_pipeline_stats *s, json_t *a)
{
	json_object_set_new(a, "steps", json_integer((json_int_t)s->events));
	json_object_set_new(a, "operations", json_integer((json_int_t)s->operations));
	json_object_set_new(a, "open", json_integer((json_int_t)s->open));
	json_object_set_new(a, "spans", json_integer((json_int_t)s->spans));
	json_object_set_new(a, "traces", json_integer((json_int_t)s->traces));
	json_object_set_new(a, "links", json_integer((json_int_t)s->links));
	tell_losses(s, a);
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

static void tell_wanted(const struct osp_orders *o, json_t *a)
{
	const struct osp_wanted *w = osp_switch_now(o->what);
	char sample[16];

	json_object_set_new(a, "level", json_string(osp_level_to_str(w->level)));
	json_object_set_new(a, "form", json_string(osp_form_to_str(w->form)));
	snprintf(sample, sizeof(sample), "1/%" PRIu32, osp_switch_sample(o->what));
	json_object_set_new(a, "sample", json_string(sample));
}

static void tell_limits(const struct osp_orders *o, const struct osp_pipeline_stats *p, json_t *a)
{
	if (o->options->overhead > 0)
		json_object_set_new(a, "overhead_limit_percent",
				    json_real(100 * o->options->overhead));
	if (o->options->limit) {
		json_object_set_new(a, "limit", json_string(o->options->limit));
		json_object_set_new(a, "limit_crowded", json_integer((json_int_t)p->crowded));
	}
}

/* ---- the orders ---- */

static void status(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	struct osp_pipeline_stats s;
	struct osp_follow_stats f;
	struct osp_keep_stats k;

	(void)r;
	osp_feed_stats(o->feed, &s);
	osp_follow_stats(o->follow, &f);
	tell_session(o, a);
	json_object_set_new(a, "pid", json_integer(getpid()));
	json_object_set_new(a, "recording_ns", json_integer(osp_feed_now() - o->began_ns));
	tell_wanted(o, a);
	tell_limits(o, &s, a);
	json_object_set_new(a, "attach_form",
			    json_string(osp_attach_form_to_str(osp_loader_form(o->loader))));
	json_object_set_new(a, "sites", json_integer((json_int_t)f.sites));
	json_object_set_new(a, "processes", json_integer((json_int_t)f.processes));
	tell_counts(&s, a);
	tell_rates(o, &s, a);
	tell_ring(o, a);
	tell_cost(o, &s, a);
	osp_keep_stats(o->keep, &k);
	if (o->options->keep.last_ns)
		json_object_set_new(a, "keep_last_ns", json_integer(o->options->keep.last_ns));
	json_object_set_new(a, "saved", json_integer(k.saved));
}

/*
 * Under sudo the copy is root's to make and the user's to have: the user may not choose where root
 * makes a file. It lies beside the session then.
 */
static void save(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	const char *path = r->count > 1 ? r->words[1] : NULL;
	char why[40], out[OSP_KEEP_PATH];
	int e;

	if (path && r->uid != geteuid()) {
		osp_control_refuse(
			a, "only the recorder's own user may name the copy - save without FILE");
		return;
	}
	if (path && *path != '/') {
		osp_control_refuse(a, "expected an absolute path");
		return;
	}
	snprintf(why, sizeof(why), "asked by user %" PRIu32, r->uid);
	e = o->save(o->arg, why, path, out);
	if (e)
		osp_control_refuse(a, "could not save the session: %s", strerror(-e));
	else
		json_object_set_new(a, "saved", json_string(out));
}

/* Asks for something else, and answers what is recorded now. */
static void ask(struct osp_orders *o, const struct osp_control_request *r,
		const struct osp_wanted *asked, json_t *a)
{
	struct osp_follow_stats f;
	char by[40];
	int e;

	snprintf(by, sizeof(by), "user %" PRIu32, r->uid);
	e = osp_switch_ask(o->what, asked, by);
	if (e)
		osp_control_refuse(a, "could not switch everything: %s", strerror(-e));
	osp_follow_stats(o->follow, &f);
	tell_wanted(o, a);
	json_object_set_new(a, "sites", json_integer((json_int_t)f.sites));
}

/* Words from `first` on are names of points, of which this is said; false: refused. */
static bool say(const struct osp_orders *o, const struct osp_control_request *r, size_t first,
		uint8_t said, struct osp_wanted *w, json_t *a)
{
	for (size_t i = first; i < r->count; i++) {
		if (osp_form_say(w, o->options->catalogue, r->words[i], said))
			continue;
		osp_control_refuse(a, "no point is called \"%.80s\" - see outspan probes",
				   r->words[i]);
		return false;
	}
	return true;
}

static void level(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	struct osp_wanted w = *osp_switch_asked(o->what);
	enum osp_level to;

	if (r->count < 2 || osp_level_from_str(r->words[1], &to)) {
		osp_control_refuse(a, "expected essential, detail or debug");
		return;
	}
	if (r->count == 2) {
		w.level = to;
		memset(w.points, OSP_POINT_BY_LEVEL, sizeof(w.points));
	}
	if (say(o, r, 2, (uint8_t)(OSP_POINT_UP_TO + to), &w, a))
		ask(o, r, &w, a);
}

static void point(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	struct osp_wanted w = *osp_switch_asked(o->what);
	bool on = r->count == 3 && !strcmp(r->words[2], "on");
	struct osp_control_request names = {r->words, 2, r->uid}; /* without the last word */

	if (r->count != 3 || (!on && strcmp(r->words[2], "off")))
		osp_control_refuse(a, "expected the name of a point, and on or off");
	else if (say(o, &names, 1, on ? OSP_POINT_UP_TO + OSP_LEVEL_DEBUG : OSP_POINT_OFF, &w, a))
		ask(o, r, &w, a);
}

static void form(struct osp_orders *o, const struct osp_control_request *r, json_t *a)
{
	struct osp_wanted w = *osp_switch_asked(o->what);

	if (r->count < 2 || osp_form_from_str(r->words[1], &w.form))
		osp_control_refuse(a, "expected light, default or immediate");
	else
		ask(o, r, &w, a);
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
	{"status", 0, status}, {"save", 1, save}, {"level", OSP_CONTROL_WORDS, level},
	{"point", 2, point},   {"form", 1, form}, {"stop", 0, stop},
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
