/*
 * A RECEIVE on its way in, at a subscriber or at a broadcaster: the hash its header promises, the
 * head of the body, and the message behind it.
 */
#pragma once

#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_spool.h"

struct ps_incoming {
	uint8_t header_digest[PS_DIGEST_SIZE];
	struct osp_buffer head; /* what `m` points into */
	bool has_head, overrun;
	struct ps_receive m;
	struct ps_digest digest;
	struct ps_spool message;
};

/* All zero before; cleared in any case. -ENOMEM. */
int ps_incoming_init(struct ps_incoming *in, struct ps_budget *b);
void ps_incoming_clear(struct ps_incoming *in);

/* The request's Repr-Digest, NULL if there is none. -EINVAL. */
int ps_incoming_take_header(struct ps_incoming *in, const char *repr_digest);

/*
 * Some of the body, while the head is not complete: 0 once it is, with the beginning of the
 * message in *rest; -EAGAIN until then; -ENOMEM.
 */
int ps_incoming_take_head(struct ps_incoming *in, struct ps_bytes part, struct ps_bytes *rest);

/* Some of the message. As ps_spool_add; what is too much is only remembered. */
int ps_incoming_take_message(struct ps_incoming *in, struct ps_bytes part);

enum ps_incoming_end { PS_INCOMING_WHOLE, PS_INCOMING_LENGTH, PS_INCOMING_HASH };

/* The body is over: whether the message has the length of the head and the hash of the header. */
enum ps_incoming_end ps_incoming_stop(struct ps_incoming *in);
