/*
 * The packed lists of subscriptions that SET_SUBSCRIPTIONS carries and the strong etag covers:
 * for each entry a topic or glob and its recovery url, each after its two-byte length, the keys
 * strictly ascending bytewise (lonelypsp/stateless/make_strong_etag.py). A list stays packed:
 * the bytes that came are the bytes that are hashed.
 */
#pragma once

#include "probes/pubsub/ps_wire.h"

/* A list known to be in order. All zero is the empty one. */
struct ps_list {
	struct ps_bytes packed; /* borrowed, from a body or a builder */
	uint32_t count;
};

struct ps_entry {
	struct ps_bytes key;	  /* topic or glob */
	struct ps_bytes recovery; /* url; empty for none */
};

/*
 * Takes the first entry off the list, which becomes shorter; the entry points into what is
 * packed. 0, or 1 at the end.
 */
int ps_list_next(struct ps_list *list, struct ps_entry *entry);

/*
 * Reads a list of `count` entries. -EBADMSG when they are not all there, -EEXIST for two equal
 * keys, -EINVAL for a key below the one before it, -EILSEQ for a recovery url, or a key if
 * `is_glob`, that is not UTF-8. The reader stands behind the list only on success.
 */
int ps_list_read(struct ps_list *list, struct ps_reader *r, uint32_t count, bool is_glob);

/* A list being made. Set .packed.max, the bytes it may take; clear .packed at the end. */
struct ps_list_builder {
	struct osp_buffer packed;
	uint32_t count;
	size_t last; /* where the last entry starts */
};

/*
 * Adds an entry behind all others. -EEXIST when its key is the last one's, -EINVAL when it is
 * below; -EOVERFLOW for a value over 65535 bytes, -ENOSPC, -ENOMEM. Failed: nothing is added.
 */
int ps_list_add(struct ps_list_builder *b, const struct ps_entry *entry);

/* What was built so far, borrowed until the next add. */
struct ps_list ps_list_of(const struct ps_list_builder *b);
