/*
 * One batch: the parts of one bounded drain, copied out of the pipeline, written in one store
 * transaction. Memory is an arena that is emptied whole after each write.
 */
#pragma once

#include <stddef.h>

#include "store/span.h"

struct osp_store;
struct osp_batch;

/* A batch for at most max_bytes of copied parts; `store` is borrowed and outlives it. -ENOMEM. */
int osp_batch_new(struct osp_batch **out, struct osp_store *store, size_t max_bytes);
void osp_batch_free(struct osp_batch **b); /* unwritten parts are dropped */

/*
 * Copies a part in. What a batch of some size holds goes into the store's transaction first, so
 * that memory stays bounded and in the caches whatever comes before the next flush. 0, -ENOMEM,
 * -E2BIG (one part larger than the batch), or the store's error.
 */
int osp_batch_add(struct osp_batch *b, const struct osp_part *part);

/* Commits all that was added; nothing to write is no error. Says why a store fails. */
int osp_batch_flush(struct osp_batch *b);
