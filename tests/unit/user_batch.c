/* What a batch adds to its transaction, up to when the session tells what happened; and when. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/session.h"
#include "user/batch.h"

static char file[] = "/tmp/outspan-batch-XXXXXX";

static struct osp_batch *begin(struct osp_store **s)
{
	struct osp_batch *b = NULL;
	char uri[64], error[512];

	strcpy(file + strlen(file) - 6, "XXXXXX");
	close(mkstemp(file));
	snprintf(uri, sizeof(uri), "sqlite:%s", file);
	assert_ok(osp_store_open(s, uri, OSP_STORE_OVERWRITE, error));
	assert_ok(osp_batch_new(&b, *s, 1 << 16));
	return b;
}

static void end(struct osp_batch *b, struct osp_store *s)
{
	osp_batch_free(&b);
	assert_ok(osp_store_close(&s, true));
	unlink(file);
}

static void add_row(struct osp_batch *b, uint64_t id, int64_t end_ns)
{
	struct osp_row_span span = {.kind_name = "work",
				    .name = "work",
				    .kind = OSP_SPAN_SERVER,
				    .start_ns = 1000,
				    .end_ns = end_ns};
	struct osp_part p = {.kind = OSP_PART_ROW,
			     .row = {.id = id << 16, .trace = id, .spans = &span, .span_count = 1}};

	assert_ok(osp_batch_add(b, &p));
}

static void add_setting(struct osp_batch *b, const char *name, const char *value)
{
	struct osp_part p = {.kind = OSP_PART_SESSION, .session = {name, value}};

	assert_ok(osp_batch_add(b, &p));
}

/* The rows of view cut, as "time time_ns". */
static void assert_cut(const char *expected)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;

	assert_ok(sqlite3_open(file, &db));
	assert_ok(sqlite3_prepare_v2(db, "SELECT time || ' ' || time_ns FROM cut", -1, &st, NULL));
	assert_int_equal(sqlite3_step(st), expected ? SQLITE_ROW : SQLITE_DONE);
	if (expected)
		assert_string_equal((const char *)sqlite3_column_text(st, 0), expected);
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void assert_committed(int64_t expected, bool ended)
{
	struct osp_session *s = NULL;
	char error[512];

	assert_ok(osp_session_open(&s, file, error));
	assert_true(s->committed_ns == expected);
	assert_int_equal(s->ended, ended);
	osp_session_close(&s);
}

static void a_session_knows_its_last_committed_step(void **state)
{
	struct osp_part clock = {.kind = OSP_PART_CLOCK,
				 .clock = {.boot_ns = 500, .offset_ns = 1740830400000000000}};
	struct osp_store *s;
	struct osp_batch *b = begin(&s);

	(void)state;
	assert_ok(osp_batch_add(b, &clock));
	assert_ok(osp_batch_flush(b));
	assert_cut(NULL);
	assert_committed(0, false);
	add_row(b, 1, 3000);
	add_row(b, 2, 2000);
	assert_ok(osp_batch_flush(b));
	assert_cut("2025-03-01T12:00:00.000003000Z 1740830400000003000");
	assert_committed(3000, false);
	/* what is older, or no row, changes nothing; an unwritten row neither */
	add_row(b, 3, 2500);
	assert_ok(osp_batch_flush(b));
	add_row(b, 4, 4000);
	assert_committed(3000, false);
	assert_ok(osp_batch_flush(b));
	assert_committed(4000, false);
	add_setting(b, OSP_SESSION_ENDED, "now");
	assert_ok(osp_batch_flush(b));
	assert_cut(NULL);
	assert_committed(4000, true);
	end(b, s);
}

static int count_settings(void)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int n;

	assert_ok(sqlite3_open(file, &db));
	assert_ok(sqlite3_prepare_v2(db, "SELECT count(*) FROM session", -1, &st, NULL));
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

/* More than the batch holds at once waits in the store's transaction. */
static void nothing_is_committed_before_the_flush(void **state)
{
	char text[1000] = "";
	struct osp_store *s;
	struct osp_batch *b = begin(&s);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	add_row(b, 1, 3000);
	for (int i = 0; i < 200; i++)
		add_setting(b, "long", text);
	assert_int_equal(count_settings(), 0);
	assert_ok(osp_batch_flush(b));
	assert_int_equal(count_settings(), 2);
	end(b, s);
}

/* One row larger than that is left out, and the batch goes on. */
static void a_row_may_be_too_large(void **state)
{
	static const char value[1 << 16];
	const struct osp_attribute a = {"a",
					{.type = OSP_VALUE_BYTES,
					 .data = value,
					 .size = sizeof(value),
					 .true_size = sizeof(value)}};
	const struct osp_step step = {.time_ns = 9000, .name = "at", .attribute_count = 1};
	const struct osp_row_span span = {
		.kind_name = "work", .name = "work", .kind = OSP_SPAN_SERVER, .end_ns = 9000};
	const struct osp_part large = {.kind = OSP_PART_ROW,
				       .row = {.id = 1 << 16,
					       .trace = 1,
					       .spans = &span,
					       .span_count = 1,
					       .steps = &step,
					       .step_count = 1,
					       .attributes = &a,
					       .attribute_count = 1}};
	struct osp_store *s;
	struct osp_batch *b = begin(&s);

	(void)state;
	assert_int_equal(osp_batch_add(b, &large), -E2BIG);
	add_row(b, 2, 3000);
	assert_ok(osp_batch_flush(b));
	assert_committed(3000, false);
	end(b, s);
}

/* Links and patches are the caller's again at once, as rows are. */
static void what_was_added_is_the_callers_again(void **state)
{
	char rule[] = "rule", makes[] = "link", evidence[] = "id", grade[] = "weak", also[] = "z";
	struct osp_part link = {.kind = OSP_PART_EDGE,
				.edge = {.from = 1 << 16,
					 .to = 2 << 16,
					 .rule = rule,
					 .makes = makes,
					 .evidence = evidence,
					 .grade = grade,
					 .also = also}};
	struct osp_part patch = {.kind = OSP_PART_PATCH,
				 .patch = {.id = 2 << 16, .trace = 1, .marks = OSP_MARK_TIMED_OUT}};
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	struct osp_store *s;
	struct osp_batch *b = begin(&s);

	(void)state;
	add_row(b, 1, 3000);
	add_row(b, 2, 3000);
	assert_ok(osp_batch_add(b, &link));
	assert_ok(osp_batch_add(b, &patch));
	*rule = *makes = *evidence = *grade = *also = 'X';
	memset(&link, 0x5a, sizeof(link));
	memset(&patch, 0x5a, sizeof(patch));
	assert_ok(osp_batch_flush(b));

	assert_ok(sqlite3_open(file, &db));
	assert_ok(sqlite3_prepare_v2(db,
				     "SELECT trace || from_id || to_id || rule || makes || "
				     "evidence || grade || also || (SELECT marks FROM span WHERE "
				     "span_id = to_id) FROM link",
				     -1, &st, NULL));
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "1"
								      "0000000000010000"
								      "0000000000020000"
								      "rulelinkidweakz"
								      "timed out");
	sqlite3_finalize(st);
	sqlite3_close(db);
	end(b, s);
}

RUN_TESTS(TEST(what_was_added_is_the_callers_again), TEST(a_row_may_be_too_large),
	  TEST(a_session_knows_its_last_committed_step),
	  TEST(nothing_is_committed_before_the_flush))
