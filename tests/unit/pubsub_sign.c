/* The signed bytes of all kinds, the etag, and one whole header, against recorded vectors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "probes/pubsub/ps_etag.h"
#include "probes/pubsub/ps_sign.h"
#include "user/base/text.h"

#define URL	  "http://127.0.0.1:3002/v1/receive"
#define RECOVERY  "http://127.0.0.1:3002/v1/recover"
#define WEBSOCKET "websocket:Gxax31OLoS3D+X7buFyqcFDUbBSBNCkP66gPgjbIPbk=:-1a"
#define SECONDS	  1700000000
#define NONCE	  "AbCd-_"

static const uint8_t tracing[] = {1, 2, 3}, dead_beef[] = {0xde, 0xad, 0xbe, 0xef};
static const uint8_t zeros[32];
static uint8_t hello[PS_DIGEST_SIZE], etag[PS_DIGEST_SIZE], key[PS_DIGEST_SIZE];

#define TEXT(s)	 ((struct ps_bytes){s, sizeof(s) - 1})
#define BYTES(b) ((struct ps_bytes){b, sizeof(b)})

struct vector {
	struct ps_signed m;
	size_t size;
	const char *sha256, *mac; /* the first 8 bytes */
};

#define IDENTIFIER .identifier = BYTES(dead_beef)

static const struct vector vectors[] = {
	{{.kind = 1, .url = TEXT(URL), .recovery = TEXT(RECOVERY), .key = TEXT("foo/bar")},
	 98,
	 "12b8c9a851c5419d",
	 "afcf7ef17f6c6b17"},
	{{.kind = 2, .url = TEXT(URL), .key = TEXT("foo/*")},
	 64,
	 "e583abecb176d392",
	 "95f6eb508c5d745e"},
	{{.kind = 3, .key = TEXT("foo/bar"), IDENTIFIER, .digest = hello},
	 99,
	 "28dd7183810e259c",
	 "b4968d54f06008b0"},
	{{.kind = 4, .identifier = BYTES(zeros), .numbers = {1, 0, 2}},
	 58,
	 "70ca308f5d173561",
	 "64b13b3ce5a0d50f"},
	{{.kind = 5, .url = TEXT(URL)}, 55, "3ed487308e3dbba6", "551ce002562da85a"},
	{{.kind = 6, .url = TEXT(URL), .digest = etag},
	 120,
	 "c7529663347ab8cb",
	 "9405546d87079335"},
	{{.kind = 7, IDENTIFIER, .numbers = {3}, .url = TEXT(WEBSOCKET)},
	 87,
	 "0c2b100ba9af00fc",
	 "bd618b03e6b32c76"},
	{{.kind = 8, IDENTIFIER, .numbers = {1}, .url = TEXT(URL)},
	 64,
	 "f94610232e5ea8bf",
	 "4906e0d3eba25de4"},
	{{.kind = 9, .key = TEXT("foo/bar"), .url = TEXT(RECOVERY)},
	 64,
	 "72f5c53a961771d7",
	 "e5e1b2bcc2edd9b4"},
	{{.kind = 10,
	  .url = TEXT(URL),
	  .key = TEXT("foo/bar"),
	  .identifier = {zeros, 8},
	  .digest = hello},
	 137,
	 "6cffe679e1832cee",
	 "a1139fa30bc0a9e0"},
	{{.kind = 11, .recovery = TEXT(RECOVERY), .key = TEXT("foo/bar")},
	 64,
	 "ad62b4ee68a244ce",
	 "5e086d72e93b5830"},
	{{.kind = 12, .url = TEXT(URL), .recovery = TEXT(RECOVERY), .key = TEXT("foo/bar")},
	 98,
	 "4b75e99026e95e4d",
	 "28076acca6618408"},
	{{.kind = 13, .url = TEXT(URL), .key = TEXT("foo/*")},
	 64,
	 "a81cf4f952fc5abe",
	 "a55f97cbaac385b8"},
	{{.kind = 14, IDENTIFIER, .numbers = {2}, .key = TEXT("foo/bar"), .digest = hello},
	 103,
	 "70f576ee064632cd",
	 "657429b459aa78be"},
	{{.kind = 15, .digest = etag}, 86, "b7e7469bc2757a81", "17f8698496935b57"},
	{{.kind = 16, .digest = etag}, 86, "4dc254045bad1149", "d41d077254df8155"},
	{{.kind = 17, .identifier = BYTES(zeros)}, 54, "b4661d1fca2f9267", "70bf631c4c5cc9bb"},
	{{.kind = 18, .url = TEXT(WEBSOCKET), .numbers = {1, 3, 16384, UINT64_MAX}},
	 105,
	 "96e61e99705ec943",
	 "9a3a848fda0f3516"},
	{{.kind = 19, .url = TEXT(WEBSOCKET), .numbers = {65536, 10, 32, 16384}, .digest = hello},
	 169,
	 "b205f0690dbd99eb",
	 "d27a55a7bd378b26"},
	{{.kind = 20, .numbers = {65536}, .url = TEXT(WEBSOCKET)},
	 85,
	 "1ce87c950221a7a1",
	 "6e9f708793a49566"},
	{{.kind = 21, IDENTIFIER, .numbers = {3}}, 30, "16fa2c45f09fae60", "61603bc5d7facbb3"},
};

static int set_up(void **state)
{
	static const char foo_bar[] = "\0\7foo/bar\0\40" RECOVERY, foo_any[] = "\0\5foo/*\0\0";
	struct ps_list exact = {TEXT(foo_bar), 1}, globs = {TEXT(foo_any), 1};

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	return ps_digest_of(TEXT("hello"), hello) || ps_etag_of(etag, TEXT(URL), &exact, &globs);
}

static void assert_starts_with_hex(const uint8_t *bytes, const char *hex)
{
	char text[17];

	osp_text_hex(text, bytes, 8);
	assert_string_equal(text, hex);
}

static void signed_bytes_and_macs_of_all_kinds_match_the_vectors(void **state)
{
	(void)state;
	assert_int_equal(sizeof(vectors) / sizeof(vectors[0]), PS_KIND_COUNT - 1);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct osp_buffer b = OSP_BUFFER_INIT(4096);
		struct ps_signed m = vectors[i].m;
		uint8_t hash[32], mac[PS_DIGEST_SIZE];

		m.tracing = BYTES(tracing);
		assert_int_equal(m.kind, i + 1);
		assert_int_equal(ps_sign_encode(&b, &m, SECONDS, TEXT(NONCE)), 0);
		assert_int_equal(ps_sign_mac(mac, BYTES(key), &m, SECONDS, TEXT(NONCE)), 0);

		assert_int_equal(b.size, vectors[i].size);
		assert_int_equal(EVP_Digest(b.data, b.size, hash, NULL, EVP_sha256(), NULL), 1);
		assert_starts_with_hex(hash, vectors[i].sha256);
		assert_starts_with_hex(mac, vectors[i].mac);
		osp_buffer_clear(&b);
	}
}

static void signed_bytes_of_kind_7_are_as_recorded(void **state)
{
	static const char expected[] = "07"
				       "000000006553f100"
				       "06"
				       "416243642d5f"
				       "0003"
				       "010203"
				       "04"
				       "deadbeef"
				       "03"
				       "003a";
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	struct ps_signed m = vectors[6].m;
	char text[2 * 29 + 1];

	(void)state;
	m.tracing = BYTES(tracing);
	assert_int_equal(ps_sign_encode(&b, &m, SECONDS, TEXT(NONCE)), 0);
	osp_text_hex(text, b.data, 29);
	assert_string_equal(text, expected);
	assert_memory_equal(b.data + 29, WEBSOCKET, sizeof(WEBSOCKET) - 1);
	osp_buffer_clear(&b);
}

static void etag_matches_the_vector(void **state)
{
	char text[2 * PS_DIGEST_SIZE + 1];

	(void)state;
	osp_text_hex(text, etag, sizeof(etag));
	assert_string_equal(text,
			    "52ded28b85c4c735371ea32281c8c4b821202994972eddd0a10450cad1c1a7a7"
			    "23142817f116ce110f5b697c44f725a5effb8705c5938640bf065fedf73fe296");
}

static void etag_covers_the_recovery_url(void **state)
{
	static const struct ps_list with = {TEXT("\0\1a\0\10http://r"), 1},
				    without = {TEXT("\0\1a\0\0"), 1}, none = {{NULL, 0}, 0};
	uint8_t a[PS_DIGEST_SIZE], b[PS_DIGEST_SIZE];

	(void)state;
	assert_int_equal(ps_etag_of(a, TEXT(URL), &with, &none), 0);
	assert_int_equal(ps_etag_of(b, TEXT(URL), &without, &none), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void etag_tells_topics_from_globs(void **state)
{
	static const struct ps_list one = {TEXT("\0\1a\0\0"), 1}, none = {{NULL, 0}, 0};
	uint8_t a[PS_DIGEST_SIZE], b[PS_DIGEST_SIZE];

	(void)state;
	assert_int_equal(ps_etag_of(a, TEXT(URL), &one, &none), 0);
	assert_int_equal(ps_etag_of(b, TEXT(URL), &none, &one), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void numbers_over_their_width_are_refused(void **state)
{
	static const struct ps_signed bad[] = {
		{.kind = 18, .url = TEXT(URL), .numbers = {1, 1ull << 31, 0, 0}},
		{.kind = 18, .url = TEXT(URL), .numbers = {1, (uint64_t)INT32_MIN - 1, 0, 0}},
		{.kind = 21, IDENTIFIER, .numbers = {1ull << 32}},
		{.kind = 8, IDENTIFIER, .numbers = {1ull << 32}, .url = TEXT(URL)},
		{.kind = 4, .identifier = BYTES(zeros), .numbers = {1, 0, 65536}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct osp_buffer b = OSP_BUFFER_INIT(4096);

		assert_int_equal(ps_sign_encode(&b, &bad[i], SECONDS, TEXT(NONCE)), -EOVERFLOW);
		osp_buffer_clear(&b);
	}
}

/* The signed bytes behind the tracing, of a message that has none. */
static void assert_fields(const struct ps_signed *m, const char *expected)
{
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	const size_t prefix = 1 + 8 + 1 + 6 + 2;
	char text[200];

	assert_int_equal(ps_sign_encode(&b, m, SECONDS, TEXT(NONCE)), 0);
	assert_true(2 * (b.size - prefix) < sizeof(text));
	osp_text_hex(text, b.data + prefix, b.size - prefix);
	assert_string_equal(text, expected);
	osp_buffer_clear(&b);
}

static void of_a_part_beyond_255_the_lowest_byte_is_signed(void **state)
{
	struct ps_signed m = {.kind = 7, IDENTIFIER, .numbers = {255}, .url = TEXT("w")};

	(void)state;
	assert_fields(&m, "04deadbeefff000177");
	m.numbers[0] = 256;
	assert_fields(&m, "04deadbeef00000177");
	m.numbers[0] = UINT64_MAX - 1;
	assert_fields(&m, "04deadbeeffe000177");
}

static void a_negative_level_is_signed_in_twos_complement(void **state)
{
	struct ps_signed m = {.kind = 18, .url = TEXT("w"), .numbers = {2, (uint64_t)-7, 32, 64}};

	(void)state;
	assert_fields(&m, "000177"
			  "00000002"
			  "fffffff9"
			  "0000000000000020"
			  "0000000000000040");
	m.numbers[1] = (uint64_t)INT32_MIN;
	assert_fields(&m, "000177"
			  "00000002"
			  "80000000"
			  "0000000000000020"
			  "0000000000000040");
}

static void an_unknown_kind_is_refused(void **state)
{
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	struct ps_signed m = {.kind = PS_KIND_COUNT};

	(void)state;
	assert_int_equal(ps_sign_encode(&b, &m, SECONDS, TEXT(NONCE)), -EINVAL);
	assert_int_equal(b.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signed_bytes_and_macs_of_all_kinds_match_the_vectors),
		cmocka_unit_test(signed_bytes_of_kind_7_are_as_recorded),
		cmocka_unit_test(etag_matches_the_vector),
		cmocka_unit_test(etag_covers_the_recovery_url),
		cmocka_unit_test(etag_tells_topics_from_globs),
		cmocka_unit_test(numbers_over_their_width_are_refused),
		cmocka_unit_test(of_a_part_beyond_255_the_lowest_byte_is_signed),
		cmocka_unit_test(a_negative_level_is_signed_in_twos_complement),
		cmocka_unit_test(an_unknown_kind_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
