/*
 * The write side of the SQLite driver: one batch, one transaction, merged by key as store/span.h
 * says. An operation becomes one row: its steps and values packed (store/pack.h), its names
 * interned; its nested spans become rows of their own. Fed with checked parts by store.c.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "store/part.h"

static void bind_id(sqlite3_stmt *st, int at, uint64_t id)
{
	uint8_t bytes[8];

	osp_pack_put(bytes, id, 8);
	if (id)
		sqlite3_bind_blob(st, at, bytes, 8, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(st, at);
}

static void bind_string(sqlite3_stmt *st, int at, int64_t id)
{
	if (id)
		sqlite3_bind_int64(st, at, id);
	else
		sqlite3_bind_null(st, at);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static void bind_numbers(sqlite3_stmt *st, int at, const int64_t *values, int count)
{
	for (int i = 0; i < count; i++)
		sqlite3_bind_int64(st, at + i, values[i]);
}

#define BIND(st, at, ...)                                                                          \
	bind_numbers(st, at, (const int64_t[]){__VA_ARGS__},                                       \
		     (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* Steps a statement that gives at most one row with an integer: 1 = it did, 0, or an error. */
static int run_for_integer(struct sqlite_store *s, sqlite3_stmt *st, int64_t *out)
{
	int code = sqlite3_step(st), first = code;

	if (code == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		while (code == SQLITE_ROW)
			code = sqlite3_step(st);
	}
	if (code != SQLITE_DONE) {
		int r = sqlite_fail(s, "write");

		sqlite3_reset(st);
		return r;
	}
	sqlite3_reset(st);
	return first == SQLITE_ROW;
}

/* ---- packing an operation ---- */

/* The names of an operation as numbers; its BLOBs lie in the buffers of the store. */
struct packed {
	int64_t name, code;
	uint32_t class;
	bool wide;
};

static int add_class(struct sqlite_store *s, const struct osp_row *row, size_t i, uint32_t *number)
{
	struct name n = {.texts = {row->provider, row->side, row->layer, row->feature,
				   row->spans[0].kind_name, row->spans[i].kind_name},
			 .integer = row->spans[i].kind};

	return sqlite_names_add(s, NAMES_CLASS, &n, number);
}

/* Appends a value to the payload and says which column type its field has. */
static int pack_value(struct sqlite_store *s, const struct osp_value *v, struct name *field)
{
	static const char *const types[] = {"i64", "u64", "f64", "bool", "str", "bytes"};
	uint8_t true_size[4];
	int64_t id = 0;
	int r = 0;

	field->texts[1] = types[v->type];
	field->texts[2] = "number";
	switch (v->type) {
	case OSP_VALUE_I64:
		return osp_buffer_print(&s->payload, "%" PRId64, v->i64);
	case OSP_VALUE_U64:
		field->texts[2] = v->u64 > INT64_MAX ? "text" : "number";
		return osp_buffer_print(&s->payload, "%" PRIu64, v->u64);
	case OSP_VALUE_BOOL:
		return osp_buffer_add(&s->payload, v->boolean ? "1" : "0", 1);
	case OSP_VALUE_F64:
		field->texts[2] = isfinite(v->f64) ? "number" : "text";
		return osp_buffer_print(&s->payload, "%.17g", v->f64);
	case OSP_VALUE_STR:
	case OSP_VALUE_BYTES:
		break;
	}
	field->integer = v->true_size != v->size;
	osp_pack_put(true_size, v->true_size, 4);
	if (field->integer)
		r = osp_buffer_add(&s->payload, true_size, 4);
	else if (v->type == OSP_VALUE_STR)
		r = sqlite_string_add_value(s, v->data, v->size, &id);
	field->texts[2] = v->type == OSP_VALUE_BYTES ? "bytes" : id ? "string" : "text";
	if (r)
		return r;
	return id ? osp_buffer_print(&s->payload, "%" PRId64, id)
		  : osp_buffer_add(&s->payload, v->data, v->size);
}

static int collect_fields(struct sqlite_store *s, const struct osp_row *row, size_t step,
			  struct osp_pack_field *fields, bool *wide)
{
	const struct osp_step *st = &row->steps[step];

	for (uint32_t i = 0; i < st->attribute_count; i++) {
		const struct osp_attribute *a = &row->attributes[st->first_attribute + i];
		struct osp_pack_field *f = &fields[st->first_attribute + i];
		struct name n = {.texts = {a->name}};
		uint32_t number;
		int r = pack_value(s, &a->value, &n);

		r = r ? r : sqlite_names_add(s, NAMES_FIELD, &n, &number);
		if (r)
			return r;
		*f = (struct osp_pack_field){.field = (uint16_t)number,
					     .step = (uint16_t)step,
					     .end = (uint32_t)s->payload.size};
		*wide = *wide || !osp_pack_field_fits(f);
	}
	return 0;
}

static int collect_steps(struct sqlite_store *s, const struct osp_row *row,
			 struct osp_pack_step *steps, struct osp_pack_field *fields, bool *wide)
{
	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *st = &row->steps[i];
		struct name n = {.texts = {st->name}, .integer = st->unexpected};
		uint32_t number;
		int r = sqlite_names_add(s, NAMES_POINT, &n, &number);

		if (r)
			return r;
		steps[i] = (struct osp_pack_step){
			.point = (uint16_t)number,
			.span = st->span,
			.after_ns = (uint64_t)st->time_ns - (uint64_t)row->spans[0].start_ns,
		};
		*wide = *wide || !osp_pack_step_fits(&steps[i]);
		r = collect_fields(s, row, i, fields, wide);
		if (r)
			return r;
	}
	return 0;
}

static int pack_blobs(struct sqlite_store *s, const struct osp_row *row, bool *wide)
{
	size_t step_bytes = row->step_count * sizeof(struct osp_pack_step), step, field;
	struct osp_pack_step *steps;
	struct osp_pack_field *fields;
	uint8_t *p, *q;
	int r;

	osp_buffer_reset(&s->scratch);
	osp_buffer_reset(&s->packed_steps);
	osp_buffer_reset(&s->packed_fields);
	osp_buffer_reset(&s->payload);
	steps = osp_buffer_reserve(&s->scratch,
				   step_bytes + row->attribute_count * sizeof(*fields) + 1);
	if (!steps)
		return -ENOMEM;
	fields = (struct osp_pack_field *)((uint8_t *)steps + step_bytes);
	r = collect_steps(s, row, steps, fields, wide);
	if (r)
		return r;
	step = osp_pack_step_size(*wide);
	field = osp_pack_field_size(*wide);
	p = osp_buffer_reserve(&s->packed_steps, row->step_count * step);
	q = osp_buffer_reserve(&s->packed_fields, row->attribute_count * field);
	if (!p || !q)
		return -ENOMEM;
	for (size_t i = 0; i < row->step_count; i++)
		osp_pack_put_step(p + i * step, &steps[i], *wide);
	for (size_t i = 0; i < row->attribute_count; i++)
		osp_pack_put_field(q + i * field, &fields[i], *wide);
	return 0;
}

static int pack_row(struct sqlite_store *s, const struct osp_row *row, struct packed *p)
{
	int r = add_class(s, row, 0, &p->class);

	r = r ? r : sqlite_string_add(s, row->spans[0].name, &p->name);
	r = r ? r : sqlite_string_add(s, row->spans[0].code, &p->code);
	p->wide = false;
	return r ? r : pack_blobs(s, row, &p->wide);
}

/* ---- writing an operation ---- */

/* Table `number` counts as far as an operation has spans, steps or attributes: the views join it. */
static int count_up(struct sqlite_store *s, const struct osp_row *row)
{
	size_t most = row->span_count;

	most = row->step_count > most ? row->step_count : most;
	most = row->attribute_count > most ? row->attribute_count : most;
	while (s->numbers < most) {
		sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_NUMBER);
		int r;

		if (!st)
			return sqlite_fail(s, "write");
		sqlite3_bind_int64(st, 1, (int64_t)s->numbers);
		r = sqlite_run(s, st);
		if (r)
			return r;
		s->numbers++;
	}
	return 0;
}

static void bind_blob(sqlite3_stmt *st, int at, const struct osp_buffer *b)
{
	if (b->size)
		sqlite3_bind_blob(st, at, b->data, (int)b->size, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

static void bind_row(struct sqlite_store *s, sqlite3_stmt *st, const struct osp_part *part,
		     const struct packed *p)
{
	const struct osp_row *row = &part->row;
	const struct osp_row_span *span = &row->spans[0];

	bind_id(st, 1, row->id);
	BIND(st, 2, (int64_t)row->trace, (int64_t)osp_part_rank(part));
	bind_id(st, 4, row->parent_id);
	BIND(st, 5, row->process, row->tid, p->class, p->name, span->start_ns,
	     (int64_t)((uint64_t)span->end_ns - (uint64_t)span->start_ns), span->status);
	bind_string(st, 12, p->code);
	BIND(st, 13, span->marks, row->complete, (int64_t)part->seq, p->wide);
	bind_blob(st, 17, &s->packed_steps);
	bind_blob(st, 18, &s->packed_fields);
	bind_blob(st, 19, &s->payload);
	sqlite3_bind_int64(st, 20, (int64_t)row->span_count - 1);
}

static int write_nested(struct sqlite_store *s, const struct osp_row *row, int64_t key)
{
	for (size_t i = 1; i < row->span_count; i++) {
		const struct osp_row_span *span = &row->spans[i];
		sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_NESTED);
		int64_t name, code;
		uint32_t class;
		int r = st ? add_class(s, row, i, &class) : sqlite_fail(s, "write");

		r = r ? r : sqlite_string_add(s, span->name, &name);
		r = r ? r : sqlite_string_add(s, span->code, &code);
		if (r)
			return r;
		BIND(st, 1, key, (int64_t)i);
		bind_id(st, 3, row->id + span->number);
		BIND(st, 4, span->parent, class, name,
		     (int64_t)((uint64_t)span->start_ns - (uint64_t)row->spans[0].start_ns),
		     (int64_t)((uint64_t)span->end_ns - (uint64_t)span->start_ns), span->status);
		bind_string(st, 10, code);
		sqlite3_bind_int64(st, 11, span->marks);
		r = sqlite_run(s, st);
		if (r)
			return r;
	}
	return 0;
}

static int claim(struct sqlite_store *s, uint64_t id, int64_t trace, int64_t rank)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_CLAIM);

	if (!st)
		return sqlite_fail(s, "write");
	bind_id(st, 1, id);
	BIND(st, 2, trace, rank);
	return sqlite_run(s, st);
}

static int add_marks(struct sqlite_store *s, uint64_t id, uint32_t marks)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_MARKS);

	if (!st)
		return sqlite_fail(s, "write");
	bind_id(st, 1, id);
	sqlite3_bind_int64(st, 2, marks);
	return sqlite_run(s, st);
}

/* A new operation takes over what patches said before it came. */
static int take_patch(struct sqlite_store *s, uint64_t id)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_TAKE_PATCH);
	int64_t trace = 0, rank = 0;
	uint32_t marks = 0;
	int code, r;

	if (!st)
		return sqlite_fail(s, "write");
	bind_id(st, 1, id);
	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		trace = sqlite3_column_int64(st, 0);
		rank = sqlite3_column_int64(st, 1);
		marks = (uint32_t)sqlite3_column_int64(st, 2);
	}
	r = code == SQLITE_DONE ? 0 : sqlite_fail(s, "write");
	sqlite3_reset(st);
	if (!r && trace)
		r = claim(s, id, trace, rank);
	return !r && marks ? add_marks(s, id, marks) : r;
}

/* The operation is there already: another version of it, or the same once more. */
static int replace_row(struct sqlite_store *s, const struct osp_part *part, const struct packed *p)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_REPLACE_OPERATION);
	sqlite3_stmt *drop = sqlite_statement(s, STATEMENT_DROP_NESTED);
	int64_t key;
	int r = claim(s, part->row.id, (int64_t)part->row.trace, (int64_t)osp_part_rank(part));

	if (r || !st || !drop)
		return r ? r : sqlite_fail(s, "write");
	bind_row(s, st, part, p);
	r = run_for_integer(s, st, &key);
	if (r != 1)
		return r;
	sqlite3_bind_int64(drop, 1, key);
	r = sqlite_run(s, drop);
	return r ? r : write_nested(s, &part->row, key);
}

static int write_row(struct sqlite_store *s, const struct osp_part *part)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_OPERATION);
	struct packed p;
	int r = st ? pack_row(s, &part->row, &p) : sqlite_fail(s, "write");

	r = r ? r : count_up(s, &part->row);
	if (r)
		return r;
	bind_row(s, st, part, &p);
	r = sqlite_run(s, st);
	if (r)
		return r;
	if (!sqlite3_changes(s->db))
		return replace_row(s, part, &p);
	r = write_nested(s, &part->row, sqlite3_last_insert_rowid(s->db));
	return !r && s->patches_pending ? take_patch(s, part->row.id) : r;
}

static int write_patch(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_patch *p = &part->patch;
	int64_t rank = (int64_t)osp_part_rank(part), known = 0;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_HAS_OPERATION);
	int r;

	if (!st)
		return sqlite_fail(s, "write");
	bind_id(st, 1, p->id);
	r = run_for_integer(s, st, &known);
	if (r < 0)
		return r;
	if (known) {
		r = p->trace ? claim(s, p->id, (int64_t)p->trace, rank) : 0;
		return !r && p->marks ? add_marks(s, p->id, p->marks) : r;
	}
	s->patches_pending = true;
	st = sqlite_statement(s, STATEMENT_ADD_PATCH);
	if (!st)
		return sqlite_fail(s, "write");
	bind_id(st, 1, p->id);
	BIND(st, 2, (int64_t)p->trace, rank, p->marks);
	return sqlite_run(s, st);
}

/* ---- the other parts ---- */

static int write_edge(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_edge *e = &part->edge;
	struct name n = {.texts = {e->rule, e->makes, e->evidence, e->grade, e->also}};
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_EDGE);
	uint32_t kind;
	int64_t rule;
	int r = st ? sqlite_names_add(s, NAMES_LINK_KIND, &n, &kind) : sqlite_fail(s, "write");

	r = r ? r : sqlite_string_add(s, e->rule, &rule);
	if (r)
		return r;
	bind_id(st, 1, e->from);
	bind_id(st, 2, e->to);
	BIND(st, 3, rule, kind, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int write_process(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_process_row *p = &part->process;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_PROCESS);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, p->key, p->parent_key, p->pid, p->namespace_pid, p->uid, p->exec_id,
	     p->start_ns, p->seen_ns, p->end_ns, p->exit_code);
	bind_text(st, 11, p->comm);
	bind_text(st, 12, p->exe);
	bind_text(st, 13, p->cmdline);
	sqlite3_bind_int64(st, 14, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int add_probe(struct sqlite_store *s, const char *provider, const char *probe, int64_t *key)
{
	sqlite3_stmt *find = sqlite_statement(s, STATEMENT_FIND_PROBE);
	sqlite3_stmt *add = sqlite_statement(s, STATEMENT_ADD_PROBE);
	int r;

	if (!find || !add)
		return sqlite_fail(s, "write");
	bind_text(find, 1, provider);
	bind_text(find, 2, probe);
	r = run_for_integer(s, find, key);
	if (r)
		return r < 0 ? r : 0;
	bind_text(add, 1, provider);
	bind_text(add, 2, probe);
	r = sqlite_run(s, add);
	*key = sqlite3_last_insert_rowid(s->db);
	return r;
}

static int write_attach(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_attach_row *a = &part->attach;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_ATTACH);
	int64_t probe;
	int r = st ? add_probe(s, a->provider, a->probe, &probe) : sqlite_fail(s, "write");

	if (r)
		return r;
	BIND(st, 1, a->process, probe, a->from_ns, a->to_ns);
	bind_text(st, 5, a->level);
	BIND(st, 6, a->sites, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int write_reasons(struct sqlite_store *s, const struct osp_loss_row *l, int64_t probe)
{
	sqlite3_stmt *drop = sqlite_statement(s, STATEMENT_DROP_REASONS);
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_REASON);
	int r;

	if (!drop || !st)
		return sqlite_fail(s, "write");
	BIND(drop, 1, l->process, probe);
	r = sqlite_run(s, drop);
	for (size_t i = 0; !r && i < l->count; i++) {
		BIND(st, 1, l->process, probe, (int64_t)i);
		bind_text(st, 4, l->reasons[i]);
		sqlite3_bind_int64(st, 5, (int64_t)l->lost[i]);
		r = sqlite_run(s, st);
	}
	return r;
}

static int write_loss(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_loss_row *l = &part->loss;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_LOSS);
	int64_t probe, one;
	int r = st ? add_probe(s, l->provider, l->probe, &probe) : sqlite_fail(s, "write");

	if (r)
		return r;
	BIND(st, 1, l->process, probe, (int64_t)l->hits, (int64_t)l->stored, (int64_t)part->seq);
	r = run_for_integer(s, st, &one);
	return r == 1 ? write_reasons(s, l, probe) : r;
}

static int write_gap(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_gap_row *g = &part->gap;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_GAP);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, g->process, g->from_ns);
	bind_text(st, 3, g->reason);
	BIND(st, 4, g->to_ns, (int64_t)g->lost, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int write_clock(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_clock_row *c = &part->clock;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_CLOCK);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, c->boot_ns, c->offset_ns, c->error_ns, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int write_pair(struct sqlite_store *s, enum sqlite_statement id, const char *name,
		      const char *text, uint64_t seq)
{
	sqlite3_stmt *st = sqlite_statement(s, id);

	if (!st)
		return sqlite_fail(s, "write");
	bind_text(st, 1, name);
	bind_text(st, 2, text);
	sqlite3_bind_int64(st, 3, (int64_t)seq);
	return sqlite_run(s, st);
}

static int write_part(struct sqlite_store *s, const struct osp_part *p)
{
	switch (p->kind) {
	case OSP_PART_ROW:
		return write_row(s, p);
	case OSP_PART_PATCH:
		return write_patch(s, p);
	case OSP_PART_EDGE:
		return write_edge(s, p);
	case OSP_PART_PROCESS:
		return write_process(s, p);
	case OSP_PART_ATTACH:
		return write_attach(s, p);
	case OSP_PART_LOSS:
		return write_loss(s, p);
	case OSP_PART_GAP:
		return write_gap(s, p);
	case OSP_PART_CLOCK:
		return write_clock(s, p);
	case OSP_PART_SESSION:
		return write_pair(s, STATEMENT_ADD_SETTING, p->session.name, p->session.value,
				  p->seq);
	case OSP_PART_CATALOGUE:
		return write_pair(s, STATEMENT_ADD_CATALOGUE, p->catalogue.name, p->catalogue.text,
				  p->seq);
	}
	return -EINVAL;
}

static int run(struct sqlite_store *s, enum sqlite_statement id)
{
	sqlite3_stmt *st = sqlite_statement(s, id);

	return st ? sqlite_run(s, st) : sqlite_fail(s, "write");
}

/* Undoes the batch; the text of the failure that led here stays. */
static int roll_back(struct sqlite_store *s, int r)
{
	char text[sizeof(s->base.error)];

	memcpy(text, s->base.error, sizeof(text));
	if (!sqlite3_get_autocommit(s->db))
		run(s, STATEMENT_ROLLBACK);
	memcpy(s->base.error, text, sizeof(text));
	s->stale = true;
	s->numbers = 0;
	if (r == -ENOMEM)
		osp_store_fail(&s->base, r, "%s: no memory for the batch", s->path);
	return r;
}

int sqlite_write_parts(struct osp_store *store, const struct osp_part *parts, size_t count)
{
	struct sqlite_store *s = sqlite(store);
	int r = s->stale ? sqlite_names_reload(s) : 0;

	if (r)
		return r;
	s->stale = false;
	r = run(s, STATEMENT_BEGIN);
	for (size_t i = 0; !r && i < count; i++)
		r = write_part(s, &parts[i]);
	r = r ? r : run(s, STATEMENT_COMMIT);
	return r ? roll_back(s, r) : 0;
}
