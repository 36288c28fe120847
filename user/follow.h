/*
 * What happens to processes while they are recorded: forks, execs, objects mapped later, ends,
 * programs started later, binaries that somebody overwrites. Turns the loader's notices into
 * members, attached binaries and inputs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "user/cost.h"
#include "user/feed.h"
#include "user/launch.h"
#include "user/loader.h"
#include "user/target.h"

struct osp_follow;

/* All are borrowed and outlive it. -ENOMEM. */
int osp_follow_new(struct osp_follow **out, struct osp_loader *l, struct osp_binaries *b,
		   struct osp_feed *f, struct osp_cost *cost);
void osp_follow_free(struct osp_follow **f);

/* Processes that match are taken in when they appear. Borrowed. */
void osp_follow_want(struct osp_follow *f, const struct osp_target *t);

/* Attaches a binary; one that cannot be attached is an error only if nothing else is. */
int osp_follow_binary(struct osp_follow *f, struct osp_binary *b);

/* Takes a process in: member, identity, sites. One that ended meanwhile is left out. */
int osp_follow_found(struct osp_follow *f, const struct osp_found *found);

/* Takes in the command that is about to start; its binary is attached before it runs. */
int osp_follow_launch(struct osp_follow *f, struct osp_binaries *b, const struct osp_launch *l);

/* Other sites are attached than before, so many of all binaries: tells what each process has. */
int osp_follow_tell(struct osp_follow *f, size_t sites);

/* One record of the ring: its process is made known first, then it is fed. */
int osp_follow_record(struct osp_follow *f, const struct osp_record *record, size_t size,
		      int64_t seen_ns);

/* The same, but steps in it are discarded: they count as lost. */
int osp_follow_discard(struct osp_follow *f, const struct osp_record *record, size_t size,
		       int64_t seen_ns);

/* After a drain: looks again at the processes that called exec or mapped something. */
int osp_follow_settle(struct osp_follow *f);

/* Every tick: programs that started a moment ago have mapped their libraries by now. */
int osp_follow_tick(struct osp_follow *f);

/* Gives way to writers of attached files. */
int osp_follow_leases(struct osp_follow *f);

/* True when every target that can end has ended (never for -e, --comm, --all). */
bool osp_follow_is_over(struct osp_follow *f);

/* From here on nothing is attached: what is found still is told of. */
void osp_follow_stop(struct osp_follow *f);

struct osp_follow_stats {
	size_t sites;	  /* attached, of all binaries */
	size_t processes; /* taken in so far */
};
void osp_follow_stats(const struct osp_follow *f, struct osp_follow_stats *out);
