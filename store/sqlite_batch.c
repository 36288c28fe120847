/*
 * The operations of one batch before they become bundles: versions of one operation merged, the
 * patches and links that concern them applied. What concerns an operation that is stored opens
 * its bundle again, so that its operations are written anew with this batch: the traces of a slow
 * recording grow together. A mark alone goes beside it, into table amend. Fed by sqlite_write.c, feeds sqlite_encode.c. Part of the SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "store/part.h"

/* Offsets in a bundle are 2 bytes: operations are added while those before stay below. */
enum { OFFSET_MAX = 65535 };

/* ---- lists and their indexes ---- */

static int grow(void **list, size_t count, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 256;
	void *grown;

	if (count < *room)
		return 0;
	grown = realloc(*list, more * size);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	*room = more;
	return 0;
}

static uint64_t hash(uint64_t v)
{
	v *= 0x9e3779b97f4a7c15;
	return v ^ v >> 32;
}

/* Makes room for one more than `count`; every entry is put in again under its hash. */
static int grow_index(struct sqlite_index *x, size_t count, const void *list,
		      uint64_t (*hash_of)(const void *list, size_t i))
{
	size_t room = x->room ? x->room : 512;
	uint32_t *slots;

	if (x->room >= 2 * (count + 1))
		return 0;
	while (room < 2 * (count + 1))
		room *= 2;
	slots = calloc(room, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(x->slots);
	*x = (struct sqlite_index){slots, room};
	for (size_t i = 0; i < count; i++) {
		size_t at = hash_of(list, i) & (room - 1);

		while (slots[at])
			at = (at + 1) & (room - 1);
		slots[at] = (uint32_t)i + 1;
	}
	return 0;
}

static uint64_t hash_member(const void *list, size_t i)
{
	return hash(((const struct sqlite_member *)list)[i].row.id);
}

static uint64_t hash_edge(const struct osp_edge *e)
{
	return hash(hash(e->from) ^ e->to);
}

static uint64_t hash_link(const void *list, size_t i)
{
	return hash_edge(&((const struct sqlite_link *)list)[i].edge);
}

static uint64_t hash_group(const void *list, size_t i)
{
	return hash(((const struct sqlite_group *)list)[i].trace);
}

static void empty_index(struct sqlite_index *x)
{
	if (x->slots)
		memset(x->slots, 0, x->room * sizeof(*x->slots));
}

void sqlite_batch_reset(struct sqlite_batch *b)
{
	b->member_count = b->link_count = b->group_count = b->opened_count = 0;
	b->bundles = 0;
	empty_index(&b->by_id);
	empty_index(&b->by_link);
	empty_index(&b->by_trace);
	osp_arena_reset(&b->arena);
}

void sqlite_batch_clear(struct sqlite_batch *b)
{
	free(b->members);
	free(b->links);
	free(b->groups);
	free(b->opened);
	free(b->by_id.slots);
	free(b->by_link.slots);
	free(b->by_trace.slots);
	osp_arena_clear(&b->arena);
	*b = (struct sqlite_batch){.members = NULL};
}

/* The member with this id, or NULL. */
static struct sqlite_member *find_member(const struct sqlite_batch *b, uint64_t id)
{
	size_t mask = b->by_id.room - 1;

	if (!b->member_count)
		return NULL;
	for (size_t at = hash(id) & mask; b->by_id.slots[at]; at = (at + 1) & mask) {
		struct sqlite_member *m = &b->members[b->by_id.slots[at] - 1];

		if (m->row.id == id)
			return m;
	}
	return NULL;
}

static int add_member(struct sqlite_batch *b, const struct osp_row *row, struct sqlite_version v)
{
	size_t at;
	int r = grow((void **)&b->members, b->member_count, &b->member_room, sizeof(*b->members));

	r = r ? r : grow_index(&b->by_id, b->member_count, b->members, hash_member);
	if (r)
		return r;
	b->members[b->member_count++] = (struct sqlite_member){.row = *row, .version = v};
	for (at = hash(row->id) & (b->by_id.room - 1); b->by_id.slots[at];)
		at = (at + 1) & (b->by_id.room - 1);
	b->by_id.slots[at] = (uint32_t)b->member_count;
	return 0;
}

static bool is_same_link(const struct osp_edge *a, const struct osp_edge *b)
{
	return a->from == b->from && a->to == b->to &&
	       (a->rule == b->rule || !strcmp(a->rule, b->rule));
}

/* A later one replaces the earlier of its key; `older`: it was stored before this batch. */
static int add_link(struct sqlite_batch *b, const struct osp_edge *e, uint64_t seq, bool older)
{
	size_t at;
	int r = grow((void **)&b->links, b->link_count, &b->link_room, sizeof(*b->links));

	r = r ? r : grow_index(&b->by_link, b->link_count, b->links, hash_link);
	if (r)
		return r;
	for (at = hash_edge(e) & (b->by_link.room - 1); b->by_link.slots[at];
	     at = (at + 1) & (b->by_link.room - 1)) {
		struct sqlite_link *known = &b->links[b->by_link.slots[at] - 1];

		if (!is_same_link(&known->edge, e))
			continue;
		if (older ? seq > known->seq : seq >= known->seq)
			*known = (struct sqlite_link){.edge = *e, .seq = seq};
		return 0;
	}
	b->links[b->link_count++] = (struct sqlite_link){.edge = *e, .seq = seq};
	b->by_link.slots[at] = (uint32_t)b->link_count;
	return 0;
}

/* ---- bundles that are opened again ---- */

static int drop(struct sqlite_store *s, enum sqlite_statement id, int64_t key)
{
	sqlite3_stmt *st = sqlite_statement(s, id);

	if (!st)
		return sqlite_fail(s, "write");
	sqlite3_bind_int64(st, 1, key);
	return sqlite_run(s, st);
}

static int drop_amend(struct sqlite_store *s, uint64_t id)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_DROP_AMEND);

	if (!st)
		return sqlite_fail(s, "write");
	sqlite_bind_id(st, 1, id);
	return sqlite_run(s, st);
}

static int note_opened(struct sqlite_batch *b, int64_t key)
{
	int r = grow((void **)&b->opened, b->opened_count, &b->opened_room, sizeof(*b->opened));

	if (!r)
		b->opened[b->opened_count++] = key;
	return r;
}

static int take_bundle(struct sqlite_store *s, const struct sqlite_bundle *b)
{
	int r = note_opened(&s->batch, b->key);

	for (size_t i = 0; !r && i < b->count; i++) {
		struct sqlite_version v;
		struct osp_row row;

		r = sqlite_decode_row(s, b, i, false, &s->batch.arena, &row, &v);
		if (!r && sqlite_decode_is_amended(b, i))
			r = drop_amend(s, row.id);
		r = r ? r : add_member(&s->batch, &row, v);
		if (!r)
			s->batch.members[s->batch.member_count - 1].opened =
				(uint32_t)s->batch.opened_count;
	}
	for (size_t i = 0; !r && i < b->edge_count; i++) {
		struct osp_edge e;

		r = sqlite_decode_edge(s, b, i, &s->batch.arena, &e);
		r = r ? r : add_link(&s->batch, &e, 0, true);
	}
	return r;
}

static bool holds(const struct sqlite_bundle *b, uint64_t id)
{
	for (size_t i = 0; i < b->count; i++)
		if (sqlite_decode_id(b, i) == id)
			return true;
	return false;
}

/* Searches these bundles for the one that holds the operation. *found = 0: none does. */
static int open_bundle(struct sqlite_store *s, uint64_t id, int64_t first, int64_t last,
		       int64_t *found)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_FIND_BUNDLE);
	struct sqlite_bundle b = {.key = 0};
	int r = 0, code = SQLITE_DONE;

	*found = 0;
	if (!st)
		return sqlite_fail(s, "write");
	sqlite3_bind_int64(st, 1, first);
	sqlite3_bind_int64(st, 2, last);
	sqlite_bind_id(st, 3, id);
	while (!r && !*found && (code = sqlite3_step(st)) == SQLITE_ROW) {
		r = sqlite_decode(s, st, &b);
		if (r || !holds(&b, id))
			continue;
		*found = b.key;
		r = take_bundle(s, &b);
	}
	if (!r && !*found && code != SQLITE_DONE)
		r = sqlite_fail(s, "write");
	sqlite3_reset(st);
	return r;
}

/* Without a hint, or with a wrong one, among all between the first and the last of its block. */
static int open_stored(struct sqlite_store *s, uint64_t id, const struct sqlite_place *place)
{
	int64_t hint = sqlite_place_hint(s, id), found = 0;
	int r = hint ? open_bundle(s, id, hint, hint, &found) : 0;

	return r || found ? r : open_bundle(s, id, place->first, place->last, &found);
}

/* The member with the id; a stored operation becomes one. *out = NULL: there is none. */
static int get_member(struct sqlite_store *s, uint64_t id, struct sqlite_member **out)
{
	const struct sqlite_place *place;
	int r;

	*out = find_member(&s->batch, id);
	place = *out ? NULL : sqlite_place_find(s, id);
	if (!place)
		return 0;
	r = open_stored(s, id, place);
	*out = find_member(&s->batch, id);
	return r;
}

/* ---- rows and patches ---- */

/* Membership of an operation: rows and patches claim it, the highest rank has it. */
static void claim(struct sqlite_member *m, uint64_t trace, uint64_t rank)
{
	if (!trace || rank < m->version.rank)
		return;
	m->row.trace = trace;
	m->version.rank = rank;
}

/* A new operation takes over what patches said before it came. */
static int take_patch(struct sqlite_store *s, struct sqlite_member *m)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_TAKE_PATCH);
	int code;

	if (!st)
		return sqlite_fail(s, "write");
	sqlite_bind_id(st, 1, m->row.id);
	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		claim(m, (uint64_t)sqlite3_column_int64(st, 0),
		      (uint64_t)sqlite3_column_int64(st, 1));
		m->version.marks |= (uint32_t)sqlite3_column_int64(st, 2);
		s->patches_pending--;
	}
	code = code == SQLITE_DONE ? 0 : sqlite_fail(s, "write");
	sqlite3_reset(st);
	return code;
}

int sqlite_batch_row(struct sqlite_store *s, const struct osp_part *part)
{
	struct sqlite_version v = {.seq = part->seq, .rank = osp_part_rank(part)};
	struct sqlite_member *m;
	int r = get_member(s, part->row.id, &m);

	if (r)
		return r;
	if (!m) {
		r = add_member(&s->batch, &part->row, v);
		return r || !s->patches_pending
			       ? r
			       : take_patch(s, &s->batch.members[s->batch.member_count - 1]);
	}
	claim(m, part->row.trace, v.rank);
	if (part->row.complete != m->row.complete ? part->row.complete : v.seq >= m->version.seq) {
		uint64_t trace = m->row.trace;

		m->row = part->row;
		m->row.trace = trace;
		m->version.seq = v.seq;
	}
	return 0;
}

static int keep_patch(struct sqlite_store *s, const struct osp_part *part)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_PATCH);

	if (!st)
		return sqlite_fail(s, "write");
	s->patches_pending++;
	sqlite_bind_id(st, 1, part->patch.id);
	sqlite3_bind_int64(st, 2, (int64_t)part->patch.trace);
	sqlite3_bind_int64(st, 3, (int64_t)osp_part_rank(part));
	sqlite3_bind_int64(st, 4, part->patch.marks);
	return sqlite_run(s, st);
}

/* Of an operation that is stored, and stays as it is. */
static int add_marks(struct sqlite_store *s, const struct osp_patch *p)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_MARKS);

	if (!st)
		return sqlite_fail(s, "write");
	s->late_marks = true;
	sqlite_bind_id(st, 1, p->id);
	sqlite3_bind_int64(st, 2, p->marks);
	return sqlite_run(s, st);
}

int sqlite_batch_patch(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_patch *p = &part->patch;
	struct sqlite_member *m;
	int r;

	if (!p->trace && !find_member(&s->batch, p->id) && sqlite_place_find(s, p->id))
		return add_marks(s, p);
	r = get_member(s, p->id, &m);
	if (r || !m)
		return r ? r : keep_patch(s, part);
	claim(m, p->trace, osp_part_rank(part));
	m->version.marks |= p->marks;
	return 0;
}

int sqlite_batch_link(struct sqlite_store *s, const struct osp_part *part)
{
	return add_link(&s->batch, &part->edge, part->seq, false);
}

/* ---- bundles ---- */

static int find_group(struct sqlite_batch *b, uint64_t trace, struct sqlite_group **out)
{
	size_t at;
	int r = grow((void **)&b->groups, b->group_count, &b->group_room, sizeof(*b->groups));

	r = r ? r : grow_index(&b->by_trace, b->group_count, b->groups, hash_group);
	if (r)
		return r;
	for (at = hash(trace) & (b->by_trace.room - 1); b->by_trace.slots[at];
	     at = (at + 1) & (b->by_trace.room - 1)) {
		*out = &b->groups[b->by_trace.slots[at] - 1];
		if ((*out)->trace == trace)
			return 0;
	}
	*out = &b->groups[b->group_count++];
	**out = (struct sqlite_group){.trace = trace};
	b->by_trace.slots[at] = (uint32_t)b->group_count;
	return 0;
}

static int make_groups(struct sqlite_batch *b)
{
	for (uint32_t i = 1; i <= b->member_count; i++) {
		struct sqlite_group *g;
		int r = find_group(b, b->members[i - 1].row.trace, &g);

		if (r)
			return r;
		if (g->last)
			b->members[g->last - 1].next = i;
		else
			g->first = i;
		g->last = i;
	}
	return 0;
}

/* What is being gathered into one bundle. */
struct gathering {
	size_t count, times, slots;
	int64_t from_ns, to_ns; /* starts of its operations */
};

static void add_room(struct gathering *g, const struct osp_row *row)
{
	g->times += 8 * (row->step_count + 2 * row->span_count);
	g->slots += 4 * (2 * row->span_count + row->attribute_count + 1);
}

static bool fits(struct gathering *g, const struct osp_row *row)
{
	int64_t start = row->spans[0].start_ns;
	int64_t from = start < g->from_ns ? start : g->from_ns;
	int64_t to = start > g->to_ns ? start : g->to_ns;

	if (g->count && (g->count == OSP_PACK_OPERATIONS || g->times > OFFSET_MAX ||
			 g->slots > OFFSET_MAX || (uint64_t)to - (uint64_t)from >= 1ull << 40))
		return false;
	g->from_ns = g->count ? from : start;
	g->to_ns = g->count ? to : start;
	g->count++;
	add_room(g, row);
	return true;
}

/* Every member gets its bundle. */
static void assign_bundles(struct sqlite_batch *b)
{
	for (size_t i = 0; i < b->group_count; i++) {
		struct gathering g = {.count = 0};

		b->bundles++;
		for (uint32_t at = b->groups[i].first; at; at = b->members[at - 1].next) {
			struct sqlite_member *m = &b->members[at - 1];

			if (!fits(&g, &m->row)) {
				g = (struct gathering){.count = 0};
				b->bundles++;
				fits(&g, &m->row);
			}
			m->bundle = b->bundles - 1;
		}
	}
}

/* ---- links ---- */

static int write_edge(struct sqlite_store *s, const struct sqlite_link *l)
{
	const struct osp_edge *e = &l->edge;
	struct name rule = {.texts = {e->rule}};
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_EDGE);
	uint32_t rule_number, kind_number;
	int r = st ? 0 : sqlite_fail(s, "write");

	r = r ? r
	      : sqlite_names_add(s, NAMES_RULE, &rule, (struct name_hint){e->rule, NULL},
				 &rule_number);
	r = r ? r : sqlite_names_add_kind(s, e, &kind_number);
	r = r ? r : sqlite_place_add_edge(s, e->from);
	if (r)
		return r;
	sqlite_bind_id(st, 1, e->from);
	sqlite_bind_id(st, 2, e->to);
	sqlite3_bind_int64(st, 3, rule_number);
	sqlite3_bind_int64(st, 4, kind_number);
	sqlite3_bind_int64(st, 5, (int64_t)l->seq);
	return sqlite_run(s, st);
}

/* Two stored operations may have this link in a bundle: it must not be there twice. */
static int open_for_link(struct sqlite_store *s, const struct osp_edge *e)
{
	uint64_t from = osp_span_operation(e->from), to = osp_span_operation(e->to);
	struct sqlite_member *m;

	if (find_member(&s->batch, from) || find_member(&s->batch, to) ||
	    !sqlite_place_find(s, from) || !sqlite_place_find(s, to))
		return 0;
	return get_member(s, to, &m);
}

/* Into the bundle of both its ends; else into the table. firsts: chains by bundle. */
static int place_link(struct sqlite_store *s, uint32_t i, uint32_t *firsts)
{
	struct sqlite_link *l = &s->batch.links[i];
	struct sqlite_member *from = find_member(&s->batch, osp_span_operation(l->edge.from));
	struct sqlite_member *to = find_member(&s->batch, osp_span_operation(l->edge.to));

	if (!from || !to || from->bundle != to->bundle || l->seq ||
	    sqlite_place_has_edge(s, l->edge.from))
		return write_edge(s, l);
	l->next = firsts[from->bundle];
	firsts[from->bundle] = i + 1;
	if (l->edge.to == to->row.id && !strcmp(l->edge.makes, "parent") &&
	    strcmp(l->edge.grade, "ambiguous"))
		to->has_parent = true;
	return 0;
}

static int place_links(struct sqlite_store *s, uint32_t **firsts)
{
	struct sqlite_batch *b = &s->batch;
	int r = 0;

	*firsts = osp_arena_alloc(&b->arena, b->bundles + 1, sizeof(**firsts));
	if (!*firsts)
		return -ENOMEM;
	for (uint32_t i = 0; !r && i < b->link_count; i++)
		r = place_link(s, i, *firsts);
	return r;
}

/* ---- writing ---- */

static bool comes_first(const struct sqlite_batch *b, const struct sqlite_member *x,
			const struct sqlite_member *y)
{
	const struct sqlite_member *parents[] = {
		x->row.parent_id ? find_member(b, x->row.parent_id) : NULL,
		y->row.parent_id ? find_member(b, y->row.parent_id) : NULL,
	};
	bool has_x =
		x->row.parent_id ? parents[0] && parents[0]->bundle == x->bundle : x->has_parent;
	bool has_y =
		y->row.parent_id ? parents[1] && parents[1]->bundle == y->bundle : y->has_parent;

	if (has_x != has_y)
		return has_y;
	if (x->row.spans[0].start_ns != y->row.spans[0].start_ns)
		return x->row.spans[0].start_ns < y->row.spans[0].start_ns;
	return x->row.id < y->row.id;
}

/* The root of the bundle lies in front: the names of traces are made of it. */
static void put_root_first(struct sqlite_batch *b, uint32_t *members, size_t count)
{
	size_t root = 0;
	uint32_t other = members[0];

	for (size_t i = 1; i < count; i++)
		if (comes_first(b, &b->members[members[i]], &b->members[members[root]]))
			root = i;
	members[0] = members[root];
	members[root] = other;
}

/* A bundle that was opened again keeps its key, which one of those made of it takes. */
static int64_t take_key(struct sqlite_batch *b, const uint32_t *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t opened = b->members[members[i]].opened;
		int64_t key = opened ? b->opened[opened - 1] : 0;

		if (!key)
			continue;
		b->opened[opened - 1] = 0;
		return key;
	}
	return 0;
}

/* Bundles whose operations went into others. */
static int drop_emptied(struct sqlite_store *s)
{
	const struct sqlite_batch *b = &s->batch;
	int r = 0;

	for (size_t i = 0; !r && i < b->opened_count; i++)
		if (b->opened[i])
			r = drop(s, STATEMENT_DROP_BUNDLE, b->opened[i]);
	return r;
}

static int write_group(struct sqlite_store *s, const struct sqlite_group *g, const uint32_t *firsts)
{
	struct sqlite_batch *b = &s->batch;
	uint32_t members[OSP_PACK_OPERATIONS], at = g->first;
	int r = 0;

	while (!r && at) {
		uint32_t bundle = b->members[at - 1].bundle;
		size_t n = 0;

		for (; at && b->members[at - 1].bundle == bundle; at = b->members[at - 1].next)
			members[n++] = at - 1;
		put_root_first(b, members, n);
		r = sqlite_encode(s, members, n, firsts[bundle], take_key(b, members, n));
	}
	return r;
}

int sqlite_batch_write(struct sqlite_store *s)
{
	struct sqlite_batch *b = &s->batch;
	uint32_t *firsts = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < b->link_count; i++)
		r = open_for_link(s, &b->links[i].edge);
	r = r ? r : make_groups(b);
	if (r)
		return r;
	assign_bundles(b);
	r = place_links(s, &firsts);
	for (size_t i = 0; !r && i < b->group_count; i++)
		r = write_group(s, &b->groups[i], firsts);
	r = r ? r : sqlite_feed_write(s);
	r = r ? r : drop_emptied(s);
	if (!r && (s->place_again || s->bundle_keys - s->placed >= SQLITE_PLACE_BUNDLES))
		r = sqlite_place_flush(s);
	return r;
}
