/*
 * Data out of a command. stdio keeps what it could not write and says so at the end, so commands
 * print without checks and this file looks once. Used by every command that prints data.
 */
#include "user/output.h"

#include <errno.h>
#include <string.h>

#include "user/base/log.h"

int osp_output_open(struct osp_output *o, const char *path)
{
	FILE *f = path ? fopen(path, "we") : stdout;

	if (!f)
		return osp_err(-errno, "write %s", path);
	o->file = f;
	o->name = path ? path : "stdout";
	return 0;
}

bool osp_output_is_broken(const struct osp_output *o)
{
	return ferror(o->file);
}

int osp_output_close(struct osp_output *o)
{
	FILE *f = o->file;
	bool failed = ferror(f);
	int r;

	o->file = NULL;
	errno = 0;
	if (fflush(f))
		failed = true;
	/* stdio keeps what it could not write, so the flush above told the errno of an old failure */
	r = failed ? (errno ? -errno : -EIO) : 0;
	if (f != stdout && fclose(f) && !r)
		r = -errno;
	return r && r != -EPIPE ? osp_err(r, "write %s", o->name) : r;
}
