/*
 * Users' rules from YAML (probes/expectation.h), with the tree and the refusals of the catalogue's
 * loader. Fed by `outspan check --rules` with a file from anywhere: it is as bounded as a catalogue.
 */
#include "probes/expectation.h"

#include <errno.h>
#include <string.h>

#include "probes/load.h"
#include "user/base/buffer.h"
#include "user/base/cleanup.h"

enum { RULES_MAX = 256 };

void osp_expectations_free(struct osp_expectations **e)
{
	struct osp_arena *a = *e ? (*e)->memory : NULL;

	if (a)
		osp_arena_clear(a);
	free(a);
	*e = NULL;
}

static const struct osp_operation *find_operation(const struct osp_catalogue *c, const char *name,
						  size_t size)
{
	for (size_t i = 0; i < c->operation_count; i++)
		if (strlen(c->operations[i]->name) == size &&
		    !memcmp(c->operations[i]->name, name, size))
			return c->operations[i];
	return NULL;
}

/* "operation" or "operation/point" */
static int read_occasion(struct osp_load *l, const struct osp_node *rule, const char *key,
			 struct osp_occasion *out)
{
	const struct osp_node *n = osp_node_find(rule, key);
	const char *text = NULL, *slash;
	int r = osp_load_text(l, rule, key, &text);

	if (r || !text)
		return r;
	slash = strchr(text, '/');
	out->operation = find_operation(l->c, text, slash ? (size_t)(slash - text) : strlen(text));
	if (!out->operation)
		return osp_load_fail(
			l, n, "%s: expected OPERATION or OPERATION/POINT of the catalogue, not %s",
			key, text);
	for (size_t i = 0; slash && i < out->operation->point_count; i++)
		if (!strcmp(out->operation->points[i]->name, slash + 1))
			out->point = out->operation->points[i];
	if (slash && !out->point)
		return osp_load_fail(l, n, "%s: expected a point of %s, not %s", key,
				     out->operation->name, slash + 1);
	return 0;
}

/* The name under which stores keep the argument, whichever point of the operation has it. */
static int find_attribute(struct osp_load *l, const struct osp_node *n, const char *name,
			  struct osp_occasion *o)
{
	const struct osp_operation *op = o->operation;

	for (size_t i = 0; i < op->point_count; i++)
		for (size_t k = 0; k < op->points[i]->arg_count; k++)
			if (!strcmp(op->points[i]->args[k].name, name)) {
				o->attribute = op->points[i]->args[k].attribute;
				return 0;
			}
	return osp_load_fail(l, n, "same: arg: expected an argument of %s, not %s", op->name, name);
}

/* `same: trace` or `same: {arg: NAME}` */
static int read_same(struct osp_load *l, const struct osp_node *rule, struct osp_expectation *e)
{
	const struct osp_node *n = osp_node_find(rule, "same");
	const char *name = NULL;
	int word, r;

	if (!n || n->kind == OSP_NODE_SCALAR)
		return osp_load_choice(l, rule, "same", "trace", &word);
	r = osp_load_keys(l, n, "arg");
	r = r ? r : osp_load_text(l, n, "arg", &name);
	if (!r && !name)
		r = osp_load_fail(l, n, "same: expected trace or {arg: NAME}");
	e->same = OSP_SAME_ARG;
	r = r ? r : find_attribute(l, n, name, &e->after);
	return r ? r : find_attribute(l, n, name, &e->expect);
}

static int check_rule(struct osp_load *l, const struct osp_node *n, const struct osp_expectation *e,
		      bool expects)
{
	if (!e->name)
		return osp_load_fail(l, n, "name: expected the rule's name");
	if (expects == e->never)
		return osp_load_fail(l, n, "%s: expected either expect or never", e->name);
	if (expects && !e->after.operation)
		return osp_load_fail(l, n, "%s: expected after, too", e->name);
	if (e->after.operation && !e->within_ns)
		return osp_load_fail(l, n, "%s: expected within, such as 2s, too", e->name);
	if (!e->after.operation && (e->within_ns || osp_node_find(n, "same")))
		return osp_load_fail(l, n, "%s: expected within and same only with after", e->name);
	return 0;
}

static int read_rule(struct osp_load *l, const struct osp_node *n, struct osp_expectation *e)
{
	bool expects = osp_node_find(n, "expect");
	int r = osp_load_keys(l, n, "name doc after expect never within same");

	e->never = osp_node_find(n, "never");
	r = r ? r : osp_load_line(l, n, "name", &e->name);
	r = r ? r : osp_load_duration(l, n, "within", &e->within_ns);
	r = r ? r : read_occasion(l, n, "after", &e->after);
	r = r ? r : read_occasion(l, n, expects ? "expect" : "never", &e->expect);
	r = r ? r : check_rule(l, n, e, expects);
	return r || !e->after.operation ? r : read_same(l, n, e);
}

static int read_rules(struct osp_load *l, struct osp_expectations *out)
{
	const struct osp_node *n;
	int r = osp_load_keys(l, l->root, "doc rules");

	n = osp_node_find(l->root, "rules");
	if (!r && (!n || n->kind != OSP_NODE_LIST || !n->count || n->count > RULES_MAX))
		r = osp_load_fail(l, n ? n : l->root, "rules: expected a list of 1 to %d rules",
				  RULES_MAX);
	if (r)
		return r;
	out->rules = osp_arena_alloc(l->arena, n->count, sizeof(*out->rules));
	if (!out->rules)
		return -ENOMEM;
	osp_load_enter(l, "rules");
	for (; !r && out->count < n->count; out->count++)
		r = read_rule(l, n->values[out->count], &out->rules[out->count]);
	return r;
}

int osp_expectations_read(struct osp_expectations **out, const struct osp_catalogue *c,
			  const char *path, struct osp_catalogue_error *error)
{
	struct osp_buffer text = OSP_BUFFER_INIT(OSP_LOAD_FILE_BYTES + 4096);
	struct osp_arena *a = calloc(1, sizeof(*a));
	struct osp_expectations *e = NULL;
	/* the loader's functions only read the catalogue: nothing here adds to it */
	struct osp_load l = {
		.c = (struct osp_catalogue *)c, .arena = a, .error = error, .file = path};
	int r;

	error->text[0] = 0;
	if (!a)
		return -ENOMEM;
	a->max = OSP_LOAD_ARENA_BYTES;
	e = osp_arena_alloc(a, 1, sizeof(*e));
	if (!e)
		return free(a), -ENOMEM;
	e->memory = a;
	r = osp_load_file(path, &text, error);
	r = r ? r : osp_node_parse(&l, (const char *)text.data, text.size, &l.root);
	r = r ? r : read_rules(&l, e);
	osp_buffer_clear(&text);
	if (r)
		osp_expectations_free(&e);
	else
		*out = e;
	return r;
}
