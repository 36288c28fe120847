/* What the commands that read a session share: their arguments, the session, the trace meant. */
#pragma once

#include <argp.h>

#include "store/session.h"
#include "user/books.h"

/* What the commands' options have in common; each lists those that it has, and what they do. */
struct osp_reader_options {
	const char *file;
	const char *colour; /* NULL = auto */
	bool json, utc, verbose;
};

#define OSP_READER_JSON(doc)                                                                       \
	{                                                                                          \
		"json", 'j', NULL, 0, doc, 0                                                       \
	}
#define OSP_READER_UTC                                                                             \
	{                                                                                          \
		"utc", 'u', NULL, 0, "times in UTC", 0                                             \
	}
#define OSP_READER_VERBOSE(doc)                                                                    \
	{                                                                                          \
		"verbose", 'v', NULL, 0, doc, 0                                                    \
	}
#define OSP_READER_COLOUR                                                                          \
	{                                                                                          \
		"color", 'c', "WHEN", 0, "auto (default), always or never; auto honours NO_COLOR", \
			0                                                                          \
	}

/* For argp parsers: takes these options, and the one argument FILE; other keys are unknown. */
error_t osp_reader_take(int key, char *arg, struct argp_state *state, struct osp_reader_options *o);

/* Opens the session; what fails is said. -errno. */
int osp_reader_open(struct osp_session **out, const struct osp_reader_options *o);

/* Reads the books of it, or of the processes with this pid (0 = all); what fails is said. -errno. */
int osp_reader_read_books(struct osp_books **out, const struct osp_session *s, uint32_t pid);

/*
 * The trace that the text means: first digits of its id, `last`, or `#N`, the N-th of `ls`.
 * What fails is said. -ENOENT, -EEXIST (several), -EINVAL (no such form).
 */
int osp_reader_find_trace(struct osp_session *s, const char *text, uint64_t *trace);

/*
 * The spans of one trace in an array that the caller frees; what they point to belongs to the
 * cursor and lives as long as it stays where it is.
 */
int osp_reader_collect(struct osp_cursor *c, struct osp_span **out, size_t *count);

/* The exit status for a result: 0 done, 1 failed, 2 usage, 3 not permitted or not supported. */
int osp_reader_exit(int r);
