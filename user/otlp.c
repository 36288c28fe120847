/*
 * The OTLP exporter. Spans of many traces are gathered by process, so that a session that fits
 * gives exactly one resource per process; a larger one is written in slices of OSP_OTLP_HELD and
 * memory stays bounded. Fed by cmd_export.c with spans from cursors; writes to a FILE.
 */
#include "user/otlp.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/map.h"
#include "user/base/text.h"
#include "user/json.h"
#include "user/version.h"

struct otlp_process {
	uint32_t key;
	json_t *spans; /* owned: array */
};

struct osp_otlp {
	struct osp_session *session;	/* borrowed: outlives the exporter */
	FILE *out;			/* borrowed: closed by the caller */
	struct otlp_process *processes; /* owned */
	size_t process_count, held;	/* held: spans, and events of them */
	bool begun;
	const struct osp_trace *trace; /* the one being added */
	int64_t offset;		       /* boot to wall time, for all of it */
	struct osp_map operations;     /* of it: id -> its own span */
};

/* ---- values ---- */

static json_t *time_json(const struct osp_otlp *o, int64_t boot_ns)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, boot_ns + o->offset);
	return json_string(text);
}

static json_t *id_json(uint64_t id)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	return json_string(text);
}

static json_t *trace_json(const uint8_t id[16])
{
	char text[33];

	osp_text_hex(text, id, 16);
	return json_string(text);
}

static json_t *bytes_json(const uint8_t *p, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	_cleanup_free_ char *text = malloc((size + 2) / 3 * 4 + 1);
	char *at = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		v |= i + 1 < size ? (uint32_t)p[i + 1] << 8 : 0;
		v |= i + 2 < size ? p[i + 2] : 0;
		*at++ = digits[v >> 18];
		*at++ = digits[v >> 12 & 63];
		*at++ = i + 1 < size ? digits[v >> 6 & 63] : '=';
		*at++ = i + 2 < size ? digits[v & 63] : '=';
	}
	*at = 0;
	return json_string(text);
}

static json_t *int_json(const char *format, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), format, v);
	return json_pack("{s:s}", "intValue", text);
}

static json_t *text_json(const char *text)
{
	return json_pack("{s:o}", "stringValue", osp_json_text(text));
}

static json_t *double_json(double v)
{
	if (isfinite(v))
		return json_pack("{s:f}", "doubleValue", v);
	return json_pack("{s:s}", "doubleValue",
			 isnan(v) ? "NaN"
			 : v > 0  ? "Infinity"
				  : "-Infinity");
}

/* OTLP integers are signed: what is larger goes as text. */
static json_t *value_json(const struct osp_value *v)
{
	switch (v->type) {
	case OSP_VALUE_I64:
		return int_json("%" PRId64, (uint64_t)v->i64);
	case OSP_VALUE_U64:
		if (v->u64 > INT64_MAX) {
			char text[24];

			snprintf(text, sizeof(text), "%" PRIu64, v->u64);
			return text_json(text);
		}
		return int_json("%" PRIu64, v->u64);
	case OSP_VALUE_F64:
		return double_json(v->f64);
	case OSP_VALUE_BOOL:
		return json_pack("{s:b}", "boolValue", v->boolean);
	case OSP_VALUE_STR:
		return json_pack("{s:s%}", "stringValue", v->size ? v->data : "", (size_t)v->size);
	case OSP_VALUE_BYTES:
		return json_pack("{s:o}", "bytesValue", bytes_json(v->data, v->size));
	}
	return NULL;
}

static void add(json_t *list, const char *key, json_t *value)
{
	json_array_append_new(list,
			      json_pack("{s:o, s:o}", "key", osp_json_text(key), "value", value));
}

static void add_text(json_t *list, const char *key, const char *text)
{
	if (text)
		add(list, key, text_json(text));
}

/* The messaging conventions know ids as text. */
static json_t *attribute_json(const struct osp_attribute *a)
{
	_cleanup_free_ char *hex = NULL;

	if (a->value.type != OSP_VALUE_BYTES || strncmp(a->name, "messaging.", 10))
		return value_json(&a->value);
	hex = malloc(2 * (size_t)a->value.size + 1);
	if (!hex)
		return NULL;
	osp_text_hex(hex, a->value.data, a->value.size);
	return text_json(hex);
}

static json_t *attributes_json(const struct osp_attribute *list, size_t count)
{
	json_t *out = json_array();

	for (size_t i = 0; i < count; i++)
		add(out, list[i].name, attribute_json(&list[i]));
	return out;
}

/* ---- a span ---- */

static bool is_messaging(const struct osp_span *s)
{
	for (size_t i = 0; i < s->attribute_count; i++)
		if (!strncmp(s->attributes[i].name, "messaging.", 10))
			return true;
	return false;
}

static bool has_attribute(const struct osp_span *s, const char *name)
{
	for (size_t i = 0; i < s->attribute_count; i++)
		if (!strcmp(s->attributes[i].name, name))
			return true;
	return false;
}

/* The conventions tie the span kinds of messaging to its operation types one to one. */
static void add_messaging(json_t *list, const struct osp_span *s)
{
	if (!is_messaging(s))
		return;
	if (!has_attribute(s, "messaging.system"))
		add_text(list, "messaging.system", s->provider);
	if (!has_attribute(s, "messaging.operation.type") &&
	    (s->kind == OSP_SPAN_PRODUCER || s->kind == OSP_SPAN_CONSUMER))
		add_text(list, "messaging.operation.type",
			 s->kind == OSP_SPAN_PRODUCER ? "send" : "process");
	if (!has_attribute(s, "messaging.operation.name"))
		add_text(list, "messaging.operation.name", s->kind_name);
}

/* Where a message goes is told once in an operation, and wanted on each span that handles it. */
static void add_destination(json_t *list, const struct osp_otlp *o, const struct osp_span *s)
{
	const struct osp_span *whole =
		osp_map_find(&o->operations, &s->operation, sizeof(s->operation));

	if (!whole || whole == s || !(is_messaging(s) || s->kind >= OSP_SPAN_PRODUCER))
		return;
	for (size_t i = 0; i < whole->attribute_count; i++)
		if (!strncmp(whole->attributes[i].name, "messaging.destination.", 22) &&
		    !has_attribute(s, whole->attributes[i].name))
			add(list, whole->attributes[i].name, attribute_json(&whole->attributes[i]));
}

static json_t *span_attributes(const struct osp_otlp *o, const struct osp_span *s)
{
	json_t *list = attributes_json(s->attributes, s->attribute_count);

	add_destination(list, o, s);
	add_messaging(list, s);
	if (!(s->marks & OSP_MARK_REPORTED))
		add(list, "thread.id", int_json("%" PRIu64, s->tid));
	add_text(list, "outspan.operation", s->operation_name);
	add_text(list, "outspan.span", s->kind_name);
	add_text(list, "outspan.side", s->side);
	add_text(list, "outspan.layer", s->layer);
	add_text(list, "outspan.feature", s->feature);
	add_text(list, "outspan.code", s->code);
	if (s->status == OSP_SPAN_ERROR)
		add_text(list, "error.type", s->code ? s->code : "_OTHER");
	if (s->marks)
		add(list, "outspan.marks",
		    json_pack("{s:{s:o}}", "arrayValue", "values",
			      osp_json_marks(s->marks, text_json)));
	return list;
}

static json_t *events_json(const struct osp_otlp *o, const struct osp_span *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->event_count; i++) {
		const struct osp_span_event *e = &s->events[i];
		json_t *attributes = attributes_json(e->attributes, e->attribute_count);

		if (e->unexpected)
			add(attributes, "outspan.unexpected", json_pack("{s:b}", "boolValue", 1));
		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o}", "timeUnixNano", time_json(o, e->time_ns),
					"name", osp_json_text(e->name), "attributes", attributes));
	}
	return list;
}

/* The id of the trace that holds the far end: another one if the link is ambiguous. */
static int find_trace_id(const struct osp_otlp *o, uint64_t span_id, uint8_t id[16])
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_store *store = o->session->store;
	uint64_t operation = osp_span_operation(span_id), key;
	struct osp_span root;
	struct osp_trace t;
	int r;

	memcpy(id, o->trace->id, 16);
	if (osp_map_find(&o->operations, &operation, sizeof(operation)))
		return 0;
	r = osp_store_find_span(store, span_id, &key);
	if (r == -ENOENT || (!r && key == o->trace->key))
		return 0;
	r = r ? r : osp_store_spans(store, key, &c);
	r = r ? r : osp_cursor_next_span(c, &root);
	r = r ? r : osp_store_trace(store, &root, 1, &t);
	if (!r)
		memcpy(id, t.id, 16);
	return r < 0 ? r : 0;
}

/* Every link that leads here, the one to the parent too: it carries what the parent rests on. */
static int links_json(const struct osp_otlp *o, const struct osp_span *s, json_t *list)
{
	for (size_t i = 0; i < s->link_count; i++) {
		const struct osp_span_link *l = &s->links[i];
		json_t *attributes;
		uint8_t id[16];
		int r;

		if (!l->incoming)
			continue;
		r = find_trace_id(o, l->span_id, id);
		if (r)
			return r;
		attributes = json_array();
		add_text(attributes, "outspan.link.evidence", l->evidence);
		add_text(attributes, "outspan.link.grade", l->grade);
		add_text(attributes, "outspan.link.rule", l->rule);
		add_text(attributes, "outspan.link.makes", l->makes);
		add_text(attributes, "outspan.link.also", l->also);
		json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "traceId", trace_json(id),
						      "spanId", id_json(l->span_id), "attributes",
						      attributes));
	}
	return 0;
}

static int span_json(const struct osp_otlp *o, const struct osp_span *s, json_t **out)
{
	json_t *links = json_array(), *status = json_pack("{s:i}", "code", (int)s->status), *span;
	int r = links_json(o, s, links);

	if (r) {
		json_decref(links);
		json_decref(status);
		return r;
	}
	if (s->status == OSP_SPAN_ERROR && s->code)
		json_object_set_new(status, "message", osp_json_text(s->code));
	span = json_pack("{s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "traceId",
			 trace_json(o->trace->id), "spanId", id_json(s->id), "name",
			 osp_json_text(s->name), "kind", (int)s->kind, "startTimeUnixNano",
			 time_json(o, s->start_ns), "endTimeUnixNano", time_json(o, s->end_ns),
			 "attributes", span_attributes(o, s), "events", events_json(o, s), "links",
			 links, "status", status);
	if (!span)
		return -ENOMEM;
	if (s->parent_id)
		json_object_set_new(span, "parentSpanId", id_json(s->parent_id));
	*out = span;
	return 0;
}

/* ---- resources ---- */

static json_t *resource_json(const struct osp_session *s, uint32_t key)
{
	const struct osp_process_row *p = osp_session_process(s, key);
	json_t *list = json_array();
	const char *slash;

	if (!p) {
		add_text(list, "service.name", "unknown_service");
		return json_pack("{s:o}", "attributes", list);
	}
	slash = strrchr(p->exe, '/');
	add_text(list, "service.name", p->comm);
	add(list, "process.pid", int_json("%" PRIu64, p->pid));
	if (*p->exe) {
		add_text(list, "process.executable.name", slash ? slash + 1 : p->exe);
		add_text(list, "process.executable.path", p->exe);
	}
	add(list, "process.user.id", int_json("%" PRIu64, p->uid));
	return json_pack("{s:o}", "attributes", list);
}

static int write_process(struct osp_otlp *o, struct otlp_process *p)
{
	json_t *value = json_pack("{s:o, s:[{s:{s:s, s:s}, s:O}]}", "resource",
				  resource_json(o->session, p->key), "scopeSpans", "scope", "name",
				  "outspan", "version", OSP_VERSION, "spans", p->spans);
	int r;

	if (!value)
		return -ENOMEM;
	fputs(o->begun ? ",\n" : "{\"resourceSpans\":[\n", o->out);
	o->begun = true;
	r = osp_json_write(o->out, value);
	json_decref(value);
	json_array_clear(p->spans);
	return r;
}

static int write_processes(struct osp_otlp *o)
{
	int r = 0;

	for (size_t i = 0; !r && i < o->process_count; i++)
		if (json_array_size(o->processes[i].spans))
			r = write_process(o, &o->processes[i]);
	o->held = 0;
	return r;
}

/* What a peer told of ran in no process that is known: key 0. */
static json_t *find_spans(struct osp_otlp *o, const struct osp_span *s)
{
	uint32_t key = s->marks & OSP_MARK_REPORTED ? 0 : s->process;
	struct otlp_process *more;

	for (size_t i = 0; i < o->process_count; i++)
		if (o->processes[i].key == key)
			return o->processes[i].spans;
	more = realloc(o->processes, (o->process_count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	o->processes = more;
	more[o->process_count] = (struct otlp_process){.key = key, .spans = json_array()};
	return more[o->process_count].spans ? more[o->process_count++].spans : NULL;
}

int osp_otlp_new(struct osp_otlp **out, struct osp_session *s, FILE *f)
{
	struct osp_otlp *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->session = s;
	o->out = f;
	*out = o;
	return 0;
}

void osp_otlp_free(struct osp_otlp **o)
{
	if (!*o)
		return;
	for (size_t i = 0; i < (*o)->process_count; i++)
		json_decref((*o)->processes[i].spans);
	osp_map_clear(&(*o)->operations);
	free((*o)->processes);
	free(*o);
	*o = NULL;
}

int osp_otlp_write(struct osp_otlp *o, const struct osp_trace *t, const struct osp_span *spans,
		   size_t count)
{
	int r = 0;

	o->trace = t;
	o->offset = osp_session_wall_offset(o->session, t->start_ns);
	osp_map_clear(&o->operations);
	osp_map_init(&o->operations, count, t->root_id);
	for (size_t i = 0; !r && i < count; i++)
		if (spans[i].id == spans[i].operation)
			r = osp_map_add(&o->operations, &spans[i].id, sizeof(spans[i].id),
					(void *)&spans[i]);
	for (size_t i = 0; !r && i < count; i++) {
		json_t *list = find_spans(o, &spans[i]), *span = NULL;

		r = list ? span_json(o, &spans[i], &span) : -ENOMEM;

		if (!r && json_array_append_new(list, span))
			r = -ENOMEM;
		o->held += 1 + spans[i].event_count;
		if (!r && o->held >= OSP_OTLP_HELD)
			r = write_processes(o);
	}
	return r;
}

int osp_otlp_flush(struct osp_otlp *o)
{
	int r = write_processes(o);

	fputs(o->begun ? "\n]}\n" : "{\"resourceSpans\":[]}\n", o->out);
	return r;
}
