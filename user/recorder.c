/*
 * A recording: find, attach, loop, stop, close the books.
 *
 * Threads: none but this one, and no queue. The kernel ring is the only buffer. One epoll loop
 * waits for the ring, a timer, signals and writers of attached files; one bounded drain of the
 * ring is one batch and one store transaction. A slow store shows as losses that the kernel
 * counted, never as growing memory.
 *
 * Fed by the loader (records, notices, counters); feeds the pipeline through user/feed.c, whose
 * parts go through the batch into the store. Owns all of them. What happens to processes while
 * it records is user/follow.c's.
 */
#include "user/recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "store/session.h"
#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/batch.h"
#include "user/command.h"
#include "user/control.h"
#include "user/feed.h"
#include "user/follow.h"
#include "user/latency.h"
#include "user/launch.h"
#include "user/loader.h"
#include "user/orders.h"
#include "user/progress.h"
#include "user/session.h"
#include "user/switch.h"
#include "user/trial.h"

enum {
	BATCH_BYTES = 8 << 20,
	DRAIN_MAX = 8192,   /* records of one drain */
	DISCARD_STEP = 256, /* records discarded before the ring's filling is looked at again */
	TICK_MS = 200,	    /* time-outs, progress and the end of --for are looked at this often */
	CLOCK_TICKS = 50,   /* wall time is read again after so many ticks */
	CHANGE_DRAINS =
		16, /* before sites are attached or detached: producers may be faster than we */
};

/* Drains share a transaction for so long; a quiet one is ended by the next tick. */
static const int64_t commit_ns = 50 * 1000 * 1000;

static const int64_t hung_ns = 1000 * 1000 * 1000;
static const int64_t full_again_ns = 60ll * 1000 * 1000 * 1000; /* between two warnings */

struct recorder {
	const struct osp_recorder_options *o;
	char file[4096];
	struct osp_binaries *binaries;
	struct osp_targets targets;
	struct osp_target wanted[1024]; /* what was asked for */
	size_t wanted_count;
	struct osp_launch *launch; /* the command that we start, or NULL */
	struct osp_loader *loader;
	struct osp_trial *trial;
	struct osp_trial_result tried;
	struct osp_store *store;
	struct osp_batch *batch;
	struct osp_feed *feed;
	struct osp_follow *follow;
	struct osp_cost *cost;
	struct osp_cost_summary spent;
	struct osp_control *control; /* NULL: nobody can order */
	struct osp_orders orders;
	int64_t open_ns; /* the first drain of the transaction under way; 0 = nothing waits */
	struct osp_keep *keep;
	struct osp_switch *what; /* what is recorded, and the governor */
	int epoll, timer, signals;
	int64_t began_ns, ticks;
	uint64_t children_told;
	int64_t full_ns;      /* when it was told that the ring was nearly full; 0 = never */
	int64_t told_ns;      /* when a reading of the clocks was told for what hangs */
	uint64_t began_ticks; /* of the CPU's counter */
	int64_t forget_ns;    /* what ended before is on its way out */
	bool forgetting, stop, detached;
};

/* ---- opening ---- */

static void want(struct recorder *r, enum osp_target_kind kind, uint32_t pid, const char *text)
{
	if (r->wanted_count < sizeof(r->wanted) / sizeof(r->wanted[0]))
		r->wanted[r->wanted_count++] = (struct osp_target){kind, pid, text};
}

/* The targets of the command line; a command to start is there already, waiting to exec. */
static int find_targets(struct recorder *r)
{
	const struct osp_recorder_options *o = r->o;
	int e;

	for (size_t i = 0; i < o->pid_count; i++)
		want(r, OSP_TARGET_PID, (uint32_t)o->pids[i], NULL);
	for (size_t i = 0; i < o->path_count; i++)
		want(r, OSP_TARGET_PATH, 0, o->paths[i]);
	for (size_t i = 0; i < o->comm_count; i++)
		want(r, OSP_TARGET_COMM, 0, o->comms[i]);
	if (o->all)
		want(r, OSP_TARGET_ALL, 0, NULL);
	e = osp_binaries_new(&r->binaries, o->catalogue);
	if (!e && r->wanted_count)
		e = osp_targets_find(&r->targets, r->binaries, r->wanted, r->wanted_count);
	return e;
}

/* What the kernel side is to leave out; *out stays NULL where it can leave nothing. */
static int find_predicates(const struct osp_recorder_options *o, struct osp_predicates **out)
{
	_cleanup_free_ struct osp_predicates *p = NULL;
	int e;

	/* A capture holds what is filtered, too. */
	if (o->raw || (!o->chosen.topics && !o->chosen.where))
		return 0;
	p = malloc(sizeof(*p));
	e = p ? osp_choice_predicates(p, &o->chosen, o->catalogue) : -ENOMEM;
	if (!e)
		*out = TAKE_PTR(p);
	return e == -E2BIG ? 0 : e;
}

static int open_loader(struct recorder *r)
{
	_cleanup_free_ struct osp_predicates *chosen = NULL;
	const struct osp_recorder_options *o = r->o;
	int e = find_predicates(o, &chosen);
	struct osp_loader_options options = {
		.ring_bytes = o->ring_bytes,
		.processes = r->targets.count,
		.wanted = o->wanted,
		.sample = o->sample,
		.aggregate = o->aggregate,
		.admit = o->all || o->path_count,
		.all = o->all || o->comm_count,
	};

	options.chosen = chosen;
	return e ? e : osp_loader_open(&r->loader, o->catalogue, &options);
}

static int open_session(struct recorder *r)
{
	char name[40];
	int e;

	osp_session_name(name, osp_clock_read(CLOCK_REALTIME));
	snprintf(r->file, sizeof(r->file), "%s", r->o->file ? r->o->file : name);
	e = osp_session_create(&r->store, r->file, r->o->overwrite);
	if (!e)
		e = osp_batch_new(&r->batch, r->store, BATCH_BYTES);
	if (!e)
		e = osp_feed_open(&r->feed, r->o->catalogue, r->batch, r->o->raw);
	if (!e && (r->o->chosen.topics || r->o->chosen.where || r->o->chosen.limit.most))
		e = osp_feed_choose(r->feed, &r->o->chosen);
	return e;
}

static int watch(struct recorder *r, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e) ? osp_err(-errno, "watch a descriptor")
							  : 0;
}

static int open_loop(struct recorder *r)
{
	struct itimerspec every = {{0, TICK_MS * 1000000}, {0, TICK_MS * 1000000}};
	sigset_t set;
	int e;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->epoll < 0 || r->timer < 0 || r->signals < 0)
		return osp_err(-errno, "open the recorder's timer and signals");
	timerfd_settime(r->timer, 0, &every, NULL);
	e = watch(r, r->timer);
	e = e ? e : watch(r, r->signals);
	e = e ? e : watch(r, osp_ring_fd(osp_loader_ring(r->loader)));
	return e ? e : watch(r, osp_loader_lease_fd(r->loader));
}

/* ---- draining ---- */

/* One transaction, in which the books are those of what it holds. */
static int commit(struct recorder *r)
{
	int e = osp_feed_settle(r->feed);

	r->open_ns = 0;
	return e ? e : osp_batch_flush(r->batch);
}

static int on_record(void *arg, const struct osp_record *record, size_t size, int64_t seen_ns)
{
	struct recorder *r = arg;

	return osp_follow_record(r->follow, record, size, seen_ns);
}

static int on_discarded(void *arg, const struct osp_record *record, size_t size, int64_t seen_ns)
{
	struct recorder *r = arg;

	return osp_follow_discard(r->follow, record, size, seen_ns);
}

/*
 * The ring is nearly full, and what it holds will be stale: the oldest go, so that there is room
 * for what comes. Counting a record takes a fraction of the time that storing it does. Bounded by
 * what the ring can hold, however fast it is filled meanwhile; what that is too fast for, the
 * kernel drops.
 */
static int discard_oldest(struct recorder *r)
{
	struct osp_ring *ring = osp_loader_ring(r->loader);
	size_t bytes, capacity, most;
	int n = 1;

	osp_ring_fill(ring, &bytes, &capacity);
	if (r->o->overload != OSP_OVERLOAD_KEEP_LAST || r->detached || bytes <= capacity / 4 * 3)
		return 0;
	for (most = capacity / sizeof(struct osp_record); n > 0 && bytes > capacity / 2;) {
		n = osp_ring_drain(ring, most < DISCARD_STEP ? most : DISCARD_STEP, on_discarded,
				   r);
		most -= n > 0 ? (size_t)n : 0;
		osp_ring_give_back(ring);
		osp_ring_fill(ring, &bytes, &capacity);
	}
	return n < 0 ? n : 0;
}

/* While something can be done about it: the ring cannot grow. */
static void tell_nearly_full(struct recorder *r)
{
	size_t bytes, capacity;

	osp_ring_fill(osp_loader_ring(r->loader), &bytes, &capacity);
	if (bytes <= capacity / 4 * 3 ||
	    (r->full_ns && osp_feed_now() - r->full_ns < full_again_ns))
		return;
	r->full_ns = osp_feed_now();
	osp_warn(
		"the ring of %zu KiB is nearly full, and what does not fit is lost - give a larger --ring-size, or record less: --light, --level essential, --sample 1/N, or --overhead PERCENT, which does so by itself",
		capacity >> 10);
}

/*
 * Commits what was drained a while ago: the parts of a trace mostly come together then, and each
 * page is written once for many of them.
 */
static int commit_old(struct recorder *r, bool drained)
{
	int64_t now = osp_feed_now();

	if (!r->open_ns && drained)
		r->open_ns = now;
	return !r->open_ns || now - r->open_ns < commit_ns ? 0 : commit(r);
}

/* One bounded drain. Returns the number of records. */
static int drain(struct recorder *r)
{
	int e, n;

	tell_nearly_full(r);
	e = discard_oldest(r);
	n = e ? e : osp_ring_drain(osp_loader_ring(r->loader), DRAIN_MAX, on_record, r);

	e = n < 0 ? n : osp_follow_settle(r->follow);
	e = e ? e : commit_old(r, n > 0);
	return e ? e : n;
}

static int drain_all(struct recorder *r, int most)
{
	int n = 1;

	while (n > 0 && most-- > 0)
		n = drain(r);
	return n < 0 ? n : 0;
}

/* ---- the flight recorder ---- */

static int keep_note(void *arg, const char *name, const char *value)
{
	struct recorder *r = arg;

	return osp_feed_setting(r->feed, name, value);
}

/* It is forgotten by and by, between two drains: see forget_some. */
static int keep_forget(void *arg, int64_t before_ns)
{
	struct recorder *r = arg;

	r->forget_ns = before_ns;
	r->forgetting = true;
	return 0;
}

/* A bounded part: the ring fills meanwhile. */
static int forget_some(struct recorder *r)
{
	int e = r->forgetting ? commit(r) : 0;

	if (e || !r->forgetting)
		return e;
	e = osp_store_forget(r->store, r->forget_ns, &r->forgetting);
	return e ? osp_err(e, "forget what ended long ago: %s", osp_store_error(r->store)) : 0;
}

/* What has been drained is in the copy. */
static int keep_save(void *arg, const char *path)
{
	struct recorder *r = arg;
	int e = commit(r);

	e = e ? e : osp_store_save(r->store, path, false);
	return e && e != -EEXIST ? osp_err(e, "save %s: %s", path, osp_store_error(r->store)) : e;
}

static void keep_part(void *arg, const struct osp_part *part)
{
	struct recorder *r = arg;

	osp_keep_part(r->keep, part);
}

static int open_keep(struct recorder *r)
{
	const struct osp_keep_back back = {r, keep_note, keep_forget, keep_save};
	int e = osp_keep_new(&r->keep, &r->o->keep, &back, r->file);

	if (!e)
		osp_feed_watch(r->feed, keep_part, r);
	return e;
}

static int save_now(void *arg, const char *why, const char *path, char out[OSP_KEEP_PATH])
{
	struct recorder *r = arg;

	return osp_keep_save(r->keep, why, path, osp_feed_now(), osp_clock_read(CLOCK_REALTIME),
			     out);
}

/* ---- what is recorded ---- */

static int drain_some(void *arg)
{
	return drain_all(arg, CHANGE_DRAINS);
}

static int open_switch(struct recorder *r)
{
	const struct osp_switch_back back = {r->loader, r->follow, r->feed, r->cost, drain_some, r};

	return osp_switch_new(&r->what, &back, &r->o->wanted, r->o->sample, r->o->overhead);
}

/* ---- orders ---- */

/* Stops in good order; from then on the next SIGINT ends the program at once. */
static void begin_stop(void *arg)
{
	struct recorder *r = arg;
	sigset_t set;

	r->stop = true;
	signal(SIGINT, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* A recorder that cannot listen records all the same. */
static int open_control(struct recorder *r)
{
	int e;

	r->orders = (struct osp_orders){.options = r->o,
					.file = r->file,
					.loader = r->loader,
					.feed = r->feed,
					.follow = r->follow,
					.cost = r->cost,
					.began_ns = r->began_ns,
					.keep = r->keep,
					.what = r->what,
					.stop = begin_stop,
					.save = save_now,
					.arg = r};
	osp_orders_tick(&r->orders);
	e = osp_control_open(&r->control, r->file, osp_orders_answer, &r->orders);
	if (e)
		osp_warn("listen for outspan ctl: %s", strerror(-e));
	return e ? 0 : watch(r, osp_control_fd(r->control));
}

/* ---- attaching ---- */

static void tell_bystanders(struct recorder *r)
{
	for (size_t i = 0; i < r->targets.count; i++)
		if (!r->targets.found[i].target)
			osp_info(
				"%s (%u) runs the same binary: its points turn on too, its hits are not recorded",
				r->targets.found[i].process.comm, r->targets.found[i].process.pid);
}

static int attach_all(struct recorder *r)
{
	int e = osp_feed_attach(r->feed, UINT32_MAX, false, true);

	if (!e && !r->o->all && !r->o->path_count)
		e = osp_targets_add_bystanders(&r->targets, r->binaries);
	for (size_t i = 0; !e && i < r->targets.binary_count; i++)
		e = osp_follow_binary(r->follow, r->targets.binaries[i]);
	for (size_t i = 0; !e && i < r->targets.count; i++)
		if (r->targets.found[i].target)
			e = osp_follow_found(r->follow, &r->targets.found[i]);
	if (!e && r->launch)
		e = osp_follow_launch(r->follow, r->binaries, r->launch);
	return e ? e : osp_feed_attach(r->feed, UINT32_MAX, false, false);
}

static void tell_ready(struct recorder *r)
{
	struct osp_follow_stats s;
	char line[128];

	osp_follow_stats(r->follow, &s);
	tell_bystanders(r);
	snprintf(line, sizeof(line), "ready: %zu site%s, %zu process%s", s.sites,
		 osp_text_plural(s.sites), s.processes, s.processes == 1 ? "" : "es");
	if (!s.sites && !r->o->all)
		osp_warn(
			"none of the targets has trace points that a loaded catalogue knows, so far - see outspan probes");
	osp_info("recording into %s - stop with Ctrl-C", r->file);
	osp_info("%s", line);
	osp_launch_notify_ready(line);
}

static int read_trial(struct recorder *r)
{
	osp_trial_read(r->trial, &r->tried);
	if (r->tried.wide[OSP_WIDE_10] == OSP_WIDE_WORKS)
		osp_loader_use_wide(r->loader);
	return osp_cost_new(&r->cost, r->loader, r->tried.empty_ns);
}

static int start(struct recorder *r)
{
	int e = r->o->command ? osp_launch_new(&r->launch, r->o->command) : 0;

	/*
	 * The ring must be drained when the targets keep every CPU busy, and links made and tried
	 * all the more: not permitted is no harm. The command has its own priority by now.
	 */
	setpriority(PRIO_PROCESS, 0, -20);
	e = e ? e : osp_trial_start(&r->trial, false);
	e = e ? e : find_targets(r);
	e = e ? e : open_loader(r);
	if (!e)
		osp_trial_let_go(r->trial);
	e = e ? e : open_session(r);
	e = e ? e : open_loop(r);
	e = e ? e : read_trial(r);
	e = e ? e : osp_follow_new(&r->follow, r->loader, r->binaries, r->feed, r->cost);
	if (e)
		return e;
	for (size_t i = 0; i < r->wanted_count; i++)
		osp_follow_want(r->follow, &r->wanted[i]);
	r->began_ns = osp_feed_now();
	r->began_ticks = osp_clock_counter();
	e = open_keep(r);
	e = e ? e : open_switch(r);
	e = e ? e
	      : osp_session_tell(r->feed, r->o, osp_attach_form_to_str(osp_loader_form(r->loader)),
				 r->tried.wide[OSP_WIDE_10]);
	e = e ? e : osp_feed_stamp(r->feed);
	e = e ? e : attach_all(r);
	e = e ? e : osp_feed_stamp(r->feed);
	e = e ? e : osp_batch_flush(r->batch);
	e = e ? e : open_control(r);
	if (e)
		return e;
	tell_ready(r);
	return r->launch ? osp_launch_go(r->launch) : 0;
}

/* ---- the loop ---- */

/* What only the kernel knows is in the books while it records, too: it may be the last that is. */
static int on_losses(void *arg, uint32_t slot, uint32_t point, const struct osp_counter *c)
{
	struct recorder *r = arg;
	uint64_t lost = 0;

	for (int i = 0; i < OSP_LOSS_KERNEL_COUNT; i++)
		lost |= c->lost[i];
	return lost ? osp_feed_counters(r->feed, slot, point, c, false) : 0;
}

/* What they do is in no books: the session counts them. */
static int tell_children(struct recorder *r)
{
	struct osp_loader_stats s;
	char text[24];

	osp_loader_stats(r->loader, &s);
	if (s.children_lost == r->children_told)
		return 0;
	r->children_told = s.children_lost;
	snprintf(text, sizeof(text), "%" PRIu64, s.children_lost);
	return osp_feed_setting(r->feed, OSP_SESSION_CHILDREN_LOST, text);
}

/*
 * What was found in blocks is told at once, before anybody reads the session without; and for how
 * long it hangs, readers know by a reading of the clocks.
 */
static int look_at_hung(struct recorder *r)
{
	size_t hung;
	int e = osp_feed_peek(r->feed, false, &hung);

	if (!e && hung)
		e = osp_feed_tick(r->feed);
	if (e || !hung || osp_feed_now() - r->told_ns < hung_ns)
		return e;
	r->told_ns = osp_feed_now();
	return osp_feed_clock(r->feed);
}

static int on_tick(struct recorder *r)
{
	uint64_t count;
	int e;

	if (read(r->timer, &count, sizeof(count)) < 0)
		return 0;
	e = osp_feed_tick(r->feed);
	e = e ? e : look_at_hung(r);
	e = e ? e : osp_feed_stamp(r->feed);
	if (!e && ++r->ticks % CLOCK_TICKS == 0)
		e = osp_feed_clock(r->feed);
	e = e ? e : osp_follow_tick(r->follow);
	e = e ? e : osp_loader_counters(r->loader, on_losses, r);
	e = e ? e : tell_children(r);
	e = e ? e : osp_keep_tick(r->keep, osp_feed_now(), osp_clock_read(CLOCK_REALTIME));
	e = e ? e : commit(r);
	osp_cost_tick(r->cost);
	e = e ? e : osp_switch_tick(r->what);
	osp_orders_tick(&r->orders);
	if (r->control)
		osp_control_tick(r->control, osp_feed_now());
	osp_progress_show(r->feed, osp_feed_now() - r->began_ns);
	if (r->o->for_ns && osp_feed_now() - r->began_ns >= r->o->for_ns)
		r->stop = true;
	if (osp_follow_is_over(r->follow))
		r->stop = true;
	return e;
}

static void on_signal(struct recorder *r)
{
	struct signalfd_siginfo s;
	char copy[OSP_KEEP_PATH];

	if (read(r->signals, &s, sizeof(s)) != sizeof(s))
		return;
	if (s.ssi_signo == SIGUSR1)
		save_now(r, "signal", NULL, copy); /* what fails was told */
	else
		begin_stop(r);
}

static int wait_ms(const struct recorder *r)
{
	int ring = osp_ring_timeout_ms(osp_loader_ring(r->loader));
	int lease = osp_loader_timeout_ms(r->loader);

	if (r->forgetting)
		return 0;
	return ring < 0 ? lease : lease < 0 || ring < lease ? ring : lease;
}

static int loop(struct recorder *r)
{
	struct epoll_event events[8];
	int e = 0;

	while (!e && !r->stop) {
		int n = epoll_wait(r->epoll, events, 8, wait_ms(r));

		if (n < 0 && errno != EINTR)
			return osp_err(-errno, "wait for records");
		osp_cost_wake(r->cost);
		osp_loader_grow(r->loader);
		for (int i = 0; i < n && !e; i++) {
			if (events[i].data.fd == r->timer)
				e = on_tick(r);
			else if (events[i].data.fd == r->signals)
				on_signal(r);
			else if (r->control && events[i].data.fd == osp_control_fd(r->control))
				osp_control_handle(r->control, osp_feed_now());
		}
		e = e ? e : osp_follow_leases(r->follow);
		if (!e) {
			n = drain(r);
			e = n < 0 ? n : forget_some(r);
		}
	}
	return e;
}

/* ---- the end ---- */

static int on_counter(void *arg, uint32_t slot, uint32_t point, const struct osp_counter *c)
{
	struct recorder *r = arg;

	return osp_feed_counters(r->feed, slot, point, c, true);
}

/* The rate of the counter is that of the whole recording. */
static int tell_aggregates(struct recorder *r)
{
	uint64_t ticks = osp_clock_counter() - r->began_ticks;
	double rate = ticks ? (double)(osp_feed_now() - r->began_ns) / (double)ticks : 0;

	if (!r->o->aggregate)
		return 0;
	return osp_latency_tell(r->loader, r->feed, r->o->catalogue, rate);
}

/* The last word of a session; without it its readers say that it was cut off. */
static int tell_end(struct recorder *r)
{
	char text[40];

	osp_text_time(text, osp_clock_read(CLOCK_REALTIME), true);
	return osp_feed_setting(r->feed, OSP_SESSION_ENDED, text);
}

static int tell_cost(struct recorder *r)
{
	struct osp_pipeline_stats s;

	osp_feed_stats(r->feed, &s);
	osp_cost_summarize(r->cost, r->began_ns, s.events, &r->spent);
	return osp_cost_tell(&r->spent, r->feed);
}

/* Drain, commit, detach, drain, commit, read the counters, close the books. */
static int stop(struct recorder *r)
{
	size_t open;
	int e;

	osp_follow_stop(r->follow); /* nobody would read what comes from sites attached now */
	e = drain_all(r, CHANGE_DRAINS);
	e = e ? e
	      : osp_feed_peek(r->feed, true,
			      &open); /* before detach: steps are stamped no more then */
	e = e ? e : osp_feed_attach(r->feed, UINT32_MAX, true, true);
	e = e ? e : commit(r);
	osp_loader_detach_all(r->loader);
	r->detached = true; /* nothing more comes: all that waits is stored */
	e = e ? e : drain_all(r, INT32_MAX);
	e = e ? e : osp_feed_attach(r->feed, UINT32_MAX, true, false);
	e = e ? e : osp_feed_clock(r->feed);
	e = e ? e : osp_loader_counters(r->loader, on_counter, r);
	e = e ? e : tell_children(r);
	e = e ? e : tell_aggregates(r);
	e = e ? e : tell_cost(r);
	e = e ? e : tell_end(r);
	e = e ? e : osp_feed_stop(r->feed);
	return e ? e : commit(r);
}

static void clear(struct recorder *r)
{
	osp_control_close(&r->control);
	osp_follow_free(&r->follow);
	osp_cost_free(&r->cost);
	osp_keep_free(&r->keep);
	osp_switch_free(&r->what);
	osp_loader_close(&r->loader);
	osp_feed_close(&r->feed);
	osp_batch_free(&r->batch);
	if (r->store)
		osp_store_close(&r->store, false);
	osp_launch_free(&r->launch);
	osp_trial_free(&r->trial);
	osp_targets_clear(&r->targets);
	osp_binaries_free(&r->binaries);
	osp_cleanup_close(&r->epoll);
	osp_cleanup_close(&r->timer);
	osp_cleanup_close(&r->signals);
}

static int finish(struct recorder *r, int failed)
{
	struct osp_progress_summary s = {.file = r->file};
	int e = failed ? failed : stop(r);

	osp_progress_end();
	osp_feed_stats(r->feed, &s.pipeline);
	osp_loader_stats(r->loader, &s.loader);
	s.cost = &r->spent;
	s.form = osp_switch_now(r->what)->form;
	if (!e)
		e = osp_feed_close(&r->feed);
	if (!e)
		e = osp_store_close(&r->store, true);
	if (e)
		return osp_err(0, "%s holds what was recorded until this failed", r->file), e;
	osp_progress_summary(&s);
	return 0;
}

int osp_recorder_run(const struct osp_recorder_options *o)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->o = o;
	r->epoll = r->timer = r->signals = -1;
	e = start(r);
	if (!e)
		e = finish(r, loop(r));
	clear(r);
	free(r);
	return e;
}
