/*
 * Gathers the buckets that the kernel side has in use into rows: one per process and operation, and
 * one per point of it (user/tally.h). Fed by user/latency.c with the histograms of the loader, read
 * by it for the summary and the session. Owns buckets and rows: at most OSP_HISTOGRAM_ELEMENTS.
 */
#include "user/tally.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "user/base/buffer.h"

/* A bucket as it came; key.bucket without its flag. */
struct entry {
	const struct osp_operation *operation;
	struct osp_histogram_key key;
	bool whole;
	uint64_t count;
};

struct osp_tally {
	const struct osp_catalogue *catalogue; /* borrowed */
	struct osp_buffer entries;
	struct osp_tally_bucket *buckets;
	struct osp_tally_row *rows;
	size_t row_count;
};

int osp_tally_new(struct osp_tally **out, const struct osp_catalogue *c)
{
	struct osp_tally *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->catalogue = c;
	t->entries.max = OSP_HISTOGRAM_ELEMENTS * sizeof(struct entry);
	*out = t;
	return 0;
}

void osp_tally_free(struct osp_tally **t)
{
	if (!*t)
		return;
	osp_buffer_clear(&(*t)->entries);
	free((*t)->buckets);
	free((*t)->rows);
	free(*t);
	*t = NULL;
}

int osp_tally_add(struct osp_tally *t, const struct osp_histogram_key *key, uint64_t count)
{
	struct entry e = {.key = *key, .whole = key->bucket & OSP_HISTOGRAM_WHOLE, .count = count};
	const struct osp_point *p;

	e.key.bucket &= (uint16_t)~OSP_HISTOGRAM_WHOLE;
	if (key->point >= t->catalogue->point_count || e.key.bucket > OSP_HISTOGRAM_UNTIMED)
		return 0;
	p = t->catalogue->points[key->point];
	if (!p->operation_count)
		return 0;
	e.operation = p->operations[0];
	return osp_buffer_add(&t->entries, &e, sizeof(e));
}

/* ---- rows ---- */

/* An operation's end points are one row. */
static int by_row(const struct entry *a, const struct entry *b)
{
	if (a->key.process != b->key.process)
		return a->key.process < b->key.process ? -1 : 1;
	if (a->operation != b->operation)
		return a->operation->number < b->operation->number ? -1 : 1;
	if (a->whole != b->whole)
		return a->whole ? -1 : 1;
	return a->whole ? 0 : (a->key.point > b->key.point) - (a->key.point < b->key.point);
}

static int by_bucket(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int r = by_row(a, b);

	return r ? r : (a->key.bucket > b->key.bucket) - (a->key.bucket < b->key.bucket);
}

/* An operation that ends here has failed, whatever went before. */
static bool is_error(const struct osp_operation *o, const struct osp_point *p)
{
	bool ends = false;

	for (size_t i = 0; i < o->transition_count; i++) {
		const struct osp_transition *t = &o->transitions[i];

		if (t->point != p || t->to != OSP_STATE_END)
			continue;
		if (t->status != OSP_STATUS_ERROR)
			return false;
		ends = true;
	}
	return ends;
}

static void add_entry(struct osp_tally *t, struct osp_tally_row *row, const struct entry *e)
{
	struct osp_tally_bucket *buckets = (struct osp_tally_bucket *)row->buckets;
	const struct osp_point *p = t->catalogue->points[e->key.point];

	row->count += e->count;
	row->errors += e->whole && is_error(e->operation, p) ? e->count : 0;
	if (e->key.bucket == OSP_HISTOGRAM_UNTIMED) {
		row->untimed += e->count;
		return;
	}
	if (!row->bucket_count || buckets[row->bucket_count - 1].bucket != e->key.bucket)
		buckets[row->bucket_count++] = (struct osp_tally_bucket){e->key.bucket, 0};
	buckets[row->bucket_count - 1].count += e->count;
}

int osp_tally_stop(struct osp_tally *t)
{
	struct entry *entries = (struct entry *)t->entries.data;
	size_t count = t->entries.size / sizeof(*entries);

	if (!count)
		return 0;
	t->buckets = calloc(count, sizeof(*t->buckets));
	t->rows = calloc(count, sizeof(*t->rows));
	if (!t->buckets || !t->rows)
		return -ENOMEM;
	qsort(entries, count, sizeof(*entries), by_bucket);
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = &entries[i];

		if (!i || by_row(e - 1, e))
			t->rows[t->row_count++] = (struct osp_tally_row){
				.process = e->key.process,
				.operation = e->operation,
				.point = e->whole ? NULL : t->catalogue->points[e->key.point],
				.buckets = &t->buckets[i],
			};
		add_entry(t, &t->rows[t->row_count - 1], e);
	}
	return 0;
}

const struct osp_tally_row *osp_tally_at(const struct osp_tally *t, size_t i)
{
	return i < t->row_count ? &t->rows[i] : NULL;
}

uint64_t osp_tally_quantile(const struct osp_tally_row *row, uint32_t permille)
{
	uint64_t all = row->count - row->untimed, seen = 0, least;
	uint64_t rank = all / 1000 * permille + (all % 1000 * permille + 999) / 1000;
	size_t i = 0;

	if (!row->bucket_count)
		return 0;
	while ((seen += row->buckets[i].count) < rank && i + 1 < row->bucket_count)
		i++;
	least = osp_histogram_least(row->buckets[i].bucket);
	return row->buckets[i].bucket < 16
		       ? least
		       : least + (1ull << (row->buckets[i].bucket / 16 - 1)) / 2;
}
