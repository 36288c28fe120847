/*
 * Where a command puts its data: stdout or a file. A reader that goes away stops the command
 * silently, a full disk is an error with a name.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct osp_output {
	FILE *file;	  /* to write to with stdio; owned unless it is stdout */
	const char *name; /* borrowed: for messages */
};

/* Opens a file for writing, or stdout for NULL. Says itself what failed; -errno. */
int osp_output_open(struct osp_output *o, const char *path);

/* Flushes stdout: for data that commands print directly, and at the end of the program. As below. */
int osp_output_flush(void);

/* Flushes and closes. -errno of anything that failed since opening, already said (not for EPIPE). */
int osp_output_close(struct osp_output *o);
