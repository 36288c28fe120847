/*
 * The store contract: one table of functions, no optional ones, chosen by URI. Semantics belong
 * to this page and to tests/contract, not to a database.
 *
 *   mem:                 the reference
 *   sqlite:PATH          a session file (store/README.md describes tables and views)
 *
 * A store is used from one thread. Strings and arrays that a read returns belong to the cursor
 * or result and live until it is advanced or closed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "store/view.h"

struct osp_store;
struct osp_cursor;

enum osp_store_mode {
	OSP_STORE_CREATE,    /* new; -EEXIST if something is there */
	OSP_STORE_OVERWRITE, /* new, replacing what is there only if that is a session or empty */
	OSP_STORE_READ,	     /* existing, read only */
};

/* What the last failing call on a store said, for people. */
const char *osp_store_error(const struct osp_store *s);

/*
 * Opens. On failure *error (a buffer of the caller) says what, on which file, why and what to do.
 * -EINVAL unknown scheme, -EEXIST, -ENOENT, -EACCES, -EROFS, -ENOTSUP a newer format,
 * -EBADMSG not a session file.
 */
int osp_store_open(struct osp_store **out, const char *uri, enum osp_store_mode mode,
		   char error[512]);

/*
 * Closes. After writing, `clean` finishes the session: indexes, checkpoint, journal_mode=DELETE;
 * else the file is left as a crash would. 0 or -errno; the store is gone either way.
 */
int osp_store_close(struct osp_store **s, bool clean);

/*
 * One batch, one transaction: all or nothing, with what osp_store_add added before. -ENOSPC, -EIO,
 * -EINVAL (part's index in the text).
 */
int osp_store_write(struct osp_store *s, const struct osp_part *parts, size_t count);

/*
 * The same in a transaction that stays open until osp_store_write, a clean close, or another call
 * that changes or saves what is stored. Until then other programs do not see it and a crash undoes
 * it, and so do a failure and a close that is not clean.
 */
int osp_store_add(struct osp_store *s, const struct osp_part *parts, size_t count);

/* Makes all that was written before survive a power loss. */
int osp_store_flush(struct osp_store *s);

/*
 * Forgets traces of which every stored operation is complete and ended before the time (boot
 * time), with the links from and to their spans; what else is stored stays, and the settings
 * OSP_SESSION_FORGOTTEN count the steps that went. One call does a bounded part of the work, oldest
 * first, in one transaction; *more: call again.
 */
int osp_store_forget(struct osp_store *s, int64_t before_ns, bool *more);

/*
 * Writes all that is stored into a new session file (a path, not a URI), which belongs to whom a
 * new session would. What was open stays open. -EEXIST unless a session there may be overwritten.
 */
int osp_store_save(struct osp_store *s, const char *path, bool overwrite);

/* ---- reading: cursors give 0 = got one, 1 = end, <0 error ---- */

struct osp_trace_query {
	int64_t limit; /* -1 = all, 0 = none; less is -EINVAL */
	bool newest;   /* the limit leaves the last ones (still in ascending order) */
};

/* Traces by (start, key); membership is what rows and patches last said. */
int osp_store_traces(struct osp_store *s, const struct osp_trace_query *q, struct osp_cursor **out);
int osp_cursor_next_trace(struct osp_cursor *c, struct osp_trace *t);

/* The line in the listing for spans that were read with osp_store_spans (all of one trace). */
int osp_store_trace(struct osp_store *s, const struct osp_span *spans, size_t count,
		    struct osp_trace *t);

/*
 * All spans of one trace, or of all (key 0), in the order of osp_store_traces, then in causal
 * order: every span is followed by its children, those of one parent by (start, id).
 */
int osp_store_spans(struct osp_store *s, uint64_t trace, struct osp_cursor **out);
int osp_cursor_next_span(struct osp_cursor *c, struct osp_span *span);

/* The same trace by trace: all spans of the next one (of which none was read) at once. */
int osp_cursor_next_spans(struct osp_cursor *c, const struct osp_span **spans, size_t *count);

/*
 * What is stored of one kind, merged, by key. Rows come with their membership and the marks that
 * patches gave them; patches are those whose row has not come.
 */
int osp_store_parts(struct osp_store *s, enum osp_part_kind kind, struct osp_cursor **out);
int osp_cursor_next_part(struct osp_cursor *c, struct osp_part *part);

void osp_cursor_close(struct osp_cursor **c);

/* The trace whose id starts with these hexadecimal digits. -ENOENT, -EEXIST if several do. */
int osp_store_find_trace(struct osp_store *s, const char *prefix, uint64_t *trace);

/* The trace that the span lies in. -ENOENT. */
int osp_store_find_span(struct osp_store *s, uint64_t span_id, uint64_t *trace);

/*
 * Writes everything as text, one line per fact, in a fixed order: equal sessions give equal bytes
 * from every store. `skip` (NULL-terminated, or NULL) names what is left out: a section ("clock",
 * "process", ...) or one setting ("session:started").
 */
int osp_store_dump(struct osp_store *s, FILE *out, const char *const *skip);

/*
 * 16-byte trace id: the root's span id, then the session's id. The root stands first so that a
 * short prefix tells the traces of a session apart and an index on span ids finds it.
 */
void osp_trace_id(uint8_t id[16], uint64_t session, uint64_t root_id);

/* One driver (store/mem.c, store/sqlite.c): a row in the table of store/store.c. */
struct osp_store_ops;
