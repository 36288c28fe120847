/*
 * Finding the marks that are due. A sweep takes the marks whose time had come when it began, each
 * once, so it ends however often subscribers fail; what goes wrong ends the sweep, never the
 * sweeping. Fed by a timer; a sweep that finds nothing is no operation. Owns the tells under way.
 */
#include "probes/pubsub/ps_sweep.h"

#include <errno.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_system.h"

enum { TELLS_MAX = 16 };

static void rearm(struct ps_sweep *s)
{
	ps_loop_arm(s->b->loop, &s->timer, s->options.interval_ns);
}

static void log_sweep(const struct ps_sweep *s)
{
	struct ps_line line;

	ps_log_begin(&line, s->b->log, "sweep");
	ps_log_number(&line, "begin", s->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "due", s->found);
	ps_log_word(&line, "outcome", s->failed ? "unavailable" : "ok");
	ps_log_end(&line);
}

static void sweep_start(struct ps_sweep *s)
{
	if (s->sweeping)
		return;
	s->sweeping = true;
	PS_STEP(lonelypsp_sweep_missed__sweep_start(lonelypsp_sweep_missed_begin(&s->op)));
}

static void unavailable(struct ps_sweep *s)
{
	lonelypsp_sweep_missed__unavailable(lonelypsp_sweep_missed_at_sweeping(&s->op));
}

static void sweep_done(struct ps_sweep *s)
{
	lonelypsp_sweep_missed__sweep_done(lonelypsp_sweep_missed_at_sweeping(&s->op), s->found);
}

static void finish(struct ps_sweep *s)
{
	if (s->failed)
		unavailable(s);
	else if (s->sweeping)
		sweep_done(s);
	if (s->sweeping)
		log_sweep(s);
	s->sweeping = false;
	rearm(s);
}

/* Claims the next mark and tells its subscriber: 0, 1 if there is none, -errno. */
static int tell_next(struct ps_sweep *s)
{
	struct ps_db_claim c = {s->begin_ns / 1000000, ps_system_wall_ns() / 1000000,
				s->options.lock_ns / 1000000};
	struct ps_db_missed m = {0};
	int r = ps_db_claim_missed(s->b->db, &c, &m);

	if (r)
		return r;
	sweep_start(s);
	r = ps_tell_start(s, &m);
	if (r)
		ps_db_clear_missed(&m); /* its claim ends with its time */
	else
		s->found++;
	return r;
}

static void fill(struct ps_sweep *s)
{
	while (!s->exhausted && s->tell_count < TELLS_MAX) {
		int r = tell_next(s);

		s->exhausted = r;
		if (r < 0) {
			sweep_start(s);
			s->failed = true;
		}
	}
	if (s->exhausted && !s->tell_count)
		finish(s);
}

void ps_sweep_told(struct ps_sweep *s)
{
	fill(s);
}

static void expired(struct ps_timer *t)
{
	struct ps_sweep *s = t->owner;

	s->begin_ns = ps_system_wall_ns();
	s->found = 0;
	s->exhausted = s->failed = false;
	fill(s);
}

void ps_sweep_start(struct ps_sweep *s, struct ps_broadcaster *b, const struct ps_sweep_options *o)
{
	*s = (struct ps_sweep){.b = b, .options = *o};
	s->timer = (struct ps_timer){.expired = expired, .owner = s};
	rearm(s);
}

void ps_sweep_stop(struct ps_sweep *s)
{
	if (!s->b)
		return;
	ps_loop_disarm(s->b->loop, &s->timer);
	while (s->tells)
		ps_tell_cancel(s->tells);
	lonelypsp_sweep_missed_leave(&s->op, ECANCELED);
}
