/*
 * A session as its readers want it: an open store, its processes and its clock at hand. For the
 * commands that show, list and export.
 */
#pragma once

#include <stdbool.h>

#include "store/store.h"

/* Steps of a process that were stored and forgotten again. */
struct osp_forgotten {
	uint32_t process;
	uint64_t steps;
};

struct osp_session {
	struct osp_store *store;	   /* owned */
	struct osp_process_row *processes; /* owned, by key */
	size_t process_count;
	struct osp_clock_row *clocks; /* owned, by boot_ns */
	size_t clock_count;
	struct osp_forgotten *forgotten; /* owned */
	size_t forgotten_count;
	int64_t committed_ns; /* boot time of the last step that is stored; 0 = none is */
	uint64_t bad_records, children_lost;
	uint64_t step_error_ns, step_jumps, step_contradictions; /* OSP_SESSION_STEP_* */
	bool ended;  /* its recorder closed the books; false: under way, or cut off */
	void *texts; /* owned: what the rows above point to */
};

/*
 * Opens the session for reading. `file` is a path, or the URI of a store. On failure the error
 * says what, on which file, why and what to do; codes as osp_store_open.
 */
int osp_session_open(struct osp_session **out, const char *file, char error[512]);
void osp_session_close(struct osp_session **s);

/* The process of that key, or NULL. */
const struct osp_process_row *osp_session_process(const struct osp_session *s, uint32_t key);

/*
 * What to add to boot times near `boot_ns` to get wall-clock times: the last clock reading at or
 * before it, else the first. Within one trace callers use one offset, taken at its start, so that
 * a step of the wall clock cannot turn cause and effect around.
 */
int64_t osp_session_wall_offset(const struct osp_session *s, int64_t boot_ns);
