/* What exactly is signed for each of the protocol's messages under hmac. */
#pragma once

#include "probes/pubsub/ps_digest.h"

enum ps_kind {
	PS_KIND_SUBSCRIBE_EXACT = 1, /* and unsubscribe, with an empty recovery url */
	PS_KIND_SUBSCRIBE_GLOB,
	PS_KIND_NOTIFY,
	PS_KIND_CONFIGURE,
	PS_KIND_CHECK_SUBSCRIPTIONS,
	PS_KIND_SET_SUBSCRIPTIONS,
	PS_KIND_CONTINUE_RECEIVE,
	PS_KIND_CONFIRM_RECEIVE,
	PS_KIND_CONFIRM_MISSED,
	PS_KIND_RECEIVE,
	PS_KIND_MISSED,
	PS_KIND_CONFIRM_SUBSCRIBE_EXACT,
	PS_KIND_CONFIRM_SUBSCRIBE_GLOB,
	PS_KIND_CONFIRM_NOTIFY,
	PS_KIND_CHECK_RESPONSE,
	PS_KIND_SET_RESPONSE,
	PS_KIND_CONFIRM_CONFIGURE,
	PS_KIND_ENABLE_ZSTD_PRESET,
	PS_KIND_ENABLE_ZSTD_CUSTOM,
	PS_KIND_DISABLE_ZSTD_CUSTOM,
	PS_KIND_CONTINUE_NOTIFY,
	PS_KIND_COUNT,
};

/* A message as the signer sees it; a kind uses the fields its layout names (ps_sign.c). */
struct ps_signed {
	enum ps_kind kind;
	struct ps_bytes tracing;
	struct ps_bytes url;
	struct ps_bytes recovery;
	struct ps_bytes key;	    /* topic or glob */
	struct ps_bytes identifier; /* or nonce */
	const uint8_t *digest;	    /* SHA-512 or etag, PS_DIGEST_SIZE bytes */
	uint64_t numbers[4];	    /* in the order of the layout; a level as int64_t */
};

/*
 * Appends the signed bytes: kind, time, nonce, tracing, then the kind's fields
 * (lonelypsp/auth/helpers/hmac_auth_config.py). -EOVERFLOW when a value does not fit its field, or
 * the buffer's error. Where upstream raises OverflowError we go on, equal on both our sides: of
 * a CONTINUE_RECEIVE's part the lowest byte is signed (the url counts the message, too), and
 * negative levels of compression are in two's complement.
 */
int ps_sign_encode(struct osp_buffer *out, const struct ps_signed *m, uint64_t seconds,
		   struct ps_bytes nonce);

/* HMAC-SHA512 over those bytes. */
int ps_sign_mac(uint8_t out[PS_DIGEST_SIZE], struct ps_bytes key, const struct ps_signed *m,
		uint64_t seconds, struct ps_bytes nonce);
