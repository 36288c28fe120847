/*
 * A bump allocator for the read side of the stores: decoded rows, flat spans and their strings.
 * Fed by the SQLite driver and by unpack, owned by cursors. Blocks double up to 1 MiB; a reset
 * keeps the largest, so that a walk over many traces stops allocating.
 */
#include "store/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20, ALIGNMENT = 16 };

struct osp_arena_block {
	struct osp_arena_block *next;
	size_t used, size;
	_Alignas(ALIGNMENT) uint8_t bytes[];
};

static void free_blocks(struct osp_arena_block *b)
{
	while (b) {
		struct osp_arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void osp_arena_clear(struct osp_arena *a)
{
	free_blocks(a->blocks);
	a->blocks = NULL;
}

void osp_arena_reset(struct osp_arena *a)
{
	if (!a->blocks)
		return;
	free_blocks(a->blocks->next);
	a->blocks->next = NULL;
	a->blocks->used = 0;
}

static struct osp_arena_block *add_block(struct osp_arena *a, size_t need)
{
	size_t size = a->blocks ? a->blocks->size : FIRST_BLOCK / 2;
	struct osp_arena_block *b;

	size = size < LARGEST_BLOCK ? 2 * size : size;
	if (size < need)
		size = need;
	b = malloc(sizeof(*b) + size);
	if (!b)
		return NULL;
	b->next = a->blocks;
	b->used = 0;
	b->size = size;
	a->blocks = b;
	return b;
}

void *osp_arena_take(struct osp_arena *a, size_t size)
{
	struct osp_arena_block *b = a->blocks;
	size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	void *p;

	if (need < size)
		return NULL;
	if (!b || need > b->size - b->used)
		b = add_block(a, need);
	if (!b)
		return NULL;
	p = b->bytes + b->used;
	b->used += need;
	return memset(p, 0, size);
}

void *osp_arena_copy(struct osp_arena *a, const void *data, size_t size)
{
	uint8_t *p = osp_arena_take(a, size + 1);

	if (p && size)
		memcpy(p, data, size);
	return p;
}
