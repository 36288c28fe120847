/*
 * The reader's view of a session: opens a store and keeps the small tables that every command
 * needs (processes, clock readings) in memory. Fed by osp_store_parts, used by the commands in
 * user/; owns the store and copies of those rows.
 */
#include "store/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/arena.h"
#include "user/base/cleanup.h"
#include "user/base/rows.h"

/* Table sizes are bounded by what a recording can hold; a file with more is not one of ours. */
enum { MAX_ROWS = 1 << 20 };

typedef int take_fn(struct osp_session *s, const struct osp_part *part);

static int take_process(struct osp_session *s, const struct osp_part *part)
{
	struct osp_process_row p = part->process;
	int r = osp_rows_grow((void **)&s->processes, s->process_count, sizeof(p), MAX_ROWS);

	r = r ? r : osp_arena_keep(s->texts, &p.comm);
	r = r ? r : osp_arena_keep(s->texts, &p.exe);
	r = r ? r : osp_arena_keep(s->texts, &p.cmdline);
	if (!r)
		s->processes[s->process_count++] = p;
	return r;
}

static int take_clock(struct osp_session *s, const struct osp_part *part)
{
	int r = osp_rows_grow((void **)&s->clocks, s->clock_count, sizeof(*s->clocks), MAX_ROWS);

	if (!r)
		s->clocks[s->clock_count++] = part->clock;
	return r;
}

static int take_forgotten(struct osp_session *s, const char *process, const char *steps)
{
	int r = osp_rows_grow((void **)&s->forgotten, s->forgotten_count, sizeof(*s->forgotten),
			      MAX_ROWS);

	if (!r)
		s->forgotten[s->forgotten_count++] = (struct osp_forgotten){
			(uint32_t)strtoul(process, NULL, 10), strtoull(steps, NULL, 10)};
	return r;
}

static int take_setting(struct osp_session *s, const struct osp_part *part)
{
	const struct {
		const char *name;
		uint64_t *number;
	} numbers[] = {
		{OSP_SESSION_BAD_RECORDS, &s->bad_records},
		{OSP_SESSION_CHILDREN_LOST, &s->children_lost},
		{OSP_SESSION_STEP_ERROR, &s->step_error_ns},
		{OSP_SESSION_STEP_JUMPS, &s->step_jumps},
		{OSP_SESSION_STEP_CONTRADICTIONS, &s->step_contradictions},
	};
	const char *name = part->session.name, *value = part->session.value;
	const size_t forgotten = strlen(OSP_SESSION_FORGOTTEN);

	s->ended |= !strcmp(name, OSP_SESSION_ENDED);
	if (!strcmp(name, OSP_SESSION_COMMITTED))
		s->committed_ns = strtoll(value, NULL, 10);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!strcmp(name, numbers[i].name))
			*numbers[i].number = strtoull(value, NULL, 10);
	if (!strncmp(name, OSP_SESSION_FORGOTTEN, forgotten))
		return take_forgotten(s, name + forgotten, value);
	return 0;
}

static int take_all(struct osp_session *s, enum osp_part_kind kind, take_fn *take)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(s->store, kind, &c);

	if (r)
		return r;
	while (!(r = osp_cursor_next_part(c, &part))) {
		r = take(s, &part);
		if (r)
			return r;
	}
	return r < 0 ? r : 0;
}

int osp_session_open(struct osp_session **out, const char *file, char error[512])
{
	_cleanup_(osp_session_close) struct osp_session *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *uri = NULL;
	bool is_uri = !strncmp(file, "sqlite:", 7) || !strncmp(file, "mem:", 4);
	int r;

	if (!s || !(s->texts = calloc(1, sizeof(struct osp_arena))) ||
	    asprintf(&uri, "%s%s", is_uri ? "" : "sqlite:", file) < 0) {
		snprintf(error, 512, "%.300s: no memory", file);
		return -ENOMEM;
	}
	r = osp_store_open(&s->store, uri, OSP_STORE_READ, error);
	if (r)
		return r;
	r = take_all(s, OSP_PART_PROCESS, take_process);
	r = r ? r : take_all(s, OSP_PART_CLOCK, take_clock);
	r = r ? r : take_all(s, OSP_PART_SESSION, take_setting);
	if (r) {
		const char *why = osp_store_error(s->store);

		snprintf(error, 512, "%s", *why ? why : strerror(-r));
		return r;
	}
	*out = TAKE_PTR(s);
	return 0;
}

void osp_session_close(struct osp_session **s)
{
	if (!*s)
		return;
	osp_store_close(&(*s)->store, false);
	if ((*s)->texts)
		osp_arena_clear((*s)->texts);
	free((*s)->texts);
	free((*s)->processes);
	free((*s)->clocks);
	free((*s)->forgotten);
	free(*s);
	*s = NULL;
}

const struct osp_process_row *osp_session_process(const struct osp_session *s, uint32_t key)
{
	size_t low = 0, high = s->process_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->processes[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->process_count && s->processes[low].key == key ? &s->processes[low] : NULL;
}

int64_t osp_session_wall_offset(const struct osp_session *s, int64_t boot_ns)
{
	size_t n = s->clock_count;

	while (n && s->clocks[n - 1].boot_ns > boot_ns)
		n--;
	return n ? s->clocks[n - 1].offset_ns : s->clock_count ? s->clocks[0].offset_ns : 0;
}
