/* A doubly linked list inside its members. The owner of the head owns nothing of the members. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct osp_list {
	struct osp_list *next, *prev;
};

/* The struct of `type` whose field `field` is the list node `node`. */
#define osp_list_entry(node, type, field) ((type *)((char *)(node)-offsetof(type, field)))

static inline void osp_list_init(struct osp_list *l)
{
	l->next = l->prev = l;
}

static inline bool osp_list_empty(const struct osp_list *l)
{
	return l->next == l;
}

/* Puts the node at the end. */
static inline void osp_list_add(struct osp_list *l, struct osp_list *node)
{
	node->prev = l->prev;
	node->next = l;
	l->prev->next = node;
	l->prev = node;
}

/* Takes the node out; it is then an empty list, so that taking it out again does no harm. */
static inline void osp_list_remove(struct osp_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	osp_list_init(node);
}
