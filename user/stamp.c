/*
 * The calibration of the CPU counter (user/stamp.h), fed by the pipeline with readings and
 * records. Owns nothing but its past.
 *
 * A reading is the counter between two looks at boot time: its offset is known to half the distance
 * of the two, some 50 ns, while the pair of a record is up to 90 us off on a cold path. So readings
 * give offset and rate, and records are what they can be: an upper bound. A new segment begins
 * where the last one ends and is bent so that it meets the readings a moment later: times stay
 * continuous, and no step is dated before its predecessor because the calibration moved.
 */
#include "user/stamp.h"

#include <limits.h>
#include <string.h>

enum {
	BASE_NS = 1000000000, /* the rate comes from an interval of at least this */
	MEET_NS = 500000000,  /* a deviation is made good within this time */
	BELIEVED_NS = 100000, /* records that contradict by more come from a program that lies */
	DRIFT_NS = 2000,      /* deviation that needs no explanation, and per second ... */
	DRIFT_PPM = 1000,     /* ... this much: twice what adjtimex may slew */
};

void osp_stamps_init(struct osp_stamps *s)
{
	memset(s, 0, sizeof(*s));
	s->envelope_ns = INT64_MAX;
	s->error_ns = INT64_MAX;
}

static const struct osp_stamp_segment *segment(const struct osp_stamps *s, size_t i)
{
	return &s->segments[i % OSP_STAMP_SEGMENTS];
}

static int64_t segment_time(const struct osp_stamp_segment *g, uint64_t stamp)
{
	__int128 ticks = (__int128)stamp - g->stamp;
	__int128 t = g->boot_ns + ((ticks * g->rate) >> 32);

	return t < 0 ? 0 : t > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)t;
}

/* Nearly every stamp is younger than the latest segment, or one or two older. */
int64_t osp_stamps_time(const struct osp_stamps *s, uint64_t stamp)
{
	size_t i = s->made - 1, low = s->oldest;

	if (stamp >= segment(s, i)->stamp || i == low)
		return segment_time(segment(s, i), stamp);
	while (low < i) {
		size_t middle = i - (i - low) / 2;

		if (segment(s, middle)->stamp <= stamp)
			low = middle;
		else
			i = middle - 1;
	}
	return segment_time(segment(s, low), stamp);
}

static void add_segment(struct osp_stamps *s, uint64_t stamp, int64_t boot_ns, uint64_t rate)
{
	s->segments[s->made++ % OSP_STAMP_SEGMENTS] =
		(struct osp_stamp_segment){stamp, boot_ns, rate};
	if (s->made - s->oldest > OSP_STAMP_SEGMENTS)
		s->oldest = s->made - OSP_STAMP_SEGMENTS;
}

/* ns per tick, 32.32; 0 if the two say nothing. */
static uint64_t rate_between(const struct osp_stamp_reading *a, const struct osp_stamp_reading *b)
{
	__int128 ns = (__int128)b->boot_ns - a->boot_ns;
	__int128 rate;

	if (b->stamp <= a->stamp || ns <= 0)
		return 0;
	rate = (ns << 32) / (b->stamp - a->stamp);
	return rate > 0 && rate >> 44 == 0 ? (uint64_t)rate : 0;
}

/* Suspended, another machine's counter, or one that was set: what was known ends here. */
static void jump(struct osp_stamps *s, const struct osp_stamp_reading *r)
{
	if (r->stamp <= s->last.stamp)
		s->oldest = s->made; /* older segments would be in the way of smaller stamps */
	add_segment(s, r->stamp, r->boot_ns, segment(s, s->made - 1)->rate);
	s->base = s->next_base = *r;
	s->jumps++;
}

/* How far off the reading is; within its bounds, a contradicting record has the word. */
static int64_t deviation(const struct osp_stamps *s, const struct osp_stamp_reading *r)
{
	int64_t off = r->boot_ns - osp_stamps_time(s, r->stamp);

	if (s->envelope_ns < 0 && s->envelope_ns < off)
		off = s->envelope_ns > off - r->half_ns ? s->envelope_ns : off - r->half_ns;
	return off;
}

static void bend(struct osp_stamps *s, const struct osp_stamp_reading *r, int64_t off)
{
	uint64_t rate = rate_between(&s->base, r);
	int64_t bent;

	if (!rate)
		return;
	bent = (int64_t)rate + (int64_t)((__int128)rate * off / MEET_NS);
	if (bent < (int64_t)(rate / 2))
		bent = (int64_t)(rate / 2);
	add_segment(s, r->stamp, osp_stamps_time(s, r->stamp), (uint64_t)bent);
	if (r->boot_ns - s->next_base.boot_ns < BASE_NS)
		return;
	s->base = s->next_base;
	s->next_base = *r;
}

static int64_t magnitude(int64_t v)
{
	return v < 0 ? -v : v;
}

void osp_stamps_add(struct osp_stamps *s, uint64_t stamp, int64_t low_ns, int64_t high_ns)
{
	struct osp_stamp_reading r = {stamp, low_ns + (high_ns - low_ns) / 2,
				      (high_ns - low_ns + 1) / 2};
	int64_t off, drift;

	if (low_ns < 0 || high_ns < low_ns || high_ns > INT64_MAX / 2 || stamp == s->last.stamp)
		return;
	if (!s->base.stamp) {
		s->base = s->next_base = s->last = r;
		return;
	}
	if (!s->made) {
		if (rate_between(&s->base, &r)) {
			add_segment(s, s->base.stamp, s->base.boot_ns, rate_between(&s->base, &r));
			s->error_ns = s->worst_ns = s->base.half_ns + r.half_ns;
		}
		s->last = r;
		return;
	}
	drift = DRIFT_NS + r.half_ns + s->last.half_ns +
		magnitude(s->envelope_ns < 0 ? s->envelope_ns : 0) +
		(r.boot_ns - s->last.boot_ns) / 1000000 * DRIFT_PPM;
	off = deviation(s, &r);
	if (r.stamp <= s->last.stamp || magnitude(off) > drift)
		jump(s, &r);
	else
		bend(s, &r, off);
	s->error_ns = r.half_ns + (magnitude(off) > drift ? 0 : magnitude(off));
	if (s->envelope_ns < 0)
		s->error_ns += -s->envelope_ns;
	if (s->error_ns > s->worst_ns)
		s->worst_ns = s->error_ns;
	s->envelope_ns = INT64_MAX;
	s->last = r;
}

void osp_stamps_check(struct osp_stamps *s, uint64_t stamp, int64_t record_ns)
{
	int64_t after = record_ns - osp_stamps_time(s, stamp);

	s->contradictions += after < 0;
	if (after > -BELIEVED_NS && after < s->envelope_ns)
		s->envelope_ns = after;
}
