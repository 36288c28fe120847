/*
 * Processes as /proc shows them: who they are, what they have mapped, words of their memory.
 * A process may end at any moment: every call can say -ESRCH.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	OSP_PROCESS_COMM = 64,
	OSP_PROCESS_EXE = 1024,
	OSP_PROCESS_CMDLINE = 1024,
	OSP_PROCESS_PATH = 4096,
};

struct osp_process {
	uint32_t pid;		/* in the recorder's namespace */
	uint32_t namespace_pid; /* in the process's own */
	uint32_t parent_pid, uid;
	uint64_t start_ns; /* since boot, in steps of a clock tick (10 ms) */
	bool strict;	   /* seccomp's strict mode: reading the CPU counter would kill it */
	char comm[OSP_PROCESS_COMM];
	char exe[OSP_PROCESS_EXE];	   /* cut off when longer; "" for kernel threads */
	char cmdline[OSP_PROCESS_CMDLINE]; /* arguments joined by blanks, cut off */
};

/* Reads all of it. -ESRCH, -EACCES (another user's), -EBADMSG. */
int osp_process_read(struct osp_process *out, uint32_t pid);

/*
 * True if the process is about to be gone: it still has a name and a state, but no memory.
 */
bool osp_process_is_ending(uint32_t pid);

/* Start time alone: what tells two processes of one pid apart. */
int osp_process_start(uint32_t pid, uint64_t *start_ns);

/* All pids of the machine that /proc shows, ascending; freed by the caller. */
int osp_process_list(uint32_t **pids, size_t *count);

/* One line of /proc/PID/maps. */
struct osp_mapping {
	uint64_t start, end, offset;
	uint32_t device_major, device_minor;
	uint64_t inode; /* 0: not of a file */
	bool write, execute;
	const char *path; /* as the kernel wrote it (escaped, " (deleted)"); valid for the call */
};

/* Calls fn for each mapping until it returns non-zero, and returns that; -ESRCH, -EACCES. */
int osp_process_mappings(uint32_t pid, int (*fn)(void *arg, const struct osp_mapping *m),
			 void *arg);

/*
 * Opens (O_PATH) the file behind a mapping through /proc/PID/map_files: works when its path does
 * not.
 */
int osp_process_open_mapping(uint32_t pid, const struct osp_mapping *m, int *fd);

/* A descriptor of the process's memory, for osp_process_peek. -ESRCH, -EACCES. */
int osp_process_open_memory(uint32_t pid, int *memory);

/*
 * Reads from there. -EIO: not mapped, or withheld by a userfaultfd, for which a read of /proc/PID/mem
 * does not wait (process_vm_readv would, for as long as the process likes); -ESRCH: the process has
 * ended.
 */
int osp_process_peek(int memory, uint64_t address, void *to, size_t size);

/* True if this program runs in the initial pid namespace, whose pids the kernel side gives. */
bool osp_process_is_initial_namespace(void);
