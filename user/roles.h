/*
 * Which spans and steps of a session play which part in deliveries: the tables of probes/role.h, of
 * the catalogues that the session was recorded with, looked up by the names that are stored.
 */
#pragma once

#include <stdint.h>

#include "probes/catalogue.h"
#include "store/session.h"

/* What an operation is, as bits. */
enum osp_role_is {
	OSP_IS_PUBLISH = 1 << 0,  /* its outermost run in a trace is a message */
	OSP_IS_FAN_OUT = 1 << 1,  /* its nested spans are deliveries */
	OSP_IS_SENDER = 1 << 2,	  /* it has steps of the sending side */
	OSP_IS_RECEIVER = 1 << 3, /* it has the step of a receipt */
	OSP_IS_TELLER = 1 << 4,	  /* it tells of what was missed */
};

struct osp_role_operation {
	const struct osp_operation *operation;
	const struct osp_deliveries *of; /* its file's table */
	uint32_t is;			 /* enum osp_role_is */
};

struct osp_roles;

/* -ENOENT: no catalogue of the session speaks of deliveries; -ENOMEM; a store's error. */
int osp_roles_new(struct osp_roles **out, const struct osp_session *s);
void osp_roles_free(struct osp_roles **r);

/* What the operation of the span is, or NULL: nothing here. */
const struct osp_role_operation *osp_roles_find(const struct osp_roles *r,
						const struct osp_span *span);

/* The kind of delivery that the span of this operation is, or NULL. */
const struct osp_role_span *osp_roles_find_span(const struct osp_role_operation *o,
						const struct osp_span *span);

/* What the step of that name means there, or NULL. */
const struct osp_role_point *osp_roles_find_point(const struct osp_role_operation *o,
						  const char *step);

/* The part of the point with these names of its note, or OSP_ROLE_COUNT. */
enum osp_role osp_roles_of_probe(const struct osp_roles *r, const char *provider,
				 const char *probe);
