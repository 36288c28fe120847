/*
 * What `outspan deliveries` says of recordings written by hand: scripts go through the pipeline into
 * a session file, and the command's output is compared with NAME.deliveries, which was checked by
 * hand. GOLDEN_UPDATE=1 rewrites them: review the diff.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"
#include "tests/support/play.h"
#include "tests/support/script.h"
#include "user/command.h"

static char directory[] = "/tmp/outspan-deliveries-XXXXXX", session[64], out_path[64];

static int write_part(void *store, const struct osp_part *part)
{
	return osp_store_write(store, part, 1);
}

/* The script's events as a session that ended, or not yet. */
static void record_part(const char *name, bool ended)
{
	struct osp_part setting = {.kind = OSP_PART_SESSION, .session = {OSP_SESSION_ENDED, "1"}};
	char path[100], uri[80], error[512], *text;
	struct osp_store *store = NULL;
	struct osp_catalogue *c;

	snprintf(path, sizeof(path), "tests/golden/%s.events", name);
	snprintf(session, sizeof(session), "%s/%s.db", directory, name);
	snprintf(uri, sizeof(uri), "sqlite:%s", session);
	text = script_read(path);
	c = script_catalogue(text);
	assert_int_equal(osp_store_open(&store, uri, OSP_STORE_OVERWRITE, error), 0);
	play_to(c, path, text, write_part, store);
	assert_int_equal(osp_store_write(store, &setting, ended), 0);
	assert_int_equal(osp_store_close(&store, true), 0);
	osp_catalogue_free(&c);
	free(text);
}

static void record(const char *name)
{
	record_part(name, true);
}

/* Runs the command on the session in a child; its exit status. What it prints lies in out_path. */
static int run(const char *option, const char *value)
{
	char *argv[] = {"deliveries", "--utc", session, (char *)option, (char *)value, NULL};
	int argc = option ? value ? 5 : 4 : 3, status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
		exit(osp_cmd_deliveries.run(argc, argv));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect(const char *golden, int status, const char *option, const char *value)
{
	char path[100], *expected, *output;

	assert_int_equal(run(option, value), status);
	output = script_read(out_path);
	snprintf(path, sizeof(path), "tests/golden/%s.deliveries", golden);
	if (getenv("GOLDEN_UPDATE")) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(output, f);
		assert_int_equal(fclose(f), 0);
	}
	expected = script_read(path);
	if (strcmp(expected, output) != 0)
		print_error("%s: this came out:\n%s", path, output);
	assert_string_equal(output, expected);
	free(output);
	free(expected);
}

static void every_subscriber_has_its_line(void **state)
{
	(void)state;
	record("deliveries");
	expect("deliveries", 0, NULL, NULL);
	expect("deliveries_json", 0, "--json", NULL);
}

static void only_what_is_missing(void **state)
{
	(void)state;
	record("deliveries");
	expect("deliveries_missing", 1, "--missing", NULL);
}

static void only_topics_that_match(void **state)
{
	(void)state;
	record("deliveries");
	expect("deliveries_topic", 0, "--topic", "[a-y]/[ce]");
}

/* The mark in the store leads to one that tells, at last, of both messages. */
static void who_was_told(void **state)
{
	(void)state;
	record("missed");
	expect("deliveries_missed", 0, NULL, NULL);
}

static void web_sockets_behind_a_broadcaster_count(void **state)
{
	(void)state;
	record("websockets");
	expect("deliveries_websockets", 0, NULL, NULL);
}

static void what_a_loss_touched_is_unknown(void **state)
{
	(void)state;
	record("deliveries_cut");
	expect("deliveries_cut", 1, "--missing", NULL);
	expect("deliveries_cut_all", 0, NULL, NULL);
}

/* Until the recorder says what the losses touched, all that is near them is in doubt. */
static void what_may_have_been_touched_is_unknown_while_a_recording_runs(void **state)
{
	(void)state;
	record_part("deliveries_cut", false);
	expect("deliveries_cut_running", 0, "--missing", NULL);
}

static void a_catalogue_without_deliveries_is_told(void **state)
{
	(void)state;
	record("children");
	assert_int_equal(run(NULL, NULL), 1);
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(out_path, sizeof(out_path), "%s/out", directory);
	return 0;
}

static int remove_directory(void **state)
{
	char command[80];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_subscriber_has_its_line),
		cmocka_unit_test(only_what_is_missing),
		cmocka_unit_test(only_topics_that_match),
		cmocka_unit_test(who_was_told),
		cmocka_unit_test(web_sockets_behind_a_broadcaster_count),
		cmocka_unit_test(what_a_loss_touched_is_unknown),
		cmocka_unit_test(what_may_have_been_touched_is_unknown_while_a_recording_runs),
		cmocka_unit_test(a_catalogue_without_deliveries_is_told),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
