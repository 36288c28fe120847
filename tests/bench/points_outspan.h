/*
 * message.c with outspan's points; with OUTSPAN_NO_PROBES the same program without any.
 */
#pragma once

#include <outspan/lonelypsp.h>

#define BLOCK(op) struct lonelypsp_##op block

#define FIRST(op, point, ...)                                                                      \
	do {                                                                                       \
		__auto_type next =                                                                 \
			lonelypsp_##op##__##point(lonelypsp_##op##_begin(&block), ##__VA_ARGS__);  \
		(void)next;                                                                        \
	} while (0)

#define STEP(op, state, point, ...)                                                                \
	do {                                                                                       \
		__auto_type next = lonelypsp_##op##__##point(lonelypsp_##op##_at_##state(&block),  \
							     ##__VA_ARGS__);                       \
		(void)next;                                                                        \
	} while (0)

#define LAST(op, state, point, ...)                                                                \
	lonelypsp_##op##__##point(lonelypsp_##op##_at_##state(&block), ##__VA_ARGS__)

/* Points fill what goes on the wire themselves. */
#define CONTEXT(op, point, context) ((void)0)

#define TRACER_START() 0
#define TRACER_DRAIN() ((void)0)
#define TRACER_STOP()  ((void)0)
