/*
 * The stateful protocol's messages as one table: who sends them, their headers in order, how
 * they are signed and answered (lonelypsp/stateful/constants.py and stateful/messages/). The
 * codec, the counters and the acknowledgements all read it.
 */
#pragma once

#include "probes/pubsub/ps_sign.h"

enum ps_side { PS_SUBSCRIBER, PS_BROADCASTER };

/* The types are numbered per sender on the wire; here all are one list. */
enum ps_frame_type {
	PS_FRAME_NONE,
	/* a subscriber's */
	PS_FRAME_CONFIGURE,
	PS_FRAME_SUBSCRIBE_EXACT,
	PS_FRAME_SUBSCRIBE_GLOB,
	PS_FRAME_UNSUBSCRIBE_EXACT,
	PS_FRAME_UNSUBSCRIBE_GLOB,
	PS_FRAME_NOTIFY,
	PS_FRAME_NOTIFY_STREAM,
	PS_FRAME_CONTINUE_RECEIVE,
	PS_FRAME_CONFIRM_RECEIVE,
	/* a broadcaster's */
	PS_FRAME_CONFIRM_CONFIGURE,
	PS_FRAME_CONFIRM_SUBSCRIBE_EXACT,
	PS_FRAME_CONFIRM_SUBSCRIBE_GLOB,
	PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT,
	PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB,
	PS_FRAME_CONFIRM_NOTIFY,
	PS_FRAME_CONTINUE_NOTIFY,
	PS_FRAME_RECEIVE_STREAM,
	PS_FRAME_ENABLE_ZSTD_PRESET,
	PS_FRAME_ENABLE_ZSTD_CUSTOM,
	PS_FRAME_DISABLE_ZSTD_CUSTOM,
	PS_FRAME_MISSED,
	PS_FRAME_COUNT,
};

enum ps_value {
	PS_VALUE_BYTES,
	PS_VALUE_TEXT,	 /* bytes that are UTF-8 */
	PS_VALUE_NUMBER, /* big-endian, in as few bytes as it needs: 0 in none */
	PS_VALUE_SIGNED, /* the same in two's complement */
	PS_VALUE_FLAG,	 /* one byte, 01 or 00; whatever is not 01 reads as false */
};

struct ps_header {
	const char *name; /* lower case */
	enum ps_value value;
	uint16_t least;	 /* bytes: never written, and if bytes or text never read, shorter */
	uint16_t most;	 /* bytes: never written and never read longer */
	uint16_t absent; /* what a missing one reads as; 0: it must be there */
	size_t offset;	 /* of its field in struct ps_frame */
};

/* Which url the authorization of a message covers. */
enum ps_url_use {
	PS_URL_NONE,
	PS_URL_COUNTED,	 /* the next of its sender's counter */
	PS_URL_ANSWERED, /* that of the request it answers */
};

enum { PS_HEADERS_MAX = 9 };

struct ps_format {
	const char *name;
	enum ps_side sender;
	uint16_t id; /* on the wire */
	bool has_payload;
	enum ps_kind kind;
	enum ps_url_use url;
	enum ps_frame_type answer;	/* to the whole message; PS_FRAME_NONE: there is none */
	enum ps_frame_type part_answer; /* to every part but the last; PS_FRAME_NONE: no parts */
	uint8_t first_only;		/* headers from here on are in part 0 alone; 0: none are */
	uint8_t headers[PS_HEADERS_MAX + 1]; /* in order, for ps_format_header */
};

extern const struct ps_format ps_formats[PS_FRAME_COUNT]; /* PS_FRAME_NONE is empty */

/* The i-th header of a message, in the order of the minimal form; NULL behind the last. */
const struct ps_header *ps_format_header(const struct ps_format *format, size_t i);

/* The type with this number among those of `sender`; PS_FRAME_NONE if there is none. */
enum ps_frame_type ps_format_find(enum ps_side sender, uint64_t id);
