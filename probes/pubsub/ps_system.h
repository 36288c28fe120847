/* Clock and chance, the two things a test must be able to hold still. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Where the library takes time and random bytes from. Tests replace the functions. */
struct ps_system {
	int64_t (*wall_ns)(void);   /* CLOCK_REALTIME */
	int64_t (*steady_ns)(void); /* CLOCK_MONOTONIC */
	int (*random)(void *out, size_t size);
};

extern struct ps_system ps_system;

int64_t ps_system_wall_ns(void);
int64_t ps_system_steady_ns(void);

/* Fills `out` with random bytes fit for secrets. -EIO when there are none. */
int ps_system_random(void *out, size_t size);

/* A number in [0, 1); 0 when there are no random bytes. For jitter and shuffling only. */
double ps_system_uniform(void);
