/*
 * The acknowledgements one side of a web socket waits for, in the order their frames were sent:
 * an answer is to the oldest of them or the connection is broken (lonelypss
 * handlers/open/processors/, lonelypsc handlers/open/messages/).
 */
#pragma once

#include "probes/pubsub/ps_frame.h"

struct ps_ack {
	enum ps_frame_type type; /* of the answer */
	struct ps_bytes name;	 /* its identifier, topic or glob; borrowed from `owner`'s */
	uint64_t part;		 /* CONTINUE_* */
	int64_t counter;	 /* of what was sent, for the answer's url; 0: it had none */
	void *owner;		 /* borrowed: whose frame it was, outlives the entry */
};

struct ps_acks {
	struct ps_ack *ring; /* owned */
	size_t capacity, first, count;
};

/* X(name, text): what is wrong with an answer. */
#define PS_ACK_FAULTS(X)                                                                           \
	X(OK, "ok")                                                                                \
	X(NONE, "nothing was waiting for an answer")                                               \
	X(TYPE, "another type of answer was due")                                                  \
	X(NAME, "the answer to another identifier, topic or glob was due")                         \
	X(PART, "the answer to another part was due")

enum ps_ack_fault {
#define X(name, text) PS_ACK_##name,
	PS_ACK_FAULTS(X)
#undef X
};

const char *ps_ack_fault_to_str(enum ps_ack_fault fault);

/*
 * Room for `capacity` of them: how many frames may be sent without an answer. -EINVAL for 0
 * (nothing could ever be sent), -ENOMEM. Clear in any case.
 */
int ps_acks_init(struct ps_acks *a, size_t capacity);
void ps_acks_clear(struct ps_acks *a);

/* True when nothing may be sent that wants an answer. */
static inline bool ps_acks_is_full(const struct ps_acks *a)
{
	return a->count == a->capacity;
}

/*
 * Waits for the answer to a frame, whose identifier and key are its owner's; `is_last` says
 * whether it completes its message. A frame that gets no answer is let through. -ENOSPC when
 * full.
 */
int ps_acks_push(struct ps_acks *a, const struct ps_frame *sent, bool is_last, int64_t counter,
		 void *owner);

/* Takes the oldest off if `answer` is the answer to it; else it stays, and the fault says why. */
enum ps_ack_fault ps_acks_pop(struct ps_acks *a, struct ps_ack *ack, const struct ps_frame *answer);

/* Takes the oldest off, answered or not, for what is left of a lost connection. 0, or 1: empty. */
int ps_acks_next(struct ps_acks *a, struct ps_ack *ack);
