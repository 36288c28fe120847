/*
 * The span model as readers get it: flat spans and the line of a trace in a listing, made from
 * stored rows by store/unpack.c, the same from every store. What is written: store/span.h.
 */
#pragma once

#include "store/span.h"

struct osp_span_link {
	uint64_t span_id; /* the other end */
	bool incoming;	  /* this span is the `to` end */
	const char *rule, *makes, *evidence, *grade, *also;
};

struct osp_span_event {
	int64_t time_ns;
	const char *name;
	uint32_t place; /* among the steps of its operation, from 0 */
	bool unexpected;
	const struct osp_attribute *attributes;
	size_t attribute_count;
};

/*
 * A span, flat. parent_id is the enclosing span of the operation, the parent operation, or the
 * other end of a link that makes a parent (not of an ambiguous one). Times are boot time; the
 * session's clock rows make wall time of them.
 */
struct osp_span {
	uint64_t id, parent_id, trace;
	uint64_t operation;	    /* id of the operation it lies in */
	const char *operation_name; /* "handle_notify" */
	const char *kind_name;	    /* "handle_notify", "deliver" */
	const char *name;
	const char *provider, *side, *layer, *feature;
	enum osp_span_kind kind;
	uint32_t process, tid;
	int64_t start_ns, end_ns;
	enum osp_span_status status;
	const char *code;
	uint32_t marks;
	const struct osp_attribute *attributes; /* of its events: last value of each name */
	size_t attribute_count;
	const struct osp_span_event *events;
	size_t event_count;
	const struct osp_span_link *links;
	size_t link_count;
	bool orphan; /* its parent is not in the session, or not in this trace */
};

/* A trace in a listing. */
struct osp_trace {
	uint64_t key;
	uint8_t id[16];	  /* stable for a session and a root: see osp_trace_id */
	const char *root; /* name of the root span: the first that has no parent here */
	uint64_t root_id;
	int64_t start_ns, end_ns;	  /* first start and last end of its spans */
	uint32_t processes, spans, links; /* links: edges that lead to one of its spans */
	enum osp_span_status status;	  /* error if any span has it, else the root's */
	const char *code;		  /* of the span that made it fail, or NULL */
	uint32_t marks;
};
