/*
 * A program to be recorded that counts every step it passes, by point: the truth that the books of
 * a session are compared with. It does what its standard input says, line by line, and answers each
 * line. Some of it is what no program should do: that is how losses are forced.
 *
 *   run N P      N operations with P steps between begin and end
 *   text N P     the same, each of those steps with 200 bytes
 *   procs C N    in C forked children N operations each; their counts are in this one's answer
 *   forked       an operation begun here; a forked child goes on with its copy; prints both
 *   begin, end   one operation, over several lines
 *   hold N, give N operations begun and kept; all those kept are ended
 *   large N P    N operations in blocks larger than a record, with P steps of 200 bytes
 *   scribble N   N operations with two steps between, one of which is overwritten with nonsense
 *   smash N      the same, but the nonsense hides where the next step begins
 *   nowhere N    N operations whose end names a block that is not there
 *   twice N      N operations that hand their block over twice before they go on
 *   hop N P      in two threads each N operations whose P steps count up, on one CPU after the other
 * Every answer: "PID POINT COUNT ..." of all steps passed so far; of children "PID POINT COUNT" each.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tally.h"

enum { BEGUN, PASSED, ENDED, TAKEN, GIVEN, POINTS };

static const char *const names[POINTS] = {"run__begun", "run__passed", "run__ended", "hold__taken",
					  "hold__given"};
static unsigned long counts[POINTS];
static char text[200];

/* A step and its count, at one place. */
#define STEP(point, call) (__atomic_add_fetch(&counts[point], 1, __ATOMIC_RELAXED), (call))

static void print_counts(void)
{
	printf("%d", getpid());
	for (int i = 0; i < POINTS; i++)
		printf(" %s %lu", names[i], counts[i]);
	printf("\n");
}

static struct tally_run_running begin(struct tally_run *op, long n)
{
	return STEP(BEGUN, tally_run__begun(tally_run_begin(op), (uint64_t)n));
}

static struct tally_run_running pass(struct tally_run_running s, long from, long to, size_t size)
{
	for (long i = from; i < to; i++)
		s = STEP(PASSED, tally_run__passed(s, (uint64_t)i, text, size));
	return s;
}

static void end(struct tally_run_running s, long n)
{
	STEP(ENDED, tally_run__ended(s, (uint64_t)n));
}

static void run(long count, long steps, size_t size)
{
	for (long i = 0; i < count; i++) {
		struct tally_run op = TALLY_RUN_INIT;

		end(pass(begin(&op, i), 0, steps, size), i);
	}
}

static void procs(long count, long n)
{
	for (long i = 0; i < count; i++) {
		if (fork())
			continue;
		memset(counts, 0, sizeof(counts));
		run(n, 1, 8);
		print_counts();
		fflush(stdout);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
}

/* The child's copy: what it passes there is no step of its parent's operation. */
static void forked(void)
{
	struct tally_run op = TALLY_RUN_INIT;
	struct tally_run_running s = pass(begin(&op, 1), 0, 1, 8);

	if (!fork()) {
		memset(counts, 0, sizeof(counts));
		end(pass(s, 1, 4, 8), 1);
		print_counts();
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	end(pass(s, 1, 2, 8), 1);
}

static struct tally_run kept_open;

static void hold(long count, struct tally_hold **held, long *held_count)
{
	*held = realloc(*held, (size_t)(*held_count + count) * sizeof(**held));
	for (long i = *held_count; i < *held_count + count; i++) {
		struct tally_hold_held s =
			STEP(TAKEN, tally_hold__taken(tally_hold_begin(&(*held)[i]), (uint64_t)i));

		(void)s;
	}
	*held_count += count;
}

static void give(struct tally_hold *held, long *held_count)
{
	for (long i = 0; i < *held_count; i++)
		STEP(GIVEN, tally_hold__given(tally_hold_at_held(&held[i]), (uint64_t)i));
	*held_count = 0;
}

/* The block says itself how large it is: nothing keeps a program from making it larger. */
static void large(long count, long steps)
{
	for (long i = 0; i < count; i++) {
		size_t size = sizeof(struct tally_run) + 65536;
		struct tally_run *op = calloc(1, size);
		struct tally_run_idle s = tally_run_begin(op);

		op->head.size = (uint32_t)size;
		end(pass(STEP(BEGUN, tally_run__begun(s, (uint64_t)i)), 0, steps, sizeof(text)), i);
		free(op);
	}
}

static struct outspan_step *last_step(struct tally_run *op, uint32_t before)
{
	return (struct outspan_step *)((char *)op + before);
}

/* Between two good steps one whose text is longer than its point allows, or that has no end. */
static void scribble(long count, int smash)
{
	for (long i = 0; i < count; i++) {
		struct tally_run op = TALLY_RUN_INIT;
		struct tally_run_running s = begin(&op, i);
		uint32_t before = op.head.used;

		s = pass(s, 0, 1, 8);
		if (smash && op.head.used > before)
			last_step(&op, before)->size = 1 << 20;
		else if (op.head.used > before)
			memset(last_step(&op, before) + 1, 0xff, 16);
		end(pass(s, 1, 2, 8), i);
	}
}

/* The call of an end, with the address of nothing. */
static void nowhere(long count)
{
	for (long i = 0; i < count; i++) {
		struct tally_run op = TALLY_RUN_INIT;
		struct tally_run_running s = pass(begin(&op, i), 0, 3, 8);
		uint64_t used = op.head.used + 32, from = sizeof(op.head);

		(void)s;
		STEP(ENDED, (TALLY_ENDED_STUB(
				    op.head.id, (void *)16, used | from << 32 | 1ull << 62,
				    op.head.sequence | 2ull << 32, outspan_stamp(), (uint64_t)i)));
		outspan_end(&op.head);
	}
}

/* The block is handed over as if it were full, and not cleared. */
static void twice(long count)
{
	for (long i = 0; i < count; i++) {
		struct tally_run op = TALLY_RUN_INIT;
		struct tally_run_running s = pass(begin(&op, i), 0, 3, 8);
		uint32_t used = op.head.used;

		tally_run_spill(&op.head);
		op.head.used = used;
		end(pass(s, 3, 4, 8), i);
	}
}

static long hops, hop_steps;

static void move(long to)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(to % sysconf(_SC_NPROCESSORS_ONLN)), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *hopper(void *arg)
{
	long number = (long)arg;

	for (long i = 0; i < hops; i++) {
		struct tally_run op = TALLY_RUN_INIT;
		struct tally_run_running s;

		if (i % 16 == 0)
			move(number + i / 16);
		s = begin(&op, i);
		for (long k = 0; k < hop_steps; k++) {
			/* now and then between two steps of one operation */
			if (i % 64 == 7 && k == hop_steps / 2)
				move(number + i / 64);
			s = STEP(PASSED, tally_run__passed(s, (uint64_t)k, text, 0));
		}
		end(s, hop_steps);
	}
	return NULL;
}

static void hop(long count, long steps)
{
	pthread_t other;

	hops = count;
	hop_steps = steps;
	pthread_create(&other, NULL, hopper, (void *)1l);
	hopper(NULL);
	pthread_join(other, NULL);
}

static int obey(const char *verb, long a, long b)
{
	static struct tally_hold *held;
	static long held_count;

	if (!strcmp(verb, "run"))
		run(a, b, 8);
	else if (!strcmp(verb, "text"))
		run(a, b, sizeof(text));
	else if (!strcmp(verb, "procs"))
		procs(a, b);
	else if (!strcmp(verb, "forked"))
		forked();
	else if (!strcmp(verb, "begin"))
		pass(begin(&kept_open, 0), 0, 1, 8);
	else if (!strcmp(verb, "end"))
		end(tally_run_at_running(&kept_open), 0);
	else if (!strcmp(verb, "hold"))
		hold(a, &held, &held_count);
	else if (!strcmp(verb, "give"))
		give(held, &held_count);
	else if (!strcmp(verb, "large"))
		large(a, b);
	else if (!strcmp(verb, "scribble") || !strcmp(verb, "smash"))
		scribble(a, *verb == 's' && verb[1] == 'm');
	else if (!strcmp(verb, "nowhere"))
		nowhere(a);
	else if (!strcmp(verb, "twice"))
		twice(a);
	else if (!strcmp(verb, "hop"))
		hop(a, b);
	else
		return -1;
	return 0;
}

int main(void)
{
	char line[256], verb[32];

	memset(text, 't', sizeof(text));
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long a = 0, b = 0;

		if (sscanf(line, "%31s %ld %ld", verb, &a, &b) < 1 || obey(verb, a, b))
			return 2;
		print_counts();
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
