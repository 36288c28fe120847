/* Authorization: what is accepted, what is refused and why, under a fixed clock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_system.h"

#define SECRET                                                                                     \
	"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"
#define OTHER                                                                                      \
	"BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"
/* RECEIVE of "hello" on foo/bar, as the real implementation signs it. */
#define MAC                                                                                        \
	"oROfowvAqeBTgQN8egpce1yVBKvb2MPNSQRxxlJ8Ezzdws2tXB9/OMpXjoavKYqw493zESqSXqOZ9D/BEIRoEw=="
#define HEADER "X-HMAC 1700000000:AbCd-_:" MAC

static int64_t now_s = 1700000000;
static uint8_t random_byte;
static bool random_fails;

static int64_t fixed_wall_ns(void)
{
	return now_s * 1000000000 + 999999999;
}

static int fixed_random(void *out, size_t size)
{
	memset(out, ++random_byte, size);
	return random_fails ? -EIO : 0;
}

static uint8_t hello[PS_DIGEST_SIZE];
static struct ps_auth auth;
static struct ps_signed message;

static int set_up(void **state)
{
	static const uint8_t tracing[] = {1, 2, 3}, identifier[8];
	struct ps_replay_options o = {NULL, 10, 100};

	(void)state;
	now_s = 1700000000;
	random_fails = false;
	ps_system.wall_ns = fixed_wall_ns;
	ps_system.random = fixed_random;
	auth = (struct ps_auth){.lifetime_s = 120};
	message = (struct ps_signed){
		.kind = PS_KIND_RECEIVE,
		.tracing = ps_bytes(tracing, sizeof(tracing)),
		.url = ps_bytes_text("http://127.0.0.1:3002/v1/receive"),
		.key = ps_bytes_text("foo/bar"),
		.identifier = ps_bytes(identifier, sizeof(identifier)),
		.digest = hello,
	};
	return ps_digest_of(ps_bytes_text("hello"), hello) || ps_replay_open(&auth.replay, &o) ||
	       ps_auth_parse_secret(&auth.to_subscriber, "hmac:" SECRET);
}

static int tear_down(void **state)
{
	(void)state;
	ps_replay_close(&auth.replay);
	ps_auth_clear_secret(&auth.to_subscriber);
	ps_auth_clear_secret(&auth.to_broadcaster);
	return 0;
}

static enum ps_auth_result check(const char *text)
{
	return ps_auth_check(&auth, &auth.to_subscriber, ps_bytes_text(text), &message);
}

static void the_recorded_header_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(check(HEADER), PS_AUTH_OK);
}

static void a_header_is_accepted_once(void **state)
{
	(void)state;
	assert_int_equal(check(HEADER), PS_AUTH_OK);
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
	now_s += 119;
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
}

static void a_refused_header_does_not_use_up_the_right_one(void **state)
{
	(void)state;
	message.key = ps_bytes_text("foo/other");
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
	assert_int_equal(ps_replay_count(auth.replay), 0);
	message.key = ps_bytes_text("foo/bar");
	assert_int_equal(check(HEADER), PS_AUTH_OK);
}

static void what_does_not_fit_its_field_is_forbidden(void **state)
{
	(void)state;
	message.kind = PS_KIND_CONTINUE_NOTIFY;
	message.numbers[0] = 1ull << 32;
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
}

static void a_missing_header_is_unauthorized(void **state)
{
	(void)state;
	assert_int_equal(check(NULL), PS_AUTH_UNAUTHORIZED);
	assert_int_equal(check(""), PS_AUTH_UNAUTHORIZED);
}

static void clocks_may_differ_by_the_lifetime(void **state)
{
	(void)state;
	now_s = 1700000000 + 121;
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
	now_s = 1700000000 - 121;
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
	now_s = 1700000000 + 120;
	assert_int_equal(check(HEADER), PS_AUTH_OK);
}

static void a_header_from_a_clock_ahead_cannot_be_replayed_later(void **state)
{
	(void)state;
	now_s = 1700000000 - 120;
	assert_int_equal(check(HEADER), PS_AUTH_OK);
	now_s = 1700000000 + 120;
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
}

static void blanks_and_padding_are_taken_as_upstream_takes_them(void **state)
{
	static const char *const good[] = {
		"X-HMAC  1700000000 :AbCd-_:" MAC,
		"X-HMAC +1_700_000_000:AbCd-_:" MAC,
		"X-HMAC 1700000000:AbCd-_: " MAC "\n",
		"X-HMAC 1700000000:AbCd-_:" MAC "AAAA",
		"X-HMAC "
		"1700000000:AbCd-_:"
		"oROfowvAqeBTgQN8egpce1yVBKvb2MPNSQRxxlJ8Ezzdws2tXB9/OMpXjoavKYqw493zESqSXqOZ9D/"
		"BEIRoEw",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		tear_down(state);
		set_up(state);
		assert_int_equal(check(good[i]), PS_AUTH_OK);
	}
}

static void malformed_headers_are_forbidden(void **state)
{
	static const char *const bad[] = {
		"x-hmac 1700000000:AbCd-_:" MAC,
		"X-HMAC",
		"X-HMAC ",
		"X-HMAC 1700000000",
		"X-HMAC 1700000000:",
		"X-HMAC 1700000000:AbCd-_",
		"X-HMAC 1700000000:AbCd-_:",
		"X-HMAC 1700000000:AbCd-_:AAAA",
		"X-HMAC :AbCd-_:" MAC,
		"X-HMAC -1700000000:AbCd-_:" MAC,
		"X-HMAC 17000000000000000000000000000000:AbCd-_:" MAC,
		"X-HMAC 18446744073709551615:AbCd-_:" MAC,
		"X-HMAC 0x6553f100:AbCd-_:" MAC,
		"X-HMAC 1__700000000:AbCd-_:" MAC,
		"X-HMAC 1700000000_:AbCd-_:" MAC,
		"X-HMAC 1700000000:AbCd-:" MAC,
		"X-HMAC 1700000001:AbCd-_:" MAC,
		"Bearer " MAC,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(check(bad[i]), PS_AUTH_FORBIDDEN);
}

static void a_nonce_over_255_bytes_is_forbidden(void **state)
{
	char text[600];

	(void)state;
	snprintf(text, sizeof(text), "X-HMAC 1700000000:%0256d:%s", 7, MAC);
	assert_int_equal(check(text), PS_AUTH_FORBIDDEN);
}

static void a_header_cut_at_any_byte_is_refused(void **state)
{
	(void)state;
	/* the last two characters are padding */
	for (size_t n = 0; n + 2 < sizeof(HEADER) - 1; n++)
		assert_int_not_equal(
			ps_auth_check(&auth, &auth.to_subscriber, ps_bytes(HEADER, n), &message),
			PS_AUTH_OK);
}

static void what_is_signed_is_accepted_and_new_each_time(void **state)
{
	struct osp_buffer a = OSP_BUFFER_INIT(65535), b = OSP_BUFFER_INIT(65535);

	(void)state;
	assert_int_equal(ps_auth_authorize(&a, &auth.to_subscriber, &message), 0);
	assert_int_equal(ps_auth_authorize(&b, &auth.to_subscriber, &message), 0);
	assert_int_equal(a.size, 113);
	assert_string_not_equal(osp_buffer_text(&a), osp_buffer_text(&b));
	assert_int_equal(check(osp_buffer_text(&a)), PS_AUTH_OK);
	assert_int_equal(check(osp_buffer_text(&b)), PS_AUTH_OK);
	osp_buffer_clear(&a);
	osp_buffer_clear(&b);
}

static void assert_stamp(const char *authorization, const char *stamp)
{
	struct ps_bytes found = ps_auth_stamp_of(ps_bytes_text(authorization));

	assert_int_equal(found.size, strlen(stamp));
	assert_memory_equal(found.size ? found.data : "", stamp, found.size);
}

static void a_stamp_can_be_told_before_and_found_in_what_was_signed(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(65535);
	struct ps_stamp stamp;

	(void)state;
	assert_int_equal(ps_auth_stamp(&stamp, &auth.to_subscriber), 0);
	assert_int_equal(ps_auth_sign(&b, &auth.to_subscriber, &message, &stamp), 0);
	assert_int_equal(check(osp_buffer_text(&b)), PS_AUTH_OK);
	assert_stamp(osp_buffer_text(&b), stamp.text);
	assert_stamp("X-HMAC 12:ab:", "12:ab");
	assert_stamp("X-HMAC 12:ab", "");
	assert_stamp("X-HMAC ", "");
	assert_stamp("Bearer 12:ab:cd", "");
	osp_buffer_clear(&b);
}

static void another_secret_is_forbidden(void **state)
{
	(void)state;
	assert_int_equal(ps_auth_parse_secret(&auth.to_subscriber, "hmac:" OTHER), 0);
	assert_int_equal(check(HEADER), PS_AUTH_FORBIDDEN);
}

static void without_random_bytes_nothing_is_signed(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(65535);

	(void)state;
	random_fails = true;
	assert_int_equal(ps_auth_authorize(&b, &auth.to_subscriber, &message), -EIO);
	assert_int_equal(b.size, 0);
}

static void a_full_replay_table_is_unavailable(void **state)
{
	struct ps_replay_options o = {NULL, 10, 0};

	(void)state;
	ps_replay_close(&auth.replay);
	assert_int_equal(ps_replay_open(&auth.replay, &o), 0);
	assert_int_equal(check(HEADER), PS_AUTH_UNAVAILABLE);
}

static void tokens_are_compared_whole(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(65535);

	(void)state;
	assert_int_equal(ps_auth_parse_secret(&auth.to_subscriber, "token:a:b c"), 0);
	assert_int_equal(check("Bearer a:b c"), PS_AUTH_OK);
	assert_int_equal(check("Bearer a:b c"), PS_AUTH_OK);
	assert_int_equal(check(NULL), PS_AUTH_UNAUTHORIZED);
	assert_int_equal(check("Bearer a:b"), PS_AUTH_FORBIDDEN);
	assert_int_equal(check("Bearer a:b cd"), PS_AUTH_FORBIDDEN);
	assert_int_equal(check("bearer a:b c"), PS_AUTH_FORBIDDEN);
	assert_int_equal(check("Bearer"), PS_AUTH_FORBIDDEN);
	assert_int_equal(ps_auth_authorize(&b, &auth.to_subscriber, &message), 0);
	assert_string_equal(osp_buffer_text(&b), "Bearer a:b c");
	osp_buffer_clear(&b);
}

static void none_accepts_everything_and_sends_nothing(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(65535);

	(void)state;
	assert_int_equal(ps_auth_parse_secret(&auth.to_subscriber, "none"), 0);
	assert_int_equal(check(NULL), PS_AUTH_OK);
	assert_int_equal(check("nonsense"), PS_AUTH_OK);
	assert_int_equal(ps_auth_authorize(&b, &auth.to_subscriber, &message), 0);
	assert_int_equal(b.size, 0);
}

static void bad_secrets_are_refused_and_change_nothing(void **state)
{
	static const char *const bad[] = {
		"hmac:",
		"hmac",
		"hmac:AAEC",
		"hmac:" SECRET "A",
		"token:",
		"token",
		"",
		"basic:abc",
		"hmac:+AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ps_auth_parse_secret(&auth.to_subscriber, bad[i]), -EINVAL);
	assert_int_equal(check(HEADER), PS_AUTH_OK);
}

static void results_have_the_protocols_status(void **state)
{
	(void)state;
	assert_int_equal(ps_auth_result_to_status(PS_AUTH_UNAUTHORIZED), 401);
	assert_int_equal(ps_auth_result_to_status(PS_AUTH_FORBIDDEN), 403);
	assert_int_equal(ps_auth_result_to_status(PS_AUTH_UNAVAILABLE), 503);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_recorded_header_is_accepted),
		TEST(a_header_is_accepted_once),
		TEST(a_refused_header_does_not_use_up_the_right_one),
		TEST(what_does_not_fit_its_field_is_forbidden),
		TEST(a_missing_header_is_unauthorized),
		TEST(clocks_may_differ_by_the_lifetime),
		TEST(a_header_from_a_clock_ahead_cannot_be_replayed_later),
		TEST(blanks_and_padding_are_taken_as_upstream_takes_them),
		TEST(malformed_headers_are_forbidden),
		TEST(a_nonce_over_255_bytes_is_forbidden),
		TEST(a_header_cut_at_any_byte_is_refused),
		TEST(what_is_signed_is_accepted_and_new_each_time),
		TEST(a_stamp_can_be_told_before_and_found_in_what_was_signed),
		TEST(another_secret_is_forbidden),
		TEST(without_random_bytes_nothing_is_signed),
		TEST(a_full_replay_table_is_unavailable),
		TEST(tokens_are_compared_whole),
		TEST(none_accepts_everything_and_sends_nothing),
		TEST(bad_secrets_are_refused_and_change_nothing),
		TEST(results_have_the_protocols_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
