/*
 * The program of the build matrix: one job with every type of argument and a child in the other
 * object file, so that both hold the same sites. It prints "untraced" and how often the argument
 * that needs work was computed; a tracer sees the steps that matrix.sh expects.
 */
#include <stdio.h>

#include "matrix.h"

int work;

static uint16_t result(void)
{
	work++;
	return 4711;
}

static struct tiny_job_working one_part(struct tiny_job_working s, const char *data, size_t size)
{
	struct outspan_context ctx;
	struct tiny_job_sending s1 = tiny_job__part_begun(s, data, size);
	struct tiny_job_waiting s2 = tiny_job__part_sent(s1, size, &ctx);
	struct tiny_job_inside s3 = tiny_job__inner_begun(s2);

	s2 = tiny_job__inner_done(s3);
	return tiny_job__part_done(s2, (int8_t)-3);
}

__attribute__((noinline)) static void whole_job(const char *name, int count)
{
	struct tiny_job op = TINY_JOB_INIT;
	struct tiny_job_idle s0 = tiny_job_begin(&op);
	char copy[32];
	size_t size = strlen(name);

	/* On the stack and written just before: a compiler must not think that nobody reads it. */
	memcpy(copy, name, size);
	{
		struct tiny_job_asking s1 =
			tiny_job__started(s0, count, copy, size, 0.5, true, TINY_COLOUR_BLUE);
		struct tiny_job_working s2 = tiny_job__asked(s1, NULL);

		s2 = one_part(s2, "\1\2\3", 3);
		s2 = one_part(s2, "0123456789", 10);
		work += second_half(&op.head);
		tiny_job__finished(s2, result());
	}
}

__attribute__((noinline)) static void left_job(void)
{
	TINY_JOB_SCOPE(op);
	struct tiny_job_idle s0 = tiny_job_begin(&op);
	struct tiny_job_asking s1 = tiny_job__started(s0, -1, "", 0, 0, false, TINY_COLOUR_RED);

	(void)s1;
	tiny_job_leave(&op, 5);
}

int main(void)
{
	whole_job("a name that is too long", -5);
	left_job();
#ifdef OUTSPAN_NO_PROBES
	printf("without probes work=%d\n", work);
#else
	printf("%s work=%d\n", TINY_WANTED[0] ? "traced" : "untraced", work);
#endif
	return 0;
}
