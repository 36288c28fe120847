/*
 * Messages through zstd: what is made, what the zstd command made, and what a hostile peer may send.
 * The frames in hexadecimal are the command's (zstd 1.5.4).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_zstd.h"
#include "user/base/text.h"

#define HELLO	 "hello hello hello hello hello hello hello\n"
#define PLAIN	 "28b52ffd00586d00003868656c6c6f200a0100429622"
#define CHECKED	 "28b52ffd242a6d00003868656c6c6f200a01004296227517c9f3" /* with size and checksum */
#define WITH_RAW "28b52ffd00585d0000080a0340003539a0bc8d12"
#define RAW	 "hello hello world of dictionaries and so on, hello hello hello"
#define LONG	 "28b52ffd00886400001000000200e9ff3773e0012c02001000039f0400" /* window of 128 MiB */
#define EMPTY	 "28b52ffd2000010000"

/* Made by zstd --train of lines such as READING, and the line with it, with and without its id. */
#define TRAINED                                                                                        \
	"37a430ec66682a7b1410e80ad30100000000c08a3bc924654a097821241305000000839ee49d0000000480400180" \
	"2a4e5a0c02c0d121e11800001502006c9a01000060006000000000000000940f24c5c2030600000040381c901500" \
	"000000000000010000000400000008000000656e736f72732f726f6f6d33656e736f72732f726f6f6d3139222c20" \
	"2276616c7565223a20302e383938333139333837353830333938362c2022756e6974656e736f72732f726f6f6d31" \
	"31222c202276616c7565223a20302e333439363134373432363130343038382c2022756e69747573227d7b227573" \
	"6572223a20323535372c2022746f706963223a202273656e736f72732f726f6f6d3430222c202276616c6e736f72" \
	"732f726f6f6d3334222c202276616c7565223a20302e34303832323430393737303835383331342c2022756e6974" \
	"7573227d7b2275736572223a20393430302c2022746f706963223a202273656e736f72732f726f6f6d3437222c20" \
	"2276616c6e736f72732f726f6f6d3136222c202276616c7565223a20302e31333033393131323834323434303739" \
	"322c2022756e6974656e736f72732f726f6f6d3433222c202276616c7565223a20302e3530373831383331373931" \
	"33393533352c2022756e6974656e736f72732f726f6f6d3234222c202276616c7565223a20302e37343935373638" \
	"313131383937"
#define READING                                                                                    \
	"{\"user\": 77, \"topic\": \"sensors/room3\", \"value\": 0.25, \"unit\": \"celsius\"}\n"
#define WITH_TRAINED "28b52ffd0058dd000060373263656c73697573227d0a05fc630113012ddf8fbfd70f9c45"
#define WITH_ID	     "28b52ffd035866682a7bdd000060373263656c73697573227d0a05fc630113012ddf8fbfd70f9c45"

enum { LARGE = 5 << 20 };

static struct ps_zstd zstd;
static struct ps_budget budget;
static struct ps_spool from, to;
static struct ps_dictionary *dictionary;

static int set_up(void **state)
{
	(void)state;
	budget = (struct ps_budget){.message_max = 64 << 20,
				    .memory_each = 1 << 20,
				    .memory_max = 64 << 20,
				    .disk_max = 64 << 20,
				    .directory = "/tmp"};
	ps_spool_init(&from, &budget);
	ps_spool_init(&to, &budget);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ps_spool_clear(&from);
	ps_spool_clear(&to);
	ps_dictionary_free(&dictionary);
	ps_zstd_clear(&zstd);
	return budget.memory_used || budget.disk_used;
}

static size_t unhex(uint8_t *out, const char *hex)
{
	assert_ok(osp_text_unhex(out, strlen(hex) / 2, hex, strlen(hex)));
	return strlen(hex) / 2;
}

static void put(const void *data, size_t size)
{
	ps_spool_clear(&from);
	ps_spool_clear(&to);
	assert_ok(ps_spool_add(&from, data, size));
}

static void put_hex(const char *hex)
{
	uint8_t bytes[1024];

	put(bytes, unhex(bytes, hex));
}

static void use_dictionary(const void *data, size_t size)
{
	ps_dictionary_free(&dictionary);
	assert_ok(ps_dictionary_new(&dictionary, ps_bytes(data, size), 3));
	assert_ok(ps_dictionary_prepare(dictionary));
}

static void use_trained(void)
{
	uint8_t bytes[1024];

	use_dictionary(bytes, unhex(bytes, TRAINED));
}

static enum ps_zstd_verdict compress(int level)
{
	struct ps_zstd_run run;

	assert_ok(ps_zstd_compress(&run, &zstd, dictionary, level, &from, &to));
	return ps_zstd_step(&run, UINT64_MAX);
}

static enum ps_zstd_verdict decompress(uint64_t length)
{
	struct ps_zstd_run run;
	enum ps_zstd_verdict v;

	assert_ok(ps_zstd_decompress(&run, &zstd, dictionary, length, &from, &to));
	v = ps_zstd_step(&run, UINT64_MAX);
	assert_null(run.zstd);
	return v;
}

static void assert_message(const char *text)
{
	char bytes[1024];

	assert_int_equal(to.size, strlen(text));
	assert_int_equal(ps_spool_read(&to, 0, bytes, sizeof(bytes)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

/* A message of some entropy, the same each time. */
static uint8_t *large_message(size_t size)
{
	uint8_t *bytes = malloc(size);
	uint32_t x = 1;

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (uint8_t)("0123456789abcdef"[x >> 28]);
	}
	return bytes;
}

/* ---- what is made ------------------------------------------------------------------------------ */

static void a_frame_says_neither_size_nor_dictionary_nor_checksum(void **state)
{
	uint8_t head[6], frame[256], back[256];

	(void)state;
	use_trained();
	put(READING, strlen(READING));
	assert_int_equal(compress(3), PS_ZSTD_DONE);
	assert_true(to.size < 45); /* of 76 */
	ps_spool_read(&to, 0, head, sizeof(head));
	assert_memory_equal(head, "\x28\xb5\x2f\xfd\x00", 5); /* 00: a window, nothing else */

	ps_dictionary_free(&dictionary);
	put(HELLO, strlen(HELLO));
	assert_int_equal(compress(3), PS_ZSTD_DONE);
	ps_spool_read(&to, 0, frame, sizeof(frame));
	assert_memory_equal(frame, "\x28\xb5\x2f\xfd\x00", 5);
	assert_int_equal(ZSTD_decompress(back, sizeof(back), frame, to.size), strlen(HELLO));
	assert_memory_equal(back, HELLO, strlen(HELLO));
}

static void what_is_made_comes_back_with_the_same_dictionary(void **state)
{
	uint8_t frame[256];
	size_t size;

	(void)state;
	use_trained();
	put(READING, strlen(READING));
	assert_int_equal(compress(3), PS_ZSTD_DONE);
	size = to.size;
	ps_spool_read(&to, 0, frame, sizeof(frame));

	put(frame, size);
	assert_int_equal(decompress(strlen(READING)), PS_ZSTD_DONE);
	assert_message(READING);
}

static void what_does_not_get_smaller_is_left_alone(void **state)
{
	(void)state;
	put("ab", 2);
	assert_int_equal(compress(3), PS_ZSTD_LARGER);
	put("", 0);
	assert_int_equal(compress(3), PS_ZSTD_LARGER);
}

static void every_level_stays_within_the_window(void **state)
{
	static const int levels[] = {-131072, -5, 0, 1, 10, 19, 22, 32767};
	uint8_t *bytes = large_message(12 << 20), head[6];

	(void)state;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct ps_zstd_run run;

		put(bytes, 12 << 20);
		assert_ok(ps_zstd_compress(&run, &zstd, NULL, levels[i], &from, &to));
		while (ps_zstd_step(&run, 4096) == PS_ZSTD_MORE && !to.size)
			;
		ps_zstd_stop(&run);
		if (!to.size)
			continue; /* LARGER at once: a level that hardly tries */
		assert_int_equal(ps_spool_read(&to, 0, head, sizeof(head)), sizeof(head));
		assert_true(10 + (head[5] >> 3) <= PS_ZSTD_WINDOW_LOG);
	}
	free(bytes);
}

static void a_large_message_goes_in_slices_both_ways(void **state)
{
	uint8_t *bytes = large_message(LARGE), *back = malloc(LARGE);
	struct ps_zstd_run run;
	struct ps_spool again;
	int steps = 0;

	(void)state;
	put(bytes, LARGE);
	assert_ok(ps_zstd_compress(&run, &zstd, NULL, 3, &from, &to));
	while (ps_zstd_step(&run, PS_ZSTD_SLICE) == PS_ZSTD_MORE)
		steps++;
	assert_in_range(steps, 6, 8); /* 5 MiB in, 2.5 to 3 out */
	assert_in_range(to.size, LARGE / 2, LARGE / 8 * 5);

	ps_spool_init(&again, &budget);
	steps = 0;
	assert_ok(ps_zstd_decompress(&run, &zstd, NULL, LARGE, &to, &again));
	while (ps_zstd_step(&run, PS_ZSTD_SLICE) == PS_ZSTD_MORE)
		steps++;
	assert_in_range(steps, 6, 8);
	assert_int_equal(ps_spool_read(&again, 0, back, LARGE), LARGE);
	assert_memory_equal(bytes, back, LARGE);
	ps_spool_clear(&again);
	free(bytes);
	free(back);
}

static void a_run_may_be_stopped_and_outlives_its_dictionary(void **state)
{
	uint8_t *bytes = large_message(LARGE);
	struct ps_zstd_run run;

	(void)state;
	use_dictionary(RAW, strlen(RAW));
	put(bytes, LARGE);
	assert_ok(ps_zstd_compress(&run, &zstd, dictionary, 3, &from, &to));
	ps_dictionary_free(&dictionary);
	assert_int_equal(ps_zstd_step(&run, PS_ZSTD_SLICE), PS_ZSTD_MORE);
	ps_zstd_stop(&run);
	ps_zstd_stop(&run);

	put(HELLO, strlen(HELLO)); /* the context is used again, without the dictionary */
	assert_int_equal(compress(3), PS_ZSTD_DONE);
	free(bytes);
}

/* ---- what others made -------------------------------------------------------------------------- */

static void frames_of_the_command_are_read(void **state)
{
	(void)state;
	put_hex(PLAIN);
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_DONE);
	assert_message(HELLO);
	put_hex(CHECKED);
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_DONE);
	assert_message(HELLO);
	put_hex(EMPTY);
	assert_int_equal(decompress(0), PS_ZSTD_DONE);

	use_dictionary(RAW, strlen(RAW));
	put_hex(WITH_RAW);
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_DONE);
	assert_message(HELLO);
	use_trained();
	put_hex(WITH_TRAINED);
	assert_int_equal(decompress(strlen(READING)), PS_ZSTD_DONE);
	assert_message(READING);
	put_hex(WITH_ID);
	assert_int_equal(decompress(strlen(READING)), PS_ZSTD_DONE);
	assert_message(READING);
}

static void another_dictionary_never_gives_the_message(void **state)
{
	enum ps_zstd_verdict v;
	char bytes[sizeof(READING)] = "";

	(void)state;
	put_hex(WITH_ID);
	assert_int_equal(decompress(strlen(READING)), PS_ZSTD_DICTIONARY);
	put_hex(WITH_TRAINED);
	assert_int_equal(decompress(strlen(READING)), PS_ZSTD_CORRUPT);
	use_dictionary(RAW, strlen(RAW));
	put_hex(WITH_TRAINED);
	v = decompress(strlen(READING));
	ps_spool_read(&to, 0, bytes, strlen(READING));
	assert_true(v > PS_ZSTD_LARGER || strcmp(bytes, READING));
}

/* ---- what a hostile peer sends ------------------------------------------------------------------ */

static void a_frame_must_come_to_the_announced_length(void **state)
{
	(void)state;
	put_hex(PLAIN);
	assert_int_equal(decompress(strlen(HELLO) - 1), PS_ZSTD_TOO_MUCH);
	put_hex(PLAIN);
	assert_int_equal(decompress(0), PS_ZSTD_TOO_MUCH);
	put_hex(PLAIN);
	assert_int_equal(decompress(strlen(HELLO) + 1), PS_ZSTD_TOO_LITTLE);
	put_hex(PLAIN);
	assert_int_equal(decompress(UINT64_MAX), PS_ZSTD_TOO_LITTLE);
}

static void a_frame_cut_anywhere_is_refused(void **state)
{
	uint8_t bytes[64];
	size_t size = unhex(bytes, CHECKED);

	(void)state;
	for (size_t cut = 0; cut < size; cut++) {
		put(bytes, cut);
		assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_CUT);
	}
}

static void nothing_may_follow_the_frame(void **state)
{
	(void)state;
	put_hex(PLAIN "00");
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_TRAILING);
	put_hex(PLAIN EMPTY);
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_TRAILING);
	put_hex(EMPTY PLAIN);
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_TRAILING);
}

static void what_is_no_frame_or_damaged_is_refused(void **state)
{
	(void)state;
	put(HELLO, strlen(HELLO));
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_CORRUPT);
	put_hex("502a4d1801000000aa" PLAIN); /* first a frame to be skipped */
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_CORRUPT);
	put_hex("25b52ffd00586d00003868656c6c6f200a0100429622"); /* version 0.5 */
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_CORRUPT);
	put_hex("28b52ffd242a6d00003868656c6c6f200a01004296227517c9f4"); /* checksum */
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_CORRUPT);
}

static void a_window_over_the_limit_is_refused_before_it_is_made(void **state)
{
	(void)state;
	put_hex(LONG);
	assert_int_equal(decompress(300000), PS_ZSTD_WINDOW);
	put_hex("28b52ffd00ff010000"); /* the largest there is */
	assert_int_equal(decompress(0), PS_ZSTD_WINDOW);
}

static void a_bomb_stops_at_the_announced_length(void **state)
{
	uint8_t *zeros = calloc(1, 16 << 20), frame[4096];
	size_t size = ZSTD_compress(frame, sizeof(frame), zeros, 16 << 20, 19);

	(void)state;
	assert_in_range(size, 100, 1000);
	put(frame, size);
	assert_int_equal(decompress(1000), PS_ZSTD_TOO_MUCH);
	assert_true(to.size <= 1000);
	put(frame, size);
	assert_int_equal(decompress((16 << 20) - 1), PS_ZSTD_TOO_MUCH);

	budget.message_max = 1 << 20; /* announced as it is, and over what this side takes */
	put(frame, size);
	assert_int_equal(decompress(16 << 20), PS_ZSTD_NO_SPACE);
	assert_true(to.size <= 1 << 20);
	free(zeros);
}

/* Blocks without a byte, for ever: the input ends them. */
static void empty_blocks_come_to_nothing(void **state)
{
	uint8_t *bytes = calloc(1, 3 << 20);

	(void)state;
	memcpy(bytes, "\x28\xb5\x2f\xfd\x00\x58", 6);
	put(bytes, 3 << 20);
	assert_int_equal(decompress(1), PS_ZSTD_CUT);
	assert_int_equal(to.size, 0);
	free(bytes);
}

static void a_context_that_grew_is_not_kept(void **state)
{
	/* a window of 8 MiB, for 300000 bytes that zstd --long=23 made of nothing but zeros */
	(void)state;
	put_hex("28b52ffd00686400001000000200e9ff3773e0012c02001000039f0400");
	assert_int_equal(decompress(300000), PS_ZSTD_DONE);
	assert_true(!zstd.decompressing || ZSTD_sizeof_DCtx(zstd.decompressing) <= 4 << 20);
	put_hex(PLAIN);
	assert_int_equal(decompress(strlen(HELLO)), PS_ZSTD_DONE);
	assert_non_null(zstd.decompressing);
}

static void verdicts_have_texts(void **state)
{
	(void)state;
	assert_string_equal(ps_zstd_verdict_to_str(PS_ZSTD_TRAILING), "bytes behind the frame");
	assert_string_equal(ps_zstd_verdict_to_str(99), "?");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_frame_says_neither_size_nor_dictionary_nor_checksum),
		T(what_is_made_comes_back_with_the_same_dictionary),
		T(what_does_not_get_smaller_is_left_alone),
		T(every_level_stays_within_the_window),
		T(a_large_message_goes_in_slices_both_ways),
		T(a_run_may_be_stopped_and_outlives_its_dictionary),
		T(frames_of_the_command_are_read),
		T(another_dictionary_never_gives_the_message),
		T(a_frame_must_come_to_the_announced_length),
		T(a_frame_cut_anywhere_is_refused),
		T(nothing_may_follow_the_frame),
		T(what_is_no_frame_or_damaged_is_refused),
		T(a_window_over_the_limit_is_refused_before_it_is_made),
		T(a_bomb_stops_at_the_announced_length),
		T(empty_blocks_come_to_nothing),
		T(a_context_that_grew_is_not_kept),
		T(verdicts_have_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
