/*
 * Memory that is taken piece by piece and freed whole: everything of one catalogue, what a cursor
 * hands out until it moves on.
 */
#pragma once

#include <stddef.h>

struct osp_arena_block;

struct osp_arena {
	struct osp_arena_block *blocks; /* owned; the first is being filled */
	size_t max;			/* bytes it may hold, 0 = no limit */
	size_t size;			/* bytes of its blocks */
};

void osp_arena_clear(struct osp_arena *a); /* frees everything */
void osp_arena_reset(struct osp_arena *a); /* forgets everything, keeps one block */

/*
 * Zeroed memory for `count` things of `size` bytes, aligned for any type. NULL: -ENOMEM, or over
 * the maximum. No bytes at all give a valid pointer.
 */
void *osp_arena_alloc(struct osp_arena *a, size_t count, size_t size);

/* A copy of the bytes, followed by a NUL. NULL: as above. */
void *osp_arena_copy(struct osp_arena *a, const void *data, size_t size);

/* Replaces a text by its copy in the arena. -ENOMEM, also over the maximum. */
int osp_arena_keep(struct osp_arena *a, const char **text);

/* printf into the arena. NULL: as above. */
char *osp_arena_print(struct osp_arena *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
