/* Compression at the broadcaster's web sockets: what is offered, used, trained and taken back. */
#include <unistd.h>

#include "tests/support/peers.h"

enum { TEXT_SIZE = 20000 };

static char text[TEXT_SIZE + 1];
static struct ps_presets presets;

/* A client that takes and makes compressed messages. */
struct zstd_client {
	struct client *c;
	struct ps_compressors known;
};

static struct ps_bytes long_text(void)
{
	for (size_t i = 0; i < TEXT_SIZE; i++)
		text[i] = "a sentence, again and again; "[i % 29];
	return ps_bytes(text, TEXT_SIZE);
}

/* psp-train stands beside the folder of the tests. */
static const char *psp_train(void)
{
	static char program[4096];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);

	assert_true(n > 0);
	program[n] = 0;
	strcpy(strrchr(program, '/'), "/../../psp-train");
	return program;
}

static void allow(bool training)
{
	options.peers.zstd = true;
	options.peers.training = training;
	options.peers.presets = &presets;
	ps_trainer_options_init(&options.peers.trainer);
	options.peers.trainer.program = psp_train();
	reopen();
}

static struct zstd_client *new_zstd_client(struct ps_frame configure)
{
	struct zstd_client *z = calloc(1, sizeof(*z));

	z->c = new_client();
	z->known = (struct ps_compressors){
		.side = PS_SUBSCRIBER, .zstd = true, .training = true, .presets = &presets};
	configure_as(z->c, configure);
	return z;
}

static void free_zstd_client(struct zstd_client *z)
{
	ps_compressors_clear(&z->known);
	free_client(z->c);
	free(z);
}

/* The next frame enables a compressor; its number. */
static uint64_t take_enable(struct zstd_client *z, enum ps_frame_type type)
{
	struct ps_frame f = peers_next_frame(z->c, type);
	struct ps_compressor *c;

	assert_authorized(z->c, &f, ps_connection_count(&z->c->wire.connection, &f));
	assert_int_equal(ps_compressors_enable(&z->known, &c, &f), PS_COMPRESSOR_FAULT_OK);
	assert_int_equal(ps_compressor_prepare(c), PS_COMPRESSOR_FAULT_OK);
	return f.compressor;
}

static void spool_of(struct ps_spool *s, struct ps_bytes bytes)
{
	static struct ps_budget budget = {
		.message_max = 1 << 20, .memory_each = 1 << 20, .memory_max = 16 << 20};

	ps_spool_init(s, &budget);
	assert_ok(ps_spool_add(s, bytes.data, bytes.size));
}

/* A message of one part, compressed with this one (0: not at all), and its confirmation. */
static void take_compressed(struct zstd_client *z, uint64_t compressor, struct ps_bytes message)
{
	struct ps_stream stream = {.max = 1 << 20};
	struct ps_frame f = take_part(z->c, &stream, PS_STREAM_COMPLETE);
	struct ps_compressor *c = ps_compressors_find(&z->known, f.compressor);
	struct ps_zstd zstd = {0};
	struct ps_zstd_run run = {0};
	struct ps_spool from, to;

	assert_int_equal(f.compressor, compressor);
	assert_int_equal(f.length, message.size);
	spool_of(&from, f.payload);
	spool_of(&to, TEXT(""));
	if (compressor) {
		assert_true(f.compressed_length < f.length);
		assert_ok(ps_zstd_decompress(&run, &zstd, c->dictionary, f.length, &from, &to));
		assert_int_equal(ps_zstd_step(&run, UINT64_MAX), PS_ZSTD_DONE);
		assert_true(ps_bytes_equal(ps_bytes(to.memory.data, to.size), message));
	} else {
		assert_true(ps_bytes_equal(f.payload, message));
	}
	answer_part(z->c, &f, true);
	ps_spool_clear(&from);
	ps_spool_clear(&to);
	ps_zstd_clear(&zstd);
	ps_stream_clear(&stream);
}

/* A compressed NOTIFY; the announced length may be wrong by `off`. */
static void notify_compressed(struct zstd_client *z, uint64_t compressor, struct ps_bytes message,
			      int off, bool as_stream)
{
	struct ps_compressor *c = ps_compressors_find(&z->known, compressor);
	struct ps_zstd zstd = {0};
	struct ps_zstd_run run = {0};
	struct ps_spool from, to;
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f;

	spool_of(&from, message);
	spool_of(&to, TEXT(""));
	assert_ok(ps_zstd_compress(&run, &zstd, c->dictionary, 3, &from, &to));
	assert_int_equal(ps_zstd_step(&run, UINT64_MAX), PS_ZSTD_DONE);
	f = part_of(as_stream ? PS_FRAME_NOTIFY_STREAM : PS_FRAME_NOTIFY, "t",
		    ps_bytes(to.memory.data, to.size), 0, 0, to.size, digest);
	f.compressor = compressor;
	f.length = message.size + (uint64_t)off;
	send_frame(z->c, &f);
	/* what the broadcaster signs after a stream is the digest of what was sent */
	if (!off) {
		f = peers_next_frame(z->c, PS_FRAME_CONFIRM_NOTIFY);
		if (!as_stream)
			assert_ok(ps_digest_of(message, digest));
		f.key = TEXT("t");
		f.digest = ps_bytes(digest, sizeof(digest));
		assert_authorized(z->c, &f, 0);
		assert_int_equal(f.subscribers, 1);
	}
	ps_spool_clear(&from);
	ps_spool_clear(&to);
	ps_zstd_clear(&zstd);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void long_messages_are_compressed_for_those_who_ask(void **state)
{
	struct zstd_client *z;
	struct client *plain;

	(void)state;
	options.budget.memory_each = 100000;
	options.peers.message_max = 100000;
	allow(false);
	z = new_zstd_client((struct ps_frame){.zstd = true});
	plain = new_session();
	assert_int_equal(take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET), PS_COMPRESSOR_STANDARD);
	peers_change(z->c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_change(plain, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(plain, "t", long_text());
	take_compressed(z, PS_COMPRESSOR_STANDARD, long_text());
	take_message(plain, long_text());
	assert_notified(plain, "t", long_text(), 2);
	peers_notify(plain, "t", TEXT("short"));
	take_compressed(z, 0, TEXT("short"));
	free_zstd_client(z);
	free_client(plain);
}

static void compressed_messages_are_taken(void **state)
{
	struct zstd_client *z;

	(void)state;
	options.budget.memory_each = 100000;
	options.peers.message_max = 100000;
	allow(false);
	for (int as_stream = 0; as_stream < 2; as_stream++) {
		struct client *plain = new_session();

		peers_change(plain, PS_FRAME_SUBSCRIBE_EXACT, "t");
		z = new_zstd_client((struct ps_frame){.zstd = true});
		take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
		notify_compressed(z, PS_COMPRESSOR_STANDARD, long_text(), 0, as_stream);
		take_message(plain, long_text());
		free_zstd_client(z);
		free_client(plain);
	}
}

static void what_cannot_be_decompressed_ends_the_connection(void **state)
{
	static const struct {
		int off;
		const char *why;
	} cases[] = {{1, "decompressed it is shorter than announced"},
		     {-1, "decompressed it is longer than announced"}};

	(void)state;
	allow(false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zstd_client *z = new_zstd_client((struct ps_frame){.zstd = true});

		take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
		notify_compressed(z, PS_COMPRESSOR_STANDARD, long_text(), cases[i].off, false);
		assert_ended(z->c, PS_SOCKET_PROTOCOL, cases[i].why);
		free_zstd_client(z);
	}
	assert_int_equal(b.budget.memory_used, 0);
}

static void bytes_that_are_no_frame_end_the_connection(void **state)
{
	struct zstd_client *z;
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f;

	(void)state;
	allow(false);
	z = new_zstd_client((struct ps_frame){.zstd = true});
	take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
	f = part_of(PS_FRAME_NOTIFY, "t", TEXT("hello"), 0, 0, 5, digest);
	f.compressor = PS_COMPRESSOR_STANDARD;
	send_frame(z->c, &f);
	assert_ended(z->c, PS_SOCKET_PROTOCOL, ps_zstd_verdict_to_str(PS_ZSTD_CORRUPT));
	free_zstd_client(z);
}

static void nothing_is_offered_that_is_not_allowed(void **state)
{
	struct zstd_client *z;

	(void)state;
	options.peers.presets = &presets;
	reopen();
	z = new_zstd_client((struct ps_frame){.zstd = true, .training = true, .dictionary = 2});
	peers_change(z->c, PS_FRAME_SUBSCRIBE_EXACT, "t"); /* its answer comes first */
	free_zstd_client(z);
}

static void a_preset_is_offered_to_who_asks_for_it(void **state)
{
	char path[] = "/tmp/pubsub_peer_zstd-XXXXXX", option[64];
	struct zstd_client *z, *other;
	int fd = mkstemp(path);

	(void)state;
	assert_true(write(fd, long_text().data, 1000) == 1000);
	close(fd);
	snprintf(option, sizeof(option), "7:5=%s", path);
	assert_ok(ps_presets_add(&presets, option));
	unlink(path);
	allow(false);
	z = new_zstd_client((struct ps_frame){.zstd = true, .dictionary = 7});
	other = new_zstd_client((struct ps_frame){.zstd = true, .dictionary = 8}); /* unknown */
	take_enable(other, PS_FRAME_ENABLE_ZSTD_PRESET);
	take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
	assert_int_equal(take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET), 7);
	peers_change(z->c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_change(other->c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(z->c, "t", ps_bytes(text, 200));
	take_compressed(other, 0, ps_bytes(text, 200));
	take_compressed(z, 7, ps_bytes(text, 200));
	free_zstd_client(other);
	free_zstd_client(z);
	ps_presets_clear(&presets);
}

/* Enough messages, each a little different, for a dictionary to be due. */
static void send_samples(struct zstd_client *z, unsigned bytes)
{
	char message[300];

	for (unsigned sent = 0, i = 0; sent < bytes; i++) {
		int n = snprintf(message, sizeof(message),
				 "{\"user\": %u, \"name\": \"somebody %u\", \"mail\": "
				 "\"somebody%u@example.org\", \"tags\": [\"a%u\", \"b%u\", \"c\"], "
				 "\"text\": \"there is something to say about %u, always\"}",
				 i * 7919, i, i * 31, i % 13, i % 17, i * 104729);

		peers_notify(z->c, "nobody", ps_bytes(message, (size_t)n));
		peers_next_frame(z->c, PS_FRAME_CONFIRM_NOTIFY);
		sent += (unsigned)n;
	}
}

static void dictionaries_are_trained_and_the_old_ones_taken_back(void **state)
{
	static const char message[] = "{\"user\": 3, \"name\": \"somebody 3\", \"mail\": "
				      "\"somebody4@example.org\", \"tags\": [\"a1\"]}";
	struct ps_bytes m = ps_bytes(message, sizeof(message) - 1);
	struct zstd_client *z;
	struct ps_frame f;

	(void)state;
	allow(true);
	options.peers.trainer.low = 50000;
	options.peers.trainer.high = 100000;
	reopen();
	z = new_zstd_client((struct ps_frame){.zstd = true, .training = true});
	take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
	send_samples(z, 51000);
	assert_int_equal(take_enable(z, PS_FRAME_ENABLE_ZSTD_CUSTOM), PS_COMPRESSOR_CUSTOM);
	peers_change(z->c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_notify(z->c, "t", m);
	take_compressed(z, PS_COMPRESSOR_CUSTOM, m);
	peers_next_frame(z->c, PS_FRAME_CONFIRM_NOTIFY);
	send_samples(z, 51000);
	assert_int_equal(take_enable(z, PS_FRAME_ENABLE_ZSTD_CUSTOM), PS_COMPRESSOR_CUSTOM + 1);
	f = peers_next_frame(z->c, PS_FRAME_DISABLE_ZSTD_CUSTOM);
	assert_authorized(z->c, &f, ps_connection_count(&z->c->wire.connection, &f));
	assert_int_equal(f.compressor, PS_COMPRESSOR_CUSTOM);
	peers_notify(z->c, "t", m);
	take_compressed(z, PS_COMPRESSOR_CUSTOM + 1, m);
	free_zstd_client(z);
}

static bool has_two_compressors(void *what)
{
	(void)what;
	return osp_list_entry(b.peers.list.next, struct ps_peer, node)->compressors.count == 2;
}

static void a_dictionary_is_not_used_before_the_peer_has_it(void **state)
{
	struct ps_bytes m = ps_bytes(long_text().data, 100);
	struct zstd_client *z;
	struct client *publisher;

	(void)state;
	allow(true);
	options.peers.trainer.low = 20000;
	reopen();
	z = new_zstd_client((struct ps_frame){.zstd = true, .training = true});
	publisher = new_session();
	take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
	peers_change(z->c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	send_samples(z, 19000);
	for (int i = 0; i < 5; i++) { /* two of them wait */
		peers_notify(publisher, "t", m);
		assert_notified(publisher, "t", m, 1);
	}
	for (int i = 0; i < 10; i++)
		peers_notify(z->c, "nobody", ps_bytes(text, 200));
	peers_wait_until(has_two_compressors, NULL);
	for (int i = 0; i < 5; i++)
		take_compressed(z, 0, m);
	for (int i = 0; i < 10; i++)
		peers_next_frame(z->c, PS_FRAME_CONFIRM_NOTIFY);
	take_enable(z, PS_FRAME_ENABLE_ZSTD_CUSTOM);
	peers_notify(publisher, "t", m);
	take_compressed(z, PS_COMPRESSOR_CUSTOM, m);
	free_zstd_client(z);
	free_client(publisher);
}

static void a_connection_may_end_while_its_dictionary_is_trained(void **state)
{
	struct zstd_client *z;

	(void)state;
	allow(true);
	options.peers.trainer.low = 20000;
	reopen();
	z = new_zstd_client((struct ps_frame){.zstd = true, .training = true});
	take_enable(z, PS_FRAME_ENABLE_ZSTD_PRESET);
	send_samples(z, 21000);
	free_zstd_client(z);
	wait_ms(20);
	assert_int_equal(b.peers.count, 0);
}

RUN_TESTS(CASE(long_messages_are_compressed_for_those_who_ask), CASE(compressed_messages_are_taken),
	  CASE(what_cannot_be_decompressed_ends_the_connection),
	  CASE(bytes_that_are_no_frame_end_the_connection),
	  CASE(nothing_is_offered_that_is_not_allowed),
	  CASE(a_preset_is_offered_to_who_asks_for_it),
	  CASE(dictionaries_are_trained_and_the_old_ones_taken_back),
	  CASE(a_dictionary_is_not_used_before_the_peer_has_it),
	  CASE(a_connection_may_end_while_its_dictionary_is_trained))
