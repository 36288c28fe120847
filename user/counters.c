/*
 * The kernel side's counters (user/counters.h): maps every chunk of them, adds chunks, walks them.
 * Fed by loader.c, feeds whoever closes the books. Owns the chunks it has made and the mappings.
 */
#include "user/counters.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { CHUNK_BYTES = OSP_EVENT_CHUNK * sizeof(struct osp_strip) };

/*
 * A child that shares this process's memory and descriptors puts a chunk into the map: the kernel
 * side has it at once, but the call returns only a grace period later (20 ms and more), which the
 * ring does not wait for.
 */
struct adding {
	pid_t child;
	int map, chunk;
	uint32_t at;
	_Alignas(16) char stack[8192];
};

struct osp_counters {
	struct osp_counters_maps maps;
	uint32_t groups; /* strips of a process that hits every point */
	const struct osp_strips *strips;
	const struct osp_strip *chunks[OSP_EVENT_CHUNKS]; /* [0]: the map `counters` */
	uint32_t first;					  /* chunks in that */
	uint32_t count;					  /* chunks that are there in all */
	struct adding *adding[OSP_EVENT_CHUNKS];	  /* of those that are being added */
	uint32_t added;					  /* chunks of which no child is left */
	bool failed;					  /* there can be no more, which was told */
};

static int map_values(int map, size_t bytes, const void **out)
{
	void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, map, 0);

	if (p == MAP_FAILED)
		return -errno;
	madvise(p, bytes, MADV_DONTFORK); /* no child needs it */
	*out = p;
	return 0;
}

static void unmap_values(const void *values, size_t bytes)
{
	if (values)
		munmap((void *)values, bytes);
}

/* The first strips are those of slot 0: it must have some when no other can get any. */
static int fill_first(const struct osp_counters *c)
{
	struct osp_strips first = {0};
	uint32_t slot = 0;

	for (uint32_t i = 0; i < c->groups; i++)
		first.number[i] = i + 1;
	*c->maps.next = c->groups;
	return bpf_map_update_elem(c->maps.strips, &slot, &first, BPF_ANY) ? -errno : 0;
}

static uint32_t count_groups(uint32_t points)
{
	return (points + OSP_EVENT_STRIP - 1) / OSP_EVENT_STRIP;
}

uint32_t osp_counters_chunks(uint32_t points, size_t processes)
{
	size_t strips = count_groups(points) * (processes + 1);

	return strips / OSP_EVENT_CHUNK + 2 < OSP_EVENT_CHUNKS
		       ? (uint32_t)(strips / OSP_EVENT_CHUNK) + 2
		       : OSP_EVENT_CHUNKS;
}

int osp_counters_open(struct osp_counters **out, const struct osp_counters_maps *maps,
		      uint32_t points, uint32_t chunks)
{
	struct osp_counters *c _cleanup_(osp_counters_close) = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->maps = *maps;
	c->groups = count_groups(points);
	c->first = c->count = c->added = chunks;
	r = map_values(maps->counters, chunks * (size_t)CHUNK_BYTES, (const void **)&c->chunks[0]);
	if (!r)
		r = map_values(maps->strips, OSP_EVENT_PROCESSES * sizeof(struct osp_strips),
			       (const void **)&c->strips);
	r = r ? r : fill_first(c);
	if (r)
		return osp_err(r, "map the counters");
	*out = TAKE_PTR(c);
	return 0;
}

static bool is_over(const struct adding *a, int flags)
{
	int r;

	do
		r = a->child > 0 ? waitpid(a->child, NULL, __WALL | flags) : -1;
	while (r < 0 && a->child > 0 && errno == EINTR);
	return r;
}

/* Lets go of the children that are done, or, without WNOHANG, waits for all. */
static void end_adding(struct osp_counters *c, int flags)
{
	while (c->added < c->count) {
		struct adding **a = &c->adding[c->added];

		if (!is_over(*a, flags))
			return;
		free(TAKE_PTR(*a));
		c->added++;
	}
}

void osp_counters_close(struct osp_counters **c)
{
	if (!*c)
		return;
	unmap_values((*c)->chunks[0], (*c)->first * (size_t)CHUNK_BYTES);
	end_adding(*c, 0);
	for (uint32_t i = 1; i < OSP_EVENT_CHUNKS; i++)
		unmap_values((*c)->chunks[i], CHUNK_BYTES);
	unmap_values((*c)->strips, OSP_EVENT_PROCESSES * sizeof(struct osp_strips));
	free(*c);
	*c = NULL;
}

/* ---- growing ---- */

/* Nothing but two calls: it shares everything with its parent, which goes on. */
static int put_chunk(void *arg)
{
	const struct adding *a = arg;

	bpf_map_update_elem(a->map, &a->at, &a->chunk, BPF_ANY);
	close(a->chunk);
	return 0;
}

/* Takes the chunk's descriptor. */
static int start_adding(struct osp_counters *c, int *chunk)
{
	struct adding *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct adding){.map = c->maps.chunks, .chunk = TAKE_FD(*chunk), .at = c->count};
	c->adding[c->count] = a;
	a->child = clone(put_chunk, a->stack + sizeof(a->stack), CLONE_FILES | CLONE_VM, a);
	if (a->child < 0)
		put_chunk(a);
	return 0;
}

static int add_chunk(struct osp_counters *c)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd _cleanup_close_ = bpf_map_create(BPF_MAP_TYPE_ARRAY, "counters", sizeof(uint32_t),
						sizeof(struct osp_strip), OSP_EVENT_CHUNK, &opts);
	int r = fd < 0 ? -errno : map_values(fd, CHUNK_BYTES, (const void **)&c->chunks[c->count]);

	r = r ? r : start_adding(c, &fd);
	c->count += !r;
	return r;
}

void osp_counters_grow(struct osp_counters *c)
{
	const uint32_t most = OSP_EVENT_CHUNKS * OSP_EVENT_CHUNK;
	uint32_t taken = __atomic_load_n(c->maps.next, __ATOMIC_RELAXED);
	int r = taken < most ? 0 : -ENOSPC;

	end_adding(c, WNOHANG);
	if (c->failed)
		return;
	while (!r && c->count < OSP_EVENT_CHUNKS && c->count * OSP_EVENT_CHUNK < 2 * taken)
		r = add_chunk(c);
	if (!r)
		return;
	c->failed = true;
	osp_warn(
		"no counters for more processes: %s - hits of those that come now are only counted, as table_full",
		strerror(-r));
}

/* ---- reading ---- */

/* NULL: its chunk is not there (yet). */
static const struct osp_strip *strip_at(const struct osp_counters *c, uint32_t number)
{
	uint32_t chunk = number / OSP_EVENT_CHUNK;

	if (chunk < c->first)
		return &c->chunks[0][number];
	return chunk < c->count ? &c->chunks[chunk][number % OSP_EVENT_CHUNK] : NULL;
}

/* What is left out on request has no hit. */
static bool is_used(const struct osp_counter *c)
{
	return __atomic_load_n(&c->hits, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&c->lost[OSP_LOSS_SAMPLED], __ATOMIC_RELAXED) ||
	       __atomic_load_n(&c->lost[OSP_LOSS_AGGREGATED], __ATOMIC_RELAXED) ||
	       __atomic_load_n(&c->lost[OSP_LOSS_FILTERED], __ATOMIC_RELAXED);
}

int osp_counters_walk(const struct osp_counters *c, uint32_t slots,
		      int (*fn)(void *arg, uint32_t slot, uint32_t point,
				const struct osp_counter *counter),
		      void *arg)
{
	int r = 0;

	for (uint32_t i = 0; i < slots * c->groups && !r; i++) {
		uint32_t slot = i / c->groups, group = i % c->groups;
		uint32_t number = __atomic_load_n(&c->strips[slot].number[group], __ATOMIC_RELAXED);
		const struct osp_strip *s = number ? strip_at(c, number - 1) : NULL;

		for (uint32_t k = 0; s && !r && k < OSP_EVENT_STRIP; k++)
			if (is_used(&s->at[k]))
				r = fn(arg, slot, group * OSP_EVENT_STRIP + k, &s->at[k]);
	}
	return r;
}
