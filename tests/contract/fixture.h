/*
 * What the programs of the contract suite share: a store of each kind for every behaviour, small
 * parts, and expectations about what a store says. Header only.
 */
#pragma once

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"
#include "tests/sample.h"
#include "user/base/text.h"

struct fixture {
	struct osp_store *store;
	char directory[64], uri[128];
};

#define assert_ok(r) assert_int_equal(r, 0)

/* ---- fixture ---- */

static inline struct osp_store *open_store(const char *uri, enum osp_store_mode mode)
{
	struct osp_store *s = NULL;
	char error[512] = "";

	if (osp_store_open(&s, uri, mode, error))
		fail_msg("%s", error);
	return s;
}

static inline int set_up_mem(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->uri, "mem:");
	f->store = open_store(f->uri, OSP_STORE_CREATE);
	*state = f;
	return 0;
}

static inline int set_up_sqlite(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/outspan-contract-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->uri, sizeof(f->uri), "sqlite:%s/session.db", f->directory);
	f->store = open_store(f->uri, OSP_STORE_CREATE);
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->store)
		osp_store_close(&f->store, true);
	if (*f->directory) {
		unlink(f->uri + 7);
		rmdir(f->directory);
	}
	free(f);
	return 0;
}

static inline void write_parts(struct fixture *f, const struct osp_part *parts, size_t count)
{
	if (osp_store_write(f->store, parts, count))
		fail_msg("%s", osp_store_error(f->store));
}

static inline char *dump(struct osp_store *s)
{
	char *text = NULL;
	size_t size;
	FILE *m = open_memstream(&text, &size);

	assert_ok(osp_store_dump(s, m, NULL));
	fclose(m);
	return text;
}

static inline void expect_dump(struct fixture *f, const char *expected)
{
	char *text = dump(f->store);

	assert_string_equal(text, expected);
	free(text);
}

/* An operation of one span and one step, for tests that are about something else. */
struct small {
	struct osp_row_span span;
	struct osp_step step;
};

static inline struct osp_part small_row(struct small *m, uint64_t id, uint64_t trace, int64_t start)
{
	*m = (struct small){.span = {.kind_name = "work",
				     .name = "work it",
				     .kind = OSP_SPAN_INTERNAL,
				     .start_ns = start,
				     .end_ns = start + 10},
			    .step = {.time_ns = start, .name = "begun"}};
	return (struct osp_part){.kind = OSP_PART_ROW,
				 .row = {.id = id,
					 .trace = trace,
					 .process = 1,
					 .tid = 2,
					 .complete = true,
					 .spans = &m->span,
					 .span_count = 1,
					 .steps = &m->step,
					 .step_count = 1}};
}

static inline struct osp_part edge(uint64_t from, uint64_t to, const char *makes, const char *grade)
{
	return (struct osp_part){.kind = OSP_PART_EDGE,
				 .edge = {.from = from,
					  .to = to,
					  .rule = "rule",
					  .makes = makes,
					  .evidence = "message_id",
					  .grade = grade}};
}

static inline struct osp_part patch(uint64_t id, uint64_t trace, uint32_t marks)
{
	return (struct osp_part){.kind = OSP_PART_PATCH,
				 .patch = {.id = id, .trace = trace, .marks = marks}};
}

/* "ID<PARENT ID<PARENT ..." of a trace, in the order of the store. */
static inline void expect_tree(struct fixture *f, uint64_t trace, const char *expected)
{
	struct osp_cursor *c = NULL;
	struct osp_span span;
	char text[400] = "";
	size_t n = 0;
	int r;

	assert_ok(osp_store_spans(f->store, trace, &c));
	while (!(r = osp_cursor_next_span(c, &span)))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRIx64 "<%" PRIx64,
				      n ? " " : "", span.id, span.parent_id);
	assert_int_equal(r, 1);
	osp_cursor_close(&c);
	assert_string_equal(text, expected);
}

/* "KEY/SPANS/LINKS/MARKS ..." of the listing. */
static inline void expect_traces(struct fixture *f, int64_t limit, bool newest,
				 const char *expected)
{
	struct osp_trace_query q = {.limit = limit, .newest = newest};
	struct osp_cursor *c = NULL;
	struct osp_trace t;
	char text[400] = "";
	size_t n = 0;
	int r;

	assert_ok(osp_store_traces(f->store, &q, &c));
	while (!(r = osp_cursor_next_trace(c, &t)))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRIu64 "/%u/%u/%x",
				      n ? " " : "", t.key, t.spans, t.links, t.marks);
	assert_int_equal(r, 1);
	osp_cursor_close(&c);
	assert_string_equal(text, expected);
}

/* A behaviour, on every store. */
#define BOTH(test)                                                                                 \
	{#test " (mem)", test, set_up_mem, tear_down, NULL},                                       \
	{                                                                                          \
#test " (sqlite)", test, set_up_sqlite, tear_down, NULL                            \
	}
