/*
 * The write side of the SQLite driver: batches of one transaction, merged by key as store/span.h
 * says. Operations, patches and links are gathered (sqlite_batch.c) and become bundles; the other
 * parts are rows. Fed with checked parts by store.c.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <string.h>

#include "store/part.h"

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static void bind_numbers(sqlite3_stmt *st, int at, const int64_t *values, int count)
{
	for (int i = 0; i < count; i++)
		sqlite3_bind_int64(st, at + i, values[i]);
}

#define BIND(st, at, ...)                                                                          \
	bind_numbers(st, at, (const int64_t[]){__VA_ARGS__},                                       \
		     (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* Steps a statement that gives at most one row with an integer: 1 = it did, 0, or an error. */
static int run_for_integer(struct sqlite_store *s, sqlite3_stmt *st, int64_t *out)
{
	int code = sqlite3_step(st), first = code;

	if (code == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		while (code == SQLITE_ROW)
			code = sqlite3_step(st);
	}
	if (code != SQLITE_DONE) {
		int r = sqlite_fail(s, "write");

		sqlite3_reset(st);
		return r;
	}
	sqlite3_reset(st);
	return first == SQLITE_ROW;
}

/* ---- the other parts ---- */

static int write_process(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_process_row *p = &part->process;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_PROCESS);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, p->key, p->parent_key, p->pid, p->namespace_pid, p->uid, p->exec_id,
	     p->start_ns, p->seen_ns, p->end_ns, p->exit_code);
	bind_text(st, 11, p->comm);
	bind_text(st, 12, p->exe);
	bind_text(st, 13, p->cmdline);
	sqlite3_bind_int64(st, 14, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int insert_probe(struct sqlite_store *s, const char *provider, const char *probe,
			int64_t *key)
{
	sqlite3_stmt *add = sqlite_statement(s, STATEMENT_ADD_PROBE);
	int r;

	if (!add)
		return sqlite_fail(s, "write");
	bind_text(add, 1, provider);
	bind_text(add, 2, probe);
	r = run_for_integer(s, add, key);
	return r < 0 ? r : 0;
}

/* Rows of the same probes come with every batch: their keys are remembered. */
static int add_probe(struct sqlite_store *s, const char *provider, const char *probe, int64_t *key)
{
	int r;

	osp_buffer_reset(&s->key);
	r = osp_buffer_add(&s->key, provider, strlen(provider) + 1);
	r = r ? r : osp_buffer_add(&s->key, probe, strlen(probe));
	if (r)
		return r;
	*key = (int64_t)(uintptr_t)osp_map_find(&s->probes, s->key.data, s->key.size);
	if (*key)
		return 0;
	r = insert_probe(s, provider, probe, key);
	r = r ? r : osp_map_add(&s->probes, s->key.data, s->key.size, (void *)(uintptr_t)*key);
	return r == -ENOSPC ? 0 : r;
}

static int write_attach(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_attach_row *a = &part->attach;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_ATTACH);
	int64_t probe;
	int r = st ? add_probe(s, a->provider, a->probe, &probe) : sqlite_fail(s, "write");

	if (r)
		return r;
	BIND(st, 1, a->process, probe, a->from_ns, a->to_ns);
	bind_text(st, 5, a->level);
	BIND(st, 6, a->sites, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int drop_reasons(struct sqlite_store *s, uint32_t process, int64_t probe)
{
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_DROP_REASONS);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, process, probe);
	return sqlite_run(s, st);
}

/* Most pages have lost nothing: then there is nothing to replace either. */
static int write_reasons(struct sqlite_store *s, const struct osp_loss_row *l, int64_t probe)
{
	struct osp_map *explained = &s->explained;
	const int64_t key[] = {l->process, probe};
	sqlite3_stmt *st;
	int r = 0;

	if (explained->count == explained->max || osp_map_find(explained, key, sizeof(key)))
		r = drop_reasons(s, l->process, probe);
	if (r || !l->count)
		return r;
	if (explained->count < explained->max)
		r = osp_map_add(explained, key, sizeof(key), explained);
	st = r ? NULL : sqlite_statement(s, STATEMENT_ADD_REASON);
	if (!st)
		return r ? r : sqlite_fail(s, "write");
	for (size_t i = 0; !r && i < l->count; i++) {
		BIND(st, 1, l->process, probe, (int64_t)i);
		bind_text(st, 4, l->reasons[i]);
		sqlite3_bind_int64(st, 5, (int64_t)l->lost[i]);
		r = sqlite_run(s, st);
	}
	return r;
}

static int write_loss(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_loss_row *l = &part->loss;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_LOSS);
	int64_t probe;
	int r = st ? add_probe(s, l->provider, l->probe, &probe) : sqlite_fail(s, "write");

	if (r)
		return r;
	BIND(st, 1, l->process, probe, (int64_t)l->hits, (int64_t)l->stored, (int64_t)part->seq);
	r = sqlite_run(s, st);
	return r || !sqlite3_changes(s->db) ? r : write_reasons(s, l, probe);
}

static int write_gap(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_gap_row *g = &part->gap;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_GAP);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, g->process, g->from_ns);
	bind_text(st, 3, g->reason);
	BIND(st, 4, g->to_ns, (int64_t)g->lost, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int write_clock(struct sqlite_store *s, const struct osp_part *part)
{
	const struct osp_clock_row *c = &part->clock;
	sqlite3_stmt *st = sqlite_statement(s, STATEMENT_ADD_CLOCK);

	if (!st)
		return sqlite_fail(s, "write");
	BIND(st, 1, c->boot_ns, c->offset_ns, c->error_ns, (int64_t)part->seq);
	return sqlite_run(s, st);
}

static int write_pair(struct sqlite_store *s, enum sqlite_statement id, const char *name,
		      const char *text, uint64_t seq)
{
	sqlite3_stmt *st = sqlite_statement(s, id);

	if (!st)
		return sqlite_fail(s, "write");
	bind_text(st, 1, name);
	bind_text(st, 2, text);
	sqlite3_bind_int64(st, 3, (int64_t)seq);
	return sqlite_run(s, st);
}

static int write_part(struct sqlite_store *s, const struct osp_part *p)
{
	switch (p->kind) {
	case OSP_PART_ROW:
		return sqlite_batch_row(s, p);
	case OSP_PART_PATCH:
		return sqlite_batch_patch(s, p);
	case OSP_PART_EDGE:
		return sqlite_batch_link(s, p);
	case OSP_PART_PROCESS:
		return write_process(s, p);
	case OSP_PART_ATTACH:
		return write_attach(s, p);
	case OSP_PART_LOSS:
		return write_loss(s, p);
	case OSP_PART_GAP:
		return write_gap(s, p);
	case OSP_PART_CLOCK:
		return write_clock(s, p);
	case OSP_PART_SESSION:
		return write_pair(s, STATEMENT_ADD_SETTING, p->session.name, p->session.value,
				  p->seq);
	case OSP_PART_CATALOGUE:
		return write_pair(s, STATEMENT_ADD_CATALOGUE, p->catalogue.name, p->catalogue.text,
				  p->seq);
	}
	return -EINVAL;
}

static int run(struct sqlite_store *s, enum sqlite_statement id)
{
	sqlite3_stmt *st = sqlite_statement(s, id);

	return st ? sqlite_run(s, st) : sqlite_fail(s, "write");
}

void sqlite_probes_clear(struct sqlite_store *s)
{
	osp_map_clear(&s->probes);
	osp_map_init(&s->probes, SQLITE_PROBES, 0x70726f62);
}

/* Undoes the transaction; the text of the failure that led here stays. */
static int roll_back(struct sqlite_store *s, int r)
{
	char text[sizeof(s->base.error)];

	memcpy(text, s->base.error, sizeof(text));
	if (!sqlite3_get_autocommit(s->db))
		run(s, STATEMENT_ROLLBACK);
	memcpy(s->base.error, text, sizeof(text));
	s->stale = true;
	s->numbers = 0;
	s->patches_pending = s->patches_before;
	sqlite_shape_clear(s);
	sqlite_probes_clear(s);
	sqlite_place_reload(s);
	if (r == -ENOMEM)
		osp_store_fail(&s->base, r, "%s: no memory for the batch", s->path);
	return r;
}

int sqlite_write_parts(struct osp_store *store, const struct osp_part *parts, size_t count)
{
	struct sqlite_store *s = sqlite(store);
	int r = s->stale ? sqlite_names_reload(s) : 0;

	if (r)
		return r;
	s->stale = false;
	sqlite_batch_reset(&s->batch);
	sqlite_feed_reset(s);
	if (sqlite3_get_autocommit(s->db)) {
		s->patches_before = s->patches_pending;
		r = run(s, STATEMENT_BEGIN);
	}
	for (size_t i = 0; !r && i < count; i++)
		r = write_part(s, &parts[i]);
	r = r ? r : sqlite_batch_write(s);
	return r ? roll_back(s, r) : 0;
}

int sqlite_write_commit(struct osp_store *store)
{
	struct sqlite_store *s = sqlite(store);
	int r = sqlite3_get_autocommit(s->db) ? 0 : run(s, STATEMENT_COMMIT);

	return r ? roll_back(s, r) : 0;
}
