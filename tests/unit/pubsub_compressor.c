/* The compressors of a connection: what may be enabled, which is chosen, and how they go. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "probes/pubsub/ps_compressor.h"

#define WORDS "some words that messages have in common, and a few others"

enum { KIB = 1024 };

static char path[] = "/tmp/preset-XXXXXX";
static struct ps_presets presets;
static struct ps_compressors table;
static uint8_t words_digest[PS_DIGEST_SIZE];

static int write_file(const void *data, size_t size)
{
	FILE *f = fopen(path, "w");
	bool ok = f && fwrite(data, 1, size, f) == size;

	return !f || fclose(f) || !ok;
}

static int set_up(void **state)
{
	int fd = mkstemp(strcpy(path, "/tmp/preset-XXXXXX"));

	(void)state;
	if (fd < 0 || close(fd) || write_file(WORDS, strlen(WORDS)))
		return -1;
	table = (struct ps_compressors){
		.side = PS_SUBSCRIBER, .zstd = true, .training = true, .presets = &presets};
	return ps_digest_of(ps_bytes_text(WORDS), words_digest);
}

static int tear_down(void **state)
{
	(void)state;
	ps_compressors_clear(&table);
	ps_presets_clear(&presets);
	return unlink(path);
}

static void add_preset(const char *id)
{
	char option[64];

	snprintf(option, sizeof(option), "%s=%s", id, path);
	assert_ok(ps_presets_add(&presets, option));
}

static struct ps_frame preset_frame(uint64_t id, uint64_t min, uint64_t max)
{
	return (struct ps_frame){.type = PS_FRAME_ENABLE_ZSTD_PRESET,
				 .compressor = id,
				 .level = 5,
				 .min_size = min,
				 .max_size = max};
}

static struct ps_frame custom_frame(uint64_t id)
{
	return (struct ps_frame){.type = PS_FRAME_ENABLE_ZSTD_CUSTOM,
				 .compressor = id,
				 .level = 5,
				 .min_size = 32,
				 .max_size = 16 * KIB,
				 .digest = {words_digest, PS_DIGEST_SIZE},
				 .payload = ps_bytes_text(WORDS)};
}

static enum ps_compressor_fault enable(struct ps_frame f)
{
	struct ps_compressor *added = NULL;
	enum ps_compressor_fault fault = ps_compressors_enable(&table, &added, &f);

	assert_true(!fault == !!added);
	return fault ? fault : ps_compressor_prepare(added);
}

static struct ps_dictionary *dictionary_of(const char *text, int level)
{
	struct ps_dictionary *d;

	assert_ok(ps_dictionary_new(&d, ps_bytes_text(text), level));
	return d;
}

/* As a broadcaster: trained, prepared, sent. What is retired by it. */
static struct ps_compressor *offer_trained(const char *text)
{
	struct ps_dictionary *d = dictionary_of(text, 3);
	struct ps_compressor *c;

	assert_int_equal(ps_compressors_offer_trained(&table, &c, d), PS_COMPRESSOR_FAULT_OK);
	ps_dictionary_free(&d);
	assert_int_equal(ps_compressor_prepare(c), PS_COMPRESSOR_FAULT_OK);
	return ps_compressors_retire(&table);
}

static uint64_t chosen(uint64_t length)
{
	const struct ps_compressor *c = ps_compressors_choose(&table, length);

	return c ? c->id : PS_COMPRESSOR_NONE;
}

/* ---- presets --------------------------------------------------------------------------------- */

static void options_name_presets(void **state)
{
	static const char *const wrong[] = {"",
					    "5",
					    "=x",
					    "x=y",
					    "1=/dev/null",
					    "65536=/dev/null",
					    "5:=/dev/null",
					    "5:x=/dev/null",
					    "5=",
					    "-5=/dev/null",
					    "99999999999999999999999=/dev/null"};
	char option[64];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_err(-EINVAL, ps_presets_add(&presets, wrong[i]));
	assert_err(-EINVAL, ps_presets_add(&presets, "5=/dev/null")); /* no bytes */
	assert_err(-ENOENT, ps_presets_add(&presets, "5=/nonexistent"));
	assert_err(-EFBIG, ps_presets_add(&presets, "5=/dev/zero"));

	add_preset("2");
	add_preset("65535:19");
	snprintf(option, sizeof(option), "2=%s", path);
	assert_err(-EEXIST, ps_presets_add(&presets, option));
	assert_int_equal(presets.count, 2);
	assert_int_equal(ps_dictionary_level(ps_presets_find(&presets, 2)->dictionary), 3);
	assert_int_equal(ps_dictionary_level(ps_presets_find(&presets, 65535)->dictionary), 19);
	assert_null(ps_presets_find(&presets, 3));
}

static void a_damaged_dictionary_is_refused(void **state)
{
	char option[64];

	(void)state;
	assert_ok(write_file("\x37\xa4\x30\xec and no tables", 18));
	snprintf(option, sizeof(option), "2=%s", path);
	assert_err(-EBADMSG, ps_presets_add(&presets, option));
}

static void connections_share_a_preset_of_one_level(void **state)
{
	struct ps_dictionary *a, *b, *c;

	(void)state;
	add_preset("2");
	assert_ok(ps_preset_get(&a, &presets.list[0], 7));
	assert_ok(ps_preset_get(&b, &presets.list[0], 7));
	assert_ok(ps_preset_get(&c, &presets.list[0], 8));
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_true(ps_bytes_equal(ps_dictionary_bytes(c), ps_bytes_text(WORDS)));
	ps_dictionary_free(&a);
	ps_dictionary_free(&b);
	ps_dictionary_free(&c);
}

/* ---- a subscriber ---------------------------------------------------------------------------- */

static void only_what_was_asked_for_is_enabled(void **state)
{
	(void)state;
	table.zstd = false;
	assert_int_equal(enable(preset_frame(1, 0, 9)), PS_COMPRESSOR_FAULT_NOT_ALLOWED);
	assert_int_equal(enable(custom_frame(65536)), PS_COMPRESSOR_FAULT_NOT_ALLOWED);
	table.zstd = true;
	table.training = false;
	assert_int_equal(enable(custom_frame(65536)), PS_COMPRESSOR_FAULT_NOT_ALLOWED);
	assert_int_equal(enable(preset_frame(1, 0, 9)), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(table.count, 1);
}

static void an_enabled_compressor_has_what_the_frame_says(void **state)
{
	const struct ps_compressor *c;

	(void)state;
	add_preset("7");
	assert_int_equal(enable(preset_frame(7, 100, 200)), PS_COMPRESSOR_FAULT_OK);
	c = ps_compressors_find(&table, 7);
	assert_int_equal(c->level, 5);
	assert_int_equal(c->min, 100);
	assert_int_equal(c->max, 200);
	assert_int_equal(ps_dictionary_level(c->dictionary), 5);

	assert_int_equal(enable(custom_frame(70000)), PS_COMPRESSOR_FAULT_OK);
	c = ps_compressors_find(&table, 70000);
	assert_true(ps_bytes_equal(ps_dictionary_bytes(c->dictionary), ps_bytes_text(WORDS)));
}

static void what_is_wrong_with_a_frame_is_told(void **state)
{
	static const uint8_t zeros[PS_DICTIONARY_MAX + 1];
	struct ps_frame f = custom_frame(65535);

	(void)state;
	add_preset("7");
	assert_int_equal(enable(preset_frame(0, 0, 9)), PS_COMPRESSOR_FAULT_UNKNOWN_PRESET);
	assert_int_equal(enable(preset_frame(8, 0, 9)), PS_COMPRESSOR_FAULT_UNKNOWN_PRESET);
	assert_int_equal(enable(preset_frame(65536, 0, 9)), PS_COMPRESSOR_FAULT_UNKNOWN_PRESET);
	assert_int_equal(enable(f), PS_COMPRESSOR_FAULT_NUMBER);
	f = custom_frame(65536);
	f.payload.size--;
	assert_int_equal(enable(f), PS_COMPRESSOR_FAULT_DIGEST);
	f.payload.size = 0;
	assert_int_equal(enable(f), PS_COMPRESSOR_FAULT_SIZE);
	f.payload = ps_bytes(zeros, sizeof(zeros));
	assert_int_equal(enable(f), PS_COMPRESSOR_FAULT_SIZE);
	assert_int_equal(table.count, 0);

	assert_int_equal(enable(preset_frame(7, 0, 9)), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(enable(preset_frame(7, 0, 9)), PS_COMPRESSOR_FAULT_ALREADY_ENABLED);
	assert_int_equal(table.count, 1);
}

static void a_dictionary_zstd_does_not_take_cannot_be_prepared(void **state)
{
	uint8_t damaged[] = "\x37\xa4\x30\xec and no tables", digest[PS_DIGEST_SIZE];
	struct ps_frame f = custom_frame(65536);

	(void)state;
	f.payload = ps_bytes(damaged, sizeof(damaged));
	assert_ok(ps_digest_of(f.payload, digest));
	f.digest.data = digest;
	assert_int_equal(enable(f), PS_COMPRESSOR_FAULT_DICTIONARY);
	assert_int_equal(table.list[0]->state, PS_COMPRESSOR_PREPARING);
	assert_int_equal(chosen(100), PS_COMPRESSOR_NONE);
}

static void a_table_has_a_maximum(void **state)
{
	static const char *const ids[] = {"2", "3", "4", "5", "6", "7"};

	(void)state;
	for (uint64_t id = 65536; id < 65536 + PS_CUSTOM_MAX; id++)
		assert_int_equal(enable(custom_frame(id)), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(enable(custom_frame(65600)), PS_COMPRESSOR_FAULT_FULL);
	for (size_t i = 0; i < 6; i++)
		add_preset(ids[i]);
	for (uint64_t id = 1; table.count < PS_COMPRESSORS_MAX; id++)
		assert_int_equal(enable(preset_frame(id, 0, 9)), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(enable(preset_frame(7, 0, 9)), PS_COMPRESSOR_FAULT_FULL);
}

static void a_subscriber_takes_the_lowest_minimum(void **state)
{
	struct ps_compressor *c;
	struct ps_frame f = preset_frame(3, 10, 100);

	(void)state;
	add_preset("2");
	add_preset("3");
	assert_int_equal(enable(preset_frame(1, 1000, UINT64_MAX)), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(enable(preset_frame(2, 50, 2000)), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(ps_compressors_enable(&table, &c, &f), PS_COMPRESSOR_FAULT_OK);

	assert_int_equal(chosen(60), 2); /* 3 is not ready */
	assert_int_equal(ps_compressor_prepare(c), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(chosen(9), PS_COMPRESSOR_NONE);
	assert_int_equal(chosen(10), 3);
	assert_int_equal(chosen(60), 3);
	assert_int_equal(chosen(99), 3);
	assert_int_equal(chosen(100), 2);
	assert_int_equal(chosen(1999), 2);
	assert_int_equal(chosen(2000), 1);

	ps_compressors_remove(&table, &c);
	assert_null(c);
	assert_null(ps_compressors_find(&table, 3));
	assert_int_equal(chosen(60), 2);
	assert_int_equal(chosen(2000), 1);
}

/* ---- a broadcaster --------------------------------------------------------------------------- */

static void a_broadcaster_offers_and_takes_the_newest(void **state)
{
	struct ps_compressor *c;

	(void)state;
	table.side = PS_BROADCASTER;
	add_preset("9:12");
	assert_int_equal(ps_compressors_offer(&table, &c, 1), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(ps_compressor_prepare(c), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(ps_compressors_offer(&table, &c, 8), PS_COMPRESSOR_FAULT_UNKNOWN_PRESET);
	assert_int_equal(chosen(16 * KIB), 1);
	assert_int_equal(chosen(16 * KIB - 1), PS_COMPRESSOR_NONE);
	assert_int_equal(ps_compressors_offer(&table, &c, 9), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(ps_compressor_prepare(c), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(c->level, 12);
	assert_int_equal(chosen(16 * KIB), 9);
	assert_int_equal(chosen(32), 9);
	assert_int_equal(chosen(31), PS_COMPRESSOR_NONE);

	assert_null(offer_trained(WORDS));
	assert_int_equal(chosen(32), 65536);
	assert_int_equal(chosen(16 * KIB - 1), 65536);
	assert_int_equal(chosen(16 * KIB), 9);
}

static void what_is_offered_is_what_the_other_side_enables(void **state)
{
	struct ps_compressors other = {
		.side = PS_SUBSCRIBER, .zstd = true, .training = true, .presets = &presets};
	struct ps_compressor *c;
	struct ps_frame f;

	(void)state;
	table.side = PS_BROADCASTER;
	assert_int_equal(ps_compressors_offer(&table, &c, 1), PS_COMPRESSOR_FAULT_OK);
	f = ps_compressor_frame(c);
	assert_int_equal(f.type, PS_FRAME_ENABLE_ZSTD_PRESET);
	assert_int_equal(f.level, 3);
	assert_int_equal(f.min_size, 0x4000);
	assert_true(f.max_size == UINT64_MAX);
	assert_int_equal(f.payload.size, 0);
	assert_int_equal(ps_compressors_enable(&other, &c, &f), PS_COMPRESSOR_FAULT_OK);

	assert_null(offer_trained(WORDS));
	f = ps_compressor_frame(ps_compressors_find(&table, 65536));
	assert_int_equal(f.type, PS_FRAME_ENABLE_ZSTD_CUSTOM);
	assert_memory_equal(f.digest.data, words_digest, PS_DIGEST_SIZE);
	assert_int_equal(ps_compressors_enable(&other, &c, &f), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(ps_compressor_prepare(c), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(c->id, 65536);
	ps_compressors_clear(&other);
}

static void the_last_two_trained_are_taken_and_the_newest_is_used(void **state)
{
	struct ps_compressor *retired;

	(void)state;
	table.side = PS_BROADCASTER;
	assert_null(offer_trained("the first dictionary"));
	retired = offer_trained("the second dictionary");
	assert_int_equal(retired->id, 65536);
	assert_int_equal(retired->state, PS_COMPRESSOR_RETIRED);
	assert_int_equal(chosen(100), 65537);
	assert_non_null(ps_compressors_find(&table, 65536));

	retired = offer_trained("the third dictionary");
	assert_int_equal(retired->id, 65537);
	assert_int_equal(chosen(100), 65538);
	assert_null(ps_compressors_find(&table, 65536));
	assert_non_null(ps_compressors_find(&table, 65537));
	for (int i = 0; i < 10; i++)
		assert_non_null(offer_trained("another dictionary"));
	assert_int_equal(table.count, 2);
	assert_int_equal(chosen(100), 65548);
}

static void one_compression_serves_those_that_are_equal(void **state)
{
	struct ps_dictionary *d = dictionary_of(WORDS, 3), *e = dictionary_of(WORDS, 3);
	struct ps_compressor standard = {.id = 1, .level = 3}, same = standard, faster = standard,
			     first = {.id = 65536, .level = 3, .dictionary = d}, second = first;

	(void)state;
	faster.level = 1;
	second.id = 65537;
	assert_true(ps_compressor_equal(&standard, &same));
	assert_false(ps_compressor_equal(&standard, &faster));
	assert_false(ps_compressor_equal(&standard, &first));
	assert_true(ps_compressor_equal(&first, &second));
	second.dictionary = e;
	assert_false(ps_compressor_equal(&first, &second));
	ps_dictionary_free(&d);
	ps_dictionary_free(&e);
}

static void faults_have_texts(void **state)
{
	(void)state;
	assert_string_equal(ps_compressor_fault_to_str(PS_COMPRESSOR_FAULT_SIZE),
			    "the dictionary is empty or too large");
	assert_string_equal(ps_compressor_fault_to_str(99), "?");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(options_name_presets),
		T(a_damaged_dictionary_is_refused),
		T(connections_share_a_preset_of_one_level),
		T(only_what_was_asked_for_is_enabled),
		T(an_enabled_compressor_has_what_the_frame_says),
		T(what_is_wrong_with_a_frame_is_told),
		T(a_dictionary_zstd_does_not_take_cannot_be_prepared),
		T(a_table_has_a_maximum),
		T(a_subscriber_takes_the_lowest_minimum),
		T(a_broadcaster_offers_and_takes_the_newest),
		T(what_is_offered_is_what_the_other_side_enables),
		T(the_last_two_trained_are_taken_and_the_newest_is_used),
		T(one_compression_serves_those_that_are_equal),
		T(faults_have_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
