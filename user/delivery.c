/*
 * Finds messages and their deliveries among the spans of a trace (user/delivery.h): fed by the
 * command, a trace at a time. One walk down the tree: whatever a span or step says belongs to the
 * innermost delivery around it. Owns its arrays, which are as large as the largest trace.
 */
#include "user/delivery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/rows.h"
#include "user/receivers.h"
#include "user/roles.h"

enum { ROWS_MAX = 1 << 24, TELLINGS_MAX = 64 };
static const size_t none = SIZE_MAX;

/* A span around the one that is looked at, with the message and the delivery that it lies in. */
struct frame {
	uint64_t id;
	size_t message, delivery;
};

/* An operation that tells a subscriber what it missed. */
struct telling {
	const struct osp_span *span;
	bool told;
};

struct osp_delivery_finder {
	struct osp_roles *roles;
	struct osp_receivers *receivers;
	struct osp_publication *messages;
	struct osp_delivery *deliveries;
	struct frame *frames;
	struct telling *tellings;
	size_t *order; /* of deliveries, by subscriber */
	size_t message_count, delivery_count, frame_count, telling_count, order_count, strays;
};

int osp_delivery_new(struct osp_delivery_finder **out, const struct osp_session *s)
{
	_cleanup_(osp_delivery_free) struct osp_delivery_finder *f = calloc(1, sizeof(*f));
	int r = f ? osp_roles_new(&f->roles, s) : -ENOMEM;

	r = r ? r : osp_receivers_new(&f->receivers, s, f->roles);
	if (!r)
		*out = TAKE_PTR(f);
	return r;
}

void osp_delivery_free(struct osp_delivery_finder **f)
{
	if (!*f)
		return;
	osp_roles_free(&(*f)->roles);
	osp_receivers_free(&(*f)->receivers);
	free((*f)->messages);
	free((*f)->deliveries);
	free((*f)->frames);
	free((*f)->tellings);
	free((*f)->order);
	free(*f);
	*f = NULL;
}

static const struct osp_value *find_attribute(const struct osp_span *span, const char *name)
{
	for (size_t i = 0; i < span->attribute_count; i++)
		if (!strcmp(span->attributes[i].name, name))
			return &span->attributes[i].value;
	return NULL;
}

/* ---- the walk down the tree ------------------------------------------------------------------ */

/* The message that begins with this span, if one does. */
static int begin_message(struct osp_delivery_finder *f, const struct osp_span *span,
			 const struct osp_role_operation *o, struct frame *at)
{
	int r;

	if (at->message != none || span->id != span->operation ||
	    !(o->is & (OSP_IS_PUBLISH | OSP_IS_FAN_OUT)))
		return 0;
	r = osp_rows_grow((void **)&f->messages, f->message_count, sizeof(*f->messages), ROWS_MAX);
	if (r)
		return r;
	at->message = f->message_count++;
	f->messages[at->message] = (struct osp_publication){
		.span = span, .published = o->is & OSP_IS_PUBLISH, .first = f->delivery_count};
	return 0;
}

static int begin_delivery(struct osp_delivery_finder *f, const struct osp_span *span,
			  const struct osp_role_operation *o, struct frame *at)
{
	const struct osp_role_span *kind = osp_roles_find_span(o, span);
	int r;

	if (!kind || at->message == none)
		return 0;
	r = osp_rows_grow((void **)&f->deliveries, f->delivery_count, sizeof(*f->deliveries),
			  ROWS_MAX);
	if (r)
		return r;
	if (at->delivery != none)
		f->deliveries[at->delivery].relay = true;
	at->delivery = f->delivery_count++;
	f->deliveries[at->delivery] = (struct osp_delivery){
		.span = span, .subscriber = find_attribute(span, kind->subscriber)};
	f->messages[at->message].count++;
	return 0;
}

static void take_step(struct osp_delivery_finder *f, struct osp_delivery *d,
		      const struct osp_span *span, const struct osp_role_point *p)
{
	if (!d) {
		f->strays += p->role == OSP_ROLE_RECEIVED;
		return;
	}
	switch (p->role) {
	case OSP_ROLE_FOUND:
		d->found = p->label;
		break;
	case OSP_ROLE_SENT:
		d->sent = true;
		break;
	case OSP_ROLE_RECEIVED:
		d->receipts++;
		d->receiver = span->process;
		break;
	case OSP_ROLE_CONFIRMED:
		d->confirmed = true;
		break;
	case OSP_ROLE_NOTED:
		d->noted = true;
		break;
	default:
		break;
	}
}

/* What the end of a span, or that it has none, says of the delivery around it. */
static void take_end(struct osp_delivery *d, const struct osp_span *span,
		     const struct osp_role_operation *o)
{
	bool sends = o->is & OSP_IS_SENDER && span->id == span->operation;

	if (span != d->span && !sends)
		return;
	if (!d->reason && span->status != OSP_SPAN_OK)
		d->reason = span->code;
	d->open |= span->marks & OSP_MARK_INCOMPLETE && !(span->marks & OSP_MARK_TIMED_OUT);
	d->cut |= !!(span->marks &
		     (OSP_MARK_MAY_BE_CUT | OSP_MARK_BEGAN_BEFORE | OSP_MARK_STEPS_UNKNOWN));
}

static int add_telling(struct osp_delivery_finder *f, const struct osp_span *span, bool told)
{
	struct telling *last = f->telling_count ? &f->tellings[f->telling_count - 1] : NULL;
	int r;

	if (last && last->span->operation == span->operation) {
		last->told |= told;
		return 0;
	}
	r = osp_rows_grow((void **)&f->tellings, f->telling_count, sizeof(*f->tellings), ROWS_MAX);
	if (!r)
		f->tellings[f->telling_count++] = (struct telling){span, told};
	return r;
}

static int take_steps(struct osp_delivery_finder *f, const struct osp_span *span,
		      const struct osp_role_operation *o, const struct frame *at)
{
	struct osp_delivery *d = at->delivery == none ? NULL : &f->deliveries[at->delivery];
	bool told = false;

	for (size_t i = 0; i < span->event_count; i++) {
		const struct osp_role_point *p = osp_roles_find_point(o, span->events[i].name);

		if (p && p->role == OSP_ROLE_TOLD)
			told = true;
		else if (p)
			take_step(f, d, span, p);
	}
	if (d)
		take_end(d, span, o);
	return o->is & OSP_IS_TELLER ? add_telling(f, span, told) : 0;
}

static void take_message(struct osp_publication *m, const struct osp_span *span,
			 const struct osp_role_operation *o)
{
	m->spread |= !!(o->is & OSP_IS_FAN_OUT);
	if (!m->topic)
		m->topic = find_attribute(span, OSP_CATALOGUE_TOPIC);
}

static int take_span(struct osp_delivery_finder *f, const struct osp_span *span)
{
	const struct osp_role_operation *o =
		span->marks & OSP_MARK_REPORTED ? NULL : osp_roles_find(f->roles, span);
	struct frame at = {.message = none, .delivery = none};
	int r;

	while (f->frame_count && f->frames[f->frame_count - 1].id != span->parent_id)
		f->frame_count--;
	if (f->frame_count)
		at = f->frames[f->frame_count - 1];
	at.id = span->id;
	r = o ? begin_message(f, span, o, &at) : 0;
	if (!r && o)
		r = begin_delivery(f, span, o, &at);
	if (!r && o && at.message != none)
		take_message(&f->messages[at.message], span, o);
	if (!r && o)
		r = take_steps(f, span, o, &at);
	r = r ? r : osp_rows_grow((void **)&f->frames, f->frame_count, sizeof(at), ROWS_MAX);
	if (!r)
		f->frames[f->frame_count++] = at;
	return r;
}

/* ---- what follows from it -------------------------------------------------------------------- */

static int by_operation(const void *a, const void *b)
{
	uint64_t x = ((const struct telling *)a)->span->id,
		 y = ((const struct telling *)b)->span->id;

	return (x > y) - (x < y);
}

/* The telling that a link from this span leads to, or NULL. */
static const struct telling *next_telling(const struct osp_delivery_finder *f,
					  const struct osp_span *span)
{
	for (size_t i = 0; i < span->link_count; i++) {
		struct osp_span to = {.id = span->links[i].span_id};
		struct telling key = {.span = &to}, *found;

		found = span->links[i].incoming ? NULL
						: bsearch(&key, f->tellings, f->telling_count,
							  sizeof(key), by_operation);
		if (found)
			return found;
	}
	return NULL;
}

/* One try leads to the next until the subscriber has been told. */
static bool was_told(const struct osp_delivery_finder *f, const struct osp_delivery *d)
{
	const struct telling *t = f->telling_count ? next_telling(f, d->span) : NULL;

	for (int i = 0; t && !t->told && i < TELLINGS_MAX; i++)
		t = next_telling(f, t->span);
	return t && t->told;
}

static enum osp_receipt find_receipt(const struct osp_delivery_finder *f,
				     const struct osp_delivery *d)
{
	if (d->receipts)
		return OSP_RECEIPT_SEEN;
	if (d->cut)
		return OSP_RECEIPT_UNKNOWN;
	if (osp_receivers_were_seen(f->receivers, d->subscriber, d->span->start_ns,
				    d->span->end_ns))
		return OSP_RECEIPT_NONE;
	return OSP_RECEIPT_UNRECORDED;
}

static enum osp_delivery_state find_state(const struct osp_delivery *d)
{
	if (d->receipts || d->confirmed)
		return OSP_DELIVERY_DELIVERED;
	if (d->cut)
		return OSP_DELIVERY_UNKNOWN;
	if (d->open)
		return OSP_DELIVERY_OPEN;
	return d->reason ? OSP_DELIVERY_MISSING : OSP_DELIVERY_UNKNOWN;
}

static int by_subscriber(const void *a, const void *b, void *arg)
{
	const struct osp_delivery *deliveries = arg;
	size_t i = *(const size_t *)a, k = *(const size_t *)b, m, n;
	const void *x = osp_receivers_key(deliveries[i].subscriber, &m);
	const void *y = osp_receivers_key(deliveries[k].subscriber, &n);
	int r = m != n ? (m < n ? -1 : 1) : memcmp(x, y, m);

	return r ? r : (i > k) - (i < k);
}

/* Whoever has the message by one delivery has it again by the next. */
static void mark_again(struct osp_delivery_finder *f)
{
	size_t size, before = 0;
	const void *last = NULL;

	qsort_r(f->order, f->order_count, sizeof(*f->order), by_subscriber, f->deliveries);
	for (size_t i = 0; i < f->order_count; i++) {
		struct osp_delivery *d = &f->deliveries[f->order[i]];
		const void *key = osp_receivers_key(d->subscriber, &size);

		if (d->state != OSP_DELIVERY_DELIVERED)
			continue;
		d->again = last && before == size && !memcmp(last, key, size);
		last = key;
		before = size;
	}
}

static int finish_message(struct osp_delivery_finder *f, struct osp_publication *m, bool cut)
{
	int r = 0;

	f->order_count = 0;
	for (size_t i = m->first; !r && i < m->first + m->count; i++) {
		struct osp_delivery *d = &f->deliveries[i];
		size_t size;

		d->cut |= cut;
		d->told = d->noted && was_told(f, d);
		d->receipt = find_receipt(f, d);
		d->state = find_state(d);
		if (d->relay || !osp_receivers_key(d->subscriber, &size))
			continue;
		r = osp_rows_grow((void **)&f->order, f->order_count, sizeof(*f->order), ROWS_MAX);
		if (!r)
			f->order[f->order_count++] = i;
	}
	if (f->order_count > 1)
		mark_again(f);
	m->failed = !m->count && !cut && m->span->status == OSP_SPAN_ERROR;
	return r;
}

static bool authenticates(const struct osp_role_operation *o, const char *step)
{
	for (size_t i = 0; i < o->operation->point_count; i++)
		if (!strcmp(o->operation->points[i]->name, step))
			return o->operation->points[i]->authenticates;
	return false;
}

/* A request that nobody authorized is no message, though somebody took it. */
static bool is_message(const struct osp_delivery_finder *f, const struct osp_publication *m)
{
	const struct osp_role_operation *o = osp_roles_find(f->roles, m->span);
	bool is = m->published || m->count || m->span->status != OSP_SPAN_ERROR;

	for (size_t i = 0; !is && i < m->span->event_count; i++)
		is = authenticates(o, m->span->events[i].name);
	return is;
}

int osp_delivery_find(struct osp_delivery_finder *f, const struct osp_span *spans, size_t count,
		      bool cut, struct osp_delivery_list *out)
{
	size_t kept = 0;
	int r = 0;

	f->message_count = f->delivery_count = f->frame_count = f->telling_count = 0;
	f->strays = 0;
	for (size_t i = 0; !r && i < count; i++)
		r = take_span(f, &spans[i]);
	if (f->telling_count)
		qsort(f->tellings, f->telling_count, sizeof(*f->tellings), by_operation);
	for (size_t i = 0; !r && i < f->message_count; i++) {
		if (!is_message(f, &f->messages[i]))
			continue;
		f->messages[kept] = f->messages[i];
		r = finish_message(f, &f->messages[kept++], cut);
	}
	if (!r)
		*out = (struct osp_delivery_list){f->messages, kept, f->deliveries,
						  f->delivery_count, f->strays};
	return r;
}

int osp_delivery_learn(struct osp_delivery_finder *f, const struct osp_delivery_list *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->delivery_count; i++)
		if (l->deliveries[i].receipts)
			r = osp_receivers_add(f->receivers, l->deliveries[i].subscriber,
					      l->deliveries[i].receiver);
	return r;
}
