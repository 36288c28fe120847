/*
 * Targets: what the user asked to be traced, turned into processes and binaries.
 *
 *   PID   that process; all its binaries that have sites
 *   PATH  one file; every process that has it mapped, now or later
 *   COMM  the processes of that name; all their binaries
 *   ALL   every process that has sites of a loaded catalogue
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/binary.h"
#include "user/process.h"

enum osp_target_kind { OSP_TARGET_PID, OSP_TARGET_PATH, OSP_TARGET_COMM, OSP_TARGET_ALL };

struct osp_target {
	enum osp_target_kind kind;
	uint32_t pid;	  /* PID */
	const char *text; /* PATH, COMM; borrowed */
};

/* A process that was found, and its binaries with sites or a linker's notice. */
struct osp_found {
	struct osp_process process;
	struct osp_binary **binaries;
	size_t binary_count;
	size_t known; /* sites of all of them that can be attached */
	bool target;  /* false: shares a binary with a target */
};

struct osp_targets {
	struct osp_found *found; /* targets first, then the bystanders that were asked for */
	size_t count;
	struct osp_binary **binaries; /* to attach: of all targets, each once */
	size_t binary_count;
	size_t hidden; /* processes that may not be looked into */
};

/*
 * Finds what the targets stand for now. Told on stderr: -ESRCH no such process; -ENOENT no such
 * file; -ENXIO nothing in them has sites that a catalogue knows; -EACCES not permitted to look.
 * A PATH and ALL need no process. A process that ends meanwhile is left out. This process is no
 * target.
 */
int osp_targets_find(struct osp_targets *out, struct osp_binaries *b,
		     const struct osp_target *targets, size_t count);

/* Adds the other processes that have one of the binaries mapped: their points turn on, too. */
int osp_targets_add_bystanders(struct osp_targets *t, struct osp_binaries *b);

void osp_targets_clear(struct osp_targets *t);

/* Says why a process cannot be looked into, and what would help. Returns r. */
int osp_target_tell_error(int r, uint32_t pid);

/* What one process has now; after an exec, a dlopen, a first record. Freed with osp_found_clear. */
int osp_found_read(struct osp_found *out, struct osp_binaries *b, uint32_t pid);
void osp_found_clear(struct osp_found *f);

/* True if the process is what the target names (PATH: by its binaries). */
bool osp_target_matches(const struct osp_target *t, const struct osp_found *f);
