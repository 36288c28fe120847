/*
 * The read side of the SQLite driver: scans over stored parts, unpacked from the base tables (the
 * views are for people; a file's views are not trusted). What comes out is checked like any other
 * foreign input: damage is an error with a name, never a crash. Feeds store.c.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "store/part.h"

#define ROW_HEAD                                                                                    \
	"SELECT o.key, o.id, o.trace, o.parent, o.process, o.tid, o.class, "                        \
	"(SELECT text FROM string WHERE id = o.name), o.start_ns, o.duration_ns, o.status, "        \
	"(SELECT text FROM string WHERE id = o.code), o.marks | o.patch_marks, o.complete, o.seq, " \
	"o.wide, "
#define ROW_WHOLE ROW_HEAD "o.steps, o.fields, o.payload FROM operation o "
#define ROW_BARE  ROW_HEAD "NULL, NULL, NULL FROM operation o "
#define EDGES                                                                                      \
	"SELECT e.from_id, e.to_id, e.kind, e.seq, (SELECT text FROM string WHERE id = e.rule) r " \
	"FROM edge e "
#define OF_TRACE "WHERE o.trace = ?1 ORDER BY o.id"
#define BY_ID	 "WHERE o.id BETWEEN ?1 AND ?2 ORDER BY o.id"

static const char *const read_sql[READ_COUNT] = {
	[READ_ROWS] = ROW_WHOLE "ORDER BY o.id",
	[READ_ROWS_OF_TRACE] = ROW_WHOLE OF_TRACE,
	[READ_ROWS_BY_ID] = ROW_WHOLE BY_ID,
	[READ_NESTED] =
		"SELECT n.i, n.id, n.parent, n.class, (SELECT text FROM string WHERE id = "
		"n.name), n.after_ns, n.duration_ns, n.status, (SELECT text FROM string "
		"WHERE id = n.code), n.marks FROM nested n WHERE n.operation = ?1 ORDER BY n.i",
	[READ_PATCHES] = "SELECT id, trace, marks FROM patch ORDER BY id",
	[READ_EDGES] = EDGES "ORDER BY e.from_id, e.to_id, r",
	[READ_EDGES_FROM] =
		EDGES "WHERE e.from_id BETWEEN ?1 AND ?2 ORDER BY e.from_id, e.to_id, r",
	[READ_EDGES_TO] = EDGES "WHERE e.to_id BETWEEN ?1 AND ?2 ORDER BY e.to_id, e.from_id, r",
	[READ_PROCESSES] = "SELECT * FROM process ORDER BY key",
	[READ_ATTACH] =
		"SELECT a.process, p.provider, p.probe, a.from_ns, a.to_ns, a.level, "
		"a.sites, a.seq FROM attach a JOIN probe p ON p.key = a.probe ORDER BY 1, 2, 3, 4",
	[READ_LOSSES] = "SELECT l.process, p.provider, p.probe, l.hits, l.stored, l.seq, l.probe "
			"FROM loss l JOIN probe p ON p.key = l.probe ORDER BY 1, 2, 3",
	[READ_REASONS] = "SELECT reason, lost FROM loss_reason WHERE process = ?1 AND probe = ?2 "
			 "ORDER BY i",
	[READ_GAPS] = "SELECT * FROM gap ORDER BY 1, 2, 3",
	[READ_CLOCKS] = "SELECT * FROM clock ORDER BY 1",
	[READ_SETTINGS] = "SELECT * FROM session ORDER BY 1",
	[READ_CATALOGUES] = "SELECT * FROM catalogue ORDER BY 1",
};

/* The same without an index in the file: temporary tables made by sqlite_read_index. */
#define ASIDE "WHERE o.key IN (SELECT key FROM temp.membership WHERE trace = ?1) ORDER BY o.id"
static const char *const bare_sql[3] = {
	[READ_ROWS] = ROW_BARE "ORDER BY o.id",
	[READ_ROWS_OF_TRACE] = ROW_BARE OF_TRACE,
	[READ_ROWS_BY_ID] = ROW_BARE BY_ID,
};
static const char rows_aside_sql[] = ROW_WHOLE ASIDE, bare_aside_sql[] = ROW_BARE ASIDE;
static const char edges_aside_sql[] =
	"SELECT t.from_id, t.to_id, e.kind, e.seq, (SELECT text FROM string WHERE id = e.rule) r "
	"FROM temp.target t CROSS JOIN edge e ON e.from_id = t.from_id AND e.to_id = t.to_id "
	"AND e.rule = t.rule WHERE t.to_id BETWEEN ?1 AND ?2 ORDER BY t.to_id, t.from_id, r";

struct sqlite_scanner {
	struct osp_scanner base;
	sqlite3_stmt *st;
	enum sqlite_read read;
};

static int damaged(struct sqlite_store *s, const char *what)
{
	return osp_store_fail(&s->base, -EBADMSG, "%s: damaged: %s", s->path, what);
}

/* ---- statements ---- */

static const char *choose_sql(const struct sqlite_store *s, enum sqlite_read read, bool bare)
{
	if (s->indexed_aside && read == READ_ROWS_OF_TRACE)
		return bare ? bare_aside_sql : rows_aside_sql;
	if (s->indexed_aside && read == READ_EDGES_TO)
		return edges_aside_sql;
	return bare && read <= READ_ROWS_BY_ID ? bare_sql[read] : read_sql[read];
}

static int take_statement(struct sqlite_store *s, enum sqlite_read read, bool bare,
			  sqlite3_stmt **out)
{
	sqlite3_stmt **idle = &s->reads[bare][read];

	if (*idle) {
		*out = *idle;
		*idle = NULL;
		return 0;
	}
	return sqlite3_prepare_v3(s->db, choose_sql(s, read, bare), -1, SQLITE_PREPARE_PERSISTENT,
				  out, NULL)
		       ? sqlite_fail(s, "read")
		       : 0;
}

static void give_statement(struct sqlite_store *s, enum sqlite_read read, bool bare,
			   sqlite3_stmt *st)
{
	sqlite3_stmt **idle = &s->reads[bare][read];

	sqlite3_reset(st);
	if (*idle)
		sqlite3_finalize(st);
	else
		*idle = st;
}

static bool has_index(struct sqlite_store *s)
{
	sqlite3_stmt *st = NULL;
	bool found = false;

	if (!sqlite3_prepare_v2(s->db,
				"SELECT count(*) = 2 FROM sqlite_schema WHERE type = 'index' "
				"AND name IN ('operation_trace', 'edge_to')",
				-1, &st, NULL) &&
	    sqlite3_step(st) == SQLITE_ROW)
		found = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return found;
}

int sqlite_read_index(struct sqlite_store *s)
{
	int r = 0;

	if (s->indexed || s->indexed_aside)
		return 0;
	s->indexed = has_index(s);
	if (s->indexed)
		return 0;
	if (s->base.writable) {
		r = sqlite_exec(s, "CREATE INDEX IF NOT EXISTS operation_trace ON "
				   "operation(trace, start_ns);"
				   "CREATE INDEX IF NOT EXISTS edge_to ON edge(to_id);");
		s->indexed = !r;
		return r;
	}
	r = sqlite_exec(
		s, "CREATE TEMP TABLE membership(trace, start_ns, key, "
		   "PRIMARY KEY(trace, start_ns, key)) WITHOUT ROWID;"
		   "INSERT INTO temp.membership SELECT trace, start_ns, key FROM main.operation;"
		   "CREATE TEMP TABLE target(to_id, from_id, rule, "
		   "PRIMARY KEY(to_id, from_id, rule)) WITHOUT ROWID;"
		   "INSERT INTO temp.target SELECT to_id, from_id, rule FROM main.edge;");
	s->indexed_aside = !r;
	return r;
}

/* ---- columns ---- */

static int get_text(struct osp_arena *arena, sqlite3_stmt *st, int at, const char **out)
{
	const void *text = sqlite3_column_text(st, at);

	*out = text ? osp_arena_copy(arena, text, (size_t)sqlite3_column_bytes(st, at)) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

static int need_text(struct sqlite_store *s, struct osp_arena *arena, sqlite3_stmt *st, int at,
		     const char **out)
{
	int r = get_text(arena, st, at, out);

	return r ? r : *out ? 0 : damaged(s, "a text is missing");
}

static int get_id(struct sqlite_store *s, sqlite3_stmt *st, int at, uint64_t *id)
{
	*id = 0;
	if (sqlite3_column_type(st, at) == SQLITE_NULL)
		return 0;
	if (sqlite3_column_type(st, at) != SQLITE_BLOB || sqlite3_column_bytes(st, at) != 8)
		return damaged(s, "an id is not 8 bytes");
	*id = osp_pack_get(sqlite3_column_blob(st, at), 8);
	return 0;
}

static uint32_t get_u32(sqlite3_stmt *st, int at)
{
	return (uint32_t)sqlite3_column_int64(st, at);
}

static int64_t add_ns(int64_t a, uint64_t b)
{
	return (int64_t)((uint64_t)a + b);
}

/* ---- rows ---- */

static int get_class(struct sqlite_store *s, sqlite3_stmt *st, int at, const struct name **class)
{
	int r = sqlite_names_get(s, NAMES_CLASS, sqlite3_column_int64(st, at), class);

	if (!r && ((*class)->integer < OSP_SPAN_INTERNAL || (*class)->integer > OSP_SPAN_CONSUMER))
		return damaged(s, "a kind of span");
	return r;
}

static int copy_name(struct osp_arena *arena, const char *from, const char **to)
{
	*to = from ? osp_arena_copy(arena, from, strlen(from)) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* Names live as long as the store: only a rollback of its writer, which also reads, drops them. */
static int get_head(struct sqlite_store *s, sqlite3_stmt *st, struct osp_arena *arena,
		    struct osp_row *row, struct osp_row_span *span)
{
	const struct name *class;
	int r = get_class(s, st, 6, &class);

	r = r ? r : get_id(s, st, 1, &row->id);
	r = r ? r : get_id(s, st, 3, &row->parent_id);
	r = r ? r : need_text(s, arena, st, 7, &span->name);
	r = r ? r : get_text(arena, st, 11, &span->code);
	r = r ? r : copy_name(arena, class->texts[0], &row->provider);
	r = r ? r : copy_name(arena, class->texts[1], &row->side);
	r = r ? r : copy_name(arena, class->texts[2], &row->layer);
	r = r ? r : copy_name(arena, class->texts[3], &row->feature);
	r = r ? r : copy_name(arena, class->texts[5], &span->kind_name);
	if (r)
		return r;
	row->trace = (uint64_t)sqlite3_column_int64(st, 2);
	row->process = get_u32(st, 4);
	row->tid = get_u32(st, 5);
	row->complete = sqlite3_column_int(st, 13);
	span->kind = (enum osp_span_kind) class->integer;
	span->start_ns = sqlite3_column_int64(st, 8);
	span->end_ns = add_ns(span->start_ns, (uint64_t)sqlite3_column_int64(st, 9));
	span->status = (enum osp_span_status)(get_u32(st, 10) % 3);
	span->marks = get_u32(st, 12);
	return row->id ? 0 : damaged(s, "an operation without id");
}

static int get_nested(struct sqlite_store *s, sqlite3_stmt *st, struct osp_arena *arena,
		      const struct osp_row *row, struct osp_row_span *span)
{
	const struct name *class;
	int64_t parent = sqlite3_column_int64(st, 2);
	uint64_t id;
	int r = get_class(s, st, 3, &class);

	r = r ? r : get_id(s, st, 1, &id);
	r = r ? r : need_text(s, arena, st, 4, &span->name);
	r = r ? r : get_text(arena, st, 8, &span->code);
	r = r ? r : copy_name(arena, class->texts[5], &span->kind_name);
	if (r)
		return r;
	if (sqlite3_column_int64(st, 0) != (int64_t)row->span_count || parent < 0 ||
	    parent >= (int64_t)row->span_count || id <= row->id || id - row->id > OSP_PART_SPANS)
		return damaged(s, "a nested span");
	span->number = (uint16_t)(id - row->id);
	span->parent = (uint16_t)parent;
	span->kind = (enum osp_span_kind) class->integer;
	span->start_ns = add_ns(row->spans[0].start_ns, (uint64_t)sqlite3_column_int64(st, 5));
	span->end_ns = add_ns(span->start_ns, (uint64_t)sqlite3_column_int64(st, 6));
	span->status = (enum osp_span_status)(get_u32(st, 7) % 3);
	span->marks = get_u32(st, 9);
	return 0;
}

/* Spans of a row grow in the arena: their number is known when the last has come. */
static int get_spans(struct sqlite_store *s, int64_t key, struct osp_arena *arena,
		     struct osp_row *row, struct osp_row_span *spans)
{
	size_t room = 1;
	sqlite3_stmt *st;
	int r = take_statement(s, READ_NESTED, false, &st), code = SQLITE_DONE;

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, key);
	row->spans = spans;
	row->span_count = 1;
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		if (row->span_count == OSP_PART_SPANS) {
			r = damaged(s, "too many nested spans");
			break;
		}
		if (row->span_count == room) {
			struct osp_row_span *more = osp_arena_alloc(arena, 4 * room, sizeof(*more));

			if (!more) {
				r = -ENOMEM;
				break;
			}
			memcpy(more, spans, room * sizeof(*more));
			row->spans = spans = more;
			room *= 4;
		}
		r = get_nested(s, st, arena, row, &spans[row->span_count]);
		row->span_count++;
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "read");
	give_statement(s, READ_NESTED, false, st);
	return r;
}

static int get_steps(struct sqlite_store *s, sqlite3_stmt *st, struct osp_arena *arena,
		     struct osp_row *row)
{
	bool wide = sqlite3_column_int(st, 15);
	size_t size = osp_pack_step_size(wide), bytes = (size_t)sqlite3_column_bytes(st, 16);
	const uint8_t *blob = sqlite3_column_blob(st, 16);
	struct osp_step *steps;

	row->step_count = bytes / size;
	if (bytes % size || row->step_count > OSP_PART_STEPS)
		return damaged(s, "steps");
	row->steps = steps = osp_arena_alloc(arena, row->step_count, sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	for (size_t i = 0; i < row->step_count; i++) {
		struct osp_pack_step p = osp_pack_get_step(blob + i * size, wide);
		const struct name *point;
		int r = sqlite_names_get(s, NAMES_POINT, p.point, &point);

		r = r ? r : copy_name(arena, point->texts[0], &steps[i].name);
		if (r)
			return r;
		if (p.span >= row->span_count)
			return damaged(s, "a step lies in no span");
		steps[i].time_ns = add_ns(row->spans[0].start_ns, p.after_ns);
		steps[i].span = p.span;
		steps[i].unexpected = point->integer;
	}
	return 0;
}

/* Digits of a number; an embedded end of text cannot occur, as the arena's copy ends in one. */
static int get_number(struct sqlite_store *s, const char *digits, struct osp_value *v)
{
	char *end;

	switch (v->type) {
	case OSP_VALUE_I64:
		v->i64 = strtoll(digits, &end, 10);
		break;
	case OSP_VALUE_U64:
		v->u64 = strtoull(digits, &end, 10);
		break;
	case OSP_VALUE_F64:
		v->f64 = strtod(digits, &end);
		break;
	default:
		v->boolean = *digits == '1';
		end = (char *)digits + 1;
		break;
	}
	return *digits && !*end ? 0 : damaged(s, "a number");
}

static int get_bytes(struct sqlite_store *s, const struct name *field, const uint8_t *p,
		     size_t size, struct osp_value *v)
{
	v->true_size = (uint32_t)size;
	if (field->integer) {
		if (size < 4)
			return damaged(s, "a value that was cut");
		v->true_size = (uint32_t)osp_pack_get(p, 4);
		p += 4;
		size -= 4;
	}
	v->data = p;
	v->size = (uint32_t)size;
	return 0;
}

static int get_value(struct sqlite_store *s, const struct name *field, const uint8_t *p,
		     size_t size, struct osp_arena *arena, struct osp_value *v)
{
	static const char *const types[] = {"i64", "u64", "f64", "bool", "str", "bytes"};
	const char *text;
	size_t type = 0, length;
	int r;

	while (type < 6 && strcmp(types[type], field->texts[1]))
		type++;
	if (type == 6)
		return damaged(s, "a type of value");
	v->type = (enum osp_value_type)type;
	if (v->type >= OSP_VALUE_STR && strcmp(field->texts[2], "string"))
		return get_bytes(s, field, p, size, v);
	text = osp_arena_copy(arena, p, size);
	if (!text)
		return -ENOMEM;
	if (v->type < OSP_VALUE_STR)
		return get_number(s, text, v);
	r = sqlite_string_get(s, strtoll(text, NULL, 10), arena, &text, &length);
	v->data = text;
	v->size = v->true_size = (uint32_t)length;
	return r;
}

/* Attributes follow their steps in order, so a step's are a run of them. */
static int get_attribute(struct sqlite_store *s, const struct osp_pack_field *f, uint32_t i,
			 struct osp_row *row, const struct name **name)
{
	struct osp_step *step = (struct osp_step *)&row->steps[f->step];

	if (f->step >= row->step_count || (i && step->attribute_count == UINT16_MAX))
		return damaged(s, "an attribute belongs to no step");
	if (!step->attribute_count)
		step->first_attribute = i;
	if (step->first_attribute + step->attribute_count != i)
		return damaged(s, "attributes out of order");
	step->attribute_count++;
	return sqlite_names_get(s, NAMES_FIELD, f->field, name);
}

static int get_attributes(struct sqlite_store *s, sqlite3_stmt *st, struct osp_arena *arena,
			  struct osp_row *row)
{
	bool wide = sqlite3_column_int(st, 15);
	size_t size = osp_pack_field_size(wide), bytes = (size_t)sqlite3_column_bytes(st, 17);
	size_t payload_size = (size_t)sqlite3_column_bytes(st, 18), at = 0;
	const uint8_t *blob = sqlite3_column_blob(st, 17), *payload;
	struct osp_attribute *list;

	if (bytes % size)
		return damaged(s, "attributes");
	row->attribute_count = bytes / size;
	payload = osp_arena_copy(arena, sqlite3_column_blob(st, 18), payload_size);
	row->attributes = list = osp_arena_alloc(arena, row->attribute_count, sizeof(*list));
	if (!payload || !list)
		return -ENOMEM;
	for (size_t i = 0; i < row->attribute_count; i++) {
		struct osp_pack_field f = osp_pack_get_field(blob + i * size, wide);
		const struct name *name;
		int r = get_attribute(s, &f, (uint32_t)i, row, &name);

		r = r ? r : copy_name(arena, name->texts[0], &list[i].name);
		if (!r && (f.end < at || f.end > payload_size))
			r = damaged(s, "a value lies outside");
		r = r ? r : get_value(s, name, payload + at, f.end - at, arena, &list[i].value);
		if (r)
			return r;
		at = f.end;
	}
	return 0;
}

static int get_row(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct osp_row_span *span = osp_arena_alloc(arena, 1, sizeof(*span));
	struct osp_row *row = &part->row;
	int r = span ? get_head(s, c->st, arena, row, span) : -ENOMEM;

	part->seq = (uint64_t)sqlite3_column_int64(c->st, 14);
	r = r ? r : get_spans(s, sqlite3_column_int64(c->st, 0), arena, row, span);
	if (r || c->base.query.heads)
		return r;
	r = get_steps(s, c->st, arena, row);
	return r ? r : get_attributes(s, c->st, arena, row);
}

/* ---- the other parts ---- */

static int get_edge(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct osp_edge *e = &part->edge;
	const struct name *kind;
	int r = sqlite_names_get(s, NAMES_LINK_KIND, sqlite3_column_int64(c->st, 2), &kind);

	r = r ? r : get_id(s, c->st, 0, &e->from);
	r = r ? r : get_id(s, c->st, 1, &e->to);
	r = r ? r : need_text(s, arena, c->st, 4, &e->rule);
	r = r ? r : copy_name(arena, kind->texts[1], &e->makes);
	r = r ? r : copy_name(arena, kind->texts[2], &e->evidence);
	r = r ? r : copy_name(arena, kind->texts[3], &e->grade);
	r = r ? r : copy_name(arena, kind->texts[4], &e->also);
	part->seq = (uint64_t)sqlite3_column_int64(c->st, 3);
	return r;
}

static int get_process(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct osp_process_row *p = &part->process;
	sqlite3_stmt *st = c->st;
	int r = need_text(s, arena, st, 10, &p->comm);

	r = r ? r : need_text(s, arena, st, 11, &p->exe);
	r = r ? r : need_text(s, arena, st, 12, &p->cmdline);
	p->key = get_u32(st, 0);
	p->parent_key = get_u32(st, 1);
	p->pid = get_u32(st, 2);
	p->namespace_pid = get_u32(st, 3);
	p->uid = get_u32(st, 4);
	p->exec_id = get_u32(st, 5);
	p->start_ns = sqlite3_column_int64(st, 6);
	p->seen_ns = sqlite3_column_int64(st, 7);
	p->end_ns = sqlite3_column_int64(st, 8);
	p->exit_code = sqlite3_column_int(st, 9);
	part->seq = (uint64_t)sqlite3_column_int64(st, 13);
	return r;
}

static int get_attach(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct osp_attach_row *a = &part->attach;
	int r = need_text(s, arena, c->st, 1, &a->provider);

	r = r ? r : need_text(s, arena, c->st, 2, &a->probe);
	r = r ? r : need_text(s, arena, c->st, 5, &a->level);
	a->process = get_u32(c->st, 0);
	a->from_ns = sqlite3_column_int64(c->st, 3);
	a->to_ns = sqlite3_column_int64(c->st, 4);
	a->sites = get_u32(c->st, 6);
	part->seq = (uint64_t)sqlite3_column_int64(c->st, 7);
	return r;
}

enum { REASONS = 64 };

static int get_reasons(struct sqlite_store *s, sqlite3_stmt *loss, struct osp_arena *arena,
		       struct osp_loss_row *l)
{
	const char **reasons = osp_arena_alloc(arena, REASONS, sizeof(*reasons));
	uint64_t *lost = osp_arena_alloc(arena, REASONS, sizeof(*lost));
	sqlite3_stmt *st;
	int r = reasons && lost ? take_statement(s, READ_REASONS, false, &st) : -ENOMEM;
	int code = SQLITE_DONE;

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, sqlite3_column_int64(loss, 0));
	sqlite3_bind_int64(st, 2, sqlite3_column_int64(loss, 6));
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		if (l->count == REASONS) {
			r = damaged(s, "too many reasons of a loss");
			break;
		}
		lost[l->count] = (uint64_t)sqlite3_column_int64(st, 1);
		r = need_text(s, arena, st, 0, &reasons[l->count++]);
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "read");
	give_statement(s, READ_REASONS, false, st);
	l->reasons = reasons;
	l->lost = lost;
	return r;
}

static int get_loss(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct osp_loss_row *l = &part->loss;
	int r = need_text(s, arena, c->st, 1, &l->provider);

	r = r ? r : need_text(s, arena, c->st, 2, &l->probe);
	l->process = get_u32(c->st, 0);
	l->hits = (uint64_t)sqlite3_column_int64(c->st, 3);
	l->stored = (uint64_t)sqlite3_column_int64(c->st, 4);
	part->seq = (uint64_t)sqlite3_column_int64(c->st, 5);
	return r ? r : get_reasons(s, c->st, arena, l);
}

static int get_gap(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	struct osp_gap_row *g = &part->gap;

	g->process = get_u32(c->st, 0);
	g->from_ns = sqlite3_column_int64(c->st, 1);
	g->to_ns = sqlite3_column_int64(c->st, 3);
	g->lost = (uint64_t)sqlite3_column_int64(c->st, 4);
	part->seq = (uint64_t)sqlite3_column_int64(c->st, 5);
	return need_text(sqlite(c->base.store), arena, c->st, 2, &g->reason);
}

static int get_pair(struct sqlite_scanner *c, struct osp_arena *arena, const char **name,
		    const char **text)
{
	int r = need_text(sqlite(c->base.store), arena, c->st, 0, name);

	return r ? r : need_text(sqlite(c->base.store), arena, c->st, 1, text);
}

static int get_part(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	*part = (struct osp_part){.kind = c->base.query.kind};
	switch (part->kind) {
	case OSP_PART_ROW:
		return get_row(c, arena, part);
	case OSP_PART_PATCH:
		part->patch.trace = (uint64_t)sqlite3_column_int64(c->st, 1);
		part->patch.marks = get_u32(c->st, 2);
		return get_id(sqlite(c->base.store), c->st, 0, &part->patch.id);
	case OSP_PART_EDGE:
		return get_edge(c, arena, part);
	case OSP_PART_PROCESS:
		return get_process(c, arena, part);
	case OSP_PART_ATTACH:
		return get_attach(c, arena, part);
	case OSP_PART_LOSS:
		return get_loss(c, arena, part);
	case OSP_PART_GAP:
		return get_gap(c, arena, part);
	case OSP_PART_CLOCK:
		part->clock.boot_ns = sqlite3_column_int64(c->st, 0);
		part->clock.offset_ns = sqlite3_column_int64(c->st, 1);
		part->clock.error_ns = sqlite3_column_int64(c->st, 2);
		part->seq = (uint64_t)sqlite3_column_int64(c->st, 3);
		return 0;
	case OSP_PART_SESSION:
		part->seq = (uint64_t)sqlite3_column_int64(c->st, 2);
		return get_pair(c, arena, &part->session.name, &part->session.value);
	case OSP_PART_CATALOGUE:
		part->seq = (uint64_t)sqlite3_column_int64(c->st, 2);
		return get_pair(c, arena, &part->catalogue.name, &part->catalogue.text);
	}
	return -EINVAL;
}

/* ---- scans ---- */

static enum sqlite_read choose_read(const struct osp_scan *q)
{
	static const enum sqlite_read reads[] = {
		[OSP_PART_ROW] = READ_ROWS,	    [OSP_PART_PATCH] = READ_PATCHES,
		[OSP_PART_EDGE] = READ_EDGES,	    [OSP_PART_PROCESS] = READ_PROCESSES,
		[OSP_PART_ATTACH] = READ_ATTACH,    [OSP_PART_LOSS] = READ_LOSSES,
		[OSP_PART_GAP] = READ_GAPS,	    [OSP_PART_CLOCK] = READ_CLOCKS,
		[OSP_PART_SESSION] = READ_SETTINGS, [OSP_PART_CATALOGUE] = READ_CATALOGUES,
	};
	bool range = q->first || q->last;

	if (q->kind == OSP_PART_ROW && q->trace)
		return READ_ROWS_OF_TRACE;
	if (q->kind == OSP_PART_ROW && range)
		return READ_ROWS_BY_ID;
	if (q->kind == OSP_PART_EDGE && range)
		return q->by_from ? READ_EDGES_FROM : READ_EDGES_TO;
	return reads[q->kind];
}

static void bind_query(sqlite3_stmt *st, enum sqlite_read read, const struct osp_scan *q)
{
	uint8_t id[8];

	if (read == READ_ROWS_OF_TRACE) {
		sqlite3_bind_int64(st, 1, (int64_t)q->trace);
		return;
	}
	if (read != READ_ROWS_BY_ID && read != READ_EDGES_FROM && read != READ_EDGES_TO)
		return;
	osp_pack_put(id, q->first, 8);
	sqlite3_bind_blob(st, 1, id, 8, SQLITE_TRANSIENT);
	osp_pack_put(id, q->last, 8);
	sqlite3_bind_blob(st, 2, id, 8, SQLITE_TRANSIENT);
}

int sqlite_read_scan(struct osp_store *store, const struct osp_scan *q, struct osp_scanner **out)
{
	struct sqlite_store *s = sqlite(store);
	struct sqlite_scanner *c = calloc(1, sizeof(*c));
	int r = c ? 0 : osp_store_fail(store, -ENOMEM, "no memory");

	if (!r && (q->kind == OSP_PART_ROW || q->kind == OSP_PART_EDGE))
		r = sqlite_read_index(s);
	if (!r) {
		c->base = (struct osp_scanner){.store = store, .query = *q};
		c->read = choose_read(q);
		r = take_statement(s, c->read, q->heads, &c->st);
	}
	if (r) {
		free(c);
		return r;
	}
	bind_query(c->st, c->read, q);
	*out = &c->base;
	return 0;
}

int sqlite_read_next(struct osp_scanner *scanner, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_scanner *c = (struct sqlite_scanner *)scanner;
	struct sqlite_store *s = sqlite(scanner->store);
	int code = sqlite3_step(c->st), r;

	if (code == SQLITE_DONE)
		return 1;
	if (code != SQLITE_ROW)
		return sqlite_fail(s, "read");
	r = get_part(c, arena, part);
	return r == -ENOMEM ? osp_store_fail(&s->base, r, "%s: no memory", s->path) : r;
}

void sqlite_read_end(struct osp_scanner **scanner)
{
	struct sqlite_scanner *c = (struct sqlite_scanner *)*scanner;

	give_statement(sqlite(c->base.store), c->read, c->base.query.heads, c->st);
	free(c);
	*scanner = NULL;
}

int sqlite_read_traces(struct osp_store *store, uint64_t **keys, size_t *count)
{
	struct sqlite_store *s = sqlite(store);
	struct osp_buffer list = OSP_BUFFER_INIT((size_t)1 << 32);
	sqlite3_stmt *st = NULL;
	int code = SQLITE_DONE, r = sqlite_read_index(s);

	if (!r &&
	    sqlite3_prepare_v2(s->db,
			       s->indexed_aside ? "SELECT trace, min(start_ns) FROM "
						  "temp.membership GROUP BY 1 ORDER BY 2, 1"
						: "SELECT trace, min(start_ns) FROM operation "
						  "GROUP BY 1 ORDER BY 2, 1",
			       -1, &st, NULL))
		r = sqlite_fail(s, "read");
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		uint64_t key = (uint64_t)sqlite3_column_int64(st, 0);

		r = osp_buffer_add(&list, &key, sizeof(key));
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "read");
	sqlite3_finalize(st);
	if (!r && !osp_buffer_text(&list))
		r = -ENOMEM;
	if (r) {
		osp_buffer_clear(&list);
		return r;
	}
	*keys = (uint64_t *)list.data;
	*count = list.size / sizeof(uint64_t);
	return 0;
}

int sqlite_read_find(struct osp_store *store, uint64_t span_id, uint64_t *trace)
{
	struct sqlite_store *s = sqlite(store);
	sqlite3_stmt *st = NULL;
	uint8_t id[8];
	int code;

	if (sqlite3_prepare_v2(
		    s->db,
		    "SELECT o.trace FROM operation o WHERE o.key = (SELECT p.key FROM "
		    "operation p WHERE p.id <= ?1 ORDER BY p.id DESC LIMIT 1) AND (o.id = ?1 "
		    "OR EXISTS (SELECT 1 FROM nested n WHERE n.operation = o.key AND n.id = ?1))",
		    -1, &st, NULL))
		return sqlite_fail(s, "read");
	osp_pack_put(id, span_id, 8);
	sqlite3_bind_blob(st, 1, id, 8, SQLITE_STATIC);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		*trace = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	if (code == SQLITE_ROW)
		return 0;
	if (code != SQLITE_DONE)
		return sqlite_fail(s, "read");
	return osp_store_fail(store, -ENOENT, "no span %016llx", (unsigned long long)span_id);
}
