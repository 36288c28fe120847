/*
 * The life of the traced processes during a recording. Fed by the recorder with targets, records
 * and ticks; asks /proc (target.c), attaches and adds members (loader.c), and tells the pipeline
 * (feed.c). What a notice asks for is done after the drain that brought it, so that the ring is
 * emptied first. Owns a bounded list of processes to look at, and nothing else.
 */
#include "user/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/semaphore.h"

enum { LOOKS_MAX = 1024, WANTS_MAX = 1024 };

/* A program that was just started maps its libraries later: when to look at it again. */
static const int64_t look_after_ns[] = {0, 50 * 1000 * 1000, 500 * 1000 * 1000,
					2000ll * 1000 * 1000};
enum { LOOKS = sizeof(look_after_ns) / sizeof(look_after_ns[0]) };

struct look {
	uint32_t pid, slot; /* slot 0: no member (yet) */
	int64_t due_ns;
	int turn; /* index into look_after_ns, LOOKS = no further */
};

struct osp_follow {
	struct osp_loader *loader;		   /* borrowed: the recorder's */
	struct osp_binaries *binaries;		   /* borrowed: the recorder's */
	struct osp_feed *feed;			   /* borrowed: the recorder's */
	struct osp_cost *cost;			   /* borrowed: the recorder's */
	const struct osp_target *wants[WANTS_MAX]; /* borrowed: the recorder's */
	size_t want_count;
	struct look looks[LOOKS_MAX];
	size_t look_count;
	bool look_at_all; /* a notice was lost, or the list is full */
	bool ends;	  /* every target can end */
	bool check_end;	  /* a member ended since the last tick */
	bool stopped;	  /* nothing is attached any more */
	uint64_t notices_lost;
	struct osp_follow_stats stats;
};

int osp_follow_new(struct osp_follow **out, struct osp_loader *l, struct osp_binaries *b,
		   struct osp_feed *f, struct osp_cost *cost)
{
	struct osp_follow *follow = calloc(1, sizeof(*follow));

	if (!follow)
		return -ENOMEM;
	follow->loader = l;
	follow->binaries = b;
	follow->feed = f;
	follow->cost = cost;
	follow->ends = true;
	*out = follow;
	return 0;
}

void osp_follow_free(struct osp_follow **f)
{
	free(*f);
	*f = NULL;
}

void osp_follow_want(struct osp_follow *f, const struct osp_target *t)
{
	if (t->kind != OSP_TARGET_PID)
		f->ends = false;
	if (f->want_count < WANTS_MAX)
		f->wants[f->want_count++] = t;
}

static bool is_wanted(const struct osp_follow *f, const struct osp_found *found)
{
	for (size_t i = 0; i < f->want_count; i++)
		if (osp_target_matches(f->wants[i], found))
			return true;
	return false;
}

/* Paths alone: nothing but those files is to be attached. After the end, nothing at all. */
static bool attaches_what_it_finds(const struct osp_follow *f)
{
	if (f->stopped)
		return false;
	for (size_t i = 0; i < f->want_count; i++)
		if (f->wants[i]->kind != OSP_TARGET_PATH)
			return true;
	return !f->want_count;
}

/* ---- attaching ---- */

int osp_follow_binary(struct osp_follow *f, struct osp_binary *b)
{
	struct osp_attach_result result = {0};
	bool was = b->attachment != NULL;
	int r = osp_feed_numbers(f->feed, b);

	r = r ? r : osp_loader_attach(f->loader, b, &result);
	if (r)
		return r;
	if (!was)
		f->stats.sites += result.attached;
	return 0;
}

static bool is_complete(const struct osp_found *found)
{
	for (size_t i = 0; i < found->binary_count; i++)
		if (!found->binaries[i]->attachment &&
		    (found->binaries[i]->known || found->binaries[i]->linker_offset))
			return false;
	return true;
}

/*
 * Binaries that came since the process was looked at. Those that have points are half attached
 * meanwhile; of a dynamic linker nobody misses a step.
 */
static int attach_new(struct osp_follow *f, uint32_t slot, const struct osp_found *found)
{
	bool unsure = false;
	int r = 0;

	for (size_t i = 0; i < found->binary_count; i++)
		unsure |= !found->binaries[i]->attachment && found->binaries[i]->known;
	if (unsure)
		r = osp_feed_attach(f->feed, slot, false, true);
	for (size_t i = 0; !r && i < found->binary_count; i++)
		if (!found->binaries[i]->attachment)
			osp_follow_binary(f, found->binaries[i]); /* told; the others go on */
	r = r ? r : osp_feed_sites(f->feed, slot, found);
	return !r && unsure ? osp_feed_attach(f->feed, slot, false, false) : r;
}

/* A link can be made and never fire: each process's own memory tells. */
static void warn_unarmed(const struct osp_found *found)
{
	for (size_t i = 0; i < found->binary_count; i++) {
		const struct osp_binary *b = found->binaries[i];
		const char *reason = NULL;
		size_t unarmed = 0;

		if (b->attachment &&
		    !osp_semaphore_verify(b, found->process.pid, &unarmed, &reason) && unarmed)
			osp_warn("%s (%u): %zu site%s of %s not traced, because %s",
				 found->process.comm, found->process.pid, unarmed,
				 osp_text_plural(unarmed), b->path, reason);
	}
}

static int take_in(struct osp_follow *f, uint32_t slot, const struct osp_found *found)
{
	bool known = osp_feed_knows(f->feed, slot);
	int r = osp_feed_process(f->feed, slot, found->process.pid);

	if (r)
		return r;
	f->stats.processes += !known;
	osp_cost_begin(f->cost, slot, found->process.pid, osp_feed_now());
	if (!is_complete(found) && attaches_what_it_finds(f))
		r = attach_new(f, slot, found);
	else
		r = osp_feed_sites(f->feed, slot, found);
	if (!known)
		warn_unarmed(found);
	return r;
}

int osp_follow_found(struct osp_follow *f, const struct osp_found *found)
{
	uint32_t slot;
	int r = osp_loader_add_member(f->loader, found->process.pid, &slot);

	if (r == -ESRCH)
		return 0;
	if (r || !slot)
		return r;
	return take_in(f, slot, found);
}

int osp_follow_launch(struct osp_follow *f, struct osp_binaries *b, const struct osp_launch *l)
{
	struct osp_binary *binary = NULL;
	struct osp_found found = {.process.pid = osp_launch_pid(l)};
	uint32_t slot;
	int r = osp_binaries_open(&binary, b, osp_launch_path(l));

	if (r && r != -ENOEXEC) /* a script: its interpreter is found when it runs */
		return osp_err(r, "open %s", osp_launch_path(l));
	if (!r && binary->known)
		r = osp_follow_binary(f, binary);
	else
		r = 0;
	r = r ? r : osp_loader_add_member(f->loader, found.process.pid, &slot);
	if (r)
		return r;
	osp_cost_begin(f->cost, slot, found.process.pid, osp_feed_now());
	return osp_feed_process(f->feed, slot, found.process.pid);
}

static int tell_member(void *arg, uint32_t pid, const struct osp_member *m)
{
	struct osp_found found _cleanup_(osp_found_clear) = {0};
	struct osp_follow *f = arg;

	/* One that has ended, or that nobody has seen yet, is told of when it is met. */
	if (!m->process || !osp_feed_knows(f->feed, m->process) ||
	    osp_found_read(&found, f->binaries, pid))
		return 0;
	return osp_feed_sites(f->feed, m->process, &found);
}

int osp_follow_tell(struct osp_follow *f, size_t sites)
{
	f->stats.sites = sites;
	return osp_loader_members(f->loader, tell_member, f);
}

/* ---- looking again ---- */

/* After this drain; from turn 0 again and again, with LOOKS - 1 just once. */
static void look_soon(struct osp_follow *f, uint32_t pid, uint32_t slot, int turn)
{
	if (f->look_count == LOOKS_MAX)
		f->look_at_all = true;
	else
		f->looks[f->look_count++] = (struct look){pid, slot, 0, turn};
}

static int look(struct osp_follow *f, const struct look *at)
{
	struct osp_found found _cleanup_(osp_found_clear) = {0};

	if (osp_found_read(&found, f->binaries, at->pid))
		return 0; /* it has ended: nothing to attach */
	if (at->slot)
		return take_in(f, at->slot, &found);
	return is_wanted(f, &found) ? osp_follow_found(f, &found) : 0;
}

/* Looks whose time has come; those that may find more later are put back. */
static int look_at_due(struct osp_follow *f)
{
	int64_t now = osp_feed_now();
	size_t kept = 0, count = f->look_count;
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		struct look l = f->looks[i];

		if (r || l.due_ns > now) {
			f->looks[kept++] = l;
			continue;
		}
		r = look(f, &l);
		if (++l.turn < LOOKS) {
			l.due_ns = now + look_after_ns[l.turn];
			f->looks[kept++] = l;
		}
	}
	f->look_count = kept;
	return r;
}

static int look_at_member(void *arg, uint32_t pid, const struct osp_member *m)
{
	look_soon(arg, pid, m->process, LOOKS - 1);
	return 0;
}

/* Notices did not fit into the ring: every member may have changed. */
static void look_at_members(struct osp_follow *f)
{
	struct osp_loader_stats s;

	osp_loader_stats(f->loader, &s);
	if (s.notices_lost == f->notices_lost && !f->look_at_all)
		return;
	f->notices_lost = s.notices_lost;
	f->look_at_all = false;
	f->check_end = true;
	if (f->look_count < LOOKS_MAX / 2)
		osp_loader_members(f->loader, look_at_member, f);
}

int osp_follow_settle(struct osp_follow *f)
{
	return f->look_count ? look_at_due(f) : 0;
}

int osp_follow_tick(struct osp_follow *f)
{
	look_at_members(f);
	return look_at_due(f);
}

/* ---- records ---- */

/* A slot that is seen for the first time: its sites are looked up before its first step is fed. */
static int meet(struct osp_follow *f, const struct osp_record *record, size_t size)
{
	struct osp_found found _cleanup_(osp_found_clear) = {0};
	int r = osp_feed_meet(f->feed, record, size);

	f->stats.processes++;
	/* with --aggregate its end may be all that comes */
	osp_cost_begin(
		f->cost, record->process, record->pid,
		(int64_t)(record->kind == OSP_RECORD_EXIT ? record->start_ns : record->time_ns));
	if (r || osp_found_read(&found, f->binaries, record->pid))
		return r; /* it has ended already: its points are those of its kind, unknown here */
	if (record->kind != OSP_RECORD_EXEC &&
	    !is_complete(&found)) /* after an exec we look anyway */
		look_soon(f, record->pid, record->process, 0);
	return osp_feed_sites(f->feed, record->process, &found);
}

int osp_follow_record(struct osp_follow *f, const struct osp_record *record, size_t size,
		      int64_t seen_ns)
{
	int r = 0;

	if (record->process && !osp_feed_knows(f->feed, record->process))
		r = meet(f, record, size);
	switch (record->kind) {
	case OSP_RECORD_EXEC:
		osp_cost_end(f->cost, record->site, (int64_t)record->time_ns);
		look_soon(f, record->pid, record->process, 0);
		break;
	case OSP_RECORD_MAPPED:
		look_soon(f, record->pid, record->process, LOOKS - 1);
		break;
	case OSP_RECORD_EXIT:
		f->check_end = true;
		osp_cost_end(f->cost, record->process, (int64_t)record->time_ns);
		break;
	default:
		break;
	}
	if (r || !record->process)
		return r;
	return osp_feed_record(f->feed, record, size, seen_ns);
}

int osp_follow_discard(struct osp_follow *f, const struct osp_record *record, size_t size,
		       int64_t seen_ns)
{
	bool steps = record->kind == OSP_RECORD_STEP || record->kind == OSP_RECORD_FOREIGN;
	int r = 0;

	if (!steps || !record->process)
		return osp_follow_record(f, record, size, seen_ns);
	if (!osp_feed_knows(f->feed, record->process))
		r = meet(f, record, size);
	return r ? r : osp_feed_discard(f->feed, record, size, seen_ns);
}

static int find_one(void *arg, uint32_t pid, const struct osp_member *m)
{
	(void)pid;
	(void)m;
	*(bool *)arg = true;
	return 1;
}

void osp_follow_stop(struct osp_follow *f)
{
	f->stopped = true;
}

bool osp_follow_is_over(struct osp_follow *f)
{
	bool any = false;

	if (!f->ends || !f->check_end)
		return false;
	f->check_end = false;
	osp_loader_members(f->loader, find_one, &any);
	return !any;
}

/* ---- writers ---- */

static void on_change(void *arg, enum osp_loader_change change, bool begins, struct osp_binary *b)
{
	struct osp_follow *f = arg;

	/* Detached until it is attached again: one interval, begun by the first, ended by the second. */
	if (change == OSP_LOADER_DETACHED && begins)
		osp_feed_attach(f->feed, UINT32_MAX, false, true);
	if (change != OSP_LOADER_DETACHED && !begins)
		osp_feed_attach(f->feed, UINT32_MAX, false, false);
	if (begins)
		return;
	if (change == OSP_LOADER_REATTACHED)
		osp_feed_numbers(f->feed, b);
	if (change == OSP_LOADER_DETACHED)
		osp_warn("%s is being overwritten: detached until its writer is done", b->path);
	else if (change == OSP_LOADER_REATTACHED)
		osp_info("%s was overwritten: attached again", b->path);
	else
		osp_warn("%s is no traceable program any more: not recorded from here on", b->path);
}

int osp_follow_leases(struct osp_follow *f)
{
	return osp_loader_handle(f->loader, f->binaries, on_change, f);
}

void osp_follow_stats(const struct osp_follow *f, struct osp_follow_stats *out)
{
	*out = f->stats;
}
