/*
 * Makes bundles of operations (store/pack.h): names become numbers, what many operations have in
 * common becomes a shape, times and values are packed, and what the operations of a bundle say
 * of each other (links, trace contexts, equal bytes) is said in a few bytes. Fed by the batch
 * (sqlite_batch.c) with members of one trace. Part of the SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/pack.h"
#include "store/part.h"

/* An operation on its way into the bundle. */
struct encoding {
	struct sqlite_store *s;
	const struct sqlite_member *m;
	const struct osp_row *row;
	uint32_t *first, *last;		 /* steps of a span, + 1 */
	uint32_t *begin, *end, *states;	 /* of a span: places of its times; marks, status */
	uint8_t *codings, *name_codings; /* of attributes; of a span's name and code */
	uint64_t *times, *slots;
	uint32_t slot_count, time_count;
	uint64_t max_slot, max_time;
};

static void *reserve(struct osp_buffer *b, size_t size)
{
	return osp_buffer_reserve(b, size);
}

static int start(struct encoding *e)
{
	const struct osp_row *row = e->row;
	size_t n = row->span_count, times = row->step_count + 2 * n;
	size_t slots = 2 * n + row->attribute_count + 1;

	osp_buffer_reset(&e->s->scratch);
	e->times = reserve(&e->s->scratch, (times + slots) * sizeof(uint64_t) +
						   5 * n * sizeof(uint32_t) + row->attribute_count +
						   2 * n);
	if (!e->times)
		return -ENOMEM;
	e->slots = e->times + times;
	e->first = (uint32_t *)(e->slots + slots);
	e->last = e->first + n;
	e->begin = e->last + n;
	e->end = e->begin + n;
	e->states = e->end + n;
	e->codings = (uint8_t *)(e->states + n);
	e->name_codings = e->codings + row->attribute_count;
	memset(e->first, 0, 2 * n * sizeof(uint32_t));
	return 0;
}

static void add_slot(struct encoding *e, uint32_t value)
{
	e->slots[e->slot_count++] = value;
	e->max_slot |= value;
}

static uint32_t add_time(struct encoding *e, int64_t time_ns)
{
	uint64_t after = (uint64_t)time_ns - (uint64_t)e->row->spans[0].start_ns;

	e->times[e->time_count] = after;
	e->max_time |= after;
	return e->time_count++;
}

/* ---- values in the payload ---- */

static int add_size(struct osp_buffer *b, size_t size)
{
	uint8_t prefix[5] = {size < 255 ? (uint8_t)size : 255};

	osp_pack_put(prefix + 1, size, 4);
	return osp_buffer_add(b, prefix, size < 255 ? 1 : 5);
}

static size_t seen_place(const void *data, size_t size)
{
	uint64_t word = 0;

	if (size >= sizeof(word))
		memcpy(&word, data, sizeof(word));
	else
		memcpy(&word, data, size);
	return ((word ^ size) * 0x9e3779b97f4a7c15) >> 56;
}

/* Bytes that the payload has already are not added again. */
static int add_bytes(struct encoding *e, const void *data, size_t size)
{
	struct osp_buffer *b = &e->s->payload;
	uint32_t *seen = size && size < 255 ? &e->s->seen[seen_place(data, size)] : NULL;
	const uint8_t *known = seen && *seen ? b->data + *seen - 1 : NULL;
	int r;

	if (known && *known == size && !memcmp(known + 1, data, size)) {
		add_slot(e, *seen - 1);
		return 0;
	}
	if (seen)
		*seen = (uint32_t)b->size + 1;
	add_slot(e, (uint32_t)b->size);
	r = add_size(b, size);
	return r ? r : osp_buffer_add(b, data, size);
}

static int add_cut(struct encoding *e, const struct osp_value *v)
{
	struct osp_buffer *b = &e->s->payload;
	uint8_t true_size[4];
	int r;

	osp_pack_put(true_size, v->true_size, 4);
	add_slot(e, (uint32_t)b->size);
	r = add_size(b, 4 + v->size);
	r = r ? r : osp_buffer_add(b, true_size, 4);
	return r ? r : osp_buffer_add(b, v->data, v->size);
}

/* ---- values ---- */

/* The place in this bundle of the operation that the span id lies in; -1 = it is elsewhere. */
static int find_place(const struct sqlite_store *s, uint64_t span_id)
{
	for (size_t i = 0; i < s->id_count; i++)
		if (s->ids[i] == osp_span_operation(span_id))
			return (int)i;
	return -1;
}

/* A trace context that names a span of this bundle, in the trace id of the bundle. */
static bool add_context(struct encoding *e, const struct osp_value *v)
{
	struct sqlite_store *s = e->s;
	const uint8_t *bytes = v->data;
	uint64_t id;
	int place;

	if (v->size != OSP_PACK_CONTEXT || bytes[24] != 1)
		return false;
	id = osp_pack_get(bytes + 16, 8);
	place = (id & 0xffff) < 256 ? find_place(s, id) : -1;
	if (place < 0 || (s->has_wire && memcmp(s->wire, bytes, 16)))
		return false;
	memcpy(s->wire, bytes, 16);
	s->has_wire = true;
	add_slot(e, (uint32_t)place << 8 | (uint32_t)(id & 0xff));
	return true;
}

static int add_text(struct encoding *e, const struct osp_value *v, uint8_t *coding)
{
	int64_t id = 0;
	int r = 0;

	if (v->type == OSP_VALUE_STR)
		r = sqlite_string_add_value(e->s, v->data, v->size, &id);
	if (r)
		return r;
	*coding = id ? OSP_PACK_STRING : OSP_PACK_PLAIN;
	if (!id)
		return add_bytes(e, v->data, v->size);
	add_slot(e, (uint32_t)id);
	return 0;
}

static int add_number(struct encoding *e, const struct osp_value *v, uint8_t *coding)
{
	uint64_t n = v->type == OSP_VALUE_BOOL ? v->boolean : v->u64;
	char digits[40];
	int size;

	*coding = OSP_PACK_SMALL;
	if (v->type != OSP_VALUE_F64 && n <= UINT16_MAX) {
		add_slot(e, (uint32_t)n);
		return 0;
	}
	*coding = OSP_PACK_PLAIN;
	size = v->type == OSP_VALUE_F64	  ? snprintf(digits, sizeof(digits), "%.17g", v->f64)
	       : v->type == OSP_VALUE_I64 ? snprintf(digits, sizeof(digits), "%" PRId64, v->i64)
					  : snprintf(digits, sizeof(digits), "%" PRIu64, v->u64);
	return add_bytes(e, digits, (size_t)size);
}

static int add_value(struct encoding *e, const struct osp_value *v, uint8_t *coding)
{
	if (v->type != OSP_VALUE_STR && v->type != OSP_VALUE_BYTES)
		return add_number(e, v, coding);
	*coding = OSP_PACK_CUT;
	if (v->true_size != v->size)
		return add_cut(e, v);
	*coding = OSP_PACK_LOCAL;
	if (v->type == OSP_VALUE_BYTES && add_context(e, v))
		return 0;
	return add_text(e, v, coding);
}

/* ---- names, steps, spans: their times, slots and codings ---- */

/* Its slot, for a text that is a string of the session or, when there are too many, is not. */
static int add_name(struct encoding *e, const char *text, uint8_t *coding)
{
	int64_t id;
	int r = text ? sqlite_string_add(e->s, text, &id) : 0;

	*coding = OSP_PACK_NONE;
	if (r || !text)
		return r;
	*coding = id ? OSP_PACK_STRING : OSP_PACK_PLAIN;
	if (!id)
		return add_bytes(e, text, strlen(text));
	add_slot(e, (uint32_t)id);
	return 0;
}

static int add_names(struct encoding *e)
{
	for (size_t i = 0; i < e->row->span_count; i++) {
		int r = add_name(e, e->row->spans[i].name, &e->name_codings[2 * i]);

		r = r ? r : add_name(e, e->row->spans[i].code, &e->name_codings[2 * i + 1]);
		if (r)
			return r;
	}
	return 0;
}

/* Attributes lie in the order of their steps (osp_part_check), so do slots. */
static int add_values(struct encoding *e)
{
	for (size_t i = 0; i < e->row->attribute_count; i++) {
		int r = add_value(e, &e->row->attributes[i].value, &e->codings[i]);

		if (r)
			return r;
	}
	return 0;
}

static void add_steps(struct encoding *e)
{
	for (size_t i = 0; i < e->row->step_count; i++) {
		const struct osp_step *step = &e->row->steps[i];

		add_time(e, step->time_ns);
		e->last[step->span] = (uint32_t)i + 1;
		if (!e->first[step->span])
			e->first[step->span] = (uint32_t)i + 1;
	}
}

/* The place of a time among those of the steps, where it nearly always is; else it is added. */
static uint32_t find_time(struct encoding *e, int64_t time_ns, uint32_t likely)
{
	size_t n = e->row->step_count;

	if (likely && e->row->steps[likely - 1].time_ns == time_ns)
		return likely - 1;
	if (n && e->row->steps[n - 1].time_ns == time_ns)
		return (uint32_t)n - 1;
	if (time_ns == e->row->spans[0].start_ns)
		return OSP_PACK_AT_START;
	return add_time(e, time_ns);
}

static void add_spans(struct encoding *e)
{
	for (size_t i = 0; i < e->row->span_count; i++) {
		const struct osp_row_span *span = &e->row->spans[i];

		e->begin[i] = i ? find_time(e, span->start_ns, e->first[i]) : OSP_PACK_AT_START;
		e->end[i] = find_time(e, span->end_ns, e->last[i]);
		e->states[i] = span->marks << 8 | span->status;
	}
}

/* What the shape says of this operation: all that tells rows of one form apart, in one piece. */
static struct sqlite_codes get_codes(const struct encoding *e, uint32_t field_slot)
{
	size_t n = e->row->span_count;

	return (struct sqlite_codes){
		.field_slot = field_slot,
		.begin = e->begin,
		.end = e->end,
		.fields = e->codings,
		.names = e->name_codings,
		.size = 3 * n * sizeof(uint32_t) + e->row->attribute_count + 2 * n,
	};
}

static int add_parent(struct encoding *e)
{
	uint8_t id[8];

	osp_pack_put(id, e->row->parent_id, 8);
	return e->row->parent_id ? add_bytes(e, id, 8) : 0;
}

/* ---- the head ---- */

static uint8_t choose_width(uint64_t max)
{
	return max < 1ull << 24 ? 0 : max < 1ull << 32 ? 1 : max < 1ull << 40 ? 2 : 3;
}

static bool is_amended(const struct sqlite_version *v)
{
	return v->seq || v->marks || v->rank > 1;
}

static uint8_t choose_flags(const struct encoding *e)
{
	const struct sqlite_version *v = &e->m->version;

	return (uint8_t)(choose_width(e->max_time) |
			 (e->max_slot > UINT16_MAX ? OSP_PACK_WIDE : 0) |
			 (e->row->complete ? OSP_PACK_COMPLETE : 0) |
			 (e->row->parent_id ? OSP_PACK_PARENT : 0) |
			 (is_amended(v)	 ? OSP_PACK_AMENDED
			  : v->rank == 1 ? OSP_PACK_MOVED
					 : 0));
}

static int write_amend(struct sqlite_store *s, const struct sqlite_member *m)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_AMEND);

	if (!st)
		return sqlite_fail(s, "write");
	sqlite_bind_id(st, 1, m->row.id);
	sqlite3_bind_int64(st, 2, (int64_t)m->version.seq);
	sqlite3_bind_int64(st, 3, (int64_t)m->version.rank);
	sqlite3_bind_int64(st, 4, m->version.marks);
	return sqlite_run(s, st);
}

/*
 * Appends the last `width` bytes of each number: whole words are written, the next one covers what
 * is too much of the one before.
 */
static int put_all(struct osp_buffer *b, const uint64_t *numbers, uint32_t count, unsigned width)
{
	uint8_t *p = reserve(b, count * width + sizeof(uint64_t));

	if (!p)
		return -ENOMEM;
	b->size -= sizeof(uint64_t);
	for (uint32_t i = 0; i < count; i++, p += width)
		osp_pack_put(p, numbers[i] << (64 - 8 * width), 8);
	return 0;
}

static int put_head(struct encoding *e, int64_t start_ns, uint32_t origin)
{
	struct sqlite_store *s = e->s;
	uint8_t flags = choose_flags(e), *p = reserve(&s->heads, OSP_PACK_HEAD);
	int r;

	if (!p)
		return -ENOMEM;
	p = osp_pack_put(p, e->row->id, 8);
	p = osp_pack_put(p, origin, 4);
	*p++ = flags;
	p = osp_pack_put(p, (uint64_t)e->row->spans[0].start_ns - (uint64_t)start_ns, 5);
	p = osp_pack_put(p, s->times.size, 2);
	osp_pack_put(p, s->slots.size, 2);
	r = put_all(&s->times, e->times, e->time_count, osp_pack_width(flags));
	r = r ? r : put_all(&s->slots, e->slots, e->slot_count, flags & OSP_PACK_WIDE ? 4 : 2);
	return r || !is_amended(&e->m->version) ? r : write_amend(s, e->m);
}

/* Table `number` counts as far as the views need it to unpack anything. */
static int count_up(struct sqlite_store *s, size_t most)
{
	while (s->numbers < most) {
		sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_NUMBER);
		int r;

		if (!st)
			return sqlite_fail(s, "write");
		sqlite3_bind_int64(st, 1, (int64_t)s->numbers);
		r = sqlite_run(s, st);
		if (r)
			return r;
		s->numbers++;
	}
	return 0;
}

static int count_row(struct sqlite_store *s, const struct osp_row *row)
{
	size_t most = row->span_count;

	most = row->step_count > most ? row->step_count : most;
	most = row->attribute_count > most ? row->attribute_count : most;
	return count_up(s, most);
}

/* Where the first field's slot is: behind those of names and codes. */
static int add_parts(struct encoding *e, uint32_t *field_slot)
{
	int r = start(e);

	r = r ? r : add_names(e);
	*field_slot = e->slot_count;
	r = r ? r : add_values(e);
	if (r)
		return r;
	add_steps(e);
	add_spans(e);
	return add_parent(e);
}

static int encode_member(struct sqlite_store *s, const struct sqlite_member *m, int64_t start_ns)
{
	struct encoding e = {.s = s, .m = m, .row = &m->row};
	struct sqlite_codes codes;
	uint32_t field_slot, origin;
	int r = add_parts(&e, &field_slot);

	if (r)
		return r;
	codes = get_codes(&e, field_slot);
	r = sqlite_origin_of(s, &m->row, &codes, &origin);
	r = r ? r : count_row(s, &m->row);
	return r ? r : put_head(&e, start_ns, origin);
}

/* ---- the bundle ---- */

static int encode_link(struct sqlite_store *s, const struct sqlite_link *l)
{
	const struct osp_edge *e = &l->edge;
	uint8_t *p = reserve(&s->edges, OSP_PACK_EDGE);
	uint32_t kind;
	int r = p ? sqlite_names_add_kind(s, e, &kind) : -ENOMEM;

	if (r)
		return r;
	p = osp_pack_put(p, (uint64_t)find_place(s, e->from), 1);
	p = osp_pack_put(p, e->from & 0xffff, 2);
	p = osp_pack_put(p, (uint64_t)find_place(s, e->to), 1);
	p = osp_pack_put(p, e->to & 0xffff, 2);
	osp_pack_put(p, kind, 2);
	return 0;
}

/* When its operations are, and whether all of them are whole. */
struct extent {
	int64_t start_ns, end_ns;
	bool complete;
};

static void bind_bytes(sqlite3_stmt *st, int at, const struct sqlite_bytes *b)
{
	if (b->size)
		sqlite3_bind_blob(st, at, b->data, (int)b->size, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

/* Over the bundle that has the key. */
static int replace_bundle(struct sqlite_store *s, const struct sqlite_feed_row *row,
			  const struct sqlite_bytes bytes[SQLITE_FEED_BYTES])
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_SET_BUNDLE);

	if (!st)
		return sqlite_fail(s, "write");
	sqlite3_bind_int64(st, 1, row->key);
	sqlite3_bind_int64(st, 2, row->trace);
	sqlite3_bind_int64(st, 3, row->start_ns);
	if (row->complete)
		sqlite3_bind_int64(st, 4, row->duration_ns);
	else
		sqlite3_bind_null(st, 4);
	for (int i = 0; i < SQLITE_FEED_BYTES; i++)
		bind_bytes(st, 5 + i, &bytes[i]);
	return sqlite_run(s, st);
}

static int write_bundle(struct sqlite_store *s, int64_t key, bool stored, uint64_t trace,
			const struct extent *x)
{
	const struct sqlite_bytes bytes[SQLITE_FEED_BYTES] = {
		{s->wire, s->has_wire ? sizeof(s->wire) : 0},
		{s->heads.data, s->heads.size},
		{s->times.data, s->times.size},
		{s->slots.data, s->slots.size},
		{s->payload.data, s->payload.size},
		{s->edges.data, s->edges.size},
	};
	const struct sqlite_feed_row row = {
		.key = key,
		.trace = (int64_t)trace,
		.start_ns = x->start_ns,
		.duration_ns = (int64_t)((uint64_t)x->end_ns - (uint64_t)x->start_ns),
		.complete = x->complete,
	};

	return stored ? replace_bundle(s, &row, bytes) : sqlite_feed_add(s, &row, bytes);
}

static void reset(struct sqlite_store *s)
{
	osp_buffer_reset(&s->heads);
	osp_buffer_reset(&s->times);
	osp_buffer_reset(&s->slots);
	osp_buffer_reset(&s->payload);
	osp_buffer_reset(&s->edges);
	memset(s->seen, 0, sizeof(s->seen));
	s->has_wire = false;
	s->id_count = 0;
}

static struct extent measure(struct sqlite_store *s, const uint32_t *members, size_t count)
{
	struct extent x = {INT64_MAX, INT64_MIN, true};

	for (size_t i = 0; i < count; i++) {
		const struct osp_row *row = &s->batch.members[members[i]].row;

		for (size_t k = 0; k < row->span_count; k++) {
			const struct osp_row_span *span = &row->spans[k];

			x.start_ns = span->start_ns < x.start_ns ? span->start_ns : x.start_ns;
			x.end_ns = span->end_ns > x.end_ns ? span->end_ns : x.end_ns;
		}
		x.complete = x.complete && row->complete;
		s->ids[s->id_count++] = row->id;
	}
	return x;
}

int sqlite_encode(struct sqlite_store *s, const uint32_t *members, size_t count,
		  uint32_t first_link, int64_t key)
{
	const struct sqlite_member *list = s->batch.members;
	bool stored = key;
	struct extent x;
	int r = 0;

	reset(s);
	x = measure(s, members, count);
	key = stored ? key : ++s->bundle_keys;
	for (size_t i = 0; !r && i < count; i++) {
		r = encode_member(s, &list[members[i]], x.start_ns);
		r = r ? r : sqlite_place_add(s, &list[members[i]].row, key);
	}
	for (uint32_t i = first_link; !r && i; i = s->batch.links[i - 1].next)
		r = encode_link(s, &s->batch.links[i - 1]);
	r = r ? r : count_up(s, s->edges.size / OSP_PACK_EDGE);
	r = r ? r : count_up(s, count);
	return r ? r : write_bundle(s, key, stored, list[members[0]].row.trace, &x);
}
