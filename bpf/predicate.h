/*
 * Layout of the maps that say which operations are recorded: topic patterns as an automaton,
 * conditions on arguments as terms, and which arguments of a point those ask for. Shared by the
 * kernel side and user space, which decide the same.
 */
#pragma once

#ifndef __VMLINUX_H__
#include <linux/types.h>
#include <stdbool.h>
#endif

enum {
	OSP_PATTERN_STATES = 64, /* of a table */
	OSP_WHERE_TERMS = 32,
};

/*
 * The automaton of all patterns: begin in state 0, take next[state][byte] for each byte. Bits are
 * numbered by state.
 */
struct osp_pattern_table {
	__u64 accept;  /* a text that ends here matches */
	__u64 live;    /* a text that goes on after this may match: what is asked of a cut one */
	__u64 settled; /* no byte leads out of it: the rest need not be read */
	__u8 next[OSP_PATTERN_STATES][256];
};

/* Which of the three a value may be to the term's: a bit each. */
enum osp_where_op {
	OSP_WHERE_LT = 1,
	OSP_WHERE_EQ = 2,
	OSP_WHERE_LE = 3,
	OSP_WHERE_GT = 4,
	OSP_WHERE_NE = 5,
	OSP_WHERE_GE = 6,
};

struct osp_where_term {
	__u16 point; /* number in the catalogue */
	__u8 arg;    /* index of the point's argument */
	__u8 op;     /* enum osp_where_op */
	__u8 is_signed, is_bool;
	__u8 unused; /* upper bits of 64 that the argument does not have */
	__u8 reserved;
	__u64 value; /* signed ones in two's complement */
};

/* What is asked of a point, by its number. */
struct osp_predicate {
	__u32 wanted;  /* of its operation: points with terms, as bits by the first of them */
	__u16 sized;   /* bit per argument: its true size and its kept size, then its bytes */
	__u16 asked;   /* bit per argument: it has a term */
	__u8 of_topic; /* its operation has a topic that is asked for */
	__u8 topic;    /* the argument, from 1, that is its topic; 0 = none */
	__u8 args;     /* arguments up to the last that is asked for */
	__u8 first;    /* its terms, side by side */
	__u8 terms;
	__u8 reserved[3];
};

_Static_assert(sizeof(struct osp_pattern_table) == 24 + 64 * 256, "pattern table");
_Static_assert(sizeof(struct osp_where_term) == 16, "term");
_Static_assert(sizeof(struct osp_predicate) == 16, "predicate");

/* A word from an operation block as the value of the term's argument. */
static inline __attribute__((always_inline, unused)) __u64
osp_where_widen(const struct osp_where_term *term, __u64 raw)
{
	__u32 unused = term->unused & 63;

	if (term->is_bool)
		return raw != 0;
	raw <<= unused;
	return term->is_signed ? (__u64)((__s64)raw >> unused) : raw >> unused;
}

/* Whether the argument's value satisfies the term; as wide as the catalogue says it is. */
static inline __attribute__((always_inline, unused)) bool
osp_where_compare(const struct osp_where_term *term, __u64 value)
{
	/* With its sign bit turned, a signed number stands in the order of the unsigned ones. */
	__u64 turn = term->is_signed ? 1ull << 63 : 0;
	__u64 a = value ^ turn, b = term->value ^ turn;

	return term->op & (a < b ? OSP_WHERE_LT : a == b ? OSP_WHERE_EQ : OSP_WHERE_GT);
}
