/*
 * Catalogue and attach rows of a session as tables (user/watch.h): fed by the store, used by outlook
 * and check. Owns the catalogue and the rows.
 */
#include "user/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/rows.h"

enum { ROWS_MAX = 1 << 24 };

static int take_catalogue(struct osp_watch *w, const struct osp_part *part)
{
	const char *text = part->catalogue.text;
	struct osp_catalogue_error error;
	int r = w->catalogue ? osp_catalogue_add(w->catalogue, part->catalogue.name, text,
						 strlen(text), &error)
			     : 0;

	if (r && r != -ENOMEM) {
		osp_catalogue_free(&w->catalogue);
		return 0;
	}
	return r;
}

static int take_attach(struct osp_watch *w, const struct osp_part *part)
{
	const struct osp_attach_row *row = &part->attach;
	const struct osp_point *p =
		w->catalogue ? osp_catalogue_find_point(w->catalogue, row->provider, row->probe)
			     : NULL;
	int r = p ? osp_rows_grow((void **)&w->rows, w->count, sizeof(*w->rows), ROWS_MAX) : 0;

	if (p && !r)
		w->rows[w->count++] =
			(struct osp_watch_row){row->process, p, row->from_ns, row->to_ns};
	return r;
}

static int take_all(struct osp_watch *w, const struct osp_session *s, enum osp_part_kind kind,
		    int (*take)(struct osp_watch *, const struct osp_part *))
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(s->store, kind, &c);

	while (!r && !(r = osp_cursor_next_part(c, &part)))
		r = take(w, &part);
	return r < 0 ? r : 0;
}

static int by_process(const void *a, const void *b)
{
	const struct osp_watch_row *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return (x->from_ns > y->from_ns) - (x->from_ns < y->from_ns);
}

int osp_watch_new(struct osp_watch **out, const struct osp_session *s)
{
	_cleanup_(osp_watch_free) struct osp_watch *w = calloc(1, sizeof(*w));
	int r = w ? osp_catalogue_new(&w->catalogue) : -ENOMEM;

	r = r ? r : take_all(w, s, OSP_PART_CATALOGUE, take_catalogue);
	r = r ? r : take_all(w, s, OSP_PART_ATTACH, take_attach);
	if (r)
		return r;
	if (w->count)
		qsort(w->rows, w->count, sizeof(*w->rows), by_process);
	*out = TAKE_PTR(w);
	return 0;
}

void osp_watch_free(struct osp_watch **w)
{
	if (!*w)
		return;
	osp_catalogue_free(&(*w)->catalogue);
	free((*w)->rows);
	free(*w);
	*w = NULL;
}

const struct osp_operation *osp_watch_operation(const struct osp_watch *w, const char *provider,
						const char *name)
{
	for (size_t i = 0; w->catalogue && i < w->catalogue->operation_count; i++) {
		const struct osp_operation *o = w->catalogue->operations[i];

		if (!strcmp(o->name, name) && !strcmp(o->provider, provider))
			return o;
	}
	return NULL;
}

/* The rows of a process: *out and how many. */
static size_t rows_of(const struct osp_watch *w, uint32_t process, const struct osp_watch_row **out)
{
	size_t low = 0, high = w->count, n = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->rows[middle].process < process)
			low = middle + 1;
		else
			high = middle;
	}
	*out = w->rows + low;
	while (low + n < w->count && w->rows[low + n].process == process)
		n++;
	return n;
}

void osp_watch_find(const struct osp_watch *w, uint32_t process, int64_t from_ns, int64_t to_ns,
		    uint8_t visible[OSP_WATCH_BYTES])
{
	const struct osp_watch_row *rows = w->rows;
	size_t n = rows_of(w, process, &rows);

	if (!n) {
		rows = w->rows;
		n = w->count;
	}
	memset(visible, n ? 0 : 0xff, OSP_WATCH_BYTES);
	for (size_t i = 0; i < n; i++)
		if (rows[i].from_ns <= from_ns && (!rows[i].to_ns || rows[i].to_ns >= to_ns))
			visible[rows[i].point->number / 8] |=
				(uint8_t)(1 << rows[i].point->number % 8);
}

bool osp_watch_begin(const struct osp_watch *w, uint32_t process, const struct osp_point *p,
		     int64_t *from_ns)
{
	const struct osp_watch_row *rows;
	size_t n = rows_of(w, process, &rows);

	for (size_t i = 0; i < n; i++)
		if (rows[i].point == p) {
			*from_ns = rows[i].from_ns;
			return true;
		}
	return false;
}

bool osp_watch_reaches(const struct osp_watch *w, uint32_t process, enum osp_level level)
{
	const struct osp_watch_row *rows;
	size_t n = rows_of(w, process, &rows);

	for (size_t i = 0; i < n; i++)
		if (rows[i].point->level >= level)
			return true;
	return false;
}
