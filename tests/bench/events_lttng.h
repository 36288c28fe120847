/*
 * The points as LTTng-UST's tracepoint provider `outspan_bench`, with the same fields. Read several
 * times by LTTng's own headers, hence no #pragma once.
 */
#undef TRACEPOINT_PROVIDER
#define TRACEPOINT_PROVIDER outspan_bench
#undef TRACEPOINT_INCLUDE
#define TRACEPOINT_INCLUDE "tests/bench/events_lttng.h"

#if !defined(EVENTS_LTTNG_H) || defined(TRACEPOINT_HEADER_MULTI_READ)
#define EVENTS_LTTNG_H

#include <stdint.h>
#include <lttng/tracepoint.h>

#include <outspan/op.h>

#include "tests/bench/points.h"

#define ARGUMENT_B(name) , const void *, name, size_t, name##_size
#define ARGUMENT_N(name) , uint64_t, name
#define ARGUMENT_C(name) , const struct outspan_context *, name
#define FIELD_B(name)	 ctf_sequence(uint8_t, name, name, uint32_t, (uint32_t)name##_size)
#define FIELD_N(name)	 ctf_integer(uint64_t, name, name)
#define FIELD_C(name)	 ctf_sequence(uint8_t, name, name, uint32_t, name->valid ? 25 : 0)

#define P(op, point, fields)                                                                       \
	TRACEPOINT_EVENT(                                                                          \
		outspan_bench, op##__##point,                                                      \
		TP_ARGS(uint64_t, id FIELDS_##fields(ARGUMENT_B, ARGUMENT_N, ARGUMENT_C)),         \
		TP_FIELDS(ctf_integer(uint64_t, id, id)                                            \
				  FIELDS_##fields(FIELD_B, FIELD_N, FIELD_C)))
BENCH_POINTS(P)
#undef P

#endif

#include <lttng/tracepoint-event.h>
