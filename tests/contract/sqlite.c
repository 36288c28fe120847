/*
 * What the contract cannot say of every store: session files as files. Who owns them, what is
 * refused, what a full disk, a killed recorder or damage leaves behind, who may read along.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/session.h"
#include "tests/sample.h"

#define assert_ok(r) assert_int_equal(r, 0)

enum { NOBODY = 65534, ROWS = 10 };

struct fixture {
	char directory[64], path[100], uri[110], error[512];
	struct osp_store *store;
};

/* ---- fixture ---- */

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/outspan-sqlite-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/session.db", f->directory);
	snprintf(f->uri, sizeof(f->uri), "sqlite:%s", f->path);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[100];

	if (f->store)
		osp_store_close(&f->store, true);
	chmod(f->directory, 0700);
	snprintf(command, sizeof(command), "rm -rf %s", f->directory);
	if (system(command))
		return -1;
	free(f);
	return 0;
}

static int try_open(struct fixture *f, enum osp_store_mode mode)
{
	*f->error = 0;
	return osp_store_open(&f->store, f->uri, mode, f->error);
}

static void open_store(struct fixture *f, enum osp_store_mode mode)
{
	if (try_open(f, mode))
		fail_msg("%s", f->error);
}

static void close_store(struct fixture *f, bool clean)
{
	assert_ok(osp_store_close(&f->store, clean));
}

static void refused(struct fixture *f, enum osp_store_mode mode, int code, const char *why)
{
	assert_int_equal(try_open(f, mode), code);
	assert_null(f->store);
	if (!strstr(f->error, why) || !strstr(f->error, f->directory))
		fail_msg("\"%s\" does not say \"%s\"", f->error, why);
}

static void write_sample(struct fixture *f)
{
	struct sample *s = sample_new();

	assert_ok(osp_store_write(f->store, s->parts, s->count));
	free(s);
}

static void make_session(struct fixture *f)
{
	open_store(f, OSP_STORE_CREATE);
	write_sample(f);
	close_store(f, true);
}

static void put_file(const char *path, const void *data, size_t size)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fwrite(data, 1, size, out);
	fclose(out);
}

static size_t count_files(const char *directory)
{
	DIR *d = opendir(directory);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* One integer or text from the file, through SQLite itself. */
static void query(const struct fixture *f, const char *sql, char *out, size_t room)
{
	sqlite3 *db;
	sqlite3_stmt *st;

	*out = 0;
	assert_ok(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL));
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL))
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	while (sqlite3_step(st) == SQLITE_ROW) {
		size_t n = strlen(out);

		for (int i = 0; i < sqlite3_column_count(st); i++)
			n += (size_t)snprintf(out + n, n < room ? room - n : 0, "%s%s",
					      i	  ? "|"
					      : n ? "\n"
						  : "",
					      (const char *)sqlite3_column_text(st, i));
	}
	assert_true(strlen(out) + 1 < room);
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void expect_query(const struct fixture *f, const char *sql, const char *expected)
{
	char text[8192];

	query(f, sql, text, sizeof(text));
	assert_string_equal(text, expected);
}

/* ---- in a child process: 0 = as expected; cmocka's asserts do not reach out of it ---- */

static int in_child(int (*run)(struct fixture *f), struct fixture *f)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(run(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int become_nobody(void)
{
	return geteuid() ? 0 : setgid(NOBODY) || setuid(NOBODY);
}

/* ---- making ---- */

static void file_is_private_and_one_piece_after_a_clean_close(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	open_store(f, OSP_STORE_CREATE);
	write_sample(f);
	assert_int_equal(count_files(f->directory), 3);
	close_store(f, true);

	assert_ok(stat(f->path, &st));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(count_files(f->directory), 1);
	expect_query(f,
		     "SELECT (SELECT * FROM pragma_journal_mode), (SELECT * FROM "
		     "pragma_page_size), (SELECT * FROM pragma_application_id), (SELECT * FROM "
		     "pragma_user_version), (SELECT * FROM pragma_integrity_check)",
		     "delete|16384|1330860115|1|ok");
}

static void owner_of(const char *path, const char *suffix, uid_t expected)
{
	char name[120];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	assert_ok(stat(name, &st));
	assert_int_equal(st.st_uid, expected);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void file_belongs_to_the_user_who_called_sudo(void **state)
{
	struct fixture *f = *state;
	uid_t expected = geteuid() ? geteuid() : NOBODY;

	setenv("SUDO_UID", "65534", 1);
	setenv("SUDO_GID", "65534", 1);
	open_store(f, OSP_STORE_CREATE);
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	write_sample(f);

	owner_of(f->path, "", expected);
	owner_of(f->path, "-wal", expected);
	owner_of(f->path, "-shm", expected);
}

static void existing_file_is_never_created_over(void **state)
{
	struct fixture *f = *state;
	char target[120];

	make_session(f);
	refused(f, OSP_STORE_CREATE, -EEXIST, "exists already");
	assert_ok(unlink(f->path));

	snprintf(target, sizeof(target), "%s/elsewhere", f->directory);
	assert_ok(symlink(target, f->path));
	refused(f, OSP_STORE_CREATE, -EEXIST, "exists already");
	refused(f, OSP_STORE_OVERWRITE, -EEXIST, "not a regular file");
	assert_int_equal(access(target, F_OK), -1);
}

static void only_sessions_and_empty_files_are_overwritten(void **state)
{
	struct fixture *f = *state;

	make_session(f);
	open_store(f, OSP_STORE_OVERWRITE);
	close_store(f, true);
	expect_query(f, "SELECT count(*) FROM operation", "0");

	put_file(f->path, "", 0);
	open_store(f, OSP_STORE_OVERWRITE);
	close_store(f, true);

	put_file(f->path, "my thesis", 9);
	refused(f, OSP_STORE_OVERWRITE, -EEXIST, "not a session file - it is not replaced");
	assert_ok(unlink(f->path));
	assert_ok(mkdir(f->path, 0700));
	refused(f, OSP_STORE_OVERWRITE, -EEXIST, "not a regular file");
	assert_ok(rmdir(f->path));
}

static void session_that_is_being_recorded_is_not_overwritten(void **state)
{
	struct fixture *f = *state;
	int ready[2], done[2];
	pid_t pid;
	char byte = 0;

	assert_ok(pipe(ready));
	assert_ok(pipe(done));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		open_store(f, OSP_STORE_CREATE);
		if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1)
			_exit(1);
		_exit(osp_store_close(&f->store, true));
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);

	refused(f, OSP_STORE_OVERWRITE, -EBUSY, "in use by process");

	assert_int_equal(write(done[1], &byte, 1), 1);
	waitpid(pid, NULL, 0);
	open_store(f, OSP_STORE_OVERWRITE);
}

static void directory_must_exist_and_be_writable(void **state)
{
	struct fixture *f = *state;

	snprintf(f->uri, sizeof(f->uri), "sqlite:%s/none/session.db", f->directory);
	refused(f, OSP_STORE_CREATE, -ENOENT, "the directory must exist");
	snprintf(f->uri, sizeof(f->uri), "sqlite:%s/", f->directory);
	refused(f, OSP_STORE_CREATE, -EINVAL, "not the name of a file");
}

static int create_as_nobody(struct fixture *f)
{
	if (become_nobody())
		return 2;
	return try_open(f, OSP_STORE_CREATE) == -EACCES &&
			       strstr(f->error, "choose a directory that you may write to")
		       ? 0
		       : 1;
}

static void read_only_directory_is_named(void **state)
{
	struct fixture *f = *state;

	assert_ok(chmod(f->directory, 0555));
	assert_ok(in_child(create_as_nobody, f));
	assert_int_equal(count_files(f->directory), 0);
}

/* ---- refusing to read ---- */

static void what_is_no_session_is_told_apart(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	refused(f, OSP_STORE_READ, -ENOENT, "No such file");
	put_file(f->path, "", 0);
	refused(f, OSP_STORE_READ, -EBADMSG, "is empty");
	put_file(f->path, "hello", 5);
	refused(f, OSP_STORE_READ, -EBADMSG, "not a session file of outspan");
	assert_ok(unlink(f->path));
	assert_ok(sqlite3_open(f->path, &db));
	assert_ok(sqlite3_exec(db, "CREATE TABLE operation(x)", NULL, NULL, NULL));
	sqlite3_close(db);
	refused(f, OSP_STORE_READ, -EBADMSG, "an SQLite database, but not a session");
	assert_ok(unlink(f->path));
	assert_ok(mkfifo(f->path, 0600));
	refused(f, OSP_STORE_READ, -EBADMSG, "not a regular file");
	assert_ok(unlink(f->path));
	strcpy(f->uri, "sqlite:");
	strcat(f->uri, f->directory);
	refused(f, OSP_STORE_READ, -EBADMSG, "not a regular file");
}

static void newer_format_is_refused_with_both_versions(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	make_session(f);
	assert_ok(sqlite3_open(f->path, &db));
	assert_ok(sqlite3_exec(db, "PRAGMA user_version = 7", NULL, NULL, NULL));
	sqlite3_close(db);

	refused(f, OSP_STORE_READ, -ENOTSUP, "session format 7, this outspan reads up to 1");
	open_store(f, OSP_STORE_OVERWRITE);
}

static int read_as_nobody(struct fixture *f)
{
	if (become_nobody())
		return 2;
	return try_open(f, OSP_STORE_READ) == -EACCES &&
			       strstr(f->error, "run as its owner or as root")
		       ? 0
		       : 1;
}

static void file_of_another_user_is_named_as_such(void **state)
{
	struct fixture *f = *state;

	make_session(f);
	assert_ok(chmod(f->directory, 0755));
	assert_ok(chmod(f->path, geteuid() ? 0 : 0600));
	assert_ok(in_child(read_as_nobody, f));
}

static int read_wal_as_nobody(struct fixture *f)
{
	int r;

	if (become_nobody())
		return 2;
	r = try_open(f, OSP_STORE_READ);
	return r && strstr(f->error, "did not end cleanly") ? 0 : 1;
}

/* The file may be read, its -wal may not: as after a crash of a recorder of another user. */
static void unreadable_wal_is_named_as_such(void **state)
{
	struct fixture *f = *state;
	char wal[120], shm[120];

	open_store(f, OSP_STORE_CREATE);
	write_sample(f);
	close_store(f, false);
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	snprintf(shm, sizeof(shm), "%s-shm", f->path);
	assert_ok(chmod(f->path, 0644));
	assert_ok(chmod(wal, 0));
	assert_ok(chmod(shm, 0));
	assert_ok(chmod(f->directory, 0555));
	assert_ok(in_child(read_wal_as_nobody, f));
}

static void store_that_was_opened_for_reading_takes_nothing(void **state)
{
	struct fixture *f = *state;
	struct osp_part p = {.kind = OSP_PART_CLOCK};

	make_session(f);
	open_store(f, OSP_STORE_READ);
	assert_int_equal(osp_store_write(f->store, &p, 1), -EROFS);
	assert_non_null(strstr(osp_store_error(f->store), "opened for reading"));
}

/* ---- batches: rows of one trace, whose names exist nowhere else ---- */

static int write_batch(struct osp_store *s, unsigned batch)
{
	struct osp_row_span spans[ROWS];
	struct osp_step steps[ROWS];
	struct osp_attribute attributes[ROWS];
	struct osp_part parts[ROWS];
	char names[ROWS][32], value[2000];

	memset(value, 'x', sizeof(value));
	for (unsigned i = 0; i < ROWS; i++) {
		snprintf(names[i], sizeof(names[i]), "batch %u row %u", batch, i);
		spans[i] = (struct osp_row_span){.kind_name = names[i],
						 .name = names[i],
						 .kind = OSP_SPAN_INTERNAL,
						 .start_ns = batch * 100 + i};
		steps[i] = (struct osp_step){.name = names[i], .attribute_count = 1};
		attributes[i] = (struct osp_attribute){names[i],
						       {.type = OSP_VALUE_BYTES,
							.data = value,
							.size = sizeof(value),
							.true_size = sizeof(value)}};
		parts[i] = (struct osp_part){.kind = OSP_PART_ROW,
					     .row = {.id = (uint64_t)(batch * ROWS + i + 1) << 16,
						     .trace = batch + 1,
						     .complete = true,
						     .spans = &spans[i],
						     .span_count = 1,
						     .steps = &steps[i],
						     .step_count = 1,
						     .attributes = &attributes[i],
						     .attribute_count = 1}};
	}
	return osp_store_write(s, parts, ROWS);
}

/* How many batches are there; every one whole and under its own names, or -1. */
static int count_batches(struct osp_store *s)
{
	struct osp_cursor *c = NULL;
	struct osp_span span;
	int n = 0, r;

	if (osp_store_spans(s, 0, &c))
		return -1;
	while (!(r = osp_cursor_next_span(c, &span))) {
		char name[32];

		snprintf(name, sizeof(name), "batch %d row %d", (int)span.trace - 1, n % ROWS);
		if ((int)span.trace != n / ROWS + 1 || strcmp(name, span.name) ||
		    strcmp(name, span.kind_name) || span.event_count != 1 ||
		    strcmp(name, span.events[0].name) || strcmp(name, span.attributes[0].name))
			r = -1;
		n++;
		if (r)
			break;
	}
	osp_cursor_close(&c);
	return r < 0 || n % ROWS ? -1 : n / ROWS;
}

/* ---- full disks ---- */

/* Writes until the disk is full: what is there stays whole, and room helps. */
static int fill_up(struct fixture *f, int expected, void (*make_room)(void))
{
	int r = 0, n;

	if (try_open(f, OSP_STORE_CREATE))
		return 2;
	for (n = 0; !r && n < 20000; n++)
		r = write_batch(f->store, (unsigned)n);
	n--;
	if (r != expected)
		fprintf(stderr, "%d %s\n", r, osp_store_error(f->store));
	if (r != expected || !strstr(osp_store_error(f->store), "what was written before is safe"))
		return 3;
	if (write_batch(f->store, (unsigned)n) != expected)
		return 4;
	if (count_batches(f->store) >= 0 && count_batches(f->store) != n)
		return 5;
	make_room();
	if (write_batch(f->store, (unsigned)n))
		return 6;
	if (count_batches(f->store) != n + 1)
		return 7;
	return osp_store_close(&f->store, true) ? 8 : 0;
}

static void lift_limit(void)
{
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 30, 1 << 30});
}

static int fill_limit(struct fixture *f)
{
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){2 << 20, 1 << 30});
	return fill_up(f, -EFBIG, lift_limit);
}

static void full_file_keeps_whole_batches_and_goes_on(void **state)
{
	struct fixture *f = *state;

	assert_ok(in_child(fill_limit, f));
	open_store(f, OSP_STORE_READ);
	assert_in_range(count_batches(f->store), 10, 20000);
	expect_query(f, "PRAGMA integrity_check", "ok");
}

static char grown[100];

static void grow_disk(void)
{
	mount("tmpfs", grown, "tmpfs", MS_REMOUNT, "size=64m");
}

static int fill_disk(struct fixture *f)
{
	strcpy(grown, f->directory);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", f->directory, "tmpfs", 0, "size=2m"))
		return 77;
	return fill_up(f, -ENOSPC, grow_disk);
}

static void full_disk_keeps_whole_batches_and_goes_on(void **state)
{
	int r = in_child(fill_disk, *state);

	if (r == 77)
		skip(); /* no right to mount; the file size limit above stands for a full disk */
	assert_ok(r);
}

/* ---- crashes and readers ---- */

static void write_for_ever(struct fixture *f, int acknowledge)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (try_open(f, OSP_STORE_CREATE))
		_exit(1);
	for (unsigned n = 0;; n++)
		if (write_batch(f->store, n) || write(acknowledge, &n, sizeof(n)) != sizeof(n))
			_exit(1);
}

/* Kills the writer after so many batches; returns the last one it said was written. */
static unsigned kill_after(struct fixture *f, unsigned batches)
{
	unsigned n = 0, last = 0;
	int acknowledge[2];
	pid_t pid;

	assert_ok(pipe(acknowledge));
	pid = fork();
	if (!pid) {
		close(acknowledge[0]);
		write_for_ever(f, acknowledge[1]);
	}
	close(acknowledge[1]);
	while (n < batches && read(acknowledge[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	kill(pid, SIGKILL);
	while (read(acknowledge[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	close(acknowledge[0]);
	waitpid(pid, NULL, 0);
	return last;
}

static void killed_recorder_leaves_every_committed_batch_whole(void **state)
{
	struct fixture *f = *state;

	/* some before, some during and after the first checkpoints */
	for (unsigned batches = 1; batches < 3000; batches = batches * 3 + 1) {
		unsigned last = kill_after(f, batches);

		open_store(f, OSP_STORE_READ);
		assert_in_range(count_batches(f->store), last + 1, last + 2);
		close_store(f, false);
		expect_query(f, "PRAGMA integrity_check", "ok");
		expect_query(f, "SELECT spans FROM trace WHERE trace = 1", "10");
		open_store(f, OSP_STORE_OVERWRITE);
		close_store(f, true);
		assert_ok(unlink(f->path));
	}
}

static void reader_sees_the_session_as_it_was_when_it_opened(void **state)
{
	struct fixture *f = *state;
	struct osp_store *reader = NULL;

	open_store(f, OSP_STORE_CREATE);
	assert_ok(write_batch(f->store, 0));
	assert_ok(osp_store_open(&reader, f->uri, OSP_STORE_READ, f->error));
	assert_ok(write_batch(f->store, 1));

	assert_int_equal(count_batches(reader), 1);
	assert_ok(osp_store_close(&reader, false));
	assert_ok(osp_store_open(&reader, f->uri, OSP_STORE_READ, f->error));
	assert_int_equal(count_batches(reader), 2);
	assert_ok(osp_store_close(&reader, false));
	assert_ok(osp_store_flush(f->store));
	close_store(f, true);
	assert_int_equal(count_files(f->directory), 1);
}

static void recording_that_was_not_closed_reads_the_same(void **state)
{
	struct fixture *f = *state;
	char *text[2];
	size_t size;

	for (int clean = 0; clean < 2; clean++) {
		FILE *m = open_memstream(&text[clean], &size);

		open_store(f, OSP_STORE_OVERWRITE);
		write_sample(f);
		close_store(f, clean);
		open_store(f, OSP_STORE_READ);
		assert_ok(osp_store_dump(f->store, m, NULL));
		close_store(f, false);
		fclose(m);
	}
	assert_string_equal(text[0], text[1]);
	free(text[0]);
	free(text[1]);
}

/* ---- damage: no crash, no hang, no unbounded anything; sanitizers watch ---- */

static void read_everything(struct fixture *f)
{
	FILE *null = fopen("/dev/null", "w");

	if (!try_open(f, OSP_STORE_READ)) {
		osp_store_dump(f->store, null, NULL);
		osp_store_close(&f->store, false);
	}
	fclose(null);
}

static void damaged_file_never_crashes_the_reader(void **state)
{
	struct fixture *f = *state;
	static uint8_t whole[2 << 20];
	uint64_t word = 88172645463325252ull;
	size_t size;
	FILE *in;

	make_session(f);
	in = fopen(f->path, "r");
	size = fread(whole, 1, sizeof(whole), in);
	fclose(in);
	for (int round = 0; round < 400; round++) {
		int fd = open(f->path, O_WRONLY);

		/* most pages are nearly empty: aim at the bytes that say something */
		for (int k = 0; k < 6; k++) {
			uint8_t byte;
			size_t at;

			do {
				word ^= word << 13;
				word ^= word >> 7;
				word ^= word << 17;
				at = 100 + word % (size - 100);
			} while (!whole[at]);
			byte = (uint8_t)(word >> 40);
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		}
		close(fd);
		read_everything(f);
		put_file(f->path, whole, size);
	}
	for (size_t cut = size - 1; cut > 200; cut -= cut / 9) {
		assert_ok(truncate(f->path, (off_t)cut));
		read_everything(f);
		put_file(f->path, whole, size);
	}
}

/* Values that no recorder writes, put in through SQL. */
static void foreign_values_are_named_not_followed(void **state)
{
	static const char *const wrong[] = {
		"UPDATE operation SET id = x'00'",
		"UPDATE operation SET steps = x'0102'",
		"UPDATE operation SET steps = zeroblob(7 * 70000)",
		"UPDATE operation SET wide = 1",
		"UPDATE operation SET payload = NULL",
		"UPDATE operation SET fields = zeroblob(4)",
		"UPDATE operation SET class = -1",
		"UPDATE operation SET name = 99999",
		"UPDATE class SET kind = 9",
		"UPDATE field SET type = 'odd'",
		"UPDATE field SET coding = 'string'",
		"DELETE FROM point",
		"UPDATE nested SET parent = 9",
		"UPDATE nested SET id = x'0000000000000001'",
		"UPDATE link_kind SET key = key + 500",
		"UPDATE edge SET rule = 4711",
	};

	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		FILE *null = fopen("/dev/null", "w");
		sqlite3 *db;

		open_store(f, OSP_STORE_OVERWRITE);
		write_sample(f);
		close_store(f, true);
		assert_ok(sqlite3_open(f->path, &db));
		sqlite3_exec(db, "DROP INDEX operation_id", NULL, NULL, NULL);
		if (sqlite3_exec(db, wrong[i], NULL, NULL, NULL))
			fail_msg("%s: %s", wrong[i], sqlite3_errmsg(db));
		sqlite3_close(db);
		open_store(f, OSP_STORE_READ);
		if (osp_store_dump(f->store, null, NULL) != -EBADMSG ||
		    !strstr(osp_store_error(f->store), "damaged"))
			fail_msg("%s: \"%s\"", wrong[i], osp_store_error(f->store));
		close_store(f, false);
		fclose(null);
	}
}

/* ---- views ---- */

static void views_say_what_the_reader_says(void **state)
{
	struct fixture *f = *state;
	struct osp_trace_query all = {.limit = -1};
	struct osp_session *s = NULL;
	struct osp_cursor *c = NULL;
	struct osp_trace t;
	struct osp_span span;
	char sql[300], expected[300];

	make_session(f);
	assert_ok(osp_session_open(&s, f->path, f->error));
	assert_ok(osp_store_traces(s->store, &all, &c));
	while (!osp_cursor_next_trace(c, &t)) {
		snprintf(sql, sizeof(sql),
			 "SELECT start_ns, duration_ns, processes, spans, links, root FROM trace "
			 "WHERE trace = %" PRIu64,
			 t.key);
		snprintf(expected, sizeof(expected), "%" PRId64 "|%" PRId64 "|%u|%u|%u|%s",
			 t.start_ns + osp_session_wall_offset(s, t.start_ns), t.end_ns - t.start_ns,
			 t.processes, t.spans, t.links, t.root);
		expect_query(f, sql, expected);
	}
	osp_cursor_close(&c);
	assert_ok(osp_store_spans(s->store, 0, &c));
	while (!osp_cursor_next_span(c, &span)) {
		snprintf(
			sql, sizeof(sql),
			"SELECT coalesce(parent_id, '%016x'), name, duration_ns, (SELECT count(*) FROM "
			"event e WHERE e.span_id = s.span_id) FROM span s WHERE span_id = "
			"'%016" PRIx64 "'",
			0, span.id);
		snprintf(expected, sizeof(expected), "%016" PRIx64 "|%s|%" PRId64 "|%zu",
			 span.parent_id, span.name, span.end_ns - span.start_ns, span.event_count);
		expect_query(f, sql, expected);
	}
	osp_cursor_close(&c);
	osp_session_close(&s);
}

static void views_unpack_what_does_not_fit_the_compact_form(void **state)
{
	struct fixture *f = *state;
	struct osp_row_span spans[300];
	const struct osp_step steps[] = {
		{.time_ns = 5, .name = "first", .span = 0, .attribute_count = 1},
		{.time_ns = 5 + (3ll << 45),
		 .name = "late",
		 .span = 299,
		 .unexpected = true,
		 .attribute_count = 4,
		 .first_attribute = 1},
	};
	static char bytes[70000];
	const struct osp_attribute attributes[] = {
		{"a", {.type = OSP_VALUE_BYTES, .data = bytes, .size = 70000, .true_size = 70000}},
		{"b", {.type = OSP_VALUE_U64, .u64 = UINT64_MAX}},
		{"c", {.type = OSP_VALUE_STR, .data = "cut", .size = 3, .true_size = 0x01020304}},
		{"d", {.type = OSP_VALUE_F64, .f64 = 0.5}},
		{"e", {.type = OSP_VALUE_I64, .i64 = -3}},
	};
	struct osp_part p = {.kind = OSP_PART_ROW};

	for (unsigned i = 0; i < 300; i++)
		spans[i] = (struct osp_row_span){.number = (uint16_t)i,
						 .kind_name = "k",
						 .name = "n",
						 .kind = OSP_SPAN_SERVER,
						 .start_ns = 5,
						 .end_ns = 6};
	p.row = (struct osp_row){.id = 0xff00000000000000,
				 .trace = 1,
				 .complete = true,
				 .spans = spans,
				 .span_count = 300,
				 .steps = steps,
				 .step_count = 2,
				 .attributes = attributes,
				 .attribute_count = 5};
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, &p, 1));
	close_store(f, true);

	expect_query(f, "SELECT span_id, seq, name, after_ns, unexpected FROM event",
		     "ff00000000000000|0|first|0|0\nff0000000000012b|1|late|105553116266496|1");
	expect_query(
		f,
		"SELECT span_id, seq, name, type, substr(value, 1, 20), coalesce(cut_from, '') "
		"FROM attribute",
		"ff00000000000000|0|a|bytes|00000000000000000000|\n"
		"ff0000000000012b|1|b|u64|18446744073709551615|\n"
		"ff0000000000012b|1|c|str|cut|16909060\n"
		"ff0000000000012b|1|d|f64|0.5|\n"
		"ff0000000000012b|1|e|i64|-3|");
	expect_query(f, "SELECT count(*), max(span_id) FROM span", "300|ff0000000000012b");
}

static void one_trace_is_read_without_a_full_scan(void **state)
{
	static const char *const views[] = {"trace", "span", "event", "attribute"};
	static const char *const keys[] = {"trace = 2",
					   "trace_id = '8c1f1e2a4b6f00005eed5eed5eed5eed'"};
	struct fixture *f = *state;

	make_session(f);
	for (int i = 0; i < 8; i++) {
		char sql[200];
		static char plan[1 << 17];

		snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN SELECT * FROM %s WHERE %s",
			 views[i / 2], keys[i % 2]);
		query(f, sql, plan, sizeof(plan));
		if (strstr(plan, "SCAN o") || strstr(plan, "SCAN r") || strstr(plan, "AUTOMATIC"))
			fail_msg("%s:\n%s", sql, plan);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(file_is_private_and_one_piece_after_a_clean_close),
		TEST(file_belongs_to_the_user_who_called_sudo),
		TEST(existing_file_is_never_created_over),
		TEST(only_sessions_and_empty_files_are_overwritten),
		TEST(session_that_is_being_recorded_is_not_overwritten),
		TEST(directory_must_exist_and_be_writable),
		TEST(read_only_directory_is_named),
		TEST(what_is_no_session_is_told_apart),
		TEST(newer_format_is_refused_with_both_versions),
		TEST(file_of_another_user_is_named_as_such),
		TEST(unreadable_wal_is_named_as_such),
		TEST(store_that_was_opened_for_reading_takes_nothing),
		TEST(full_file_keeps_whole_batches_and_goes_on),
		TEST(full_disk_keeps_whole_batches_and_goes_on),
		TEST(killed_recorder_leaves_every_committed_batch_whole),
		TEST(reader_sees_the_session_as_it_was_when_it_opened),
		TEST(recording_that_was_not_closed_reads_the_same),
		TEST(damaged_file_never_crashes_the_reader),
		TEST(foreign_values_are_named_not_followed),
		TEST(views_say_what_the_reader_says),
		TEST(views_unpack_what_does_not_fit_the_compact_form),
		TEST(one_trace_is_read_without_a_full_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
