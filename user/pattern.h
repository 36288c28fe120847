/*
 * Topic patterns: what `--match-topic` takes, compiled to a table that the kernel side walks one
 * byte at a time. Pure.
 *
 * The patterns are lonelypsp's globs, over bytes and not over characters:
 *   *      any bytes, none too, a slash too
 *   ?      one byte
 *   [set]  one byte of the set: "a-z" is a range, a "]" that stands first belongs to the set;
 *          "[!set]" and "[^set]" (lonelypsp's engines differ) are the bytes not in it
 * Anything else stands for itself, a backslash too, and a "[" that nothing closes. Several
 * patterns match what any of them matches.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/predicate.h"

enum { OSP_PATTERN_POSITIONS = 1024 }; /* bytes, sets and stars of all patterns together */

struct osp_patterns;

/* Reads the patterns. -E2BIG: more than OSP_PATTERN_POSITIONS; -ENOMEM. */
int osp_pattern_new(struct osp_patterns **out, const char *const *texts, size_t count);
void osp_pattern_free(struct osp_patterns **p);

/*
 * Whether any of the patterns matches. `cut`: the bytes are the beginning of a longer text, and
 * match unless no end of it could. The reference for tables, and what takes their place when the
 * patterns are too large for one.
 */
bool osp_pattern_match(const struct osp_patterns *p, const void *bytes, size_t size, bool cut);

/* Makes the table. -E2BIG: it needs more than OSP_PATTERN_STATES states; -ENOMEM. */
int osp_pattern_compile(const struct osp_patterns *p, struct osp_pattern_table *out);

/* The same as osp_pattern_match, as the kernel side does it. */
bool osp_pattern_run(const struct osp_pattern_table *t, const void *bytes, size_t size, bool cut);
