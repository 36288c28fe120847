/* In which order broadcasters are tried, how often, and how long is waited between. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ps_broadcaster_url {
	char *url;    /* owned by whoever holds the list */
	int priority; /* lower first; equal ones are shuffled */
};

/* The plan of one request. */
struct ps_retry {
	const struct ps_broadcaster_url *list; /* borrowed: outlives the plan */
	size_t count;
	size_t *order; /* owned */
	unsigned passes, pass;
	size_t next;
};

/* `passes` walks over all broadcasters (at least one). -ENOMEM. */
int ps_retry_init(struct ps_retry *r, const struct ps_broadcaster_url *list, size_t count,
		  unsigned passes);
void ps_retry_clear(struct ps_retry *r);

/*
 * The url to try next, or NULL when all passes are over. *wait_ns is what to wait before it: 0
 * within a pass, 2^(pass-1) s and up to 1 s by chance between two passes.
 */
const char *ps_retry_next(struct ps_retry *r, int64_t *wait_ns);

/* Upstream's schedule of MISSED: when a row is tried after `attempts`; -1: not any more. */
int64_t ps_retry_missed_delay_ns(unsigned attempts);
