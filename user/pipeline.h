/*
 * The line that every input travels: decode, order, stitch, link, batch. Pure: no libbpf, no
 * clock, no I/O. Three doors lead in: the live ring (user/recorder.c), a raw capture
 * (user/replay.c) and the tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "probes/catalogue.h"
#include "store/span.h"
#include "user/input.h"

struct osp_pipeline;
struct osp_choice_rules;

/* Maxima; 0 = the default behind each. */
struct osp_pipeline_limits {
	size_t operations;     /* open at once: 262144 */
	size_t steps;	       /* of one operation: 65535 */
	size_t links;	       /* link ends remembered: 262144 */
	int64_t start_part_ns; /* an operation open this long is stored as a start part: 5 s */
	bool walks; /* decides what each step does anew, also where it is known already: for tests */
};

/* Takes parts out of the pipeline; what they point to lives until it returns. 0 or -errno. */
typedef int (*osp_sink_fn)(void *arg, const struct osp_part *part);

/* `c` is borrowed: it outlives the pipeline. -ENOMEM. */
int osp_pipeline_new(struct osp_pipeline **out, const struct osp_catalogue *c,
		     const struct osp_pipeline_limits *limits, osp_sink_fn sink, void *arg);
void osp_pipeline_free(struct osp_pipeline **p);

/*
 * From now on operations are left out that the rules do not take (user/choice.h); their steps count
 * as FILTERED or LIMITED. Before the first record. The rules are borrowed. -ENOMEM.
 */
int osp_pipeline_choose(struct osp_pipeline *p, const struct osp_choice_rules *rules);

/* Pushes one input through. Bad data is counted, not an error; -ENOMEM or the sink's error is. */
int osp_pipeline_push(struct osp_pipeline *p, const struct osp_input *in);

/*
 * Before a batch is written: brings the loss rows up to what the batches then hold, so that the
 * books close at every transaction, also when the next one never comes. Errors as for push.
 */
int osp_pipeline_settle(struct osp_pipeline *p);

/*
 * Operations that hang, whose steps somebody may read from their processes' memory and push
 * (user/stitch.h); all: whatever is open. Returns how many, at most `most`.
 */
struct osp_hung;
size_t osp_pipeline_hung(struct osp_pipeline *p, bool all, struct osp_hung *out, size_t most);

/* Running figures for the progress line and the summary. */
struct osp_pipeline_stats {
	uint64_t records, events, operations, spans, traces, links, ambiguous, open, unexpected;
	uint64_t runs;	  /* records whose steps were taken at once */
	uint64_t wholes;  /* of them, those that made a row of a known form */
	uint64_t bad;	  /* records that made no sense: nobody knows whose they were */
	uint64_t crowded; /* operations left out since a limit had no room for their value */
	uint64_t evicted; /* link ends forgotten before their time: the table was full */
	uint64_t lost[OSP_LOSS_COUNT]; /* kernel reasons: known after the counters are in */
	uint64_t kernel_lost;	       /* seen so far, by the records' own count */
};
void osp_pipeline_stats(const struct osp_pipeline *p, struct osp_pipeline_stats *out);
