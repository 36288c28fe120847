/*
 * The bytes of a message that several connections send at their own pace: copied once, kept until
 * the last of them is done. Known by their digest, so that the same message comes to the same bytes.
 */
#pragma once

#include "probes/pubsub/ps_digest.h"
#include "probes/pubsub/ps_spool.h"

struct ps_body {
	struct ps_spool spool;
	uint8_t digest[PS_DIGEST_SIZE];
	unsigned users;
	bool complete;
	struct ps_body **recent; /* borrowed: where the newest is known from */
};

/*
 * One more user of the body with this digest, which is *recent if that one is complete and has it;
 * else a new, empty one, which the caller fills (ps_body_fill) and which becomes *recent. -ENOMEM.
 */
int ps_body_get(struct ps_body **out, struct ps_body **recent, struct ps_budget *budget,
		const uint8_t *digest);
void ps_body_put(struct ps_body **b);

/* True if it is there, complete, and has this digest. */
bool ps_body_is(const struct ps_body *b, const uint8_t *digest);

/*
 * Copies up to `most` bytes more of a message. 0: there may be more; 1: it is complete; -ENOSPC,
 * -ENOMEM, -errno.
 */
int ps_body_fill(struct ps_body *b, const struct ps_spool *message, uint64_t most);
