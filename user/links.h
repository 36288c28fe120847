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

/*
 * The same for several at once, of which some may be NULL. The kernel lets each close of a link
 * wait until no hit can be under way (30 ms and more): here they wait side by side.
 */
void osp_links_close_all(struct osp_links *all[], size_t count);

/*
 * The same without waiting: the probes are gone some ms later. A child that is left behind closes
 * them, and lives until the kernel is done (30 ms and more); it keeps the files open for so long,
 * and with them their leases.
 */
void osp_links_abandon_all(struct osp_links *all[], size_t count, const int *files, size_t n_files);
