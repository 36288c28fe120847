/*
 * What ids are made of: a random base per process, renewed in the child of a fork. Set up by a
 * constructor; a shared object has its own.
 * Part of outspan/op.h. SPDX-License-Identifier: Apache-2.0
 */
#ifndef OUTSPAN_OP_PROCESS_H
#define OUTSPAN_OP_PROCESS_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a process (or each shared object of it) needs for ids. */
struct outspan_process {
	uint64_t base;	 /* random, low 16 bits zero */
	uint64_t random; /* upper half of trace ids that begin here */
	uint64_t count;	 /* operations that took an id */
	uint32_t pid;	 /* 0: not set up yet */
	uint32_t reserved;
};

extern struct outspan_process outspan_process_1 __attribute__((weak, visibility("hidden")));
struct outspan_process outspan_process_1 = {0, 0, 0, 0, 0};

void outspan_process_renew_1(void) __attribute__((weak, visibility("hidden")));
void outspan_process_start_1(void) __attribute__((weak, visibility("hidden"), constructor));

/* A new identity: at the start, and in the child of a fork. */
__attribute__((no_instrument_function, cold)) void outspan_process_renew_1(void)
{
	struct outspan_process *p = &outspan_process_1;
	uint64_t random[2] = {0, 0};

	p->pid = (uint32_t)getpid();
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
		/* No randomness this early: addresses, the counter and the pid still differ. */
		random[0] ^= (uint64_t)(uintptr_t)&random * 0x9e3779b97f4a7c15u + p->base;
		random[0] ^= (uint64_t)p->pid << 32;
		random[1] ^= random[0] * 0xd6e8feb86659fd93u + (uint64_t)(uintptr_t)p;
	}
	p->base = random[0] & ~(uint64_t)0xffff;
	p->random = random[1] | 1;
	p->count = 0;
}

__attribute__((no_instrument_function, cold)) void outspan_process_start_1(void)
{
	if (outspan_process_1.pid)
		return;
	outspan_process_renew_1();
	pthread_atfork(NULL, NULL, outspan_process_renew_1);
}

#ifdef __cplusplus
}
#endif

static inline __attribute__((always_inline, unused)) uint64_t outspan_stamp(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#endif
}

#endif
