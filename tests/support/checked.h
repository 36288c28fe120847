/* A script (script.h) as a session file that is held against its catalogue, for tests of check. */
#pragma once

#include "user/check.h"

struct checked {
	struct osp_catalogue *catalogue;
	struct osp_session *session;
	struct osp_books *books;
	struct osp_watch *watch;
	struct osp_expectations *rules;
	struct osp_check *check;
};

/* Writes the session to the path and checks it, with the users' rules of a file or without (NULL). */
void checked_start(struct checked *c, const char *text, const char *path, const char *rules);
/* The same with some parts more; the catalogue is there already. */
void checked_start_with(struct checked *c, const char *text, const char *path, const char *rules,
			const struct osp_part *more, size_t count);
void checked_clear(struct checked *c);

/* How many findings have a cause. */
uint64_t checked_explained(const struct osp_check *c);

/* What `outspan check -v` would say, on stderr. */
void checked_print(const struct osp_check *c);
