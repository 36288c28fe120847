/*
 * A message in parts: how it is cut, and how the other side puts it together again
 * (lonelypss/ws/handlers/open/send_receive_stream.py, processors/process_notify_stream.py;
 * lonelypsc/ws/handlers/open/messages/receive_stream.py). NOTIFY is a message of one part.
 */
#pragma once

#include "probes/pubsub/ps_frame.h"
#include "probes/pubsub/ps_digest.h"

enum { PS_STREAM_PART_MIN = 512 }; /* payload bytes, even if the head takes up the maximum */

/* ---- cutting ---- */

/*
 * Payload bytes of the next part: as many of the `left` ones as a web socket message of `most`
 * bytes has room for behind a head of `head` bytes, but never under PS_STREAM_PART_MIN.
 */
uint64_t ps_stream_part_size(uint64_t left, size_t head, size_t most);

/* True if a message of `length` bytes goes as one NOTIFY whose head has `head` bytes. */
bool ps_stream_is_single(uint64_t length, size_t head, size_t most);

/* ---- putting together ---- */

/* X(name, text): what a part does. All behind COMPLETE end the connection. */
#define PS_STREAM_VERDICTS(X)                                                                      \
	X(MORE, "more parts follow")                                                               \
	X(COMPLETE, "complete")                                                                    \
	X(NOT_BEGUN, "a later part without a first one")                                           \
	X(WOVEN, "a message begins before the last one is complete")                               \
	X(IDENTIFIER, "a part of another message")                                                 \
	X(SEQUENCE, "a part is missing, repeated or out of order")                                 \
	X(TOO_LARGE, "the message is larger than this side takes")                                 \
	X(TOO_MUCH, "more bytes than announced")                                                   \
	X(TOO_LITTLE, "fewer bytes than announced")                                                \
	X(EMPTY, "a part without bytes, though some are missing")                                  \
	X(DIGEST, "the bytes do not have the digest announced")                                    \
	X(UNAVAILABLE, "no memory or no hash")

enum ps_stream_verdict {
#define X(name, text) PS_STREAM_##name,
	PS_STREAM_VERDICTS(X)
#undef X
};

const char *ps_stream_verdict_to_str(enum ps_stream_verdict v);

/*
 * One direction of a connection. Set .max, the bytes of a message (as sent, and decompressed) it
 * takes, and leave the rest 0; clear it at the end. The fields tell of the message begun last, also when it is
 * complete; topic and tracing are those of its first part.
 */
struct ps_stream {
	uint64_t max;
	bool is_open;
	struct ps_bytes topic, tracing; /* in `kept` */
	uint8_t identifier[PS_FRAME_IDENTIFIER_MAX];
	size_t identifier_size;
	uint8_t digest[PS_DIGEST_SIZE];
	uint64_t compressor, compressed_length, length;
	uint64_t parts, received; /* how many of them, and bytes of payload, were added */
	struct osp_buffer kept;	  /* owned */
	struct ps_digest hash;	  /* owned */
};

void ps_stream_clear(struct ps_stream *s);

/*
 * Judges a part before its authorization is checked; a first one begins the message. To a later
 * part it gives what its first had and its signature covers: topic, digest, and to a
 * NOTIFY_STREAM the tracing (borrowed from the stream). MORE, or what is wrong with it.
 */
enum ps_stream_verdict ps_stream_begin(struct ps_stream *s, struct ps_frame *part);

/* Adds a part that ps_stream_begin let through. MORE, COMPLETE, DIGEST or UNAVAILABLE. */
enum ps_stream_verdict ps_stream_add(struct ps_stream *s, const struct ps_frame *part);
