/*
 * Puts fragments into an operation: afterwards it has one flat list of states, points and spans,
 * and nobody behind this file knows that fragments exist. Fed by probes/operation.c. A fragment is
 * copied with its parameters replaced; the names of its states get "<fragment>." before them, its
 * exits become states of whoever uses it.
 */
#include <errno.h>
#include <string.h>

#include "probes/load.h"

enum { MAX_SCOPES = 8, MAX_POINTS = 256 };

/* The states of the operation itself, or of one use of a fragment. */
struct osp_scope {
	const struct osp_scope *parent;	 /* NULL: the operation itself */
	const char *name;		 /* of the fragment */
	const struct osp_node *fragment; /* with its parameters replaced */
	const struct osp_node *use;	 /* the state that uses it: where its exits lead */
	const struct osp_node *states;
	const struct osp_scope **inner; /* by state: the fragment that it uses, or NULL */
	int depth;
};

static int expand_states(struct osp_build *b, struct osp_scope *s);

/* A fragment's states keep its name, so that two fragments may both have a Start. */
static int add_state(struct osp_build *b, const struct osp_scope *s, size_t i)
{
	struct osp_load *l = b->load;
	struct osp_operation *op = b->op;
	const struct osp_node *key = s->states->keys[i];
	const char *name = key->text;
	int r = osp_load_state_name(l, key);

	if (r)
		return r;
	if (op->state_count == OSP_CATALOGUE_STATES)
		return osp_load_fail(l, key, "expected at most %d states, fragments included",
				     OSP_CATALOGUE_STATES);
	if (s->parent)
		name = osp_arena_print(l->arena, "%s.%s", s->name, name);
	if (!name)
		return -ENOMEM;
	b->states[op->state_count] = (struct osp_state_source){name, s->states->values[i], s};
	op->states[op->state_count++] = name;
	return osp_load_map(l, s->states->values[i]);
}

/* Every parameter is given, and every key beside them is an exit. */
static int check_use(struct osp_build *b, const struct osp_node *fragment,
		     const struct osp_node *use)
{
	struct osp_load *l = b->load;
	const struct osp_node *exits = osp_node_find(fragment, "exits");
	const struct osp_node *params = osp_node_find(fragment, "params");
	const struct osp_node *with = osp_node_find(use, "with");
	size_t found = 0, given = with ? with->count : 0;

	if (with && with->kind != OSP_NODE_MAP)
		return osp_load_fail(l, with, "with: expected a map");
	for (size_t i = 0; params && i < params->count; i++)
		if (!osp_node_find(with, params->values[i]->text))
			return osp_load_fail(l, use, "with: expected the parameter %s",
					     params->values[i]->text);
	if (given != (params ? params->count : 0))
		return osp_load_fail(l, with, "with: expected only the fragment's parameters");
	for (size_t i = 0; exits && i < exits->count; i++) {
		const struct osp_node *v = osp_node_find(use, exits->values[i]->text);

		if (!v || v->kind != OSP_NODE_SCALAR)
			return osp_load_fail(l, use, "expected the state that the exit %s leads to",
					     exits->values[i]->text);
		found++;
	}
	if (use->count != 1 + (with != NULL) + found)
		return osp_load_fail(l, use, "expected use, with and the fragment's exits only");
	return 0;
}

/* `exits` and `params` of a fragment: lists of plain names. */
static int check_words(struct osp_load *l, const struct osp_node *n, const char *key)
{
	const struct osp_node *list = osp_node_find(n, key);

	if (list && list->kind != OSP_NODE_LIST)
		return osp_load_fail(l, list, "%s: expected a list of names", key);
	for (size_t i = 0; list && i < list->count; i++) {
		int r = osp_load_word(l, list->values[i]);

		if (r)
			return r;
	}
	return 0;
}

/* Done on the text as it stands, before parameters are replaced: lines are right either way. */
static int check_fragment(struct osp_load *l, const struct osp_node *f)
{
	const struct osp_node *states = osp_node_find(f, "states");
	int r = osp_load_keys(l, f, "doc entry exits params spans points states slow");

	if (!r)
		r = check_words(l, f, "exits");
	if (!r)
		r = check_words(l, f, "params");
	if (!r && (!states || states->kind != OSP_NODE_MAP || !states->count))
		r = osp_load_fail(l, f, "states: expected a map of states");
	if (!r && osp_node_find(states, "*"))
		r = osp_load_fail(l, f, "states: expected \"*\" in operations only");
	return r;
}

/*
 * Points are only collected here; probes/point.c reads them in this order, which is the order of
 * their numbers in the header: the operation's own first, then those of its fragments.
 */
static int add_points(struct osp_build *b, const struct osp_node *points)
{
	struct osp_load *l = b->load;
	int r = points ? osp_load_map(l, points) : 0;

	for (size_t i = 0; !r && points && i < points->count; i++) {
		for (size_t k = 0; k < b->point_count; k++)
			if (!strcmp(b->point_keys[k]->text, points->keys[i]->text))
				return osp_load_fail(l, points->keys[i],
						     "%s: expected no point twice (line %d)",
						     points->keys[i]->text, b->point_keys[k]->line);
		if (b->point_count == MAX_POINTS)
			return osp_load_fail(l, points, "points: expected at most %d", MAX_POINTS);
		b->point_keys[b->point_count] = points->keys[i];
		b->point_nodes[b->point_count++] = points->values[i];
	}
	return r;
}

/* A kind of nested span; its name stands for a missing title. */
static int read_span(struct osp_build *b, const struct osp_node *key, const struct osp_node *n)
{
	struct osp_load *l = b->load;
	struct osp_nested *s = &b->op->spans[b->op->span_count];
	int kind = 0, r;

	r = osp_load_keys(l, n, "kind name context doc");
	if (!r)
		r = osp_load_word(l, key);
	s->name = s->title = key->text;
	if (!r)
		r = osp_load_choice(l, n, "kind", "INTERNAL SERVER CLIENT PRODUCER CONSUMER",
				    &kind);
	s->kind = (enum osp_kind)(OSP_KIND_INTERNAL + kind);
	if (!r)
		r = osp_load_line(l, n, "name", &s->title);
	if (!r)
		r = osp_load_bool(l, n, "context", &s->context);
	if (!r)
		r = osp_load_line(l, n, "doc", &s->doc);
	b->span_keys[b->op->span_count++] = key;
	return r;
}

static int add_spans(struct osp_build *b, const struct osp_node *spans)
{
	struct osp_load *l = b->load;
	int r = spans ? osp_load_map(l, spans) : 0;

	osp_load_enter(l, "spans");
	for (size_t i = 0; !r && spans && i < spans->count; i++) {
		osp_load_enter(l, spans->keys[i]->text);
		for (size_t k = 0; k < b->op->span_count; k++)
			if (!strcmp(b->op->spans[k].name, spans->keys[i]->text))
				return osp_load_fail(l, spans->keys[i], "expected no span twice");
		if (b->op->span_count == OSP_CATALOGUE_SPANS)
			return osp_load_fail(l, spans->keys[i], "expected at most %d kinds of span",
					     OSP_CATALOGUE_SPANS);
		r = read_span(b, spans->keys[i], spans->values[i]);
		osp_load_leave(l);
	}
	osp_load_leave(l);
	return r;
}

/* Twice the same fragment would give two states one name. */
static bool is_used(const struct osp_build *b, const char *fragment)
{
	for (size_t i = 0; i < b->op->state_count; i++) {
		const struct osp_scope *s = b->states[i].scope;

		if (s->parent && !strcmp(s->name, fragment))
			return true;
	}
	return false;
}

/* The one place where text is replaced: afterwards a fragment is like part of the operation. */
static int use_fragment(struct osp_build *b, const struct osp_scope *parent,
			const struct osp_node *use, const struct osp_scope **out)
{
	struct osp_load *l = b->load;
	const struct osp_node *name = osp_node_find(use, "use"), *f = NULL;
	struct osp_scope *s = osp_arena_alloc(l->arena, 1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	if (name->kind == OSP_NODE_SCALAR)
		f = osp_node_find(osp_node_find(l->root, "fragments"), name->text);
	if (!f)
		return osp_load_fail(l, name, "use: expected the name of a fragment");
	if (parent->depth == MAX_SCOPES)
		return osp_load_fail(l, name,
				     "use: expected at most %d fragments inside each other",
				     MAX_SCOPES);
	if (is_used(b, name->text))
		return osp_load_fail(l, name, "use: expected no fragment twice in an operation");
	r = check_fragment(l, f);
	if (!r)
		r = check_use(b, f, use);
	if (!r)
		r = osp_node_replace(l, f, osp_node_find(use, "with"), &f);
	if (r)
		return r;
	*s = (struct osp_scope){.parent = parent,
				.name = name->text,
				.fragment = f,
				.use = use,
				.states = osp_node_find(f, "states"),
				.depth = parent->depth + 1};
	*out = s;
	r = add_points(b, osp_node_find(f, "points"));
	if (!r)
		r = add_spans(b, osp_node_find(f, "spans"));
	return r ? r : expand_states(b, s);
}

/* States in the order of the file, those of a fragment in the place of the state that uses it. */
static int expand_states(struct osp_build *b, struct osp_scope *s)
{
	int r = 0;

	s->inner = osp_arena_alloc(b->load->arena, s->states->count + 1, sizeof(*s->inner));
	if (!s->inner)
		return -ENOMEM;
	for (size_t i = 0; !r && i < s->states->count; i++) {
		const struct osp_node *n = s->states->values[i];

		osp_load_enter(b->load, s->states->keys[i]->text);
		if (!s->parent && !strcmp(s->states->keys[i]->text, "*"))
			b->any = n;
		else if (osp_node_find(n, "use"))
			r = use_fragment(b, s, n, &s->inner[i]);
		else
			r = add_state(b, s, i);
		osp_load_leave(b->load);
	}
	return r;
}

int osp_load_expand(struct osp_build *b)
{
	struct osp_load *l = b->load;
	struct osp_scope *s = osp_arena_alloc(l->arena, 1, sizeof(*s));
	const struct osp_node *states = osp_node_find(b->node, "states");
	int r;

	b->point_nodes = osp_arena_alloc(l->arena, MAX_POINTS, sizeof(*b->point_nodes));
	b->point_keys = osp_arena_alloc(l->arena, MAX_POINTS, sizeof(*b->point_keys));
	b->op->states = osp_arena_alloc(l->arena, OSP_CATALOGUE_STATES, sizeof(*b->op->states));
	if (!s || !b->point_nodes || !b->point_keys || !b->op->states)
		return -ENOMEM;
	if (!states || states->kind != OSP_NODE_MAP || !states->count)
		return osp_load_fail(l, b->node, "states: expected a map of states");
	s->states = states;
	b->scope = s;
	r = add_points(b, osp_node_find(b->node, "points"));
	if (!r)
		r = add_spans(b, osp_node_find(b->node, "spans"));
	osp_load_enter(l, "states");
	if (!r)
		r = expand_states(b, s);
	osp_load_leave(l);
	return r;
}

/* The name of a flat state within its own scope. */
static const char *own_name(const struct osp_state_source *s)
{
	const char *dot = strrchr(s->name, '.');

	return dot ? dot + 1 : s->name;
}

/* `slow` of the operation, or of a fragment: its keys are states of the same scope. */
static int read_slow(struct osp_build *b, const struct osp_scope *s, const struct osp_node *slow)
{
	struct osp_load *l = b->load;
	int r = slow ? osp_load_map(l, slow) : 0;

	for (size_t i = 0; !r && slow && i < slow->count; i++) {
		const char *key = slow->keys[i]->text;
		size_t k = 0;

		while (k < b->op->state_count &&
		       (b->states[k].scope != s || strcmp(own_name(&b->states[k]), key)))
			k++;
		if (k == b->op->state_count)
			return osp_load_fail(l, slow->keys[i], "%s: expected the name of a state",
					     key);
		r = osp_load_prose(l, slow, key, &b->op->slow[k]);
	}
	return r;
}

int osp_load_slow(struct osp_build *b)
{
	const struct osp_scope *last = NULL;
	int r;

	b->op->slow = osp_arena_alloc(b->load->arena, OSP_CATALOGUE_STATES, sizeof(*b->op->slow));
	if (!b->op->slow)
		return -ENOMEM;
	osp_load_enter(b->load, "slow");
	r = read_slow(b, b->scope, osp_node_find(b->node, "slow"));
	for (size_t i = 0; !r && i < b->op->state_count; i++) {
		const struct osp_scope *s = b->states[i].scope;

		if (s->parent && s != last)
			r = read_slow(b, s, osp_node_find(s->fragment, "slow"));
		last = s;
	}
	osp_load_leave(b->load);
	return r;
}

/* Exits are looked for before states: a fragment must not hide where its user sent it. */
static bool is_exit(const struct osp_scope *s, const char *name)
{
	const struct osp_node *exits = osp_node_find(s->fragment, "exits");

	for (size_t i = 0; exits && i < exits->count; i++)
		if (!strcmp(exits->values[i]->text, name))
			return true;
	return false;
}

/* The index of the flat state, which is known to exist. */
static uint8_t state_index(const struct osp_build *b, const struct osp_scope *s, size_t i)
{
	uint8_t k = 0;

	while (b->states[k].scope != s || b->states[k].node != s->states->values[i])
		k++;
	return k;
}

int osp_load_resolve(struct osp_build *b, const struct osp_scope *s, const struct osp_node *n,
		     uint8_t *out)
{
	const char *name = n->text;

	if (!s)
		s = b->scope;
	/* Exits lead up, entries lead down; an entry is never an exit, so this comes to an end. */
	while (s->parent && is_exit(s, name)) {
		name = osp_node_find(s->use, name)->text;
		s = s->parent;
	}
	for (;;) {
		size_t i = 0;
		const struct osp_node *entry;

		while (i < s->states->count && strcmp(s->states->keys[i]->text, name))
			i++;
		if (i == s->states->count || !strcmp(name, "*"))
			return osp_load_fail(b->load, n, "%s: expected the name of a state", name);
		if (!s->inner[i]) {
			*out = state_index(b, s, i);
			return 0;
		}
		s = s->inner[i];
		entry = osp_node_find(s->fragment, "entry");
		if (!entry || entry->kind != OSP_NODE_SCALAR)
			return osp_load_fail(b->load, s->fragment, "entry: expected a state");
		name = entry->text;
	}
}
