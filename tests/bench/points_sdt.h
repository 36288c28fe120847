/* message.c with the plain probes of sys/sdt.h, as any program has them, for tracers that attach. */
#pragma once

#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>

#define EMIT(op, point, ...) STAP_PROBEV(bench, op##__##point, __VA_ARGS__)
#define IS_WANTED(op, point) true
#define TRACER_START()	     0
#define TRACER_DRAIN()	     ((void)0)
#define TRACER_STOP()	     ((void)0)

#include "tests/bench/points_peer.h"
