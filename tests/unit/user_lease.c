/* Read leases: on files of one's own no privilege is needed. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/lease.h"

struct fixture {
	struct osp_leases *leases;
	char path[64];
	int file;
};

static void set_up(struct fixture *f)
{
	int fd;

	snprintf(f->path, sizeof(f->path), "/tmp/outspan-lease-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	f->file = open(f->path, O_RDONLY | O_CLOEXEC);
	assert_ok(osp_leases_open(&f->leases));
}

static void tear_down(struct fixture *f)
{
	osp_leases_close(&f->leases);
	close(f->file);
	unlink(f->path);
}

static pid_t open_for_writing(const char *path)
{
	pid_t pid = fork();

	if (!pid)
		_exit(open(path, O_WRONLY) < 0);
	return pid;
}

static void a_writer_waits_until_the_lease_is_released(void **state)
{
	struct fixture f;
	struct pollfd p;
	int status;
	pid_t pid;

	(void)state;
	set_up(&f);
	assert_ok(osp_lease_take(f.file));
	assert_false(osp_lease_is_broken(f.file));
	pid = open_for_writing(f.path);
	p = (struct pollfd){.fd = osp_leases_fd(f.leases), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1);
	osp_leases_clear(f.leases);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_true(osp_lease_is_broken(f.file));
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	osp_lease_release(f.file);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	tear_down(&f);
}

static void no_lease_is_to_be_had_beside_a_writer(void **state)
{
	struct fixture f;
	int writer;

	(void)state;
	set_up(&f);
	writer = open(f.path, O_WRONLY | O_CLOEXEC);
	assert_err(-EAGAIN, osp_lease_take(f.file));
	close(writer);
	assert_ok(osp_lease_take(f.file));
	tear_down(&f);
}

static void a_reader_does_not_break_the_lease(void **state)
{
	struct fixture f;
	int reader;

	(void)state;
	set_up(&f);
	assert_ok(osp_lease_take(f.file));
	reader = open(f.path, O_RDONLY | O_CLOEXEC);
	assert_true(reader >= 0);
	assert_false(osp_lease_is_broken(f.file));
	close(reader);
	tear_down(&f);
}

RUN_TESTS(TEST(a_writer_waits_until_the_lease_is_released),
	  TEST(no_lease_is_to_be_had_beside_a_writer), TEST(a_reader_does_not_break_the_lease))
