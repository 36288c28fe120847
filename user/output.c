/*
 * Data out of a command. stdio keeps what it could not write and says so at the end, so commands
 * print without checks and this file looks once. Used by every command that prints data.
 */
#include "user/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/owner.h"

/* A file that was there keeps its owner. */
static int open_file(FILE **out, const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int r = fd >= 0 ? osp_owner_give(fd) : 0;

	if (r)
		return r;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	*out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!*out)
		return -errno;
	fd = -1;
	return 0;
}

int osp_output_open(struct osp_output *o, const char *path)
{
	FILE *f = stdout;
	int r = path ? open_file(&f, path) : 0;

	if (r)
		return osp_err(r, "write %s", path);
	o->file = f;
	o->name = path ? path : "stdout";
	return 0;
}

/* Says what failed, but for a reader that went away; drops the rest, so that it is said once. */
static int flush(FILE *f, const char *name)
{
	bool failed = ferror(f);
	int r;

	errno = 0;
	if (fflush(f))
		failed = true;
	if (!failed)
		return 0;
	/* stdio keeps what it could not write, so the flush above told the errno of an old failure */
	r = errno ? -errno : -EIO;
	__fpurge(f);
	clearerr(f);
	return r == -EPIPE ? r : osp_err(r, "write %s", name);
}

int osp_output_flush(void)
{
	return flush(stdout, "stdout");
}

int osp_output_close(struct osp_output *o)
{
	FILE *f = o->file;
	int r = flush(f, o->name);

	o->file = NULL;
	if (f != stdout && fclose(f) && !r)
		r = osp_err(-errno, "write %s", o->name);
	return r;
}
