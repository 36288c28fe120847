/* One NOTIFY at the broadcaster, from its first byte to the answer: shared by the two files. */
#pragma once

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_trace.h"

/* One delivery of the message to one subscriber; used again for the next. */
struct ps_deliver {
	struct ps_row row;
	struct ps_call call;
	struct osp_buffer head, authorization;
	uint8_t identifier[PS_IDENTIFIER_SIZE];
	int64_t begin_ns;
};

struct ps_publish {
	struct ps_broadcaster *b;   /* borrowed: outlives every request */
	struct ps_request *request; /* borrowed: its `gone` frees this */
	struct lonelypsp_handle_notify op;
	struct outspan_context context; /* the request's, if it carried one of ours */
	int64_t begin_ns;
	struct osp_buffer head; /* what `m` points into */
	bool has_head, overrun, logged;
	struct ps_notify m;
	struct ps_digest digest;
	struct ps_spool message;
	struct ps_cursor cursor;
	struct ps_timer turn; /* goes on after a portion of globs */
	struct ps_deliver deliver;
	uint32_t subscribers;
};

/* Delivers to every subscriber in turn, then calls ps_publish_respond, or answers an error. */
void ps_fanout_start(struct ps_publish *p);

/* Stops a fan-out that is under way and frees what it holds. */
void ps_fanout_clear(struct ps_publish *p);

/* The fan-out is over: signs and sends the answer. */
void ps_publish_respond(struct ps_publish *p);

/* Answers without a body and writes the log line; `error` is what the operation is left with. */
void ps_publish_refuse(struct ps_publish *p, unsigned status, const char *outcome, int error);
