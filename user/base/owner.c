/*
 * Gives files away under sudo. Used by whoever makes a file for the user: the session store, the
 * raw capture, exports. Reads the environment, keeps nothing.
 */
#include "user/base/owner.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool parse_id(const char *text, unsigned int *id)
{
	char *end;
	unsigned long n;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (*end || errno || n >= UINT_MAX) /* the last number means "unchanged" to chown */
		return false;
	*id = (unsigned int)n;
	return true;
}

int osp_owner_give(int fd)
{
	unsigned int uid, gid;

	if (geteuid() || !parse_id(getenv("SUDO_UID"), &uid) || !parse_id(getenv("SUDO_GID"), &gid))
		return 0;
	return fchown(fd, uid, gid) ? -errno : 0;
}
