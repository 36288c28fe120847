/*
 * The inside of the stitcher, shared by its files: stitch.c, which takes steps one by one, run.c,
 * which takes those that a record brings together, and hung.c, which knows what to look after.
 */
#pragma once

#include "user/base/hash.h"
#include "user/closed.h"
#include "user/course.h"
#include "user/nfa.h"
#include "user/stitch.h"
#include "user/walk.h"

/* Time-outs are looked at this often between ticks. */
enum { OSP_STITCH_CHECK_NS = 10 * 1000 * 1000 };

/* Steps of one operation often follow each other: the last one's, as long as it stays open. */
struct osp_latest {
	struct osp_open *open; /* NULL = none */
	const struct osp_view *sites;
	const struct osp_nfa_view *view;
};

struct osp_stitch {
	const struct osp_catalogue *catalogue; /* borrowed, as the next two */
	struct osp_roster *roster;
	struct osp_stitch_out to;
	struct osp_stitch_limits limits;
	struct osp_stitch_stats stats;
	struct osp_open_pool pool;
	struct osp_chains open; /* by key: the operation, or the top of a thread's stack */
	struct osp_closed closed;
	struct osp_latest latest;
	struct osp_courses courses;
	const struct osp_tracee *taught; /* whose record the lesson is about, and which */
	uint64_t taught_record;
	uint64_t foreign; /* ids given so far */
	int64_t now_ns, checked_ns;
	struct osp_list by_part;     /* next due first */
	struct osp_list hung;	     /* whose blocks somebody should look into */
	struct osp_list *by_timeout; /* per operation of the catalogue: longest silent first */
	struct osp_nfa **automata;
	struct osp_open_titles *titles;
};

/* One step on its way to an operation. */
struct osp_passing {
	struct osp_tracee *tracee;
	const struct osp_event *event;
	const struct osp_operation *operation;
	const struct osp_nfa *automaton;
	const struct osp_nfa_view *view;
	struct osp_open_key key;
	bool starts; /* an operation may begin with this step */
	bool unsure; /* sites were half attached at its time */
	bool passes; /* it ends with the record that began it: nobody has to find it */
	bool apart;  /* matches nothing that is open: an operation by itself */
};

/* Enters in the books that the step is stored nowhere, and tells `to`. */
int osp_stitch_lose(const struct osp_stitch *s, struct osp_tracee *t, struct osp_page *page,
		    const struct osp_event *e, int fate);

/* Results of a passing beyond 0 (stored) and -errno: it was lost, for this reason. */
static inline int osp_stitch_lost(enum osp_loss_reason reason)
{
	return 1 + (int)reason;
}

/* Or: the step had come before; it had been fetched from its block, and comes with the flush. */
enum { OSP_STITCH_SEEN = 1 + OSP_LOSS_COUNT, OSP_STITCH_REPEATED };

static inline void osp_stitch_set_hash(struct osp_open_key *k)
{
	k->hash = osp_hash_words(k->words[0] ^ k->words[2], k->words[1]);
}

static inline struct osp_open_key osp_stitch_own_key(uint32_t slot, uint64_t op_id)
{
	struct osp_open_key key = {.words = {op_id, (uint64_t)OSP_KEY_OP << 48 | slot}};

	osp_stitch_set_hash(&key);
	return key;
}

/* The open operation that the key finds: of a thread's stack the top; or NULL. */
struct osp_open *osp_stitch_find_key(const struct osp_stitch *s, const struct osp_open_key *key);

/* Opens an operation. 0, -errno, or a loss. `below`: as in struct osp_open. */
int osp_stitch_open(struct osp_stitch *s, const struct osp_passing *p, struct osp_open *below,
		    struct osp_open **out);

/*
 * Makes a move of the operation and tells of it; if it ended with that it is to be closed. The page
 * goes with the stored step. 0, -errno, or a loss.
 */
int osp_stitch_move(struct osp_stitch *s, struct osp_open *o, const struct osp_passing *p,
		    const struct osp_move *move, struct osp_page **page, struct osp_walk *out);

/* The step may name the operation's parent. An error of `to`. */
int osp_stitch_find_parent(struct osp_stitch *s, struct osp_open *o, const struct osp_event *e);

/* Closes the operation and tells its last part. An error of `to`. */
int osp_stitch_close(struct osp_stitch *s, struct osp_open *o, int64_t end_ns,
		     const struct osp_walk *walk, uint32_t marks);

/* Steps of the operation may lie in its block that nothing has brought. */
bool osp_stitch_carries(const struct osp_stitch *s, const struct osp_open *o);

/* An operation that has been open for so long is worth a look into its block, now and then. */
void osp_stitch_note_hung(struct osp_stitch *s, struct osp_open *o);

/* It is closed: no step finds it any more, and its memory is the next one's. */
void osp_stitch_retire(struct osp_stitch *s, struct osp_open *o);
