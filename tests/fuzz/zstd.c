/*
 * Fuzz target: a compressed message of a peer. The first byte chooses dictionary and slice, two more
 * are the length announced, the rest is the frame. What is accepted has that length and can be sent
 * on; what is not has written no more than it.
 */
#include <stdlib.h>

#include "probes/pubsub/ps_zstd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char words[] = "hello hello world of dictionaries and so on, hello hello hello";

static void require(bool holds)
{
	if (!holds)
		abort();
}

static enum ps_zstd_verdict run_to_end(struct ps_zstd_run *run, uint64_t slice)
{
	enum ps_zstd_verdict v;

	for (int steps = 0;; steps++) {
		v = ps_zstd_step(run, slice);
		if (v != PS_ZSTD_MORE)
			return v;
		require(steps < 1000);
	}
}

static enum ps_zstd_verdict decompress(struct ps_zstd *z, struct ps_dictionary *d, uint64_t length,
				       const struct ps_spool *from, struct ps_spool *to)
{
	struct ps_zstd_run run;

	require(!ps_zstd_decompress(&run, z, d, length, from, to));
	return run_to_end(&run, 1 << 10);
}

/* What came is compressed, and is the same again. */
static void send_on(struct ps_zstd *z, struct ps_dictionary *d, const struct ps_spool *message)
{
	struct ps_spool frame, back;
	struct ps_zstd_run run;
	enum ps_zstd_verdict v;

	ps_spool_init(&frame, message->budget);
	ps_spool_init(&back, message->budget);
	require(!ps_zstd_compress(&run, z, d, 1, message, &frame));
	v = run_to_end(&run, 1 << 10);
	require(v == PS_ZSTD_DONE || v == PS_ZSTD_LARGER);
	if (v == PS_ZSTD_DONE) {
		require(frame.size < message->size);
		require(decompress(z, d, message->size, &frame, &back) == PS_ZSTD_DONE);
		require(back.size == message->size &&
			!memcmp(back.memory.data, message->memory.data, message->size));
	}
	ps_spool_clear(&frame);
	ps_spool_clear(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ps_budget budget = {
		.message_max = 1 << 20, .memory_each = 1 << 20, .memory_max = 1 << 23};
	struct ps_dictionary *dictionary = NULL;
	struct ps_spool from, to;
	struct ps_zstd zstd = {0};
	enum ps_zstd_verdict v;
	uint64_t length;

	if (size < 3)
		return 0;
	length = (uint64_t)data[1] << 8 | data[2];
	if (data[0] & 1) {
		require(!ps_dictionary_new(&dictionary, ps_bytes_text(words), 1));
		require(!ps_dictionary_prepare(dictionary));
	}
	ps_spool_init(&from, &budget);
	ps_spool_init(&to, &budget);
	require(size == 3 || !ps_spool_add(&from, data + 3, size - 3));

	v = decompress(&zstd, dictionary, length, &from, &to);
	require(v == PS_ZSTD_DONE ? to.size == length : v > PS_ZSTD_LARGER && to.size <= length);
	require(ps_zstd_verdict_to_str(v)[0] != '?');
	if (v == PS_ZSTD_DONE)
		send_on(&zstd, dictionary, &to);
	ps_spool_clear(&from);
	ps_spool_clear(&to);
	ps_dictionary_free(&dictionary);
	ps_zstd_clear(&zstd);
	return 0;
}
