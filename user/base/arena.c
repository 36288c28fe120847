/*
 * A bump allocator. A catalogue fills one and frees it whole, so that no part of a half-loaded one
 * has to be taken down by hand; cursors of stores reset theirs at each row. Blocks double up to
 * 1 MiB; a reset keeps the newest, so that a long walk stops allocating.
 */
#include "user/base/arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
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
	a->size = 0;
}

void osp_arena_reset(struct osp_arena *a)
{
	if (!a->blocks)
		return;
	free_blocks(a->blocks->next);
	a->blocks->next = NULL;
	a->blocks->used = 0;
	a->size = a->blocks->size;
}

static struct osp_arena_block *add_block(struct osp_arena *a, size_t need)
{
	size_t size = a->blocks ? a->blocks->size : FIRST_BLOCK / 2;
	struct osp_arena_block *b;

	size = size < LARGEST_BLOCK ? 2 * size : size;
	if (size < need)
		size = need;
	if (a->max && (size > a->max || a->size > a->max - size))
		return NULL;
	b = malloc(sizeof(*b) + size);
	if (!b)
		return NULL;
	b->next = a->blocks;
	b->used = 0;
	b->size = size;
	a->blocks = b;
	a->size += size;
	return b;
}

void *osp_arena_alloc(struct osp_arena *a, size_t count, size_t size)
{
	struct osp_arena_block *b = a->blocks;
	size_t bytes, need;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes) ||
	    __builtin_add_overflow(bytes, (size_t)ALIGNMENT - 1, &need))
		return NULL;
	need &= ~(size_t)(ALIGNMENT - 1);
	if (!b || need > b->size - b->used)
		b = add_block(a, need);
	if (!b)
		return NULL;
	p = b->bytes + b->used;
	b->used += need;
	return memset(p, 0, bytes);
}

void *osp_arena_copy(struct osp_arena *a, const void *data, size_t size)
{
	uint8_t *p = osp_arena_alloc(a, size + 1, 1);

	if (p && size)
		memcpy(p, data, size);
	return p;
}

int osp_arena_keep(struct osp_arena *a, const char **text)
{
	*text = osp_arena_copy(a, *text, strlen(*text));
	return *text ? 0 : -ENOMEM;
}

char *osp_arena_print(struct osp_arena *a, const char *format, ...)
{
	va_list ap, again;
	char *text;
	int n;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	text = n < 0 ? NULL : osp_arena_alloc(a, (size_t)n + 1, 1);
	if (text)
		vsnprintf(text, (size_t)n + 1, format, again);
	va_end(again);
	return text;
}
