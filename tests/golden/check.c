/*
 * Conformance (user/check.h): good recordings of this folder have no finding, bad ones theirs, and
 * each of the mutations below, of one step of one operation in them, has exactly the finding that is
 * written beside it.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/checked.h"
#include "tests/support/script.h"

static char directory[] = "/tmp/outspan-check-XXXXXX", path[64];

/* ---- mutations of a script ---- */

enum change { DROP, REPEAT, SWAP, MOVE, BEFORE, REPLACE };

struct mutation {
	const char *events;
	enum change change;
	const char *line; /* the first one that contains this */
	/* SWAP, MOVE: the one to change places with, or behind which it goes; BEFORE: what is put in; REPLACE */
	const char *with;
	enum osp_conform_kind kind;
	const char *operation, *point; /* point: "" = of a link */
	enum osp_check_cause cause;
};

static const struct mutation mutations[] = {
	{"publish", DROP, "op=a notify.hashed", NULL, OSP_CONFORM_MISSING, "notify", "hashed", 0},
	{"publish", DROP, "op=h handle_notify.auth_tentatively_accepted", NULL, OSP_CONFORM_MISSING,
	 "handle_notify", "auth_tentatively_accepted", 0},
	{"publish", DROP, "handle_notify.sending_receive identifier=x:a2", NULL,
	 OSP_CONFORM_MISSING, "handle_notify", "sending_receive", 0},
	{"publish", DROP, "@1710 op=h handle_notify.receive_confirmed", NULL, OSP_CONFORM_MISSING,
	 "handle_notify", "receive_confirmed", 0},
	{"publish", DROP, "op=h handle_notify.no_more_subscribers", NULL, OSP_CONFORM_MISSING,
	 "handle_notify", "no_more_subscribers", 0},
	{"publish", DROP, "5 @1960 op=r receive.no_more_handlers", NULL, OSP_CONFORM_MISSING,
	 "receive", "no_more_handlers", 0},
	{"subscribe", DROP, "op=a subscribe_exact.lock_acquired", NULL, OSP_CONFORM_MISSING,
	 "subscribe_exact", "lock_acquired", 0},
	{"subscribe", DROP, "op=f unsubscribe_exact.retrying", NULL, OSP_CONFORM_MISSING,
	 "unsubscribe_exact", "retrying", 0},
	{"connected", DROP, "op=hn handle_stateful_notify.part_accepted", NULL, OSP_CONFORM_MISSING,
	 "handle_stateful_notify", "part_accepted", 0},
	{"missed", DROP, "op=n tell_missed.sending_missed", NULL, OSP_CONFORM_MISSING,
	 "tell_missed", "sending_missed", 0},
	{"websockets", DROP, "op=s stateful_receive.decompressed", NULL, OSP_CONFORM_MISSING,
	 "stateful_receive", NULL, 0},
	{"missed", DROP, "op=w sweep_missed.sweep_done", NULL, OSP_CONFORM_NEVER_ENDED,
	 "sweep_missed", NULL, OSP_CHECK_STOPPED},
	{"publish", REPEAT, "op=a notify.hashed", NULL, OSP_CONFORM_DUPLICATE, "notify", "hashed",
	 0},
	{"publish", REPEAT, "op=h handle_notify.auth_accepted", NULL, OSP_CONFORM_DUPLICATE,
	 "handle_notify", "auth_accepted", 0},
	{"publish", REPEAT, "3 @1600 op=r receive.received", NULL, OSP_CONFORM_DUPLICATE, "receive",
	 "received", 0},
	{"publish", REPEAT, "op=a notify.response_notify_accepted", NULL, OSP_CONFORM_LATE,
	 "notify", "response_notify_accepted", 0},
	{"subscribe", REPEAT, "op=b subscribe_glob.use_direct", NULL, OSP_CONFORM_DUPLICATE,
	 "subscribe_glob", "use_direct", 0},
	{"missed", REPEAT, "op=hn handle_missed.auth_accepted", NULL, OSP_CONFORM_DUPLICATE,
	 "handle_missed", "auth_accepted", 0},
	{"connected", REPEAT, "op=n stateful_notify.queued", NULL, OSP_CONFORM_DUPLICATE,
	 "stateful_notify", "queued", 0},
	{"websockets", REPEAT, "op=s stateful_receive.body_complete", NULL, OSP_CONFORM_DUPLICATE,
	 "stateful_receive", "body_complete", 0},
	{"publish", SWAP, "op=a notify.hashed", "op=a notify.sending_request",
	 OSP_CONFORM_OUT_OF_ORDER, "notify", "hashed", 0},
	{"publish", SWAP, "op=h handle_notify.auth_tentatively_accepted",
	 "op=h handle_notify.auth_accepted", OSP_CONFORM_OUT_OF_ORDER, "handle_notify",
	 "auth_tentatively_accepted", 0},
	{"publish", SWAP, "op=h handle_notify.no_more_subscribers",
	 "op=h handle_notify.sending_response", OSP_CONFORM_LATE, "handle_notify",
	 "no_more_subscribers", 0},
	{"subscribe", SWAP, "op=a subscribe_exact.use_direct", "op=a subscribe_exact.lock_acquired",
	 OSP_CONFORM_OUT_OF_ORDER, "subscribe_exact", "use_direct", 0},
	{"missed", SWAP, "op=m tell_missed.sending_missed", "op=m tell_missed.network_error",
	 OSP_CONFORM_OUT_OF_ORDER, "tell_missed", "sending_missed", 0},
	{"publish", SWAP, "3 @1610 op=r receive.request_parsed",
	 "3 @1620 op=r receive.auth_tentatively_accepted", OSP_CONFORM_OUT_OF_ORDER, "receive",
	 "request_parsed", 0},
	{"publish", MOVE, "op=a notify.hashed", "op=a notify.response_received",
	 OSP_CONFORM_OUT_OF_ORDER, "notify", "hashed", 0},
	{"connected", MOVE, "op=ho handle_stateful_notify.auth_accepted",
	 "op=ho handle_stateful_notify.decompressed", OSP_CONFORM_OUT_OF_ORDER,
	 "handle_stateful_notify", "auth_accepted", 0},
	{"missed", MOVE, "op=a handle_notify.handle_missed_start",
	 "op=a handle_notify.no_more_subscribers", OSP_CONFORM_OUT_OF_ORDER, "handle_notify",
	 "handle_missed_start", 0},
	{"publish", BEFORE, "op=a notify.response_notify_accepted", "tick @4000s", OSP_CONFORM_LATE,
	 "notify", "response_notify_accepted", 0},
	{"notify_failures", REPLACE, "op=again notify.response_notify_accepted", "tick @4000s",
	 OSP_CONFORM_NEVER_ENDED, "notify", NULL, 0},
	{"publish", REPLACE, "1 @2110 op=a notify.response_notify_accepted", "exit 1 code=9 @2200",
	 OSP_CONFORM_NEVER_ENDED, "notify", NULL, OSP_CHECK_EXITED},
	{"publish", BEFORE, "op=a notify.response_received", "1 @2000 op=a notify.retrying",
	 OSP_CONFORM_UNEXPECTED, "notify", "retrying", 0},
	{"publish", BEFORE, "op=h handle_notify.no_more_subscribers",
	 "2 @1995 op=h handle_notify.unsubscribe_immediate_success", OSP_CONFORM_UNEXPECTED,
	 "handle_notify", "unsubscribe_immediate_success", 0},
	{"publish", REPLACE, "2 @1510 op=h handle_notify.sending_receive",
	 "2 @1690 op=h handle_notify.sending_receive identifier=x:a1 context=d1",
	 OSP_CONFORM_OUT_OF_ORDER, "receive", "", 0},
	{"publish", REPLACE, "op=a notify.hashed", "1 @1100 op=a notify.hashed dropped",
	 OSP_CONFORM_MISSING, "notify", "hashed", OSP_CHECK_UNKNOWN},
};
enum { MUTATIONS = sizeof(mutations) / sizeof(mutations[0]) };

/* The first line that contains the text, from `from` on; its end is *size away. */
static const char *find_line(const char *from, const char *text, size_t *size)
{
	const char *at = strstr(from, text), *end;

	if (!at)
		fail_msg("no line with \"%s\"", text);
	while (at > from && at[-1] != '\n')
		at--;
	end = strchr(at, '\n');
	*size = (size_t)(end + 1 - at);
	return at;
}

/* A line ("1 @100 op=..." or "1 op=...") at the time of another. */
static void put_at(FILE *out, const char *line, size_t size, const char *time)
{
	const char *rest = line[2] == '@' ? strchr(line + 2, ' ') + 1 : line + 2;

	fprintf(out, "%.2s", line);
	if (time[2] == '@')
		fprintf(out, "%.*s", (int)(strchr(time + 2, ' ') - time - 1), time + 2);
	fwrite(rest, 1, (size_t)(line + size - rest), out);
}

static char *mutate(const char *text, const struct mutation *m)
{
	size_t size, other_size = 0, room;
	const char *line = find_line(text, m->line, &size), *rest = line + size;
	const char *other = m->change == SWAP || m->change == MOVE
				    ? find_line(rest, m->with, &other_size)
				    : rest;
	char *result = NULL;
	FILE *out = open_memstream(&result, &room);

	fwrite(text, 1, (size_t)(line - text), out);
	if (m->change == BEFORE || m->change == REPLACE)
		fprintf(out, "%s\n", m->with);
	if (m->change == SWAP)
		put_at(out, other, other_size, line);
	if (m->change == REPEAT || m->change == BEFORE)
		fwrite(line, 1, size, out);
	if (m->change == REPEAT)
		fwrite(line, 1, size, out);
	fwrite(rest, 1, (size_t)(other - rest), out);
	if (m->change == MOVE)
		fwrite(other, 1, other_size, out);
	if (m->change == SWAP || m->change == MOVE)
		put_at(out, line, size, other);
	fputs(other + other_size, out);
	fclose(out);
	return result;
}

static bool is_as_written(const struct osp_check *c, const struct mutation *m)
{
	const struct osp_finding *f = c->findings;

	if (c->finding_count != 1 || c->genuine != !m->cause ||
	    checked_explained(c) != !!m->cause || f->kind != m->kind || f->cause != m->cause ||
	    strcmp(f->of->name, m->operation))
		return false;
	if (m->point && !*m->point)
		return f->rule && f->by_ns > 0;
	if (m->point)
		return f->point && !strcmp(f->point->name, m->point);
	return !f->point;
}

static void each_mutation_has_its_finding(void **state)
{
	int wrong = 0;

	(void)state;
	for (int i = 0; i < MUTATIONS; i++) {
		const struct mutation *m = &mutations[i];
		struct checked c;
		char name[100], *text, *mutated;

		snprintf(name, sizeof(name), "tests/golden/%s.events", m->events);
		text = script_read(name);
		mutated = mutate(text, m);
		checked_start(&c, mutated, path, NULL);
		if (!is_as_written(c.check, m)) {
			print_error("mutation %d of %s, %s:\n", i, m->events, m->line);
			checked_print(c.check);
			wrong++;
		}
		checked_clear(&c);
		free(text);
		free(mutated);
	}
	assert_int_equal(wrong, 0);
}

/* ---- whole recordings ---- */

/* What their comments say is wrong in them; in all others nothing is. */
static const struct {
	const char *file;
	uint64_t genuine;
} wrong[] = {
	{"tests/golden/levels.events", 1},     /* a request that was never sent was answered */
	{"tests/golden/fan_in.events", 1},     /* a ticket is taken before its request began */
	{"tests/golden/no_context.events", 2}, /* the subscriber's records come first, too early */
	{"tests/golden/foreign.events", 2},    /* a job done twice, and one without its get */
	{"tests/golden/time.events", 4}, /* three steps behind the time-out, one that has none */
};

static uint64_t genuine_in(const char *file)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!strcmp(wrong[i].file, file))
			return wrong[i].genuine;
	return 0;
}

/* Failures of the protocol are no findings, and neither are losses, attach in the middle, death. */
static void recordings_have_what_is_wrong_in_them_and_nothing_else(void **state)
{
	glob_t found;
	int failed = 0;

	(void)state;
	assert_int_equal(glob("tests/golden/*.events", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *text = script_read(found.gl_pathv[i]);
		struct checked c;

		checked_start(&c, text, path, NULL);
		if (c.check->genuine != genuine_in(found.gl_pathv[i])) {
			print_error("%s:\n", found.gl_pathv[i]);
			checked_print(c.check);
			failed++;
		}
		checked_clear(&c);
		free(text);
	}
	globfree(&found);
	assert_int_equal(failed, 0);
}

/* ---- what could not be seen ---- */

enum { ROOM = 64 }; /* for the points of an operation */

/* Attaches the points of an operation up to a level in process 3, but for one of them. */
static size_t attach(struct osp_part parts[ROOM], const struct osp_operation *o,
		     enum osp_level level, const char *but, int64_t but_from_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < o->point_count; i++) {
		const struct osp_point *p = o->points[i];
		bool is_that = !strcmp(p->name, but);

		assert_true(n < ROOM);
		if (p->level > level || (is_that && !but_from_ns))
			continue;
		parts[n++] = (struct osp_part){.kind = OSP_PART_ATTACH,
					       .attach = {.process = 3,
							  .provider = p->provider,
							  .probe = p->probe,
							  .level = osp_level_to_str(p->level),
							  .from_ns = is_that ? but_from_ns : 1,
							  .sites = 1}};
	}
	return n;
}

static const struct osp_operation *operation(const struct osp_catalogue *c, const char *name)
{
	for (size_t i = 0; i < c->operation_count; i++)
		if (!strcmp(c->operations[i]->name, name))
			return c->operations[i];
	fail_msg("no operation %s", name);
	return NULL;
}

/* The other broadcaster lacks the step, and this is what was attached there. */
static void expect_unseen(enum osp_level level, int64_t from_ns, enum osp_check_cause cause)
{
	static const struct mutation m = {
		.change = DROP, .line = "3 op=n tell_missed.response_received status_code=200"};
	char *text = script_read("tests/golden/missed.events"), *mutated = mutate(text, &m);
	struct checked c = {.catalogue = script_catalogue(text)};
	struct osp_part parts[2 * ROOM];
	size_t n = attach(parts, operation(c.catalogue, "tell_missed"), level, "response_received",
			  from_ns);

	n += attach(parts + n, operation(c.catalogue, "missed_for_websockets"), level, "", 0);

	checked_start_with(&c, mutated, path, NULL, parts, n);
	assert_int_equal(c.check->finding_count, cause ? 0 : 1);
	if (cause) {
		bool told = false;

		for (size_t i = 0; i < c.check->blind_count; i++) {
			const struct osp_check_blind *b = &c.check->blind[i];

			told = told || (!strcmp(b->point->name, "response_received") &&
					b->cause == cause && b->operations == 1);
		}
		assert_true(told);
	}
	checked_clear(&c);
	free(mutated);
	free(text);
}

static void what_nobody_could_see_is_not_missed(void **state)
{
	(void)state;
	expect_unseen(OSP_LEVEL_DEBUG, 0, OSP_CHECK_NOT_PROVIDED);     /* the others are there */
	expect_unseen(OSP_LEVEL_ESSENTIAL, 0, OSP_CHECK_NOT_OBSERVED); /* nobody asked for it */
	/* attached in the middle; attached before: missing */
	expect_unseen(OSP_LEVEL_DEBUG, 12000000001, OSP_CHECK_NOT_OBSERVED);
	expect_unseen(OSP_LEVEL_DEBUG, 12000000000, OSP_CHECK_NONE);
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/session.db", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recordings_have_what_is_wrong_in_them_and_nothing_else),
		cmocka_unit_test(what_nobody_could_see_is_not_missed),
		cmocka_unit_test(each_mutation_has_its_finding),
	};

	return cmocka_run_group_tests_name("check", tests, make_directory, remove_directory);
}
