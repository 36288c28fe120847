/*
 * `reports` of a catalogue: which point brings what a peer tells of an operation of its own, and how
 * that is to be read. Fed by probes/load.c after the links of the file stand.
 */
#include <errno.h>
#include <string.h>

#include "probes/load.h"

#define KEYS "in as link format bytes asked answered first last names"

_Static_assert(sizeof(((struct osp_report_name *)0)->args) ==
		       OSP_CATALOGUE_ARGS * sizeof(const char *),
	       "arguments of a name");

static const struct osp_point *find_point(const struct osp_operation *op, const char *name)
{
	for (size_t i = 0; i < op->point_count; i++)
		if (!strcmp(op->points[i]->name, name))
			return op->points[i];
	return NULL;
}

/* in: OPERATION.POINT */
static int read_place(struct osp_load *l, const struct osp_node *n, struct osp_report *report)
{
	const struct osp_node *v = osp_node_find(n, "in");
	const char *text = v && v->kind == OSP_NODE_SCALAR ? v->text : "", *dot = strchr(text, '.');

	if (dot)
		report->in = osp_load_find_operation(l, text, (size_t)(dot - text));
	if (report->in)
		report->point = find_point(report->in, dot + 1);
	if (!report->point || report->point->foreign)
		return osp_load_fail(
			l, v ? v : n,
			"in: expected OPERATION.POINT of this file, of its own provider");
	return 0;
}

static bool leads(const struct osp_link *link, const struct osp_report *report)
{
	bool from = false, to = false;

	for (size_t i = 0; i < link->from.count; i++)
		from |= link->from.ends[i].operation == report->in;
	for (size_t i = 0; i < link->to.count; i++)
		to |= link->to.ends[i].operation == report->as && link->to.ends[i].span < 0;
	return from && to && link->makes == OSP_MAKES_PARENT;
}

/* as: OPERATION, link: NAME */
static int read_peer(struct osp_load *l, const struct osp_node *n, struct osp_report *report)
{
	const char *as = "", *link = "";
	int r = osp_load_text(l, n, "as", &as);

	if (!r)
		r = osp_load_text(l, n, "link", &link);
	if (r)
		return r;
	report->as = osp_load_find_operation(l, as, strlen(as));
	if (!report->as || report->as->key != OSP_KEY_OP)
		return osp_load_fail(l, n, "as: expected an operation of this file");
	for (size_t i = 0; i < l->c->link_count; i++)
		if (!strcmp(l->c->links[i]->name, link))
			report->link = l->c->links[i];
	if (!report->link || !leads(report->link, report))
		return osp_load_fail(l, n, "link: expected one that makes %s the parent of %s",
				     report->in->name, report->as->name);
	return 0;
}

static int find_argument(struct osp_load *l, const struct osp_node *at, const char *key,
			 const char *name, enum osp_type type, const struct osp_point *p,
			 uint8_t *out)
{
	for (size_t i = 0; i < p->arg_count; i++)
		if (!strcmp(p->args[i].name, name) && p->args[i].type == type) {
			*out = (uint8_t)i;
			return 0;
		}
	return osp_load_fail(l, at, "%s: expected an argument of %s, of type %s", key, p->name,
			     type == OSP_TYPE_BYTES ? "bytes" : "u64");
}

/* first: {POINT: ARGUMENT} */
static int read_end(struct osp_load *l, const struct osp_node *n, const char *key,
		    const struct osp_report *report, const struct osp_point **point, uint8_t *arg)
{
	const struct osp_node *v = osp_node_find(n, key);
	int r = v ? osp_load_map(l, v) : 0;

	if (r)
		return r;
	*point = v && v->count == 1 ? find_point(report->as, v->keys[0]->text) : NULL;
	if (!*point || v->values[0]->kind != OSP_NODE_SCALAR)
		return osp_load_fail(l, v ? v : n, "%s: expected one POINT: ARGUMENT of %s and %s",
				     key, report->as->name, report->point->name);
	return find_argument(l, v, key, v->values[0]->text, OSP_TYPE_UINT, report->point, arg);
}

/* A list of points of the operation that gets the report. */
static int read_moments(struct osp_load *l, const struct osp_node *n, const char *key,
			const struct osp_report *report,
			const struct osp_point *out[OSP_REPORT_MOMENTS], size_t *count)
{
	const struct osp_node *v = osp_node_find(n, key);

	if (!v || v->kind != OSP_NODE_LIST || !v->count || v->count > OSP_REPORT_MOMENTS)
		return osp_load_fail(l, v ? v : n, "%s: expected a list of 1 to %d points of %s",
				     key, OSP_REPORT_MOMENTS, report->in->name);
	for (size_t i = 0; i < v->count; i++) {
		const struct osp_node *name = v->values[i];

		out[i] = name->kind == OSP_NODE_SCALAR ? find_point(report->in, name->text) : NULL;
		if (!out[i])
			return osp_load_fail(l, name, "%s: expected a point of %s", key,
					     report->in->name);
	}
	*count = v->count;
	return 0;
}

static void add_name(struct osp_report *report, const char *text, const struct osp_point *p)
{
	struct osp_report_name *name = &report->names[report->name_count++];

	name->name = text;
	name->point = p;
	for (size_t i = 0; i < p->arg_count; i++)
		name->args[i] = p->args[i].name;
}

static bool is_named(const struct osp_report *report, const char *text)
{
	for (size_t i = 0; i < report->name_count; i++)
		if (!strcmp(report->names[i].name, text))
			return true;
	return false;
}

/* A report calls the points as the catalogue does, unless `names` says otherwise. */
static int read_names(struct osp_load *l, const struct osp_node *n, struct osp_report *report)
{
	const struct osp_node *names = osp_node_find(n, "names");
	const struct osp_operation *as = report->as;
	size_t count = names ? names->count : 0;
	int r = names ? osp_load_map(l, names) : 0;

	report->names = osp_arena_alloc(l->arena, as->point_count + count, sizeof(*report->names));
	if (!report->names)
		return -ENOMEM;
	for (size_t i = 0; !r && i < count; i++) {
		const struct osp_node *v = names->values[i];
		const struct osp_point *p =
			v->kind == OSP_NODE_SCALAR ? find_point(as, v->text) : NULL;

		if (p)
			add_name(report, names->keys[i]->text, p);
		else
			r = osp_load_fail(l, v, "names: expected a point of %s", as->name);
	}
	for (size_t i = 0; !r && i < as->point_count; i++)
		if (!is_named(report, as->points[i]->name))
			add_name(report, as->points[i]->name, as->points[i]);
	return r;
}

/* The order is that of what one key needs of another. */
static int read_report(struct osp_load *l, const struct osp_node *n, struct osp_report *report)
{
	const char *bytes = "";
	int format = -1, r = osp_load_keys(l, n, KEYS);

	if (!r)
		r = read_place(l, n, report);
	if (!r)
		r = read_peer(l, n, report);
	if (!r)
		r = osp_load_choice(l, n, "format", "timings", &format);
	if (!r && format < 0)
		r = osp_load_fail(l, n, "format: expected timings");
	report->format = (enum osp_report_format)format;
	if (!r)
		r = osp_load_text(l, n, "bytes", &bytes);
	if (!r)
		r = find_argument(l, n, "bytes", bytes, OSP_TYPE_BYTES, report->point,
				  &report->bytes);
	if (!r)
		l->c->points[report->point->number]->args[report->bytes].report = true;
	if (!r)
		r = read_end(l, n, "first", report, &report->first, &report->first_arg);
	if (!r)
		r = read_end(l, n, "last", report, &report->last, &report->last_arg);
	if (!r)
		r = read_moments(l, n, "asked", report, report->asked, &report->asked_count);
	if (!r)
		r = read_moments(l, n, "answered", report, report->answered,
				 &report->answered_count);
	return r ? r : read_names(l, n, report);
}

int osp_load_reports(struct osp_load *l, const struct osp_node *n)
{
	struct osp_catalogue *c = l->c;
	int r = 0;

	if (n && n->kind != OSP_NODE_LIST)
		return osp_load_fail(l, n, "reports: expected a list");
	osp_load_enter(l, "reports");
	for (size_t i = 0; !r && n && i < n->count; i++) {
		struct osp_report *report = osp_arena_alloc(l->arena, 1, sizeof(*report));

		if (!report)
			return -ENOMEM;
		if (c->report_count == OSP_LOAD_REPORTS) {
			osp_load_fail(l, n, "expected at most %d reports in all", OSP_LOAD_REPORTS);
			return -E2BIG;
		}
		r = read_report(l, n->values[i], report);
		for (size_t k = 0; !r && k < c->report_count; k++)
			if (c->reports[k]->point == report->point)
				r = osp_load_fail(l, n->values[i], "in: expected no point twice");
		c->reports[c->report_count++] = report;
	}
	osp_load_leave(l);
	return r;
}
