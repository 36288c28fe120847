/*
 * Messages through zstd, from one spool into another, in slices between which the loop has its turn
 * (lonelypsc/ws/compressor.py, lonelypss/ws/compressor.py). What is made has no content size, checksum
 * or dictionary id, and needs a window of 8 MiB at most; what is read may have them.
 */
#pragma once

#include "probes/pubsub/ps_dictionary.h"
#include "probes/pubsub/ps_spool.h"

enum {
	PS_ZSTD_WINDOW_LOG = 23, /* 2 ^ this many bytes: the largest window a frame may ask for */
	PS_ZSTD_SLICE = 1 << 20, /* bytes: a fair step, some milliseconds at level 3 */
};

/* X(name, text): what a step came to. All behind DONE are final; all behind LARGER are a failure. */
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
	void *compressing, *decompressing; /* owned: zstd's */
};

void ps_zstd_clear(struct ps_zstd *z);

/* One message under way. All zero is none. Private but to ps_zstd.c. */
struct ps_zstd_run {
	struct ps_zstd *zstd;		  /* borrowed */
	struct ps_dictionary *dictionary; /* a share, or NULL */
	const struct ps_spool *from;	  /* borrowed, as the next */
	struct ps_spool *to;
	void *context; /* owned: zstd's, by direction */
	bool compresses, ended;
	uint64_t read,
		length; /* bytes of `from` so far; that `to` is to have, or must stay below */
};

/*
 * Begins to compress all of `from` into `to`, which is empty and stays the caller's; without a
 * dictionary at `level`, else at the dictionary's. The spools and `zstd` outlive the run. -ENOMEM.
 */
int ps_zstd_compress(struct ps_zstd_run *run, struct ps_zstd *zstd,
		     struct ps_dictionary *dictionary, int64_t level, const struct ps_spool *from,
		     struct ps_spool *to);

/* The same for one frame, which must come to exactly `length` bytes. */
int ps_zstd_decompress(struct ps_zstd_run *run, struct ps_zstd *zstd,
		       struct ps_dictionary *dictionary, uint64_t length,
		       const struct ps_spool *from, struct ps_spool *to);

/*
 * Goes on until about `slice` bytes were read and written (UINT64_MAX: to the end). After MORE call it
 * again, from a timer of 0, say; after anything else the run is over and cleared. LARGER: `to` is
 * useless, send the message as it is. After a failure `to` holds what came before it.
 */
enum ps_zstd_verdict ps_zstd_step(struct ps_zstd_run *run, uint64_t slice);

/* Ends a run before its end; also one that is over. */
void ps_zstd_stop(struct ps_zstd_run *run);
