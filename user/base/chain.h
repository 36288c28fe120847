/*
 * A hash table of members that carry their own links, for tables on the path of every step: adding
 * and removing touch the head and the member, nothing is allocated or moved, and the size is fixed
 * when the table is made. The caller compares keys: it walks the members of a hash, newest first.
 *
 * Most looks are for what is not there, in tables larger than the processor's cache. So each head
 * has a filter: a bit per sixteenth of the hashes, set by whatever was added since the head was
 * last empty. A look that finds its bit clear reads two bytes and no member.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct osp_chain {
	struct osp_chain *next, **at; /* at = NULL: in no table */
	uint64_t hash;
};

struct osp_chains {
	struct osp_chain **heads; /* owned; members belong to whoever added them */
	uint16_t *filters;	  /* owned, by head */
	uint64_t mask;
};

/* The struct of `type` whose field `field` is the link `node`. */
#define osp_chain_entry(node, type, field) ((type *)((char *)(node)-offsetof(type, field)))

/* A table that is quick for about `max` members. -ENOMEM. */
int osp_chains_init(struct osp_chains *c, size_t max);
void osp_chains_clear(struct osp_chains *c);

static inline uint16_t osp_chain_filter(uint64_t hash)
{
	return (uint16_t)(1u << (hash >> 60));
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
	size_t i = hash & c->mask;

	return c->filters[i] & osp_chain_filter(hash) ? osp_chain_match(c->heads[i], hash) : NULL;
}

/* The next older member with the same hash, or NULL. */
static inline struct osp_chain *osp_chain_next(const struct osp_chain *node)
{
	return osp_chain_match(node->next, node->hash);
}

/* The member is in no table before. */
static inline void osp_chain_add(struct osp_chains *c, struct osp_chain *node, uint64_t hash)
{
	size_t i = hash & c->mask;

	node->hash = hash;
	node->next = c->heads[i];
	node->at = &c->heads[i];
	if (node->next)
		node->next->at = &node->next;
	c->heads[i] = node;
	c->filters[i] |= osp_chain_filter(hash);
}

/* Taking out what is in no table does no harm. */
static inline void osp_chain_remove(struct osp_chains *c, struct osp_chain *node)
{
	size_t i = node->hash & c->mask;

	if (!node->at)
		return;
	*node->at = node->next;
	if (node->next)
		node->next->at = node->at;
	node->at = NULL;
	if (!c->heads[i])
		c->filters[i] = 0;
}
