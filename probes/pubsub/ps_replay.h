/* The table of authorizations already used, one per verifying process. */
#pragma once

#include <stdint.h>

#include "probes/pubsub/ps_digest.h"

struct ps_replay;

struct ps_replay_options {
	const char *path; /* SQLite file, or NULL: in memory, forgotten at exit */
	int busy_ms;	  /* how long a write may wait for another process */
	uint64_t rows_max;
};

/* Opens (and makes) the table; says why on stderr when it cannot. -errno. */
int ps_replay_open(struct ps_replay **out, const struct ps_replay_options *o);
void ps_replay_close(struct ps_replay **r);

/*
 * Remembers the mac until `expires` (seconds since the epoch). -EEXIST: used before. -ENOSPC:
 * the table is full; -EBUSY and other -errno: the database cannot say. Rows that expired by
 * `now` are removed in bounded portions, no more often than every 10 s.
 */
int ps_replay_add(struct ps_replay *r, const uint8_t mac[PS_DIGEST_SIZE], int64_t now,
		  int64_t expires);

/* Rows in the table. */
uint64_t ps_replay_count(const struct ps_replay *r);
