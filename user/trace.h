/*
 * Which operations make one trace: the connected components over "is a child of" and over links
 * that are facts. A component's key is the smallest number of its members, numbered as they
 * appeared. Components merge when a link is found and split again when it turns out ambiguous;
 * rows that are stored already are then moved by patches. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/base/chain.h"
#include "user/base/list.h"

enum { OSP_TRACE_FEW = 4 }; /* edges that a node has room for */

struct osp_trace_set;
struct osp_open;

/* An operation as far as traces and links care; it outlives the open operation. */
struct osp_trace_node {
	uint64_t id; /* of the operation */
	uint32_t slot;
	uint64_t birth; /* its number: 1, 2, ... in order of appearance */
	struct osp_trace_set *set;
	struct osp_list in_set;
	struct osp_chain by_id;	       /* in the forest's table */
	struct osp_trace_node **edges; /* `few`, or owned */
	struct osp_trace_node *few[OSP_TRACE_FEW];
	uint32_t edge_count, edge_room;
	size_t pins;	       /* users that must find it again */
	size_t mark;	       /* of the walk that last came by */
	bool stored;	       /* a row of it has gone to the sink */
	uint32_t marks;	       /* patched onto it since */
	struct osp_open *open; /* while it is open */
};

struct osp_forest;

/* Called for stored members of a component whose key changed. */
typedef int (*osp_trace_moved_fn)(void *arg, const struct osp_trace_node *node);

/* At most `max` operations are remembered beyond those pinned. -ENOMEM. */
int osp_trace_new(struct osp_forest **out, size_t max, osp_trace_moved_fn moved, void *arg);
void osp_trace_free(struct osp_forest **f);

/* The operation may be added soon: memory may begin to move. */
void osp_trace_expect(const struct osp_forest *f, uint32_t slot, uint64_t id);

/* The node may be unpinned soon. */
void osp_trace_expect_node(const struct osp_trace_node *n);

/* The node of an operation, made if it is new. -ENOMEM. */
int osp_trace_add(struct osp_forest *f, uint32_t slot, uint64_t id, struct osp_trace_node **out);

/* The node of an operation that has one; NULL: none, or it was forgotten. */
struct osp_trace_node *osp_trace_find(const struct osp_forest *f, uint32_t slot, uint64_t id);

/* Calls fn for every node of which no row is stored, until one fails: returns that. */
int osp_trace_find_unstored(const struct osp_forest *f,
			    int (*fn)(void *arg, struct osp_trace_node *n), void *arg);

/* A pinned node stays; one without pins may be forgotten with its whole component. */
void osp_trace_pin(struct osp_forest *f, struct osp_trace_node *n);
void osp_trace_unpin(struct osp_forest *f, struct osp_trace_node *n);

/* Joins two operations for a reason; each joining is undone by one parting. */
int osp_trace_join(struct osp_forest *f, struct osp_trace_node *a, struct osp_trace_node *b);
int osp_trace_part(struct osp_forest *f, struct osp_trace_node *a, struct osp_trace_node *b);

/* Traces there are so far, those that were forgotten among them. */
uint64_t osp_trace_count(const struct osp_forest *f);

/* Key of the trace that the operation belongs to now. */
uint64_t osp_trace_key(const struct osp_trace_node *n);
