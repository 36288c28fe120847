/* Clocks as this project counts time: integers in ns. */
#pragma once

#include <stdint.h>
#include <time.h>

/* The CPU's counter that programs stamp their steps with (probes/op.h); 0 where there is none. */
static inline uint64_t osp_clock_counter(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

/* The clock's time now. A clock that the kernel does not have reads as 0. */
static inline int64_t osp_clock_read(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
