/*
 * A recording from the first scan to the closed books. One thread (see recorder.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probes/catalogue.h"
#include "user/choice.h"
#include "user/keep.h"
#include "user/form.h"

/* What goes when steps come faster than they can be stored. */
enum osp_overload {
	OSP_OVERLOAD_DROP_NEWEST, /* the kernel finds no room for what comes */
	OSP_OVERLOAD_KEEP_LAST, /* as far as possible the oldest that wait are discarded, unread */
};

/* What to record, from the command line. Everything is borrowed for the recording. */
struct osp_recorder_options {
	const struct osp_catalogue *catalogue;
	const pid_t *pids;
	size_t pid_count;
	const char *const *paths;
	size_t path_count;
	const char *const *comms;
	size_t comm_count;
	bool all;
	char *const *command; /* NULL-terminated argv to start and trace, or NULL */
	const char *file;     /* session file or store URI; NULL = default name */
	bool overwrite;
	const char *raw; /* also write every input of the pipeline here, or NULL */
	int64_t for_ns;	 /* 0 = until a signal or the targets' end */
	struct osp_wanted wanted;
	struct osp_choice_rules chosen;
	const char *match_topic, *where, *limit; /* its texts, for the session; NULL = none */
	bool aggregate;				 /* count and time only */
	uint32_t sample;			 /* one of so many traces; 0 and 1: all */
	size_t ring_bytes;
	enum osp_overload overload;
	struct osp_keep_options keep;
	double overhead; /* limit of what it costs, of all processors' time: 0.02 = 2 %; 0 = none */
	const char *command_line; /* of outspan itself, for the session */
};

/* Records. 0 or -errno, logged; the summary goes to stderr. */
int osp_recorder_run(const struct osp_recorder_options *o);
