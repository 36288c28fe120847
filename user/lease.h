/*
 * Read leases on attached files: who wants to write one waits until we have detached. Overwriting
 * a binary under attached uprobes would crash its next start.
 */
#pragma once

#include <stdbool.h>

struct osp_leases;

/*
 * Blocks SIGIO in this thread: that is how the kernel asks for a lease back. Children that run
 * another program must unblock it.
 */
int osp_leases_open(struct osp_leases **out);
void osp_leases_close(struct osp_leases **l);

/* Readable when somebody may be waiting for one of the leases. */
int osp_leases_fd(const struct osp_leases *l);

/* Forgets the notices so far: to be called before the leases are looked at one by one. */
void osp_leases_clear(struct osp_leases *l);

/* -EAGAIN: somebody has the file open for writing; -EACCES: not ours, no cap_lease; -EINVAL: the
   file system has no leases. */
int osp_lease_take(int file);
void osp_lease_release(int file);

/* True if somebody waits for it: detach, release, and it is theirs. */
bool osp_lease_is_broken(int file);
