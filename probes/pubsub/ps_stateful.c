/*
 * What both sides of a stateful connection do with each frame. Fed by the sessions above; sends
 * by ps_socket. Owns the messages that the socket has been given, until it says they are sent.
 */
#include "probes/pubsub/ps_stateful.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "outspan/op.h"
#include "user/base/cleanup.h"

static const struct ps_secret *secret_of(const struct ps_stateful *s, enum ps_side sender)
{
	return sender == PS_SUBSCRIBER ? &s->auth->to_broadcaster : &s->auth->to_subscriber;
}

void ps_stateful_init(struct ps_stateful *s, enum ps_side side, const struct ps_auth *auth)
{
	*s = (struct ps_stateful){.side = side, .auth = auth};
	osp_list_init(&s->leaving);
}

void ps_stateful_free(struct ps_stateful_message **message)
{
	struct ps_stateful_message *m = TAKE_PTR(*message);

	if (!m)
		return;
	osp_list_remove(&m->node);
	osp_buffer_clear(&m->bytes);
	free(m);
}

void ps_stateful_clear(struct ps_stateful *s)
{
	while (!osp_list_empty(&s->leaving)) {
		struct ps_stateful_message *m =
			osp_list_entry(s->leaving.next, struct ps_stateful_message, node);

		ps_stateful_free(&m);
	}
	s->socket = NULL;
}

static void sent(struct ps_outgoing *out, int error)
{
	struct ps_stateful_message *m = out->owner;

	if (m->sent)
		m->sent(m, error);
	ps_stateful_free(&m);
}

void ps_stateful_cancel(struct ps_stateful *s)
{
	while (!osp_list_empty(&s->leaving))
		sent(&osp_list_entry(s->leaving.next, struct ps_stateful_message, node)->out,
		     -ECANCELED);
	s->socket = NULL;
}

static int sign(struct osp_buffer *authorization, const struct ps_stateful *s,
		const struct ps_frame *frame, int64_t counter)
{
	char url[PS_CONNECTION_URL_MAX + 1];
	struct ps_signed m =
		ps_frame_signed(frame, ps_connection_url(url, &s->connection, counter));

	return ps_auth_authorize(authorization, secret_of(s, s->side), &m);
}

int ps_stateful_encode(struct ps_stateful_message **out, const struct ps_stateful *s,
		       const struct ps_frame *frame, int64_t counter)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer authorization =
		OSP_BUFFER_INIT(PS_STATEFUL_AUTHORIZATION_MAX);
	_cleanup_(ps_stateful_free) struct ps_stateful_message *m = calloc(1, sizeof(*m));
	struct ps_frame f = *frame;
	int r = m ? sign(&authorization, s, frame, counter) : -ENOMEM;

	if (!m)
		return r;
	osp_list_init(&m->node);
	m->bytes.max = PS_FRAME_HEAD_MAX + frame->payload.size;
	f.authorization = ps_bytes(authorization.data, authorization.size);
	if (!r)
		r = ps_frame_encode(&m->bytes, &f, s->form);
	if (r)
		return r;
	m->out = (struct ps_outgoing){
		.head = ps_bytes(m->bytes.data, m->bytes.size), .sent = sent, .owner = m};
	*out = TAKE_PTR(m);
	return 0;
}

int ps_stateful_send(struct ps_stateful *s, struct ps_stateful_message **m)
{
	int r = s->socket ? ps_socket_send(s->socket, &(*m)->out) : -ENOTCONN;

	if (!r)
		osp_list_add(&s->leaving, &TAKE_PTR(*m)->node);
	return r;
}

/* A value of each header stands for the longest; the form's names count, too. */
size_t ps_stateful_head_max(const struct ps_stateful *s, const struct ps_frame *frame)
{
	const struct ps_format *format = &ps_formats[frame->type];
	const struct ps_secret *secret = secret_of(s, s->side);
	size_t size = 2 + 2 + 2, value;
	const struct ps_header *h;

	for (size_t i = 0; (h = ps_format_header(format, i)); i++) {
		value = h->most < PS_DIGEST_SIZE ? h->most : PS_DIGEST_SIZE;
		size += 2 + (s->form == PS_FORM_EXPANDED ? 2 + strlen(h->name) : 0) + value;
	}
	size += frame->key.size + OUTSPAN_CONTEXT_SIZE;
	return size + (secret->token ? strlen(secret->token) + 16 : 128);
}

enum ps_auth_result ps_stateful_check(struct ps_stateful *s, const struct ps_frame *frame,
				      int64_t counter)
{
	const struct ps_secret *secret = secret_of(s, ps_formats[frame->type].sender);
	int64_t other = ps_connection_guess(&s->connection, frame);
	char url[PS_CONNECTION_URL_MAX + 1];
	struct ps_signed m =
		ps_frame_signed(frame, ps_connection_url(url, &s->connection, counter));
	enum ps_auth_result result = ps_auth_check(s->auth, secret, frame->authorization, &m);

	if (result == PS_AUTH_FORBIDDEN && other) {
		m.url = ps_connection_url(url, &s->connection, other);
		result = ps_auth_check(s->auth, secret, frame->authorization, &m);
		counter = other;
	}
	if (result == PS_AUTH_OK && secret->type == PS_AUTH_HMAC)
		ps_connection_learn(&s->connection, frame, counter);
	return result;
}
