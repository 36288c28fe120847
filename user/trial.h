/*
 * What has to be tried on this machine before sites are attached: a child of outspan's own is the
 * patient, and tries while the rest of the start goes on. Needs uprobe_multi links.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The no-op of several bytes that our stubs have behind their one-byte one. A hit there can be
 * cheaper by half; kernels that replace it by a call have crashed children made by fork and
 * overwritten the red zone of callers.
 */
#define OSP_WIDE_VERDICTS(X)                                                                       \
	X(UNKNOWN, "it could not be tried")                                                        \
	X(REFUSED, "the kernel refuses to put a probe on it")                                      \
	X(CRASHES, "a probe there crashes the program")                                            \
	X(CRASHES_CHILDREN, "a probe there crashes children made by fork")                         \
	X(RED_ZONE, "a probe there overwrites its caller's red zone")                              \
	X(WORKS, "a child passed it and forked unharmed")

enum osp_wide {
#define X(id, text) OSP_WIDE_##id,
	OSP_WIDE_VERDICTS(X)
#undef X
		OSP_WIDE_COUNT
};

enum osp_wide_bytes { OSP_WIDE_10, OSP_WIDE_5, OSP_WIDE_FORMS };

const char *osp_wide_to_str(enum osp_wide w);

struct osp_trial_result {
	int64_t empty_ns; /* processor time of a hit that does nothing; 0 = not known */
	enum osp_wide wide[OSP_WIDE_FORMS];
};

struct osp_trial;

/* Starts it; with `five`, the no-op of five bytes is tried, too, which outspan has none of. */
int osp_trial_start(struct osp_trial **out, bool five);

/*
 * Has the child of the empty hit close its link, which it does in its own time. The kernel makes the
 * first change of probes wait for a grace period (10 ms), and those that follow soon do not: to be
 * called some ms before sites are attached.
 */
void osp_trial_let_go(struct osp_trial *t);

/* Waits for what came out. All is unknown if nothing did. */
void osp_trial_read(struct osp_trial *t, struct osp_trial_result *out);

void osp_trial_free(struct osp_trial **t);
