/*
 * Answering with a signed body: used by every exchange that ends well, at the broadcaster
 * (GENERIC, NOTIFY) and at the subscriber (CONFIRM_*). Owns its scratch buffers.
 */
#include "probes/pubsub/ps_answer.h"

#include "user/base/cleanup.h"

void ps_answer_signed(struct ps_request *r, struct ps_response *a, const struct ps_secret *secret,
		      const struct ps_signed *m)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer authorization = OSP_BUFFER_INIT(PS_TOPIC_MAX);
	_cleanup_(osp_buffer_clear) struct osp_buffer body = OSP_BUFFER_INIT(PS_RESPONSE_MAX);
	int e = ps_auth_authorize(&authorization, secret, m);

	a->authorization = ps_bytes(authorization.data, authorization.size);
	if (!e)
		e = ps_message_encode_response(&body, a);
	ps_server_answer(r, e ? 500 : 200, ps_bytes(body.data, e ? 0 : body.size));
}
