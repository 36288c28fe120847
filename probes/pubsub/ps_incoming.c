/*
 * Collecting a RECEIVE: fed part by part by ps_receive.c (subscriber) and ps_handle_receive.c
 * (broadcaster), who authorize it between head and message. Owns the head and the spool.
 */
#include "probes/pubsub/ps_incoming.h"

#include <errno.h>

int ps_incoming_init(struct ps_incoming *in, struct ps_budget *b)
{
	in->head.max = PS_RECEIVE_HEAD_MAX;
	ps_spool_init(&in->message, b);
	return ps_digest_start(&in->digest);
}

void ps_incoming_clear(struct ps_incoming *in)
{
	ps_digest_clear(&in->digest);
	ps_spool_clear(&in->message);
	osp_buffer_clear(&in->head);
}

int ps_incoming_take_header(struct ps_incoming *in, const char *repr_digest)
{
	return repr_digest ? ps_digest_parse_header(in->header_digest, repr_digest) : -EINVAL;
}

int ps_incoming_take_head(struct ps_incoming *in, struct ps_bytes part, struct ps_bytes *rest)
{
	size_t room = in->head.max - in->head.size, take = part.size < room ? part.size : room;
	size_t before = in->head.size, used;
	int r = osp_buffer_add(&in->head, part.data, take);

	if (r)
		return -ENOMEM;
	r = ps_message_decode_receive(&in->m, ps_bytes(in->head.data, in->head.size), &used);
	if (r)
		return r;
	in->has_head = true;
	*rest = ps_bytes((const char *)part.data + (used - before), part.size - (used - before));
	return 0;
}

int ps_incoming_take_message(struct ps_incoming *in, struct ps_bytes part)
{
	int r;

	if (in->overrun || part.size > in->m.length - in->message.size) {
		in->overrun = true;
		return 0;
	}
	r = ps_digest_add(&in->digest, part.data, part.size);
	return r ? r : ps_spool_add(&in->message, part.data, part.size);
}

enum ps_incoming_end ps_incoming_stop(struct ps_incoming *in)
{
	uint8_t digest[PS_DIGEST_SIZE];

	if (in->overrun || in->message.size != in->m.length)
		return PS_INCOMING_LENGTH;
	return ps_digest_stop(&in->digest, digest) ||
			       !ps_digest_equal(digest, in->header_digest, sizeof(digest))
		       ? PS_INCOMING_HASH
		       : PS_INCOMING_WHOLE;
}
