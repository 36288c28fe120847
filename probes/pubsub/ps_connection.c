/*
 * Nonce, counters and urls of one web socket. Fed by the session with every frame it sends or
 * takes, on either side. Pure values; owns nothing.
 */
#include "probes/pubsub/ps_connection.h"

#include <inttypes.h>
#include <stdio.h>

int ps_connection_init(struct ps_connection *c, const uint8_t *subscriber_nonce,
		       const uint8_t *broadcaster_nonce, enum ps_counting counting)
{
	uint8_t both[2 * PS_NONCE_SIZE], hash[PS_SHA256_SIZE];
	struct ps_connection n = {.counting = counting};
	int r;

	memcpy(both, subscriber_nonce, PS_NONCE_SIZE);
	memcpy(both + PS_NONCE_SIZE, broadcaster_nonce, PS_NONCE_SIZE);
	r = ps_digest_sha256(ps_bytes(both, sizeof(both)), hash);
	if (r)
		return r;
	ps_digest_to_base64(n.nonce, ps_bytes(hash, sizeof(hash)));
	*c = n;
	return 0;
}

static bool is_later_part(const struct ps_frame *f)
{
	return f->type == PS_FRAME_RECEIVE_STREAM && f->part;
}

int64_t ps_connection_count(struct ps_connection *c, const struct ps_frame *frame)
{
	const struct ps_format *format = &ps_formats[frame->type];
	int64_t *last = &c->last[format->sender];

	if (format->url != PS_URL_COUNTED)
		return 0;
	if (!is_later_part(frame) || c->counting == PS_COUNTING_PARTS)
		*last += format->sender == PS_SUBSCRIBER ? -1 : 1;
	return *last;
}

int64_t ps_connection_guess(const struct ps_connection *c, const struct ps_frame *frame)
{
	if (!is_later_part(frame) || c->is_counting_known)
		return 0;
	return c->last[PS_BROADCASTER] + (c->counting == PS_COUNTING_PARTS ? -1 : 1);
}

void ps_connection_learn(struct ps_connection *c, const struct ps_frame *frame, int64_t counter)
{
	if (!is_later_part(frame) || c->is_counting_known)
		return;
	if (counter != c->last[PS_BROADCASTER])
		c->counting =
			c->counting == PS_COUNTING_PARTS ? PS_COUNTING_MESSAGES : PS_COUNTING_PARTS;
	c->last[PS_BROADCASTER] = counter;
	c->is_counting_known = true;
}

struct ps_bytes ps_connection_url(char out[PS_CONNECTION_URL_MAX + 1],
				  const struct ps_connection *c, int64_t counter)
{
	uint64_t size = counter < 0 ? -(uint64_t)counter : (uint64_t)counter;
	int n = snprintf(out, PS_CONNECTION_URL_MAX + 1, "websocket:%s:%s%" PRIx64, c->nonce,
			 counter < 0 ? "-" : "", size);

	return ps_bytes(out, (size_t)n);
}
