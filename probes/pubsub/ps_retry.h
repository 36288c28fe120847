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

/*
 * When a subscriber is told that it missed a message: after factor * base^min(attempts, exponent)
 * + constant + jitter * [0, 1), until `retries` attempts failed.
 */
struct ps_missed_policy {
	int64_t factor_ns, constant_ns, jitter_ns;
	double base;
	unsigned exponent_max, retries;
};

/* Upstream's numbers. */
#define PS_MISSED_POLICY_INIT                                                                      \
	{                                                                                          \
		.factor_ns = 1000000000, .constant_ns = 1000000000, .jitter_ns = 2000000000,       \
		.base = 2, .exponent_max = 10, .retries = 20                                       \
	}

/* How long to wait after so many attempts, at most a year; -1: there is no further one. */
int64_t ps_retry_missed_delay_ns(const struct ps_missed_policy *p, unsigned attempts);
