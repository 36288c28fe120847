/*
 * Where message bodies wait while they are received and fanned out. Fed chunk by chunk by the
 * HTTP server; read at any offset, by several readers, by the HTTP client. Owns its memory or
 * its file; the budget counts both over all messages of the process.
 */
#include "probes/pubsub/ps_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probes/pubsub/ps_digest.h"
#include "user/base/cleanup.h"

void ps_spool_init(struct ps_spool *s, struct ps_budget *b)
{
	*s = (struct ps_spool){.budget = b, .fd = -1};
	s->memory.max = b ? b->memory_each : 0;
}

void ps_spool_clear(struct ps_spool *s)
{
	if (s->budget && s->fd >= 0)
		s->budget->disk_used -= s->size;
	else if (s->budget)
		s->budget->memory_used -= s->memory.size;
	osp_buffer_clear(&s->memory);
	if (s->fd >= 0)
		close(s->fd);
	ps_spool_init(s, s->budget);
}

static int open_unlinked(const char *directory)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[4096];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	if (strlen(directory) > sizeof(path) - 32)
		return -ENAMETOOLONG;
	strcpy(stpcpy(path, directory), "/psp-message-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static int move_to_file(struct ps_spool *s)
{
	_cleanup_close_ int fd = open_unlinked(s->budget->directory);
	int r;

	if (fd < 0)
		return fd;
	if (s->budget->disk_used + s->size > s->budget->disk_max)
		return -ENOSPC;
	r = write_all(fd, s->memory.data, s->memory.size);
	if (r)
		return r;
	s->budget->memory_used -= s->memory.size;
	s->budget->disk_used += s->size;
	osp_buffer_clear(&s->memory);
	s->fd = TAKE_FD(fd);
	return 0;
}

static int add_to_file(struct ps_spool *s, const void *data, size_t size)
{
	int r;

	if (size > s->budget->disk_max || s->budget->disk_used > s->budget->disk_max - size)
		return -ENOSPC;
	r = write_all(s->fd, data, size);
	if (r)
		return r;
	s->budget->disk_used += size;
	s->size += size;
	return 0;
}

int ps_spool_add(struct ps_spool *s, const void *data, size_t size)
{
	struct ps_budget *b = s->budget;
	int r = 0;

	if (size > b->message_max || s->size > b->message_max - size)
		return -EFBIG;
	if (s->fd < 0 && (s->size + size > b->memory_each || b->memory_used + size > b->memory_max))
		r = move_to_file(s);
	if (r)
		return r;
	if (s->fd >= 0)
		return add_to_file(s, data, size);
	r = osp_buffer_add(&s->memory, data, size);
	if (r)
		return r;
	b->memory_used += size;
	s->size += size;
	return 0;
}

int ps_spool_open(struct ps_spool *s, int fd)
{
	struct stat st;
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (at < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ESPIPE;
	ps_spool_clear(s);
	s->budget = NULL;
	s->fd = fd;
	s->start = (uint64_t)at;
	s->size = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
	return 0;
}

ssize_t ps_spool_read(const struct ps_spool *s, uint64_t offset, void *out, size_t size)
{
	uint64_t left = offset < s->size ? s->size - offset : 0;
	ssize_t n;

	if (size > left)
		size = (size_t)left;
	if (!size)
		return 0;
	if (s->fd < 0) {
		memcpy(out, s->memory.data + offset, size);
		return (ssize_t)size;
	}
	n = pread(s->fd, out, size, (off_t)(s->start + offset));
	if (n == 0)
		return -ENODATA; /* somebody made the user's file shorter */
	return n < 0 ? -errno : n;
}

int ps_spool_digest(const struct ps_spool *s, uint8_t out[PS_DIGEST_SIZE])
{
	_cleanup_(ps_digest_clear) struct ps_digest d = {0};
	uint8_t piece[65536];
	uint64_t at = 0;
	ssize_t n = 0;
	int r = ps_digest_start(&d);

	while (!r && (n = ps_spool_read(s, at, piece, sizeof(piece))) > 0) {
		r = ps_digest_add(&d, piece, (size_t)n);
		at += (uint64_t)n;
	}
	if (!r && n < 0)
		r = (int)n;
	return r ? r : ps_digest_stop(&d, out);
}
