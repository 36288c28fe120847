/*
 * Drains the kernel ring. Fed by the kernel side, feeds the recorder's pipeline; the library's
 * consumer walks the ring, this file bounds it and decides how long to sleep.
 *
 * The kernel side wakes us at most once in so many jiffies, since a wake-up costs ten times what a
 * record does. So a record may lie in the ring unannounced. It reserves, then reads the jiffies,
 * then decides; we read the clock, then the positions. If less than that has passed since the last
 * wake-up, or something is in the ring, we sleep no longer than that. Else every record not yet in
 * the ring will find that it has passed, and wake us. Owns the mappings.
 *
 * We cannot read jiffies, but the coarse clock is set right after them: when it is two ticks further
 * than the exact clock was when we saw the last wake-up noted, the jiffies are at least one.
 */
#include "user/ring.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"

enum { DRAIN_FULL = -ENOBUFS }; /* what ends a bounded walk of the library's */

struct osp_ring {
	struct ring_buffer *buffer;
	const volatile __u64 *woken; /* borrowed: the loader's mapping */
	uint64_t woken_seen;
	int64_t woken_seen_ns; /* when that was first seen */
	int64_t wake_ns, tick_ns;
	uint64_t *consumed, *produced; /* pages with the ring's positions */
	size_t capacity;
	osp_ring_fn fn; /* during a drain: */
	void *arg;
	size_t left, done;
	uint64_t seen;	 /* what lies before this position was in the ring ... */
	int64_t seen_ns; /* ... at this time */
	int error;
};

/* Looked at again when the walk gets there: most walks look once. */
static void look_at_ring(struct osp_ring *r)
{
	if (__atomic_load_n(r->consumed, __ATOMIC_RELAXED) < r->seen)
		return;
	r->seen = __atomic_load_n(r->produced, __ATOMIC_ACQUIRE);
	r->seen_ns = osp_clock_read(CLOCK_BOOTTIME);
}

static int take_record(void *arg, void *data, size_t size)
{
	const struct osp_record *record = data;
	struct osp_ring *r = arg;
	size_t whole = sizeof(*record);

	if (size < whole)
		return 0;
	if (record->data_size > 0)
		whole += (size_t)record->data_size;
	look_at_ring(r);
	r->error = r->fn(r->arg, record, whole < size ? whole : size, r->seen_ns);
	r->done++;
	r->left--;
	return r->error < 0 || !r->left ? DRAIN_FULL : 0;
}

/*
 * A CPU that does nothing but pass points was seen to fill 185 MB/s (a record for each step) to
 * 260 MB/s (carried): 16 MiB are 90 to 60 ms of that. Each 16 MiB cost 4 ms at the start.
 */
enum {
	CHOSEN_PER_CPU = 16 << 20,
	CHOSEN_LEAST = 1 << 20,
	CHOSEN_MOST = 64 << 20, /* twice that would take longer to make than the rest of a start */
	CHOSEN_PART = 64,	/* of the available memory */
};

size_t osp_ring_choose(unsigned int cpus, uint64_t available_bytes)
{
	size_t bytes = CHOSEN_LEAST;

	while (bytes < CHOSEN_MOST && bytes / CHOSEN_PER_CPU < cpus)
		bytes *= 2;
	while (available_bytes && bytes > CHOSEN_LEAST && bytes > available_bytes / CHOSEN_PART)
		bytes /= 2;
	return bytes;
}

/* 0 = not known. */
static uint64_t read_available(void)
{
	FILE *f _cleanup_fclose_ = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	return kib * 1024;
}

size_t osp_ring_choose_here(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return osp_ring_choose(cpus > 0 ? (unsigned int)cpus : 1, read_available());
}

static int map_positions(struct osp_ring *r, int map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);
	void *p;

	if (bpf_obj_get_info_by_fd(map, &info, &size))
		return -errno;
	r->capacity = info.max_entries;
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, map, 0);
	if (p == MAP_FAILED)
		return -errno;
	r->consumed = p;
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, map, (off_t)page);
	if (p == MAP_FAILED)
		return -errno;
	r->produced = p;
	return 0;
}

/* The coarse clock advances with the jiffies. */
static int64_t tick_ns(void)
{
	struct timespec t = {0};

	clock_getres(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_nsec ? t.tv_nsec : 10000000;
}

uint64_t osp_ring_jiffies(int64_t ns)
{
	int64_t tick = tick_ns();

	return (uint64_t)((ns + tick - 1) / tick);
}

int osp_ring_open(struct osp_ring **out, int map, const volatile __u64 *woken, uint64_t jiffies)
{
	struct osp_ring *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->woken = woken;
	r->woken_seen = *woken;
	r->woken_seen_ns = osp_clock_read(CLOCK_MONOTONIC);
	r->tick_ns = tick_ns();
	r->wake_ns = (int64_t)jiffies * r->tick_ns;
	r->buffer = ring_buffer__new(map, take_record, r, NULL);
	e = r->buffer ? map_positions(r, map) : -errno;
	if (e) {
		osp_ring_close(&r);
		return e;
	}
	*out = r;
	return 0;
}

void osp_ring_close(struct osp_ring **r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!*r)
		return;
	if ((*r)->consumed)
		munmap((*r)->consumed, page);
	if ((*r)->produced)
		munmap((*r)->produced, page);
	ring_buffer__free((*r)->buffer);
	free(*r);
	*r = NULL;
}

int osp_ring_drain(struct osp_ring *r, size_t max, osp_ring_fn fn, void *arg)
{
	int e;

	if (!max)
		return 0;
	r->fn = fn;
	r->arg = arg;
	r->left = max;
	r->done = 0;
	r->error = 0;
	e = ring_buffer__consume(r->buffer);
	if (r->error < 0)
		return r->error;
	return e < 0 && e != DRAIN_FULL ? e : (int)r->done;
}

int osp_ring_fd(const struct osp_ring *r)
{
	return ring_buffer__epoll_fd(r->buffer);
}

void osp_ring_fill(const struct osp_ring *r, size_t *bytes, size_t *capacity)
{
	uint64_t consumed = __atomic_load_n(r->consumed, __ATOMIC_ACQUIRE);

	*bytes = __atomic_load_n(r->produced, __ATOMIC_ACQUIRE) - consumed;
	*capacity = r->capacity;
}

int osp_ring_timeout_ms(struct osp_ring *r)
{
	uint64_t woken = *r->woken;
	size_t bytes, capacity;
	int64_t now;

	/* In this order: see above. */
	if (woken != r->woken_seen) {
		r->woken_seen = woken;
		r->woken_seen_ns = osp_clock_read(CLOCK_MONOTONIC);
	}
	now = osp_clock_read(CLOCK_MONOTONIC_COARSE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	osp_ring_fill(r, &bytes, &capacity);
	if (!bytes && now - r->woken_seen_ns >= r->wake_ns + 2 * r->tick_ns)
		return -1;
	return (int)(r->wake_ns / 1000000) + 1;
}
