/*
 * Pieces of one size (user/base/pool.h): slabs that are cut from the front, and a list of what was
 * given back.
 */
#include "user/base/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 1 << 16 };

struct osp_pool_slab {
	struct osp_pool_slab *next;
	uint8_t pieces[];
};

void osp_pool_init(struct osp_pool *p, size_t size)
{
	*p = (struct osp_pool){.size = (size + 7) & ~(size_t)7};
}

void osp_pool_clear(struct osp_pool *p)
{
	while (p->slabs) {
		struct osp_pool_slab *next = p->slabs->next;

		free(p->slabs);
		p->slabs = next;
	}
	osp_pool_init(p, p->size);
}

static size_t per_slab(const struct osp_pool *p)
{
	return p->size < SLAB_BYTES ? SLAB_BYTES / p->size : 1;
}

static int add_slab(struct osp_pool *p)
{
	size_t count = per_slab(p);
	struct osp_pool_slab *slab = malloc(sizeof(*slab) + count * p->size);

	if (!slab)
		return -1;
	slab->next = p->slabs;
	p->slabs = slab;
	p->left = count;
	return 0;
}

void *osp_pool_alloc(struct osp_pool *p)
{
	void *piece = p->free;

	if (piece) {
		memcpy(&p->free, piece, sizeof(p->free));
		return piece;
	}
	if (!p->left && add_slab(p))
		return NULL;
	return p->slabs->pieces + (per_slab(p) - p->left--) * p->size;
}

void osp_pool_free(struct osp_pool *p, void *piece)
{
	if (!piece)
		return;
	memcpy(piece, &p->free, sizeof(p->free));
	p->free = piece;
}
