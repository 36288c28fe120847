/*
 * An open operation: what is known of it so far, in the shape of the row that it will become.
 * Steps, attributes and nested spans are added to arrays; values are copied into blocks that
 * belong to the operation. Closed operations go back to a pool with their memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/catalogue.h"
#include "store/span.h"
#include "user/base/chain.h"
#include "user/base/list.h"
#include "user/event.h"
#include "user/key.h"
#include "user/sequence.h"
#include "user/title.h"

struct osp_page;
struct osp_tracee;
struct osp_trace_node;
struct osp_link_op;

/* How an argument of a point becomes an attribute. */
struct osp_open_arg {
	enum { OSP_OPEN_NOT, OSP_OPEN_WORD, OSP_OPEN_ENUM, OSP_OPEN_SIZED } how;
	enum osp_value_type type;	       /* of a word */
	bool titled;			       /* it fills a hole of some title: */
	int8_t holes[OSP_CATALOGUE_SPANS + 1]; /* by kind of span + 1; -1 = none */
};

/* What is found out beforehand of an operation: titles, parsed, and arguments. */
struct osp_open_titles {
	struct osp_title operation;
	struct osp_title spans[OSP_CATALOGUE_SPANS];
	struct osp_open_arg (*args)[OSP_CATALOGUE_ARGS]; /* owned; by point, from the first */
	uint16_t first_point;
};

/* What a span's row does not say. */
struct osp_open_span {
	int8_t kind; /* index into the operation's spans; -1 the operation itself */
	bool closed;
	bool has_status;		 /* set by a step, not by the way the span ended */
	bool named;			 /* the row's name is final */
	uint32_t holes[OSP_TITLE_HOLES]; /* attribute index + 1 that fills the title, 0 = none */
	bool borrowed
		[OSP_TITLE_HOLES]; /* the value is not the span's own: replaced by one that is */
};

/* What a step's row does not say. */
struct osp_open_step {
	struct osp_page
		*page; /* to be told once the step is in a stored row; NULL: counted elsewhere */
	uint32_t sequence;
};

/* Where an attribute came from. */
struct osp_open_attribute {
	const struct osp_arg *arg;
	const struct osp_open_arg *how;
	size_t span;
};

struct osp_open_block;

struct osp_open {
	const struct osp_operation *operation;
	const struct osp_open_titles *titles;
	struct osp_tracee *tracee;   /* borrowed: the roster's */
	struct osp_trace_node *node; /* borrowed: the forest's, pinned while this is open */
	struct osp_link_op *link;    /* what the linker remembers of it */
	uint64_t id, parent_id;
	uint32_t tid;
	uint64_t live;		      /* states it may be in */
	bool guessed;		      /* the set is wider than the steps alone would make it */
	uint64_t last_record;	      /* the process' count of records at the last step */
	struct osp_sequence sequence; /* own points: which steps have come */
	uint32_t first_sequence;      /* the step that was seen first */
	uint64_t block;		      /* address of its block, as its last step told; 0 = unknown */
	uint16_t block_point, block_numbers; /* of that step's: what its numbers mean */
	bool left;			     /* its process died, and its block was read then */
	uint32_t fetched_from, fetched_to;   /* steps read out of the block: not yet flushed */
	int64_t hung_ns;		     /* when it was last told to be hung */
	uint16_t last_nested;		     /* number of the nested span opened last */
	int64_t last_ns, part_due_ns;
	int64_t listed_ns; /* where it stands in by_timeout */
	bool changed;	   /* since the last part */
	bool borrows;	   /* it ends with the record at hand: values stay where that has them */
	uint32_t marks;	   /* those of the row's first span */
	uint64_t form;	   /* as of its row */

	struct osp_row_span *spans;
	struct osp_open_span *span_infos;
	struct osp_step *steps;
	struct osp_open_step *step_infos;
	struct osp_attribute *attributes;
	struct osp_open_attribute *attribute_infos;
	size_t span_count, span_room, step_count, step_room, attribute_count, attribute_room;
	size_t open_spans; /* nested ones that are not closed */
	struct osp_open_block *blocks;
	size_t bytes; /* in blocks and arrays */

	struct osp_open_key key;
	struct osp_chain by_key; /* how the stitcher finds it, unless it is below another */
	struct osp_open *below;	 /* by thread, nested: the one that this one interrupted */
	struct osp_list by_process, by_timeout, by_part, by_hung;
};

struct osp_open_pool {
	struct osp_list free;
	size_t free_count;
	size_t bytes, max_bytes; /* of all open operations */
	size_t max_steps;	 /* of one operation */
};

/* Parses the operation's titles. -ENOMEM. */
int osp_open_init_titles(struct osp_open_titles *t, const struct osp_operation *o);
void osp_open_clear_titles(struct osp_open_titles *t);

/* How the arguments of one of the operation's points become attributes. */
const struct osp_open_arg *osp_open_args(const struct osp_open_titles *t,
					 const struct osp_point *p);

/* An argument as a store keeps it; data points where the event's does. */
void osp_open_value(const struct osp_open_arg *how, const struct osp_arg *a,
		    const struct osp_event_value *v, struct osp_value *out);

void osp_open_init_pool(struct osp_open_pool *pool, size_t max_steps, size_t max_bytes);
void osp_open_clear_pool(struct osp_open_pool *pool);

/* An empty operation with its first span, starting at the time. -ENOMEM. */
int osp_open_new(struct osp_open_pool *pool, const struct osp_operation *o,
		 const struct osp_open_titles *titles, int64_t time_ns, struct osp_open **out);
void osp_open_free(struct osp_open_pool *pool, struct osp_open **o);

/*
 * Opens a nested span of the kind inside `parent`; *out is its index.
 * -ENOSPC past a maximum, -ENOMEM.
 */
int osp_open_add_span(struct osp_open_pool *pool, struct osp_open *o, int8_t kind, size_t parent,
		      int64_t time_ns, size_t *out);

/* Ends a nested span; the status counts unless a step has set one. */
void osp_open_close_span(struct osp_open *o, size_t span, int64_t time_ns,
			 enum osp_span_status status);

/* The innermost open nested span of the kind (-1: of any kind), else 0: the operation. */
size_t osp_open_find_span(const struct osp_open *o, int8_t kind);

/* Adds a step with its arguments to a span. -ENOSPC past a maximum, -ENOMEM. */
int osp_open_add_step(struct osp_open_pool *pool, struct osp_open *o, const struct osp_event *e,
		      size_t span, bool unexpected);

/* Adds an attribute that no argument is to the step added last. -ENOSPC past a maximum, -ENOMEM. */
int osp_open_add_attribute(struct osp_open_pool *pool, struct osp_open *o, const char *name,
			   const struct osp_value *value);

/*
 * Puts a step that came late where its sequence belongs, without its values: nothing else of the
 * operation changes. -ENOSPC past a maximum, -ENOMEM. *out is the step's place.
 */
int osp_open_insert_step(struct osp_open_pool *pool, struct osp_open *o, const struct osp_event *e,
			 size_t *out);

/* Copies bytes into the operation. NULL: -ENOMEM. */
void *osp_open_copy(struct osp_open_pool *pool, struct osp_open *o, const void *bytes, size_t size);

/* Writes the name of a span, from what its title's holes are filled with. Returns its bytes. */
size_t osp_open_name(const struct osp_open *o, size_t span, char name[OSP_TITLE_MAX + 1]);

/* Makes the names and gives the row; trace and complete are the caller's. -ENOMEM. */
int osp_open_row(struct osp_open_pool *pool, struct osp_open *o, struct osp_row *out);
