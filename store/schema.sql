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
  complete INTEGER NOT NULL, seq INTEGER NOT NULL, nested INTEGER NOT NULL, wide INTEGER NOT NULL,
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

-- ---- for the views: the values of bytes, and 0, 1, 2, ... as far as needed ----

CREATE TABLE byte(b BLOB PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE number(i INTEGER PRIMARY KEY);

-- ---- views ----

-- The root of a trace is its first operation that has no parent in it. This is a view while the
-- recording runs; a recording that ends makes a table of it, with an index on trace_id.
CREATE VIEW trace_name AS
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

-- The views that end in _raw are for the others. Each is one join, without UNION, so that a
-- condition on the trace reaches the index.

-- One row per span; i = 0 is the operation itself.
CREATE VIEW span_raw AS
SELECT o.key AS operation, n.i, coalesce(x.id, o.id) AS id, o.trace,
       CASE WHEN x.parent THEN (SELECT y.id FROM nested y WHERE y.operation = x.operation AND y.i = x.parent)
            WHEN x.i THEN o.id
            ELSE coalesce(o.parent, (SELECT e.from_id FROM edge e JOIN link_kind k ON k.key = e.kind
              WHERE e.to_id = o.id AND k.makes = 'parent' AND k.grade <> 'ambiguous'
              ORDER BY CASE k.grade WHEN 'exact' THEN 0 WHEN 'strong' THEN 1 ELSE 2 END, e.from_id
              LIMIT 1)) END AS parent,
       coalesce(x.class, o.class) AS class, coalesce(x.name, o.name) AS name, o.process, o.tid,
       o.start_ns + coalesce(x.after_ns, 0) AS start_ns,
       coalesce(x.duration_ns, o.duration_ns) AS duration_ns, coalesce(x.status, o.status) AS status,
       iif(x.i, x.code, o.code) AS code, iif(x.i, x.marks, o.marks | o.patch_marks) AS marks,
       coalesce(w.offset_ns, 0) AS wall_ns
FROM operation o CROSS JOIN number n ON n.i <= o.nested
LEFT JOIN nested x ON x.operation = o.key AND x.i = n.i
LEFT JOIN clock w ON w.boot_ns = coalesce((SELECT max(boot_ns) FROM clock WHERE boot_ns <= o.start_ns),
                                          (SELECT min(boot_ns) FROM clock));

-- One row per step; seq counts the steps of the operation.
CREATE VIEW step_raw AS
SELECT o.key AS operation, o.id, o.trace, o.process, o.start_ns, n.i AS seq, coalesce(w.offset_ns, 0) AS wall_ns,
       iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 1, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 2, 1)),
          (SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 1, 1))) AS point,
       iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 3, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 4, 1)),
          (SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 2, 1))) AS span,
       iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 5, 1)) << 56) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 6, 1)) << 48) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 7, 1)) << 40) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 8, 1)) << 32) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 9, 1)) << 24) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 10, 1)) << 16) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 11, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.steps, 12 * n.i + 12, 1)),
          ((SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 3, 1)) << 32) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 4, 1)) << 24) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 5, 1)) << 16) |
          ((SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 6, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.steps, 7 * n.i + 7, 1))) AS after_ns
FROM operation o CROSS JOIN number n ON n.i < length(o.steps) / iif(o.wide, 12, 7)
LEFT JOIN clock w ON w.boot_ns = coalesce((SELECT max(boot_ns) FROM clock WHERE boot_ns <= o.start_ns),
                                          (SELECT min(boot_ns) FROM clock));

-- One row per value, which lies in payload between begin and end.
CREATE VIEW value_raw AS
SELECT o.key AS operation, o.id, o.trace, o.wide, o.steps, o.payload,
       iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 1, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 2, 1)),
          (SELECT v FROM byte WHERE b = substr(o.fields, 4 * n.i + 1, 1))) AS field,
       iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 3, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 4, 1)),
          (SELECT v FROM byte WHERE b = substr(o.fields, 4 * n.i + 2, 1))) AS step,
       iif(NOT n.i, 0, iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i - 3, 1)) << 24) |
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i - 2, 1)) << 16) |
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i - 1, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i, 1)),
          ((SELECT v FROM byte WHERE b = substr(o.fields, 4 * n.i - 1, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.fields, 4 * n.i, 1)))) AS begin,
       iif(o.wide,
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 5, 1)) << 24) |
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 6, 1)) << 16) |
          ((SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 7, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.fields, 8 * n.i + 8, 1)),
          ((SELECT v FROM byte WHERE b = substr(o.fields, 4 * n.i + 3, 1)) << 8) |
          (SELECT v FROM byte WHERE b = substr(o.fields, 4 * n.i + 4, 1))) AS end
FROM operation o CROSS JOIN number n ON n.i < length(o.fields) / iif(o.wide, 8, 4);

CREATE VIEW mark_name AS
SELECT 1 AS mark, 'incomplete' AS name UNION ALL SELECT 2, 'began before attach'
UNION ALL SELECT 4, 'may be cut' UNION ALL SELECT 8, 'unexpected step'
UNION ALL SELECT 16, 'timed out' UNION ALL SELECT 32, 'ambiguous link';

CREATE VIEW trace AS
SELECT trace, trace_id, root,
       strftime('%Y-%m-%dT%H:%M:%S', start_ns / 1000000000, 'unixepoch') ||
         printf('.%06dZ', start_ns / 1000 % 1000000) AS start_time,
       start_ns, duration_ns, processes, spans, links,
       CASE WHEN failed OR root_status = 2 THEN 'error' WHEN root_status = 1 THEN 'ok' ELSE 'unset'
         END AS status,
       coalesce((SELECT group_concat(name, ', ') FROM mark_name WHERE marks & mark), '') AS marks
FROM (SELECT r.trace, r.trace_id, (SELECT text FROM string WHERE id = o.name) AS root,
             min(s.start_ns + s.wall_ns) AS start_ns,
             max(s.start_ns + s.duration_ns) - min(s.start_ns) AS duration_ns,
             count(DISTINCT s.process) AS processes, count(*) AS spans,
             sum((SELECT count(*) FROM edge e WHERE e.to_id = s.id)) AS links,
             max(s.status = 2) AS failed, o.status AS root_status,
             max(s.marks & 1) | max(s.marks & 2) | max(s.marks & 4) | max(s.marks & 8) |
               max(s.marks & 16) | max(s.marks & 32) |
               32 * max(EXISTS (SELECT 1 FROM edge e JOIN link_kind k ON k.key = e.kind
                                WHERE e.to_id = s.id AND k.grade = 'ambiguous')) AS marks
      FROM trace_name r JOIN span_raw s ON s.trace = r.trace JOIN operation o ON o.key = r.operation
      GROUP BY r.trace, r.trace_id);

CREATE VIEW span AS
SELECT s.trace, r.trace_id, lower(hex(s.id)) AS span_id, nullif(lower(hex(s.parent)), '') AS parent_id,
       (SELECT text FROM string WHERE id = s.name) AS name, c.kind_name, c.operation,
       CASE c.kind WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT'
                   WHEN 4 THEN 'PRODUCER' ELSE 'CONSUMER' END AS kind,
       c.provider, c.side, c.layer, c.feature, s.process, p.comm, p.pid, s.tid,
       strftime('%Y-%m-%dT%H:%M:%S', (s.start_ns + s.wall_ns) / 1000000000, 'unixepoch') ||
         printf('.%06dZ', (s.start_ns + s.wall_ns) / 1000 % 1000000) AS start_time,
       s.start_ns + s.wall_ns AS start_ns, s.start_ns + s.duration_ns + s.wall_ns AS end_ns,
       s.duration_ns,
       CASE s.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' ELSE 'unset' END AS status,
       (SELECT text FROM string WHERE id = s.code) AS code,
       coalesce((SELECT group_concat(name, ', ') FROM mark_name WHERE mark &
         (s.marks | 32 * EXISTS (SELECT 1 FROM edge e JOIN link_kind k ON k.key = e.kind
                                 WHERE e.to_id = s.id AND k.grade = 'ambiguous'))), '') AS marks
FROM trace_name r
JOIN span_raw s ON s.trace = r.trace
JOIN class c ON c.key = s.class
LEFT JOIN process p ON p.key = s.process;

CREATE VIEW event AS
SELECT s.trace, r.trace_id,
       lower(hex(iif(s.span, (SELECT x.id FROM nested x WHERE x.operation = s.operation AND x.i = s.span), s.id))) AS span_id,
       s.seq, p.name,
       strftime('%Y-%m-%dT%H:%M:%S', (s.start_ns + s.after_ns + s.wall_ns) / 1000000000, 'unixepoch') ||
         printf('.%06dZ', (s.start_ns + s.after_ns + s.wall_ns) / 1000 % 1000000) AS time,
       s.start_ns + s.after_ns + s.wall_ns AS time_ns, s.after_ns, p.unexpected, s.process,
       lower(hex(s.id)) AS operation_id
FROM trace_name r
JOIN step_raw s ON s.trace = r.trace
JOIN point p ON p.number = s.point;

-- value is INTEGER, REAL or TEXT; bytes are shown as hexadecimal. cut_from: bytes there were.
CREATE VIEW attribute AS
SELECT v.trace, r.trace_id,
       lower(hex(coalesce((SELECT x.id FROM nested x WHERE x.operation = v.operation AND x.i =
         iif(v.wide,
             ((SELECT v FROM byte WHERE b = substr(v.steps, 12 * v.step + 3, 1)) << 8) |
             (SELECT v FROM byte WHERE b = substr(v.steps, 12 * v.step + 4, 1)),
             (SELECT v FROM byte WHERE b = substr(v.steps, 7 * v.step + 2, 1)))), v.id))) AS span_id,
       v.step AS seq, f.name, f.type,
       CASE WHEN f.coding = 'string' THEN (SELECT text FROM string WHERE id =
              CAST(CAST(substr(v.payload, v.begin + 1, v.end - v.begin) AS TEXT) AS INTEGER))
            WHEN f.coding = 'bytes' THEN lower(hex(substr(v.payload, v.begin + 1 + 4 * f.cut,
                                                          v.end - v.begin - 4 * f.cut)))
            WHEN f.coding = 'text' THEN CAST(substr(v.payload, v.begin + 1 + 4 * f.cut,
                                                    v.end - v.begin - 4 * f.cut) AS TEXT)
            WHEN f.type = 'f64' THEN CAST(CAST(substr(v.payload, v.begin + 1, v.end - v.begin) AS TEXT) AS REAL)
            ELSE CAST(CAST(substr(v.payload, v.begin + 1, v.end - v.begin) AS TEXT) AS INTEGER) END AS value,
       iif(f.cut,
           ((SELECT v FROM byte WHERE b = substr(v.payload, v.begin + 1, 1)) << 24) |
           ((SELECT v FROM byte WHERE b = substr(v.payload, v.begin + 2, 1)) << 16) |
           ((SELECT v FROM byte WHERE b = substr(v.payload, v.begin + 3, 1)) << 8) |
           (SELECT v FROM byte WHERE b = substr(v.payload, v.begin + 4, 1)), NULL) AS cut_from,
       lower(hex(v.id)) AS operation_id
FROM trace_name r
JOIN value_raw v ON v.trace = r.trace
JOIN field f ON f.number = v.field;

CREATE VIEW link AS
SELECT (SELECT o.trace FROM operation o WHERE o.id <= e.to_id ORDER BY o.id DESC LIMIT 1) AS trace,
       lower(hex(e.from_id)) AS from_id, lower(hex(e.to_id)) AS to_id,
       k.rule, k.makes, k.evidence, k.grade, k.also
FROM edge e JOIN link_kind k ON k.key = e.kind;

-- hits = stored + the sum of lost, for every probe of every process.
CREATE VIEW losses AS
SELECT l.process, p.comm, p.pid, b.provider, b.probe, l.hits, l.stored,
       coalesce((SELECT sum(lost) FROM loss_reason r
                 WHERE r.process = l.process AND r.probe = l.probe), 0) AS lost,
       coalesce((SELECT group_concat(reason || ' ' || lost, ', ') FROM loss_reason r
                 WHERE r.process = l.process AND r.probe = l.probe AND r.lost), '') AS reasons
FROM loss l JOIN probe b ON b.key = l.probe LEFT JOIN process p ON p.key = l.process;

CREATE VIEW attached AS
SELECT a.process, p.comm, p.pid, b.provider, b.probe, a.level, a.sites, a.from_ns, a.to_ns
FROM attach a JOIN probe b ON b.key = a.probe LEFT JOIN process p ON p.key = a.process;
