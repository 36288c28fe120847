/*
 * The catalogue's table of messages and the C pair's own are the same set, both ways: the stateful
 * ones by ps_formats, requests over HTTP by the paths that broadcaster and subscriber serve, answers
 * by their numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "probes/catalogue.h"
#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_format.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_subscriber.h"

static struct osp_catalogue *catalogue;

static int load(void **state)
{
	struct osp_catalogue_error error = {""};

	(void)state;
	if (osp_catalogue_new(&catalogue) ||
	    osp_catalogue_read(catalogue, "probes/catalogue/lonelypsp.yaml", &error))
		fail_msg("%s", error.text);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	osp_catalogue_free(&catalogue);
	return 0;
}

/* A stateful message, or an answer over HTTP. */
static bool has_message(bool stateful, bool to_broadcaster, unsigned int id, const char *name)
{
	for (size_t i = 0; i < catalogue->message_count; i++) {
		const struct osp_message *m = catalogue->messages[i];

		if (!m->path && m->stateful == stateful && m->to_broadcaster == to_broadcaster &&
		    m->id == id && !strcmp(m->name, name))
			return true;
	}
	return false;
}

static size_t count_messages(bool stateful)
{
	size_t count = 0;

	for (size_t i = 0; i < catalogue->message_count; i++)
		count += !catalogue->messages[i]->path &&
			 catalogue->messages[i]->stateful == stateful;
	return count;
}

static void stateful_messages_are_those_of_the_frames(void **state)
{
	(void)state;
	for (size_t i = PS_FRAME_NONE + 1; i < PS_FRAME_COUNT; i++) {
		const struct ps_format *f = &ps_formats[i];

		if (!has_message(true, f->sender == PS_SUBSCRIBER, f->id, f->name))
			fail_msg("%s, type %u: not in the catalogue", f->name, f->id);
	}
	assert_int_equal(count_messages(true), PS_FRAME_COUNT - 1);
}

static void answers_over_http_are_those_of_the_bodies(void **state)
{
	static const struct {
		unsigned int id;
		bool to_broadcaster;
		const char *name;
	} answers[] = {
		{PS_RESPONSE_GENERIC, false, "RESPONSE_GENERIC"},
		{PS_RESPONSE_NOTIFY, false, "RESPONSE_NOTIFY"},
		{PS_RESPONSE_CHECK_SUBSCRIPTIONS, false, "RESPONSE_CHECK_SUBSCRIPTIONS"},
		{PS_RESPONSE_CONFIRM_RECEIVE, true, "RESPONSE_CONFIRM_RECEIVE"},
		{PS_RESPONSE_CONFIRM_MISSED, true, "RESPONSE_CONFIRM_MISSED"},
		{PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE, true, "RESPONSE_UNSUBSCRIBE_IMMEDIATE"},
	};
	const size_t count = sizeof(answers) / sizeof(answers[0]);

	(void)state;
	for (size_t i = 0; i < count; i++)
		if (!has_message(false, answers[i].to_broadcaster, answers[i].id, answers[i].name))
			fail_msg("%s: not in the catalogue", answers[i].name);
	assert_int_equal(count_messages(false), count);
}

static size_t uses_of(const struct ps_route *routes, size_t count, const char *path)
{
	size_t uses = 0;

	for (size_t i = 0; i < count; i++)
		uses += !strcmp(routes[i].path, path);
	return uses;
}

static void has_paths(const struct ps_route *routes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < catalogue->message_count &&
		       (!catalogue->messages[k]->path ||
			strcmp(catalogue->messages[k]->path, routes[i].path) != 0))
			k++;
		if (k == catalogue->message_count)
			fail_msg("%s: not in the catalogue", routes[i].path);
	}
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void requests_over_http_are_those_that_are_served(void **state)
{
	const struct ps_server_options server = {.listen = "127.0.0.1:0",
						 .prefix = "",
						 .connections_max = 4,
						 .idle_s = 5,
						 .request_ns = 5000000000,
						 .header_max = 32768};
	const struct ps_client_options client = {.connections_max = 4};
	const struct ps_broadcaster_options bo = {
		.server = server, .client = client, .db = {.rows_max = 8}};
	const struct ps_subscriber_options so = {
		.server = server, .client = client, .subscriptions_max = 8, .changes_max = 8};
	const struct ps_auth auth = {.lifetime_s = 120};
	struct ps_broadcaster b;
	struct ps_subscriber s;
	struct ps_loop *l;

	(void)state;
	assert_int_equal(ps_loop_new(&l), 0);
	assert_int_equal(ps_broadcaster_open(&b, l, &auth, NULL, &bo), 0);
	assert_int_equal(ps_subscriber_open(&s, l, &auth, NULL, &so), 0);
	has_paths(b.routes, COUNT(b.routes));
	has_paths(s.routes, COUNT(s.routes));
	for (size_t i = 0; i < catalogue->message_count; i++) {
		const char *path = catalogue->messages[i]->path;

		if (path && uses_of(b.routes, COUNT(b.routes), path) +
					    uses_of(s.routes, COUNT(s.routes), path) !=
				    1)
			fail_msg("%s: served by neither or both of the pair", path);
	}
	ps_subscriber_close(&s);
	ps_broadcaster_close(&b);
	ps_loop_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stateful_messages_are_those_of_the_frames),
		cmocka_unit_test(answers_over_http_are_those_of_the_bodies),
		cmocka_unit_test(requests_over_http_are_those_that_are_served),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
