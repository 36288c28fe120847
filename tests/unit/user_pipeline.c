/* The pipeline's bounds, its errors, its start parts and its books, on small scripts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/play.h"
#include "tests/support/script.h"
#include "tests/support/tree.h"

static struct osp_catalogue *catalogue;

static int load(void **state)
{
	(void)state;
	catalogue = script_catalogue("catalogue lonelypsp.yaml works.yaml tasks.yaml\n");
	return 0;
}

static int unload(void **state)
{
	(void)state;
	osp_catalogue_free(&catalogue);
	return 0;
}

static bool says(const char *text, const char *what)
{
	return strstr(text, what);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void more_open_operations_than_allowed_are_refused_and_counted(void **state)
{
	char *tree = play_tree(catalogue, "limits",
			       "limits operations=2\n"
			       "1 op=a notify.start_with_hash topic=a\n"
			       "1 op=b notify.start_with_hash topic=b\n"
			       "1 op=c notify.start_with_hash topic=c\n"
			       "1 op=c notify.exit\n"
			       "1 op=a notify.exit\n"
			       "1 op=d notify.start_with_hash topic=d\n"
			       "counters\nstop\n");

	(void)state;
	assert_int_equal(count(tree, "publish"), 3);
	assert_true(says(tree, "notify__start_with_hash hits 4 stored 3 operations_full 1\n"));
	assert_true(says(tree, "notify__exit hits 2 stored 1 operations_full 1\n"));
	free(tree);
}

static void more_steps_than_allowed_are_refused_and_the_operation_marked(void **state)
{
	char *tree = play_tree(catalogue, "limits",
			       "limits steps=3\n"
			       "1 op=a notify.start_with_hash topic=a\n"
			       "1 op=a notify.sending_request\n"
			       "1 op=a notify.network_error\n"
			       "1 op=a notify.waiting_to_retry\n"
			       "1 op=a notify.retries_exhausted\n"
			       "counters\nstop\n");

	(void)state;
	assert_true(says(tree, "error retries_exhausted [may-be-cut]"));
	assert_true(says(tree, "notify__waiting_to_retry hits 1 stored 0 steps_full 1\n"));
	assert_true(says(tree, "notify__retries_exhausted hits 1 stored 0 steps_full 1\n"));
	free(tree);
}

static void the_oldest_link_end_is_evicted_first(void **state)
{
	char *tree =
		play_tree(catalogue, "limits",
			  "limits links=3\n"
			  "1 op=a notify.start_with_hash topic=t\n"
			  "1 op=a notify.sending_request identifier=1 context=c1\n"
			  "1 op=b notify.start_with_hash topic=t\n"
			  "1 op=b notify.sending_request identifier=2 context=c2\n"
			  "1 op=c notify.start_with_hash topic=t\n"
			  "1 op=c notify.sending_request identifier=3 context=c3\n"
			  "2 op=ha handle_notify.received\n"
			  "2 op=ha handle_notify.auth_tentatively_accepted\n"
			  "2 op=ha handle_notify.auth_accepted topic=t identifier=1 context=c1\n"
			  "2 op=hc handle_notify.received\n"
			  "2 op=hc handle_notify.auth_tentatively_accepted\n"
			  "2 op=hc handle_notify.auth_accepted topic=t identifier=3 context=c3\n"
			  "stop\n");

	(void)state;
	assert_int_equal(count(tree, "via publish trace_context exact"), 1);
	assert_int_equal(count(tree, "\ntrace "), 4);
	free(tree);
}

static void a_flood_of_equal_evidence_stays_bounded(void **state)
{
	char *script = NULL, *tree;
	size_t size;
	FILE *out = open_memstream(&script, &size);

	(void)state;
	for (int i = 0; i < 100; i++)
		fprintf(out,
			"1 op=a%d notify.start_with_hash topic=t\n"
			"1 op=a%d notify.sending_request identifier=1\n"
			"1 op=a%d notify.exit\n"
			"2 op=h%d handle_notify.received\n"
			"2 op=h%d handle_notify.auth_tentatively_accepted\n"
			"2 op=h%d handle_notify.auth_accepted topic=t identifier=1\n"
			"2 op=h%d handle_notify.exit\n",
			i, i, i, i, i, i, i);
	fprintf(out, "counters\nstop\n");
	fclose(out);
	tree = play_tree(catalogue, "flood", script);
	assert_int_equal(count(tree, " via publish message_id strong"), 0);
	assert_true(count(tree, "\nambiguous ") <= 100 * 2 * 16);
	assert_true(count(tree, "\nambiguous ") >= 100 * 16);
	assert_int_equal(count(tree, "\ntrace "), 200);
	free(tree);
	free(script);
}

static void long_operations_come_as_start_parts_when_they_changed(void **state)
{
	char *log = play_log(catalogue, "parts",
			     "1 @1s op=a notify.start_with_hash topic=a\n"
			     "tick @5999ms\n"
			     "tick @6s\n"
			     "tick @11s\n"
			     "1 @12s op=a notify.sending_request broadcaster=b\n"
			     "tick @16s\n"
			     "1 @17s op=a notify.exit\n"
			     "stop\n");

	(void)state;
	assert_int_equal(count(log, " start lonelypsp"), 2);
	assert_int_equal(count(log, " complete lonelypsp"), 1);
	/* The first shows one step and that it is not complete, the second both. */
	assert_true(says(log, "\"publish a\" 4 1000000000 1000000000 0 - 1\n"));
	assert_true(says(log, "\"publish a\" 4 1000000000 12000000000 0 - 1\n"));
	assert_true(says(log, "\"publish a\" 4 1000000000 17000000000 2 - 0\n"));
	free(log);
}

static void a_linked_row_that_was_stored_is_moved_by_a_patch(void **state)
{
	char *log = play_log(catalogue, "patch",
			     "1 op=a notify.start_with_hash topic=t\n"
			     "2 op=h handle_notify.received\n"
			     "2 op=h handle_notify.auth_tentatively_accepted\n"
			     "2 op=h handle_notify.auth_accepted topic=t identifier=1 context=c\n"
			     "2 op=h handle_notify.no_more_subscribers\n"
			     "2 op=h handle_notify.sending_response\n"
			     "1 op=a notify.sending_request identifier=1 context=c\n"
			     "1 op=a notify.exit\n"
			     "stop\n");

	(void)state;
	assert_true(says(log, "row 2000000020000 trace 2"));
	assert_true(says(log, "patch 2000000020000 1 0\n"));
	assert_true(says(log, "row 1000000010000 trace 1"));
	free(log);
}

static void the_books_close_whenever_they_are_settled(void **state)
{
	char *log = play_settled_log(catalogue, "books",
				     "1 @1s op=a notify.start_with_hash topic=a\n"
				     "1 op=a notify.exit dropped\n"
				     "1 op=b notify.exit\n"
				     "tick @2s\n");

	(void)state;
	/* notify__exit: one stored, one lost; the start is in no row yet, and so is no hit. */
	assert_int_equal(count(log, "notify__start_with_hash"), 0);
	assert_int_equal(count(log, "notify__exit 2 1 ring_full 1\n"), 1);
	assert_int_equal(count(log, "notify__exit"), 1);
	free(log);
}

static void books_that_nobody_settles_are_not_told_before_the_end(void **state)
{
	char *log = play_log(catalogue, "books",
			     "1 @1s op=a notify.start_with_hash topic=a\n"
			     "1 op=a notify.exit\n"
			     "tick @20s\n"
			     "stop\n");

	(void)state;
	assert_int_equal(count(log, "notify__exit"), 1);
	free(log);
}

static int refuse(void *arg, const struct osp_part *part)
{
	int *left = arg;

	(void)part;
	return (*left)-- > 0 ? 0 : -ENOSPC;
}

static int keep_error(void *arg, const struct osp_input *in)
{
	return osp_pipeline_push(arg, in);
}

static void the_sinks_error_comes_back_and_stays(void **state)
{
	char *events = script_read("tests/golden/publish.events");

	(void)state;
	for (int parts = 0; parts < 40; parts++) {
		struct osp_input tick = {.kind = OSP_INPUT_TICK, .time_ns = 1};
		struct osp_pipeline *p;
		struct script *s;
		int left = parts, r;

		assert_int_equal(osp_pipeline_new(&p, catalogue, NULL, refuse, &left), 0);
		s = script_new(catalogue, "publish", keep_error, p);
		r = script_text(s, events);
		assert_true(r == -ENOSPC || (!r && left >= 0));
		assert_int_equal(osp_pipeline_push(p, &tick), r);
		script_free(&s);
		osp_pipeline_free(&p);
	}
	free(events);
}

static int ignore(void *arg, const struct osp_part *part)
{
	(void)arg;
	(void)part;
	return 0;
}

static void senseless_inputs_are_counted(void **state)
{
	struct {
		struct osp_record record;
		uint8_t data[16];
	} r = {{.kind = OSP_RECORD_STEP, .point = 0xffff, .process = 1}, {0}};
	struct osp_input in = {.kind = OSP_INPUT_RECORD, .record = &r.record, .size = 8};
	struct osp_pipeline_stats stats;
	struct osp_pipeline *p;

	(void)state;
	assert_int_equal(osp_pipeline_new(&p, catalogue, NULL, ignore, NULL), 0);
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	in.size = sizeof(r);
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	r.record.process = UINT32_MAX;
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	r.record.kind = 99;
	r.record.process = 1;
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	r.record.time_ns = UINT64_MAX;
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	in.kind = (enum osp_input_kind)77;
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	in.time_ns = -1;
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	osp_pipeline_stats(p, &stats);
	assert_int_equal(stats.evicted, 0);
	assert_int_equal(stats.bad, 7);
	assert_int_equal(stats.lost[OSP_LOSS_DECODE], 0);
	osp_pipeline_free(&p);
}

static void a_malformed_step_is_a_loss_of_its_point(void **state)
{
	const struct osp_point *point = NULL;
	struct osp_record r = {.kind = OSP_RECORD_STEP, .process = 1, .op_id = 65536};
	struct osp_input in = {.kind = OSP_INPUT_RECORD, .record = &r, .size = sizeof(r)};
	struct osp_input stop = {.kind = OSP_INPUT_STOP, .time_ns = 5};
	struct tree *tree = tree_new();
	struct osp_pipeline *p;
	char *text;

	(void)state;
	point = osp_catalogue_find_point(catalogue, "lonelypsp", "notify__start_with_hash");
	assert_non_null(point);
	r.point = point->number;
	assert_int_equal(osp_pipeline_new(&p, catalogue, NULL, tree_sink, tree), 0);
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	assert_int_equal(osp_pipeline_push(p, &stop), 0);
	text = tree_text(tree);
	assert_true(says(text, "notify__start_with_hash hits 1 stored 0 decode_error 1\n"));
	free(text);
	osp_pipeline_free(&p);
	tree_free(&tree);
}

/* Programs may say anything, and what lies between two ids belongs to the first one's nested spans. */
static void a_step_of_an_operation_that_cannot_be_is_a_loss(void **state)
{
	static const uint64_t ids[] = {0, 8, 65535, 65537, UINT64_MAX};
	const struct osp_point *point =
		osp_catalogue_find_point(catalogue, "tasks", "request__queued");
	struct osp_record r = {.kind = OSP_RECORD_STEP, .process = 1, .point = point->number};
	struct osp_input in = {.kind = OSP_INPUT_RECORD, .record = &r, .size = sizeof(r)};
	struct osp_pipeline_stats stats;
	struct osp_pipeline *p;

	(void)state;
	assert_int_equal(osp_pipeline_new(&p, catalogue, NULL, ignore, NULL), 0);
	for (r.ordinal = 0; r.ordinal < sizeof(ids) / sizeof(*ids); r.ordinal++) {
		r.op_id = ids[r.ordinal];
		assert_int_equal(osp_pipeline_push(p, &in), 0);
	}
	osp_pipeline_stats(p, &stats);
	assert_int_equal(stats.lost[OSP_LOSS_DECODE], sizeof(ids) / sizeof(*ids));
	assert_int_equal(stats.open, 0);
	osp_pipeline_free(&p);
}

static void a_step_that_comes_twice_is_stored_once(void **state)
{
	uint64_t bytes[(sizeof(struct osp_record) + 64) / 8] = {0};
	struct osp_record *r = (struct osp_record *)bytes;
	const struct osp_point *point =
		osp_catalogue_find_point(catalogue, "tasks", "request__queued");
	struct osp_input in = {.kind = OSP_INPUT_RECORD, .record = r, .size = sizeof(*r)};
	struct osp_pipeline_stats stats;
	struct osp_pipeline *p;

	(void)state;
	*r = (struct osp_record){.kind = OSP_RECORD_STEP,
				 .process = 1,
				 .op_id = 65536,
				 .point = point->number,
				 .sequence = 4};
	assert_int_equal(osp_pipeline_new(&p, catalogue, NULL, ignore, NULL), 0);
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	r->ordinal = 1;
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	osp_pipeline_stats(p, &stats);
	assert_int_equal(stats.lost[OSP_LOSS_DUPLICATE], 1);
	osp_pipeline_free(&p);
}

/* Rows by their order of arrival: complete ones are counted, and compared with what is due. */
struct rows {
	uint64_t complete, steps;
	bool in_order; /* their ids rise */
	uint64_t last;
};

static int count_row(void *arg, const struct osp_part *part)
{
	struct rows *rows = arg;

	if (part->kind != OSP_PART_ROW || !part->row.complete)
		return 0;
	rows->complete++;
	rows->steps += part->row.step_count;
	rows->in_order = rows->in_order && part->row.id > rows->last;
	rows->last = part->row.id;
	return 0;
}

static int push_plain_step(struct osp_pipeline *p, const char *probe, uint64_t op,
			   uint32_t sequence)
{
	static uint64_t ordinals[OSP_CATALOGUE_POINTS];
	const struct osp_point *point = osp_catalogue_find_point(catalogue, "lonelypsp", probe);
	struct osp_record r = {.kind = OSP_RECORD_STEP,
			       .time_ns = 1000000 + op + sequence * 1000000,
			       .pid = 100,
			       .process = 1,
			       .ordinal = ordinals[point->number]++,
			       .point = point->number,
			       .op_id = op * 65536,
			       .sequence = sequence};
	struct osp_input in = {.kind = OSP_INPUT_RECORD, .record = &r, .size = sizeof(r)};

	return osp_pipeline_push(p, &in);
}

/* All open at once; they go on and end in an order of their own. */
static void a_hundred_thousand_operations_can_be_open(void **state)
{
	enum { MANY = 100000, STRIDE = 70001 /* prime to MANY: comes by all of them */ };
	const struct osp_pipeline_limits limits = {.operations = MANY};
	struct osp_input stop = {.kind = OSP_INPUT_STOP, .time_ns = 4000000000};
	struct rows rows = {.in_order = true};
	struct osp_pipeline_stats stats;
	struct osp_pipeline *p;

	(void)state;
	assert_int_equal(osp_pipeline_new(&p, catalogue, &limits, count_row, &rows), 0);
	for (uint64_t op = 1; op <= MANY; op++)
		assert_int_equal(push_plain_step(p, "handle_notify__received", op, 0), 0);
	assert_int_equal(push_plain_step(p, "handle_notify__received", MANY + 1, 0), 0);
	osp_pipeline_stats(p, &stats);
	assert_int_equal(stats.open, MANY);
	assert_int_equal(stats.lost[OSP_LOSS_OPERATIONS_FULL], 1);
	for (uint64_t i = 0; i < MANY; i++)
		push_plain_step(p, "handle_notify__auth_tentatively_accepted",
				i * STRIDE % MANY + 1, 1);
	assert_int_equal(rows.complete, 0);
	for (uint64_t op = 1; op <= MANY; op++)
		push_plain_step(p, "handle_notify__auth_mismatch", op, 2);
	assert_int_equal(rows.complete, MANY);
	assert_int_equal(rows.steps, 3 * MANY);
	assert_true(rows.in_order);
	/* The operations closed last are known to be over, not taken for new ones. */
	for (uint64_t op = MANY; op > MANY - 1000; op--)
		push_plain_step(p, "handle_notify__received", op, 3);
	assert_int_equal(osp_pipeline_push(p, &stop), 0);
	osp_pipeline_stats(p, &stats);
	assert_int_equal(stats.open, 0);
	assert_int_equal(stats.unexpected, 0);
	assert_int_equal(stats.lost[OSP_LOSS_LATE], 1000);
	assert_int_equal(rows.complete, MANY);
	osp_pipeline_free(&p);
}

/* Ends go in the order in which they came, however many there were before. */
static void link_ends_are_forgotten_in_their_order(void **state)
{
	enum { LINKS = 50, MESSAGES = 500 };
	char *script = NULL, *tree;
	size_t size;
	FILE *out = open_memstream(&script, &size);

	(void)state;
	fprintf(out, "limits links=%d\n", LINKS);
	for (int i = 0; i < MESSAGES; i++)
		fprintf(out,
			"1 op=a%d notify.start_with_hash topic=t\n"
			"1 op=a%d notify.sending_request context=c%d\n",
			i, i, i);
	/* The newest LINKS - 1 are still there when the first of these comes, and so on. */
	for (int i = MESSAGES - 1; i >= MESSAGES - LINKS; i--)
		fprintf(out,
			"2 op=h%d handle_notify.received\n"
			"2 op=h%d handle_notify.auth_tentatively_accepted\n"
			"2 op=h%d handle_notify.auth_accepted topic=t context=c%d\n",
			i, i, i, i);
	fprintf(out, "stop\n");
	fclose(out);
	tree = play_tree(catalogue, "order", script);
	/* Each new end costs the oldest: from both sides they meet in the middle. */
	assert_int_equal(count(tree, "via publish trace_context exact"), LINKS / 2);
	free(tree);
	free(script);
}

static void slot_zero_has_counters_and_nothing_else(void **state)
{
	struct osp_record r = {.kind = OSP_RECORD_EXEC, .pid = 5};
	struct osp_input exec = {.kind = OSP_INPUT_RECORD, .record = &r, .size = sizeof(r)};
	struct osp_input in = {
		.kind = OSP_INPUT_COUNTERS,
		.counters = {0, 0, {.hits = 3, .lost[OSP_LOSS_TABLE_FULL] = 3}, true}};
	struct osp_input stop = {.kind = OSP_INPUT_STOP, .time_ns = 5};
	struct tree *tree = tree_new();
	struct osp_pipeline *p;
	char *text;

	(void)state;
	assert_int_equal(osp_pipeline_new(&p, catalogue, NULL, tree_sink, tree), 0);
	assert_int_equal(osp_pipeline_push(p, &exec), 0);
	assert_int_equal(osp_pipeline_push(p, &in), 0);
	assert_int_equal(osp_pipeline_push(p, &stop), 0);
	text = tree_text(tree);
	assert_false(says(text, "process"));
	assert_true(says(text, "loss p0 "));
	assert_true(says(text, "hits 3 stored 0 table_full 3\n"));
	free(text);
	osp_pipeline_free(&p);
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_open_operations_than_allowed_are_refused_and_counted),
		cmocka_unit_test(more_steps_than_allowed_are_refused_and_the_operation_marked),
		cmocka_unit_test(the_oldest_link_end_is_evicted_first),
		cmocka_unit_test(a_flood_of_equal_evidence_stays_bounded),
		cmocka_unit_test(long_operations_come_as_start_parts_when_they_changed),
		cmocka_unit_test(a_linked_row_that_was_stored_is_moved_by_a_patch),
		cmocka_unit_test(the_books_close_whenever_they_are_settled),
		cmocka_unit_test(books_that_nobody_settles_are_not_told_before_the_end),
		cmocka_unit_test(the_sinks_error_comes_back_and_stays),
		cmocka_unit_test(senseless_inputs_are_counted),
		cmocka_unit_test(a_malformed_step_is_a_loss_of_its_point),
		cmocka_unit_test(a_step_of_an_operation_that_cannot_be_is_a_loss),
		cmocka_unit_test(a_step_that_comes_twice_is_stored_once),
		cmocka_unit_test(a_hundred_thousand_operations_can_be_open),
		cmocka_unit_test(link_ends_are_forgotten_in_their_order),
		cmocka_unit_test(slot_zero_has_counters_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
