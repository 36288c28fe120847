/*
 * Small sessions with losses of every kind, for tests of what is said of them; the provider and
 * its processes are those of tests/sample.h. Counts are chosen by hand so that every figure of
 * the output can be checked on paper.
 */
#pragma once

#include "tests/sample.h"

/* A page of the books with up to two reasons. */
static inline void sample_page(struct sample *s, unsigned process, const char *probe, uint64_t hits,
			       uint64_t stored, const char *first, uint64_t first_lost,
			       const char *second, uint64_t second_lost)
{
	static const char *reasons[64][2];
	static uint64_t lost[64][2];
	static size_t used;
	size_t n = used++ % 64;

	reasons[n][0] = first;
	reasons[n][1] = second;
	lost[n][0] = first_lost;
	lost[n][1] = second_lost;
	sample_add(s, OSP_PART_LOSS)->loss =
		(struct osp_loss_row){process, "parcel",   probe,   hits,
				      stored,  reasons[n], lost[n], second ? 2u : first ? 1u : 0u};
}

static inline void sample_gap(struct sample *s, unsigned process, double from, double to,
			      uint64_t lost, const char *reason)
{
	sample_add(s, OSP_PART_GAP)->gap =
		(struct osp_gap_row){process, sample_time(from), sample_time(to), lost, reason};
}

static inline void sample_watched(struct sample *s, unsigned process, const char *probe)
{
	sample_add(s, OSP_PART_ATTACH)->attach = (struct osp_attach_row){
		process, "parcel", probe, "essential", sample_time(0), sample_time(9000), 1};
}

/* An operation of the depot with steps at these times, in a trace of its own. */
static inline void sample_sorted(struct sample *s, unsigned n, uint32_t marks, const double *times,
				 size_t count)
{
	sample_row(s, sample_id(SAMPLE_DEPOT, n), n, SAMPLE_DEPOT, "depot");
	sample_span(s, "sort", "sort north/7", OSP_SPAN_SERVER, times[0], times[count - 1])->marks =
		marks;
	for (size_t i = 0; i < count; i++)
		sample_step(s, times[i], "accepted", 0);
}

static inline struct sample *sample_begin(void)
{
	struct sample *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	sample_session(s);
	return s;
}

/* Everything that was hit is stored: four steps. */
static inline struct sample *sample_lossless(void)
{
	struct sample *s = sample_begin();

	sample_sorted(s, 1, 0, (double[]){0, 1, 2, 3}, 4);
	sample_page(s, SAMPLE_DEPOT, "sort__accepted", 4, 4, NULL, 0, NULL, 0);
	sample_watched(s, SAMPLE_DEPOT, "sort__accepted");
	return s;
}

/* Nothing is missing, though two hits are not stored: nobody wanted them. */
static inline struct sample *sample_spare(void)
{
	struct sample *s = sample_begin();

	sample_sorted(s, 1, 0, (double[]){0, 1, 2, 3}, 4);
	sample_page(s, SAMPLE_DEPOT, "sort__accepted", 6, 4, "filtered", 1, "forked_copy", 1);
	sample_watched(s, SAMPLE_DEPOT, "sort__accepted");
	return s;
}

/*
 * Two times with losses, 2 s apart: 30 steps of two processes around 1 s (in three gaps that
 * touch or nearly do), 5 around 4 s; 5 more at a time that no gap tells. 11 steps are stored: 2 in
 * the first time, 0 in the second. Four traces: one whole, one cut by a loss in its time, one cut
 * without, one begun before.
 */
static inline struct sample *sample_lossy(void)
{
	struct sample *s = sample_begin();

	sample_sorted(s, 1, 0, (double[]){100, 110}, 2);
	sample_row(s, sample_id(SAMPLE_NORTH, 1), 1, SAMPLE_NORTH, "courier")->parent_id =
		sample_id(SAMPLE_DEPOT, 1);
	sample_span(s, "carry", "carry north/7", OSP_SPAN_CONSUMER, 102, 104);
	for (int i = 0; i < 3; i++)
		sample_step(s, 102 + i, "arrived", 0);
	sample_sorted(s, 2, OSP_MARK_MAY_BE_CUT, (double[]){990, 1010, 1100}, 3);
	sample_sorted(s, 3, OSP_MARK_MAY_BE_CUT | OSP_MARK_INCOMPLETE, (double[]){8000, 8010}, 2);
	sample_sorted(s, 4, OSP_MARK_BEGAN_BEFORE, (double[]){6000}, 1);
	sample_page(s, SAMPLE_DEPOT, "sort__accepted", 40, 8, "ring_full", 28, "late", 4);
	sample_page(s, SAMPLE_DEPOT, "sort__received", 1, 0, "argument_fault", 1, NULL, 0);
	sample_page(s, SAMPLE_SENDER, "send__began", 9, 0, "ring_full", 7, "duplicate", 2);
	sample_page(s, SAMPLE_NORTH, "carry__arrived", 3, 3, NULL, 0, NULL, 0);
	sample_gap(s, SAMPLE_DEPOT, 1000, 1050, 20, "ring_full");
	sample_gap(s, SAMPLE_SENDER, 1020, 1060, 7, "ring_full");
	sample_gap(s, SAMPLE_DEPOT, 1090, 1110, 3, "ring_full");
	sample_gap(s, SAMPLE_DEPOT, 4000, 4100, 5, "ring_full");
	sample_watched(s, SAMPLE_DEPOT, "sort__accepted");
	sample_watched(s, SAMPLE_DEPOT, "sort__received");
	return s;
}

/*
 * Only the last while was kept: of 30 steps that were stored 27 are gone, 20 of the depot and 7 of
 * the sender. One loss lies in the time that is gone, one in the time that is there.
 */
static inline struct sample *sample_forgetful(void)
{
	struct sample *s = sample_begin();

	sample_sorted(s, 1, 0, (double[]){4000, 4050, 4200}, 3);
	sample_page(s, SAMPLE_DEPOT, "sort__accepted", 28, 23, "ring_full", 5, NULL, 0);
	sample_page(s, SAMPLE_SENDER, "send__began", 7, 7, NULL, 0, NULL, 0);
	sample_gap(s, SAMPLE_DEPOT, 1000, 1050, 3, "ring_full");
	sample_gap(s, SAMPLE_DEPOT, 4010, 4100, 2, "ring_full");
	sample_watched(s, SAMPLE_DEPOT, "sort__accepted");
	sample_add(s, OSP_PART_SESSION)->session =
		(struct osp_session_row){OSP_SESSION_FORGOTTEN "2", "20"};
	sample_add(s, OSP_PART_SESSION)->session =
		(struct osp_session_row){OSP_SESSION_FORGOTTEN "1", "7"};
	return s;
}

/* Nothing is known to be lost, and yet a hit is not stored. */
static inline struct sample *sample_open(void)
{
	struct sample *s = sample_begin();

	sample_sorted(s, 1, 0, (double[]){0, 1, 2, 3}, 4);
	sample_page(s, SAMPLE_DEPOT, "sort__accepted", 5, 4, NULL, 0, NULL, 0);
	return s;
}

/* Takes the last word away. */
static inline void sample_cut_off(struct sample *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->parts[i].kind == OSP_PART_SESSION &&
		    !strcmp(s->parts[i].session.name, OSP_SESSION_ENDED))
			s->parts[i].session.name = "note";
}

/* Nothing is missing, as far as it goes. */
static inline struct sample *sample_killed(void)
{
	struct sample *s = sample_lossless();
	static char committed[24];

	sample_cut_off(s);
	snprintf(committed, sizeof(committed), "%lld", (long long)sample_time(3));
	sample_add(s, OSP_PART_SESSION)->session =
		(struct osp_session_row){OSP_SESSION_COMMITTED, committed};
	return s;
}

/* The recorder was killed; two points do not add up, one of a process that nobody knows. */
static inline struct sample *sample_broken(void)
{
	struct sample *s = sample_begin();

	sample_cut_off(s);
	sample_sorted(s, 1, 0, (double[]){0, 1}, 2);
	sample_page(s, SAMPLE_DEPOT, "sort__accepted", 10, 5, "ring_full", 4, NULL, 0);
	sample_page(s, SAMPLE_DEPOT, "sort__\x1b[2Jx", 3, 3, NULL, 0, NULL, 0);
	sample_page(s, 99, "carry__arrived", 2, 0, "eaten\x1b[31m", 1, NULL, 0);
	sample_page(s, 0, "carry__arrived", 6, 0, "table_full", 6, NULL, 0);
	/* the second gap lies within the first, which reaches on to the second trace */
	sample_gap(s, SAMPLE_DEPOT, 50, 5000, 4, "ring_full");
	sample_gap(s, 99, 60, 70, 1, "eaten\x1b[31m");
	sample_gap(s, SAMPLE_DEPOT, 8000, 8000, 1, "filtered");
	sample_sorted(s, 2, 0, (double[]){3000}, 1);
	sample_sorted(s, 3, 0, (double[]){8000}, 1);
	return s;
}
