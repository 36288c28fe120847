/*
 * Holds the operations of a session against the catalogue it was made with: what is wrong with
 * them, and whether that is known to be no fault of the programs. For `outspan check`.
 */
#pragma once

#include "probes/catalogue.h"
#include "probes/expectation.h"
#include "user/books.h"
#include "user/conform.h"
#include "user/watch.h"

/* Why something seems wrong that is none of the program's faults; NONE: it is one. */
enum osp_check_cause {
	OSP_CHECK_NONE,
	OSP_CHECK_UNKNOWN,	/* steps may be lost there, or the recording was cut off */
	OSP_CHECK_NOT_OBSERVED, /* the point was not attached then */
	OSP_CHECK_NOT_PROVIDED, /* the program's implementation lacks the point */
	OSP_CHECK_EXITED,	/* the process ended */
	OSP_CHECK_BEGAN_BEFORE, /* attach began in the middle */
	OSP_CHECK_STOPPED,	/* the recording was stopped */
	OSP_CHECK_CLOCK,	/* the clocks of the steps contradict each other */
	OSP_CHECK_CAUSES
};

/* Something wrong with one operation. Points, names and rules live as long as the check. */
struct osp_finding {
	enum osp_conform_kind kind;
	enum osp_check_cause cause;
	uint64_t trace, place; /* key; place among the traces of the session */
	uint64_t operation;    /* its id; 0 = several of the process */
	uint32_t process;      /* key */
	int64_t time_ns;       /* of the step, or of the last one; boot time */
	const struct osp_operation *of;
	const struct osp_point *point; /* that is meant, or NULL */
	const struct osp_point *before,
		*after; /* the step before it and the one behind it, or NULL */
	const struct osp_point *expected[OSP_CONFORM_EXPECTED];
	size_t expected_count;
	const char *rule; /* the link, or the user's rule, that says so; NULL = the automaton */
	const struct osp_operation *partner; /* of a link: where the cause lies */
	int64_t by_ns;			     /* of a link: by how much it is too early */
	uint64_t count;			     /* 1, or as often in the process */
};

/* A point that some operations would have passed where nobody, or nothing, could tell. */
struct osp_check_blind {
	const struct osp_operation *of;
	const struct osp_point *point;
	enum osp_check_cause cause;
	uint64_t operations;
};

struct osp_check_limits {
	size_t findings; /* kept of the genuine ones, and as many of the others; more are counted */
	size_t passings; /* of points that users' rules name */
};

struct osp_check {
	const struct osp_session *session; /* borrowed */
	const struct osp_books *books;	   /* borrowed */
	const struct osp_watch *watch;	   /* borrowed */
	const struct osp_operation *only;  /* or NULL = all */
	uint64_t traces, operations;	   /* checked */
	uint64_t unknown;		   /* operations that the catalogue does not know */
	uint64_t genuine, explained[OSP_CHECK_CAUSES], by_kind[OSP_CONFORM_KINDS];
	struct osp_finding *findings; /* owned; by trace, then by time */
	size_t finding_count;
	struct osp_check_blind *blind; /* owned */
	size_t blind_count;
	size_t rules;		       /* of the user's */
	struct osp_check_state *state; /* owned: of checker.h */
};

/*
 * Starts a check of what the books' session holds, by its catalogue (which the watch has); both are
 * borrowed. `only` is the name of the one operation to check, or NULL. -ENOENT: the catalogue has
 * none of that name; -ENOMEM.
 */
int osp_check_new(struct osp_check **out, const struct osp_books *b, const struct osp_watch *w,
		  const char *only, const struct osp_check_limits *limits);
void osp_check_free(struct osp_check **c);

/*
 * Checks it all, trace by trace, and the user's rules (or NULL). -E2BIG: they speak of more
 * passings than the limit; -ENOMEM or a store's error.
 */
int osp_check_run(struct osp_check *c, const struct osp_expectations *rules);

/* "not observed", ... ; NULL for none. */
const char *osp_check_cause_to_str(enum osp_check_cause cause);
