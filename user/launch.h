/* A command that outspan starts and traces from its first instruction. */
#pragma once

#include <stdint.h>

struct osp_launch;

/*
 * Makes the process, which waits before it becomes the command. argv is NULL-terminated. -ENOENT,
 * -EACCES (logged): there is no such program.
 */
int osp_launch_new(struct osp_launch **out, char *const *argv);

/* Lets it run. */
int osp_launch_go(struct osp_launch *l);

/* Its process, and the file it will run. */
uint32_t osp_launch_pid(const struct osp_launch *l);
const char *osp_launch_path(const struct osp_launch *l);

/* A process that never ran ends here; one that runs goes on. */
void osp_launch_free(struct osp_launch **l);

/* Tells a service manager (NOTIFY_SOCKET, see sd_notify(3)) that the recording has started. */
void osp_launch_notify_ready(const char *status);
