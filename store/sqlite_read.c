/*
 * The read side of the SQLite driver: scans over stored parts (the views are for people; a file's
 * views are not trusted). Operations and links come out of bundles, a window at a time: those of
 * one trace, or those of one block of ids, so that memory stays small whatever the session holds.
 * Feeds store.c.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "store/part.h"

#define EDGES                                                                                      \
	"SELECT e.from_id, e.to_id, e.kind, e.seq, (SELECT name FROM rule WHERE number = e.rule) " \
	"FROM edge e "

static const char *const read_sql[READ_COUNT] = {
	[READ_BUNDLES] = "SELECT * FROM bundle WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
	[READ_BUNDLES_OF_TRACE] = "SELECT * FROM bundle WHERE trace = ?1 ORDER BY key",
	[READ_BLOCKS] = "SELECT block, first, last FROM place WHERE block BETWEEN ?1 AND ?2 "
			"ORDER BY block",
	[READ_PATCHES] = "SELECT id, trace, marks FROM patch ORDER BY id",
	[READ_EDGES_FROM] = EDGES "WHERE e.from_id BETWEEN ?1 AND ?2",
	[READ_EDGES_TO] = EDGES "WHERE e.to_id BETWEEN ?1 AND ?2",
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

/* A growing array of parts. */
struct window {
	struct osp_part *parts; /* owned */
	size_t count, room, at;
};

struct sqlite_scanner {
	struct osp_scanner base;
	enum sqlite_read read;
	sqlite3_stmt *st;	/* of the parts, or of the blocks */
	struct window window;	/* ROW, EDGE */
	struct osp_arena arena; /* what the window points to, unless it is of one trace */
	uint64_t next_from;	/* EDGE: links from ids below have been given */
	bool ended;
};

/* ---- statements ---- */

static int take_statement(struct sqlite_store *s, enum sqlite_read read, sqlite3_stmt **out)
{
	*out = s->reads[read];
	s->reads[read] = NULL;
	if (*out)
		return 0;
	return sqlite3_prepare_v3(s->db, read_sql[read], -1, SQLITE_PREPARE_PERSISTENT, out, NULL)
		       ? sqlite_fail(s, "read")
		       : 0;
}

static void give_statement(struct sqlite_store *s, enum sqlite_read read, sqlite3_stmt *st)
{
	sqlite3_reset(st);
	if (s->reads[read])
		sqlite3_finalize(st);
	else
		s->reads[read] = st;
}

/* Steps a statement whose rows are taken one by one: 0 = got one, 1 = end, or an error. */
static int step(struct sqlite_store *s, sqlite3_stmt *st)
{
	int code = sqlite3_step(st);

	return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? 1 : sqlite_fail(s, "read");
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

	return r ? r : *out ? 0 : sqlite_damaged(s, "a text is missing");
}

static int get_id(struct sqlite_store *s, sqlite3_stmt *st, int at, uint64_t *id)
{
	*id = 0;
	if (sqlite3_column_type(st, at) == SQLITE_NULL)
		return 0;
	if (sqlite3_column_type(st, at) != SQLITE_BLOB || sqlite3_column_bytes(st, at) != 8)
		return sqlite_damaged(s, "an id is not 8 bytes");
	*id = osp_pack_get(sqlite3_column_blob(st, at), 8);
	return 0;
}

static uint32_t get_u32(sqlite3_stmt *st, int at)
{
	return (uint32_t)sqlite3_column_int64(st, at);
}

static int copy_text(struct osp_arena *arena, const char *from, const char **to)
{
	*to = from ? osp_arena_copy(arena, from, strlen(from)) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* ---- windows of operations and links ---- */

static int add_part(struct window *w, struct osp_part **out)
{
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		struct osp_part *more = realloc(w->parts, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->parts = more;
		w->room = room;
	}
	*out = &w->parts[w->count++];
	**out = (struct osp_part){.seq = 0};
	return 0;
}

static int add_row(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i, bool heads,
		   struct osp_arena *arena, struct window *w)
{
	struct sqlite_version v;
	struct osp_part *part;
	int r = add_part(w, &part);

	if (r)
		return r;
	part->kind = OSP_PART_ROW;
	r = sqlite_decode_row(s, b, i, heads, arena, &part->row, &v);
	part->seq = v.seq;
	if (!r)
		((struct osp_row_span *)part->row.spans)->marks |= v.marks;
	return r;
}

static int add_edge(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i,
		    struct osp_arena *arena, struct window *w)
{
	struct osp_part *part;
	int r = add_part(w, &part);

	if (r)
		return r;
	part->kind = OSP_PART_EDGE;
	return sqlite_decode_edge(s, b, i, arena, &part->edge);
}

static int get_edge(struct sqlite_store *s, sqlite3_stmt *st, struct osp_arena *arena,
		    struct osp_part *part)
{
	struct osp_edge *e = &part->edge;
	const struct name *kind;
	int r = sqlite_names_get(s, NAMES_LINK_KIND, sqlite3_column_int64(st, 2), &kind);

	part->kind = OSP_PART_EDGE;
	r = r ? r : get_id(s, st, 0, &e->from);
	r = r ? r : get_id(s, st, 1, &e->to);
	r = r ? r : need_text(s, arena, st, 4, &e->rule);
	r = r ? r : copy_text(arena, kind->texts[1], &e->makes);
	r = r ? r : copy_text(arena, kind->texts[2], &e->evidence);
	r = r ? r : copy_text(arena, kind->texts[3], &e->grade);
	r = r ? r : copy_text(arena, kind->texts[4], &e->also);
	part->seq = (uint64_t)sqlite3_column_int64(st, 3);
	return r;
}

/* Adds the links of the table with an end in [first, last]. */
static int add_edges(struct sqlite_store *s, enum sqlite_read read, uint64_t first, uint64_t last,
		     struct osp_arena *arena, struct window *w)
{
	struct osp_part *part;
	uint8_t ids[2][8];
	sqlite3_stmt *st;
	int r = take_statement(s, read, &st);

	if (r)
		return r;
	osp_pack_put(ids[0], first, 8);
	osp_pack_put(ids[1], last, 8);
	sqlite3_bind_blob(st, 1, ids[0], 8, SQLITE_TRANSIENT);
	sqlite3_bind_blob(st, 2, ids[1], 8, SQLITE_TRANSIENT);
	while (!(r = step(s, st))) {
		r = add_part(w, &part);
		r = r ? r : get_edge(s, st, arena, part);
		if (r)
			break;
	}
	give_statement(s, read, st);
	return r < 0 ? r : 0;
}

/* Adds what a bundle of the trace holds: its operations, or its links and those of the table. */
static int add_bundle(struct sqlite_store *s, const struct sqlite_bundle *b,
		      const struct osp_scan *q, struct osp_arena *arena, struct window *w)
{
	int r = 0;

	for (size_t i = 0; !r && q->kind == OSP_PART_ROW && i < b->count; i++)
		r = add_row(s, b, i, q->heads, arena, w);
	if (q->kind == OSP_PART_ROW)
		return r;
	for (size_t i = 0; !r && i < b->edge_count; i++)
		r = add_edge(s, b, i, arena, w);
	for (size_t i = 0; !r && i < b->count; i++) {
		uint64_t id = sqlite_decode_id(b, i);
		uint64_t last = id > UINT64_MAX - 65535 ? UINT64_MAX : id + 65535;

		r = add_edges(s, READ_EDGES_FROM, id, last, arena, w);
		r = r ? r : add_edges(s, READ_EDGES_TO, id, last, arena, w);
	}
	return r;
}

static int by_key(const void *a, const void *b)
{
	const struct osp_part *x = a, *y = b;

	if (x->kind == OSP_PART_ROW)
		return (x->row.id > y->row.id) - (x->row.id < y->row.id);
	if (x->edge.from != y->edge.from)
		return x->edge.from < y->edge.from ? -1 : 1;
	if (x->edge.to != y->edge.to)
		return x->edge.to < y->edge.to ? -1 : 1;
	return strcmp(x->edge.rule, y->edge.rule);
}

static void sort_window(struct window *w)
{
	if (w->count)
		qsort(w->parts, w->count, sizeof(*w->parts), by_key);
	w->at = 0;
}

static int load_trace(struct sqlite_scanner *c, struct osp_arena *arena)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct sqlite_bundle b;
	sqlite3_stmt *st;
	int r = take_statement(s, READ_BUNDLES_OF_TRACE, &st);

	if (r)
		return r;
	c->ended = true;
	sqlite3_bind_int64(st, 1, (int64_t)c->base.query.trace);
	while (!(r = step(s, st))) {
		r = sqlite_decode(s, st, &b);
		r = r ? r : add_bundle(s, &b, &c->base.query, arena, &c->window);
		if (r)
			break;
	}
	give_statement(s, READ_BUNDLES_OF_TRACE, st);
	sort_window(&c->window);
	return r < 0 ? r : 0;
}

/* Operations with ids in [first, last], or links from them, of the bundles in [from, to]. */
struct block {
	uint64_t first, last;
	int64_t from, to;
};

static int add_block(struct sqlite_store *s, const struct sqlite_bundle *b,
		     const struct block *block, const struct osp_scan *q, struct osp_arena *arena,
		     struct window *w)
{
	int r = 0;

	for (size_t i = 0; !r && q->kind == OSP_PART_ROW && i < b->count; i++) {
		uint64_t id = sqlite_decode_id(b, i);

		if (id >= block->first && id <= block->last)
			r = add_row(s, b, i, q->heads, arena, w);
	}
	for (size_t i = 0; !r && q->kind == OSP_PART_EDGE && i < b->edge_count; i++) {
		size_t count = w->count;

		r = add_edge(s, b, i, arena, w);
		if (!r && (w->parts[count].edge.from < block->first ||
			   w->parts[count].edge.from > block->last))
			w->count = count;
	}
	return r;
}

static int load_block(struct sqlite_store *s, const struct block *block, const struct osp_scan *q,
		      struct osp_arena *arena, struct window *w)
{
	struct sqlite_bundle b;
	sqlite3_stmt *st;
	int r = take_statement(s, READ_BUNDLES, &st);

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, block->from);
	sqlite3_bind_int64(st, 2, block->to);
	while (!(r = step(s, st))) {
		r = sqlite_decode(s, st, &b);
		r = r ? r : add_block(s, &b, block, q, arena, w);
		if (r)
			break;
	}
	give_statement(s, READ_BUNDLES, st);
	return r < 0 ? r : 0;
}

/* The next block of ids; past the last, links from operations that nobody knows remain. */
static int next_block(struct sqlite_scanner *c, struct block *block)
{
	const struct osp_scan *q = &c->base.query;
	int r = step(sqlite(c->base.store), c->st);

	*block = (struct block){.first = 1, .last = UINT64_MAX, .from = 1};
	if (r == 1)
		c->ended = true;
	if (r)
		return r < 0 ? r : 0;
	block->first = (uint64_t)sqlite3_column_int64(c->st, 0) << 22;
	block->last = block->first | ((1 << 22) - 1);
	block->from = sqlite3_column_int64(c->st, 1);
	block->to = sqlite3_column_int64(c->st, 2);
	if (q->kind == OSP_PART_ROW && q->last) {
		block->first = block->first > q->first ? block->first : q->first;
		block->last = block->last < q->last ? block->last : q->last;
	}
	return 0;
}

static int load_window(struct sqlite_scanner *c)
{
	struct sqlite_store *s = sqlite(c->base.store);
	struct block block;
	int r = next_block(c, &block);

	osp_arena_reset(&c->arena);
	c->window.count = 0;
	r = r ? r : load_block(s, &block, &c->base.query, &c->arena, &c->window);
	if (!r && c->base.query.kind == OSP_PART_EDGE) {
		r = add_edges(s, READ_EDGES_FROM, c->next_from, block.last, &c->arena, &c->window);
		c->next_from = block.last + 1;
	}
	sort_window(&c->window);
	return r;
}

static int next_in_window(struct sqlite_scanner *c, struct osp_arena *arena, struct osp_part *part)
{
	while (c->window.at == c->window.count) {
		int r;

		if (c->ended)
			return 1;
		r = c->base.query.trace ? load_trace(c, arena) : load_window(c);
		if (r)
			return r;
	}
	*part = c->window.parts[c->window.at++];
	return 0;
}

/* ---- the other parts ---- */

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
	int r = reasons && lost ? take_statement(s, READ_REASONS, &st) : -ENOMEM;
	int code = SQLITE_DONE;

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, sqlite3_column_int64(loss, 0));
	sqlite3_bind_int64(st, 2, sqlite3_column_int64(loss, 6));
	while (!r && (code = sqlite3_step(st)) == SQLITE_ROW) {
		if (l->count == REASONS) {
			r = sqlite_damaged(s, "too many reasons of a loss");
			break;
		}
		lost[l->count] = (uint64_t)sqlite3_column_int64(st, 1);
		r = need_text(s, arena, st, 0, &reasons[l->count++]);
	}
	if (!r && code != SQLITE_DONE)
		r = sqlite_fail(s, "read");
	give_statement(s, READ_REASONS, st);
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
	case OSP_PART_PATCH:
		part->patch.trace = (uint64_t)sqlite3_column_int64(c->st, 1);
		part->patch.marks = get_u32(c->st, 2);
		return get_id(sqlite(c->base.store), c->st, 0, &part->patch.id);
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
	case OSP_PART_ROW:
	case OSP_PART_EDGE:
		break;
	}
	return -EINVAL;
}

/* ---- scans ---- */

static bool is_windowed(const struct osp_scan *q)
{
	return q->kind == OSP_PART_ROW || q->kind == OSP_PART_EDGE;
}

static enum sqlite_read choose_read(const struct osp_scan *q)
{
	static const enum sqlite_read reads[] = {
		[OSP_PART_ROW] = READ_BLOCKS,	    [OSP_PART_PATCH] = READ_PATCHES,
		[OSP_PART_EDGE] = READ_BLOCKS,	    [OSP_PART_PROCESS] = READ_PROCESSES,
		[OSP_PART_ATTACH] = READ_ATTACH,    [OSP_PART_LOSS] = READ_LOSSES,
		[OSP_PART_GAP] = READ_GAPS,	    [OSP_PART_CLOCK] = READ_CLOCKS,
		[OSP_PART_SESSION] = READ_SETTINGS, [OSP_PART_CATALOGUE] = READ_CATALOGUES,
	};

	return reads[q->kind];
}

int sqlite_read_scan(struct osp_store *store, const struct osp_scan *q, struct osp_scanner **out)
{
	struct sqlite_store *s = sqlite(store);
	struct sqlite_scanner *c = calloc(1, sizeof(*c));
	int r = c ? 0 : osp_store_fail(store, -ENOMEM, "no memory");

	if (!r && is_windowed(q) && !q->trace)
		r = sqlite_place_read(s);
	if (!r) {
		c->base = (struct osp_scanner){.store = store, .query = *q};
		c->read = choose_read(q);
		r = take_statement(s, c->read, &c->st);
	}
	if (r) {
		free(c);
		return r;
	}
	if (c->read == READ_BLOCKS) {
		sqlite3_bind_int64(c->st, 1, (int64_t)(q->first >> 22));
		sqlite3_bind_int64(c->st, 2, q->last ? (int64_t)(q->last >> 22) : INT64_MAX);
	}
	*out = &c->base;
	return 0;
}

int sqlite_read_next(struct osp_scanner *scanner, struct osp_arena *arena, struct osp_part *part)
{
	struct sqlite_scanner *c = (struct sqlite_scanner *)scanner;
	struct sqlite_store *s = sqlite(scanner->store);
	int r;

	if (is_windowed(&scanner->query)) {
		r = next_in_window(c, arena, part);
	} else {
		r = step(s, c->st);
		r = r ? r : get_part(c, arena, part);
	}
	return r == -ENOMEM ? osp_store_fail(&s->base, r, "%s: no memory", s->path) : r;
}

void sqlite_read_end(struct osp_scanner **scanner)
{
	struct sqlite_scanner *c = (struct sqlite_scanner *)*scanner;

	give_statement(sqlite(c->base.store), c->read, c->st);
	osp_arena_clear(&c->arena);
	free(c->window.parts);
	free(c);
	*scanner = NULL;
}

int sqlite_read_traces(struct osp_store *store, uint64_t **keys, size_t *count)
{
	struct sqlite_store *s = sqlite(store);
	struct osp_buffer list = OSP_BUFFER_INIT((size_t)1 << 32);
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(
		    s->db, "SELECT trace, min(start_ns) FROM bundle GROUP BY trace ORDER BY 2, 1",
		    -1, &st, NULL))
		r = sqlite_fail(s, "read");
	while (!r && !(r = step(s, st))) {
		uint64_t key = (uint64_t)sqlite3_column_int64(st, 0);

		r = osp_buffer_add(&list, &key, sizeof(key));
	}
	sqlite3_finalize(st);
	if (r >= 0 && !osp_buffer_text(&list))
		r = -ENOMEM;
	if (r < 0) {
		osp_buffer_clear(&list);
		return r;
	}
	*keys = (uint64_t *)list.data;
	*count = list.size / sizeof(uint64_t);
	return 0;
}

/* The last operation at or before the id, among those of one block. */
static int find_in_block(struct sqlite_store *s, uint64_t span_id, uint64_t block_id,
			 uint64_t *trace)
{
	struct osp_scan q = {.kind = OSP_PART_ROW, .heads = true, .first = block_id};
	struct osp_arena arena = {NULL};
	struct osp_scanner *c = NULL;
	struct osp_part part;
	bool found = false;
	int r;

	q.last = span_id;
	r = sqlite_read_scan(&s->base, &q, &c);
	while (!r && !(r = sqlite_read_next(c, &arena, &part))) {
		for (size_t i = 0; i < part.row.span_count; i++) {
			if (part.row.id + part.row.spans[i].number != span_id)
				continue;
			*trace = part.row.trace;
			found = true;
		}
	}
	if (c)
		sqlite_read_end(&c);
	osp_arena_clear(&arena);
	return r < 0 ? r : found;
}

int sqlite_read_find(struct osp_store *store, uint64_t span_id, uint64_t *trace)
{
	uint64_t first = span_id > 65535 ? span_id - 65535 : 1;
	int r = span_id ? find_in_block(sqlite(store), span_id, first, trace) : 0;

	if (r)
		return r < 0 ? r : 0;
	return osp_store_fail(store, -ENOENT, "no span %016llx", (unsigned long long)span_id);
}
