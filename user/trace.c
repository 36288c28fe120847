/*
 * Trace membership (user/trace.h), fed by stitch (operations, parents) and by link (facts and
 * their withdrawal). Owns nodes and components
 * (in pools) and a table that finds nodes. A merge relabels the smaller component, so n
 * operations cost O(n log n) in all; a split walks one component. Components in which nothing is
 * open and no link end waits are forgotten, oldest first, when there are too many operations.
 */
#include "user/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/base/pool.h"

struct osp_trace_set {
	uint64_t key;
	size_t count, pins;
	struct osp_list nodes;
	struct osp_list idle; /* in the forest's list while pins = 0 */
};

struct osp_forest {
	struct osp_chains by_id;
	struct osp_pool nodes, sets;
	size_t count;	 /* of nodes */
	uint64_t traces; /* components there are, with the forgotten ones */
	size_t max;
	uint64_t born;
	size_t walk;
	struct osp_list idle; /* components without pins, longest idle first */
	osp_trace_moved_fn moved;
	void *arg;
};

int osp_trace_new(struct osp_forest **out, size_t max, osp_trace_moved_fn moved, void *arg)
{
	struct osp_forest *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->max = max;
	f->moved = moved;
	f->arg = arg;
	osp_pool_init(&f->nodes, sizeof(struct osp_trace_node));
	osp_pool_init(&f->sets, sizeof(struct osp_trace_set));
	osp_list_init(&f->idle);
	if (osp_chains_init(&f->by_id, max)) {
		free(f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

static struct osp_trace_node *first_of(const struct osp_list *l)
{
	return osp_list_entry(l->next, struct osp_trace_node, in_set);
}

/* A component without members is no longer one. */
static void drop_set(struct osp_forest *f, struct osp_trace_set *set)
{
	osp_list_remove(&set->idle);
	osp_pool_free(&f->sets, set);
}

static void free_edges(struct osp_trace_node *n)
{
	if (n->edges != n->few)
		free(n->edges);
}

static void free_set(struct osp_forest *f, struct osp_trace_set *set)
{
	while (!osp_list_empty(&set->nodes)) {
		struct osp_trace_node *n = first_of(&set->nodes);

		osp_list_remove(&n->in_set);
		osp_chain_remove(&f->by_id, &n->by_id);
		free_edges(n);
		osp_pool_free(&f->nodes, n);
		f->count--;
	}
	drop_set(f, set);
}

void osp_trace_free(struct osp_forest **forest)
{
	struct osp_forest *f = *forest;

	if (!f)
		return;
	for (size_t i = 0; i <= f->by_id.mask; i++)
		for (struct osp_chain *c = osp_chain_first(f->by_id.heads[i]); c; c = c->next)
			free_edges(osp_chain_entry(c, struct osp_trace_node, by_id));
	osp_chains_clear(&f->by_id);
	osp_pool_clear(&f->nodes);
	osp_pool_clear(&f->sets);
	free(f);
	*forest = NULL;
}

uint64_t osp_trace_key(const struct osp_trace_node *n)
{
	return n->set->key;
}

/* A component of its own, idle until somebody pins it. */
static struct osp_trace_set *new_set(struct osp_forest *f, uint64_t key)
{
	struct osp_trace_set *set = osp_pool_alloc(&f->sets);

	if (!set)
		return NULL;
	*set = (struct osp_trace_set){.key = key};
	osp_list_init(&set->nodes);
	osp_list_add(&f->idle, &set->idle);
	return set;
}

static void put(struct osp_trace_set *set, struct osp_trace_node *n)
{
	n->set = set;
	osp_list_add(&set->nodes, &n->in_set);
	set->count++;
	set->pins += n->pins;
}

/* What is forgotten can no longer be moved or linked; its rows stay as they are. */
static void forget_idle(struct osp_forest *f)
{
	while (f->count > f->max && !osp_list_empty(&f->idle)) {
		struct osp_list *l = f->idle.next;

		/* The next one is as old and as far away: its memory may begin to move. */
		__builtin_prefetch(osp_list_entry(l->next, struct osp_trace_set, idle));
		free_set(f, osp_list_entry(l, struct osp_trace_set, idle));
	}
}

static struct osp_trace_node *find_node(const struct osp_forest *f, uint32_t slot, uint64_t id,
					uint64_t hash)
{
	struct osp_chain *c = osp_chain_find(&f->by_id, hash);

	for (; c; c = osp_chain_next(c)) {
		struct osp_trace_node *n = osp_chain_entry(c, struct osp_trace_node, by_id);

		if (n->id == id && n->slot == slot)
			return n;
	}
	return NULL;
}

void osp_trace_expect(const struct osp_forest *f, uint32_t slot, uint64_t id)
{
	osp_chain_expect(&f->by_id, osp_hash_words(id, slot));
}

void osp_trace_expect_node(const struct osp_trace_node *n)
{
	__builtin_prefetch(&n->pins, 1);
	__builtin_prefetch(&n->set, 1);
}

struct osp_trace_node *osp_trace_find(const struct osp_forest *f, uint32_t slot, uint64_t id)
{
	return find_node(f, slot, id, osp_hash_words(id, slot));
}

int osp_trace_find_unstored(const struct osp_forest *f,
			    int (*fn)(void *arg, struct osp_trace_node *n), void *arg)
{
	int r = 0;

	for (size_t i = 0; i <= f->by_id.mask; i++)
		for (struct osp_chain *c = osp_chain_first(f->by_id.heads[i]); !r && c;
		     c = c->next) {
			struct osp_trace_node *n = osp_chain_entry(c, struct osp_trace_node, by_id);

			r = n->stored ? 0 : fn(arg, n);
		}
	return r;
}

int osp_trace_add(struct osp_forest *f, uint32_t slot, uint64_t id, struct osp_trace_node **out)
{
	uint64_t hash = osp_hash_words(id, slot);
	struct osp_trace_node *n = find_node(f, slot, id, hash);
	struct osp_trace_set *set;

	if (n) {
		*out = n;
		return 0;
	}
	forget_idle(f);
	n = osp_pool_alloc(&f->nodes);
	set = n ? new_set(f, f->born + 1) : NULL;
	if (!set) {
		osp_pool_free(&f->nodes, n);
		return -ENOMEM;
	}
	*n = (struct osp_trace_node){.id = id,
				     .slot = slot,
				     .birth = ++f->born,
				     .edges = n->few,
				     .edge_room = OSP_TRACE_FEW};
	osp_chain_add(&f->by_id, &n->by_id, hash);
	put(set, n);
	f->count++;
	f->traces++;
	*out = n;
	return 0;
}

/* A component is in the list of the idle exactly while it has no pins. */
static void set_idle(struct osp_forest *f, struct osp_trace_set *set)
{
	osp_list_remove(&set->idle);
	if (!set->pins)
		osp_list_add(&f->idle, &set->idle);
}

void osp_trace_pin(struct osp_forest *f, struct osp_trace_node *n)
{
	n->pins++;
	if (!n->set->pins++)
		set_idle(f, n->set);
}

void osp_trace_unpin(struct osp_forest *f, struct osp_trace_node *n)
{
	n->pins--;
	if (!--n->set->pins)
		set_idle(f, n->set);
}

/* Members that are stored have the old key there. */
static int tell_moved(struct osp_forest *f, const struct osp_trace_set *set)
{
	for (struct osp_list *l = set->nodes.next; l != &set->nodes; l = l->next) {
		struct osp_trace_node *n = osp_list_entry(l, struct osp_trace_node, in_set);
		int r = n->stored ? f->moved(f->arg, n) : 0;

		if (r)
			return r;
	}
	return 0;
}

/* Edges are kept at both ends and as often as they were made: a parting takes one away. */
static int add_edge(struct osp_trace_node *from, struct osp_trace_node *to)
{
	if (from->edge_count == from->edge_room) {
		size_t room = from->edge_room * 2;
		struct osp_trace_node **more = malloc(room * sizeof(struct osp_trace_node *));

		if (!more)
			return -ENOMEM;
		memcpy(more, from->edges, from->edge_count * sizeof(*from->edges));
		free_edges(from);
		from->edges = more;
		from->edge_room = (uint32_t)room;
	}
	from->edges[from->edge_count++] = to;
	return 0;
}

/* Takes one edge to `to` away. False: there was none. */
static bool remove_edge(struct osp_trace_node *from, const struct osp_trace_node *to)
{
	for (size_t i = from->edge_count; i-- > 0;) {
		if (from->edges[i] != to)
			continue;
		from->edges[i] = from->edges[--from->edge_count];
		return true;
	}
	return false;
}

/* Moves all members of `small` to `large`; `small` is gone then. */
static void pour(struct osp_forest *f, struct osp_trace_set *large, struct osp_trace_set *small)
{
	while (!osp_list_empty(&small->nodes)) {
		struct osp_trace_node *n = first_of(&small->nodes);

		osp_list_remove(&n->in_set);
		put(large, n);
	}
	drop_set(f, small);
}

int osp_trace_join(struct osp_forest *f, struct osp_trace_node *a, struct osp_trace_node *b)
{
	struct osp_trace_set *old, *kept;
	int r = add_edge(a, b);

	if (r)
		return r;
	r = add_edge(b, a);
	if (r) {
		remove_edge(a, b);
		return r;
	}
	if (a->set == b->set)
		return 0;
	kept = a->set->key < b->set->key ? a->set : b->set;
	old = kept == a->set ? b->set : a->set;
	old->key = kept->key;
	r = tell_moved(f, old);
	if (old->count > kept->count) {
		struct osp_trace_set *swap = old;

		old = kept;
		kept = swap;
	}
	pour(f, kept, old);
	f->traces--;
	set_idle(f, kept);
	return r;
}

/*
 * Gathers into `part` everything that can still be reached from its first member. The list of
 * members is also the list of those whose edges are to be followed.
 */
static void gather(struct osp_trace_set *part, size_t walk)
{
	for (struct osp_list *l = part->nodes.next; l != &part->nodes; l = l->next) {
		struct osp_trace_node *n = osp_list_entry(l, struct osp_trace_node, in_set);

		for (size_t i = 0; i < n->edge_count; i++) {
			struct osp_trace_node *to = n->edges[i];

			if (to->mark == walk)
				continue;
			to->mark = walk;
			osp_list_remove(&to->in_set);
			to->set->count--;
			to->set->pins -= to->pins;
			put(part, to);
			part->key = to->birth < part->key ? to->birth : part->key;
		}
	}
}

/* The whole component of `a` moves to a new set; what stays behind is the component of `b`. */
static int split(struct osp_forest *f, struct osp_trace_node *a, struct osp_trace_node *b)
{
	struct osp_trace_set *rest = b->set, *part = new_set(f, a->birth);
	uint64_t key = rest->key;
	int r = 0;

	if (!part)
		return -ENOMEM;
	a->mark = ++f->walk;
	osp_list_remove(&a->in_set);
	rest->count--;
	rest->pins -= a->pins;
	put(part, a);
	gather(part, f->walk);
	if (b->set == part) {
		part->key = key;
		drop_set(f, rest);
	} else {
		f->traces++;
		rest->key = UINT64_MAX;
		for (struct osp_list *l = rest->nodes.next; l != &rest->nodes; l = l->next) {
			struct osp_trace_node *n = osp_list_entry(l, struct osp_trace_node, in_set);

			rest->key = n->birth < rest->key ? n->birth : rest->key;
		}
		r = tell_moved(f, part->key == key ? rest : part);
		set_idle(f, rest);
	}
	set_idle(f, part);
	return r;
}

uint64_t osp_trace_count(const struct osp_forest *f)
{
	return f->traces;
}

int osp_trace_part(struct osp_forest *f, struct osp_trace_node *a, struct osp_trace_node *b)
{
	if (!remove_edge(a, b) || !remove_edge(b, a))
		return 0;
	return split(f, a, b);
}
