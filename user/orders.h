/*
 * The orders a running recorder takes from `outspan ctl`: what each does and what is answered.
 * The socket is user/control.h's.
 */
#pragma once

#include "user/control.h"
#include "user/cost.h"
#include "user/feed.h"
#include "user/follow.h"
#include "user/keep.h"
#include "user/loader.h"
#include "user/recorder.h"
#include "user/switch.h"

/* Figures of a moment, from which rates are made. */
struct osp_orders_sample {
	int64_t time_ns, cpu_ns;
	uint64_t steps, lost;
};

/* What orders act on. All of it is borrowed: the recorder's, and outlives them. */
struct osp_orders {
	const struct osp_recorder_options *options;
	const char *file;
	struct osp_loader *loader;
	struct osp_feed *feed;
	struct osp_follow *follow;
	struct osp_cost *cost;
	const struct osp_keep *keep;
	struct osp_switch *what; /* what is recorded */
	int64_t began_ns;
	void (*stop)(void *arg); /* begins the recording's end */
	/* Saves a copy, its path in out; as osp_keep_save. */
	int (*save)(void *arg, const char *why, const char *path, char out[OSP_KEEP_PATH]);
	void *arg;
	struct osp_orders_sample before, last; /* at least a second apart */
};

/* Answers a request; an osp_control_fn whose arg is the struct osp_orders. */
void osp_orders_answer(void *orders, const struct osp_control_request *request, json_t *answer);

/* To be called first, and at every tick: notes the figures that rates are made of. */
void osp_orders_tick(struct osp_orders *o);
