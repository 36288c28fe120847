/*
 * What a reader makes of the mark `incomplete` (user/halt.h): fed by the commands with the spans of
 * a trace and the session's processes and clocks. Owns nothing.
 */
#include "user/halt.h"

#include <stdio.h>
#include <sys/wait.h>

#include "user/base/text.h"

/* The latest moment that the session knows of: clocks are read while something hangs, and last. */
static int64_t last_ns(const struct osp_session *s)
{
	return s->clock_count ? s->clocks[s->clock_count - 1].boot_ns : 0;
}

static bool called_exec(const struct osp_session *s, const struct osp_process_row *p)
{
	for (size_t i = 0; i < s->process_count; i++)
		if (s->processes[i].pid == p->pid && s->processes[i].start_ns == p->start_ns &&
		    s->processes[i].exec_id == p->exec_id + 1)
			return true;
	return false;
}

static bool find_last_step(const struct osp_span *spans, size_t count, uint64_t operation,
			   struct osp_halt *out)
{
	out->step = NULL;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; spans[i].operation == operation && k < spans[i].event_count; k++)
			if (!out->step || spans[i].events[k].time_ns >= out->step_ns) {
				out->step = spans[i].events[k].name;
				out->step_ns = spans[i].events[k].time_ns;
			}
	return out->step;
}

bool osp_halt_find(const struct osp_session *s, const struct osp_span *spans, size_t count,
		   const struct osp_span *of, struct osp_halt *out)
{
	const struct osp_process_row *p = osp_session_process(s, of->process);
	int64_t end_ns = last_ns(s);

	if (of->id != of->operation || !(of->marks & OSP_MARK_INCOMPLETE) ||
	    of->marks & OSP_MARK_TIMED_OUT || !find_last_step(spans, count, of->operation, out))
		return false;
	out->kind = OSP_HALT_OPEN;
	out->exit_code = 0;
	if (p && p->end_ns && of->end_ns >= p->end_ns) {
		out->kind = called_exec(s, p) ? OSP_HALT_REPLACED : OSP_HALT_DIED;
		out->exit_code = p->exit_code;
		end_ns = p->end_ns;
	}
	out->silent_ns = end_ns > out->step_ns ? end_ns - out->step_ns : 0;
	return true;
}

const char *osp_halt_text(const struct osp_session *s, const struct osp_halt *h,
			  char out[OSP_HALT_TEXT])
{
	char time[24];

	osp_text_duration(time, h->silent_ns);
	if (h->kind == OSP_HALT_OPEN && !h->silent_ns)
		snprintf(out, OSP_HALT_TEXT, "no step since %.40s", h->step);
	else if (h->kind == OSP_HALT_OPEN)
		snprintf(out, OSP_HALT_TEXT, "no step since %.40s, %s%s", h->step, time,
			 s->ended ? ", when the recording ended" : " so far");
	else if (h->kind == OSP_HALT_REPLACED)
		snprintf(out, OSP_HALT_TEXT, "cut after %.40s (its process called exec)", h->step);
	else if (WIFSIGNALED(h->exit_code))
		snprintf(out, OSP_HALT_TEXT, "died after %.40s (killed by signal %d)", h->step,
			 WTERMSIG(h->exit_code));
	else
		snprintf(out, OSP_HALT_TEXT, "died after %.40s (its process ended with status %d)",
			 h->step, WEXITSTATUS(h->exit_code));
	return out;
}
