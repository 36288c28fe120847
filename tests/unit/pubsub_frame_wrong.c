/* What a peer can send wrong, and what it may send in more than one way. */
#include <errno.h>
#include <stdio.h>

#include "tests/support/frame.h"

static enum ps_frame_fault decode(struct ps_frame *f, const char **header, enum ps_side sender,
				  const char *hex)
{
	struct ps_bytes message = unhex(hex);
	enum ps_frame_fault fault = ps_frame_decode(f, header, sender, message);

	drop(message);
	return fault;
}

static void types_are_those_of_the_sender(void **state)
{
	struct ps_frame f;
	const char *header;

	(void)state;
	for (unsigned id = 0; id < 0x10000; id++) {
		bool from_subscriber = id >= 1 && id <= 9, from_broadcaster = id >= 1 && id <= 12;

		assert_int_equal(ps_format_find(PS_SUBSCRIBER, id) != PS_FRAME_NONE,
				 from_subscriber);
		assert_int_equal(ps_format_find(PS_BROADCASTER, id) != PS_FRAME_NONE,
				 from_broadcaster);
	}
	assert_int_equal(decode(&f, &header, PS_SUBSCRIBER, "0001000a"), PS_FRAME_TYPE);
	assert_int_equal(decode(&f, &header, PS_BROADCASTER, "0001000d"), PS_FRAME_TYPE);
	assert_int_equal(decode(&f, &header, PS_SUBSCRIBER, "00010000"), PS_FRAME_TYPE);
}

static void names_come_in_any_order_and_case_and_the_last_counts(void **state)
{
	/* x-part-id 9; X-Part-Id 2; x-other; identifier; authorization; tracing */
	static const char hex[] = "00000008"
				  "0006"
				  "0009782d706172742d6964000109"
				  "0009582d506172742d4964000102"
				  "0007782d6f7468657200020102"
				  "000c782d6964656e7469666965720004deadbeef"
				  "000d617574686f72697a6174696f6e000461757468"
				  "0009782d74726163696e6700027472";
	struct ps_bytes message = unhex(hex);
	const char *header;
	struct ps_frame f;

	(void)state;
	assert_int_equal(ps_frame_decode(&f, &header, PS_SUBSCRIBER, message), PS_FRAME_OK);
	assert_int_equal(f.part, 2);
	assert_true(ps_bytes_equal(f.authorization, ps_bytes_text("auth")));
	assert_int_equal(f.identifier.size, 4);
	drop(message);
}

static void an_expanded_configure_without_dictionary_reads_as_48(void **state)
{
	static const char hex[] = "000000010005"
				  "0012782d737562736372696265722d6e6f6e63650020" NONCE_HEX
				  "000d782d656e61626c652d7a737464000101"
				  "0011782d656e61626c652d747261696e696e67000100"
				  "000d617574686f72697a6174696f6e0000"
				  "0009782d74726163696e670000";
	const char *header;
	struct ps_frame f;

	(void)state;
	assert_int_equal(decode(&f, &header, PS_SUBSCRIBER, hex), PS_FRAME_OK);
	assert_int_equal(f.dictionary, 48);
	assert_true(f.zstd);
}

static void flags_are_true_for_the_byte_1_alone(void **state)
{
	static const struct {
		const char *zstd;
		bool expected;
	} cases[] = {{"000101", true},
		     {"000100", false},
		     {"000102", false},
		     {"0000", false},
		     {"00020001", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ps_frame f;
		const char *header;
		char hex[400];

		snprintf(hex, sizeof(hex), "000100010020%s%s%s", NONCE_HEX, cases[i].zstd,
			 "0001010002000000000000");
		assert_int_equal(decode(&f, &header, PS_SUBSCRIBER, hex), PS_FRAME_OK);
		assert_int_equal(f.zstd, cases[i].expected);
		assert_true(f.training);
	}
}

static void numbers_are_read_in_any_length_up_to_their_most(void **state)
{
	static const struct {
		const char *part;
		uint64_t expected;
	} cases[] = {{"0000", 0},
		     {"000100", 0},
		     {"00020003", 3},
		     {"00080000000000000100", 256},
		     {"0008ffffffffffffffff", UINT64_MAX}};
	struct ps_frame f;
	const char *header;
	char hex[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(hex, sizeof(hex), "00010008" ID_HEX "%s" AUTH_HEX TRACE_HEX,
			 cases[i].part);
		assert_int_equal(decode(&f, &header, PS_SUBSCRIBER, hex), PS_FRAME_OK);
		assert_true(f.part == cases[i].expected);
	}
	assert_int_equal(decode(&f, &header, PS_SUBSCRIBER,
				"00010008" ID_HEX "0009000000000000000003" AUTH_HEX TRACE_HEX),
			 PS_FRAME_SIZE);
	assert_string_equal(header, "x-part-id");
}

static void levels_are_read_with_their_sign(void **state)
{
	static const struct {
		const char *level;
		int64_t expected;
	} cases[] = {{"0000", 0},      {"000103", 3},	     {"0001ff", -1},
		     {"0002fff9", -7}, {"00028000", -32768}, {"00027fff", 32767}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ps_frame f;
		const char *header;
		char hex[100];

		snprintf(hex, sizeof(hex), "00010009000101%s0000000000000000", cases[i].level);
		assert_int_equal(decode(&f, &header, PS_BROADCASTER, hex), PS_FRAME_OK);
		assert_true(f.level == cases[i].expected);
	}
}

static const struct {
	enum ps_side sender;
	const char *hex;
	enum ps_frame_fault fault;
	const char *header;
} wrong[] = {
	/* a nonce of 31 and of 33 bytes */
	{PS_BROADCASTER,
	 "00010001"
	 "001f000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
	 "00000000",
	 PS_FRAME_SIZE, "x-broadcaster-nonce"},
	{PS_BROADCASTER,
	 "00010001"
	 "0021" NONCE_HEX "2000000000",
	 PS_FRAME_SIZE, "x-broadcaster-nonce"},
	/* an identifier of 65 bytes */
	{PS_BROADCASTER,
	 "00010007"
	 "0041" DIGEST_HEX "40"
	 "000000000000",
	 PS_FRAME_SIZE, "x-identifier"},
	{PS_SUBSCRIBER,
	 "00010003"
	 "0000"
	 "0000"
	 "0001ff",
	 PS_FRAME_TEXT, "x-glob"},
	{PS_SUBSCRIBER,
	 "00010002"
	 "0001ff"
	 "0000"
	 "0000",
	 PS_FRAME_TEXT, "authorization"},
	/* 5 bytes for a number of at most 4; 3 for one of 2 */
	{PS_SUBSCRIBER,
	 "00010009"
	 "0000"
	 "0000"
	 "0000"
	 "00050000000001",
	 PS_FRAME_SIZE, "x-num-subscribers"},
	{PS_BROADCASTER,
	 "00010009"
	 "0000"
	 "0003000001"
	 "0000"
	 "0000"
	 "0000"
	 "0000",
	 PS_FRAME_SIZE, "x-compression-level"},
	/* not compressed, but 5 bytes become 6 */
	{PS_SUBSCRIBER,
	 "00010006"
	 "0000"
	 "0000" ID_HEX "0000"
	 "000100"
	 "000105"
	 "000106"
	 "0040" DIGEST_HEX,
	 PS_FRAME_LENGTHS, NULL},
	/* expanded: no x-topic; a name beyond ASCII; more announced than there is */
	{PS_SUBSCRIBER,
	 "000000020002"
	 "000d617574686f72697a6174696f6e0000"
	 "0009782d74726163696e670000",
	 PS_FRAME_MISSING, "x-topic"},
	{PS_SUBSCRIBER,
	 "000000020001"
	 "0001ff"
	 "0000",
	 PS_FRAME_NAME, NULL},
	{PS_SUBSCRIBER,
	 "00000002ffff"
	 "000d617574686f72697a6174696f6e0000",
	 PS_FRAME_CUT, NULL},
	/* part 0 needs its topic, in either form */
	{PS_SUBSCRIBER,
	 "00010007"
	 "0000"
	 "0000" ID_HEX "000100",
	 PS_FRAME_CUT, "x-topic"},
	{PS_SUBSCRIBER,
	 "000000070004"
	 "000d617574686f72697a6174696f6e0000"
	 "0009782d74726163696e670000"
	 "000c782d6964656e746966696572" ID_HEX "0009782d706172742d69640000",
	 PS_FRAME_MISSING, "x-topic"},
};

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *header = "?";
		struct ps_frame f;

		assert_int_equal(decode(&f, &header, wrong[i].sender, wrong[i].hex),
				 wrong[i].fault);
		if (wrong[i].header)
			assert_string_equal(header, wrong[i].header);
		else
			assert_null(header);
		assert_string_not_equal(ps_frame_fault_to_str(wrong[i].fault), "?");
	}
}

static void bytes_behind_a_message_without_payload_are_ignored(void **state)
{
	const char *header;
	struct ps_frame f;

	(void)state;
	assert_int_equal(
		decode(&f, &header, PS_SUBSCRIBER, "00010002" AUTH_HEX TRACE_HEX TOPIC_HEX "cafe"),
		PS_FRAME_OK);
	assert_int_equal(f.payload.size, 0);
}

static void other_flags_are_ignored(void **state)
{
	const char *header;
	struct ps_frame f;

	(void)state;
	assert_int_equal(
		decode(&f, &header, PS_SUBSCRIBER, "ffff0002" AUTH_HEX TRACE_HEX TOPIC_HEX),
		PS_FRAME_OK);
	assert_int_equal(decode(&f, &header, PS_SUBSCRIBER,
				"fffe0002"
				"0000"),
			 PS_FRAME_MISSING);
}

RUN_TESTS(TEST(types_are_those_of_the_sender),
	  TEST(names_come_in_any_order_and_case_and_the_last_counts),
	  TEST(an_expanded_configure_without_dictionary_reads_as_48),
	  TEST(flags_are_true_for_the_byte_1_alone),
	  TEST(numbers_are_read_in_any_length_up_to_their_most),
	  TEST(levels_are_read_with_their_sign), TEST(what_is_wrong_is_named),
	  TEST(bytes_behind_a_message_without_payload_are_ignored), TEST(other_flags_are_ignored))
