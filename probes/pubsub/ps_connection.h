/*
 * What both ends of a web socket know without saying it: the connection's nonce and the counters
 * that make one url for each signed message (lonelypsp/stateful/constants.py;
 * handlers/open/websocket_url.py of lonelypss and lonelypsc).
 */
#pragma once

#include "probes/pubsub/ps_frame.h"

enum { PS_CONNECTION_URL_MAX = 10 + 44 + 1 + 17 }; /* bytes, without NUL */

/*
 * What a broadcaster counts when it sends a message in parts. The protocol says parts, and
 * lonelypss does; lonelypsc counts messages and gives up the connection when the next counter
 * is another. So a broadcaster counts messages unless it knows its subscriber, and a subscriber
 * starts with the same and learns (ps_connection_learn). Only signed urls show the difference.
 */
enum ps_counting { PS_COUNTING_MESSAGES, PS_COUNTING_PARTS };

struct ps_connection {
	char nonce[44 + 1]; /* standard base64 of SHA-256 over both sides' nonces */
	int64_t last[2];    /* of each enum ps_side: the counter used last; 0 before the first */
	enum ps_counting counting;
	bool is_counting_known;
};

/* Starts both counters. The nonces have PS_NONCE_SIZE bytes each. -EIO when OpenSSL refuses. */
int ps_connection_init(struct ps_connection *c, const uint8_t *subscriber_nonce,
		       const uint8_t *broadcaster_nonce, enum ps_counting counting);

/*
 * The counter of a frame; called once for each that is sent or received, in that order. A
 * subscriber's are -1, -2, ..., a broadcaster's 1, 2, ...; 0 for a frame without url, and for
 * an answer, which is signed with its request's.
 */
int64_t ps_connection_count(struct ps_connection *c, const struct ps_frame *frame);

/*
 * For a frame just counted whose authorization does not hold: the counter it has if its sender
 * counts the other way, or 0 when that is known already or makes no difference to it.
 */
int64_t ps_connection_guess(const struct ps_connection *c, const struct ps_frame *frame);

/* Tells that the authorization of a frame just counted held with this counter. */
void ps_connection_learn(struct ps_connection *c, const struct ps_frame *frame, int64_t counter);

/* Writes `websocket:<nonce>:<counter in lower-case hex>` and a NUL; returns it. */
struct ps_bytes ps_connection_url(char out[PS_CONNECTION_URL_MAX + 1],
				  const struct ps_connection *c, int64_t counter);
