/*
 * Links of one file. Fed by loader.c with offsets, gives kernel links. One site that the kernel
 * refuses fails a whole uprobe_multi link: then the set is halved until what is refused stands
 * alone, and the halves that worked stay attached. Owns the links.
 */
#include "user/links.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/cleanup.h"

enum { CLOSERS = 16 }; /* that wait side by side */

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

/*
 * A process that a fatal signal has reached cannot take its probes out of others' memory: the
 * kernel says "failed to unregister, leaking uprobe", and traps and semaphores stay as they are.
 * So links are closed with signals blocked, and by children that whoever kills us does not mean.
 */
static void block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, before);
}

/* Every step-th descriptor from `first` on: what one closer does. */
struct share {
	const int *fds;
	size_t count, first, step;
	_Alignas(16) char stack[8192];
};

static int close_share(void *arg)
{
	const struct share *s = arg;

	for (size_t i = s->first; i < s->count; i += s->step)
		close(s->fds[i]);
	return 0;
}

/*
 * A child that shares this process's descriptors, so that a link it closes is closed, and its
 * memory: to copy the tables of all that is mapped would take longer than the rest. It does
 * nothing but close. -1: there can be none.
 */
static pid_t start_closer(struct share *s)
{
	return clone(close_share, s->stack + sizeof(s->stack), CLONE_FILES | CLONE_VM | SIGCHLD, s);
}

/*
 * While the children are at it this process may be ended at any time: they hold descriptors and
 * memory, too. It closes the shares itself whose child could not be made.
 */
static void close_side_by_side(const int *fds, size_t count)
{
	static struct share shares[CLOSERS]; /* outlives the call: a stack must */
	size_t n = count < CLOSERS ? count : CLOSERS;
	pid_t closers[CLOSERS];
	sigset_t before;

	block_signals(&before);
	for (size_t i = 0; i < n; i++) {
		shares[i].fds = fds;
		shares[i].count = count;
		shares[i].first = i;
		shares[i].step = n;
		closers[i] = start_closer(&shares[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (closers[i] < 0)
			close_share(&shares[i]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	for (size_t i = 0; i < n; i++)
		while (closers[i] > 0 && waitpid(closers[i], NULL, 0) < 0 && errno == EINTR)
			;
}

static void close_each(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void free_links(struct osp_links *l)
{
	for (size_t i = 0; i < l->perf_count; i++)
		bpf_link__destroy(l->perf[i]);
	free(l->multi);
	free(l->perf);
	free(l);
}

/* The descriptors of all their links; *fds is the caller's. */
static int list_links(struct osp_links *const all[], size_t count, int **fds, size_t *listed)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += all[i] ? all[i]->multi_count : 0;
	*fds = calloc(n ? n : 1, sizeof(**fds));
	if (!*fds)
		return -ENOMEM;
	*listed = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; all[i] && k < all[i]->multi_count; k++)
			(*fds)[(*listed)++] = all[i]->multi[k];
	return 0;
}

static void free_all(struct osp_links *all[], size_t count, bool close_links)
{
	sigset_t before;

	block_signals(&before);
	for (size_t i = 0; i < count; i++) {
		if (!all[i])
			continue;
		if (close_links)
			close_each(all[i]->multi, all[i]->multi_count);
		free_links(all[i]);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void osp_links_close_all(struct osp_links *all[], size_t count)
{
	int *fds _cleanup_free_ = NULL;
	size_t n;
	int r = list_links(all, count, &fds, &n);

	if (!r)
		close_side_by_side(fds, n);
	free_all(all, count, r != 0);
}

static int compare_descriptors(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Holds nothing else, so that nobody waits for this process. */
static void keep_only(int *fds, size_t count)
{
	unsigned int from = 0;

	qsort(fds, count, sizeof(*fds), compare_descriptors);
	for (size_t i = 0; i < count; i++) {
		if ((unsigned int)fds[i] > from)
			syscall(SYS_close_range, from, (unsigned int)fds[i] - 1, 0);
		from = (unsigned int)fds[i] + 1;
	}
	syscall(SYS_close_range, from, ~0u, 0);
}

/* In the child: the files, and their leases, outlive the links. */
static void close_links_first(const int *links, size_t n, const int *files, size_t n_files)
{
	int *kept _cleanup_free_ = calloc(n + n_files, sizeof(*kept));

	if (kept) {
		memcpy(kept, links, n * sizeof(*kept));
		if (n_files)
			memcpy(kept + n, files, n_files * sizeof(*kept));
		keep_only(kept, n + n_files);
	}
	close_each(links, n);
}

void osp_links_abandon_all(struct osp_links *all[], size_t count, const int *files, size_t n_files)
{
	int *fds _cleanup_free_ = NULL;
	size_t n = 0;
	sigset_t before;

	block_signals(&before);
	if (!list_links(all, count, &fds, &n) && n && !fork()) {
		close_links_first(fds, n, files, n_files);
		_exit(0);
	}
	/* Not the last ones to hold them; if there is no child, they wait here. */
	free_all(all, count, true);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void osp_links_close(struct osp_links **l)
{
	osp_links_close_all(l, 1);
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
