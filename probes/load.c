/*
 * The catalogue loader: a YAML file in, tables out. The build-time generator, the recorder and the
 * tests all come through here, so a catalogue means the same to all of them. One file after
 * another is added to a catalogue; its parts are read by the other files of this folder in the
 * order of read_file(), which is the outline of the grammar (probes/catalogue/README.md).
 *
 * Owns the catalogue's arena. Catalogues are untrusted: everything has a maximum (probes/load.h)
 * and every refusal names file, line and key.
 */
#include "probes/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/buffer.h"
#include "user/base/cleanup.h"

/* Lists have their full size from the start: pointers into them stay valid as files are added. */
static int allocate_lists(struct osp_catalogue *c, struct osp_arena *a)
{
	c->points = osp_arena_alloc(a, OSP_CATALOGUE_POINTS, sizeof(*c->points));
	c->operations = osp_arena_alloc(a, OSP_LOAD_OPERATIONS, sizeof(*c->operations));
	c->links = osp_arena_alloc(a, OSP_LOAD_LINKS, sizeof(*c->links));
	c->messages = osp_arena_alloc(a, OSP_LOAD_MESSAGES, sizeof(*c->messages));
	c->implementations =
		osp_arena_alloc(a, OSP_LOAD_IMPLEMENTATIONS, sizeof(*c->implementations));
	c->reports = osp_arena_alloc(a, OSP_LOAD_REPORTS, sizeof(*c->reports));
	c->deliveries = osp_arena_alloc(a, OSP_LOAD_FILES, sizeof(*c->deliveries));
	c->providers = osp_arena_alloc(a, OSP_LOAD_PROVIDERS, sizeof(*c->providers));
	c->texts = osp_arena_alloc(a, OSP_LOAD_FILES, sizeof(*c->texts));
	c->names = osp_arena_alloc(a, OSP_LOAD_FILES, sizeof(*c->names));
	c->docs = osp_arena_alloc(a, OSP_LOAD_FILES, sizeof(*c->docs));
	return c->points && c->operations && c->links && c->messages && c->implementations &&
			       c->reports && c->deliveries && c->providers && c->texts &&
			       c->names && c->docs
		       ? 0
		       : -ENOMEM;
}

int osp_catalogue_new(struct osp_catalogue **out)
{
	struct osp_arena *a = calloc(1, sizeof(*a));
	struct osp_catalogue *c = NULL;

	if (!a)
		return -ENOMEM;
	a->max = OSP_LOAD_ARENA_BYTES;
	c = osp_arena_alloc(a, 1, sizeof(*c));
	if (!c || allocate_lists(c, a)) {
		osp_arena_clear(a);
		free(a);
		return -ENOMEM;
	}
	c->memory = a;
	*out = c;
	return 0;
}

void osp_catalogue_free(struct osp_catalogue **c)
{
	struct osp_arena *a = *c ? (*c)->memory : NULL;

	if (a)
		osp_arena_clear(a);
	free(a);
	*c = NULL;
}

/* One enum or map: names to numbers, no two alike. */
static int read_enum(struct osp_load *l, const struct osp_node *key, const struct osp_node *n,
		     const struct osp_enum **out)
{
	struct osp_enum *e = osp_arena_alloc(l->arena, 1, sizeof(*e));
	int r = osp_load_name(l, key);

	if (!r)
		r = osp_load_map(l, n);
	if (!r && (!n->count || n->count > OSP_LOAD_ENUM_VALUES))
		r = osp_load_fail(l, n, "expected 1 to %d values", OSP_LOAD_ENUM_VALUES);
	if (r)
		return r;
	if (!e || !(e->values = osp_arena_alloc(l->arena, n->count, sizeof(*e->values))))
		return -ENOMEM;
	e->name = key->text;
	e->count = n->count;
	for (size_t i = 0; !r && i < n->count; i++) {
		const char *name = n->keys[i]->text;
		uint64_t value = 0;

		if (!name[0] || name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
			return osp_load_fail(l, n->keys[i], "%s: expected a name in capitals",
					     name);
		if (n->values[i]->null)
			return osp_load_fail(l, n->keys[i], "%s: expected a number", name);
		r = osp_load_uint(l, n, name, 0, INT64_MAX, &value);
		e->values[i] = (struct osp_enum_value){name, (int64_t)value};
	}
	*out = e;
	return r;
}

/* `enums` and `maps` have one form. */
static int read_enums(struct osp_load *l, const char *key, const struct osp_enum ***out,
		      size_t *count)
{
	const struct osp_node *n = osp_node_find(l->root, key);
	int r = n ? osp_load_map(l, n) : 0;

	if (r || !n)
		return r;
	*out = osp_arena_alloc(l->arena, n->count + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	osp_load_enter(l, key);
	for (size_t i = 0; !r && i < n->count; i++) {
		osp_load_enter(l, n->keys[i]->text);
		r = read_enum(l, n->keys[i], n->values[i], &(*out)[i]);
		osp_load_leave(l);
		*count = i + 1;
	}
	osp_load_leave(l);
	return r;
}

/* A provider in two files would have two headers with the same numbers. */
static int check_file(struct osp_load *l)
{
	const struct osp_node *provider = osp_node_find(l->root, "provider");
	uint64_t abi = 0;
	int r = osp_load_keys(l, l->root,
			      "provider abi doc enums maps arguments messages fragments "
			      "operations links reports implementations deliveries");

	if (!r && !provider)
		r = osp_load_fail(l, l->root, "provider: expected");
	if (!r && !osp_node_find(l->root, "abi"))
		r = osp_load_fail(l, l->root, "abi: expected 1");
	if (r)
		return r;
	osp_load_enter(l, "provider");
	r = osp_load_name(l, provider);
	osp_load_leave(l);
	l->provider = provider->text;
	for (size_t i = 0; !r && i < l->c->operation_count; i++)
		if (!strcmp(l->c->operations[i]->provider, l->provider))
			r = osp_load_fail(l, provider,
					  "provider: expected one that no other file "
					  "defines (%s)",
					  l->provider);
	if (!r)
		r = osp_load_uint(l, l->root, "abi", 1, 1, &abi);
	return r ? r : osp_load_prose(l, l->root, "doc", &l->c->docs[l->c->file_count]);
}

/* Operations come before links: only links look across operations. */
static int read_operations(struct osp_load *l)
{
	const struct osp_node *n = osp_node_find(l->root, "operations");
	int r = 0;

	l->first_operation = l->c->operation_count;
	if (!n || n->kind != OSP_NODE_MAP || !n->count)
		return osp_load_fail(l, n ? n : l->root,
				     "operations: expected a map of operations");
	osp_load_enter(l, "operations");
	for (size_t i = 0; !r && i < n->count; i++) {
		osp_load_enter(l, n->keys[i]->text);
		r = osp_load_operation(l, n->keys[i], n->values[i]);
		osp_load_leave(l);
	}
	osp_load_leave(l);
	return r;
}

/* A definition that nobody takes is a mistake in writing, like an unknown key. */
static bool is_taken(const struct osp_node *n, const char *key, const char *text)
{
	bool taken = false;

	for (size_t i = 0; n->kind != OSP_NODE_SCALAR && i < n->count && !taken; i++) {
		const struct osp_node *v = n->values[i];

		taken = v->kind == OSP_NODE_SCALAR && n->kind == OSP_NODE_MAP &&
			!strcmp(n->keys[i]->text, key) && !strcmp(v->text, text);
		taken = taken || is_taken(v, key, text);
	}
	return taken;
}

/* The check stands before the operations: an unused fragment is never expanded or verified. */
static int check_fragments(struct osp_load *l)
{
	const struct osp_node *f = osp_node_find(l->root, "fragments");

	if (f && f->kind != OSP_NODE_MAP)
		return osp_load_fail(l, f, "fragments: expected a map");
	for (size_t i = 0; f && i < f->count; i++)
		if (!is_taken(l->root, "use", f->keys[i]->text))
			return osp_load_fail(l, f->keys[i],
					     "fragments.%s: expected an operation that "
					     "uses it",
					     f->keys[i]->text);
	return 0;
}

/* A point that no text of the file defines: behind those that one does, so that theirs stay. */
static int add_implicit(struct osp_load *l, const char *probe, struct osp_point **out)
{
	struct osp_catalogue *c = l->c;
	struct osp_point *p = osp_arena_alloc(l->arena, 1, sizeof(*p));

	if (!p || !probe)
		return -ENOMEM;
	if (c->point_count == OSP_CATALOGUE_POINTS) {
		osp_load_fail(l, l->root, "expected at most %d points in all",
			      OSP_CATALOGUE_POINTS);
		return -E2BIG;
	}
	p->number = (uint16_t)c->point_count;
	p->header = l->header_count++;
	p->provider = l->provider;
	p->probe = p->name = probe;
	c->points[c->point_count++] = p;
	*out = p;
	return osp_point_digest(p, &p->digest);
}

/* Where an operation whose block is full hands it over: one for each operation of our own. */
static int add_spill(struct osp_load *l, struct osp_operation *op)
{
	struct osp_operation **operations = osp_arena_alloc(l->arena, 1, sizeof(*operations));
	const char *probe = osp_arena_print(l->arena, "%s__" OSP_LOAD_SPILL, op->name);
	int r;

	if (!operations)
		return -ENOMEM;
	r = add_implicit(l, probe, &op->spill);
	if (r)
		return r;
	operations[0] = op;
	op->spill->name = OSP_LOAD_SPILL;
	op->spill->doc =
		"no step: an operation hands over what it has stamped, for its room is full";
	op->spill->spill = true;
	op->spill->operations = operations;
	op->spill->operation_count = 1;
	return 0;
}

static int add_spills(struct osp_load *l)
{
	int r = 0;

	for (size_t i = l->first_operation; !r && i < l->c->operation_count; i++)
		if (l->c->operations[i]->key == OSP_KEY_OP)
			r = add_spill(l, l->c->operations[i]);
	return r;
}

/* The never-called site by which a recorder asks the programs to send their context. */
static int add_control(struct osp_load *l)
{
	struct osp_catalogue *c = l->c;
	bool sends = false;
	struct osp_point *p;
	int r;

	for (size_t i = 0; i < c->point_count; i++)
		for (size_t k = 0; k < c->points[i]->arg_count; k++)
			sends |= !c->points[i]->foreign && c->points[i]->provider == l->provider &&
				 c->points[i]->args[k].type == OSP_TYPE_CONTEXT_OUT;
	if (!sends)
		return 0;
	r = add_implicit(l, "context", &p);
	if (r)
		return r;
	p->doc = "never called: while its semaphore is up, the program sends its own trace context";
	p->control = true;
	return 0;
}

/* Foreign points bring their own providers: all that may stand in a note that concerns us. */
static int add_providers(struct osp_load *l)
{
	struct osp_catalogue *c = l->c;

	for (size_t i = 0; i < c->point_count; i++) {
		size_t k = 0;

		while (k < c->provider_count && strcmp(c->providers[k], c->points[i]->provider))
			k++;
		if (k < c->provider_count)
			continue;
		if (k == OSP_LOAD_PROVIDERS) {
			osp_load_fail(l, l->root, "expected at most %d providers",
				      OSP_LOAD_PROVIDERS);
			return -E2BIG;
		}
		c->providers[c->provider_count++] = c->points[i]->provider;
	}
	return 0;
}

/* The outline of the grammar. */
static int read_file(struct osp_load *l)
{
	int r = check_file(l);

	if (!r)
		r = read_enums(l, "enums", &l->enums, &l->enum_count);
	if (!r)
		r = read_enums(l, "maps", &l->maps, &l->map_count);
	if (!r)
		r = osp_load_messages(l);
	if (!r)
		r = check_fragments(l);
	if (!r)
		r = read_operations(l);
	if (!r)
		r = osp_load_check_messages(l);
	if (!r)
		r = add_spills(l);
	if (!r)
		r = add_control(l);
	if (!r)
		r = osp_load_links(l, osp_node_find(l->root, "links"));
	if (!r)
		r = osp_load_reports(l, osp_node_find(l->root, "reports"));
	if (!r)
		r = osp_load_implementations(l, osp_node_find(l->root, "implementations"));
	if (!r)
		r = osp_load_deliveries(l, osp_node_find(l->root, "deliveries"));
	return r ? r : add_providers(l);
}

int osp_catalogue_add(struct osp_catalogue *c, const char *name, const char *text, size_t size,
		      struct osp_catalogue_error *error)
{
	struct osp_load l = {.c = c, .arena = c->memory, .error = error, .file = name};
	const char *kept_name, *kept_text;
	int r;

	error->text[0] = 0;
	if (size > OSP_LOAD_FILE_BYTES || c->file_count == OSP_LOAD_FILES) {
		osp_load_fail(&l, NULL, "expected at most %d bytes and %d files",
			      OSP_LOAD_FILE_BYTES, OSP_LOAD_FILES);
		return -E2BIG;
	}
	r = osp_node_parse(&l, text, size, &l.root);
	if (!r)
		r = read_file(&l);
	if (r && error->text[0])
		return r;
	kept_name = osp_arena_copy(c->memory, name, strlen(name));
	kept_text = osp_arena_copy(c->memory, text, size);
	if (r || !kept_name || !kept_text) {
		snprintf(error->text, sizeof(error->text), "%s:1: expected enough memory", name);
		return r ? r : -ENOMEM;
	}
	c->names[c->file_count] = kept_name;
	c->texts[c->file_count++] = kept_text;
	return 0;
}

int osp_load_file(const char *path, struct osp_buffer *out, struct osp_catalogue_error *error)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	int r = f ? 0 : -errno;
	char part[4096];
	size_t n;

	while (!r && (n = fread(part, 1, sizeof(part), f)) && out->size <= OSP_LOAD_FILE_BYTES)
		r = osp_buffer_add(out, part, n);
	if (!r && ferror(f))
		r = errno ? -errno : -EIO;
	if (r)
		snprintf(error->text, sizeof(error->text), "%s: expected a readable file: %s", path,
			 strerror(-r));
	return r;
}

int osp_catalogue_read(struct osp_catalogue *c, const char *path, struct osp_catalogue_error *error)
{
	struct osp_buffer b = OSP_BUFFER_INIT(OSP_LOAD_FILE_BYTES + 4096);
	int r = osp_load_file(path, &b, error);

	if (!r)
		r = osp_catalogue_add(c, path, (const char *)b.data, b.size, error);
	osp_buffer_clear(&b);
	return r;
}

const struct osp_point *osp_catalogue_find_point(const struct osp_catalogue *c,
						 const char *provider, const char *probe)
{
	for (size_t i = 0; i < c->point_count; i++)
		if (!strcmp(c->points[i]->probe, probe) &&
		    !strcmp(c->points[i]->provider, provider))
			return c->points[i];
	return NULL;
}

bool osp_operation_has_point(const struct osp_operation *o, const struct osp_point *p)
{
	for (size_t i = 0; i < p->operation_count; i++)
		if (p->operations[i] == o)
			return true;
	return false;
}
