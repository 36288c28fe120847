/* /proc as this process and a child see it. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/process.h"

/* A child that lives until its end of the pipe is closed. */
struct child {
	pid_t pid;
	int pipe;
};

static struct child start(const char *name)
{
	struct child c;
	int fd[2], ready[2];
	char byte;

	assert_ok(pipe(fd));
	assert_ok(pipe(ready));
	c.pid = fork();
	if (!c.pid) {
		close(fd[1]);
		prctl(PR_SET_NAME, name);
		if (write(ready[1], "r", 1) == 1 && read(fd[0], &byte, 1) >= 0)
			_exit(0);
		_exit(1);
	}
	close(fd[0]);
	c.pipe = fd[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return c;
}

static void end(struct child c)
{
	close(c.pipe);
	waitpid(c.pid, NULL, 0);
}

static void a_process_is_read(void **state)
{
	struct child c = start("some name");
	struct osp_process p;
	uint64_t began;

	(void)state;
	assert_ok(osp_process_read(&p, (uint32_t)c.pid));
	assert_int_equal(p.pid, c.pid);
	assert_int_equal(p.parent_pid, getpid());
	assert_int_equal(p.uid, getuid());
	assert_int_not_equal(p.namespace_pid, 0);
	assert_string_equal(p.comm, "some name");
	assert_non_null(strstr(p.exe, "user_process"));
	assert_non_null(strstr(p.cmdline, "user_process"));
	assert_ok(osp_process_start((uint32_t)c.pid, &began));
	assert_true(began == p.start_ns && began > 0);
	end(c);
}

static void a_name_full_of_traps_is_read_as_it_is(void **state)
{
	struct child c = start(") R 1 2 3 (\nUid:");
	struct osp_process p;

	(void)state;
	assert_ok(osp_process_read(&p, (uint32_t)c.pid));
	assert_int_equal(p.parent_pid, getpid());
	assert_int_equal(p.uid, getuid());
	assert_true(p.start_ns > 0);
	end(c);
}

static void a_process_that_ended_is_told(void **state)
{
	struct child c = start("gone");
	struct osp_process p = {.pid = 77};
	uint64_t began;
	int memory;

	(void)state;
	end(c);
	assert_err(-ESRCH, osp_process_read(&p, (uint32_t)c.pid));
	assert_int_equal(p.pid, 77);
	assert_err(-ESRCH, osp_process_start((uint32_t)c.pid, &began));
	assert_err(-ESRCH, osp_process_mappings((uint32_t)c.pid, NULL, NULL));
	assert_err(-ESRCH, osp_process_open_memory((uint32_t)c.pid, &memory));
}

static void the_list_holds_this_process_in_order(void **state)
{
	uint32_t *pids = NULL;
	bool found = false;
	size_t n = 0;

	(void)state;
	assert_ok(osp_process_list(&pids, &n));
	for (size_t i = 0; i < n; i++) {
		found = found || pids[i] == (uint32_t)getpid();
		assert_true(!i || pids[i - 1] < pids[i]);
	}
	assert_true(found);
	free(pids);
}

static int shared = 0x1234567;

struct search {
	uint64_t address;
	struct osp_mapping found;
	int count;
};

static int find(void *arg, const struct osp_mapping *m)
{
	struct search *s = arg;

	s->count++;
	if (s->address < m->start || s->address >= m->end)
		return 0;
	s->found = *m;
	s->found.path = NULL;
	return 42;
}

static void mappings_have_their_files_and_rights(void **state)
{
	struct search s = {.address = (uintptr_t)&the_list_holds_this_process_in_order};
	struct stat st;

	(void)state;
	assert_int_equal(osp_process_mappings((uint32_t)getpid(), find, &s), 42);
	assert_ok(stat("/proc/self/exe", &st));
	assert_true(s.found.execute && !s.found.write);
	assert_true(s.found.inode == st.st_ino);
	s = (struct search){.address = (uintptr_t)&shared};
	assert_int_equal(osp_process_mappings((uint32_t)getpid(), find, &s), 42);
	assert_true(s.found.write && !s.found.execute);
	s = (struct search){.address = 0};
	assert_int_equal(osp_process_mappings((uint32_t)getpid(), find, &s), 0);
	assert_true(s.count > 4);
}

static void memory_of_another_process_is_read(void **state)
{
	struct child c = start("peeked");
	int memory, value = 0;

	(void)state;
	assert_ok(osp_process_open_memory((uint32_t)c.pid, &memory));
	assert_ok(osp_process_peek(memory, (uintptr_t)&shared, &value, sizeof(value)));
	assert_int_equal(value, shared);
	assert_err(-EIO, osp_process_peek(memory, 16, &value, sizeof(value)));
	end(c);
	assert_err(-ESRCH, osp_process_peek(memory, (uintptr_t)&shared, &value, sizeof(value)));
	close(memory);
}

RUN_TESTS(TEST(a_process_is_read), TEST(a_name_full_of_traps_is_read_as_it_is),
	  TEST(a_process_that_ended_is_told), TEST(the_list_holds_this_process_in_order),
	  TEST(mappings_have_their_files_and_rights), TEST(memory_of_another_process_is_read))
