/* Bodies on the wire: the recorded sample, round trips, and every way to cut them short. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "probes/pubsub/ps_message.h"
#include "user/base/text.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

static void assert_bytes_equal(struct ps_bytes a, struct ps_bytes b)
{
	assert_int_equal(a.size, b.size);
	if (a.size)
		assert_memory_equal(a.data, b.data, a.size);
}

/* An exact copy on the heap, so that a read past its end is caught by the sanitizer. */
static struct ps_bytes copy(const uint8_t *data, size_t size)
{
	void *p = malloc(size ? size : 1);

	assert_non_null(p);
	if (size)
		memcpy(p, data, size);
	return ps_bytes(p, size);
}

static void drop(struct ps_bytes b)
{
	free((void *)(uintptr_t)b.data);
}

static void notify_matches_the_recorded_sample(void **state)
{
	static const uint8_t identifier[] = {0x58, 0x9a, 0x67, 0xfc};
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_notify m = {TEXT("foo/bar"), digest, TEXT("req"), ps_bytes(identifier, 4), 5},
			 back;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	char hex[2 * 96 + 1];
	size_t used;

	(void)state;
	assert_int_equal(ps_digest_of(TEXT("hello"), digest), 0);
	assert_int_equal(ps_message_encode_notify(&b, &m), 0);
	assert_int_equal(osp_buffer_add(&b, "hello", 5), 0);

	assert_int_equal(b.size, 96);
	osp_text_hex(hex, b.data, b.size);
	assert_memory_equal(hex, "0007666f6f2f6261729b71d224", 26);
	assert_memory_equal(hex + 2 * (9 + 61), "dec043", 6);
	assert_string_equal(hex + 2 * 73, "000372657104589a67fc000000000000000568656c6c6f");
	assert_int_equal(ps_message_decode_notify(&back, ps_bytes(b.data, b.size), &used), 0);
	assert_int_equal(used, 91);
	assert_bytes_equal(back.topic, m.topic);
	assert_bytes_equal(back.tracing, m.tracing);
	assert_bytes_equal(back.identifier, m.identifier);
	assert_memory_equal(back.digest, digest, sizeof(digest));
	assert_int_equal(back.length, 5);
	osp_buffer_clear(&b);
}

static void a_notify_head_is_complete_only_at_its_last_byte(void **state)
{
	uint8_t digest[PS_DIGEST_SIZE] = {1};
	struct ps_notify m = {TEXT("t"), digest, TEXT("tr"), TEXT("i"), UINT64_MAX}, back;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	size_t used = 77;

	(void)state;
	assert_int_equal(ps_message_encode_notify(&b, &m), 0);
	for (size_t n = 0; n < b.size; n++) {
		struct ps_bytes cut = copy(b.data, n);

		assert_int_equal(ps_message_decode_notify(&back, cut, &used), -EAGAIN);
		assert_int_equal(used, 77);
		drop(cut);
	}
	assert_int_equal(ps_message_decode_notify(&back, ps_bytes(b.data, b.size), &used), 0);
	assert_true(back.length == UINT64_MAX);
	osp_buffer_clear(&b);
}

static void a_receive_head_is_complete_only_at_its_last_byte(void **state)
{
	struct ps_receive m = {TEXT("tr"), TEXT("topic"), TEXT("id"), 7}, back;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	size_t used;

	(void)state;
	assert_int_equal(ps_message_encode_receive(&b, &m), 0);
	for (size_t n = 0; n < b.size; n++) {
		struct ps_bytes cut = copy(b.data, n);

		assert_int_equal(ps_message_decode_receive(&back, cut, &used), -EAGAIN);
		drop(cut);
	}
	assert_int_equal(ps_message_decode_receive(&back, ps_bytes(b.data, b.size), &used), 0);
	assert_int_equal(used, b.size);
	assert_bytes_equal(back.tracing, m.tracing);
	assert_bytes_equal(back.topic, m.topic);
	assert_bytes_equal(back.identifier, m.identifier);
	assert_int_equal(back.length, 7);
	osp_buffer_clear(&b);
}

static void the_largest_heads_fit_their_maximum(void **state)
{
	static uint8_t big[PS_TOPIC_MAX], digest[PS_DIGEST_SIZE];
	struct ps_bytes most = ps_bytes(big, sizeof(big)), identifier = ps_bytes(big, 255);
	struct ps_notify notify = {most, digest, most, identifier, 1}, back;
	struct ps_receive receive = {most, most, identifier, 1};
	struct osp_buffer b = OSP_BUFFER_INIT(1 << 20);
	size_t used;

	(void)state;
	assert_int_equal(ps_message_encode_notify(&b, &notify), 0);
	assert_int_equal(b.size, PS_NOTIFY_HEAD_MAX);
	assert_int_equal(ps_message_decode_notify(&back, ps_bytes(b.data, b.size), &used), 0);
	osp_buffer_reset(&b);
	assert_int_equal(ps_message_encode_receive(&b, &receive), 0);
	assert_int_equal(b.size, PS_RECEIVE_HEAD_MAX);
	osp_buffer_clear(&b);
}

static void values_over_their_field_are_not_encoded(void **state)
{
	static uint8_t big[PS_TOPIC_MAX + 1], digest[PS_DIGEST_SIZE];
	struct ps_notify topic = {ps_bytes(big, sizeof(big)), digest, {NULL, 0}, {NULL, 0}, 0};
	struct ps_notify identifier = {{NULL, 0}, digest, {NULL, 0}, ps_bytes(big, 256), 0};
	struct osp_buffer b = OSP_BUFFER_INIT(1 << 20);

	(void)state;
	assert_int_equal(ps_message_encode_notify(&b, &topic), -EOVERFLOW);
	assert_int_equal(ps_message_encode_notify(&b, &identifier), -EOVERFLOW);
	osp_buffer_clear(&b);
}

static void subscribe_round_trips_and_is_refused_cut_or_extended(void **state)
{
	for (int recovery = 0; recovery < 2; recovery++) {
		struct ps_subscribe m = {TEXT("http://a/"), TEXT("k"), TEXT("http://r/"),
					 TEXT("tr")};
		struct ps_subscribe back;
		struct osp_buffer b = OSP_BUFFER_INIT(4096);

		(void)state;
		assert_int_equal(ps_message_encode_subscribe(&b, &m, recovery), 0);
		for (size_t n = 0; n < b.size; n++) {
			struct ps_bytes cut = copy(b.data, n);

			assert_int_equal(ps_message_decode_subscribe(&back, cut, true, recovery),
					 -EBADMSG);
			drop(cut);
		}
		assert_int_equal(ps_message_decode_subscribe(&back, ps_bytes(b.data, b.size), true,
							     recovery),
				 0);
		assert_bytes_equal(back.url, m.url);
		assert_bytes_equal(back.key, m.key);
		assert_int_equal(back.recovery.size, recovery ? 9 : 0);
		assert_bytes_equal(back.tracing, m.tracing);
		assert_int_equal(osp_buffer_add(&b, "", 1), 0);
		assert_int_equal(ps_message_decode_subscribe(&back, ps_bytes(b.data, b.size), true,
							     recovery),
				 -EBADMSG);
		osp_buffer_clear(&b);
	}
}

static void text_fields_must_be_utf8_but_a_topic_need_not(void **state)
{
	struct ps_subscribe m = {TEXT("http://a/"), TEXT("\xff"), {NULL, 0}, {NULL, 0}}, back;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);

	(void)state;
	assert_int_equal(ps_message_encode_subscribe(&b, &m, true), 0);
	assert_int_equal(ps_message_decode_subscribe(&back, ps_bytes(b.data, b.size), false, true),
			 0);
	assert_int_equal(ps_message_decode_subscribe(&back, ps_bytes(b.data, b.size), true, true),
			 -EILSEQ);
	osp_buffer_reset(&b);
	m.url = TEXT("http://\xc0/");
	m.key = TEXT("k");
	assert_int_equal(ps_message_encode_subscribe(&b, &m, true), 0);
	assert_int_equal(ps_message_decode_subscribe(&back, ps_bytes(b.data, b.size), false, true),
			 -EILSEQ);
	osp_buffer_clear(&b);
}

static void missed_round_trips_and_is_refused_cut(void **state)
{
	struct ps_missed m = {TEXT("tr"), TEXT("topic")}, back;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);

	(void)state;
	assert_int_equal(ps_message_encode_missed(&b, &m), 0);
	for (size_t n = 0; n < b.size; n++)
		assert_int_equal(ps_message_decode_missed(&back, ps_bytes(b.data, n)), -EBADMSG);
	assert_int_equal(ps_message_decode_missed(&back, ps_bytes(b.data, b.size)), 0);
	assert_bytes_equal(back.topic, m.topic);
	osp_buffer_clear(&b);
}

static void check_is_read_as_recorded_and_refused_cut_or_extended(void **state)
{
	static const uint8_t body[] = "\0\2tr\0\11http://a/+";
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	struct ps_check m;

	(void)state;
	for (size_t n = 0; n < 15; n++) {
		struct ps_bytes cut = copy(body, n);

		assert_int_equal(ps_message_decode_check(&m, cut), -EBADMSG);
		drop(cut);
	}
	assert_int_equal(ps_message_decode_check(&m, ps_bytes(body, 16)), -EBADMSG);
	assert_int_equal(ps_message_decode_check(&m, ps_bytes(body, 15)), 0);
	assert_bytes_equal(m.tracing, TEXT("tr"));
	assert_bytes_equal(m.url, TEXT("http://a/"));
	assert_int_equal(ps_message_encode_check(&b, &m), 0);
	assert_bytes_equal(ps_bytes(b.data, b.size), ps_bytes(body, 15));
	assert_int_equal(ps_message_decode_check(&m, TEXT("\0\0\0\1\xff")), -EILSEQ);
	osp_buffer_clear(&b);
}

#define ETAG_16 "0123456789abcdef"
#define ETAG	ETAG_16 ETAG_16 ETAG_16 ETAG_16
#define SET	"\0\2tr\0\11http://a/"
#define LISTS	"\0\0\0\2\0\1a\0\1r\0\1b\0\0\0\0\0\1\0\1*\0\0"

static void set_is_read_as_recorded_and_refused_cut_or_extended(void **state)
{
	static const uint8_t body[] = SET "\0" ETAG LISTS "+";
	const size_t size = sizeof(body) - 2;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	struct ps_set m;

	(void)state;
	for (size_t n = 0; n < size; n++) {
		struct ps_bytes cut = copy(body, n);

		assert_int_equal(ps_message_decode_set(&m, cut), -EBADMSG);
		drop(cut);
	}
	assert_int_equal(ps_message_decode_set(&m, ps_bytes(body, size + 1)), -EBADMSG);
	assert_int_equal(ps_message_decode_set(&m, ps_bytes(body, size)), 0);
	assert_bytes_equal(m.tracing, TEXT("tr"));
	assert_bytes_equal(m.url, TEXT("http://a/"));
	assert_memory_equal(m.etag, ETAG, PS_DIGEST_SIZE);
	assert_int_equal(m.exact.count, 2);
	assert_bytes_equal(m.exact.packed, TEXT("\0\1a\0\1r\0\1b\0\0"));
	assert_int_equal(m.globs.count, 1);
	assert_bytes_equal(m.globs.packed, TEXT("\0\1*\0\0"));
	assert_int_equal(ps_message_encode_set(&b, &m), 0);
	assert_bytes_equal(ps_bytes(b.data, b.size), ps_bytes(body, size));
	osp_buffer_clear(&b);
}

static void set_is_refused_with_the_reason(void **state)
{
	const struct {
		struct ps_bytes body;
		int error;
	} bad[] = {
		{TEXT(SET "\1" ETAG LISTS), -EPROTONOSUPPORT},
		{TEXT("\0\0\0\1\xff\0" ETAG LISTS), -EILSEQ},
		{TEXT(SET "\0" ETAG "\0\0\0\2\0\1b\0\0\0\1a\0\0\0\0\0\0"), -EINVAL},
		{TEXT(SET "\0" ETAG "\0\0\0\2\0\1a\0\0\0\1a\0\0\0\0\0\0"), -EEXIST},
		{TEXT(SET "\0" ETAG "\0\0\0\0\0\0\0\2\0\1b\0\0\0\1a\0\0"), -EINVAL},
		{TEXT(SET "\0" ETAG "\0\0\0\0\0\0\0\1\0\1\xff\0\0"), -EILSEQ},
		{TEXT(SET "\0" ETAG "\xff\xff\xff\xff\0\1a\0\0"), -EBADMSG},
	};
	struct ps_set m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ps_message_decode_set(&m, bad[i].body), bad[i].error);
	assert_int_equal(ps_message_decode_set(&m, TEXT(SET "\0" ETAG "\0\0\0\0\0\0\0\0")), 0);
	assert_int_equal(m.exact.count + m.globs.count, 0);
}

static void the_etag_of_a_check_is_read_as_recorded(void **state)
{
	static const uint8_t body[] = "\0\5\0\1A\0\1T\0" ETAG;
	struct osp_buffer b = OSP_BUFFER_INIT(4096);
	struct ps_response m;

	(void)state;
	for (size_t n = 0; n < 73; n++)
		assert_int_equal(ps_message_decode_response(&m, ps_bytes(body, n)), -EBADMSG);
	assert_int_equal(ps_message_decode_response(&m, ps_bytes(body, 73)), 0);
	assert_int_equal(m.type, PS_RESPONSE_CHECK_SUBSCRIPTIONS);
	assert_bytes_equal(m.authorization, TEXT("A"));
	assert_bytes_equal(m.tracing, TEXT("T"));
	assert_memory_equal(m.etag, ETAG, PS_DIGEST_SIZE);
	assert_int_equal(ps_message_encode_response(&b, &m), 0);
	assert_bytes_equal(ps_bytes(b.data, b.size), ps_bytes(body, 73));
	assert_int_equal(ps_message_decode_response(&m, TEXT("\0\5\0\0\0\0\1" ETAG)),
			 -EPROTONOSUPPORT);
	osp_buffer_clear(&b);
}

static void responses_round_trip_and_are_refused_cut_or_extended(void **state)
{
	static const enum ps_response_type types[] = {
		PS_RESPONSE_GENERIC, PS_RESPONSE_NOTIFY, PS_RESPONSE_CONFIRM_RECEIVE,
		PS_RESPONSE_CONFIRM_MISSED, PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct ps_response m = {types[i],   TEXT("auth"), TEXT("tr"),
					TEXT("id"), 0x01020304,	  NULL};
		struct ps_response back;
		struct osp_buffer b = OSP_BUFFER_INIT(4096);

		assert_int_equal(ps_message_encode_response(&b, &m), 0);
		for (size_t n = 0; n < b.size; n++) {
			struct ps_bytes cut = copy(b.data, n);

			assert_int_equal(ps_message_decode_response(&back, cut), -EBADMSG);
			drop(cut);
		}
		assert_int_equal(ps_message_decode_response(&back, ps_bytes(b.data, b.size)), 0);
		assert_int_equal(back.type, types[i]);
		if (types[i] == PS_RESPONSE_NOTIFY || types[i] == PS_RESPONSE_CONFIRM_RECEIVE) {
			assert_int_equal(back.subscribers, 0x01020304);
			assert_bytes_equal(back.identifier, m.identifier);
		}
		assert_int_equal(osp_buffer_add(&b, "", 1), 0);
		assert_int_equal(ps_message_decode_response(&back, ps_bytes(b.data, b.size)),
				 -EBADMSG);
		osp_buffer_clear(&b);
	}
}

static void response_layouts_are_those_of_the_protocol(void **state)
{
	static const uint8_t notify[] = {0, 4, 0, 1, 'A', 0, 1, 'T', 0, 0, 0, 9, 2, 'i', 'd'};
	static const uint8_t receive[] = {0, 8, 0, 1, 'A', 0, 1, 'T', 2, 'i', 'd', 0, 0, 0, 9};
	struct ps_response m = {PS_RESPONSE_NOTIFY, TEXT("A"), TEXT("T"), TEXT("id"), 9, NULL};
	struct osp_buffer b = OSP_BUFFER_INIT(4096);

	(void)state;
	assert_int_equal(ps_message_encode_response(&b, &m), 0);
	assert_bytes_equal(ps_bytes(b.data, b.size), ps_bytes(notify, sizeof(notify)));
	osp_buffer_reset(&b);
	m.type = PS_RESPONSE_CONFIRM_RECEIVE;
	assert_int_equal(ps_message_encode_response(&b, &m), 0);
	assert_bytes_equal(ps_bytes(b.data, b.size), ps_bytes(receive, sizeof(receive)));
	osp_buffer_clear(&b);
}

static void unknown_response_types_are_refused(void **state)
{
	struct ps_response back;

	(void)state;
	for (unsigned type = 0; type < 300; type++) {
		uint8_t body[6] = {(uint8_t)(type >> 8), (uint8_t)type};
		bool known = type == 3 || type == 9;

		assert_int_equal(ps_message_decode_response(&back, ps_bytes(body, sizeof(body))),
				 known ? 0 : -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notify_matches_the_recorded_sample),
		cmocka_unit_test(a_notify_head_is_complete_only_at_its_last_byte),
		cmocka_unit_test(a_receive_head_is_complete_only_at_its_last_byte),
		cmocka_unit_test(the_largest_heads_fit_their_maximum),
		cmocka_unit_test(values_over_their_field_are_not_encoded),
		cmocka_unit_test(subscribe_round_trips_and_is_refused_cut_or_extended),
		cmocka_unit_test(text_fields_must_be_utf8_but_a_topic_need_not),
		cmocka_unit_test(missed_round_trips_and_is_refused_cut),
		cmocka_unit_test(check_is_read_as_recorded_and_refused_cut_or_extended),
		cmocka_unit_test(set_is_read_as_recorded_and_refused_cut_or_extended),
		cmocka_unit_test(set_is_refused_with_the_reason),
		cmocka_unit_test(the_etag_of_a_check_is_read_as_recorded),
		cmocka_unit_test(responses_round_trip_and_are_refused_cut_or_extended),
		cmocka_unit_test(response_layouts_are_those_of_the_protocol),
		cmocka_unit_test(unknown_response_types_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
