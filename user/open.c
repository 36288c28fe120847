/*
 * The memory of open operations (user/open.h): the stitcher fills them, the row that osp_open_row
 * gives points into them. Owns arrays that grow by doubling and a chain of blocks for values and
 * names; both go back to the pool with the operation, so that a steady load allocates nothing.
 */
#include "user/open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"

/* Most operations that are open long have shown their first step only: they begin small. */
enum {
	FIRST_BLOCK = 256,
	BLOCK_SIZE = 2048,
	FIRST_ROOM = 2,
	FREE_MAX = 1024,
	KEEP_ROOM = 256,
	BORROW_MAX = 64
};

struct osp_open_block {
	struct osp_open_block *next;
	size_t size, used;
	uint8_t data[];
};

/* ---- titles ---- */

const struct osp_open_arg *osp_open_args(const struct osp_open_titles *t, const struct osp_point *p)
{
	return t->args[p->number - t->first_point];
}

static bool is_sized(enum osp_type type)
{
	return type == OSP_TYPE_STR || type == OSP_TYPE_BYTES || type == OSP_TYPE_CONTEXT_IN ||
	       type == OSP_TYPE_CONTEXT_OUT;
}

static void plan_arg(const struct osp_open_titles *t, const struct osp_operation *o,
		     const struct osp_arg *a, struct osp_open_arg *out)
{
	out->how = is_sized(a->type) ? OSP_OPEN_SIZED
		   : a->enumeration  ? OSP_OPEN_ENUM
				     : OSP_OPEN_WORD;
	if (a->class == OSP_CLASS_SECRET || a->class == OSP_CLASS_PAYLOAD ||
	    a->type == OSP_TYPE_OP || a->report)
		out->how = OSP_OPEN_NOT;
	out->type = a->type == OSP_TYPE_INT    ? OSP_VALUE_I64
		    : a->type == OSP_TYPE_BOOL ? OSP_VALUE_BOOL
		    : a->type == OSP_TYPE_F64  ? OSP_VALUE_F64
					       : OSP_VALUE_U64;
	for (size_t i = 0; i <= o->span_count; i++) {
		const struct osp_title *title = i ? &t->spans[i - 1] : &t->operation;

		out->holes[i] = (int8_t)osp_title_find(title, a->name);
		out->titled |= out->holes[i] >= 0;
	}
}

int osp_open_init_titles(struct osp_open_titles *t, const struct osp_operation *o)
{
	uint16_t first = UINT16_MAX, last = 0;

	osp_title_parse(&t->operation, o->title ? o->title : o->name);
	for (size_t i = 0; i < o->span_count; i++)
		osp_title_parse(&t->spans[i],
				o->spans[i].title ? o->spans[i].title : o->spans[i].name);
	for (size_t i = 0; i < o->transition_count; i++) {
		uint16_t number = o->transitions[i].point->number;

		first = number < first ? number : first;
		last = number > last ? number : last;
	}
	t->first_point = first;
	t->args = calloc(first > last ? 1 : last - first + 1u, sizeof(*t->args));
	for (size_t i = 0; t->args && i < o->transition_count; i++) {
		const struct osp_point *p = o->transitions[i].point;

		for (size_t a = 0; a < p->arg_count; a++)
			plan_arg(t, o, &p->args[a], &t->args[p->number - first][a]);
	}
	return t->args ? 0 : -ENOMEM;
}

void osp_open_clear_titles(struct osp_open_titles *t)
{
	free(t->args);
	t->args = NULL;
}

/* ---- memory ---- */

void osp_open_init_pool(struct osp_open_pool *pool, size_t max_steps, size_t max_bytes)
{
	*pool = (struct osp_open_pool){.max_steps = max_steps, .max_bytes = max_bytes};
	osp_list_init(&pool->free);
}

static void free_block(struct osp_open *o)
{
	struct osp_open_block *next = o->blocks->next;

	o->bytes -= sizeof(*o->blocks) + o->blocks->size;
	free(o->blocks);
	o->blocks = next;
}

static void destroy(struct osp_open *o)
{
	while (o->blocks)
		free_block(o);
	free(o->spans);
	free(o->span_infos);
	free(o->steps);
	free(o->step_infos);
	free(o->attributes);
	free(o->attribute_infos);
	free(o);
}

void osp_open_clear_pool(struct osp_open_pool *pool)
{
	while (!osp_list_empty(&pool->free)) {
		struct osp_open *o = osp_list_entry(pool->free.next, struct osp_open, by_process);

		osp_list_remove(&o->by_process);
		destroy(o);
	}
	pool->free_count = 0;
}

/* Keeps what an ordinary operation needs, so that the next one allocates nothing. */
static bool worth_keeping(const struct osp_open_pool *pool, const struct osp_open *o)
{
	return pool->free_count < FREE_MAX && o->step_room <= KEEP_ROOM &&
	       o->span_room <= KEEP_ROOM && o->attribute_room <= 4 * KEEP_ROOM;
}

void osp_open_free(struct osp_open_pool *pool, struct osp_open **open)
{
	struct osp_open *o = *open;

	if (!o)
		return;
	*open = NULL;
	pool->bytes -= o->bytes;
	if (!worth_keeping(pool, o)) {
		destroy(o);
		return;
	}
	while (o->blocks && (o->blocks->next || o->blocks->size > BLOCK_SIZE))
		free_block(o);
	if (o->blocks)
		o->blocks->used = 0;
	osp_list_add(&pool->free, &o->by_process);
	pool->free_count++;
}

/* Takes one from the pool: its arrays stay, everything else is zero again. */
static struct osp_open *reuse(struct osp_open_pool *pool)
{
	struct osp_open *o = osp_list_entry(pool->free.prev, struct osp_open, by_process),
			kept = *o;

	osp_list_remove(&o->by_process);
	pool->free_count--;
	pool->bytes += kept.bytes;
	*o = (struct osp_open){.spans = kept.spans,
			       .span_infos = kept.span_infos,
			       .span_room = kept.span_room,
			       .steps = kept.steps,
			       .step_infos = kept.step_infos,
			       .step_room = kept.step_room,
			       .attributes = kept.attributes,
			       .attribute_infos = kept.attribute_infos,
			       .attribute_room = kept.attribute_room,
			       .blocks = kept.blocks,
			       .bytes = kept.bytes};
	return o;
}

int osp_open_new(struct osp_open_pool *pool, const struct osp_operation *o,
		 const struct osp_open_titles *titles, int64_t time_ns, struct osp_open **out)
{
	struct osp_open *n = osp_list_empty(&pool->free) ? calloc(1, sizeof(*n)) : reuse(pool);
	size_t span;
	int r;

	if (!n)
		return -ENOMEM;
	n->operation = o;
	n->titles = titles;
	osp_list_init(&n->by_process);
	osp_list_init(&n->by_timeout);
	osp_list_init(&n->by_part);
	osp_list_init(&n->by_hung);
	r = osp_open_add_span(pool, n, -1, 0, time_ns, &span);
	if (r) {
		osp_open_free(pool, &n);
		return r;
	}
	*out = n;
	return 0;
}

/* An array and the one that goes with it: both have room for as many. */
struct pair {
	void **first, **second;
	size_t first_size, second_size; /* of a member */
};

static int resize(void **array, size_t bytes)
{
	void *more = realloc(*array, bytes);

	if (!more)
		return -ENOMEM;
	*array = more;
	return 0;
}

static int extend(struct osp_open_pool *pool, struct osp_open *o, struct pair p, size_t need,
		  size_t *room)
{
	size_t next = *room ? *room : FIRST_ROOM, more;

	while (next < need)
		next *= 2;
	more = (next - *room) * (p.first_size + p.second_size);
	if (pool->bytes + more > pool->max_bytes)
		return -ENOSPC;
	if (resize(p.first, next * p.first_size) || resize(p.second, next * p.second_size))
		return -ENOMEM;
	*room = next;
	o->bytes += more;
	pool->bytes += more;
	return 0;
}

#define PAIR(a, b) ((struct pair){(void **)&(a), (void **)&(b), sizeof(*(a)), sizeof(*(b))})

static int add_block(struct osp_open_pool *pool, struct osp_open *o, size_t need)
{
	size_t usual = o->blocks ? BLOCK_SIZE : FIRST_BLOCK;
	size_t room = need > usual ? need : usual;
	struct osp_open_block *b = malloc(sizeof(*b) + room);

	if (!b)
		return -ENOMEM;
	*b = (struct osp_open_block){.next = o->blocks, .size = room};
	o->blocks = b;
	o->bytes += sizeof(*b) + room;
	pool->bytes += sizeof(*b) + room;
	return 0;
}

/* Memory of the operation; a value larger than a block gets one of its own. */
static inline void *take(struct osp_open_pool *pool, struct osp_open *o, size_t size)
{
	size_t padded = (size + 7) & ~(size_t)7;
	void *at;

	if ((!o->blocks || o->blocks->size - o->blocks->used < padded) &&
	    add_block(pool, o, padded))
		return NULL;
	at = o->blocks->data + o->blocks->used;
	o->blocks->used += padded;
	return at;
}

/* Of the memory just taken only so much is needed. */
static void give_back(struct osp_open *o, size_t taken, size_t needed)
{
	o->blocks->used -= ((taken + 7) & ~(size_t)7) - ((needed + 7) & ~(size_t)7);
}

void *osp_open_copy(struct osp_open_pool *pool, struct osp_open *o, const void *bytes, size_t size)
{
	void *at = take(pool, o, size);

	if (at && size)
		memcpy(at, bytes, size);
	return at;
}

/* ---- spans ---- */

static const struct osp_title *title_of(const struct osp_open *o, size_t span)
{
	int8_t kind = o->span_infos[span].kind;

	return kind < 0 ? &o->titles->operation : &o->titles->spans[kind];
}

/* A title may name what the enclosing spans have seen: the first few attributes are looked at. */
static void borrow_values(struct osp_open *o, size_t span)
{
	const struct osp_title *t = title_of(o, span);
	struct osp_open_span *info = &o->span_infos[span];

	for (size_t i = 0; t->hole_count && i < o->attribute_count && i < BORROW_MAX; i++) {
		const struct osp_open_attribute *a = &o->attribute_infos[i];
		int hole = a->how->holes[info->kind + 1];

		if (hole < 0 || info->holes[hole] || (a->span && a->span != o->spans[span].parent))
			continue;
		info->holes[hole] = (uint32_t)i + 1;
		info->borrowed[hole] = true;
	}
}

/* The newest attribute may fill a hole in the title of `of`. */
static void fill_title(struct osp_open *o, size_t of, const int8_t *holes, bool own)
{
	struct osp_open_span *info = &o->span_infos[of];
	int hole = holes[info->kind + 1];

	if (hole < 0 || (info->holes[hole] && !(own && info->borrowed[hole])))
		return;
	info->holes[hole] = (uint32_t)o->attribute_count;
	info->borrowed[hole] = !own;
	info->named = false;
}

int osp_open_add_span(struct osp_open_pool *pool, struct osp_open *o, int8_t kind, size_t parent,
		      int64_t time_ns, size_t *out)
{
	const struct osp_nested *nested = kind < 0 ? NULL : &o->operation->spans[kind];
	int r;

	if (o->span_count >= pool->max_steps || o->span_count >= UINT16_MAX)
		return -ENOSPC;
	r = o->span_count < o->span_room ? 0
					 : extend(pool, o, PAIR(o->spans, o->span_infos),
						  o->span_count + 1, &o->span_room);
	if (r)
		return r;
	o->spans[o->span_count] = (struct osp_row_span){
		.parent = (uint16_t)parent,
		.kind_name = nested ? nested->name : o->operation->name,
		.name = "",
		.kind = (enum osp_span_kind)(nested ? nested->kind : o->operation->kind),
		.start_ns = time_ns,
		.end_ns = time_ns,
	};
	o->span_infos[o->span_count] = (struct osp_open_span){.kind = kind};
	*out = o->span_count++;
	if (nested) {
		o->open_spans++;
		borrow_values(o, *out);
	}
	o->changed = true;
	return 0;
}

void osp_open_close_span(struct osp_open *o, size_t span, int64_t time_ns,
			 enum osp_span_status status)
{
	struct osp_open_span *info = &o->span_infos[span];

	if (info->closed)
		return;
	info->closed = true;
	o->spans[span].end_ns = time_ns;
	if (!info->has_status)
		o->spans[span].status = status;
	if (info->kind >= 0)
		o->open_spans--;
}

size_t osp_open_find_span(const struct osp_open *o, int8_t kind)
{
	size_t left = o->open_spans;

	for (size_t i = o->span_count; left && i-- > 1;) {
		if (o->span_infos[i].closed)
			continue;
		if (kind < 0 || o->span_infos[i].kind == kind)
			return i;
		left--;
	}
	return 0;
}

/* ---- steps ---- */

/* A text that was cut within a character loses that character, so that it stays text. */
static uint32_t text_size(const struct osp_event_value *v)
{
	uint32_t size = v->size;

	if (v->true_size <= v->size)
		return size;
	for (uint32_t cut = 0; cut < 4 && cut <= size; cut++)
		if (osp_text_is_utf8(v->data, size - cut))
			return size - cut;
	return size;
}

static void set_sized(const struct osp_arg *a, const struct osp_event_value *v,
		      struct osp_value *out)
{
	bool context = a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT;

	out->type = OSP_VALUE_BYTES;
	out->data = v->data;
	out->size = context ? offsetof(struct osp_event_context, reserved) : v->size;
	out->true_size = context ? out->size : v->true_size;
	if (a->type != OSP_TYPE_STR)
		return;
	out->size = text_size(v);
	if (osp_text_is_value(v->data, out->size))
		out->type = OSP_VALUE_STR;
	else
		out->size = v->size;
}

static bool set_enum(const struct osp_arg *a, const struct osp_event_value *v,
		     struct osp_value *out)
{
	for (size_t i = 0; a->enumeration && i < a->enumeration->count; i++) {
		const struct osp_enum_value *e = &a->enumeration->values[i];

		if (e->value != v->i64)
			continue;
		*out = (struct osp_value){
			.type = OSP_VALUE_STR, .data = e->name, .size = (uint32_t)strlen(e->name)};
		out->true_size = out->size;
		return true;
	}
	return false;
}

void osp_open_value(const struct osp_open_arg *how, const struct osp_arg *a,
		    const struct osp_event_value *v, struct osp_value *out)
{
	if (how->how == OSP_OPEN_ENUM && set_enum(a, v, out))
		return;
	out->type = how->type;
	out->u64 = v->u64;
	if (how->type == OSP_VALUE_BOOL)
		out->boolean = v->u64 != 0;
	out->data = NULL;
	out->size = out->true_size = 0;
	if (how->how == OSP_OPEN_SIZED)
		set_sized(a, v, out);
}

/* There is room for it. */
static int add_attribute(struct osp_open_pool *pool, struct osp_open *o, const struct osp_event *e,
			 const struct osp_open_arg *how, size_t arg, size_t span)
{
	struct osp_open_attribute *info = &o->attribute_infos[o->attribute_count];
	struct osp_attribute *to = &o->attributes[o->attribute_count];
	const struct osp_arg *a = &e->point->args[arg];

	osp_open_value(how, a, &e->values[arg], &to->value);
	if (how->how == OSP_OPEN_SIZED && !o->borrows) {
		to->value.data = osp_open_copy(pool, o, to->value.data, to->value.size);
		if (!to->value.data)
			return -ENOMEM;
	}
	to->name = a->attribute;
	info->arg = a;
	info->how = how;
	info->span = span;
	o->attribute_count++;
	if (how->titled) {
		fill_title(o, span, how->holes, true);
		if (span)
			fill_title(o, 0, how->holes, false);
	}
	return 0;
}

/* Takes back the attributes of a step that did not fit. */
static void drop_attributes(struct osp_open *o, size_t span, size_t count)
{
	struct osp_open_span *infos[] = {&o->span_infos[span], &o->span_infos[0]};

	o->attribute_count = count;
	for (size_t i = 0; i < 2; i++)
		for (size_t h = 0; h < OSP_TITLE_HOLES; h++)
			if (infos[i]->holes[h] > count)
				infos[i]->holes[h] = 0;
}

static int make_step_room(struct osp_open_pool *pool, struct osp_open *o, size_t attributes)
{
	size_t need = o->attribute_count + attributes;
	int r = 0;

	if (o->step_count == o->step_room)
		r = extend(pool, o, PAIR(o->steps, o->step_infos), o->step_count + 1,
			   &o->step_room);
	if (!r && need > o->attribute_room)
		r = extend(pool, o, PAIR(o->attributes, o->attribute_infos), need,
			   &o->attribute_room);
	return r;
}

int osp_open_add_step(struct osp_open_pool *pool, struct osp_open *o, const struct osp_event *e,
		      size_t span, bool unexpected)
{
	const struct osp_open_arg *args = osp_open_args(o->titles, e->point);
	size_t before = o->attribute_count;
	struct osp_step *s;
	int r;

	if (o->step_count >= pool->max_steps || pool->bytes >= pool->max_bytes)
		return -ENOSPC;
	r = make_step_room(pool, o, e->point->arg_count);
	for (size_t i = 0; i < e->point->arg_count && !r; i++)
		if (e->values[i].present && args[i].how != OSP_OPEN_NOT)
			r = add_attribute(pool, o, e, &args[i], i, span);
	if (r) {
		drop_attributes(o, span, before);
		return r;
	}
	s = &o->steps[o->step_count];
	s->time_ns = e->time_ns;
	s->name = e->point->name;
	s->span = (uint16_t)span;
	s->attribute_count = (uint16_t)(o->attribute_count - before);
	s->first_attribute = (uint32_t)before;
	s->unexpected = unexpected;
	o->step_infos[o->step_count++] = (struct osp_open_step){NULL, e->sequence};
	o->changed = true;
	return 0;
}

int osp_open_add_attribute(struct osp_open_pool *pool, struct osp_open *o, const char *name,
			   const struct osp_value *value)
{
	static const struct osp_open_arg untitled = {.how = OSP_OPEN_WORD,
						     .holes = {[0 ... OSP_CATALOGUE_SPANS] = -1}};
	size_t need = o->attribute_count + 1;
	struct osp_step *s;
	int r = 0;

	if (!o->step_count)
		return -ENOSPC;
	if (need > o->attribute_room)
		r = extend(pool, o, PAIR(o->attributes, o->attribute_infos), need,
			   &o->attribute_room);
	if (r)
		return r;
	s = &o->steps[o->step_count - 1];
	s->attribute_count++;
	o->attributes[o->attribute_count] = (struct osp_attribute){name, *value};
	o->attribute_infos[o->attribute_count++] =
		(struct osp_open_attribute){.how = &untitled, .span = s->span};
	return 0;
}

/* The time of a step between two others, which it cannot leave. */
static int64_t time_between(const struct osp_open *o, size_t at, int64_t time_ns)
{
	if (at + 1 < o->step_count && o->steps[at + 1].time_ns < time_ns)
		time_ns = o->steps[at + 1].time_ns;
	if (at && o->steps[at - 1].time_ns > time_ns)
		time_ns = o->steps[at - 1].time_ns;
	return time_ns;
}

int osp_open_insert_step(struct osp_open_pool *pool, struct osp_open *o, const struct osp_event *e,
			 size_t *out)
{
	size_t at = o->step_count, behind;
	uint32_t attribute = (uint32_t)o->attribute_count;
	int r;

	if (o->step_count >= pool->max_steps || pool->bytes >= pool->max_bytes)
		return -ENOSPC;
	r = make_step_room(pool, o, 0);
	if (r)
		return r;
	while (at && o->step_infos[at - 1].sequence > e->sequence)
		at--;
	behind = o->step_count++ - at;
	if (behind)
		attribute = o->steps[at].first_attribute;
	memmove(&o->steps[at + 1], &o->steps[at], behind * sizeof(*o->steps));
	memmove(&o->step_infos[at + 1], &o->step_infos[at], behind * sizeof(*o->step_infos));
	o->steps[at] = (struct osp_step){.time_ns = time_between(o, at, e->time_ns),
					 .name = e->point->name,
					 .span = at ? o->steps[at - 1].span : 0,
					 .first_attribute = attribute};
	o->step_infos[at] = (struct osp_open_step){NULL, e->sequence};
	o->changed = true;
	*out = at;
	return 0;
}

/* ---- the row ---- */

size_t osp_open_name(const struct osp_open *o, size_t span, char name[OSP_TITLE_MAX + 1])
{
	const struct osp_value *values[OSP_TITLE_HOLES] = {NULL};
	const struct osp_open_span *info = &o->span_infos[span];
	const struct osp_title *t = title_of(o, span);
	struct osp_value texts[OSP_TITLE_HOLES];

	for (size_t h = 0; h < t->hole_count; h++) {
		uint32_t i = info->holes[h] - 1;

		if (!info->holes[h] || i >= o->attribute_count)
			continue;
		values[h] = &o->attributes[i].value;
		/* A text that is not UTF-8 is kept as bytes; people read it better escaped. */
		if (values[h]->type == OSP_VALUE_BYTES &&
		    o->attribute_infos[i].arg->type == OSP_TYPE_STR) {
			texts[h] = *values[h];
			texts[h].type = OSP_VALUE_STR;
			values[h] = &texts[h];
		}
	}
	return osp_title_format(t, values, name);
}

/* A name is made when it is first needed and again only when its title has got a value since. */
static int set_name(struct osp_open_pool *pool, struct osp_open *o, size_t span)
{
	char *name = take(pool, o, OSP_TITLE_MAX + 1);

	if (!name)
		return -ENOMEM;
	give_back(o, OSP_TITLE_MAX + 1, osp_open_name(o, span, name) + 1);
	o->spans[span].name = name;
	o->span_infos[span].named = true;
	return 0;
}

int osp_open_row(struct osp_open_pool *pool, struct osp_open *o, struct osp_row *out)
{
	const struct osp_operation *operation = o->operation;

	for (size_t i = 0; i < o->span_count; i++) {
		int r = o->span_infos[i].named ? 0 : set_name(pool, o, i);

		if (r)
			return r;
	}
	*out = (struct osp_row){.id = o->id,
				.form = o->form,
				.parent_id = o->parent_id,
				.tid = o->tid,
				.lasting = true, /* the catalogue outlives every session */
				.provider = operation->provider,
				.side = operation->side,
				.layer = operation->layer,
				.feature = operation->feature,
				.spans = o->spans,
				.span_count = o->span_count,
				.steps = o->steps,
				.step_count = o->step_count,
				.attributes = o->attributes,
				.attribute_count = o->attribute_count};
	return 0;
}
