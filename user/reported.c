/*
 * From reports to rows (user/reported.h), fed by the pipeline with the steps that bring one. Owns an
 * automaton per report of the catalogue and the operation that was made last.
 *
 * Times are brought to our clock, and none is before the step it follows. Values that the report
 * lacks and that the link would have compared are those of the operation that got it: the answer
 * was to that request. Nothing enters the books: no point of ours was hit.
 */
#include "user/reported.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "user/nfa.h"
#include "user/report.h"
#include "user/walk.h"

enum {
	STEPS_MAX = OSP_CATALOGUE_MAX_BYTES / 12 + 2, /* a record has 12 bytes and more */
	BYTES_MAX = 1 << 20,
	TEXT_MAX = OSP_CATALOGUE_MAX_BYTES / 4 * 4, /* base64 of an argument */
};

/* Ids of reported operations are far from those that programs take, and as near to each other. */
static const uint64_t id_mask = 0x7265706f72740000;
static const char base64_suffix[] = "_b64url";

struct plan {
	const struct osp_report *report; /* borrowed */
	struct osp_nfa *automaton;
	struct osp_nfa_view view; /* what is below essential may be missing */
	struct osp_open_titles titles;
};

struct osp_reported {
	struct plan *plans;
	size_t count;
	struct osp_open_pool pool;
	struct osp_open *open;					    /* made last */
	uint8_t bytes[OSP_CATALOGUE_ARGS][OSP_CATALOGUE_MAX_BYTES]; /* decoded, of one step */
};

/* A report on its way to a row. */
struct telling {
	struct osp_reported *reported;
	const struct plan *plan;
	const struct osp_open *getter;
	size_t span; /* of it, in which the report came */
	struct osp_open *open;
	struct osp_report_clock clock;
	int64_t last_ns;
	uint64_t unknown; /* records that the catalogue has no point for */
	struct osp_walk walk;
};

/* ---- plans ----------------------------------------------------------------------------------- */

void osp_reported_free(struct osp_reported **reported)
{
	struct osp_reported *r = *reported;

	if (!r)
		return;
	osp_open_free(&r->pool, &r->open);
	osp_open_clear_pool(&r->pool);
	for (size_t i = 0; i < r->count; i++) {
		osp_nfa_free(&r->plans[i].automaton);
		osp_open_clear_titles(&r->plans[i].titles);
	}
	free(r->plans);
	free(r);
	*reported = NULL;
}

static int init_plan(struct plan *p, const struct osp_report *report)
{
	uint8_t visible[OSP_CATALOGUE_POINTS / 8] = {0};

	p->report = report;
	if (osp_nfa_new(&p->automaton, report->as) || osp_open_init_titles(&p->titles, report->as))
		return -ENOMEM;
	for (size_t i = 0; i < report->as->point_count; i++) {
		const struct osp_point *point = report->as->points[i];

		if (point->level == OSP_LEVEL_ESSENTIAL)
			visible[point->number / 8] |= (uint8_t)(1u << point->number % 8);
	}
	osp_nfa_init_view(p->automaton, visible, &p->view);
	return 0;
}

int osp_reported_new(struct osp_reported **out, const struct osp_catalogue *c)
{
	struct osp_reported *r = calloc(1, sizeof(*r));
	int e = 0;

	if (!r)
		return -ENOMEM;
	osp_open_init_pool(&r->pool, STEPS_MAX, BYTES_MAX);
	r->plans = calloc(c->report_count + 1, sizeof(*r->plans));
	while (r->plans && !e && r->count < c->report_count) {
		e = init_plan(&r->plans[r->count], c->reports[r->count]);
		r->count++;
	}
	if (!r->plans || e) {
		osp_reported_free(&r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

static const struct plan *find_plan(const struct osp_reported *r, const struct osp_point *p)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->plans[i].report->point == p)
			return &r->plans[i];
	return NULL;
}

const struct osp_report *osp_reported_find(const struct osp_reported *r, const struct osp_point *p)
{
	const struct plan *plan = find_plan(r, p);

	return plan ? plan->report : NULL;
}

/* ---- what the operation that got the report knows -------------------------------------------- */

/* The last of its steps at the point, in the span or around it. */
static const struct osp_step *find_step(const struct telling *t, const struct osp_point *p)
{
	const struct osp_open *o = t->getter;

	for (size_t i = o->step_count; i-- > 0;)
		if (o->steps[i].name == p->name &&
		    (o->steps[i].span == t->span || !o->steps[i].span))
			return &o->steps[i];
	return NULL;
}

static const struct osp_step *find_moment(const struct telling *t,
					  const struct osp_point *const *points, size_t count)
{
	const struct osp_step *s = NULL;

	for (size_t i = 0; i < count && !s; i++)
		s = find_step(t, points[i]);
	return s;
}

static bool is_text(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES;
}

static void copy_value(const struct telling *t, const struct osp_ref *from,
		       struct osp_event_value *out)
{
	const struct osp_arg *a = &from->point->args[from->arg];
	const struct osp_step *s = find_step(t, from->point);

	for (size_t i = 0; s && is_text(a) && i < s->attribute_count; i++) {
		const struct osp_attribute *found = &t->getter->attributes[s->first_attribute + i];

		if (strcmp(found->name, a->attribute) != 0)
			continue;
		*out = (struct osp_event_value){.data = found->value.data,
						.size = found->value.size,
						.true_size = found->value.true_size,
						.present = true};
		return;
	}
}

/* The value of an argument that the link finds equal to one of the operation that got the report. */
static void infer_value(const struct telling *t, const struct osp_refs *to,
			const struct osp_refs *from, const struct osp_point *p, size_t arg,
			struct osp_event_value *out)
{
	bool meant = false;

	for (size_t i = 0; i < to->count; i++)
		meant |= to->refs[i].point == p && to->refs[i].arg == arg;
	for (size_t i = 0; meant && i < from->count && !out->present; i++)
		copy_value(t, &from->refs[i], out);
}

static void infer_values(const struct telling *t, struct osp_event *e)
{
	const struct osp_link *link = t->plan->report->link;

	for (size_t i = 0; i < e->point->arg_count; i++)
		for (size_t m = 0; m < link->match_count; m++) {
			const struct osp_match *match = &link->matches[m];

			infer_value(t, &match->to, &match->from, e->point, i, &e->values[i]);
			for (size_t k = 0; k < match->also_count; k++)
				infer_value(t, &match->also_to[k], &match->also_from[k], e->point,
					    i, &e->values[i]);
		}
}

/* ---- what the report says -------------------------------------------------------------------- */

static void set_text(const struct osp_arg *a, const void *data, size_t size,
		     struct osp_event_value *out)
{
	*out = (struct osp_event_value){.data = data,
					.size = (uint32_t)(size < a->max ? size : a->max),
					.true_size = (uint32_t)size,
					.present = true};
}

static void set_integer(const struct osp_arg *a, json_int_t value, struct osp_event_value *out)
{
	unsigned int bits = 8u * a->bytes;
	bool fits = bits >= 64 ||
		    (a->type == OSP_TYPE_INT ? value >> (bits - 1) == 0 || value >> (bits - 1) == -1
					     : value >> bits == 0);

	out->i64 = value;
	out->present = fits && (a->type == OSP_TYPE_INT || value >= 0);
}

static void set_name(const struct osp_arg *a, const char *name, struct osp_event_value *out)
{
	for (size_t i = 0; i < a->enumeration->count; i++)
		if (!strcmp(a->enumeration->values[i].name, name)) {
			out->i64 = a->enumeration->values[i].value;
			out->present = true;
		}
}

static void set_value(const struct osp_arg *a, const json_t *v, struct osp_event_value *out)
{
	if (a->enumeration && json_is_string(v))
		set_name(a, json_string_value(v), out);
	else if (a->type == OSP_TYPE_STR && json_is_string(v))
		set_text(a, json_string_value(v), json_string_length(v), out);
	else if ((a->type == OSP_TYPE_UINT || a->type == OSP_TYPE_INT) && json_is_integer(v))
		set_integer(a, json_integer_value(v), out);
	else if (a->type == OSP_TYPE_BOOL && json_is_boolean(v))
		*out = (struct osp_event_value){.u64 = json_is_true(v), .present = true};
	else if (a->type == OSP_TYPE_F64 && json_is_number(v))
		*out = (struct osp_event_value){.f64 = json_number_value(v), .present = true};
}

/* base64url without padding, as JSON carries bytes. */
static void set_bytes(const struct osp_arg *a, const json_t *v, uint8_t *room,
		      struct osp_event_value *out)
{
	const char *text = json_string_value(v);
	size_t size = json_string_length(v), padding = (4 - size % 4) % 4;
	unsigned char padded[TEXT_MAX];
	int decoded;

	if (!text || size + padding > sizeof(padded) || size % 4 == 1)
		return;
	memset(padded, '=', sizeof(padded));
	for (size_t i = 0; i < size; i++)
		padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : (unsigned char)text[i];
	decoded = EVP_DecodeBlock(room, padded, (int)(size + padding));
	if (decoded >= (int)padding)
		set_text(a, room, (size_t)decoded - padding, out);
}

static void read_values(struct telling *t, const struct osp_report_name *name, const json_t *values,
			struct osp_event *e)
{
	char key[64];

	for (size_t i = 0; i < e->point->arg_count; i++) {
		const struct osp_arg *a = &e->point->args[i];

		if (a->type == OSP_TYPE_BYTES) {
			snprintf(key, sizeof(key), "%s%s", name->args[i], base64_suffix);
			set_bytes(a, json_object_get(values, key), t->reported->bytes[i],
				  &e->values[i]);
		} else {
			set_value(a, json_object_get(values, name->args[i]), &e->values[i]);
		}
	}
}

static const struct osp_report_name *find_name(const struct osp_report *report,
					       const struct osp_report_record *record)
{
	for (size_t i = 0; i < report->name_count; i++)
		if (strlen(report->names[i].name) == record->name_size &&
		    !memcmp(report->names[i].name, record->name, record->name_size))
			return &report->names[i];
	return NULL;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* One step of the peer's. What finds no room is left out, as the end of a report that was cut. */
static int walk(struct telling *t, struct osp_event *e)
{
	struct osp_move move;
	int r;

	e->time_ns = e->time_ns > t->last_ns ? e->time_ns : t->last_ns;
	t->last_ns = e->time_ns;
	infer_values(t, e);
	osp_walk_decide(t->open, t->plan->automaton, &t->plan->view, e->point, &move);
	r = osp_walk_apply(&t->reported->pool, t->open, &move, e, &t->walk);
	return r == -ENOSPC ? 0 : r;
}

/* A step of which the report tells nothing but the time. */
static int walk_moment(struct telling *t, const struct osp_point *p, int64_t peer_ns)
{
	struct osp_event e = {.point = p, .time_ns = osp_report_time(&t->clock, peer_ns)};

	return walk(t, &e);
}

static int walk_record(struct telling *t, const struct osp_report_record *record)
{
	const struct osp_report_name *name = find_name(t->plan->report, record);
	struct osp_event e = {.time_ns = t->last_ns};
	json_t *values;
	int r;

	if (!name) {
		t->unknown++;
		return 0;
	}
	e.point = name->point;
	if (record->time_ns >= 0)
		e.time_ns = osp_report_time(&t->clock, record->time_ns);
	values = json_loadb(record->json, record->json_size, 0, NULL);
	read_values(t, name, values, &e);
	r = walk(t, &e);
	json_decref(values);
	return r;
}

static int walk_records(struct telling *t, struct osp_report_reader *reader)
{
	struct osp_report_record record;
	int r = 0;

	while (!r && !t->walk.ended && !osp_report_next(reader, &record))
		r = walk_record(t, &record);
	return r;
}

static int add_fact(struct telling *t, const char *name, uint64_t value)
{
	const struct osp_value v = {.type = OSP_VALUE_U64, .u64 = value};
	int r = osp_open_add_attribute(&t->reported->pool, t->open, name, &v);

	return r == -ENOSPC ? 0 : r;
}

/* What came after the last record that is there may be anything: of open spans the end is unknown. */
static int admit_cut(struct telling *t)
{
	const struct osp_value v = {.type = OSP_VALUE_BOOL, .boolean = true};
	struct osp_open *n = t->open;
	int r = osp_open_add_attribute(&t->reported->pool, n, OSP_ATTRIBUTE_CUT, &v);

	for (size_t i = n->span_count; i-- > 1;) {
		if (n->span_infos[i].closed)
			continue;
		n->spans[i].marks |= OSP_MARK_INCOMPLETE;
		osp_open_close_span(n, i, t->last_ns, OSP_SPAN_UNSET);
	}
	n->live = osp_nfa_all(t->plan->automaton);
	return r == -ENOSPC ? 0 : r;
}

/* All of its steps; times of the ends are the peer's. */
static int walk_report(struct telling *t, struct osp_report_reader *reader, int64_t first_ns,
		       int64_t last_ns)
{
	const struct osp_report *report = t->plan->report;
	int r = walk_moment(t, report->first, first_ns);

	if (!r && t->clock.error_ns >= 0)
		r = add_fact(t, OSP_ATTRIBUTE_CLOCK_ERROR, (uint64_t)t->clock.error_ns);
	if (!r)
		r = walk_records(t, reader);
	if (!r && reader->cut && !t->walk.ended)
		r = admit_cut(t);
	if (!r && !t->walk.ended)
		r = walk_moment(t, report->last, last_ns);
	if (!r && t->unknown)
		r = add_fact(t, OSP_ATTRIBUTE_UNKNOWN_RECORDS, t->unknown);
	return r;
}

/* ---- the row --------------------------------------------------------------------------------- */

static void close_spans(struct telling *t)
{
	struct osp_open *n = t->open;

	osp_walk_close(n, t->last_ns, &t->walk, t->walk.ended ? 0 : OSP_MARK_INCOMPLETE);
	n->spans[0].marks |= n->marks;
	for (size_t i = 0; i < n->span_count; i++)
		n->spans[i].marks |= OSP_MARK_REPORTED;
}

static void set_edge(const struct telling *t, struct osp_edge *edge)
{
	const struct osp_open *o = t->getter;
	const struct osp_link *link = t->plan->report->link;

	*edge = (struct osp_edge){.from = o->id + o->spans[t->span].number,
				  .to = t->open->id,
				  .rule = link->name,
				  .makes = osp_makes_to_str(link->makes),
				  .evidence = "report",
				  .grade = osp_grade_to_str(OSP_GRADE_REPORTED),
				  .lasting = true};
}

/* The clock needs both of our times: without the first there is nothing to place the report by. */
static bool set_clock(struct telling *t, const struct osp_event *e)
{
	const struct osp_report *report = t->plan->report;
	const struct osp_step *asked = find_moment(t, report->asked, report->asked_count);
	const struct osp_step *answered = find_moment(t, report->answered, report->answered_count);

	if (asked)
		osp_report_set_clock(&t->clock, asked->time_ns, e->values[report->first_arg].u64,
				     e->values[report->last_arg].u64,
				     answered ? answered->time_ns : e->time_ns);
	return asked;
}

int osp_reported_make(struct osp_reported *r, const struct osp_open *o, const struct osp_event *e,
		      size_t span, struct osp_row *row, struct osp_edge *edge)
{
	struct telling t = {
		.reported = r, .plan = find_plan(r, e->point), .getter = o, .span = span};
	const struct osp_report *report = t.plan->report;
	const struct osp_event_value *bytes = &e->values[report->bytes];
	struct osp_report_reader reader;
	int error;

	if (!bytes->present || !set_clock(&t, e) ||
	    osp_report_start(&reader, bytes->data, bytes->size, bytes->true_size))
		return 1;
	osp_open_free(&r->pool, &r->open);
	t.last_ns = t.clock.from_ns;
	error = osp_open_new(&r->pool, report->as, &t.plan->titles, t.last_ns, &r->open);
	if (error)
		return error;
	t.open = r->open;
	t.open->id = o->id ^ id_mask;
	t.open->tid = o->tid;
	t.open->live = osp_nfa_start(t.plan->automaton, &t.plan->view);
	error = walk_report(&t, &reader, (int64_t)e->values[report->first_arg].u64,
			    (int64_t)e->values[report->last_arg].u64);
	if (error)
		return error;
	close_spans(&t);
	set_edge(&t, edge);
	error = osp_open_row(&r->pool, t.open, row);
	row->complete = true;
	return error;
}
