/*
 * The points of an operation with their arguments. Fed by probes/operation.c with the nodes that
 * probes/expand.c collected; fills the catalogue's list of points. A point of our own belongs to
 * its operation; a foreign one ("provider:name") is shared by every operation that names it, and
 * must then look the same everywhere.
 */
#include <errno.h>
#include <string.h>

#include "bpf/event.h"
#include "probes/load.h"

static const struct {
	const char *name;
	enum osp_type type;
	uint8_t bytes;
} types[] = {
	{"u8", OSP_TYPE_UINT, 1},
	{"u16", OSP_TYPE_UINT, 2},
	{"u32", OSP_TYPE_UINT, 4},
	{"u64", OSP_TYPE_UINT, 8},
	{"i8", OSP_TYPE_INT, 1},
	{"i16", OSP_TYPE_INT, 2},
	{"i32", OSP_TYPE_INT, 4},
	{"i64", OSP_TYPE_INT, 8},
	{"bool", OSP_TYPE_BOOL, 1},
	{"f64", OSP_TYPE_F64, 8},
	{"str", OSP_TYPE_STR, 0},
	{"bytes", OSP_TYPE_BYTES, 0},
	{"op", OSP_TYPE_OP, 8},
	{"context_in", OSP_TYPE_CONTEXT_IN, 0},
	{"context_out", OSP_TYPE_CONTEXT_OUT, 0},
};

/* Enums are numbers of 8 bytes to programs and recorder; their names are for people. */
static int read_type(struct osp_load *l, const struct osp_node *n, struct osp_arg *a)
{
	for (size_t i = 0; n->kind == OSP_NODE_SCALAR && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(n->text, types[i].name)) {
			a->type = types[i].type;
			a->bytes = types[i].bytes;
			return 0;
		}
	for (size_t i = 0; n->kind == OSP_NODE_SCALAR && i < l->enum_count; i++)
		if (!strcmp(n->text, l->enums[i]->name)) {
			a->type = OSP_TYPE_UINT;
			a->bytes = 8;
			a->enumeration = l->enums[i];
			return 0;
		}
	return osp_load_fail(l, n,
			     "type: expected u8 ... u64, i8 ... i64, bool, f64, str, bytes, op, "
			     "context_in, context_out or an enum of this file");
}

static bool is_text(enum osp_type type)
{
	return type == OSP_TYPE_STR || type == OSP_TYPE_BYTES;
}

/* What is longer is cut at the point, keeps its true size, and never links as exact. */
static int read_max(struct osp_load *l, const struct osp_node *n, const struct osp_point *p,
		    struct osp_arg *a)
{
	uint64_t max = 256;
	int r;

	if (!is_text(a->type)) {
		if (osp_node_find(n, "max"))
			return osp_load_fail(l, osp_node_find(n, "max"),
					     "max: expected with str and bytes only");
		return 0;
	}
	r = osp_load_uint(l, n, "max", 1,
			  p->foreign ? OSP_CATALOGUE_FOREIGN_BYTES : OSP_CATALOGUE_MAX_BYTES, &max);
	a->max = (uint16_t)max;
	return r;
}

/* Where a foreign site keeps the argument. */
static int read_source(struct osp_load *l, const struct osp_node *n, const struct osp_point *p,
		       struct osp_arg *a)
{
	const struct osp_node *arg = osp_node_find(n, "arg"), *length = osp_node_find(n, "length");
	uint64_t source = 0, size = 0;
	int r;

	if (!p->foreign && (arg || length))
		return osp_load_fail(l, arg ? arg : length,
				     "%s: expected with foreign points (provider:name) only",
				     arg ? "arg" : "length");
	if (!p->foreign)
		return 0;
	if (!arg)
		return osp_load_fail(l, n, "arg: expected the number of the site's argument");
	if (a->type == OSP_TYPE_F64 || a->type >= OSP_TYPE_OP)
		return osp_load_fail(l, n,
				     "type: expected an integer, bool, str or bytes at a "
				     "foreign point");
	if (length && a->type != OSP_TYPE_BYTES)
		return osp_load_fail(l, length, "length: expected with bytes only");
	r = osp_load_uint(l, n, "arg", 1, OSP_CATALOGUE_ARGS, &source);
	if (!r)
		r = osp_load_uint(l, n, "length", 1, OSP_CATALOGUE_ARGS, &size);
	a->source = (uint8_t)source;
	a->length = (uint8_t)size;
	return r;
}

/* An argument's value is a map, a type alone, or nothing: then `arguments` of the file says it. */
static int find_argument(struct osp_load *l, const struct osp_node *key, const struct osp_node **n,
			 const struct osp_node **type)
{
	if ((*n)->null) {
		*n = osp_node_find(osp_node_find(l->root, "arguments"), key->text);
		if (!*n)
			return osp_load_fail(l, key,
					     "expected a definition, here or in `arguments`");
	}
	*type = (*n)->kind == OSP_NODE_MAP ? osp_node_find(*n, "type") : *n;
	if (!*type)
		return osp_load_fail(l, *n, "type: expected");
	if ((*n)->kind == OSP_NODE_MAP)
		return osp_load_keys(l, *n, "type max class unit otel doc arg length");
	return 0;
}

/* Class, unit and attribute are for what comes after recording; the type is for everybody. */
static int read_arg(struct osp_load *l, const struct osp_node *key, const struct osp_node *n,
		    const struct osp_point *p, struct osp_arg *a)
{
	const struct osp_node *type = NULL;
	int class = OSP_CLASS_PUBLIC, r;

	a->name = key->text;
	r = osp_load_name(l, key);
	if (!r)
		r = find_argument(l, key, &n, &type);
	if (!r)
		r = read_type(l, type, a);
	if (!r)
		r = read_max(l, n, p, a);
	if (!r)
		r = osp_load_choice(l, n, "class", "public internal secret payload", &class);
	a->class = (enum osp_class) class;
	if (!r)
		r = osp_load_line(l, n, "unit", &a->unit);
	if (!r)
		r = osp_load_line(l, n, "doc", &a->doc);
	if (!r)
		r = osp_load_line(l, n, "otel", &a->attribute);
	if (!r)
		r = read_source(l, n, p, a);
	if (!r && !a->attribute)
		a->attribute = osp_arena_print(l->arena, "%s.%s", l->provider, a->name);
	return r ? r : a->attribute ? 0 : -ENOMEM;
}

/* Bytes that the arguments take in a record, at most. */
static size_t data_bytes(const struct osp_point *p)
{
	size_t bytes = 0;

	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		bytes += p->foreign ? sizeof(struct osp_foreign_value) : 8;
		if (is_text(a->type))
			bytes += (a->max + 7u) & ~7u;
		else if (a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT)
			bytes += 32;
	}
	return bytes;
}

/* In C, an argument `x` of type str takes a parameter x_size beside it. */
static const char *clash(const struct osp_point *p)
{
	for (size_t i = 0; i < p->arg_count; i++)
		for (size_t k = 0; k < p->arg_count; k++) {
			size_t n = strlen(p->args[k].name);

			if (is_text(p->args[k].type) &&
			    !strncmp(p->args[i].name, p->args[k].name, n) &&
			    !strcmp(p->args[i].name + n, "_size"))
				return p->args[i].name;
		}
	return NULL;
}

static int check_args(struct osp_load *l, const struct osp_node *at, const struct osp_point *p)
{
	const char *name = p->foreign ? NULL : clash(p);
	size_t contexts = 0, most = OSP_EVENT_DATA - (p->foreign ? 0 : OSP_EVENT_STEP_HEAD);

	if (data_bytes(p) > most)
		return osp_load_fail(l, at, "args: expected at most %zu bytes in all, got %zu",
				     most, data_bytes(p));
	if (name)
		return osp_load_fail(l, at,
				     "args.%s: expected another name: it is the size of a "
				     "text beside it",
				     name);
	for (size_t i = 0; i < p->arg_count; i++)
		contexts += p->args[i].type >= OSP_TYPE_CONTEXT_IN;
	if (contexts > 1)
		return osp_load_fail(l, at, "args: expected at most one context");
	return 0;
}

/* The order of the file is the order of the C function and of the bytes in a step. */
static int read_args(struct osp_load *l, const struct osp_node *n, struct osp_point *p)
{
	int r = 0;

	if (!n)
		return 0;
	r = osp_load_map(l, n);
	if (!r && n->count > OSP_CATALOGUE_ARGS)
		r = osp_load_fail(l, n, "args: expected at most %d arguments", OSP_CATALOGUE_ARGS);
	osp_load_enter(l, "args");
	for (size_t i = 0; !r && i < n->count; i++) {
		osp_load_enter(l, n->keys[i]->text);
		r = read_arg(l, n->keys[i], n->values[i], p, &p->args[i]);
		p->arg_count = i + 1;
		osp_load_leave(l);
	}
	osp_load_leave(l);
	return r ? r : check_args(l, n, p);
}

/* Splits "provider:name" of a foreign point; own points get "<operation>__<name>". */
static int name_point(struct osp_build *b, const struct osp_node *key, struct osp_point *p)
{
	struct osp_load *l = b->load;
	const char *colon = strchr(key->text, ':');
	int r;

	if (!colon && !strcmp(key->text, OSP_LOAD_SPILL))
		return osp_load_fail(
			l, key, "expected another name: every operation has a point %s already",
			OSP_LOAD_SPILL);
	if (!colon) {
		r = osp_load_name(l, key);
		p->name = key->text;
		p->provider = l->provider;
		p->probe = osp_arena_print(l->arena, "%s__%s", b->op->name, p->name);
		return r ? r : p->probe ? 0 : -ENOMEM;
	}
	if (colon == key->text || !colon[1] || strchr(colon + 1, ':') ||
	    key->text[strcspn(key->text, " \t\"\\")] || strlen(key->text) > 120)
		return osp_load_fail(l, key,
				     "expected provider:name, as `outspan probes` shows it");
	p->foreign = true;
	p->provider = osp_arena_copy(l->arena, key->text, (size_t)(colon - key->text));
	p->probe = p->name = colon + 1;
	return p->provider ? 0 : -ENOMEM;
}

/* One site has one meaning, whichever operations it belongs to. */
static bool same_args(const struct osp_point *a, const struct osp_point *b)
{
	if (a->level != b->level || a->arg_count != b->arg_count)
		return false;
	for (size_t i = 0; i < a->arg_count; i++) {
		const struct osp_arg *x = &a->args[i], *y = &b->args[i];

		if (strcmp(x->name, y->name) || x->type != y->type || x->bytes != y->bytes ||
		    x->source != y->source || x->length != y->length || x->max != y->max ||
		    x->class != y->class)
			return false;
	}
	return true;
}

/* Few points have several users: the list is copied when it grows. */
static int add_user(struct osp_load *l, struct osp_point *p, struct osp_operation *op)
{
	struct osp_operation **all =
		osp_arena_alloc(l->arena, p->operation_count + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	if (p->operation_count)
		memcpy(all, p->operations, p->operation_count * sizeof(*all));
	all[p->operation_count++] = op;
	p->operations = all;
	return 0;
}

/* Numbers are given in the order of appearance, over all files of a session. */
static int add_point(struct osp_build *b, const struct osp_node *key, struct osp_point *p)
{
	struct osp_load *l = b->load;
	struct osp_catalogue *c = l->c;
	const struct osp_point *known = osp_catalogue_find_point(c, p->provider, p->probe);
	int r;

	if (known && (!p->foreign || !known->foreign))
		return osp_load_fail(l, key, "expected a point that is not defined yet (%s:%s)",
				     p->provider, p->probe);
	if (known && !same_args(known, p))
		return osp_load_fail(l, key,
				     "expected the level and arguments that another "
				     "operation gives this point");
	if (known) {
		b->op->points[b->op->point_count++] = c->points[known->number];
		return add_user(l, c->points[known->number], b->op);
	}
	if (c->point_count == OSP_CATALOGUE_POINTS) {
		osp_load_fail(l, key, "expected at most %d points in all", OSP_CATALOGUE_POINTS);
		return -E2BIG;
	}
	r = osp_point_digest(p, &p->digest);
	if (r)
		return r;
	p->number = (uint16_t)c->point_count;
	p->header = p->foreign ? 0 : l->header_count++;
	c->points[c->point_count++] = p;
	b->op->points[b->op->point_count++] = p;
	return add_user(l, p, b->op);
}

/* The level has no default: forgetting it would record, or hide, what nobody decided on. */
static int read_point(struct osp_build *b, const struct osp_node *key, const struct osp_node *n)
{
	struct osp_load *l = b->load;
	struct osp_point *p = osp_arena_alloc(l->arena, 1, sizeof(*p));
	int level = -1, r;

	if (!p)
		return -ENOMEM;
	r = name_point(b, key, p);
	if (!r)
		r = osp_load_keys(l, n, "level doc args authenticates");
	if (!r)
		r = osp_load_choice(l, n, "level", "essential detail debug", &level);
	if (!r && level < 0)
		r = osp_load_fail(l, n, "level: expected essential, detail or debug");
	p->level = (enum osp_level)level;
	if (!r)
		r = osp_load_line(l, n, "doc", &p->doc);
	if (!r)
		r = osp_load_bool(l, n, "authenticates", &p->authenticates);
	if (!r)
		r = read_args(l, osp_node_find(n, "args"), p);
	return r ? r : add_point(b, key, p);
}

int osp_load_points(struct osp_build *b)
{
	struct osp_load *l = b->load;
	int r = 0;

	b->op->points = osp_arena_alloc(l->arena, b->point_count + 1, sizeof(*b->op->points));
	if (!b->op->points)
		return -ENOMEM;
	osp_load_enter(l, "points");
	for (size_t i = 0; !r && i < b->point_count; i++) {
		osp_load_enter(l, b->point_keys[i]->text);
		r = read_point(b, b->point_keys[i], b->point_nodes[i]);
		osp_load_leave(l);
	}
	osp_load_leave(l);
	return r;
}
