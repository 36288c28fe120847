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

enum { ETAG_FORMAT = 0 };

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

int ps_message_decode_check(struct ps_check *m, struct ps_bytes body)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_check n;
	int e;

	n.tracing = ps_wire_read_string(&r, 2);
	n.url = ps_wire_read_string(&r, 2);
	e = body_end(&r);
	if (e)
		return e;
	if (!is_text(n.url))
		return -EILSEQ;
	*m = n;
	return 0;
}

/* What stands before the lists. */
static int read_set_head(struct ps_set *m, struct ps_reader *r)
{
	uint64_t format;

	m->tracing = ps_wire_read_string(r, 2);
	m->url = ps_wire_read_string(r, 2);
	format = ps_wire_read_number(r, 1);
	m->etag = ps_wire_read_bytes(r, PS_DIGEST_SIZE).data;
	if (r->failed)
		return -EBADMSG;
	if (format != ETAG_FORMAT)
		return -EPROTONOSUPPORT;
	return is_text(m->url) ? 0 : -EILSEQ;
}

int ps_message_decode_set_head(struct ps_set *m, struct ps_bytes body)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_set n = {0};
	int e = read_set_head(&n, &r);

	if (!e)
		*m = n;
	return e == -EBADMSG ? -EAGAIN : e;
}

static int read_list(struct ps_list *list, struct ps_reader *r, bool is_glob)
{
	uint32_t count = (uint32_t)ps_wire_read_number(r, 4);

	return r->failed ? -EBADMSG : ps_list_read(list, r, count, is_glob);
}

int ps_message_decode_set(struct ps_set *m, struct ps_bytes body)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_set n;
	int e = read_set_head(&n, &r);

	if (!e)
		e = read_list(&n.exact, &r, false);
	if (!e)
		e = read_list(&n.globs, &r, true);
	if (!e)
		e = body_end(&r);
	if (!e)
		*m = n;
	return e;
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
	       type == PS_RESPONSE_CHECK_SUBSCRIPTIONS || type == PS_RESPONSE_CONFIRM_RECEIVE ||
	       type == PS_RESPONSE_CONFIRM_MISSED || type == PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE;
}

int ps_message_decode_response(struct ps_response *m, struct ps_bytes body)
{
	struct ps_reader r = ps_wire_reader(body.data, body.size);
	struct ps_response n = {0};
	uint64_t type = ps_wire_read_number(&r, 2), format = ETAG_FORMAT;
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
	if (n.type == PS_RESPONSE_CHECK_SUBSCRIPTIONS) {
		format = ps_wire_read_number(&r, 1);
		n.etag = ps_wire_read_bytes(&r, PS_DIGEST_SIZE).data;
	}
	e = body_end(&r);
	if (!e && format != ETAG_FORMAT)
		e = -EPROTONOSUPPORT;
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

int ps_message_encode_check(struct osp_buffer *out, const struct ps_check *m)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_string(&w, 2, m->tracing);
	ps_wire_write_string(&w, 2, m->url);
	return w.error;
}

static void write_list(struct ps_writer *w, const struct ps_list *list)
{
	ps_wire_write_number(w, 4, list->count);
	ps_wire_write_bytes(w, list->packed);
}

int ps_message_encode_set(struct osp_buffer *out, const struct ps_set *m)
{
	struct ps_writer w = {out, 0};

	ps_wire_write_string(&w, 2, m->tracing);
	ps_wire_write_string(&w, 2, m->url);
	ps_wire_write_number(&w, 1, ETAG_FORMAT);
	ps_wire_write_bytes(&w, ps_bytes(m->etag, PS_DIGEST_SIZE));
	write_list(&w, &m->exact);
	write_list(&w, &m->globs);
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
	if (m->type == PS_RESPONSE_CHECK_SUBSCRIPTIONS) {
		ps_wire_write_number(&w, 1, ETAG_FORMAT);
		ps_wire_write_bytes(&w, ps_bytes(m->etag, PS_DIGEST_SIZE));
	}
	return w.error;
}
