/*
 * Makes operations and links of bundles again (store/pack.h). Fed by readers and by the batch,
 * which opens stored bundles to change them. What comes out is checked like any other foreign
 * input: damage is an error with a name, never a crash. Part of the SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "store/part.h"

/* An operation on its way out of the bundle. */
struct decoding {
	struct sqlite_store *s;
	const struct sqlite_bundle *b;
	const struct sqlite_shape *shape;
	struct osp_arena *arena;
	struct osp_row *row;
	const uint8_t *times, *slots; /* of the operation */
	size_t time_count, slot_count;
	unsigned width, slot_width;
	int64_t start_ns;
};

static const uint8_t *column(sqlite3_stmt *st, int at, size_t *size)
{
	const uint8_t *p = sqlite3_column_blob(st, at);

	*size = (size_t)sqlite3_column_bytes(st, at);
	return p;
}

int sqlite_decode(struct sqlite_store *s, sqlite3_stmt *st, struct sqlite_bundle *b)
{
	size_t wire, heads, edges;

	b->key = sqlite3_column_int64(st, 0);
	b->trace = (uint64_t)sqlite3_column_int64(st, 1);
	b->start_ns = sqlite3_column_int64(st, 2);
	b->wire = column(st, 4, &wire);
	b->heads = column(st, 5, &heads);
	b->times = column(st, 6, &b->times_size);
	b->slots = column(st, 7, &b->slots_size);
	b->payload = column(st, 8, &b->payload_size);
	b->edges = column(st, 9, &edges);
	b->count = heads / OSP_PACK_HEAD;
	b->edge_count = edges / OSP_PACK_EDGE;
	if (heads % OSP_PACK_HEAD || edges % OSP_PACK_EDGE || !b->count ||
	    b->count > OSP_PACK_OPERATIONS || (wire && wire != 16) || !b->trace)
		return sqlite_damaged(s, "a bundle");
	return 0;
}

static const uint8_t *head_of(const struct sqlite_bundle *b, size_t i)
{
	return b->heads + i * OSP_PACK_HEAD;
}

uint64_t sqlite_decode_id(const struct sqlite_bundle *b, size_t i)
{
	return osp_pack_get(head_of(b, i), 8);
}

bool sqlite_decode_is_amended(const struct sqlite_bundle *b, size_t i)
{
	return head_of(b, i)[OSP_PACK_HEAD_FLAGS] & OSP_PACK_AMENDED;
}

static int64_t add_ns(int64_t a, uint64_t b)
{
	return (int64_t)((uint64_t)a + b);
}

static int copy_text(struct osp_arena *arena, const char *from, const char **to)
{
	*to = from ? osp_arena_copy(arena, from, strlen(from)) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* ---- the head ---- */

/* What lies in [begin of this operation, begin of the next). */
static int cut_out(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i, size_t at,
		   size_t whole, size_t *begin, size_t *size)
{
	size_t end = i + 1 < b->count ? osp_pack_get(head_of(b, i + 1) + at, 2) : whole;

	*begin = i ? osp_pack_get(head_of(b, i) + at, 2) : 0;
	*size = end - *begin;
	return *begin <= end && end <= whole ? 0 : sqlite_damaged(s, "an operation lies outside");
}

/* late: only marks, if any, which came when the bundle was stored already. */
static int get_amend(struct sqlite_store *s, uint64_t id, bool late, struct sqlite_version *v)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_GET_AMEND);
	int r = 0;

	if (!st)
		return sqlite_fail(s, "read");
	sqlite_bind_id(st, 1, id);
	if (sqlite3_step(st) == SQLITE_ROW) {
		v->seq = late ? v->seq : (uint64_t)sqlite3_column_int64(st, 0);
		v->rank = late ? v->rank : (uint64_t)sqlite3_column_int64(st, 1);
		v->marks = (uint32_t)sqlite3_column_int64(st, 2) & 0xffff;
	} else if (!late) {
		r = sqlite_damaged(s, "an amendment is missing");
	}
	sqlite3_reset(st);
	return r;
}

static int get_head(struct decoding *d, size_t i, struct sqlite_version *v)
{
	const uint8_t *h = head_of(d->b, i);
	uint8_t flags = h[OSP_PACK_HEAD_FLAGS];
	struct sqlite_origin o;
	size_t at, size;
	int r = cut_out(d->s, d->b, i, OSP_PACK_HEAD_TIMES, d->b->times_size, &at, &size);

	d->width = osp_pack_width(flags);
	d->times = d->b->times + at;
	d->time_count = size / d->width;
	r = r ? r : cut_out(d->s, d->b, i, OSP_PACK_HEAD_SLOTS, d->b->slots_size, &at, &size);
	d->slot_width = flags & OSP_PACK_WIDE ? 4 : 2;
	d->slots = d->b->slots + at;
	d->slot_count = size / d->slot_width;
	d->start_ns = add_ns(d->b->start_ns, osp_pack_get(h + OSP_PACK_HEAD_START, 5));
	d->row->id = osp_pack_get(h, 8);
	d->row->trace = d->b->trace;
	d->row->complete = flags & OSP_PACK_COMPLETE;
	*v = (struct sqlite_version){.rank = !!(flags & OSP_PACK_MOVED)};
	r = r ? r : d->row->id ? 0 : sqlite_damaged(d->s, "an operation without id");
	if (!r && (flags & OSP_PACK_AMENDED || d->s->late_marks))
		r = get_amend(d->s, d->row->id, !(flags & OSP_PACK_AMENDED), v);
	r = r ? r
	      : sqlite_origin_get(d->s, (uint32_t)osp_pack_get(h + OSP_PACK_HEAD_ORIGIN, 4), &o);
	if (r)
		return r;
	d->row->process = o.process;
	d->row->tid = o.tid;
	return sqlite_shape_get(d->s, o.shape, &d->shape);
}

/* ---- slots, times, values ---- */

static int get_slot(struct decoding *d, size_t i, uint32_t *out)
{
	if (i >= d->slot_count)
		return sqlite_damaged(d->s, "a value is missing");
	*out = (uint32_t)osp_pack_get(d->slots + i * d->slot_width, d->slot_width);
	return 0;
}

static int get_time(struct decoding *d, size_t i, int64_t *out)
{
	*out = d->start_ns;
	if (i == OSP_PACK_AT_START)
		return 0;
	if (i >= d->time_count)
		return sqlite_damaged(d->s, "a time is missing");
	*out = add_ns(d->start_ns, osp_pack_get(d->times + i * d->width, d->width));
	return 0;
}

/* Bytes that begin at a place of the payload, with their size before them. */
static int get_bytes(struct decoding *d, uint32_t at, const uint8_t **p, size_t *size)
{
	const struct sqlite_bundle *b = d->b;
	size_t left = at < b->payload_size ? b->payload_size - at : 0, prefix = 1;

	*size = left ? b->payload[at] : 0;
	if (*size == 255) {
		prefix = 5;
		*size = left < 5 ? 0 : osp_pack_get(b->payload + at + 1, 4);
	}
	if (left < prefix || left - prefix < *size)
		return sqlite_damaged(d->s, "a value lies outside");
	*p = b->payload + at + prefix;
	return 0;
}

static int get_text(struct decoding *d, size_t slot, uint8_t coding, const char **text)
{
	const uint8_t *p;
	size_t size;
	uint32_t at = 0;
	int r;

	*text = NULL;
	if (coding == OSP_PACK_NONE)
		return 0;
	r = get_slot(d, slot, &at);
	if (!r && coding == OSP_PACK_STRING)
		return sqlite_string_get(d->s, at, d->arena, text, &size);
	r = r ? r : get_bytes(d, at, &p, &size);
	if (!r && !(*text = osp_arena_copy(d->arena, p, size)))
		r = -ENOMEM;
	return r;
}

static int get_context(struct decoding *d, uint32_t slot, struct osp_value *v)
{
	uint8_t *bytes = osp_arena_alloc(d->arena, OSP_PACK_CONTEXT, 1);

	if (!bytes)
		return -ENOMEM;
	if (!d->b->wire || slot >> 8 >= d->b->count)
		return sqlite_damaged(d->s, "a context");
	memcpy(bytes, d->b->wire, 16);
	osp_pack_put(bytes + 16, sqlite_decode_id(d->b, slot >> 8) + (slot & 0xff), 8);
	bytes[24] = 1;
	v->data = bytes;
	v->size = v->true_size = OSP_PACK_CONTEXT;
	return 0;
}

static int set_number(struct decoding *d, uint64_t n, struct osp_value *v)
{
	if (v->type == OSP_VALUE_BOOL)
		v->boolean = n;
	else
		v->u64 = n;
	return v->type == OSP_VALUE_F64 || v->type >= OSP_VALUE_STR
		       ? sqlite_damaged(d->s, "a number")
		       : 0;
}

static int parse_number(struct decoding *d, const uint8_t *p, size_t size, struct osp_value *v)
{
	const char *digits = osp_arena_copy(d->arena, p, size);
	char *end;

	if (!digits)
		return -ENOMEM;
	if (v->type == OSP_VALUE_I64)
		v->i64 = strtoll(digits, &end, 10);
	else if (v->type == OSP_VALUE_F64)
		v->f64 = strtod(digits, &end);
	else
		v->u64 = strtoull(digits, &end, 10);
	return *digits && !*end && v->type != OSP_VALUE_BOOL ? 0 : sqlite_damaged(d->s, "a number");
}

static int get_sized(struct decoding *d, uint32_t at, bool cut, struct osp_value *v)
{
	const uint8_t *p;
	size_t size;
	int r = get_bytes(d, at, &p, &size);

	if (r)
		return r;
	if (v->type < OSP_VALUE_STR)
		return cut ? sqlite_damaged(d->s, "a number") : parse_number(d, p, size, v);
	if (cut && size < 4)
		return sqlite_damaged(d->s, "a value that was cut");
	v->true_size = (uint32_t)(cut ? osp_pack_get(p, 4) : size);
	v->size = (uint32_t)(cut ? size - 4 : size);
	v->data = osp_arena_copy(d->arena, p + (cut ? 4 : 0), v->size);
	return v->data ? 0 : -ENOMEM;
}

static int get_string(struct decoding *d, uint32_t id, struct osp_value *v)
{
	const char *text;
	size_t size;
	int r = v->type == OSP_VALUE_STR ? sqlite_string_get(d->s, id, d->arena, &text, &size)
					 : sqlite_damaged(d->s, "a string");

	if (r)
		return r;
	v->data = text;
	v->size = v->true_size = (uint32_t)size;
	return 0;
}

static int get_value(struct decoding *d, uint32_t slot, uint8_t coding, struct osp_value *v)
{
	switch (coding) {
	case OSP_PACK_SMALL:
		return set_number(d, slot, v);
	case OSP_PACK_STRING:
		return get_string(d, slot, v);
	case OSP_PACK_PLAIN:
	case OSP_PACK_CUT:
		return get_sized(d, slot, coding == OSP_PACK_CUT, v);
	case OSP_PACK_LOCAL:
		return v->type == OSP_VALUE_BYTES ? get_context(d, slot, v)
						  : sqlite_damaged(d->s, "a context");
	default:
		return sqlite_damaged(d->s, "a coding");
	}
}

/* ---- spans, steps, attributes ---- */

static int get_class(struct decoding *d, int64_t number, const struct name **class)
{
	int r = sqlite_names_get(d->s, NAMES_CLASS, number, class);

	if (!r && ((*class)->integer < OSP_SPAN_INTERNAL || (*class)->integer > OSP_SPAN_CONSUMER))
		return sqlite_damaged(d->s, "a kind of span");
	return r;
}

static int get_span(struct decoding *d, size_t i, const uint8_t *p, struct osp_row_span *span)
{
	size_t slot = osp_pack_get(p + OSP_PACK_SPAN_SLOT, 3);
	const struct name *class;
	int r = get_class(d, (int64_t)osp_pack_get(p + 4, 2), &class);

	span->number = (uint16_t)osp_pack_get(p, 2);
	span->parent = (uint16_t)osp_pack_get(p + 2, 2);
	span->marks = (uint32_t)osp_pack_get(p + OSP_PACK_SPAN_MARKS, 2);
	span->status = (enum osp_span_status)(p[OSP_PACK_SPAN_STATUS] % 3);
	if (!r && (i ? span->parent >= i || span->number <= span[-1].number
		     : span->parent || span->number))
		r = sqlite_damaged(d->s, "a nested span");
	r = r ? r : get_time(d, osp_pack_get(p + OSP_PACK_SPAN_BEGIN, 3), &span->start_ns);
	r = r ? r : get_time(d, osp_pack_get(p + OSP_PACK_SPAN_END, 3), &span->end_ns);
	r = r ? r : get_text(d, slot, p[OSP_PACK_SPAN_NAME], &span->name);
	r = r ? r : get_text(d, slot + 1, p[OSP_PACK_SPAN_CODE], &span->code);
	r = r ? r : span->name ? 0 : sqlite_damaged(d->s, "a span without a name");
	r = r ? r : copy_text(d->arena, class->texts[5], &span->kind_name);
	if (r)
		return r;
	span->kind = (enum osp_span_kind) class->integer;
	return 0;
}

static int get_spans(struct decoding *d)
{
	size_t n = d->shape->span_count;
	struct osp_row_span *spans = osp_arena_alloc(d->arena, n, sizeof(*spans));
	const struct name *class;
	int r = spans ? get_class(d, (int64_t)osp_pack_get(d->shape->spans + 4, 2), &class)
		      : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++)
		r = get_span(d, i, d->shape->spans + i * OSP_PACK_SPAN, &spans[i]);
	r = r ? r : copy_text(d->arena, class->texts[0], &d->row->provider);
	r = r ? r : copy_text(d->arena, class->texts[1], &d->row->side);
	r = r ? r : copy_text(d->arena, class->texts[2], &d->row->layer);
	r = r ? r : copy_text(d->arena, class->texts[3], &d->row->feature);
	d->row->spans = spans;
	d->row->span_count = n;
	return r;
}

static int get_steps(struct decoding *d, struct osp_step **out)
{
	size_t n = d->shape->step_count;
	struct osp_step *steps = osp_arena_alloc(d->arena, n, sizeof(*steps));
	int r = steps ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++) {
		const uint8_t *p = d->shape->steps + i * OSP_PACK_STEP;
		const struct name *point;

		steps[i].span = (uint16_t)osp_pack_get(p + 2, 2);
		r = sqlite_names_get(d->s, NAMES_POINT, (int64_t)osp_pack_get(p, 2), &point);
		r = r ? r : copy_text(d->arena, point->texts[0], &steps[i].name);
		r = r ? r : get_time(d, i, &steps[i].time_ns);
		if (!r && steps[i].span >= d->row->span_count)
			r = sqlite_damaged(d->s, "a step lies in no span");
		if (!r)
			steps[i].unexpected = point->integer;
	}
	d->row->steps = *out = steps;
	d->row->step_count = n;
	return r;
}

/* Attributes follow their steps in order, so a step's are a run of them. */
static int place_attribute(struct decoding *d, struct osp_step *steps, size_t step, uint32_t i)
{
	struct osp_step *st = &steps[step];

	if (step >= d->row->step_count || st->attribute_count == UINT16_MAX)
		return sqlite_damaged(d->s, "an attribute belongs to no step");
	if (!st->attribute_count)
		st->first_attribute = i;
	if ((uint32_t)st->first_attribute + st->attribute_count != i)
		return sqlite_damaged(d->s, "attributes out of order");
	st->attribute_count++;
	return 0;
}

static int get_type(struct decoding *d, const char *text, enum osp_value_type *out)
{
	static const char *const types[] = {"i64", "u64", "f64", "bool", "str", "bytes"};

	for (int i = 0; i < 6; i++) {
		if (strcmp(types[i], text))
			continue;
		*out = (enum osp_value_type)i;
		return 0;
	}
	return sqlite_damaged(d->s, "a type of value");
}

static int get_attributes(struct decoding *d, struct osp_step *steps)
{
	size_t n = d->shape->field_count;
	struct osp_attribute *list = osp_arena_alloc(d->arena, n, sizeof(*list));
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++) {
		const uint8_t *p = d->shape->fields + i * OSP_PACK_FIELD;
		const struct name *field;
		uint32_t slot = 0;

		r = sqlite_names_get(d->s, NAMES_FIELD, (int64_t)osp_pack_get(p, 2), &field);
		r = r ? r : place_attribute(d, steps, osp_pack_get(p + 2, 2), (uint32_t)i);
		r = r ? r : copy_text(d->arena, field->texts[0], &list[i].name);
		r = r ? r : get_type(d, field->texts[1], &list[i].value.type);
		r = r ? r : get_slot(d, d->shape->field_slot + i, &slot);
		r = r ? r : get_value(d, slot, p[4], &list[i].value);
	}
	d->row->attributes = list;
	d->row->attribute_count = n;
	return r;
}

static int get_parent(struct decoding *d, size_t i)
{
	const uint8_t *p;
	size_t size;
	uint32_t slot = 0;
	int r;

	if (!(head_of(d->b, i)[OSP_PACK_HEAD_FLAGS] & OSP_PACK_PARENT))
		return 0;
	r = get_slot(d, d->shape->field_slot + d->shape->field_count, &slot);
	r = r ? r : get_bytes(d, slot, &p, &size);
	r = r ? r : size == 8 ? 0 : sqlite_damaged(d->s, "an id is not 8 bytes");
	if (!r)
		d->row->parent_id = osp_pack_get(p, 8);
	return r;
}

int sqlite_decode_row(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i, bool heads,
		      struct osp_arena *arena, struct osp_row *row, struct sqlite_version *v)
{
	struct decoding d = {.s = s, .b = b, .arena = arena, .row = row};
	struct osp_step *steps;
	int r;

	*row = (struct osp_row){.id = 0};
	r = get_head(&d, i, v);
	r = r ? r : get_spans(&d);
	r = r ? r : get_parent(&d, i);
	if (r || heads)
		return r;
	r = get_steps(&d, &steps);
	return r ? r : get_attributes(&d, steps);
}

int sqlite_decode_step_count(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i,
			     size_t *count)
{
	const struct sqlite_shape *shape;
	uint64_t key = osp_pack_get(head_of(b, i) + OSP_PACK_HEAD_ORIGIN, 4);
	struct sqlite_origin o;
	int r = sqlite_origin_get(s, (uint32_t)key, &o);

	r = r ? r : sqlite_shape_get(s, o.shape, &shape);
	if (!r)
		*count = shape->step_count;
	return r;
}

int sqlite_decode_edge(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i,
		       struct osp_arena *arena, struct osp_edge *e)
{
	const uint8_t *p = b->edges + i * OSP_PACK_EDGE;
	const struct name *kind;
	int r = p[0] < b->count && p[3] < b->count ? 0 : sqlite_damaged(s, "a link lies outside");

	r = r ? r : sqlite_names_get(s, NAMES_LINK_KIND, (int64_t)osp_pack_get(p + 6, 2), &kind);
	if (r)
		return r;
	*e = (struct osp_edge){.from = sqlite_decode_id(b, p[0]) + osp_pack_get(p + 1, 2),
			       .to = sqlite_decode_id(b, p[3]) + osp_pack_get(p + 4, 2)};
	r = copy_text(arena, kind->texts[0], &e->rule);
	r = r ? r : copy_text(arena, kind->texts[1], &e->makes);
	r = r ? r : copy_text(arena, kind->texts[2], &e->evidence);
	r = r ? r : copy_text(arena, kind->texts[3], &e->grade);
	return r ? r : copy_text(arena, kind->texts[4], &e->also);
}
