/*
 * The span model: what the recorder hands to a store and what a store hands to readers. Names
 * are plain text here (operations, points, attributes): a store knows no catalogue.
 *
 * Written: struct osp_row, an operation with its nested spans and steps; struct osp_edge, a link;
 * and the session's own rows (processes, losses, ...), all as struct osp_part in one batch.
 * Read: struct osp_span, flat, the same from every store (store/view.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/ids.h"

/* Kinds, statuses: the numbers of OpenTelemetry's protobuf. */
enum osp_span_kind {
	OSP_SPAN_INTERNAL = 1,
	OSP_SPAN_SERVER,
	OSP_SPAN_CLIENT,
	OSP_SPAN_PRODUCER,
	OSP_SPAN_CONSUMER
};
enum osp_span_status { OSP_SPAN_UNSET, OSP_SPAN_OK, OSP_SPAN_ERROR };

/* Marks of a span; a trace has the union of its spans' marks. */
enum osp_mark {
	OSP_MARK_INCOMPLETE = 1 << 0,	 /* never ended while it was watched */
	OSP_MARK_BEGAN_BEFORE = 1 << 1,	 /* began before attach */
	OSP_MARK_MAY_BE_CUT = 1 << 2,	 /* a loss, or attach or detach, touched it */
	OSP_MARK_UNEXPECTED = 1 << 3,	 /* a step came where its automaton has none */
	OSP_MARK_TIMED_OUT = 1 << 4,	 /* closed by its time-out */
	OSP_MARK_AMBIGUOUS = 1 << 5,	 /* a link to it has several candidates */
	OSP_MARK_STEPS_UNKNOWN = 1 << 6, /* its process died, and its last steps with it */
	OSP_MARK_REPORTED = 1 << 7,	 /* nobody saw it: a peer of its process told of it */
};

enum osp_value_type {
	OSP_VALUE_I64,
	OSP_VALUE_U64,
	OSP_VALUE_F64,
	OSP_VALUE_BOOL,
	OSP_VALUE_STR,
	OSP_VALUE_BYTES
};

/* A value. STR is valid UTF-8 without NUL; what is not is stored as BYTES. */
struct osp_value {
	enum osp_value_type type;
	union {
		int64_t i64;
		uint64_t u64;
		double f64;
		bool boolean;
	};
	const void *data;   /* STR, BYTES: borrowed; not NUL-terminated */
	uint32_t size;	    /* bytes at data */
	uint32_t true_size; /* bytes there were; more than size = cut off */
};

struct osp_attribute {
	const char *name;
	struct osp_value value;
};

/* A step as stored: which span of the row it lies in, and its arguments. */
struct osp_step {
	int64_t time_ns;
	const char *name; /* of the point: "auth_accepted" */
	uint16_t span;	  /* index into the row's spans */
	uint16_t attribute_count;
	uint32_t first_attribute : 31; /* index into the row's attributes */
	bool unexpected : 1;
};

/* One span of an operation: [0] is the operation itself, the others its nested spans. */
struct osp_row_span {
	uint16_t number;       /* 0, or n of the n-th nested span opened */
	uint16_t parent;       /* index into the row's spans; 0 for the operation */
	const char *kind_name; /* catalogue name of operation or nested span: "handle_notify" */
	const char *name;      /* for people: "handle foo/bar" */
	enum osp_span_kind kind;
	int64_t start_ns, end_ns; /* end_ns = last step seen, while incomplete */
	enum osp_span_status status;
	const char *code; /* or NULL */
	uint32_t marks;	  /* enum osp_mark */
};

/* An operation as a store keeps it. */
struct osp_row {
	uint64_t id;	    /* span id of the operation: a multiple of OSP_SPAN_IDS */
	uint64_t trace;	    /* key of the trace it belongs to: derived, may change (patch) */
	uint64_t parent_id; /* operation of the same process that this one is a child of, or 0 */
	uint32_t process;   /* key of struct osp_process_row; of one that was reported: told whom */
	uint32_t tid;	    /* thread of the first step */
	bool complete;	    /* false: a start part; a later part of the same id replaces it */
	/*
	 * All texts but names of spans, codes and values are constants: valid, never changed, there as
	 * long as the store is. They are then told apart by address and neither checked nor copied.
	 */
	bool lasting;
	/*
	 * 0, or: rows of this number differ in ids, times, marks, statuses, names, codes and values
	 * only. Their spans' numbers, parents and kinds, their steps and their fields' names and
	 * types are the same. Never given twice to different ones while the store is open.
	 */
	uint64_t form;
	const char *provider, *side, *layer, *feature; /* or NULL */
	const struct osp_row_span *spans;
	size_t span_count;
	const struct osp_step *steps;
	size_t step_count;
	const struct osp_attribute *attributes; /* of the steps */
	size_t attribute_count;
};

/* Moves a stored operation to another trace, or adds marks to it. */
struct osp_patch {
	uint64_t id;
	uint64_t trace; /* 0 = unchanged */
	uint32_t marks; /* added to the operation's */
};

/* A link between spans. (from, to, rule) is its key: a later part replaces the earlier. */
struct osp_edge {
	uint64_t from, to;    /* span ids */
	const char *rule;     /* name of the catalogue's link */
	const char *makes;    /* parent, link, fan_in */
	const char *evidence; /* trace_context, message_id, ... */
	const char *grade;    /* exact, strong, weak, ambiguous, reported */
	/* other evidence that agrees, or contradicts ("!message_id"), or NULL */
	const char *also;
	bool lasting; /* as of a row; not of `also` */
};

struct osp_process_row {
	uint32_t key;	     /* 1, 2, ... in order of appearance */
	uint32_t parent_key; /* 0 = not recorded */
	uint32_t pid, namespace_pid, uid, exec_id;
	int64_t start_ns;		  /* boot time */
	int64_t seen_ns;		  /* first seen by the recorder */
	int64_t end_ns;			  /* 0 = still running when last seen */
	int32_t exit_code;		  /* as in wait(2); valid with end_ns */
	const char *comm, *exe, *cmdline; /* exe may be "" */
};

/* Sites of a point in a process, and from when to when they were attached. */
struct osp_attach_row {
	uint32_t process; /* key */
	const char *provider, *probe, *level;
	int64_t from_ns, to_ns; /* boot time; to_ns = 0: still attached */
	uint32_t sites;		/* found there and attached */
};

/* hits = stored + sum of lost, per process and point: kept up to date, replaced by key. */
struct osp_loss_row {
	uint32_t process;
	const char *provider, *probe;
	uint64_t hits, stored;
	const char *const *reasons; /* names, `count` of them */
	const uint64_t *lost;
	size_t count;
};

/* An interval in which a process lost steps. */
struct osp_gap_row {
	uint32_t process;
	int64_t from_ns, to_ns;
	uint64_t lost;
	const char *reason;
};

/* How boot time and wall time relate, at a moment; wall = boot + offset. */
struct osp_clock_row {
	int64_t boot_ns, offset_ns, error_ns;
};

/*
 * Settings and facts of the session: version, kernel, command line, times, attach form, ...
 * OSP_SESSION_ID: 16 lower-case hexadecimal digits, random per session; second half of
 * every trace id (without it that half is 0).
 */
#define OSP_SESSION_ID "id"

/* The setting that the recorder writes last, with the wall time. */
#define OSP_SESSION_ENDED     "ended"
#define OSP_SESSION_AGGREGATE "aggregate." /* and more: counts and times instead of traces */
/* Boot time of the last step that is stored, in decimal ns: told with every batch that has rows. */
#define OSP_SESSION_COMMITTED "committed_ns"

/* Settings that count what no page of the books has; not there = none. */
#define OSP_SESSION_BAD_RECORDS	  "bad_records"	  /* records that made no sense */
#define OSP_SESSION_CHILDREN_LOST "children_lost" /* children that could not be followed */
/*
 * Of the times of steps that programs stamp with the CPU's counter: how far they may be off boot
 * time, how often the counter did not go on as before (suspended, another machine), and how many
 * records were older than a step in them, so that the step was dated by the record.
 */
#define OSP_SESSION_STEP_ERROR		"step_clock_error_ns"
#define OSP_SESSION_STEP_JUMPS		"step_clock_jumps"
#define OSP_SESSION_STEP_CONTRADICTIONS "step_clock_contradictions"
/*
 * And the key of a process: how many of its steps were stored and forgotten again. The store keeps
 * these itself, with what it forgets.
 */
#define OSP_SESSION_FORGOTTEN "forgotten_steps."
struct osp_session_row {
	const char *name, *value;
};

/* A catalogue file as it was used. */
struct osp_catalogue_row {
	const char *name, *text;
};

enum osp_part_kind {
	OSP_PART_ROW,
	OSP_PART_PATCH,
	OSP_PART_EDGE,
	OSP_PART_PROCESS,
	OSP_PART_ATTACH,
	OSP_PART_LOSS,
	OSP_PART_GAP,
	OSP_PART_CLOCK,
	OSP_PART_SESSION,
	OSP_PART_CATALOGUE
};

/*
 * Parts merge by key; of two with the same key the greater seq wins (a complete row beats a start
 * part first). seq 0 everywhere = in order of arrival; a patch then beats its row, early or late.
 */
struct osp_part {
	enum osp_part_kind kind;
	uint64_t seq; /* order of the part in its session, or 0 */
	union {
		struct osp_row row;
		struct osp_patch patch;
		struct osp_edge edge;
		struct osp_process_row process;
		struct osp_attach_row attach;
		struct osp_loss_row loss;
		struct osp_gap_row gap;
		struct osp_clock_row clock;
		struct osp_session_row session;
		struct osp_catalogue_row catalogue;
	};
};
