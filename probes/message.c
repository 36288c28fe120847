/*
 * The protocol's messages: the file's table of them, and which of them an operation sends or takes.
 * Fed by probes/load.c and probes/operation.c. For the reference page, and for whoever compares the
 * catalogue with another table of the protocol; the recorder does not look at them.
 */
#include <errno.h>
#include <string.h>

#include "probes/load.h"

/* Two of one number would be one message, unless they are posted to different paths. */
static bool same_place(const struct osp_message *a, const struct osp_message *b)
{
	return a->id == b->id && a->to_broadcaster == b->to_broadcaster &&
	       a->stateful == b->stateful && (!a->path || !b->path || !strcmp(a->path, b->path));
}

static int check_place(struct osp_load *l, const struct osp_node *at, const struct osp_message *m)
{
	for (size_t i = l->first_message; i < l->c->message_count; i++)
		if (same_place(l->c->messages[i], m))
			return osp_load_fail(l, at,
					     "id: expected one that %s does not have on the same "
					     "way",
					     l->c->messages[i]->key);
	return 0;
}

static int read_texts(struct osp_load *l, const struct osp_node *n, struct osp_message *m)
{
	int r = osp_load_line(l, n, "name", &m->name);

	if (!r)
		r = osp_load_line(l, n, "path", &m->path);
	if (!r)
		r = osp_load_prose(l, n, "doc", &m->doc);
	if (!r && (!m->name || !m->doc))
		r = osp_load_fail(l, n, "%s: expected", m->name ? "doc" : "name");
	if (!r && m->path && m->stateful)
		r = osp_load_fail(l, n, "path: expected with over: http only");
	return r;
}

static int read_message(struct osp_load *l, const struct osp_node *key, const struct osp_node *n)
{
	struct osp_message *m = osp_arena_alloc(l->arena, 1, sizeof(*m));
	int to = -1, over = -1, r = osp_load_keys(l, n, "name id to over path doc");
	uint64_t id = 0;

	if (!m)
		return -ENOMEM;
	m->key = key->text;
	if (!r)
		r = osp_load_word(l, key);
	if (!r)
		r = osp_load_choice(l, n, "to", "subscriber broadcaster", &to);
	if (!r)
		r = osp_load_choice(l, n, "over", "http websocket", &over);
	if (!r && (to < 0 || over < 0))
		r = osp_load_fail(l, n, "%s: expected", to < 0 ? "to" : "over");
	if (!r)
		r = osp_load_uint(l, n, "id", 1, UINT16_MAX, &id);
	if (!r && !id)
		r = osp_load_fail(l, n, "id: expected");
	m->id = (uint16_t)id;
	m->to_broadcaster = to == 1;
	m->stateful = over == 1;
	if (!r)
		r = read_texts(l, n, m);
	if (!r)
		r = check_place(l, n, m);
	l->c->messages[l->c->message_count++] = m;
	return r;
}

int osp_load_messages(struct osp_load *l)
{
	const struct osp_node *n = osp_node_find(l->root, "messages");
	int r = n ? osp_load_map(l, n) : 0;

	l->first_message = l->c->message_count;
	osp_load_enter(l, "messages");
	for (size_t i = 0; !r && n && i < n->count; i++) {
		if (l->c->message_count == OSP_LOAD_MESSAGES) {
			osp_load_fail(l, n, "expected at most %d in all", OSP_LOAD_MESSAGES);
			return -E2BIG;
		}
		osp_load_enter(l, n->keys[i]->text);
		r = read_message(l, n->keys[i], n->values[i]);
		osp_load_leave(l);
	}
	osp_load_leave(l);
	return r;
}

static const struct osp_message *find_message(const struct osp_load *l, const struct osp_node *n)
{
	for (size_t i = l->first_message; n->kind == OSP_NODE_SCALAR && i < l->c->message_count;
	     i++)
		if (!strcmp(l->c->messages[i]->key, n->text))
			return l->c->messages[i];
	return NULL;
}

int osp_load_message_uses(struct osp_load *l, const struct osp_node *n, struct osp_operation *op)
{
	const struct osp_node *v = osp_node_find(n, "messages");

	if (!v)
		return 0;
	if (v->kind != OSP_NODE_LIST)
		return osp_load_fail(l, v, "messages: expected a list");
	op->messages = osp_arena_alloc(l->arena, v->count + 1, sizeof(*op->messages));
	if (!op->messages)
		return -ENOMEM;
	for (size_t i = 0; i < v->count; i++) {
		const struct osp_message *m = find_message(l, v->values[i]);

		if (!m)
			return osp_load_fail(l, v->values[i],
					     "messages: expected one of the file's `messages`");
		op->messages[op->message_count++] = m;
	}
	return 0;
}

static bool is_used(const struct osp_load *l, const struct osp_message *m)
{
	for (size_t i = l->first_operation; i < l->c->operation_count; i++)
		for (size_t k = 0; k < l->c->operations[i]->message_count; k++)
			if (l->c->operations[i]->messages[k] == m)
				return true;
	return false;
}

int osp_load_check_messages(struct osp_load *l)
{
	for (size_t i = l->first_message; i < l->c->message_count; i++)
		if (!is_used(l, l->c->messages[i]))
			return osp_load_fail(
				l, osp_node_find(l->root, "messages"),
				"messages.%s: expected an operation that sends or takes "
				"it",
				l->c->messages[i]->key);
	return 0;
}
