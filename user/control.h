/*
 * Where a running recorder takes orders (`outspan ctl`): a unix socket in the abstract namespace,
 * one line in, one line out, then the connection ends.
 *
 *   request  a JSON array of words: ["save","/tmp/run.db"]
 *   answer   a JSON object; {"error": "..."} if it was not done, with
 *            "permitted": false if it is not for this user
 *
 * The name tells clients of the same network namespace whose it is, and vanishes with the
 * recorder, however that ends: "@outspan/<pid>/<device>:<inode of the session>/<random>".
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	OSP_CONTROL_NAME = 96,	  /* bytes of a name and its NUL */
	OSP_CONTROL_LINE = 8192,  /* of a request or an answer, with its line feed */
	OSP_CONTROL_WORDS = 64,	  /* of a request */
	OSP_CONTROL_CLIENTS = 8,  /* at once; one more ends the oldest */
	OSP_CONTROL_PATIENCE = 5, /* seconds that a client has for its request */
};

struct osp_control;

/* What a client asked; everything is borrowed for the call. */
struct osp_control_request {
	const char **words; /* the command first; at least one */
	size_t count;
	uint32_t uid; /* who asks, as the kernel says */
};

/* Does what is asked, or sets "error" in the answer, by osp_control_refuse. Must not wait. */
typedef void (*osp_control_fn)(void *arg, const struct osp_control_request *request,
			       json_t *answer);

/*
 * Listens, for the recorder of this session file (NULL or none: "0:0" stands in the name). 0, or
 * -errno, not logged: a recorder can do without.
 */
int osp_control_open(struct osp_control **out, const char *file, osp_control_fn fn, void *arg);
void osp_control_close(struct osp_control **c);

/* Readable (epoll, level-triggered): call osp_control_handle. */
int osp_control_fd(const struct osp_control *c);

/* Serves whoever is ready; never waits for anybody. now_ns: any clock that goes on. */
void osp_control_handle(struct osp_control *c, int64_t now_ns);

/* Ends the connections of those who let us wait for too long. */
void osp_control_tick(struct osp_control *c, int64_t now_ns);

/* Sets the answer's "error". */
void osp_control_refuse(json_t *answer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- for both ends ---- */

/* Who a name belongs to. */
struct osp_control_name {
	uint32_t pid;
	uint64_t device, inode; /* of the session file */
	char text[OSP_CONTROL_NAME];
};

/* Reads a name as /proc/net/unix shows it, with its "@". -EINVAL. */
int osp_control_parse(struct osp_control_name *out, const char *text);

/* The address of a name. Returns its length. */
socklen_t osp_control_address(const struct osp_control_name *name, struct sockaddr_un *out);

/*
 * True if whoever owns the other end of the connection may order, and be believed: root, this
 * process' own user, and under sudo the user who called it. *uid says who it is.
 */
bool osp_control_trusts(int fd, uint32_t *uid);
