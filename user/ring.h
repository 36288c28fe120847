/*
 * The kernel ring as the recorder sees it: one bounded drain is one batch.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

struct osp_ring;

/*
 * `map` is the ring's descriptor (the caller's) with room for `capacity` bytes, `woken` where the
 * kernel side notes in jiffies when it last woke us, `jiffies` how long it then does not. -errno.
 */
int osp_ring_open(struct osp_ring **out, int map, size_t capacity, const volatile __u64 *woken,
		  uint64_t jiffies);
void osp_ring_close(struct osp_ring **r);

/*
 * A record and its data, `size` bytes in all, borrowed for the call; at seen_ns (boot time) it was
 * in the ring. Negative ends the drain.
 */
typedef int (*osp_ring_fn)(void *arg, const struct osp_record *record, size_t size,
			   int64_t seen_ns);

/*
 * Hands on at most `max` records and gives their space back, part by part; that of a full ring only
 * when it is half of it. A drain that left nothing gives back everything. Returns how many, or what
 * fn returned. Records that are shorter than a record are skipped.
 */
int osp_ring_drain(struct osp_ring *r, size_t max, osp_ring_fn fn, void *arg);

/* Gives back at once what was handed on. */
void osp_ring_give_back(struct osp_ring *r);

/* Readable (epoll, level-triggered) when the kernel side gave a wake-up. */
int osp_ring_fd(const struct osp_ring *r);

/*
 * How long to wait for osp_ring_fd at most: -1 as long as it takes, if nothing can be lying in
 * the ring that no wake-up will announce; else some ms. To be asked before every wait.
 */
int osp_ring_timeout_ms(struct osp_ring *r);

/* How many jiffies there are in at least so many ns. */
uint64_t osp_ring_jiffies(int64_t ns);

/*
 * Bytes for a ring, which cannot grow later: what programs that keep so many CPUs busy fill in
 * 60 to 90 ms, but no more than is made quickly, nor than a small part of the available memory
 * (0 = not known). A power of two.
 */
size_t osp_ring_choose(unsigned int cpus, uint64_t available_bytes);

/* The same for this machine as it is now. */
size_t osp_ring_choose_here(void);

/* For notices of processes alone, when steps do not leave the kernel. */
enum { OSP_RING_NOTICES = 1 << 20 };

/* Bytes of the ring that were not given back, and its size. */
void osp_ring_fill(const struct osp_ring *r, size_t *bytes, size_t *capacity);
