/*
 * The workload: a publisher, a broadcaster and three subscribers in one process. A message is
 * published, taken, delivered three times and handled, in calls instead of requests, with the
 * bytes, the contexts and the checks of their digests that requests have: 46 steps, 12 spans.
 * Built in variants that differ in one header: POINTS names it.
 *
 *   message [WORK]       WORK: bytes of a message, which are hashed once per hop (default 1024)
 *   run COUNT RATE       on standard input: that many messages, at RATE per second (0 = as fast as
 *                        it goes); answered by one line of JSON
 *   end of file          ends it
 *
 * It counts the steps it passes itself, whether or not anybody looks: the truth of a loss.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/points.h"
#include POINTS

enum {
	SUBSCRIBERS = 3,
	WORK_MAX = 4096,
	SUB_BITS = 5, /* a latency is kept to 1 part in 32 */
	BUCKETS = 64 << SUB_BITS,
};

/* A request or an answer, as it lies in a buffer. */
struct wire {
	uint8_t identifier[16];
	uint8_t tracing[OUTSPAN_CONTEXT_SIZE];
	size_t tracing_size;
	uint64_t digest, length;
	const unsigned char *body;
};

static const char topic[] = "market/eu-central/ticker";
static const char broadcaster[] = "http://127.0.0.1:3003";
static const char *const urls[SUBSCRIBERS] = {
	"http://127.0.0.1:41001/v1/receive",
	"http://127.0.0.1:41002/v1/receive",
	"http://127.0.0.1:41003/v1/receive",
};
static uint64_t work = 1024;
static uint64_t passed[POINT_COUNT];
static uint64_t latencies[BUCKETS];
static uint64_t wrong;

#define PASS(op, point) passed[POINT_##op##__##point]++

/* ---- what the program does besides ----------------------------------------------------------- */

static uint64_t hash(const unsigned char *data, size_t size)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		h = (h ^ data[i]) * 0x100000001b3;
	return h;
}

static void new_identifier(uint8_t out[16])
{
	static uint64_t state;
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	memcpy(out, &state, 8);
	memcpy(out + 8, &z, 8);
}

static void write_context(struct wire *w, const struct outspan_context *context)
{
	w->tracing_size = outspan_context_write(w->tracing, context);
}

static void read_context(struct outspan_context *context, const struct wire *w)
{
	outspan_context_read(context, w->tracing, w->tracing_size);
}

static void check(const struct wire *w)
{
	wrong += hash(w->body, w->length) != w->digest;
}

/* ---- the three operations -------------------------------------------------------------------- */

__attribute__((noinline)) static void receive(const struct wire *request, struct wire *answer)
{
	struct outspan_context in, out;
	BLOCK(receive);

	PASS(receive, received);
	FIRST(receive, received);
	read_context(&in, request);
	PASS(receive, request_parsed);
	STEP(receive, request_parsed, request_parsed, topic, sizeof(topic) - 1, request->identifier,
	     sizeof(request->identifier), request->length, &in);
	PASS(receive, auth_tentatively_accepted);
	STEP(receive, auth_result, auth_tentatively_accepted, false);
	check(request);
	PASS(receive, auth_accepted);
	STEP(receive, auth_verified, auth_accepted, topic, sizeof(topic) - 1, request->identifier,
	     sizeof(request->identifier), request->length, &in);
	PASS(receive, handler_start);
	STEP(receive, handlers, handler_start, 0);
	PASS(receive, handler_done);
	STEP(receive, handler_done, handler_done);
	PASS(receive, no_more_handlers);
	STEP(receive, handlers, no_more_handlers);
	CONTEXT(receive, sending_response, &out);
	PASS(receive, sending_response);
	LAST(receive, sending_response, sending_response, 1, &out);
	write_context(answer, &out);
}

__attribute__((noinline)) static void handle_notify(const struct wire *request, struct wire *answer)
{
	struct outspan_context in, out;
	struct wire sent, answered;
	BLOCK(handle_notify);

	PASS(handle_notify, received);
	FIRST(handle_notify, received);
	PASS(handle_notify, auth_tentatively_accepted);
	STEP(handle_notify, auth_result, auth_tentatively_accepted);
	check(request);
	read_context(&in, request);
	PASS(handle_notify, auth_accepted);
	STEP(handle_notify, auth_verified, auth_accepted, topic, sizeof(topic) - 1, request->length,
	     request->identifier, sizeof(request->identifier), &in);
	sent.body = request->body;
	sent.digest = request->digest;
	sent.length = request->length;
	for (unsigned int i = 0; i < SUBSCRIBERS; i++) {
		const char *url = urls[i];

		PASS(handle_notify, exact_subscriber_found);
		STEP(handle_notify, trusted_notify_scan, exact_subscriber_found, url, strlen(url));
		new_identifier(sent.identifier);
		CONTEXT(handle_notify, sending_receive, &out);
		PASS(handle_notify, sending_receive);
		STEP(handle_notify, trusted_notify_sending_receive, sending_receive,
		     sent.identifier, sizeof(sent.identifier), &out);
		write_context(&sent, &out);
		receive(&sent, &answered);
		PASS(handle_notify, response_received);
		STEP(handle_notify, trusted_notify_received_response, response_received, 200);
		read_context(&out, &answered);
		PASS(handle_notify, receive_confirmed);
		STEP(handle_notify, trusted_notify_response_auth_result, receive_confirmed, &out,
		     1);
	}
	PASS(handle_notify, no_more_subscribers);
	STEP(handle_notify, trusted_notify_scan, no_more_subscribers);
	CONTEXT(handle_notify, sending_response, &out);
	PASS(handle_notify, sending_response);
	LAST(handle_notify, sending_response, sending_response, &out);
	write_context(answer, &out);
}

__attribute__((noinline)) static void notify(const unsigned char *body, uint64_t length)
{
	struct outspan_context out, in;
	struct wire request = {.length = length, .body = body}, answer;
	BLOCK(notify);

	PASS(notify, start_without_hash);
	FIRST(notify, start_without_hash, topic, sizeof(topic) - 1, length, false);
	request.digest = hash(body, length);
	PASS(notify, hashed);
	STEP(notify, hashed, hashed);
	new_identifier(request.identifier);
	CONTEXT(notify, sending_request, &out);
	PASS(notify, sending_request);
	STEP(notify, sending, sending_request, broadcaster, sizeof(broadcaster) - 1,
	     request.identifier, sizeof(request.identifier), &out);
	write_context(&request, &out);
	handle_notify(&request, &answer);
	PASS(notify, response_received);
	STEP(notify, response_received, response_received, 200);
	read_context(&in, &answer);
	PASS(notify, response_notify_accepted);
	LAST(notify, response_auth_result, response_notify_accepted, &in, SUBSCRIBERS);
}

/* ---- runs and what they tell ----------------------------------------------------------------- */

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Log-linear: the upper bits of the value, and which power of two it has. */
static unsigned int bucket(uint64_t ns)
{
	int top = 63 - __builtin_clzll(ns | 1 << SUB_BITS);

	return (unsigned int)(((top - SUB_BITS) << SUB_BITS) + (int)(ns >> (top - SUB_BITS)));
}

static uint64_t bucket_ns(unsigned int b)
{
	unsigned int power = b >> SUB_BITS;

	if (!power)
		return b;
	return ((uint64_t)(b & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS)) << (power - 1);
}

static uint64_t percentile(uint64_t count, unsigned int percent)
{
	uint64_t seen = 0, wanted = (count * percent + 99) / 100;

	for (unsigned int b = 0; b < BUCKETS; b++) {
		seen += latencies[b];
		if (seen >= wanted)
			return bucket_ns(b);
	}
	return 0;
}

static void publish_fast(uint64_t count, const unsigned char *body)
{
	uint64_t at = now_ns(CLOCK_MONOTONIC);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t end;

		notify(body, work);
		end = now_ns(CLOCK_MONOTONIC);
		latencies[bucket(end - at)]++;
		at = end;
	}
}

/*
 * At a rate. The thread's CPU time between messages, which is that of falling asleep and waking
 * up: more than a message's own, and different in every run.
 */
static uint64_t publish_paced(uint64_t count, uint64_t rate, const unsigned char *body)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC), between = 0;
	uint64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at;

		sleep_until(begin + i * 1000000000 / rate);
		between += now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		at = now_ns(CLOCK_MONOTONIC);
		notify(body, work);
		latencies[bucket(now_ns(CLOCK_MONOTONIC) - at)]++;
		cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	}
	return between;
}

static void print_steps(void)
{
	static const char *const names[] = {
#define P(op, point, fields) #op "__" #point,
		BENCH_POINTS(P)
#undef P
	};

	for (unsigned int i = 0; i < POINT_COUNT; i++)
		printf("%s\"%s\": %lu", i ? ", " : "", names[i], passed[i]);
}

static void run(uint64_t count, uint64_t rate, const unsigned char *body)
{
	uint64_t cpu, wall, between = 0, steps = 0;

	memset(passed, 0, sizeof(passed));
	memset(latencies, 0, sizeof(latencies));
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (rate)
		between = publish_paced(count, rate, body);
	else
		publish_fast(count, body);
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	TRACER_DRAIN();
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - between;
	for (unsigned int i = 0; i < POINT_COUNT; i++)
		steps += passed[i];
	printf("{\"messages\": %lu, \"steps\": %lu, \"cpu_ns\": %lu, \"wall_ns\": %lu, \"p50_ns\": %lu, "
	       "\"p99_ns\": %lu, \"wrong\": %lu, \"points\": {",
	       count, steps, cpu, wall, percentile(count, 50), percentile(count, 99), wrong);
	print_steps();
	printf("}}\n");
}

int main(int argc, char **argv)
{
	static unsigned char body[WORK_MAX];
	unsigned long count, rate;
	char line[128];

	if (argc > 1)
		work = strtoull(argv[1], NULL, 10);
	if (work > WORK_MAX || TRACER_START())
		return 1;
	memset(body, 'm', sizeof(body));
	prctl(PR_SET_TIMERSLACK, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin))
		if (sscanf(line, "run %lu %lu", &count, &rate) == 2)
			run(count, rate, body);
	TRACER_STOP();
	return 0;
}
