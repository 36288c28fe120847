/*
 * Looks up the parts that operations, spans and steps play in deliveries (user/roles.h). Made from
 * the catalogues of a session; owns them. An operation is looked for among the few that have a part.
 */
#include "user/roles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/rows.h"
#include "user/watch.h"

struct osp_roles {
	struct osp_watch *watch; /* owned */
	struct osp_role_operation *operations;
	size_t count;
};

static int add(struct osp_roles *r, const struct osp_deliveries *of,
	       const struct osp_operation *operation, uint32_t is)
{
	int e;

	for (size_t i = 0; i < r->count; i++)
		if (r->operations[i].operation == operation) {
			r->operations[i].is |= is;
			return 0;
		}
	e = osp_rows_grow((void **)&r->operations, r->count, sizeof(*r->operations), 1 << 16);
	if (!e)
		r->operations[r->count++] = (struct osp_role_operation){operation, of, is};
	return e;
}

static uint32_t part_of(enum osp_role role)
{
	switch (role) {
	case OSP_ROLE_RECEIVED:
		return OSP_IS_RECEIVER;
	case OSP_ROLE_TOLD:
		return OSP_IS_TELLER;
	case OSP_ROLE_FOUND:
		return 0;
	default:
		return OSP_IS_SENDER;
	}
}

static int add_all(struct osp_roles *r, const struct osp_deliveries *d)
{
	int e = 0;

	for (size_t i = 0; !e && i < d->publish_count; i++)
		e = add(r, d, d->publishes[i], OSP_IS_PUBLISH);
	for (size_t i = 0; !e && i < d->span_count; i++)
		e = add(r, d, d->spans[i].operation, OSP_IS_FAN_OUT);
	for (size_t i = 0; !e && i < d->point_count; i++)
		e = add(r, d, d->points[i].operation, part_of(d->points[i].role));
	return e;
}

int osp_roles_new(struct osp_roles **out, const struct osp_session *s)
{
	_cleanup_(osp_roles_free) struct osp_roles *r = calloc(1, sizeof(*r));
	int e = r ? osp_watch_new(&r->watch, s) : -ENOMEM;
	const struct osp_catalogue *c = e ? NULL : r->watch->catalogue;

	for (size_t i = 0; !e && c && i < c->deliveries_count; i++)
		e = add_all(r, c->deliveries[i]);
	if (!e && !r->count)
		e = -ENOENT;
	if (!e)
		*out = TAKE_PTR(r);
	return e;
}

void osp_roles_free(struct osp_roles **r)
{
	if (!*r)
		return;
	osp_watch_free(&(*r)->watch);
	free((*r)->operations);
	free(*r);
	*r = NULL;
}

const struct osp_role_operation *osp_roles_find(const struct osp_roles *r,
						const struct osp_span *span)
{
	if (!span->operation_name || !span->provider)
		return NULL;
	for (size_t i = 0; i < r->count; i++) {
		const struct osp_operation *o = r->operations[i].operation;

		if (!strcmp(o->name, span->operation_name) && !strcmp(o->provider, span->provider))
			return &r->operations[i];
	}
	return NULL;
}

const struct osp_role_span *osp_roles_find_span(const struct osp_role_operation *o,
						const struct osp_span *span)
{
	for (size_t i = 0; i < o->of->span_count; i++) {
		const struct osp_role_span *s = &o->of->spans[i];

		if (s->operation == o->operation && span->id != span->operation &&
		    !strcmp(s->kind, span->kind_name))
			return s;
	}
	return NULL;
}

const struct osp_role_point *osp_roles_find_point(const struct osp_role_operation *o,
						  const char *step)
{
	for (size_t i = 0; i < o->of->point_count; i++) {
		const struct osp_role_point *p = &o->of->points[i];

		if (p->operation == o->operation && !strcmp(p->point->name, step))
			return p;
	}
	return NULL;
}

enum osp_role osp_roles_of_probe(const struct osp_roles *r, const char *provider, const char *probe)
{
	const struct osp_point *point =
		osp_catalogue_find_point(r->watch->catalogue, provider, probe);

	for (size_t i = 0; point && i < r->count; i++)
		for (size_t k = 0; k < r->operations[i].of->point_count; k++)
			if (r->operations[i].of->points[k].point == point)
				return r->operations[i].of->points[k].role;
	return OSP_ROLE_COUNT;
}
