/*
 * The points that a message passes, once for all variants of message.c: operation, point, fields.
 * Whoever expands the list says what a field of bytes (B), a number (N) and a context (C) become.
 */
#pragma once

#define FIELDS_none(B, N, C)
#define FIELDS_start(B, N, C)	B(topic) N(length) N(filelike)
#define FIELDS_request(B, N, C) B(broadcaster) B(identifier) C(context)
#define FIELDS_number(B, N, C)	N(value)
#define FIELDS_answer(B, N, C)	C(context) N(num_subscribers)
#define FIELDS_taken(B, N, C)	B(topic) N(length) B(identifier) C(context)
#define FIELDS_url(B, N, C)	B(url)
#define FIELDS_sent(B, N, C)	B(identifier) C(context)
#define FIELDS_context(B, N, C) C(context)
#define FIELDS_parsed(B, N, C)	B(topic) B(identifier) N(length) C(context)
#define FIELDS_reply(B, N, C)	N(num_subscribers) C(context)

#define BENCH_POINTS(P)                                                                            \
	P(notify, start_without_hash, start)                                                       \
	P(notify, hashed, none)                                                                    \
	P(notify, sending_request, request)                                                        \
	P(notify, response_received, number)                                                       \
	P(notify, response_notify_accepted, answer)                                                \
	P(handle_notify, received, none)                                                           \
	P(handle_notify, auth_tentatively_accepted, none)                                          \
	P(handle_notify, auth_accepted, taken)                                                     \
	P(handle_notify, exact_subscriber_found, url)                                              \
	P(handle_notify, sending_receive, sent)                                                    \
	P(handle_notify, response_received, number)                                                \
	P(handle_notify, receive_confirmed, answer)                                                \
	P(handle_notify, no_more_subscribers, none)                                                \
	P(handle_notify, sending_response, context)                                                \
	P(receive, received, none)                                                                 \
	P(receive, request_parsed, parsed)                                                         \
	P(receive, auth_tentatively_accepted, number)                                              \
	P(receive, auth_accepted, parsed)                                                          \
	P(receive, handler_start, number)                                                          \
	P(receive, handler_done, none)                                                             \
	P(receive, no_more_handlers, none)                                                         \
	P(receive, sending_response, reply)

enum bench_point {
#define P(op, point, fields) POINT_##op##__##point,
	BENCH_POINTS(P)
#undef P
		POINT_COUNT
};
