-- The session file, format 2. store/README.md describes it for people with a sqlite3 shell.
--
-- What is stored are bundles of operations of one trace, packed at a fixed width (store/pack.h) so
-- that the views below can unpack them with plain joins. Ids are 8-byte BLOBs, big-endian (SQLite has no
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

CREATE TABLE field(number INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL);

CREATE TABLE rule(number INTEGER PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE link_kind(
  key INTEGER PRIMARY KEY, rule TEXT NOT NULL, makes TEXT NOT NULL, evidence TEXT NOT NULL,
  grade TEXT NOT NULL, also TEXT);

-- ---- operations ----

-- What operations have in common. spans = n * (number 2, parent 2, class 2, begin 3, end 3, marks 2,
-- status 1, coding of the name 1, of the code 1, slot 3); parent is an index into spans, begin and
-- end are indexes of times (ffffff: the start of the operation), the name has the slot, the code
-- the one after it. steps = n * (point 2, span 2). fields = n * (field 2, step 2, coding 1), the
-- i-th has slot field_slot + i. Codings: 0 nothing, 1 the slot is the number, 2 it is string.id,
-- 3 a place in payload, 4 the same with the true size first, 5 a context of this bundle.
CREATE TABLE shape(key INTEGER PRIMARY KEY, field_slot INTEGER NOT NULL, spans BLOB NOT NULL,
  steps BLOB, fields BLOB);

-- What runs one after the other have in common: shape, process and thread.
CREATE TABLE origin(key INTEGER PRIMARY KEY, shape INTEGER NOT NULL, process INTEGER NOT NULL,
  tid INTEGER NOT NULL);

-- Operations of one trace that were written together; the first is their root.
-- heads = n * (id 8, origin 4, flags 1, ns from start_ns to the operation's start 5,
-- where its times and its slots begin 2 + 2). flags: & 3 bytes of a time: 3, 4, 5, 8; 4 slots of 4
-- bytes, not 2; 8 complete; 16 the last slot leads to the parent's id; 32 see amend; 64 a patch
-- decided about the trace. times: ns since the operation's start: of the steps, then others.
-- payload: values, each behind its size (1 byte; 255: then 4 more). wire: a trace id that contexts
-- of this bundle have in common. edges = n * (from: operation 1, number 2; to: operation 1,
-- number 2; link_kind 2). duration_ns is NULL while an operation is not complete.
CREATE TABLE bundle(
  key INTEGER PRIMARY KEY, trace INTEGER NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER,
  wire BLOB, heads BLOB NOT NULL, times BLOB, slots BLOB, payload BLOB, edges BLOB);
CREATE INDEX bundle_trace ON bundle(trace, start_ns);

-- Versions of parts that do not come in order, marks that were added later. Of operations without flag
-- 32 only the marks count: they came when the bundle was stored already.
CREATE TABLE amend(id BLOB PRIMARY KEY, seq INTEGER NOT NULL, rank INTEGER NOT NULL,
  marks INTEGER NOT NULL) WITHOUT ROWID;

-- Links whose ends lie in two bundles.
CREATE TABLE edge(from_id BLOB NOT NULL, to_id BLOB NOT NULL, rule INTEGER NOT NULL,
  kind INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(from_id, to_id, rule)) WITHOUT ROWID;
CREATE INDEX edge_to ON edge(to_id);

-- Patches that came before their operation.
CREATE TABLE patch(id BLOB PRIMARY KEY, trace INTEGER NOT NULL, trace_rank INTEGER NOT NULL,
  marks INTEGER NOT NULL) WITHOUT ROWID;

-- The bundles between which the operations of a block of 2^22 ids lie; complete up to the bundle
-- that table placed names.
CREATE TABLE place(block INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE placed(one INTEGER PRIMARY KEY, bundle INTEGER NOT NULL);

-- ---- for the views: the values of bytes, and 0, 1, 2, ... as far as needed ----

CREATE TABLE byte(b BLOB PRIMARY KEY, v INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE number(i INTEGER PRIMARY KEY);

-- ---- views ----

-- The views that end in _raw, _block, _bytes, _slots, _numbers, _sum, _inside and _between are for the others. A condition on the
-- trace reaches the index through all of them. Their second half, UNION ALL SELECT ... WHERE 0,
-- gives no row: it keeps SQLite from working out the bytes anew wherever a number is used. SQLite
-- copies a whole blob for each look into it: those that end in _block cut it, 256 entries at a time.

-- First operations of bundles that name their parent themselves.
CREATE VIEW parent_raw AS
SELECT b.key AS bundle, substr(b.payload, iif((SELECT v FROM byte WHERE b = substr(b.heads, 12 + 1, 1)) & 4,
  (((SELECT v FROM byte WHERE b = substr(b.slots, 4 * (s.field_slot + length(s.fields) / 5) + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.slots, 4 * (s.field_slot + length(s.fields) / 5) + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.slots, 4 * (s.field_slot + length(s.fields) / 5) + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.slots, 4 * (s.field_slot + length(s.fields) / 5) + 4, 1))),
  (((SELECT v FROM byte WHERE b = substr(b.slots, 2 * (s.field_slot + length(s.fields) / 5) + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.slots, 2 * (s.field_slot + length(s.fields) / 5) + 2, 1)))) + 2, 8) AS parent
FROM bundle b JOIN origin o ON o.key = (((SELECT v FROM byte WHERE b = substr(b.heads, 8 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 8 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 8 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 8 + 4, 1)))
JOIN shape s ON s.key = o.shape
WHERE (SELECT v FROM byte WHERE b = substr(b.heads, 12 + 1, 1)) & 16;

-- The first operation of each bundle, its root. parented: its parent is in the trace, in any of its bundles.
CREATE VIEW head_raw AS
SELECT b.key, b.trace, b.start_ns, substr(b.heads, 1, 8) AS id,
  b.start_ns + (((SELECT v FROM byte WHERE b = substr(b.heads, 13 + 1, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 13 + 2, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 13 + 3, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 13 + 4, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 13 + 5, 1))) AS head_ns,
  EXISTS (SELECT 1 FROM bundle d WHERE d.trace = b.trace AND d.key <> b.key) AND
    (EXISTS (SELECT 1 FROM edge e CROSS JOIN link_kind k ON k.key = e.kind
               CROSS JOIN bundle c ON c.trace = b.trace AND instr(c.heads, CAST(substr(e.from_id, 1, 6) || x'0000' AS BLOB)) % 22 = 1
             WHERE e.to_id = substr(b.heads, 1, 8) AND k.makes = 'parent' AND k.grade <> 'ambiguous') OR
     EXISTS (SELECT 1 FROM parent_raw p CROSS JOIN bundle c ON c.trace = b.trace AND instr(c.heads, p.parent) % 22 = 1
             WHERE p.bundle = b.key)) AS parented
FROM bundle b;

-- One row per operation: where it lies in its bundle. width, slot: bytes of a time, of a slot. root: that of its
-- trace, the first operation that has no parent there. Every bundle before the first such head in the order of the
-- index may hold an earlier one, but none behind its time.
CREATE VIEW operation_raw AS
SELECT b.key AS bundle, n.i AS place, b.trace, substr(b.heads, 22 * n.i + 1, 8) AS id,
  (SELECT o.shape FROM origin o WHERE o.key = (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 4, 1)))) AS shape,
  (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 4, 1))) AS origin,
  (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 12 + 1, 1)) AS flags,
  CASE (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 12 + 1, 1)) & 3
    WHEN 0 THEN 3 WHEN 1 THEN 4 WHEN 2 THEN 5 ELSE 8 END AS width,
  iif((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 12 + 1, 1)) & 4, 4, 2) AS slot,
  b.start_ns +
  (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 1, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 2, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 3, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 4, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 5, 1))) AS start_ns,
  iif(n.i, (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 18 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 18 + 2, 1))), 0) AS times_at,
  iif(n.i, (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 20 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 20 + 2, 1))), 0) AS slots_at,
  b.heads, b.times, b.slots, b.payload, b.edges, b.wire,
  (SELECT h.id FROM head_raw h WHERE h.trace = b.trace AND h.start_ns <=
     coalesce((SELECT f.head_ns FROM head_raw f WHERE f.trace = b.trace AND NOT f.parented ORDER BY f.start_ns LIMIT 1),
              9223372036854775807)
   ORDER BY h.parented, h.head_ns, h.id LIMIT 1) AS root
FROM bundle b CROSS JOIN number n ON n.i < length(b.heads) / 22
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;






-- Spans of an operation, 256 at a time, with its times and the slots of their names. all_spans: of a long
-- operation; parent: of the operation, told with the first; doubtful: the links of its bundle if one is ambiguous.
CREATE VIEW span_block AS
SELECT o.bundle, o.place, o.trace, o.id, o.root, o.origin, o.width, o.slot, o.start_ns, 256 * n.i AS first,
  substr(s.spans, 5120 * n.i + 1, 5120) AS spans, iif(length(s.spans) > 5120, s.spans, NULL) AS all_spans,
  substr(o.times, o.times_at + 1, o.width * (coalesce(length(s.steps) / 4, 0) + length(s.spans) / 10)) AS times,
  substr(o.slots, o.slots_at + o.slot * iif(n.i, (((SELECT v FROM byte WHERE b = substr(s.spans, 5120 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.spans, 5120 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.spans, 5120 * n.i + 17 + 3, 1))), 0) + 1, 512 * o.slot) AS slots,
  iif(n.i, (((SELECT v FROM byte WHERE b = substr(s.spans, 5120 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.spans, 5120 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.spans, 5120 * n.i + 17 + 3, 1))), 0) AS slot_base, o.payload,
  CASE WHEN n.i THEN NULL
       WHEN o.flags & 16 THEN substr(o.payload, (((SELECT v FROM byte WHERE b = substr(CAST(substr(x'00000000', 1, 4 - o.slot) || substr(o.slots, o.slots_at + o.slot * (s.field_slot + length(s.fields) / 5) + 1, o.slot) AS BLOB), 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(CAST(substr(x'00000000', 1, 4 - o.slot) || substr(o.slots, o.slots_at + o.slot * (s.field_slot + length(s.fields) / 5) + 1, o.slot) AS BLOB), 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(CAST(substr(x'00000000', 1, 4 - o.slot) || substr(o.slots, o.slots_at + o.slot * (s.field_slot + length(s.fields) / 5) + 1, o.slot) AS BLOB), 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(CAST(substr(x'00000000', 1, 4 - o.slot) || substr(o.slots, o.slots_at + o.slot * (s.field_slot + length(s.fields) / 5) + 1, o.slot) AS BLOB), 4, 1))) + 2, 8)
       ELSE (SELECT from_id FROM (
         SELECT CAST(substr(substr(o.heads, 22 * (SELECT v FROM byte WHERE b = substr(o.edges, 8 * l.i + 1, 1)) + 1, 8), 1, 6) || substr(o.edges, 8 * l.i + 2, 2) AS BLOB) AS from_id, k.grade
         FROM number l JOIN link_kind k ON k.key = (((SELECT v FROM byte WHERE b = substr(o.edges, 8 * l.i + 6 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(o.edges, 8 * l.i + 6 + 2, 1)))
         WHERE l.i < length(o.edges) / 8 AND k.makes = 'parent' AND k.grade <> 'ambiguous' AND
           substr(o.edges, 8 * l.i + 4, 3) = CAST((SELECT b FROM byte WHERE v = o.place) || x'0000' AS BLOB)
         UNION ALL
         SELECT e.from_id, k.grade FROM edge e JOIN link_kind k ON k.key = e.kind
         WHERE e.to_id = o.id AND k.makes = 'parent' AND k.grade <> 'ambiguous')
       ORDER BY CASE grade WHEN 'exact' THEN 0 WHEN 'strong' THEN 1 ELSE 2 END, from_id LIMIT 1)
  END AS parent,
  iif(EXISTS (SELECT 1 FROM number l JOIN link_kind k ON k.key = (((SELECT v FROM byte WHERE b = substr(o.edges, 8 * l.i + 6 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(o.edges, 8 * l.i + 6 + 2, 1)))
          WHERE l.i < length(o.edges) / 8 AND k.grade = 'ambiguous'), o.edges, NULL) AS doubtful
FROM operation_raw o JOIN shape s ON s.key = o.shape CROSS JOIN number n ON n.i < (length(s.spans) + 5119) / 5120
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

-- The first and last of the times, parents and places in the payload that they need.
CREATE VIEW span_range AS
SELECT k.*,
  iif(k.all_spans IS NULL, NULL, (SELECT min(substr(k.spans, 20 * n.i + 7, 3)) FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 7, 3) <> x'ffffff')) AS begin3,
  iif(k.all_spans IS NULL, NULL, (SELECT max(substr(k.spans, 20 * n.i + 7, 3)) FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 7, 3) <> x'ffffff')) AS begin_top3,
  iif(k.all_spans IS NULL, NULL, (SELECT min(substr(k.spans, 20 * n.i + 10, 3)) FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 10, 3) <> x'ffffff')) AS end3,
  iif(k.all_spans IS NULL, NULL, (SELECT max(substr(k.spans, 20 * n.i + 10, 3)) FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 10, 3) <> x'ffffff')) AS end_top3,
  iif(k.all_spans IS NULL, NULL, (SELECT min(substr(k.spans, 20 * n.i + 3, 2)) FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 3, 2) <> x'0000')) AS parent2,
  iif(k.all_spans IS NULL, NULL, (SELECT max(substr(k.spans, 20 * n.i + 3, 2)) FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 3, 2) <> x'0000')) AS parent_top2,
  (SELECT min(at) FROM (SELECT min(CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * ((((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 3, 1))) - k.slot_base) + 1, k.slot) AS BLOB)) AS at FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 16, 1) = x'03'
    UNION ALL SELECT min(CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * ((((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 3, 1))) - k.slot_base + 1) + 1, k.slot) AS BLOB)) AS at FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 17, 1) = x'03')) AS name4,
  (SELECT max(at) FROM (SELECT max(CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * ((((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 3, 1))) - k.slot_base) + 1, k.slot) AS BLOB)) AS at FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 16, 1) = x'03'
    UNION ALL SELECT max(CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * ((((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.spans, 20 * n.i + 17 + 3, 1))) - k.slot_base + 1) + 1, k.slot) AS BLOB)) AS at FROM number n
    WHERE n.i < length(k.spans) / 20 AND substr(k.spans, 20 * n.i + 17, 1) = x'03')) AS name_top4
FROM span_block k
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW span_base AS
SELECT k.bundle, k.place, k.trace, k.id, k.root, k.origin, k.width, k.slot, k.start_ns, k.first, k.spans, k.all_spans, k.times, k.slots, k.slot_base, k.payload, k.parent, k.doubtful,
  coalesce((((SELECT v FROM byte WHERE b = substr(k.begin3, 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.begin3, 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.begin3, 3, 1))), 0) AS begin_base, (((SELECT v FROM byte WHERE b = substr(k.begin_top3, 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.begin_top3, 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.begin_top3, 3, 1))) AS begin_top,
  coalesce((((SELECT v FROM byte WHERE b = substr(k.end3, 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.end3, 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.end3, 3, 1))), 0) AS end_base, (((SELECT v FROM byte WHERE b = substr(k.end_top3, 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.end_top3, 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.end_top3, 3, 1))) AS end_top,
  coalesce((((SELECT v FROM byte WHERE b = substr(k.parent2, 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.parent2, 2, 1))), 0) AS parent_base, (((SELECT v FROM byte WHERE b = substr(k.parent_top2, 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.parent_top2, 2, 1))) AS parent_top,
  (((SELECT v FROM byte WHERE b = substr(k.name4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(k.name4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.name4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.name4, 4, 1))) AS name_base, (((SELECT v FROM byte WHERE b = substr(k.name_top4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(k.name_top4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.name_top4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.name_top4, 4, 1))) AS name_top
FROM span_range k
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

-- Only that goes on.
CREATE VIEW span_window AS
SELECT k.bundle, k.place, k.trace, k.id, k.root, k.origin, k.width, k.slot, k.start_ns, k.first, k.spans, k.slots, k.slot_base, k.parent, k.doubtful,
  iif(k.all_spans IS NULL, k.times, substr(k.times, k.width * k.begin_base + 1, k.width * (k.begin_top - k.begin_base + 1))) AS begins,
  k.begin_base,
  iif(k.all_spans IS NULL, k.times, substr(k.times, k.width * k.end_base + 1, k.width * (k.end_top - k.end_base + 1))) AS ends,
  k.end_base,
  iif(k.all_spans IS NULL, k.spans, substr(k.all_spans, 20 * k.parent_base + 1, 20 * (k.parent_top - k.parent_base + 1))) AS parents,
  k.parent_base,
  iif(k.name_base IS NULL, NULL, substr(k.payload, k.name_base + 1, k.name_top - k.name_base + 5 +
    iif((SELECT v FROM byte WHERE b = substr(k.payload, k.name_top + 1, 1)) < 255,
      (SELECT v FROM byte WHERE b = substr(k.payload, k.name_top + 1, 1)), (((SELECT v FROM byte WHERE b = substr(k.payload, k.name_top + 1 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(k.payload, k.name_top + 1 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.payload, k.name_top + 1 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.payload, k.name_top + 1 + 4, 1)))))) AS payload,
  k.name_base
FROM span_base k
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

-- One row per span, its parts still as bytes; i = 0 is the operation itself.
CREATE VIEW span_bytes AS
SELECT w.bundle, w.place, w.trace, w.id, w.root, w.origin, w.start_ns, w.first + n.i AS i,
  (((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 4 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 4 + 2, 1))) AS class,
  (((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 12 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 12 + 2, 1))) AS marks,
  (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 14 + 1, 1)) AS status,
  (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 15 + 1, 1)) AS name_coding,
  (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 16 + 1, 1)) AS code_coding,
  w.payload, w.name_base, w.parent, w.doubtful,
  substr(w.spans, 20 * n.i + 1, 2) AS number2,
  iif(substr(w.spans, 20 * n.i + 3, 2) = x'0000', x'0000',
    substr(w.parents, 20 * ((((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 2 + 2, 1))) - w.parent_base) + 1, 2)) AS parent_number2,
  iif(substr(w.spans, 20 * n.i + 7, 3) = x'ffffff', x'0000000000000000',
    CAST(substr(x'0000000000000000', 1, 8 - w.width) || substr(w.begins, w.width * ((((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 6 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 6 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 6 + 3, 1))) - w.begin_base) + 1, w.width) AS BLOB)) AS begin8,
  iif(substr(w.spans, 20 * n.i + 10, 3) = x'ffffff', x'0000000000000000',
    CAST(substr(x'0000000000000000', 1, 8 - w.width) || substr(w.ends, w.width * ((((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 9 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 9 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 9 + 3, 1))) - w.end_base) + 1, w.width) AS BLOB)) AS end8,
  CAST(substr(x'00000000', 1, 4 - w.slot) || substr(w.slots, w.slot * ((((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 17 + 3, 1))) - w.slot_base) + 1, w.slot) AS BLOB) AS name4,
  CAST(substr(x'00000000', 1, 4 - w.slot) || substr(w.slots, w.slot * ((((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 17 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 17 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * n.i + 17 + 3, 1))) - w.slot_base + 1) + 1, w.slot) AS BLOB) AS code4
FROM span_window w CROSS JOIN number n ON n.i < length(w.spans) / 20
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW span_numbers AS
SELECT s.bundle, s.place, s.trace, s.id, s.root, s.origin, s.start_ns, s.i, s.class, s.marks, s.status, s.name_coding, s.code_coding, s.payload,
  iif(s.i, CAST(substr(s.id, 1, 6) || s.parent_number2 AS BLOB), s.parent) AS parent, s.doubtful,
  CAST(substr(s.id, 1, 6) || s.number2 AS BLOB) AS span_id,
  CAST((SELECT b FROM byte WHERE v = s.place) || s.number2 AS BLOB) AS address,
  (((SELECT v FROM byte WHERE b = substr(s.begin8, 1, 1)) << 56) |
    ((SELECT v FROM byte WHERE b = substr(s.begin8, 2, 1)) << 48) |
    ((SELECT v FROM byte WHERE b = substr(s.begin8, 3, 1)) << 40) |
    ((SELECT v FROM byte WHERE b = substr(s.begin8, 4, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(s.begin8, 5, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.begin8, 6, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.begin8, 7, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.begin8, 8, 1))) AS begin_ns,
  (((SELECT v FROM byte WHERE b = substr(s.end8, 1, 1)) << 56) |
    ((SELECT v FROM byte WHERE b = substr(s.end8, 2, 1)) << 48) |
    ((SELECT v FROM byte WHERE b = substr(s.end8, 3, 1)) << 40) |
    ((SELECT v FROM byte WHERE b = substr(s.end8, 4, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(s.end8, 5, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.end8, 6, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.end8, 7, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.end8, 8, 1))) AS end_ns,
  (((SELECT v FROM byte WHERE b = substr(s.name4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.name4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.name4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.name4, 4, 1))) - iif(s.name_coding = 3, s.name_base, 0) AS name_at,
  (((SELECT v FROM byte WHERE b = substr(s.code4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.code4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.code4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.code4, 4, 1))) - iif(s.code_coding = 3, s.name_base, 0) AS code_at
FROM span_bytes s
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW span_raw AS
SELECT s.trace, s.root, s.span_id AS id, s.parent, s.class,
  iif(s.name_coding = 2, (SELECT text FROM string WHERE id = s.name_at), CAST(iif((SELECT v FROM byte WHERE b = substr(s.payload, s.name_at + 1, 1)) < 255,
    substr(s.payload, s.name_at + 2, (SELECT v FROM byte WHERE b = substr(s.payload, s.name_at + 1, 1))),
    substr(s.payload, s.name_at + 6, (((SELECT v FROM byte WHERE b = substr(s.payload, s.name_at + 1 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.payload, s.name_at + 1 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.payload, s.name_at + 1 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.payload, s.name_at + 1 + 4, 1))))) AS TEXT)) AS name,
  t.process, t.tid, s.start_ns + s.begin_ns AS start_ns, s.end_ns - s.begin_ns AS duration_ns, s.status,
  CASE s.code_coding WHEN 0 THEN NULL WHEN 2 THEN (SELECT text FROM string WHERE id = s.code_at)
    ELSE CAST(iif((SELECT v FROM byte WHERE b = substr(s.payload, s.code_at + 1, 1)) < 255,
    substr(s.payload, s.code_at + 2, (SELECT v FROM byte WHERE b = substr(s.payload, s.code_at + 1, 1))),
    substr(s.payload, s.code_at + 6, (((SELECT v FROM byte WHERE b = substr(s.payload, s.code_at + 1 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.payload, s.code_at + 1 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.payload, s.code_at + 1 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.payload, s.code_at + 1 + 4, 1))))) AS TEXT) END AS code,
  s.marks | iif(s.i, 0, coalesce((SELECT a.marks FROM amend a WHERE a.id = s.id), 0)) AS marks,
  EXISTS (SELECT 1 FROM number n JOIN link_kind k ON k.key = (((SELECT v FROM byte WHERE b = substr(s.doubtful, 8 * n.i + 6 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.doubtful, 8 * n.i + 6 + 2, 1)))
          WHERE n.i < length(s.doubtful) / 8 AND substr(s.doubtful, 8 * n.i + 4, 3) = s.address AND k.grade = 'ambiguous') OR
    EXISTS (SELECT 1 FROM edge e JOIN link_kind k ON k.key = e.kind
            WHERE e.to_id = s.span_id AND k.grade = 'ambiguous') AS ambiguous,
  coalesce(w.offset_ns, 0) AS wall_ns
FROM span_numbers s JOIN origin t ON t.key = s.origin
LEFT JOIN clock w ON w.boot_ns = coalesce((SELECT max(boot_ns) FROM clock WHERE boot_ns <= s.start_ns),
                                          (SELECT min(boot_ns) FROM clock));

-- One row per step; seq counts the steps of the operation.
CREATE VIEW step_block AS
SELECT o.bundle, o.place, o.id, o.root, o.trace, o.origin, o.start_ns, o.width, 256 * n.i AS first, s.spans,
  substr(s.steps, 1024 * n.i + 1, 1024) AS steps,
  substr(o.times, o.times_at + 256 * o.width * n.i + 1, 256 * o.width) AS times
FROM operation_raw o JOIN shape s ON s.key = o.shape CROSS JOIN number n ON n.i < (length(s.steps) + 1023) / 1024
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

-- Of many spans only those that the steps of a block lie in, besides the operation itself, go on: from span_base.
CREATE VIEW step_window AS
SELECT k.bundle, k.place, k.id, k.root, k.trace, k.origin, k.start_ns, k.width, k.first, k.steps, k.times,
  iif(length(k.spans) > 5120, coalesce((((SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))), 0), 0) AS span_base,
  iif(length(k.spans) > 5120, substr(k.spans, 20 * (((SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))) + 1, 20 * (1 +
    (((SELECT v FROM byte WHERE b = substr((SELECT max(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT max(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))) - (((SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))))), k.spans) AS spans
FROM step_block k
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW step_bytes AS
SELECT k.bundle, k.place, k.id, k.root, k.trace, k.origin, k.start_ns, k.first + n.i AS seq,
  (((SELECT v FROM byte WHERE b = substr(k.steps, 4 * n.i + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.steps, 4 * n.i + 2, 1))) AS point,
  iif(substr(k.steps, 4 * n.i + 3, 2) = x'0000', x'0000',
    substr(k.spans, 20 * ((((SELECT v FROM byte WHERE b = substr(k.steps, 4 * n.i + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.steps, 4 * n.i + 2 + 2, 1))) - k.span_base) + 1, 2)) AS number,
  CAST(substr(x'0000000000000000', 1, 8 - k.width) || substr(k.times, k.width * n.i + 1, k.width) AS BLOB) AS after8
FROM step_window k CROSS JOIN number n ON n.i < length(k.steps) / 4
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW step_raw AS
SELECT s.bundle, s.place, s.id, s.root, s.trace, t.process, s.start_ns, s.seq, s.point,
  CAST(substr(s.id, 1, 6) || s.number AS BLOB) AS span_id,
  (((SELECT v FROM byte WHERE b = substr(s.after8, 1, 1)) << 56) |
    ((SELECT v FROM byte WHERE b = substr(s.after8, 2, 1)) << 48) |
    ((SELECT v FROM byte WHERE b = substr(s.after8, 3, 1)) << 40) |
    ((SELECT v FROM byte WHERE b = substr(s.after8, 4, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(s.after8, 5, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(s.after8, 6, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(s.after8, 7, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.after8, 8, 1))) AS after_ns, coalesce(w.offset_ns, 0) AS wall_ns
FROM step_bytes s JOIN origin t ON t.key = s.origin
LEFT JOIN clock w ON w.boot_ns = coalesce((SELECT max(boot_ns) FROM clock WHERE boot_ns <= s.start_ns),
                                          (SELECT min(boot_ns) FROM clock));

-- One row per value. at: what its slot says. The steps of a block are those that its values belong to.
CREATE VIEW value_block AS
SELECT o.bundle, o.place, o.id, o.root, o.trace, o.slot, o.heads, o.payload, o.wire, 256 * n.i AS first, s.spans,
  substr(s.fields, 1280 * n.i + 1, 1280) AS fields,
  substr(o.slots, o.slots_at + o.slot * (s.field_slot + 256 * n.i) + 1, 256 * o.slot) AS slots,
  (((SELECT v FROM byte WHERE b = substr(s.fields, 1280 * n.i + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.fields, 1280 * n.i + 2 + 2, 1))) AS first_step,
  substr(s.steps, 4 * (((SELECT v FROM byte WHERE b = substr(s.fields, 1280 * n.i + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.fields, 1280 * n.i + 2 + 2, 1))) + 1,
    4 * (1 + (((SELECT v FROM byte WHERE b = substr(s.fields, min(1280 * n.i + 1280, length(s.fields)) - 3 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.fields, min(1280 * n.i + 1280, length(s.fields)) - 3 + 2, 1))) -
    (((SELECT v FROM byte WHERE b = substr(s.fields, 1280 * n.i + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(s.fields, 1280 * n.i + 2 + 2, 1))))) AS steps
FROM operation_raw o JOIN shape s ON s.key = o.shape CROSS JOIN number n ON n.i < (length(s.fields) + 1279) / 1280
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

-- Where in the payload the values of a block lie, from base to top, when it is long: only that goes on.
CREATE VIEW value_range AS
SELECT k.*,
  (SELECT min(CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * n.i + 1, k.slot) AS BLOB)) FROM number n
   WHERE n.i < length(k.fields) / 5 AND substr(k.fields, 5 * n.i + 4 + 1, 1) IN (x'03', x'04')) AS base4,
  (SELECT max(CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * n.i + 1, k.slot) AS BLOB)) FROM number n
   WHERE n.i < length(k.fields) / 5 AND substr(k.fields, 5 * n.i + 4 + 1, 1) IN (x'03', x'04')) AS top4
FROM value_block k WHERE length(k.payload) > 65536
UNION ALL SELECT k.*, x'00000000', NULL FROM value_block k WHERE length(k.payload) IS NULL OR length(k.payload) <= 65536;

CREATE VIEW value_span AS
SELECT k.bundle, k.place, k.id, k.root, k.trace, k.slot, k.heads, k.wire, k.first, k.fields, k.slots, k.first_step, k.steps, k.payload,
  (((SELECT v FROM byte WHERE b = substr(k.base4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(k.base4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.base4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.base4, 4, 1))) AS base, (((SELECT v FROM byte WHERE b = substr(k.top4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(k.top4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(k.top4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.top4, 4, 1))) AS top,
  iif(length(k.spans) > 5120, coalesce((((SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))), 0), 0) AS span_base,
  iif(length(k.spans) > 5120, substr(k.spans, 20 * (((SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))) + 1, 20 * (1 +
    (((SELECT v FROM byte WHERE b = substr((SELECT max(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT max(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))) - (((SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(k.steps, 4 * n.i + 3, 2)) FROM number n WHERE n.i < length(k.steps) / 4 AND substr(k.steps, 4 * n.i + 3, 2) <> x'0000'), 2, 1))))), k.spans) AS spans
FROM value_range k
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW value_window AS
SELECT k.bundle, k.place, k.id, k.root, k.trace, k.slot, k.heads, k.wire, k.first, k.spans, k.span_base, k.fields, k.slots, k.first_step, k.steps,
  coalesce(k.base, 0) AS base,
  iif(k.top IS NULL, k.payload, substr(k.payload, k.base + 1, k.top - k.base + 5 +
    iif((SELECT v FROM byte WHERE b = substr(k.payload, k.top + 1, 1)) < 255,
      (SELECT v FROM byte WHERE b = substr(k.payload, k.top + 1, 1)), (((SELECT v FROM byte WHERE b = substr(substr(k.payload, k.top + 2, 4), 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(substr(k.payload, k.top + 2, 4), 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(substr(k.payload, k.top + 2, 4), 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(k.payload, k.top + 2, 4), 4, 1)))))) AS payload
FROM value_span k
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW value_bytes AS
SELECT k.bundle, k.place, k.id, k.root, k.trace, k.heads, k.payload, k.base, k.wire, k.first + n.i AS i, k.spans, k.span_base, k.steps, k.first_step,
  (((SELECT v FROM byte WHERE b = substr(k.fields, 5 * n.i + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.fields, 5 * n.i + 2, 1))) AS field,
  (((SELECT v FROM byte WHERE b = substr(k.fields, 5 * n.i + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(k.fields, 5 * n.i + 2 + 2, 1))) AS step,
  (SELECT v FROM byte WHERE b = substr(k.fields, 5 * n.i + 4 + 1, 1)) AS coding,
  CAST(substr(x'00000000', 1, 4 - k.slot) || substr(k.slots, k.slot * n.i + 1, k.slot) AS BLOB) AS at4
FROM value_window k CROSS JOIN number n ON n.i < length(k.fields) / 5
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW value_slots AS
SELECT v.bundle, v.place, v.id, v.root, v.trace, v.heads, v.payload, v.base, v.wire, v.i, v.field, v.step, v.coding,
  (((SELECT v FROM byte WHERE b = substr(v.at4, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(v.at4, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(v.at4, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(v.at4, 4, 1))) AS at,
  iif(substr(v.steps, 4 * (v.step - v.first_step) + 3, 2) = x'0000', x'0000',
    substr(v.spans, 20 * ((((SELECT v FROM byte WHERE b = substr(v.steps, 4 * (v.step - v.first_step) + 2 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(v.steps, 4 * (v.step - v.first_step) + 2 + 2, 1))) - v.span_base) + 1, 2)) AS number
FROM value_bytes v
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE VIEW value_raw AS
SELECT v.bundle, v.place, v.i, v.id, v.root, v.trace, v.field, v.step, v.coding, v.at, v.wire, v.heads,
  CAST(substr(v.id, 1, 6) || v.number AS BLOB) AS span_id,
  iif(v.coding IN (3, 4), iif((SELECT v FROM byte WHERE b = substr(v.payload, v.at - v.base + 1, 1)) < 255,
    substr(v.payload, v.at - v.base + 2, (SELECT v FROM byte WHERE b = substr(v.payload, v.at - v.base + 1, 1))),
    substr(v.payload, v.at - v.base + 6, (((SELECT v FROM byte WHERE b = substr(v.payload, v.at - v.base + 1 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(v.payload, v.at - v.base + 1 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(v.payload, v.at - v.base + 1 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(v.payload, v.at - v.base + 1 + 4, 1))))), NULL) AS bytes
FROM value_slots v;

-- The root of a trace is its first operation that has no parent in it: one of the first of the
-- trace's bundles.
CREATE VIEW trace_name AS
SELECT g.trace, lower(hex(iif(g.first = g.last, (SELECT substr(b.heads, 1, 8) FROM bundle b WHERE b.key = g.first),
   (SELECT h.id FROM head_raw h WHERE h.trace = g.trace AND h.start_ns <=
     coalesce((SELECT f.head_ns FROM head_raw f WHERE f.trace = g.trace AND NOT f.parented ORDER BY f.start_ns LIMIT 1),
              9223372036854775807)
   ORDER BY h.parented, h.head_ns, h.id LIMIT 1)))) ||
  coalesce((SELECT value FROM session WHERE name = 'id'), '0000000000000000') AS trace_id
FROM (SELECT trace, min(key) AS first, max(key) AS last FROM bundle GROUP BY trace) g;

CREATE VIEW mark_name AS
SELECT 1 AS mark, 'incomplete' AS name UNION ALL SELECT 2, 'began before attach'
UNION ALL SELECT 4, 'may be cut' UNION ALL SELECT 8, 'unexpected step'
UNION ALL SELECT 16, 'timed out' UNION ALL SELECT 32, 'ambiguous link'
UNION ALL SELECT 64, 'steps unknown' UNION ALL SELECT 128, 'reported by peer';

-- What the spans of a shape add up to, and its first.
CREATE VIEW shape_sum AS
SELECT k.key, count(*) AS spans, max(status.v = 2) AS failed,
  max(mark.v & 1) | max(mark.v & 2) | max(mark.v & 4) | max(mark.v & 8) | max(mark.v & 16) | max(mark.v & 32) |
    max(mark.v & 64) | max(mark.v & 128) AS marks
FROM (SELECT s.key, substr(s.spans, 5120 * n.i + 1, 5120) AS spans
      FROM shape s JOIN number n ON n.i < (length(s.spans) + 5119) / 5120
      UNION ALL SELECT NULL, NULL WHERE 0) k
CROSS JOIN number n ON n.i < length(k.spans) / 20
JOIN byte mark ON mark.b = substr(k.spans, 20 * n.i + 12 + 2, 1)
JOIN byte status ON status.b = substr(k.spans, 20 * n.i + 14 + 1, 1)
GROUP BY k.key;

-- The same by origin, as bytes as heads have it: one look then tells of an operation. The last three are of
-- its first span.
CREATE VIEW origin_sum AS
SELECT CAST((SELECT b FROM byte WHERE v = o.key >> 24 & 255) || (SELECT b FROM byte WHERE v = o.key >> 16 & 255) ||
    (SELECT b FROM byte WHERE v = o.key >> 8 & 255) || (SELECT b FROM byte WHERE v = o.key & 255) AS BLOB) AS origin4,
  o.process, t.spans, t.failed, t.marks,
  (SELECT v FROM byte WHERE b = substr(s.spans, 14 + 1, 1)) AS status,
  (SELECT v FROM byte WHERE b = substr(s.spans, 15 + 1, 1)) AS name_coding,
  (((SELECT v FROM byte WHERE b = substr(substr(s.spans, 17 + 1, 3), 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(substr(s.spans, 17 + 1, 3), 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(s.spans, 17 + 1, 3), 3, 1))) AS name_slot
FROM origin o JOIN shape_sum t ON t.key = o.shape JOIN shape s ON s.key = o.shape
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

-- One row per link whose end has its span, in the trace of that end: links of one bundle, and between two. The n-th
-- span has number n, unless some were not seen.
CREATE VIEW link_inside AS
SELECT b.trace, (SELECT grade FROM link_kind WHERE key = (((SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 6 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 6 + 2, 1)))) AS grade
FROM bundle b JOIN number n ON n.i < length(b.edges) / 8
WHERE substr(b.edges, 8 * n.i + 5, 2) = x'0000' OR
  EXISTS (SELECT 1 FROM origin o JOIN shape s ON s.key = o.shape
          WHERE o.key = (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 4, 1)) + 8 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 4, 1)) + 8 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 4, 1)) + 8 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 4, 1)) + 8 + 4, 1))) AND
            (substr(s.spans, 20 * (((SELECT v FROM byte WHERE b = substr(substr(b.edges, 8 * n.i + 5, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.edges, 8 * n.i + 5, 2), 2, 1))) + 1, 2) = substr(b.edges, 8 * n.i + 5, 2) OR
             EXISTS (SELECT 1 FROM number i WHERE i.i < length(s.spans) / 20 AND substr(s.spans, 20 * i.i + 1, 2) = substr(b.edges, 8 * n.i + 5, 2))));

CREATE VIEW link_between AS
SELECT b.trace, (SELECT grade FROM link_kind WHERE key = e.kind) AS grade
FROM bundle b JOIN number n ON n.i < length(b.heads) / 22
JOIN edge e ON e.to_id BETWEEN substr(b.heads, 22 * n.i + 1, 8) AND CAST(substr(b.heads, 22 * n.i + 1, 6) || x'ffff' AS BLOB)
WHERE e.to_id = substr(b.heads, 22 * n.i + 1, 8) OR
  EXISTS (SELECT 1 FROM origin o JOIN shape s ON s.key = o.shape
          WHERE o.key = (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 4, 1))) AND
            (substr(s.spans, 20 * (((SELECT v FROM byte WHERE b = substr(substr(e.to_id, 7, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(e.to_id, 7, 2), 2, 1))) + 1, 2) = substr(e.to_id, 7, 2) OR
             EXISTS (SELECT 1 FROM number i WHERE i.i < length(s.spans) / 20 AND substr(s.spans, 20 * i.i + 1, 2) = substr(e.to_id, 7, 2))));

-- What the operations of a trace add up to, without unpacking a span. open: only its spans tell when it ended;
-- root: the bundle whose first operation is the trace's root.
CREATE VIEW trace_sum AS
WITH known AS MATERIALIZED (SELECT * FROM origin_sum)
SELECT t.*, b.heads, b.payload, k.status, k.name_coding,
  iif((SELECT v FROM byte WHERE b = substr(b.heads, 12 + 1, 1)) & 4,
    (((SELECT v FROM byte WHERE b = substr(substr(b.slots, 4 * k.name_slot + 1, 4), 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(substr(b.slots, 4 * k.name_slot + 1, 4), 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(substr(b.slots, 4 * k.name_slot + 1, 4), 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.slots, 4 * k.name_slot + 1, 4), 4, 1))),
    (((SELECT v FROM byte WHERE b = substr(substr(b.slots, 2 * k.name_slot + 1, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.slots, 2 * k.name_slot + 1, 2), 2, 1)))) AS name_at,
  coalesce((SELECT offset_ns FROM clock WHERE boot_ns <= t.start_ns ORDER BY boot_ns DESC LIMIT 1),
    (SELECT offset_ns FROM clock ORDER BY boot_ns LIMIT 1), 0) AS wall_ns
FROM (SELECT g.*, iif(g.first = g.last, g.first, (SELECT h.key FROM head_raw h WHERE h.trace = g.trace AND h.start_ns <=
     coalesce((SELECT f.head_ns FROM head_raw f WHERE f.trace = g.trace AND NOT f.parented ORDER BY f.start_ns LIMIT 1),
              9223372036854775807)
   ORDER BY h.parented, h.head_ns, h.id LIMIT 1)) AS root
      FROM (SELECT b.trace, min(b.key) AS first, max(b.key) AS last, min(b.start_ns) AS start_ns,
              max(b.start_ns + b.duration_ns) AS end_ns, max(b.duration_ns IS NULL) AS open,
              count(DISTINCT k.process) AS processes, sum(k.spans) AS spans, max(k.failed) AS failed,
              max(k.marks & 1) | max(k.marks & 2) | max(k.marks & 4) | max(k.marks & 8) | max(k.marks & 16) |
                max(k.marks & 32) | max(k.marks & 64) | max(k.marks & 128) AS marks,
              max(EXISTS (SELECT 1 FROM amend a WHERE a.id = substr(b.heads, 22 * n.i + 1, 8))) AS amended
            FROM bundle b CROSS JOIN number n ON n.i < length(b.heads) / 22
            CROSS JOIN known k ON k.origin4 = substr(b.heads, 22 * n.i + 8 + 1, 4) GROUP BY b.trace) g) t
JOIN bundle b ON b.key = t.root JOIN known k ON k.origin4 = substr(b.heads, 8 + 1, 4);

-- One row per operation: when the last of its spans ended. These are looked up by trace from within another query: SQLite must be able
-- to make them a part of it.
CREATE VIEW end_raw AS
SELECT b.trace, b.start_ns + (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 1, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 2, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 3, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 4, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13 + 5, 1))) +
  (SELECT max(iif(substr(w.spans, 20 * i.i + 10, 3) = x'ffffff', 0, (SELECT (((SELECT v FROM byte WHERE b = substr(e.at8, 1, 1)) << 56) |
    ((SELECT v FROM byte WHERE b = substr(e.at8, 2, 1)) << 48) |
    ((SELECT v FROM byte WHERE b = substr(e.at8, 3, 1)) << 40) |
    ((SELECT v FROM byte WHERE b = substr(e.at8, 4, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(e.at8, 5, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(e.at8, 6, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(e.at8, 7, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(e.at8, 8, 1)))
     FROM (SELECT CAST(substr(x'0000000000000000', 1, 8 - w.width) ||
             substr(w.ends, w.width * ((((SELECT v FROM byte WHERE b = substr(w.spans, 20 * i.i + 9 + 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(w.spans, 20 * i.i + 9 + 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(w.spans, 20 * i.i + 9 + 3, 1))) - w.base) + 1, w.width) AS BLOB) AS at8) e)))
   FROM (SELECT k.spans, k.width, k.base, substr(b.times, k.times_at + k.width * k.base + 1, k.width * (k.top - k.base + 1)) AS ends
     FROM (SELECT j.spans, coalesce((((SELECT v FROM byte WHERE b = substr((SELECT min(substr(j.spans, 20 * i.i + 10, 3)) FROM number i
           WHERE i.i < length(j.spans) / 20 AND substr(j.spans, 20 * i.i + 10, 3) <> x'ffffff'), 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr((SELECT min(substr(j.spans, 20 * i.i + 10, 3)) FROM number i
           WHERE i.i < length(j.spans) / 20 AND substr(j.spans, 20 * i.i + 10, 3) <> x'ffffff'), 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT min(substr(j.spans, 20 * i.i + 10, 3)) FROM number i
           WHERE i.i < length(j.spans) / 20 AND substr(j.spans, 20 * i.i + 10, 3) <> x'ffffff'), 3, 1))), 0) AS base,
             (((SELECT v FROM byte WHERE b = substr((SELECT max(substr(j.spans, 20 * i.i + 10, 3)) FROM number i
           WHERE i.i < length(j.spans) / 20 AND substr(j.spans, 20 * i.i + 10, 3) <> x'ffffff'), 1, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr((SELECT max(substr(j.spans, 20 * i.i + 10, 3)) FROM number i
           WHERE i.i < length(j.spans) / 20 AND substr(j.spans, 20 * i.i + 10, 3) <> x'ffffff'), 2, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr((SELECT max(substr(j.spans, 20 * i.i + 10, 3)) FROM number i
           WHERE i.i < length(j.spans) / 20 AND substr(j.spans, 20 * i.i + 10, 3) <> x'ffffff'), 3, 1))) AS top,
             CASE (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13, 1)) & 3 WHEN 0 THEN 3 WHEN 1 THEN 4 WHEN 2 THEN 5 ELSE 8 END AS width,
             iif(n.i, (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 18 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 18 + 2, 1))), 0) AS times_at
       FROM (SELECT substr(s.spans, 5120 * q.i + 1, 5120) AS spans FROM number q WHERE q.i < (length(s.spans) + 5119) / 5120
             UNION ALL SELECT NULL WHERE 0) j
       UNION ALL SELECT NULL, NULL, NULL, NULL, NULL WHERE 0) k
     UNION ALL SELECT NULL, NULL, NULL, NULL WHERE 0) w
   JOIN number i ON i.i < length(w.spans) / 20) AS end_ns
FROM bundle b JOIN number n ON n.i < length(b.heads) / 22
JOIN origin o ON o.key = (((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 8 + 4, 1)))
JOIN shape s ON s.key = o.shape;

-- One row per operation whose parent is not in its trace (so far).
CREATE VIEW orphan_raw AS
SELECT b.trace
FROM bundle b JOIN number n ON n.i < length(b.heads) / 22
JOIN origin o ON o.key = (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 9, 4), 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 9, 4), 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 9, 4), 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 9, 4), 4, 1)))
JOIN shape s ON s.key = o.shape
WHERE (SELECT p.id NOT NULL AND NOT EXISTS (SELECT 1 FROM bundle c WHERE c.trace = b.trace AND instr(c.heads, p.id) % 22 = 1)
  FROM (SELECT CAST(iif((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13, 1)) & 16,
  substr(b.payload, 2 + iif((SELECT v FROM byte WHERE b = substr(b.heads, 22 * n.i + 13, 1)) & 4,
    (((SELECT v FROM byte WHERE b = substr(substr(b.slots, iif(n.i, (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 2, 1))), 0) + 4 * (s.field_slot + length(s.fields) / 5) + 1, 4), 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(substr(b.slots, iif(n.i, (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 2, 1))), 0) + 4 * (s.field_slot + length(s.fields) / 5) + 1, 4), 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(substr(b.slots, iif(n.i, (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 2, 1))), 0) + 4 * (s.field_slot + length(s.fields) / 5) + 1, 4), 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.slots, iif(n.i, (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 2, 1))), 0) + 4 * (s.field_slot + length(s.fields) / 5) + 1, 4), 4, 1))),
    (((SELECT v FROM byte WHERE b = substr(substr(b.slots, iif(n.i, (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 2, 1))), 0) + 2 * (s.field_slot + length(s.fields) / 5) + 1, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.slots, iif(n.i, (((SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.heads, 22 * n.i + 21, 2), 2, 1))), 0) + 2 * (s.field_slot + length(s.fields) / 5) + 1, 2), 2, 1)))), 6),
  (SELECT substr(e.from_id, 1, 6) FROM edge e JOIN link_kind k ON k.key = e.kind
   WHERE e.to_id = substr(b.heads, 22 * n.i + 1, 8) AND k.makes = 'parent' AND k.grade <> 'ambiguous' AND
     NOT EXISTS (SELECT 1 FROM number l JOIN link_kind j ON j.key = (((SELECT v FROM byte WHERE b = substr(substr(b.edges, 8 * l.i + 7, 2), 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(b.edges, 8 * l.i + 7, 2), 2, 1)))
       WHERE l.i < length(b.edges) / 8 AND substr(b.edges, 8 * l.i + 4, 3) =
         CAST((SELECT b FROM byte WHERE v = n.i) || x'0000' AS BLOB) AND j.makes = 'parent' AND j.grade <> 'ambiguous')
   ORDER BY CASE k.grade WHEN 'exact' THEN 0 WHEN 'strong' THEN 1 ELSE 2 END, e.from_id LIMIT 1)) || x'0000' AS BLOB) AS id LIMIT 1) p);

-- One row per trace: that of its root, with what its spans add up to.
CREATE VIEW trace AS
SELECT t.trace, lower(hex(substr(t.heads, 1, 8))) ||
         coalesce((SELECT value FROM session WHERE name = 'id'), '0000000000000000') AS trace_id,
       iif(t.name_coding = 2, (SELECT text FROM string WHERE id = t.name_at),
         CAST(iif((SELECT v FROM byte WHERE b = substr(t.payload, t.name_at + 1, 1)) < 255,
           substr(t.payload, t.name_at + 2, (SELECT v FROM byte WHERE b = substr(t.payload, t.name_at + 1, 1))),
           substr(t.payload, t.name_at + 6, (((SELECT v FROM byte WHERE b = substr(substr(t.payload, t.name_at + 2, 4), 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(substr(t.payload, t.name_at + 2, 4), 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(substr(t.payload, t.name_at + 2, 4), 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(substr(t.payload, t.name_at + 2, 4), 4, 1))))) AS TEXT)) AS root,
       strftime('%Y-%m-%dT%H:%M:%S', (t.start_ns + t.wall_ns) / 1000000000, 'unixepoch') ||
         printf('.%06dZ', (t.start_ns + t.wall_ns) / 1000 % 1000000) AS start_time,
       t.start_ns + t.wall_ns AS start_ns,
       iif(t.open, (SELECT max(e.end_ns) FROM end_raw e WHERE e.trace = t.trace), t.end_ns) - t.start_ns
         AS duration_ns, t.processes, t.spans,
         (SELECT count(*) FROM link_inside l WHERE l.trace = t.trace) +
           (SELECT count(*) FROM link_between l WHERE l.trace = t.trace) AS links,
       CASE WHEN t.failed THEN 'error' WHEN t.status = 1 THEN 'ok' ELSE 'unset' END AS status,
       coalesce((SELECT group_concat(m.name, ', ') FROM mark_name m WHERE t.marks & m.mark OR
           t.amended AND EXISTS (SELECT 1 FROM bundle b JOIN number n ON n.i < length(b.heads) / 22
             JOIN amend a ON a.id = substr(b.heads, 22 * n.i + 1, 8) WHERE b.trace = t.trace AND a.marks & m.mark) OR
           m.mark = 32 AND
             (EXISTS (SELECT 1 FROM link_inside l WHERE l.trace = t.trace AND l.grade = 'ambiguous') OR
              EXISTS (SELECT 1 FROM link_between l WHERE l.trace = t.trace AND l.grade = 'ambiguous')) OR
           m.mark = 1 AND NOT EXISTS (SELECT 1 FROM session WHERE name = 'ended') AND
             EXISTS (SELECT 1 FROM orphan_raw o WHERE o.trace = t.trace)), '') AS marks
FROM trace_sum t;

CREATE VIEW span AS
SELECT s.trace, lower(hex(s.root)) ||
  coalesce((SELECT value FROM session WHERE name = 'id'), '0000000000000000') AS trace_id, lower(hex(s.id)) AS span_id, nullif(lower(hex(s.parent)), '') AS parent_id,
       s.name, c.kind_name, c.operation,
       CASE c.kind WHEN 1 THEN 'INTERNAL' WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT'
                   WHEN 4 THEN 'PRODUCER' ELSE 'CONSUMER' END AS kind,
       c.provider, c.side, c.layer, c.feature, s.process, p.comm, p.pid, iif(s.marks & 128, NULL, s.tid) AS tid,
       strftime('%Y-%m-%dT%H:%M:%S', (s.start_ns + s.wall_ns) / 1000000000, 'unixepoch') ||
         printf('.%06dZ', (s.start_ns + s.wall_ns) / 1000 % 1000000) AS start_time,
       s.start_ns + s.wall_ns AS start_ns, s.start_ns + s.duration_ns + s.wall_ns AS end_ns,
       s.duration_ns,
       CASE s.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' ELSE 'unset' END AS status, s.code,
       coalesce((SELECT group_concat(name, ', ') FROM mark_name WHERE mark &
         (s.marks | 32 * s.ambiguous)), '') AS marks
FROM span_raw s
JOIN class c ON c.key = s.class
LEFT JOIN process p ON p.key = s.process AND NOT s.marks & 128;

CREATE VIEW event AS
SELECT s.trace, lower(hex(s.root)) ||
  coalesce((SELECT value FROM session WHERE name = 'id'), '0000000000000000') AS trace_id, lower(hex(s.span_id)) AS span_id, s.seq, p.name,
       strftime('%Y-%m-%dT%H:%M:%S', (s.start_ns + s.after_ns + s.wall_ns) / 1000000000, 'unixepoch') ||
         printf('.%06dZ', (s.start_ns + s.after_ns + s.wall_ns) / 1000 % 1000000) AS time,
       s.start_ns + s.after_ns + s.wall_ns AS time_ns, s.after_ns, p.unexpected, s.process,
       lower(hex(s.id)) AS operation_id
FROM step_raw s
JOIN point p ON p.number = s.point;

-- value is INTEGER, REAL or TEXT; bytes are shown as hexadecimal. cut_from: bytes there were.
CREATE VIEW attribute AS
SELECT v.trace, lower(hex(v.root)) ||
  coalesce((SELECT value FROM session WHERE name = 'id'), '0000000000000000') AS trace_id, lower(hex(v.span_id)) AS span_id, v.step AS seq, f.name, f.type,
       CASE WHEN v.coding = 1 THEN v.at
            WHEN v.coding = 2 THEN (SELECT text FROM string WHERE id = v.at)
            WHEN v.coding = 5 THEN lower(hex(v.wire)) ||
              lower(hex(CAST(substr(v.heads, 22 * (v.at >> 8) + 1, 6) || x'00' || (SELECT b FROM byte WHERE byte.v = v.at & 255) AS BLOB))) || '01'
            WHEN f.type = 'bytes' THEN lower(hex(iif(v.coding = 4, substr(v.bytes, 5), v.bytes)))
            WHEN f.type = 'str' THEN CAST(iif(v.coding = 4, substr(v.bytes, 5), v.bytes) AS TEXT)
            WHEN f.type = 'f64' THEN CAST(CAST(v.bytes AS TEXT) AS REAL)
            WHEN length(v.bytes) < 19 THEN CAST(CAST(v.bytes AS TEXT) AS INTEGER)
            ELSE CAST(v.bytes AS TEXT) END AS value,
       iif(v.coding = 4, (((SELECT v FROM byte WHERE b = substr(v.bytes, 1, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(v.bytes, 2, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(v.bytes, 3, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(v.bytes, 4, 1))), NULL) AS cut_from,
       lower(hex(v.id)) AS operation_id
FROM value_raw v
JOIN field f ON f.number = v.field;

CREATE VIEW link AS
SELECT b.trace, lower(hex(CAST(substr(b.heads, 22 * (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 1, 1)) + 1, 6) || substr(b.edges, 8 * n.i + 2, 2) AS BLOB))) AS from_id,
       lower(hex(CAST(substr(b.heads, 22 * (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 4, 1)) + 1, 6) || substr(b.edges, 8 * n.i + 5, 2) AS BLOB))) AS to_id,
       k.rule, k.makes, k.evidence, k.grade, k.also
FROM bundle b JOIN number n ON n.i < length(b.edges) / 8
JOIN link_kind k ON k.key = (((SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 6 + 1, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(b.edges, 8 * n.i + 6 + 2, 1)))
UNION ALL
SELECT (SELECT c.trace FROM bundle c JOIN number n ON n.i < length(c.heads) / 22
        WHERE (c.key BETWEEN p.first AND p.last OR c.key > d.bundle)
          AND substr(c.heads, 22 * n.i + 1, 6) = substr(e.to_id, 1, 6) LIMIT 1) AS trace,
       lower(hex(e.from_id)) AS from_id, lower(hex(e.to_id)) AS to_id,
       k.rule, k.makes, k.evidence, k.grade, k.also
FROM edge e JOIN link_kind k ON k.key = e.kind
LEFT JOIN place p ON p.block = (((SELECT v FROM byte WHERE b = substr(e.to_id, 1, 1)) << 40) |
    ((SELECT v FROM byte WHERE b = substr(e.to_id, 2, 1)) << 32) |
    ((SELECT v FROM byte WHERE b = substr(e.to_id, 3, 1)) << 24) |
    ((SELECT v FROM byte WHERE b = substr(e.to_id, 4, 1)) << 16) |
    ((SELECT v FROM byte WHERE b = substr(e.to_id, 5, 1)) << 8) |
    (SELECT v FROM byte WHERE b = substr(e.to_id, 6, 1))) >> 6
LEFT JOIN (SELECT coalesce(max(bundle), 0) AS bundle FROM placed) d;

-- hits = stored + the sum of lost, for every probe of every process.
CREATE VIEW losses AS
SELECT l.process, p.comm, p.pid, b.provider, b.probe, l.hits, l.stored,
       coalesce((SELECT sum(lost) FROM loss_reason r
                 WHERE r.process = l.process AND r.probe = l.probe), 0) AS lost,
       coalesce((SELECT group_concat(reason || ' ' || lost, ', ') FROM loss_reason r
                 WHERE r.process = l.process AND r.probe = l.probe AND r.lost), '') AS reasons
FROM loss l JOIN probe b ON b.key = l.probe LEFT JOIN process p ON p.key = l.process;

-- One row if the recording is under way or was killed: later hits are unknown.
CREATE VIEW cut AS
SELECT strftime('%Y-%m-%dT%H:%M:%S', wall / 1000000000, 'unixepoch') ||
       printf('.%09dZ', wall % 1000000000) AS time, wall AS time_ns
FROM (SELECT CAST(value AS INTEGER) +
        coalesce((SELECT offset_ns FROM clock WHERE boot_ns <= CAST(value AS INTEGER) ORDER BY boot_ns DESC LIMIT 1),
                 (SELECT offset_ns FROM clock ORDER BY boot_ns LIMIT 1), 0) AS wall
      FROM session WHERE name = 'committed_ns' AND NOT EXISTS (SELECT 1 FROM session WHERE name = 'ended'));

CREATE VIEW attached AS
SELECT a.process, p.comm, p.pid, b.provider, b.probe, a.level, a.sites, a.from_ns, a.to_ns
FROM attach a JOIN probe b ON b.key = a.probe LEFT JOIN process p ON p.key = a.process;

-- What record --aggregate found: per operation of a process (point NULL), and per point of it, from the step
-- before. Times are at most 1/32 off.
CREATE VIEW latency AS
SELECT json_extract(value, '$.process') AS process, json_extract(value, '$.pid') AS pid,
       json_extract(value, '$.operation') AS operation, json_extract(value, '$.point') AS point,
       json_extract(value, '$.count') AS count, json_extract(value, '$.errors') AS errors,
       json_extract(value, '$.untimed') AS untimed, json_extract(value, '$.p50_ns') AS p50_ns,
       json_extract(value, '$.p90_ns') AS p90_ns, json_extract(value, '$.p99_ns') AS p99_ns,
       json_extract(value, '$.max_ns') AS max_ns
FROM session WHERE name GLOB 'aggregate.*' AND json_valid(value);
