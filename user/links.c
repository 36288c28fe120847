/*
 * Links of one file. Fed by loader.c with offsets, gives kernel links. One site that the kernel
 * refuses fails a whole uprobe_multi link: then the set is halved until what is refused stands
 * alone, and the halves that worked stay attached. Owns the links.
 */
#include "user/links.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/base/cleanup.h"

struct osp_links {
	int *multi; /* descriptors */
	size_t multi_count;
	struct bpf_link **perf;
	size_t perf_count;
};

struct attaching {
	struct osp_links *links;
	struct bpf_program *program;
	char path[64];
	struct osp_hook *hooks;
	uint64_t *offsets, *semaphores, *cookies; /* of the hooks */
	int error;				  /* the last one */
};

void osp_links_close(struct osp_links **l)
{
	if (!*l)
		return;
	for (size_t i = 0; i < (*l)->multi_count; i++)
		close((*l)->multi[i]);
	for (size_t i = 0; i < (*l)->perf_count; i++)
		bpf_link__destroy((*l)->perf[i]);
	free((*l)->multi);
	free((*l)->perf);
	free(*l);
	*l = NULL;
}

/* Errors that say something of this process, not of a site. */
static bool is_general(int error)
{
	return error == -EPERM || error == -EACCES || error == -ENOMEM || error == -EMFILE ||
	       error == -ENFILE || error == -EAGAIN || error == -EINTR;
}

/* Links hooks [first, first + count) or parts of them. */
static void attach_multi(struct attaching *a, size_t first, size_t count)
{
	struct osp_kernel_sites sites = {
		.path = a->path,
		.offsets = a->offsets + first,
		.semaphores = a->semaphores + first,
		.cookies = a->cookies + first,
		.count = (uint32_t)count,
	};
	int fd;

	do
		fd = osp_kernel_link_multi(bpf_program__fd(a->program), &sites);
	while (fd == -EINTR || fd == -EAGAIN);
	if (fd >= 0) {
		a->links->multi[a->links->multi_count++] = fd;
		return;
	}
	a->error = fd;
	if (count > 1 && !is_general(fd)) {
		attach_multi(a, first, count / 2);
		attach_multi(a, first + count / 2, count - count / 2);
		return;
	}
	for (size_t i = first; i < first + count; i++)
		a->hooks[i].reason = osp_kernel_attach_reason(fd);
}

static void attach_perf(struct attaching *a, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = a->hooks[i].semaphore,
			    .bpf_cookie = a->hooks[i].cookie);
		struct bpf_link *link;

		link = bpf_program__attach_uprobe_opts(a->program, -1, a->path, a->hooks[i].offset,
						       &opts);
		if (link) {
			a->links->perf[a->links->perf_count++] = link;
			continue;
		}
		a->error = -errno;
		a->hooks[i].reason = osp_kernel_attach_reason(a->error);
	}
}

static int allocate(struct attaching *a, enum osp_attach_form form, size_t count)
{
	a->offsets = calloc(count, 3 * sizeof(uint64_t));
	a->links = calloc(1, sizeof(*a->links));
	if (!a->offsets || !a->links)
		return -ENOMEM;
	a->semaphores = a->offsets + count;
	a->cookies = a->semaphores + count;
	if (form == OSP_ATTACH_MULTI)
		a->links->multi = calloc(count, sizeof(*a->links->multi));
	else
		a->links->perf = calloc(count, sizeof(struct bpf_link *));
	return a->links->multi || a->links->perf ? 0 : -ENOMEM;
}

static void free_attaching(struct attaching *a)
{
	free(a->offsets);
	osp_links_close(&a->links);
}

int osp_links_open(struct osp_links **out, struct bpf_program *program, enum osp_attach_form form,
		   int file, struct osp_hook *hooks, size_t count)
{
	struct attaching a _cleanup_(free_attaching) = {.program = program, .hooks = hooks};
	int r = count ? allocate(&a, form, count) : -EINVAL;

	if (r)
		return r;
	/* The descriptor names the file whatever became of its path. */
	snprintf(a.path, sizeof(a.path), "/proc/self/fd/%d", file);
	for (size_t i = 0; i < count; i++) {
		a.offsets[i] = hooks[i].offset;
		a.semaphores[i] = hooks[i].semaphore;
		a.cookies[i] = hooks[i].cookie;
		hooks[i].reason = NULL;
	}
	if (form == OSP_ATTACH_MULTI)
		attach_multi(&a, 0, count);
	else
		attach_perf(&a, count);
	if (!a.links->multi_count && !a.links->perf_count)
		return a.error;
	*out = TAKE_PTR(a.links);
	return 0;
}
