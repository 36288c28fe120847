/*
 * One operation: its own keys, then its automaton as a flat list of transitions. Fed by
 * probes/load.c; probes/expand.c has put the fragments in and probes/point.c has made the points
 * before the transitions are read; probes/verify.c looks at the result as a whole.
 */
#include <errno.h>
#include <string.h>

#include "probes/load.h"

/* by: op | thread | {arg: NAME} */
static int read_key(struct osp_load *l, const struct osp_node *n, struct osp_operation *op)
{
	const struct osp_node *by = osp_node_find(n, "by");
	int key = OSP_KEY_OP, r;

	if (by && by->kind == OSP_NODE_MAP) {
		op->key = OSP_KEY_ARG;
		r = osp_load_keys(l, by, "arg");
		if (!r)
			r = osp_load_text(l, by, "arg", &op->key_arg);
		return r || op->key_arg ? r : osp_load_fail(l, by, "by.arg: expected a name");
	}
	r = osp_load_choice(l, n, "by", "op thread", &key);
	op->key = (enum osp_key)key;
	if (!r)
		r = osp_load_bool(l, n, "nest", &op->nest);
	if (!r && op->nest && op->key != OSP_KEY_THREAD)
		r = osp_load_fail(l, n, "nest: expected with by: thread only");
	return r;
}

/* Texts that are only handed on. */
static int read_words(struct osp_load *l, const struct osp_node *n, struct osp_operation *op)
{
	static const struct {
		const char *key;
		size_t offset;
	} words[] = {
		{"side", offsetof(struct osp_operation, side)},
		{"layer", offsetof(struct osp_operation, layer)},
		{"feature", offsetof(struct osp_operation, feature)},
		{"doc", offsetof(struct osp_operation, doc)},
		{"starts", offsetof(struct osp_operation, starts)},
		{"name", offsetof(struct osp_operation, title)},
		{"messaging", offsetof(struct osp_operation, messaging_operation)},
	};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof(words) / sizeof(words[0]); i++)
		r = osp_load_line(l, n, words[i].key,
				  (const char **)((char *)op + words[i].offset));
	return r;
}

/* The operation's own keys; points, spans and states come after fragments are put in. */
static int read_head(struct osp_load *l, const struct osp_node *key, const struct osp_node *n,
		     struct osp_operation *op)
{
	int kind = 0, r;

	op->provider = l->provider;
	op->name = op->title = key->text;
	op->timeout_ns = 300 * INT64_C(1000000000);
	r = osp_load_keys(l, n,
			  "doc starts messages side layer feature by nest kind name messaging "
			  "timeout watch spans points start states slow");
	if (!r)
		r = osp_load_name(l, key);
	if (!r)
		r = read_words(l, n, op);
	if (!r)
		r = osp_load_choice(l, n, "kind", "INTERNAL SERVER CLIENT PRODUCER CONSUMER",
				    &kind);
	op->kind = (enum osp_kind)(OSP_KIND_INTERNAL + kind);
	if (!r)
		r = osp_load_duration(l, n, "timeout", &op->timeout_ns);
	if (!r)
		r = osp_load_bool(l, n, "watch", &op->watch);
	if (!r)
		r = osp_load_message_uses(l, n, op);
	return r ? r : read_key(l, n, op);
}

/* By the key in the file: foreign points have their provider before the name there. */
static struct osp_point *find_point(const struct osp_build *b, const char *key)
{
	for (size_t i = 0; i < b->point_count; i++)
		if (!strcmp(b->point_keys[i]->text, key))
			return b->op->points[i];
	return NULL;
}

static int find_span(struct osp_build *b, const struct osp_node *n, uint8_t *out)
{
	for (size_t i = 0; n->kind == OSP_NODE_SCALAR && i < b->op->span_count; i++)
		if (!strcmp(b->op->spans[i].name, n->text)) {
			*out = (uint8_t)i;
			return 0;
		}
	return osp_load_fail(b->load, n, "expected the name of a span of this operation");
}

/* A label: ok, unset, a code (then the status is error), or {status: S, code: C}. */
static int read_label(struct osp_load *l, const struct osp_node *n, struct osp_span_action *a)
{
	int status = OSP_STATUS_ERROR, r;

	a->has_status = true;
	if (n->kind == OSP_NODE_MAP) {
		r = osp_load_keys(l, n, "status code");
		if (!r)
			r = osp_load_choice(l, n, "status", "unset ok error", &status);
		a->status = (enum osp_status)status;
		return r ? r : osp_load_line(l, n, "code", &a->code);
	}
	if (n->kind != OSP_NODE_SCALAR || !n->text[0])
		return osp_load_fail(l, n, "expected ok, a code, or a map of status and code");
	if (!strcmp(n->text, "ok"))
		a->status = OSP_STATUS_OK;
	else if (!strcmp(n->text, "unset"))
		a->status = OSP_STATUS_UNSET;
	else
		a->status = OSP_STATUS_ERROR, a->code = n->text;
	return 0;
}

/* One span of `close` or `status`; without a label a close leaves the status as it was. */
static int add_action(struct osp_build *b, struct osp_transition *t, const struct osp_node *span,
		      const struct osp_node *label, bool close)
{
	const size_t max = sizeof(t->actions) / sizeof(t->actions[0]);
	struct osp_span_action *a = &t->actions[t->action_count];
	int r;

	if (t->action_count == max)
		return osp_load_fail(b->load, span, "expected at most %zu spans", max);
	r = find_span(b, span, &a->span);
	for (size_t i = 0; !r && i < t->action_count; i++)
		if (t->actions[i].span == a->span)
			r = osp_load_fail(b->load, span, "%s: expected no span twice", span->text);
	a->close = close;
	t->action_count++;
	return r || !label ? r : read_label(b->load, label, a);
}

/* close: SPAN | {SPAN: LABEL, ...}; status: {SPAN: LABEL, ...} */
static int read_actions(struct osp_build *b, const struct osp_node *n, const char *key,
			struct osp_transition *t)
{
	const struct osp_node *v = osp_node_find(n, key);
	bool close = key[0] == 'c';
	int r = 0;

	if (!v)
		return 0;
	if (close && v->kind == OSP_NODE_SCALAR)
		return add_action(b, t, v, NULL, true);
	osp_load_enter(b->load, key);
	r = osp_load_map(b->load, v);
	for (size_t i = 0; !r && i < v->count; i++)
		r = add_action(b, t, v->keys[i], v->values[i], close);
	osp_load_leave(b->load);
	return r;
}

/* Maps are few: no table is worth it. */
static const struct osp_enum *find_map(struct osp_load *l, const char *name)
{
	for (size_t i = 0; i < l->map_count; i++)
		if (!strcmp(l->maps[i]->name, name))
			return l->maps[i];
	return NULL;
}

/* code: {from: ARGUMENT, map: MAP} */
static int read_code_arg(struct osp_load *l, const struct osp_node *n, struct osp_transition *t)
{
	const struct osp_point *p = t->point;
	const char *from = NULL, *map = NULL;
	int r = osp_load_keys(l, n, "from map");

	if (!r)
		r = osp_load_text(l, n, "from", &from);
	if (!r)
		r = osp_load_text(l, n, "map", &map);
	for (size_t i = 0; !r && from && i < p->arg_count; i++)
		if (!strcmp(p->args[i].name, from))
			t->code_arg = (int8_t)i;
	if (!r && t->code_arg < 0)
		r = osp_load_fail(l, n, "code.from: expected an argument of %s", p->name);
	if (r || !map)
		return r;
	t->code_map = find_map(l, map);
	if (!t->code_map)
		return osp_load_fail(l, n, "code.map: expected the name of one of `maps`");
	if (!p->args[t->code_arg].enumeration)
		return osp_load_fail(l, n, "code.map: expected with an argument of an enum's type");
	return 0;
}

/* The code is a text of the catalogue, or made from an argument when the step comes. */
static int read_end(struct osp_build *b, const struct osp_node *n, struct osp_transition *t)
{
	const struct osp_node *code = osp_node_find(n, "code");
	int status = 0, r;

	r = osp_load_choice(b->load, n, "end", "unset ok error", &status);
	t->status = (enum osp_status)status;
	t->to = OSP_STATE_END;
	if (r || !code)
		return r;
	if (code->kind == OSP_NODE_MAP)
		return read_code_arg(b->load, code, t);
	return osp_load_line(b->load, n, "code", &t->code);
}

/* The long form of a transition. */
static int read_target(struct osp_build *b, const struct osp_scope *scope, const struct osp_node *n,
		       struct osp_transition *t)
{
	struct osp_load *l = b->load;
	const struct osp_node *to = osp_node_find(n, "to"), *open = osp_node_find(n, "open");
	uint8_t span = 0;
	int r = osp_load_keys(l, n, "to end code open close status");

	if (r)
		return r;
	if (!to == !osp_node_find(n, "end"))
		return osp_load_fail(l, n, "expected either to: STATE or end: ok, error or unset");
	if (to && to->kind != OSP_NODE_SCALAR)
		return osp_load_fail(l, to, "to: expected the name of a state");
	if (to && osp_node_find(n, "code"))
		return osp_load_fail(l, n, "code: expected with end only");
	r = to ? osp_load_resolve(b, scope, to, &t->to) : read_end(b, n, t);
	if (!r && open) {
		r = find_span(b, open, &span);
		t->open = (int8_t)span;
	}
	if (!r)
		r = read_actions(b, n, "close", t);
	return r ? r : read_actions(b, n, "status", t);
}

/* The short form is the name of the next state. */
static int read_transition(struct osp_build *b, const struct osp_scope *scope,
			   const struct osp_node *key, const struct osp_node *n,
			   struct osp_transition *t)
{
	struct osp_point *p = find_point(b, key->text);

	*t = (struct osp_transition){.point = p, .open = -1, .code_arg = -1};
	if (!p)
		return osp_load_fail(b->load, key, "expected one of the operation's points");
	if (n->kind == OSP_NODE_SCALAR)
		return osp_load_resolve(b, scope, n, &t->to);
	return read_target(b, scope, n, t);
}

/* Transitions stand in the order of the file; the recorder takes the first that fits. */
static int read_state(struct osp_build *b, uint8_t from)
{
	struct osp_operation *op = b->op;
	const struct osp_node *n = b->states[from].node;
	int r = 0;

	osp_load_enter(b->load, op->states[from]);
	for (size_t i = 0; !r && i < n->count; i++) {
		struct osp_transition *t = &op->transitions[op->transition_count];

		osp_load_enter(b->load, n->keys[i]->text);
		r = read_transition(b, b->states[from].scope, n->keys[i], n->values[i], t);
		t->from = from;
		b->transition_keys[op->transition_count++] = n->keys[i];
		osp_load_leave(b->load);
	}
	osp_load_leave(b->load);
	return r;
}

/* The transitions of "*": one from every state, marked. */
static int read_any(struct osp_build *b)
{
	struct osp_operation *op = b->op;
	struct osp_transition t;
	int r = b->any ? osp_load_map(b->load, b->any) : 0;

	osp_load_enter(b->load, "*");
	for (size_t i = 0; !r && b->any && i < b->any->count; i++) {
		osp_load_enter(b->load, b->any->keys[i]->text);
		r = read_transition(b, NULL, b->any->keys[i], b->any->values[i], &t);
		if (!r && (t.to != OSP_STATE_END || t.open >= 0 || t.action_count))
			r = osp_load_fail(b->load, b->any->keys[i],
					  "expected end, without open, close and status");
		t.any = true;
		for (size_t k = 0; !r && k < op->state_count; k++) {
			t.from = (uint8_t)k;
			b->transition_keys[op->transition_count] = b->any->keys[i];
			op->transitions[op->transition_count++] = t;
		}
		osp_load_leave(b->load);
	}
	osp_load_leave(b->load);
	return r;
}

/* Room for all transitions is known beforehand, so their addresses never change. */
static int read_states(struct osp_build *b)
{
	struct osp_operation *op = b->op;
	const struct osp_node *start = osp_node_find(b->node, "start");
	size_t count = b->any ? b->any->count * op->state_count : 0;
	int r = 0;

	for (size_t i = 0; i < op->state_count; i++)
		count += b->states[i].node->count;
	op->transitions = osp_arena_alloc(b->load->arena, count + 1, sizeof(*op->transitions));
	b->transition_keys =
		osp_arena_alloc(b->load->arena, count + 1, sizeof(*b->transition_keys));
	if (!op->transitions || !b->transition_keys)
		return -ENOMEM;
	if (!start || start->kind != OSP_NODE_SCALAR)
		return osp_load_fail(b->load, b->node, "start: expected the name of a state");
	r = osp_load_resolve(b, NULL, start, &op->start);
	osp_load_enter(b->load, "states");
	for (size_t i = 0; !r && i < op->state_count; i++)
		r = read_state(b, (uint8_t)i);
	if (!r)
		r = read_any(b);
	osp_load_leave(b->load);
	return r;
}

static bool has_arg(const struct osp_point *p, const char *name)
{
	for (size_t i = 0; i < p->arg_count; i++)
		if (!strcmp(p->args[i].name, name))
			return true;
	return false;
}

/* How the events of the operation find it must fit what its points are. */
static int check_key(struct osp_build *b)
{
	struct osp_operation *op = b->op;

	for (size_t i = 0; i < op->point_count; i++) {
		const struct osp_point *p = op->points[i];

		if (p->foreign == (op->key == OSP_KEY_OP))
			return osp_load_fail(b->load, b->node,
					     "by: expected %s, for %s is %s point",
					     p->foreign ? "thread or {arg: NAME}" : "op", p->name,
					     p->foreign ? "a foreign" : "our own");
		if (op->key == OSP_KEY_ARG && !has_arg(p, op->key_arg))
			return osp_load_fail(
				b->load, b->point_keys[i],
				"by: expected an argument %s in every point, %s has none",
				op->key_arg, p->name);
	}
	return 0;
}

/* Each step needs the one before it: names, then points, then what refers to them. */
static int build(struct osp_build *b, const struct osp_node *key)
{
	int r = read_head(b->load, key, b->node, b->op);

	if (!r)
		r = osp_load_expand(b);
	if (!r)
		r = osp_load_slow(b);
	if (!r)
		r = osp_load_points(b);
	if (!r)
		r = check_key(b);
	if (!r)
		r = read_states(b);
	return r ? r : osp_load_verify(b);
}

int osp_load_operation(struct osp_load *l, const struct osp_node *key, const struct osp_node *n)
{
	struct osp_build *b = osp_arena_alloc(l->arena, 1, sizeof(*b));
	struct osp_operation *op = osp_arena_alloc(l->arena, 1, sizeof(*op));

	if (!b || !op)
		return -ENOMEM;
	if (l->c->operation_count == OSP_LOAD_OPERATIONS) {
		osp_load_fail(l, key, "expected at most %d operations in all", OSP_LOAD_OPERATIONS);
		return -E2BIG;
	}
	op->number = (uint16_t)l->c->operation_count;
	l->c->operations[l->c->operation_count++] = op;
	b->load = l;
	b->op = op;
	b->node = n;
	return build(b, key);
}
