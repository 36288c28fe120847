/*
 * From steps to operations: finds the operation that a step belongs to, runs its automaton, opens
 * and closes nested spans, and closes operations at their end, at a time-out, when their process
 * ends or when the recording does. What comes of it goes to the functions of struct
 * osp_stitch_out. Pure: time arrives with events and ticks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/catalogue.h"
#include "user/account.h"
#include "user/event.h"
#include "user/open.h"
#include "user/roster.h"

/* All return 0 or -errno, which ends the call they were made in. */
struct osp_stitch_out {
	/* The operation is new; its first step follows. */
	int (*opened)(void *arg, struct osp_open *o);
	/* Another struct stands for it from now on. */
	int (*replaced)(void *arg, struct osp_open *o);
	/* A step was added to one of its spans. */
	int (*stepped)(void *arg, struct osp_open *o, const struct osp_event *e, size_t span);
	/* Whether `stepped` does anything at such a step. */
	bool (*heeds)(void *arg, const struct osp_operation *o, const struct osp_point *p);
	/* It names another operation of its process as its parent. */
	int (*child)(void *arg, struct osp_open *o);
	/* Its row is due: complete if it is closed, after which it is gone. */
	int (*part)(void *arg, struct osp_open *o, bool complete);
	/* The step, whose fate is in the books, is stored nowhere. */
	int (*lost)(void *arg, struct osp_tracee *t, const struct osp_event *e,
		    enum osp_loss_reason reason);
	void *arg;
};

struct osp_stitch_limits {
	size_t operations, steps;
	int64_t start_part_ns;
};

struct osp_stitch_stats {
	uint64_t operations, open, unexpected;
	uint64_t wholes;   /* operations whose row was of a known form */
	uint64_t repeated; /* steps that came again, after they had been fetched from their block */
};

struct osp_stitch;

/* All but the limits are borrowed and outlive the stitcher. -ENOMEM. */
int osp_stitch_new(struct osp_stitch **out, const struct osp_catalogue *c, struct osp_roster *r,
		   const struct osp_stitch_limits *limits, const struct osp_stitch_out *to);
void osp_stitch_free(struct osp_stitch **s);

/* A step of this operation (own points) comes soon: memory may begin to move. */
void osp_stitch_expect(const struct osp_stitch *s, uint32_t slot, uint64_t op_id);

/* A step of the process; its fate is entered in the page. -ENOMEM or an error of `to`. */
int osp_stitch_step(struct osp_stitch *s, struct osp_tracee *t, struct osp_page *page,
		    const struct osp_event *e);

/*
 * All steps of a record, if it is known what such a run does to its operation: the same as a step
 * after the other. *seen: how many of the first had come before. 1: nothing was done, the steps are
 * to be taken one by one (from which it is learnt). Errors as for a step.
 */
int osp_stitch_run(struct osp_stitch *s, struct osp_tracee *t, struct osp_run *run, size_t *seen);

/* Time has come this far: time-outs, start parts. */
int osp_stitch_tick(struct osp_stitch *s, int64_t now_ns);

/* The process is no more (exit, exec): its operations end with it, incomplete. */
int osp_stitch_end_process(struct osp_stitch *s, struct osp_tracee *t, int64_t time_ns);

/* Where the steps of an open operation lie, for whoever can read them. */
struct osp_hung {
	uint64_t op_id, block, start_ns;
	uint32_t pid, tid, slot, exec_id;
	uint32_t next; /* the step that would be new */
	uint16_t point, numbers;
};

/*
 * Takes at most `most` of the operations that have been open for as long as start parts take, each
 * at most once in that time. Their steps are to be pushed as records (LEFT, PEEKED).
 */
size_t osp_stitch_hung(struct osp_stitch *s, struct osp_hung *out, size_t most);

/* The same of operations that are open at all. */
size_t osp_stitch_under_way(const struct osp_stitch *s, struct osp_hung *out, size_t most);

/* The recording is over: closes what is open, incomplete. */
int osp_stitch_stop(struct osp_stitch *s, int64_t time_ns);

void osp_stitch_stats(const struct osp_stitch *s, struct osp_stitch_stats *out);

/* Makes the row of an operation. -ENOMEM. */
int osp_stitch_row(struct osp_stitch *s, struct osp_open *o, bool complete, struct osp_row *out);

/* The row was stored or refused: enters its steps in the books. An error of `to`. */
int osp_stitch_settle(struct osp_stitch *s, struct osp_open *o, bool stored);
