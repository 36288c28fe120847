/* The signed answers of both sides, whose authorization stands inside the body. */
#pragma once

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_server.h"

/*
 * Signs `m` with the secret, puts the authorization into the answer and sends it with 200; with
 * 500 if there was no memory or chance for it.
 */
void ps_answer_signed(struct ps_request *r, struct ps_response *a, const struct ps_secret *secret,
		      const struct ps_signed *m);
