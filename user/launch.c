/*
 * `outspan record -- COMMAND`: the child is made early, so that it has a pid and keeps the
 * priority and signal mask that outspan was started with, and waits at a pipe until everything is
 * attached. If outspan ends before, the pipe closes and the child leaves without running.
 */
#include "user/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

struct osp_launch {
	pid_t pid;
	int gate; /* a byte lets it run; closing makes it leave */
	char path[4096];
};

/* Where execvp will find it. */
static int find_program(char out[4096], const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(out, 4096, "%s", name);
		return access(out, X_OK) ? -errno : 0;
	}
	while (path && *path) {
		size_t n = strcspn(path, ":");

		snprintf(out, 4096, "%.*s/%s", n ? (int)n : 1, n ? path : ".", name);
		if (!access(out, X_OK))
			return 0;
		path += n + (path[n] == ':');
	}
	return -ENOENT;
}

static void run_child(int gate, char *const *argv, const char *path)
{
	sigset_t none;
	char byte;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (read(gate, &byte, 1) != 1)
		_exit(0);
	execv(path, argv);
	osp_err(-errno, "run %s", path);
	_exit(127);
}

int osp_launch_new(struct osp_launch **out, char *const *argv)
{
	struct osp_launch *l = calloc(1, sizeof(*l));
	int gate[2], r;

	if (!l)
		return -ENOMEM;
	r = find_program(l->path, argv[0]);
	if (!r && pipe2(gate, O_CLOEXEC))
		r = -errno;
	if (r) {
		free(l);
		return osp_err(r, "run %s", argv[0]);
	}
	l->pid = fork();
	if (!l->pid) {
		close(gate[1]);
		run_child(gate[0], argv, l->path);
	}
	close(gate[0]);
	l->gate = gate[1];
	if (l->pid < 0) {
		r = osp_err(-errno, "start %s", argv[0]);
		osp_launch_free(&l);
		return r;
	}
	*out = l;
	return 0;
}

int osp_launch_go(struct osp_launch *l)
{
	if (write(l->gate, "", 1) != 1)
		return osp_err(-errno, "start %s", l->path);
	close(l->gate);
	l->gate = -1;
	return 0;
}

uint32_t osp_launch_pid(const struct osp_launch *l)
{
	return (uint32_t)l->pid;
}

const char *osp_launch_path(const struct osp_launch *l)
{
	return l->path;
}

void osp_launch_free(struct osp_launch **l)
{
	bool never_ran;

	if (!*l)
		return;
	never_ran = (*l)->gate >= 0;
	osp_cleanup_close(&(*l)->gate);
	if ((*l)->pid > 0)
		waitpid((*l)->pid, NULL, never_ran ? 0 : WNOHANG);
	free(*l);
	*l = NULL;
}

void osp_launch_notify_ready(const char *status)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	char text[256];
	size_t n = path ? strlen(path) : 0;

	if (!n || n >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, n);
	if (*path == '@')
		to.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		osp_debug("tell the service manager: %s", strerror(errno));
}
