/*
 * Fuzz target: a conversation of the stateful protocol. Each message of the input comes after its
 * sender (a byte) and its size (two); what is decoded is encoded in both forms and decoded
 * again, counted, signed, and put into the books, whose bounds hold.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_acks.h"
#include "probes/pubsub/ps_connection.h"
#include "probes/pubsub/ps_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 1000, ACKS_MAX = 3 };

struct books {
	struct ps_connection connection;
	struct ps_stream streams[2]; /* by sender */
	struct ps_acks acks[2];
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void require_equal(const struct ps_frame *a, const struct ps_frame *b)
{
	require(a->type == b->type && ps_bytes_equal(a->authorization, b->authorization) &&
		ps_bytes_equal(a->tracing, b->tracing) &&
		ps_bytes_equal(a->identifier, b->identifier) && ps_bytes_equal(a->key, b->key) &&
		ps_bytes_equal(a->nonce, b->nonce) && ps_bytes_equal(a->digest, b->digest) &&
		ps_bytes_equal(a->payload, b->payload));
	require(a->part == b->part && a->compressor == b->compressor &&
		a->compressed_length == b->compressed_length && a->length == b->length &&
		a->subscribers == b->subscribers && a->dictionary == b->dictionary &&
		a->min_size == b->min_size && a->max_size == b->max_size && a->level == b->level &&
		a->zstd == b->zstd && a->training == b->training);
}

/* What was read can be written, and reads the same; how it came may have been longer. */
static void check_codec(const struct ps_frame *f, enum ps_form form)
{
	struct osp_buffer out = OSP_BUFFER_INIT(1 << 24);
	const char *header;
	struct ps_frame back;

	require(!ps_frame_encode(&out, f, form));
	require(ps_frame_decode(&back, &header, ps_formats[f->type].sender,
				ps_bytes(out.data, out.size)) == PS_FRAME_OK);
	require_equal(f, &back);
	osp_buffer_clear(&out);
}

static void check_signature(const struct ps_frame *f, struct ps_connection *c)
{
	struct osp_buffer out = OSP_BUFFER_INIT(1 << 24);
	char url[PS_CONNECTION_URL_MAX + 1];
	int64_t counter = ps_connection_count(c, f), guess = ps_connection_guess(c, f);
	struct ps_signed m = ps_frame_signed(f, ps_connection_url(url, c, counter));
	static const uint8_t zeros[PS_DIGEST_SIZE];
	int r;

	ps_connection_learn(c, f, guess && f->payload.size % 2 ? guess : counter);
	if (!m.digest) /* of what it answers, which the session knows */
		m.digest = zeros;
	r = ps_sign_encode(&out, &m, 1700000000, ps_bytes_text("AbCd-_"));
	require(!r || r == -EOVERFLOW);
	osp_buffer_clear(&out);
}

static bool is_streamed(const struct ps_frame *f)
{
	return f->type == PS_FRAME_NOTIFY || f->type == PS_FRAME_NOTIFY_STREAM ||
	       f->type == PS_FRAME_RECEIVE_STREAM;
}

static enum ps_stream_verdict add(struct ps_stream *s, const struct ps_frame *f)
{
	enum ps_stream_verdict v = ps_stream_add(s, f);

	require(v == PS_STREAM_MORE || v == PS_STREAM_COMPLETE || v == PS_STREAM_DIGEST);
	require((v == PS_STREAM_MORE) == s->is_open);
	require(s->received <= s->compressed_length && s->compressed_length <= MESSAGE_MAX);
	require(s->parts <= s->compressed_length || s->parts == 1);
	return v;
}

/* The way of a frame through a session. */
static void enter(struct books *b, struct ps_frame *f)
{
	enum ps_side sender = ps_formats[f->type].sender;
	struct ps_stream *s = &b->streams[sender];
	enum ps_stream_verdict v = is_streamed(f) ? ps_stream_begin(s, f) : PS_STREAM_MORE;
	struct ps_ack ack;

	check_signature(f, &b->connection);
	if (is_streamed(f) && !v)
		v = add(s, f);
	(void)ps_acks_pop(&b->acks[!sender], &ack, f);
	(void)ps_acks_push(&b->acks[sender], f, !s->is_open, 1, NULL);
	require(b->acks[0].count <= ACKS_MAX && b->acks[1].count <= ACKS_MAX);
	if (v > PS_STREAM_COMPLETE)
		ps_stream_clear(s);
}

static void take(struct books *b, enum ps_side sender, struct ps_bytes message)
{
	const char *header;
	struct ps_frame f;
	enum ps_frame_fault fault = ps_frame_decode(&f, &header, sender, message);

	require(ps_frame_fault_to_str(fault)[0] != '?');
	if (fault)
		return;
	require(!header);
	check_codec(&f, PS_FORM_MINIMAL);
	check_codec(&f, PS_FORM_EXPANDED);
	enter(b, &f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t nonce[PS_NONCE_SIZE];
	struct ps_reader r = ps_wire_reader(data, size);
	struct books b = {.streams = {{.max = MESSAGE_MAX}, {.max = MESSAGE_MAX}}};

	require(!ps_connection_init(&b.connection, nonce, nonce, size % 2));
	for (int i = 0; i < 2; i++)
		require(!ps_acks_init(&b.acks[i], ACKS_MAX));
	while (r.left && !r.failed) {
		enum ps_side sender = ps_wire_read_number(&r, 1) % 2;

		take(&b, sender, ps_wire_read_string(&r, 2));
	}
	for (int i = 0; i < 2; i++) {
		ps_stream_clear(&b.streams[i]);
		ps_acks_clear(&b.acks[i]);
	}
	return 0;
}
