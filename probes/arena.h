/* Memory that is taken piece by piece and freed whole: everything of one catalogue lives in it. */
#pragma once

#include <stddef.h>

struct osp_arena;

/* An empty arena that will hold at most `max` bytes. -ENOMEM. */
int osp_arena_new(struct osp_arena **out, size_t max);
void osp_arena_free(struct osp_arena **a);

/* Zeroed memory for `count` things of `size` bytes, aligned for anything; NULL: -ENOMEM. */
void *osp_arena_alloc(struct osp_arena *a, size_t count, size_t size);

/* A NUL-terminated copy of `size` bytes; NULL: -ENOMEM. */
char *osp_arena_copy(struct osp_arena *a, const char *text, size_t size);

/* printf into the arena; NULL: -ENOMEM. */
char *osp_arena_print(struct osp_arena *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
