/*
 * A program to be traced, which does what its standard input says, line by line, and answers each
 * line: so that tests wait for answers and never for time. With -DLIBRARY: a shared object with
 * the same points, for `load`.
 *
 *   tick N         N operations of three points    plain N     N pairs of foreign points
 *   long N         one operation of N + 2 points
 *   threads T N    in T threads each               procs P N   in P forked children each
 *   forked N       a step begun here, ended by a forked child (its operation stays the parent's)
 *   hold           forks a child that lives as long as this process; answers its pid
 *   strict         forks a child in seccomp's strict mode; answers its pid; it ticks 5 times at its end
 *   release        lets it end; answers how it did, as wait(2) has it
 *   load FILE      dlopen, then N calls by `call N`   exec FILE ARGUMENT...
 *   leave N        an operation of N + 1 points that does not end; answers its id
 *   scratch N M    the same in a frame that returns, then one of M + 1 in the same place (M = -1:
 *                  other bytes; -2: nothing), then it kills itself; says the ids first
 *   die HOW        kill, segv, abort, exit, _exit, or the number of a signal that it sends itself
 *   spin           ticks until the next line, answers how many
 */
#define _SDT_HAS_SEMAPHORES 1
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sdt.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>

#include "ticker.h"

void lib_tick(long n);

static void tick(long from, long to)
{
	for (long i = from; i < to; i++) {
		struct ticker_tick op = TICKER_TICK_INIT;
		char text[32], data[400];
		struct ticker_tick_running s;

		snprintf(text, sizeof(text), "tick %ld", i);
		memset(data, 'd', sizeof(data));
		s = ticker_tick__begun(ticker_tick_begin(&op), (uint64_t)i, text, strlen(text));
		s = ticker_tick__passed(s, (uint64_t)i * 3);
		ticker_tick__ended(s, (uint64_t)i, data, (size_t)i % sizeof(data));
	}
}

static void __attribute__((unused)) tick_long(long n)
{
	struct ticker_tick op = TICKER_TICK_INIT;
	struct ticker_tick_running s = ticker_tick__begun(ticker_tick_begin(&op), 0, "long", 4);

	for (long i = 0; i < n; i++)
		s = ticker_tick__passed(s, (uint64_t)i);
	ticker_tick__ended(s, 0, "x", 1);
}

#ifdef LIBRARY
void lib_tick(long n)
{
	tick(0, n);
}
#else

__extension__ unsigned short plainer_start_semaphore __attribute__((section(".probes"), used));
__extension__ unsigned short plainer_stop_semaphore __attribute__((section(".probes"), used));

static void plain(long n)
{
	for (long i = 0; i < n; i++) {
		char text[32], data[32] = "0123456789abcdef0123456789abcde";
		int number = -(int)i;
		long wide = -5000000000 - i;
		size_t size = (size_t)i % 32;

		snprintf(text, sizeof(text), "%.*s", (int)(i % 12), "abcdefghijkl");
		if (plainer_start_semaphore)
			STAP_PROBE2(plainer, start, number, text);
		if (plainer_stop_semaphore)
			STAP_PROBE3(plainer, stop, data, size, wide);
	}
}

static long per_thread;

static void *thread(void *arg)
{
	(void)arg;
	tick(0, per_thread);
	return NULL;
}

static void threads(int count, long n)
{
	pthread_t t[64];

	per_thread = n;
	for (int i = 0; i < count; i++)
		pthread_create(&t[i], NULL, thread, NULL);
	for (int i = 0; i < count; i++)
		pthread_join(t[i], NULL);
}

static void procs(int count, long n)
{
	for (int i = 0; i < count; i++)
		if (!fork()) {
			tick(0, n);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
}

static int forked(void)
{
	struct ticker_tick op = TICKER_TICK_INIT;
	struct ticker_tick_running s = ticker_tick__begun(ticker_tick_begin(&op), 1, "f", 1);
	int pid = fork(), status;

	if (!pid) {
		ticker_tick__ended(s, 1, "x", 1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ticker_tick__ended(s, 1, "x", 1);
	return pid;
}

static int hold(void)
{
	int pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int strict_child, strict_pipe[2];

/* From the prctl on it may only read, write and end: the standard library does more. */
static int strict(void)
{
	int ready[2];
	char byte = 0;

	if (pipe(strict_pipe) || pipe(ready))
		return -1;
	strict_child = fork();
	if (!strict_child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(strict_pipe[1]);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		if (write(ready[1], &byte, 1) != 1)
			syscall(SYS_exit, 1);
		while (read(strict_pipe[0], &byte, 1) > 0)
			;
		tick(0, 5);
		syscall(SYS_exit, 0);
	}
	close(strict_pipe[0]);
	close(ready[1]);
	return read(ready[0], &byte, 1) == 1 ? strict_child : -1;
}

static int release(void)
{
	int status = -1;

	close(strict_pipe[1]);
	waitpid(strict_child, &status, 0);
	return status;
}

static void begin_ticks(struct ticker_tick *op, long n, char end)
{
	struct ticker_tick_running s = ticker_tick__begun(ticker_tick_begin(op), 0, "left", 4);

	for (long i = 0; i < n; i++)
		s = ticker_tick__passed(s, (uint64_t)i);
	printf("%llx%c", (unsigned long long)outspan_op_id(&op->head), end);
	fflush(stdout);
}

static void leave(long n)
{
	static struct ticker_tick left[100];
	static int count;

	if (count < 100)
		begin_ticks(&left[count++], n, ' ');
}

static __attribute__((noinline)) void frame(long n)
{
	struct ticker_tick op = TICKER_TICK_INIT;

	begin_ticks(&op, n, '\n');
	__asm__ volatile("" ::"r"(&op) : "memory");
}

static __attribute__((noinline)) void scribble(void)
{
	char bytes[4 * sizeof(struct ticker_tick)];

	memset(bytes, 'x', sizeof(bytes));
	__asm__ volatile("" ::"r"(bytes) : "memory");
}

/* All frames begin at the same place of the stack, and nothing else is called in between. */
static void scratch(long first, long second)
{
	pid_t pid = getpid();

	kill(pid, 0); /* the dynamic linker has found it */
	frame(first);
	if (second >= 0)
		frame(second);
	else if (second == -1)
		scribble();
	kill(pid, SIGKILL);
}

static void die(const char *how)
{
	volatile int *volatile nowhere = NULL;

	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "exit"))
		exit(3);
	if (!strcmp(how, "_exit"))
		_exit(4);
	raise(!strcmp(how, "kill") ? SIGKILL : atoi(how));
	if (!strcmp(how, "segv"))
		*nowhere = 1;
}

static long spin(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};
	long n = 0;

	while (poll(&p, 1, 0) == 0) {
		tick(n, n + 10);
		n += 10;
	}
	return n;
}

static void (*loaded)(long);

static int load(const char *path)
{
	void *object = dlopen(path, RTLD_NOW);

	loaded = object ? (void (*)(long))dlsym(object, "lib_tick") : NULL;
	return loaded ? 0 : -1;
}

static int obey(const char *verb, char *const args[], long a, long b)
{
	if (!strcmp(verb, "tick"))
		tick(0, a);
	else if (!strcmp(verb, "long"))
		tick_long(a);
	else if (!strcmp(verb, "plain"))
		plain(a);
	else if (!strcmp(verb, "threads"))
		threads((int)a, b);
	else if (!strcmp(verb, "procs"))
		procs((int)a, b);
	else if (!strcmp(verb, "forked"))
		return forked();
	else if (!strcmp(verb, "hold"))
		return hold();
	else if (!strcmp(verb, "strict"))
		return strict();
	else if (!strcmp(verb, "release"))
		return release();
	else if (!strcmp(verb, "load"))
		return load(args[0]);
	else if (!strcmp(verb, "call") && loaded)
		loaded(a);
	else if (!strcmp(verb, "leave"))
		leave(a);
	else if (!strcmp(verb, "scratch"))
		scratch(a, b);
	else if (!strcmp(verb, "die"))
		die(args[0]);
	else if (!strcmp(verb, "exec"))
		return execv(args[0], args);
	else
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	char line[4096], *args[17];

	if (argc > 2)
		tick(0, atol(argv[2]));
	printf("ready %d\n", getpid());
	fflush(stdout);
	/* Unbuffered: poll must see what was not read. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		char *save, *verb = strtok_r(line, " \n", &save);
		int n = 0;

		while (n < 16 && (args[n] = strtok_r(NULL, " \n", &save)))
			n++;
		args[n] = NULL;
		if (!verb)
			continue;
		if (!strcmp(verb, "spin")) {
			printf("spinning\n");
			fflush(stdout);
			printf("%ld\n", spin());
		} else {
			printf("%d\n",
			       obey(verb, args, n ? atol(args[0]) : 0, n > 1 ? atol(args[1]) : 0));
		}
		fflush(stdout);
	}
	return 0;
}
#endif
