/*
 * Kernel links from sites of one file to one program: a uprobe_multi link where the kernel has
 * it, else a perf event per site. Closing them detaches; so does the end of this process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "user/kernel.h"

struct bpf_program;
struct osp_links;

struct osp_hook {
	uint64_t offset, semaphore; /* in the file; semaphore 0 = none */
	uint64_t cookie;
	const char *reason; /* out: why it could not be attached; NULL = it is */
};

/*
 * Attaches all hooks that can be attached; the others have their reason. 0 if there is at least
 * one link, or no hook. -errno if none could be attached (then *out is untouched): -EPERM, ...
 */
int osp_links_open(struct osp_links **out, struct bpf_program *program, enum osp_attach_form form,
		   int file, struct osp_hook *hooks, size_t count);
void osp_links_close(struct osp_links **l);
