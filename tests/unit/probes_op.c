/*
 * The operation block as a program fills it, seen from inside: nobody is attached, so the stub is a
 * no-op and the step stays in the block's data where the test reads it. What a tracer sees of it is
 * tested by tests/probes/matrix.sh.
 */
#undef OUTSPAN_CHECKED /* the block as it is in programs */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "outspan/lonelypsp.h"
#include "bpf/event.h"
#include "probes/block.h"
#include "probes/catalogue.h"

static struct osp_catalogue *catalogue;

static uint32_t number_of(const char *probe)
{
	const struct osp_point *p = osp_catalogue_find_point(catalogue, "lonelypsp", probe);

	assert_non_null(p);
	return p->header;
}

static int load_catalogue(void **state)
{
	struct osp_catalogue_error error;

	(void)state;
	if (osp_catalogue_new(&catalogue))
		return -1;
	return osp_catalogue_read(catalogue, "probes/catalogue/lonelypsp.yaml", &error);
}

static int free_catalogue(void **state)
{
	(void)state;
	osp_catalogue_free(&catalogue);
	return 0;
}

static int nobody_wants(void **state)
{
	(void)state;
	memset(LONELYPSP_WANTED, 0, 4096);
	return 0;
}

static void want(const char *probe)
{
	LONELYPSP_WANTED[number_of(probe)] = 1;
}

/* Every point, but not the programs' own contexts. */
static void want_all(void)
{
	for (size_t i = 0; i < catalogue->point_count; i++)
		LONELYPSP_WANTED[i] = !catalogue->points[i]->control;
}

static const struct outspan_step *first_of(const struct outspan_op *op)
{
	return (const struct outspan_step *)(const void *)(op + 1);
}

/* The step that was stamped last; the end leaves its bytes where they were. */
static const struct outspan_step *step_of(const struct outspan_op *op)
{
	const struct outspan_step *step = first_of(op);

	while (step->sequence + 1 != op->sequence)
		step = (const struct outspan_step *)(const void *)((const char *)(step + 1) +
								   step->size);
	return step;
}

static const unsigned char *data_of(const struct outspan_op *op)
{
	return (const unsigned char *)(step_of(op) + 1);
}

static struct outspan_context context(uint8_t byte)
{
	struct outspan_context c;

	memset(&c, 0, sizeof(c));
	memset(c.trace_id, byte, sizeof(c.trace_id));
	memset(c.span_id, byte + 1, sizeof(c.span_id));
	c.flags = 1;
	c.valid = 1;
	return c;
}

/* ---- the context on the wire ----------------------------------------------------------------- */

static void context_has_a_fixed_form_on_the_wire(void **state)
{
	static const uint8_t expected[29] = {'o', 's', 'p', 1, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
					     7,	  7,   7,   7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8};
	struct outspan_context c = context(7), back;
	uint8_t wire[OUTSPAN_CONTEXT_SIZE];

	(void)state;
	assert_int_equal(outspan_context_write(wire, &c), 29);
	assert_memory_equal(wire, expected, 29);
	outspan_context_read(&back, wire, 29);
	assert_memory_equal(&back, &c, sizeof(c));
}

/* The highest flag asks for a report; it is no flag of the trace, and is not handed on. */
static void a_context_may_ask_for_a_report(void **state)
{
	struct outspan_context c = context(7), back;
	uint8_t wire[OUTSPAN_CONTEXT_SIZE];

	(void)state;
	c.asks = 1;
	assert_int_equal(outspan_context_write(wire, &c), 29);
	assert_int_equal(wire[4], 0x81);
	outspan_context_read(&back, wire, 29);
	assert_int_equal(back.asks, 1);
	assert_int_equal(back.flags, 1);
}

static void absent_context_writes_nothing(void **state)
{
	struct outspan_context c = context(7);
	uint8_t wire[OUTSPAN_CONTEXT_SIZE];

	(void)state;
	c.valid = 0;
	assert_int_equal(outspan_context_write(wire, &c), 0);
}

static void foreign_and_malformed_contexts_are_ignored(void **state)
{
	struct outspan_context c = context(7), back;
	uint8_t wire[64] = {0};

	(void)state;
	outspan_context_write(wire, &c);
	for (size_t size = 0; size < sizeof(wire); size++) {
		outspan_context_read(&back, wire, size);
		assert_int_equal(back.valid, size == 29);
	}
	outspan_context_read(&back, NULL, 0);
	assert_int_equal(back.valid, 0);
	for (size_t i = 0; i < 4; i++) { /* magic and version */
		wire[i] ^= 1;
		outspan_context_read(&back, wire, 29);
		assert_int_equal(back.valid, 0);
		wire[i] ^= 1;
	}
	memset(wire + 5, 0, 16);
	outspan_context_read(&back, wire, 29);
	assert_int_equal(back.valid, 0);
	memset(wire + 5, 1, 16);
	memset(wire + 21, 0, 8);
	outspan_context_read(&back, wire, 29);
	assert_int_equal(back.valid, 0);
	outspan_context_read(&back, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 29);
	assert_int_equal(back.valid, 0);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void unwanted_points_leave_the_block_alone(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct outspan_op before;
	struct lonelypsp_notify_start_first s0 = lonelypsp_notify_begin(&op);
	struct lonelypsp_notify_hashed s1;
	struct lonelypsp_notify_sending s2;

	(void)state;
	memset(op.data, 0xaa, sizeof(op.data));
	memcpy(&before, &op.head, sizeof(before));
	s1 = lonelypsp_notify__start_without_hash(s0, "t", 1, 5, false);
	s2 = lonelypsp_notify__hashed(s1);
	(void)s2;
	assert_memory_equal(&before, &op.head, sizeof(before));
	assert_int_equal(op.head.id, 0);
	for (size_t i = 0; i < sizeof(op.data); i++)
		assert_int_equal(op.data[i], 0xaa);
}

static int evaluated;

static const char *topic_with_work(void)
{
	evaluated++;
	return "topic";
}

static void arguments_are_computed_only_for_wanted_points(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_hashed s1;

	(void)state;
	evaluated = 0;
	s1 = lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&op), topic_with_work(), 5,
						  5, false);
	assert_int_equal(evaluated, 0);
	want("notify__start_without_hash");
	s1 = lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&op), topic_with_work(), 5,
						  5, false);
	assert_int_equal(evaluated, 1);
	(void)s1;
}

static void step_holds_the_arguments_in_the_order_of_the_catalogue(void **state)
{
	static const unsigned char expected[] = {
		7,   0,	  0,   0,   7,	 0,   0,   0, /* true size, kept size */
		'f', 'o', 'o', '/', 'b', 'a', 'r', 0, /* padded */
		5,   0,	  0,   0,   0,	 0,   0,   0, /* length */
		1,   0,	  0,   0,   0,	 0,   0,   0, /* filelike */
	};
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_start_first s0 = lonelypsp_notify_begin(&op);
	struct lonelypsp_notify_hashed s1;

	(void)state;
	want_all();
	memset(op.data, 0xaa, sizeof(op.data));
	s1 = lonelypsp_notify__start_without_hash(s0, "foo/bar", 7, 5, true);
	(void)s1;
	assert_memory_equal(data_of(&op.head), expected, sizeof(expected));
	assert_int_equal(step_of(&op.head)->size, sizeof(expected));
	assert_int_equal(step_of(&op.head)->sequence, 0);
	assert_int_equal(step_of(&op.head)->number, number_of("notify__start_without_hash"));
	assert_int_equal(step_of(&op.head)->flags, OUTSPAN_STEP_FIRED);
	assert_int_equal(op.head.sequence, 1);
	assert_int_equal(op.head.used, sizeof(struct outspan_op) + 24 + sizeof(expected));
	assert_int_equal(op.head.magic, OUTSPAN_MAGIC);
}

static void long_text_keeps_its_true_size(void **state)
{
	char topic[1000];
	uint32_t sizes[2];
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_hashed s1;

	(void)state;
	want_all();
	memset(topic, 'x', sizeof(topic));
	s1 = lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&op), topic, sizeof(topic),
						  5, true);
	(void)s1;
	memcpy(sizes, data_of(&op.head), 8);
	assert_int_equal(sizes[0], 1000);
	assert_int_equal(sizes[1], 256);
	assert_int_equal(step_of(&op.head)->size, 8 + 256 + 8 + 8);
}

/* A step is begun where it fits at its largest, else the block is handed over and cleared first. */
static void full_block_spills_before_the_next_step(void **state)
{
	char long_text[2000];
	struct {
		struct lonelypsp_subscribe_exact op;
		unsigned char behind[64];
	} x;
	const uint32_t head = sizeof(struct outspan_op),
		       largest = 24 + 4 * (8 + 256) + (8 + 64) + 8 + 32;
	struct outspan_context out;

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	memset(long_text, 'x', sizeof(long_text));
	memset(&x, 0xaa, sizeof(x));
	(void)lonelypsp_subscribe_exact_begin(&x.op).op;
	assert_true(sizeof(x.op) - head >= 2 * largest);
	for (uint32_t n = 0; n < 20; n++) {
		uint32_t before = x.op.head.used;
		bool spills = x.op.head.size - before < largest;

		(void)lonelypsp_subscribe_exact__sending_request(
			lonelypsp_subscribe_exact_at_change_sending(&x.op), long_text, 2000,
			long_text, 2000, long_text, 2000, long_text, 2000, long_text, 2000, &out)
			.op;
		assert_int_equal(x.op.head.used, (spills ? head : before) + largest);
		assert_int_equal(x.op.head.sequence, n + 1);
		if (spills) {
			assert_int_equal(first_of(&x.op.head)->sequence, n);
			assert_int_equal(first_of(&x.op.head)->size, largest - 24);
		}
	}
	for (size_t i = 0; i < sizeof(x.behind); i++)
		assert_int_equal(x.behind[i], 0xaa);
}

static size_t room_with_level(const char *level)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	char text[512];
	size_t room;

	snprintf(
		text, sizeof(text),
		"provider: p\nabi: 1\noperations: {o: {points: {go: {level: essential}, more: {level: "
		"%s, args: {n: u8}}, end: {level: essential}}, start: S, states: {S: {go: T}, T: "
		"{more: T, end: {end: ok}}}}}\n",
		level);
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(osp_catalogue_add(c, "f", text, strlen(text), &error), 0);
	room = osp_block_room(c->operations[0]);
	osp_catalogue_free(&c);
	return room;
}

/* Heads of 24 bytes, an argument of 8, and room for the largest step. */
static void blocks_repeat_the_steps_of_loops_that_are_recorded_as_a_rule(void **state)
{
	(void)state;
	assert_int_equal(room_with_level("detail"), 24 + 4 * 32 + 24 + 32);
	assert_int_equal(room_with_level("debug"), 24 + 32 + 24 + 32);
}

/* No operation has a step that its block cannot hold. */
static void blocks_hold_their_largest_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < catalogue->operation_count; i++) {
		const struct osp_operation *op = catalogue->operations[i];

		for (size_t k = 0; k < op->point_count; k++)
			assert_true(osp_block_step(op->points[k]) <= osp_block_room(op));
		assert_true(osp_block_room(op) <= OSP_EVENT_DATA && osp_block_room(op) % 8 == 0);
	}
}

static void steps_are_carried_until_the_end_clears_them(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	const struct outspan_step *step = first_of(&op.head);
	struct lonelypsp_notify_sending s;

	(void)state;
	want_all();
	s = lonelypsp_notify__hashed(
		lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&op), "t", 1, 5, true));
	(void)s;
	assert_int_equal(step->sequence, 0);
	step = (const struct outspan_step *)(const void *)((const char *)(step + 1) + step->size);
	assert_int_equal(step->sequence, 1);
	assert_int_equal(step->number, number_of("notify__hashed"));
	assert_int_equal(op.head.used, (const char *)(step + 1) - (const char *)&op);
	lonelypsp_notify_leave(&op, 0);
	assert_int_equal(op.head.used, sizeof(struct outspan_op));
	assert_int_equal(op.head.sequence, 3);
}

/* fire and carry are halves of one word; only fire says that the site traps. */
static void only_points_whose_sites_trap_are_fired(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)state;
	LONELYPSP_WANTED[number_of("notify__start_without_hash")] = 1 << 16;
	LONELYPSP_WANTED[number_of("notify__hashed")] = 1 << 16 | 2;
	(void)lonelypsp_notify__hashed(
		lonelypsp_notify__start_without_hash(lonelypsp_notify_begin(&op), "t", 1, 5, true))
		.op;
	assert_int_equal(first_of(&op.head)->flags, 0);
	assert_int_equal(step_of(&op.head)->flags, OUTSPAN_STEP_FIRED);
	LONELYPSP_WANTED[number_of("notify__exit")] = 1 << 16;
	lonelypsp_notify_leave(&op, 0);
	assert_int_equal(step_of(&op.head)->flags, 0);
	assert_int_equal(op.head.used, sizeof(struct outspan_op));
}

static void spans_are_numbered_as_they_open(void **state)
{
	struct lonelypsp_handle_notify op = LONELYPSP_HANDLE_NOTIFY_INIT;
	struct lonelypsp_handle_notify_trusted_notify_scan s;
	struct outspan_context out;

	(void)state;
	want_all();
	(void)lonelypsp_handle_notify_begin(&op).op;
	s = lonelypsp_handle_notify_at_trusted_notify_scan(&op);
	for (int i = 1; i <= 3; i++) {
		struct lonelypsp_handle_notify_trusted_notify_sending_receive s1 =
			lonelypsp_handle_notify__exact_subscriber_found(s, "u", 1);
		struct lonelypsp_handle_notify_trusted_notify_received_response s2 =
			lonelypsp_handle_notify__sending_receive(s1, "id", 2, &out);
		struct lonelypsp_handle_notify_trusted_notify_response_auth_result s3 =
			lonelypsp_handle_notify__response_received(s2, 200);

		assert_int_equal(step_of(&op.head)->nested, i);
		s = lonelypsp_handle_notify__receive_confirmed(s3, NULL, 1);
		assert_int_equal(step_of(&op.head)->nested, i);
	}
	op.head.nested = 65535; /* ids end here: later spans share the last number */
	(void)lonelypsp_handle_notify__exact_subscriber_found(s, "u", 1).op;
	assert_int_equal(op.head.nested, 65535);
}

/* ---- ids ------------------------------------------------------------------------------------- */

static uint64_t run_one(void)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false).op;
	return op.head.id;
}

static void ids_leave_room_for_the_nested_spans(void **state)
{
	uint64_t first, second;

	(void)state;
	assert_int_equal(run_one(), 0);
	want_all();
	first = run_one();
	second = run_one();
	assert_int_not_equal(first, 0);
	assert_int_equal(first & 0xffff, 0);
	assert_int_equal(second - first, 65536);
}

/* ---- contexts -------------------------------------------------------------------------------- */

static struct lonelypsp_notify_response_received send_one(struct lonelypsp_notify *op,
							  struct outspan_context *out)
{
	struct lonelypsp_notify_sending s =
		lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(op), "t", 1, 5, false);

	return lonelypsp_notify__sending_request(s, "b", 1, "id", 2, out);
}

static uint64_t number_in(const uint8_t bytes[8])
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | bytes[i];
	return n;
}

static void no_context_is_sent_that_nobody_asked_for(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct outspan_context out = context(1);
	uint32_t sizes[2];

	(void)state;
	(void)send_one(&op, &out).op;
	assert_int_equal(out.valid, 0);
	want_all(); /* traced, but without contexts */
	(void)send_one(&op, &out).op;
	assert_int_equal(out.valid, 0);
	memcpy(sizes, data_of(&op.head) + 16 + 16, 8);
	assert_int_equal(sizes[0], 0);
	assert_int_equal(sizes[1], 0);
}

/* Its protocol's implementation has no room for one: what came in is relayed as ever. */
static void silent_operation_sends_no_context_of_its_own(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_start_first s = lonelypsp_notify_begin(&op);
	struct outspan_context in = context(7), out = context(1);
	struct lonelypsp_notify_response_received r;

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	outspan_silence(&op.head);
	r = lonelypsp_notify__sending_request(
		lonelypsp_notify__start_with_hash(s, "t", 1, 5, false), "b", 1, "id", 2, &out);
	assert_int_equal(out.valid, 0);
	outspan_context_in(&op.head, &in); /* an answer: says nothing about our parent */
	assert_false(op.head.flags & OUTSPAN_HAS_CONTEXT);
	op.head.flags &= (uint16_t)~OUTSPAN_HAS_SENT;
	outspan_context_in(&op.head, &in);
	(void)lonelypsp_notify__sending_request(
		lonelypsp_notify__retrying(lonelypsp_notify__network_error(r)), "b", 1, "id", 2,
		&out)
		.op;
	assert_memory_equal(&out, &in, sizeof(in));
}

static void own_context_names_the_innermost_context_span(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct outspan_context first, second;
	struct lonelypsp_notify_response_received s;
	uint32_t sizes[2];

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	s = send_one(&op, &first);
	assert_int_equal(first.valid, 1);
	assert_int_equal(first.flags, 1);
	assert_int_equal(number_in(first.span_id), op.head.id + 1);
	assert_int_equal(number_in(first.trace_id + 8), op.head.id);
	memcpy(sizes, data_of(&op.head) + 32, 8);
	assert_int_equal(sizes[0], 25);
	assert_int_equal(sizes[1], 32);
	assert_memory_equal(data_of(&op.head) + 40, first.trace_id, 16);
	assert_memory_equal(data_of(&op.head) + 56, first.span_id, 8);
	{
		struct lonelypsp_notify_retry_determined r = lonelypsp_notify__network_error(s);
		struct lonelypsp_notify_sending again = lonelypsp_notify__retrying(r);

		(void)lonelypsp_notify__sending_request(again, "b", 1, "id", 2, &second).op;
	}
	assert_memory_equal(second.trace_id, first.trace_id, 16);
	assert_int_equal(number_in(second.span_id), op.head.id + 2);
}

static void block_names_its_trace_from_the_first_wanted_point_on(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct outspan_context sent;
	uint8_t before[16];

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false).op;
	memcpy(before, op.head.trace_id, sizeof(before));
	assert_int_equal(number_in(before), outspan_process_1.random);
	assert_int_equal(number_in(before + 8), op.head.id);
	(void)send_one(&op, &sent).op;
	assert_int_equal(number_in(sent.trace_id + 8), op.head.id);
	assert_memory_equal(sent.trace_id, op.head.trace_id, 16);
}

static void child_is_of_its_parents_trace(void **state)
{
	struct outspan_op parent, child;
	struct outspan_context in = {.valid = 1, .trace_id = {7}, .span_id = {8}};

	(void)state;
	outspan_begin(&parent, sizeof(parent), 0, 0);
	outspan_begin(&child, sizeof(child), 0, 0);
	outspan_take_id(&child);
	outspan_join(&child, &parent); /* which has no id yet */
	assert_int_equal(number_in(child.trace_id + 8), child.id);
	outspan_take_id(&parent);
	outspan_join(&child, &parent);
	assert_int_equal(number_in(child.trace_id + 8), parent.id);
	outspan_context_in(&child, &in);
	outspan_join(&child, &parent);
	assert_memory_equal(child.trace_id, in.trace_id, 16);
	outspan_join(&child, NULL);
}

static struct lonelypsp_handle_notify_trusted_notify_scan
accept_one(struct lonelypsp_handle_notify *op, const struct outspan_context *in)
{
	struct lonelypsp_handle_notify_auth_result s =
		lonelypsp_handle_notify__received(lonelypsp_handle_notify_begin(op));
	struct lonelypsp_handle_notify_auth_verified s1 =
		lonelypsp_handle_notify__auth_tentatively_accepted(s);

	return lonelypsp_handle_notify__auth_accepted(s1, "t", 1, 5, "id", 2, in);
}

static void incoming_context_is_relayed_untraced_as_it_was(void **state)
{
	struct lonelypsp_handle_notify op = LONELYPSP_HANDLE_NOTIFY_INIT;
	struct outspan_context in = context(3), out;
	struct lonelypsp_handle_notify_trusted_notify_scan s = accept_one(&op, &in);

	(void)state;
	in.flags = 0x81;
	s = accept_one(&op, &in);
	(void)lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify__exact_subscriber_found(s, "u", 1), "id", 2, &out)
		.op;
	assert_memory_equal(&out, &in, sizeof(in));
	assert_int_equal(op.head.id, 0);
}

static void relayed_context_is_no_evidence(void **state)
{
	struct lonelypsp_handle_notify op = LONELYPSP_HANDLE_NOTIFY_INIT;
	struct outspan_context in = context(3), out;
	uint32_t sizes[2];

	(void)state;
	want_all();
	(void)lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify__exact_subscriber_found(accept_one(&op, &in), "u", 1), "id",
		2, &out)
		.op;
	assert_memory_equal(&out, &in, sizeof(in));
	memcpy(sizes, data_of(&op.head) + 16, 8); /* behind the identifier */
	assert_int_equal(sizes[0], 0);
}

static void own_context_joins_the_incoming_trace(void **state)
{
	struct lonelypsp_handle_notify op = LONELYPSP_HANDLE_NOTIFY_INIT;
	struct outspan_context in = context(3), out, answer = context(9);
	struct lonelypsp_handle_notify_trusted_notify_received_response s;
	struct lonelypsp_handle_notify_sending_response last;

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	s = lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify__exact_subscriber_found(accept_one(&op, &in), "u", 1), "id",
		2, &out);
	assert_memory_equal(out.trace_id, in.trace_id, 16);
	assert_int_equal(number_in(out.span_id), op.head.id + 1);
	/* The subscriber's answer brings a context that is not the parent of ours. */
	last = lonelypsp_handle_notify__no_more_subscribers(
		lonelypsp_handle_notify__receive_confirmed(
			lonelypsp_handle_notify__response_received(s, 200), &answer, 1));
	lonelypsp_handle_notify__sending_response(last, &out);
	assert_memory_equal(out.trace_id, in.trace_id, 16);
	assert_int_equal(number_in(out.span_id), op.head.id);
}

static void span_whose_opening_was_not_wanted_has_no_context_of_its_own(void **state)
{
	struct lonelypsp_handle_notify op = LONELYPSP_HANDLE_NOTIFY_INIT;
	struct outspan_context out;
	struct lonelypsp_handle_notify_trusted_notify_scan s;
	struct lonelypsp_handle_notify_trusted_notify_received_response s1;

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	s1 = lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify__exact_subscriber_found(accept_one(&op, NULL), "u", 1),
		"id", 2, &out);
	s = lonelypsp_handle_notify__receive_confirmed(
		lonelypsp_handle_notify__response_received(s1, 200), NULL, 1);
	LONELYPSP_WANTED[number_of("handle_notify__exact_subscriber_found")] = 0;
	(void)lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify__exact_subscriber_found(s, "u", 1), "id", 2, &out)
		.op;
	assert_int_equal(number_in(out.span_id), op.head.id);
}

static void invalid_context_is_not_remembered(void **state)
{
	struct lonelypsp_handle_notify op = LONELYPSP_HANDLE_NOTIFY_INIT;
	struct outspan_context in = context(3), out;

	(void)state;
	in.valid = 0;
	(void)lonelypsp_handle_notify__sending_receive(
		lonelypsp_handle_notify__exact_subscriber_found(accept_one(&op, &in), "u", 1), "id",
		2, &out)
		.op;
	assert_int_equal(out.valid, 0);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void leave_fires_exit_once_and_only_without_an_end(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)state;
	want_all();
	lonelypsp_notify_leave(&op, 5); /* never begun */
	assert_int_equal(op.head.sequence, 0);

	(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false).op;
	lonelypsp_notify_leave(&op, -5);
	assert_int_equal(op.head.sequence, 2);
	assert_int_equal(step_of(&op.head)->number, number_of("notify__exit"));
	assert_memory_equal(data_of(&op.head), "\xfb\xff\xff\xff\xff\xff\xff\xff", 8);
	lonelypsp_notify_leave(&op, 5);
	assert_int_equal(op.head.sequence, 2);

	(void)lonelypsp_notify_begin(&op).op;
	lonelypsp_notify__retries_exhausted(lonelypsp_notify_at_retry_determined(&op));
	assert_int_equal(op.head.sequence, 1);
	lonelypsp_notify_leave(&op, 5);
	assert_int_equal(op.head.sequence, 1);
}

static void unwanted_end_disarms_the_block(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)state;
	(void)lonelypsp_notify_begin(&op).op;
	lonelypsp_notify__retries_exhausted(lonelypsp_notify_at_retry_determined(&op));
	want_all();
	lonelypsp_notify_leave(&op, 5);
	assert_int_equal(op.head.sequence, 0);
}

static const struct outspan_op *scoped(bool begin, uint32_t *sequence)
{
	static struct lonelypsp_notify copy;
	LONELYPSP_NOTIFY_SCOPE(op);

	if (begin)
		(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5,
							false)
			.op;
	*sequence = op.head.magic == OUTSPAN_MAGIC;
	copy = op;
	return &copy.head;
}

static void scope_begins_disarmed(void **state)
{
	uint32_t armed = 2;

	(void)state;
	want_all();
	(void)scoped(false, &armed);
	assert_int_equal(armed, 0);
	(void)scoped(true, &armed);
	assert_int_equal(armed, 1);
}

static void points_of_a_block_never_begun_stamp_nothing(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct outspan_context out;

	(void)state;
	want_all();
	LONELYPSP_WANTED[number_of("context")] = 1;
	(void)lonelypsp_notify__sending_request(lonelypsp_notify_at_sending(&op), "b", 1, "id", 2,
						&out)
		.op;
	assert_int_equal(out.valid, 0);
	assert_int_equal(op.head.sequence, 0);
	assert_int_equal(op.head.id, 0);
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* Runs the check in a forked child; 0 = fine. */
static void in_child(int (*check)(struct lonelypsp_notify *), struct lonelypsp_notify *op)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(check(op));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int copy_is_marked(struct lonelypsp_notify *op)
{
	uint64_t id = op->head.id;
	struct outspan_context out;

	LONELYPSP_WANTED[number_of("context")] = 1;
	(void)lonelypsp_notify__sending_request(lonelypsp_notify_at_sending(op), "b", 1, "id", 2,
						&out)
		.op;
	if (step_of(&op->head)->flags != (OUTSPAN_STEP_FORKED | OUTSPAN_STEP_FIRED))
		return 1;
	if (out.valid) /* it would name a span of the parent's */
		return 2;
	return op->head.id == id ? 0 : 3;
}

static void copy_of_an_operation_belongs_to_the_parent(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct outspan_context out;

	(void)state;
	want_all();
	(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false).op;
	in_child(copy_is_marked, &op);
	(void)lonelypsp_notify__sending_request(lonelypsp_notify_at_sending(&op), "b", 1, "id", 2,
						&out)
		.op;
	assert_int_equal(step_of(&op.head)->flags, OUTSPAN_STEP_FIRED);
}

static int child_has_ids_of_its_own(struct lonelypsp_notify *op)
{
	uint64_t before = op->head.id, mine = run_one();

	if (!mine || mine - before == 65536 || before - mine == 65536)
		return 1;
	return (mine & 0xffff) == 0 ? 0 : 2;
}

static void forked_child_takes_ids_from_a_base_of_its_own(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)state;
	want_all();
	(void)lonelypsp_notify__start_with_hash(lonelypsp_notify_begin(&op), "t", 1, 5, false).op;
	in_child(child_has_ids_of_its_own, &op);
}

static int copy_without_id_takes_none(struct lonelypsp_notify *op)
{
	want_all();
	(void)lonelypsp_notify__hashed(lonelypsp_notify_at_hashed(op)).op;
	return op->head.id == 0 && step_of(&op->head)->flags & OUTSPAN_STEP_FORKED ? 0 : 1;
}

static void copy_that_had_no_id_takes_none(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;

	(void)state;
	(void)lonelypsp_notify_begin(&op).op;
	in_child(copy_without_id_takes_none, &op);
}

/* ---- branches -------------------------------------------------------------------------------- */

static struct lonelypsp_notify_from_response_received
answer(struct lonelypsp_notify_response_received s, int status)
{
	if (status)
		return lonelypsp_notify_from_response_received_to_response_auth_result(
			lonelypsp_notify__response_received(s, (uint16_t)status));
	return lonelypsp_notify_from_response_received_to_retry_determined(
		lonelypsp_notify__network_error(s));
}

static void branch_says_which_way_was_taken(void **state)
{
	struct lonelypsp_notify op = LONELYPSP_NOTIFY_INIT;
	struct lonelypsp_notify_from_response_received b;

	(void)state;
	(void)lonelypsp_notify_begin(&op).op;
	b = answer(lonelypsp_notify_at_response_received(&op), 200);
	assert_int_equal(b.to, LONELYPSP_NOTIFY_FROM_RESPONSE_RECEIVED_TO_RESPONSE_AUTH_RESULT);
	assert_ptr_equal(b.response_auth_result_.op, &op.head);
	b = answer(lonelypsp_notify_at_response_received(&op), 0);
	assert_int_equal(b.to, LONELYPSP_NOTIFY_FROM_RESPONSE_RECEIVED_TO_RETRY_DETERMINED);
	assert_ptr_equal(b.retry_determined_.op, &op.head);
}

/* The layout that the kernel side reads. */
static void block_and_step_have_the_layout_of_the_abi(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct outspan_op), 72);
	assert_int_equal(sizeof(struct outspan_step), sizeof(struct osp_record_step));
	assert_int_equal(offsetof(struct outspan_step, sequence),
			 offsetof(struct osp_record_step, sequence));
	assert_int_equal(offsetof(struct outspan_step, number),
			 offsetof(struct osp_record_step, number));
	assert_int_equal(offsetof(struct outspan_step, nested),
			 offsetof(struct osp_record_step, nested));
	assert_int_equal(offsetof(struct outspan_step, size),
			 offsetof(struct osp_record_step, size));
	assert_int_equal(offsetof(struct outspan_step, flags),
			 offsetof(struct osp_record_step, flags));
	assert_int_equal((int)OUTSPAN_STEP_FORKED, (int)OSP_STEP_FORKED);
	assert_int_equal((int)OUTSPAN_STEP_FIRED, (int)OSP_STEP_FIRED);
	assert_int_equal(offsetof(struct outspan_op, id), 8);
	assert_int_equal(offsetof(struct outspan_op, owner), 16);
	assert_int_equal(offsetof(struct outspan_op, used), 24);
	assert_int_equal(offsetof(struct outspan_op, nested), 32);
	assert_int_equal(offsetof(struct outspan_op, trace_id), 40);
	assert_int_equal(offsetof(struct osp_block_head, trace_id), 40);
	assert_int_equal(offsetof(struct outspan_op, flags),
			 offsetof(struct osp_block_head, flags));
	assert_int_equal(offsetof(struct outspan_op, id), offsetof(struct osp_block_head, id));
	assert_int_equal((int)OUTSPAN_MAGIC, (int)OSP_BLOCK_MAGIC);
	assert_int_equal((int)OUTSPAN_HAS_CONTEXT, (int)OSP_BLOCK_HAS_CONTEXT);
	assert_int_equal((int)OUTSPAN_HAS_SENT, (int)OSP_BLOCK_HAS_SENT);
	assert_int_equal(offsetof(struct lonelypsp_notify, data), 72);
	assert_int_equal((uintptr_t)LONELYPSP_WANTED % 4096, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, nobody_wants)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(context_has_a_fixed_form_on_the_wire),
		TEST(a_context_may_ask_for_a_report),
		TEST(absent_context_writes_nothing),
		TEST(foreign_and_malformed_contexts_are_ignored),
		TEST(unwanted_points_leave_the_block_alone),
		TEST(arguments_are_computed_only_for_wanted_points),
		TEST(step_holds_the_arguments_in_the_order_of_the_catalogue),
		TEST(long_text_keeps_its_true_size),
		TEST(full_block_spills_before_the_next_step),
		TEST(blocks_repeat_the_steps_of_loops_that_are_recorded_as_a_rule),
		TEST(blocks_hold_their_largest_step),
		TEST(steps_are_carried_until_the_end_clears_them),
		TEST(only_points_whose_sites_trap_are_fired),
		TEST(spans_are_numbered_as_they_open),
		TEST(ids_leave_room_for_the_nested_spans),
		TEST(no_context_is_sent_that_nobody_asked_for),
		TEST(silent_operation_sends_no_context_of_its_own),
		TEST(own_context_names_the_innermost_context_span),
		TEST(block_names_its_trace_from_the_first_wanted_point_on),
		TEST(child_is_of_its_parents_trace),
		TEST(incoming_context_is_relayed_untraced_as_it_was),
		TEST(relayed_context_is_no_evidence),
		TEST(own_context_joins_the_incoming_trace),
		TEST(span_whose_opening_was_not_wanted_has_no_context_of_its_own),
		TEST(invalid_context_is_not_remembered),
		TEST(leave_fires_exit_once_and_only_without_an_end),
		TEST(unwanted_end_disarms_the_block),
		TEST(scope_begins_disarmed),
		TEST(points_of_a_block_never_begun_stamp_nothing),
		TEST(copy_of_an_operation_belongs_to_the_parent),
		TEST(forked_child_takes_ids_from_a_base_of_its_own),
		TEST(copy_that_had_no_id_takes_none),
		TEST(branch_says_which_way_was_taken),
		TEST(block_and_step_have_the_layout_of_the_abi),
	};

	return cmocka_run_group_tests(tests, load_catalogue, free_catalogue);
}
