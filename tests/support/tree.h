/*
 * A model of a store for tests: takes the parts that the pipeline emits, in any order, and prints
 * the traces as a user sees them.
 */
#pragma once

#include <stdio.h>

#include "store/span.h"

struct tree;

struct tree *tree_new(void);
void tree_free(struct tree **t);

/* An osp_sink_fn: arg is the tree. */
int tree_sink(void *arg, const struct osp_part *part);

/* Traces, then ambiguous links, gaps and losses. */
void tree_print(const struct tree *t, FILE *out);

/* The same as text; freed by the caller. */
char *tree_text(const struct tree *t);

/* Every part in order as text, with all its fields: an osp_sink_fn, arg is the FILE. */
int tree_log(void *arg, const struct osp_part *part);
