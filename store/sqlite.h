/* What the files of the SQLite driver share; nobody else includes it. */
#pragma once

#include <sqlite3.h>

#include "store/driver.h"
#include "store/pack.h"
#include "store/sqlite_batch.h"
#include "store/sqlite_feed.h"
#include "store/sqlite_names.h"
#include "store/sqlite_shape.h"
#include "store/sqlite_sql.h"
#include "user/base/buffer.h"
#include "user/base/map.h"

enum {
	SESSION_FORMAT = 2,		  /* user_version */
	SESSION_APPLICATION = 0x4f535053, /* application_id: "OSPS" */
	SQLITE_STRINGS = 65535,	      /* strings of a session; more are stored where they occur */
	SQLITE_VALUE_STRINGS = 16384, /* values that may become strings of the session */
	SQLITE_VALUE_STRING_BYTES = 128, /* longer values are stored where they occur */
	SQLITE_SHAPES = 16384,		 /* shapes and origins known at once; forgotten ones are */
	SQLITE_FORMS = 256,		 /* forms whose last shape is known */
	SQLITE_PROBES = 65536,		 /* (process, probe) pairs that are known to have losses */
	SQLITE_ORIGINS = 65536,		 /* stored again under another number */
	SQLITE_PLACES = 1 << 21,	 /* blocks of 64 operations whose place is known */
	SQLITE_HINTS = 1 << 20, /* operations that are searched for in one bundle, not a range */
	SQLITE_RECENT = 256,	/* places found without a look into the map */
	SQLITE_PLACE_BUNDLES = 256, /* bundles between two writings of the places */
};

/* Where the operations of a block of ids lie. What it says may be too much, never too little. */
struct sqlite_place {
	uint64_t block;	     /* id / 2^22 */
	uint64_t stored;     /* bit per operation (id / 2^16): has a row, perhaps */
	uint64_t edged;	     /* bit per operation: links from it are in table edge, perhaps */
	int64_t first, last; /* keys of bundles; first > last: none */
	bool dirty;	     /* not in the table yet: in the chain of those */
	struct sqlite_place *next;
};

/* A look-up of a block; NULL: there was none. */
struct sqlite_recent_place {
	uint64_t block;
	struct sqlite_place *place;
	bool known;
};

/* A bundle as it lies in a row of the table; borrowed from its statement. */
struct sqlite_bundle {
	int64_t key, start_ns;
	uint64_t trace;
	const uint8_t *wire, *heads, *times, *slots, *payload, *edges; /* wire: NULL or 16 bytes */
	size_t count, times_size, slots_size, payload_size, edge_count;
};

/* Statements of scans: each scan takes one and gives it back, so that most are prepared once. */
enum sqlite_read {
	READ_BUNDLES,
	READ_BUNDLES_OF_TRACE,
	READ_BLOCKS,
	READ_PATCHES,
	READ_EDGES_FROM,
	READ_EDGES_TO,
	READ_PROCESSES,
	READ_ATTACH,
	READ_LOSSES,
	READ_REASONS,
	READ_GAPS,
	READ_CLOCKS,
	READ_SETTINGS,
	READ_CATALOGUES,
	READ_COUNT
};

struct sqlite_store {
	struct osp_store base;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	sqlite3_stmt *reads[READ_COUNT]; /* idle */
	struct names names[NAMES_COUNT];
	struct recent_kind recent_kinds[KINDS_RECENT];
	struct osp_map strings; /* text -> id, of the writer */
	struct recent_string recent_strings[STRINGS_RECENT];
	bool strings_elsewhere;	  /* the table may have strings that the map has not */
	bool stale;		  /* a rollback left the names in memory ahead of the tables */
	uint32_t value_strings;	  /* values interned so far */
	uint64_t numbers;	  /* rows of table number */
	uint64_t patches_pending; /* at most so many rows are in table patch */
	uint64_t patches_before;  /* the same when the transaction began */
	struct osp_map shapes, origins;		    /* of the writer: what it is -> key */
	struct osp_map signatures;		    /* of lasting rows -> key of the shape */
	struct sqlite_form forms[SQLITE_FORMS];	    /* by form */
	struct osp_map probes;			    /* of the writer: (provider, probe) -> key */
	struct osp_map explained;		    /* (process, probe) that have loss reasons */
	struct osp_map known_shapes, known_origins; /* of readers: key -> what it is */
	uint32_t shape_keys, origin_keys;	    /* given so far */
	int64_t bundle_keys;
	struct osp_map places; /* block -> struct sqlite_place, of the writer */
	struct osp_map hints;  /* id -> where it lies: see sqlite_place.c */
	struct sqlite_recent_place recent_places[SQLITE_RECENT]; /* some of them, by block */
	struct sqlite_place *dirty;
	bool late_marks;   /* table amend may tell of operations whose heads do not say so */
	int64_t forgotten; /* bundles up to this key were looked at by sqlite_forget */
	int64_t placed;	   /* the table of places knows of bundles up to this key */
	bool place_again;  /* one of them has got operations since */
	bool placed_aside; /* a reader has made its own table of them */
	struct sqlite_batch batch;
	struct sqlite_feed feed;
	union {
		struct {
			struct osp_buffer heads, times, slots, payload, edges, shape, scratch, key;
		};
		struct osp_buffer buffers[8];
	};
	uint8_t wire[16]; /* trace id on the wire of the bundle that is being made */
	bool has_wire;
	uint64_t ids[OSP_PACK_OPERATIONS]; /* of that bundle's operations */
	size_t id_count;
	uint32_t seen[256]; /* places of small values in the payload, by hash, + 1 */
};

static inline struct sqlite_store *sqlite(struct osp_store *s)
{
	return (struct sqlite_store *)s;
}

/* ---- sqlite.c ---- */

/* Translates what SQLite says last into -errno and keeps "PATH: what: why - hint". */
int sqlite_fail(struct sqlite_store *s, const char *what);

/* The file holds what no recorder writes. -EBADMSG. */
int sqlite_damaged(struct sqlite_store *s, const char *what);

/* The statement, ready for binding; NULL after sqlite_fail. */
sqlite3_stmt *sqlite_statement(struct sqlite_store *s, enum sqlite_statement id);

/* Steps a statement (rows are not wanted) and resets it. */
int sqlite_run(struct sqlite_store *s, sqlite3_stmt *st);
int sqlite_exec(struct sqlite_store *s, const char *sql);

/* Binds 8 bytes, big-endian; NULL for 0. */
void sqlite_bind_id(sqlite3_stmt *st, int at, uint64_t id);

/* ---- sqlite_names.c ---- */
/*
 * The number of these columns; new ones are added to the table. The texts `a` and `b` with the
 * integer tell the columns apart. -ENOSPC past 65535.
 */
struct name_hint {
	const void *a, *b;
};
int sqlite_names_add(struct sqlite_store *s, enum name_table t, const struct name *columns,
		     struct name_hint hint, uint32_t *number);

/* The same of what a link says besides its ends. */
int sqlite_names_add_kind(struct sqlite_store *s, const struct osp_edge *e, uint32_t *number);

/* The columns of a number. -EBADMSG. */
int sqlite_names_get(struct sqlite_store *s, enum name_table t, int64_t number,
		     const struct name **out);

/* The id of a text; 0 if there are too many already, or for NULL. */
int sqlite_string_add(struct sqlite_store *s, const char *text, int64_t *id);

/* The same for a value if it is known or worth it. */
int sqlite_string_add_value(struct sqlite_store *s, const void *text, size_t size, int64_t *id);

/* The text of an id, in the arena. -EBADMSG. */
int sqlite_string_get(struct sqlite_store *s, int64_t id, struct osp_arena *arena,
		      const char **text, size_t *size);

/* After a rollback: what is held in memory is made again from the tables. */
int sqlite_names_reload(struct sqlite_store *s);
void sqlite_names_clear(struct sqlite_store *s);

/* ---- sqlite_place.c ---- */
/* Whether the operation may be stored; then its bundle is one of [first, last]. */
const struct sqlite_place *sqlite_place_find(struct sqlite_store *s, uint64_t id);
int sqlite_place_add(struct sqlite_store *s, const struct osp_row *row, int64_t bundle);

/* The bundle where to look first; 0: it is near the first of its block, or not known. */
int64_t sqlite_place_hint(const struct sqlite_store *s, uint64_t id);
int sqlite_place_add_edge(struct sqlite_store *s, uint64_t id);
bool sqlite_place_has_edge(struct sqlite_store *s, uint64_t id);

/* Writes down what is new. */
int sqlite_place_flush(struct sqlite_store *s);

/* After a rollback: what was written down may not be there. */
void sqlite_place_reload(struct sqlite_store *s);
void sqlite_place_clear(struct sqlite_store *s);

/* Makes the table of places complete for this reader. */
int sqlite_place_read(struct sqlite_store *s);

/* Forgets blocks of which nothing is left from this bundle on. */
void sqlite_place_forget(struct sqlite_store *s, int64_t first);

/* ---- sqlite_encode.c, sqlite_decode.c ---- */

/*
 * Writes a bundle of these members (numbers into the batch, in the order of their places) in the
 * place of the one with this key; 0: behind all others.
 */
int sqlite_encode(struct sqlite_store *s, const uint32_t *members, size_t count,
		  uint32_t first_link, int64_t key);

/* The row of a statement that selects * from bundle. -EBADMSG. */
int sqlite_decode(struct sqlite_store *s, sqlite3_stmt *st, struct sqlite_bundle *b);
uint64_t sqlite_decode_id(const struct sqlite_bundle *b, size_t i);
bool sqlite_decode_is_amended(const struct sqlite_bundle *b, size_t i);

/* Operation i, in the arena; heads: without steps and attributes. */
int sqlite_decode_row(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i, bool heads,
		      struct osp_arena *arena, struct osp_row *row, struct sqlite_version *v);

/* How many steps operation i has. */
int sqlite_decode_step_count(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i,
			     size_t *count);
int sqlite_decode_edge(struct sqlite_store *s, const struct sqlite_bundle *b, size_t i,
		       struct osp_arena *arena, struct osp_edge *e);

/* ---- sqlite_write.c, sqlite_read.c, sqlite_forget.c ---- */

int sqlite_write_parts(struct osp_store *s, const struct osp_part *parts, size_t count);
int sqlite_write_commit(struct osp_store *s);
void sqlite_probes_clear(struct sqlite_store *s);
int sqlite_forget(struct osp_store *s, int64_t before_ns, bool *more);
int sqlite_read_traces(struct osp_store *s, uint64_t **keys, size_t *count);
int sqlite_read_find(struct osp_store *s, uint64_t span_id, uint64_t *trace);
int sqlite_read_scan(struct osp_store *s, const struct osp_scan *q, struct osp_scanner **out);
int sqlite_read_next(struct osp_scanner *c, struct osp_arena *arena, struct osp_part *part);
void sqlite_read_end(struct osp_scanner **c);
