/*
 * New bundles on their way into their table. One statement takes all of a batch, from a virtual
 * table that only this connection has: a statement for each would search the end of the table anew
 * and cost more than the row. Filled by sqlite_encode.c, emptied by sqlite_batch.c. Part of the
 * SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>

/* The columns of table bundle; the bytes lie one after the other in the feed's buffer. */
enum { KEY, TRACE, START, DURATION, FIRST_BYTES, COLUMNS = FIRST_BYTES + SQLITE_FEED_BYTES };

struct feed_table {
	sqlite3_vtab base;
	const struct sqlite_feed *feed;
};

struct feed_cursor {
	sqlite3_vtab_cursor base;
	const struct sqlite_feed *feed;
	size_t at;
};

static struct feed_cursor *cursor(sqlite3_vtab_cursor *c)
{
	return (struct feed_cursor *)c;
}

static int connect_table(sqlite3 *db, void *feed, int argc, const char *const *argv,
			 sqlite3_vtab **out, char **error)
{
	struct feed_table *t = calloc(1, sizeof(*t));

	(void)argc, (void)argv, (void)error;
	if (!t)
		return SQLITE_NOMEM;
	t->feed = feed;
	*out = &t->base;
	return sqlite3_declare_vtab(db, "CREATE TABLE feed(key, trace, start_ns, duration_ns, wire,"
					" heads, times, slots, payload, edges)");
}

static int disconnect_table(sqlite3_vtab *t)
{
	free(t);
	return SQLITE_OK;
}

static int plan(sqlite3_vtab *t, sqlite3_index_info *info)
{
	(void)t, (void)info;
	return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
	struct feed_cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return SQLITE_NOMEM;
	c->feed = ((struct feed_table *)t)->feed;
	*out = &c->base;
	return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *c)
{
	free(c);
	return SQLITE_OK;
}

static int begin(sqlite3_vtab_cursor *c, int number, const char *text, int argc,
		 sqlite3_value **argv)
{
	(void)number, (void)text, (void)argc, (void)argv;
	cursor(c)->at = 0;
	return SQLITE_OK;
}

static int advance(sqlite3_vtab_cursor *c)
{
	cursor(c)->at++;
	return SQLITE_OK;
}

static int is_at_end(sqlite3_vtab_cursor *c)
{
	return cursor(c)->at == cursor(c)->feed->count;
}

static void give_bytes(sqlite3_context *x, const struct sqlite_feed *f,
		       const struct sqlite_feed_row *row, int i)
{
	size_t from = i ? row->ends[i - 1] : row->begin;

	if (row->ends[i] > from)
		sqlite3_result_blob(x, f->bytes.data + from, (int)(row->ends[i] - from),
				    SQLITE_STATIC);
}

static int give_column(sqlite3_vtab_cursor *c, sqlite3_context *x, int column)
{
	const struct sqlite_feed *f = cursor(c)->feed;
	const struct sqlite_feed_row *row = &f->rows[cursor(c)->at];

	if (column >= FIRST_BYTES)
		give_bytes(x, f, row, column - FIRST_BYTES);
	else if (column == KEY)
		sqlite3_result_int64(x, row->key);
	else if (column == TRACE)
		sqlite3_result_int64(x, row->trace);
	else if (column == START)
		sqlite3_result_int64(x, row->start_ns);
	else if (row->complete)
		sqlite3_result_int64(x, row->duration_ns);
	return SQLITE_OK;
}

static int give_row(sqlite3_vtab_cursor *c, sqlite3_int64 *row)
{
	*row = (sqlite3_int64)cursor(c)->at;
	return SQLITE_OK;
}

static const sqlite3_module module = {
	.xConnect = connect_table,
	.xBestIndex = plan,
	.xDisconnect = disconnect_table,
	.xOpen = open_cursor,
	.xClose = close_cursor,
	.xFilter = begin,
	.xNext = advance,
	.xEof = is_at_end,
	.xColumn = give_column,
	.xRowid = give_row,
};

int sqlite_feed_open(struct sqlite_store *s)
{
	return sqlite3_create_module(s->db, "feed", &module, &s->feed) ? sqlite_fail(s, "create")
								       : 0;
}

static int grow(struct sqlite_feed *f)
{
	size_t room = f->room ? 2 * f->room : 256;
	struct sqlite_feed_row *rows;

	if (f->count < f->room)
		return 0;
	rows = realloc(f->rows, room * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	f->rows = rows;
	f->room = room;
	return 0;
}

int sqlite_feed_add(struct sqlite_store *s, const struct sqlite_feed_row *row,
		    const struct sqlite_bytes bytes[SQLITE_FEED_BYTES])
{
	struct sqlite_feed *f = &s->feed;
	int r = grow(f);

	if (r)
		return r;
	f->rows[f->count] = *row;
	f->rows[f->count].begin = f->bytes.size;
	for (int i = 0; !r && i < SQLITE_FEED_BYTES; i++) {
		r = osp_buffer_add(&f->bytes, bytes[i].data, bytes[i].size);
		f->rows[f->count].ends[i] = f->bytes.size;
	}
	f->count += !r;
	return r;
}

void sqlite_feed_reset(struct sqlite_store *s)
{
	s->feed.count = 0;
	osp_buffer_reset(&s->feed.bytes);
}

int sqlite_feed_write(struct sqlite_store *s)
{
	sqlite3_stmt *st = s->feed.count ? sqlite_statement(s, STATEMENT_ADD_BUNDLES) : NULL;
	int r = s->feed.count ? st ? sqlite_run(s, st) : sqlite_fail(s, "write") : 0;

	sqlite_feed_reset(s);
	return r;
}

void sqlite_feed_clear(struct sqlite_store *s)
{
	free(s->feed.rows);
	osp_buffer_clear(&s->feed.bytes);
}
