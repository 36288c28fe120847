/*
 * Records to events, fed by the pipeline, feeding order. Two layouts of arguments: those of our
 * own points lie as in the operation block (probes/op.h): every value a multiple of 8 bytes,
 * strings and contexts behind two u32 (true size, kept size); those of foreign points are an
 * array of struct osp_foreign_value with the bytes behind it. Owns nothing: values point into
 * the record.
 */
#include "user/decode.h"

#include <errno.h>
#include <string.h>

enum { CONTEXT_TRUE_SIZE = 25 };

bool osp_decode_has_steps(const struct osp_record *record)
{
	return record->kind == OSP_RECORD_STEP || record->kind == OSP_RECORD_FOREIGN;
}

int osp_decode_start(struct osp_decoder *d, const struct osp_catalogue *c,
		     const struct osp_record *record, size_t size)
{
	size_t room = size - sizeof(*record);

	if (size < sizeof(*record) || !osp_decode_has_steps(record) ||
	    (record->data_size > 0 && (size_t)record->data_size > room) ||
	    record->point >= c->point_count)
		return -EBADMSG;
	if (c->points[record->point]->foreign != (record->kind == OSP_RECORD_FOREIGN))
		return -EBADMSG;
	*d = (struct osp_decoder){.catalogue = c,
				  .record = record,
				  .data = (const uint8_t *)(record + 1),
				  .size = record->data_size > 0 ? (size_t)record->data_size : 0};
	return 0;
}

/* All times of an operation come from one clock; today that is the kernel's, at the record. */
static int64_t step_time(const struct osp_record *r)
{
	return (int64_t)r->time_ns;
}

static bool is_sized(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES ||
	       a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT;
}

/* An integer as its type has it: foreign registers may hold anything in the upper bytes. */
static void set_integer(struct osp_event_value *v, const struct osp_arg *a, uint64_t raw)
{
	unsigned int unused = a->bytes && a->bytes < 8 ? 64 - 8u * a->bytes : 0;

	v->u64 = raw;
	if (a->type == OSP_TYPE_INT)
		v->i64 = (int64_t)(raw << unused) >> unused;
	else if (a->type == OSP_TYPE_UINT)
		v->u64 = raw << unused >> unused;
	else if (a->type == OSP_TYPE_BOOL)
		v->u64 = raw != 0;
	v->present = true;
}

/* ---- our own layout ---- */

static int take_u64(struct osp_decoder *d, uint64_t *out)
{
	if (d->size < sizeof(*out))
		return -EBADMSG;
	memcpy(out, d->data, sizeof(*out));
	d->data += sizeof(*out);
	d->size -= sizeof(*out);
	return 0;
}

/* Strings, bytes and contexts: sizes are checked against the point, the data and each other. */
static int take_sized(struct osp_decoder *d, const struct osp_arg *a, struct osp_event_value *v)
{
	bool context = a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT;
	uint32_t sizes[2], padded;
	uint64_t head;

	if (take_u64(d, &head))
		return -EBADMSG;
	memcpy(sizes, &head, sizeof(sizes));
	padded = (sizes[1] + 7) & ~7u;
	if (sizes[1] > OSP_EVENT_DATA || padded > d->size)
		return -EBADMSG;
	if (context ? sizes[0] != (sizes[1] ? CONTEXT_TRUE_SIZE : 0) ||
			      (sizes[1] && sizes[1] != sizeof(struct osp_event_context))
		    : sizes[1] > a->max || sizes[1] > sizes[0])
		return -EBADMSG;
	v->data = d->data;
	v->size = sizes[1];
	v->true_size = context ? sizes[1] : sizes[0];
	v->present = !context || sizes[1];
	d->data += padded;
	d->size -= padded;
	return 0;
}

/* The arguments must fill the data exactly: anything else is another layout than ours. */
static int decode_own(struct osp_decoder *d, struct osp_event *e)
{
	const struct osp_point *p = e->point;
	uint64_t raw;

	if (!d->record->data_size && p->arg_count == 1 && !is_sized(&p->args[0])) {
		set_integer(&e->values[0], &p->args[0], d->record->value);
		return 0;
	}
	for (size_t i = 0; i < p->arg_count; i++) {
		if (is_sized(&p->args[i])) {
			if (take_sized(d, &p->args[i], &e->values[i]))
				return -EBADMSG;
			continue;
		}
		if (take_u64(d, &raw))
			return -EBADMSG;
		set_integer(&e->values[i], &p->args[i], raw);
	}
	return d->size ? -EBADMSG : 0;
}

/* ---- foreign layout ---- */

/* How many bytes there were, as the argument that holds the count says; at least those kept. */
static uint32_t foreign_length(const struct osp_decoder *d, const struct osp_point *p,
			       const struct osp_arg *a, uint32_t kept)
{
	struct osp_foreign_value f;

	for (size_t i = 0; i < p->arg_count; i++) {
		if (!a->length || is_sized(&p->args[i]) || p->args[i].source != a->length)
			continue;
		memcpy(&f, d->data + i * sizeof(f), sizeof(f));
		return f.value > kept ? (uint32_t)(f.value < UINT32_MAX ? f.value : UINT32_MAX)
				      : kept;
	}
	/* Nobody says: bytes that fill their room may have been more, and count as cut off. */
	return kept + (kept == a->max);
}

static int take_foreign(const struct osp_decoder *d, const struct osp_point *p,
			const struct osp_arg *a, const struct osp_foreign_value *f,
			struct osp_event_value *v)
{
	uint32_t kept = (uint32_t)f->size;

	if (f->size < 0)
		return 0;
	if (f->offset > d->size || kept > d->size - f->offset || kept > a->max + 1u)
		return -EBADMSG;
	v->data = d->data + f->offset;
	v->size = kept < a->max ? kept : a->max;
	v->true_size = a->type == OSP_TYPE_STR ? kept : foreign_length(d, p, a, v->size);
	v->present = true;
	return 0;
}

static int decode_foreign(struct osp_decoder *d, struct osp_event *e)
{
	const struct osp_point *p = e->point;
	uint64_t count = d->record->value;
	struct osp_foreign_value f;

	if (count < p->arg_count || count > OSP_EVENT_ARGS || count * sizeof(f) > d->size)
		return -EBADMSG;
	for (size_t i = 0; i < p->arg_count; i++) {
		memcpy(&f, d->data + i * sizeof(f), sizeof(f));
		if (is_sized(&p->args[i])) {
			if (take_foreign(d, p, &p->args[i], &f, &e->values[i]))
				return -EBADMSG;
		} else if (f.size >= 0) {
			set_integer(&e->values[i], &p->args[i], f.value);
		}
	}
	return 0;
}

int osp_decode_next(struct osp_decoder *d, struct osp_event *event)
{
	const struct osp_record *r = d->record;

	if (d->done)
		return 1;
	d->done = true;
	*event = (struct osp_event){
		.point = d->catalogue->points[r->point],
		.slot = r->process,
		.tid = r->tid,
		.time_ns = step_time(r),
		.op_id = r->op_id,
		.sequence = r->sequence,
		.nested = r->nested,
		.lost = r->lost,
		.ordinal = r->ordinal,
	};
	if (r->data_size < 0)
		return 0;
	return event->point->foreign ? decode_foreign(d, event) : decode_own(d, event);
}
