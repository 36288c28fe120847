/*
 * What the loader makes of catalogues that are in order: the shipped one against the protocol's
 * tables of callbacks, written out by hand, and a small one for every form of the grammar.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "probes/automaton.h"
#include "probes/catalogue.h"
#include "user/base/buffer.h"

static struct osp_catalogue *load(const char *path)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error = {""};

	assert_int_equal(osp_catalogue_new(&c), 0);
	if (osp_catalogue_read(c, path, &error))
		fail_msg("%s", error.text);
	return c;
}

static struct osp_catalogue *load_text(const char *text)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error = {""};

	assert_int_equal(osp_catalogue_new(&c), 0);
	if (osp_catalogue_add(c, "f", text, strlen(text), &error))
		fail_msg("%s", error.text);
	return c;
}

static const struct osp_operation *operation(const struct osp_catalogue *c, const char *name)
{
	for (size_t i = 0; i < c->operation_count; i++)
		if (!strcmp(c->operations[i]->name, name))
			return c->operations[i];
	fail_msg("no operation %s", name);
	return NULL;
}

static void print_actions(struct osp_buffer *b, const struct osp_operation *op,
			  const struct osp_transition *t)
{
	for (size_t i = 0; i < t->action_count; i++) {
		const struct osp_span_action *a = &t->actions[i];

		osp_buffer_print(b, " %s=%s", a->close ? "close" : "status",
				 op->spans[a->span].name);
		if (a->has_status)
			osp_buffer_print(b, ":%s%s%s", osp_status_to_str(a->status),
					 a->code ? "/" : "", a->code ? a->code : "");
	}
	if (t->open >= 0)
		osp_buffer_print(b, " open=%s", op->spans[t->open].name);
}

static void print_target(struct osp_buffer *b, const struct osp_operation *op,
			 const struct osp_transition *t)
{
	if (t->to != OSP_STATE_END)
		osp_buffer_print(b, " -> %s", op->states[t->to]);
	else
		osp_buffer_print(b, " -> end(%s", osp_status_to_str(t->status));
	if (t->to == OSP_STATE_END && t->code)
		osp_buffer_print(b, " %s", t->code);
	if (t->to == OSP_STATE_END && t->code_arg >= 0)
		osp_buffer_print(b, " from %s%s%s", t->point->args[t->code_arg].name,
				 t->code_map ? " by " : "", t->code_map ? t->code_map->name : "");
	if (t->to == OSP_STATE_END)
		osp_buffer_print(b, ")");
}

/* "State point(arguments) -> Next actions", a line each; "*" once. */
static char *automaton(const struct osp_operation *op)
{
	static struct osp_buffer b = OSP_BUFFER_INIT(1 << 20);

	osp_buffer_reset(&b);
	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];

		if (t->any && t->from != op->start)
			continue;
		osp_buffer_print(&b, "%s %s(", t->any ? "*" : op->states[t->from], t->point->name);
		for (size_t k = 0; k < t->point->arg_count; k++)
			osp_buffer_print(&b, "%s%s", k ? ", " : "", t->point->args[k].name);
		osp_buffer_print(&b, ")");
		print_target(&b, op, t);
		print_actions(&b, op, t);
		osp_buffer_print(&b, "\n");
	}
	return (char *)osp_buffer_text(&b);
}

#define SHIPPED "probes/catalogue/lonelypsp.yaml"

/* The protocol's automata: its sections 6.2 (with retries), 6.3 with 6.4, 7.1 and 7.4. */
static const char notify_automaton[] =
	"StartFirst start_without_hash(topic, length, filelike) -> Hashed\n"
	"StartFirst start_with_hash(topic, length, filelike) -> Sending\n"
	"Hashed hashed() -> Sending\n"
	"Sending sending_request(broadcaster, identifier, context) -> ResponseReceived open=attempt\n"
	"ResponseReceived network_error() -> retry.Determined close=attempt:error/network_error\n"
	"ResponseReceived response_received(status_code) -> ResponseAuthResult\n"
	"ResponseAuthResult bad_response() -> retry.Determined close=attempt:error/bad_response\n"
	"ResponseAuthResult bad_auth_result(result) -> retry.Determined close=attempt:error/bad_auth\n"
	"ResponseAuthResult report_received(broadcaster_report, request_received, response_sent) -> ResponseAuthResult\n"
	"ResponseAuthResult response_notify_accepted(context, num_subscribers) -> end(ok) close=attempt:ok\n"
	"retry.Determined retry_prevented() -> end(error retry_prevented)\n"
	"retry.Determined retries_exhausted() -> end(error retries_exhausted)\n"
	"retry.Determined waiting_to_retry() -> retry.Determined\n"
	"retry.Determined retrying() -> Sending\n"
	"* exit(cause) -> end(error from cause)\n";

static const char handle_notify_automaton[] =
	"ReceivedFirst received() -> AuthResult\n"
	"AuthResult bad_request() -> end(error 400)\n"
	"AuthResult bad_auth_result(result) -> end(error from result by auth_http)\n"
	"AuthResult auth_tentatively_accepted() -> AuthVerified\n"
	"AuthVerified auth_mismatch() -> end(error 400)\n"
	"AuthVerified auth_accepted(topic, length, identifier, context) -> trusted_notify.Scan\n"
	"trusted_notify.Scan unavailable() -> end(error 503)\n"
	"trusted_notify.Scan exact_subscriber_found(url) -> trusted_notify.SendingReceive open=deliver\n"
	"trusted_notify.Scan glob_subscriber_found(glob, url) -> trusted_notify.SendingReceive open=deliver\n"
	"trusted_notify.Scan no_more_subscribers() -> SendingResponse\n"
	"trusted_notify.SendingReceive sending_receive(identifier, context) -> trusted_notify.ReceivedResponse\n"
	"trusted_notify.ReceivedResponse network_error() -> trusted_notify.HandleMissedStart status=deliver:error/network_error\n"
	"trusted_notify.ReceivedResponse response_received(status_code) -> trusted_notify.ResponseAuthResult\n"
	"trusted_notify.ResponseAuthResult bad_receive_response() -> trusted_notify.HandleMissedStart status=deliver:error/bad_response\n"
	"trusted_notify.ResponseAuthResult unsubscribe_immediate_requested() -> trusted_notify.UnsubscribeImmediateDone status=deliver:unset/unsubscribed\n"
	"trusted_notify.ResponseAuthResult bad_receive_auth_result(result) -> trusted_notify.HandleMissedStart status=deliver:error/bad_auth\n"
	"trusted_notify.ResponseAuthResult receive_confirmed(context, num_subscribers) -> trusted_notify.Scan close=deliver:ok\n"
	"trusted_notify.UnsubscribeImmediateDone unsubscribe_immediate_success() -> trusted_notify.Scan close=deliver\n"
	"trusted_notify.UnsubscribeImmediateDone unsubscribe_immediate_not_found() -> trusted_notify.Scan close=deliver\n"
	"trusted_notify.UnsubscribeImmediateDone unsubscribe_immediate_unavailable() -> end(error 500)\n"
	"trusted_notify.HandleMissedStart handle_missed_start() -> trusted_notify.HandleMissedDone\n"
	"trusted_notify.HandleMissedDone handle_missed_skipped(recovery, next_retry_at) -> trusted_notify.Scan close=deliver\n"
	"trusted_notify.HandleMissedDone handle_missed_success(recovery, next_retry_at) -> trusted_notify.Scan close=deliver\n"
	"trusted_notify.HandleMissedDone handle_missed_unavailable(recovery, next_retry_at) -> trusted_notify.Scan close=deliver\n"
	"SendingResponse sending_response(context) -> end(ok 200)\n"
	"* exit(cause) -> end(error from cause)\n";

static const char receive_automaton[] =
	"ReceivedFirst received() -> RequestParsed\n"
	"RequestParsed abandoned() -> end(error 503)\n"
	"RequestParsed bad_digest_header() -> end(error 400)\n"
	"RequestParsed bad_request() -> end(error 400)\n"
	"RequestParsed request_parsed(topic, identifier, length, context) -> AuthResult\n"
	"AuthResult auth_unavailable(connection_lost) -> end(error 503)\n"
	"AuthResult bad_auth_result(result) -> end(error 403)\n"
	"AuthResult auth_tentatively_accepted(connection_established) -> AuthVerified\n"
	"AuthVerified length_mismatch() -> end(error 400)\n"
	"AuthVerified hash_mismatch() -> end(error 403)\n"
	"AuthVerified auth_accepted(topic, identifier, length, context) -> Handlers\n"
	"Handlers handler_start(index) -> HandlerDone open=handler\n"
	"Handlers no_more_handlers() -> SendingResponse\n"
	"HandlerDone handler_buffered() -> HandlerDone\n"
	"HandlerDone handler_done() -> Handlers close=handler:ok\n"
	"HandlerDone handler_error() -> Handlers close=handler:error/handler_error\n"
	"HandlerDone handler_canceled() -> end(error 500) close=handler:error/canceled\n"
	"SendingResponse sending_response(num_subscribers, context) -> end(ok 200)\n"
	"* exit(cause) -> end(error from cause)\n";

static const char subscribe_exact_automaton[] =
	"change.StartFirst start(topic) -> change.TechniqueDetermined\n"
	"change.TechniqueDetermined refcount_only(new_count) -> end(ok refcount_only)\n"
	"change.TechniqueDetermined use_direct() -> change.Locked\n"
	"change.TechniqueDetermined use_bulk(num_exact, num_globs) -> change.BulkLocked\n"
	"change.Locked lock_acquired() -> change.Sending\n"
	"change.BulkLocked lock_acquired() -> change.BulkDone\n"
	"change.BulkDone bulk_accepted() -> end(ok bulk)\n"
	"change.BulkDone bulk_failed() -> end(error bulk_failed)\n"
	"change.Sending sending_request(broadcaster, url, recovery, topic, signature, context) -> change.ResponseReceived open=attempt\n"
	"change.ResponseReceived network_error() -> retry.Determined close=attempt:error/network_error\n"
	"change.ResponseReceived response_received(status_code) -> change.ResponseAuthResult\n"
	"change.ResponseAuthResult retryable_status() -> retry.Determined close=attempt:error/retryable_status\n"
	"change.ResponseAuthResult conflict_accepted() -> end(ok 409) close=attempt:ok/409\n"
	"change.ResponseAuthResult refused_status() -> end(error refused) close=attempt:error/refused\n"
	"change.ResponseAuthResult bad_response() -> retry.Determined close=attempt:error/bad_response\n"
	"change.ResponseAuthResult bad_auth_result(result) -> retry.Determined close=attempt:error/bad_auth\n"
	"change.ResponseAuthResult response_generic_accepted(context) -> end(ok) close=attempt:ok\n"
	"retry.Determined retry_prevented() -> end(error retry_prevented)\n"
	"retry.Determined retries_exhausted() -> end(error retries_exhausted)\n"
	"retry.Determined waiting_to_retry() -> retry.Determined\n"
	"retry.Determined retrying() -> change.Sending\n"
	"* exit(cause) -> end(error from cause)\n";

static const char handle_unsubscribe_glob_automaton[] =
	"handle_change.ReceivedFirst received() -> handle_change.AuthResult\n"
	"handle_change.AuthResult bad_request() -> end(error 400)\n"
	"handle_change.AuthResult bad_auth_result(result) -> end(error from result by auth_http)\n"
	"handle_change.AuthResult auth_accepted(url, recovery, glob, signature, context) -> handle_change.StoreResult\n"
	"handle_change.StoreResult not_subscribed() -> end(error 409)\n"
	"handle_change.StoreResult unavailable() -> end(error 503)\n"
	"handle_change.StoreResult stored() -> handle_change.SendingResponse\n"
	"handle_change.SendingResponse sending_response(context) -> end(ok 200)\n"
	"* exit(cause) -> end(error from cause)\n";

static void shipped_catalogue_has_the_automata_of_the_protocol(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);

	(void)state;
	assert_string_equal(automaton(operation(c, "notify")), notify_automaton);
	assert_string_equal(automaton(operation(c, "handle_notify")), handle_notify_automaton);
	assert_string_equal(automaton(operation(c, "receive")), receive_automaton);
	assert_string_equal(automaton(operation(c, "subscribe_exact")), subscribe_exact_automaton);
	assert_string_equal(automaton(operation(c, "handle_unsubscribe_glob")),
			    handle_unsubscribe_glob_automaton);
	assert_int_equal(c->operation_count, 39);
	osp_catalogue_free(&c);
}

static bool has_arg(const struct osp_operation *op, const char *point, const char *arg)
{
	for (size_t i = 0; i < op->point_count; i++)
		for (size_t k = 0;
		     !strcmp(op->points[i]->name, point) && k < op->points[i]->arg_count; k++)
			if (!strcmp(op->points[i]->args[k].name, arg))
				return true;
	return false;
}

/* The family differs in the key and in the point of the conflict, in nothing else. */
static void subscribe_family_shares_its_automata(void **state)
{
	static const char *const names[] = {"subscribe_exact", "subscribe_glob",
					    "unsubscribe_exact", "unsubscribe_glob"};
	struct osp_catalogue *c = load(SHIPPED);
	const struct osp_operation *first = operation(c, names[0]);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct osp_operation *op = operation(c, names[i]), *handle;
		const char *key = i % 2 ? "glob" : "topic";
		char name[64];

		snprintf(name, sizeof(name), "handle_%s", names[i]);
		handle = operation(c, name);
		assert_int_equal(op->state_count, first->state_count);
		assert_int_equal(op->transition_count, first->transition_count);
		assert_true(has_arg(op, "start", key));
		assert_true(has_arg(op, "sending_request", key));
		assert_true(has_arg(handle, "auth_accepted", key));
		assert_string_equal(op->side, "subscriber");
		assert_string_equal(handle->side, "broadcaster");
		assert_non_null(
			strstr(automaton(handle), i < 2 ? "already_subscribed() -> end(error 409)"
							: "not_subscribed() -> end(error 409)"));
	}
	osp_catalogue_free(&c);
}

static void shipped_points_have_names_levels_and_docs(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);
	const struct osp_point *p = osp_catalogue_find_point(c, "lonelypsp", "notify__hashed");
	size_t undocumented = 0;

	(void)state;
	assert_non_null(p);
	assert_int_equal(p->level, OSP_LEVEL_DETAIL);
	assert_string_equal(p->name, "hashed");
	assert_int_equal(p->operation_count, 1);
	assert_ptr_equal(p->operations[0], operation(c, "notify"));
	assert_false(p->foreign);
	for (size_t i = 0; i < c->point_count; i++)
		undocumented += !c->points[i]->doc;
	assert_int_equal(undocumented, 0);
	assert_null(osp_catalogue_find_point(c, "lonelypsp", "hashed"));
	assert_null(osp_catalogue_find_point(c, "other", "notify__hashed"));
	osp_catalogue_free(&c);
}

static void shipped_arguments_have_types_classes_and_attributes(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);
	const struct osp_point *p =
		osp_catalogue_find_point(c, "lonelypsp", "notify__start_without_hash");

	(void)state;
	assert_int_equal(p->arg_count, 3);
	assert_int_equal(p->args[0].type, OSP_TYPE_STR);
	assert_int_equal(p->args[0].max, 256);
	assert_int_equal(p->args[0].class, OSP_CLASS_INTERNAL);
	assert_string_equal(p->args[0].attribute, "messaging.destination.name");
	assert_int_equal(p->args[1].type, OSP_TYPE_UINT);
	assert_int_equal(p->args[1].bytes, 8);
	assert_string_equal(p->args[1].unit, "By");
	assert_int_equal(p->args[2].type, OSP_TYPE_BOOL);
	assert_string_equal(p->args[2].attribute, "lonelypsp.filelike");
	p = osp_catalogue_find_point(c, "lonelypsp", "notify__bad_auth_result");
	assert_string_equal(p->args[0].enumeration->name, "auth_result");
	assert_int_equal(p->args[0].enumeration->count, 4);
	assert_string_equal(p->args[0].enumeration->values[3].name, "UNAVAILABLE");
	osp_catalogue_free(&c);
}

/* So that the reference page has no holes: who begins it, and what a long stay in a state means. */
static void shipped_operations_are_explained(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);

	(void)state;
	for (size_t i = 0; i < c->operation_count; i++) {
		const struct osp_operation *op = c->operations[i];
		bool is_silent =
			!strcmp(op->name, "sweep_missed") || !strcmp(op->name, "train_compressor");

		if (!op->doc || !op->starts || !op->side || (op->message_count == 0) != is_silent)
			fail_msg("%s: doc, starts, side or messages are missing", op->name);
		for (size_t k = 0; k < op->state_count; k++)
			if (k != op->start && !op->slow[k])
				fail_msg("%s.%s: what a long stay there means is missing", op->name,
					 op->states[k]);
		assert_null(op->slow[op->start]);
		for (size_t k = 0; k < op->span_count; k++)
			assert_non_null(op->spans[k].doc);
		for (size_t k = 0; k < op->point_count; k++)
			for (size_t n = 0; n < op->points[k]->arg_count; n++)
				if (!op->points[k]->args[n].doc &&
				    op->points[k]->args[n].type < OSP_TYPE_CONTEXT_IN)
					fail_msg("%s.%s: an argument has no doc", op->name,
						 op->points[k]->name);
	}
	for (size_t i = 0; i < c->link_count; i++)
		assert_non_null(c->links[i]->doc);
	assert_string_equal(c->docs[0], "lonelypsp over HTTP and web sockets");
	osp_catalogue_free(&c);
}

static void shipped_messages_have_numbers_and_paths(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);
	size_t counts[2][2] = {{0}}, paths = 0;

	(void)state;
	for (size_t i = 0; i < c->message_count; i++) {
		counts[c->messages[i]->stateful][c->messages[i]->to_broadcaster]++;
		paths += c->messages[i]->path != NULL;
	}
	assert_int_equal(counts[false][true], 7 + 3);
	assert_int_equal(counts[false][false], 4 + 3);
	assert_int_equal(counts[true][true], 9);
	assert_int_equal(counts[true][false], 12);
	assert_int_equal(paths, 11);
	assert_string_equal(operation(c, "check_subscriptions")->messages[0]->path,
			    "/v1/check_subscriptions");
	assert_int_equal(operation(c, "check_subscriptions")->messages[1]->id, 5);
	osp_catalogue_free(&c);
}

/* Own points are numbered in the order of the file; the control point comes last. */
static void control_point_closes_the_header(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);
	const struct osp_point *p = osp_catalogue_find_point(c, "lonelypsp", "context");

	(void)state;
	assert_non_null(p);
	assert_true(p->control);
	assert_int_equal(p->operation_count, 0);
	for (size_t i = 0; i < c->point_count; i++) {
		assert_int_equal(c->points[i]->header, i);
		assert_int_equal(c->points[i]->number, i);
		assert_int_equal(c->points[i]->control, i == c->point_count - 1);
		assert_int_equal(c->points[i]->spill,
				 i >= c->point_count - 1 - c->operation_count &&
					 i < c->point_count - 1);
	}
	osp_catalogue_free(&c);
}

/* Every operation of our own has one, which is none of its steps. */
static void operations_have_a_point_to_spill_at(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);

	(void)state;
	for (size_t i = 0; i < c->operation_count; i++) {
		const struct osp_operation *op = c->operations[i];

		assert_non_null(op->spill);
		assert_string_equal(op->spill->name, "spill");
		assert_int_equal(op->spill->level, OSP_LEVEL_ESSENTIAL);
		assert_int_equal(op->spill->arg_count, 0);
		assert_ptr_equal(op->spill->operations[0], op);
		assert_int_not_equal(op->spill->digest, op->points[0]->digest);
		for (size_t k = 0; k < op->point_count; k++)
			assert_ptr_not_equal(op->points[k], op->spill);
	}
	assert_non_null(osp_catalogue_find_point(c, "lonelypsp", "handle_notify__spill"));
	osp_catalogue_free(&c);
}

static void shipped_links_carry_evidence_and_grades(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);
	const struct osp_link *l = c->links[0];

	(void)state;
	assert_int_equal(c->link_count, 18);
	assert_int_equal(l->from.count, 1);
	assert_string_equal(l->from.ends[0].operation->name, "notify");
	assert_string_equal(l->from.ends[0].operation->spans[l->from.ends[0].span].name, "attempt");
	assert_int_equal(l->to.count, 1);
	assert_string_equal(l->to.ends[0].operation->name, "handle_notify");
	assert_int_equal(l->to.ends[0].span, -1);
	assert_int_equal(l->makes, OSP_MAKES_PARENT);
	assert_int_equal(l->match_count, 2);
	assert_string_equal(l->matches[0].evidence, "trace_context");
	assert_int_equal(l->matches[0].grade, OSP_GRADE_EXACT);
	assert_int_equal(l->matches[1].grade, OSP_GRADE_STRONG);
	assert_int_equal(l->matches[1].within_ns, 120 * INT64_C(1000000000));
	assert_int_equal(l->matches[1].also_count, 1);
	assert_int_equal(l->matches[1].also_from[0].count, 2);
	assert_string_equal(l->matches[1].also_from[0].refs[1].point->name, "start_with_hash");
	assert_string_equal(l->matches[1].also_to[0].refs[0].point->name, "auth_accepted");
	l = c->links[1];
	assert_int_equal(l->from.count, 2);
	assert_int_equal(l->to.count, 2);
	assert_string_equal(l->from.ends[1].operation->name, "handle_stateful_notify");
	assert_string_equal(l->to.ends[1].operation->name, "receive_for_websockets");
	assert_int_equal(l->matches[0].to.count, 2);
	assert_string_equal(l->matches[0].to.refs[1].point->probe,
			    "receive_for_websockets__auth_accepted");
	l = c->links[2];
	assert_string_equal(l->matches[1].evidence, "hmac");
	assert_int_equal(l->matches[1].grade, OSP_GRADE_STRONG);
	assert_string_equal(l->matches[2].evidence, "url_topic");
	assert_int_equal(l->matches[2].grade, OSP_GRADE_WEAK);
	osp_catalogue_free(&c);
}

static void implementations_say_what_they_lack(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);

	(void)state;
	assert_int_equal(c->implementation_count, 2);
	assert_string_equal(c->implementations[0]->name, "lonelypsc");
	assert_string_equal(c->implementations[0]->lacks[0]->probe,
			    "subscribe_exact__bad_auth_result");
	osp_catalogue_free(&c);
}

/* A state always has the same spans open: known to the recorder, and to the header's contexts. */
static void open_spans_follow_from_the_state(void **state)
{
	struct osp_catalogue *c = load(SHIPPED);
	const struct osp_operation *op = operation(c, "handle_notify");
	struct osp_open_spans open[OSP_CATALOGUE_STATES];
	struct osp_walk_error e;

	(void)state;
	assert_int_equal(osp_automaton_walk(op, open, &e), 0);
	for (size_t i = 0; i < op->state_count; i++) {
		bool inside = !strncmp(op->states[i], "trusted_notify.", 15) &&
			      strcmp(op->states[i], "trusted_notify.Scan") != 0;

		assert_int_equal(open[i].count, inside ? 1 : 0);
	}
	osp_catalogue_free(&c);
}

/* Every form of the grammar that the shipped catalogue does not use. */
static const char foreign_text[] =
	"provider: shop\n"
	"abi: 1\n"
	"doc: \"a comment */ that tries to end\"\n"
	"arguments: {id: {type: u64, arg: 1}}\n"
	"operations:\n"
	"  query:\n"
	"    by: thread\n"
	"    nest: true\n"
	"    timeout: 250ms\n"
	"    points:\n"
	"      \"db:query__start\": {level: essential, args: {sql: {type: str, arg: 1, max: 40, class: payload}}}\n"
	"      \"db:query__done\": {level: essential, args: {rows: {type: i32, arg: 1}}}\n"
	"    start: Idle\n"
	"    states: {Idle: {\"db:query__start\": Running}, Running: {\"db:query__done\": {end: unset}}}\n"
	"  job:\n"
	"    by: {arg: id}\n"
	"    points:\n"
	"      \"pool:put\": {level: essential, args: {id, key: {type: bytes, arg: 3, length: 2}}}\n"
	"      \"pool:done\": {level: essential, args: {id}}\n"
	"      \"db:query__start\": {level: essential, args: {id: {type: u64, arg: 2}}}\n"
	"    start: Idle\n"
	"    states: {Idle: {\"pool:put\": Busy}, Busy: {\"pool:done\": {end: ok}, \"db:query__start\": Busy}}\n";

static void foreign_points_differ_from_what_another_operation_says(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;

	(void)state;
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(osp_catalogue_add(c, "f", foreign_text, strlen(foreign_text), &error),
			 -EINVAL);
	assert_string_equal(error.text,
			    "f:20: operations.job.points.db:query__start: expected the "
			    "level and arguments that another operation gives this point");
	osp_catalogue_free(&c);
}

static void foreign_points_are_shared_by_operations(void **state)
{
	static const char text[] =
		"provider: shop\nabi: 1\narguments: {id: {type: u64, arg: 1}}\noperations:\n"
		"  a:\n    by: {arg: id}\n    points: {\"x:go\": {level: essential, args: {id}}}\n"
		"    start: S\n    states: {S: {\"x:go\": {end: ok}}}\n"
		"  b:\n    by: thread\n    nest: true\n    timeout: 250ms\n"
		"    points: {\"x:go\": {level: essential, args: {id}}, \"y:key\": {level: essential, args: "
		"{key: {type: bytes, arg: 3, length: 2}}}}\n"
		"    start: S\n    states: {S: {\"x:go\": T}, T: {\"y:key\": {end: unset}}}\n";
	struct osp_catalogue *c = load_text(text);
	const struct osp_point *p = osp_catalogue_find_point(c, "x", "go");

	(void)state;
	assert_int_equal(p->operation_count, 2);
	assert_true(p->foreign);
	assert_int_equal(p->args[0].source, 1);
	assert_int_equal(operation(c, "a")->key, OSP_KEY_ARG);
	assert_string_equal(operation(c, "a")->key_arg, "id");
	assert_int_equal(operation(c, "b")->key, OSP_KEY_THREAD);
	assert_true(operation(c, "b")->nest);
	assert_int_equal(operation(c, "b")->timeout_ns, 250000000);
	p = osp_catalogue_find_point(c, "y", "key");
	assert_int_equal(p->args[0].source, 3);
	assert_int_equal(p->args[0].length, 2);
	assert_int_equal(p->args[0].max, 256);
	assert_int_equal(c->provider_count, 2);
	assert_string_equal(c->providers[0], "x");
	osp_catalogue_free(&c);
}

static void several_files_share_one_numbering(void **state)
{
	static const char a[] =
		"provider: a\nabi: 1\noperations: {o: {points: {go: {level: essential, "
		"args: {c: context_out}}}, start: S, states: {S: {go: {end: ok}}}}}\n";
	static const char b[] =
		"provider: b\nabi: 1\noperations: {o: {points: {go: {level: essential}}, "
		"start: S, states: {S: {go: {end: ok}}}}}\n";
	struct osp_catalogue *c = load_text(a);
	struct osp_catalogue_error error;

	(void)state;
	assert_int_equal(osp_catalogue_add(c, "second", b, strlen(b), &error), 0);
	assert_int_equal(c->point_count, 5);
	assert_int_equal(osp_catalogue_find_point(c, "a", "o__spill")->number, 1);
	assert_int_equal(osp_catalogue_find_point(c, "a", "context")->number, 2);
	assert_int_equal(osp_catalogue_find_point(c, "b", "o__go")->number, 3);
	assert_int_equal(osp_catalogue_find_point(c, "b", "o__go")->header, 0);
	assert_int_equal(c->operations[1]->number, 1);
	assert_int_equal(c->file_count, 2);
	assert_string_equal(c->texts[1], b);
	assert_string_equal(c->names[1], "second");
	osp_catalogue_free(&c);
}

/* By sha256sum of "p:o__go(u8 a,str:256 b,enum:e c,context_out d,)", the first 8 bytes. */
static void digest_covers_name_types_and_order(void **state)
{
	static const char text[] =
		"provider: p\nabi: 1\nenums: {e: {A: 1}}\noperations: {o: {points: {go: {level: essential, "
		"args: {a: u8, b: str, c: e, d: context_out}}}, start: S, states: {S: {go: {end: ok}}}}}\n";
	struct osp_catalogue *c = load_text(text);

	(void)state;
	assert_int_equal(osp_catalogue_find_point(c, "p", "o__go")->digest, 0xfbfa4010b17c369f);
	osp_catalogue_free(&c);
}

static void words_and_enumerations_agree(void **state)
{
	enum osp_level level = OSP_LEVEL_DEBUG;

	(void)state;
	assert_int_equal(osp_level_from_str("detail", &level), 0);
	assert_int_equal(level, OSP_LEVEL_DETAIL);
	assert_int_equal(osp_level_from_str("all", &level), -EINVAL);
	assert_string_equal(osp_level_to_str(OSP_LEVEL_ESSENTIAL), "essential");
	assert_string_equal(osp_kind_to_str(OSP_KIND_CONSUMER), "CONSUMER");
	assert_string_equal(osp_kind_to_str(OSP_KIND_INTERNAL), "INTERNAL");
	assert_string_equal(osp_status_to_str(OSP_STATUS_ERROR), "error");
	assert_string_equal(osp_grade_to_str(OSP_GRADE_AMBIGUOUS), "ambiguous");
	assert_string_equal(osp_makes_to_str(OSP_MAKES_FAN_IN), "fan_in");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shipped_catalogue_has_the_automata_of_the_protocol),
		cmocka_unit_test(subscribe_family_shares_its_automata),
		cmocka_unit_test(shipped_points_have_names_levels_and_docs),
		cmocka_unit_test(shipped_operations_are_explained),
		cmocka_unit_test(shipped_messages_have_numbers_and_paths),
		cmocka_unit_test(shipped_arguments_have_types_classes_and_attributes),
		cmocka_unit_test(control_point_closes_the_header),
		cmocka_unit_test(operations_have_a_point_to_spill_at),
		cmocka_unit_test(shipped_links_carry_evidence_and_grades),
		cmocka_unit_test(implementations_say_what_they_lack),
		cmocka_unit_test(open_spans_follow_from_the_state),
		cmocka_unit_test(foreign_points_differ_from_what_another_operation_says),
		cmocka_unit_test(foreign_points_are_shared_by_operations),
		cmocka_unit_test(several_files_share_one_numbering),
		cmocka_unit_test(digest_covers_name_types_and_order),
		cmocka_unit_test(words_and_enumerations_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
