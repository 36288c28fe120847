/*
 * Text in the columns of a terminal, for everything that people read. What came from a traced
 * process is escaped here, and columns are counted in characters, not bytes.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "store/session.h"

/* The columns of the terminal that the file is; SIZE_MAX if it is none: nothing need be cut. */
size_t osp_columns_find(FILE *f);

/* Columns that escaped text takes: its characters. */
size_t osp_columns_count(const char *text, size_t size);

/* Columns that this text takes once it is escaped. */
size_t osp_columns_count_text(const char *text);

/* Writes the text escaped, in at most `most` columns (its middle goes first). Returns the columns. */
size_t osp_columns_write(FILE *f, const char *text, size_t most);

/* As above for names, which are stored escaped (user/title.c): their backslashes stay as they are. */
size_t osp_columns_write_title(FILE *f, const char *name, size_t most);

/* As osp_columns_write, then spaces up to the width. */
void osp_columns_write_padded(FILE *f, const char *text, size_t width);

void osp_columns_write_spaces(FILE *f, size_t n);

/* Makes "courier/4003" of a process' key; a key without a process shows as such. */
void osp_columns_process(const struct osp_session *s, uint32_t key, char out[64]);
