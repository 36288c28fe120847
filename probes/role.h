/*
 * Which operations, spans and points play which part in a delivery, as the catalogue says. Part of
 * probes/catalogue.h, which includes it.
 */
#pragma once

#include <stddef.h>

struct osp_operation;
struct osp_point;

enum osp_role {
	OSP_ROLE_FOUND,	    /* a subscriber was found */
	OSP_ROLE_SENT,	    /* the message goes to it */
	OSP_ROLE_RECEIVED,  /* it has the message; its operation is the receiver's */
	OSP_ROLE_CONFIRMED, /* it has said so */
	OSP_ROLE_NOTED,	    /* it is to be told that it missed the message */
	OSP_ROLE_TOLD,	    /* it knows that it missed the message */
	OSP_ROLE_COUNT
};

enum {
	OSP_ROLE_PUBLISHES = 16,
	OSP_ROLE_SPANS = 16,
	OSP_ROLE_POINTS = 96,
	OSP_ROLE_SUBSCRIBERS = 4
};

/* A kind of nested span that is one delivery to one subscriber. */
struct osp_role_span {
	const struct osp_operation *operation;
	const char *kind;	/* name of the span */
	const char *subscriber; /* name of the attribute that tells who it is */
};

struct osp_role_point {
	const struct osp_operation *operation;
	const struct osp_point *point;
	enum osp_role role;
	const char *label; /* OSP_ROLE_FOUND: how it was found; else NULL */
};

/* One provider's deliveries. */
struct osp_deliveries {
	const struct osp_operation *publishes[OSP_ROLE_PUBLISHES];
	size_t publish_count;
	struct osp_role_span spans[OSP_ROLE_SPANS];
	size_t span_count;
	struct osp_role_point points[OSP_ROLE_POINTS];
	size_t point_count;
};
