/* Sessions from scripts, checked (checked.h). */
#include "tests/support/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/play.h"
#include "tests/support/script.h"
#include "user/verdict.h"

static void must(int r, const char *what)
{
	if (r) {
		fprintf(stderr, "checked: %s: %s\n", what, strerror(-r));
		abort();
	}
}

void checked_start(struct checked *c, const char *text, const char *path, const char *rules)
{
	*c = (struct checked){.catalogue = script_catalogue(text)};
	checked_start_with(c, text, path, rules, NULL, 0);
}

void checked_start_with(struct checked *c, const char *text, const char *path, const char *rules,
			const struct osp_part *more, size_t count)
{
	const struct osp_check_limits limits = {100, 100};
	struct osp_catalogue_error error = {""};
	char why[512] = "";

	play_session(c->catalogue, text, path, more, count);
	must(osp_session_open(&c->session, path, why), why);
	must(osp_books_read(&c->books, c->session, 0), "books");
	must(osp_watch_new(&c->watch, c->session), "watch");
	if (rules)
		must(osp_expectations_read(&c->rules, c->watch->catalogue, rules, &error),
		     error.text);
	must(osp_check_new(&c->check, c->books, c->watch, NULL, &limits), "check");
	must(osp_check_run(c->check, c->rules), "run");
}

void checked_clear(struct checked *c)
{
	osp_check_free(&c->check);
	osp_expectations_free(&c->rules);
	osp_watch_free(&c->watch);
	osp_books_free(&c->books);
	osp_session_close(&c->session);
	osp_catalogue_free(&c->catalogue);
}

uint64_t checked_explained(const struct osp_check *c)
{
	uint64_t n = 0;

	for (int i = 0; i < OSP_CHECK_CAUSES; i++)
		n += c->explained[i];
	return n;
}

void checked_print(const struct osp_check *c)
{
	struct osp_verdict v = {.out = stderr, .check = c, .utc = true, .explained = true};

	osp_verdict_write(&v);
}
