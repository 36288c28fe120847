/*
 * Shapes and threads of a session file: what operations have in common, stored once and known by
 * a key. The writer remembers a bounded number of them; one that was forgotten is stored again
 * under a new key, so that any number may pass. Readers hold what they have met. Part of the
 * SQLite driver.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack.h"
#include "user/base/cleanup.h"

struct thread {
	uint32_t process, tid;
};

static void forget_all(struct osp_map *m)
{
	size_t max = m->max;
	uint64_t seed = m->seed;

	osp_map_clear(m);
	osp_map_init(m, max, seed);
}

static int bind_shape(struct sqlite_store *s, const struct sqlite_shape *shape, uint32_t key)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_SHAPE);

	if (!st)
		return sqlite_fail(s, "add a shape");
	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, shape->field_slot);
	sqlite3_bind_blob(st, 3, shape->spans, (int)(shape->span_count * OSP_PACK_SPAN),
			  SQLITE_STATIC);
	sqlite3_bind_blob(st, 4, shape->steps, (int)(shape->step_count * OSP_PACK_STEP),
			  SQLITE_STATIC);
	sqlite3_bind_blob(st, 5, shape->fields, (int)(shape->field_count * OSP_PACK_FIELD),
			  SQLITE_STATIC);
	return sqlite_run(s, st);
}

int sqlite_shape_add(struct sqlite_store *s, const struct sqlite_shape *shape, uint32_t *key)
{
	void *known = osp_map_find(&s->shapes, s->shape.data, s->shape.size);
	int r;

	if (known) {
		*key = (uint32_t)(uintptr_t)known;
		return 0;
	}
	if (s->shape_keys == UINT32_MAX)
		return osp_store_fail(&s->base, -ENOSPC, "%s: too many shapes", s->path);
	if (s->shapes.count == s->shapes.max)
		forget_all(&s->shapes);
	r = bind_shape(s, shape, ++s->shape_keys);
	*key = s->shape_keys;
	return r ? r
		 : osp_map_add(&s->shapes, s->shape.data, s->shape.size, (void *)(uintptr_t)*key);
}

int sqlite_thread_add(struct sqlite_store *s, uint32_t process, uint32_t tid, uint32_t *key)
{
	struct thread t = {process, tid};
	void *known = osp_map_find(&s->threads, &t, sizeof(t));
	sqlite3_stmt *st;
	int r;

	if (known) {
		*key = (uint32_t)(uintptr_t)known;
		return 0;
	}
	if (s->thread_keys == UINT32_MAX)
		return osp_store_fail(&s->base, -ENOSPC, "%s: too many threads", s->path);
	if (s->threads.count == s->threads.max)
		forget_all(&s->threads);
	st = sqlite_statement(s, STATEMENT_ADD_THREAD);
	if (!st)
		return sqlite_fail(s, "add a thread");
	*key = ++s->thread_keys;
	sqlite3_bind_int64(st, 1, *key);
	sqlite3_bind_int64(st, 2, process);
	sqlite3_bind_int64(st, 3, tid);
	r = sqlite_run(s, st);
	return r ? r : osp_map_add(&s->threads, &t, sizeof(t), (void *)(uintptr_t)*key);
}

/* ---- reading ---- */

static const uint8_t *copy_entries(uint8_t **to, sqlite3_stmt *st, int at)
{
	size_t size = (size_t)sqlite3_column_bytes(st, at);
	const uint8_t *start = *to;

	if (size)
		memcpy(*to, sqlite3_column_blob(st, at), size);
	*to += size;
	return start;
}

/* Sizes are checked here; what the entries say, when they are followed. */
static int load_shape(struct sqlite_store *s, sqlite3_stmt *st, uint32_t key,
		      struct sqlite_shape **out)
{
	size_t spans = (size_t)sqlite3_column_bytes(st, 1);
	size_t steps = (size_t)sqlite3_column_bytes(st, 2);
	size_t fields = (size_t)sqlite3_column_bytes(st, 3);
	struct sqlite_shape *shape;
	uint8_t *at;

	if (!spans || spans % OSP_PACK_SPAN || steps % OSP_PACK_STEP || fields % OSP_PACK_FIELD)
		return sqlite_damaged(s, "a shape");
	shape = malloc(sizeof(*shape) + spans + steps + fields);
	if (!shape)
		return -ENOMEM;
	at = (uint8_t *)(shape + 1);
	shape->key = key;
	shape->field_slot = (uint32_t)sqlite3_column_int64(st, 0);
	shape->span_count = spans / OSP_PACK_SPAN;
	shape->step_count = steps / OSP_PACK_STEP;
	shape->field_count = fields / OSP_PACK_FIELD;
	shape->spans = copy_entries(&at, st, 1);
	shape->steps = copy_entries(&at, st, 2);
	shape->fields = copy_entries(&at, st, 3);
	*out = shape;
	return 0;
}

static void free_shapes(struct sqlite_store *s)
{
	struct sqlite_shape *shape;

	for (size_t at = 0; (shape = osp_map_next(&s->known_shapes, &at));)
		free(shape);
	forget_all(&s->known_shapes);
}

int sqlite_shape_get(struct sqlite_store *s, uint32_t key, const struct sqlite_shape **out)
{
	struct sqlite_shape *shape = osp_map_find(&s->known_shapes, &key, sizeof(key));
	sqlite3_stmt *st;
	int r;

	if (shape) {
		*out = shape;
		return 0;
	}
	st = sqlite_statement(s, STATEMENT_GET_SHAPE);
	if (!st)
		return sqlite_fail(s, "read a shape");
	if (s->known_shapes.count == s->known_shapes.max)
		free_shapes(s);
	sqlite3_bind_int64(st, 1, key);
	r = sqlite3_step(st) == SQLITE_ROW ? load_shape(s, st, key, &shape)
					   : sqlite_damaged(s, "no such shape");
	sqlite3_reset(st);
	r = r ? r : osp_map_add(&s->known_shapes, &key, sizeof(key), shape);
	*out = shape;
	return r;
}

int sqlite_thread_get(struct sqlite_store *s, uint32_t key, uint32_t *process, uint32_t *tid)
{
	void *known = osp_map_find(&s->known_threads, &key, sizeof(key));
	sqlite3_stmt *st = known ? NULL : sqlite_statement(s, STATEMENT_GET_THREAD);
	uint64_t both = (uintptr_t)known - 1;
	int r = 0;

	if (!known) {
		if (!st)
			return sqlite_fail(s, "read a thread");
		sqlite3_bind_int64(st, 1, key);
		if (sqlite3_step(st) != SQLITE_ROW)
			r = sqlite_damaged(s, "no such thread");
		both = (uint64_t)(uint32_t)sqlite3_column_int64(st, 0) << 32 |
		       (uint32_t)sqlite3_column_int64(st, 1);
		sqlite3_reset(st);
		if (s->known_threads.count == s->known_threads.max)
			forget_all(&s->known_threads);
		if (!r && both != UINT64_MAX)
			r = osp_map_add(&s->known_threads, &key, sizeof(key),
					(void *)(uintptr_t)(both + 1));
	}
	*process = (uint32_t)(both >> 32);
	*tid = (uint32_t)both;
	return r;
}

void sqlite_shape_clear(struct sqlite_store *s)
{
	free_shapes(s);
	osp_map_clear(&s->shapes);
	osp_map_clear(&s->threads);
	osp_map_clear(&s->known_threads);
	osp_map_init(&s->shapes, SQLITE_SHAPES, 0x73686170);
	osp_map_init(&s->known_shapes, SQLITE_SHAPES, 0x6b736870);
	osp_map_init(&s->threads, SQLITE_THREADS, 0x74687264);
	osp_map_init(&s->known_threads, SQLITE_THREADS, 0x6b746864);
}
