/*
 * Messages through zstd, from one spool into another, in slices between which the loop has its
 * turn. A message is one frame; what is made has neither content size, checksum nor dictionary id
 * and needs a window of 8 MiB at most, what is read may have them (upstream's python-zstandard
 * with write_content_size, write_checksum and write_dict_id off and max_window_size).
 */
#pragma once

#include "probes/pubsub/ps_dictionary.h"
#include "probes/pubsub/ps_spool.h"

enum {
	PS_ZSTD_WINDOW_LOG = 23, /* log2 of the largest window a frame may ask for, in bytes */
	PS_ZSTD_SLICE = 1 << 20, /* bytes: some milliseconds at level 3 */
};

/*
 * X(name, text): what a step came to. All but MORE end the run; all behind LARGER are a failure,
 * up to TOO_LITTLE the sender's.
 */
#define PS_ZSTD_VERDICTS(X)                                                                        \
	X(MORE, "not yet all of it")                                                               \
	X(DONE, "done")                                                                            \
	X(LARGER, "compressed it is no smaller")                                                   \
	X(CORRUPT, "not a zstd frame, or a damaged one")                                           \
	X(WINDOW, "the frame needs a larger window than this side gives")                          \
	X(DICTIONARY, "the frame was made with another dictionary")                                \
	X(CUT, "the bytes end within the frame")                                                   \
	X(TRAILING, "bytes behind the frame")                                                      \
	X(TOO_MUCH, "decompressed it is longer than announced")                                    \
	X(TOO_LITTLE, "decompressed it is shorter than announced")                                 \
	X(NO_SPACE, "no room for the message")                                                     \
	X(UNAVAILABLE, "no memory, or the message cannot be read")

enum ps_zstd_verdict {
#define X(name, text) PS_ZSTD_##name,
	PS_ZSTD_VERDICTS(X)
#undef X
};

const char *ps_zstd_verdict_to_str(enum ps_zstd_verdict v);

/* The process's spare contexts, so that a small message need not make one. All zero at first. */
struct ps_zstd {
	void *compressing, *decompressing; /* owned: ZSTD_CCtx, ZSTD_DCtx */
};

void ps_zstd_clear(struct ps_zstd *z);

/* One message under way. All zero is none. Private but to ps_zstd.c. */
struct ps_zstd_run {
	struct ps_zstd *zstd;		  /* borrowed */
	struct ps_dictionary *dictionary; /* a share, or NULL */
	const struct ps_spool *from;	  /* borrowed, as the next */
	struct ps_spool *to;
	void *compressing, *decompressing; /* owned: the one that it needs */
	uint64_t read;			   /* bytes of `from` so far */
	uint64_t length;		   /* bytes that `to` is to have, or must stay below */
};

/*
 * Begins to compress all of `from` into `to`, which is empty and stays the caller's: at the level
 * of the dictionary, or at `level` if that is NULL. Both spools and `z` outlive the run, which has
 * a share of the dictionary. -ENOMEM.
 */
int ps_zstd_compress(struct ps_zstd_run *run, struct ps_zstd *z, struct ps_dictionary *dictionary,
		     int64_t level, const struct ps_spool *from, struct ps_spool *to);

/*
 * The same for decompressing a frame that comes to exactly `length` bytes. Which dictionary is
 * right the frame does not say: with another one the outcome is a failure, or other bytes.
 */
int ps_zstd_decompress(struct ps_zstd_run *run, struct ps_zstd *z, struct ps_dictionary *dictionary,
		       uint64_t length, const struct ps_spool *from, struct ps_spool *to);

/*
 * Goes on until about `slice` bytes were read and written (UINT64_MAX: to the end). After MORE call
 * it again, from a timer of 0, say; else the run is over and cleared. After anything but DONE `to`
 * has no use.
 */
enum ps_zstd_verdict ps_zstd_step(struct ps_zstd_run *run, uint64_t slice);

/* Ends a run before its end; also none. */
void ps_zstd_stop(struct ps_zstd_run *run);
