/* What `outspan check` says: the findings for people and as JSON. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "user/check.h"

struct osp_verdict {
	FILE *out;
	const struct osp_check *check; /* borrowed: one that ran */
	bool utc;
	bool explained; /* list what is explained, too */
};

/* A line that sums up, then the findings by trace. A store's error. */
int osp_verdict_write(const struct osp_verdict *v);

/* All of it as one object; NULL: no memory, or the store fails. */
json_t *osp_verdict_json(const struct osp_verdict *v);
