/*
 * A ring of what is still to be answered. Fed by the session with what it sends and what comes
 * back, on either side. Owns the ring; names and owners are the session's.
 */
#include "probes/pubsub/ps_acks.h"

#include <errno.h>
#include <stdlib.h>

const char *ps_ack_fault_to_str(enum ps_ack_fault fault)
{
	static const char *const texts[] = {
#define X(name, text) text,
		PS_ACK_FAULTS(X)
#undef X
	};

	return fault < sizeof(texts) / sizeof(texts[0]) ? texts[fault] : "?";
}

int ps_acks_init(struct ps_acks *a, size_t capacity)
{
	struct ps_ack *ring;

	if (!capacity)
		return -EINVAL;
	ring = calloc(capacity, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	*a = (struct ps_acks){.ring = ring, .capacity = capacity};
	return 0;
}

void ps_acks_clear(struct ps_acks *a)
{
	free(a->ring);
	*a = (struct ps_acks){0};
}

/* What an answer is known by: subscriptions by their topic or glob, the others by identifier. */
static struct ps_bytes name_of(const struct ps_frame *f, enum ps_frame_type answer)
{
	return ps_formats[answer].url == PS_URL_ANSWERED ? f->key : f->identifier;
}

int ps_acks_push(struct ps_acks *a, const struct ps_frame *sent, bool is_last, int64_t counter,
		 void *owner)
{
	const struct ps_format *format = &ps_formats[sent->type];
	enum ps_frame_type answer = is_last ? format->answer : format->part_answer;

	if (answer == PS_FRAME_NONE)
		return 0;
	if (ps_acks_is_full(a))
		return -ENOSPC;
	a->ring[(a->first + a->count++) % a->capacity] = (struct ps_ack){
		answer, name_of(sent, answer), is_last ? 0 : sent->part, counter, owner};
	return 0;
}

enum ps_ack_fault ps_acks_pop(struct ps_acks *a, struct ps_ack *ack, const struct ps_frame *answer)
{
	const struct ps_ack *due = a->count ? &a->ring[a->first] : NULL;

	if (!due)
		return PS_ACK_NONE;
	if (due->type != answer->type)
		return PS_ACK_TYPE;
	if (!ps_bytes_equal(due->name, name_of(answer, answer->type)))
		return PS_ACK_NAME;
	if (due->part != answer->part)
		return PS_ACK_PART;
	(void)ps_acks_next(a, ack);
	return PS_ACK_OK;
}

int ps_acks_next(struct ps_acks *a, struct ps_ack *ack)
{
	if (!a->count)
		return 1;
	*ack = a->ring[a->first];
	a->first = (a->first + 1) % a->capacity;
	a->count--;
	return 0;
}
