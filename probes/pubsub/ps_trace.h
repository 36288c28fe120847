/* The trace points of this provider, and what the code needs to place them one per line. */
#pragma once

#include "outspan/lonelypsp.h"
#include "probes/pubsub/ps_wire.h"

/*
 * Passes a point that does not end its operation. The state that follows is kept in the
 * operation's block: callbacks take it up again by lonelypsp_<operation>_at_<state>.
 */
#define PS_STEP(...)                                                                               \
	do {                                                                                       \
		__auto_type ps_next_state = (__VA_ARGS__);                                         \
		(void)ps_next_state;                                                               \
	} while (0)

/* The tracing field of a message we send: the context, or nothing when there is none. */
struct ps_tracing {
	uint8_t room[OUTSPAN_CONTEXT_SIZE];
	size_t size;
};

static inline struct ps_bytes ps_trace_bytes(struct ps_tracing *t, const struct outspan_context *c)
{
	t->size = outspan_context_write(t->room, c);
	return ps_bytes(t->room, t->size);
}

static inline void ps_trace_read(struct outspan_context *c, struct ps_bytes tracing)
{
	outspan_context_read(c, tracing.data, tracing.size);
}

/* The tracing field of an answer: a context, a report (ps_report.h), or a report behind a context. */
static inline struct ps_bytes ps_trace_read_answer(struct outspan_context *c,
						   struct ps_bytes tracing)
{
	size_t own = OUTSPAN_CONTEXT_SIZE;

	ps_trace_read(c, ps_bytes(tracing.data, tracing.size < own ? tracing.size : own));
	return c->valid ? ps_bytes((const uint8_t *)tracing.data + own, tracing.size - own)
			: tracing;
}
