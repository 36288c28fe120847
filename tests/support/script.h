/*
 * Inputs of the pipeline written by hand, one per line (tests/golden/README.md has the format).
 * A script reads the lines, keeps what a kernel and a program would keep (ids, sequences,
 * ordinals, losses), and hands out inputs whose records have the real layout.
 */
#pragma once

#include <stddef.h>

#include "probes/catalogue.h"
#include "user/input.h"
#include "user/pipeline.h"

struct script;

typedef int (*script_input_fn)(void *arg, const struct osp_input *in);

/*
 * Starts a script for the catalogue; every input goes to `input`. Aborts the test program with
 * the file and line if something in the script makes no sense.
 */
struct script *script_new(const struct osp_catalogue *c, const char *name, script_input_fn input,
			  void *arg);
void script_free(struct script **s);

/* One line. Returns what `input` returned. */
int script_line(struct script *s, const char *line);

/* All lines of a text. */
int script_text(struct script *s, const char *text);

/* Limits that the script asks for (a line "limits ..."), for the pipeline that it will feed. */
void script_limits(const char *text, struct osp_pipeline_limits *out);

/* The catalogues named in the first line, loaded from probes/catalogue or tests/golden. */
struct osp_catalogue *script_catalogue(const char *text);

/* The whole file as text; aborts if it cannot be read. Freed by the caller. */
char *script_read(const char *path);
