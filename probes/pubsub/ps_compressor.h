/*
 * The compressors of one connection, on either side: which there are, which one is used for a
 * message, and what ENABLE_ZSTD_* and DISABLE_ZSTD_CUSTOM change (lonelypsp/stateful/messages/;
 * lonelypsc/ws, lonelypss/ws: compressor.py). ps_zstd does the work, ps_training makes
 * dictionaries.
 *
 * A subscriber: enable, prepare; at DISABLE find, remove. A broadcaster: offer, prepare, send the
 * _frame, retire, send DISABLE for what was retired. Both: find for what is received, choose for
 * what is sent.
 */
#pragma once

#include "probes/pubsub/ps_frame.h"
#include "probes/pubsub/ps_preset.h"

enum {
	PS_COMPRESSOR_NONE = 0,
	PS_COMPRESSOR_STANDARD = 1, /* zstd without dictionary */
	/* PS_PRESET_FIRST to PS_PRESET_LAST: both sides have the dictionary */
	PS_COMPRESSOR_CUSTOM = 65536, /* and above: the broadcaster sent the dictionary */
	PS_COMPRESSORS_MAX = 8,
	PS_CUSTOM_MAX = 3, /* of them: the last two, and one before its DISABLE comes */
};

enum ps_compressor_state {
	PS_COMPRESSOR_PREPARING, /* a message that needs it waits */
	PS_COMPRESSOR_READY,
	PS_COMPRESSOR_RETIRED, /* what the other side still sends with it is taken */
};

struct ps_compressor {
	uint64_t id;
	enum ps_compressor_state state;
	int level;
	uint64_t min, max;		  /* bytes: meant for min <= length < max */
	struct ps_dictionary *dictionary; /* a share; NULL: none */
	void *owner;			  /* the session's, NULL at first, never touched */
};

/* The table. Set the first four; the rest is private but to ps_compressor.c. */
struct ps_compressors {
	enum ps_side side;
	bool zstd, training;				/* negotiated; all zero allows nothing */
	struct ps_presets *presets;			/* borrowed */
	struct ps_compressor *list[PS_COMPRESSORS_MAX]; /* owned, in the order they came */
	size_t count;
	uint64_t custom; /* how many were offered */
};

/* X(name, text): what is wrong with a compressor. */
#define PS_COMPRESSOR_FAULTS(X)                                                                    \
	X(OK, "ok")                                                                                \
	X(NOT_ALLOWED, "it was not asked for")                                                     \
	X(UNKNOWN_PRESET, "no preset dictionary of this number is known here")                     \
	X(ALREADY_ENABLED, "there is a compressor of this number already")                         \
	/* from here on it is one that cannot be prepared */                                       \
	X(NUMBER, "the number is a preset's")                                                      \
	X(FULL, "more compressors than this side holds")                                           \
	X(SIZE, "the dictionary is empty or too large")                                            \
	X(DIGEST, "the dictionary does not have the digest announced")                             \
	X(DICTIONARY, "zstd does not take the dictionary")                                         \
	X(UNAVAILABLE, "no memory or no hash")

enum ps_compressor_fault {
#define X(name, text) PS_COMPRESSOR_FAULT_##name,
	PS_COMPRESSOR_FAULTS(X)
#undef X
};

const char *ps_compressor_fault_to_str(enum ps_compressor_fault fault);

/* Removes all of them, whatever their owners are. */
void ps_compressors_clear(struct ps_compressors *c);

/*
 * As a subscriber adds what an ENABLE_ZSTD_PRESET or _CUSTOM tells of, PREPARING; its dictionary is
 * copied. *out is borrowed until it is removed. On a fault nothing is added.
 */
enum ps_compressor_fault ps_compressors_enable(struct ps_compressors *c, struct ps_compressor **out,
					       const struct ps_frame *enable);

/* As a broadcaster adds the standard one (level 3, from 16 KiB on) or a preset (from 32 bytes). */
enum ps_compressor_fault ps_compressors_offer(struct ps_compressors *c, struct ps_compressor **out,
					      uint64_t id);

/*
 * As a broadcaster adds one for a trained dictionary, of which it takes a share, with the next
 * number, for the messages that are samples (32 bytes to 16 KiB).
 */
enum ps_compressor_fault ps_compressors_offer_trained(struct ps_compressors *c,
						      struct ps_compressor **out,
						      struct ps_dictionary *dictionary);

/* PREPARING to READY, now or later (ps_dictionary_prepare says how long). On a fault remove it. */
enum ps_compressor_fault ps_compressor_prepare(struct ps_compressor *compressor);

/* The ENABLE_ZSTD_* that tells of it, without tracing; borrows the dictionary. */
struct ps_frame ps_compressor_frame(const struct ps_compressor *compressor);

/*
 * When the ENABLE of a trained one was sent: retires the trained one before it, which is returned
 * for its DISABLE to be sent (NULL: there is none), and removes the one retired the last time, whose
 * owner must be done with it. So the last two are taken and the newest is used.
 */
struct ps_compressor *ps_compressors_retire(struct ps_compressors *c);

/* By number, in any state; NULL: unknown. */
struct ps_compressor *ps_compressors_find(const struct ps_compressors *c, uint64_t id);

/* Takes one of them out and frees it. A run with its dictionary goes on. */
void ps_compressors_remove(struct ps_compressors *c, struct ps_compressor **compressor);

/*
 * The one for a message of `length` bytes, or NULL: send it as it is. Of those that are READY and
 * meant for the length a subscriber takes the one with the lowest min, a broadcaster the newest.
 */
struct ps_compressor *ps_compressors_choose(const struct ps_compressors *c, uint64_t length);

/* True if both make the same bytes of a message: one compression can serve two connections. */
bool ps_compressor_equal(const struct ps_compressor *a, const struct ps_compressor *b);
