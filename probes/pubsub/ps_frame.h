/*
 * Encoding and decoding the messages of the stateful protocol, one to a binary web socket
 * message: u16 flags, u16 type, headers, payload (lonelypsp/stateful/parser_helpers.py,
 * serializer_helpers.py). What a peer sends wrong has a fault each, to be counted and said.
 */
#pragma once

#include "probes/pubsub/ps_format.h"

enum {
	PS_FRAME_IDENTIFIER_MAX = 64,
	PS_NONCE_SIZE = 32,
	PS_FRAME_HEAD_MAX = 3 * 65535 + 512, /* bytes before the payload, of any message */
};

/*
 * A message. A type has the fields its headers in ps_formats name; the others are 0, or hold what
 * a signature needs and the wire does not carry. Decoded bytes point into the message.
 */
struct ps_frame {
	enum ps_frame_type type;
	struct ps_bytes authorization; /* UTF-8; empty: none */
	struct ps_bytes tracing;
	struct ps_bytes identifier;
	struct ps_bytes key;	    /* topic, or glob in UTF-8 */
	struct ps_bytes nonce;	    /* PS_NONCE_SIZE random bytes */
	struct ps_bytes digest;	    /* SHA-512 of the message as sent, or of the dictionary */
	uint64_t part;		    /* of a stream, from 0 */
	uint64_t compressor;	    /* 0 none, 1 zstd without dictionary, else a dictionary's */
	uint64_t compressed_length; /* bytes of the whole message as sent */
	uint64_t length;	    /* bytes of the whole message */
	uint64_t subscribers;
	uint64_t min_size, max_size; /* bytes; of messages the compressor is meant for */
	int64_t level;		     /* zstd's, may be negative */
	uint64_t dictionary;	     /* the preset a subscriber would like; 0 none */
	bool zstd, training;
	struct ps_bytes payload;
};

/* Bit 0 of the flags: values alone, in the order of ps_formats, or with their names. */
enum ps_form { PS_FORM_EXPANDED, PS_FORM_MINIMAL };

/* X(name, text): what a message may have wrong. */
#define PS_FRAME_FAULTS(X)                                                                         \
	X(OK, "ok")                                                                                \
	X(SHORT, "message ends before its type")                                                   \
	X(TYPE, "type that its sender does not have")                                              \
	X(CUT, "message ends within its headers")                                                  \
	X(NAME, "name of a header is not ASCII")                                                   \
	X(MISSING, "header is missing")                                                            \
	X(SIZE, "header is longer or shorter than it may be")                                      \
	X(TEXT, "header is not UTF-8")                                                             \
	X(LENGTHS, "lengths differ though nothing is compressed")

enum ps_frame_fault {
#define X(name, text) PS_FRAME_##name,
	PS_FRAME_FAULTS(X)
#undef X
};

const char *ps_frame_fault_to_str(enum ps_frame_fault fault);

/*
 * Decodes what `sender` sent; both forms, at any time. As upstream: names in any case and order,
 * unknown ones ignored, the last of two counts; bytes behind the headers of a message without
 * payload are ignored; an expanded CONFIGURE without x-initial-dict reads as 48, because that is
 * what upstream's broadcaster checks the signature with. On a fault *header is its name (or
 * NULL) and the frame is as before.
 */
enum ps_frame_fault ps_frame_decode(struct ps_frame *frame, const char **header,
				    enum ps_side sender, struct ps_bytes message);

/*
 * Appends head and payload; for a payload from elsewhere leave it empty and append it behind.
 * -EOVERFLOW for a value over its header's maximum, -EINVAL for a nonce or digest of another
 * size, or the buffer's error. Failed: nothing is appended.
 */
int ps_frame_encode(struct osp_buffer *out, const struct ps_frame *frame, enum ps_form form);

/*
 * What the authorization of a frame covers, with the url its counter gives it (ps_connection;
 * ignored where none is signed). The caller adds to the frame what the wire does not carry: the
 * topic and digest of a stream to its later parts and to CONFIRM_NOTIFY. The result borrows
 * from both.
 */
struct ps_signed ps_frame_signed(const struct ps_frame *frame, struct ps_bytes url);
