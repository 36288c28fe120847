/*
 * One end of a stateful connection, of either side: its frames are signed, encoded and sent, and
 * the signatures of those that come are checked (lonelypss/ws/handlers/open/, lonelypsc/ws/).
 */
#pragma once

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_connection.h"
#include "probes/pubsub/ps_frame.h"
#include "probes/pubsub/ps_socket.h"
#include "user/base/list.h"

enum { PS_STATEFUL_AUTHORIZATION_MAX = 65535 };

struct ps_stateful {
	enum ps_side side;	    /* whose end this is */
	struct ps_socket *socket;   /* borrowed; NULL once it is gone */
	const struct ps_auth *auth; /* borrowed */
	struct ps_connection connection;
	enum ps_form form;	 /* of what is sent */
	size_t message_max;	 /* bytes of a web socket message that is sent in parts */
	struct osp_list leaving; /* what the socket has; ps_stateful_init */
};

/* A frame on its way out; its owner may give it a body and wants to know when it is sent. */
struct ps_stateful_message {
	struct ps_outgoing out; /* .body, .offset, .size: the caller's, who keeps the spool */
	/* It is with the kernel, or (-errno) never will be; it is freed behind this. NULL: no matter. */
	void (*sent)(struct ps_stateful_message *m, int error);
	void *owner;
	uint64_t number; /* the owner's */
	/* private to ps_stateful.c */
	struct osp_buffer bytes;
	struct osp_list node;
};

void ps_stateful_init(struct ps_stateful *s, enum ps_side side, const struct ps_auth *auth);

/* Frees what is still on its way, without a word: the socket is gone and will not tell. */
void ps_stateful_clear(struct ps_stateful *s);

/* The same, but each is told that it is not sent (-ECANCELED). */
void ps_stateful_cancel(struct ps_stateful *s);

/*
 * Signs a frame with the url of the counter (of the frame, or of the request that it answers; 0:
 * it has none) and encodes it. -EOVERFLOW, -ENOMEM, -EIO.
 */
int ps_stateful_encode(struct ps_stateful_message **out, const struct ps_stateful *s,
		       const struct ps_frame *frame, int64_t counter);
void ps_stateful_free(struct ps_stateful_message **m);

/* Hands it to the socket, which has it on success. -ENOBUFS: too many wait; -ENOTCONN. */
int ps_stateful_send(struct ps_stateful *s, struct ps_stateful_message **m);

/* Bytes before the payload that a frame will have at most, whatever its authorization. */
size_t ps_stateful_head_max(const struct ps_stateful *s, const struct ps_frame *frame);

/*
 * Checks a frame that came, numbered by ps_connection_count already (or the answer to the request
 * of `counter`). Learns how a broadcaster counts where the signature shows it.
 */
enum ps_auth_result ps_stateful_check(struct ps_stateful *s, const struct ps_frame *frame,
				      int64_t counter);
