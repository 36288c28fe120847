/* The statements of the SQLite driver's write side; only store/sqlite.h includes this. */
#pragma once

/* Prepared once each, when first used. */
#define SQLITE_STATEMENTS(X)                                                                        \
	X(BEGIN, "BEGIN")                                                                           \
	X(COMMIT, "COMMIT")                                                                         \
	X(ROLLBACK, "ROLLBACK")                                                                     \
	X(ADD_STRING, "INSERT INTO string(text) VALUES(?1)")                                        \
	X(FIND_STRING, "SELECT id FROM string WHERE text = ?1")                                     \
	X(GET_STRING, "SELECT text FROM string WHERE id = ?1")                                      \
	X(ADD_NUMBER, "INSERT OR IGNORE INTO number VALUES(?1)")                                    \
	X(ADD_PROBE,                                                                                \
	  "INSERT INTO probe(provider, probe) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET "            \
	  "probe = ?2 RETURNING key")                                                               \
	X(ADD_SHAPE, "INSERT INTO shape VALUES(?1, ?2, ?3, ?4, ?5)")                                \
	X(GET_SHAPE, "SELECT field_slot, spans, steps, fields FROM shape WHERE key = ?1")           \
	X(ADD_ORIGIN, "INSERT INTO origin VALUES(?1, ?2, ?3, ?4)")                                  \
	X(GET_ORIGIN, "SELECT shape, process, tid FROM origin WHERE key = ?1")                      \
	X(ADD_BUNDLES, "INSERT OR FAIL INTO bundle SELECT * FROM feed")                             \
	X(SET_BUNDLE,                                                                               \
	  "UPDATE bundle SET trace = ?2, start_ns = ?3, duration_ns = ?4, wire = ?5, heads = ?6, "  \
	  "times = ?7, slots = ?8, payload = ?9, edges = ?10 WHERE key = ?1")                       \
	X(DROP_BUNDLE, "DELETE FROM bundle WHERE key = ?1")                                         \
	X(FIND_BUNDLE, "SELECT * FROM bundle WHERE key BETWEEN ?1 AND ?2 AND instr(heads, ?3) "     \
		       "ORDER BY key DESC")                                                         \
	X(ADD_AMEND, "INSERT INTO amend VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET "          \
		     "seq = ?2, rank = ?3, marks = marks | ?4")                                     \
	X(ADD_MARKS, "INSERT INTO amend VALUES(?1, 0, 0, ?2) ON CONFLICT DO UPDATE SET "            \
		     "marks = marks | ?2")                                                          \
	X(GET_AMEND, "SELECT seq, rank, marks FROM amend WHERE id = ?1")                            \
	X(DROP_AMEND, "DELETE FROM amend WHERE id = ?1")                                            \
	X(ADD_PLACE, "INSERT OR REPLACE INTO place VALUES(?1, ?2, ?3)")                             \
	X(SET_PLACED, "INSERT OR REPLACE INTO placed VALUES(0, ?1)")                                \
	X(ADD_PATCH,                                                                                \
	  "INSERT INTO patch VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET "                     \
	  "trace = iif(excluded.trace AND (NOT trace OR excluded.trace_rank >= trace_rank), "       \
	  "excluded.trace, trace), "                                                                \
	  "trace_rank = iif(excluded.trace AND (NOT trace OR excluded.trace_rank >= trace_rank), "  \
	  "excluded.trace_rank, trace_rank), marks = marks | excluded.marks")                       \
	X(TAKE_PATCH, "DELETE FROM patch WHERE id = ?1 RETURNING trace, trace_rank, marks")         \
	X(ADD_EDGE, "INSERT INTO edge VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET "        \
		    "kind = excluded.kind, seq = excluded.seq WHERE excluded.seq >= seq")           \
	X(DROP_EDGES_FROM, "DELETE FROM edge WHERE from_id BETWEEN ?1 AND ?2")                      \
	X(DROP_EDGES_TO, "DELETE FROM edge WHERE to_id BETWEEN ?1 AND ?2")                          \
	X(BUNDLES_OF, "SELECT * FROM bundle WHERE trace = ?1")                                      \
	X(DROP_TRACE, "DELETE FROM bundle WHERE trace = ?1")                                        \
	X(OLD_TRACES,                                                                               \
	  "SELECT b.key, b.trace, b.start_ns + b.duration_ns < ?2 AND NOT EXISTS (SELECT 1 FROM "   \
	  "bundle c WHERE c.trace = b.trace AND NOT coalesce(c.start_ns + c.duration_ns < ?2, 0)) " \
	  "FROM bundle b WHERE b.key > ?1 AND b.start_ns < ?2 ORDER BY b.key LIMIT ?3")             \
	X(ADD_PROCESS,                                                                              \
	  "INSERT INTO process VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "               \
	  "?12, ?13, ?14) ON CONFLICT DO UPDATE SET parent = ?2, pid = ?3, namespace_pid = ?4, "    \
	  "uid = ?5, exec_id = ?6, start_ns = ?7, seen_ns = ?8, end_ns = ?9, exit_code = ?10, "     \
	  "comm = ?11, exe = ?12, cmdline = ?13, seq = ?14 WHERE ?14 >= seq")                       \
	X(ADD_ATTACH,                                                                               \
	  "INSERT INTO attach VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE "            \
	  "SET to_ns = ?4, level = ?5, sites = ?6, seq = ?7 WHERE ?7 >= seq")                       \
	X(ADD_LOSS, "INSERT INTO loss VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET "        \
		    "hits = ?3, stored = ?4, seq = ?5 WHERE ?5 >= seq")                             \
	X(DROP_REASONS, "DELETE FROM loss_reason WHERE process = ?1 AND probe = ?2")                \
	X(ADD_REASON, "INSERT INTO loss_reason VALUES(?1, ?2, ?3, ?4, ?5)")                         \
	X(ADD_GAP, "INSERT INTO gap VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET "      \
		   "to_ns = ?4, lost = ?5, seq = ?6 WHERE ?6 >= seq")                               \
	X(ADD_CLOCK, "INSERT INTO clock VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET "          \
		     "offset_ns = ?2, error_ns = ?3, seq = ?4 WHERE ?4 >= seq")                     \
	X(ADD_SETTING, "INSERT INTO session VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET "          \
		       "value = ?2, seq = ?3 WHERE ?3 >= seq")                                      \
	X(ADD_FORGOTTEN, "INSERT INTO session VALUES('" OSP_SESSION_FORGOTTEN "' || ?1, ?2, 0) "    \
			 "ON CONFLICT DO UPDATE SET value = value + ?2")                            \
	X(ADD_CATALOGUE, "INSERT INTO catalogue VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET "      \
			 "text = ?2, seq = ?3 WHERE ?3 >= seq")

enum sqlite_statement {
#define X(id, sql) STATEMENT_##id,
	SQLITE_STATEMENTS(X)
#undef X
		STATEMENT_COUNT
};
