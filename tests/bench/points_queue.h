/*
 * message.c with what many programs do: each point puts an event into a queue behind a mutex, and
 * a thread of the program writes them into SQLite. queue.c is that queue.
 */
#pragma once

#include <stdint.h>

#include "tests/bench/points.h"
#include "tests/bench/queue.h"

#define EMIT(op, point, ...) queue_##op##__##point(__VA_ARGS__)
#define IS_WANTED(op, point) true
#define TRACER_START()	     queue_start(getenv("BENCH_QUEUE_DB"))
#define TRACER_DRAIN()	     queue_drain()
#define TRACER_STOP()	     queue_stop()

#include "tests/bench/points_peer.h"

#define ARGUMENT_B(name) , const void *name, size_t name##_size
#define ARGUMENT_N(name) , uint64_t name
#define ARGUMENT_C(name) , const struct outspan_context *name
#define PUT_B(name)	 queue_put(&e, name, name##_size);
#define PUT_N(name)	 queue_put(&e, &name, sizeof(name));
#define PUT_C(name)	 queue_put(&e, name, name->valid ? 25 : 0);

#define P(op, point, fields)                                                                       \
	static inline void queue_##op##__##point(                                                  \
		uint64_t id FIELDS_##fields(ARGUMENT_B, ARGUMENT_N, ARGUMENT_C))                   \
	{                                                                                          \
		struct queue_event e = {.number = POINT_##op##__##point, .id = id};                \
                                                                                                   \
		FIELDS_##fields(PUT_B, PUT_N, PUT_C) queue_add(&e);                                \
	}
BENCH_POINTS(P)
#undef P
