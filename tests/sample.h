/*
 * A small session of an invented provider "parcel", for tests that read sessions: a sender posts
 * parcels at a depot, which hands each to three couriers. Header only: every test program has its
 * own copy. Times are ms after SAMPLE_BOOT; wall time starts at 2025-03-01T12:00:00Z.
 *
 *   trace 1  a parcel that reached all three couriers
 *   trace 2  the first attempt failed; one courier answered 503
 *   trace 3, 4, 5  two parcels with one number, and a courier's trip that may belong to either
 *   trace 6  seen from the middle, with losses; never ended
 *   trace 7  a topic that tries to break the terminal; the courier's clock runs ahead
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/session.h"

#define SAMPLE_BOOT 1000000000000ll
#define SAMPLE_WALL 1740830400000000000ll
#define SAMPLE_MS   1000000ll
#define SAMPLE_ID   0x8c1f0e2a4b6d0000ull

enum { SAMPLE_SENDER = 1, SAMPLE_DEPOT, SAMPLE_NORTH, SAMPLE_SOUTH, SAMPLE_WEST };

struct sample {
	struct osp_part parts[128];
	size_t count;
	struct osp_row_span spans[256];
	size_t span_count;
	struct osp_step steps[512];
	size_t step_count;
	struct osp_attribute attributes[512];
	size_t attribute_count;
	char texts[64][64];
	size_t text_count;
};

static inline int64_t sample_time(double ms)
{
	return SAMPLE_BOOT + (int64_t)(ms * 1000 + 0.5) * (SAMPLE_MS / 1000);
}

/* The n-th operation of a process; its nested spans follow its id. */
static inline uint64_t sample_id(unsigned process, unsigned n)
{
	return SAMPLE_ID + ((uint64_t)process << 44) + ((uint64_t)n << 16);
}

static inline struct osp_part *sample_add(struct sample *s, enum osp_part_kind kind)
{
	struct osp_part *p = &s->parts[s->count++];

	*p = (struct osp_part){.kind = kind};
	return p;
}

/* Begins an operation; sample_span, sample_step and the values that follow belong to it. */
static inline struct osp_row *sample_row(struct sample *s, uint64_t id, uint64_t trace,
					 unsigned process, const char *side)
{
	struct osp_row *row = &sample_add(s, OSP_PART_ROW)->row;

	*row = (struct osp_row){.id = id,
				.trace = trace,
				.process = process,
				.tid = 4000 + process,
				.complete = true,
				.provider = "parcel",
				.side = side,
				.layer = "broker",
				.feature = "post",
				.spans = &s->spans[s->span_count],
				.steps = &s->steps[s->step_count],
				.attributes = &s->attributes[s->attribute_count]};
	return row;
}

static inline struct osp_row_span *sample_span(struct sample *s, const char *kind_name,
					       const char *name, enum osp_span_kind kind,
					       double from, double to)
{
	struct osp_row *row = &s->parts[s->count - 1].row;
	struct osp_row_span *span = &s->spans[s->span_count++];

	*span = (struct osp_row_span){.number = (uint16_t)row->span_count,
				      .kind_name = kind_name,
				      .name = name,
				      .kind = kind,
				      .start_ns = sample_time(from),
				      .end_ns = sample_time(to),
				      .status = OSP_SPAN_OK};
	row->span_count++;
	return span;
}

static inline struct osp_step *sample_step(struct sample *s, double ms, const char *name,
					   uint16_t span)
{
	struct osp_row *row = &s->parts[s->count - 1].row;
	struct osp_step *step = &s->steps[s->step_count++];

	*step = (struct osp_step){.time_ns = sample_time(ms),
				  .name = name,
				  .span = span,
				  .first_attribute = (uint32_t)row->attribute_count};
	row->step_count++;
	return step;
}

static inline void sample_value(struct sample *s, const char *name, struct osp_value value)
{
	struct osp_row *row = &s->parts[s->count - 1].row;

	s->attributes[s->attribute_count++] = (struct osp_attribute){name, value};
	row->attribute_count++;
	s->steps[s->step_count - 1].attribute_count++;
}

static inline void sample_text(struct sample *s, const char *name, const char *text)
{
	uint32_t size = (uint32_t)strlen(text);

	sample_value(s, name,
		     (struct osp_value){
			     .type = OSP_VALUE_STR, .data = text, .size = size, .true_size = size});
}

static inline void sample_number(struct sample *s, const char *name, uint64_t number)
{
	sample_value(s, name, (struct osp_value){.type = OSP_VALUE_U64, .u64 = number});
}

/* The parcel's number as it travels: 4 bytes. */
static inline void sample_parcel(struct sample *s, const char *number)
{
	sample_value(s, "messaging.message.id",
		     (struct osp_value){
			     .type = OSP_VALUE_BYTES, .data = number, .size = 4, .true_size = 4});
}

static inline void sample_edge(struct sample *s, uint64_t from, uint64_t to, const char *rule,
			       const char *evidence, const char *grade, const char *also)
{
	sample_add(s, OSP_PART_EDGE)->edge = (struct osp_edge){.from = from,
							       .to = to,
							       .rule = rule,
							       .makes = "parent",
							       .evidence = evidence,
							       .grade = grade,
							       .also = also};
}

static inline void sample_process(struct sample *s, unsigned key, const char *comm,
				  const char *cmdline)
{
	char *exe = s->texts[s->text_count++];

	snprintf(exe, sizeof(s->texts[0]), "/usr/bin/%s", comm);
	sample_add(s, OSP_PART_PROCESS)->process =
		(struct osp_process_row){.key = key,
					 .pid = 4000 + key,
					 .namespace_pid = 4000 + key,
					 .uid = 1000,
					 .start_ns = SAMPLE_BOOT - 60000 * SAMPLE_MS,
					 .seen_ns = SAMPLE_BOOT - 100 * SAMPLE_MS,
					 .comm = comm,
					 .exe = exe,
					 .cmdline = cmdline};
}

static inline void sample_session(struct sample *s)
{
	static const char *const settings[][2] = {{OSP_SESSION_ID, "5eed5eed5eed5eed"},
						  {"version", "test"},
						  {"host", "depot-1"},
						  {OSP_SESSION_ENDED, "2026-11-21T09:00:00Z"}};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		sample_add(s, OSP_PART_SESSION)->session =
			(struct osp_session_row){settings[i][0], settings[i][1]};
	sample_add(s, OSP_PART_CATALOGUE)->catalogue =
		(struct osp_catalogue_row){"parcel.yaml", "provider: parcel\nabi: 1\n"};
	sample_process(s, SAMPLE_SENDER, "sender", "sender --to depot-1");
	sample_process(s, SAMPLE_DEPOT, "depot", "depot");
	sample_process(s, SAMPLE_NORTH, "courier", "courier north");
	sample_process(s, SAMPLE_SOUTH, "courier", "courier south");
	sample_process(s, SAMPLE_WEST, "courier", "courier west");
	sample_add(s, OSP_PART_CLOCK)->clock =
		(struct osp_clock_row){SAMPLE_BOOT, SAMPLE_WALL - SAMPLE_BOOT, 150};
}

/* The sender's side of one parcel; `attempts` of them, all but the last fail. */
static inline void sample_send(struct sample *s, unsigned n, uint64_t trace, const char *topic,
			       const char *number, unsigned attempts, double from, double to)
{
	char *name = s->texts[s->text_count++];
	double each = (to - from - 0.2) / attempts;

	snprintf(name, sizeof(s->texts[0]), "send %s", topic);
	sample_row(s, sample_id(SAMPLE_SENDER, n), trace, SAMPLE_SENDER, "sender");
	sample_span(s, "send", name, OSP_SPAN_PRODUCER, from, to)->code = "200";
	for (unsigned i = 0; i < attempts; i++) {
		struct osp_row_span *a =
			sample_span(s, "attempt", "attempt depot-1", OSP_SPAN_CLIENT,
				    from + 0.1 + i * each, from + 0.1 + (i + 1) * each);

		a->status = i + 1 < attempts ? OSP_SPAN_ERROR : OSP_SPAN_OK;
		a->code = i + 1 < attempts ? "refused" : "200";
	}
	sample_step(s, from, "began", 0);
	sample_text(s, "messaging.destination.name", topic);
	sample_number(s, "parcel.length", 5);
	for (unsigned i = 0; i < attempts; i++) {
		sample_step(s, from + 0.1 + i * each, "posting", (uint16_t)(i + 1));
		sample_text(s, "server.address", "depot-1");
		sample_parcel(s, number);
		sample_step(s, from + 0.1 + (i + 1) * each,
			    i + 1 < attempts ? "refused" : "answered", (uint16_t)(i + 1));
		if (i + 1 == attempts)
			sample_number(s, "http.response.status_code", 200);
	}
	sample_step(s, to, "sent", 0);
	sample_number(s, "parcel.couriers", 3);
}

/* The depot's side: hands the parcel to `couriers`, the last of which fails if `code` is given. */
static inline void sample_sort(struct sample *s, unsigned n, uint64_t trace, const char *topic,
			       const char *number, unsigned couriers, const char *code, double from,
			       double to)
{
	static const char *const names[] = {"hand north", "hand south", "hand west"};
	char *name = s->texts[s->text_count++];
	double each = (to - from - 1) / (couriers ? couriers : 1);

	snprintf(name, sizeof(s->texts[0]), "sort %s", topic);
	sample_row(s, sample_id(SAMPLE_DEPOT, n), trace, SAMPLE_DEPOT, "depot");
	sample_span(s, "sort", name, OSP_SPAN_SERVER, from, to)->code = "200";
	for (unsigned i = 0; i < couriers; i++) {
		struct osp_row_span *h =
			sample_span(s, "hand", names[i], OSP_SPAN_PRODUCER, from + 0.5 + i * each,
				    from + 0.5 + (i + 1) * each);

		h->code = code && i + 1 == couriers ? code : "200";
		h->status = code && i + 1 == couriers ? OSP_SPAN_ERROR : OSP_SPAN_OK;
	}
	sample_step(s, from, "received", 0);
	sample_step(s, from + 0.4, "accepted", 0);
	sample_text(s, "messaging.destination.name", topic);
	sample_parcel(s, number);
	for (unsigned i = 0; i < couriers; i++) {
		sample_step(s, from + 0.5 + i * each, "found", (uint16_t)(i + 1));
		sample_text(s, "url.full", names[i] + 5);
		sample_step(s, from + 0.6 + i * each, "handing", (uint16_t)(i + 1));
		sample_parcel(s, number);
		sample_step(s, from + 0.5 + (i + 1) * each, "handed", (uint16_t)(i + 1));
		sample_number(s, "http.response.status_code",
			      code && i + 1 == couriers ? 503 : 200);
	}
	sample_step(s, to, "answering", 0);
}

static inline void sample_carry(struct sample *s, unsigned process, unsigned n, uint64_t trace,
				const char *topic, const char *number, double from, double to)
{
	char *name = s->texts[s->text_count++];

	snprintf(name, sizeof(s->texts[0]), "carry %s", topic);
	sample_row(s, sample_id(process, n), trace, process, "courier");
	sample_span(s, "carry", name, OSP_SPAN_CONSUMER, from, to);
	sample_step(s, from, "arrived", 0);
	sample_text(s, "messaging.destination.name", topic);
	sample_step(s, from + 0.3, "accepted", 0);
	sample_text(s, "messaging.destination.name", topic);
	sample_parcel(s, number);
	sample_step(s, to, "delivered", 0);
}

static inline void sample_good(struct sample *s)
{
	sample_send(s, 1, 1, "north/7", "\1\0\0\7", 1, 0, 12);
	sample_sort(s, 1, 1, "north/7", "\1\0\0\7", 3, NULL, 1, 11);
	for (unsigned i = 0; i < 3; i++) {
		double from = 1 + 0.5 + i * 3 + 0.4;

		sample_carry(s, SAMPLE_NORTH + i, 1, 1, "north/7", "\1\0\0\7", from, from + 2);
		sample_edge(s, sample_id(SAMPLE_DEPOT, 1) + i + 1, sample_id(SAMPLE_NORTH + i, 1),
			    "hand_to_carry", "trace_context", "exact", "message_id");
	}
	sample_edge(s, sample_id(SAMPLE_SENDER, 1) + 1, sample_id(SAMPLE_DEPOT, 1), "post_to_sort",
		    "trace_context", "exact", NULL);
}

static inline void sample_retried(struct sample *s)
{
	sample_send(s, 2, 2, "south/1", "\1\0\0\x8", 2, 100, 140);
	sample_sort(s, 2, 2, "south/1", "\1\0\0\x8", 3, "503", 121, 139);
	for (unsigned i = 0; i < 2; i++) {
		double from = 121.5 + i * 17 / 3.0 + 1;

		sample_carry(s, SAMPLE_NORTH + i, 2, 2, "south/1", "\1\0\0\x8", from, from + 1.5);
		sample_edge(s, sample_id(SAMPLE_DEPOT, 2) + i + 1, sample_id(SAMPLE_NORTH + i, 2),
			    "hand_to_carry", "message_id", "strong", NULL);
	}
	sample_edge(s, sample_id(SAMPLE_SENDER, 2) + 2, sample_id(SAMPLE_DEPOT, 2), "post_to_sort",
		    "message_id", "strong", NULL);
}

static inline void sample_ambiguous(struct sample *s)
{
	sample_sort(s, 3, 3, "east/2", "\1\0\0\x9", 1, NULL, 200, 203);
	sample_sort(s, 4, 4, "east/2", "\1\0\0\x9", 1, NULL, 201, 204);
	sample_carry(s, SAMPLE_NORTH, 3, 5, "east/2", "\1\0\0\x9", 202, 202.8);
	for (unsigned n = 3; n <= 4; n++)
		sample_edge(s, sample_id(SAMPLE_DEPOT, n) + 1, sample_id(SAMPLE_NORTH, 3),
			    "hand_to_carry", "message_id", "ambiguous", NULL);
}

/* Its rows come as a start part first; a patch marks it before the row is there. */
static inline void sample_cut(struct sample *s)
{
	static const char *const reasons[] = {"ring_full", "argument_fault"};
	static const uint64_t lost[] = {3, 0};
	struct osp_row_span *span;

	sample_add(s, OSP_PART_PATCH)->patch =
		(struct osp_patch){.id = sample_id(SAMPLE_DEPOT, 5), .marks = OSP_MARK_MAY_BE_CUT};
	sample_row(s, sample_id(SAMPLE_DEPOT, 5), 6, SAMPLE_DEPOT, "depot")->complete = false;
	span = sample_span(s, "sort", "sort west/3", OSP_SPAN_SERVER, 300, 306);
	span->status = OSP_SPAN_UNSET;
	span->marks = OSP_MARK_INCOMPLETE | OSP_MARK_BEGAN_BEFORE | OSP_MARK_UNEXPECTED;
	sample_step(s, 300, "accepted", 0);
	sample_text(s, "messaging.destination.name", "west/3");
	sample_step(s, 306, "handed", 0)->unexpected = true;
	sample_add(s, OSP_PART_LOSS)->loss = (struct osp_loss_row){
		SAMPLE_DEPOT, "parcel", "sort__accepted", 8, 5, reasons, lost, 2};
	sample_add(s, OSP_PART_GAP)->gap = (struct osp_gap_row){SAMPLE_DEPOT, sample_time(301),
								sample_time(305), 3, "ring_full"};
	sample_add(s, OSP_PART_ATTACH)->attach =
		(struct osp_attach_row){SAMPLE_DEPOT,
					"parcel",
					"sort__accepted",
					"essential",
					SAMPLE_BOOT - 50 * SAMPLE_MS,
					0,
					1};
}

static inline void sample_hostile(struct sample *s)
{
	static char note[121];
	static const char topic[] = "\x1b[2Jx\ny\xe2\x80\xaez";

	memset(note, '\t', sizeof(note) - 1);
	sample_sort(s, 6, 7, topic, "\1\0\0\xa", 1, NULL, 400, 404);
	sample_carry(s, SAMPLE_WEST, 9, 7, topic, "\1\0\0\xa", 400.2, 403);
	/* belongs to the row above: the last step has an attribute of many escapes */
	sample_text(s, "parcel.note", note);
	sample_edge(s, sample_id(SAMPLE_DEPOT, 6) + 1, sample_id(SAMPLE_WEST, 9), "hand_to_carry",
		    "trace_context", "exact", NULL);
}

static inline struct sample *sample_new(void)
{
	struct sample *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	sample_session(s);
	sample_good(s);
	sample_retried(s);
	sample_ambiguous(s);
	sample_cut(s);
	sample_hostile(s);
	return s;
}
