/*
 * Drains the kernel ring. Fed by the kernel side, feeds the recorder's pipeline. Walks the ring
 * itself (the library's consumer gives back the space of every record by itself), bounds a drain,
 * and decides how long to sleep. Owns the mappings.
 *
 * Space is given back in large parts: each time, the producers' CPUs lose the line that tells of it.
 * A full ring is given back by halves. Were it record by record, of all that comes next one record
 * in so many would find room, a piece of every trace; so everything comes for a while, and then
 * nothing.
 *
 * The kernel side wakes us at most once in so many jiffies, since a wake-up costs ten times what a
 * record does. So a record may lie in the ring unannounced. It reserves, then reads the jiffies,
 * then decides; we read the clock, then the positions. If less than that has passed since the last
 * wake-up, or something is in the ring, we sleep no longer than that. Else every record not yet in
 * the ring will find that it has passed, and wake us.
 *
 * We cannot read jiffies, but the coarse clock is set right after them: when it is two ticks further
 * than the exact clock was when we saw the last wake-up noted, the jiffies are at least one.
 */
#include "user/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"

enum {
	PARTS = 16, /* of the ring: what is given back at once */
	HEAD = BPF_RINGBUF_HDR_SZ,
	LARGEST = HEAD + sizeof(struct osp_record) + OSP_EVENT_DATA,
};

struct osp_ring {
	int map;		     /* borrowed: the caller's */
	const volatile __u64 *woken; /* borrowed: the loader's mapping */
	uint64_t woken_seen;
	int64_t woken_seen_ns; /* when that was first seen */
	int64_t wake_ns, tick_ns;
	uint64_t *consumed;	  /* mapped: up to where the space is the producers' */
	const uint64_t *produced; /* mapped; the data begins a page behind, twice in a row */
	const uint8_t *data;
	size_t page, capacity;
	uint64_t taken;	 /* up to where records were handed on; not before consumed */
	uint64_t seen;	 /* what lies before this position was in the ring ... */
	int64_t seen_ns; /* ... at this time */
};

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

static int map_memory(struct osp_ring *r)
{
	void *p = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, r->map, 0);

	if (p == MAP_FAILED)
		return -errno;
	r->consumed = p;
	p = mmap(NULL, r->page + 2 * r->capacity, PROT_READ, MAP_SHARED, r->map, (off_t)r->page);
	if (p == MAP_FAILED)
		return -errno;
	r->produced = p;
	r->data = (const uint8_t *)p + r->page;
	r->taken = r->seen = *r->consumed;
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

int osp_ring_open(struct osp_ring **out, int map, size_t capacity, const volatile __u64 *woken,
		  uint64_t jiffies)
{
	struct osp_ring *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->map = map;
	r->woken = woken;
	r->woken_seen = *woken;
	r->woken_seen_ns = osp_clock_read(CLOCK_MONOTONIC);
	r->tick_ns = tick_ns();
	r->wake_ns = (int64_t)jiffies * r->tick_ns;
	r->page = (size_t)sysconf(_SC_PAGESIZE);
	r->capacity = capacity;
	e = map_memory(r);
	if (e) {
		osp_ring_close(&r);
		return e;
	}
	*out = r;
	return 0;
}

void osp_ring_close(struct osp_ring **ring)
{
	struct osp_ring *r = *ring;

	if (!r)
		return;
	if (r->consumed)
		munmap(r->consumed, r->page);
	if (r->produced)
		munmap((void *)r->produced, r->page + 2 * r->capacity);
	free(r);
	*ring = NULL;
}

static uint64_t load_produced(const struct osp_ring *r)
{
	return __atomic_load_n(r->produced, __ATOMIC_ACQUIRE);
}

void osp_ring_give_back(struct osp_ring *r)
{
	__atomic_store_n(r->consumed, r->taken, __ATOMIC_RELEASE);
}

/* A ring in which a record may have found no room. */
static bool is_full(const struct osp_ring *r)
{
	return load_produced(r) - *r->consumed + LARGEST > r->capacity;
}

static void give_back_some(struct osp_ring *r)
{
	if (!is_full(r) || r->taken - *r->consumed >= r->capacity / 2)
		osp_ring_give_back(r);
}

/* Looked at again when the walk gets there: most walks look once. */
static bool has_more(struct osp_ring *r)
{
	if (r->taken < r->seen)
		return true;
	r->seen = load_produced(r);
	r->seen_ns = osp_clock_read(CLOCK_BOOTTIME);
	return r->taken < r->seen;
}

/* The next record. False: none is there, or it is being written. */
static bool take(struct osp_ring *r, const void **record, size_t *size)
{
	while (has_more(r)) {
		const uint8_t *head = r->data + (r->taken & (r->capacity - 1));
		uint32_t length = __atomic_load_n((const uint32_t *)head, __ATOMIC_ACQUIRE);

		if (length & BPF_RINGBUF_BUSY_BIT)
			return false;
		*size = length & ~BPF_RINGBUF_DISCARD_BIT;
		*record = head + HEAD;
		r->taken += (*size + HEAD + 7) & ~(size_t)7;
		if (!(length & BPF_RINGBUF_DISCARD_BIT))
			return true;
	}
	return false;
}

static int hand_on(const struct osp_ring *r, const struct osp_record *record, size_t size,
		   osp_ring_fn fn, void *arg)
{
	size_t whole = sizeof(*record);

	if (size < whole)
		return 0;
	if (record->data_size > 0)
		whole += (size_t)record->data_size;
	return fn(arg, record, whole < size ? whole : size, r->seen_ns);
}

int osp_ring_drain(struct osp_ring *r, size_t max, osp_ring_fn fn, void *arg)
{
	uint64_t looked = r->taken;
	const void *record;
	size_t size, n = 0;
	int e = 0;

	while (e >= 0 && n < max && take(r, &record, &size)) {
		e = hand_on(r, record, size, fn, arg);
		n++;
		if (r->taken - looked < r->capacity / PARTS)
			continue;
		looked = r->taken;
		give_back_some(r);
	}
	if (n < max)
		osp_ring_give_back(r);
	else
		give_back_some(r);
	return e < 0 ? e : (int)n;
}

int osp_ring_fd(const struct osp_ring *r)
{
	return r->map;
}

void osp_ring_fill(const struct osp_ring *r, size_t *bytes, size_t *capacity)
{
	*bytes = load_produced(r) - *r->consumed;
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
