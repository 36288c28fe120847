/* Clocks as this project counts time: integers in ns. */
#pragma once

#include <stdint.h>
#include <time.h>

/* The clock's time now. A clock that the kernel does not have reads as 0. */
static inline int64_t osp_clock_read(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
