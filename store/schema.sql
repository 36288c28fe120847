-- The session file, format 1. store/README.md describes it for people with a sqlite3 shell.
--
-- What is stored is the operation: one row, its steps packed at a fixed width so that the views
-- below can unpack them with plain joins. Ids are 8-byte BLOBs, big-endian (SQLite has no
-- unsigned 64-bit integer); times are boot time in ns; seq orders versions of the same thing.

-- ---- the session's own rows ----

CREATE TABLE session(name TEXT PRIMARY KEY, value TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE catalogue(name TEXT PRIMARY KEY, text TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE process(
  key INTEGER PRIMARY KEY, parent INTEGER NOT NULL, pid INTEGER NOT NULL, namespace_pid INTEGER NOT NULL,
  uid INTEGER NOT NULL, exec_id INTEGER NOT NULL, start_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL, exit_code INTEGER NOT NULL, comm TEXT NOT NULL, exe TEXT NOT NULL,
  cmdline TEXT NOT NULL, seq INTEGER NOT NULL);

CREATE TABLE probe(key INTEGER PRIMARY KEY, provider TEXT NOT NULL, probe TEXT NOT NULL,
  UNIQUE(provider, probe));

CREATE TABLE attach(
  process INTEGER NOT NULL, probe INTEGER NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,
  level TEXT NOT NULL, sites INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(process, probe, from_ns)) WITHOUT ROWID;

CREATE TABLE loss(
  process INTEGER NOT NULL, probe INTEGER NOT NULL, hits INTEGER NOT NULL, stored INTEGER NOT NULL,
  seq INTEGER NOT NULL, PRIMARY KEY(process, probe)) WITHOUT ROWID;

CREATE TABLE loss_reason(
  process INTEGER NOT NULL, probe INTEGER NOT NULL, i INTEGER NOT NULL, reason TEXT NOT NULL,
  lost INTEGER NOT NULL, PRIMARY KEY(process, probe, i)) WITHOUT ROWID;

CREATE TABLE gap(
  process INTEGER NOT NULL, from_ns INTEGER NOT NULL, reason TEXT NOT NULL, to_ns INTEGER NOT NULL,
  lost INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(process, from_ns, reason)) WITHOUT ROWID;

CREATE TABLE clock(boot_ns INTEGER PRIMARY KEY, offset_ns INTEGER NOT NULL, error_ns INTEGER NOT NULL,
  seq INTEGER NOT NULL);

-- ---- names, each stored once ----

CREATE TABLE string(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);

CREATE TABLE class(
  key INTEGER PRIMARY KEY, provider TEXT, side TEXT, layer TEXT, feature TEXT,
  operation TEXT NOT NULL, kind_name TEXT NOT NULL, kind INTEGER NOT NULL);

CREATE TABLE point(number INTEGER PRIMARY KEY, name TEXT NOT NULL, unexpected INTEGER NOT NULL);

-- coding: number (decimal digits), text, string (digits: string.id), bytes.
-- cut: the value was longer; its true size stands before it, in 4 bytes.
CREATE TABLE field(number INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  coding TEXT NOT NULL, cut INTEGER NOT NULL);

CREATE TABLE link_kind(
  key INTEGER PRIMARY KEY, rule TEXT NOT NULL, makes TEXT NOT NULL, evidence TEXT NOT NULL,
  grade TEXT NOT NULL, also TEXT);

-- ---- operations ----

-- wide = 0: steps  = n * (u8 point, u8 span, u40 ns since start_ns)
--           fields = n * (u8 field, u8 step, u16 end of the value in payload)
-- wide = 1: steps  = n * (u16 point, u16 span, u64 ns since start_ns)
--           fields = n * (u16 field, u16 step, u32 end)        all big-endian
-- trace_rank tells which claim of membership is in force, patch_marks what patches added.
CREATE TABLE operation(
  key INTEGER PRIMARY KEY, id BLOB NOT NULL, trace INTEGER NOT NULL, trace_rank INTEGER NOT NULL,
  parent BLOB, process INTEGER NOT NULL, tid INTEGER NOT NULL, class INTEGER NOT NULL,
  name INTEGER NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,
  status INTEGER NOT NULL, code INTEGER, marks INTEGER NOT NULL, patch_marks INTEGER NOT NULL,
  complete INTEGER NOT NULL, seq INTEGER NOT NULL, wide INTEGER NOT NULL,
  steps BLOB, fields BLOB, payload BLOB);
CREATE UNIQUE INDEX operation_id ON operation(id);

-- Spans inside an operation, numbered by i from 1; parent is such a number, 0 = the operation.
CREATE TABLE nested(
  operation INTEGER NOT NULL, i INTEGER NOT NULL, id BLOB NOT NULL, parent INTEGER NOT NULL,
  class INTEGER NOT NULL, name INTEGER NOT NULL, after_ns INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL, status INTEGER NOT NULL, code INTEGER, marks INTEGER NOT NULL,
  PRIMARY KEY(operation, i)) WITHOUT ROWID;

CREATE TABLE edge(from_id BLOB NOT NULL, to_id BLOB NOT NULL, rule INTEGER NOT NULL,
  kind INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(from_id, to_id, rule)) WITHOUT ROWID;

-- Patches that came before their operation.
CREATE TABLE patch(id BLOB PRIMARY KEY, trace INTEGER NOT NULL, trace_rank INTEGER NOT NULL,
  marks INTEGER NOT NULL) WITHOUT ROWID;

-- Filled when a recording ends; until then the views work it out.
CREATE TABLE trace_root(trace INTEGER PRIMARY KEY, operation INTEGER NOT NULL,
  trace_id TEXT NOT NULL UNIQUE);

-- ---- for the views: the values of bytes, and 0, 1, 2, ... up to the most steps of an operation ----

CREATE TABLE byte(b BLOB PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE number(i INTEGER PRIMARY KEY);

-- ---- views ----

-- The root of a trace: its first operation that has no parent in it.
CREATE VIEW trace_root_now AS
SELECT trace, root AS operation,
       (SELECT lower(hex(id)) FROM operation WHERE key = root) ||
       coalesce((SELECT value FROM session WHERE name = 'id'), '0000000000000000') AS trace_id
FROM (SELECT t.trace,
        (SELECT o.key FROM operation o WHERE o.trace = t.trace
         ORDER BY EXISTS (SELECT 1 FROM operation p WHERE p.id = o.parent AND p.trace = o.trace)
               OR EXISTS (SELECT 1 FROM edge e JOIN link_kind k ON k.key = e.kind
                          WHERE e.to_id = o.id AND k.makes = 'parent' AND k.grade <> 'ambiguous'
                            AND EXISTS (SELECT 1 FROM operation p
                                 WHERE p.id = (SELECT q.id FROM operation q WHERE q.id <= e.from_id
                                               ORDER BY q.id DESC LIMIT 1)
                                   AND p.trace = o.trace
                                   AND (p.id = e.from_id OR e.from_id IN
                                        (SELECT n.id FROM nested n WHERE n.operation = p.key)))),
               o.start_ns, o.id LIMIT 1) AS root
      FROM (SELECT DISTINCT trace FROM operation) t);

CREATE VIEW trace_name AS
SELECT trace, operation, trace_id FROM trace_root
UNION ALL
SELECT trace, operation, trace_id FROM trace_root_now WHERE NOT EXISTS (SELECT 1 FROM trace_root);

-- Spans without the names of their traces and processes.
CREATE VIEW span_raw AS
SELECT o.key AS operation, 0 AS i, o.id, o.trace,
       coalesce(o.parent, (SELECT e.from_id FROM edge e JOIN link_kind k ON k.key = e.kind
          WHERE e.to_id = o.id AND k.makes = 'parent' AND k.grade <> 'ambiguous'
          ORDER BY CASE k.grade WHEN 'exact' THEN 0 WHEN 'strong' THEN 1 ELSE 2 END, e.from_id
          LIMIT 1)) AS parent,
       o.class, o.name, o.process, o.tid, o.start_ns, o.duration_ns, o.status, o.code,
       o.marks | o.patch_marks AS marks, o.start_ns AS operation_start_ns
FROM operation o
UNION ALL
SELECT o.key, n.i, n.id, o.trace,
       CASE n.parent WHEN 0 THEN o.id ELSE
         (SELECT m.id FROM nested m WHERE m.operation = n.operation AND m.i = n.parent) END,
       n.class, n.name, o.process, o.tid, o.start_ns + n.after_ns, n.duration_ns, n.status, n.code,
       n.marks, o.start_ns
FROM operation o CROSS JOIN nested n ON n.operation = o.key;

-- What to add to boot time: the clock reading in force, else the first one.
CREATE VIEW span AS
SELECT s.trace, r.trace_id, lower(hex(s.id)) AS span_id, lower(hex(s.parent)) AS parent_id,
       (SELECT text FROM string WHERE id = s.name) AS name, c.kind_name, c.operation,
       CASE c.kind WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT'
                   WHEN 4 THEN 'PRODUCER' ELSE 'CONSUMER' END AS kind,
       c.provider, c.side, c.layer, c.feature, p.comm, p.pid, s.tid, s.process,
       strftime('%Y-%m-%dT%H:%M:%S', (s.start_ns + s.wall) / 1000000000, 'unixepoch') ||
         printf('.%06dZ', (s.start_ns + s.wall) / 1000 % 1000000) AS start_time,
       s.start_ns + s.wall AS start_ns, s.start_ns + s.wall + s.duration_ns AS end_ns, s.duration_ns,
       CASE s.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' ELSE 'unset' END AS status,
       (SELECT text FROM string WHERE id = s.code) AS code,
       substr(iif(s.marks & 1, ', incomplete', '') || iif(s.marks & 2, ', began before attach', '') ||
         iif(s.marks & 4, ', may be cut', '') || iif(s.marks & 8, ', unexpected step', '') ||
         iif(s.marks & 16, ', timed out', '') || iif(s.ambiguous, ', ambiguous link', ''), 3) AS marks
FROM (SELECT *, coalesce((SELECT offset_ns FROM clock WHERE boot_ns <= operation_start_ns
                          ORDER BY boot_ns DESC LIMIT 1),
                         (SELECT offset_ns FROM clock ORDER BY boot_ns LIMIT 1), 0) AS wall,
             marks & 32 OR EXISTS (SELECT 1 FROM edge e JOIN link_kind k ON k.key = e.kind
                                   WHERE e.to_id = span_raw.id AND k.grade = 'ambiguous') AS ambiguous
      FROM span_raw) s
JOIN trace_name r ON r.trace = s.trace
JOIN class c ON c.key = s.class
LEFT JOIN process p ON p.key = s.process;

CREATE VIEW trace AS
SELECT s.trace, s.trace_id,
       (SELECT text FROM string WHERE id = o.name) AS root,
       min(s.start_time) AS start_time, min(s.start_ns) AS start_ns,
       max(s.end_ns) - min(s.start_ns) AS duration_ns,
       count(DISTINCT s.process) AS processes, count(*) AS spans,
       sum((SELECT count(*) FROM edge e WHERE e.to_id = x.id)) AS links,
       CASE WHEN max(s.status = 'error') THEN 'error'
            WHEN o.status = 1 THEN 'ok' WHEN o.status = 2 THEN 'error' ELSE 'unset' END AS status,
       substr(iif(max(s.marks LIKE '%incomplete%'), ', incomplete', '') ||
         iif(max(s.marks LIKE '%began%'), ', began before attach', '') ||
         iif(max(s.marks LIKE '%cut%'), ', may be cut', '') ||
         iif(max(s.marks LIKE '%unexpected%'), ', unexpected step', '') ||
         iif(max(s.marks LIKE '%timed%'), ', timed out', '') ||
         iif(max(s.marks LIKE '%ambiguous%'), ', ambiguous link', ''), 3) AS marks
FROM trace_name r JOIN operation o ON o.key = r.operation JOIN span s ON s.trace = r.trace
GROUP BY s.trace;
