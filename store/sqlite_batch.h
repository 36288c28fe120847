/* Operations and links of the batch that is being written (store/sqlite_batch.c). */
#pragma once

#include "store/span.h"
#include "user/base/arena.h"

struct sqlite_store;

/* Versions and membership of an operation, which readers do not see. */
struct sqlite_version {
	uint64_t seq, rank;
	uint32_t marks; /* added by patches */
};

/* An operation of the batch that is being written. */
struct sqlite_member {
	struct osp_row row; /* trace: as claimed */
	struct sqlite_version version;
	uint32_t next;	 /* of the same trace, + 1; 0 = none */
	uint32_t bundle; /* number in the batch */
	uint32_t opened; /* the bundle that it comes from, + 1; 0 = it is new */
	bool has_parent; /* in the same bundle */
};

/* A link of the batch. */
struct sqlite_link {
	struct osp_edge edge;
	uint64_t seq;
	uint32_t next; /* of the same bundle, + 1 */
};

/* Operations of one trace in the batch. */
struct sqlite_group {
	uint64_t trace;
	uint32_t first, last; /* members, + 1 */
};

/* A hash table of numbers into a list, emptied with each batch. */
struct sqlite_index {
	uint32_t *slots; /* + 1; 0 = empty */
	size_t room;	 /* a power of two */
};

struct sqlite_batch {
	struct sqlite_member *members; /* owned */
	struct sqlite_link *links;     /* owned */
	struct sqlite_group *groups;   /* owned */
	size_t member_count, member_room, link_count, link_room, group_count, group_room;
	int64_t *opened; /* owned; keys of bundles that were opened again; 0 = written anew */
	size_t opened_count, opened_room;
	struct sqlite_index by_id, by_link, by_trace;
	struct osp_arena arena; /* what came out of bundles that were opened again */
	uint32_t bundles;
};

/* Collects operations, patches and links of a batch; sqlite_batch_write makes bundles of them. */
void sqlite_batch_reset(struct sqlite_batch *b);
void sqlite_batch_clear(struct sqlite_batch *b);
int sqlite_batch_row(struct sqlite_store *s, const struct osp_part *part);
int sqlite_batch_patch(struct sqlite_store *s, const struct osp_part *part);
int sqlite_batch_link(struct sqlite_store *s, const struct osp_part *part);
int sqlite_batch_write(struct sqlite_store *s);
