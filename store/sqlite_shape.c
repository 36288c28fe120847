/*
 * Shapes and origins of a session file: what operations have in common, stored once and known by
 * a key. The writer remembers a bounded number of them; one that was forgotten is stored again
 * under a new key, so that any number may pass. Readers hold what they have met. Part of the
 * SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "user/base/cleanup.h"

static void forget_all(struct osp_map *m)
{
	size_t max = m->max;
	uint64_t seed = m->seed;

	osp_map_clear(m);
	osp_map_init(m, max, seed);
}

static int bind_shape(struct sqlite_store *s, const struct sqlite_shape *shape, uint32_t key)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_SHAPE);

	if (!st)
		return sqlite_fail(s, "add a shape");
	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, shape->field_slot);
	sqlite3_bind_blob(st, 3, shape->spans, (int)(shape->span_count * OSP_PACK_SPAN),
			  SQLITE_STATIC);
	sqlite3_bind_blob(st, 4, shape->steps, (int)(shape->step_count * OSP_PACK_STEP),
			  SQLITE_STATIC);
	sqlite3_bind_blob(st, 5, shape->fields, (int)(shape->field_count * OSP_PACK_FIELD),
			  SQLITE_STATIC);
	return sqlite_run(s, st);
}

/* The key of the shape whose entries lie in s->shape (spans, steps, fields), new or known. */
static int add_shape(struct sqlite_store *s, const struct sqlite_shape *shape, uint32_t *key)
{
	void *known = osp_map_find(&s->shapes, s->shape.data, s->shape.size);
	int r;

	if (known) {
		*key = (uint32_t)(uintptr_t)known;
		return 0;
	}
	if (s->shape_keys == UINT32_MAX)
		return osp_store_fail(&s->base, -ENOSPC, "%s: too many shapes", s->path);
	if (s->shapes.count == s->shapes.max)
		forget_all(&s->shapes);
	r = bind_shape(s, shape, ++s->shape_keys);
	*key = s->shape_keys;
	return r ? r
		 : osp_map_add(&s->shapes, s->shape.data, s->shape.size, (void *)(uintptr_t)*key);
}

/* ---- the entries of a shape ---- */

static int number_of_class(struct sqlite_store *s, const struct osp_row *row, size_t i,
			   uint32_t *number)
{
	const struct osp_row_span *span = &row->spans[i];
	struct name class = {.texts = {row->provider, row->side, row->layer, row->feature,
				       row->spans[0].kind_name, span->kind_name},
			     .integer = span->kind};

	return sqlite_names_add(s, NAMES_CLASS, &class,
				(struct name_hint){span->kind_name, row->spans[0].kind_name},
				number);
}

static int put_spans(struct sqlite_store *s, const struct osp_row *row,
		     const struct sqlite_codes *codes, uint8_t *p)
{
	uint32_t slot = 0;

	for (size_t i = 0; i < row->span_count; i++) {
		const struct osp_row_span *span = &row->spans[i];
		const uint8_t *names = &codes->names[2 * i];
		uint32_t class;
		int r = number_of_class(s, row, i, &class);

		if (r)
			return r;
		p = osp_pack_put(p, span->number, 2);
		p = osp_pack_put(p, span->parent, 2);
		p = osp_pack_put(p, class, 2);
		p = osp_pack_put(p, codes->begin[i], 3);
		p = osp_pack_put(p, codes->end[i], 3);
		p = osp_pack_put(p, span->marks, 2);
		*p++ = (uint8_t)span->status;
		*p++ = names[0];
		*p++ = names[1];
		p = osp_pack_put(p, slot, 3);
		slot += (names[0] != OSP_PACK_NONE) + (names[1] != OSP_PACK_NONE);
	}
	return 0;
}

static int put_fields(struct sqlite_store *s, const struct osp_row *row, size_t step,
		      const uint8_t *codings, uint8_t **p)
{
	static const char *const types[] = {"i64", "u64", "f64", "bool", "str", "bytes"};

	for (uint32_t k = 0; k < row->steps[step].attribute_count; k++) {
		uint32_t at = row->steps[step].first_attribute + k, number;
		const struct osp_attribute *a = &row->attributes[at];
		struct name field = {.texts = {a->name, types[a->value.type]}};
		int r = sqlite_names_add(s, NAMES_FIELD, &field,
					 (struct name_hint){a->name, types[a->value.type]},
					 &number);

		if (r)
			return r;
		*p = osp_pack_put(*p, number, 2);
		*p = osp_pack_put(*p, step, 2);
		*(*p)++ = codings[at];
	}
	return 0;
}

static int put_steps(struct sqlite_store *s, const struct osp_row *row, const uint8_t *codings,
		     uint8_t *p)
{
	uint8_t *fields = p + row->step_count * OSP_PACK_STEP;

	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *step = &row->steps[i];
		struct name point = {.texts = {step->name}, .integer = step->unexpected};
		uint32_t number;
		int r = sqlite_names_add(s, NAMES_POINT, &point,
					 (struct name_hint){step->name, NULL}, &number);

		r = r ? r : put_fields(s, row, i, codings, &fields);
		if (r)
			return r;
		p = osp_pack_put(p, number, 2);
		p = osp_pack_put(p, step->span, 2);
	}
	return 0;
}

static int make_shape(struct sqlite_store *s, const struct osp_row *row,
		      const struct sqlite_codes *codes, uint32_t *key)
{
	size_t spans = row->span_count * OSP_PACK_SPAN, steps = row->step_count * OSP_PACK_STEP;
	struct sqlite_shape shape = {.field_slot = codes->field_slot,
				     .span_count = row->span_count,
				     .step_count = row->step_count,
				     .field_count = row->attribute_count};
	uint8_t *p;
	int r;

	osp_buffer_reset(&s->shape);
	p = osp_buffer_reserve(&s->shape, spans + steps + row->attribute_count * OSP_PACK_FIELD);
	if (!p)
		return -ENOMEM;
	shape.spans = p;
	shape.steps = p + spans;
	shape.fields = p + spans + steps;
	r = put_spans(s, row, codes, p);
	r = r ? r : put_steps(s, row, codes->fields, p + spans);
	return r ? r : add_shape(s, &shape, key);
}

/* ---- known by their signature ---- */

static uint64_t address(const void *text)
{
	return (uintptr_t)text;
}

static uint64_t *sign_spans(uint64_t *w, const struct osp_row *row, const struct sqlite_codes *c)
{
	for (size_t i = 0; i < row->span_count; i++) {
		const struct osp_row_span *s = &row->spans[i];

		*w++ = address(s->kind_name);
		*w++ = (uint64_t)s->number << 48 | (uint64_t)s->parent << 32 | s->marks << 16 |
		       (uint32_t)s->kind << 8 | s->status;
		*w++ = (uint64_t)c->begin[i] << 32 | c->end[i];
		*w++ = (uint64_t)c->names[2 * i] << 8 | c->names[2 * i + 1];
	}
	return w;
}

static uint64_t *sign_steps(uint64_t *w, const struct osp_row *row)
{
	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *s = &row->steps[i];

		*w++ = address(s->name);
		*w++ = (uint64_t)s->span << 32 | (uint32_t)s->attribute_count << 1 | s->unexpected;
	}
	return w;
}

/* Addresses of user space leave the upper byte free: there is room for a type and a coding. */
static uint64_t *sign_fields(uint64_t *w, const struct osp_row *row, const struct sqlite_codes *c)
{
	for (size_t i = 0; i < row->attribute_count; i++)
		*w++ = address(row->attributes[i].name) ^
		       (uint64_t)(row->attributes[i].value.type << 4 | c->fields[i]) << 56;
	return w;
}

/* Everything that make_shape looks at, names by their address; into s->shape. */
static int sign(struct sqlite_store *s, const struct osp_row *row, const struct sqlite_codes *codes)
{
	size_t words = 5 + 4 * row->span_count + 2 * row->step_count + row->attribute_count;
	uint64_t *w;

	osp_buffer_reset(&s->shape);
	w = osp_buffer_reserve(&s->shape, words * sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w++ = (uint64_t)row->span_count << 32 | row->step_count;
	*w++ = address(row->provider);
	*w++ = address(row->side);
	*w++ = address(row->layer);
	*w++ = address(row->feature);
	sign_fields(sign_steps(sign_spans(w, row, codes), row), row, codes);
	return 0;
}

/* Names are told apart by their addresses. */
static int find_lasting(struct sqlite_store *s, const struct osp_row *row,
			const struct sqlite_codes *codes, uint32_t *key)
{
	void *known;
	int r = sign(s, row, codes);

	if (r)
		return r;
	known = osp_map_find(&s->signatures, s->shape.data, s->shape.size);
	*key = (uint32_t)(uintptr_t)known;
	if (known)
		return 0;
	r = make_shape(s, row, codes, key);
	if (!r && s->signatures.count == s->signatures.max)
		forget_all(&s->signatures);
	r = r ? r : sign(s, row, codes);
	return r ? r
		 : osp_map_add(&s->signatures, s->shape.data, s->shape.size,
			       (void *)(uintptr_t)*key);
}

/* ---- known by their form ---- */

static struct sqlite_form *form_of(struct sqlite_store *s, const struct osp_row *row)
{
	return &s->forms[row->form % SQLITE_FORMS];
}

static bool is_as_last(const struct sqlite_form *f, const struct osp_row *row,
		       const struct sqlite_codes *codes)
{
	return f->form == row->form && f->codes.size == codes->size &&
	       !memcmp(f->codes.data, codes->begin, codes->size);
}

static int remember_form(struct sqlite_form *f, const struct osp_row *row,
			 const struct sqlite_codes *codes, uint32_t shape)
{
	f->form = 0;
	f->shape = shape;
	memset(f->origins, 0, sizeof(f->origins));
	f->codes.max = SIZE_MAX;
	osp_buffer_reset(&f->codes);
	if (osp_buffer_add(&f->codes, codes->begin, codes->size))
		return -ENOMEM;
	f->form = row->form;
	return 0;
}

static int shape_of(struct sqlite_store *s, const struct osp_row *row,
		    const struct sqlite_codes *codes, uint32_t *key)
{
	return row->lasting ? find_lasting(s, row, codes, key) : make_shape(s, row, codes, key);
}

static void forget_forms(struct sqlite_store *s)
{
	for (size_t i = 0; i < SQLITE_FORMS; i++) {
		osp_buffer_clear(&s->forms[i].codes);
		s->forms[i].form = 0;
	}
}

/* ---- origins ---- */

static int insert_origin(struct sqlite_store *s, const struct sqlite_origin *o, uint32_t key)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_ORIGIN);

	if (!st)
		return sqlite_fail(s, "add an origin");
	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, o->shape);
	sqlite3_bind_int64(st, 3, o->process);
	sqlite3_bind_int64(st, 4, o->tid);
	return sqlite_run(s, st);
}

static int add_origin(struct sqlite_store *s, const struct sqlite_origin *o, uint32_t *key)
{
	void *known = osp_map_find(&s->origins, o, sizeof(*o));
	int r;

	if (known) {
		*key = (uint32_t)(uintptr_t)known;
		return 0;
	}
	if (s->origin_keys == UINT32_MAX)
		return osp_store_fail(&s->base, -ENOSPC, "%s: too many origins", s->path);
	if (s->origins.count == s->origins.max)
		forget_all(&s->origins);
	*key = ++s->origin_keys;
	r = insert_origin(s, o, *key);
	return r ? r : osp_map_add(&s->origins, o, sizeof(*o), (void *)(uintptr_t)*key);
}

/* Runs of one form come from a few threads. */
static int origin_of_form(struct sqlite_store *s, struct sqlite_form *f, const struct osp_row *row,
			  uint32_t *key)
{
	struct sqlite_origin o = {f->shape, row->process, row->tid};
	struct sqlite_form_origin *known =
		&f->origins[(5 * o.process + o.tid) % SQLITE_FORM_ORIGINS];
	int r;

	if (known->key && known->process == o.process && known->tid == o.tid) {
		*key = known->key;
		return 0;
	}
	r = add_origin(s, &o, key);
	if (!r)
		*known = (struct sqlite_form_origin){o.process, o.tid, *key};
	return r;
}

int sqlite_origin_of(struct sqlite_store *s, const struct osp_row *row,
		     const struct sqlite_codes *codes, uint32_t *key)
{
	struct sqlite_origin o = {.process = row->process, .tid = row->tid};
	struct sqlite_form *f = form_of(s, row);
	int r = 0;

	if (!row->form) {
		r = shape_of(s, row, codes, &o.shape);
		return r ? r : add_origin(s, &o, key);
	}
	if (!is_as_last(f, row, codes)) {
		r = shape_of(s, row, codes, &o.shape);
		r = r ? r : remember_form(f, row, codes, o.shape);
	}
	return r ? r : origin_of_form(s, f, row, key);
}

/* ---- reading ---- */

static const uint8_t *copy_entries(uint8_t **to, sqlite3_stmt *st, int at)
{
	size_t size = (size_t)sqlite3_column_bytes(st, at);
	const uint8_t *start = *to;

	if (size)
		memcpy(*to, sqlite3_column_blob(st, at), size);
	*to += size;
	return start;
}

/* Sizes are checked here; what the entries say, when they are followed. */
static int load_shape(struct sqlite_store *s, sqlite3_stmt *st, uint32_t key,
		      struct sqlite_shape **out)
{
	size_t spans = (size_t)sqlite3_column_bytes(st, 1);
	size_t steps = (size_t)sqlite3_column_bytes(st, 2);
	size_t fields = (size_t)sqlite3_column_bytes(st, 3);
	struct sqlite_shape *shape;
	uint8_t *at;

	if (!spans || spans % OSP_PACK_SPAN || steps % OSP_PACK_STEP || fields % OSP_PACK_FIELD)
		return sqlite_damaged(s, "a shape");
	shape = malloc(sizeof(*shape) + spans + steps + fields);
	if (!shape)
		return -ENOMEM;
	at = (uint8_t *)(shape + 1);
	shape->key = key;
	shape->field_slot = (uint32_t)sqlite3_column_int64(st, 0);
	shape->span_count = spans / OSP_PACK_SPAN;
	shape->step_count = steps / OSP_PACK_STEP;
	shape->field_count = fields / OSP_PACK_FIELD;
	shape->spans = copy_entries(&at, st, 1);
	shape->steps = copy_entries(&at, st, 2);
	shape->fields = copy_entries(&at, st, 3);
	*out = shape;
	return 0;
}

static void free_shapes(struct sqlite_store *s)
{
	struct sqlite_shape *shape;

	for (size_t at = 0; (shape = osp_map_next(&s->known_shapes, &at));)
		free(shape);
	forget_all(&s->known_shapes);
}

int sqlite_shape_get(struct sqlite_store *s, uint32_t key, const struct sqlite_shape **out)
{
	struct sqlite_shape *shape = osp_map_find(&s->known_shapes, &key, sizeof(key));
	sqlite3_stmt *st;
	int r;

	if (shape) {
		*out = shape;
		return 0;
	}
	st = sqlite_statement(s, STATEMENT_GET_SHAPE);
	if (!st)
		return sqlite_fail(s, "read a shape");
	if (s->known_shapes.count == s->known_shapes.max)
		free_shapes(s);
	sqlite3_bind_int64(st, 1, key);
	r = sqlite3_step(st) == SQLITE_ROW ? load_shape(s, st, key, &shape)
					   : sqlite_damaged(s, "no such shape");
	sqlite3_reset(st);
	r = r ? r : osp_map_add(&s->known_shapes, &key, sizeof(key), shape);
	*out = shape;
	return r;
}

static void free_origins(struct sqlite_store *s)
{
	void *o;

	for (size_t at = 0; (o = osp_map_next(&s->known_origins, &at));)
		free(o);
	forget_all(&s->known_origins);
}

static int keep_origin(struct sqlite_store *s, uint32_t key, const struct sqlite_origin *o)
{
	struct sqlite_origin *copy = malloc(sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	*copy = *o;
	if (s->known_origins.count == s->known_origins.max)
		free_origins(s);
	r = osp_map_add(&s->known_origins, &key, sizeof(key), copy);
	if (r)
		free(copy);
	return r;
}

int sqlite_origin_get(struct sqlite_store *s, uint32_t key, struct sqlite_origin *o)
{
	const struct sqlite_origin *known = osp_map_find(&s->known_origins, &key, sizeof(key));
	sqlite3_stmt *st = known ? NULL : sqlite_statement(s, STATEMENT_GET_ORIGIN);
	int r = 0;

	if (known) {
		*o = *known;
		return 0;
	}
	if (!st)
		return sqlite_fail(s, "read an origin");
	sqlite3_bind_int64(st, 1, key);
	if (sqlite3_step(st) != SQLITE_ROW)
		r = sqlite_damaged(s, "no such origin");
	o->shape = (uint32_t)sqlite3_column_int64(st, 0);
	o->process = (uint32_t)sqlite3_column_int64(st, 1);
	o->tid = (uint32_t)sqlite3_column_int64(st, 2);
	sqlite3_reset(st);
	return r ? r : keep_origin(s, key, o);
}

void sqlite_shape_clear(struct sqlite_store *s)
{
	free_shapes(s);
	free_origins(s);
	forget_forms(s);
	osp_map_clear(&s->shapes);
	osp_map_clear(&s->signatures);
	osp_map_clear(&s->origins);
	osp_map_init(&s->shapes, SQLITE_SHAPES, 0x73686170);
	osp_map_init(&s->signatures, SQLITE_SHAPES, 0x7369676e);
	osp_map_init(&s->known_shapes, SQLITE_SHAPES, 0x6b736870);
	osp_map_init(&s->origins, SQLITE_ORIGINS, 0x6f726967);
	osp_map_init(&s->known_origins, SQLITE_ORIGINS, 0x6b6f7267);
}
