/* message.c with LTTng-UST's tracepoints; their definitions are in events_lttng.h. */
#pragma once

#include "tests/bench/events_lttng.h"

#define EMIT(op, point, ...) tracepoint(outspan_bench, op##__##point, __VA_ARGS__)
#define IS_WANTED(op, point) tracepoint_enabled(outspan_bench, op##__##point)
#define TRACER_START()	     0
#define TRACER_DRAIN()	     ((void)0)
#define TRACER_STOP()	     ((void)0)

#include "tests/bench/points_peer.h"
