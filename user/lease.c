/*
 * Leases. Asked by loader.c for each file it attaches. The notice is a SIGIO, read through a
 * signalfd; several may fall together, so each lease is then asked for itself. Owns the signalfd.
 */
#include "user/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct osp_leases {
	int fd;
};

int osp_leases_open(struct osp_leases **out)
{
	struct osp_leases *l = calloc(1, sizeof(*l));
	sigset_t set;

	if (!l)
		return -ENOMEM;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	l->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL)) {
		int e = -errno;

		osp_leases_close(&l);
		return e;
	}
	*out = l;
	return 0;
}

void osp_leases_close(struct osp_leases **l)
{
	if (!*l)
		return;
	if ((*l)->fd >= 0)
		close((*l)->fd);
	free(*l);
	*l = NULL;
}

int osp_leases_fd(const struct osp_leases *l)
{
	return l->fd;
}

void osp_leases_clear(struct osp_leases *l)
{
	struct signalfd_siginfo info;

	while (read(l->fd, &info, sizeof(info)) > 0)
		;
}

int osp_lease_take(int file)
{
	return fcntl(file, F_SETLEASE, F_RDLCK) ? -errno : 0;
}

void osp_lease_release(int file)
{
	fcntl(file, F_SETLEASE, F_UNLCK);
}

bool osp_lease_is_broken(int file)
{
	int type = fcntl(file, F_GETLEASE);

	return type >= 0 && type != F_RDLCK;
}
