/*
 * Forgetting, for recordings that keep only the last while: whole traces that ended before a time
 * go, oldest first, a bounded number at a time. Their pages are used again by what comes, so that
 * the file stays as large as what it keeps. Part of the SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>

#include "store/pack.h"

enum {
	BUNDLES = 4096, /* looked at in one call */
	PROCESSES = 64, /* whose steps are counted before they are written down */
};

/* Steps that went, by process. */
struct forgotten {
	struct {
		uint32_t process;
		uint64_t steps;
	} rows[PROCESSES];
	size_t count;
};

static int write_forgotten(struct sqlite_store *s, struct forgotten *f)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_FORGOTTEN);
	int r = st ? 0 : sqlite_fail(s, "forget");

	for (size_t i = 0; !r && i < f->count; i++) {
		sqlite3_bind_int64(st, 1, f->rows[i].process);
		sqlite3_bind_int64(st, 2, (int64_t)f->rows[i].steps);
		r = sqlite_run(s, st);
	}
	f->count = 0;
	return r;
}

static int count_forgotten(struct sqlite_store *s, struct forgotten *f, uint32_t process,
			   size_t steps)
{
	size_t i = 0;
	int r;

	while (i < f->count && f->rows[i].process != process)
		i++;
	if (i == PROCESSES) {
		r = write_forgotten(s, f);
		if (r)
			return r;
		i = 0;
	}
	if (i == f->count) {
		f->rows[i].process = process;
		f->rows[i].steps = 0;
		f->count++;
	}
	f->rows[i].steps += steps;
	return 0;
}

static int drop_edges(struct sqlite_store *s, enum sqlite_statement id, uint64_t first,
		      uint64_t last)
{
	sqlite3_stmt *st = sqlite_statement(s, id);

	if (!st)
		return sqlite_fail(s, "forget");
	sqlite_bind_id(st, 1, first);
	sqlite_bind_id(st, 2, last);
	return sqlite_run(s, st);
}

/* What lies outside the bundle. */
static int drop_operation(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i,
			  struct forgotten *f)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_DROP_AMEND);
	struct sqlite_version v;
	struct osp_row row;
	uint64_t last;
	size_t steps;
	int r = st ? sqlite_decode_row(s, b, i, true, &s->batch.arena, &row, &v)
		   : sqlite_fail(s, "forget");

	if (!r && (s->late_marks || sqlite_decode_is_amended(b, i))) {
		sqlite_bind_id(st, 1, row.id);
		r = sqlite_run(s, st);
	}
	if (r)
		return r;
	last = row.id + row.spans[row.span_count - 1].number;
	r = sqlite_decode_step_count(s, b, i, &steps);
	if (!r && !(row.spans[0].marks & OSP_MARK_REPORTED)) /* the books do not have those */
		r = count_forgotten(s, f, row.process, steps);
	r = r ? r : drop_edges(s, STATEMENT_DROP_EDGES_FROM, row.id, last);
	return r ? r : drop_edges(s, STATEMENT_DROP_EDGES_TO, row.id, last);
}

static int drop_trace(struct sqlite_store *s, int64_t trace, struct forgotten *f)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_BUNDLES_OF);
	sqlite3_stmt *drop = sqlite_statement(s, STATEMENT_DROP_TRACE);
	struct sqlite_bundle b;
	int code = SQLITE_DONE, r = st && drop ? 0 : sqlite_fail(s, "forget");

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, trace);
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		r = sqlite_decode(s, st, &b);
		for (size_t i = 0; !r && i < b.count; i++)
			r = drop_operation(s, &b, i, f);
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "forget");
	sqlite3_reset(st);
	osp_arena_reset(&s->batch.arena);
	sqlite3_bind_int64(drop, 1, trace);
	return r ? r : sqlite_run(s, drop);
}

/* The traces that may go, among the next bundles; *more if there are further ones. */
static int find_traces(struct sqlite_store *s, int64_t before_ns, struct osp_buffer *traces,
		       bool *more)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_OLD_TRACES);
	int code = SQLITE_DONE, r = st ? 0 : sqlite_fail(s, "forget");
	int64_t trace, n = 0;

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, s->forgotten);
	sqlite3_bind_int64(st, 2, before_ns);
	sqlite3_bind_int64(st, 3, BUNDLES);
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		n++;
		s->forgotten = sqlite3_column_int64(st, 0);
		trace = sqlite3_column_int64(st, 1);
		if (sqlite3_column_int(st, 2))
			r = osp_buffer_add(traces, &trace, sizeof(trace));
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "forget");
	sqlite3_reset(st);
	*more = n == BUNDLES;
	if (!*more)
		s->forgotten = 0;
	return r;
}

static int forget_places(struct sqlite_store *s)
{
	sqlite3_stmt *st = NULL;
	int64_t first = INT64_MAX;
	int r = sqlite_place_flush(s);

	if (!r && sqlite3_prepare_v2(s->db, "SELECT min(key) FROM bundle", -1, &st, NULL))
		r = sqlite_fail(s, "forget");
	if (!r && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
		first = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	r = r ? r
	      : sqlite_exec(s, "DELETE FROM place WHERE last < "
			       "coalesce((SELECT min(key) FROM bundle), last + 1)");
	if (!r)
		sqlite_place_forget(s, first);
	return r;
}

int sqlite_forget(struct osp_store *store, int64_t before_ns, bool *more)
{
	struct osp_buffer traces = OSP_BUFFER_INIT(BUNDLES * sizeof(int64_t));
	struct sqlite_store *s = sqlite(store);
	struct forgotten f = {.count = 0};
	int r = sqlite_exec(s, "BEGIN");

	r = r ? r : find_traces(s, before_ns, &traces, more);
	for (size_t i = 0; !r && i < traces.size / sizeof(int64_t); i++)
		r = drop_trace(s, ((const int64_t *)traces.data)[i], &f);
	r = r ? r : write_forgotten(s, &f);
	if (!r && !*more)
		r = forget_places(s);
	r = r ? r : sqlite_exec(s, "COMMIT");
	if (r && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	osp_buffer_clear(&traces);
	return r;
}
