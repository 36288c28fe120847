/* The other object file of the build matrix's program, or the shared object that it uses. */
#include "matrix.h"

int second_half(const struct outspan_op *parent)
{
	struct tiny_child op = TINY_CHILD_INIT;
	struct tiny_child_idle s0 = tiny_child_begin(&op);
	struct tiny_child_running s1 = tiny_child__begun(s0, parent);
	struct tiny_job job = TINY_JOB_INIT;
	struct tiny_job_asking s2;

	tiny_child__done(s1);
	s2 = tiny_job__started(tiny_job_begin(&job), 9, "b", 1, 0, false, TINY_COLOUR_RED);
	(void)s2;
	tiny_job_leave(&job, 0);
	return 0;
}
