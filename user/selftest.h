/*
 * The whole chain on a child of this process: attach while it runs, hit, fork, hit in its child,
 * exit, close the books. For doctor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "user/kernel.h"
#include "user/trial.h"

struct osp_selftest {
	int loaded;   /* 0, or -errno: programs, maps, process events */
	int attached; /* 0, or -errno */
	enum osp_attach_form form;
	struct osp_trial_result tried;
	const char *unarmed;		 /* why the site is not armed in the child, or NULL */
	int lease;			 /* 0, or -errno */
	int map_files;			 /* 0, or -errno */
	uint64_t expected, stored, lost; /* hits */
	bool fork_seen, exit_seen, value_right, semaphore_back;
	int child_status; /* as in wait(2): a child that a probe killed shows here */
};

/* 0 = it ran; what came out stands in the result. -errno: it could not even begin. */
int osp_selftest_run(struct osp_selftest *out);
