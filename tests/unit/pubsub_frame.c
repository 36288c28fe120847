/* The stateful protocol's messages against what upstream's serializers wrote. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/frame.h"

#define TEXT(s)                                                                                    \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}
static const uint8_t counting[64] = {
	0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
	22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
	44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

#define SIGNED	   .authorization = TEXT("auth"), .tracing = TEXT("tr")
#define IDENTIFIER .identifier = TEXT("\xde\xad\xbe\xef")
#define TOPIC	   .key = TEXT("foo/bar")
#define GLOB	   .key = TEXT("foo/*")
#define DIGEST	   .digest = {counting, 64}
#define NONCE	   .nonce = {counting, 32}
#define HELLO	   .payload = TEXT("hello")

struct vector {
	struct ps_frame frame;
	enum ps_form form;
	const char *hex;
};

#define MINIMAL(hex, ...)                                                                          \
	{                                                                                          \
		{__VA_ARGS__}, PS_FORM_MINIMAL, hex                                                \
	}
#define EXPANDED(hex, ...)                                                                         \
	{                                                                                          \
		{__VA_ARGS__}, PS_FORM_EXPANDED, hex                                               \
	}

/* clang-format off */
static const struct vector vectors[] = {
	MINIMAL("00010001" "0020" NONCE_HEX "000101" "000100" "00020002" AUTH_HEX TRACE_HEX,
		PS_FRAME_CONFIGURE, NONCE, .zstd = true, .dictionary = 2, SIGNED),
	/* none authorization, no tracing: 52 bytes */
	MINIMAL("00010001" "0020" NONCE_HEX "000101" "000101" "00020000" "0000" "0000",
		PS_FRAME_CONFIGURE, NONCE, .zstd = true, .training = true),
	MINIMAL("00010002" AUTH_HEX TRACE_HEX TOPIC_HEX, PS_FRAME_SUBSCRIBE_EXACT, SIGNED, TOPIC),
	MINIMAL("00010003" AUTH_HEX TRACE_HEX GLOB_HEX, PS_FRAME_SUBSCRIBE_GLOB, SIGNED, GLOB),
	MINIMAL("00010004" AUTH_HEX TRACE_HEX TOPIC_HEX, PS_FRAME_UNSUBSCRIBE_EXACT, SIGNED, TOPIC),
	MINIMAL("00010005" AUTH_HEX TRACE_HEX GLOB_HEX, PS_FRAME_UNSUBSCRIBE_GLOB, SIGNED, GLOB),
	MINIMAL("00010006" AUTH_HEX TRACE_HEX ID_HEX TOPIC_HEX "000100" "000105" "000105"
		"0040" DIGEST_HEX "68656c6c6f",
		PS_FRAME_NOTIFY, SIGNED, IDENTIFIER, TOPIC, DIGEST, HELLO, .compressed_length = 5,
		.length = 5),
	/* nothing is in it: lengths in no byte, the compressor in one */
	MINIMAL("00010006" "0000" "0000" ID_HEX "0000" "000100" "0000" "0000" "0040" DIGEST_HEX,
		PS_FRAME_NOTIFY, IDENTIFIER, DIGEST),
	MINIMAL("00010006" AUTH_HEX TRACE_HEX ID_HEX "000174" "0003010000" "000105" "0002012c"
		"0040" DIGEST_HEX "68656c6c6f",
		PS_FRAME_NOTIFY, SIGNED, IDENTIFIER, .key = TEXT("t"), DIGEST, HELLO,
		.compressor = 65536, .compressed_length = 5, .length = 300),
	MINIMAL("00010007" AUTH_HEX TRACE_HEX ID_HEX "000100" TOPIC_HEX "000100" "0003011170"
		"0003011170" "0040" DIGEST_HEX "68656c6c6f",
		PS_FRAME_NOTIFY_STREAM, SIGNED, IDENTIFIER, TOPIC, DIGEST, HELLO,
		.compressed_length = 70000, .length = 70000),
	MINIMAL("00010007" AUTH_HEX TRACE_HEX ID_HEX "00020100" "68656c6c6f",
		PS_FRAME_NOTIFY_STREAM, SIGNED, IDENTIFIER, HELLO, .part = 256),
	MINIMAL("00010008" ID_HEX "0000" AUTH_HEX TRACE_HEX,
		PS_FRAME_CONTINUE_RECEIVE, IDENTIFIER, SIGNED),
	MINIMAL("00010009" ID_HEX AUTH_HEX TRACE_HEX "000400000001",
		PS_FRAME_CONFIRM_RECEIVE, IDENTIFIER, SIGNED, .subscribers = 1),
	MINIMAL("00010001" "0020" NONCE_HEX AUTH_HEX TRACE_HEX,
		PS_FRAME_CONFIRM_CONFIGURE, NONCE, SIGNED),
	MINIMAL("00010002" TOPIC_HEX AUTH_HEX TRACE_HEX,
		PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, TOPIC, SIGNED),
	MINIMAL("00010003" GLOB_HEX AUTH_HEX TRACE_HEX, PS_FRAME_CONFIRM_SUBSCRIBE_GLOB, GLOB, SIGNED),
	MINIMAL("00010004" TOPIC_HEX AUTH_HEX TRACE_HEX,
		PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT, TOPIC, SIGNED),
	MINIMAL("00010005" GLOB_HEX AUTH_HEX TRACE_HEX,
		PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB, GLOB, SIGNED),
	MINIMAL("00010006" ID_HEX "00020102" AUTH_HEX TRACE_HEX,
		PS_FRAME_CONFIRM_NOTIFY, IDENTIFIER, SIGNED, .subscribers = 258),
	MINIMAL("00010007" ID_HEX "000103" AUTH_HEX TRACE_HEX,
		PS_FRAME_CONTINUE_NOTIFY, IDENTIFIER, SIGNED, .part = 3),
	MINIMAL("00010008" AUTH_HEX TRACE_HEX ID_HEX "000100" TOPIC_HEX "000101" "000105" "0002012c"
		"0040" DIGEST_HEX "68656c6c6f",
		PS_FRAME_RECEIVE_STREAM, SIGNED, IDENTIFIER, TOPIC, DIGEST, HELLO, .compressor = 1,
		.compressed_length = 5, .length = 300),
	MINIMAL("00010008" AUTH_HEX TRACE_HEX ID_HEX "000101" "68656c6c6f",
		PS_FRAME_RECEIVE_STREAM, SIGNED, IDENTIFIER, HELLO, .part = 1),
	MINIMAL("00010009" "000101" "0002fff9" "00024000" "0008ffffffffffffffff" AUTH_HEX TRACE_HEX,
		PS_FRAME_ENABLE_ZSTD_PRESET, SIGNED, .compressor = 1, .level = -7,
		.min_size = 0x4000, .max_size = UINT64_MAX),
	MINIMAL("0001000a" "0003010000" "0002000a" "000120" "00024000" AUTH_HEX TRACE_HEX
		"0040" DIGEST_HEX "64696374",
		PS_FRAME_ENABLE_ZSTD_CUSTOM, SIGNED, .compressor = 65536, .level = 10, .min_size = 32,
		.max_size = 16384, DIGEST, .payload = TEXT("dict")),
	MINIMAL("0001000b" "0003010000" AUTH_HEX TRACE_HEX,
		PS_FRAME_DISABLE_ZSTD_CUSTOM, SIGNED, .compressor = 65536),
	MINIMAL("0001000c" AUTH_HEX TRACE_HEX TOPIC_HEX, PS_FRAME_MISSED, SIGNED, TOPIC),
	EXPANDED("000000010006" "0012782d737562736372696265722d6e6f6e6365" "0020" NONCE_HEX
		 "000d782d656e61626c652d7a737464" "000101" "0011782d656e61626c652d747261696e696e67"
		 "000100" "000e782d696e697469616c2d64696374" "00020002"
		 "000d617574686f72697a6174696f6e" AUTH_HEX "0009782d74726163696e67" TRACE_HEX,
		 PS_FRAME_CONFIGURE, NONCE, .zstd = true, .dictionary = 2, SIGNED),
	EXPANDED("000000080004" "000d617574686f72697a6174696f6e" AUTH_HEX "0009782d74726163696e67"
		 TRACE_HEX "000c782d6964656e746966696572" ID_HEX "0009782d706172742d6964" "000101"
		 "68656c6c6f",
		 PS_FRAME_RECEIVE_STREAM, SIGNED, IDENTIFIER, HELLO, .part = 1),
	EXPANDED("000000090006" "000c782d6964656e746966696572" "000101"
		 "0013782d636f6d7072657373696f6e2d6c6576656c" "0002fff9"
		 "000a782d6d696e2d73697a65" "00024000" "000a782d6d61782d73697a65"
		 "0008ffffffffffffffff" "000d617574686f72697a6174696f6e" AUTH_HEX
		 "0009782d74726163696e67" TRACE_HEX,
		 PS_FRAME_ENABLE_ZSTD_PRESET, SIGNED, .compressor = 1, .level = -7,
		 .min_size = 0x4000, .max_size = UINT64_MAX),
};
/* clang-format on */

enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

static void assert_frame_equal(const struct ps_frame *a, const struct ps_frame *b)
{
	assert_int_equal(a->type, b->type);
	assert_true(ps_bytes_equal(a->authorization, b->authorization));
	assert_true(ps_bytes_equal(a->tracing, b->tracing));
	assert_true(ps_bytes_equal(a->identifier, b->identifier));
	assert_true(ps_bytes_equal(a->key, b->key));
	assert_true(ps_bytes_equal(a->nonce, b->nonce));
	assert_true(ps_bytes_equal(a->digest, b->digest));
	assert_true(ps_bytes_equal(a->payload, b->payload));
	assert_true(a->part == b->part && a->compressor == b->compressor);
	assert_true(a->compressed_length == b->compressed_length && a->length == b->length);
	assert_true(a->subscribers == b->subscribers && a->dictionary == b->dictionary);
	assert_true(a->min_size == b->min_size && a->max_size == b->max_size);
	assert_true(a->level == b->level);
	assert_true(a->zstd == b->zstd && a->training == b->training);
}

static void every_message_is_encoded_as_upstream_does(void **state)
{
	bool seen[PS_FRAME_COUNT] = {true};

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct osp_buffer b = OSP_BUFFER_INIT(4096);
		char hex[1000];

		assert_ok(ps_frame_encode(&b, &vectors[i].frame, vectors[i].form));
		assert_true(2 * b.size < sizeof(hex));
		osp_text_hex(hex, b.data, b.size);
		assert_string_equal(hex, vectors[i].hex);
		seen[vectors[i].frame.type] = true;
		osp_buffer_clear(&b);
	}
	for (size_t type = 0; type < PS_FRAME_COUNT; type++)
		assert_true(seen[type]);
}

static void every_message_is_decoded_to_what_it_was(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct ps_bytes message = unhex(vectors[i].hex);
		const char *header = "?";
		struct ps_frame f;

		assert_int_equal(ps_frame_decode(&f, &header,
						 ps_formats[vectors[i].frame.type].sender, message),
				 PS_FRAME_OK);
		assert_null(header);
		assert_frame_equal(&f, &vectors[i].frame);
		drop(message);
	}
}

static void both_forms_say_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct osp_buffer b = OSP_BUFFER_INIT(4096);
		const char *header;
		struct ps_frame f;

		assert_ok(ps_frame_encode(&b, &vectors[i].frame, PS_FORM_EXPANDED));
		assert_int_equal(ps_frame_decode(&f, &header,
						 ps_formats[vectors[i].frame.type].sender,
						 ps_bytes(b.data, b.size)),
				 PS_FRAME_OK);
		assert_frame_equal(&f, &vectors[i].frame);
		osp_buffer_clear(&b);
	}
}

/* Bytes of `frame` before its payload. */
static size_t head_size(const struct vector *v)
{
	return strlen(v->hex) / 2 - v->frame.payload.size;
}

static void a_message_cut_within_its_head_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		for (size_t n = 0; n < head_size(&vectors[i]); n++) {
			struct ps_bytes whole = unhex(vectors[i].hex), cut;
			struct ps_frame f = {.part = 77};
			const char *header;

			cut = ps_bytes(realloc((void *)(uintptr_t)whole.data, n ? n : 1), n);
			assert_int_equal(ps_frame_decode(&f, &header,
							 ps_formats[vectors[i].frame.type].sender,
							 cut),
					 n < 4 ? PS_FRAME_SHORT : PS_FRAME_CUT);
			assert_int_equal(f.part, 77);
			drop(cut);
		}
	}
}

static void values_that_do_not_fit_are_not_encoded(void **state)
{
	static uint8_t big[65536];
	const struct {
		struct ps_frame frame;
		int error;
	} bad[] = {
		{{PS_FRAME_CONFIGURE, .nonce = {big, 31}}, -EINVAL},
		{{PS_FRAME_CONFIGURE, .nonce = {big, 33}}, -EINVAL},
		{{PS_FRAME_CONFIGURE, NONCE, .dictionary = 65536}, -EOVERFLOW},
		{{PS_FRAME_SUBSCRIBE_EXACT, .key = {big, 65536}}, -EOVERFLOW},
		{{PS_FRAME_CONTINUE_NOTIFY, .identifier = {big, 65}}, -EOVERFLOW},
		{{PS_FRAME_CONFIRM_RECEIVE, .subscribers = 1ull << 32}, -EOVERFLOW},
		{{PS_FRAME_NOTIFY, IDENTIFIER}, -EINVAL},
		{{PS_FRAME_ENABLE_ZSTD_PRESET, .level = 32768}, -EOVERFLOW},
		{{PS_FRAME_ENABLE_ZSTD_PRESET, .level = -32769}, -EOVERFLOW},
		{{PS_FRAME_ENABLE_ZSTD_PRESET, .min_size = 1ull << 32}, -EOVERFLOW},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct osp_buffer b = OSP_BUFFER_INIT(1 << 20);

		assert_ok(osp_buffer_add(&b, "kept", 4));
		assert_err(bad[i].error, ps_frame_encode(&b, &bad[i].frame, PS_FORM_MINIMAL));
		assert_int_equal(b.size, 4);
		osp_buffer_clear(&b);
	}
}

static void the_largest_head_fits_its_maximum(void **state)
{
	static uint8_t big[65535];
	const struct ps_bytes most = {big, sizeof(big)};
	struct ps_frame f = {PS_FRAME_RECEIVE_STREAM,
			     most,
			     most,
			     {big, 64},
			     most,
			     DIGEST,
			     .compressor = UINT64_MAX,
			     .compressed_length = UINT64_MAX,
			     .length = UINT64_MAX};
	struct osp_buffer b = OSP_BUFFER_INIT(PS_FRAME_HEAD_MAX);

	(void)state;
	assert_ok(ps_frame_encode(&b, &f, PS_FORM_EXPANDED));
	/* 6; 9 names of 121 bytes with their lengths; 3 values of 65535, 2 of 64, 3 of 8, 1 of 1 */
	assert_int_equal(b.size, 6 + 121 + 9 * 4 + 3 * 65535 + 2 * 64 + 3 * 8 + 1);
	osp_buffer_clear(&b);
}

static void what_is_signed_is_taken_from_the_frame(void **state)
{
	static const struct ps_bytes url = TEXT("websocket:n:1");
	static const struct {
		struct ps_frame frame;
		struct ps_signed expected;
	} cases[] = {
		{{PS_FRAME_CONFIGURE, NONCE, SIGNED, .zstd = true, .dictionary = 48},
		 {.kind = PS_KIND_CONFIGURE, .identifier = {counting, 32}, .numbers = {1, 0, 48}}},
		{{PS_FRAME_CONFIRM_CONFIGURE, NONCE, SIGNED},
		 {.kind = PS_KIND_CONFIRM_CONFIGURE, .identifier = {counting, 32}}},
		{{PS_FRAME_UNSUBSCRIBE_GLOB, GLOB, SIGNED},
		 {.kind = PS_KIND_SUBSCRIBE_GLOB, .key = TEXT("foo/*")}},
		{{PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT, TOPIC, SIGNED},
		 {.kind = PS_KIND_CONFIRM_SUBSCRIBE_EXACT, .key = TEXT("foo/bar")}},
		{{PS_FRAME_RECEIVE_STREAM, SIGNED, IDENTIFIER, TOPIC, DIGEST},
		 {.kind = PS_KIND_RECEIVE, .key = TEXT("foo/bar"), IDENTIFIER, .digest = counting}},
		{{PS_FRAME_CONTINUE_RECEIVE, SIGNED, IDENTIFIER, .part = 7},
		 {.kind = PS_KIND_CONTINUE_RECEIVE, IDENTIFIER, .numbers = {7}}},
		{{PS_FRAME_CONFIRM_NOTIFY, SIGNED, IDENTIFIER, TOPIC, DIGEST, .subscribers = 2},
		 {.kind = PS_KIND_CONFIRM_NOTIFY,
		  .key = TEXT("foo/bar"),
		  IDENTIFIER,
		  .digest = counting,
		  .numbers = {2}}},
		{{PS_FRAME_ENABLE_ZSTD_CUSTOM, SIGNED, DIGEST, .compressor = 65536, .level = -1,
		  .min_size = 32, .max_size = 64},
		 {.kind = PS_KIND_ENABLE_ZSTD_CUSTOM,
		  .digest = counting,
		  .numbers = {65536, UINT64_MAX, 32, 64}}},
		{{PS_FRAME_DISABLE_ZSTD_CUSTOM, SIGNED, .compressor = 65536},
		 {.kind = PS_KIND_DISABLE_ZSTD_CUSTOM, .numbers = {65536}}},
		{{PS_FRAME_MISSED, SIGNED, TOPIC},
		 {.kind = PS_KIND_MISSED,
		  .key = TEXT("foo/bar"),
		  .recovery = TEXT("websocket:n:1")}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ps_signed *e = &cases[i].expected;
		struct ps_signed m = ps_frame_signed(&cases[i].frame, url);

		assert_int_equal(m.kind, e->kind);
		assert_true(ps_bytes_equal(m.tracing, ps_bytes_text("tr")));
		assert_true(ps_bytes_equal(m.url, url));
		assert_true(ps_bytes_equal(m.recovery, e->recovery));
		assert_true(ps_bytes_equal(m.key, e->key));
		assert_true(ps_bytes_equal(m.identifier, e->identifier));
		assert_ptr_equal(m.digest, e->digest);
		assert_memory_equal(m.numbers, e->numbers, sizeof(m.numbers));
	}
}

RUN_TESTS(TEST(every_message_is_encoded_as_upstream_does),
	  TEST(every_message_is_decoded_to_what_it_was), TEST(both_forms_say_the_same),
	  TEST(a_message_cut_within_its_head_is_refused),
	  TEST(values_that_do_not_fit_are_not_encoded), TEST(the_largest_head_fits_its_maximum),
	  TEST(what_is_signed_is_taken_from_the_frame))
