/*
 * What the files of the catalogue loader share: the state of loading one file, the YAML tree with
 * its lines, and the checks of the tree that every part uses. Nobody outside probes/ includes it;
 * probes/catalogue.h is the door.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/base/arena.h"
#include "probes/catalogue.h"

enum {
	OSP_LOAD_FILE_BYTES = 1 << 20,
	OSP_LOAD_ARENA_BYTES = 64 << 20,
	OSP_LOAD_OPERATIONS = 256,
	OSP_LOAD_LINKS = 256,
	OSP_LOAD_REPORTS = 16,
	OSP_LOAD_MESSAGES = 256,
	OSP_LOAD_IMPLEMENTATIONS = 64,
	OSP_LOAD_PROVIDERS = 128,
	OSP_LOAD_FILES = 64,
	OSP_LOAD_ENUM_VALUES = 256,
	OSP_LOAD_PATH = 16,
	OSP_LOAD_NAME_BYTES = 48,
};

/* The point that every operation of our own has without being told. */
#define OSP_LOAD_SPILL "spill"

enum osp_node_kind { OSP_NODE_SCALAR, OSP_NODE_LIST, OSP_NODE_MAP };

/* A YAML node. Everything lies in the catalogue's arena. */
struct osp_node {
	enum osp_node_kind kind;
	int line;
	bool null;			/* a plain scalar without text, or ~ */
	const char *text;		/* of a scalar */
	size_t count;			/* of a list's items, of a map's pairs */
	const struct osp_node **keys;	/* of a map: scalars, no two alike */
	const struct osp_node **values; /* of a map or list */
};

/* The loading of one file. */
struct osp_load {
	struct osp_catalogue *c;
	struct osp_arena *arena;
	struct osp_catalogue_error *error;
	const char *file;
	const char *provider;
	const struct osp_node *root;
	const struct osp_enum **enums, **maps;
	size_t enum_count, map_count;
	size_t first_operation;		 /* of this file */
	size_t first_message;		 /* of this file */
	uint16_t header_count;		 /* own points so far */
	const char *path[OSP_LOAD_PATH]; /* keys that lead to what is being read */
	size_t depth;
};

/* One operation while it is built: the tables and the lines that messages name. */
struct osp_state_source {
	const char *name; /* "<fragment>.<state>" or "<state>" */
	const struct osp_node *node;
	const struct osp_scope *scope;
};

struct osp_build {
	struct osp_load *load;
	struct osp_operation *op;
	const struct osp_node *node; /* the operation's */
	struct osp_state_source states[OSP_CATALOGUE_STATES];
	const struct osp_node *any; /* the transitions of "*", or NULL */
	const struct osp_node **point_nodes, **point_keys;
	size_t point_count;
	const struct osp_node *span_keys[OSP_CATALOGUE_SPANS];
	const struct osp_node **transition_keys; /* by transition */
	struct osp_scope *scope;		 /* the operation's own */
};

struct osp_buffer;

/*
 * probes/load.c: adds a file's text to the buffer, at most a little more than a file may have.
 * -errno of the file, with a text.
 */
int osp_load_file(const char *path, struct osp_buffer *out, struct osp_catalogue_error *error);

/* ---- probes/yaml.c --------------------------------------------------------------------------- */

/* Parses one document. -EINVAL with a text, -ENOMEM. */
int osp_node_parse(struct osp_load *l, const char *text, size_t size, const struct osp_node **out);

/* The value of a key, or NULL (also when n is not a map). */
const struct osp_node *osp_node_find(const struct osp_node *n, const char *key);

/*
 * A copy of the tree in which every "$name" of a scalar is replaced by the text that the map
 * `with` gives it. -EINVAL for a name that it does not give.
 */
int osp_node_replace(struct osp_load *l, const struct osp_node *n, const struct osp_node *with,
		     const struct osp_node **out);

/* ---- probes/check.c: reading values, with refusals ------------------------------------------- */

/* Writes "FILE:LINE: PATH: expected ..." and returns -EINVAL. */
int osp_load_fail(struct osp_load *l, const struct osp_node *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The key that is being read from here on, until osp_load_leave. */
void osp_load_enter(struct osp_load *l, const char *key);
void osp_load_leave(struct osp_load *l);

/* The node is a map that has no keys but those of the list ("a b c"). */
int osp_load_keys(struct osp_load *l, const struct osp_node *n, const char *keys);
int osp_load_map(struct osp_load *l, const struct osp_node *n);

/*
 * Optional values of a map: *out is untouched when the key is absent. A line has at most 200 bytes,
 * prose 600; neither has control characters.
 */
int osp_load_text(struct osp_load *l, const struct osp_node *n, const char *key, const char **out);
int osp_load_line(struct osp_load *l, const struct osp_node *n, const char *key, const char **out);
int osp_load_prose(struct osp_load *l, const struct osp_node *n, const char *key, const char **out);
int osp_load_bool(struct osp_load *l, const struct osp_node *n, const char *key, bool *out);
int osp_load_uint(struct osp_load *l, const struct osp_node *n, const char *key, uint64_t min,
		  uint64_t max, uint64_t *out);
int osp_load_duration(struct osp_load *l, const struct osp_node *n, const char *key, int64_t *out);
/* The index of the value in a list of words ("ok error unset"). */
int osp_load_choice(struct osp_load *l, const struct osp_node *n, const char *key,
		    const char *words, int *out);

/* The text is [a-z][a-z0-9_]* and at most OSP_LOAD_NAME_BYTES long; a name is no word of C. */
int osp_load_word(struct osp_load *l, const struct osp_node *n);
int osp_load_name(struct osp_load *l, const struct osp_node *n);
/* The text is the name of a state: [A-Z][A-Za-z0-9]*. */
int osp_load_state_name(struct osp_load *l, const struct osp_node *n);

/* ---- the parts of a file --------------------------------------------------------------------- */

/* probes/operation.c: the operation under this key, whole. */
int osp_load_operation(struct osp_load *l, const struct osp_node *key, const struct osp_node *n);

/* probes/point.c: the points of the operation being built, its fragments' included. */
int osp_load_points(struct osp_build *b);

/* probes/expand.c: states, points and spans of the operation with its fragments put in. */
int osp_load_expand(struct osp_build *b);
/* What is said about the expanded states. */
int osp_load_slow(struct osp_build *b);
/* The state that a name means in a state's scope (an exit, a fragment's entry): its index. */
int osp_load_resolve(struct osp_build *b, const struct osp_scope *scope, const struct osp_node *n,
		     uint8_t *out);

/* probes/verify.c: the finished operation against the rules of the grammar. */
int osp_load_verify(struct osp_build *b);

/* probes/message.c: the messages of the file, and those of an operation (its key `messages`). */
int osp_load_messages(struct osp_load *l);
int osp_load_message_uses(struct osp_load *l, const struct osp_node *n, struct osp_operation *op);
/* Every message has an operation. */
int osp_load_check_messages(struct osp_load *l);

/* probes/link.c */
/* The operation of this file that is called so, or NULL. */
const struct osp_operation *osp_load_find_operation(const struct osp_load *l, const char *name,
						    size_t size);
/* True if a file calls the point so: "point", a foreign one "provider:point". */
bool osp_point_is_called(const struct osp_point *p, const char *text, size_t size);
int osp_load_links(struct osp_load *l, const struct osp_node *n);
int osp_load_implementations(struct osp_load *l, const struct osp_node *n);

/* probes/report.c */
int osp_load_reports(struct osp_load *l, const struct osp_node *n);

/* probes/role.c */
int osp_load_deliveries(struct osp_load *l, const struct osp_node *n);

/* probes/digest.c: the first 8 bytes of the SHA-256 of the point's signature. -EIO. */
int osp_point_digest(const struct osp_point *p, uint64_t *out);
