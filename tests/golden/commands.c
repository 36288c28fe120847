/*
 * What people and programs get from ls, show, losses and export: the commands run on the sample
 * sessions and their output is compared with expectations in tests/golden (.txt and .json), which
 * were checked by hand. GOLDEN_UPDATE=1 rewrites them: review the diff.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sample_check.h"
#include "user/command.h"

static char directory[] = "/tmp/outspan-golden-XXXXXX", session[64], out_path[64], err_path[64];
static char output[1 << 18], errors[4096];

/* Writes a sample as a session file. */
static int write_session(struct sample *s, const char *path)
{
	struct osp_store *store = NULL;
	char uri[80], error[512];

	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	if (osp_store_open(&store, uri, OSP_STORE_CREATE, error) ||
	    osp_store_write(store, s->parts, s->count))
		return -1;
	free(s);
	return osp_store_close(&store, true);
}

static int make_session(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(session, sizeof(session), "%s/session.db", directory);
	snprintf(out_path, sizeof(out_path), "%s/out", directory);
	snprintf(err_path, sizeof(err_path), "%s/err", directory);
	setenv("TZ", "UTC-1", 1);
	unsetenv("NO_COLOR");
	return write_session(sample_new(), session);
}

static int remove_session(void **state)
{
	char command[80];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void read_file(const char *path, char *text, size_t room)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, room - 1, f) : 0;

	text[n] = 0;
	if (f)
		fclose(f);
}

/* Runs a command line in a child, as its own program would run; "@" stands for the session. */
static int run_to(const char *line, const char *to)
{
	char text[400], *argv[20] = {NULL}, *save = NULL;
	int argc = 0, status;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "@") ? word : session;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		int err = open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(out, 1);
		dup2(err, 2);
		exit(osp_command_find(argv[0])->run(argc, argv));
	}
	waitpid(pid, &status, 0);
	read_file(err_path, errors, sizeof(errors));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const char *line)
{
	int r = run_to(line, out_path);

	read_file(out_path, output, sizeof(output));
	return r;
}

static void expect_golden_of(int status, const char *line, const char *name)
{
	static char expected[1 << 18];
	char path[100];

	assert_int_equal(run(line), status);
	assert_string_equal(errors, "");
	snprintf(path, sizeof(path), "tests/golden/%s", name);
	if (getenv("GOLDEN_UPDATE")) {
		FILE *f = fopen(path, "w");

		fputs(output, f);
		fclose(f);
	}
	read_file(path, expected, sizeof(expected));
	assert_string_equal(output, expected);
}

static void expect_golden(const char *line, const char *name)
{
	expect_golden_of(OSP_EXIT_OK, line, name);
}

static void expect_failure(const char *line, int code, const char *why)
{
	int r = run(line);

	if (r != code || !strstr(errors, why))
		fail_msg("%s: status %d, \"%s\"", line, r, errors);
	assert_string_equal(output, "");
}

static void expect_narrow(void)
{
	size_t columns = 0;

	for (const char *p = output; *p; p++) {
		columns = *p == '\n' ? 0 : columns + (((uint8_t)*p & 0xc0) != 0x80);
		assert_true(columns <= 100);
		assert_true(*p == '\n' || (uint8_t)*p >= ' ');
	}
}

static void listing_looks_as_checked_by_hand(void **state)
{
	(void)state;
	expect_golden("ls @", "ls.txt");
	expect_golden("ls --utc --limit 2 @", "ls_newest.txt");
}

/* What the command shows on a terminal that is so many columns wide. */
static void run_on_terminal(const char *line, unsigned short columns)
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	ssize_t n;

	assert_true(terminal >= 0 && !grantpt(terminal) && !unlockpt(terminal));
	assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
	assert_int_equal(run_to(line, ptsname(terminal)), 0);
	n = read(terminal, output, sizeof(output) - 1);
	assert_true(n > 0);
	output[n] = 0;
	close(terminal);
}

static void names_are_cut_where_the_terminal_is_too_narrow(void **state)
{
	(void)state;
	run_on_terminal("ls --color=never @", 100);
	assert_non_null(strstr(output, " sort \\x1b[2Jx..aez\r\n"));
	run_on_terminal("ls --color=never @", 130);
	assert_non_null(strstr(output, " sort \\x1b[2Jx\\x0ay\\xe2\\x80\\xaez\r\n"));
	assert_non_null(strstr(output, " send south/1: refused\r\n"));
}

static void trees_look_as_checked_by_hand(void **state)
{
	static const char *const names[] = {"good",	 "retried", NULL,     NULL,
					    "ambiguous", "cut",	    "hostile"};
	char line[40], name[40];

	(void)state;
	for (int i = 0; i < 7; i++) {
		if (!names[i])
			continue;
		snprintf(line, sizeof(line), "show @ #%d", i + 1);
		snprintf(name, sizeof(name), "show_%s.txt", names[i]);
		expect_golden(line, name);
		expect_narrow();
	}
	expect_golden("show -v --utc @ 8c1f1e2a4b6f", "show_verbose.txt");
	expect_narrow();
	expect_golden("show -v @ #7", "show_hostile_verbose.txt");
	expect_narrow();
}

static void last_and_prefix_name_the_same_trace(void **state)
{
	static char by_prefix[sizeof(output)];

	(void)state;
	assert_int_equal(run("show @ 8C1F2E2A4B73"), 0);
	strcpy(by_prefix, output);
	assert_int_equal(run("show @ last"), 0);
	assert_string_equal(output, by_prefix);
}

static void json_has_the_promised_shapes(void **state)
{
	(void)state;
	expect_golden("ls --json @", "ls.json");
	expect_golden("show --json @ #5", "show.json");
}

/* The sessions of tests/sample_losses.h in turn stand where "@" is. */
static void use_session(struct sample *s, const char *name)
{
	snprintf(session, sizeof(session), "%s/%s.db", directory, name);
	if (access(session, F_OK))
		assert_int_equal(write_session(s, session), 0);
	else
		free(s);
}

static int use_first_session(void **state)
{
	(void)state;
	snprintf(session, sizeof(session), "%s/session.db", directory);
	return 0;
}

/* The catalogue of the session tells what an operation that stopped was about to do, and what next. */
static void what_stopped_is_told_with_what_was_to_come(void **state)
{
	(void)state;
	use_session(sample_halt(), "halt");
	expect_golden("show --utc @ #1", "show_halt.txt");
	expect_narrow();
	assert_int_equal(run("show --json @ #1"), 0);
	assert_non_null(strstr(output, "\"after\":\"handing\""));
	assert_non_null(strstr(output, "\"silent_ns\":5000000000"));
	assert_non_null(strstr(output, "\"next\":[\"accepted\",\"handed\",\"refused\"]"));
	/* its begin is not known; the last step says what may follow */
	assert_int_equal(run("show @ #2"), 0);
	assert_non_null(strstr(output, "\n    next: accepted\n"));
	/* not in the catalogue: nothing is made up */
	assert_int_equal(run("show @ #3"), 0);
	assert_non_null(strstr(output, "no step since handing"));
	assert_null(strstr(output, "next"));
	assert_int_equal(run("show --json @ #3"), 0);
	assert_null(strstr(output, "next"));
}

/* A trace of 3 ms; what its clock is said to be off. */
static void use_clock(const char *name, const char *error_ns, const char *jumps,
		      const char *records)
{
	const struct osp_session_row rows[] = {{OSP_SESSION_STEP_ERROR, error_ns},
					       {OSP_SESSION_STEP_JUMPS, jumps},
					       {OSP_SESSION_STEP_CONTRADICTIONS, records}};
	struct sample *s = sample_lossless();

	for (int i = 0; i < 3; i++)
		sample_add(s, OSP_PART_SESSION)->session = rows[i];
	use_session(s, name);
}

static void uncertain_times_are_told_where_they_matter(void **state)
{
	(void)state;
	use_clock("good-clock", "29000", "0", "0");
	assert_int_equal(run("show @ #1"), 0);
	assert_null(strstr(output, "uncertain"));
	assert_int_equal(run("show -v @ #1"), 0);
	assert_non_null(strstr(output, "\ntimes of steps are uncertain by 29.0 us\n"));
	assert_int_equal(run("show --json @ #1"), 0);
	assert_non_null(strstr(output, "\"time_error_ns\":29000"));
	use_clock("poor-clock", "31000", "0", "0");
	assert_int_equal(run("show @ #1"), 0);
	assert_non_null(strstr(output, "\n! times of steps are uncertain by 31.0 us\n\n"));
	use_clock("bad-clock", "18446744073709551615", "1", "31");
	assert_int_equal(run("show @ #1"), 0);
	assert_non_null(strstr(output, "\n! the clock of the steps jumped 1 time in"));
	assert_non_null(strstr(output, "\n! 31 records in this recording came before their own"));
	expect_narrow();
}

static void books_look_as_checked_by_hand(void **state)
{
	(void)state;
	use_session(sample_lossless(), "lossless");
	expect_golden("losses @", "losses_none.txt");
	use_session(sample_spare(), "spare");
	expect_golden("losses --utc @", "losses_spare.txt");
	expect_narrow();
	use_session(sample_lossy(), "lossy");
	expect_golden("losses @", "losses_some.txt");
	expect_narrow();
	expect_golden("losses --utc --process 4001 @", "losses_process.txt");
	expect_narrow();
	expect_golden("losses --json @", "losses.json");
	use_session(sample_forgetful(), "forgetful");
	expect_golden("losses --utc @", "losses_forgotten.txt");
	expect_narrow();
	assert_int_equal(run("losses --process 4002 @"), 0);
	assert_non_null(strstr(output, "\n28 hits = 3 stored + 20 forgotten + 5 lost: closes"));
	assert_int_equal(run("losses --check --process 4001 @"), 0);
	assert_string_equal(output, "no step is missing: 7 hits of 1 point in 1 process; "
				    "forgotten as asked: 7\n");
	use_session(sample_killed(), "killed");
	assert_int_equal(run("losses @"), 0);
	assert_non_null(strstr(output, "no step is missing: 4 hits of 1 point in 1 process; "
				       "cut: later hits are unknown\n"));
	assert_non_null(strstr(output, "\ncut at 2025-03-01T13:00:00.003000+01:00: "));
	assert_non_null(strstr(errors, ": cut at 2025-03-01T13:00:00.003000+01:00: "));
	assert_int_equal(run("losses --utc @"), 0);
	assert_non_null(strstr(errors, ": cut at 2025-03-01T12:00:00.003000Z: "));
}

/* What cannot be right is told, and what is not known is not claimed. */
static void broken_books_are_told(void **state)
{
	static char expected[sizeof(output)];

	(void)state;
	use_session(sample_broken(), "broken");
	assert_int_equal(run("losses @"), 0);
	assert_non_null(strstr(errors, "cut at "));
	expect_narrow();
	if (getenv("GOLDEN_UPDATE")) {
		FILE *f = fopen("tests/golden/losses_broken.txt", "w");

		fputs(output, f);
		fclose(f);
	}
	read_file("tests/golden/losses_broken.txt", expected, sizeof(expected));
	assert_string_equal(output, expected);
	/* no trace has a mark of its own, and nobody looked for the lost partners of the first two */
	assert_int_equal(run("ls @"), 0);
	assert_non_null(strstr(output, "1.00 ms    1     1  ok     C     sort north/7\n"));
	assert_non_null(strstr(
		output, ":03.000000+01:00      0 ns    1     1  ok     C     sort north/7\n"));
	assert_non_null(strstr(
		output, ":08.000000+01:00      0 ns    1     1  ok           sort north/7\n"));
	assert_int_equal(run("ls --json @"), 0);
	assert_non_null(strstr(output, "\"may_be_cut\":true"));
	assert_int_equal(run("show @ #1"), 0);
	assert_non_null(strstr(
		output,
		"\n! may be cut: 1 step of process #99 was lost meanwhile (eaten\\x1b[31m)\n"));
}

/* No loss is known, yet nobody may read that nothing is missing. */
static void books_that_do_not_close_are_not_called_whole(void **state)
{
	(void)state;
	use_session(sample_open(), "open");
	assert_int_equal(run("losses @"), 0);
	assert_memory_equal(output, "books do not close: 1 of 1 point\n", 33);
	assert_non_null(strstr(output, "5 hits, 4 stored, 0 left out, 0 lost\n"));
	assert_null(strstr(output, "no step is missing"));
	assert_int_equal(run("ls @"), 0);
	assert_non_null(strstr(output, "\nthe books do not close; outspan losses tells where"));
}

static void losses_at_impossible_times_do_no_harm(void **state)
{
	struct sample *s = sample_lossy();

	(void)state;
	for (size_t i = 0; i < s->count; i++) {
		if (s->parts[i].kind != OSP_PART_GAP)
			continue;
		s->parts[i].gap.from_ns = i % 2 ? INT64_MAX : INT64_MIN;
		s->parts[i].gap.to_ns = i % 3 ? INT64_MIN : INT64_MAX;
	}
	use_session(s, "timeless");
	assert_int_equal(run("losses @"), 0);
	expect_narrow();
	assert_int_equal(run("losses --json @"), 0);
	assert_int_equal(run("ls @"), 0);
	assert_int_equal(run("show @ last"), 0);
}

static void check_ends_with_what_a_script_wants(void **state)
{
	static const struct {
		struct sample *(*make)(void);
		const char *name;
		int status;
	} sessions[] = {{sample_lossless, "lossless", 0}, {sample_spare, "spare", 0},
			{sample_lossy, "lossy", 1},	  {sample_killed, "killed", 1},
			{sample_open, "open", 1},	  {sample_broken, "broken", 1}};

	(void)state;
	for (int i = 0; i < 6; i++) {
		use_session(sessions[i].make(), sessions[i].name);
		assert_int_equal(run("losses --check @"), sessions[i].status);
		assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1);
	}
	use_session(sample_lossy(), "lossy");
	assert_int_equal(run("losses --check --process 4003 @"), 0);
	expect_failure("losses --process 77 @", 1, "the session has no process 77");
	expect_failure("losses --process 0 @", 2, "expected a process id");
	expect_failure("losses", 2, "which session?");
	expect_failure("losses @ @", 2, "one session at a time");
}

/* What is wrong is told with its place, and a topic cannot write on the terminal. */
static void findings_look_as_checked_by_hand(void **state)
{
	(void)state;
	use_session(sample_check(), "check");
	expect_golden_of(OSP_EXIT_FAILED, "check --utc @", "check_some.txt");
	expect_narrow();
	expect_golden_of(OSP_EXIT_FAILED, "check --utc --verbose @", "check_verbose.txt");
	expect_narrow();
	expect_golden_of(OSP_EXIT_FAILED, "check --json @", "check.json");
	use_session(sample_halt(), "halt");
	expect_golden("check @", "check_none.txt");
	expect_failure("check --operation other @", 2,
		       "--operation other: the session's catalogue has none");
	expect_failure("check --rules /nowhere @", 1, "/nowhere: expected a readable file");
	expect_failure("check", 2, "which session?");
	use_session(sample_lossless(), "lossless");
	expect_failure("check @", 1, "it has no catalogue that can be read");
}

static void export_is_what_otlp_wants(void **state)
{
	char command[200];

	(void)state;
	expect_golden("export @ --format otlp-json --trace #5", "export.json");
	assert_int_equal(run("export @"), 0);
	snprintf(command, sizeof(command), "python3 tests/golden/otlp.py %s", out_path);
	assert_int_equal(system(command), 0);
}

static void export_to_a_file_is_the_same(void **state)
{
	static char text[sizeof(output)];
	char line[100], path[80];

	(void)state;
	assert_int_equal(run("export @"), 0);
	strcpy(text, output);
	snprintf(path, sizeof(path), "%s/file.json", directory);
	snprintf(line, sizeof(line), "export -o %s @", path);
	assert_int_equal(run(line), 0);
	assert_string_equal(output, "");
	read_file(path, output, sizeof(output));
	assert_string_equal(output, text);
}

static void mistakes_have_a_message_and_a_status(void **state)
{
	char line[100];

	(void)state;
	expect_failure("ls", 2, "which session?");
	expect_failure("ls @ @", 2, "one session at a time");
	expect_failure("ls --limit -1 @", 2, "expected a number from 0");
	expect_failure("ls --color sometimes @", 2, "expected auto, always or never");
	expect_failure("show @", 2, "give the FILE of a session and a TRACE");
	expect_failure("show @ xyz", 2, "expected 1 to 32 hexadecimal digits, or last, or #N");
	expect_failure("show @ #0", 2, "expected # and a number from 1");
	expect_failure("show @ #8", 1, "no trace #8: the session has 7");
	expect_failure("show @ 77", 1, "no trace 77 - outspan ls shows the ids");
	expect_failure("show @ 8c1f", 1, "several traces begin so - give more digits");
	expect_failure("export @ --format xml", 2, "unknown - use otlp-json");
	expect_failure("export @ -o /nowhere/x", 1, "/nowhere/x: No such file");
	expect_failure("ls /nowhere/x.db", 1, "/nowhere/x.db: No such file");
	snprintf(line, sizeof(line), "ls %s", directory);
	expect_failure(line, 1, "not a regular file");
	expect_failure("ls tests/golden/commands.c", 1, "not a session file");
}

static void full_disk_fails_with_a_name(void **state)
{
	(void)state;
	assert_int_equal(run_to("ls @", "/dev/full"), 1);
	assert_non_null(strstr(errors, "write stdout: No space left on device"));
	assert_int_equal(run_to("export @", "/dev/full"), 1);
	assert_non_null(strstr(errors, "write stdout: No space left on device"));
}

/* A reader that left: no message, whether the signal is deadly or ignored. */
static void closed_pipe_stops_silently(void **state)
{
	(void)state;
	for (int ignored = 0; ignored < 2; ignored++) {
		int ends[2], status;
		char text[10];

		assert_int_equal(pipe(ends), 0);
		close(ends[0]);
		fflush(NULL);
		if (!fork()) {
			char *argv[] = {"ls", session, NULL};
			int err = open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

			signal(SIGPIPE, ignored ? SIG_IGN : SIG_DFL);
			dup2(ends[1], 1);
			dup2(err, 2);
			exit(osp_cmd_ls.run(2, argv));
		}
		close(ends[1]);
		wait(&status);
		assert_true(ignored ? WIFEXITED(status) && WEXITSTATUS(status) == 1
				    : WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
		read_file(err_path, text, sizeof(text));
		assert_string_equal(text, "");
	}
}

static void colour_is_only_for_those_who_want_it(void **state)
{
	(void)state;
	assert_int_equal(run("show @ #2"), 0);
	assert_null(strchr(output, 0x1b));
	assert_int_equal(run("show --color=always @ #2"), 0);
	assert_non_null(strstr(output, "\x1b[31merror 503\x1b[0m"));
}

/* Those that a line continues are one. */
static void help_ends_with_three_examples(void **state)
{
	const struct osp_command *c;

	(void)state;
	for (size_t i = 0; (c = osp_command_at(i)); i++) {
		const char *examples;
		char line[40];
		int n = 0;

		snprintf(line, sizeof(line), "%s --help", c->name);
		assert_int_equal(run(line), 0);
		assert_string_equal(errors, "");
		examples = strstr(output, "\nExamples:\n");
		assert_non_null(examples);
		for (; (examples = strstr(examples, "\n  ")); examples++)
			n += examples[3] != ' ';
		if (n != 3)
			fail_msg("%s: %d examples", line, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(listing_looks_as_checked_by_hand, use_first_session),
		cmocka_unit_test_setup(names_are_cut_where_the_terminal_is_too_narrow,
				       use_first_session),
		cmocka_unit_test_setup(trees_look_as_checked_by_hand, use_first_session),
		cmocka_unit_test_setup(last_and_prefix_name_the_same_trace, use_first_session),
		cmocka_unit_test_setup(json_has_the_promised_shapes, use_first_session),
		cmocka_unit_test(uncertain_times_are_told_where_they_matter),
		cmocka_unit_test(what_stopped_is_told_with_what_was_to_come),
		cmocka_unit_test_setup(findings_look_as_checked_by_hand, use_first_session),
		cmocka_unit_test_setup(books_look_as_checked_by_hand, use_first_session),
		cmocka_unit_test_setup(broken_books_are_told, use_first_session),
		cmocka_unit_test(books_that_do_not_close_are_not_called_whole),
		cmocka_unit_test_setup(losses_at_impossible_times_do_no_harm, use_first_session),
		cmocka_unit_test_setup(check_ends_with_what_a_script_wants, use_first_session),
		cmocka_unit_test_setup(export_is_what_otlp_wants, use_first_session),
		cmocka_unit_test_setup(export_to_a_file_is_the_same, use_first_session),
		cmocka_unit_test_setup(mistakes_have_a_message_and_a_status, use_first_session),
		cmocka_unit_test_setup(full_disk_fails_with_a_name, use_first_session),
		cmocka_unit_test_setup(closed_pipe_stops_silently, use_first_session),
		cmocka_unit_test_setup(colour_is_only_for_those_who_want_it, use_first_session),
		cmocka_unit_test_setup(help_ends_with_three_examples, use_first_session),
	};

	return cmocka_run_group_tests(tests, make_session, remove_session);
}
