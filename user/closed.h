/* Which operations were closed lately, so that a step that comes too late is known for what it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/key.h"

struct osp_closed_set;

struct osp_closed {
	struct osp_closed_set *sets; /* owned */
	uint64_t mask;
};

/* Remembers about `max` operations, the latest. -ENOMEM. */
int osp_closed_init(struct osp_closed *c, size_t max);
void osp_closed_clear(struct osp_closed *c);

/* The key will be looked for or added soon: memory may begin to move. */
void osp_closed_expect(const struct osp_closed *c, const struct osp_open_key *key);

/* Remembers that the operation found by this key was closed at the time. */
void osp_closed_add(struct osp_closed *c, const struct osp_open_key *key, int64_t time_ns);

/* True if the key was closed and is remembered; *time_ns is then when. */
bool osp_closed_find(const struct osp_closed *c, const struct osp_open_key *key, int64_t *time_ns);
