/* The session at the subscriber and publisher: connections, changes of subscriptions, answers. */
#include "tests/support/far.h"

/* ---- the connection -------------------------------------------------------------------------- */

static void a_session_is_configured_and_stops(void **state)
{
	(void)state;
	open_session();
	configure();
	ps_session_stop(&session);
	assert_told("lost");
	assert_told("stopped");
	assert_closed(PS_SOCKET_NORMAL);
}

static void a_session_can_be_stopped_before_it_is_open(void **state)
{
	(void)state;
	open_session();
	ps_session_stop(&session);
	assert_told("stopped");
	ps_session_close(&session);
	open_session();
	accept_connection();
	ps_session_stop(&session);
	assert_told("stopped");
	assert_closed(PS_SOCKET_NORMAL);
}

static void nobody_who_answers_exhausts_the_passes(void **state)
{
	struct ps_broadcaster_url dead = {.url = (char[]){"http://127.0.0.1:1"}};
	struct ps_session_notification *n;

	(void)state;
	session_options.broadcasters = &dead;
	session_options.passes = 1;
	open_session();
	n = notify("t", "hello");
	assert_ok(change(true, PS_DB_EXACT, "t"));
	assert_told("+t retries_exhausted");
	assert_told("exhausted");
	assert_told("t retries_exhausted abandoned 0");
	free_notification(n);
	assert_err(-ENOTCONN, change(true, PS_DB_EXACT, "u"));
	n = notify("u", "hello");
	assert_told("u retries_exhausted abandoned 0");
	free_notification(n);
}

/* Each goes to the next broadcaster, of whom there is none, by closing the web socket. */
static void assert_not_configured(unsigned code)
{
	assert_closed(code);
	assert_told("exhausted");
	assert_nothing_told();
}

static void another_first_answer_ends_the_connection(void **state)
{
	(void)state;
	session_options.passes = 1;
	open_session();
	accept_connection();
	say(&(struct ps_frame){.type = PS_FRAME_CONTINUE_NOTIFY, .identifier = TEXT("i")}, 0);
	assert_not_configured(PS_SOCKET_PROTOCOL);
}

static void an_answer_that_is_wrongly_signed_ends_the_connection(void **state)
{
	(void)state;
	session_options.passes = 1;
	auths[1].to_subscriber.key[0] ^= 1;
	open_session();
	accept_connection();
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_CONFIGURE,
			       .nonce = ps_bytes(far.nonce, sizeof(far.nonce))},
	    0);
	assert_not_configured(PS_SOCKET_POLICY);
}

static void an_answer_that_does_not_come_ends_the_connection(void **state)
{
	(void)state;
	session_options.passes = 1;
	session_options.connect_ns = 50000000;
	open_session();
	accept_connection();
	assert_not_configured(PS_SOCKET_POLICY);
}

static void what_cannot_be_read_ends_the_connection(void **state)
{
	static const struct ps_bytes cases[] = {
		{"", 0}, {"\0\1", 2}, {"\0\1\0\143", 4}, {"\0\1\0\6\0\5ab", 8}, {"\0\0\0\7\0\0", 6},
	};

	(void)state;
	open_session();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		configure();
		say_bytes(cases[i]);
		assert_told("lost");
		assert_closed(PS_SOCKET_PROTOCOL);
	}
}

static void what_is_out_of_place_ends_the_connection(void **state)
{
	static const struct ps_frame cases[] = {
		{.type = PS_FRAME_CONFIRM_CONFIGURE, .nonce = {far.nonce, sizeof(far.nonce)}},
		{.type = PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, .key = {"t", 1}},
		{.type = PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB, .key = {"t", 1}},
		{.type = PS_FRAME_CONTINUE_NOTIFY, .identifier = {"i", 1}},
		{.type = PS_FRAME_ENABLE_ZSTD_PRESET, .compressor = 1, .level = 3},
		{.type = PS_FRAME_DISABLE_ZSTD_CUSTOM, .compressor = 65536},
	};

	(void)state;
	open_session();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		configure();
		say(&cases[i], 0);
		assert_told("lost");
		assert_closed(PS_SOCKET_PROTOCOL);
	}
}

static void an_answer_that_is_late_ends_the_connection(void **state)
{
	(void)state;
	session_options.answer_ns = 50000000;
	open_session();
	configure();
	assert_nothing_told(); /* as long as none is due */
	assert_ok(change(true, PS_DB_EXACT, "t"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	assert_told("lost");
	assert_closed(PS_SOCKET_POLICY);
	configure();
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
}

static void headers_may_have_names(void **state)
{
	(void)state;
	session_options.form = PS_FORM_EXPANDED;
	open_session();
	configure();
	assert_ok(change(true, PS_DB_GLOB, "t*"));
	next_frame(PS_FRAME_SUBSCRIBE_GLOB, -1);
	assert_memory_equal(far.got[far.next - 1].data, "\0\0\0\3\0\3", 6);
}

/* ---- subscriptions --------------------------------------------------------------------------- */

static void confirm(enum ps_frame_type type, const char *key, int64_t counter)
{
	say(&(struct ps_frame){.type = type, .key = ps_bytes_text(key)}, counter);
}

static void subscribe(const char *key, int64_t counter)
{
	struct ps_frame f;
	char line[32];

	assert_ok(change(true, PS_DB_EXACT, key));
	f = next_frame(PS_FRAME_SUBSCRIBE_EXACT, counter);
	assert_true(ps_bytes_equal(f.key, ps_bytes_text(key)));
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, key, counter);
	snprintf(line, sizeof(line), "+%s ok", key);
	assert_told(line);
}

static void changes_are_sent_in_order_and_confirmed(void **state)
{
	(void)state;
	open_session();
	configure();
	assert_ok(change(true, PS_DB_EXACT, "t"));
	assert_ok(change(true, PS_DB_GLOB, "t*"));
	assert_ok(change(false, PS_DB_EXACT, "t"));
	assert_ok(change(false, PS_DB_GLOB, "t*"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	next_frame(PS_FRAME_SUBSCRIBE_GLOB, -2);
	next_frame(PS_FRAME_UNSUBSCRIBE_EXACT, -3);
	next_frame(PS_FRAME_UNSUBSCRIBE_GLOB, -4);
	assert_nothing_told();
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "t", -1);
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_GLOB, "t*", -2);
	confirm(PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT, "t", -3);
	confirm(PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB, "t*", -4);
	assert_told("+t ok");
	assert_told("+t* ok");
	assert_told("-t ok");
	assert_told("-t* ok");
	assert_no_frame();
}

static void only_the_first_and_the_last_user_ask(void **state)
{
	(void)state;
	open_session();
	configure();
	subscribe("t", -1);
	assert_ok(change(true, PS_DB_EXACT, "t"));
	assert_told("+t counted");
	assert_ok(change(false, PS_DB_EXACT, "t"));
	assert_told("-t counted");
	assert_no_frame();
	assert_ok(change(false, PS_DB_EXACT, "t"));
	next_frame(PS_FRAME_UNSUBSCRIBE_EXACT, -2);
	assert_err(-ENOENT, change(false, PS_DB_EXACT, "t"));
	assert_err(-EINVAL, change(true, PS_DB_GLOB, "\xff"));
}

static void changes_have_a_maximum(void **state)
{
	(void)state;
	session_options.changes_max = 2;
	session_options.subscriptions_max = 3;
	open_session();
	configure();
	assert_ok(change(true, PS_DB_EXACT, "a"));
	assert_ok(change(true, PS_DB_EXACT, "b"));
	assert_err(-ENOSPC, change(true, PS_DB_EXACT, "c"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "a", -1);
	assert_told("+a ok");
	assert_ok(change(true, PS_DB_EXACT, "c"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -2);
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "b", -2);
	assert_told("+b ok");
	assert_err(-ENOSPC, change(true, PS_DB_EXACT, "d"));
}

static void the_next_connection_has_the_subscriptions_of_the_last(void **state)
{
	struct ps_frame f;

	(void)state;
	open_session();
	configure();
	subscribe("kept", -1);
	subscribe("left", -2);
	assert_ok(change(false, PS_DB_EXACT, "left"));
	assert_ok(change(true, PS_DB_EXACT, "new"));
	next_frame(PS_FRAME_UNSUBSCRIBE_EXACT, -3);
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -4);
	drop_connection();
	assert_told("lost");
	assert_told("-left ok"); /* it went with the connection */
	configure();
	f = next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	assert_true(ps_bytes_equal(f.key, TEXT("new")));
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "new", -1);
	assert_told("+new ok");
	f = next_frame(PS_FRAME_SUBSCRIBE_EXACT, -2);
	assert_true(ps_bytes_equal(f.key, TEXT("kept")));
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "kept", -2);
	assert_nothing_told(); /* nobody asked for that one now */
	assert_no_frame();
}

static void what_is_asked_without_a_connection_waits_for_one(void **state)
{
	(void)state;
	open_session();
	assert_ok(change(true, PS_DB_EXACT, "a"));
	assert_ok(change(true, PS_DB_EXACT, "b"));
	assert_ok(change(false, PS_DB_EXACT, "a"));
	assert_told("+a ok"); /* and is gone again */
	assert_told("-a counted");
	configure();
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "b", -1);
	assert_told("+b ok");
	assert_no_frame();
}

static void an_answer_out_of_order_ends_the_connection(void **state)
{
	(void)state;
	open_session();
	configure();
	assert_ok(change(true, PS_DB_EXACT, "a"));
	assert_ok(change(true, PS_DB_EXACT, "b"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -2);
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "b", -2);
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
	configure();
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -2);
}

static void an_answer_to_another_request_is_no_authorization(void **state)
{
	(void)state;
	open_session();
	configure();
	assert_ok(change(true, PS_DB_EXACT, "a"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	confirm(PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, "a", -2);
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
}

/* What the callback of one change does to others is not stumbled over. */
static void leave_all(void *owner, const struct ps_changed *c)
{
	(void)owner;
	(void)c;
	assert_ok(change(false, PS_DB_EXACT, "b"));
	assert_ok(change(false, PS_DB_EXACT, "c"));
}

static void a_loss_may_lead_to_changes(void **state)
{
	(void)state;
	open_session();
	configure();
	subscribe("a", -1);
	assert_ok(ps_session_change(&session, false, PS_DB_EXACT, TEXT("a"), leave_all, NULL));
	assert_ok(change(true, PS_DB_EXACT, "b"));
	assert_ok(change(true, PS_DB_EXACT, "c"));
	next_frame(PS_FRAME_UNSUBSCRIBE_EXACT, -2);
	drop_connection();
	assert_told("lost");
	assert_told("+b ok");
	assert_told("-b counted");
	assert_told("+c ok");
	assert_told("-c counted");
	configure();
	assert_no_frame();
}

#define SESSION(name) cmocka_unit_test_setup_teardown(name, far_set_up, far_tear_down)

RUN_TESTS(SESSION(a_session_is_configured_and_stops),
	  SESSION(a_session_can_be_stopped_before_it_is_open),
	  SESSION(nobody_who_answers_exhausts_the_passes),
	  SESSION(another_first_answer_ends_the_connection),
	  SESSION(an_answer_that_is_wrongly_signed_ends_the_connection),
	  SESSION(an_answer_that_does_not_come_ends_the_connection),
	  SESSION(what_cannot_be_read_ends_the_connection),
	  SESSION(what_is_out_of_place_ends_the_connection),
	  SESSION(an_answer_that_is_late_ends_the_connection), SESSION(headers_may_have_names),
	  SESSION(changes_are_sent_in_order_and_confirmed),
	  SESSION(only_the_first_and_the_last_user_ask), SESSION(changes_have_a_maximum),
	  SESSION(the_next_connection_has_the_subscriptions_of_the_last),
	  SESSION(what_is_asked_without_a_connection_waits_for_one),
	  SESSION(an_answer_out_of_order_ends_the_connection),
	  SESSION(an_answer_to_another_request_is_no_authorization),
	  SESSION(a_loss_may_lead_to_changes))
