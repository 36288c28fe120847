/*
 * A message's bytes: in memory while they are few, in an unlinked temporary file when they are
 * many, or borrowed from a file of the user's.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "user/base/buffer.h"

/* What all messages of a process may take together. */
struct ps_budget {
	uint64_t message_max;  /* bytes of one message */
	uint64_t memory_each;  /* bytes of one message kept in memory, then a file */
	uint64_t memory_max;   /* bytes of all messages in memory; more go to files sooner */
	uint64_t disk_max;     /* bytes of all temporary files */
	const char *directory; /* borrowed: where the files are made */
	uint64_t memory_used, disk_used;
};

struct ps_spool {
	struct ps_budget *budget; /* borrowed: outlives every spool; NULL for a user's file */
	struct osp_buffer memory;
	int fd;		/* owned, or -1 */
	uint64_t start; /* of the message within the file */
	uint64_t size;
};

void ps_spool_init(struct ps_spool *s, struct ps_budget *b);
void ps_spool_clear(struct ps_spool *s);

/* Appends. -EFBIG: over message_max; -ENOSPC: over the process's maximum; -ENOMEM, -errno. */
int ps_spool_add(struct ps_spool *s, const void *data, size_t size);

/* A view of an open regular file from its present offset to its end; takes over the fd. -errno. */
int ps_spool_open(struct ps_spool *s, int fd);

/* Reads up to `size` bytes at `offset`: the number read, 0 at the end, -errno. */
ssize_t ps_spool_read(const struct ps_spool *s, uint64_t offset, void *out, size_t size);

/* SHA-512 of all of it. -ENOMEM, -EIO, -errno. */
int ps_spool_digest(const struct ps_spool *s, uint8_t out[64]);
