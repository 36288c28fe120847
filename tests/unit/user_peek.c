/* What lies in the operation blocks of another process: a child of the test. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/peek.h"

enum { PAGE = 4096, STEPS = 24 };

static const struct osp_block_head head = {.magic = OSP_BLOCK_MAGIC,
					   .abi = OSP_BLOCK_ABI,
					   .id = 0x70000,
					   .sequence = 3,
					   .used = OSP_BLOCK_STEPS + STEPS,
					   .size = PAGE};

static struct {
	struct osp_record record;
	uint8_t data[OSP_EVENT_DATA];
} found;

/* Two pages; the second one is never there, and whoever needs it is to wait for a pager that sleeps. */
static uint8_t *pages;

static bool withhold(uint8_t *page)
{
	struct uffdio_register range = {.range = {(uintptr_t)page, PAGE},
					.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	return fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &range);
}

/* A child with a block at `offset` of the pages; *withheld tells whether it could register. */
static pid_t start(size_t offset, bool *withheld)
{
	int ready[2];
	pid_t pid;

	assert_ok(pipe(ready));
	pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	pid = fork();
	if (!pid) {
		bool done;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memcpy(pages + offset, &head, sizeof(head));
		memset(pages + offset + sizeof(head), 'x', PAGE - offset - sizeof(head));
		done = withhold(pages + PAGE);
		if (write(ready[1], &done, sizeof(done)) == sizeof(done))
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], withheld, sizeof(*withheld)), sizeof(*withheld));
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void stop(pid_t pid)
{
	assert_ok(kill(pid, SIGKILL));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_ok(munmap(pages, 2 * PAGE));
}

static int peek(pid_t pid, size_t offset, uint64_t op_id, uint32_t next)
{
	const struct osp_hung hung = {.op_id = op_id,
				      .block = (uintptr_t)pages + offset,
				      .pid = (uint32_t)pid,
				      .next = next};

	return osp_peek_read(&hung, 5, &found.record);
}

static void steps_of_an_open_block_are_read(void **state)
{
	bool withheld;
	pid_t pid = start(0, &withheld);

	(void)state;
	assert_ok(peek(pid, 0, 0x70000, 1));
	assert_int_equal(found.record.kind, OSP_RECORD_LEFT);
	assert_int_equal(found.record.sequence, 3);
	assert_int_equal(found.record.data_size, STEPS);
	assert_int_equal(found.data[STEPS - 1], 'x');
	assert_err(-ENODATA, peek(pid, 0, 0x70000, 3)); /* nothing new */
	assert_err(-ESTALE, peek(pid, 0, 0x80000, 1));	/* of another operation */
	stop(pid);
}

/* A program may keep its pages to itself (userfaultfd); it does not keep the recorder. */
static void a_page_that_its_owner_withholds_is_not_waited_for(void **state)
{
	bool withheld;
	pid_t pid = start(PAGE - sizeof(head), &withheld);

	(void)state;
	if (!withheld) {
		stop(pid);
		skip();
	}
	alarm(5);
	assert_err(-EIO, peek(pid, PAGE, 0x70000, 1));		      /* the head */
	assert_err(-EIO, peek(pid, PAGE - sizeof(head), 0x70000, 1)); /* the steps behind it */
	alarm(0);
	stop(pid);
}

RUN_TESTS(TEST(steps_of_an_open_block_are_read),
	  TEST(a_page_that_its_owner_withholds_is_not_waited_for))
