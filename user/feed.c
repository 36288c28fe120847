/*
 * Between the recorder, which talks to the kernel and to /proc, and the pipeline, which knows
 * neither: turns what was learnt into inputs, keeps track of which processes the pipeline has
 * been told about, and tees every input into the raw capture. Owns the pipeline and the capture;
 * its parts go into the caller's batch. Nothing here waits or attaches.
 */
#include "user/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/base/owner.h"
#include "user/peek.h"
#include "user/process.h"
#include "user/raw.h"

enum {
	STAMP_TRIES = 5,
	PEEK_TICK = 64,	 /* blocks that are looked into at a tick */
	PEEK_ALL = 4096, /* and at the end */
};

/* What a process is called; its children are called so until they exec. */
struct name {
	bool told;
	uint32_t pid;
	char comm[OSP_PROCESS_COMM];
	char *exe; /* owned; NULL = unknown */
};

struct osp_feed {
	struct osp_pipeline *pipeline;
	struct osp_batch *batch; /* borrowed: the recorder's, freed after the feed */
	struct osp_raw *raw;	 /* or NULL */
	FILE *file;		 /* of the capture */
	void (*watch)(void *arg, const struct osp_part *part); /* or NULL */
	void *watch_arg;
	struct name names[OSP_EVENT_PROCESSES]; /* of the slots that the pipeline knows */
	bool numbered[OSP_EVENT_NUMBERS];	/* tables that the pipeline knows */
};

static int into_batch(void *arg, const struct osp_part *part)
{
	struct osp_feed *f = arg;

	if (f->watch)
		f->watch(f->watch_arg, part);
	return osp_batch_add(f->batch, part);
}

/* A new file for its owner alone: it holds what the session holds. */
static int open_capture(struct osp_feed *f, const char *path, const struct osp_catalogue *c)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return osp_err(-errno, "create the raw capture %s - give another name", path);
	r = osp_owner_give(fd);
	if (r) {
		close(fd);
		return osp_err(r, "give the raw capture %s to the user", path);
	}
	f->file = fdopen(fd, "w");
	if (!f->file) {
		close(fd);
		return -ENOMEM;
	}
	r = osp_raw_create(&f->raw, f->file, c);
	return r ? osp_err(r, "write the raw capture %s", path) : 0;
}

int osp_feed_open(struct osp_feed **out, const struct osp_catalogue *c, struct osp_batch *batch,
		  const char *raw)
{
	struct osp_feed *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->batch = batch;
	r = osp_pipeline_new(&f->pipeline, c, NULL, into_batch, f);
	if (!r && raw)
		r = open_capture(f, raw, c);
	if (r) {
		osp_feed_close(&f);
		return r;
	}
	*out = f;
	return 0;
}

int osp_feed_choose(struct osp_feed *f, const struct osp_choice_rules *rules)
{
	return osp_pipeline_choose(f->pipeline, rules);
}

void osp_feed_watch(struct osp_feed *f, void (*fn)(void *arg, const struct osp_part *part),
		    void *arg)
{
	f->watch = fn;
	f->watch_arg = arg;
}

int osp_feed_close(struct osp_feed **f)
{
	int r = 0;

	if (!*f)
		return 0;
	osp_raw_free(&(*f)->raw);
	if ((*f)->file && fclose((*f)->file))
		r = osp_err(-errno, "write the raw capture");
	osp_pipeline_free(&(*f)->pipeline);
	for (size_t i = 0; i < OSP_EVENT_PROCESSES; i++)
		free((*f)->names[i].exe);
	free(*f);
	*f = NULL;
	return r;
}

int64_t osp_feed_now(void)
{
	return osp_clock_read(CLOCK_BOOTTIME);
}

int osp_feed_input(struct osp_feed *f, const struct osp_input *in)
{
	int r = f->raw ? osp_raw_write(f->raw, in) : 0;

	return r ? r : osp_pipeline_push(f->pipeline, in);
}

/* Tells the pipeline of a process, and remembers its name. */
static int tell(struct osp_feed *f, uint32_t slot, uint32_t exec_id, const struct osp_process *p)
{
	struct osp_input in = {.kind = OSP_INPUT_PROCESS, .time_ns = osp_feed_now()};
	struct name *n = &f->names[slot];

	n->told = true;
	n->pid = p->pid;
	snprintf(n->comm, sizeof(n->comm), "%s", p->comm);
	n->exe = strdup(p->exe);
	in.process = (struct osp_input_process){
		.slot = slot,
		.pid = p->pid,
		.namespace_pid = p->namespace_pid,
		.uid = p->uid,
		.exec_id = exec_id,
		.parent_pid = p->parent_pid,
		.start_ns = p->start_ns,
		.comm = p->comm,
		.exe = p->exe,
		.cmdline = p->cmdline,
	};
	return osp_feed_input(f, &in);
}

int osp_feed_process(struct osp_feed *f, uint32_t slot, uint32_t pid)
{
	_cleanup_free_ struct osp_process *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	if (osp_feed_knows(f, slot))
		return 0;
	if (osp_process_read(p, pid))
		*p = (struct osp_process){.pid = pid}; /* gone already */
	return tell(f, slot, 0, p);
}

/* What the record itself says of a process that /proc no longer shows. */
static void name_by_record(const struct osp_feed *f, const struct osp_record *record, size_t size,
			   struct osp_process *p)
{
	const char *names = (const char *)(record + 1);
	const struct name *parent;

	if (record->kind == OSP_RECORD_EXEC && record->data_size >= OSP_EVENT_COMM &&
	    (size_t)record->data_size <= size - sizeof(*record)) {
		snprintf(p->comm, sizeof(p->comm), "%.*s", OSP_EVENT_COMM, names);
		snprintf(p->exe, sizeof(p->exe), "%.*s", record->data_size - OSP_EVENT_COMM,
			 names + OSP_EVENT_COMM);
	}
	if (record->kind != OSP_RECORD_FORK || record->site >= OSP_EVENT_PROCESSES)
		return;
	parent = &f->names[record->site];
	p->parent_pid = (uint32_t)record->value;
	snprintf(p->comm, sizeof(p->comm), "%s", parent->comm);
	snprintf(p->exe, sizeof(p->exe), "%s", parent->exe ? parent->exe : "");
}

int osp_feed_meet(struct osp_feed *f, const struct osp_record *record, size_t size)
{
	_cleanup_free_ struct osp_process *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	if (osp_process_read(p, record->pid) || !*p->exe) {
		p->pid = record->pid;
		name_by_record(f, record, size, p);
	}
	p->start_ns = record->start_ns;
	return tell(f, record->process, record->exec_id, p);
}

static int push_record(struct osp_feed *f, enum osp_input_kind kind,
		       const struct osp_record *record, size_t size, int64_t seen_ns)
{
	struct osp_input in = {.kind = kind, .time_ns = seen_ns};
	int r = 0;

	if (record->process && !osp_feed_knows(f, record->process))
		r = osp_feed_meet(f, record, size);
	if (r)
		return r;
	in.record = record;
	in.size = size;
	return osp_feed_input(f, &in);
}

int osp_feed_record(struct osp_feed *f, const struct osp_record *record, size_t size,
		    int64_t seen_ns)
{
	return push_record(f, OSP_INPUT_RECORD, record, size, seen_ns);
}

int osp_feed_discard(struct osp_feed *f, const struct osp_record *record, size_t size,
		     int64_t seen_ns)
{
	return push_record(f, OSP_INPUT_DISCARD, record, size, seen_ns);
}

int osp_feed_tick(struct osp_feed *f)
{
	struct osp_input in = {.kind = OSP_INPUT_TICK, .time_ns = osp_feed_now()};

	return osp_feed_input(f, &in);
}

/* Boot, wall, boot: the wall time belongs to the middle, the error is half the distance. */
int osp_feed_clock(struct osp_feed *f)
{
	int64_t before = osp_clock_read(CLOCK_BOOTTIME), wall = osp_clock_read(CLOCK_REALTIME);
	int64_t after = osp_clock_read(CLOCK_BOOTTIME);
	struct osp_input in = {.kind = OSP_INPUT_CLOCK, .time_ns = before + (after - before) / 2};

	in.clock.wall_ns = wall;
	in.clock.error_ns = (after - before + 1) / 2;
	return osp_feed_input(f, &in);
}

/* The narrowest of some tries: one in between may have been interrupted. */
int osp_feed_stamp(struct osp_feed *f)
{
	struct osp_input in = {.kind = OSP_INPUT_STAMP}, try = in;

	for (int i = 0; i < STAMP_TRIES; i++) {
		try.stamp.low_ns = osp_clock_read(CLOCK_BOOTTIME);
		try.stamp.stamp = osp_clock_counter();
		try.stamp.high_ns = try.time_ns = osp_clock_read(CLOCK_BOOTTIME);
		if (!i || try.stamp.high_ns - try.stamp.low_ns < in.stamp.high_ns - in.stamp.low_ns)
			in = try;
	}
	return osp_feed_input(f, &in);
}

int osp_feed_setting(struct osp_feed *f, const char *name, const char *value)
{
	struct osp_input in = {.kind = OSP_INPUT_SETTING, .time_ns = osp_feed_now()};

	in.setting.name = name;
	in.setting.value = value;
	return osp_feed_input(f, &in);
}

int osp_feed_numbers(struct osp_feed *f, const struct osp_binary *b)
{
	struct osp_input in = {.kind = OSP_INPUT_NUMBERS, .time_ns = osp_feed_now()};
	int r = 0;

	for (size_t i = 0; !r && i < b->count; i++) {
		const struct osp_site *s = &b->sites[i];

		if (!s->numbers || f->numbered[s->numbers])
			continue;
		f->numbered[s->numbers] = true;
		in.numbers = (struct osp_input_numbers){s->numbers, s->table};
		r = osp_feed_input(f, &in);
	}
	return r;
}

int osp_feed_sites(struct osp_feed *f, uint32_t slot, const struct osp_found *found)
{
	struct osp_input in = {.kind = OSP_INPUT_SITES, .time_ns = osp_feed_now()};
	struct count {
		uint16_t sites, attached, fire;
	} counts[OSP_CATALOGUE_POINTS] = {{0}};
	int r = 0;

	for (size_t i = 0; i < found->binary_count; i++) {
		const struct osp_binary *b = found->binaries[i];

		for (size_t k = 0; k < b->count; k++) {
			if (b->sites[k].state != OSP_SITE_KNOWN)
				continue;
			counts[b->sites[k].point->number].sites++;
			counts[b->sites[k].point->number].attached += b->sites[k].attached;
			counts[b->sites[k].point->number].fire +=
				b->sites[k].attached && !b->sites[k].carried;
		}
	}
	for (uint16_t n = 0; !r && n < OSP_CATALOGUE_POINTS; n++) {
		if (!counts[n].sites)
			continue;
		in.sites = (struct osp_input_sites){slot, n, counts[n].sites,
						    counts[n].attached > 0, counts[n].fire > 0};
		r = osp_feed_input(f, &in);
	}
	return r;
}

int osp_feed_counters(struct osp_feed *f, uint32_t slot, uint32_t point,
		      const struct osp_counter *counter, bool last)
{
	struct osp_input in = {.kind = OSP_INPUT_COUNTERS, .time_ns = osp_feed_now()};

	in.counters = (struct osp_input_counters){slot, (uint16_t)point, *counter, last};
	return osp_feed_input(f, &in);
}

int osp_feed_stop(struct osp_feed *f)
{
	struct osp_input in = {.kind = OSP_INPUT_STOP, .time_ns = osp_feed_now()};

	return osp_feed_input(f, &in);
}

int osp_feed_settle(struct osp_feed *f)
{
	return osp_pipeline_settle(f->pipeline);
}

bool osp_feed_knows(const struct osp_feed *f, uint32_t slot)
{
	return slot >= OSP_EVENT_PROCESSES || f->names[slot].told;
}

const char *osp_feed_comm(const struct osp_feed *f, uint32_t slot, uint32_t *pid)
{
	*pid = slot < OSP_EVENT_PROCESSES ? f->names[slot].pid : 0;
	return slot < OSP_EVENT_PROCESSES ? f->names[slot].comm : "";
}

int osp_feed_attach(struct osp_feed *f, uint32_t slot, bool detach, bool begins)
{
	struct osp_input in = {.kind = OSP_INPUT_ATTACH, .time_ns = osp_feed_now()};

	in.attach = (struct osp_input_attach){.slot = slot, .detach = detach, .begins = begins};
	return osp_feed_input(f, &in);
}

int osp_feed_peek(struct osp_feed *f, bool all, size_t *hung_count)
{
	_cleanup_free_ struct osp_record *record = NULL;
	struct osp_hung *hung _cleanup_free_ = NULL;
	size_t most = all ? PEEK_ALL : PEEK_TICK, n;
	int r = 0;

	hung = calloc(most, sizeof(*hung));
	record = malloc(sizeof(*record) + OSP_EVENT_DATA);
	if (!hung || !record)
		return -ENOMEM;
	n = osp_pipeline_hung(f->pipeline, all, hung, most);
	*hung_count = n;
	for (size_t i = 0; !r && i < n; i++)
		if (!osp_peek_read(&hung[i], osp_feed_now(), record))
			r = osp_feed_record(f, record, sizeof(*record) + (size_t)record->data_size,
					    (int64_t)record->time_ns);
	return r;
}

void osp_feed_stats(const struct osp_feed *f, struct osp_pipeline_stats *out)
{
	osp_pipeline_stats(f->pipeline, out);
}
