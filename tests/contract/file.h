/*
 * What the tests of session files share: a directory with one session, made, filled, looked at
 * through SQLite itself. Header only.
 */
#pragma once

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

struct fixture {
	char directory[64], path[100], uri[110], error[512];
	struct osp_store *store;
};

/* ---- fixture ---- */

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline int try_open(struct fixture *f, enum osp_store_mode mode)
{
	*f->error = 0;
	return osp_store_open(&f->store, f->uri, mode, f->error);
}

static inline void open_store(struct fixture *f, enum osp_store_mode mode)
{
	if (try_open(f, mode))
		fail_msg("%s", f->error);
}

static inline void close_store(struct fixture *f, bool clean)
{
	assert_ok(osp_store_close(&f->store, clean));
}

static inline void refused(struct fixture *f, enum osp_store_mode mode, int code, const char *why)
{
	assert_int_equal(try_open(f, mode), code);
	assert_null(f->store);
	if (!strstr(f->error, why) || !strstr(f->error, f->directory))
		fail_msg("\"%s\" does not say \"%s\"", f->error, why);
}

static inline void write_sample(struct fixture *f)
{
	struct sample *s = sample_new();

	assert_ok(osp_store_write(f->store, s->parts, s->count));
	free(s);
}

static inline void make_session(struct fixture *f)
{
	open_store(f, OSP_STORE_CREATE);
	write_sample(f);
	close_store(f, true);
}

static inline void put_file(const char *path, const void *data, size_t size)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fwrite(data, 1, size, out);
	fclose(out);
}

static inline size_t count_files(const char *directory)
{
	DIR *d = opendir(directory);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* One integer or text from the file, through SQLite itself. */
static inline void query(const struct fixture *f, const char *sql, char *out, size_t room)
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

static inline void expect_query(const struct fixture *f, const char *sql, const char *expected)
{
	char text[8192];

	query(f, sql, text, sizeof(text));
	assert_string_equal(text, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
