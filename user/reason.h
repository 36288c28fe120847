/*
 * What the reasons of loss mean to people: the list of bpf/event.h with what to do about each,
 * and whether something is missing because of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"

enum osp_reason_kind {
	OSP_REASON_MISSING, /* it was wanted and is not there */
	OSP_REASON_CHOSEN,  /* it was left out because somebody asked for that */
	OSP_REASON_SPARE,   /* nothing is missing: it was not wanted, or is stored elsewhere */
};

struct osp_reason {
	const char *name;   /* "ring_full": as sessions store it; NULL = not known here */
	const char *advice; /* what to do, or how to read the numbers */
	enum osp_reason_kind kind;
};

/* The reason of that name. One that is not known counts as missing; never NULL. */
const struct osp_reason *osp_reason_find(const char *name);

/* Of the lost steps, by reason, those of this kind. */
uint64_t osp_reason_sum(const uint64_t lost[OSP_LOSS_COUNT], enum osp_reason_kind kind);

/* True if such a step came when its operation was over. */
bool osp_reason_is_late(const char *name);

/* What happened, in a phrase; never NULL. */
const char *osp_reason_help(const char *name);
