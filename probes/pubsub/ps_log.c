/*
 * The message log: lines of key=value that a test or an administrator's script can split at
 * blanks. Fed by broadcaster, subscriber and publisher when an exchange is over. Owns its file.
 */
#include "probes/pubsub/ps_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"

enum { TEXT_MAX = 512, HEX_MAX = 255 };

struct ps_log {
	int fd;
	bool failed; /* said once */
};

static int new_log(struct ps_log **out, int fd)
{
	struct ps_log *l = fd < 0 ? NULL : calloc(1, sizeof(*l));

	if (!l) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	l->fd = fd;
	*out = l;
	return 0;
}

int ps_log_open(struct ps_log **out, const char *path)
{
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)
		      : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return osp_err(-errno, "open log %s", path ? path : "on stderr");
	return new_log(out, fd);
}

int ps_log_open_stdout(struct ps_log **out)
{
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? -errno : new_log(out, fd);
}

void ps_log_close(struct ps_log **l)
{
	if (!*l)
		return;
	close((*l)->fd);
	free(*l);
	*l = NULL;
}

static void put(struct ps_line *line, const char *text, size_t size)
{
	if (line->size + size + 1 < sizeof(line->text)) {
		memcpy(line->text + line->size, text, size);
		line->size += size;
	}
}

static void put_pair(struct ps_line *line, const char *key, const char *value, size_t size)
{
	size_t length = strlen(key);

	if (line->size + length + size + 3 >= sizeof(line->text))
		return;
	put(line, " ", 1);
	put(line, key, length);
	put(line, "=", 1);
	put(line, value, size);
}

void ps_log_begin(struct ps_line *line, struct ps_log *l, const char *what)
{
	line->log = l;
	line->size = 0;
	put(line, what, strlen(what));
}

void ps_log_append(struct ps_line *line, const char *text)
{
	put(line, " ", 1);
	put(line, text, strlen(text));
}

void ps_log_text(struct ps_line *line, const char *key, struct ps_bytes value)
{
	char escaped[4 * TEXT_MAX + 1], out[4 * sizeof(escaped)];
	size_t n = 0, size;

	if (!line->log)
		return;
	size = osp_text_escape(escaped, sizeof(escaped), value.size ? value.data : "",
			       value.size < TEXT_MAX ? value.size : TEXT_MAX);
	for (size_t i = 0; i < size; i++) {
		if (escaped[i] != ' ') {
			out[n++] = escaped[i];
			continue;
		}
		memcpy(out + n, "\\x20", 4);
		n += 4;
	}
	put_pair(line, key, out, n);
}

void ps_log_word(struct ps_line *line, const char *key, const char *value)
{
	if (line->log)
		put_pair(line, key, value, strlen(value));
}

void ps_log_hex(struct ps_line *line, const char *key, struct ps_bytes value)
{
	char hex[2 * HEX_MAX + 1];
	size_t size = value.size < HEX_MAX ? value.size : HEX_MAX;

	if (!line->log)
		return;
	osp_text_hex(hex, value.data, size);
	put_pair(line, key, hex, 2 * size);
}

void ps_log_number(struct ps_line *line, const char *key, int64_t value)
{
	char text[24];

	if (line->log)
		put_pair(line, key, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
}

int ps_log_end(struct ps_line *line)
{
	struct ps_log *l = line->log;
	int r = 0;

	if (!l)
		return 0;
	line->text[line->size++] = '\n';
	if (write(l->fd, line->text, line->size) < 0)
		r = -errno;
	if (r && r != -EPIPE && !l->failed) {
		l->failed = true;
		osp_err(r, "write the message log - later failures are not repeated");
	}
	return r;
}
