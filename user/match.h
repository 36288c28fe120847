/*
 * Finds which link ends belong together. An end is a span that carries evidence for one side of a
 * rule; two ends make a pair when a piece of evidence agrees. What a pair is worth depends on all
 * evidence of both and on who else carries the same: a fact (merges two traces), or ambiguous
 * (stored with its candidates, merges nothing). Ends come in any order. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/catalogue.h"
#include "store/span.h"
#include "user/base/list.h"
#include "user/roster.h"
#include "user/trace.h"

struct osp_match_end;

enum { OSP_MATCH_MAX = sizeof(((struct osp_link *)0)->matches) / sizeof(struct osp_match) };

/* A piece of evidence as an end carries it. */
struct osp_match_value {
	uint64_t hash[2];
	int64_t time_ns;
};

struct osp_match_end {
	const struct osp_link *rule;
	struct osp_trace_node *node;   /* of its operation; pinned */
	struct osp_match_end **latest; /* where the linker points to it; NULL = nowhere */
	int64_t start_ns, end_ns;
	struct osp_list pairs, of_operation;
	uint32_t serial;		 /* its place among all ends there ever were */
	uint16_t number;		 /* of the nested span, 0 = the operation */
	uint16_t span;			 /* its index while the operation is open */
	bool to;			 /* else it is the `from` end */
	bool closed;			 /* its span has ended */
	bool paired;			 /* was in a pair, be it ambiguous */
	bool ripe;			 /* it has had its time to find a partner */
	bool begin_unknown;		 /* its operation began before start_ns, unseen */
	uint8_t present;		 /* bit per match: it carries evidence of it, */
	uint8_t sought;			 /* by which it is found */
	struct osp_match_value values[]; /* by match; as many as any rule has */
};

struct osp_match_out {
	int (*edge)(void *arg, const struct osp_edge *edge);
	int (*mark)(void *arg, struct osp_trace_node *node, uint32_t marks);
	void *arg;
};

struct osp_match_stats {
	uint64_t facts, ambiguous; /* pairs, as they stand */
	uint64_t evicted;	   /* ends forgotten before their time */
};

struct osp_matcher;

/* At most `max` ends are remembered. What is pointed to is borrowed. -ENOMEM. */
int osp_match_new(struct osp_matcher **out, const struct osp_catalogue *c, struct osp_forest *f,
		  const struct osp_roster *r, size_t max, const struct osp_match_out *to);
void osp_match_free(struct osp_matcher **m);

/* A new end without evidence. It belongs to the matcher, which may evict it. -ENOMEM. */
int osp_match_add_end(struct osp_matcher *m, const struct osp_link *rule, bool to,
		      struct osp_trace_node *node, struct osp_match_end **out);

/* Evidence of match number `n` will be given or sought soon: memory may begin to move. */
void osp_match_expect(const struct osp_matcher *m, const struct osp_link *rule, size_t n,
		      const uint64_t hash[2]);

/* Gives the end the evidence of match number `n`. It had none. */
void osp_match_add_value(struct osp_matcher *m, struct osp_match_end *e, size_t n,
			 const uint64_t hash[2], int64_t time_ns);

/* Looks for partners after evidence was added; edges and marks go to `to`. */
int osp_match_find(struct osp_matcher *m, struct osp_match_end *e);

/* Decides, for ends whose time is over, whether their partner may have been lost. */
int osp_match_settle(struct osp_matcher *m, int64_t now_ns);
int osp_match_stop(struct osp_matcher *m);

void osp_match_stats(const struct osp_matcher *m, struct osp_match_stats *out);
