/*
 * A decoded step: the type between decode, order and stitch; and several at once. Values point into the record and
 * live as long as it does (the call of osp_pipeline_push); stitch copies what it keeps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "probes/catalogue.h"

struct osp_event_value {
	const void *data;   /* str, bytes, context; NULL = could not be read */
	uint32_t size;	    /* bytes at data */
	uint32_t true_size; /* bytes there were in the program */
	union {
		uint64_t u64; /* integers, bool, op */
		int64_t i64;
		double f64;
	};
	bool present; /* false: unreadable, or an absent context */
};

/* A trace context as it travels: what a value of type context_in or context_out points to. */
struct osp_event_context {
	uint8_t trace_id[16];
	uint8_t span_id[8]; /* big-endian, as on the wire */
	uint8_t flags;
	uint8_t reserved[7];
};

struct osp_event {
	const struct osp_point *point;
	uint32_t slot; /* process */
	uint32_t tid;
	int64_t time_ns;   /* boot time; one clock within an operation */
	uint64_t stamp;	   /* the CPU counter at the point (own points) */
	uint64_t op_id;	   /* 0 for foreign points */
	uint64_t block;	   /* address of the operation block (own points) */
	uint32_t sequence; /* of the step in its operation (own points) */
	uint16_t nested;   /* nested spans opened so far (own points) */
	uint64_t lost;	   /* steps this process has lost in the kernel so far */
	uint64_t ordinal;  /* of the hit that brought it among those of its (process, point) */
	bool trapped;	   /* its own hit brought it; else it was carried by another's */
	bool fired;	   /* its own site was hit, too, for whoever had attached it */
	bool forked;	   /* of a child's copy of its parent's operation */
	bool whole;	   /* with it came all steps that its block held (own points) */
	bool fetched;	   /* read out of its block: its flush may yet bring it again */
	uint16_t numbers;  /* table for the numbers of its operation's points (own points) */
	struct osp_event_value values[OSP_CATALOGUE_ARGS]; /* the point's arguments; no others */
};

enum {
	OSP_RUN_STEPS = OSP_EVENT_DATA / OSP_EVENT_STEP_HEAD,
	OSP_RUN_VALUES = OSP_EVENT_DATA / 8,
};

struct osp_page;

/* A step among those that a record brings together. */
struct osp_run_step {
	const struct osp_point *point;
	const struct osp_event_value *values; /* the point's arguments */
	struct osp_page *page;		      /* of its point; set by the pipeline */
	uint64_t stamp;
	int64_t time_ns;
	uint16_t nested;
	bool fired;
};

/*
 * All steps that an operation's block held, in order, none of them missing. It is the same as an
 * event for each; whoever takes it as a whole need not look at each as if it had come alone.
 */
struct osp_run {
	size_t count;			/* of steps, at least 2 */
	uint32_t first;			/* sequence of the first */
	bool trapped;			/* the last one was hit by itself; else none was */
	size_t fired;			/* carried steps up to the last one that was fired, too */
	int64_t time_ns;		/* of the record: no step is younger */
	uint16_t nested;		/* the largest of the steps' */
	int64_t least_ns, most_ns;	/* of the steps' times */
	uint16_t points[OSP_RUN_STEPS]; /* their numbers */
	struct osp_run_step steps[OSP_RUN_STEPS];
	struct osp_event_value values[OSP_RUN_VALUES];
	struct osp_event event; /* what is common to all; to be filled with each in turn */
};
