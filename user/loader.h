/*
 * The kernel side under one handle: programs, maps, links. Whoever closes it, or dies, leaves
 * every target as it was: nothing is pinned.
 *
 * Order of a recording: open; for each target osp_loader_add_member; for each of its binaries
 * osp_loader_attach; osp_semaphore_verify; then drain the ring until the end; osp_loader_detach_all;
 * drain until nothing is left; osp_loader_counters: hits = records drained + losses.
 *
 * Errors are told on stderr here, once; callers pass codes on. -EPERM, -EACCES, -ENOTSUP mean
 * "not permitted or not supported here".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "bpf/histogram.h"
#include "bpf/member.h"
#include "probes/catalogue.h"
#include "user/binary.h"
#include "user/choice.h"
#include "user/form.h"
#include "user/kernel.h"
#include "user/ring.h"

struct osp_loader;

struct osp_loader_options {
	size_t ring_bytes; /* a power of two, at least a page; 0 = 16 MiB */
	size_t processes;  /* how many may hit at once from the start; more may come */
	struct osp_wanted wanted;
	bool admit;	  /* whoever hits an attached site is a member: -e, --all */
	bool all;	  /* report every exec on the machine: --comm, --all */
	bool no_children; /* children of members are none */
	enum osp_attach_form form;
	uint32_t sample;		     /* see osp_loader_sample */
	bool aggregate;			     /* no steps in the ring: see osp_loader_histograms */
	const struct osp_predicates *chosen; /* what the kernel side leaves out; NULL: nothing */
};

int osp_loader_open(struct osp_loader **out, const struct osp_catalogue *c,
		    const struct osp_loader_options *o);

/* Detaches what is still attached. */
void osp_loader_close(struct osp_loader **l);

/* How sites are attached here: never OSP_ATTACH_AUTO. */
enum osp_attach_form osp_loader_form(const struct osp_loader *l);

/* Our own sites are attached at their no-op of ten bytes from now on: user/trial.h says if they can. */
void osp_loader_use_wide(struct osp_loader *l);

/* ---- processes ---- */

/*
 * Makes the process a member; *slot is what its records carry (0: the session has seen too many
 * processes, its hits are only counted). A member already: its slot. -ESRCH: it is gone.
 */
int osp_loader_add_member(struct osp_loader *l, uint32_t pid, uint32_t *slot);

/* Calls fn for each member, until it returns non-zero. */
int osp_loader_members(struct osp_loader *l,
		       int (*fn)(void *arg, uint32_t pid, const struct osp_member *m), void *arg);

/* ---- sites ---- */

struct osp_attach_result {
	size_t wanted; /* sites that the level asks for */
	size_t attached;
	size_t carried; /* attached, and no trap */
	size_t refused; /* wanted, but not attached: osp_site.reason */
	bool leased;	/* false: an overwrite in place would crash the next start */
	int lease_error;
};

/*
 * Attaches all wanted sites of the binary in every process that has it mapped or will have, and
 * its dynamic linker's notice if it is one; sets osp_site.attached and .reason. Attached already:
 * nothing happens, the result tells again. -errno (told) if nothing could be attached though
 * something was wanted. Refused sites are told here, too, as warnings.
 */
int osp_loader_attach(struct osp_loader *l, struct osp_binary *b, struct osp_attach_result *result);

/*
 * Something else is wanted from here on: attaches what is missing in the binaries that are
 * attached, then detaches what is too much; what stays is never without its trap. *attached: sites
 * that are now. -errno, told, of the first binary that could not be switched; the others were.
 */
int osp_loader_switch(struct osp_loader *l, const struct osp_wanted *wanted, size_t *attached);

void osp_loader_detach_all(struct osp_loader *l);

/* ---- files that somebody wants to overwrite ---- */

enum osp_loader_change {
	OSP_LOADER_DETACHED,   /* a writer waits: the binary is detached, its lease released */
	OSP_LOADER_REATTACHED, /* the writer is done; the file was read and attached again */
	OSP_LOADER_GONE,       /* it is no program any more, or cannot be attached again */
};

/* Called before (begins = true) and after each change, so that the interval can be noted. */
typedef void (*osp_loader_change_fn)(void *arg, enum osp_loader_change change, bool begins,
				     struct osp_binary *b);

/* Readable: call osp_loader_handle. */
int osp_loader_lease_fd(const struct osp_loader *l);

/* How long until osp_loader_handle wants to be called in any case; -1 = never. */
int osp_loader_timeout_ms(const struct osp_loader *l);

/* Gives way to writers, and attaches again what they are done with. */
int osp_loader_handle(struct osp_loader *l, struct osp_binaries *binaries, osp_loader_change_fn fn,
		      void *arg);

/* ---- records and counters ---- */

struct osp_ring *osp_loader_ring(struct osp_loader *l);

/* Calls fn for each (slot, point) that was hit, until it returns non-zero. Slot 0: TABLE_FULL. */
int osp_loader_counters(struct osp_loader *l,
			int (*fn)(void *arg, uint32_t slot, uint32_t point,
				  const struct osp_counter *c),
			void *arg);

/*
 * Makes room for counters before the processes need it: to be called whenever the recorder wakes.
 * Where there is none, hits count as TABLE_FULL.
 */
void osp_loader_grow(struct osp_loader *l);

/* Calls fn for each bucket of a histogram that is in use, until it returns non-zero. */
int osp_loader_histograms(struct osp_loader *l,
			  int (*fn)(void *arg, const struct osp_histogram_key *key, uint64_t count),
			  void *arg);

/*
 * From now on one of n traces is recorded, the same ones in every process and by every recorder,
 * those of a larger n among those of a smaller one; 0 and 1: all. The steps left out count as
 * SAMPLED. Operations that are open at a change may be cut: who changes n says so in the session.
 */
void osp_loader_sample(struct osp_loader *l, uint32_t n);

/* ---- what it costs ---- */

/* Lets the kernel measure how long our programs run, or no more: meanwhile hits cost more. */
void osp_loader_measure(struct osp_loader *l, bool on);

/* The mean of what was measured, in ns; 0 = no run was. */
int64_t osp_loader_run_ns(const struct osp_loader *l);

struct osp_loader_stats {
	uint32_t processes;	/* slots taken */
	uint64_t notices_lost;	/* forks, execs, exits, maps: look at all members again */
	uint64_t children_lost; /* children that could not be followed: their hits are unknown */
	uint64_t
		untimed; /* times of --aggregate that came when all OSP_HISTOGRAM_ELEMENTS were taken */
	uint64_t strangers; /* hits of processes that are no members */
};
void osp_loader_stats(const struct osp_loader *l, struct osp_loader_stats *out);
