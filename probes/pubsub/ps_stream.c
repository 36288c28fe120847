/*
 * The sizes of parts, and the order, number and digest of those that come. Fed by the session
 * with decoded frames; whoever wants the bytes keeps them himself. Memory is bounded by one topic
 * and one tracing.
 */
#include "probes/pubsub/ps_stream.h"

#include "user/base/buffer.h"

enum { KEPT_MAX = 2 * 65535, NOTIFY_MARGIN = 128 };

const char *ps_stream_verdict_to_str(enum ps_stream_verdict v)
{
	static const char *const texts[] = {
#define X(name, text) text,
		PS_STREAM_VERDICTS(X)
#undef X
	};

	return v < sizeof(texts) / sizeof(texts[0]) ? texts[v] : "?";
}

uint64_t ps_stream_part_size(uint64_t left, size_t head, size_t most)
{
	uint64_t room = most > head ? most - head : 0;

	if (room < PS_STREAM_PART_MIN)
		room = PS_STREAM_PART_MIN;
	return left < room ? left : room;
}

bool ps_stream_is_single(uint64_t length, size_t head, size_t most)
{
	return most > NOTIFY_MARGIN && length < most - NOTIFY_MARGIN && head < most - length;
}

void ps_stream_clear(struct ps_stream *s)
{
	osp_buffer_clear(&s->kept);
	ps_digest_clear(&s->hash);
	*s = (struct ps_stream){.max = s->max};
}

/* Copies what later parts are signed with. */
static int keep_head(struct ps_stream *s, const struct ps_frame *f)
{
	int r;

	s->kept.max = KEPT_MAX;
	osp_buffer_reset(&s->kept);
	r = osp_buffer_add(&s->kept, f->key.data, f->key.size);
	if (!r)
		r = osp_buffer_add(&s->kept, f->tracing.data, f->tracing.size);
	s->topic = ps_bytes(s->kept.data, r ? 0 : f->key.size);
	s->tracing = ps_bytes(s->kept.data + f->key.size, r ? 0 : f->tracing.size);
	return r;
}

static enum ps_stream_verdict begin_first(struct ps_stream *s, const struct ps_frame *f)
{
	if (s->is_open)
		return PS_STREAM_WOVEN;
	if (f->compressed_length > s->max || f->length > s->max)
		return PS_STREAM_TOO_LARGE;
	if (keep_head(s, f) || ps_digest_start(&s->hash))
		return PS_STREAM_UNAVAILABLE;
	s->is_open = true;
	s->identifier_size = f->identifier.size;
	if (f->identifier.size)
		memcpy(s->identifier, f->identifier.data, f->identifier.size);
	memcpy(s->digest, f->digest.data, PS_DIGEST_SIZE);
	s->compressor = f->compressor;
	s->compressed_length = f->compressed_length;
	s->length = f->length;
	s->parts = s->received = 0;
	return PS_STREAM_MORE;
}

static enum ps_stream_verdict begin_later(const struct ps_stream *s, struct ps_frame *f)
{
	if (!s->is_open)
		return PS_STREAM_NOT_BEGUN;
	if (!ps_bytes_equal(f->identifier, ps_bytes(s->identifier, s->identifier_size)))
		return PS_STREAM_IDENTIFIER;
	if (f->part != s->parts)
		return PS_STREAM_SEQUENCE;
	f->key = s->topic;
	f->digest = ps_bytes(s->digest, PS_DIGEST_SIZE);
	if (f->type == PS_FRAME_NOTIFY_STREAM)
		f->tracing = s->tracing;
	return PS_STREAM_MORE;
}

enum ps_stream_verdict ps_stream_begin(struct ps_stream *s, struct ps_frame *part)
{
	enum ps_stream_verdict v = part->part ? begin_later(s, part) : begin_first(s, part);
	uint64_t left = s->compressed_length - s->received;

	if (v)
		return v;
	if (part->payload.size > left)
		return PS_STREAM_TOO_MUCH;
	if (part->type == PS_FRAME_NOTIFY && part->payload.size < left)
		return PS_STREAM_TOO_LITTLE;
	return left && !part->payload.size ? PS_STREAM_EMPTY : PS_STREAM_MORE;
}

enum ps_stream_verdict ps_stream_add(struct ps_stream *s, const struct ps_frame *part)
{
	uint8_t digest[PS_DIGEST_SIZE];

	if (ps_digest_add(&s->hash, part->payload.data, part->payload.size))
		return PS_STREAM_UNAVAILABLE;
	s->parts++;
	s->received += part->payload.size;
	if (s->received < s->compressed_length)
		return PS_STREAM_MORE;
	s->is_open = false;
	if (ps_digest_stop(&s->hash, digest))
		return PS_STREAM_UNAVAILABLE;
	return ps_digest_equal(digest, s->digest, sizeof(digest)) ? PS_STREAM_COMPLETE
								  : PS_STREAM_DIGEST;
}
