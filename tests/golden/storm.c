/*
 * A storm of losses: 2,000 messages whose operations come as one record each, of which some are
 * lost in the kernel: every k-th, all but every k-th, or long stretches. What came is whole, what a
 * loss touched says so and nothing else does, the books close, and a record that came costs no more
 * than one before the storm: it is looked up, not walked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/script.h"

enum { MESSAGES = 2000, LEARNT = 20 };

/* The operations of a message, as they begin; the subscribers' end first, the publisher's last. */
enum { PUBLISH, HANDLE, RECEIVE, RECEIVE_TOO, OPERATIONS };

/* Which records are lost. */
struct storm {
	unsigned int every;   /* of so many records ... */
	unsigned int lost;    /* ... this many */
	unsigned int stretch; /* in turns of so many messages, or 0: record by record */
};

/* What became of an operation. */
struct fate {
	bool lost, stored;
	uint32_t marks;
	uint64_t trace;
};

struct play {
	struct osp_pipeline *pipeline;
	const struct storm *storm;
	struct fate fates[MESSAGES][OPERATIONS];
	size_t records, kept, edges;
	uint64_t gaps, missing; /* steps, as gaps and as the books tell */
};

static struct osp_catalogue *catalogue;

/* ---- what came out ---- */

/* Ids count the operations in the order in which their first steps stand in the script. */
static struct fate *fate_of(struct play *p, uint64_t id)
{
	size_t number = (id >> 16 & UINT32_MAX) - 1;

	assert_true(number < (size_t)MESSAGES * OPERATIONS);
	return &p->fates[number / OPERATIONS][number % OPERATIONS];
}

static void take_row(struct play *p, const struct osp_row *row)
{
	struct fate *f = fate_of(p, row->id);

	assert_false(f->lost);
	assert_false(f->stored);
	assert_true(row->complete);
	*f = (struct fate){.stored = true, .marks = row->spans[0].marks, .trace = row->trace};
}

static void take_patch(struct play *p, const struct osp_patch *patch)
{
	struct fate *f = fate_of(p, patch->id);

	assert_true(f->stored);
	f->marks |= patch->marks;
	f->trace = patch->trace ? patch->trace : f->trace;
}

/* A page is told at the end alone here: nothing settles before. */
static void take_losses(struct play *p, const struct osp_loss_row *row)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < row->count; i++)
		lost += row->lost[i];
	assert_int_equal(row->hits, row->stored + lost);
	p->missing += lost;
}

static int take_part(void *arg, const struct osp_part *part)
{
	struct play *p = arg;

	if (part->kind == OSP_PART_ROW)
		take_row(p, &part->row);
	else if (part->kind == OSP_PART_PATCH)
		take_patch(p, &part->patch);
	else if (part->kind == OSP_PART_LOSS)
		take_losses(p, &part->loss);
	else if (part->kind == OSP_PART_GAP)
		p->gaps += part->gap.lost;
	else if (part->kind == OSP_PART_EDGE)
		p->edges++;
	return 0;
}

/* ---- what goes in ---- */

static int push(void *arg, const struct osp_input *in)
{
	struct play *p = arg;

	p->kept += in->kind == OSP_INPUT_RECORD;
	return osp_pipeline_push(p->pipeline, in);
}

/* The record that an operation's end makes: is it lost? */
static const char *weather(struct play *p, size_t message, size_t operation)
{
	const struct storm *s = p->storm;
	size_t turn = s->stretch ? message / s->stretch : p->records;

	p->records++;
	p->fates[message][operation].lost = turn % s->every < s->lost;
	return p->fates[message][operation].lost ? "dropped" : "";
}

static void write_receive(FILE *f, struct play *p, size_t m, size_t operation)
{
	size_t process = operation + 1; /* each has one of its own */

	fprintf(f,
		"%zu op=r%zu receive.received carried\n"
		"%zu op=r%zu receive.request_parsed topic=\"t\" identifier=\"%zu-%zu\" length=1 "
		"context=%c%zu carried\n"
		"%zu op=r%zu receive.auth_tentatively_accepted connection_established=true carried\n"
		"%zu op=r%zu receive.auth_accepted topic=\"t\" identifier=\"%zu-%zu\" length=1 "
		"context=%c%zu carried\n"
		"%zu op=r%zu receive.no_more_handlers carried\n"
		"%zu op=r%zu receive.sending_response num_subscribers=1 flush %s\n",
		process, m, process, m, m, operation, (char)('a' + operation), m, process, m,
		process, m, m, operation, (char)('a' + operation), m, process, m, process, m,
		weather(p, m, operation));
}

static void write_deliver(FILE *f, size_t m, size_t operation)
{
	fprintf(f,
		"2 op=h%zu handle_notify.exact_subscriber_found url=\"http://s\" carried\n"
		"2 op=h%zu handle_notify.sending_receive identifier=\"%zu-%zu\" context=%c%zu carried\n"
		"2 op=h%zu handle_notify.response_received status_code=200 carried\n"
		"2 op=h%zu handle_notify.receive_confirmed num_subscribers=1 carried\n",
		m, m, m, operation, (char)('a' + operation), m, m, m);
}

static void write_message(FILE *f, struct play *p, size_t m)
{
	fprintf(f,
		"1 op=p%zu notify.start_without_hash topic=\"t\" length=1 filelike=false carried\n"
		"1 op=p%zu notify.hashed carried\n"
		"1 op=p%zu notify.sending_request broadcaster=\"http://b\" identifier=\"%zu\" "
		"context=a%zu carried\n"
		"2 op=h%zu handle_notify.received carried\n"
		"2 op=h%zu handle_notify.auth_tentatively_accepted carried\n"
		"2 op=h%zu handle_notify.auth_accepted topic=\"t\" length=1 identifier=\"%zu\" "
		"context=a%zu carried\n",
		m, m, m, m, m, m, m, m, m, m);
	for (size_t i = RECEIVE; i <= RECEIVE_TOO; i++) {
		write_deliver(f, m, i);
		write_receive(f, p, m, i);
	}
	fprintf(f,
		"2 op=h%zu handle_notify.no_more_subscribers carried\n"
		"2 op=h%zu handle_notify.sending_response context=a%zu flush %s\n",
		m, m, m, weather(p, m, HANDLE));
	fprintf(f,
		"1 op=p%zu notify.response_received status_code=200 carried\n"
		"1 op=p%zu notify.response_notify_accepted num_subscribers=2 flush %s\n",
		m, m, weather(p, m, PUBLISH));
}

static void run(struct play *p, struct osp_pipeline_stats *stats)
{
	struct script *s = script_new(catalogue, "storm", push, p);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 1; i <= OPERATIONS; i++)
		fprintf(f, "process %d pid=%d comm=c\nsites %d detail carry\n", i, i, i);
	for (size_t m = 0; m < MESSAGES; m++)
		write_message(f, p, m);
	fprintf(f, "counters\nstop\n");
	fclose(f);
	assert_int_equal(osp_pipeline_new(&p->pipeline, catalogue, NULL, take_part, p), 0);
	assert_int_equal(script_text(s, text), 0);
	osp_pipeline_stats(p->pipeline, stats);
	osp_pipeline_free(&p->pipeline);
	script_free(&s);
	free(text);
}

/* ---- what must come out ---- */

static bool is_linked(size_t a, size_t b)
{
	return a == HANDLE || b == HANDLE;
}

/* Publisher and subscribers are linked to the broadcaster's side of the message, and to nobody else. */
static void check_operation(const struct fate fates[OPERATIONS], size_t n, size_t *edges)
{
	bool touched = false;

	if (fates[n].lost) {
		assert_false(fates[n].stored);
		return;
	}
	assert_true(fates[n].stored);
	for (size_t i = 0; i < OPERATIONS; i++) {
		if (i == n || !is_linked(i, n))
			continue;
		touched |= fates[i].lost;
		*edges += i < n && !fates[i].lost;
		if (!fates[i].lost)
			assert_int_equal(fates[i].trace, fates[n].trace);
	}
	assert_int_equal(fates[n].marks, touched ? OSP_MARK_MAY_BE_CUT : 0);
}

static void check(const struct play *p)
{
	size_t edges = 0;

	for (size_t m = 0; m < MESSAGES; m++) {
		const struct fate *f = p->fates[m];

		for (size_t i = 0; i < OPERATIONS; i++)
			check_operation(f, i, &edges);
		if (!f[RECEIVE].lost && !f[RECEIVE_TOO].lost && f[HANDLE].lost)
			assert_int_not_equal(f[RECEIVE].trace, f[RECEIVE_TOO].trace);
	}
	assert_int_equal(p->edges, edges);
	assert_int_equal(p->gaps, p->missing);
}

static void storm(const struct storm *s)
{
	struct play *p = calloc(1, sizeof(*p));
	struct osp_pipeline_stats stats;

	p->storm = s;
	run(p, &stats);
	assert_int_equal(p->records, MESSAGES * OPERATIONS);
	check(p);
	assert_int_equal(stats.records, p->kept);
	assert_true(stats.runs + LEARNT >= p->kept);
	free(p);
}

static void every_kth_record_lost(void **state)
{
	(void)state;
	storm(&(struct storm){2, 1, 0});
	storm(&(struct storm){3, 1, 0});
	storm(&(struct storm){7, 1, 0});
}

static void all_but_every_kth_record_lost(void **state)
{
	(void)state;
	storm(&(struct storm){3, 2, 0});
	storm(&(struct storm){5, 4, 0});
}

/* Whole messages are lost: what is between is as if nothing had been. */
static void stretches_lost(void **state)
{
	(void)state;
	storm(&(struct storm){2, 1, 100});
	storm(&(struct storm){5, 4, 40});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kth_record_lost),
		cmocka_unit_test(all_but_every_kth_record_lost),
		cmocka_unit_test(stretches_lost),
	};
	int failed;

	catalogue = script_catalogue("catalogue lonelypsp.yaml\n");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	osp_catalogue_free(&catalogue);
	return failed;
}
