/*
 * The stateless protocol's bodies: what (un)subscribe, check, set, notify, receive and missed
 * carry, and their answers (lonelypss/routes/, lonelypsc/http_client.py). Decoded structs point
 * into the body they were decoded from.
 */
#pragma once

#include "probes/pubsub/ps_digest.h"
#include "probes/pubsub/ps_list.h"
#include "probes/pubsub/ps_wire.h"

enum {
	PS_TOPIC_MAX = 65535, /* topics, globs, urls, tracing, authorization */
	PS_IDENTIFIER_MAX = 255,
	PS_IDENTIFIER_SIZE = 16, /* of the identifiers we make */
	PS_NOTIFY_HEAD_MAX = 2 + 65535 + 64 + 2 + 65535 + 1 + 255 + 8,
	PS_RECEIVE_HEAD_MAX = 2 + 65535 + 2 + 65535 + 1 + 255 + 8,
	PS_SUBSCRIBE_MAX = 4 * (2 + 65535),
	PS_CHECK_MAX = 2 * (2 + 65535),
	PS_SET_HEAD_MAX = 2 * (2 + 65535) + 1 + 64,
	PS_SET_MAX = 16 << 20, /* our bound; the protocol's own is 2^33 entries */
	PS_MISSED_MAX = 2 * (2 + 65535),
	PS_RESPONSE_MAX = 2 + 2 * (2 + 65535) + 1 + 255 + 4 + 1 + 64,
};

/* A NOTIFY up to its message, which has `length` bytes and the SHA-512 `digest`. */
struct ps_notify {
	struct ps_bytes topic;
	const uint8_t *digest; /* PS_DIGEST_SIZE bytes */
	struct ps_bytes tracing;
	struct ps_bytes identifier;
	uint64_t length;
};

/* A RECEIVE up to its message. */
struct ps_receive {
	struct ps_bytes tracing;
	struct ps_bytes topic;
	struct ps_bytes identifier;
	uint64_t length;
};

/* SUBSCRIBE_* and UNSUBSCRIBE_*: the latter have no recovery url. */
struct ps_subscribe {
	struct ps_bytes url;
	struct ps_bytes key; /* the topic or the glob */
	struct ps_bytes recovery;
	struct ps_bytes tracing;
};

/* CHECK_SUBSCRIPTIONS: asks for the etag of all that is subscribed for a url. */
struct ps_check {
	struct ps_bytes tracing;
	struct ps_bytes url;
};

/* SET_SUBSCRIPTIONS: all that a url shall be subscribed to. */
struct ps_set {
	struct ps_bytes tracing;
	struct ps_bytes url;
	const uint8_t *etag; /* PS_DIGEST_SIZE bytes, as the sender says; not compared here */
	struct ps_list exact;
	struct ps_list globs;
};

struct ps_missed {
	struct ps_bytes tracing;
	struct ps_bytes topic;
};

enum ps_response_type {
	PS_RESPONSE_GENERIC = 3,
	PS_RESPONSE_NOTIFY = 4,
	PS_RESPONSE_CHECK_SUBSCRIPTIONS = 5,
	PS_RESPONSE_CONFIRM_RECEIVE = 8,
	PS_RESPONSE_CONFIRM_MISSED = 9,
	PS_RESPONSE_UNSUBSCRIBE_IMMEDIATE = 10,
};

struct ps_response {
	enum ps_response_type type;
	struct ps_bytes authorization;
	struct ps_bytes tracing;
	struct ps_bytes identifier; /* NOTIFY, CONFIRM_RECEIVE */
	uint32_t subscribers;	    /* NOTIFY, CONFIRM_RECEIVE */
	const uint8_t *etag;	    /* CHECK_SUBSCRIPTIONS; PS_DIGEST_SIZE bytes */
};

/*
 * Heads are decoded from the first bytes of a body that is still arriving: *used is the head's
 * size on success; -EAGAIN when it is not complete yet.
 */
int ps_message_decode_notify(struct ps_notify *m, struct ps_bytes body, size_t *used);
int ps_message_decode_receive(struct ps_receive *m, struct ps_bytes body, size_t *used);

/* The same for what stands before the lists, which stay empty; -EILSEQ, -EPROTONOSUPPORT as below. */
int ps_message_decode_set_head(struct ps_set *m, struct ps_bytes body);

/*
 * Whole bodies: -EBADMSG if short or with bytes left over, -EILSEQ for text that is not UTF-8,
 * -EPROTONOSUPPORT for an etag of another format than 0 (the only one there is).
 */
int ps_message_decode_subscribe(struct ps_subscribe *m, struct ps_bytes body, bool is_glob,
				bool has_recovery);
int ps_message_decode_check(struct ps_check *m, struct ps_bytes body);
int ps_message_decode_missed(struct ps_missed *m, struct ps_bytes body);
int ps_message_decode_response(struct ps_response *m, struct ps_bytes body);

/* As above; also what ps_list_read says of lists out of order (-EINVAL, -EEXIST). */
int ps_message_decode_set(struct ps_set *m, struct ps_bytes body);

/* Append to `out`. -EOVERFLOW for a value over its field, or the buffer's error. */
int ps_message_encode_notify(struct osp_buffer *out, const struct ps_notify *m);
int ps_message_encode_receive(struct osp_buffer *out, const struct ps_receive *m);
int ps_message_encode_subscribe(struct osp_buffer *out, const struct ps_subscribe *m,
				bool has_recovery);
int ps_message_encode_check(struct osp_buffer *out, const struct ps_check *m);
int ps_message_encode_set(struct osp_buffer *out, const struct ps_set *m);
int ps_message_encode_missed(struct osp_buffer *out, const struct ps_missed *m);
int ps_message_encode_response(struct osp_buffer *out, const struct ps_response *m);
