/*
 * Sums what the kernel side has timed by end point to one row per process and operation
 * (user/tally.h). Fed by the recorder with the histograms of the loader, read by it for the summary
 * and the session. Owns the rows: at most OSP_HISTOGRAM_KEYS.
 */
#include "user/tally.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct osp_tally {
	const struct osp_catalogue *catalogue; /* borrowed */
	struct osp_tally_row *rows[OSP_HISTOGRAM_KEYS];
	size_t count;
};

int osp_tally_new(struct osp_tally **out, const struct osp_catalogue *c)
{
	struct osp_tally *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->catalogue = c;
	*out = t;
	return 0;
}

void osp_tally_free(struct osp_tally **t)
{
	if (!*t)
		return;
	for (size_t i = 0; i < (*t)->count; i++)
		free((*t)->rows[i]);
	free(*t);
	*t = NULL;
}

static struct osp_tally_row *find_row(struct osp_tally *t, uint32_t process,
				      const struct osp_operation *o)
{
	struct osp_tally_row *row;

	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i]->process == process && t->rows[i]->operation == o)
			return t->rows[i];
	row = t->count < OSP_HISTOGRAM_KEYS ? calloc(1, sizeof(*row)) : NULL;
	if (!row)
		return NULL;
	row->process = process;
	row->operation = o;
	return t->rows[t->count++] = row;
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

int osp_tally_add(struct osp_tally *t, const struct osp_histogram_key *key,
		  const struct osp_histogram *h)
{
	const struct osp_point *p;
	struct osp_tally_row *row;

	if (key->point >= t->catalogue->point_count)
		return 0;
	p = t->catalogue->points[key->point];
	if (!p->operation_count)
		return 0;
	row = find_row(t, key->process, p->operations[0]);
	if (!row)
		return -ENOMEM;
	row->errors += is_error(row->operation, p) ? h->count : 0;
	row->took.count += h->count;
	row->took.untimed += h->untimed;
	row->took.max = h->max > row->took.max ? h->max : row->took.max;
	for (size_t i = 0; i < OSP_HISTOGRAM_BUCKETS; i++)
		row->took.buckets[i] += h->buckets[i];
	return 0;
}

const struct osp_tally_row *osp_tally_at(const struct osp_tally *t, size_t i)
{
	return i < t->count ? t->rows[i] : NULL;
}

uint64_t osp_tally_quantile(const struct osp_histogram *h, uint32_t permille)
{
	uint64_t all = 0, seen = 0, rank;

	for (size_t i = 0; i < OSP_HISTOGRAM_BUCKETS; i++)
		all += h->buckets[i];
	rank = all / 1000 * permille + (all % 1000 * permille + 999) / 1000;
	for (uint32_t i = 0; i < OSP_HISTOGRAM_BUCKETS; i++) {
		uint64_t least = osp_histogram_least(i), middle;

		seen += h->buckets[i];
		if (!all || seen < rank || !h->buckets[i])
			continue;
		middle = i < 16 ? least : least + (1ull << (i / 16 - 1)) / 2;
		return middle < h->max ? middle : h->max;
	}
	return 0;
}
