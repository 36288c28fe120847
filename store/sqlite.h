/* What the files of the SQLite driver share; nobody else includes it. */
#pragma once

#include <sqlite3.h>

#include "store/driver.h"
#include "user/base/buffer.h"
#include "user/base/map.h"

enum {
	SESSION_FORMAT = 1,		  /* user_version */
	SESSION_APPLICATION = 0x4f535053, /* application_id: "OSPS" */
	SQLITE_STRINGS = 65536,		  /* strings whose ids are kept in memory */
	SQLITE_VALUE_STRINGS = 16384,	  /* values that may become strings of the session */
	SQLITE_VALUE_STRING_BYTES = 128,  /* longer values are stored where they occur */
};

/* Prepared once each, when first used. */
#define SQLITE_STATEMENTS(X)                                                                       \
	X(BEGIN, "BEGIN")                                                                          \
	X(COMMIT, "COMMIT")                                                                        \
	X(ROLLBACK, "ROLLBACK")                                                                    \
	X(ADD_STRING, "INSERT INTO string(text) VALUES(?1)")                                       \
	X(FIND_STRING, "SELECT id FROM string WHERE text = ?1")                                    \
	X(GET_STRING, "SELECT text FROM string WHERE id = ?1")                                     \
	X(ADD_NUMBER, "INSERT OR IGNORE INTO number VALUES(?1)")                                   \
	X(ADD_PROBE, "INSERT INTO probe(provider, probe) VALUES(?1, ?2)")                          \
	X(FIND_PROBE, "SELECT key FROM probe WHERE provider = ?1 AND probe = ?2")                  \
	X(ADD_OPERATION,                                                                           \
	  "INSERT INTO operation(id, trace, trace_rank, parent, process, tid, class, "             \
	  "name, start_ns, duration_ns, status, code, marks, complete, seq, wide, steps, fields, " \
	  "payload, nested, patch_marks) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "    \
	  "?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, 0) ON CONFLICT DO NOTHING")                \
	X(REPLACE_OPERATION,                                                                       \
	  "UPDATE operation SET parent = ?4, process = ?5, tid = ?6, class = ?7, "                 \
	  "name = ?8, start_ns = ?9, duration_ns = ?10, status = ?11, code = ?12, marks = ?13, "   \
	  "complete = ?14, seq = ?15, wide = ?16, steps = ?17, fields = ?18, payload = ?19, "      \
	  "nested = ?20 "                                                                          \
	  "WHERE id = ?1 AND (complete < ?14 OR (complete = ?14 AND seq <= ?15)) RETURNING key")   \
	X(CLAIM, "UPDATE operation SET trace = ?2, trace_rank = ?3 "                               \
		 "WHERE id = ?1 AND trace_rank <= ?3")                                             \
	X(ADD_NESTED, "INSERT INTO nested VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")   \
	X(DROP_NESTED, "DELETE FROM nested WHERE operation = ?1")                                  \
	X(HAS_OPERATION, "SELECT 1 FROM operation WHERE id = ?1")                                  \
	X(ADD_MARKS, "UPDATE operation SET patch_marks = patch_marks | ?2 WHERE id = ?1")          \
	X(ADD_PATCH,                                                                               \
	  "INSERT INTO patch VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET "                    \
	  "trace = iif(excluded.trace AND (NOT trace OR excluded.trace_rank >= trace_rank), "      \
	  "excluded.trace, trace), "                                                               \
	  "trace_rank = iif(excluded.trace AND (NOT trace OR excluded.trace_rank >= trace_rank), " \
	  "excluded.trace_rank, trace_rank), marks = marks | excluded.marks")                      \
	X(TAKE_PATCH, "DELETE FROM patch WHERE id = ?1 RETURNING trace, trace_rank, marks")        \
	X(ADD_EDGE, "INSERT INTO edge VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET "       \
		    "kind = excluded.kind, seq = excluded.seq WHERE excluded.seq >= seq")          \
	X(ADD_PROCESS,                                                                             \
	  "INSERT INTO process VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "              \
	  "?12, ?13, ?14) ON CONFLICT DO UPDATE SET parent = ?2, pid = ?3, namespace_pid = ?4, "   \
	  "uid = ?5, exec_id = ?6, start_ns = ?7, seen_ns = ?8, end_ns = ?9, exit_code = ?10, "    \
	  "comm = ?11, exe = ?12, cmdline = ?13, seq = ?14 WHERE ?14 >= seq")                      \
	X(ADD_ATTACH,                                                                              \
	  "INSERT INTO attach VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE "           \
	  "SET to_ns = ?4, level = ?5, sites = ?6, seq = ?7 WHERE ?7 >= seq")                      \
	X(ADD_LOSS, "INSERT INTO loss VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET "       \
		    "hits = ?3, stored = ?4, seq = ?5 WHERE ?5 >= seq RETURNING 1")                \
	X(DROP_REASONS, "DELETE FROM loss_reason WHERE process = ?1 AND probe = ?2")               \
	X(ADD_REASON, "INSERT INTO loss_reason VALUES(?1, ?2, ?3, ?4, ?5)")                        \
	X(ADD_GAP, "INSERT INTO gap VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET "     \
		   "to_ns = ?4, lost = ?5, seq = ?6 WHERE ?6 >= seq")                              \
	X(ADD_CLOCK, "INSERT INTO clock VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET "         \
		     "offset_ns = ?2, error_ns = ?3, seq = ?4 WHERE ?4 >= seq")                    \
	X(ADD_SETTING, "INSERT INTO session VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET "         \
		       "value = ?2, seq = ?3 WHERE ?3 >= seq")                                     \
	X(ADD_CATALOGUE, "INSERT INTO catalogue VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET "     \
			 "text = ?2, seq = ?3 WHERE ?3 >= seq")

enum sqlite_statement {
#define X(id, sql) STATEMENT_##id,
	SQLITE_STATEMENTS(X)
#undef X
		STATEMENT_COUNT
};

/* Tables of names that are small enough to be held whole: number -> columns and back. */
enum name_table { NAMES_CLASS, NAMES_POINT, NAMES_FIELD, NAMES_LINK_KIND, NAMES_COUNT };

struct name {
	const char *texts[6]; /* as many as the table has; NULL = none */
	int64_t integer;      /* the one integer column, 0 where there is none */
};

struct names {
	struct name **entries; /* owned; by number */
	size_t count, room;
	struct osp_map numbers; /* columns -> number + 1; of the writer only */
	struct {
		const void *text; /* address of the first text: a hint, verified before use */
		int64_t integer;
		uint32_t number;
	} recent[256];
};

/* Statements of scans: each scan takes one and gives it back, so that most are prepared once. */
enum sqlite_read {
	READ_ROWS,
	READ_ROWS_OF_TRACE,
	READ_ROWS_BY_ID,
	READ_NESTED,
	READ_PATCHES,
	READ_EDGES,
	READ_EDGES_FROM,
	READ_EDGES_TO,
	READ_PROCESSES,
	READ_ATTACH,
	READ_LOSSES,
	READ_REASONS,
	READ_GAPS,
	READ_CLOCKS,
	READ_SETTINGS,
	READ_CATALOGUES,
	READ_COUNT
};

struct sqlite_store {
	struct osp_store base;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct names names[NAMES_COUNT];
	struct osp_map strings; /* text -> id, of the writer */
	bool strings_elsewhere; /* the table may have strings that the map has not */
	bool stale;		/* a rollback left the names in memory ahead of the tables */
	uint32_t value_strings; /* values interned so far */
	uint64_t numbers;	/* rows of table number */
	bool patches_pending;	/* table patch may hold something */
	sqlite3_stmt *reads[2][READ_COUNT]; /* idle; [1]: without steps and attributes */
	bool indexed;			    /* traces and targets of edges have an index, or ... */
	bool indexed_aside;		    /* ... a temporary table in its place */
	struct osp_buffer scratch, packed_steps, packed_fields, payload, key;
};

static inline struct sqlite_store *sqlite(struct osp_store *s)
{
	return (struct sqlite_store *)s;
}

/* ---- sqlite.c ---- */

/* Translates what SQLite says last into -errno and keeps "PATH: what: why - hint". */
int sqlite_fail(struct sqlite_store *s, const char *what);

/* The statement, ready for binding; NULL after sqlite_fail. */
sqlite3_stmt *sqlite_statement(struct sqlite_store *s, enum sqlite_statement id);

/* Steps a statement that gives no row (or one that is not wanted) and resets it. */
int sqlite_run(struct sqlite_store *s, sqlite3_stmt *st);
int sqlite_exec(struct sqlite_store *s, const char *sql);

/* ---- sqlite_names.c ---- */

/* The number of these columns; new ones are added to the table. -ENOSPC past 65535. */
int sqlite_names_add(struct sqlite_store *s, enum name_table t, const struct name *columns,
		     uint32_t *number);

/* The columns of a number. -EBADMSG. */
int sqlite_names_get(struct sqlite_store *s, enum name_table t, int64_t number,
		     const struct name **out);

/* The id of a text; NULL has the id 0. */
int sqlite_string_add(struct sqlite_store *s, const char *text, int64_t *id);

/* The same for a value if it is known or worth it; *id = 0 if it is to be stored where it is. */
int sqlite_string_add_value(struct sqlite_store *s, const void *text, size_t size, int64_t *id);

/* The text of an id, in the arena. -EBADMSG. */
int sqlite_string_get(struct sqlite_store *s, int64_t id, struct osp_arena *arena,
		      const char **text, size_t *size);

/* After a rollback: what is held in memory is made again from the tables. */
int sqlite_names_reload(struct sqlite_store *s);
void sqlite_names_clear(struct sqlite_store *s);

/* ---- sqlite_write.c, sqlite_read.c ---- */

int sqlite_write_parts(struct osp_store *s, const struct osp_part *parts, size_t count);
int sqlite_read_traces(struct osp_store *s, uint64_t **keys, size_t *count);
int sqlite_read_find(struct osp_store *s, uint64_t span_id, uint64_t *trace);
int sqlite_read_scan(struct osp_store *s, const struct osp_scan *q, struct osp_scanner **out);
int sqlite_read_next(struct osp_scanner *c, struct osp_arena *arena, struct osp_part *part);
void sqlite_read_end(struct osp_scanner **c);

/* Makes sure that reading one trace needs no full scan. */
int sqlite_read_index(struct sqlite_store *s);
