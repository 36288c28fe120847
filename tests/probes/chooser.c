/*
 * A program to be traced whose operations have the arguments that it is told, a line each:
 *   BEFORE SMALL TOPIC FLAG COUNT WIDE SIZE WROTE    bytes in hex, "-" = none
 * is one operation that passes `wrote` WROTE times, the last time with COUNT and WIDE, else with
 * both one less. Answers its id. "spin N": N operations of the topic "spun"; answers ns for each.
 * "scroll N": an operation whose topic has N bytes, the last one a "z", the others "a"; its id.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chooser.h"

struct note {
	char before[2048], topic[2048];
	int small, flag, count, wrote;
	int64_t wide;
	uint32_t size;
};

static size_t unhex(const char *text, unsigned char *out)
{
	size_t n = 0;

	for (unsigned int byte; *text != '-' && sscanf(text, "%2x", &byte) == 1; text += 2)
		out[n++] = (unsigned char)byte;
	return n;
}

static uint64_t make(const struct note *n)
{
	struct chooser_note op = CHOOSER_NOTE_INIT;
	unsigned char before[1024], topic[1024];
	size_t before_size = unhex(n->before, before), topic_size = unhex(n->topic, topic);
	struct chooser_note_idle s = chooser_note_begin(&op);
	struct chooser_note_open o = chooser_note__opened(s, before, before_size, (int16_t)n->small,
							  (const char *)topic, topic_size, n->flag);

	for (int i = n->wrote; i > 0; i--)
		o = chooser_note__wrote(o, "text of any size", (size_t)i % 16,
					i > 1 ? n->wide - 1 : n->wide,
					(uint8_t)(i > 1 ? n->count - 1 : n->count));
	chooser_note__closed(o, n->size);
	return outspan_op_id(&op.head);
}

static double spin(long n)
{
	struct note note = {.before = "-", .topic = "7370756e", .wrote = 3};
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++)
		make(&note);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)n;
}

static uint64_t scroll(size_t n)
{
	struct chooser_scroll op = CHOOSER_SCROLL_INIT;
	struct chooser_scroll_idle s = chooser_scroll_begin(&op);
	char topic[1024];

	memset(topic, 'a', sizeof(topic));
	topic[n - 1] = 'z';
	chooser_scroll__closed(chooser_scroll__opened(s, topic, n));
	return outspan_op_id(&op.head);
}

int main(void)
{
	static char line[8192];

	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		struct note n = {.wrote = 0};

		if (!strncmp(line, "spin ", 5))
			printf("%.0f\n", spin(atol(line + 5)));
		else if (!strncmp(line, "scroll ", 7))
			printf("%" PRIx64 "\n", scroll((size_t)atol(line + 7)));
		else if (sscanf(line, "%2047s %d %2047s %d %d %" SCNd64 " %" SCNu32 " %d", n.before,
				&n.small, n.topic, &n.flag, &n.count, &n.wide, &n.size,
				&n.wrote) == 8)
			printf("%" PRIx64 "\n", make(&n));
		else
			printf("-1\n");
		fflush(stdout);
	}
	return 0;
}
