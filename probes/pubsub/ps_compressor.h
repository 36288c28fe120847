/*
 * The compressors of one connection, on either side: which there are, which one is used for a
 * message, and what ENABLE_ZSTD_* and DISABLE_ZSTD_CUSTOM change (lonelypsc/ws/compressor.py,
 * lonelypss/ws/compressor.py). ps_zstd uses them; ps_training makes dictionaries for new ones.
 *
 * A subscriber: enable -> prepare, disable -> remove. A broadcaster: offer -> prepare -> _frame, sent ->
 * retire, whose DISABLE_ZSTD_CUSTOM is sent. Both: find for what is received, choose for what is sent.
 */
#pragma once

#include "probes/pubsub/ps_frame.h"
#include "probes/pubsub/ps_zstd.h"

enum {
	PS_COMPRESSOR_NONE = 0,
	PS_COMPRESSOR_STANDARD = 1, /* zstd without dictionary */
	/* PS_PRESET_MIN to PS_PRESET_MAX: the dictionary is in a file on both sides */
	PS_COMPRESSOR_CUSTOM = 65536, /* and above: the broadcaster sent it */
	PS_COMPRESSORS_MAX = 8,
	PS_CUSTOM_MAX = 3, /* of them custom: the two newest, and one on its way out */
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
	void *owner;			  /* the session's, untouched; NULL at first */
};

/* The table. Set the first three; the rest is private but to ps_compressor.c. */
struct ps_compressors {
	enum ps_side side;
	bool zstd, training;				/* what both sides want */
	struct ps_presets *presets;			/* borrowed */
	struct ps_compressor *list[PS_COMPRESSORS_MAX]; /* owned: in the order they came */
	size_t count;
	uint64_t custom; /* how many were offered */
};

/* X(name, text): what is wrong with a compressor. */
#define PS_COMPRESSOR_FAULTS(X)                                                                    \
	X(OK, "ok")                                                                                \
	X(NOT_ALLOWED, "no compression, or no training, was asked for")                            \
	X(UNKNOWN_PRESET, "no preset dictionary of this number is known here")                     \
	X(ALREADY_ENABLED, "there is a compressor of this number already")                         \
	/* from here on it is one whose preparation fails */                                       \
	X(NUMBER, "the number of a trained dictionary is too low")                                 \
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

/* Removes all; their owners are the session's to free before. */
void ps_compressors_clear(struct ps_compressors *c);

/*
 * Adds what an ENABLE_ZSTD_PRESET or _CUSTOM asks for, PREPARING; *out is borrowed until it is
 * removed. The dictionary is copied. On a fault nothing is added.
 */
enum ps_compressor_fault ps_compressors_enable(struct ps_compressors *c, struct ps_compressor **out,
					       const struct ps_frame *enable);

/* As a broadcaster adds the standard compressor (id 1: level 3, from 16 KiB on) or a preset. */
enum ps_compressor_fault ps_compressors_offer(struct ps_compressors *c, struct ps_compressor **out,
					      uint64_t id);

/*
 * As a broadcaster adds one for a dictionary of its training, with the next number, for 32 bytes to
 * 16 KiB; shares the dictionary.
 */
enum ps_compressor_fault ps_compressors_offer_trained(struct ps_compressors *c,
						      struct ps_compressor **out,
						      struct ps_dictionary *dictionary);

/* PREPARING to READY; at once, or later from a timer. On a fault it stays; remove it. */
enum ps_compressor_fault ps_compressor_prepare(struct ps_compressor *compressor);

/* The ENABLE_ZSTD_* that tells of it; borrows its dictionary. Identifier and digest are set. */
struct ps_frame ps_compressor_frame(const struct ps_compressor *compressor);

/*
 * For a broadcaster that has sent the ENABLE of a trained one: retires the one before it, which is
 * returned so that its DISABLE is sent, and removes those that were retired already (without owners by
 * then). NULL: there is none before it.
 */
struct ps_compressor *ps_compressors_retire(struct ps_compressors *c);

/* By number, in any state; NULL: unknown. */
struct ps_compressor *ps_compressors_find(const struct ps_compressors *c, uint64_t id);

/* Removes one of them; a run that uses its dictionary goes on. */
void ps_compressors_remove(struct ps_compressors *c, struct ps_compressor **compressor);

/*
 * The one for a message of `length` bytes, or NULL: send it as it is. Of those that are READY and
 * meant for the length a subscriber takes the one with the lowest min, a broadcaster the newest.
 */
struct ps_compressor *ps_compressors_choose(const struct ps_compressors *c, uint64_t length);

/* True if both make the same bytes of a message, so that one compression serves two connections. */
bool ps_compressor_equal(const struct ps_compressor *a, const struct ps_compressor *b);
