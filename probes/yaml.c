/*
 * YAML text to a tree of nodes that know their lines, by libyaml's events. Fed by probes/load.c;
 * the tree lies in the catalogue's arena. Catalogues come from anywhere, so depth and number of
 * nodes are bounded, and anchors, aliases and second documents are refused: what a catalogue
 * says stands where it says it.
 */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "probes/load.h"
#include "user/base/cleanup.h"

enum { MAX_DEPTH = 24, MAX_NODES = 65536, MAX_CHILDREN = 2048 };

struct reader {
	yaml_parser_t parser;
	struct osp_load *load;
	size_t nodes;
	int depth;
};

/* Children of one node while their number is not known yet. */
struct children {
	const struct osp_node **items;
	size_t count, capacity;
};

static void free_children(struct children *c)
{
	free(c->items);
}

static int push_child(struct children *c, const struct osp_node *n)
{
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? 2 * c->capacity : 16;
		void *items = realloc(c->items, capacity * sizeof(*c->items));

		if (!items)
			return -ENOMEM;
		c->items = items;
		c->capacity = capacity;
	}
	c->items[c->count++] = n;
	return 0;
}

/* From the growing list to its place in the arena. */
static int keep_children(struct reader *r, const struct children *c, const struct osp_node ***out)
{
	*out = osp_arena_alloc(r->load->arena, c->count + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	if (c->count)
		memcpy(*out, c->items, c->count * sizeof(**out));
	return 0;
}

static int fail_at(struct reader *r, size_t line, const char *expected)
{
	struct osp_node at = {.line = (int)line + 1};

	return osp_load_fail(r->load, &at, "%s", expected);
}

/* libyaml's complaint with the line where it stands. */
static int next_event(struct reader *r, yaml_event_t *event)
{
	yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(p, event))
		return 0;
	memset(event, 0, sizeof(*event));
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR)
		return fail_at(r, p->mark.line, "expected YAML in UTF-8");
	return osp_load_fail(r->load, &(struct osp_node){.line = (int)p->problem_mark.line + 1},
			     "expected YAML: %s", p->problem ? p->problem : "not well formed");
}

static int read_node(struct reader *r, const yaml_event_t *event, const struct osp_node **out);

/* The next child, or *out = NULL at the end of the parent. */
static int next_child(struct reader *r, const struct osp_node **out)
{
	yaml_event_t event;
	int e = next_event(r, &event);

	*out = NULL;
	if (!e && event.type != YAML_SEQUENCE_END_EVENT && event.type != YAML_MAPPING_END_EVENT)
		e = read_node(r, &event, out);
	yaml_event_delete(&event);
	return e;
}

static int read_list(struct reader *r, struct osp_node *n)
{
	_cleanup_(free_children) struct children items = {0};
	const struct osp_node *child;
	int e;

	while (!(e = next_child(r, &child)) && child) {
		if (items.count == MAX_CHILDREN)
			return osp_load_fail(r->load, child, "expected a shorter list");
		e = push_child(&items, child);
		if (e)
			return e;
	}
	n->count = items.count;
	return e ? e : keep_children(r, &items, &n->values);
}

static int check_key(struct reader *r, const struct children *keys, const struct osp_node *key)
{
	if (key->kind != OSP_NODE_SCALAR)
		return osp_load_fail(r->load, key, "expected a name as key");
	if (keys->count == MAX_CHILDREN)
		return osp_load_fail(r->load, key, "expected fewer keys");
	for (size_t i = 0; i < keys->count; i++)
		if (!strcmp(keys->items[i]->text, key->text))
			return osp_load_fail(r->load, key, "%s: expected no key twice (line %d)",
					     key->text, keys->items[i]->line);
	return 0;
}

static int read_map(struct reader *r, struct osp_node *n)
{
	_cleanup_(free_children) struct children keys = {0}, values = {0};
	const struct osp_node *child;
	int e;

	while (!(e = next_child(r, &child)) && child) {
		e = check_key(r, &keys, child);
		if (!e)
			e = push_child(&keys, child);
		if (!e)
			e = next_child(r, &child);
		if (!e)
			e = push_child(&values, child);
		if (e)
			return e;
	}
	n->count = keys.count;
	if (!e)
		e = keep_children(r, &keys, &n->keys);
	return e ? e : keep_children(r, &values, &n->values);
}

/* Types of YAML are not looked at: what a text means is the reader's affair. */
static int read_scalar(struct reader *r, const yaml_event_t *e, struct osp_node *n)
{
	const char *text = (const char *)e->data.scalar.value;
	bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (strlen(text) != e->data.scalar.length)
		return osp_load_fail(r->load, n, "expected text without NUL bytes");
	n->text = osp_arena_copy(r->load->arena, text, e->data.scalar.length);
	n->null = plain && (!text[0] || !strcmp(text, "~") || !strcmp(text, "null"));
	return n->text ? 0 : -ENOMEM;
}

/* The parser is driven by recursion: depth is what bounds the stack. */
static int read_inner(struct reader *r, struct osp_node *n)
{
	int e;

	if (++r->depth > MAX_DEPTH)
		return osp_load_fail(r->load, n, "expected at most %d levels of nesting",
				     MAX_DEPTH);
	e = n->kind == OSP_NODE_MAP ? read_map(r, n) : read_list(r, n);
	r->depth--;
	return e;
}

/* Tags are ignored; anchors would make one text stand in two places. */
static int read_node(struct reader *r, const yaml_event_t *event, const struct osp_node **out)
{
	struct osp_node *n = osp_arena_alloc(r->load->arena, 1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	*out = n;
	n->line = (int)event->start_mark.line + 1;
	if (++r->nodes > MAX_NODES)
		return osp_load_fail(r->load, n, "expected a smaller file");
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor)
			break;
		return read_scalar(r, event, n);
	case YAML_SEQUENCE_START_EVENT:
		if (event->data.sequence_start.anchor)
			break;
		n->kind = OSP_NODE_LIST;
		return read_inner(r, n);
	case YAML_MAPPING_START_EVENT:
		if (event->data.mapping_start.anchor)
			break;
		n->kind = OSP_NODE_MAP;
		return read_inner(r, n);
	default:
		break;
	}
	return osp_load_fail(r->load, n, "expected no anchors and aliases");
}

/* Skips the events before the root, reads it, and sees that nothing follows. */
static int read_document(struct reader *r, const struct osp_node **out)
{
	bool root = false;

	for (;;) {
		yaml_event_t event;
		yaml_event_type_t type;
		int e = next_event(r, &event);

		type = event.type;
		if (!e && root && type == YAML_DOCUMENT_START_EVENT)
			e = fail_at(r, event.start_mark.line, "expected one document in a file");
		else if (!e && type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
			 type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT)
			e = read_node(r, &event, out), root = true;
		yaml_event_delete(&event);
		if (e)
			return e;
		if (type == YAML_STREAM_END_EVENT)
			return root ? 0 : fail_at(r, 0, "expected YAML, got an empty file");
	}
}

int osp_node_parse(struct osp_load *l, const char *text, size_t size, const struct osp_node **out)
{
	struct reader r = {.load = l};
	int e;

	if (!yaml_parser_initialize(&r.parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(size ? text : ""), size);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	e = read_document(&r, out);
	yaml_parser_delete(&r.parser);
	return e;
}

const struct osp_node *osp_node_find(const struct osp_node *n, const char *key)
{
	if (!n || n->kind != OSP_NODE_MAP)
		return NULL;
	for (size_t i = 0; i < n->count; i++)
		if (!strcmp(n->keys[i]->text, key))
			return n->values[i];
	return NULL;
}

/* Bytes of the name at p: letters, digits, underscores. */
static size_t name_length(const char *p)
{
	return strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

/* One "$name" at the start of `from`: its text, and how much of `from` it takes. */
static const char *parameter(const char *from, const struct osp_node *with, size_t *take)
{
	char name[OSP_LOAD_NAME_BYTES];
	const struct osp_node *value;
	size_t n = name_length(from + 1);

	if (!n || n >= sizeof(name))
		return NULL;
	memcpy(name, from + 1, n);
	name[n] = 0;
	value = osp_node_find(with, name);
	*take = n + 1;
	return value && value->kind == OSP_NODE_SCALAR ? value->text : NULL;
}

static int replace_text(struct osp_load *l, struct osp_node *n, const struct osp_node *with)
{
	const char *p, *text = n->text;
	char *whole = "";

	while ((p = strchr(text, '$'))) {
		size_t take = 0;
		const char *value = parameter(p, with, &take);

		if (!value)
			return osp_load_fail(l, n, "%s: expected a parameter that `with` gives",
					     n->text);
		whole = osp_arena_print(l->arena, "%s%.*s%s", whole, (int)(p - text), text, value);
		if (!whole)
			return -ENOMEM;
		text = p + take;
	}
	if (text == n->text)
		return 0;
	n->text = osp_arena_print(l->arena, "%s%s", whole, text);
	return n->text ? 0 : -ENOMEM;
}

/* Copies are made even where nothing changes: the original may be used with other values. */
static int replace_all(struct osp_load *l, const struct osp_node **nodes, size_t count,
		       const struct osp_node *with, const struct osp_node ***out)
{
	*out = osp_arena_alloc(l->arena, count + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int e = osp_node_replace(l, nodes[i], with, &(*out)[i]);

		if (e)
			return e;
	}
	return 0;
}

/* Replacing may make two keys equal that were not. */
static int check_replaced_keys(struct osp_load *l, const struct osp_node *n)
{
	for (size_t i = 0; i < n->count; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(n->keys[i]->text, n->keys[k]->text))
				return osp_load_fail(l, n->keys[i], "%s: expected no key twice",
						     n->keys[i]->text);
	return 0;
}

int osp_node_replace(struct osp_load *l, const struct osp_node *n, const struct osp_node *with,
		     const struct osp_node **out)
{
	struct osp_node *copy = osp_arena_alloc(l->arena, 1, sizeof(*copy));
	int e;

	if (!copy)
		return -ENOMEM;
	*copy = *n;
	*out = copy;
	if (n->kind == OSP_NODE_SCALAR)
		return replace_text(l, copy, with);
	e = replace_all(l, n->values, n->count, with, &copy->values);
	if (e || n->kind == OSP_NODE_LIST)
		return e;
	e = replace_all(l, n->keys, n->count, with, &copy->keys);
	return e ? e : check_replaced_keys(l, copy);
}
