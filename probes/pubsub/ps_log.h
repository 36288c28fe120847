/*
 * The program's own log of what it did, one line per message, for administrators and tests:
 *
 *     <what> key=value key=value ...
 *
 * Values hold no blanks: text is escaped as in osp_text_escape and blanks as \x20; binary is
 * lower-case hex; times are wall-clock nanoseconds. The keys of each line are listed in the
 * README of this folder.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "probes/pubsub/ps_wire.h"

struct ps_log; /* a destination; NULL everywhere below means "not wanted" */

/* Opens a file for appending, or takes stderr for `path` NULL. Says why it cannot. -errno. */
int ps_log_open(struct ps_log **out, const char *path);
/* The same lines as data on stdout. -ENOMEM, -errno. */
int ps_log_open_stdout(struct ps_log **out);
void ps_log_close(struct ps_log **l);

/* Builds one line and writes it with one call. Cut at 8 KiB; fields beyond are left out. */
struct ps_line {
	struct ps_log *log; /* borrowed */
	size_t size;
	char text[8192];
};

void ps_log_begin(struct ps_line *line, struct ps_log *l, const char *what);
void ps_log_append(struct ps_line *line, const char *text); /* bare, after a blank */
void ps_log_text(struct ps_line *line, const char *key, struct ps_bytes value);
void ps_log_word(struct ps_line *line, const char *key, const char *value);
void ps_log_hex(struct ps_line *line, const char *key, struct ps_bytes value);
void ps_log_number(struct ps_line *line, const char *key, int64_t value);
int ps_log_end(struct ps_line *line); /* -errno; said on stderr once, but for -EPIPE */
