/*
 * The catalogue as data: providers, points, operations with their automata, links. One loader
 * (probes/load.c) fills it from YAML for the generator, for outspan and for the tests; fragments
 * are expanded and every check of the grammar is done before anybody sees it (design: the
 * README of this folder describes the grammar).
 *
 * Everything hangs off one struct osp_catalogue and is freed with it. Strings are NUL-terminated
 * UTF-8. Numbers: a point's `number` and an operation's `number` index the catalogue's arrays.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/report.h"
#include "probes/role.h"
#include "probes/rule.h"

enum {
	OSP_CATALOGUE_STATES = 64, /* states of one operation, the end not counted */
	OSP_CATALOGUE_SPANS = 16,  /* kinds of nested span of one operation */
	OSP_CATALOGUE_ARGS = 12,   /* arguments of a point */
	OSP_CATALOGUE_POINTS = 1024,
	OSP_CATALOGUE_MAX_BYTES = 2048,	    /* largest `max` of a str or bytes argument */
	OSP_CATALOGUE_FOREIGN_BYTES = 1024, /* of one at a foreign point */
};

enum osp_level { OSP_LEVEL_ESSENTIAL, OSP_LEVEL_DETAIL, OSP_LEVEL_DEBUG };
enum osp_class { OSP_CLASS_PUBLIC, OSP_CLASS_INTERNAL, OSP_CLASS_SECRET, OSP_CLASS_PAYLOAD };
enum osp_kind { /* OpenTelemetry's span kinds */
		OSP_KIND_INTERNAL = 1,
		OSP_KIND_SERVER,
		OSP_KIND_CLIENT,
		OSP_KIND_PRODUCER,
		OSP_KIND_CONSUMER
};
enum osp_status { OSP_STATUS_UNSET, OSP_STATUS_OK, OSP_STATUS_ERROR };
enum osp_type {
	OSP_TYPE_UINT, /* u8, u16, u32, u64; also enums */
	OSP_TYPE_INT,  /* i8 ... i64 */
	OSP_TYPE_BOOL,
	OSP_TYPE_F64,
	OSP_TYPE_STR,
	OSP_TYPE_BYTES,
	OSP_TYPE_OP,	      /* the id of another operation: its parent, by convention */
	OSP_TYPE_CONTEXT_IN,  /* the trace context that the peer sent */
	OSP_TYPE_CONTEXT_OUT, /* the trace context that this operation sends */
};

struct osp_enum_value {
	const char *name;
	int64_t value;
};

struct osp_enum {
	const char *name;
	struct osp_enum_value *values;
	size_t count;
};

struct osp_arg {
	const char *name;
	enum osp_type type;
	uint8_t bytes;	/* of an integer: 1, 2, 4, 8 */
	uint8_t source; /* foreign points: 1-based argument of the note */
	uint8_t length; /* foreign bytes: 1-based argument that holds the byte count, 0 = none */
	uint16_t max;	/* str, bytes: bytes kept */
	bool report;	/* a peer's report: read when it comes, and not kept */
	enum osp_class class;
	const struct osp_enum *enumeration; /* or NULL */
	const char *unit;		    /* UCUM, or NULL */
	const char *attribute; /* name for people and exporters: otel's, or "<provider>.<arg>" */
	const char *doc;       /* or NULL */
};

struct osp_operation;

/*
 * A trace point: one USDT probe provider:probe. Points of our own providers belong to one
 * operation; a foreign probe may be used by several (then with equal arguments).
 */
struct osp_point {
	uint16_t number;      /* in the catalogue */
	uint16_t header;      /* own points: number in the provider's generated header */
	const char *provider; /* as in the note */
	const char *probe;    /* as in the note: "<operation>__<name>" for our own */
	const char *name;     /* "<name>" */
	const char *doc;      /* or NULL */
	enum osp_level level;
	bool foreign;	    /* plain sys/sdt.h site, no operation block */
	bool control;	    /* never called; its semaphore asks for something (context) */
	bool spill;	    /* no step: where an operation hands over its full block */
	bool authenticates; /* behind it the operation's peer is authenticated */
	uint64_t digest;    /* of the signature, as compiled into .note.outspan */
	struct osp_arg args[OSP_CATALOGUE_ARGS];
	size_t arg_count;
	struct osp_operation **operations; /* that use it */
	size_t operation_count;
};

/* What a transition does to one kind of nested span. */
struct osp_span_action {
	uint8_t span;	 /* index into the operation's spans */
	bool close;	 /* else only sets the status */
	bool has_status; /* status and code are to be set */
	enum osp_status status;
	const char *code; /* or NULL */
};

enum { OSP_STATE_END = 0xff };

struct osp_transition {
	uint8_t from;
	uint8_t to; /* a state, or OSP_STATE_END */
	struct osp_point *point;
	int8_t open; /* span opened (after the closes), or -1 */
	bool any;    /* comes from "*": never makes a step "in order" by itself */
	struct osp_span_action actions[4];
	size_t action_count;
	enum osp_status status; /* of the operation, when to is OSP_STATE_END */
	const char *code;	/* fixed code, or NULL */
	int8_t code_arg;	/* index of the point's argument that gives the code, or -1 */
	const struct osp_enum
		*code_map; /* argument's value name -> code (values are numbers), or NULL */
};

struct osp_nested {
	const char *name;
	const char *title; /* template: "deliver {url}" */
	enum osp_kind kind;
	bool context;	 /* its context goes on the wire */
	const char *doc; /* or NULL */
};

enum osp_key { OSP_KEY_OP, OSP_KEY_THREAD, OSP_KEY_ARG };

/* The attribute that is an operation's topic: what topic patterns are held against. */
#define OSP_CATALOGUE_TOPIC	 "messaging.destination.name"
#define OSP_CATALOGUE_TOPIC_WORD "topic" /* what options call it */

/* A message of the protocol: what of it goes over the wire in an operation. */
struct osp_message {
	const char *key;  /* in the catalogue */
	const char *name; /* in the protocol */
	uint16_t id;	  /* its type's number on the wire */
	bool to_broadcaster;
	bool stateful;	  /* over a web socket, else over HTTP */
	const char *path; /* where it is posted, or NULL: an answer, or stateful */
	const char *doc;
};

struct osp_operation {
	uint16_t number;
	const char *provider; /* of the file it stands in */
	const char *name;
	const char *title;		    /* template: "handle {topic}" */
	const char *side, *layer, *feature; /* or NULL */
	const char *doc;		    /* or NULL */
	const char *starts;		    /* who or what begins one, or NULL */
	const char *messaging_operation;    /* OpenTelemetry messaging.operation.type, or NULL */
	enum osp_kind kind;
	enum osp_key key;
	const char *key_arg; /* OSP_KEY_ARG: name of the argument, in every point */
	bool nest;	     /* OSP_KEY_THREAD: a stack per thread */
	bool watch;
	int64_t timeout_ns;
	struct osp_point **points; /* used by this operation, in the order of the file */
	size_t point_count;
	const char **states; /* names; a fragment's are "<fragment>.<state>" */
	const char **slow;   /* by state: what a long stay there usually means, or NULL */
	size_t state_count;
	uint8_t start;
	struct osp_point *spill; /* own operations: not among the points; NULL = foreign */
	struct osp_transition *transitions;
	size_t transition_count;
	struct osp_nested spans[OSP_CATALOGUE_SPANS];
	size_t span_count;
	const struct osp_message **messages; /* that it sends or takes */
	size_t message_count;
};

/* An implementation of a provider that lacks points (a missing step is "not provided"). */
struct osp_implementation {
	const char *name, *doc; /* doc: or NULL */
	struct osp_point **lacks;
	size_t lack_count;
};

struct osp_catalogue {
	struct osp_point **points;
	size_t point_count;
	struct osp_operation **operations;
	size_t operation_count;
	struct osp_message **messages;
	size_t message_count;
	struct osp_link **links;
	size_t link_count;
	struct osp_implementation **implementations;
	size_t implementation_count;
	struct osp_report **reports;
	size_t report_count;
	struct osp_deliveries **deliveries; /* of the files that have them */
	size_t deliveries_count;
	const char **providers; /* our own (op.h) and foreign ones, as in the notes */
	size_t provider_count;
	const char **texts; /* the YAML text of each file, as read: stored with a session */
	const char **docs;  /* their `doc`, or NULL */
	const char **names; /* their names for messages */
	size_t file_count;
	void *memory; /* owner of all of the above */
};

/* Where and why a catalogue was refused: "FILE:LINE: KEY: expected ..." in text. */
struct osp_catalogue_error {
	char text[512];
};

/* An empty catalogue. -ENOMEM. Freed with osp_catalogue_free. */
int osp_catalogue_new(struct osp_catalogue **out);
void osp_catalogue_free(struct osp_catalogue **c);

/*
 * Adds one file's text (name is for messages). Several files share one numbering, in the order
 * they are added. On -EINVAL the error says where and what was expected and the catalogue must
 * not be used further. -ENOMEM, -E2BIG (a maximum of this header), too, with a text.
 */
int osp_catalogue_add(struct osp_catalogue *c, const char *name, const char *text, size_t size,
		      struct osp_catalogue_error *error);

/* Reads the file and adds it. -errno of the file, with a text. */
int osp_catalogue_read(struct osp_catalogue *c, const char *path,
		       struct osp_catalogue_error *error);

/* The point of a note, or NULL. */
const struct osp_point *osp_catalogue_find_point(const struct osp_catalogue *c,
						 const char *provider, const char *probe);

/* True if the operation uses the point. */
bool osp_operation_has_point(const struct osp_operation *o, const struct osp_point *p);

const char *osp_level_to_str(enum osp_level level);
int osp_level_from_str(const char *text, enum osp_level *level); /* -EINVAL */
const char *osp_kind_to_str(enum osp_kind kind);		 /* "PRODUCER" */
const char *osp_status_to_str(enum osp_status s);		 /* "ok", "error", "unset" */
const char *osp_grade_to_str(enum osp_grade grade);		 /* "exact", ... */
const char *osp_makes_to_str(enum osp_makes makes);		 /* "parent", "link", "fan_in" */
