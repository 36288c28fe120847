/*
 * The table of the stateful protocol's messages and their headers. Pure data; read by the codec
 * (ps_frame), the connection's counters (ps_connection) and the acknowledgements (ps_acks).
 */
#include "probes/pubsub/ps_format.h"

#include "probes/pubsub/ps_frame.h"

enum header {
	END,
	AUTHORIZATION,
	TRACING,
	TOPIC,
	GLOB,
	IDENTIFIER,
	SUBSCRIBER_NONCE,
	BROADCASTER_NONCE,
	ENABLE_ZSTD,
	ENABLE_TRAINING,
	INITIAL_DICT,
	PART_ID,
	STREAM_PART_ID,
	COMPRESSOR,
	COMPRESSED_LENGTH,
	DECOMPRESSED_LENGTH,
	COMPRESSED_SHA512,
	NUM_SUBSCRIBERS,
	SUBSCRIBERS,
	COMPRESSOR_ID,
	LEVEL,
	MIN_SIZE,
	MAX_SIZE,
	DICTIONARY_SHA512,
};

#define ROW(name, value, least, most, field)                                                       \
	{                                                                                          \
		name, PS_VALUE_##value, least, most, 0, offsetof(struct ps_frame, field)           \
	}

static const struct ps_header headers[] = {
	[AUTHORIZATION] = ROW("authorization", TEXT, 0, 65535, authorization),
	[TRACING] = ROW("x-tracing", BYTES, 0, 65535, tracing),
	[TOPIC] = ROW("x-topic", BYTES, 0, 65535, key),
	[GLOB] = ROW("x-glob", TEXT, 0, 65535, key),
	[IDENTIFIER] = ROW("x-identifier", BYTES, 0, PS_FRAME_IDENTIFIER_MAX, identifier),
	[SUBSCRIBER_NONCE] = ROW("x-subscriber-nonce", BYTES, 32, PS_NONCE_SIZE, nonce),
	[BROADCASTER_NONCE] = ROW("x-broadcaster-nonce", BYTES, 32, PS_NONCE_SIZE, nonce),
	[ENABLE_ZSTD] = ROW("x-enable-zstd", FLAG, 1, 65535, zstd),
	[ENABLE_TRAINING] = ROW("x-enable-training", FLAG, 1, 65535, training),
	/* upstream's default is the character 0, which it then reads as a number */
	[INITIAL_DICT] = {"x-initial-dict", PS_VALUE_NUMBER, 2, 2, '0',
			  offsetof(struct ps_frame, dictionary)},
	[PART_ID] = ROW("x-part-id", NUMBER, 0, 8, part),
	[STREAM_PART_ID] = ROW("x-part-id", NUMBER, 1, 8, part),
	[COMPRESSOR] = ROW("x-compressor", NUMBER, 1, 8, compressor),
	[COMPRESSED_LENGTH] = ROW("x-compressed-length", NUMBER, 0, 8, compressed_length),
	[DECOMPRESSED_LENGTH] = ROW("x-decompressed-length", NUMBER, 0, 8, length),
	[COMPRESSED_SHA512] = ROW("x-compressed-sha512", BYTES, 64, PS_DIGEST_SIZE, digest),
	[NUM_SUBSCRIBERS] = ROW("x-num-subscribers", NUMBER, 4, 4, subscribers),
	[SUBSCRIBERS] = ROW("x-subscribers", NUMBER, 0, 8, subscribers),
	[COMPRESSOR_ID] = ROW("x-identifier", NUMBER, 0, 8, compressor),
	[LEVEL] = ROW("x-compression-level", SIGNED, 2, 2, level),
	[MIN_SIZE] = ROW("x-min-size", NUMBER, 0, 4, min_size),
	[MAX_SIZE] = ROW("x-max-size", NUMBER, 0, 8, max_size),
	[DICTIONARY_SHA512] = ROW("x-sha512", BYTES, 64, PS_DIGEST_SIZE, digest),
};

#define S(type, number, payload, sign) #type, PS_SUBSCRIBER, number, payload, PS_KIND_##sign
#define B(type, number, payload, sign) #type, PS_BROADCASTER, number, payload, PS_KIND_##sign
#define NO_ANSWER		       PS_FRAME_NONE, PS_FRAME_NONE
#define ANSWER(type)		       PS_FRAME_##type, PS_FRAME_NONE
#define ANSWERS(type, part)	       PS_FRAME_##type, PS_FRAME_##part

/* clang-format off */
const struct ps_format ps_formats[PS_FRAME_COUNT] = {
	[PS_FRAME_CONFIGURE] = {
		S(CONFIGURE, 1, false, CONFIGURE), PS_URL_NONE, ANSWER(CONFIRM_CONFIGURE), 0,
		{SUBSCRIBER_NONCE, ENABLE_ZSTD, ENABLE_TRAINING, INITIAL_DICT, AUTHORIZATION, TRACING}},
	[PS_FRAME_SUBSCRIBE_EXACT] = {
		S(SUBSCRIBE_EXACT, 2, false, SUBSCRIBE_EXACT), PS_URL_COUNTED,
		ANSWER(CONFIRM_SUBSCRIBE_EXACT), 0, {AUTHORIZATION, TRACING, TOPIC}},
	[PS_FRAME_SUBSCRIBE_GLOB] = {
		S(SUBSCRIBE_GLOB, 3, false, SUBSCRIBE_GLOB), PS_URL_COUNTED,
		ANSWER(CONFIRM_SUBSCRIBE_GLOB), 0, {AUTHORIZATION, TRACING, GLOB}},
	[PS_FRAME_UNSUBSCRIBE_EXACT] = {
		S(UNSUBSCRIBE_EXACT, 4, false, SUBSCRIBE_EXACT), PS_URL_COUNTED,
		ANSWER(CONFIRM_UNSUBSCRIBE_EXACT), 0, {AUTHORIZATION, TRACING, TOPIC}},
	[PS_FRAME_UNSUBSCRIBE_GLOB] = {
		S(UNSUBSCRIBE_GLOB, 5, false, SUBSCRIBE_GLOB), PS_URL_COUNTED,
		ANSWER(CONFIRM_UNSUBSCRIBE_GLOB), 0, {AUTHORIZATION, TRACING, GLOB}},
	[PS_FRAME_NOTIFY] = {
		S(NOTIFY, 6, true, NOTIFY), PS_URL_NONE, ANSWER(CONFIRM_NOTIFY), 0,
		{AUTHORIZATION, TRACING, IDENTIFIER, TOPIC, COMPRESSOR, COMPRESSED_LENGTH,
		 DECOMPRESSED_LENGTH, COMPRESSED_SHA512}},
	[PS_FRAME_NOTIFY_STREAM] = {
		S(NOTIFY_STREAM, 7, true, NOTIFY), PS_URL_NONE, ANSWERS(CONFIRM_NOTIFY, CONTINUE_NOTIFY), 4,
		{AUTHORIZATION, TRACING, IDENTIFIER, STREAM_PART_ID, TOPIC, COMPRESSOR, COMPRESSED_LENGTH,
		 DECOMPRESSED_LENGTH, COMPRESSED_SHA512}},
	[PS_FRAME_CONTINUE_RECEIVE] = {
		S(CONTINUE_RECEIVE, 8, false, CONTINUE_RECEIVE), PS_URL_COUNTED, NO_ANSWER, 0,
		{IDENTIFIER, PART_ID, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONFIRM_RECEIVE] = {
		S(CONFIRM_RECEIVE, 9, false, CONFIRM_RECEIVE), PS_URL_COUNTED, NO_ANSWER, 0,
		{IDENTIFIER, AUTHORIZATION, TRACING, NUM_SUBSCRIBERS}},
	[PS_FRAME_CONFIRM_CONFIGURE] = {
		B(CONFIRM_CONFIGURE, 1, false, CONFIRM_CONFIGURE), PS_URL_NONE, NO_ANSWER, 0,
		{BROADCASTER_NONCE, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONFIRM_SUBSCRIBE_EXACT] = {
		B(CONFIRM_SUBSCRIBE_EXACT, 2, false, CONFIRM_SUBSCRIBE_EXACT), PS_URL_ANSWERED, NO_ANSWER, 0,
		{TOPIC, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONFIRM_SUBSCRIBE_GLOB] = {
		B(CONFIRM_SUBSCRIBE_GLOB, 3, false, CONFIRM_SUBSCRIBE_GLOB), PS_URL_ANSWERED, NO_ANSWER, 0,
		{GLOB, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT] = {
		B(CONFIRM_UNSUBSCRIBE_EXACT, 4, false, CONFIRM_SUBSCRIBE_EXACT), PS_URL_ANSWERED, NO_ANSWER, 0,
		{TOPIC, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB] = {
		B(CONFIRM_UNSUBSCRIBE_GLOB, 5, false, CONFIRM_SUBSCRIBE_GLOB), PS_URL_ANSWERED, NO_ANSWER, 0,
		{GLOB, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONFIRM_NOTIFY] = {
		B(CONFIRM_NOTIFY, 6, false, CONFIRM_NOTIFY), PS_URL_NONE, NO_ANSWER, 0,
		{IDENTIFIER, SUBSCRIBERS, AUTHORIZATION, TRACING}},
	[PS_FRAME_CONTINUE_NOTIFY] = {
		B(CONTINUE_NOTIFY, 7, false, CONTINUE_NOTIFY), PS_URL_NONE, NO_ANSWER, 0,
		{IDENTIFIER, PART_ID, AUTHORIZATION, TRACING}},
	[PS_FRAME_RECEIVE_STREAM] = {
		B(RECEIVE_STREAM, 8, true, RECEIVE), PS_URL_COUNTED, ANSWERS(CONFIRM_RECEIVE, CONTINUE_RECEIVE), 4,
		{AUTHORIZATION, TRACING, IDENTIFIER, STREAM_PART_ID, TOPIC, COMPRESSOR, COMPRESSED_LENGTH,
		 DECOMPRESSED_LENGTH, COMPRESSED_SHA512}},
	[PS_FRAME_ENABLE_ZSTD_PRESET] = {
		B(ENABLE_ZSTD_PRESET, 9, false, ENABLE_ZSTD_PRESET), PS_URL_COUNTED, NO_ANSWER, 0,
		{COMPRESSOR_ID, LEVEL, MIN_SIZE, MAX_SIZE, AUTHORIZATION, TRACING}},
	[PS_FRAME_ENABLE_ZSTD_CUSTOM] = {
		B(ENABLE_ZSTD_CUSTOM, 10, true, ENABLE_ZSTD_CUSTOM), PS_URL_COUNTED, NO_ANSWER, 0,
		{COMPRESSOR_ID, LEVEL, MIN_SIZE, MAX_SIZE, AUTHORIZATION, TRACING, DICTIONARY_SHA512}},
	[PS_FRAME_DISABLE_ZSTD_CUSTOM] = {
		B(DISABLE_ZSTD_CUSTOM, 11, false, DISABLE_ZSTD_CUSTOM), PS_URL_COUNTED, NO_ANSWER, 0,
		{COMPRESSOR_ID, AUTHORIZATION, TRACING}},
	[PS_FRAME_MISSED] = {
		B(MISSED, 12, false, MISSED), PS_URL_COUNTED, NO_ANSWER, 0, {AUTHORIZATION, TRACING, TOPIC}},
};
/* clang-format on */

const struct ps_header *ps_format_header(const struct ps_format *format, size_t i)
{
	return format->headers[i] == END ? NULL : &headers[format->headers[i]];
}

enum ps_frame_type ps_format_find(enum ps_side sender, uint64_t id)
{
	for (size_t type = PS_FRAME_CONFIGURE; type < PS_FRAME_COUNT; type++)
		if (ps_formats[type].sender == sender && ps_formats[type].id == id)
			return (enum ps_frame_type)type;
	return PS_FRAME_NONE;
}
