/*
 * Expectations of users about a system, beside what its catalogue says: which operation has to
 * follow another, and what must never happen. Read from YAML by the loader of the catalogue.
 */
#pragma once

#include "probes/catalogue.h"

enum osp_same {
	OSP_SAME_TRACE, /* both lie in one trace */
	OSP_SAME_ARG,	/* both have an equal value of an argument */
};

/* Where it happens: the begin of an operation, or each of its passings of a point. */
struct osp_occasion {
	const struct osp_operation *operation; /* NULL = none */
	const struct osp_point *point;	       /* NULL = its first step */
	const char *attribute;		       /* SAME_ARG: name of the value, as stored */
};

/* After `after`, `expect` has to come within the time, or must not (never). */
struct osp_expectation {
	const char *name;
	struct osp_occasion after; /* none: `expect` never comes at all */
	struct osp_occasion expect;
	bool never;
	int64_t within_ns;
	enum osp_same same;
};

struct osp_expectations {
	struct osp_expectation *rules;
	size_t count;
	void *memory; /* owner of all of the above */
};

/*
 * Reads the file, whose rules speak of the catalogue, which outlives them. -EINVAL: the error says
 * where and what was expected ("FILE:LINE: KEY: expected ..."); -ENOMEM, -errno of the file.
 */
int osp_expectations_read(struct osp_expectations **out, const struct osp_catalogue *c,
			  const char *path, struct osp_catalogue_error *error);
void osp_expectations_free(struct osp_expectations **e);
