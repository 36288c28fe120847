/*
 * Takes stock for `outspan probes`: scans processes (target.c), looks into their memory
 * (semaphore.c), groups by binary. Owns its lists; binaries belong to their table.
 */
#include "user/inventory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

void osp_inventory_clear(struct osp_inventory *i)
{
	for (size_t k = 0; k < i->count; k++) {
		for (size_t p = 0; p < i->binaries[k].count; p++)
			free(i->binaries[k].processes[p].sites);
		free(i->binaries[k].processes);
		free(i->binaries[k].order);
	}
	free(i->binaries);
	*i = (struct osp_inventory){0};
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct osp_site *sites = arg;
	const struct osp_elf_site *x = sites[*(const size_t *)a].elf;
	const struct osp_elf_site *y = sites[*(const size_t *)b].elf;
	int c = strcmp(x->provider, y->provider);

	c = c ? c : strcmp(x->probe, y->probe);
	return c ? c : x->offset < y->offset ? -1 : x->offset > y->offset;
}

static size_t *order_sites(const struct osp_binary *b)
{
	size_t *order = calloc(b->count ? b->count : 1, sizeof(*order));

	for (size_t i = 0; order && i < b->count; i++)
		order[i] = i;
	if (order)
		qsort_r(order, b->count, sizeof(*order), compare_names, b->sites);
	return order;
}

static struct osp_inventory_binary *find_binary(struct osp_inventory *i, struct osp_binary *b)
{
	struct osp_inventory_binary *bigger;

	for (size_t k = 0; k < i->count; k++)
		if (i->binaries[k].binary == b)
			return &i->binaries[k];
	bigger = realloc(i->binaries, (i->count + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	i->binaries = bigger;
	bigger[i->count] = (struct osp_inventory_binary){.binary = b, .order = order_sites(b)};
	if (!bigger[i->count].order)
		return NULL;
	return &bigger[i->count++];
}

struct memory {
	struct osp_armed_site *sites;
	size_t count;
};

static int note_site(void *arg, const struct osp_armed_site *s)
{
	struct memory *m = arg;

	m->sites[m->count++] = *s;
	return 0;
}

/* NULL: the process is gone, or not ours to read. */
static struct osp_armed_site *read_memory(const struct osp_binary *b, uint32_t pid)
{
	struct memory m = {.sites = calloc(b->count ? b->count : 1, sizeof(*m.sites))};

	if (!m.sites)
		return NULL;
	if (osp_semaphore_scan(b, pid, note_site, &m) || m.count != b->count) {
		free(m.sites);
		return NULL;
	}
	return m.sites;
}

static int add_process(struct osp_inventory *i, struct osp_binary *b, const struct osp_process *p)
{
	struct osp_inventory_binary *entry = find_binary(i, b);
	struct osp_inventory_process *bigger;

	if (!entry)
		return -ENOMEM;
	if (!p)
		return 0;
	bigger = realloc(entry->processes, (entry->count + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	entry->processes = bigger;
	bigger += entry->count++;
	*bigger = (struct osp_inventory_process){.pid = p->pid, .sites = read_memory(b, p->pid)};
	memcpy(bigger->comm, p->comm, sizeof(bigger->comm));
	return 0;
}

/* All binaries of the process that have sites, or the one that is asked for. */
static int add_found(struct osp_inventory *i, const struct osp_found *f,
		     const struct osp_binary *only)
{
	int r = 0;

	for (size_t k = 0; !r && k < f->binary_count; k++)
		if (f->binaries[k]->count && (!only || f->binaries[k] == only))
			r = add_process(i, f->binaries[k], &f->process);
	return r;
}

static int take_pid(struct osp_inventory *i, struct osp_binaries *b, uint32_t pid)
{
	struct osp_found f _cleanup_(osp_found_clear) = {0};
	int r = osp_found_read(&f, b, pid);

	return r ? osp_target_tell_error(r, pid) : add_found(i, &f, NULL);
}

/* Every process that has the binary, or any with sites that a catalogue knows. */
static int take_all(struct osp_inventory *i, struct osp_binaries *b, const struct osp_binary *only)
{
	uint32_t *pids _cleanup_free_ = NULL;
	size_t n;
	int r = osp_process_list(&pids, &n);

	if (r)
		return osp_err(r, "list the processes in /proc");
	for (size_t k = 0; !r && k < n; k++) {
		struct osp_found f _cleanup_(osp_found_clear) = {0};

		if (pids[k] != (uint32_t)getpid() && !osp_found_read(&f, b, pids[k]) &&
		    (only || f.known))
			r = add_found(i, &f, only);
	}
	return r;
}

static int take_path(struct osp_inventory *i, struct osp_binaries *b, const char *path)
{
	struct osp_binary *binary;
	int r = osp_binaries_open(&binary, b, path);

	if (r == -ENOEXEC)
		return osp_err(0,
			       "%s is no 64-bit ELF program of this machine - name the program itself, not a script",
			       path),
		       r;
	if (r)
		return osp_err(r, "open %s", path);
	r = binary->count ? add_process(i, binary, NULL) : 0;
	return r ? r : take_all(i, b, binary);
}

int osp_inventory_take(struct osp_inventory *out, struct osp_binaries *b,
		       const struct osp_target *target)
{
	struct osp_inventory i _cleanup_(osp_inventory_clear) = {0};
	int r = -EINVAL;

	if (target->kind == OSP_TARGET_PID)
		r = take_pid(&i, b, target->pid);
	else if (target->kind == OSP_TARGET_PATH)
		r = take_path(&i, b, target->text);
	else if (target->kind == OSP_TARGET_ALL)
		r = take_all(&i, b, NULL);
	if (r)
		return r;
	*out = i;
	i = (struct osp_inventory){0};
	return 0;
}
