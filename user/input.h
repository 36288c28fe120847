/*
 * Everything that enters the pipeline, whether it comes from the live ring, from a raw capture
 * or from a test: time arrives as data. The same inputs in the same order give the same session,
 * however they are cut into batches.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

enum osp_input_kind {
	OSP_INPUT_RECORD = 1, /* bytes of one struct osp_record and its data */
	OSP_INPUT_PROCESS, /* what /proc told about a process (before its first record if possible) */
	OSP_INPUT_SITES,   /* which points a process has, and which are attached */
	OSP_INPUT_ATTACH,   /* attaching a binary, or all: begins, ends */
	OSP_INPUT_TICK,	    /* nothing but the time: drives time-outs */
	OSP_INPUT_COUNTERS, /* kernel counters of one (process, point) */
	OSP_INPUT_CLOCK,    /* boot and wall time, read together */
	OSP_INPUT_STAMP,    /* the CPU counter and boot time, read together */
	OSP_INPUT_SETTING,  /* a fact about the session: name, value */
	OSP_INPUT_NUMBERS,  /* points by the numbers of a binary's header, before its records */
	OSP_INPUT_STOP,	    /* detach is done, the ring is drained, the counters are in */
	OSP_INPUT_DISCARD,  /* a record of steps that nobody looks at: it only counts as lost */
};

/* A process, found by (slot) = osp_record.process. Strings are borrowed for the call. */
struct osp_input_process {
	uint32_t slot;
	uint32_t pid, namespace_pid, uid, exec_id, parent_pid;
	uint64_t start_ns;
	const char *comm, *exe, *cmdline;
};

/* Points of a process: `sites` found and attached, not wanted at this level (attached = false). */
struct osp_input_sites {
	uint32_t slot;
	uint16_t point;
	uint16_t sites;
	bool attached; /* wanted: its steps are stamped for this recorder */
	bool fires;    /* attached, and its own sites trap; else its steps are carried */
};

/* From `begins` to the same call with begins = false, sites of the process are half attached. */
struct osp_input_attach {
	uint32_t slot; /* UINT32_MAX: all processes (start and end of the recording) */
	bool detach;
	bool begins;
};

struct osp_input_counters {
	uint32_t slot;
	uint16_t point;
	struct osp_counter counter;
	bool last; /* the ring is drained; else only the losses are meant */
};

struct osp_input_clock {
	int64_t wall_ns, error_ns;
};

struct osp_input_stamp {
	uint64_t stamp;
	int64_t low_ns, high_ns; /* boot time just before and after */
};

struct osp_input_setting {
	const char *name, *value;
};

struct osp_input_numbers {
	uint32_t table;			   /* as osp_record.numbers */
	const struct osp_numbers *numbers; /* borrowed for the call */
};

struct osp_input {
	enum osp_input_kind kind;
	int64_t time_ns; /* boot time; of a record: when it was in the ring, at the latest */
	union {
		struct {
			const struct osp_record *record; /* borrowed; data behind it */
			size_t size;			 /* bytes in all */
		};
		struct osp_input_process process;
		struct osp_input_sites sites;
		struct osp_input_attach attach;
		struct osp_input_counters counters;
		struct osp_input_clock clock;
		struct osp_input_stamp stamp;
		struct osp_input_setting setting;
		struct osp_input_numbers numbers;
	};
};
