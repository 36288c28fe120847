/*
 * Opens, configures and loads the BPF skeleton, fills its maps from the catalogue, keeps its
 * members and reads its counters. The only file that sees the skeleton; attach.c has the sites.
 * Fed by the recorder, doctor and the tests with targets; feeds the kernel side. Owns programs,
 * maps, mappings, the ring and, through attach.c, the links.
 */
#include "user/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/attach.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/counters.h"
#include "user/shape.h"

#include "gen/outspan.skel.h"

enum { RING_DEFAULT = 16 << 20, SLOT_FIRST = 1, WAKE_NS = 5000000 };

struct osp_loader {
	const struct osp_catalogue *catalogue; /* borrowed: the caller's, outlives the loader */
	struct outspan_bpf *bpf;
	struct osp_attach *attach;
	struct osp_ring *ring;
	struct osp_counters *counters;
	struct osp_member *members; /* mappings of the maps of these names */
	struct osp_pids *pids;
	struct osp_wanted wanted;
	int measuring; /* descriptor while the kernel measures run times, or -1 */
};

/* The library's own words are for developers: shown with -v only. */
static int print_library(enum libbpf_print_level level, const char *format, va_list ap)
{
	char text[512];

	if (level != LIBBPF_WARN || osp_log_level_get() < OSP_LOG_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, ap);
	text[strcspn(text, "\n")] = 0;
	osp_debug("%s", text);
	return 0;
}

/* ---- load ---- */

static bool has_foreign(const struct osp_catalogue *c)
{
	for (size_t i = 0; i < c->point_count; i++)
		if (c->points[i]->foreign)
			return true;
	return false;
}

/* Of the map of pids, for as many as there can be. */
static uint32_t count_pages(void)
{
	unsigned int most = 1u << 22; /* no kernel has more */
	FILE *f = fopen("/proc/sys/kernel/pid_max", "re");

	if (f && fscanf(f, "%u", &most) != 1)
		osp_debug("kernel.pid_max cannot be read");
	if (f)
		fclose(f);
	return most / OSP_EVENT_PIDS + 1;
}

static int configure(struct osp_loader *l, const struct osp_loader_options *o,
		     enum osp_attach_form form)
{
	struct outspan_bpf *s = l->bpf;
	size_t points = l->catalogue->point_count;
	struct bpf_program *sites[] = {s->progs.on_step, s->progs.on_foreign, s->progs.on_mapped};
	int r;

	s->rodata->cfg_chunks = osp_counters_chunks((uint32_t)points, o->processes);
	s->rodata->cfg_wake_jiffies = osp_ring_jiffies(WAKE_NS);
	s->rodata->cfg_admit = o->admit;
	s->rodata->cfg_all = o->all;
	s->rodata->cfg_children = !o->no_children;
	s->rodata->cfg_aggregate = o->aggregate;
	s->rodata->cfg_choose = o->chosen;
	r = bpf_map__set_max_entries(s->maps.events,
				     (uint32_t)(o->ring_bytes ? o->ring_bytes : RING_DEFAULT));
	if (!r)
		r = bpf_map__set_max_entries(s->maps.counters,
					     s->rodata->cfg_chunks * OSP_EVENT_CHUNK);
	if (!r)
		r = bpf_map__set_max_entries(s->maps.pids, count_pages());
	if (!r && o->aggregate)
		r = bpf_map__set_max_entries(s->maps.histograms, OSP_HISTOGRAM_ELEMENTS);
	if (!r && o->chosen)
		r = bpf_map__set_max_entries(s->maps.predicates, points ? (uint32_t)points : 1);
	/* Its five size classes take the verifier half of the start-up time. */
	if (!r)
		r = bpf_program__set_autoload(s->progs.on_foreign, has_foreign(l->catalogue));
	for (size_t i = 0; !r && form == OSP_ATTACH_MULTI && i < 3; i++)
		r = bpf_program__set_expected_attach_type(
			sites[i], (enum bpf_attach_type)OSP_ATTACH_MULTI_TYPE);
	return r;
}

static int tell_load_error(int r)
{
	char missing[128];

	osp_kernel_missing_capabilities(missing, sizeof(missing));
	if ((r == -EPERM || r == -EACCES) && missing[0])
		return osp_err(
			r, "load BPF programs: %s missing - run as root, or grant the capabilities",
			missing);
	if (!osp_kernel_has_btf())
		return osp_err(
			-ENOTSUP,
			"load BPF programs: this kernel has no /sys/kernel/btf/vmlinux - boot one with CONFIG_DEBUG_INFO_BTF=y");
	return osp_err(r, "load BPF programs on Linux %s - see outspan doctor",
		       osp_kernel_release());
}

static int check_options(const struct osp_catalogue *c, const struct osp_loader_options *o)
{
	size_t n = o->ring_bytes;

	if (n && ((n & (n - 1)) || n < (size_t)sysconf(_SC_PAGESIZE) || n > 1u << 30))
		return osp_err(-EINVAL,
			       "ring of %zu bytes - give a power of two from 4 KiB to 1 GiB", n);
	if (c->point_count > OSP_EVENT_POINTS)
		return osp_err(-E2BIG, "%zu trace points in all catalogues - a session holds %d",
			       c->point_count, OSP_EVENT_POINTS);
	if (!osp_process_is_initial_namespace())
		return osp_err(
			-ENOTSUP,
			"the recorder runs in a pid namespace, the kernel counts pids in the initial one - start it there (docker run --pid=host)");
	return 0;
}

/* signals: with the tracepoint of signals, which a kernel may lack. */
static int load_with(struct osp_loader *l, const struct osp_loader_options *o,
		     enum osp_attach_form form, bool signals)
{
	int r;

	outspan_bpf__destroy(l->bpf);
	l->bpf = outspan_bpf__open();
	if (!l->bpf)
		return -errno;
	r = configure(l, o, form);
	if (!r)
		r = bpf_program__set_autoload(l->bpf->progs.on_signal, signals);
	return r ? r : outspan_bpf__load(l->bpf);
}

static int load(struct osp_loader *l, const struct osp_loader_options *o, enum osp_attach_form form)
{
	int r;

	libbpf_set_print(print_library);
	r = load_with(l, o, form, true);
	if (r == -ESRCH)
		r = load_with(l, o, form, false);
	return r ? tell_load_error(r) : 0;
}

/* Links tell: an operation that a context can make part of somebody's trace learns of it late. */
static bool joins_a_trace(const struct osp_catalogue *c, const struct osp_point *p)
{
	for (size_t i = 0; i < c->link_count; i++)
		for (size_t n = 0; n < c->links[i]->to.count; n++)
			for (size_t k = 0; k < p->operation_count; k++)
				if (c->links[i]->to.ends[n].operation == p->operations[k])
					return true;
	return false;
}

/* false: it cannot be read, and is refused at each of its sites (binary.c). */
static bool make_shape(const struct osp_loader *l, const struct osp_point *p,
		       const struct osp_wanted *wanted, const struct osp_wanted *before,
		       struct osp_shape *out)
{
	if (osp_shape_fill(out, p))
		return false;
	if (out->kind != OSP_SHAPE_FOREIGN)
		out->size = joins_a_trace(l->catalogue, p);
	out->fire =
		osp_form_use(wanted, p) == OSP_USE_TRAP || osp_form_use(before, p) == OSP_USE_TRAP;
	return true;
}

/* Points that trap; while sites are switched, those of before and those to come. */
static int fill_shapes(struct osp_loader *l, const struct osp_wanted *wanted,
		       const struct osp_wanted *before)
{
	struct osp_shape *shapes _cleanup_free_ = NULL;
	uint32_t *points _cleanup_free_ = NULL, n = 0;

	shapes = calloc(l->catalogue->point_count + 1, sizeof(*shapes));
	points = calloc(l->catalogue->point_count + 1, sizeof(*points));
	if (!shapes || !points)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->catalogue->point_count; i++)
		if (make_shape(l, l->catalogue->points[i], wanted, before, &shapes[n]))
			points[n++] = i;
	/* One call: there can be thousands. */
	if (n && bpf_map_update_batch(bpf_map__fd(l->bpf->maps.shapes), points, shapes, &n, NULL))
		return osp_err(-errno, "fill the map of shapes");
	return 0;
}

/* Every entry from 0 on. */
static int fill_array(const struct bpf_map *map, const void *values, uint32_t n)
{
	uint32_t size = bpf_map__value_size(map);

	for (uint32_t i = 0; i < n; i++)
		if (bpf_map_update_elem(bpf_map__fd(map), &i, (const char *)values + i * size, 0))
			return osp_err(-errno, "fill the map of %s", bpf_map__name(map));
	return 0;
}

static int fill_predicates(struct osp_loader *l, const struct osp_predicates *p)
{
	int r = fill_array(l->bpf->maps.topics, &p->topics, 1);

	r = r ? r : fill_array(l->bpf->maps.terms, p->where.terms, p->where.count);
	return r ? r
		 : fill_array(l->bpf->maps.predicates, p->points,
			      (uint32_t)l->catalogue->point_count);
}

static size_t map_bytes(const struct bpf_map *map)
{
	return (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map);
}

static int map_values(const struct bpf_map *map, int protection, void **out)
{
	void *p = mmap(NULL, map_bytes(map), protection, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		return osp_err(-errno, "map the %s", bpf_map__name(map));
	madvise(p, map_bytes(map), MADV_DONTFORK); /* no child needs it, and some are large */
	*out = p;
	return 0;
}

static void unmap_values(const struct bpf_map *map, const void *values)
{
	if (values)
		munmap((void *)values, map_bytes(map));
}

static int map_all(struct osp_loader *l)
{
	const int both = PROT_READ | PROT_WRITE;
	int r = map_values(l->bpf->maps.members, both, (void **)&l->members);

	return r ? r : map_values(l->bpf->maps.pids, both, (void **)&l->pids);
}

static int open_counters(struct osp_loader *l)
{
	const struct outspan_bpf *s = l->bpf;
	const struct osp_counters_maps maps = {.counters = bpf_map__fd(s->maps.counters),
					       .chunks = bpf_map__fd(s->maps.chunks),
					       .strips = bpf_map__fd(s->maps.strips),
					       .next = &s->data->next_strip};

	return osp_counters_open(&l->counters, &maps, (uint32_t)l->catalogue->point_count,
				 s->rodata->cfg_chunks);
}

static int open_ring(struct osp_loader *l)
{
	struct bpf_map *map = l->bpf->maps.events;
	int r = osp_ring_open(&l->ring, bpf_map__fd(map), bpf_map__max_entries(map),
			      &l->bpf->bss->woken_jiffies, l->bpf->rodata->cfg_wake_jiffies);

	return r ? osp_err(r, "open the ring") : 0;
}

/* Process events; sites are attached later, by binary. */
static int attach_processes(struct osp_loader *l)
{
	struct {
		struct bpf_program *program;
		struct bpf_link **link;
	} all[] = {{l->bpf->progs.on_fork, &l->bpf->links.on_fork},
		   {l->bpf->progs.on_exec, &l->bpf->links.on_exec},
		   {l->bpf->progs.on_exit, &l->bpf->links.on_exit},
		   {l->bpf->progs.on_signal, &l->bpf->links.on_signal}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!bpf_program__autoload(all[i].program))
			continue;
		*all[i].link = bpf_program__attach(all[i].program);
		if (!*all[i].link)
			return osp_err(-errno,
				       "attach %s to its kernel tracepoint - see outspan doctor",
				       bpf_program__name(all[i].program));
	}
	return 0;
}

static int open_attach(struct osp_loader *l, const struct osp_loader_options *o,
		       enum osp_attach_form form)
{
	struct outspan_bpf *s = l->bpf;
	const struct osp_attach_programs p = {.step = s->progs.on_step,
					      .foreign = s->progs.on_foreign,
					      .mapped = s->progs.on_mapped,
					      .sites = bpf_map__fd(s->maps.sites),
					      .numbers = bpf_map__fd(s->maps.numbers)};

	return osp_attach_new(&l->attach, &p, o, form);
}

/* Each attached file is held open. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int osp_loader_open(struct osp_loader **out, const struct osp_catalogue *c,
		    const struct osp_loader_options *o)
{
	struct osp_loader *l _cleanup_(osp_loader_close) = calloc(1, sizeof(*l));
	enum osp_attach_form form = o->form;
	int r = l ? check_options(c, o) : -ENOMEM;

	if (r)
		return r;
	if (form == OSP_ATTACH_AUTO)
		form = osp_kernel_has_multi() ? OSP_ATTACH_MULTI : OSP_ATTACH_PERF;
	l->measuring = -1;
	l->catalogue = c;
	l->wanted = o->wanted;
	raise_file_limit();
	r = load(l, o, form);
	if (!r)
		osp_loader_sample(l, o->sample);
	if (!r)
		r = fill_shapes(l, &o->wanted, &o->wanted);
	if (!r && o->chosen)
		r = fill_predicates(l, o->chosen);
	if (!r)
		r = map_all(l);
	if (!r)
		r = open_counters(l);
	if (!r)
		r = open_ring(l);
	if (!r)
		r = open_attach(l, o, form);
	if (!r)
		r = attach_processes(l);
	if (!r)
		*out = TAKE_PTR(l);
	return r;
}

void osp_loader_close(struct osp_loader **l)
{
	if (!*l)
		return;
	osp_loader_measure(*l, false);
	osp_attach_free(&(*l)->attach);
	osp_ring_close(&(*l)->ring);
	osp_counters_close(&(*l)->counters);
	if ((*l)->bpf) {
		unmap_values((*l)->bpf->maps.members, (*l)->members);
		unmap_values((*l)->bpf->maps.pids, (*l)->pids);
	}
	outspan_bpf__destroy((*l)->bpf);
	free(*l);
	*l = NULL;
}

/* ---- members ---- */

/* As the kernel side does it, on the same word. */
static uint32_t take_slot(struct osp_loader *l)
{
	uint32_t *next = &l->bpf->data->next_process, slot;

	if (__atomic_load_n(next, __ATOMIC_RELAXED) >= OSP_EVENT_PROCESSES)
		return 0;
	slot = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
	return slot < OSP_EVENT_PROCESSES ? slot : 0;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* Says which member it is; NULL: no pid was so large when the map was made. */
static uint32_t *pid_entry(struct osp_loader *l, uint32_t pid)
{
	uint32_t page = pid / OSP_EVENT_PIDS;

	return page < bpf_map__max_entries(l->bpf->maps.pids)
		       ? &l->pids[page].member[pid % OSP_EVENT_PIDS]
		       : NULL;
}

/* What the entry says then. Its fork, or a hit of its own, may make it a member meanwhile. */
static uint32_t enter_member(struct osp_loader *l, uint32_t *entry, uint32_t pid)
{
	uint32_t which = __atomic_load_n(entry, __ATOMIC_ACQUIRE), slot;

	if (which)
		return which;
	slot = take_slot(l);
	if (slot)
		l->members[slot] = (struct osp_member){.process = slot, .pid = pid};
	return __atomic_compare_exchange_n(entry, &which, slot + 1, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE)
		       ? slot + 1
		       : which;
}

int osp_loader_add_member(struct osp_loader *l, uint32_t pid, uint32_t *slot)
{
	int pidfd _cleanup_close_ = (int)syscall(SYS_pidfd_open, pid, 0);
	uint32_t *entry = pid_entry(l, pid), which;

	if (pidfd < 0)
		return -errno;
	if (!entry)
		return osp_err(-ERANGE, "watch process %u - kernel.pid_max was raised: start again",
			       pid);
	which = enter_member(l, entry, pid);
	*slot = which - 1;
	if (!has_ended(pidfd))
		return 0;
	/* Had it ended before the map knew it, nobody would take it out again. */
	__atomic_compare_exchange_n(entry, &which, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	return -ESRCH;
}

static uint32_t slots_taken(const struct osp_loader *l)
{
	uint32_t next = __atomic_load_n(&l->bpf->data->next_process, __ATOMIC_RELAXED);

	return next < OSP_EVENT_PROCESSES ? next : OSP_EVENT_PROCESSES;
}

typedef int (*member_fn)(void *arg, uint32_t pid, const struct osp_member *m);

/* Those without a slot, which there are when no slot is left. */
static int walk_slotless(struct osp_loader *l, member_fn fn, void *arg)
{
	uint32_t pages = bpf_map__max_entries(l->bpf->maps.pids);
	int r = 0;

	if (slots_taken(l) < OSP_EVENT_PROCESSES)
		return 0;
	for (uint32_t pid = 0; !r && pid < pages * OSP_EVENT_PIDS; pid++)
		if (__atomic_load_n(pid_entry(l, pid), __ATOMIC_RELAXED) == 1)
			r = fn(arg, pid, &l->members[0]);
	return r;
}

int osp_loader_members(struct osp_loader *l, member_fn fn, void *arg)
{
	int r = 0;

	for (uint32_t slot = SLOT_FIRST; !r && slot < slots_taken(l); slot++) {
		uint32_t pid = __atomic_load_n(&l->members[slot].pid, __ATOMIC_RELAXED);
		uint32_t *entry = pid_entry(l, pid);
		struct osp_member m;

		if (!entry || __atomic_load_n(entry, __ATOMIC_ACQUIRE) != slot + 1)
			continue;
		m = l->members[slot];
		r = fn(arg, pid, &m);
	}
	return r ? r : walk_slotless(l, fn, arg);
}

/* ---- counters ---- */

struct osp_ring *osp_loader_ring(struct osp_loader *l)
{
	return l->ring;
}

int osp_loader_counters(struct osp_loader *l,
			int (*fn)(void *arg, uint32_t slot, uint32_t point,
				  const struct osp_counter *c),
			void *arg)
{
	return osp_counters_walk(l->counters, slots_taken(l), fn, arg);
}

void osp_loader_grow(struct osp_loader *l)
{
	osp_counters_grow(l->counters);
}

void osp_loader_stats(const struct osp_loader *l, struct osp_loader_stats *out)
{
	*out = (struct osp_loader_stats){
		.processes = slots_taken(l) - SLOT_FIRST,
		.notices_lost = __atomic_load_n(&l->bpf->bss->notices_lost, __ATOMIC_RELAXED),
		.children_lost = __atomic_load_n(&l->bpf->bss->children_lost, __ATOMIC_RELAXED),
		.untimed = __atomic_load_n(&l->bpf->bss->histograms_full, __ATOMIC_RELAXED),
		.strangers = __atomic_load_n(&l->bpf->bss->strangers, __ATOMIC_RELAXED),
	};
}

int osp_loader_histograms(struct osp_loader *l,
			  int (*fn)(void *arg, const struct osp_histogram_key *key, uint64_t count),
			  void *arg)
{
	int map = bpf_map__fd(l->bpf->maps.histograms), cpus = libbpf_num_possible_cpus(), r = 0;
	struct osp_histogram_key key, *last = NULL, next;
	uint64_t *values _cleanup_free_ = NULL;

	if (cpus < 1)
		return -ENOTSUP;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (int i = 0; !r && i < OSP_HISTOGRAM_ELEMENTS; i++) {
		uint64_t sum = 0;

		if (bpf_map_get_next_key(map, last, &next))
			break;
		key = next;
		last = &key;
		if (bpf_map_lookup_elem(map, &key, values))
			continue;
		for (int k = 0; k < cpus; k++)
			sum += values[k];
		r = fn(arg, &key, sum);
	}
	return r;
}

void osp_loader_sample(struct osp_loader *l, uint32_t n)
{
	__atomic_store_n(&l->bpf->data->sample_below, (1ull << 32) / (n ? n : 1), __ATOMIC_RELAXED);
}

/* ---- what it costs ---- */

void osp_loader_measure(struct osp_loader *l, bool on)
{
	if (!on && l->measuring >= 0)
		close(TAKE_FD(l->measuring));
	else if (on && l->measuring < 0)
		l->measuring = bpf_enable_stats(BPF_STATS_RUN_TIME);
}

int64_t osp_loader_run_ns(const struct osp_loader *l)
{
	const struct bpf_program *programs[] = {l->bpf->progs.on_step, l->bpf->progs.on_foreign};
	uint64_t runs = 0, ns = 0;

	for (size_t i = 0; i < 2; i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);
		int fd = bpf_program__fd(programs[i]);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
			continue;
		runs += info.run_cnt;
		ns += info.run_time_ns;
	}
	return runs ? (int64_t)(ns / runs) : 0;
}

/* ---- sites: attach.c ---- */

enum osp_attach_form osp_loader_form(const struct osp_loader *l)
{
	return osp_attach_form(l->attach);
}

void osp_loader_use_wide(struct osp_loader *l)
{
	osp_attach_use_wide(l->attach);
}

int osp_loader_attach(struct osp_loader *l, struct osp_binary *b, struct osp_attach_result *result)
{
	return osp_attach_add(l->attach, b, result);
}

int osp_loader_switch(struct osp_loader *l, const struct osp_wanted *wanted, size_t *attached)
{
	int r = fill_shapes(l, wanted, &l->wanted), e;

	if (r)
		return r;
	__atomic_store_n(&l->bpf->bss->switching, true, __ATOMIC_RELEASE);
	r = osp_attach_switch(l->attach, wanted, attached);
	__atomic_store_n(&l->bpf->bss->switching, false, __ATOMIC_RELEASE);
	l->wanted = *wanted;
	e = fill_shapes(l, wanted, wanted);
	return r ? r : e;
}

void osp_loader_detach_all(struct osp_loader *l)
{
	osp_attach_clear(l->attach);
}

int osp_loader_lease_fd(const struct osp_loader *l)
{
	return osp_attach_lease_fd(l->attach);
}

int osp_loader_timeout_ms(const struct osp_loader *l)
{
	return osp_attach_timeout_ms(l->attach);
}

int osp_loader_handle(struct osp_loader *l, struct osp_binaries *binaries, osp_loader_change_fn fn,
		      void *arg)
{
	return osp_attach_handle(l->attach, binaries, fn, arg);
}
