/*
 * The layouts of the signed bytes as a table: one string of field letters per kind. Orders and
 * widths differ from the bodies on the wire (a url stands before the recovery url and the key
 * here). Fed by the authorization; owns its scratch buffer.
 */
#include "probes/pubsub/ps_sign.h"

#include <errno.h>

#include "user/base/cleanup.h"

enum { SIGNED_MAX = 1 + 8 + 256 + 4 * (2 + 65535) + 256 + 64 + 4 * 8 };

/*
 * U url, R recovery url, K topic or glob: two-byte length; I identifier or nonce: one-byte
 * length; D digest: 64 bytes; 1 2 4 8: the next number, that many bytes wide; P: its lowest byte; L: four
 * bytes in two's complement.
 */
static const char *const layouts[PS_KIND_COUNT] = {
	[PS_KIND_SUBSCRIBE_EXACT] = "URK",
	[PS_KIND_SUBSCRIBE_GLOB] = "URK",
	[PS_KIND_NOTIFY] = "KID",
	[PS_KIND_CONFIGURE] = "I112",
	[PS_KIND_CHECK_SUBSCRIPTIONS] = "U",
	[PS_KIND_SET_SUBSCRIPTIONS] = "U1D",
	[PS_KIND_CONTINUE_RECEIVE] = "IPU",
	[PS_KIND_CONFIRM_RECEIVE] = "I4U",
	[PS_KIND_CONFIRM_MISSED] = "KU",
	[PS_KIND_RECEIVE] = "UKID",
	[PS_KIND_MISSED] = "RK",
	[PS_KIND_CONFIRM_SUBSCRIBE_EXACT] = "URK",
	[PS_KIND_CONFIRM_SUBSCRIBE_GLOB] = "URK",
	[PS_KIND_CONFIRM_NOTIFY] = "I4KD",
	[PS_KIND_CHECK_RESPONSE] = "1D",
	[PS_KIND_SET_RESPONSE] = "1D",
	[PS_KIND_CONFIRM_CONFIGURE] = "I",
	[PS_KIND_ENABLE_ZSTD_PRESET] = "U4L88",
	[PS_KIND_ENABLE_ZSTD_CUSTOM] = "U4L88D",
	[PS_KIND_DISABLE_ZSTD_CUSTOM] = "4U",
	[PS_KIND_CONTINUE_NOTIFY] = "I4",
};

static void write_level(struct ps_writer *w, int64_t level)
{
	if ((level < INT32_MIN || level > INT32_MAX) && !w->error)
		w->error = -EOVERFLOW;
	ps_wire_write_number(w, 4, (uint32_t)level);
}

static void write_field(struct ps_writer *w, const struct ps_signed *m, char field, size_t *number)
{
	switch (field) {
	case 'U':
		ps_wire_write_string(w, 2, m->url);
		return;
	case 'R':
		ps_wire_write_string(w, 2, m->recovery);
		return;
	case 'K':
		ps_wire_write_string(w, 2, m->key);
		return;
	case 'I':
		ps_wire_write_string(w, 1, m->identifier);
		return;
	case 'D':
		ps_wire_write_bytes(w, ps_bytes(m->digest, PS_DIGEST_SIZE));
		return;
	case 'P':
		ps_wire_write_number(w, 1, m->numbers[(*number)++] & 0xff);
		return;
	case 'L':
		write_level(w, (int64_t)m->numbers[(*number)++]);
		return;
	default:
		ps_wire_write_number(w, (size_t)(field - '0'), m->numbers[(*number)++]);
	}
}

int ps_sign_encode(struct osp_buffer *out, const struct ps_signed *m, uint64_t seconds,
		   struct ps_bytes nonce)
{
	struct ps_writer w = {out, 0};
	size_t number = 0;

	if (m->kind <= 0 || m->kind >= PS_KIND_COUNT)
		return -EINVAL;
	ps_wire_write_number(&w, 1, m->kind);
	ps_wire_write_number(&w, 8, seconds);
	ps_wire_write_string(&w, 1, nonce);
	ps_wire_write_string(&w, 2, m->tracing);
	for (const char *p = layouts[m->kind]; *p; p++)
		write_field(&w, m, *p, &number);
	return w.error;
}

int ps_sign_mac(uint8_t out[PS_DIGEST_SIZE], struct ps_bytes key, const struct ps_signed *m,
		uint64_t seconds, struct ps_bytes nonce)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer text = OSP_BUFFER_INIT(SIGNED_MAX);
	int r = ps_sign_encode(&text, m, seconds, nonce);

	return r ? r : ps_digest_hmac(key, ps_bytes(text.data, text.size), out);
}
