/*
 * Memory for many structs of one size that come and go all the time: what is given back is handed
 * out again first, while it is still in the processor's cache. It never shrinks; its user bounds it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct osp_pool_slab;

struct osp_pool {
	size_t size; /* of a piece, a multiple of 8 */
	void *free;  /* pieces that were given back, linked by their first word */
	struct osp_pool_slab *slabs;
	uint8_t *at; /* in the newest slab: pieces that were never handed out */
	size_t left; /* of them */
};

/* A pool of pieces of `size` bytes; allocates nothing yet. */
void osp_pool_init(struct osp_pool *p, size_t size);
void osp_pool_clear(struct osp_pool *p); /* frees every piece, given back or not */

/* A piece with unknown contents. NULL: -ENOMEM. */
void *osp_pool_alloc(struct osp_pool *p);
void osp_pool_free(struct osp_pool *p, void *piece); /* NULL is ignored */
