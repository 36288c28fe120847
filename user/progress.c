/*
 * The recorder's own words on stderr: progress on a terminal, the summary at the end with every
 * loss that is not zero. Reads figures, owns nothing.
 */
#include "user/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "user/account.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/reason.h"

static int64_t shown_ns;
static bool on_line;

void osp_progress_show(const struct osp_feed *f, int64_t elapsed_ns)
{
	struct osp_pipeline_stats s;
	char took[24];

	if (elapsed_ns - shown_ns < 1000000000 || osp_log_level_get() < OSP_LOG_INFO ||
	    !isatty(STDERR_FILENO))
		return;
	shown_ns = elapsed_ns;
	on_line = true;
	osp_feed_stats(f, &s);
	dprintf(STDERR_FILENO,
		"\r%s  %" PRIu64 " steps  %" PRIu64 " operations  %" PRIu64 " open  %" PRIu64
		" lost \033[K",
		osp_text_duration(took, elapsed_ns), s.events, s.operations, s.open, s.kernel_lost);
}

void osp_progress_end(void)
{
	if (on_line)
		dprintf(STDERR_FILENO, "\r\033[K");
	on_line = false;
}

static void tell_reasons(const struct osp_pipeline_stats *s, enum osp_reason_kind kind)
{
	enum osp_log_level level = kind == OSP_REASON_MISSING ? OSP_LOG_WARN : OSP_LOG_INFO;

	for (int i = 0; i < OSP_LOSS_COUNT; i++) {
		const char *name = osp_account_reason(i);

		if (s->lost[i] && osp_reason_find(name)->kind == kind)
			osp_log_write(level, "  %-16s %10" PRIu64 "  %s", name, s->lost[i],
				      osp_reason_help(name));
	}
}

static void tell_losses(const struct osp_pipeline_stats *s, const char *file)
{
	uint64_t missing = osp_reason_sum(s->lost, OSP_REASON_MISSING);
	uint64_t chosen = osp_reason_sum(s->lost, OSP_REASON_CHOSEN);
	uint64_t spare = osp_reason_sum(s->lost, OSP_REASON_SPARE);

	if (!missing)
		osp_info("losses: none");
	else
		osp_warn("losses: %" PRIu64
			 " steps are missing; traces they touch are marked \"may be cut\"",
			 missing);
	tell_reasons(s, OSP_REASON_MISSING);
	if (missing && file)
		osp_info("  where, when, and what it means: outspan losses %s", file);
	if (chosen)
		osp_info("left out as asked: %" PRIu64 " step%s", chosen, osp_text_plural(chosen));
	tell_reasons(s, OSP_REASON_CHOSEN);
	if (spare)
		osp_info("not needed: %" PRIu64 " step%s", spare, osp_text_plural(spare));
	tell_reasons(s, OSP_REASON_SPARE);
}

enum { TARGETS_TOLD = 5 };

static void tell_cost(const struct osp_cost_summary *c, enum osp_form form)
{
	char took[24], cpu[24];

	osp_info("overhead: %" PRIu64 " hits in the targets (%s form), about %" PRId64
		 " ns each; outspan used %s of processor time in %s, %" PRIu64 " wake-ups",
		 c->hits, osp_form_to_str(form), c->empty_ns + c->run_ns,
		 osp_text_duration(cpu, c->cpu_ns), osp_text_duration(took, c->took_ns),
		 c->wakeups);
	for (size_t i = 0; i < c->target_count && i < TARGETS_TOLD; i++)
		osp_info("  process %-8u %12" PRIu64 " hits  slowed down by about %.2f %%",
			 c->targets[i].pid, c->targets[i].hits, 100 * c->targets[i].slow_down);
}

void osp_progress_summary(const struct osp_progress_summary *s)
{
	const struct osp_pipeline_stats *p = &s->pipeline;

	osp_info("%s %" PRIu64 " step%s of %" PRIu64 " operation%s: %" PRIu64 " span%s, %" PRIu64
		 " link%s, %" PRIu64 " trace%s",
		 s->cost ? "recorded" : "replayed", p->events, osp_text_plural(p->events),
		 p->operations, osp_text_plural(p->operations), p->spans, osp_text_plural(p->spans),
		 p->links, osp_text_plural(p->links), p->traces, osp_text_plural(p->traces));
	if (s->cost)
		tell_cost(s->cost, s->form);
	if (p->ambiguous)
		osp_warn("ambiguous links: %" PRIu64
			 "; their candidates are stored, nothing is joined by them",
			 p->ambiguous);
	if (p->unexpected)
		osp_warn("%" PRIu64 " steps came where their operation has none", p->unexpected);
	tell_losses(p, s->file);
	if (p->bad)
		osp_warn("%" PRIu64 " records made no sense: what they told of is unknown", p->bad);
	if (s->loader.untimed)
		osp_warn(
			"%" PRIu64
			" times are in no histogram, the rare ones first: all %d buckets are in use - record fewer processes at once",
			s->loader.untimed, OSP_HISTOGRAM_ELEMENTS);
	if (s->loader.children_lost)
		osp_warn("%" PRIu64 " children could not be followed: what they did is unknown",
			 s->loader.children_lost);
	if (s->file)
		osp_info("session: %s - look at it with: outspan ls %s", s->file, s->file);
}
