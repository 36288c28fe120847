/*
 * Puts events in order of time before they are stitched. One ring delivers in order of
 * reservation, which is the order in which each operation made its steps: events pass straight
 * through. Sources that are only ordered each by itself (rings per CPU) are merged here.
 */
#pragma once

#include "user/event.h"

typedef int (*osp_order_fn)(void *arg, const struct osp_event *event);

struct osp_order {
	osp_order_fn next;
	void *arg;
};

void osp_order_init(struct osp_order *o, osp_order_fn next, void *arg);

/* Takes an event, which lives for the call, and hands on what is in order. */
int osp_order_push(struct osp_order *o, const struct osp_event *event);
