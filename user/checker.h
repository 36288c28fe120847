/*
 * The inside of a check, shared by its files: check.c, which goes through a session, subject.c, which
 * judges one operation, precedence.c, which judges links, and excuse.c, which knows what is no fault.
 */
#pragma once

#include "user/check.h"
#include "user/expect.h"

enum { OSP_CHECK_VIEWS = 64 };

/* Steps that came when their operation was over: counted by the recorder, not stored. */
struct osp_check_late {
	uint32_t process;
	const struct osp_point *point;
	uint64_t count;
};

/* What a process had attached, and what its automaton can do silently then. */
struct osp_check_view {
	const struct osp_operation *of;
	uint8_t visible[OSP_WATCH_BYTES];
	struct osp_nfa_view view;
};

struct osp_check_engine {
	struct osp_nfa *automaton;
	struct osp_nfa_view strict, blind; /* everything attached, and nothing */
	uint64_t *unseen[2]; /* by point of the operation: not observed, not provided */
};

/* A span of the trace that is checked: by its operation, or by its id alone. */
struct osp_check_place {
	uint64_t operation, id;
	const struct osp_span *span;
};

struct osp_check_state {
	struct osp_check_engine *engines; /* by number of the operation */
	struct osp_check_view views[OSP_CHECK_VIEWS];
	struct osp_check_late *late;
	size_t late_count;
	struct osp_books_gap *gaps; /* of the books, without those of `late` */
	size_t gap_count;
	struct osp_check_place *places, *by_id;
	const struct osp_span_event **events;
	const struct osp_point **points;
	size_t place_room, step_room;
	struct osp_expect expect;
	struct osp_check_limits limits;
	size_t kept[2]; /* findings: genuine, explained */
};

/* ---- check.c ---- */

/* Counts the finding, and keeps it while there is room. -ENOMEM. */
int osp_check_add(struct osp_check *c, const struct osp_finding *f);

/* The span of this id among the `count` of the trace, or NULL. */
const struct osp_span *osp_check_find_span(const struct osp_check_state *s, size_t count,
					   uint64_t id);

/* ---- subject.c ---- */

/* Checks the operation whose spans these are, its root first. -ENOMEM, or of users' rules. */
int osp_check_operation(struct osp_check *c, const struct osp_check_place *places, size_t count);

/* ---- precedence.c ---- */

/* Checks the links between these spans, all of a trace. -ENOMEM. */
int osp_check_links(struct osp_check *c, const struct osp_span *spans, size_t count);

/* ---- excuse.c ---- */

/* True if something was lost in the time, in the process (0 = in any). */
bool osp_check_is_lossy(const struct osp_check *c, uint32_t process, int64_t from_ns,
			int64_t to_ns);

/* True if steps of the operation may be lost. */
bool osp_check_is_uncertain(const struct osp_check *c, const struct osp_span *root);

/* Why a point of a process was not seen: NOT_OBSERVED or NOT_PROVIDED. */
enum osp_check_cause osp_check_why_unseen(const struct osp_check *c, uint32_t process,
					  const struct osp_point *p);

/* Why nothing followed as a user's rule wants, or NONE. */
enum osp_check_cause osp_check_why_unanswered(const struct osp_check *c,
					      const struct osp_broken *b);
