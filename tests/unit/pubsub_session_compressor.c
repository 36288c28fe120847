/* The session at the subscriber and publisher: compressors, and what goes through them. */
#include <zstd.h>

#include "tests/support/far.h"

static char text[40001], plain[40001];
static uint8_t packed[50000], digest[PS_DIGEST_SIZE];
static size_t packed_size;

static void fill_text(void)
{
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
}

static void open_compressing(void)
{
	fill_text();
	session_options.zstd = session_options.training = true;
	open_session();
	accept_connection();
	assert_int_equal(far.got[0].data[4 + 2 + 32 + 2], 1);	  /* x-enable-zstd */
	assert_int_equal(far.got[0].data[4 + 2 + 32 + 3 + 2], 1); /* x-enable-training */
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_CONFIGURE,
			       .nonce = ps_bytes(far.nonce, sizeof(far.nonce))},
	    0);
	assert_told("receiving");
	assert_ok(change(true, PS_DB_EXACT, "t"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, .key = TEXT("t")}, -1);
	assert_told("+t ok");
}

static void enable_standard(void)
{
	say(&(struct ps_frame){.type = PS_FRAME_ENABLE_ZSTD_PRESET,
			       .compressor = 1,
			       .level = 3,
			       .min_size = 16384,
			       .max_size = UINT64_MAX},
	    0);
}

static const char custom[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

static struct ps_frame custom_frame(uint64_t id)
{
	assert_ok(ps_digest_of(ps_bytes_text(custom), digest));
	return (struct ps_frame){.type = PS_FRAME_ENABLE_ZSTD_CUSTOM,
				 .compressor = id,
				 .level = 3,
				 .min_size = 32,
				 .max_size = 16384,
				 .digest = ps_bytes(digest, sizeof(digest)),
				 .payload = ps_bytes_text(custom)};
}

/* Packs with or without the dictionary, and says it under this number as `length` bytes. */
static void say_packed(uint64_t compressor, size_t size, uint64_t length)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();

	packed_size = compressor > 1 ? ZSTD_compress_usingDict(c, packed, sizeof(packed), text,
							       size, custom, strlen(custom), 3)
				     : ZSTD_compressCCtx(c, packed, sizeof(packed), text, size, 3);
	ZSTD_freeCCtx(c);
	assert_false(ZSTD_isError(packed_size));
	assert_ok(ps_digest_of(ps_bytes(packed, packed_size), digest));
	say(&(struct ps_frame){.type = PS_FRAME_RECEIVE_STREAM,
			       .identifier = TEXT("i"),
			       .key = TEXT("t"),
			       .compressor = compressor,
			       .compressed_length = packed_size,
			       .length = length,
			       .digest = ps_bytes(digest, sizeof(digest)),
			       .payload = ps_bytes(packed, packed_size)},
	    0);
}

static void messages_are_decompressed_in_their_order(void **state)
{
	(void)state;
	open_compressing();
	enable_standard();
	say_packed(1, 40000, 40000);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -2);
	say_part("j", 0, "hello", 0, 5);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -3);
	assert_told("message t abcdefghijklmnopqrstuvwxyzabcde");
	assert_told("message t hello");
	say_packed(1, 3, 3); /* less than it is meant for, but allowed */
	assert_told("message t abc");
}

static void a_trained_dictionary_is_used_until_it_is_disabled(void **state)
{
	struct ps_frame f = custom_frame(65536);

	(void)state;
	open_compressing();
	say(&f, 0);
	say_packed(65536, 100, 100);
	assert_told("message t abcdefghijklmnopqrstuvwxyzabcde");
	say(&(struct ps_frame){.type = PS_FRAME_DISABLE_ZSTD_CUSTOM, .compressor = 65536}, 0);
	assert_nothing_told();
	say_packed(65536, 100, 100);
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
}

static void the_next_connection_has_none_of_them(void **state)
{
	(void)state;
	open_compressing();
	enable_standard();
	drop_connection();
	assert_told("lost");
	configure();
	say_packed(1, 100, 100);
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
}

static void assert_refused(void)
{
	assert_told("lost");
	assert_closed(PS_SOCKET_PROTOCOL);
	configure();
	close_session();
}

static void what_cannot_be_enabled_ends_the_connection(void **state)
{
	struct ps_frame cases[4] = {
		{.type = PS_FRAME_ENABLE_ZSTD_PRESET, .compressor = 7, .level = 3},
		custom_frame(65536),
		custom_frame(5),
		{.type = PS_FRAME_DISABLE_ZSTD_CUSTOM, .compressor = 1},
	};
	uint8_t wrong[PS_DIGEST_SIZE] = {0};

	(void)state;
	cases[1].digest = ps_bytes(wrong, sizeof(wrong));
	for (size_t i = 0; i < 4; i++) {
		open_compressing();
		enable_standard();
		say(&cases[i], 0);
		assert_refused();
	}
	open_compressing();
	enable_standard();
	enable_standard(); /* twice */
	assert_refused();
}

static void what_does_not_come_to_what_was_said_ends_the_connection(void **state)
{
	static const uint64_t lengths[] = {39999, 40001, 500000};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		open_compressing();
		enable_standard();
		say_packed(1, 40000, lengths[i]);
		assert_refused();
	}
}

static struct ps_frame next_notify(enum ps_frame_type type)
{
	struct ps_frame f = next_frame(type, 0);

	assert_int_equal(ps_stateful_check(&far.wire, &f, 0), PS_AUTH_OK);
	return f;
}

static void confirm(const struct ps_frame *notify, const char *signed_text)
{
	struct ps_frame f = {.type = PS_FRAME_CONFIRM_NOTIFY,
			     .identifier = notify->identifier,
			     .key = notify->key,
			     .digest = notify->digest,
			     .subscribers = 1};

	if (signed_text) {
		assert_ok(ps_digest_of(ps_bytes_text(signed_text), digest));
		f.digest = ps_bytes(digest, sizeof(digest));
	}
	say(&f, 0);
}

static void large_messages_are_compressed_small_ones_are_not(void **state)
{
	struct ps_session_notification *n[2];
	struct ps_frame f;

	(void)state;
	open_compressing();
	enable_standard();
	say_part("i", 0, "hello", 0, 5); /* by its confirmation, the compressor is there */
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -2);
	assert_told("message t hello");
	n[0] = notify("t", text);
	n[1] = notify("u", "hello");
	f = next_notify(PS_FRAME_NOTIFY);
	assert_int_equal(f.compressor, 1);
	assert_int_equal(f.length, 40000);
	assert_true(f.compressed_length < 1000 && f.compressed_length == f.payload.size);
	assert_ok(ps_digest_of(f.payload, digest));
	assert_memory_equal(f.digest.data, digest, sizeof(digest));
	assert_int_equal(ZSTD_decompress(plain, sizeof(plain), f.payload.data, f.payload.size),
			 40000);
	assert_memory_equal(plain, text, 40000);
	confirm(&f, text); /* signs the message, not what was sent */
	assert_told("t ok none 1");
	f = next_notify(PS_FRAME_NOTIFY);
	assert_int_equal(f.compressor, 0);
	confirm(&f, NULL);
	assert_told("u ok none 1");
	free_notification(n[0]);
	free_notification(n[1]);
}

static void a_compressed_stream_is_confirmed_by_what_was_sent(void **state)
{
	struct ps_session_notification *n;
	struct ps_frame f;

	(void)state;
	session_options.message_max = 1024;
	session_options.acks_max = 300;
	session_options.window = 300;
	open_compressing();
	enable_standard();
	say_part("i", 0, "hello", 0, 5);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -2);
	assert_told("message t hello");
	for (size_t i = 0; i < 40000; i++) /* so that much is left of it */
		text[i] = (char)('a' + i * i % 8191 % 26 + (i >> 10) % 3);
	n = notify("t", text);
	f = next_notify(PS_FRAME_NOTIFY_STREAM);
	assert_int_equal(f.compressor, 1);
	assert_true(f.compressed_length > f.payload.size && f.compressed_length < 40000);
	for (uint64_t size = f.payload.size, part = 0; size < f.compressed_length; part++) {
		size += next_frame(PS_FRAME_NOTIFY_STREAM, 0).payload.size;
		say(&(struct ps_frame){.type = PS_FRAME_CONTINUE_NOTIFY,
				       .identifier = f.identifier,
				       .part = part},
		    0);
	}
	confirm(&f, NULL);
	assert_told("t ok none 1");
	free_notification(n);
}

static bool is_packed(void *what)
{
	const struct ps_session_notification *n = what;

	return n->is_ready;
}

static void what_was_compressed_for_one_connection_is_not_for_the_next(void **state)
{
	struct ps_session_notification *n;
	struct ps_frame f;

	(void)state;
	open_compressing();
	enable_standard();
	say_part("i", 0, "hello", 0, 5);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -2);
	assert_told("message t hello");
	n = notify("t", text);
	f = next_notify(PS_FRAME_NOTIFY);
	assert_int_equal(f.compressor, 1);
	drop_connection();
	assert_told("lost");
	configure();
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -1);
	f = next_notify(PS_FRAME_NOTIFY);
	assert_int_equal(f.compressor, 0);
	assert_int_equal(f.payload.size, 40000);
	close_session();
	free_notification(n);
}

/* Another answer is due first: it waits, packed, while the connection is lost. */
static void what_waits_compressed_is_compressed_again_for_the_next(void **state)
{
	struct ps_session_notification *n;
	struct ps_frame f;

	(void)state;
	session_options.acks_max = 1;
	open_compressing();
	enable_standard();
	say_part("i", 0, "hello", 0, 5);
	next_frame(PS_FRAME_CONFIRM_RECEIVE, -2);
	assert_told("message t hello");
	n = notify("t", text);
	/* goes first: packing takes a turn of the loop */
	assert_ok(change(true, PS_DB_EXACT, "u"));
	next_frame(PS_FRAME_SUBSCRIBE_EXACT, -3);
	far_wait_until(is_packed, n);
	assert_no_frame();
	drop_connection();
	assert_told("lost");
	assert_false(n->is_ready);
	accept_connection();
	say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_CONFIGURE,
			       .nonce = ps_bytes(far.nonce, sizeof(far.nonce))},
	    0);
	assert_told("receiving");
	for (int64_t i = 1; i <= 2; i++) {
		struct ps_frame asked = next_frame(PS_FRAME_SUBSCRIBE_EXACT, -i);

		say(&(struct ps_frame){.type = PS_FRAME_CONFIRM_SUBSCRIBE_EXACT, .key = asked.key},
		    -i);
	}
	assert_told("+u ok");
	f = next_notify(PS_FRAME_NOTIFY);
	assert_int_equal(f.compressor, 0);
	assert_int_equal(n->attempts, 1);
	close_session();
	free_notification(n);
}

#define SESSION(name) cmocka_unit_test_setup_teardown(name, far_set_up, far_tear_down)

RUN_TESTS(SESSION(messages_are_decompressed_in_their_order),
	  SESSION(a_trained_dictionary_is_used_until_it_is_disabled),
	  SESSION(the_next_connection_has_none_of_them),
	  SESSION(what_cannot_be_enabled_ends_the_connection),
	  SESSION(what_does_not_come_to_what_was_said_ends_the_connection),
	  SESSION(large_messages_are_compressed_small_ones_are_not),
	  SESSION(a_compressed_stream_is_confirmed_by_what_was_sent),
	  SESSION(what_was_compressed_for_one_connection_is_not_for_the_next),
	  SESSION(what_waits_compressed_is_compressed_again_for_the_next))
