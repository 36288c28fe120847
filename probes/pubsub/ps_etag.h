/* The strong etag over all subscriptions of one url. */
#pragma once

#include "probes/pubsub/ps_digest.h"

struct ps_etag_entry {
	struct ps_bytes key; /* topic or glob, ascending bytewise within its list */
	struct ps_bytes recovery;
};

struct ps_etag_list {
	const struct ps_etag_entry *entries;
	size_t count;
};

/* Computes the etag. Entries are taken in the order given. -ENOMEM, -EOVERFLOW, -EIO. */
int ps_etag_of(uint8_t out[PS_DIGEST_SIZE], struct ps_bytes url, struct ps_etag_list exact,
	       struct ps_etag_list globs);
