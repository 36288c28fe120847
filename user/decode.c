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

#include "store/ids.h"

enum {
	CONTEXT_TRUE_SIZE = 25,
	/* The flags of a record that tell of its steps: not how it is timed, nor of losses before. */
	TELLING = ((1 << OSP_RECORD_REASON) - 1) & ~OSP_RECORD_UNTIMED,
};

bool osp_decode_has_steps(const struct osp_record *record)
{
	return record->kind == OSP_RECORD_STEP || record->kind == OSP_RECORD_FOREIGN ||
	       record->kind == OSP_RECORD_LEFT;
}

int64_t osp_decode_time(const struct osp_decode_with *with, const struct osp_record *record,
			int64_t seen_ns)
{
	int64_t before = (int64_t)record->time_ns, at = before;

	if (record->flags & OSP_RECORD_UNTIMED && record->stamp && osp_stamps_ready(with->stamps))
		at = osp_stamps_time(with->stamps, record->stamp);
	at = at < seen_ns ? at : seen_ns;
	return at > before ? at : before;
}

int osp_decode_start(struct osp_decoder *d, struct osp_decode_with *with,
		     const struct osp_record *record, size_t size, int64_t time_ns)
{
	const struct osp_catalogue *c = with->catalogue;
	size_t room = size - sizeof(*record);

	if (size < sizeof(*record) || !osp_decode_has_steps(record) ||
	    (record->data_size > 0 && (size_t)record->data_size > room) ||
	    record->point >= c->point_count)
		return -EBADMSG;
	if (c->points[record->point]->foreign != (record->kind == OSP_RECORD_FOREIGN))
		return -EBADMSG;
	*d = (struct osp_decoder){
		.with = with,
		.record = record,
		.numbers =
			osp_numbers_table(with->numbers, record->numbers, c->points[record->point]),
		.data = (const uint8_t *)(record + 1),
		.size = record->data_size > 0 ? (size_t)record->data_size : 0,
		.stepless = c->points[record->point]->spill || record->kind == OSP_RECORD_LEFT,
		.time_ns = time_ns};
	if (record->stamp && !(record->flags & OSP_RECORD_UNTIMED) &&
	    osp_stamps_ready(with->stamps))
		osp_stamps_check(with->stamps, record->stamp, (int64_t)record->time_ns);
	return 0;
}

/*
 * All times of an operation come from one clock: the counter. No step is younger than the record
 * that brings it. Without readings of the counter (captures made by hand) its ticks are ns. The
 * kernel cannot read the counter: what a dying process left comes without a stamp of its own.
 */
static inline int64_t step_time(const struct osp_decoder *d, uint64_t stamp)
{
	const struct osp_record *r = d->record;
	int64_t time_ns = d->time_ns, at;
	bool ready = osp_stamps_ready(d->with->stamps);

	if (!(r->kind == OSP_RECORD_LEFT && !r->stamp && ready) && (!r->stamp || stamp > r->stamp))
		return time_ns;
	if (ready)
		at = osp_stamps_time(d->with->stamps, stamp);
	else
		at = r->stamp - stamp < (uint64_t)time_ns ? time_ns - (int64_t)(r->stamp - stamp)
							  : 0;
	return at < time_ns ? at : time_ns;
}

static inline bool is_sized(const struct osp_arg *a)
{
	const unsigned int sized = 1u << OSP_TYPE_STR | 1u << OSP_TYPE_BYTES |
				   1u << OSP_TYPE_CONTEXT_IN | 1u << OSP_TYPE_CONTEXT_OUT;

	return sized >> a->type & 1;
}

/* An integer as its type has it: foreign registers may hold anything in the upper bytes. */
static inline void set_integer(struct osp_event_value *v, const struct osp_arg *a, uint64_t raw)
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

static void set_absent(struct osp_event *e)
{
	for (size_t i = 0; i < e->point->arg_count; i++)
		e->values[i] = (struct osp_event_value){0};
}

/* ---- our own layout ---- */

/* The arguments of one step, from their start on. */
struct cursor {
	const uint8_t *data;
	size_t size;
};

static inline int take_u64(struct cursor *c, uint64_t *out)
{
	if (c->size < sizeof(*out))
		return -EBADMSG;
	memcpy(out, c->data, sizeof(*out));
	c->data += sizeof(*out);
	c->size -= sizeof(*out);
	return 0;
}

/* Strings, bytes and contexts: sizes are checked against the point, the data and each other. */
static inline int take_sized(struct cursor *c, const struct osp_arg *a, struct osp_event_value *v)
{
	bool context = a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT;
	uint32_t sizes[2], padded;
	uint64_t head;

	if (take_u64(c, &head))
		return -EBADMSG;
	memcpy(sizes, &head, sizeof(sizes));
	padded = (sizes[1] + 7) & ~7u;
	if (sizes[1] > OSP_EVENT_DATA || padded > c->size)
		return -EBADMSG;
	if (context ? sizes[0] != (sizes[1] ? CONTEXT_TRUE_SIZE : 0) ||
			      (sizes[1] && sizes[1] != sizeof(struct osp_event_context))
		    : sizes[1] > a->max || sizes[1] > sizes[0])
		return -EBADMSG;
	*v = (struct osp_event_value){.data = c->data,
				      .size = sizes[1],
				      .true_size = context ? sizes[1] : sizes[0],
				      .present = !context || sizes[1]};
	c->data += padded;
	c->size -= padded;
	return 0;
}

/* The arguments must fill the step exactly: anything else is another layout than ours. */
static int decode_arguments(struct cursor c, const struct osp_point *p,
			    struct osp_event_value *values)
{
	uint64_t raw;

	for (size_t i = 0; i < p->arg_count; i++) {
		if (is_sized(&p->args[i])) {
			if (take_sized(&c, &p->args[i], &values[i]))
				return -EBADMSG;
			continue;
		}
		if (take_u64(&c, &raw))
			return -EBADMSG;
		values[i] = (struct osp_event_value){0};
		set_integer(&values[i], &p->args[i], raw);
	}
	return c.size ? -EBADMSG : 0;
}

/* What the step that trapped has passed in registers; nothing more if it could not be read. */
static int decode_registers(const struct osp_decoder *d, struct osp_event *e)
{
	const struct osp_point *p = e->point;

	if (d->record->data_size < 0 || !p->arg_count)
		return 0;
	if (p->arg_count > 1 || is_sized(&p->args[0]) || p->args[0].type == OSP_TYPE_F64)
		return -EBADMSG;
	set_integer(&e->values[0], &p->args[0], d->record->value);
	return 0;
}

/* The next step's head, and its arguments. What makes no sense here makes no sense behind it. */
static inline int take_step(struct osp_decoder *d, struct osp_record_step *s,
			    struct cursor *arguments)
{
	if (d->size < sizeof(*s))
		return -EBADMSG;
	memcpy(s, d->data, sizeof(*s));
	d->data += sizeof(*s);
	d->size -= sizeof(*s);
	if (s->size > d->size || s->size % 8 || s->sequence < d->next ||
	    s->sequence > d->record->sequence ||
	    (d->stepless && s->sequence == d->record->sequence))
		return -EBADMSG;
	*arguments = (struct cursor){d->data, s->size};
	d->data += s->size;
	d->size -= s->size;
	d->next = (int64_t)s->sequence + 1;
	return 0;
}

static int decode_step(struct osp_decoder *d, struct osp_event *e)
{
	const struct osp_record *r = d->record;
	struct osp_record_step s;
	struct cursor arguments;

	if (take_step(d, &s, &arguments)) {
		d->done = d->broken = true;
		return -EBADMSG;
	}
	d->done = !d->size;
	e->trapped = !d->stepless && s.sequence == r->sequence;
	d->trapped |= e->trapped;
	e->point = d->with->catalogue->points[r->point];
	if (!e->trapped)
		e->point = osp_numbers_find(d->numbers, s.number);
	if (!e->point)
		return -EBADMSG;
	e->sequence = s.sequence;
	e->nested = s.nested;
	e->stamp = s.stamp;
	e->fired = s.flags & OSP_STEP_FIRED;
	e->forked = s.flags & OSP_STEP_FORKED;
	e->time_ns = step_time(d, s.stamp);
	set_absent(e);
	return decode_arguments(arguments, e->point, e->values);
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

static void set_header(const struct osp_decoder *d, struct osp_event *e)
{
	const struct osp_record *r = d->record;

	e->point = d->with->catalogue->points[r->point];
	e->sequence = r->sequence;
	e->nested = r->nested;
	e->stamp = r->stamp;
	e->time_ns = step_time(d, r->stamp);
	e->trapped = true;
	e->fired = true;
	e->forked = r->flags & OSP_RECORD_FORKED;
	set_absent(e);
}

/* What all events of a record have in common. */
static void set_common(const struct osp_record *r, struct osp_event *event)
{
	event->point = NULL;
	event->slot = r->process;
	event->tid = r->tid;
	event->op_id = r->op_id;
	event->block = r->block;
	event->lost = r->lost;
	event->ordinal = r->ordinal;
	event->whole = r->flags & OSP_RECORD_CLEARED;
	event->fetched = r->kind == OSP_RECORD_LEFT;
	event->numbers = r->numbers;
	event->trapped = event->fired = event->forked = false;
}

int osp_decode_next(struct osp_decoder *d, struct osp_event *event)
{
	const struct osp_record *r = d->record;

	if (d->done)
		return 1;
	set_common(r, event);
	if (r->kind != OSP_RECORD_FOREIGN && r->data_size > 0)
		return decode_step(d, event);
	d->done = true;
	if (d->stepless)
		return 1;
	d->trapped = true;
	set_header(d, event);
	if (event->point->foreign)
		return r->data_size < 0 ? 0 : decode_foreign(d, event);
	return decode_registers(d, event);
}

/* ---- all steps of a record ---- */

static bool may_be_run(const struct osp_decoder *d)
{
	const struct osp_record *r = d->record;
	struct osp_record_step s;

	if (r->kind != OSP_RECORD_STEP || (r->flags & TELLING) != OSP_RECORD_CLEARED ||
	    !osp_span_is_operation(r->op_id) || d->size < 2 * sizeof(s))
		return false;
	memcpy(&s, d->data, sizeof(s));
	return s.size < d->size - sizeof(s);
}

/* The next step; *v is where its values go, and then where those of the next one do. */
static bool add_to_run(struct osp_decoder *d, struct osp_run *run, struct osp_event_value **v)
{
	struct osp_run_step *to = &run->steps[run->count];
	struct cursor arguments;
	struct osp_record_step s;

	if (take_step(d, &s, &arguments) || s.flags & ~(uint32_t)OSP_STEP_FIRED)
		return false;
	run->first = run->count ? run->first : s.sequence;
	run->trapped = !d->stepless && s.sequence == d->record->sequence;
	to->point = run->trapped ? d->with->catalogue->points[d->record->point]
				 : osp_numbers_find(d->numbers, s.number);
	if (s.sequence != run->first + run->count || !to->point)
		return false;
	if (decode_arguments(arguments, to->point, *v))
		return false;
	to->values = *v;
	*v += to->point->arg_count;
	to->stamp = s.stamp;
	to->time_ns = step_time(d, s.stamp);
	to->nested = s.nested;
	run->nested = s.nested > run->nested ? s.nested : run->nested;
	to->fired = s.flags & OSP_STEP_FIRED;
	if (to->fired && !run->trapped)
		run->fired = run->count + 1;
	run->least_ns = to->time_ns < run->least_ns ? to->time_ns : run->least_ns;
	run->most_ns = to->time_ns > run->most_ns ? to->time_ns : run->most_ns;
	run->points[run->count++] = to->point->number;
	return true;
}

bool osp_decode_run(const struct osp_decoder *decoder, struct osp_run *run)
{
	struct osp_event_value *values = run->values;
	struct osp_decoder d = *decoder;

	if (!may_be_run(&d))
		return false;
	run->count = run->fired = run->nested = 0;
	run->time_ns = d.time_ns;
	run->least_ns = INT64_MAX;
	run->most_ns = INT64_MIN;
	while (d.size)
		if (!add_to_run(&d, run, &values))
			return false;
	set_common(d.record, &run->event);
	return run->trapped || d.stepless;
}

const struct osp_event *osp_decode_event(struct osp_run *run, size_t i)
{
	const struct osp_run_step *s = &run->steps[i];
	struct osp_event *e = &run->event;

	e->point = s->point;
	e->sequence = run->first + (uint32_t)i;
	e->nested = s->nested;
	e->stamp = s->stamp;
	e->time_ns = s->time_ns;
	e->trapped = run->trapped && i + 1 == run->count;
	e->fired = s->fired;
	for (size_t k = 0; k < s->point->arg_count; k++)
		e->values[k] = s->values[k];
	return e;
}
