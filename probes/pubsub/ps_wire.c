/*
 * Reading and writing the protocol's primitive layouts. Fed with received bodies by the message
 * decoders and with values by the encoders and the signer. Owns nothing.
 */
#include "probes/pubsub/ps_wire.h"

#include <errno.h>

struct ps_bytes ps_wire_read_bytes(struct ps_reader *r, size_t size)
{
	struct ps_bytes b = {NULL, 0};

	if (r->failed || size > r->left) {
		r->failed = true;
		return b;
	}
	b = ps_bytes(r->at, size);
	r->at += size;
	r->left -= size;
	return b;
}

uint64_t ps_wire_read_number(struct ps_reader *r, size_t width)
{
	struct ps_bytes b = ps_wire_read_bytes(r, width);
	const uint8_t *p = b.data;
	uint64_t value = 0;

	for (size_t i = 0; i < b.size; i++)
		value = value << 8 | p[i];
	return value;
}

struct ps_bytes ps_wire_read_string(struct ps_reader *r, size_t width)
{
	return ps_wire_read_bytes(r, ps_wire_read_number(r, width));
}

void ps_wire_write_bytes(struct ps_writer *w, struct ps_bytes bytes)
{
	if (!w->error)
		w->error = osp_buffer_add(w->out, bytes.data, bytes.size);
}

void ps_wire_write_number(struct ps_writer *w, size_t width, uint64_t value)
{
	uint8_t bytes[8];

	if (width < 8 && value >> (8 * width)) {
		if (!w->error)
			w->error = -EOVERFLOW;
		return;
	}
	for (size_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
	ps_wire_write_bytes(w, ps_bytes(bytes, width));
}

void ps_wire_write_string(struct ps_writer *w, size_t width, struct ps_bytes bytes)
{
	ps_wire_write_number(w, width, bytes.size);
	ps_wire_write_bytes(w, bytes);
}
