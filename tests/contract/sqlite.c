/*
 * What the contract cannot say of every store: session files as files. Who owns them, what is
 * refused, what a full disk, a killed recorder leaves behind, who may read along.
 */
#include "tests/contract/file.h"

enum { NOBODY = 65534, ROWS = 10 };

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
		     "delete|16384|1330860115|2|ok");
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
	expect_query(f, "SELECT count(*) FROM bundle", "0");

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

	refused(f, OSP_STORE_READ, -ENOTSUP, "session format 7, this outspan reads up to 2");
	open_store(f, OSP_STORE_OVERWRITE);
}

static void older_format_is_refused_with_both_versions(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	make_session(f);
	assert_ok(sqlite3_open(f->path, &db));
	assert_ok(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL));
	sqlite3_close(db);

	refused(f, OSP_STORE_READ, -ENOTSUP, "session format 1, this outspan reads from 2 on");
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

/* ---- batches: rows of one trace, and a link, whose names exist nowhere else ---- */

enum { BATCHES = 20000 };

/* Of the link of each batch; a text that lasts is known by its address. */
static const char *rule_of(unsigned batch)
{
	static char rules[BATCHES][16];

	snprintf(rules[batch % BATCHES], sizeof(rules[0]), "rule %u", batch);
	return rules[batch % BATCHES];
}

/* put: osp_store_write, osp_store_add */
static int put_batch(struct osp_store *s, unsigned batch,
		     int (*put)(struct osp_store *s, const struct osp_part *parts, size_t count))
{
	struct osp_row_span spans[ROWS];
	struct osp_step steps[ROWS];
	struct osp_attribute attributes[ROWS];
	struct osp_part parts[ROWS + 1];
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
	parts[ROWS] = (struct osp_part){.kind = OSP_PART_EDGE,
					.edge = {.from = parts[0].row.id,
						 .to = parts[1].row.id,
						 .rule = rule_of(batch),
						 .makes = "link",
						 .evidence = "id",
						 .grade = "exact",
						 .lasting = true}};
	return put(s, parts, ROWS + 1);
}

static int write_batch(struct osp_store *s, unsigned batch)
{
	return put_batch(s, batch, osp_store_write);
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
		    strcmp(name, span.events[0].name) || strcmp(name, span.attributes[0].name) ||
		    span.link_count != (n % ROWS < 2) ||
		    (span.link_count &&
		     strcmp(span.links[0].rule, rule_of((unsigned)span.trace - 1))))
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
	for (n = 0; !r && n < BATCHES; n++)
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
	assert_in_range(count_batches(f->store), 10, BATCHES);
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

/* A child whose parent was never stored: the view says so until the session has its last word. */
static void orphan_of_a_session_without_end_is_incomplete(void **state)
{
	static const char sql[] = "SELECT marks FROM trace WHERE trace = 1";
	struct osp_part ended = {.kind = OSP_PART_SESSION, .session = {OSP_SESSION_ENDED, "now"}};
	struct fixture *f = *state;
	struct sample *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	sample_row(s, 0x20000, 1, SAMPLE_NORTH, "courier")->parent_id = 0x10000;
	sample_span(s, "carry", "carry", OSP_SPAN_CONSUMER, 1, 2);
	sample_row(s, 0x10000, 1, SAMPLE_NORTH, "depot");
	sample_span(s, "sort", "sort", OSP_SPAN_SERVER, 0, 3);
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, s->parts, 1));
	expect_query(f, sql, "incomplete");
	assert_ok(osp_store_write(f->store, s->parts + 1, 1));
	expect_query(f, sql, "");
	close_store(f, true);
	assert_ok(unlink(f->path));
	open_store(f, OSP_STORE_CREATE);
	assert_ok(osp_store_write(f->store, s->parts, 1));
	assert_ok(osp_store_write(f->store, &ended, 1));
	expect_query(f, sql, "");
	close_store(f, true);
	free(s);
}

static int count_for_others(struct fixture *f)
{
	struct osp_store *reader = NULL;
	int n;

	assert_ok(osp_store_open(&reader, f->uri, OSP_STORE_READ, f->error));
	n = count_batches(reader);
	assert_ok(osp_store_close(&reader, false));
	return n;
}

static void batches_of_one_transaction_are_seen_and_undone_together(void **state)
{
	struct fixture *f = *state;

	open_store(f, OSP_STORE_CREATE);
	assert_ok(put_batch(f->store, 0, osp_store_add));
	assert_int_equal(count_for_others(f), 0);
	assert_int_equal(count_batches(f->store), 1);
	assert_ok(write_batch(f->store, 1));
	assert_int_equal(count_for_others(f), 2);
	assert_ok(put_batch(f->store, 2, osp_store_add));
	assert_ok(osp_store_flush(f->store));
	assert_int_equal(count_for_others(f), 3);
	assert_ok(put_batch(f->store, 3, osp_store_add));
	close_store(f, false);
	assert_int_equal(count_for_others(f), 3);
}

static void expect_marks_of_reader(struct fixture *f, const char *marks)
{
	struct osp_store *reader = NULL;
	char *text;
	size_t size;
	FILE *m = open_memstream(&text, &size);

	assert_ok(osp_store_open(&reader, f->uri, OSP_STORE_READ, f->error));
	assert_ok(osp_store_dump(reader, m, NULL));
	assert_ok(osp_store_close(&reader, false));
	fclose(m);
	assert_non_null(strstr(text, marks));
	free(text);
}

/* A loss that shows late: the operation has its mark, and its bundle is not written again. */
static void late_mark_leaves_the_bundle_as_it_is(void **state)
{
	static const char sql[] = "SELECT trace, marks FROM span WHERE name = 'batch 0 row 0'";
	struct osp_part late = {.kind = OSP_PART_PATCH,
				.patch = {.id = 1 << 16, .marks = OSP_MARK_MAY_BE_CUT}};
	struct osp_part later = {.kind = OSP_PART_PATCH,
				 .patch = {.id = 1 << 16, .marks = OSP_MARK_TIMED_OUT}};
	struct osp_part moved = {.kind = OSP_PART_PATCH, .patch = {.id = 1 << 16, .trace = 2}};
	struct fixture *f = *state;

	open_store(f, OSP_STORE_CREATE);
	assert_ok(write_batch(f->store, 0));
	assert_ok(write_batch(f->store, 1));
	assert_ok(osp_store_write(f->store, &late, 1));
	expect_query(f, sql, "1|may be cut");
	expect_query(f, "SELECT count(*) FROM span WHERE marks <> ''", "1");
	expect_query(f, "SELECT hex(substr(heads, 13, 1)) FROM bundle WHERE key = 1", "08");
	expect_marks_of_reader(f, "marks=0x4 ");

	assert_ok(osp_store_write(f->store, &moved, 1));
	expect_query(f, sql, "2|may be cut");
	assert_ok(osp_store_write(f->store, &later, 1));
	expect_marks_of_reader(f, "marks=0x14 ");
	close_store(f, true);
	expect_query(f, sql, "2|may be cut, timed out");
	expect_marks_of_reader(f, "marks=0x14 ");
}

/* The table of places knows the old bundle already when it takes a new operation in. */
static void what_joins_an_old_bundle_is_found_after_a_crash(void **state)
{
	struct osp_row_span span = {
		.kind_name = "work", .name = "work", .kind = OSP_SPAN_INTERNAL, .end_ns = 10};
	struct osp_part parts[] = {
		{.kind = OSP_PART_PATCH, .patch = {.id = 1 << 16, .trace = 1}},
		{.kind = OSP_PART_ROW,
		 .row = {.id = 1ull << 40, .trace = 1, .spans = &span, .span_count = 1}},
	};
	struct fixture *f = *state;
	uint64_t trace = 0;

	open_store(f, OSP_STORE_CREATE);
	for (unsigned i = 0; i < 300; i++)
		assert_ok(write_batch(f->store, i));
	assert_ok(osp_store_write(f->store, parts, 2));
	close_store(f, false);

	expect_query(f, "SELECT count(*) FROM bundle", "300");
	open_store(f, OSP_STORE_READ);
	assert_ok(osp_store_find_span(f->store, 1ull << 40, &trace));
	assert_int_equal(trace, 1);
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
		TEST(older_format_is_refused_with_both_versions),
		TEST(file_of_another_user_is_named_as_such),
		TEST(unreadable_wal_is_named_as_such),
		TEST(store_that_was_opened_for_reading_takes_nothing),
		TEST(full_file_keeps_whole_batches_and_goes_on),
		TEST(full_disk_keeps_whole_batches_and_goes_on),
		TEST(killed_recorder_leaves_every_committed_batch_whole),
		TEST(orphan_of_a_session_without_end_is_incomplete),
		TEST(batches_of_one_transaction_are_seen_and_undone_together),
		TEST(late_mark_leaves_the_bundle_as_it_is),
		TEST(what_joins_an_old_bundle_is_found_after_a_crash),
		TEST(reader_sees_the_session_as_it_was_when_it_opened),
		TEST(recording_that_was_not_closed_reads_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
