/* Lines of standard input on the loop: commands and messages of whoever drives a program. */
#pragma once

#include "probes/pubsub/ps_loop.h"
#include "user/base/buffer.h"

struct ps_lines {
	struct ps_loop *loop; /* borrowed: outlives it */
	/* A line without its end, valid during the call. False: no more until resumed. */
	bool (*line)(void *owner, const char *text, size_t size);
	void (*end)(void *owner); /* no line will follow; once */
	void *owner;
	struct osp_buffer buffer;
	size_t at; /* of the next line in the buffer */
	bool paused, ended, skipping, dispatching;
	struct ps_watch watch;
	struct ps_timer again;
};

/* Starts reading descriptor 0; a line longer than `max` bytes is dropped and reported. -errno. */
int ps_lines_open(struct ps_lines *l, struct ps_loop *loop, size_t max);
void ps_lines_resume(struct ps_lines *l);
void ps_lines_close(struct ps_lines *l);
