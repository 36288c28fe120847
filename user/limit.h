/*
 * Rate limits: what `--limit N/s:ARG` takes. Of each kind of operation at most N are taken in each
 * second of boot time for each value of its argument ARG; what belongs to a trace that was decided
 * about goes with it, uncounted, and so does what never shows ARG. Pure: time arrives as data.
 *
 * Both tables are bounded. A value that finds no room among those of this second is left out, and
 * counted as crowded; of the traces the latest are known, and one forgotten is decided about anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OSP_LIMIT_ROWS = 4096,	  /* of values; a value has its row */
	OSP_LIMIT_WAYS = 4,	  /* values of one second that a row has room for */
	OSP_LIMIT_TRACES = 65536, /* remembered, each at a place of its own */
};

struct osp_limit_rule {
	uint32_t most; /* in a second; 0 = there is no limit */
	const char *arg;
};

/* What is asked about: the first value of ARG, and the trace, as far as the steps show them. */
struct osp_limit_subject {
	bool keyed, traced;
	uint64_t key[2], trace[2];
};

struct osp_limit;

/* Reads "100/s:topic"; the rule's arg points into the text. -EINVAL. */
int osp_limit_parse(const char *text, struct osp_limit_rule *out);

/* -ENOMEM. */
int osp_limit_new(struct osp_limit **out, uint32_t most);
void osp_limit_free(struct osp_limit **l);

/* Whether the operation is taken. To be asked once for each; times need not be in order. */
bool osp_limit_takes(struct osp_limit *l, const struct osp_limit_subject *s, int64_t time_ns);

/* Operations left out because there was no room for their value. */
uint64_t osp_limit_crowded(const struct osp_limit *l);
