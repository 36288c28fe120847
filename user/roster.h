/*
 * The processes of a session: who they are, which points are attached in them, when they lost
 * steps and when sites were being attached or detached. Filled from inputs; read by the stitcher
 * and by the linker. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes/catalogue.h"
#include "store/span.h"
#include "user/nfa.h"
#include "user/base/list.h"
#include "user/input.h"

/* What one set of attached points lets every operation's automaton do; shared by processes. */
struct osp_view {
	uint64_t serial; /* no other view of the session has it, nor had */
	uint8_t visible[OSP_CATALOGUE_POINTS / 8];
	struct osp_nfa_view *automata[]; /* by operation number; owned; NULL = not needed yet */
};

/* Intervals in which sites were half attached: the latest, and where all earlier ones ended. */
struct osp_unsure {
	int64_t from_ns, to_ns; /* to_ns = INT64_MAX while it lasts */
	int64_t earlier_to_ns;
	uint32_t depth; /* that last: one may begin within another */
};

/* A site set of a point in a process, for the session's attach rows. */
struct osp_attached {
	const struct osp_point *point;
	int64_t from_ns;
	uint32_t sites;
};

struct osp_tracee {
	uint32_t slot;
	struct osp_process_row row; /* strings owned */
	char *strings;
	uint64_t lost;		/* steps it has lost, as far as gaps were made of them */
	uint64_t discarded;	/* of them, those that the recorder discarded */
	uint64_t kernel_lost;	/* and the largest `lost` that its records have carried */
	uint64_t records;	/* of steps, seen so far */
	uint64_t gap_record;	/* the record that showed the latest loss; 0 = none */
	int64_t last_ns;	/* time of the latest record */
	struct osp_gap_row gap; /* loss not yet told to the sink; lost = 0: none */
	uint64_t missed; /* steps, and maybe whole operations, that the recorder could not keep */
	struct osp_gap_row missing; /* of those, what is not yet told to the sink */
	struct osp_unsure unsure;
	bool told_sites; /* some OSP_INPUT_SITES came: points not named have no site */
	bool ended;
	uint8_t visible[OSP_CATALOGUE_POINTS / 8];
	uint8_t fires[OSP_CATALOGUE_POINTS / 8];   /* of the visible: their own sites trap */
	uint8_t dropped[OSP_CATALOGUE_POINTS / 8]; /* were visible until they were switched off */
	uint8_t quiet[OSP_CATALOGUE_POINTS / 8]; /* fired until they were switched to be carried */
	int64_t switched_ns;			 /* the last of either */
	const struct osp_view *view;   /* borrowed from the roster; NULL = to be looked up */
	struct osp_attached *attached; /* owned */
	size_t attached_count;
	struct osp_list open; /* the stitcher's open operations of this process */
};

struct osp_roster;

typedef int (*osp_roster_part_fn)(void *arg, const struct osp_part *part);

/* The catalogue is borrowed. Parts (processes, gaps, attach rows) go to `part`. -ENOMEM. */
int osp_roster_new(struct osp_roster **out, const struct osp_catalogue *c, osp_roster_part_fn part,
		   void *arg);
void osp_roster_free(struct osp_roster **r);

/*
 * The process of a record, entered with what the record tells if it is new. *out is NULL if the
 * slot is out of range.
 */
int osp_roster_find(struct osp_roster *r, const struct osp_record *record, struct osp_tracee **out);

/*
 * The process in a slot, entered without a name if none of its records ever came: all of them were
 * lost. -ENOMEM, -ERANGE, the sink's error.
 */
int osp_roster_meet(struct osp_roster *r, uint32_t slot, int64_t time_ns, struct osp_tracee **out);

/* The process in a slot, or NULL; the number of slots to walk is osp_roster_count. */
struct osp_tracee *osp_roster_at(const struct osp_roster *r, uint32_t slot);
uint32_t osp_roster_count(const struct osp_roster *r);

/* The inputs of the kinds named. Slots out of range are ignored. */
int osp_roster_add_process(struct osp_roster *r, const struct osp_input *in);
int osp_roster_add_sites(struct osp_roster *r, const struct osp_input *in);
int osp_roster_add_attach(struct osp_roster *r, const struct osp_input *in);

/* A fork: the child starts with the parent's attached points. */
int osp_roster_add_fork(struct osp_roster *r, const struct osp_record *record);

/* The process ended (exit code as in wait(2)) or became another by exec. */
int osp_roster_end(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns, int32_t code);

/* Takes a step's record, made at time_ns, into account: finds out whether the process lost steps before it. */
int osp_roster_add_step(struct osp_roster *r, struct osp_tracee *t, const struct osp_record *record,
			int64_t time_ns);

/*
 * A step of the process came and cannot be kept: its time is part of a gap of that reason, and its
 * partners elsewhere may lack it. anywhere: nobody knows in which operation it is missing, so that
 * any that is open now may lack it. -ENOMEM, the sink's error.
 */
int osp_roster_add_loss(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns,
			enum osp_loss_reason reason, bool anywhere);

/* True if whole operations of the process may be lost, or their first steps. */
bool osp_roster_misses(const struct osp_tracee *t);
bool osp_roster_any_misses(const struct osp_roster *r);

/* Steps of the process were discarded unread: its next step, or its end, makes a gap of them. */
void osp_roster_add_discarded(struct osp_tracee *t, uint64_t steps);

/* The counters say that `lost` steps of the process are gone in all: a loss at the tail. */
int osp_roster_add_tail(struct osp_roster *r, struct osp_tracee *t, int64_t time_ns, uint64_t lost,
			const char *reason);

/* A step of the latest loss has come after all, if that has not been told yet. */
void osp_roster_recover(struct osp_tracee *t);

/* Tells the sink about gaps that are known but may still have been growing. */
int osp_roster_flush_gaps(struct osp_roster *r);

/* Ends all attach rows that are still open. */
int osp_roster_end_attached(struct osp_roster *r, int64_t time_ns);

/* True if sites of the process were half attached at some time in [from, to]. */
bool osp_roster_unsure(const struct osp_roster *r, const struct osp_tracee *t, int64_t from_ns,
		       int64_t to_ns);

/* True if any process lost steps, or was half attached, at some time in [from, to]. */
bool osp_roster_cut(const struct osp_roster *r, int64_t from_ns, int64_t to_ns);

/* False if the point is surely attached in no process of the session. */
bool osp_roster_sees(const struct osp_roster *r, const struct osp_point *point);

/* False if the point was not wanted when the process passed it, as far as is known. */
bool osp_roster_wants(const struct osp_roster *r, const struct osp_tracee *t,
		      const struct osp_point *point, int64_t time_ns);

/* False if the point's own sites did not trap then: its steps come with those of others. */
bool osp_roster_fires(const struct osp_roster *r, const struct osp_tracee *t,
		      const struct osp_point *point, int64_t time_ns);

/* What the process' attached points let the operation do. -ENOMEM. */
int osp_roster_view(struct osp_roster *r, struct osp_tracee *t, const struct osp_nfa *a,
		    const struct osp_operation *o, const struct osp_nfa_view **out);

/* Steps lost in the kernel, of all processes, as far as their records have said. */
uint64_t osp_roster_lost(const struct osp_roster *r);
