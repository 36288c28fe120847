/*
 * The cost of an empty hit. Asked by attach.c once per recording. Processor time, so that others
 * do not count, and the least of some batches, so that interrupts do not. Owns nothing.
 */
#include "user/calibrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/process.h"

enum { BATCHES = 5, PASSES = 100, LEAST_NS = 20 };

extern const char outspan_empty_hit[] __attribute__((visibility("hidden")));

/* A function of its own: inlined, the no-op would be there several times. */
static __attribute__((noinline, noclone)) void pass(void)
{
	__asm__ volatile(".globl outspan_empty_hit\n.hidden outspan_empty_hit\n"
			 "outspan_empty_hit: nop");
}

static int64_t pass_often(void)
{
	int64_t least = INT64_MAX;

	for (int b = 0; b < BATCHES; b++) {
		int64_t began = osp_clock_read(CLOCK_THREAD_CPUTIME_ID), took;

		for (int i = 0; i < PASSES; i++)
			pass();
		took = osp_clock_read(CLOCK_THREAD_CPUTIME_ID) - began;
		least = took < least ? took : least;
	}
	return least;
}

struct place {
	uint64_t address, offset;
	bool found;
};

static int find_place(void *arg, const struct osp_mapping *m)
{
	struct place *p = arg;

	if (!m->execute || !m->inode || p->address < m->start || p->address >= m->end)
		return 0;
	p->offset = m->offset + (p->address - m->start);
	p->found = true;
	return 1;
}

int osp_calibrate_hit(struct osp_links **links, struct bpf_program *program,
		      enum osp_attach_form form, int64_t *hit_ns)
{
	struct place p = {.address = (uintptr_t)outspan_empty_hit};
	int file _cleanup_close_ = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct osp_hook hook = {0};
	int64_t before;
	int r;

	if (file < 0)
		return -errno;
	r = osp_process_mappings((uint32_t)getpid(), find_place, &p);
	if (!p.found)
		return r < 0 ? r : -ENOENT;
	before = pass_often();
	hook.offset = p.offset;
	r = osp_links_open(links, program, form, file, &hook, 1);
	if (r)
		return r;
	*hit_ns = (pass_often() - before) / PASSES;
	/* An overlay file system may attach another copy of the file, which nobody runs. */
	return *hit_ns < LEAST_NS ? -ENXIO : 0;
}
