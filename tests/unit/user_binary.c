/*
 * Binaries and targets, on this very program, which has two foreign sites: what the catalogue
 * knows of them, what it does not, and what targets stand for. Nothing is attached.
 */
#include "tests/unit/test.h"

#define _SDT_HAS_SEMAPHORES 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sdt.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/binary.h"
#include "user/semaphore.h"
#include "user/target.h"

__extension__ unsigned short unit_known_semaphore __attribute__((section(".probes"), used));
__extension__ unsigned short unit_stranger_semaphore __attribute__((section(".probes"), used));

static const char yaml[] =
	"provider: here\n"
	"abi: 1\n"
	"operations:\n"
	"  o:\n"
	"    by: thread\n"
	"    points:\n"
	"      \"unit:known\": {level: essential, args: {n: {type: u64, arg: 1}}}\n"
	"      \"unit:few\": {level: essential, args: {n: {type: u64, arg: 5}}}\n"
	"    start: Idle\n"
	"    states:\n"
	"      Idle: {\"unit:known\": Busy}\n"
	"      Busy: {\"unit:few\": {end: ok}}\n";

static struct {
	struct osp_catalogue *catalogue;
	struct osp_binaries *binaries;
} f;

static __attribute__((noinline, used)) void pass(unsigned long n)
{
	STAP_PROBE1(unit, known, n);
	STAP_PROBE1(unit, stranger, n);
}

__extension__ unsigned short unit_few_semaphore __attribute__((section(".probes"), used));

static __attribute__((noinline, used)) void pass_few(unsigned long n)
{
	STAP_PROBE1(unit, few, n);
}

static int set_up(void **state)
{
	struct osp_catalogue_error e;

	(void)state;
	if (osp_catalogue_new(&f.catalogue) ||
	    osp_catalogue_add(f.catalogue, "test", yaml, sizeof(yaml) - 1, &e)) {
		print_error("%s\n", e.text);
		return -1;
	}
	return osp_binaries_new(&f.binaries, f.catalogue);
}

static int tear_down(void **state)
{
	(void)state;
	osp_binaries_free(&f.binaries);
	osp_catalogue_free(&f.catalogue);
	return 0;
}

static const struct osp_site *find_site(const struct osp_binary *b, const char *probe)
{
	for (size_t i = 0; i < b->count; i++)
		if (!strcmp(b->sites[i].elf->probe, probe))
			return &b->sites[i];
	fail_msg("no site %s", probe);
	return NULL;
}

static void sites_are_matched_with_the_catalogue(void **state)
{
	struct osp_binary *b = NULL;
	const struct osp_site *s;

	(void)state;
	pass(1);
	pass_few(1);
	assert_ok(osp_binaries_open(&b, f.binaries, "/proc/self/exe"));
	assert_int_equal(b->count, 3);
	assert_int_equal(b->known, 1);
	assert_int_equal(find_site(b, "known")->state, OSP_SITE_KNOWN);
	assert_int_equal(find_site(b, "stranger")->state, OSP_SITE_UNKNOWN);
	s = find_site(b, "few");
	assert_int_equal(s->state, OSP_SITE_REFUSED);
	assert_string_equal(s->reason, "it has fewer arguments than the catalogue says");
	assert_true(b->fd >= 0);
}

static void a_file_is_read_once(void **state)
{
	struct osp_binary *a = NULL, *b = NULL;

	(void)state;
	assert_ok(osp_binaries_open(&a, f.binaries, "/proc/self/exe"));
	assert_ok(osp_binaries_open(&b, f.binaries, "/proc/self/exe"));
	assert_ptr_equal(a, b);
}

static void what_is_no_program_is_refused(void **state)
{
	struct osp_binary *b = NULL;

	(void)state;
	assert_err(-ENOENT, osp_binaries_open(&b, f.binaries, "/nonexistent"));
	assert_err(-ENOEXEC, osp_binaries_open(&b, f.binaries, "/proc/self/status"));
	assert_err(-ENOEXEC, osp_binaries_open(&b, f.binaries, "/dev/null"));
	assert_err(-ENOEXEC, osp_binaries_open(&b, f.binaries, "/"));
	assert_null(b);
}

static int note_armed(void *arg, const struct osp_armed_site *s)
{
	int *counts = arg;

	counts[s->armed]++;
	assert_int_equal(s->semaphore, 0);
	return 0;
}

/* Opening /proc/PID/map_files takes a privilege; without it no binary is seen. */
static struct osp_found *found_self(void)
{
	static struct osp_found found;

	if (osp_found_read(&found, f.binaries, (uint32_t)getpid()))
		return NULL;
	return found.known ? &found : NULL;
}

static void nothing_is_armed_while_nobody_traces(void **state)
{
	struct osp_found *self = found_self();
	const char *reason = "";
	size_t unarmed = 0;
	int counts[3] = {0};

	(void)state;
	if (!self)
		skip();
	for (size_t i = 0; i < self->binary_count; i++)
		if (self->binaries[i]->known) {
			assert_ok(osp_semaphore_scan(self->binaries[i], (uint32_t)getpid(),
						     note_armed, counts));
			assert_ok(osp_semaphore_verify(self->binaries[i], (uint32_t)getpid(),
						       &unarmed, &reason));
		}
	assert_int_equal(counts[OSP_ARMED_NOT], 3);
	assert_int_equal(unarmed, 0); /* none is attached, so none is missed */
	assert_null(reason);
	osp_found_clear(self);
}

static void targets_match_by_pid_name_and_points(void **state)
{
	struct osp_found p = {.process = {.pid = 5, .comm = "name"}, .known = 3};
	const struct osp_target pid = {OSP_TARGET_PID, 5, NULL}, other = {OSP_TARGET_PID, 6, NULL};
	const struct osp_target name = {OSP_TARGET_COMM, 0, "name"},
				no = {OSP_TARGET_COMM, 0, "nam"};
	const struct osp_target all = {OSP_TARGET_ALL, 0, NULL};

	(void)state;
	assert_true(osp_target_matches(&pid, &p));
	assert_false(osp_target_matches(&other, &p));
	assert_true(osp_target_matches(&name, &p));
	assert_false(osp_target_matches(&no, &p));
	assert_true(osp_target_matches(&all, &p));
	p.known = 0;
	assert_false(osp_target_matches(&all, &p));
}

static void targets_without_points_are_told(void **state)
{
	struct osp_target gone = {OSP_TARGET_PID, 4000000, NULL};
	struct osp_target path = {OSP_TARGET_PATH, 0, "/bin/true"};
	struct osp_target name = {OSP_TARGET_COMM, 0, "nobody is named so"};
	struct osp_targets t = {0};

	(void)state;
	assert_err(-ESRCH, osp_targets_find(&t, f.binaries, &gone, 1));
	assert_err(-ENXIO, osp_targets_find(&t, f.binaries, &path, 1));
	assert_err(-ENXIO, osp_targets_find(&t, f.binaries, &name, 1));
	path.text = "/nonexistent";
	assert_err(-ENOENT, osp_targets_find(&t, f.binaries, &path, 1));
	assert_int_equal(t.count, 0);
}

static void a_path_finds_the_processes_that_have_it_mapped(void **state)
{
	struct osp_target path = {OSP_TARGET_PATH, 0, "/proc/self/exe"};
	struct osp_found *self = found_self();
	struct osp_targets t = {0};
	int fd[2], status;
	pid_t child;
	char byte;

	(void)state;
	if (!self)
		skip();
	osp_found_clear(self);
	assert_ok(pipe(fd));
	child = fork();
	if (!child) {
		close(fd[1]);
		_exit(read(fd[0], &byte, 1) != 0);
	}
	close(fd[0]);
	assert_ok(osp_targets_find(&t, f.binaries, &path, 1));
	assert_int_equal(t.binary_count, 1);
	assert_int_equal(t.count, 1); /* this process itself is no target */
	assert_int_equal(t.found[0].process.pid, child);
	assert_true(t.found[0].target);
	osp_targets_clear(&t);
	close(fd[1]);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sites_are_matched_with_the_catalogue),
		cmocka_unit_test(a_file_is_read_once),
		cmocka_unit_test(what_is_no_program_is_refused),
		cmocka_unit_test(nothing_is_armed_while_nobody_traces),
		cmocka_unit_test(targets_match_by_pid_name_and_points),
		cmocka_unit_test(targets_without_points_are_told),
		cmocka_unit_test(a_path_finds_the_processes_that_have_it_mapped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
