/*
 * The reference store: parts in memory, merged by key, the plainest code that obeys the contract.
 * Used by tests, by comparisons with other drivers, and wherever a session needs no file. It owns
 * a copy of every part; sorted views are made again after writes. mem: has no address.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/driver.h"
#include "store/part.h"
#include "user/base/buffer.h"
#include "user/base/cleanup.h"
#include "user/base/map.h"

enum { KINDS = OSP_PART_CATALOGUE + 1, MAX_ENTRIES = 1 << 24, MAX_KEY = 16 << 20 };

/* What is kept under one key. Rows and patches share an entry: a patch may come first. */
struct entry {
	struct osp_part *part; /* owned; of an operation: its row, NULL while only patches came */
	uint64_t trace, rank;  /* of an operation: membership by what ranked highest */
	uint32_t marks;	       /* of an operation: added by patches */
	uint8_t *key;	       /* owned: sorts as the parts do */
	size_t key_size;
};

struct mem_store {
	struct osp_store base;
	struct osp_map maps[KINDS];   /* key -> entry; rows and patches: under OSP_PART_ROW */
	struct entry **sorted[KINDS]; /* owned; by key; NULL = to be made again */
	struct entry **edges_by_to;   /* owned; by (to, from, rule) */
};

struct mem_scanner {
	struct osp_scanner base;
	struct entry **entries; /* borrowed: a sorted view of the store */
	struct entry **found;	/* owned: instead of it, the links of one trace */
	size_t at, count;
};

static struct mem_store *mem(struct osp_store *s)
{
	return (struct mem_store *)s;
}

static int map_of(enum osp_part_kind kind)
{
	return kind == OSP_PART_PATCH ? OSP_PART_ROW : kind;
}

static void free_entry(struct entry **e)
{
	if (!*e)
		return;
	free((*e)->part);
	free((*e)->key);
	free(*e);
	*e = NULL;
}

static void forget_views(struct mem_store *m)
{
	for (int i = 0; i < KINDS; i++) {
		free(m->sorted[i]);
		m->sorted[i] = NULL;
	}
	free(m->edges_by_to);
	m->edges_by_to = NULL;
}

static int mem_open(struct osp_store **out, const char *address, enum osp_store_mode mode,
		    char error[512])
{
	struct mem_store *m;

	if (*address || mode == OSP_STORE_READ) {
		snprintf(error, 512, "store mem:%.200s: nothing to open - mem: is always new",
			 address);
		return *address ? -EINVAL : -ENOENT;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		snprintf(error, 512, "store mem: no memory");
		return -ENOMEM;
	}
	m->base.ops = &osp_store_mem;
	for (int i = 0; i < KINDS; i++)
		osp_map_init(&m->maps[i], MAX_ENTRIES, 0x6d656d3a);
	*out = &m->base;
	return 0;
}

static int mem_close(struct osp_store **s, bool clean)
{
	struct mem_store *m = mem(*s);
	struct entry *e;

	(void)clean;
	forget_views(m);
	for (int i = 0; i < KINDS; i++) {
		for (size_t at = 0; (e = osp_map_next(&m->maps[i], &at));)
			free_entry(&e);
		osp_map_clear(&m->maps[i]);
	}
	free(m);
	*s = NULL;
	return 0;
}

/* ---- writing: everything that can fail is done before anything is changed ---- */

/* The batch while it is prepared: per part its entry and its copy. */
struct batch {
	struct entry **entries; /* borrowed from the maps */
	struct osp_part **copies;
	size_t *added; /* parts that made their entry, for undoing */
	size_t count, prepared, added_count;
};

static int find_entry(struct mem_store *m, const struct osp_part *p, struct osp_buffer *key,
		      struct entry **out, bool *added)
{
	struct osp_map *map = &m->maps[map_of(p->kind)];
	_cleanup_(free_entry) struct entry *e = NULL;
	int r;

	osp_buffer_reset(key);
	r = osp_part_key(p, key);
	if (r)
		return r;
	*out = osp_map_find(map, key->data, key->size);
	if (*out)
		return 0;
	e = calloc(1, sizeof(*e));
	if (!e || !(e->key = malloc(key->size)))
		return -ENOMEM;
	memcpy(e->key, key->data, key->size);
	e->key_size = key->size;
	r = osp_map_add(map, key->data, key->size, e);
	if (r)
		return r;
	*added = true;
	*out = TAKE_PTR(e);
	return 0;
}

static int prepare(struct mem_store *m, struct batch *b, const struct osp_part *parts)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer key = OSP_BUFFER_INIT(MAX_KEY);

	for (size_t i = 0; i < b->count; i++) {
		bool added = false;
		int r = find_entry(m, &parts[i], &key, &b->entries[i], &added);

		if (r)
			return r;
		if (added)
			b->added[b->added_count++] = i;
		if (parts[i].kind != OSP_PART_PATCH && !(b->copies[i] = osp_part_copy(&parts[i])))
			return -ENOMEM;
	}
	return 0;
}

static void undo(struct mem_store *m, struct batch *b, const struct osp_part *parts)
{
	for (size_t i = 0; i < b->added_count; i++) {
		struct entry *e = b->entries[b->added[i]];

		osp_map_remove(&m->maps[map_of(parts[b->added[i]].kind)], e->key, e->key_size);
		free_entry(&e);
	}
	for (size_t i = 0; i < b->count; i++)
		free(b->copies[i]);
}

/* Membership of an operation: rows and patches claim it, the highest rank has it. */
static void claim(struct entry *e, uint64_t trace, uint64_t rank)
{
	if (trace && (!e->trace || rank >= e->rank)) {
		e->trace = trace;
		e->rank = rank;
	}
}

static void apply(struct entry *e, const struct osp_part *p, struct osp_part *copy)
{
	if (p->kind == OSP_PART_PATCH) {
		claim(e, p->patch.trace, osp_part_rank(p));
		e->marks |= p->patch.marks;
		return;
	}
	if (p->kind == OSP_PART_ROW)
		claim(e, p->row.trace, osp_part_rank(p));
	if (e->part && !osp_part_replaces(e->part, p)) {
		free(copy);
		return;
	}
	free(e->part);
	e->part = copy;
}

static int mem_write(struct osp_store *s, const struct osp_part *parts, size_t count)
{
	_cleanup_free_ struct entry **entries = calloc(count, sizeof(*entries));
	_cleanup_free_ struct osp_part **copies = calloc(count, sizeof(*copies));
	_cleanup_free_ size_t *added = calloc(count, sizeof(*added));
	struct batch b = {.entries = entries, .copies = copies, .added = added, .count = count};
	int r = entries && copies && added ? 0 : -ENOMEM;

	if (r)
		return osp_store_fail(s, r, "no memory for %zu parts", count);
	r = prepare(mem(s), &b, parts);
	if (r) {
		undo(mem(s), &b, parts);
		return osp_store_fail(s, r, r == -ENOSPC ? "store mem: is full" : "no memory");
	}
	forget_views(mem(s));
	for (size_t i = 0; i < count; i++)
		apply(entries[i], &parts[i], copies[i]);
	return 0;
}

static int mem_commit(struct osp_store *s)
{
	(void)s;
	return 0;
}

static int mem_flush(struct osp_store *s)
{
	(void)s;
	return 0;
}

/* ---- forgetting ---- */

static bool is_old(const struct entry *e, int64_t before_ns)
{
	return e->part->row.complete && e->part->row.spans[0].end_ns < before_ns;
}

static void remove_entry(struct osp_map *map, struct entry *e)
{
	osp_map_remove(map, e->key, e->key_size);
	free_entry(&e);
}

/* Removing moves others in the map: what is to go is listed first. */
static int remove_all(struct osp_map *map, bool (*goes)(const struct entry *e, void *arg),
		      void *arg)
{
	_cleanup_free_ struct entry **list = calloc(map->count + 1, sizeof(*list));
	struct entry *e;
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t at = 0; (e = osp_map_next(map, &at));)
		if (goes(e, arg))
			list[n++] = e;
	for (size_t i = 0; i < n; i++)
		remove_entry(map, list[i]);
	return 0;
}

static bool trace_goes(const struct entry *e, void *kept)
{
	return e->part && !osp_map_find(kept, &e->trace, sizeof(e->trace));
}

struct forgetting {
	struct mem_store *m;
	struct osp_map *kept;
};

static bool end_goes(const struct forgetting *f, uint64_t span_id)
{
	const struct entry *e;

	for (size_t at = 0; (e = osp_map_next(&f->m->maps[OSP_PART_ROW], &at));) {
		const struct osp_row *row = e->part ? &e->part->row : NULL;

		if (row && trace_goes(e, f->kept) && span_id >= row->id &&
		    span_id - row->id <= row->spans[row->span_count - 1].number)
			return true;
	}
	return false;
}

static bool link_goes(const struct entry *e, void *arg)
{
	return end_goes(arg, e->part->edge.from) || end_goes(arg, e->part->edge.to);
}

static int count_forgotten(struct mem_store *m, const struct osp_row *row)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer key = OSP_BUFFER_INIT(MAX_KEY);
	char name[48], value[24];
	struct osp_part part = {.kind = OSP_PART_SESSION, .session = {name, value}};
	const struct entry *e;
	uint64_t steps = row->step_count;
	int r;

	if (row->spans[0].marks & OSP_MARK_REPORTED) /* the books do not have those */
		return 0;
	snprintf(name, sizeof(name), OSP_SESSION_FORGOTTEN "%" PRIu32, row->process);
	r = osp_part_key(&part, &key);
	e = r ? NULL : osp_map_find(&m->maps[OSP_PART_SESSION], key.data, key.size);
	if (e && e->part)
		steps += strtoull(e->part->session.value, NULL, 10);
	snprintf(value, sizeof(value), "%" PRIu64, steps);
	return r ? r : mem_write(&m->base, &part, 1);
}

static int count_all_forgotten(struct mem_store *m, struct osp_map *kept)
{
	struct entry *e;
	int r = 0;

	for (size_t at = 0; !r && (e = osp_map_next(&m->maps[OSP_PART_ROW], &at));)
		if (trace_goes(e, kept))
			r = count_forgotten(m, &e->part->row);
	return r;
}

static int mem_forget(struct osp_store *s, int64_t before_ns, bool *more)
{
	_cleanup_(osp_map_clear) struct osp_map kept;
	struct mem_store *m = mem(s);
	struct forgetting f = {m, &kept};
	struct entry *e;
	int r = 0;

	*more = false;
	osp_map_init(&kept, MAX_ENTRIES, 0x6b657074);
	for (size_t at = 0; !r && (e = osp_map_next(&m->maps[OSP_PART_ROW], &at));)
		if (e->part && !is_old(e, before_ns))
			r = osp_map_add(&kept, &e->trace, sizeof(e->trace), e);
	forget_views(m);
	r = r ? r : count_all_forgotten(m, &kept);
	r = r ? r : remove_all(&m->maps[OSP_PART_EDGE], link_goes, &f);
	r = r ? r : remove_all(&m->maps[OSP_PART_ROW], trace_goes, &kept);
	return r ? osp_store_fail(s, r, "no memory") : 0;
}

/* ---- reading ---- */

static int by_key(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	int r = memcmp(x->key, y->key, x->key_size < y->key_size ? x->key_size : y->key_size);

	return r ? r : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static int by_to(const void *a, const void *b)
{
	const struct osp_edge *x = &(*(struct entry *const *)a)->part->edge;
	const struct osp_edge *y = &(*(struct entry *const *)b)->part->edge;

	return x->to != y->to ? (x->to < y->to ? -1 : 1) : by_key(a, b);
}

static int sort_entries(const struct osp_map *map, int (*order)(const void *, const void *),
			struct entry ***out)
{
	struct entry **list, *e;
	size_t n = 0;

	if (*out)
		return 0;
	list = calloc(map->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t at = 0; (e = osp_map_next(map, &at));)
		list[n++] = e;
	qsort(list, n, sizeof(*list), order);
	*out = list;
	return 0;
}

static bool is_range(const struct osp_scan *q)
{
	return q->kind == OSP_PART_ROW && (q->first || q->last);
}

/* Rows begin their keys with the id. */
static uint64_t id_of(const struct entry *e)
{
	uint64_t id;

	memcpy(&id, e->key, sizeof(id));
	return __builtin_bswap64(id);
}

/* Goes to the first entry of the range. */
static void narrow(struct mem_scanner *c)
{
	while (c->at < c->count && id_of(c->entries[c->at]) < c->base.query.first)
		c->at++;
}

static uint64_t end_of(const struct entry *e, bool to)
{
	return to ? e->part->edge.to : e->part->edge.from;
}

/* Adds the links that lead to, or from, the operation; `list` is sorted by that end. */
static void add_links(struct mem_scanner *c, struct entry **list, size_t count,
		      const struct osp_row *row, bool to)
{
	uint64_t last = row->id + row->spans[row->span_count - 1].number;
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (end_of(list[middle], to) < row->id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && end_of(list[low], to) <= last; low++)
		c->found[c->count++] = list[low];
}

/* A link that lies in the trace is found by both its ends. */
static int find_links(struct mem_store *m, struct mem_scanner *c)
{
	size_t edges = m->maps[OSP_PART_EDGE].count;
	struct entry *e;
	int r = sort_entries(&m->maps[OSP_PART_EDGE], by_to, &m->edges_by_to);

	c->found = calloc(2 * edges + 1, sizeof(struct entry *));
	c->count = 0;
	if (r || !c->found)
		return -ENOMEM;
	for (size_t at = 0; edges && (e = osp_map_next(&m->maps[OSP_PART_ROW], &at));) {
		if (!e->part || e->trace != c->base.query.trace)
			continue;
		add_links(c, m->edges_by_to, edges, &e->part->row, true);
		add_links(c, m->sorted[OSP_PART_EDGE], edges, &e->part->row, false);
	}
	c->entries = c->found;
	return 0;
}

static int mem_scan(struct osp_store *s, const struct osp_scan *q, struct osp_scanner **out)
{
	struct mem_store *m = mem(s);
	int kind = map_of(q->kind);
	struct mem_scanner *c = calloc(1, sizeof(*c));
	int r = c ? sort_entries(&m->maps[kind], by_key, &m->sorted[kind]) : -ENOMEM;

	if (!r) {
		c->base = (struct osp_scanner){.store = s, .query = *q};
		c->entries = m->sorted[kind];
		c->count = m->maps[kind].count;
	}
	if (!r && q->kind == OSP_PART_EDGE && q->trace)
		r = find_links(m, c);
	if (r) {
		if (c)
			free(c->found);
		free(c);
		return osp_store_fail(s, r, "no memory");
	}
	if (is_range(q))
		narrow(c);
	*out = &c->base;
	return 0;
}

static bool is_wanted(const struct osp_scan *q, const struct entry *e)
{
	if (q->kind == OSP_PART_PATCH)
		return !e->part;
	return e->part && (q->kind != OSP_PART_ROW || !q->trace || e->trace == q->trace);
}

static int give_row(const struct osp_scan *q, const struct entry *e, struct osp_arena *arena,
		    struct osp_part *part)
{
	struct osp_row_span *spans;

	*part = *e->part;
	part->row.trace = e->trace;
	if (q->heads)
		part->row.step_count = part->row.attribute_count = 0;
	if (!(e->marks & ~part->row.spans[0].marks))
		return 0;
	spans = osp_arena_alloc(arena, part->row.span_count, sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	memcpy(spans, part->row.spans, part->row.span_count * sizeof(*spans));
	spans[0].marks |= e->marks;
	part->row.spans = spans;
	return 0;
}

static void give_patch(const struct entry *e, struct osp_part *part)
{
	*part = (struct osp_part){.kind = OSP_PART_PATCH};
	part->patch.trace = e->trace;
	part->patch.marks = e->marks;
	memcpy(&part->patch.id, e->key, sizeof(part->patch.id));
	part->patch.id = __builtin_bswap64(part->patch.id);
}

static int mem_next(struct osp_scanner *scanner, struct osp_arena *arena, struct osp_part *part)
{
	struct mem_scanner *c = (struct mem_scanner *)scanner;
	const struct osp_scan *q = &scanner->query;

	while (c->at < c->count) {
		const struct entry *e = c->entries[c->at++];

		if (is_range(q) && id_of(e) > q->last)
			return 1;
		if (!is_wanted(q, e))
			continue;
		if (q->kind == OSP_PART_ROW)
			return give_row(q, e, arena, part);
		if (q->kind == OSP_PART_PATCH)
			give_patch(e, part);
		else
			*part = *e->part;
		return 0;
	}
	return 1;
}

static void mem_end(struct osp_scanner **c)
{
	free(((struct mem_scanner *)*c)->found);
	free(*c);
	*c = NULL;
}

struct start {
	int64_t start_ns;
	uint64_t trace;
};

static int by_trace(const void *a, const void *b)
{
	const struct start *x = a, *y = b;

	if (x->trace != y->trace)
		return x->trace < y->trace ? -1 : 1;
	return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

static int by_start(const void *a, const void *b)
{
	const struct start *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return (x->trace > y->trace) - (x->trace < y->trace);
}

static int mem_traces(struct osp_store *s, uint64_t **keys, size_t *count)
{
	const struct osp_map *rows = &mem(s)->maps[OSP_PART_ROW];
	_cleanup_free_ struct start *list = calloc(rows->count + 1, sizeof(*list));
	uint64_t *out = calloc(rows->count + 1, sizeof(*out));
	struct entry *e;
	size_t n = 0, traces = 0;

	if (!list || !out) {
		free(out);
		return osp_store_fail(s, -ENOMEM, "no memory");
	}
	for (size_t at = 0; (e = osp_map_next(rows, &at));)
		if (e->part)
			list[n++] = (struct start){e->part->row.spans[0].start_ns, e->trace};
	qsort(list, n, sizeof(*list), by_trace);
	for (size_t i = 0; i < n; i++)
		if (!traces || list[traces - 1].trace != list[i].trace)
			list[traces++] = list[i];
	qsort(list, traces, sizeof(*list), by_start);
	for (size_t i = 0; i < traces; i++)
		out[i] = list[i].trace;
	*keys = out;
	*count = traces;
	return 0;
}

static bool has_span(const struct osp_row *row, uint64_t id)
{
	for (size_t i = 0; i < row->span_count; i++)
		if (row->id + row->spans[i].number == id)
			return true;
	return false;
}

static int mem_find(struct osp_store *s, uint64_t span_id, uint64_t *trace)
{
	struct entry *e;

	for (size_t at = 0; (e = osp_map_next(&mem(s)->maps[OSP_PART_ROW], &at));) {
		if (!e->part || !has_span(&e->part->row, span_id))
			continue;
		*trace = e->trace;
		return 0;
	}
	return osp_store_fail(s, -ENOENT, "no span %016llx", (unsigned long long)span_id);
}

const struct osp_store_ops osp_store_mem = {
	.scheme = "mem",
	.open = mem_open,
	.close = mem_close,
	.write = mem_write,
	.commit = mem_commit,
	.flush = mem_flush,
	.forget = mem_forget,
	.save = osp_store_copy,
	.traces = mem_traces,
	.find = mem_find,
	.scan = mem_scan,
	.next = mem_next,
	.end = mem_end,
};
