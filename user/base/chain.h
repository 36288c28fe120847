/*
 * A hash table of members that carry their own links, for tables on the path of every step: adding
 * and removing touch the head and the member, nothing is allocated or moved, and the size is fixed
 * when the table is made. The caller compares keys: it walks the members of a hash, newest first.
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct osp_chain {
	struct osp_chain *next, **at; /* at = NULL: in no table */
	uint64_t hash;
};

struct osp_chains {
	struct osp_chain **heads; /* owned; members belong to whoever added them */
	uint64_t mask;
};

/* The struct of `type` whose field `field` is the link `node`. */
#define osp_chain_entry(node, type, field) ((type *)((char *)(node)-offsetof(type, field)))

/* A table that is quick for about `max` members. -ENOMEM. */
static inline int osp_chains_init(struct osp_chains *c, size_t max)
{
	size_t count = 16;

	while (count < max)
		count *= 2;
	c->heads = calloc(count, sizeof(*c->heads)); /* pages come as they are touched */
	c->mask = count - 1;
	return c->heads ? 0 : -ENOMEM;
}

static inline void osp_chains_clear(struct osp_chains *c)
{
	free(c->heads);
	c->heads = NULL;
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
	return osp_chain_match(c->heads[hash & c->mask], hash);
}

/* The next older member with the same hash, or NULL. */
static inline struct osp_chain *osp_chain_next(const struct osp_chain *node)
{
	return osp_chain_match(node->next, node->hash);
}

/* The member is in no table before. */
static inline void osp_chain_add(struct osp_chains *c, struct osp_chain *node, uint64_t hash)
{
	struct osp_chain **head = &c->heads[hash & c->mask];

	node->hash = hash;
	node->next = *head;
	node->at = head;
	if (node->next)
		node->next->at = &node->next;
	*head = node;
}

/* Taking out what is in no table does no harm. */
static inline void osp_chain_remove(struct osp_chain *node)
{
	if (!node->at)
		return;
	*node->at = node->next;
	if (node->next)
		node->next->at = node->at;
	node->at = NULL;
}
