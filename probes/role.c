/*
 * `deliveries` of a catalogue: which operations publish, which spans are deliveries, which points
 * tell how far one came. Fed by probes/load.c after all operations of the file stand.
 */
#include <errno.h>
#include <string.h>

#include "probes/load.h"

#define KEYS "publish deliver subscriber found sent received confirmed noted told"

static const char *const role_keys[OSP_ROLE_COUNT] = {"found",	   "sent",  "received",
						      "confirmed", "noted", "told"};

/* The list under the key, of 1 to max scalars; NULL if there is none. */
static int read_list(struct osp_load *l, const struct osp_node *n, const char *key, size_t max,
		     const struct osp_node **out)
{
	const struct osp_node *v = osp_node_find(n, key);

	*out = v;
	if (!v)
		return 0;
	if (v->kind != OSP_NODE_LIST || !v->count || v->count > max)
		return osp_load_fail(l, v, "%s: expected a list of 1 to %zu", key, max);
	for (size_t i = 0; i < v->count; i++)
		if (v->values[i]->kind != OSP_NODE_SCALAR)
			return osp_load_fail(l, v->values[i], "%s: expected names", key);
	return 0;
}

static int read_publishes(struct osp_load *l, const struct osp_node *n, struct osp_deliveries *d)
{
	const struct osp_node *list;
	int r = read_list(l, n, "publish", OSP_ROLE_PUBLISHES, &list);

	if (!r && !list)
		r = osp_load_fail(l, n, "publish: expected");
	for (size_t i = 0; !r && i < list->count; i++) {
		const char *text = list->values[i]->text;
		const struct osp_operation *op = osp_load_find_operation(l, text, strlen(text));

		if (!op)
			r = osp_load_fail(l, list->values[i],
					  "publish: expected an operation of this file");
		d->publishes[d->publish_count++] = op;
	}
	return r;
}

/* The attribute of the first of these arguments that a point of the operation has, or NULL. */
static const char *find_attribute(const struct osp_operation *op, const struct osp_node *names)
{
	for (size_t i = 0; i < names->count; i++)
		for (size_t p = 0; p < op->point_count; p++)
			for (size_t a = 0; a < op->points[p]->arg_count; a++)
				if (!strcmp(op->points[p]->args[a].name, names->values[i]->text))
					return op->points[p]->args[a].attribute;
	return NULL;
}

/* "operation/span" */
static int read_span(struct osp_load *l, const struct osp_node *n, const struct osp_node *names,
		     struct osp_role_span *out)
{
	const char *slash = strchr(n->text, '/');
	const struct osp_operation *op =
		slash ? osp_load_find_operation(l, n->text, (size_t)(slash - n->text)) : NULL;

	out->operation = op;
	for (size_t i = 0; op && i < op->span_count; i++)
		if (!strcmp(op->spans[i].name, slash + 1))
			out->kind = op->spans[i].name;
	if (!out->kind)
		return osp_load_fail(l, n, "deliver: expected OPERATION/SPAN of this file");
	out->subscriber = find_attribute(op, names);
	if (!out->subscriber)
		return osp_load_fail(l, n, "subscriber: expected an argument of %s", op->name);
	return 0;
}

static int read_spans(struct osp_load *l, const struct osp_node *n, struct osp_deliveries *d)
{
	const struct osp_node *list, *names;
	int r = read_list(l, n, "subscriber", OSP_ROLE_SUBSCRIBERS, &names);

	if (!r && !names)
		r = osp_load_fail(l, n, "subscriber: expected a list of arguments");
	r = r ? r : read_list(l, n, "deliver", OSP_ROLE_SPANS, &list);
	if (!r && !list)
		r = osp_load_fail(l, n, "deliver: expected a list of OPERATION/SPAN");
	for (size_t i = 0; !r && i < list->count; i++)
		r = read_span(l, list->values[i], names, &d->spans[d->span_count++]);
	return r;
}

/* "operation.point", a foreign one with its provider. */
static int read_point(struct osp_load *l, const struct osp_node *n, struct osp_role_point *out)
{
	const char *dot = strchr(n->text, '.');
	const struct osp_operation *op =
		dot ? osp_load_find_operation(l, n->text, (size_t)(dot - n->text)) : NULL;

	for (size_t i = 0; op && i < op->point_count; i++)
		if (osp_point_is_called(op->points[i], dot + 1, strlen(dot + 1))) {
			out->operation = op;
			out->point = op->points[i];
			return 0;
		}
	return osp_load_fail(l, n, "%s: expected OPERATION.POINT of this file", n->text);
}

static int read_points(struct osp_load *l, const struct osp_node *n, const char *key,
		       enum osp_role role, struct osp_deliveries *d)
{
	const struct osp_node *list;
	int r = read_list(l, n, key, OSP_ROLE_POINTS - d->point_count, &list);

	for (size_t i = 0; !r && list && i < list->count; i++) {
		struct osp_role_point *p = &d->points[d->point_count];

		r = read_point(l, list->values[i], p);
		p->role = role;
		p->label = role == OSP_ROLE_FOUND ? key : NULL;
		for (size_t k = 0; !r && k < d->point_count; k++)
			if (d->points[k].point == p->point &&
			    d->points[k].operation == p->operation)
				r = osp_load_fail(l, list->values[i], "%s: expected no point twice",
						  list->values[i]->text);
		d->point_count++;
	}
	return r;
}

/* found: {LABEL: [OPERATION.POINT]} */
static int read_found(struct osp_load *l, const struct osp_node *n, struct osp_deliveries *d)
{
	const struct osp_node *found = osp_node_find(n, role_keys[OSP_ROLE_FOUND]);
	int r = found ? osp_load_map(l, found) : 0;

	for (size_t i = 0; !r && found && i < found->count; i++) {
		r = osp_load_word(l, found->keys[i]);
		if (!r)
			r = read_points(l, found, found->keys[i]->text, OSP_ROLE_FOUND, d);
	}
	return r;
}

int osp_load_deliveries(struct osp_load *l, const struct osp_node *n)
{
	struct osp_deliveries *d;
	int r = n ? osp_load_keys(l, n, KEYS) : 0;

	if (r || !n)
		return r;
	d = osp_arena_alloc(l->arena, 1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	osp_load_enter(l, "deliveries");
	r = read_publishes(l, n, d);
	r = r ? r : read_spans(l, n, d);
	r = r ? r : read_found(l, n, d);
	for (enum osp_role role = OSP_ROLE_SENT; !r && role < OSP_ROLE_COUNT; role++)
		r = read_points(l, n, role_keys[role], role, d);
	osp_load_leave(l);
	if (!r)
		l->c->deliveries[l->c->deliveries_count++] = d;
	return r;
}
