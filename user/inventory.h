/*
 * What sites there are: binaries, the processes that have them mapped, and of each site whether
 * anybody wants it now. For `outspan probes`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/semaphore.h"
#include "user/target.h"

/* A binary in one process. */
struct osp_inventory_process {
	uint32_t pid;
	char comm[OSP_PROCESS_COMM];
	struct osp_armed_site *sites; /* as binary->sites; NULL: its memory cannot be read */
};

struct osp_inventory_binary {
	struct osp_binary *binary;
	size_t *order; /* indices of binary->sites, by name */
	struct osp_inventory_process *processes;
	size_t count;
};

struct osp_inventory {
	struct osp_inventory_binary *binaries;
	size_t count;
};

/*
 * Takes stock of one process, of one file (and the processes that have it mapped), or of every
 * process that has sites a catalogue knows. COMM is none of it. -ESRCH, -ENOENT, -EACCES, ...
 * (told on stderr).
 */
int osp_inventory_take(struct osp_inventory *out, struct osp_binaries *b,
		       const struct osp_target *target);
void osp_inventory_clear(struct osp_inventory *i);
