/*
 * Properties of the state sets, over every good sequence of the catalogue's operations: whatever
 * is cut off at the front, lost in the middle, or not attached, no step is falsely unexpected;
 * two steps in the wrong order are always found; and the records of different operations may come
 * in any order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/play.h"
#include "tests/support/script.h"

enum { STEPS = 64, LINES = 256 };

static const char *const sequences[] = {
	"notify start_without_hash hashed sending_request response_received "
	"response_notify_accepted",
	"notify start_without_hash hashed sending_request network_error retrying sending_request "
	"network_error waiting_to_retry retrying sending_request network_error retrying "
	"sending_request network_error retries_exhausted",
	"notify start_with_hash sending_request response_received bad_response waiting_to_retry "
	"retrying sending_request response_received bad_auth_result retry_prevented",
	"notify start_with_hash sending_request exit",
	"handle_notify received auth_tentatively_accepted auth_accepted exact_subscriber_found "
	"sending_receive response_received receive_confirmed exact_subscriber_found "
	"sending_receive response_received receive_confirmed glob_subscriber_found "
	"sending_receive response_received receive_confirmed no_more_subscribers "
	"sending_response",
	"handle_notify received auth_tentatively_accepted auth_accepted exact_subscriber_found "
	"sending_receive network_error handle_missed_start handle_missed_success "
	"glob_subscriber_found sending_receive response_received "
	"unsubscribe_immediate_requested unsubscribe_immediate_success exact_subscriber_found "
	"sending_receive response_received bad_receive_response handle_missed_start "
	"handle_missed_skipped no_more_subscribers sending_response",
	"handle_notify received auth_tentatively_accepted auth_mismatch",
	"handle_notify received bad_auth_result",
	"receive received request_parsed auth_tentatively_accepted auth_accepted handler_start "
	"handler_buffered handler_done handler_start handler_error no_more_handlers "
	"sending_response",
	"receive received request_parsed auth_tentatively_accepted hash_mismatch",
	"subscribe_exact start use_direct lock_acquired sending_request network_error retrying "
	"sending_request response_received response_generic_accepted",
	"subscribe_glob start use_bulk lock_acquired bulk_accepted",
	"unsubscribe_exact start refcount_only",
	"handle_subscribe_glob received auth_accepted stored sending_response",
	"handle_unsubscribe_exact received auth_accepted not_subscribed",
	"receive_for_websockets received request_parsed auth_tentatively_accepted auth_accepted "
	"websocket_matched queued_small websocket_matched queued_large large_released "
	"websocket_matched not_queued no_more_websockets sending_response",
	"receive_for_websockets received request_parsed topic_irrelevant",
	"receive_for_websockets received wrong_url",
	"set_subscriptions start etag_computed sending_request response_received retryable_status "
	"retrying sending_request response_received response_set_accepted",
	"set_subscriptions start etag_computed sending_request response_received refused_status",
	"handle_set_subscriptions received auth_tentatively_accepted auth_accepted set_done "
	"sending_response",
	"handle_set_subscriptions received auth_tentatively_accepted auth_mismatch",
	"check_subscriptions start sending_request network_error retrying sending_request "
	"response_received response_check_accepted",
	"check_subscriptions start sending_request response_received bad_response",
	"handle_check_subscriptions received auth_accepted etag_computed sending_response",
	"handle_check_subscriptions received auth_accepted unavailable",
	"sweep_missed sweep_start sweep_done",
	"tell_missed due sending_missed response_received missed_confirmed release_ok",
	"tell_missed due sending_missed network_error waiting_to_retry release_ok",
	"tell_missed due sending_missed response_received bad_auth_result retries_exhausted "
	"release_conflict",
	"tell_missed due no_recovery release_unavailable",
	"handle_missed received auth_accepted connection_lost connection_established "
	"sending_response",
	"handle_missed received auth_accepted abandoned",
	"missed_for_websockets received auth_accepted websocket_matched no_more_websockets "
	"sending_response",
	"missed_for_websockets received wrong_url",
	"stateful_session start connecting connect_failed next_broadcaster connecting connected "
	"sending_configure bad_auth_result closed waiting_to_retry connecting connected "
	"sending_configure configure_sent confirm_configure_accepted stable disconnected closed "
	"next_broadcaster connecting cancel_requested closed cancelled",
	"stateful_session start connecting connected sending_configure confirm_configure_accepted "
	"ack_mismatch closed retry_prevented",
	"handle_stateful_session accepted configure_accepted sending_confirm_configure disconnected "
	"receiver_unregistered closed",
	"handle_stateful_session accepted bad_auth_result closed",
	"stateful_subscribe_exact queued sending sent confirmed",
	"stateful_unsubscribe_glob queued sending connection_lost",
	"handle_stateful_subscribe_glob received auth_accepted sending_confirm registered",
	"handle_stateful_subscribe_exact received auth_accepted already_subscribed",
	"handle_stateful_unsubscribe_exact received auth_accepted deregistered sending_confirm",
	"handle_stateful_unsubscribe_glob received bad_auth_result",
	"stateful_notify start_without_hash hashed queued compressed sending_first_part "
	"connection_lost resending compressor_skipped sending_notify confirm_notify",
	"stateful_notify start_without_hash hashed queued compressed connection_lost resending "
	"dropped_unsent",
	"stateful_notify start_with_hash queue_full",
	"stateful_notify start_with_hash queued compressor_skipped sending_notify connection_lost "
	"resending dropped_sent",
	"handle_stateful_notify received part_accepted auth_accepted decompressed "
	"exact_subscriber_found sending_receive response_received receive_confirmed "
	"no_more_subscribers sending_confirm_notify",
	"handle_stateful_notify received part_accepted auth_accepted bad_decompress",
	"handle_stateful_notify received bad_sequence",
	"stateful_deliver queued compressed sending_first_part receive_confirmed",
	"stateful_deliver queued compressor_skipped sending_first_part connection_lost",
	"stateful_receive received body_complete sending_confirm_receive auth_accepted "
	"decompressed handler_start handler_done handler_start handler_error no_more_handlers",
	"stateful_receive received hash_mismatch",
	"stateful_missed queued sending_missed sent",
	"handle_stateful_missed received auth_accepted connection_lost connection_established",
	"compressor preparing ready sending_enable rotated_out sending_disable",
	"compressor preparing prepare_failed",
	"handle_compressor enable_received auth_accepted preparing ready disable_received removed",
	"handle_compressor enable_received auth_accepted unknown_preset",
	"handle_compressor unmatched_disable_received unknown_compressor",
	"train_compressor sampling watermark trained",
};
enum { SEQUENCES = sizeof(sequences) / sizeof(sequences[0]) };

struct sequence {
	char text[1024];
	const char *operation;
	const char *steps[STEPS];
	size_t count;
};

static struct osp_catalogue *catalogue;

static int load(void **state)
{
	(void)state;
	catalogue = script_catalogue("catalogue lonelypsp.yaml\n");
	return 0;
}

static int unload(void **state)
{
	(void)state;
	osp_catalogue_free(&catalogue);
	return 0;
}

static void parse(struct sequence *s, const char *text)
{
	char *rest = NULL, *word;

	snprintf(s->text, sizeof(s->text), "%s", text);
	s->operation = strtok_r(s->text, " ", &rest);
	for (s->count = 0; (word = strtok_r(NULL, " ", &rest)) && s->count < STEPS; s->count++)
		s->steps[s->count] = word;
}

/* Plays steps `from` to the end; `skipped` has a bit per step that is lost. */
static char *play(const struct sequence *s, const char *level, size_t from, uint64_t skipped)
{
	char *script = NULL, *tree;
	size_t size;
	FILE *out = open_memstream(&script, &size);

	fprintf(out, "process 1 pid=1 comm=test\nsites 1 %s\n", level);
	for (size_t i = from; i < s->count; i++)
		fprintf(out, "1 op=a %s.%s %s\n", s->operation, s->steps[i],
			skipped >> i & 1 ? "dropped" : "");
	fprintf(out, "counters\nstop\n");
	fclose(out);
	tree = play_tree(catalogue, s->text, script);
	free(script);
	return tree;
}

static bool says(const char *tree, const char *text)
{
	return strstr(tree, text);
}

static void complain(const struct sequence *s, const char *what, size_t at, const char *tree)
{
	print_error("%s %s, at step %zu:\n%s", s->operation, what, at, tree);
}

static void good_sequences_are_as_expected_at_every_level(void **state)
{
	static const char *const levels[] = {"essential", "detail", "debug"};

	(void)state;
	for (size_t i = 0; i < SEQUENCES; i++)
		for (size_t k = 0; k < 3; k++) {
			struct sequence s;
			char *tree;

			parse(&s, sequences[i]);
			tree = play(&s, levels[k], 0, 0);
			if (says(tree, "["))
				complain(&s, levels[k], 0, tree);
			assert_false(says(tree, "["));
			free(tree);
		}
}

static void late_attach_is_never_unexpected(void **state)
{
	size_t runs = 0;

	(void)state;
	for (size_t i = 0; i < SEQUENCES; i++) {
		struct sequence s;

		parse(&s, sequences[i]);
		for (size_t cut = 1; cut < s.count; cut++, runs++) {
			char *tree = play(&s, "detail", cut, 0);

			if (says(tree, "[unexpected]") || !says(tree, "[began-before]"))
				complain(&s, "attached late", cut, tree);
			assert_false(says(tree, "[unexpected]"));
			assert_true(says(tree, "[began-before]"));
			assert_false(says(tree, "[incomplete]"));
			assert_false(says(tree, "[may-be-cut]"));
			free(tree);
		}
	}
	assert_true(runs > 80);
}

/* What must come of a sequence with the lost steps; the end is lost with its last step. */
static void check_lost(const struct sequence *s, uint64_t lost)
{
	char *tree = play(s, "detail", 0, lost);
	bool end_lost = lost >> (s->count - 1) & 1;

	if (says(tree, "[unexpected]") || says(tree, "[incomplete]") != end_lost)
		complain(s, "with losses", (size_t)lost, tree);
	assert_false(says(tree, "[unexpected]"));
	assert_false(says(tree, "[began-before]"));
	assert_false(says(tree, "DOES NOT CLOSE"));
	assert_true(says(tree, "[may-be-cut]"));
	assert_int_equal(says(tree, "[incomplete]"), end_lost);
	free(tree);
}

static void losses_are_never_unexpected_and_the_books_close(void **state)
{
	(void)state;
	for (size_t i = 0; i < SEQUENCES; i++) {
		struct sequence s;

		parse(&s, sequences[i]);
		for (size_t k = 0; k < s.count; k++) {
			check_lost(&s, 1ull << k);
			for (size_t n = k + 1; n < s.count && s.count > 2; n++)
				check_lost(&s, 1ull << k | 1ull << n);
		}
	}
}

static void swapped_steps_are_always_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < SEQUENCES; i++) {
		struct sequence s;

		parse(&s, sequences[i]);
		for (size_t k = 0; k + 1 < s.count; k++) {
			const char *step = s.steps[k];
			char *tree;

			if (!strcmp(step, s.steps[k + 1]) || !strcmp(s.steps[k + 1], "exit"))
				continue;
			s.steps[k] = s.steps[k + 1];
			s.steps[k + 1] = step;
			tree = play(&s, "detail", 0, 0);
			if (!says(tree, "[unexpected]") && !says(tree, " late "))
				complain(&s, "swapped", k, tree);
			assert_true(says(tree, "[unexpected]") || says(tree, " late "));
			free(tree);
			s.steps[k + 1] = s.steps[k];
			s.steps[k] = step;
		}
	}
}

/* ---- any order between operations ---- */

struct line {
	char *text;
	char owner[16]; /* process and operation: the order within is kept */
};

static size_t split_steps(char *text, struct line *lines)
{
	size_t count = 0;
	char *rest = NULL;

	for (char *l = strtok_r(text, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
		char process[8], operation[8];

		if (sscanf(l, "%7[0-9] @%*s op=%7s", process, operation) != 2)
			continue;
		assert_true(count < LINES);
		lines[count].text = l;
		snprintf(lines[count++].owner, sizeof(lines[0].owner), "%s %s", process, operation);
	}
	return count;
}

/* A random order that keeps each owner's lines in order: owners trade places in the sequence. */
static void shuffle(struct line *lines, size_t count, unsigned int *seed)
{
	struct line mixed[LINES];
	bool used[LINES] = {false};

	for (size_t i = 0; i < count; i++) {
		size_t pick = (size_t)rand_r(seed) % count;

		while (used[pick])
			pick = (pick + 1) % count;
		for (size_t k = 0; k < pick; k++)
			if (!used[k] && !strcmp(lines[k].owner, lines[pick].owner))
				pick = k;
		used[pick] = true;
		mixed[i] = lines[pick];
	}
	memcpy(lines, mixed, count * sizeof(*lines));
}

static void operations_come_in_any_order(void **state)
{
	char *events = script_read("tests/golden/publish.events");
	char *expected = script_read("tests/golden/publish.spans");
	struct line lines[LINES];
	size_t count = split_steps(events, lines);
	unsigned int seed = 1;

	(void)state;
	assert_int_equal(count, 47);
	for (int round = 0; round < 200; round++) {
		char *script = NULL, *tree;
		size_t size;
		FILE *out = open_memstream(&script, &size);

		shuffle(lines, count, &seed);
		fprintf(out,
			"process 1 pid=100 comm=notify @100\nprocess 2 pid=200 comm=broadcaster\n"
			"process 3 pid=301 comm=subscriber\nprocess 4 pid=302 comm=subscriber\n"
			"process 5 pid=303 comm=subscriber\n");
		for (size_t i = 0; i < count; i++)
			fprintf(out, "%s\n", lines[i].text);
		fprintf(out, "counters\nstop\n");
		fclose(out);
		tree = play_tree(catalogue, "shuffled", script);
		assert_string_equal(tree, expected);
		free(tree);
		free(script);
	}
	free(events);
	free(expected);
}

static size_t occurrences(const char *text, const char *of)
{
	size_t n = 0;

	for (; (text = strstr(text, of)); text += strlen(of))
		n++;
	return n;
}

static void ambiguity_does_not_depend_on_order(void **state)
{
	char *events = script_read("tests/golden/ambiguous.events");
	struct line lines[LINES];
	unsigned int seed = 2;
	size_t count = 0;
	char *rest = NULL;

	(void)state;
	for (char *l = strtok_r(events, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
		char *operation = strstr(l, "op=");

		if (*l == '#' || !operation)
			continue;
		lines[count].text = l;
		snprintf(lines[count++].owner, sizeof(lines[0].owner), "%c %.5s", *l, operation);
	}
	for (int round = 0; round < 100; round++) {
		char *script = NULL, *tree;
		size_t size;
		FILE *out = open_memstream(&script, &size);

		shuffle(lines, count, &seed);
		for (size_t i = 0; i < count; i++)
			fprintf(out, "%s\n", lines[i].text);
		fprintf(out, "counters\nstop\n");
		fclose(out);
		tree = play_tree(catalogue, "shuffled", script);
		assert_int_equal(occurrences(tree, "\nambiguous "), 8);
		assert_int_equal(occurrences(tree, "via publish trace_context exact"), 3);
		assert_int_equal(occurrences(tree, "trace "), 13);
		free(tree);
		free(script);
	}
	free(events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_sequences_are_as_expected_at_every_level),
		cmocka_unit_test(late_attach_is_never_unexpected),
		cmocka_unit_test(losses_are_never_unexpected_and_the_books_close),
		cmocka_unit_test(swapped_steps_are_always_found),
		cmocka_unit_test(operations_come_in_any_order),
		cmocka_unit_test(ambiguity_does_not_depend_on_order),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
