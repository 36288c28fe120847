/* The strong etag over all subscriptions of one url. */
#pragma once

#include "probes/pubsub/ps_digest.h"
#include "probes/pubsub/ps_list.h"

/*
 * Computes the etag: SHA-512 over the url and both lists with their recovery urls
 * (lonelypsp/stateless/make_strong_etag.py). -ENOMEM; -EOVERFLOW for a url over 65535 bytes;
 * -EIO when OpenSSL refuses.
 */
int ps_etag_of(uint8_t out[PS_DIGEST_SIZE], struct ps_bytes url, const struct ps_list *exact,
	       const struct ps_list *globs);
