/*
 * The codec of the stateful protocol, driven by ps_formats. Fed with the messages of strangers:
 * every length is checked against what is there, nothing is copied, time and memory are bounded
 * by the message's size. Owns nothing.
 */
#include "probes/pubsub/ps_frame.h"

#include <assert.h>
#include <errno.h>
#include <strings.h>

#include "user/base/text.h"

const char *ps_frame_fault_to_str(enum ps_frame_fault fault)
{
	static const char *const texts[] = {
#define X(name, text) text,
		PS_FRAME_FAULTS(X)
#undef X
	};

	return fault < sizeof(texts) / sizeof(texts[0]) ? texts[fault] : "?";
}

static const void *field_of(const struct ps_frame *f, const struct ps_header *h)
{
	return (const char *)f + h->offset;
}

/* ---- decoding ---- */

static uint64_t number_of(struct ps_bytes value, bool is_signed)
{
	const uint8_t *p = value.data;
	uint64_t n = is_signed && value.size && p[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < value.size; i++)
		n = n << 8 | p[i];
	return n;
}

static enum ps_frame_fault read_bytes(struct ps_bytes *field, const struct ps_header *h,
				      struct ps_bytes value)
{
	if (value.size < h->least)
		return PS_FRAME_SIZE;
	if (h->value == PS_VALUE_TEXT && !osp_text_is_utf8(value.data, value.size))
		return PS_FRAME_TEXT;
	*field = value;
	return PS_FRAME_OK;
}

static enum ps_frame_fault read_value(struct ps_frame *f, const struct ps_header *h,
				      struct ps_bytes value)
{
	void *field = (char *)f + h->offset;

	if (value.size > h->most)
		return PS_FRAME_SIZE;
	switch (h->value) {
	case PS_VALUE_NUMBER:
		*(uint64_t *)field = number_of(value, false);
		return PS_FRAME_OK;
	case PS_VALUE_SIGNED:
		*(int64_t *)field = (int64_t)number_of(value, true);
		return PS_FRAME_OK;
	case PS_VALUE_FLAG:
		*(bool *)field = value.size == 1 && *(const uint8_t *)value.data == 1;
		return PS_FRAME_OK;
	default:
		return read_bytes(field, h, value);
	}
}

/* The values of an expanded message, in the order of its format; no data: not there. */
struct named {
	struct ps_bytes values[PS_HEADERS_MAX];
};

static void keep_value(struct named *named, const struct ps_format *format, struct ps_bytes name,
		       struct ps_bytes value)
{
	const struct ps_header *h;

	for (size_t i = 0; (h = ps_format_header(format, i)); i++)
		if (strlen(h->name) == name.size && !strncasecmp(h->name, name.data, name.size))
			named->values[i] = value;
}

static bool is_ascii(struct ps_bytes b)
{
	const uint8_t *p = b.data;

	for (size_t i = 0; i < b.size; i++)
		if (p[i] & 0x80)
			return false;
	return true;
}

static enum ps_frame_fault read_named(struct named *named, const struct ps_format *format,
				      struct ps_reader *r)
{
	uint64_t count = ps_wire_read_number(r, 2);
	struct ps_bytes name, value;

	for (; count && !r->failed; count--) {
		name = ps_wire_read_string(r, 2);
		value = ps_wire_read_string(r, 2);
		if (!is_ascii(name))
			return PS_FRAME_NAME;
		if (!r->failed)
			keep_value(named, format, name, value);
	}
	return r->failed ? PS_FRAME_CUT : PS_FRAME_OK;
}

/* The i-th header, from wherever its value is. */
static enum ps_frame_fault read_header(struct ps_frame *f, size_t i, const struct named *named,
				       struct ps_reader *r)
{
	const struct ps_header *h = ps_format_header(&ps_formats[f->type], i);
	struct ps_bytes value = named ? named->values[i] : ps_wire_read_string(r, 2);

	if (r->failed)
		return PS_FRAME_CUT;
	if (value.data)
		return read_value(f, h, value);
	if (!h->absent)
		return PS_FRAME_MISSING;
	*(uint64_t *)((char *)f + h->offset) = h->absent;
	return PS_FRAME_OK;
}

static bool has_header(const struct ps_frame *f, size_t i)
{
	const struct ps_format *format = &ps_formats[f->type];

	return ps_format_header(format, i) &&
	       !(format->first_only && i >= format->first_only && f->part);
}

static enum ps_frame_fault read_headers(struct ps_frame *f, const char **header,
					const struct named *named, struct ps_reader *r)
{
	enum ps_frame_fault fault = PS_FRAME_OK;

	for (size_t i = 0; !fault && has_header(f, i); i++) {
		fault = read_header(f, i, named, r);
		if (fault)
			*header = ps_format_header(&ps_formats[f->type], i)->name;
	}
	return fault;
}

enum ps_frame_fault ps_frame_decode(struct ps_frame *frame, const char **header,
				    enum ps_side sender, struct ps_bytes message)
{
	struct ps_reader r = ps_wire_reader(message.data, message.size);
	uint64_t flags = ps_wire_read_number(&r, 2), id = ps_wire_read_number(&r, 2);
	struct ps_frame f = {.type = ps_format_find(sender, id)};
	const struct ps_format *format = &ps_formats[f.type];
	bool minimal = flags & PS_FORM_MINIMAL;
	enum ps_frame_fault fault = PS_FRAME_OK;
	struct named named = {0};

	*header = NULL;
	if (r.failed)
		return PS_FRAME_SHORT;
	if (f.type == PS_FRAME_NONE)
		return PS_FRAME_TYPE;
	if (!minimal)
		fault = read_named(&named, format, &r);
	if (!fault)
		fault = read_headers(&f, header, minimal ? NULL : &named, &r);
	if (!fault && f.digest.data && !f.compressor && f.compressed_length != f.length)
		fault = PS_FRAME_LENGTHS;
	if (fault)
		return fault;
	if (format->has_payload)
		f.payload = ps_bytes(r.at, r.left);
	*frame = f;
	return PS_FRAME_OK;
}

/* ---- encoding ---- */

static void write_number(struct ps_writer *w, const struct ps_header *h, uint64_t number)
{
	uint8_t bytes[8];
	size_t size = h->least;

	while (size < 8 && number >> (8 * size))
		size++;
	if (size > h->most && !w->error)
		w->error = -EOVERFLOW;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
	ps_wire_write_string(w, 2, ps_bytes(bytes, size));
}

/* Always in as many bytes as it may have. */
static void write_signed(struct ps_writer *w, const struct ps_header *h, int64_t number)
{
	int64_t limit = (int64_t)1 << (8 * h->most - 1);

	if ((number < -limit || number >= limit) && !w->error)
		w->error = -EOVERFLOW;
	write_number(w, h, (uint64_t)number & (uint64_t)(2 * limit - 1));
}

static void write_bytes(struct ps_writer *w, const struct ps_header *h, struct ps_bytes bytes)
{
	if (!w->error && bytes.size < h->least)
		w->error = -EINVAL;
	if (!w->error && bytes.size > h->most)
		w->error = h->least ? -EINVAL : -EOVERFLOW;
	ps_wire_write_string(w, 2, bytes);
}

static void write_value(struct ps_writer *w, const struct ps_frame *f, const struct ps_header *h)
{
	const void *field = field_of(f, h);

	switch (h->value) {
	case PS_VALUE_NUMBER:
		write_number(w, h, *(const uint64_t *)field);
		return;
	case PS_VALUE_SIGNED:
		write_signed(w, h, *(const int64_t *)field);
		return;
	case PS_VALUE_FLAG:
		ps_wire_write_string(w, 2, ps_bytes(*(const bool *)field ? "\1" : "\0", 1));
		return;
	default:
		write_bytes(w, h, *(const struct ps_bytes *)field);
	}
}

static size_t count_headers(const struct ps_frame *f)
{
	size_t n = 0;

	while (has_header(f, n))
		n++;
	return n;
}

int ps_frame_encode(struct osp_buffer *out, const struct ps_frame *frame, enum ps_form form)
{
	const struct ps_format *format = &ps_formats[frame->type];
	struct ps_writer w = {out, 0};
	size_t start = out->size;

	assert(frame->type > PS_FRAME_NONE && frame->type < PS_FRAME_COUNT);
	ps_wire_write_number(&w, 2, form);
	ps_wire_write_number(&w, 2, format->id);
	if (form == PS_FORM_EXPANDED)
		ps_wire_write_number(&w, 2, count_headers(frame));
	for (size_t i = 0; has_header(frame, i); i++) {
		const struct ps_header *h = ps_format_header(format, i);

		if (form == PS_FORM_EXPANDED)
			ps_wire_write_string(&w, 2, ps_bytes_text(h->name));
		write_value(&w, frame, h);
	}
	if (format->has_payload)
		ps_wire_write_bytes(&w, frame->payload);
	if (w.error)
		out->size = start;
	return w.error;
}

/* ---- signing ---- */

struct ps_signed ps_frame_signed(const struct ps_frame *frame, struct ps_bytes url)
{
	const struct ps_frame *f = frame;
	struct ps_signed m = {.kind = ps_formats[f->type].kind,
			      .tracing = f->tracing,
			      .url = url,
			      .key = f->key,
			      .identifier = f->identifier,
			      .digest = f->digest.data};

	switch (m.kind) {
	case PS_KIND_CONFIGURE:
		m.identifier = f->nonce;
		m.numbers[0] = f->zstd;
		m.numbers[1] = f->training;
		m.numbers[2] = f->dictionary;
		break;
	case PS_KIND_CONFIRM_CONFIGURE:
		m.identifier = f->nonce;
		break;
	case PS_KIND_CONTINUE_RECEIVE:
	case PS_KIND_CONTINUE_NOTIFY:
		m.numbers[0] = f->part;
		break;
	case PS_KIND_CONFIRM_RECEIVE:
	case PS_KIND_CONFIRM_NOTIFY:
		m.numbers[0] = f->subscribers;
		break;
	case PS_KIND_ENABLE_ZSTD_PRESET:
	case PS_KIND_ENABLE_ZSTD_CUSTOM:
		m.numbers[1] = (uint64_t)f->level;
		m.numbers[2] = f->min_size;
		m.numbers[3] = f->max_size;
		/* fall through */
	case PS_KIND_DISABLE_ZSTD_CUSTOM:
		m.numbers[0] = f->compressor;
		break;
	case PS_KIND_MISSED:
		m.recovery = url;
		break;
	default:
		break;
	}
	return m;
}
