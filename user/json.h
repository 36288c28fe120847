/* Traces and spans as JSON values, one object per line on stdout. Times are wall-clock ns. */
#pragma once

#include <jansson.h>

#include "store/session.h"
#include "user/books.h"
#include "user/halt.h"
#include "user/outlook.h"

/* New references; NULL: no memory. */
json_t *osp_json_trace(const struct osp_session *s, const struct osp_trace *t);
json_t *osp_json_span(const struct osp_session *s, const struct osp_span *span,
		      int64_t wall_offset);

/* Adds "halt": where the operation stopped, and "next" to it if that is known (else NULL). */
void osp_json_add_halt(json_t *span, const struct osp_halt *h, const struct osp_outlook_steps *next,
		       int64_t wall_offset);

/* All that `outspan losses` says; what books that are not counted do not know is null. */
json_t *osp_json_books(const struct osp_books *b);

/* A value of a step: bytes as hexadecimal digits, numbers that JSON has no room for as text. */
json_t *osp_json_value(const struct osp_value *v);

/* Text that JSON can carry: what is not UTF-8 is escaped as on a terminal. */
json_t *osp_json_text(const char *text);

/* The marks as an array of words; each made by `word`. */
json_t *osp_json_marks(uint32_t marks, json_t *(*word)(const char *));

/* Prints it in printable ASCII. -ENOMEM; what the file failed in is the file's to say. */
int osp_json_write(FILE *f, const json_t *value);

/* Prints one line and drops the reference. -ENOMEM for NULL. */
int osp_json_print(FILE *f, json_t *value);
