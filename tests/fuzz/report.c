/*
 * Fuzz target: reports of peers, as the shipped catalogue has them. The input: the two times of the
 * peer, how many bytes of the report are missing, and the report. Whatever it says, the operation
 * that is made of it lies between request and answer, its steps in order, all marked.
 */
#include <stdlib.h>
#include <string.h>

#include "user/reported.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ASKED = 1000, ANSWERED = 1000000 };

static struct osp_catalogue *catalogue;
static struct osp_reported *reported;
static struct osp_open_titles titles;
static struct osp_open_pool pool;

static void prepare(void)
{
	struct osp_catalogue_error error;

	if (osp_catalogue_new(&catalogue) ||
	    osp_catalogue_read(catalogue, "probes/catalogue/lonelypsp.yaml", &error) ||
	    osp_reported_new(&reported, catalogue) ||
	    osp_open_init_titles(&titles, catalogue->reports[0]->in))
		abort();
	osp_open_init_pool(&pool, 100, 1 << 20);
}

static void check(const struct osp_row *row)
{
	int64_t last_ns = ASKED;

	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *s = &row->steps[i];

		if (s->time_ns < last_ns || s->time_ns > ANSWERED || s->span >= row->span_count ||
		    s->first_attribute + s->attribute_count > row->attribute_count)
			abort();
		last_ns = s->time_ns;
	}
	for (size_t i = 0; i < row->span_count; i++) {
		const struct osp_row_span *s = &row->spans[i];

		if (!(s->marks & OSP_MARK_REPORTED) || s->start_ns < ASKED ||
		    s->end_ns < s->start_ns || s->end_ns > ANSWERED || !s->name)
			abort();
	}
	if (!row->step_count || !row->complete)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osp_event asked = {.time_ns = ASKED}, told = {.time_ns = ANSWERED};
	struct osp_event_value *values = told.values;
	const struct osp_report *report;
	struct osp_edge edge;
	struct osp_open *o;
	struct osp_row row;

	if (!catalogue)
		prepare();
	if (size < 17)
		return 0;
	report = catalogue->reports[0];
	asked.point = report->asked[0];
	told.point = report->point;
	memcpy(&values[report->first_arg].u64, data, 8);
	memcpy(&values[report->last_arg].u64, data + 8, 8);
	size = size - 17 < OSP_CATALOGUE_MAX_BYTES ? size - 17 : OSP_CATALOGUE_MAX_BYTES;
	values[report->bytes] = (struct osp_event_value){.data = data + 17,
							 .size = (uint32_t)size,
							 .true_size = (uint32_t)size + data[16],
							 .present = true};
	if (osp_open_new(&pool, report->in, &titles, ASKED, &o) ||
	    osp_open_add_step(&pool, o, &asked, 0, false))
		abort();
	o->id = 1ull << 16;
	if (!osp_reported_make(reported, o, &told, 0, &row, &edge))
		check(&row);
	osp_open_free(&pool, &o);
	return 0;
}
