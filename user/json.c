/*
 * The --json shapes of ls, show and losses. Fed with what cursors give, feeds stdout through jansson.
 * Output is ASCII (what is not is \uXXXX), so that no text can steer a terminal.
 * Integers that JSON readers may not hold (above 2^63) are strings, bytes are hexadecimal.
 */
#include "user/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/text.h"

json_t *osp_json_text(const char *text)
{
	size_t size = strlen(text);
	_cleanup_free_ char *escaped = NULL;

	if (osp_text_is_utf8(text, size))
		return json_stringn(text, size);
	escaped = malloc(4 * size + 1);
	if (!escaped)
		return NULL;
	osp_text_escape(escaped, 4 * size + 1, text, size);
	return json_string(escaped);
}

/* What jansson leaves as it is, and a terminal does not: DEL, which stands in texts only. */
static int put_ascii(const char *text, size_t size, void *file)
{
	const char *end = text + size, *del;

	for (; (del = memchr(text, 0x7f, (size_t)(end - text))); text = del + 1) {
		fwrite(text, 1, (size_t)(del - text), file);
		fputs("\\u007f", file);
	}
	fwrite(text, 1, (size_t)(end - text), file);
	return ferror((FILE *)file) ? -1 : 0;
}

int osp_json_write(FILE *f, const json_t *value)
{
	int r = json_dump_callback(value, put_ascii, f,
				   JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17));

	return r && !ferror(f) ? -ENOMEM : 0;
}

int osp_json_print(FILE *f, json_t *value)
{
	int r = value ? osp_json_write(f, value) : -ENOMEM;

	json_decref(value);
	fputc('\n', f);
	return r;
}

static json_t *id_value(uint64_t id)
{
	char text[17];

	if (!id)
		return json_null();
	snprintf(text, sizeof(text), "%016" PRIx64, id);
	return json_string(text);
}

static json_t *optional_text(const char *text)
{
	return text ? osp_json_text(text) : json_null();
}

static json_t *hex_value(const void *data, size_t size)
{
	_cleanup_free_ char *text = malloc(2 * size + 1);

	if (!text)
		return NULL;
	osp_text_hex(text, data, size);
	return json_string(text);
}

json_t *osp_json_value(const struct osp_value *v)
{
	char digits[24];

	switch (v->type) {
	case OSP_VALUE_I64:
		return json_integer(v->i64);
	case OSP_VALUE_U64:
		if (v->u64 <= INT64_MAX)
			return json_integer((json_int_t)v->u64);
		snprintf(digits, sizeof(digits), "%" PRIu64, v->u64);
		return json_string(digits);
	case OSP_VALUE_F64:
		return isfinite(v->f64) ? json_real(v->f64)
					: json_string(isnan(v->f64) ? "NaN"
						      : v->f64 > 0  ? "Infinity"
								    : "-Infinity");
	case OSP_VALUE_BOOL:
		return json_boolean(v->boolean);
	case OSP_VALUE_STR:
		return json_stringn(v->size ? v->data : "", v->size);
	case OSP_VALUE_BYTES:
		return hex_value(v->data, v->size);
	}
	return NULL;
}

/* By bit of enum osp_mark. */
static const char *const mark_names[OSP_BOOKS_MARKS] = {
	"incomplete", "began_before", "may_be_cut",    "unexpected",
	"timed_out",  "ambiguous",    "steps_unknown", "reported"};

json_t *osp_json_marks(uint32_t marks, json_t *(*word)(const char *))
{
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(mark_names) / sizeof(mark_names[0]); i++)
		if (marks >> i & 1)
			json_array_append_new(list, word(mark_names[i]));
	return list;
}

static const char *status_name(enum osp_span_status s)
{
	return s == OSP_SPAN_ERROR ? "error" : s == OSP_SPAN_OK ? "ok" : "unset";
}

json_t *osp_json_trace(const struct osp_session *s, const struct osp_trace *t)
{
	char id[33];

	osp_text_hex(id, t->id, sizeof(t->id));
	return json_pack("{s:s, s:o, s:I, s:I, s:i, s:i, s:i, s:s, s:o, s:b, s:o}", "trace_id", id,
			 "root", osp_json_text(t->root), "start_ns",
			 (json_int_t)(t->start_ns + osp_session_wall_offset(s, t->start_ns)),
			 "duration_ns", (json_int_t)(t->end_ns - t->start_ns), "processes",
			 (int)t->processes, "spans", (int)t->spans, "links", (int)t->links,
			 "status", status_name(t->status), "code",
			 t->code ? osp_json_text(t->code) : json_null(), "may_be_cut",
			 (t->marks & OSP_MARK_MAY_BE_CUT) != 0, "marks",
			 osp_json_marks(t->marks, json_string));
}

static json_t *process_json(const struct osp_session *s, uint32_t key)
{
	const struct osp_process_row *p = osp_session_process(s, key);

	if (!p)
		return json_pack("{s:n, s:n, s:n}", "pid", "comm", "exe");
	return json_pack("{s:I, s:o, s:o}", "pid", (json_int_t)p->pid, "comm",
			 osp_json_text(p->comm), "exe", osp_json_text(p->exe));
}

/* Attributes by name. A value that was cut off keeps its true size under "cut". */
static json_t *attributes_json(const struct osp_attribute *list, size_t count, json_t **cut)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++) {
		const struct osp_value *v = &list[i].value;

		json_object_set_new(object, list[i].name, osp_json_value(v));
		if (!cut || v->type < OSP_VALUE_STR || v->true_size == v->size)
			continue;
		*cut = *cut ? *cut : json_object();
		json_object_set_new(*cut, list[i].name, json_integer(v->true_size));
	}
	return object;
}

static json_t *events_json(const struct osp_span *span, int64_t wall_offset)
{
	json_t *list = json_array();

	for (size_t i = 0; i < span->event_count; i++) {
		const struct osp_span_event *e = &span->events[i];
		json_t *event =
			json_pack("{s:o, s:I, s:o}", "name", osp_json_text(e->name), "time_ns",
				  (json_int_t)(e->time_ns + wall_offset), "attributes",
				  attributes_json(e->attributes, e->attribute_count, NULL));

		if (e->unexpected)
			json_object_set_new(event, "unexpected", json_true());
		json_array_append_new(list, event);
	}
	return list;
}

static json_t *links_json(const struct osp_span *span, bool incoming)
{
	json_t *list = json_array();

	for (size_t i = 0; i < span->link_count; i++) {
		const struct osp_span_link *l = &span->links[i];

		if (l->incoming == incoming)
			json_array_append_new(list,
					      json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "span_id",
							id_value(l->span_id), "evidence",
							osp_json_text(l->evidence), "grade",
							osp_json_text(l->grade), "rule",
							osp_json_text(l->rule), "makes",
							osp_json_text(l->makes), "also",
							optional_text(l->also)));
	}
	return list;
}

json_t *osp_json_span(const struct osp_session *s, const struct osp_span *span, int64_t wall_offset)
{
	static const char *const kinds[] = {"INTERNAL", "INTERNAL", "SERVER",
					    "CLIENT",	"PRODUCER", "CONSUMER"};
	json_t *cut = NULL;
	json_t *attributes = attributes_json(span->attributes, span->attribute_count, &cut);
	bool seen = !(span->marks & OSP_MARK_REPORTED);
	json_t *object = json_pack(
		"{s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
		"span_id", id_value(span->id), "parent_id", id_value(span->parent_id), "name",
		osp_json_text(span->name), "kind", kinds[span->kind], "operation",
		osp_json_text(span->operation_name), "process",
		process_json(s, seen ? span->process : 0), "start_ns",
		(json_int_t)(span->start_ns + wall_offset), "end_ns",
		(json_int_t)(span->end_ns + wall_offset), "status", status_name(span->status),
		"code", optional_text(span->code), "attributes", attributes, "events",
		events_json(span, wall_offset), "links", links_json(span, true), "linked_by",
		links_json(span, false), "marks", osp_json_marks(span->marks, json_string));

	if (object && span->provider)
		json_object_set_new(object, "provider", osp_json_text(span->provider));
	if (object && seen)
		json_object_set_new(object, "tid", json_integer(span->tid));
	if (object && cut)
		json_object_set_new(object, "cut", cut);
	else
		json_decref(cut);
	return object;
}

static json_t *outlook_json(const struct osp_outlook_steps *steps)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < steps->count; i++)
		json_array_append_new(list, osp_json_text(steps->next[i]->name));
	return list;
}

void osp_json_add_halt(json_t *span, const struct osp_halt *h, const struct osp_outlook_steps *next,
		       int64_t wall_offset)
{
	static const char *const kinds[] = {"open", "died", "replaced"};
	json_t *o = json_pack("{s:s, s:o, s:I, s:I}", "kind", kinds[h->kind], "after",
			      osp_json_text(h->step), "after_ns",
			      (json_int_t)(h->step_ns + wall_offset), "silent_ns",
			      (json_int_t)h->silent_ns);

	if (o && h->kind == OSP_HALT_DIED)
		json_object_set_new(o, "exit_code", json_integer(h->exit_code));
	if (o && next)
		json_object_set_new(o, "next", outlook_json(next));
	if (span && o)
		json_object_set_new(span, "halt", o);
	else
		json_decref(o);
}

/* ---- the books ---- */

static json_t *wall_time(const struct osp_books *b, int64_t boot_ns)
{
	return json_integer(boot_ns + osp_session_wall_offset(b->session, boot_ns));
}

static const char *kind_name(const struct osp_reason *r)
{
	return r->kind == OSP_REASON_MISSING  ? "missing"
	       : r->kind == OSP_REASON_CHOSEN ? "chosen"
					      : "spare";
}

static json_t *reasons_json(const struct osp_books *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->reason_count; i++) {
		const struct osp_books_reason *r = &b->reasons[i];

		json_array_append_new(
			list,
			json_pack("{s:o, s:I, s:s, s:s, s:s}", "reason", osp_json_text(r->name),
				  "steps_lost", (json_int_t)r->lost, "kind", kind_name(r->known),
				  "help", osp_reason_help(r->name), "advice", r->known->advice));
	}
	return list;
}

static json_t *pages_json(const struct osp_books *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->page_count; i++) {
		const struct osp_books_page *p = &b->pages[i];
		json_t *lost = json_object();

		for (size_t k = 0; k < p->loss_count; k++)
			json_object_set_new(lost, b->reasons[p->losses[k].reason].name,
					    json_integer((json_int_t)p->losses[k].lost));
		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:b, s:o}", "process",
				  process_json(b->session, p->process), "provider",
				  osp_json_text(p->provider), "probe", osp_json_text(p->probe),
				  "hits", (json_int_t)p->hits, "steps_stored",
				  (json_int_t)p->stored, "steps_lost", (json_int_t)p->lost,
				  "closes", p->hits == p->stored + p->lost, "reasons", lost));
	}
	return list;
}

static json_t *intervals_json(const struct osp_books *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->interval_count; i++) {
		const struct osp_books_interval *v = &b->intervals[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:o, s:I}", "from_ns",
						      wall_time(b, v->from_ns), "to_ns",
						      wall_time(b, v->to_ns), "steps_lost",
						      (json_int_t)v->lost, "steps_stored",
						      b->counted && !osp_books_is_forgotten(b, v)
							      ? json_integer((json_int_t)v->stored)
							      : json_null(),
						      "processes", (json_int_t)v->processes));
	}
	return list;
}

static json_t *gaps_json(const struct osp_books *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->gap_count; i++) {
		const struct osp_books_gap *g = &b->gaps[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:I, s:o}", "process",
						      process_json(b->session, g->process),
						      "from_ns", wall_time(b, g->from_ns), "to_ns",
						      wall_time(b, g->to_ns), "steps_lost",
						      (json_int_t)g->lost, "reason",
						      osp_json_text(g->reason)));
	}
	return list;
}

static json_t *counts_json(const struct osp_books *b)
{
	json_t *marked = json_object();

	if (!b->counted)
		return json_decref(marked), json_null();
	for (size_t i = 0; i < OSP_BOOKS_MARKS; i++)
		json_object_set_new(marked, mark_names[i],
				    json_integer((json_int_t)b->traces.marked[i]));
	return json_pack("{s:I, s:I, s:I, s:o}", "all", (json_int_t)b->traces.all, "whole",
			 (json_int_t)b->traces.whole, "cut_by_loss", (json_int_t)b->traces.by_loss,
			 "marked", marked);
}

json_t *osp_json_books(const struct osp_books *b)
{
	return json_pack(
		"{s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"whole", osp_books_are_whole(b), "ended", b->session->ended, "closes", !b->open,
		"hits", (json_int_t)b->hits, "steps_stored", (json_int_t)(b->stored - b->forgotten),
		"steps_forgotten", (json_int_t)b->forgotten, "steps_lost", (json_int_t)b->lost,
		"steps_missing", (json_int_t)b->missing, "steps_left_out", (json_int_t)b->chosen,
		"bad_records", (json_int_t)b->session->bad_records, "children_lost",
		(json_int_t)b->session->children_lost, "from_ns",
		b->from_ns ? wall_time(b, b->from_ns) : json_null(), "to_ns",
		b->session->ended && b->to_ns ? wall_time(b, b->to_ns) : json_null(),
		"last_step_ns", b->found ? wall_time(b, b->last_ns) : json_null(), "traces",
		counts_json(b), "reasons", reasons_json(b), "points", pages_json(b), "intervals",
		intervals_json(b), "gaps", gaps_json(b));
}
