/*
 * Pieces of one size (user/base/pool.h): slabs that are cut from the front, and a list of what was
 * given back. The first slab is small, the others are huge pages.
 */
#include "user/base/pool.h"

#include <stdint.h>
#include <string.h>

#include "user/base/pages.h"

enum { FIRST_BYTES = 1 << 16, SLAB_BYTES = 2 << 20 };

struct osp_pool_slab {
	struct osp_pool_slab *next;
	size_t size;
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

		osp_pages_free(p->slabs, p->slabs->size);
		p->slabs = next;
	}
	osp_pool_init(p, p->size);
}

static int add_slab(struct osp_pool *p)
{
	size_t size = p->slabs ? SLAB_BYTES : FIRST_BYTES;
	struct osp_pool_slab *slab;

	if (size < sizeof(*slab) + p->size)
		size = sizeof(*slab) + p->size;
	slab = osp_pages_alloc(size);
	if (!slab)
		return -1;
	*slab = (struct osp_pool_slab){.next = p->slabs, .size = size};
	p->slabs = slab;
	p->at = slab->pieces;
	p->left = (size - sizeof(*slab)) / p->size;
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
	piece = p->at;
	p->at += p->size;
	p->left--;
	return piece;
}

void osp_pool_free(struct osp_pool *p, void *piece)
{
	if (!piece)
		return;
	memcpy(piece, &p->free, sizeof(p->free));
	p->free = piece;
}
