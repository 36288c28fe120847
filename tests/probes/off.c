/* Functions whose machine code tests/probes/off.py reads: what points cost that nobody wants. */
#include "outspan/tiny.h"

uint64_t expensive(uint64_t);

struct tiny_job_waiting plain_point(struct tiny_job_inside s);
struct tiny_job_asking many_arguments(struct tiny_job_idle s, const void *name, size_t size);
struct tiny_job_waiting argument_with_work(struct tiny_job_waiting s, uint64_t x);
void end_point(struct tiny_job_working s);

struct tiny_job_waiting plain_point(struct tiny_job_inside s)
{
	return tiny_job__inner_done(s);
}

struct tiny_job_asking many_arguments(struct tiny_job_idle s, const void *name, size_t size)
{
	return tiny_job__started(s, 1, name, size, 0.5, true, TINY_COLOUR_RED);
}

struct tiny_job_waiting argument_with_work(struct tiny_job_waiting s, uint64_t x)
{
	struct tiny_job_working s1 = tiny_job__part_done(s, (int8_t)expensive(x));
	struct tiny_job_waiting next;

	next.op = s1.op;
	return next;
}

void end_point(struct tiny_job_working s)
{
	tiny_job__finished(s, 1);
}
