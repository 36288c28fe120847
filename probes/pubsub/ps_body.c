/* Shared bytes of messages; used by ps_stateful_deliver.c. Owned by their users together. */
#include "probes/pubsub/ps_body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"

enum { PIECE = 65536 };

bool ps_body_is(const struct ps_body *b, const uint8_t *digest)
{
	return b && b->complete && !memcmp(b->digest, digest, PS_DIGEST_SIZE);
}

int ps_body_get(struct ps_body **out, struct ps_body **recent, struct ps_budget *budget,
		const uint8_t *digest)
{
	struct ps_body *b = *recent;

	if (ps_body_is(b, digest)) {
		b->users++;
		*out = b;
		return 0;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	ps_spool_init(&b->spool, budget);
	memcpy(b->digest, digest, PS_DIGEST_SIZE);
	b->users = 1;
	b->recent = recent;
	*out = *recent = b;
	return 0;
}

void ps_body_put(struct ps_body **body)
{
	struct ps_body *b = TAKE_PTR(*body);

	if (!b || --b->users)
		return;
	if (*b->recent == b)
		*b->recent = NULL;
	ps_spool_clear(&b->spool);
	free(b);
}

int ps_body_fill(struct ps_body *b, const struct ps_spool *message, uint64_t most)
{
	uint8_t piece[PIECE];
	ssize_t n = 0;

	while (!b->complete && most) {
		n = ps_spool_read(message, b->spool.size, piece,
				  most < PIECE ? (size_t)most : PIECE);
		if (n < 0)
			return (int)n;
		if (n) {
			int r = ps_spool_add(&b->spool, piece, (size_t)n);

			if (r)
				return r;
		}
		most -= (uint64_t)n;
		b->complete = b->spool.size == message->size;
		if (!n && !b->complete)
			return -ENODATA;
	}
	return b->complete;
}
