/*
 * The books of a session as its readers see them: hits = stored + losses for every point of every
 * process, the losses by reason and in time, and the traces that they touched. Read through the
 * store contract. What is written: user/account.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/session.h"
#include "user/reason.h"

enum { OSP_BOOKS_REASONS = 64, OSP_BOOKS_MARKS = 8 };

/* Losses of one reason. */
struct osp_books_reason {
	const char *name;
	const struct osp_reason *known;
	uint64_t lost;
};

/* What one reason took from a point. */
struct osp_books_share {
	size_t reason; /* index into the reasons of the books */
	uint64_t lost;
};

/* One point of one process. */
struct osp_books_page {
	uint32_t process;
	const char *provider, *probe;
	uint64_t hits, stored;
	uint64_t lost;	  /* all that are not stored */
	uint64_t missing; /* of the lost ones: those that somebody misses */
	const struct osp_books_share *losses;
	size_t loss_count;
};

/* A time in which a process lost steps that are missed, as stored. */
struct osp_books_gap {
	int64_t from_ns, to_ns;
	int64_t reach_ns; /* the latest end of the gaps up to this one, in order of their begins */
	uint32_t process;
	uint64_t lost;
	const char *reason;
};

/* Gaps that are less than a second apart, of all processes, as one. */
struct osp_books_interval {
	int64_t from_ns, to_ns;
	uint64_t lost, stored; /* stored: filled in by osp_books_count */
	uint64_t reasons;      /* bit per reason of the books */
	uint32_t process;      /* the one that lost most */
	size_t processes;
};

/* Traces, and how many of them carry which mark. */
struct osp_books_traces {
	uint64_t all;
	uint64_t marked[OSP_BOOKS_MARKS]; /* by bit of enum osp_mark */
	uint64_t by_loss;		  /* of those that may be cut: a loss lies in their time */
	uint64_t whole;			  /* neither cut, nor began before, nor incomplete */
};

struct osp_books {
	const struct osp_session *session; /* borrowed */
	uint32_t pid;			   /* of the processes they are of; 0 = all */
	uint64_t hits, stored, lost, missing, chosen;
	uint64_t forgotten; /* of the stored ones: not in the session any more (--keep-last) */
	struct osp_books_reason reasons[OSP_BOOKS_REASONS];
	size_t reason_count;
	struct osp_books_page *pages; /* owned */
	size_t page_count;
	size_t open; /* pages for which hits = stored + lost does not hold */
	size_t processes;
	struct osp_books_gap *gaps; /* owned, by from_ns */
	size_t gap_count;
	struct osp_books_interval *intervals; /* owned */
	size_t interval_count;
	int64_t from_ns,
		to_ns; /* first attach and last detach, boot time; to_ns 0 = not detached */
	/* filled in by osp_books_count */
	bool counted;
	uint64_t found;		   /* steps in the session's rows */
	int64_t first_ns, last_ns; /* the first and the last that is there, boot time */
	struct osp_books_traces traces;
	void *texts; /* owned: what the rows above point to */
};

/*
 * Reads the books of a session, or of the processes with this pid (0 = all); the session outlives
 * them. -ESRCH: no such process; -E2BIG: more reasons or rows than a session can have; a store's
 * error.
 */
int osp_books_read(struct osp_books **out, const struct osp_session *s, uint32_t pid);
void osp_books_free(struct osp_books **b);

/* Goes through the rows of the session: what the losses touched. Takes as long as reading it all. */
int osp_books_count(struct osp_books *b);

/* Of gaps as the books order them, one of the process (0: of any) that lies in the time, or NULL. */
const struct osp_books_gap *osp_books_search_gaps(const struct osp_books_gap *gaps, size_t count,
						  uint32_t process, int64_t from_ns, int64_t to_ns);

/*
 * True if a gap lies in the time, or so near that a partner of what happened then may be lost.
 * *out is one of that process, if there is one; else of any.
 */
bool osp_books_find_gap(const struct osp_books *b, uint32_t process, int64_t from_ns, int64_t to_ns,
			const struct osp_books_gap **out);

/*
 * True if the trace may lack something that no mark of it tells: its recorder did not live to look
 * for the lost partners of its spans.
 */
bool osp_books_doubt(const struct osp_books *b, const struct osp_trace *t);

/* True if steps of that time may have been forgotten: its share is not known. */
bool osp_books_is_forgotten(const struct osp_books *b, const struct osp_books_interval *i);

/*
 * True if nothing is missing: the recording ended well, the books close, no step is missing, and
 * nothing happened that no page of them tells.
 */
bool osp_books_are_whole(const struct osp_books *b);
