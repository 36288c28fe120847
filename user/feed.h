/*
 * The live door into the pipeline: whatever the recorder learns becomes an input here, is written
 * to the raw capture if there is one, and is pushed through. A replay opens the same pipeline
 * with the same inputs read back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "user/batch.h"
#include "user/input.h"
#include "user/pipeline.h"
#include "user/target.h"

struct osp_feed;

/* `c` and `batch` are borrowed; raw is the path of a raw capture to write, or NULL. */
int osp_feed_open(struct osp_feed **out, const struct osp_catalogue *c, struct osp_batch *batch,
		  const char *raw);

/* What is recorded of it all: osp_pipeline_choose. The raw capture holds everything. */
int osp_feed_choose(struct osp_feed *f, const struct osp_choice_rules *rules);

/* Shows every part to fn before it goes into the batch. `arg` is borrowed. */
void osp_feed_watch(struct osp_feed *f, void (*fn)(void *arg, const struct osp_part *part),
		    void *arg);

/* Closes; what was written of the raw capture stays. 0, or the capture's -errno, logged. */
int osp_feed_close(struct osp_feed **f);

/* Boot time now, in ns. */
int64_t osp_feed_now(void);

/*
 * Pushes one input. What is not known of its process is asked of /proc and pushed before it. A
 * discarded record of steps only counts as lost; a notice must not be discarded.
 */
int osp_feed_record(struct osp_feed *f, const struct osp_record *record, size_t size,
		    int64_t seen_ns);
int osp_feed_discard(struct osp_feed *f, const struct osp_record *record, size_t size,
		     int64_t seen_ns);
int osp_feed_input(struct osp_feed *f, const struct osp_input *in);

/* A process with a slot, before its first record. Asks /proc. */
int osp_feed_process(struct osp_feed *f, uint32_t slot, uint32_t pid);

/* The same from its first record, which knows something even if /proc does not any more. */
int osp_feed_meet(struct osp_feed *f, const struct osp_record *record, size_t size);

/* True if the pipeline was told of the process in this slot. */
bool osp_feed_knows(const struct osp_feed *f, uint32_t slot);

/* Its comm and pid; "" and 0 = not known. */
const char *osp_feed_comm(const struct osp_feed *f, uint32_t slot, uint32_t *pid);

/* The numbers of the points in the binary's own headers: before any record of it. */
int osp_feed_numbers(struct osp_feed *f, const struct osp_binary *b);

/* Which points the process has, and which of them are attached. */
int osp_feed_sites(struct osp_feed *f, uint32_t slot, const struct osp_found *found);

int osp_feed_tick(struct osp_feed *f);
int osp_feed_clock(struct osp_feed *f);

/* Reads the CPU counter together with boot time: twice before the first record, then at ticks. */
int osp_feed_stamp(struct osp_feed *f);

int osp_feed_setting(struct osp_feed *f, const char *name, const char *value);

/* Attach or detach of everything begins or ends; slot UINT32_MAX = all processes. */
int osp_feed_attach(struct osp_feed *f, uint32_t slot, bool detach, bool begins);

/* Before the batch is written: the books of what it holds. */
int osp_feed_settle(struct osp_feed *f);

/* Kernel counters of one (process, point); last: after the last drain. Then the end. */
int osp_feed_counters(struct osp_feed *f, uint32_t slot, uint32_t point,
		      const struct osp_counter *counter, bool last);
int osp_feed_stop(struct osp_feed *f);

/*
 * Looks into the memory of processes whose operations hang (all: of all that are open), and pushes
 * what their blocks hold. A bounded number at a call; those that cannot be read are left out.
 * *hung: how many it was about.
 */
int osp_feed_peek(struct osp_feed *f, bool all, size_t *hung);

void osp_feed_stats(const struct osp_feed *f, struct osp_pipeline_stats *out);
