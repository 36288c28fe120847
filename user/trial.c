/*
 * The trial at the start. The recorder and doctor start it first and ask for its result when they
 * need it: a link that the kernel refuses costs a grace period (50 ms and more), as does closing
 * one, and all of that is the time of two children, side by side. What may go wrong in a hit goes
 * wrong in children of theirs. The program that is attached does nothing. Owns the children and a
 * pipe from each.
 */
#include "user/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/kernel.h"
#include "user/process.h"

enum { BATCHES = 5, BATCH = 100, LEAST_NS = 20 };
enum { PASSES = 64, PATTERN = 0x5a17, FORKED_DIED = 1, RED_ZONE = 2, NOT_TRIED = 3 };

enum part { HIT, WIDE, PARTS };

struct osp_trial {
	pid_t children[PARTS];
	int answers[PARTS]; /* ends of pipes: each tells the part of the result that it found */
	int hold;	    /* while it is open the child of the empty hit keeps its link */
};

const char *osp_wide_to_str(enum osp_wide w)
{
	static const char *const texts[OSP_WIDE_COUNT] = {
#define X(id, text) text,
		OSP_WIDE_VERDICTS(X)
#undef X
	};

	return texts[w];
}

/* ---- sites in this program ---- */

enum { SITES = 2 };

struct places {
	const char *const *sites;
	uint64_t offsets[SITES];
	size_t count, found;
};

static int find_places(void *arg, const struct osp_mapping *m)
{
	struct places *p = arg;

	for (size_t i = 0; m->execute && m->inode && i < p->count; i++) {
		uint64_t at = (uintptr_t)p->sites[i];

		if (at < m->start || at >= m->end)
			continue;
		p->offsets[i] = m->offset + (at - m->start);
		p->found++;
	}
	return 0;
}

/* One link to all of these instructions. The descriptor, or -errno. */
static int link_sites(int program, const char *const *sites, size_t count)
{
	struct places p = {.sites = sites, .count = count};
	int r = osp_process_mappings((uint32_t)getpid(), find_places, &p);

	if (r || p.found != count)
		return r ? r : -ENOENT;
	return osp_kernel_link_multi(program, &(struct osp_kernel_sites){.path = "/proc/self/exe",
									 .offsets = p.offsets,
									 .count = (uint32_t)count});
}

/* ---- an empty hit ---- */

/* Assembler: inlined or cloned, a function of C would be there several times. */
void outspan_empty_hit(void) __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n.globl outspan_empty_hit\n.hidden outspan_empty_hit\n"
	".type outspan_empty_hit, %function\noutspan_empty_hit: nop\nret\n"
	".size outspan_empty_hit, .-outspan_empty_hit\n.popsection\n");

/* Processor time, so that others do not count; the least, so that interrupts do not. */
static int64_t time_batch(void)
{
	int64_t least = INT64_MAX;

	for (int b = 0; b < BATCHES; b++) {
		int64_t began = osp_clock_read(CLOCK_THREAD_CPUTIME_ID), took;

		for (int i = 0; i < BATCH; i++)
			outspan_empty_hit();
		took = osp_clock_read(CLOCK_THREAD_CPUTIME_ID) - began;
		least = took < least ? took : least;
	}
	return least;
}

static int64_t time_empty_hit(int program)
{
	const char *const site[] = {(const char *)outspan_empty_hit};
	int64_t before = time_batch(), hit;

	/* Closed by the end of this process. */
	if (link_sites(program, site, 1) < 0)
		return 0;
	hit = (time_batch() - before) / BATCH;
	/* An overlay file system may attach another copy of the file, which nobody runs. */
	return hit < LEAST_NS ? 0 : hit;
}

/* ---- the no-op of several bytes ---- */

#ifdef __x86_64__

/* As in probes/op_stub.h; and a leaf function that keeps a value below its stack pointer. */
#define CANDIDATE(name, bytes)                                                                     \
	extern const char outspan_wide_##name[], outspan_wide_leaf_##name[];                       \
	void outspan_wide_stub_##name(void);                                                       \
	long outspan_wide_zone_##name(long value);                                                 \
	__asm__(".pushsection .text.outspan_wide,\"ax\",@progbits\n"                               \
		".hidden outspan_wide_" #name ", outspan_wide_leaf_" #name "\n"                    \
		".hidden outspan_wide_stub_" #name ", outspan_wide_zone_" #name "\n"               \
		".globl outspan_wide_" #name ", outspan_wide_leaf_" #name "\n"                     \
		".globl outspan_wide_stub_" #name ", outspan_wide_zone_" #name "\n"                \
		".balign 64\noutspan_wide_stub_" #name ": nop\n"                                   \
		"outspan_wide_" #name ": .byte " bytes "\nret\n"                                   \
		".balign 64\noutspan_wide_zone_" #name ": mov %rdi, -8(%rsp)\nnop\n"               \
		"outspan_wide_leaf_" #name ": .byte " bytes "\nmov -8(%rsp), %rax\nret\n"          \
		".popsection\n");

CANDIDATE(10, "0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0")
CANDIDATE(5, "0x0f,0x1f,0x44,0,0")

static const struct candidate {
	const char *sites[SITES]; /* the stub's, the leaf's */
	void (*stub)(void);
	long (*zone)(long value);
} candidates[OSP_WIDE_FORMS] = {
	{{outspan_wide_10, outspan_wide_leaf_10}, outspan_wide_stub_10, outspan_wide_zone_10},
	{{outspan_wide_5, outspan_wide_leaf_5}, outspan_wide_stub_5, outspan_wide_zone_5},
};

/* True if nothing was overwritten. */
static bool pass_wide(const struct candidate *c)
{
	bool intact = true;

	for (int i = 0; i < PASSES; i++) {
		c->stub();
		intact = c->zone(PATTERN + i) == PATTERN + i && intact;
	}
	return intact;
}

/* Exits with what it found, or is killed by it. */
static void live(const struct candidate *c)
{
	bool intact = pass_wide(c);
	pid_t child = fork();
	int status = 0;

	if (!child)
		_exit(pass_wide(c) ? 0 : RED_ZONE);
	if (child < 0 || waitpid(child, &status, 0) != child)
		_exit(NOT_TRIED);
	_exit(WIFSIGNALED(status) ? FORKED_DIED : intact && !status ? 0 : RED_ZONE);
}

static enum osp_wide judge(int status)
{
	static const enum osp_wide by_exit[] = {OSP_WIDE_WORKS, OSP_WIDE_CRASHES_CHILDREN,
						OSP_WIDE_RED_ZONE, OSP_WIDE_UNKNOWN};

	return WIFSIGNALED(status) ? OSP_WIDE_CRASHES : by_exit[WEXITSTATUS(status) & 3];
}

static enum osp_wide try_wide(int program, enum osp_wide_bytes bytes)
{
	const struct candidate *c = &candidates[bytes];
	int link = link_sites(program, c->sites, SITES), status;
	pid_t child;

	if (link < 0)
		return link == -ENOENT ? OSP_WIDE_UNKNOWN : OSP_WIDE_REFUSED;
	child = fork();
	if (!child)
		live(c);
	return child > 0 && waitpid(child, &status, 0) == child ? judge(status) : OSP_WIDE_UNKNOWN;
}

#else

/* There is one no-op. */
static enum osp_wide try_wide(int program, enum osp_wide_bytes bytes)
{
	(void)program;
	(void)bytes;
	return OSP_WIDE_UNKNOWN;
}

#endif

/* ---- the children ---- */

/* Returns when the other end is closed. */
static void wait_for_end(int hold)
{
	char byte;

	while (read(hold, &byte, 1) < 0 && errno == EINTR)
		;
}

static void try_part(enum part part, int answer, int hold, bool five)
{
	int program = osp_kernel_load_empty();
	struct osp_trial_result result = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (program >= 0 && part == HIT)
		result.empty_ns = time_empty_hit(program);
	if (program >= 0 && part == WIDE) {
		result.wide[OSP_WIDE_10] = try_wide(program, OSP_WIDE_10);
		if (five)
			result.wide[OSP_WIDE_5] = try_wide(program, OSP_WIDE_5);
	}
	if (write(answer, &result, sizeof(result)) == sizeof(result) && part == HIT)
		wait_for_end(hold);
	_exit(0);
}

static int start_part(struct osp_trial *t, enum part part, int hold, bool five)
{
	int answer[2];

	if (pipe2(answer, O_CLOEXEC))
		return -errno;
	t->answers[part] = answer[0];
	t->children[part] = fork();
	if (!t->children[part]) {
		osp_cleanup_close(&t->hold);
		try_part(part, answer[1], hold, five);
	}
	close(answer[1]);
	return 0;
}

int osp_trial_start(struct osp_trial **out, bool five)
{
	struct osp_trial *t _cleanup_(osp_trial_free) = calloc(1, sizeof(*t));
	int hold[2], r = t ? 0 : -ENOMEM;

	for (int i = 0; t && i < PARTS; i++)
		t->answers[i] = -1;
	if (r)
		return r;
	t->hold = -1;
	if (pipe2(hold, O_CLOEXEC))
		return -errno;
	t->hold = hold[1];
	/* The longer one first. */
	r = start_part(t, WIDE, hold[0], five);
	r = r ? r : start_part(t, HIT, hold[0], five);
	close(hold[0]);
	if (!r)
		*out = TAKE_PTR(t);
	return r;
}

void osp_trial_let_go(struct osp_trial *t)
{
	osp_cleanup_close(&t->hold);
	t->hold = -1;
}

void osp_trial_read(struct osp_trial *t, struct osp_trial_result *out)
{
	struct osp_trial_result r;

	*out = (struct osp_trial_result){0};
	if (read(t->answers[HIT], &r, sizeof(r)) == sizeof(r))
		out->empty_ns = r.empty_ns;
	if (read(t->answers[WIDE], &r, sizeof(r)) == sizeof(r))
		memcpy(out->wide, r.wide, sizeof(out->wide));
}

/* A child that is still closing its links is left to itself. */
void osp_trial_free(struct osp_trial **t)
{
	if (!*t)
		return;
	osp_trial_let_go(*t);
	for (int i = 0; i < PARTS; i++) {
		osp_cleanup_close(&(*t)->answers[i]);
		if ((*t)->children[i] > 0)
			waitpid((*t)->children[i], NULL, WNOHANG);
	}
	free(*t);
	*t = NULL;
}
