/*
 * What a peer's variant of message.c needs beside its own macro EMIT(op, point, id, fields...): an
 * id per operation, and a context that goes on the wire while somebody looks (IS_WANTED).
 */
#pragma once

#ifndef OUTSPAN_NO_PROBES
#define OUTSPAN_NO_PROBES 1
#endif
#include <outspan/op.h>

static uint64_t peer_ids;

static inline void peer_context(uint64_t id, struct outspan_context *out, bool is_wanted)
{
	memset(out, 0, sizeof(*out));
	if (!is_wanted)
		return;
	memcpy(out->trace_id, &id, sizeof(id));
	memcpy(out->trace_id + 8, &id, sizeof(id));
	memcpy(out->span_id, &id, sizeof(id));
	out->valid = 1;
}

#define BLOCK(op)		    const uint64_t block = ++peer_ids
#define FIRST(op, point, ...)	    EMIT(op, point, block, ##__VA_ARGS__)
#define STEP(op, state, point, ...) EMIT(op, point, block, ##__VA_ARGS__)
#define LAST(op, state, point, ...) EMIT(op, point, block, ##__VA_ARGS__)
#define CONTEXT(op, point, context) peer_context(block, context, IS_WANTED(op, point))
