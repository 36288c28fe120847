/*
 * Memory that is freed in one go: what a read hands out lives in the arena of its cursor until
 * the cursor moves on.
 */
#pragma once

#include <stddef.h>

struct osp_arena_block;

struct osp_arena {
	struct osp_arena_block *blocks; /* owned; the first is being filled */
};

void osp_arena_clear(struct osp_arena *a); /* frees everything */
void osp_arena_reset(struct osp_arena *a); /* forgets everything, keeps one block */

/* Zeroed memory, aligned for any type. NULL: -ENOMEM. A size of 0 gives a valid pointer. */
void *osp_arena_take(struct osp_arena *a, size_t size);

/* A copy of the bytes, followed by a NUL. NULL: -ENOMEM. */
void *osp_arena_copy(struct osp_arena *a, const void *data, size_t size);
