/*
 * What a driver is: one table of functions, none optional, a row in the table of store/store.c.
 * Drivers keep and merge parts and hand them back in order of their keys; everything derived
 * (flat spans, parents, traces, ids) is made above them, once.
 */
#pragma once

#include "user/base/arena.h"
#include "store/store.h"

/* What to walk: all stored parts of a kind, by key, or some of the rows or edges. */
struct osp_scan {
	enum osp_part_kind kind;
	uint64_t
		trace; /* ROW: those of this trace; EDGE: those with an end in it, some twice; 0 = all */
	bool heads;	      /* ROW: without steps and attributes */
	uint64_t first, last; /* ROW: only ids in here; 0, 0 = all */
};

/* An iterator of a driver; drivers embed it. */
struct osp_scanner {
	struct osp_store *store; /* borrowed: outlives every scanner */
	struct osp_scan query;
};

struct osp_store_ops {
	const char *scheme;

	/* As osp_store_open; `address` is the URI behind the scheme. */
	int (*open)(struct osp_store **out, const char *address, enum osp_store_mode mode,
		    char error[512]);
	int (*close)(struct osp_store **s, bool clean);

	/*
	 * The parts have passed osp_part_check. All or nothing; commit ends the transaction that
	 * write begins if none is open. What fails may undo the whole of it.
	 */
	int (*write)(struct osp_store *s, const struct osp_part *parts, size_t count);
	int (*commit)(struct osp_store *s);
	int (*flush)(struct osp_store *s);

	/* As osp_store_forget and osp_store_save. */
	int (*forget)(struct osp_store *s, int64_t before_ns, bool *more);
	int (*save)(struct osp_store *s, const char *path, bool overwrite);

	/* Keys of all traces by (first start of an operation, key), in one array that the caller frees. */
	int (*traces)(struct osp_store *s, uint64_t **keys, size_t *count);

	/* Trace of the operation or nested span with this id. -ENOENT. */
	int (*find)(struct osp_store *s, uint64_t span_id, uint64_t *trace);

	/*
	 * next: 0 = got one, 1 = end, <0. What is got lives until the next one is; of a scan of one
	 * trace as long as the arena, or until the store is written to.
	 */
	int (*scan)(struct osp_store *s, const struct osp_scan *query, struct osp_scanner **out);
	int (*next)(struct osp_scanner *c, struct osp_arena *arena, struct osp_part *part);
	void (*end)(struct osp_scanner **c);
};

enum { OSP_STORE_FORMS = 256 };

struct osp_store {
	const struct osp_store_ops *ops;
	char error[512]; /* of the last failing call */
	bool writable;
	uint64_t forms[OSP_STORE_FORMS]; /* some forms of rows that were right */
};

/* Saves by copying part by part, for drivers that know no better way. */
int osp_store_copy(struct osp_store *s, const char *path, bool overwrite);

extern const struct osp_store_ops osp_store_mem, osp_store_sqlite;

/* Keeps the text of a failure and returns its code, so that an error path is one statement. */
int osp_store_fail(struct osp_store *s, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
