/*
 * A bump allocator with a maximum. The loader fills one arena per catalogue; the catalogue owns
 * it and frees it whole, so that no part of a half-loaded catalogue has to be taken down by hand
 * and an absurd file cannot take more memory than the maximum.
 */
#include "probes/arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 };

struct block {
	struct block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

struct osp_arena {
	struct block *blocks; /* newest first */
	size_t left;	      /* bytes it may still take */
};

int osp_arena_new(struct osp_arena **out, size_t max)
{
	struct osp_arena *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->left = max;
	*out = a;
	return 0;
}

void osp_arena_free(struct osp_arena **a)
{
	if (!*a)
		return;
	while ((*a)->blocks) {
		struct block *next = (*a)->blocks->next;

		free((*a)->blocks);
		(*a)->blocks = next;
	}
	free(*a);
	*a = NULL;
}

static struct block *add_block(struct osp_arena *a, size_t size)
{
	struct block *b;

	if (size < BLOCK_BYTES)
		size = BLOCK_BYTES;
	if (size > a->left)
		return NULL;
	b = calloc(1, sizeof(*b) + size);
	if (!b)
		return NULL;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	a->left -= size;
	return b;
}

void *osp_arena_alloc(struct osp_arena *a, size_t count, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct block *b = a->blocks;
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes) || bytes > a->left + BLOCK_BYTES)
		return NULL;
	bytes = (bytes + align - 1) & ~(align - 1);
	if (!b || b->size - b->used < bytes)
		b = add_block(a, bytes);
	if (!b)
		return NULL;
	p = b->data + b->used;
	b->used += bytes;
	return p;
}

char *osp_arena_copy(struct osp_arena *a, const char *text, size_t size)
{
	char *copy = osp_arena_alloc(a, size + 1, 1);

	if (copy && size)
		memcpy(copy, text, size);
	return copy;
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
