/*
 * Encoders and decoders of the request and response bodies. Fed by the HTTP server and client
 * with bytes of strangers: every length is checked against what is there, nothing is copied.
 * Field orders differ between messages (tracing stands last, first or in the middle).
 */
#include "probes/pubsub/ps_message.h"

#include <errno.h>

#include "user/base/text.h"

static int head_end(const struct ps_reader *r, struct ps_bytes body, size_t *used)
{
	if (r->failed)
		return -EAGAIN;
	*used = body.size - r->left;
	return 0;
}

static int body_end(const struct ps_reader *r)
{
	return r->failed || r->left ? -EBADMSG : 0;
}

int ps_message_decode_notify(struct ps_notify *m, struct ps_bytes body, size_t *used)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_notify n;
	int e;

	n.topic = ps_wire_read_string(&r, 2);
	n.digest = ps_wire_read_bytes(&r, PS_DIGEST_SIZE).data;
	n.tracing = ps_wire_read_string(&r, 2);
	n.identifier = ps_wire_read_string(&r, 1);
	n.length = ps_wire_read_number(&r, 8);
	e = head_end(&r, body, used);
	if (!e)
		*m = n;
	return e;
}

int ps_message_decode_receive(struct ps_receive *m, struct ps_bytes body, size_t *used)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_receive n;
	int e;

	n.tracing = ps_wire_read_string(&r, 2);
	n.topic = ps_wire_read_string(&r, 2);
	n.identifier = ps_wire_read_string(&r, 1);
	n.length = ps_wire_read_number(&r, 8);
	e = head_end(&r, body, used);
	if (!e)
		*m = n;
	return e;
}

static bool is_text(struct ps_bytes b)
{
	return osp_text_is_utf8(b.data, b.size);
}

int ps_message_decode_subscribe(struct ps_subscribe *m, struct ps_bytes body, bool is_glob,
				bool has_recovery)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_subscribe n = {0};
	int e;

	n.url = ps_wire_read_string(&r, 2);
	n.key = ps_wire_read_string(&r, 2);
	if (has_recovery)
		n.recovery = ps_wire_read_string(&r, 2);
	n.tracing = ps_wire_read_string(&r, 2);
	e = body_end(&r);
	if (e)
		return e;
	if (!is_text(n.url) || !is_text(n.recovery) || (is_glob && !is_text(n.key)))
		return -EILSEQ;
	*m = n;
	return 0;
}

int ps_message_decode_missed(struct ps_missed *m, struct ps_bytes body)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_missed n;
	int e;

	n.tracing = ps_wire_read_string(&r, 2);
	n.topic = ps_wire_read_string(&r, 2);
	e = body_end(&r);
	if (!e)
		*m = n;
	return e;
}

static bool is_response_type(uint64_t type)
{
	return type == PS_RESPONSE_GENERIC || type == PS_RESPONSE_NOTIFY ||
	       type == PS_RESPONSE_CONFIRM_RECEIVE || type == PS_RESPONSE_CONFIRM_MISSED ||
	       type == PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE;
}

int ps_message_decode_response(struct ps_response *m, struct ps_bytes body)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_response n = {0};
	uint64_t type = ps_wire_read_number(&r, 2);
	int e;

	if (r.failed || !is_response_type(type))
		return -EBADMSG;
	n.type = (enum ps_response_type)type;
	if (n.type != PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE) {
		n.authorization = ps_wire_read_string(&r, 2);
		n.tracing = ps_wire_read_string(&r, 2);
	}
	if (n.type == PS_RESPONSE_NOTIFY) {
		n.subscribers = (uint32_t)ps_wire_read_number(&r, 4);
		n.identifier = ps_wire_read_string(&r, 1);
	}
	if (n.type == PS_RESPONSE_CONFIRM_RECEIVE) {
		n.identifier = ps_wire_read_string(&r, 1);
		n.subscribers = (uint32_t)ps_wire_read_number(&r, 4);
	}
	e = body_end(&r);
	if (!e)
		*m = n;
	return e;
}

int ps_message_encode_notify(struct osp_buffer *out, const struct ps_notify *m)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_string(&w, 2, m->topic);
	ps_wire_write_bytes(&w, ps_bytes(m->digest, PS_DIGEST_SIZE));
	ps_wire_write_string(&w, 2, m->tracing);
	ps_wire_write_string(&w, 1, m->identifier);
	ps_wire_write_number(&w, 8, m->length);
	return w.error;
}

int ps_message_encode_receive(struct osp_buffer *out, const struct ps_receive *m)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_string(&w, 2, m->tracing);
	ps_wire_write_string(&w, 2, m->topic);
	ps_wire_write_string(&w, 1, m->identifier);
	ps_wire_write_number(&w, 8, m->length);
	return w.error;
}

int ps_message_encode_subscribe(struct osp_buffer *out, const struct ps_subscribe *m,
				bool has_recovery)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_string(&w, 2, m->url);
	ps_wire_write_string(&w, 2, m->key);
	if (has_recovery)
		ps_wire_write_string(&w, 2, m->recovery);
	ps_wire_write_string(&w, 2, m->tracing);
	return w.error;
}

int ps_message_encode_missed(struct osp_buffer *out, const struct ps_missed *m)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_string(&w, 2, m->tracing);
	ps_wire_write_string(&w, 2, m->topic);
	return w.error;
}

int ps_message_encode_response(struct osp_buffer *out, const struct ps_response *m)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_number(&w, 2, m->type);
	if (m->type == PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE)
		return w.error;
	ps_wire_write_string(&w, 2, m->authorization);
	ps_wire_write_string(&w, 2, m->tracing);
	if (m->type == PS_RESPONSE_NOTIFY) {
		ps_wire_write_number(&w, 4, m->subscribers);
		ps_wire_write_string(&w, 1, m->identifier);
	}
	if (m->type == PS_RESPONSE_CONFIRM_RECEIVE) {
		ps_wire_write_string(&w, 1, m->identifier);
		ps_wire_write_number(&w, 4, m->subscribers);
	}
	return w.error;
}
