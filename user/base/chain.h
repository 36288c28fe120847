/*
 * A hash table of members that carry their own links, for tables on the path of every step: adding
 * and removing touch the head and the member, nothing is allocated or moved, and the size is fixed
 * when the table is made. The caller compares keys: it walks the members of a hash, newest first.
 *
 * Most looks are for what is not there, in tables larger than the processor's cache, where every
 * line that is touched counts. So a head has a filter in the bits that an address does not use: a
 * bit per sixteenth of the hashes, set by whatever was added since the head was last empty. A look
 * that finds its bit clear touches the head and no member.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct osp_chain {
	struct osp_chain *next, *before; /* before = NULL: the first of its head */
	uint64_t hash;			 /* 0 = in no table */
};

struct osp_chains {
	uint64_t *heads; /* owned: address of the first member, filter; members are not owned */
	uint64_t mask;
};

enum { OSP_CHAIN_ADDRESS_BITS = 48 }; /* of a process' memory, on x86-64 and arm64 */

/* The struct of `type` whose field `field` is the link `node`. */
#define osp_chain_entry(node, type, field) ((type *)((char *)(node)-offsetof(type, field)))

/* A table that is quick for about `max` members. -ENOMEM. */
int osp_chains_init(struct osp_chains *c, size_t max);
void osp_chains_clear(struct osp_chains *c);

static inline struct osp_chain *osp_chain_first(uint64_t head)
{
	return (struct osp_chain *)(uintptr_t)(head & ((1ull << OSP_CHAIN_ADDRESS_BITS) - 1));
}

static inline uint64_t osp_chain_filter(uint64_t hash)
{
	return 1ull << (OSP_CHAIN_ADDRESS_BITS + (hash >> 60));
}

static inline struct osp_chain *osp_chain_match(struct osp_chain *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

/* The newest member with the hash, or NULL. */
static inline struct osp_chain *osp_chain_find(const struct osp_chains *c, uint64_t hash)
{
	uint64_t head = c->heads[hash & c->mask];

	return head & osp_chain_filter(hash) ? osp_chain_match(osp_chain_first(head), hash) : NULL;
}

/* The next older member with the same hash, or NULL. */
static inline struct osp_chain *osp_chain_next(const struct osp_chain *node)
{
	return osp_chain_match(node->next, node->hash);
}

/* The hash will be looked for, added or removed soon: memory may begin to move. */
static inline void osp_chain_expect(const struct osp_chains *c, uint64_t hash)
{
	__builtin_prefetch(&c->heads[hash & c->mask], 1);
}

/* The member is in no table before; the hash is not 0. */
static inline void osp_chain_add(struct osp_chains *c, struct osp_chain *node, uint64_t hash)
{
	uint64_t *head = &c->heads[hash & c->mask];

	node->hash = hash;
	node->before = NULL;
	node->next = osp_chain_first(*head);
	if (node->next)
		node->next->before = node;
	*head = (*head >> OSP_CHAIN_ADDRESS_BITS << OSP_CHAIN_ADDRESS_BITS) |
		osp_chain_filter(hash) | (uintptr_t)node;
}

/* Taking out what is in no table does no harm. */
static inline void osp_chain_remove(struct osp_chains *c, struct osp_chain *node)
{
	uint64_t *head = &c->heads[node->hash & c->mask];

	if (!node->hash)
		return;
	if (node->next)
		node->next->before = node->before;
	if (node->before)
		node->before->next = node->next;
	else if (node->next)
		*head = (*head >> OSP_CHAIN_ADDRESS_BITS << OSP_CHAIN_ADDRESS_BITS) |
			(uintptr_t)node->next;
	else
		*head = 0;
	node->hash = 0;
}
