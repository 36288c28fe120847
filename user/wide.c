/*
 * The start-up test of the multi-byte form. Asked by attach.c before it attaches anything, and by
 * doctor, which tells. Everything that may go wrong goes wrong in a child of its own. Owns nothing.
 */
#include "user/wide.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/process.h"

enum { PASSES = 64, PATTERN = 0x5a17, GOOD = 0, FORKED_DIED = 1, RED_ZONE = 2 };

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
	const char *site, *leaf;
	void (*stub)(void);
	long (*zone)(long value);
} candidates[OSP_WIDE_COUNT] = {
	{outspan_wide_10, outspan_wide_leaf_10, outspan_wide_stub_10, outspan_wide_zone_10},
	{outspan_wide_5, outspan_wide_leaf_5, outspan_wide_stub_5, outspan_wide_zone_5},
};

static bool pass(const struct candidate *c)
{
	bool intact = true;

	for (int i = 0; i < PASSES; i++) {
		c->stub();
		intact = c->zone(PATTERN + i) == PATTERN + i && intact;
	}
	return intact;
}

/* In a child: exits with what it found, or is killed by it. */
static void live(const struct candidate *c)
{
	bool intact = pass(c);
	pid_t child = fork();
	int status = 0;

	if (!child)
		_exit(pass(c) ? GOOD : RED_ZONE);
	if (child < 0 || waitpid(child, &status, 0) != child || WIFSIGNALED(status))
		_exit(FORKED_DIED);
	_exit(intact && !status ? GOOD : RED_ZONE);
}

static const char *judge(int status)
{
	if (WIFSIGNALED(status))
		return "a probe there crashes the program";
	if (WEXITSTATUS(status) == FORKED_DIED)
		return "a probe there crashes children made by fork";
	return WEXITSTATUS(status) ? "a probe there overwrites its caller's red zone" : NULL;
}

struct places {
	const struct candidate *candidate;
	struct osp_hook hooks[2];
	size_t found;
};

static int find_places(void *arg, const struct osp_mapping *m)
{
	struct places *p = arg;
	const char *const sites[] = {p->candidate->site, p->candidate->leaf};

	for (size_t i = 0; m->execute && i < 2; i++) {
		uint64_t at = (uintptr_t)sites[i];

		if (at < m->start || at >= m->end)
			continue;
		p->hooks[i].offset = m->offset + (at - m->start);
		p->found++;
	}
	return 0;
}

static void try_in_child(const struct candidate *c, struct osp_wide *out)
{
	int status = 0;
	pid_t child = fork();

	if (!child)
		live(c);
	if (child < 0 || waitpid(child, &status, 0) != child)
		out->verdict = "it could not be tried: no more processes";
	else
		out->verdict = judge(status);
	if (out->verdict)
		return;
	out->works = true;
	out->verdict = "a child passed it and forked unharmed";
}

void osp_wide_try(struct osp_links **links, struct bpf_program *program, enum osp_attach_form form,
		  enum osp_wide_form which, struct osp_wide *out)
{
	struct places p = {.candidate = &candidates[which]};
	int file _cleanup_close_ = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), r;

	*out = (struct osp_wide){.verdict = "it could not be tried"};
	if (file < 0 || osp_process_mappings((uint32_t)getpid(), find_places, &p) || p.found != 2)
		return;
	r = osp_links_open(links, program, form, file, p.hooks, 2);
	if (r)
		out->verdict = osp_kernel_attach_reason(r);
	else if (p.hooks[0].reason || p.hooks[1].reason)
		out->verdict = p.hooks[0].reason ? p.hooks[0].reason : p.hooks[1].reason;
	else
		try_in_child(p.candidate, out);
}

#else

void osp_wide_try(struct osp_links **links, struct bpf_program *program, enum osp_attach_form form,
		  enum osp_wide_form which, struct osp_wide *out)
{
	(void)links;
	(void)program;
	(void)form;
	(void)which;
	*out = (struct osp_wide){.verdict = "this machine has one no-op"};
}

#endif
