/* Base64 as the peers write it, and the Repr-Digest header. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "probes/pubsub/ps_digest.h"

static void a_streamed_digest_equals_that_of_the_whole(void **state)
{
	struct ps_digest d = {0};
	uint8_t whole[PS_DIGEST_SIZE], streamed[PS_DIGEST_SIZE];

	(void)state;
	assert_int_equal(ps_digest_of(ps_bytes_text("hello world"), whole), 0);
	assert_int_equal(ps_digest_start(&d), 0);
	assert_int_equal(ps_digest_add(&d, "hello ", 6), 0);
	assert_int_equal(ps_digest_add(&d, "", 0), 0);
	assert_int_equal(ps_digest_add(&d, "world", 5), 0);
	assert_int_equal(ps_digest_stop(&d, streamed), 0);
	assert_memory_equal(whole, streamed, sizeof(whole));
}

static void base64_of_both_alphabets(void **state)
{
	static const uint8_t bytes[] = {0xfb, 0xff, 0xfe, 0x01};
	uint8_t back[4];
	char text[16];

	(void)state;
	ps_digest_to_base64(text, ps_bytes(bytes, sizeof(bytes)));
	assert_string_equal(text, "+//+AQ==");
	assert_int_equal(ps_digest_from_base64(back, 4, ps_bytes_text(text), false), 0);
	assert_memory_equal(back, bytes, 4);
	ps_digest_to_base64url(text, ps_bytes(bytes, sizeof(bytes)));
	assert_string_equal(text, "-__-AQ");
	assert_int_equal(ps_digest_from_base64(back, 4, ps_bytes_text(text), true), 0);
	assert_memory_equal(back, bytes, 4);
}

static void base64_of_another_size_is_refused(void **state)
{
	uint8_t back[64];

	(void)state;
	assert_int_equal(ps_digest_from_base64(back, 4, ps_bytes_text("AAAA"), false), -EINVAL);
	assert_int_equal(ps_digest_from_base64(back, 4, ps_bytes_text("AAAAAAA"), false), -EINVAL);
	assert_int_equal(ps_digest_from_base64(back, 4, ps_bytes_text(""), false), -EINVAL);
	assert_int_equal(ps_digest_from_base64(back, 64, ps_bytes_text("===="), false), -EINVAL);
}

static void the_digest_header_round_trips(void **state)
{
	char text[8 + PS_DIGEST_BASE64 + 1];
	uint8_t digest[PS_DIGEST_SIZE], back[PS_DIGEST_SIZE];

	(void)state;
	assert_int_equal(ps_digest_of(ps_bytes_text("hello"), digest), 0);
	ps_digest_format_header(text, digest);
	assert_int_equal(strlen(text), 96);
	assert_memory_equal(text, "sha-512=m3HSJL1i83hdltRq0+o9", 28);
	assert_int_equal(ps_digest_parse_header(back, text), 0);
	assert_memory_equal(back, digest, sizeof(digest));
}

#define GOOD                                                                                       \
	"m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw=="

static void digest_headers_are_taken_from_a_list_and_refused_when_malformed(void **state)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{"sha-512=" GOOD, 0},
		{"sha-256=AAAA,sha-512=" GOOD, 0},
		{"sha-512=" GOOD ",sha-256=AAAA", 0},
		{"", -EINVAL},
		{",,,", -EINVAL},
		{"sha-512=", -EINVAL},
		{"sha512=" GOOD, -EINVAL},
		{"SHA-512=" GOOD, -EINVAL},
		{"sha-256=" GOOD, -EINVAL},
		{" sha-512=" GOOD, -EINVAL},
		{"sha-256=AAAA, sha-512=" GOOD, -EINVAL},
		{"sha-512=:" GOOD ":", -EINVAL},
		{"sha-512=" GOOD "=", -EINVAL},
		{"sha-512=AAAA", -EINVAL},
	};
	uint8_t back[PS_DIGEST_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ps_digest_parse_header(back, cases[i].text), cases[i].result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_streamed_digest_equals_that_of_the_whole),
		cmocka_unit_test(base64_of_both_alphabets),
		cmocka_unit_test(base64_of_another_size_is_refused),
		cmocka_unit_test(the_digest_header_round_trips),
		cmocka_unit_test(digest_headers_are_taken_from_a_list_and_refused_when_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
